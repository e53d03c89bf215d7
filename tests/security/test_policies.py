"""What the migration generates below the application: complete, repeatable, and nothing besides."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, create_engine, text

from portal.kernel.db import Base
from portal.kernel.document import records
from security import policies

ROOT = Path(__file__).resolve().parents[2]

# tables without row rules, and why nothing of theirs needs any
WITHOUT_RULES = {
    "alembic_version": "which migration the database is at",
    "ab_user": "application roles read id, names and active only; password column granted to nobody",
    "ab_role": "roles of the product",
    "ab_user_role": "who has which role",
    "ab_permission": "verbs",
    "ab_view_menu": "models and pages",
    "ab_permission_view": "pairs of the two",
    "ab_permission_view_role": "what roles may do",
    "ab_api_key": "not used",
    "ab_register_user": "not used; granted to nobody but the system",
    "ab_group": "not used",
    "ab_user_group": "not used",
    "applications_client": "names of Keycloak's clients; application roles read only",
    "ab_group_role": "not used",
    "kernel_outbox": "the person's role may only add",
    "kernel_job_run": "the system's own",
    "kernel_heartbeat": "the system's own",
    "kernel_number_counter": "actions only",
    "notify_digest": "the system's own",
    "security_role": "names of roles",
    "security_role_scope": "scopes of roles",
    "security_known_permission": "the system's own",
    "security_epoch": "one number",
    "security_followed": "the system's own",
    "security_group": "which group at Keycloak is which department",
    "security_account": "the system's own",
    "security_role_write": "the system's own",
    "security_audit_seal": "hashes, written by one function",
    "security_audit_check": "the system's own: what verifications found",
    "security_emergency": "the system's own: a password's hash",
    "security_logout_jti": "the system's own",
    "security_jwks": "the system's own: public keys",
    "security_login_failure": "the system's own",
    "security_machine": "the system's own",
    "security_client": "the system's own",
}
# what the person's role may do with tables that carry no rules
OPEN_TO_PEOPLE = {
    "ab_role": {"SELECT"},
    "ab_user_role": {"SELECT"},
    "ab_permission": {"SELECT"},
    "ab_view_menu": {"SELECT"},
    "ab_permission_view": {"SELECT"},
    "ab_permission_view_role": {"SELECT"},
    "security_role": {"SELECT"},
    "security_role_scope": {"SELECT"},
    "kernel_outbox": {"INSERT"},
    "applications_client": {"SELECT"},
}
DEFINERS = {"app_context", "app_signed_in", "audit", "audit_seal", "audit_erase", "audit_read"}


@pytest.fixture
def owner(app: Any, settings: Any) -> Iterator[Connection]:
    """A connection of the tables' owner; what it does is rolled back."""
    engine = create_engine(settings.owner_database_url)
    with engine.connect() as conn:
        yield conn
        conn.rollback()
    engine.dispose()


def snapshot(conn: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Everything generated, as the catalogue has it."""
    queries = {
        "policies": """select tablename, policyname, permissive, roles::text, cmd, qual, with_check
                       from pg_policies where schemaname = 'public'""",
        "triggers": """select c.relname, t.tgname, pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
                       where not t.tgisinternal and c.relnamespace = 'public'::regnamespace""",
        "functions": """select p.oid::regprocedure::text, p.prosrc, p.proacl::text, p.prosecdef from pg_proc p
                        where p.pronamespace = 'public'::regnamespace
                          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')""",
        "tables": """select relname, relrowsecurity, relforcerowsecurity, array(select unnest(relacl)::text order by 1)::text
                     from pg_class
                     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')""",
        "columns": """select c.relname, a.attname, array(select unnest(a.attacl)::text order by 1)::text
                       from pg_attribute a join pg_class c on c.oid = a.attrelid
                      where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped and c.relkind = 'r'""",
    }
    return {name: sorted(map(tuple, conn.execute(text(q)).all()), key=str) for name, q in queries.items()}


