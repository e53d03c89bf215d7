"""Changes of employees of the sample company: what led to today, one that waits for its approval, one approved for a day to come."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select

from modules.hr.models import Assignment, Employee, EmployeeEvent, EmployeeEventGrade, Employment
from portal.kernel.db import session
from portal.kernel.numbering import next_number


def changes(anchor: date, users: Mapping[str, int], higher: int) -> None:
    """Rows beside the assignments that exist already: each move of the past and of next month has its approved change.

    *higher*: id of the grade that somebody is to be promoted to.
    """
    s = session()
    moved = (
        select(Assignment).where(Assignment.reason.in_(("部门合并", "调岗", "任项目经理", "支援数据小组"))).order_by(Assignment.from_day)
    )
    for place in s.scalars(moved).all():
        before = s.scalar(select(Assignment).where(Assignment.employee_id == place.employee_id, Assignment.to_day == place.from_day))
        if before is not None:
            kind = "promotion" if before.grade_id != place.grade_id else "transfer"
            _event(users, kind, place.user_id, place.from_day, place.reason, anchor, before, place)
    for username, days, why in (("u.zhenglinfeng", -40, "个人原因离职"),):
        left = s.scalars(select(Assignment).where(Assignment.user_id == users[username])).one()
        _event(users, "leave", users[username], anchor + timedelta(days=days), why, anchor, left, None)
    for username, why in (("u.kejiarong", "后端小组补充人手"),):
        first = s.scalars(select(Assignment).where(Assignment.user_id == users[username])).one()
        _event(users, "hire", users[username], first.from_day, why, anchor, None, first)

    # waits for the leader
    now = s.scalars(select(Assignment).where(Assignment.user_id == users["member.wang"], Assignment.to_day.is_(None))).one()
    wanted = Assignment(department_id=now.department_id, post_id=now.post_id, grade_id=higher, manager_id=now.manager_id)  # not stored
    next_month = (anchor.replace(day=1) + timedelta(days=32)).replace(day=1)
    _event(users, "promotion", users["member.wang"], next_month, "年度考核优秀，拟晋升", anchor, now, wanted, state="submitted")


def _event(
    users: Mapping[str, int],
    kind: str,
    user_id: int,
    day: date,
    why: str | None,
    anchor: date,
    before: Assignment | None,
    after: Assignment | None,
    state: str = "",
) -> None:
    s = session()
    employee = s.scalars(select(Employee).where(Employee.user_id == user_id)).one()
    over = day < anchor if kind == "leave" else day <= anchor
    values: dict[str, Any] = {}
    if after is not None:
        values |= {"department_id": after.department_id, "post_id": after.post_id, "manager_id": after.manager_id}
        values["assignment_id"] = after.id
    if before is not None:
        values |= {"from_department_id": before.department_id, "from_post_id": before.post_id, "from_manager_id": before.manager_id}
    event = EmployeeEvent(
        kind=kind,
        name=employee.name,
        employee_id=employee.id,
        user_id=user_id,
        entity_id=employee.entity_id,
        effective_on=day,
        reason=why,
        state=state or ("effective" if over else "approved"),
        created_by=users["hr"],
        submitted_by=users["hr"],
        from_employment_type=s.scalar(select(Employment.employment_type).where(Employment.employee_id == employee.id)),
        number=next_number("hr.EmployeeEvent", employee.entity_id, min(day, anchor)),
        **values,
    )
    if kind == "hire":
        event.employee_number, event.employment_type = employee.number, "regular"
    if not state:
        event.decided_by, event.approved_on = users["leader"], min(day, anchor) - timedelta(days=3)
    s.add(event)
    s.flush()
    s.add(
        EmployeeEventGrade(
            event_id=event.id,
            user_id=user_id,
            grade_id=after.grade_id if after is not None else None,
            from_grade_id=before.grade_id if before is not None else None,
        )
    )
    s.flush()
