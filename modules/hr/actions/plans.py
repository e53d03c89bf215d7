"""What one action plans for many people (a hand-over, a merger): nothing agreed on is overwritten, nothing is taken back singly."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import func, select, update

from modules.hr.actions.employment import made_by
from modules.hr.actions.organisation import administers
from modules.hr.models import Assignment, Employee, EmployeeEvent
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import Refusal
from portal.kernel.i18n import _, _l
from security.transitions import operation

COLUMNS = ("employee_id", "user_id", "department_id", "post_id", "grade_id", "manager_id")


def follow(place: Assignment, day: date, plan: str, **values: int | None) -> Assignment:
    """From *day* on *place* says *values*: it ends that day and a new row follows. One that only begins then is put away instead.

    What two people agreed on stays readable as it was; the employee change that made a row put away stands for its follower.
    """
    s = session()
    begins, ends = max(day, place.from_day), place.to_day
    if place.from_day < day:
        place.to_day, reason = day, None
    else:
        place.archived_at, reason = func.now(), place.reason
    s.flush()
    same = {k: getattr(place, k) for k in COLUMNS} | values
    new = Assignment(**same, from_day=begins, to_day=ends, reason=reason, plan=plan, replaces_id=place.id)
    s.add(new)
    s.flush()
    if place.from_day >= day:
        _stand_for(new.id, place.id)
    return new


def _stand_for(new: int, old: int) -> None:
    """Employee changes that made the place *old* stand for *new*."""
    change = update(EmployeeEvent).where(EmployeeEvent.assignment_id == old).values(assignment_id=new)
    session().execute(change.execution_options(synchronize_session="fetch"))


@operation(
    by=administers,
    label=_l("Withdraw all of it"),
    icon="arrow-back-up",
    name="withdraw_together",
    confirm=_l("Everything that this hand-over planned for people and that has not taken effect yet is taken back together. Go on?"),
)
def withdraw_together(assignment: Assignment) -> None:
    """What a hand-over planned for people is taken back as a whole, before its day; singly it would be a transfer by one person."""
    if assignment.plan is None or not assignment.plan.startswith("handover:"):
        raise Refusal(_("This was not planned by a hand-over."), code="not_planned")
    take_back_all(assignment.plan)


def take_back_all(plan: str) -> int:
    """Every place made by *plan* is gone and what it replaced goes on; returns how many. All or nothing: raises Refusal."""
    s = session()
    employees = select(Assignment.employee_id).where(Assignment.plan == plan)
    s.execute(select(Employee.id).where(Employee.id.in_(employees)).order_by(Employee.id).with_for_update())  # nobody plans meanwhile
    rows = list(s.scalars(select(Assignment).where(Assignment.plan == plan).order_by(Assignment.from_day.desc())))
    if any(row.from_day <= today() for row in rows):
        raise Refusal(_("This has already taken effect; transfer the person again instead."), code="in_effect")
    _nothing_follows(plan, rows)
    for row in rows:
        _take_back(row)
    return len(rows)


def _nothing_follows(plan: str, rows: Iterable[Assignment]) -> None:
    """Raises Refusal when something else was planned upon it that nobody agreed on by itself."""
    first: dict[int, date] = {}
    for row in rows:
        first[row.employee_id] = min(row.from_day, first.get(row.employee_id, row.from_day))
    c = Assignment
    later = session().scalars(select(c).where(c.employee_id.in_(first), c.plan.is_distinct_from(plan))).all()
    if any(row.from_day >= first[row.employee_id] and made_by([row]) is None for row in later):
        raise Refusal(_("Something else was planned upon it; withdraw that first."), code="not_last")


def _take_back(row: Assignment) -> None:
    s: Any = session()
    old = s.scalars(select(Assignment).where(Assignment.id == row.replaces_id).execution_options(include_archived=True)).one()
    row.archived_at = func.now()
    s.flush()
    if old.archived_at is not None:
        old.archived_at = None
        _stand_for(old.id, row.id)
    old.to_day = row.to_day
    s.flush()
