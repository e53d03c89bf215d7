"""Why somebody sees a record, or not: every arm of its model's rule judged in the database, with the memberships behind it (VIS-10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from sqlalchemy import BigInteger, Text, false, func, literal, or_, select, true

from portal.kernel.db import PlainTable, Session, as_person, unrestricted
from portal.kernel.document import Record, User
from security.arms import MEMBERSHIP, Arm, Everybody, Leaf, OnePerson, arms_of, relation
from security.manager import allowed
from security.roles import RoleInfo, RoleScope
from security.visibility import context

CAP = 1000
LISTED = 50


# ------------------------------------------------------------------ answers
@dataclass(frozen=True)
class Membership:
    """One reason to have ids of a context. *ids*: how many."""

    context: str
    via: str
    named: dict[str, Any]
    from_day: date | None
    to_day: date | None
    source: str
    source_id: int
    counts: bool
    ids: int = 1


@dataclass(frozen=True)
class Judged:
    """A condition and whether it holds. *roles*: keys and labels of the roles that carry the scope; *arms*: those of the parent."""

    leaf: Leaf
    holds: bool
    value: int | None = None
    memberships: tuple[Membership, ...] = ()
    roles: tuple[tuple[str, Any], ...] = ()
    arms: "tuple[Way, ...]" = ()


@dataclass(frozen=True)
class Way:
    """An arm and whether it opens the record."""

    arm: Arm
    holds: bool
    conditions: tuple[Judged, ...]


@dataclass(frozen=True)
class Person:
    """Somebody with an account."""

    id: int
    username: str
    first_name: str
    last_name: str
    active: bool


@dataclass(frozen=True)
class Found:
    """A record as the questions name it: no content."""

    model: type[Record]
    id: int
    number: str | None
    archived_at: datetime | None


@dataclass(frozen=True)
class Verdict:
    """Whether *person* sees *record*: the database's word; *ways*: each arm. *view*: the roles include looking at such records."""

    person: Person
    record: Found
    visible: bool
    view: bool
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Seer:
    """Somebody who sees the record, and by which conditions of which arms."""

    person: Person
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Access:
    """What somebody sees of *model*: rows in all and by each arm, archived ones left out, at most `CAP` + 1."""

    model: type[Record]
    rows: int
    arms: tuple[tuple[Arm, int], ...]


def person_of(user_id: int) -> Person | None:
    """The account *user_id*."""
    with unrestricted("explaining who sees what: the person") as s:
        u = s.get(User, user_id)
        return None if u is None else _person(u)


def _person(u: Any) -> Person:
    return Person(u.id, u.username, u.first_name, u.last_name, bool(u.active))


def find(model: type[Record], *, pk: int | None = None, number: str | None = None) -> list[Found]:
    """The records of *model* with that id or number, archived ones too."""
    c = PlainTable(model)
    table = c.id.table
    numbered = table.c.number if "number" in table.c else literal(None, Text())
    statement = select(c.id, numbered.label("number"), c.archived_at)
    statement = statement.where(c.id == pk) if pk is not None else statement.where(numbered == number)
    with unrestricted("explaining who sees what: the record") as s:
        return [Found(model, r.id, r.number, r.archived_at) for r in s.execute(statement.order_by(c.id).limit(20))]


def verdict(person: Person, record: Found) -> Verdict:
    """Whether and why *person* sees *record*. The yes or no is row-level security's own, in a transaction of that person."""
    c = PlainTable(record.model)
    with as_person(person.id) as s:
        ctx = context()
        visible = s.execute(select(c.id).where(c.id == record.id)).first() is not None and person.active
        view = allowed("view", record.model.permission_name())
    with unrestricted("explaining who sees what: one person and one record") as s:
        ways = _ways(s, record.model, record.id, OnePerson(ctx))
    return Verdict(person, record, visible, view, ways)


