"""The rules below the application: roles of the database, row-level security, grants, and the functions a transaction begins with.

Everything here is generated from the models and regenerated in the transaction of every migration (design: visibility).
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, cast

from sqlalchemy import Connection, Table, literal_column, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from portal.kernel.db import Base
from portal.kernel.document import Hanging, Record, carriers, records
from portal.kernel.module import contexts, lent, scopes
from security import audit as audit  # its table belongs to what is generated
from security import delegation as delegation  # deputies' contexts are assembled from its table
from security import reads, sealing
from security.visibility import Setting, editable

BASE_ROLES = ("app", "app_anon", "app_act", "app_read", "worker")


def wide_scopes() -> list[str]:
    """Scopes whose holders see every row of some models, in a fixed order."""
    return sorted(s.name for s in scopes.values() if s.wide)


def viewer_roles() -> list[str]:
    """Every role a signed-in person's transaction may run under: `app`, or one per combination of wide scopes."""
    names = wide_scopes()
    return ["app"] + ["see_" + "_".join(c) for n in range(1, len(names) + 1) for c in combinations(names, n)]


# ------------------------------------------------------------------ roles of the cluster
def ensure_roles(conn: Connection) -> None:
    """Creates what is missing. The owner needs CREATEROLE; the login roles are created by whoever sets the server up."""
    have = set(conn.execute(text("select rolname from pg_roles")).scalars())
    wanted = [*BASE_ROLES, *(f"wide_{s}" for s in wide_scopes()), *viewer_roles()[1:]]
    for role in wanted:
        if role not in have:
            try:
                with conn.begin_nested():
                    conn.exec_driver_sql(f"create role {role} nologin")
            except DBAPIError:  # two databases of one cluster migrate at once
                if not conn.execute(text("select 1 from pg_roles where rolname = :r"), {"r": role}).scalar():
                    raise
    members = {
        tuple(r)
        for r in conn.execute(
            text(
                "select r.rolname, m.rolname from pg_auth_members a join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member"
            )
        )
    }

    def grant(role: str, to: str) -> None:
        if (role, to) not in members:
            conn.exec_driver_sql(f"grant {role} to {to}")

    for role in viewer_roles()[1:]:
        grant("app", role)
        for s in _scopes_of(role):
            grant(f"wide_{s}", role)
    for role in [*viewer_roles(), "app_anon", "app_act", "app_read"]:
        grant(role, "app_login")
    for role in [*viewer_roles(), "app_anon", "app_act", "app_read", "worker"]:
        grant(role, "worker_login")


def _scopes_of(role: str) -> list[str]:
    names = wide_scopes()
    for n in range(1, len(names) + 1):
        for c in combinations(names, n):
            if role == "see_" + "_".join(c):
                return list(c)
    return []


# ------------------------------------------------------------------ rendering rules
def rule_sql(expression: Any, table: Table) -> str:
    """*expression* as policy text. Compiled inside a select from *table*, else a correlated EXISTS pulls the table into its own FROM."""
    q = str(
        select(literal_column("1"))
        .select_from(table)
        .where(expression)
        .compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]
    )
    head, _, where = q.partition("WHERE ")
    if head.split() != ["SELECT", "1", "FROM", table.name]:
        raise RuntimeError(f"the rule of {table.name} does not stand on its own row: {head}")
    return where


def check_declared() -> None:
    """Every record declares its rules, else the portal does not start."""
    for c in records():
        for name in ("see", "change"):
            if not callable(getattr(c, name, None)):
                raise RuntimeError(f"{c.__module__}.{c.__name__} declares no {name}(c, v)")
        for s in c.wide:
            if s not in scopes or not scopes[s].wide:
                raise RuntimeError(f"{c.__name__}.wide names {s!r}, which is no wide scope")


def see_sql(c: type[Record]) -> str:
    """The *see* policy of a model."""
    return rule_sql(cast(Any, c).see(Setting(seeing=True)), cast(Table, c.__table__))


