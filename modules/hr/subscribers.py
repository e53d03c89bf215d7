"""Whom HR tells what, and how sign-in finds an employee."""

from collections.abc import Collection, Iterable
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import aliased

from modules.hr import rules
from modules.hr.events import (
    DepartmentChanged,
    DepartmentRecoded,
    EmployeeChanged,
    EmployeeEventDecided,
    EmployeeEventSubmitted,
    EmployeeJoined,
    EmployeeLeft,
    EmployeeMoved,
    HeadAppointed,
    LeaveDecided,
    LeaveSubmitted,
    MergerDecided,
    MergerSubmitted,
)
from modules.hr.models import Department, DepartmentHead, Employee, EmployeeEvent, Employment, Leave, Merger
from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import Refusal
from portal.kernel.events import on
from portal.kernel.i18n import _, _l
from portal.kernel.people import employment
from portal.notify import notice_kind, notify
from security import expected as directory
from security.accounts import employee_finder, return_guard
from security.erasure import leavers, needed
from security.expected import Person, directory_source

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
notice_kind(
    "hr.change_submitted",
    label=_l("Employee change to approve"),
    title=_l("A change of %(name)s waits for your approval"),
    body=_l("%(number)s, from %(day)s"),
    url="/employee-events/%(id)s",
    tone="warn",
)
notice_kind(
    "hr.change_answered",
    label=_l("Answer to an employee change"),
    title=_l("The change of %(name)s has been answered"),
    body=_l("%(number)s, from %(day)s"),
    url="/employee-events/%(id)s",
)
notice_kind(
    "hr.change_approved",
    label=_l("Employee change approved"),
    title=_l("A change of %(name)s has been approved"),
    body=_l("%(number)s, from %(day)s"),
    url="/employee-events/%(id)s",
)
notice_kind(
    "hr.change_cancelled",
    label=_l("Employee change cancelled"),
    title=_l("The approved change of %(name)s does not happen"),
    body=_l("%(number)s, from %(day)s"),
    url="/employee-events/%(id)s",
    tone="warn",
)


for _kind, _label, _title, _tone in (
    ("hr.merger_submitted", _l("Merger to approve"), _l("A merger of departments waits for your approval: %(name)s"), "warn"),
    ("hr.merger_approved", _l("Merger approved"), _l("A merger of departments has been approved: %(name)s"), "info"),
    ("hr.merger_rejected", _l("Merger rejected"), _l("The merger of departments was rejected: %(name)s"), "warn"),
    ("hr.merger_cancelled", _l("Merger cancelled"), _l("The merger of departments does not happen: %(name)s"), "warn"),
):
    notice_kind(_kind, label=_label, title=_title, body=_l("From %(day)s on"), url="/department-mergers/%(id)s", tone=_tone)


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


def _tell(receivers: Iterable[int | None], kind: str, event: EmployeeEvent) -> None:
    params = {"name": event.name, "number": event.number or "", "day": event.effective_on.isoformat(), "id": event.id}
    notify([r for r in receivers if r is not None], kind, event, params, key=f"{kind}:{event.id}:{event.version}")


@on(EmployeeEventSubmitted)
def tell_approvers(fact: EmployeeEventSubmitted) -> None:
    """Those who may approve hear of it at once."""
    _tell(fact.deciders, "hr.change_submitted", session().get_one(EmployeeEvent, fact.event_id))


@on(EmployeeEventDecided)
def tell_change(fact: EmployeeEventDecided) -> None:
    """Who prepared hears the answer; the person and the heads before and after hear of what is approved, and of what is not to be."""
    event = session().get_one(EmployeeEvent, fact.event_id)
    prepared = {event.created_by, event.submitted_by} - {fact.decided_by, event.user_id}
    if fact.state == "cancelled":
        if fact.concerned:  # only what was approved before
            _tell({*fact.concerned, *prepared, event.decided_by} - {fact.decided_by}, "hr.change_cancelled", event)
        return
    _tell(prepared, "hr.change_answered", event)
    _tell({*fact.concerned} - {fact.decided_by} - prepared, "hr.change_approved", event)


@on(MergerSubmitted)
def tell_of_merger(fact: MergerSubmitted) -> None:
    """Those who may approve hear of it at once."""
    _tell_merger(fact.deciders, "hr.merger_submitted", session().get_one(Merger, fact.merger_id))


@on(MergerDecided)
def tell_merger(fact: MergerDecided) -> None:
    """Who asked hears the answer; heads, leaders and all of HR hear of what is approved, and of what is not to be after all."""
    merger = session().get_one(Merger, fact.merger_id)
    kind = {"approved": "hr.merger_approved", "rejected": "hr.merger_rejected", "cancelled": "hr.merger_cancelled"}[fact.state]
    _tell_merger({*fact.concerned, merger.created_by} - {fact.decided_by}, kind, merger)


def _tell_merger(receivers: Iterable[int | None], kind: str, merger: Merger) -> None:
    params = {"name": merger.name, "day": merger.from_day.isoformat(), "id": merger.id}
    notify([r for r in receivers if r is not None], kind, merger, params, key=f"{kind}:{merger.id}:{merger.version}")


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


# ------------------------------------------------------------------ accounts at the sign-in service
@directory_source
class Staff:
    """The employees and departments as their accounts and groups at Keycloak should be."""

    def people(self, user_ids: Collection[int] | None = None) -> list[Person]:
        """Employees present and past, but nobody whose hiring was taken back; whoever is in a dissolved department is in none."""
        asked = (
            select(
                Employee.user_id, Employee.number, User.username, Employee.name, Employee.work_email,
                Department.code, Department.archived_at, (Employee.active & User.active).label("active"),
                User.last_login,
            )
            .join(User, User.id == Employee.user_id)
            .join(Department, Department.id == Employee.department_id)
            .where(Employee.archived_at.is_(None))
            .order_by(Employee.number)
            .execution_options(include_archived=True)
        )  # fmt: skip
        if user_ids is not None:
            asked = asked.where(Employee.user_id.in_(list(user_ids)))
        return [self._person(row) for row in session().execute(asked)]

    @staticmethod
    def _person(row: Any) -> Person:
        first, last = rules.split_name(row.name)
        works = row.active and row.archived_at is None
        # since the first sign-in the address at Keycloak is the person's: letters about lost passwords go there, not where HR says
        email = row.work_email if row.last_login is None else None
        return Person(row.user_id, row.number, row.username, first, last, email, row.code if works else None, row.active)

    def departments(self) -> list[directory.Department]:
        """Every living department."""
        parent = aliased(Department)
        rows = session().execute(
            select(Department.code, Department.name, parent.code.label("above")).outerjoin(parent, parent.id == Department.parent_id)
        )
        return [directory.Department(row.code, row.name, row.above) for row in rows]


def account_follows(event: Any) -> None:
    """The person's account at Keycloak is made, moved, renamed, disabled or enabled, as the person stands by then."""
    directory.person_changed(event.user_id, opens=isinstance(event, EmployeeJoined))


for _change in (EmployeeJoined, EmployeeMoved, EmployeeLeft, EmployeeChanged):
    on(_change)(account_follows)


@on(DepartmentChanged)
def groups_follow(_event: DepartmentChanged) -> None:
    """The groups at Keycloak follow the organisation."""
    directory.departments_changed()


@on(DepartmentRecoded)
def group_keeps(event: DepartmentRecoded) -> None:
    """A department's group stays the same when its code changes."""
    directory.department_recoded(event.before, event.after)