def _ways(s: Session, model: type[Record], pk: int, viewer: OnePerson) -> tuple[Way, ...]:
    c = PlainTable(model)
    arms = arms_of(model, c)
    columns: list[Any] = [c.id]
    for a in arms:
        columns.append(viewer.of(a.rule))
        for leaf in a.leaves:
            columns += [viewer.of(leaf.test), literal(None, BigInteger()) if leaf.column is None else leaf.column]
    row = s.execute(select(*(k.label(f"k{n}") for n, k in enumerate(columns))).where(c.id == pk)).first()
    if row is None:
        return ()
    values = iter(row[1:])
    me = viewer.ctx.me or 0
    out = []
    for a in arms:
        holds = next(values)
        judged = [(leaf, next(values), next(values)) for leaf in a.leaves]
        out.append(Way(a, holds, tuple(_judged(s, leaf, yes, value, viewer, me) for leaf, yes, value in judged)))
    return tuple(out)


def _judged(s: Session, leaf: Leaf, holds: bool, value: int | None, viewer: OnePerson, me: int) -> Judged:
    behind: tuple[Membership, ...] = ()
    roles: tuple[tuple[str, Any], ...] = ()
    arms: tuple[Way, ...] = ()
    if leaf.kind == "context" and value is not None:
        behind = tuple(m for _p, _i, m in _behind(s, leaf.name, [me], value))
    elif leaf.kind == "scope" and holds:
        roles = tuple((key, label) for _p, _scope, key, label in _carriers(s, [leaf.name], [me]))
    elif leaf.parent is not None and value is not None:
        arms = _ways(s, leaf.parent, value, viewer)
    return Judged(leaf, holds, value, behind, roles, arms)


def _behind(s: Session, name: str, people: Sequence[int], value: int) -> list[tuple[int, int, Membership]]:
    """The memberships of *people* that lead to *value*, those that count first."""
    m = relation(name).subquery()
    statement = select(m).where(m.c.id == value, m.c.person.in_(people)).order_by(m.c.counts.desc(), m.c.source, m.c.source_id)
    return [(r.person, r.id, _membership(name, r)) for r in s.execute(statement)]


def _membership(name: str, r: Any) -> Membership:
    return Membership(name, r.via, r.named, r.from_day, r.to_day, r.source, r.source_id, r.counts, getattr(r, "ids", 1))


def _carriers(s: Session, scopes: Sequence[str], people: Sequence[int]) -> list[tuple[int, str, str, Any]]:
    """Person, scope, key and label of each role that gives one of *scopes* to one of *people*."""
    role = assoc_user_role.c
    statement = (
        select(role.user_id, RoleScope.scope, Role.name, RoleInfo.label)
        .select_from(assoc_user_role)
        .join(RoleScope, RoleScope.role_id == role.role_id)
        .join(Role, Role.id == role.role_id)
        .outerjoin(RoleInfo, RoleInfo.role_id == role.role_id)
        .where(RoleScope.scope.in_(scopes), role.user_id.in_(people))
        .order_by(Role.id)
    )
    return [(r.user_id, r.scope, r.name, r.label) for r in s.execute(statement)]


