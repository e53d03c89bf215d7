"""Whom HR tells what, and how sign-in finds an employee."""

from collections.abc import Iterable
from datetime import date

from sqlalchemy import select

from modules.hr.events import EmployeeJoined, EmployeeLeft, EmployeeMoved, HeadAppointed, LeaveDecided, LeaveSubmitted
from modules.hr.models import Department, DepartmentHead, Employee, Employment, Leave
from portal.kernel.db import session
from portal.kernel.errors import Refusal
from portal.kernel.events import on
from portal.kernel.i18n import _, _l
from portal.kernel.people import employment
from portal.notify import notice_kind, notify
from security.accounts import employee_finder, return_guard
from security.erasure import leavers, needed
from security.keycloak import set_enabled

notice_kind(
    "hr.leave_submitted",
    label=_l("Leave to answer"),
    title=_l("%(name)s asks for leave"),
    body=_l("%(days)s working days from %(from_day)s"),
    url="/leaves/%(id)s",
    tone="info",
)
notice_kind(
    "hr.leave_decided",
    label=_l("Answer to your leave"),
    title=_l("Your leave from %(from_day)s has been answered"),
    url="/leaves/%(id)s",
    tone="info",
)
notice_kind(
    "hr.moved", label=_l("Your place in the organisation"), title=_l("From today on you belong to %(department)s"), url="/people/%(id)s"
)
notice_kind(
    "hr.head_appointed",
    label=_l("Appointed as head"),
    title=_l("You answer for %(department)s from %(from_day)s on"),
    url="/organisation",
)


@employee_finder
def by_number(number: str) -> int | None:
    """The account of the employee with *number*; None when there is none or the person has left."""
    return session().scalar(select(Employee.user_id).where(Employee.number == number, Employee.active))


@return_guard
def not_somebody_who_left(user_id: int) -> None:
    """Whoever left comes back by being hired again, not by switching on the account."""
    if session().scalar(select(Employee.id).where(Employee.user_id == user_id, ~Employee.active)) is not None:
        raise Refusal(_("This person does not work here; HR hires the person again, then the account opens by itself."), code="left")


@employment
def employed(user_ids: Iterable[int]) -> set[int]:
    """Those of *user_ids* who work here today."""
    return set(session().scalars(select(Employee.user_id).where(Employee.user_id.in_(list(user_ids)), Employee.active)))


@leavers
def who_left() -> list[tuple[int, date]]:
    """Everybody who left, with the last day at work."""
    gone = select(Employment.user_id, Employment.left_on).where(Employment.state == "left", Employment.left_on.is_not(None))
    return [(user_id, day) for user_id, day in session().execute(gone) if day is not None]


@needed
def works_here(user_id: int, kind: str) -> str | None:
    """Nobody who works here can do without identity, bank account and contact: pay and taxes need them."""
    if kind.startswith("hr.") and session().scalar(select(Employee.id).where(Employee.user_id == user_id, Employee.active)):
        return str(_("The person works here; this data is needed for pay, taxes and work."))
    return None


@on(LeaveSubmitted)
def tell_heads(event: LeaveSubmitted) -> None:
    """Those who may answer hear of a leave at once."""
    leave = session().get_one(Leave, event.leave_id)
    name = session().scalar(select(Employee.name).where(Employee.user_id == event.user_id))
    params = {"name": name or "", "days": f"{leave.days:f}", "from_day": leave.from_day.isoformat(), "id": leave.id}
    notify(event.deciders, "hr.leave_submitted", leave, params, key=f"hr.leave_submitted:{leave.id}:{leave.version}")


@on(LeaveDecided)
def tell_person(event: LeaveDecided) -> None:
    """The person hears of the answer, unless it is the own cancelling."""
    if event.decided_by == event.user_id:
        return
    leave = session().get_one(Leave, event.leave_id)
    params = {"from_day": leave.from_day.isoformat(), "id": leave.id}
    notify([event.user_id], "hr.leave_decided", leave, params, key=f"hr.leave_decided:{leave.id}:{leave.version}")


@on(EmployeeMoved)
def tell_moved(event: EmployeeMoved) -> None:
    """The person hears that a new department begins."""
    if event.from_department_id != event.to_department_id:
        name = session().scalar(select(Department.name).where(Department.id == event.to_department_id))
        params = {"department": name or "", "id": event.employee_id}
        notify([event.user_id], "hr.moved", None, params, key=f"hr.moved:{event.employee_id}:{event.day:%Y%m%d}")


@on(HeadAppointed)
def tell_head(event: HeadAppointed) -> None:
    """Who answers for a department knows it."""
    name = session().scalar(select(Department.name).where(Department.id == event.department_id))
    row = session().scalar(
        select(DepartmentHead.id).where(
            DepartmentHead.department_id == event.department_id,
            DepartmentHead.user_id == event.user_id,
            DepartmentHead.from_day == event.from_day,
        )
    )
    params = {"department": name or "", "from_day": event.from_day.isoformat()}
    notify([event.user_id], "hr.head_appointed", None, params, key=f"hr.head_appointed:{row}")


@on(EmployeeLeft)
def close_account(event: EmployeeLeft) -> None:
    """Keycloak's account of somebody who left is disabled and its sessions there end."""
    set_enabled(event.user_id, False, key=f"left:{event.employee_id}:{event.last_day.isoformat()}")


@on(EmployeeJoined)
def open_account(event: EmployeeJoined) -> None:
    """Keycloak's account of somebody who begins (again) is enabled."""
    set_enabled(event.user_id, True, key=f"joined:{event.employee_id}:{event.day.isoformat()}")
