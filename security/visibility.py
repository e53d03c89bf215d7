"""Matrix visibility: one rule per model, rendered twice.

A model's `see(c, v)` and `change(c, v)` are SQL over its columns *c* for a viewer *v*. Rendered with `Setting` they become
row-level security policies; rendered with `Bound` they become criteria of every ORM statement. The policies enforce, the
criteria bring index use and good estimates.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from flask import g, has_request_context, request
from flask import session as cookie
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    and_,
    any_,
    bindparam,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    text,
    true,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy import event as sa_event
from sqlalchemy.orm import ORMExecuteState, aliased, with_loader_criteria

from portal.kernel.db import Ids, Session, on_begin, session
from portal.kernel.document import Record
from portal.kernel.errors import NotSignedIn
from portal.kernel.i18n import _
from portal.kernel.module import lent

INTS = Ids()
TEXTS = ARRAY(Text)


# ------------------------------------------------------------------ the viewer, rendered as policy text
class Setting:
    """The viewer of a policy: transaction-local settings. *seeing*: what others let the person see counts too (never for changing)."""

    def __init__(self, seeing: bool = False) -> None:
        self.seeing = seeing

    @staticmethod
    def _setting(name: str, kind: Any) -> ColumnElement[Any]:
        # '' and not NULL after the first transaction of a connection: nullif, so that nobody is nobody
        return sql_cast(func.nullif(func.current_setting(f"app.{name}", True), ""), kind)

    @property
    def me(self) -> ColumnElement[Any]:
        """The person's `ab_user.id`."""
        return select(self._setting("me", BigInteger)).scalar_subquery()

    @property
    def person(self) -> ColumnElement[bool]:
        """True for everybody who is signed in."""
        return self.me.is_not(None)

    def has(self, name: str, column: Any) -> ColumnElement[bool]:
        """*column* is among the viewer's ids of context *name*: a hashed sub-plan at any array size."""
        setting = f"see_{name}" if self.seeing and name in lent else name
        return cast(ColumnElement[bool], column.in_(select(func.unnest(self._setting(setting, INTS)))))

    def holds(self, scope: str) -> ColumnElement[bool]:
        """One of the viewer's roles carries *scope*. For small tables and `change` only; big tables use `wide`."""
        scopes = select(self._setting("scopes", TEXTS)).scalar_subquery()
        return func.coalesce(literal(scope) == any_(sql_cast(scopes, TEXTS)), False)

    def sees(self, parent: type[Record], column: Any) -> ColumnElement[bool]:
        """The row *column* points at is visible: its own policies decide."""
        p = parent.__table__.alias(f"p_{parent.__tablename__}")
        return exists(select(literal(1)).select_from(p).where(p.c.id == column))

    def sees_record(self, table: Any, column: Any) -> ColumnElement[bool]:
        """The row of the table named in *table* that *column* points at is visible: its own policies decide, archived or not.

        For the few rows that hang on one record; lists over many records begin with the person's own rows.
        """
        return cast(ColumnElement[bool], func.app_sees_record(table, column))


# ------------------------------------------------------------------ the viewer, rendered as ORM criterion
class Bound:
    """The viewer of an ORM criterion: this transaction's arrays as constants. *seeing* as for `Setting`."""

    def __init__(self, ctx: "Context", seeing: bool = False) -> None:
        self.ctx = ctx
        self.seeing = seeing

    @property
    def me(self) -> ColumnElement[Any]:
        return bindparam("v_me", self.ctx.me, BigInteger, unique=True)

    @property
    def person(self) -> ColumnElement[bool]:
        return true() if self.ctx.me is not None else false()

    def has(self, name: str, column: Any) -> ColumnElement[bool]:
        ids = self.ctx.seen_ids(name) if self.seeing else self.ctx.ids(name)
        return cast(ColumnElement[bool], column == any_(bindparam(f"v_{name}", list(ids), INTS, unique=True))) if ids else false()

    def holds(self, scope: str) -> ColumnElement[bool]:
        return true() if scope in self.ctx.scopes else false()

    def sees(self, parent: type[Record], column: Any) -> ColumnElement[bool]:
        p = aliased(parent)
        rule = visible(parent, p, self.ctx)
        return true() if rule is None else exists(select(literal(1)).where(p.id == column, rule))

    def sees_record(self, table: Any, column: Any) -> ColumnElement[bool]:
        # the policies of some hundred tables are no criterion to build for each statement: the database asks the one that is meant
        return cast(ColumnElement[bool], func.app_sees_record(table, column))