def change_sql(c: type[Record]) -> str:
    """The *change* policy of a model."""
    return rule_sql(editable(c, c, cast(Any, c).change(Setting())), cast(Table, c.__table__))


def writable_columns(c: type[Record]) -> list[str]:
    """Columns the application role may write; the others only named actions and the database itself."""
    return [k.name for k in c.__table__.columns if k.name not in c.system_columns()]


def _model_statements(c: type[Record], owner: str, tables: dict[str, type[Record]]) -> Iterator[str]:
    t = cast(Table, c.__table__)
    n = t.name
    see, change = see_sql(c), change_sql(c)
    columns = ", ".join(f'"{k}"' for k in writable_columns(c))
    yield f"alter table {n} enable row level security"
    yield f"alter table {n} force row level security"
    yield f"create policy see on {n} for select to app using ({see})"
    yield f"create policy ins on {n} for insert to app with check ({change})"
    yield f"create policy upd on {n} for update to app using ({change}) with check ({change})"
    for role in ("app_act", "app_read", "worker", owner):
        if role == "app_read":
            yield f"create policy all_{role} on {n} for select to {role} using (true)"
        else:
            yield f"create policy all_{role} on {n} to {role} using (true) with check (true)"
    for scope, where in c.wide.items():
        yield f"create policy wide_{scope} on {n} for select to wide_{scope} using ({'true' if where is None else rule_sql(where(c), t)})"
    yield f"grant select, insert ({columns}), update ({columns}) on {n} to app"
    yield f"grant select, insert, update{', delete' if c.DISPOSABLE else ''} on {n} to app_act"  # nothing of the web destroys a row
    yield f"grant select, insert, update, delete on {n} to worker"
    for fk in t.foreign_keys:
        parent = fk.column.table.name
        if parent not in tables:
            continue
        key = fk.parent.name
        yield f"""create or replace function sees_{n}_{key}() returns trigger language plpgsql as $$ begin
          if new.{key} is not null and (tg_op = 'INSERT' or new.{key} is distinct from old.{key})
             and not exists (select from {parent} where id = new.{key}) then
            raise foreign_key_violation using column = '{key}', message = 'the writer does not see {parent}';
          end if; return new; end $$"""
        yield f"""create trigger sees_{key} before insert or update of {key} on {n} for each row
          when (current_user not in ('worker', 'app_act', '{owner}')) execute function sees_{n}_{key}()"""
    if c.LOG:
        return
    root = "'', 'record_id'" if issubclass(c, Hanging) else ""  # whatever it hangs on
    if c.__root__:
        parent_table = next(iter(t.c[c.__root__].foreign_keys)).column.table.name
        root = f"'{parent_table}', '{c.__root__}'"
    yield f"create trigger audit after insert or update or delete on {n} for each row execute function audit({root})"


# ------------------------------------------------------------------ functions
BEGIN = """
create or replace function app_context(who bigint, sid bigint, kind text) returns jsonb
language plpgsql stable security definer set search_path = public, pg_temp as $fn$
declare
  me bigint := who; today date := (now() at time zone '{zone}')::date; result jsonb; arrays jsonb := '{{}}'; ids bigint[];
{declared}
  user_name text; full_name text; keys text[] := '{{}}'; role_ids int[] := '{{}}'; held text[] := '{{}}'; entity bigint; loc text; thm text;
begin
  select u.username, u.last_name || u.first_name, a.locale, a.theme into user_name, full_name, loc, thm
    from ab_user u left join security_account a on a.user_id = u.id where u.id = me;
  select coalesce(array_agg(r.id), '{{}}'), coalesce(array_agg(r.name), '{{}}') into role_ids, keys
    from ab_user_role ur join ab_role r on r.id = ur.role_id where ur.user_id = me;
  select coalesce(array_agg(distinct s.scope order by s.scope), '{{}}') into held
    from security_role_scope s where s.role_id = any(role_ids);
{arrays}
{lent}
  entity := coalesce((select (arrays->'entities'->>0)::bigint), (select min(id) from kernel_entity));
  perform set_config('app.me', me::text, true), set_config('app.scopes', held::text, true),
    set_config('app.entity', coalesce(entity::text, ''), true);
  return jsonb_build_object('me', me, 'username', user_name, 'name', full_name, 'locale', loc, 'theme', thm,
    'session_id', sid, 'kind', kind, 'entity_id', entity, 'roles', keys, 'role_ids', role_ids, 'scopes', held,
    'epoch', (select max(n) from security_epoch), 'arrays', arrays, 'seen', seen,
    'role', case when cardinality(array(select unnest(held) intersect select unnest(array[{wide}]::text[]))) = 0 then 'app'
      else 'see_' || array_to_string(array(select unnest(held) intersect select unnest(array[{wide}]::text[]) order by 1), '_') end);
end $fn$
"""

