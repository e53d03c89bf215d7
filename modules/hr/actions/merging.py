"""A department becomes part of another: its people, what is below it, and its heads."""

from datetime import date

from sqlalchemy import func, or_, select

from modules.hr import rules
from modules.hr.actions.employment import apply_due_assignments
from modules.hr.actions.organisation import administers, close, parents_today, place_from
from modules.hr.models import Assignment, Department, DepartmentHead, DepartmentPeriod
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.i18n import _, _l
from security.transitions import Argument, operation, text


@operation(
    by=administers,
    label=_l("Merge into another"),
    icon="git-merge",
    tone="danger",
    arguments={
        "into_id": Argument("ref", _l("Merge into"), required=True, lookup="departments"),
        "from_day": Argument("date", _l("From"), required=True),
        "reason": text(_l("Reason")),
    },
)
def merge(department: Department, into_id: int, from_day: date, reason: str | None) -> None:
    """From a day on people and departments of this one belong to another, and this one exists no more."""
    s = session()
    into = s.get(Department, into_id)
    if into is None or into_id == department.id:
        raise Invalid({"into_id": _("Choose another department.")})
    if rules.makes_cycle(parents_today(), department.id, into_id):
        raise Invalid({"into_id": _("A department cannot be merged into one below it.")})
    for child in s.scalars(select(Department).where(Department.parent_id == department.id)):
        place_from(child, from_day, into_id, child.name, reason)
    _reassign(department.id, into_id, from_day, reason)
    for head in s.scalars(select(DepartmentHead).where(DepartmentHead.department_id == department.id)):
        if head.from_day >= from_day:
            head.archived_at = func.now()
        elif head.to_day is None or head.to_day > from_day:
            head.to_day = from_day
    periods = list(s.scalars(select(DepartmentPeriod).where(DepartmentPeriod.department_id == department.id)))
    if any(p.from_day >= from_day for p in periods):
        raise Refusal(_("A later change of this department is already planned; it has to go first."))
    current = rules.in_force(periods, from_day)
    if current is None:
        raise Invalid({"from_day": _("The department does not exist on that day.")})
    current.to_day = from_day
    s.flush()
    if from_day <= today():
        close(department, from_day)


def _reassign(from_department: int, to_department: int, day: date, reason: str | None) -> None:
    """Whoever works in *from_department* on *day* or is planned to works in *to_department* from *day* on."""
    s = session()
    rows = s.scalars(
        select(Assignment).where(Assignment.department_id == from_department, or_(Assignment.to_day.is_(None), Assignment.to_day > day))
    ).all()
    for row in rows:
        if row.from_day >= day:
            row.department_id = to_department
            continue
        end = row.to_day
        row.to_day = day
        s.flush()
        same = {k: getattr(row, k) for k in ("employee_id", "user_id", "post_id", "grade_id", "manager_id")}
        s.add(Assignment(**same, department_id=to_department, from_day=day, to_day=end, reason=reason))
    s.flush()
    if day <= today():
        apply_due_assignments(today(), {row.employee_id for row in rows})
