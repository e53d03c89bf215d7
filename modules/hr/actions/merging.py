"""A department becomes part of another: its people, what is below it, and its heads. One person asks for it, another approves."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError

from modules.hr import rules
from modules.hr.actions.employment import apply_due_assignments
from modules.hr.actions.organisation import (
    administers,
    close,
    covers,
    human_resources,
    nearest_heads,
    parents_today,
    place_from,
    with_scope,
)
from modules.hr.actions.plans import follow, take_back_all
from modules.hr.events import MergerDecided, MergerSubmitted
from modules.hr.models import Assignment, Department, DepartmentHead, DepartmentPeriod, Merger
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.handover import stay
from portal.kernel.i18n import _, _l
from security.roles import people_who
from security.transitions import Argument, operation, text, transition
from security.visibility import context

stay("hr_merger", "a decision of the past", "decided_by")


# ------------------------------------------------------------------ asking for it
@operation(
    by=administers,
    label=_l("Ask for a merger"),
    icon="git-merge",
    tone="danger",
    arguments={
        "into_id": Argument("ref", _l("Merge into"), required=True, lookup="departments"),
        "from_day": Argument("date", _l("From"), required=True),
        "reason": text(_l("Reason")),
    },
)
def merge(department: Department, into_id: int, from_day: date, reason: str | None) -> None:
    """Asks that people and departments of this one belong to another from a day on and this one exists no more; a second one approves."""
    into = _check(department, into_id, from_day)
    s, c = session(), Merger
    if s.scalar(select(c.id).where(c.department_id == department.id, c.state.in_(("submitted", "approved"))).limit(1)) is not None:
        raise Refusal(_("A merger of this department is open already; have it decided or cancel it first."), code="already_open")
    merger = Merger(name=f"{department.name} → {into.name}", department_id=department.id, into_id=into_id, from_day=from_day, reason=reason)
    s.add(merger)
    s.flush()
    able = people_who("approve", Merger.permission_name(), scope="staff_approval")
    asked = [p for p in able if p != context().me]
    if not asked:
        raise Refusal(_("Nobody else may approve this; a second person needs a role that approves mergers."), code="no_approver")
    publish(MergerSubmitted(merger.id, asked))


def _check(department: Department, into_id: int, from_day: date) -> Department:
    """The department it becomes part of. Raises Invalid or Refusal when the merger is not possible as things are planned now."""
    into = session().get(Department, into_id)
    if into is None or into_id == department.id:
        raise Invalid({"into_id": _("Choose another department.")})
    if from_day < today():
        # who saw, confirmed and paid for what is settled for days that are over
        raise Invalid({"from_day": _("Not before today: what was reported and decided until now belongs to the department as it was.")})
    if rules.makes_cycle(parents_today(), department.id, into_id):
        raise Invalid({"into_id": _("A department cannot be merged into one below it.")})
    there = rules.in_force(_periods(into_id), from_day)
    if there is None or _periods(into_id)[-1].to_day is not None:
        raise Invalid({"into_id": _("This department does not exist on that day, or ends itself.")})
    periods = _periods(department.id)
    if any(p.from_day >= from_day for p in periods):
        raise Refusal(_("A later change of this department is already planned; it has to go first."))
    current = rules.in_force(periods, from_day)
    if current is None or current.to_day is not None:
        raise Invalid({"from_day": _("The department does not exist on that day.")})
    return into


def _periods(department_id: int) -> list[DepartmentPeriod]:
    c = DepartmentPeriod
    return list(session().scalars(select(c).where(c.department_id == department_id).order_by(c.from_day)))


# ------------------------------------------------------------------ deciding
def decides(c: Any, v: Any) -> Any:
    """Who approves or rejects: holders of the scope, never who asked for it."""
    return v.holds("staff_approval") & c.created_by.is_distinct_from(v.me)


@contextmanager
def _in_words() -> Iterator[None]:
    """On a record's page there are no fields to mark: what is wrong is said in one sentence."""
    try:
        yield
    except Invalid as e:
        raise Refusal(" ".join(dict.fromkeys(str(v) for v in e.fields.values())) or str(e), code="not_possible") from e


@transition(
    "submitted",
    "approved",
    by=decides,
    label=_l("Approve"),
    tone="primary",
    icon="check",
    arguments={"note": text(_l("Answer"), max_length=500)},
)
def approve(merger: Merger, note: str | None) -> None:
    """The merger stands: at once when its day is today, else planned for its day."""
    s = session()
    department = s.get(Department, merger.department_id, with_for_update=True)
    if department is None:
        raise Refusal(_("The department does not exist any more."), code="not_possible")
    with _in_words():
        _check(department, merger.into_id, merger.from_day)
        concerned = _concerned(merger)
        merger.headships = _merge(merger, department)
    merger.decided_by, merger.decision_note = context().me, note
    publish(MergerDecided(merger.id, "approved", context().me, concerned))


@transition(
    "submitted",
    "rejected",
    by=decides,
    label=_l("Reject"),
    tone="danger",
    icon="x",
    arguments={"note": text(_l("Reason"), required=True, max_length=500)},
)
def reject(merger: Merger, note: str) -> None:
    """Who asked for it is told why."""
    merger.decided_by, merger.decision_note = context().me, note
    publish(MergerDecided(merger.id, "rejected", context().me, []))