FUNCTIONS = [
    # nobody: no settings but empty ones, a role that reads nothing
    """
create or replace function app_nobody() returns jsonb language sql as $fn$
  select set_config('app.me', '', true), set_config('app.scopes', '', true);
  select jsonb_build_object('me', null, 'role', 'app_anon', 'epoch', 0);
$fn$
""",
    # the only way for the web's login role to become a person: hold the token of a session that lives
    """
create or replace function app_signed_in(token text) returns jsonb
language plpgsql security definer set search_path = public, pg_temp as $fn$
declare s record;
begin
  select u.id::bigint as who, x.id as sid, x.kind into s from security_session x join ab_user u on u.id = x.user_id and u.active
   where x.token_hash = encode(sha256(convert_to(token, 'UTF8')), 'hex') and x.ended_at is null and x.expires_at > now();
  if s.who is null then return null; end if;
  return app_context(s.who, s.sid, s.kind);
end $fn$
""",
    """
create or replace function app_begin(token text, request_id text, address text) returns jsonb language plpgsql as $fn$
declare c jsonb;
begin
  perform set_config('app.request', request_id, true), set_config('app.ip', address, true), set_config('app.reason', '', true);
  if token <> '' then c := app_signed_in(token); end if;
  if c is null then c := app_nobody(); end if;
  perform set_config('role', c->>'role', true);
  return c;
end $fn$
""",
    """
create or replace function app_begin_as(person bigint) returns jsonb language plpgsql as $fn$
declare c jsonb;
begin
  perform set_config('app.request', '', true), set_config('app.ip', '', true), set_config('app.reason', 'in the name of a receiver', true);
  c := app_context(person, null, 'job');
  perform set_config('role', c->>'role', true);
  return c;
end $fn$
""",
    # current_user here is the owner: the role in force and the person come from the settings
    """
create or replace function audit() returns trigger language plpgsql security definer set search_path = public, pg_temp as $fn$
declare
  o jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end; n jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  was jsonb; now_ jsonb; row_ bigint; root_ bigint; above text;
begin
  row_ := coalesce(n->>'id', o->>'id')::bigint;
  if tg_op = 'UPDATE' then
    select jsonb_object_agg(k, o->k), jsonb_object_agg(k, v) into was, now_ from jsonb_each(n) as e(k, v)
     where k <> 'version' and o->k is distinct from v;
    if now_ is null then return null; end if;
  else was := o; now_ := n; end if;
  if tg_nargs = 2 then
    root_ := coalesce(n->>tg_argv[1], o->>tg_argv[1])::bigint;
    above := coalesce(nullif(tg_argv[0], ''), n->>'record_type', o->>'record_type');
  end if;
  insert into audit_entry (actor, db_role, request_id, ip, reason, tbl, row_id, root_tbl, root_id, op, old, new)
  values (nullif(current_setting('app.me', true), '')::bigint, current_setting('role', true),
    nullif(current_setting('app.request', true), ''), nullif(current_setting('app.ip', true), ''),
    nullif(current_setting('app.reason', true), ''), tg_table_name, row_,
    above, root_, lower(tg_op), was, now_);
  return null;
end $fn$
""",
]


