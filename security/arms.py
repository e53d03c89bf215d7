"""A rule of visibility taken apart: its arms, the conditions of each, and what they become for one person or for everybody at once.

A rule is called once with marks instead of a viewer. What `or` joins at the top are its arms, and each wide scope is one more; the marks
are then replaced by what the question is about: one person with the very arrays of the policies, or everybody at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from flask_appbuilder.security.sqla.models import assoc_user_role
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Text,
    and_,
    any_,
    bindparam,
    case,
    column,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BooleanClauseList, False_, Grouping

from portal.kernel import calendar
from portal.kernel.db import PlainTable
from portal.kernel.document import Record, carriers
from portal.kernel.module import lent, memberships
from security import delegation
from security.roles import RoleScope
from security.visibility import INTS, Context


# ------------------------------------------------------------------ marks in the place of a viewer
class Mark(ColumnElement[Any]):
    """Stands in a rule until it is known who is looking."""

    inherit_cache = False

    def self_group(self, against: Any = None) -> Any:
        return self  # a boolean one would be wrapped in `is true`


class Me(Mark):
    """The person's id."""

    type = BigInteger()


class Signed(Mark):
    """Somebody is signed in."""

    type = Boolean()


@dataclass(eq=False)
class Has(Mark):
    """*column* is among the person's ids of context *name*."""

    name: str
    column: Any
    type = Boolean()


@dataclass(eq=False)
class Holds(Mark):
    """A role of the person carries *scope*."""

    scope: str
    type = Boolean()


@dataclass(eq=False)
class Sees(Mark):
    """The row of *parent* that *column* points at is visible."""

    parent: type[Record]
    column: Any
    type = Boolean()


@dataclass(eq=False)
class SeesRecord(Mark):
    """The row of the table named in *table* that *column* points at is visible."""

    table: Any
    column: Any
    type = Boolean()


class Marks:
    """The viewer a rule is called with to be taken apart."""

    me = cast(ColumnElement[Any], Me())
    person = cast(ColumnElement[bool], Signed())

    def has(self, name: str, column: Any) -> ColumnElement[bool]:
        """See `Setting.has`."""
        return Has(name, column)

    def holds(self, scope: str) -> ColumnElement[bool]:
        """See `Setting.holds`."""
        return Holds(scope)

    def sees(self, parent: type[Record], column: Any) -> ColumnElement[bool]:
        """See `Setting.sees`."""
        return Sees(parent, column)

    def sees_record(self, table: Any, column: Any) -> ColumnElement[bool]:
        """See `Setting.sees_record`."""
        return SeesRecord(table, column)


# ------------------------------------------------------------------ a rule taken apart
@dataclass(frozen=True)
class Leaf:
    """One condition of an arm. *kind*: own, context, scope, parent, record, person or condition; *name*: of the context or scope."""

    kind: str
    test: Any = field(repr=False)
    name: str = ""
    column: Any = field(default=None, repr=False)
    columns: tuple[str, ...] = ()
    parent: type[Record] | None = None


Formula = tuple[str, tuple[Any, ...]]
"""`("and" | "or", parts)`: how conditions are joined; a part is a formula or a `Leaf`."""


@dataclass(frozen=True)
class Arm:
    """One way to see a row of a model."""

    rule: Any = field(repr=False)
    leaves: tuple[Leaf, ...] = ()
    formula: "Formula" = field(default=("and", ()), repr=False)

    @property
    def needs(self) -> frozenset[str]:
        """The contexts it asks for."""
        return frozenset(leaf.name for leaf in self.leaves if leaf.kind == "context")


def arms_of(model: type[Record], c: Any) -> list[Arm]:
    """The arms of the rule of *model* over the columns *c*, wide scopes last."""
    rules = list(_operands(cast(Any, model.see).__func__(c, Marks()), operators.or_))
    rules += [Holds(scope) if where is None else and_(Holds(scope), where(c)) for scope, where in model.wide.items()]
    return [_arm(r) for r in rules]


def _arm(rule: Any) -> Arm:
    found = tuple(leaves(rule))
    rest = iter(found)

    def formula(e: Any) -> Any:
        if isinstance(e, Grouping):
            return formula(e.element)
        if isinstance(e, BooleanClauseList):
            return ("or" if e.operator is operators.or_ else "and", tuple(formula(part) for part in e.clauses))
        return next(rest)

    whole = formula(rule)
    return Arm(rule, found, whole if isinstance(whole, tuple) else ("and", (whole,)))


def _operands(e: Any, operator: Any) -> Iterator[Any]:
    if isinstance(e, Grouping):
        yield from _operands(e.element, operator)
    elif isinstance(e, BooleanClauseList) and e.operator is operator:
        for part in e.clauses:
            yield from _operands(part, operator)
    elif not isinstance(e, False_):
        yield e


