"""Rules of people as pure functions: periods, leave in half days, the shape of the organisation, names."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeVar

P = TypeVar("P", bound="Period")
HALF = Decimal("0.5")
DOUBLE_FAMILY_NAMES = frozenset(("欧阳", "司马", "上官", "诸葛", "司徒", "皇甫", "慕容", "尉迟", "端木", "东方"))


class Period(Protocol):
    """Anything that holds during ``[from_day, to_day)``; *to_day* None is open."""

    @property
    def from_day(self) -> Any: ...

    @property
    def to_day(self) -> Any: ...


def holds_on(period: Period, day: date) -> bool:
    """Whether *day* lies in the half-open *period*."""
    return bool(period.from_day <= day and (period.to_day is None or day < period.to_day))


def in_force(periods: Iterable[P], day: date) -> P | None:
    """The one of *periods* (never overlapping) that holds on *day*."""
    return next((p for p in periods if holds_on(p, day)), None)


def overlap(a_from: date, a_to: date | None, b_from: date, b_to: date | None) -> bool:
    """Whether ``[a_from, a_to)`` and ``[b_from, b_to)`` share a day."""
    return (b_to is None or a_from < b_to) and (a_to is None or b_from < a_to)


# ------------------------------------------------------------------ rates
def rate_on(rates: Iterable[P], day: date) -> P | None:
    """The grade rate that costs a person-day on *day*; None when the grade had no rate then."""
    return in_force(rates, day)


def may_begin(new_from: date, latest_from: date | None, today: date) -> str | None:
    """Why a rate may not begin on *new_from*: `past` or `order`; None when it may.

    The first rate of a grade may begin any day. A later one begins neither in the past nor before the one it follows, so no
    figure of the past changes (HRM-03).
    """
    if latest_from is None:
        return None
    if new_from < today:
        return "past"
    return "order" if new_from <= latest_from else None


# ------------------------------------------------------------------ leave
@dataclass(frozen=True)
class Span:
    """A stretch of half days, both ends included: from the *from_half* of *from_day* to the *to_half* of *to_day*."""

    from_day: date
    from_half: str
    to_day: date
    to_half: str

    def ordered(self) -> bool:
        """Whether it ends after it starts."""
        return (self.from_day, self.from_half) <= (self.to_day, self.to_half)

    def halves(self, day: date) -> frozenset[str]:
        """The halves of *day* (`am`, `pm`) that it covers."""
        return frozenset(h for h in ("am", "pm") if (self.from_day, self.from_half) <= (day, h) <= (self.to_day, self.to_half))

    def meets(self, other: "Span") -> bool:
        """Whether both cover the same half day."""
        return (self.from_day, self.from_half) <= (other.to_day, other.to_half) and (other.from_day, other.from_half) <= (
            self.to_day,
            self.to_half,
        )

    def each_day(self, first: date = date.min, end: date = date.max) -> Iterator[tuple[date, Decimal]]:
        """Every calendar day touched, with 0.5 or 1; only those in [*first*, *end*)."""
        day, last = max(self.from_day, first), min(self.to_day, end - timedelta(days=1))
        for n in range((last - day).days + 1):
            yield day + timedelta(days=n), len(self.halves(day + timedelta(days=n))) * HALF


def leave_days(span: Span, is_workday: Callable[[date], bool]) -> Decimal:
    """Working days a leave takes, in halves; rest days inside it cost nothing."""
    return sum((part for day, part in span.each_day() if is_workday(day)), Decimal(0))


# ------------------------------------------------------------------ the shape of the organisation
def below(parents: Mapping[int, int | None], root: int) -> set[int]:
    """*root* and everything under it; *parents* maps a department to the one it is part of."""
    children: dict[int | None, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found: set[int] = set()
    open_ = [root]
    while open_:
        department = open_.pop()
        if department not in found:
            found.add(department)
            open_.extend(children.get(department, ()))
    return found


def makes_cycle(parents: Mapping[int, int | None], department: int, new_parent: int | None) -> bool:
    """Whether hanging *department* under *new_parent* would put it under itself."""
    return new_parent is not None and new_parent in below(parents, department)


@dataclass
class Node:
    """A department in the chart: *own* people and *total* with everything below."""

    id: int
    name: str
    parent_id: int | None
    children: list["Node"]
    own: int = 0
    total: int = 0


def tree(rows: Iterable[tuple[int, str, int | None]], headcount: Mapping[int, int]) -> list[Node]:
    """The roots of the organisation from (id, name, parent id), each with its nested children and headcounts.

    A department whose parent does not exist on that day stands at the top. Siblings keep the order of *rows*.
    """
    nodes = {id_: Node(id_, name, parent, [], headcount.get(id_, 0)) for id_, name, parent in rows}
    roots: list[Node] = []
    for node in nodes.values():
        above = nodes.get(node.parent_id) if node.parent_id is not None else None
        (above.children if above is not None else roots).append(node)
    for root in roots:
        _total(root)
    return roots


def _total(node: Node) -> int:
    node.total = node.own + sum(_total(child) for child in node.children)
    return node.total


# ------------------------------------------------------------------ names
def split_name(name: str) -> tuple[str, str]:
    """(given name, family name): a Chinese family name is the first character, or two of the common double ones."""
    name = name.strip()
    if name.isascii():
        given, _, family = name.rpartition(" ")
        return (given, family) if given else (name, "")
    if len(name) < 2:
        return name, ""
    size = 2 if len(name) > 2 and name[:2] in DOUBLE_FAMILY_NAMES else 1
    return name[size:], name[:size]