def sees_record_sql() -> str:
    """`app_sees_record(table, id)`: whether whoever asks sees that row, archived or not. A table it does not know is seen by nobody.

    As the asking role, so the policies of that one table decide; in plpgsql, so that only the branch taken is planned.
    """
    tables = [c.__tablename__ for c in carriers()]
    arms = "\n".join(f"    when '{t}' then return exists (select 1 from {t} where id = pk);" for t in tables)  # noqa: S608 - constants
    return f"""create or replace function app_sees_record(tbl text, pk bigint) returns boolean
language plpgsql stable security invoker cost 1000 set search_path = public, pg_temp as $fn$
begin
  case tbl
{arms}
    else return false;
  end case;
end $fn$"""


def _context_arrays() -> str:
    lines = []
    for name in sorted(contexts):
        lines.append(f"  ids := array({contexts[name]()});")
        lines.append(f"  perform set_config('app.{name}', ids::text, true);")
        if name in lent:
            lines.append(f"  perform set_config('app.see_{name}', ids::text, true);")
        lines.append(f"  arrays := arrays || jsonb_build_object('{name}', ids);")
    return "\n".join(lines)


def _lent_arrays() -> str:
    """What others let the person see, added to the own ids. Each giver's ids are the giver's own: what came from another stays out."""
    lines = [f"  for giver in {delegation.IN_FORCE} loop", "    me := giver.id;"]
    for name, how in sorted(lent.items()):
        own = " where x.id <> giver.id" if how.people else ""
        lines.append(f"    if giver.{how.axis} then")
        lines.append(f"      more_{name} := more_{name} || array(select x.id from ({contexts[name]()}) as x(id){own});")  # noqa: S608 - declared SQL
        lines.append("    end if;")
    lines += ["  end loop;", "  me := who;"]
    for name in sorted(lent):
        lines.append(f"  if cardinality(more_{name}) > 0 then")
        lines.append(f"    ids := array(select unnest(current_setting('app.{name}')::bigint[]) union select unnest(more_{name}));")
        lines.append(f"    perform set_config('app.see_{name}', ids::text, true);")
        lines.append(f"    seen := seen || jsonb_build_object('{name}', ids);")
        lines.append("  end if;")
    return "\n".join(lines)


def _declared() -> str:
    return "\n".join(["  giver record; seen jsonb := '{}';", *(f"  more_{name} bigint[] := '{{}}';" for name in sorted(lent))])


def function_statements(zone: str = "Asia/Shanghai") -> Iterator[str]:
    """The SQL functions a transaction begins with, and the history trigger."""
    wide = ", ".join(f"'{s}'" for s in wide_scopes()) or "''"
    # volatile inside (set_config), therefore not marked stable
    yield BEGIN.format(arrays=_context_arrays(), lent=_lent_arrays(), declared=_declared(), wide=wide, zone=zone).replace(
        "plpgsql stable", "plpgsql"
    )
    yield from FUNCTIONS
    yield sees_record_sql()
    yield from sealing.FUNCTIONS
    yield from reads.function_statements()
    yield "revoke all on function app_sees_record(text, bigint) from public"
    yield "grant execute on function app_sees_record(text, bigint) to app, app_act, app_read, worker"
    yield "revoke all on function app_context(bigint, bigint, text), app_signed_in(text), app_nobody() from public"
    yield "revoke all on function app_begin(text, text, text), app_begin_as(bigint) from public"
    yield "grant execute on function app_nobody(), app_signed_in(text), app_begin(text, text, text) to app_login, worker_login"
    yield "grant execute on function app_context(bigint, bigint, text), app_begin_as(bigint) to worker_login"


# ------------------------------------------------------------------ tables that are no records
USER_COLUMNS = "id, username, first_name, last_name, active"
FAB_READABLE = ("ab_role", "ab_permission", "ab_view_menu", "ab_permission_view", "ab_permission_view_role", "ab_user_role")