def leaves(e: Any) -> Iterator[Leaf]:
    """The conditions that `and`, `or` and brackets join in *e*."""
    if isinstance(e, Grouping):
        yield from leaves(e.element)
        return
    if isinstance(e, BooleanClauseList):
        for part in e.clauses:
            yield from leaves(part)
        return
    match e:
        case Has():
            yield Leaf("context", e, e.name, e.column, _names(e.column))
        case Holds():
            yield Leaf("scope", e, e.scope)
        case Sees():
            yield Leaf("parent", e, "", e.column, _names(e.column), e.parent)
        case SeesRecord():
            yield Leaf("record", e, "", e.column, _names(e.column))
        case Signed():
            yield Leaf("person", e)
        case _:
            own = any(isinstance(x, Me) for x in visitors.iterate(e))
            yield Leaf("own" if own else "condition", e, _shape(e), None, _names(e))


def _names(e: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(cast(Any, x).name) for x in visitors.iterate(e) if getattr(x, "table", None) is not None))


def _shape(e: Any) -> str:
    """`empty`, `given`, `yes`, `no`, `like` or `unlike` for a plain condition on one column; else nothing."""
    operator = getattr(e, "operator", None)
    if operator is operators.ne or operator is operators.is_distinct_from:
        return "unlike"
    if operator is operators.eq:
        return "like"
    if operator is operators.is_ or operator is operators.is_not:
        return "empty" if operator is operators.is_ else "given"
    if operator is operators.is_true or getattr(e, "table", None) is not None:
        return "yes"
    return "no" if operator in (operators.inv, operators.is_false) else ""


# ------------------------------------------------------------------ who is looking
class Viewer(ABC):
    """What the marks become. Unlike the viewers of the rules it folds nothing away: every arm stays what it is."""

    me: ColumnElement[Any]
    person: ColumnElement[bool]

    @abstractmethod
    def has(self, name: str, column: Any) -> ColumnElement[bool]:
        """See `Setting.has`."""

    @abstractmethod
    def holds(self, scope: str) -> ColumnElement[bool]:
        """See `Setting.holds`."""

    def sees(self, parent: type[Record], column: Any) -> ColumnElement[bool]:
        """The parent's own arms."""
        p = PlainTable(parent)
        rule = or_(false(), *(self.plain(a.rule) for a in arms_of(parent, p)))
        return exists(select(literal(1)).select_from(p.id.table).where(p.id == column, rule))

    def sees_record(self, table: Any, column: Any) -> ColumnElement[bool]:
        """The arms of whichever record it is."""
        return case(*((table == m.__tablename__, self.sees(m, column)) for m in carriers()), else_=false())

    def of(self, rule: Any) -> Any:
        """*rule* with its marks replaced, as a column; NULL counts as no."""
        return func.coalesce(self.plain(rule), False)

    def plain(self, rule: Any) -> Any:
        """*rule* with its marks replaced, for a WHERE: nothing around it keeps an index from being used."""

        def replace(e: Any, **_kw: Any) -> Any:
            match e:
                case Me():
                    return self.me
                case Signed():
                    return self.person
                case Has():
                    return self.has(e.name, e.column)
                case Holds():
                    return self.holds(e.scope)
                case Sees():
                    return self.sees(e.parent, e.column)
                case SeesRecord():
                    return self.sees_record(e.table, e.column)
            return None

        return visitors.replacement_traverse(cast(ColumnElement[Any], rule), {}, cast(Any, replace))


class OnePerson(Viewer):
    """One person, with the arrays the policies use."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.me = literal(ctx.me, BigInteger)
        self.person = literal(ctx.me is not None)

    def has(self, name: str, column: Any) -> ColumnElement[bool]:
        return cast(ColumnElement[bool], column == any_(bindparam(f"v_{name}", self.ctx.seen_ids(name), INTS, unique=True)))

    def holds(self, scope: str) -> ColumnElement[bool]:
        return literal(scope in self.ctx.scopes)


class Everybody(Viewer):
    """Each row of *u*, a table of people, at once."""

    def __init__(self, u: Any) -> None:
        self.u = u
        self.me = u.c.id
        self.person = u.c.id.is_not(None)
        self.relations: dict[str, Any] = {}

    def has(self, name: str, column: Any) -> ColumnElement[bool]:
        m = self.relations.setdefault(name, relation(name).cte(f"m_{name}"))
        return tuple_(self.u.c.id, column).in_(select(m.c.person, m.c.id).where(m.c.counts))

    def holds(self, scope: str) -> ColumnElement[bool]:
        role = assoc_user_role.c
        held = select(role.user_id).join(RoleScope, RoleScope.role_id == role.role_id).where(RoleScope.scope == scope)
        return cast(ColumnElement[bool], self.u.c.id.in_(held))


MEMBERSHIP: dict[str, Any] = {
    "person": BigInteger(), "id": BigInteger(), "via": Text(), "named": JSONB(), "from_day": Date(), "to_day": Date(), "source": Text(),
    "source_id": BigInteger(), "counts": Boolean(),
}  # fmt: skip


def relation(name: str) -> Any:
    """The memberships behind context *name*, everybody's, those that others let a deputy see by among them."""
    sql = memberships[name].sql()
    if name in lent:
        sql = delegation.relation_sql(sql, lent[name].axis, lent[name].people)
    given = [bindparam("today", calendar.today(), Date())] if ":today" in sql else []
    return text(sql).bindparams(*given).columns(*(column(k, t) for k, t in MEMBERSHIP.items()))
