"""Leave and business trips: asked for, answered by a head, and what the calendar and the daily reports ask about them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from modules.hr import rules
from modules.hr.actions.organisation import covers, have_heads, heads_of, human_resources
from modules.hr.events import LeaveDecided, LeaveSubmitted
from modules.hr.models import Assignment, Employee, Employment, Leave
from portal.kernel.calendar import WorkingCalendar, today
from portal.kernel.db import session
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from portal.kernel.numbering import next_number, series
from security.transitions import text, transition
from security.visibility import context

SERIES = series("hr.Leave", "QJ-{yyyy}-{seq:4}")
LONGEST = timedelta(days=731)
"""Nobody decides on more than about two years at once."""
COUNTS = ("submitted", "approved")
"""States in which a leave takes its days: another one may not cover the same half day."""


def span(leave: Leave) -> rules.Span:
    """The half days of a leave."""
    return rules.Span(leave.from_day, leave.from_half, leave.to_day, leave.to_half)


# ------------------------------------------------------------------ questions of others
@dataclass(frozen=True)
class LeaveOn:
    """Approved leave of a person that touches a day: kind, its label, and which halves (`am`, `pm`) it takes."""

    leave_id: int
    user_id: int
    kind: str
    halves: frozenset[str]

    @property
    def whole_day(self) -> bool:
        """Nothing of the day is left to work."""
        return len(self.halves) == 2

    @property
    def label(self) -> str:
        """The kind in the reader's language."""
        return str(Leave.KINDS[self.kind])


def _approved(user_ids: Iterable[int], from_day: date, to_day: date) -> list[Leave]:
    return list(
        session().scalars(
            select(Leave)
            .where(Leave.user_id.in_(list(user_ids)), Leave.state == "approved", Leave.from_day < to_day, Leave.to_day >= from_day)
            .order_by(Leave.from_day, Leave.from_half)
        )
    )


def away(user_ids: Iterable[int], from_day: date, to_day: date) -> dict[tuple[int, date], LeaveOn]:
    """Approved leaves **and trips** by (user id, day) in ``[from_day, to_day)``, as far as the person at hand may see them.

    Two leaves that share a day (one half each) are one entry of the first's kind with both halves; half a day of leave beside half
    a day's trip is that half of leave, since the trip is work. One statement.
    """
    found: dict[tuple[int, date], LeaveOn] = {}
    for leave in _approved(user_ids, from_day, to_day):
        whole = span(leave)
        for day, _part in whole.each_day(from_day, to_day):
            entry = LeaveOn(leave.id, leave.user_id, leave.kind, whole.halves(day))
            before = found.get((leave.user_id, day))
            if before is not None and (before.kind == "trip") == (leave.kind == "trip"):
                entry = replace(before, halves=before.halves | entry.halves)
            elif before is not None and leave.kind == "trip":
                entry = before
            found[leave.user_id, day] = entry
    return found


def on_leave(user_ids: Iterable[int], day: date) -> dict[int, LeaveOn]:
    """Who of *user_ids* is on approved leave on *day*; a business trip is work and does not count. One statement."""
    following = date.fromordinal(day.toordinal() + 1)
    return {user_id: leave for (user_id, _day), leave in away(user_ids, day, following).items() if leave.kind != "trip"}


def leave_days(user_ids: Iterable[int], from_day: date, to_day: date) -> dict[tuple[int, date], Decimal]:
    """Part of each day (0.5 or 1) that people are on approved leave in ``[from_day, to_day)``; trips do not count. One statement."""
    return {key: len(leave.halves) * rules.HALF for key, leave in away(user_ids, from_day, to_day).items() if leave.kind != "trip"}


# ------------------------------------------------------------------ its life
def _own(c: Any, v: Any) -> Any:
    return c.user_id == v.me


def answers(c: Any, v: Any) -> Any:
    """Whose leave the viewer answers: that of staff, and HR that of whoever has nobody above, as while the place above is vacant."""
    return (c.user_id != v.me) & (v.has("answered_staff", c.user_id) | (v.holds("staff_admin") & c.user_id.not_in(have_heads())))


@transition("draft", "submitted", by=_own, label=_l("Submit for approval"), tone="primary", icon="send")
def submit(leave: Leave) -> None:
    """Asks the head, or HR when there is none above; the number is given now."""
    s = session()
    employee = s.scalars(select(Employee).where(Employee.user_id == leave.user_id).with_for_update()).one_or_none()
    if employee is None:
        raise Refusal(_("Only employees take leave."), code="not_employed")
    wanted = span(leave)
    if not wanted.ordered():
        raise Invalid({"to_day": _("The leave ends before it starts.")})
    if wanted.to_day - wanted.from_day > LONGEST:
        raise Invalid({"to_day": _("At most %(n)s days at once; ask for the rest later.", n=LONGEST.days)})
    joined = s.scalar(select(Employment.joined_on).where(Employment.employee_id == employee.id))
    if joined is not None and leave.from_day < joined:
        raise Invalid({"from_day": _("This is before the day of joining.")})
    last = s.scalar(select(Assignment.id).where(Assignment.employee_id == employee.id, covers(Assignment, leave.to_day)))
    if last is None:
        raise Invalid({"to_day": _("The person does not work here on that day.")})
    for other in s.scalars(select(Leave).where(Leave.user_id == leave.user_id, Leave.state.in_(COUNTS), Leave.id != leave.id)):
        if wanted.meets(span(other)):
            raise Refusal(
                _("This overlaps %(number)s, %(what)s.", number=other.number or "", what=str(other)),
                code="overlap",
            )
    calendar = WorkingCalendar.load()
    leave.days = rules.leave_days(wanted, calendar.is_workday)
    if leave.days == 0:
        raise Invalid({"from_day": _("There is no working day in it.")})
    leave.number = leave.number or next_number(SERIES, leave.entity_id, today())
    deciders = heads_of(leave.user_id) or [p for p in human_resources() if p != leave.user_id]
    publish(LeaveSubmitted(leave.id, leave.user_id, deciders))


ANSWER = {"note": text(_l("Answer"), max_length=500)}


@transition("submitted", "approved", by=answers, label=_l("Approve"), tone="primary", icon="check", arguments=ANSWER, bulk=True)
def approve(leave: Leave, note: str | None) -> None:
    """From now on the days count as leave everywhere."""
    leave.decided_by, leave.decision_note = context().me, note
    publish(LeaveDecided(leave.id, leave.user_id, "approved", context().me))


@transition(
    "submitted",
    "rejected",
    by=answers,
    label=_l("Reject"),
    tone="danger",
    icon="x",
    arguments={"note": text(_l("Reason"), required=True, max_length=500)},
    bulk=True,
)
def reject(leave: Leave, note: str) -> None:
    """The person is told why; a new leave can be asked for."""
    leave.decided_by, leave.decision_note = context().me, note
    publish(LeaveDecided(leave.id, leave.user_id, "rejected", context().me))


@transition(
    ("draft", "submitted", "approved"),
    "cancelled",
    by=lambda c, v: _own(c, v) | v.holds("staff_admin"),
    label=_l("Cancel the leave"),
    icon="ban",
    confirm=_l("Cancel this leave?"),
)
def cancel(leave: Leave) -> None:
    """The days are free again. What is over cannot be cancelled by the person, only by HR."""
    if leave.state == "approved" and leave.to_day < today() and "staff_admin" not in context().scopes:
        raise Refusal(_("This leave is over; ask HR to correct it."), code="over")
    publish(LeaveDecided(leave.id, leave.user_id, "cancelled", context().me))