@transition(
    ("submitted", "approved"),
    "cancelled",
    by=lambda c, v: v.holds("staff_admin") | v.holds("staff_approval"),
    label=_l("Cancel the merger"),
    icon="ban",
    arguments={"note": text(_l("Reason"), required=True, max_length=500)},
)
def cancel(merger: Merger, note: str) -> None:
    """It does not happen. What is approved is taken back as a whole before its day; afterwards only another change helps."""
    told: list[int] = []
    if merger.state == "approved":
        told = _concerned(merger)
        _unmerge(merger)
    merger.decision_note = note
    publish(MergerDecided(merger.id, "cancelled", context().me, told))


def _concerned(merger: Merger) -> list[int]:
    """Who hears of what one person asked for and another approved: heads of both departments, leaders, everybody in HR."""
    heads = [p for d in (merger.department_id, merger.into_id) for p in nearest_heads(d)]
    return list(dict.fromkeys([*heads, *with_scope("staff_approval"), *human_resources()]))


# ------------------------------------------------------------------ what it does
def _plan(merger: Merger) -> str:
    return f"merger:{merger.id}"


def _merge(merger: Merger, department: Department) -> dict[str, Any]:
    s, day = session(), merger.from_day
    for child in _below(department.id, day):
        if day > today() and any(p.from_day == day for p in _periods(child.id)):
            raise Refusal(_("“%(name)s” changes on that day, too; choose another day.", name=child.name), code="same_day")
        place_from(child, day, merger.into_id, child.name, merger.reason)
    _reassign(merger)
    headships: dict[str, Any] = {"ended": [], "gone": []}
    for head in s.scalars(select(DepartmentHead).where(DepartmentHead.department_id == department.id)):
        if head.from_day >= day:
            headships["gone"].append(head.id)
            head.archived_at = func.now()
        elif head.to_day is None or head.to_day > day:
            headships["ended"].append([head.id, head.to_day.isoformat() if head.to_day else None])
            head.to_day = day
    _periods(department.id)[-1].to_day = day
    s.flush()
    if day <= today():
        close(department, day)
    return headships


def _below(department_id: int, day: date) -> list[Department]:
    """The departments that hang under *department_id* on *day*. Raises Refusal when others are to come later."""
    s, c = session(), DepartmentPeriod
    lasts = (c.parent_id == department_id, or_(c.to_day.is_(None), c.to_day > day))
    ids = set(s.scalars(select(c.department_id).where(*lasts, covers(c, day))))
    if set(s.scalars(select(c.department_id).where(*lasts))) - ids:
        raise Refusal(_("A later change of this department is already planned; it has to go first."))
    return list(s.scalars(select(Department).where(Department.id.in_(ids)).order_by(Department.id)))


def _reassign(merger: Merger) -> set[int]:
    """Whoever works in the department on the day or is planned to works in the other one from the day on; ids of the employees."""
    c = Assignment
    lasts = or_(c.to_day.is_(None), c.to_day > merger.from_day)
    rows = session().scalars(select(c).where(c.department_id == merger.department_id, lasts).order_by(c.id)).all()
    for row in rows:
        follow(row, merger.from_day, _plan(merger), department_id=merger.into_id)
    people = {row.employee_id for row in rows}
    if merger.from_day <= today():
        apply_due_assignments(today(), people)
    return people


def move_late(day: date) -> int:
    """Whoever was put into a department after its merger was approved moves when it ends, too; returns how many people."""
    c = Merger
    late = select(Assignment.id).where(
        Assignment.department_id == c.department_id, or_(Assignment.to_day.is_(None), Assignment.to_day > c.from_day)
    )
    due = session().scalars(select(c).where(c.state == "approved", c.from_day <= day, late.exists()).order_by(c.id)).all()
    return sum(len(_reassign(merger)) for merger in due)


# ------------------------------------------------------------------ taking it back
def _unmerge(merger: Merger) -> None:
    """Takes back what the approval planned, as a whole. Raises Refusal once it has taken effect or something was planned upon it."""
    s, day = session(), merger.from_day
    if day <= today():
        raise Refusal(_("This has already taken effect; prepare another change instead."), code="in_effect")
    last = _periods(merger.department_id)[-1]
    if last.to_day != day:
        raise Refusal(_("Something else was planned upon it; withdraw that first."), code="not_last")
    take_back_all(_plan(merger))
    last.to_day = None
    c = DepartmentPeriod
    for before in s.scalars(select(c).where(c.parent_id == merger.department_id, c.to_day == day)).all():
        after = next((p for p in _periods(before.department_id) if p.from_day == day and p.parent_id == merger.into_id), None)
        if after is not None:
            after.archived_at = func.now()
            s.flush()
            before.to_day = after.to_day
    try:
        _heads_again(merger.headships or {}, day)
    except IntegrityError as e:
        raise Refusal(_("Something else was planned upon it; withdraw that first."), code="not_last") from e


def _heads_again(headships: dict[str, Any], day: date) -> None:
    s, h = session(), DepartmentHead
    for pk, ends in headships.get("ended", ()):
        head = s.get(h, pk)
        if head is not None and head.to_day == day:
            head.to_day = date.fromisoformat(ends) if ends else None
    gone = select(h).where(h.id.in_(headships.get("gone", ()))).execution_options(include_archived=True)
    for head in s.scalars(gone):
        head.archived_at = None
    s.flush()