# ------------------------------------------------------------------ context of a transaction
@dataclass
class Context:
    """Who is looking, in this transaction. *role* is the database role in force."""

    me: int | None = None
    username: str = ""
    name: str = ""
    locale: str | None = None
    theme: str | None = None
    session_id: int | None = None
    kind: str = ""
    entity_id: int | None = None
    roles: frozenset[str] = frozenset()
    role_ids: frozenset[int] = frozenset()
    scopes: frozenset[str] = frozenset()
    epoch: int = 0
    role: str = "app_anon"
    arrays: dict[str, list[int]] = field(default_factory=dict)
    seen: dict[str, list[int]] = field(default_factory=dict)
    system: bool = False
    criteria: dict[tuple[type[Record], str], list[Any]] = field(default_factory=dict, repr=False)

    def ids(self, name: str) -> list[int]:
        """The viewer's ids of a registered context, e.g. `ids("managed_projects")`."""
        return self.arrays.get(name, [])

    def seen_ids(self, name: str) -> list[int]:
        """The ids the viewer sees by: the own ones, and those others let the viewer see as their deputy."""
        return self.seen[name] if name in self.seen else self.ids(name)


def context() -> Context:
    """The viewer of the current transaction (begins one if needed)."""
    s = session()
    s.connection()
    return cast(Context, s.info["ctx"])


def viewer() -> Bound:
    """The current viewer, to render a rule with: `Model.change(viewer())`."""
    return Bound(context())


def credential() -> tuple[str, str, str]:
    """Session token, request id and address of the request at hand; empty strings outside of one."""
    if not has_request_context():
        return "", "", ""
    token = g.get("credential") or cookie.get("sid") or ""
    return str(token), str(g.get("request_id", "")), str(request.remote_addr or "")


def _begin(s: Session, conn: Connection) -> None:
    principal = s.info.get("principal")
    if principal == "worker":
        conn.execute(
            text("""select set_config('role', 'worker', true), set_config('app.me', :me, true), set_config('app.reason', :reason, true),
                           set_config('app.request', :request, true), set_config('app.ip', :ip, true)"""),
            {"reason": s.info.get("reason", ""), "me": str(_acting_person() or ""), "request": credential()[1], "ip": credential()[2]},
        )
        s.info["ctx"] = Context(role="worker", system=True)
        return
    if principal == "person":
        row = conn.execute(text("select app_begin_as(:u)"), {"u": s.info["person"]}).scalar_one()
        if "request" in s.info:
            conn.execute(text("select set_config('app.request', :r, true), set_config('app.reason', '', true)"), {"r": s.info["request"]})
    else:
        token, request_id, address = credential()
        row = conn.execute(text("select app_begin(:t, :r, :a)"), {"t": token, "r": request_id, "a": address}).scalar_one()
    s.info["ctx"] = parse(row)


def _acting_person() -> int | None:
    """The person in whose request unrestricted work happens: recorded as the actor."""
    from portal.kernel.db import db

    if not has_request_context() or "ctx" not in db.session().info:
        return None
    return cast(Context, db.session().info["ctx"]).me


def parse(row: dict[str, Any]) -> Context:
    """The JSON of the SQL function `app_begin` as a Context."""
    return Context(
        me=row["me"],
        username=row.get("username") or "",
        name=row.get("name") or "",
        locale=row.get("locale"),
        theme=row.get("theme"),
        session_id=row.get("session_id"),
        kind=row.get("kind") or "",
        entity_id=row.get("entity_id"),
        roles=frozenset(row.get("roles") or ()),
        role_ids=frozenset(row.get("role_ids") or ()),
        scopes=frozenset(row.get("scopes") or ()),
        epoch=row.get("epoch") or 0,
        role=row["role"],
        arrays=row.get("arrays") or {},
        seen=row.get("seen") or {},
    )


on_begin.append(_begin)


@sa_event.listens_for(Session, "after_begin")
def _after_begin(s: Session, transaction: Any, conn: Connection) -> None:
    if transaction.nested:  # savepoints fire it too
        return
    for begin in on_begin:
        begin(s, conn)