@pytest.mark.req("VIS-07")
def test_every_business_table_has_rules_forced_history_and_an_owner(superuser: Any) -> None:
    for m in records():
        t = m.__tablename__
        enabled, forced, owner = superuser.execute(
            "select relrowsecurity, relforcerowsecurity, pg_get_userbyid(relowner) from pg_class where oid = to_regclass(%s)", [t]
        ).fetchone()
        assert (enabled, forced, owner) == (True, True, "shuniu_owner"), t
        found = superuser.execute("select policyname, cmd, roles::text[] from pg_policies where tablename = %s", [t]).fetchall()
        wanted = {
            ("see", "SELECT", "app"), ("ins", "INSERT", "app"), ("upd", "UPDATE", "app"), ("all_app_act", "ALL", "app_act"),
            ("all_app_read", "SELECT", "app_read"), ("all_worker", "ALL", "worker"), ("all_shuniu_owner", "ALL", "shuniu_owner"),
            *((f"wide_{s}", "SELECT", f"wide_{s}") for s in m.wide),
        }  # fmt: skip
        assert {(name, cmd, role) for name, cmd, roles in found for role in roles} == wanted, t
        triggers = {
            r[0] for r in superuser.execute("select tgname from pg_trigger where tgrelid = to_regclass(%s) and tgenabled = 'O'", [t])
        }
        parents = {
            f"sees_{fk.parent.name}" for fk in m.__table__.foreign_keys if fk.column.table.name in {r.__tablename__ for r in records()}
        }
        assert ("audit" in triggers) != m.LOG, t  # a log that is deleted after a time leaves no copy behind
        assert set(parents) <= triggers, t


@pytest.mark.req("VIS-07")
def test_tables_without_rules_are_known(superuser: Any) -> None:
    bare = {
        r[0]
        for r in superuser.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and not relrowsecurity"
        )
    }
    assert bare - WITHOUT_RULES.keys() == set()
    assert {m.__tablename__ for m in records()} & bare == set()
    for t in bare:
        for role in ("app", "see_projects", "app_anon", "app_login", "app_read", "public"):
            rows = superuser.execute(
                "select privilege_type from information_schema.table_privileges where table_name = %s and grantee = %s", [t, role]
            )
            got = {r[0] for r in rows.fetchall()}
            allowed = OPEN_TO_PEOPLE.get(t, set()) if role == "app" else {"SELECT"} if t == "alembic_version" else set()
            if t == "kernel_outbox" and role == "app_anon":
                allowed = {"INSERT"}
            assert got <= allowed, f"{role} may {got} {t}"


def test_no_table_of_the_models_is_missing_in_the_database(superuser: Any) -> None:
    there = {r[0] for r in superuser.execute("select tablename from pg_tables where schemaname = 'public'")}
    assert set(Base.metadata.tables) - there == set()


def test_people_read_no_secret_of_an_account(superuser: Any) -> None:
    rows = superuser.execute(
        "select column_name, grantee, privilege_type from information_schema.column_privileges where table_name = 'ab_user'"
    ).fetchall()
    granted = {(column, verb) for column, grantee, verb in rows if grantee in ("app", "app_anon", "app_login", "PUBLIC", "app_read")}
    assert granted == {(c, "SELECT") for c in ("id", "username", "first_name", "last_name", "active")}