def _plain_statements(tables: dict[str, type[Record]], owner: str) -> Iterator[str]:
    """Grants of the tables that are no records.

    A model says more than the default with `{"info": {"grants": {"app": "select"}}}`, and what it grants at all with `"only"`.
    `{"info": {"see": rule}}` makes a rule for what the person's role may read of it, as `see` of a record does.
    """
    for t in Base.metadata.sorted_tables:
        if t.name in tables:
            continue
        if "only" not in t.info:
            yield f"grant select, insert, update, delete on {t.name} to worker, app_act"
        granted: dict[str, str] = t.info.get("only") or t.info.get("grants") or {}
        for role, verbs in granted.items():
            yield f"grant {verbs} on {t.name} to {role}"
        if "see" in t.info:
            yield f"alter table {t.name} enable row level security"
            yield f"alter table {t.name} force row level security"
            yield f"create policy see on {t.name} for select to app using ({rule_sql(t.info['see'](t.c, Setting(seeing=True)), t)})"
            for role in ("app_act", "worker", owner):
                yield f"create policy all_{role} on {t.name} to {role} using (true) with check (true)"
    yield f"grant select ({USER_COLUMNS}) on ab_user to app"
    for name in FAB_READABLE:
        yield f"grant select on {name} to app"
    # a history entry is read by whoever sees the row it is about; who read it, is told to auditors and to the person concerned only
    arms = " ".join(f"when '{n}' then exists (select 1 from {n} where {n}.id = audit_entry.row_id)" for n in sorted(tables))  # noqa: S608
    yield "alter table audit_entry enable row level security"
    yield "alter table audit_entry force row level security"
    yield f"create policy see on audit_entry for select to app using (op <> '{reads.READ}' and case tbl {arms} else false end)"
    yield "create policy see_worker on audit_entry for select to worker using (true)"
    yield f"create policy all_owner on audit_entry to {owner} using (true) with check (true)"


# ------------------------------------------------------------------ installing
def drop(conn: Connection) -> None:
    """Removes every generated policy and trigger, so that a migration may change the columns they use."""
    for name, table in conn.execute(text("select policyname, tablename from pg_policies where schemaname = 'public'")).all():
        conn.exec_driver_sql(f'drop policy "{name}" on "{table}"')
    triggers = text(
        """select t.tgname, c.relname from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = 'public' and not t.tgisinternal and (t.tgname = 'audit' or t.tgname like 'sees\\_%')"""
    )
    for name, table in conn.execute(triggers).all():
        conn.exec_driver_sql(f'drop trigger "{name}" on "{table}"')
    for (signature,) in conn.execute(
        text(
            """select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
               where n.nspname = 'public' and p.proname like 'sees\\_%'"""
        )
    ).all():
        conn.exec_driver_sql(f"drop function {signature}")


def install(conn: Connection, zone: str = "Asia/Shanghai") -> None:
    """Policies, grants, triggers and functions of all models, in the caller's transaction, as the owner of the tables."""
    check_declared()
    ensure_roles(conn)
    drop(conn)
    owner = conn.execute(text("select current_user")).scalar_one()
    tables = {c.__tablename__: c for c in records()}
    roles = ", ".join([*BASE_ROLES, *viewer_roles()[1:]])
    for statement in function_statements(zone):
        conn.exec_driver_sql(statement)
    conn.exec_driver_sql(f"revoke all on all tables in schema public from {roles}")
    conn.exec_driver_sql(f"grant usage on schema public to {roles}, app_login, worker_login")
    database = conn.execute(text("select quote_ident(current_database())")).scalar_one()
    conn.exec_driver_sql(f"revoke temporary on database {database} from public")
    conn.exec_driver_sql(f"grant temporary on database {database} to worker")  # set-based jobs keep intermediate sets
    conn.exec_driver_sql("grant usage on all sequences in schema public to app, app_act, worker")
    for c in tables.values():
        for statement in _model_statements(c, owner, tables):
            conn.exec_driver_sql(statement)
    for statement in _plain_statements(tables, owner):
        conn.exec_driver_sql(statement)
    if conn.execute(text("select to_regclass('public.alembic_version')")).scalar() is not None:
        conn.exec_driver_sql("grant select on alembic_version to app_anon, app_login, worker")  # for /health/ready
    conn.exec_driver_sql("insert into security_epoch (n) select 1 where not exists (select from security_epoch)")