def seers(record: Found, limit: int = LISTED, offset: int = 0) -> tuple[int, list[Seer]]:
    """How many people see *record*, and *limit* of them by name, with the reasons.

    One statement judges every arm for everybody; one more for each context and for the roles, over the people of the page.
    """
    u = cast(Any, User.__table__).alias("u")
    c = PlainTable(record.model)
    arms = arms_of(record.model, c)
    viewer = Everybody(u)
    # each condition is a column, so that a page tells which of them holds
    marks = [viewer.of(a.rule).label(f"a{n}") for n, a in enumerate(arms)]
    tests = [viewer.of(leaf.test).label(f"l{n}_{i}") for n, a in enumerate(arms) for i, leaf in enumerate(a.leaves)]
    values = [leaf.column.label(f"v{n}_{i}") for n, a in enumerate(arms) for i, leaf in enumerate(a.leaves) if leaf.column is not None]
    judged = (
        select(u.c.id, u.c.username, u.c.first_name, u.c.last_name, u.c.active, *marks, *tests, *values)
        .select_from(u.join(c.id.table, true()))
        .where(c.id == record.id, u.c.active)
        .subquery()
    )
    seen = or_(false(), *(judged.c[f"a{n}"] for n in range(len(arms))))
    statement = select(judged, func.count().over().label("total")).where(seen)
    statement = statement.order_by(judged.c.last_name, judged.c.first_name, judged.c.id).limit(limit).offset(offset)
    with unrestricted("explaining who sees what: everybody who sees one record") as s:
        rows = [r._mapping for r in s.execute(statement)]
        people = [r["id"] for r in rows]
        behind: dict[tuple[str, int, int], list[Membership]] = {}
        wanted = {
            (leaf.name, rows[0][f"v{n}_{i}"])
            for n, a in enumerate(arms)
            for i, leaf in enumerate(a.leaves)
            if rows and leaf.kind == "context"
        }
        for name, value in wanted:
            for person, _id, m in _behind(s, name, people, value) if value is not None else ():
                behind.setdefault((name, value, person), []).append(m)
        scopes = sorted({leaf.name for a in arms for leaf in a.leaves if leaf.kind == "scope"})
        carriers = _carriers(s, scopes, people) if scopes and people else []
    out = []
    for r in rows:
        ways = []
        for n, a in enumerate(arms):
            found = []
            for i, leaf in enumerate(a.leaves):
                value = r.get(f"v{n}_{i}")
                why = tuple(m for m in behind.get((leaf.name, value or 0, r["id"]), ()) if m.counts) if leaf.kind == "context" else ()
                roles = tuple((key, label) for p, scope, key, label in carriers if p == r["id"] and scope == leaf.name)
                found.append(Judged(leaf, r[f"l{n}_{i}"], value, why, roles if leaf.kind == "scope" else ()))
            ways.append(Way(a, r[f"a{n}"], tuple(found)))
        who = Person(r["id"], r["username"], r["first_name"], r["last_name"], r["active"])
        out.append(Seer(who, tuple(ways)))
    if not rows and offset:  # beyond the last page
        return seers(record, 1)[0], []
    return (rows[0]["total"] if rows else 0), out


def accesses(person: Person, models: Sequence[type[Record]]) -> list[Access]:
    """How many rows of each of *models* the person sees, and by which arms. One statement for each model."""
    with as_person(person.id):
        viewer = OnePerson(context())
    out = []
    with unrestricted("explaining who sees what: what one person sees") as s:
        for model in models:
            c = PlainTable(model)
            arms = arms_of(model, c)
            rules = [viewer.plain(a.rule) for a in arms]
            counts = [_capped(c, rule).label(f"n{n}") for n, rule in enumerate([or_(false(), *rules), *rules])]
            row = s.execute(select(*counts)).one()
            out.append(Access(model, row[0] if person.active else 0, tuple(zip(arms, row[1:], strict=True))))
    return out


def _capped(c: Any, rule: Any) -> Any:
    few = select(literal(1)).select_from(c.id.table).where(c.archived_at.is_(None), rule).limit(CAP + 1).subquery()
    return select(func.count()).select_from(few).scalar_subquery()


@dataclass(frozen=True)
class Standing:
    """All that gives a person access: memberships by context, and the roles with their scopes."""

    memberships: dict[str, tuple[Membership, ...]]
    more: dict[str, int]
    roles: tuple[tuple[str, str, Any], ...]


def standing(person: Person, names: Sequence[str], scopes: Sequence[str]) -> Standing:
    """The person's memberships behind the contexts *names*, at most `LISTED` of each, and the roles that carry one of *scopes*."""
    found: dict[str, tuple[Membership, ...]] = {}
    more: dict[str, int] = {}
    with unrestricted("explaining who sees what: memberships of one person") as s:
        for name in names:
            m = relation(name).subquery()
            parts = [m.c[k] for k in MEMBERSHIP if k not in ("person", "id")]
            statement = (
                select(*parts, func.count(m.c.id.distinct()).label("ids"), func.count().over().label("total"))
                .where(m.c.person == person.id)
                .group_by(*parts)
                .order_by(m.c.counts.desc(), m.c.source, m.c.source_id)
                .limit(LISTED)
            )
            rows = list(s.execute(statement))
            found[name] = tuple(_membership(name, r) for r in rows)
            more[name] = (rows[0].total if rows else 0) - len(rows)
        roles = tuple((scope, key, label) for _p, scope, key, label in _carriers(s, scopes, [person.id])) if scopes else ()
    return Standing(found, more, roles)


def contexts_needed(models: Sequence[type[Record]]) -> set[str]:
    """The contexts that the `see` rules of *models* ask for."""
    return {name for m in models for a in arms_of(m, PlainTable(m)) for name in a.needs}