def test_people_read_no_secret_of_a_session(superuser: Any, raw_as: Any, user_id: Any) -> None:
    """Neither the hash of a token nor what belongs to Keycloak, and of the rest only what is theirs."""
    for who, everybody in (("member.wang", False), ("hr", False), ("auditor", True), ("admin", True)):
        with raw_as("pm.chen"), raw_as(who) as conn:
            for column in ("token_hash", "sid", "subject", "id_token"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
                    conn.execute(f"select {column} from security_session")
            seen = {r[0] for r in conn.execute("select user_id from security_session")}
            assert seen > {user_id(who)} if everybody else seen == {user_id(who)}
            for change in ("update security_session set ended_at = now()", "delete from security_session"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
                    conn.execute(change)


def test_installing_again_changes_nothing(owner: Connection) -> None:
    before = snapshot(owner)
    policies.install(owner)
    assert snapshot(owner) == before


def test_dropping_lets_columns_change_and_installing_restores(owner: Connection) -> None:
    before = snapshot(owner)
    policies.drop(owner)
    assert owner.execute(text("select count(*) from pg_policies where schemaname = 'public'")).scalar() == 0
    owner.execute(text("alter table project_project alter column pm_id type bigint"))
    owner.execute(text("alter table project_project alter column pm_id type integer"))
    policies.install(owner)
    assert snapshot(owner) == before


def test_a_policy_of_a_model_that_is_gone_does_not_stay(owner: Connection) -> None:
    owner.execute(text("create policy leftover on project_project for select to app using (true)"))
    owner.execute(
        text("create trigger sees_leftover before insert on project_project for each row execute function sees_project_project_domain_id()")
    )
    before = snapshot(owner)
    policies.install(owner)
    after = snapshot(owner)
    assert len(after["policies"]) == len(before["policies"]) - 1 and len(after["triggers"]) == len(before["triggers"]) - 1


def test_the_owner_changes_every_row_in_a_migration(owner: Connection) -> None:
    for m in records():
        count = owner.execute(text(f"select count(*) from {m.__tablename__}")).scalar()
        assert owner.execute(text(f"update {m.__tablename__} set custom = custom")).rowcount == count


def test_functions_run_with_rights_of_the_owner_only_where_known(superuser: Any) -> None:
    rows = superuser.execute(
        """select proname, coalesce(proconfig::text, ''), prosecdef, has_function_privilege('public', p.oid, 'execute'),
                  prorettype = 'trigger'::regtype
           from pg_proc p where pronamespace = 'public'::regnamespace
            and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"""
    ).fetchall()
    assert {r[0] for r in rows if r[2]} == DEFINERS
    for name, config, definer, by_anyone, is_trigger in rows:
        assert not definer or "search_path=public, pg_temp" in config, name
        assert not by_anyone or is_trigger, f"{name} may be called by anybody"


def test_there_is_no_view_that_reads_as_its_owner(superuser: Any) -> None:
    rows = superuser.execute(
        "select relname, coalesce(reloptions::text, '') from pg_class where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')"
    ).fetchall()
    assert [name for name, options in rows if "security_invoker=true" not in options] == []


def test_nobody_but_the_owner_makes_objects(superuser: Any) -> None:
    for role in ("public", "app", "app_act", "worker", "app_login", "worker_login", "app_anon", "app_read"):
        assert not superuser.execute("select has_schema_privilege(%s, 'public', 'create')", [role]).fetchone()[0], role


UNDECLARED = """
from sqlalchemy.orm import Mapped, mapped_column
from portal.kernel.document import Record
from portal.kernel.module import scope
from security.policies import check_declared

class Undeclared(Record):
    __tablename__ = "test_undeclared"
    word: Mapped[str] = mapped_column()

def refused(why):
    try: check_declared()
    except RuntimeError as e: assert why in str(e), e
    else: raise AssertionError(why)

refused("Undeclared declares no see")
Undeclared.see = classmethod(lambda c, v: v.person)
refused("Undeclared declares no change")
Undeclared.change = classmethod(lambda c, v: v.person)
check_declared()
Undeclared.wide = {"no_such_scope": None}
refused("no wide scope")
scope("no_such_scope", "not wide")
refused("no wide scope")
scope("no_such_scope", "wide", wide=True)
check_declared()
print("fine")
"""


@pytest.mark.req("VIS-06")
def test_the_portal_does_not_start_with_a_model_without_rules() -> None:
    done = subprocess.run([sys.executable, "-c", UNDECLARED], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "fine\n", done.stderr