# ------------------------------------------------------------------ criteria
def visible(model: type[Record], c: Any, ctx: Context) -> ColumnElement[bool] | None:
    """The rule of *model* over *c* (the class or an alias) for *ctx*; None when everything is visible."""
    arms: list[Any] = []
    for scope, where in model.wide.items():
        if scope in ctx.scopes:
            if where is None:
                return None
            arms.append(where(c))
    rule = cast(Any, model.see).__func__(c, Bound(ctx, seeing=True))
    return or_(rule, *arms) if arms else cast(ColumnElement[bool], rule)


def changeable(model: type[Record], c: Any, ctx: Context) -> ColumnElement[bool]:
    """The change rule of *model* over *c* for *ctx*, its state included."""
    return editable(model, c, cast(Any, model.change).__func__(c, Bound(ctx)))


def editable(model: type[Record], c: Any, rule: Any) -> ColumnElement[bool]:
    """*rule*, and the state is one in which fields may be edited (ALL-04)."""
    if model.EDITABLE is None:
        return cast(ColumnElement[bool], rule)
    return and_(rule, c.state.in_(model.EDITABLE))


def _reach(model: type[Record]) -> Iterable[type[Record]]:
    targets = {r.mapper.class_ for r in cast(Any, model).__mapper__.relationships}
    return {model} | {t for t in targets if issubclass(t, Record)}


def _options(ctx: Context, model: type[Record], kind: str) -> list[Any]:
    """Criteria for *model* and what it can join to, built once per transaction. kind: see, change or live (inside an action)."""
    if (model, kind) not in ctx.criteria:
        out: list[Any] = []
        for m in _reach(model):
            if kind != "all":
                rule = visible(m, m, ctx)
                if rule is not None:
                    out.append(with_loader_criteria(m, rule, include_aliases=True, propagate_to_loaders=False))
                if kind == "change" and m is model:
                    out.append(with_loader_criteria(m, changeable(m, m, ctx), include_aliases=True, propagate_to_loaders=False))
        ctx.criteria[model, kind] = out
    return ctx.criteria[model, kind]


def _live(model: type[Record]) -> list[Any]:
    return [with_loader_criteria(m, m.archived_at.is_(None), include_aliases=True, propagate_to_loaders=False) for m in _reach(model)]


def _entities(state: ORMExecuteState) -> list[type[Record]]:
    found = [m.class_ for m in state.all_mappers if issubclass(m.class_, Record)]
    if not found and state.is_select:  # select(count()).select_from(Model) names no entity in its columns
        for f in getattr(state.statement, "get_final_froms", list)():
            mapper = getattr(f, "_annotations", {}).get("parententity")
            cls = getattr(mapper, "class_", None)
            if isinstance(cls, type) and issubclass(cls, Record):
                found.append(cls)
    return found


@sa_event.listens_for(Session, "do_orm_execute")
def _restrict(state: ORMExecuteState) -> None:
    s = cast(Session, state.session)
    s.connection()  # begins the transaction first: this hook runs before after_begin
    ctx = cast(Context, s.info["ctx"])
    if state.is_column_load:
        return
    models = _entities(state)
    if not models:
        return
    if ctx.me is None and not ctx.system:
        raise NotSignedIn(_("Please sign in."))
    options: list[Any] = []
    for m in models:
        if not state.execution_options.get("include_archived"):
            options += _live(m)
        if not ctx.system and not s.info.get("acting"):
            options += _options(ctx, m, "change" if state.is_update or state.is_delete else "see")
    state.statement = state.statement.options(*options)


# ------------------------------------------------------------------ actions
@contextmanager
def acting(reason: str = "") -> Iterator[Session]:
    """Role `app_act` for the block: the code in it has checked who may do this. Everything loaded in it is forgotten afterwards."""
    s = session()
    s.connection()
    ctx = cast(Context, s.info["ctx"])
    if ctx.system or s.info.get("acting"):
        yield s
        s.flush()
        return
    if ctx.me is None:
        raise NotSignedIn(_("Please sign in."))
    s.flush()
    point = s.begin_nested()  # an error takes back what the block did, and with it the role
    s.execute(text("select set_config('role', 'app_act', true), set_config('app.reason', :r, true)"), {"r": reason})
    s.info["acting"] = True
    try:
        yield s
        s.flush()
        s.expunge_all()
        s.execute(text("select set_config('role', :role, true), set_config('app.reason', '', true)"), {"role": ctx.role})
        point.commit()
    except BaseException:
        if point.is_active:
            point.rollback()
        s.expunge_all()  # nothing that was read in it may be found again
        raise
    finally:
        s.info["acting"] = False
