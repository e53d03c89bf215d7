"""What an approved employee change does: at once or on its day, and how it is taken back before."""

from collections.abc import Iterable
from datetime import date, timedelta

from sqlalchemy import func, select

from modules.hr import rules
from modules.hr.actions.employment import (
    assignments_of,
    correct_assignment,
    leave_company,
    make_regular,
    rehire,
    take_back,
    terms_of,
    transfer,
)
from modules.hr.actions.joining import hire, unhire
from modules.hr.models import Assignment, Employee, EmployeeEvent, EmployeeEventGrade
from portal.kernel.db import session
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.i18n import _


# ------------------------------------------------------------------ what it is about
def grade_of(event: EmployeeEvent) -> EmployeeEventGrade:
    """The grades of a change, as far as the person at hand may see them (inside an action: always)."""
    return session().scalars(select(EmployeeEventGrade).where(EmployeeEventGrade.event_id == event.id)).one()


def touched(event: EmployeeEvent) -> Assignment | None:
    """The assignment that holds on the day of the change; None for somebody who is (again) to come."""
    if event.employee_id is None or event.kind == "rehire":
        return None
    return rules.in_force(assignments_of(event.employee_id), event.effective_on)


def place_of(event: EmployeeEvent, grade: EmployeeEventGrade) -> dict[str, int | None]:
    """The place the change proposes, as assignments have it."""
    return {
        "department_id": event.department_id,
        "post_id": event.post_id,
        "grade_id": grade.grade_id,
        "manager_id": event.manager_id,
    }


def only_terms(event: EmployeeEvent, grade: EmployeeEventGrade) -> bool:
    """A transfer or promotion in which nothing but the employment type changes."""
    current, place = touched(event), place_of(event, grade)
    same = current is not None and all(getattr(current, k) == v for k, v in place.items())
    return same and event.employment_type not in (None, event.from_employment_type)


def entry_of(event: EmployeeEvent) -> Assignment:
    """The assignment a correction is about. Raises Invalid."""
    current = touched(event)
    if current is None:
        raise Invalid({"effective_on": _("The person does not work here on that day.")})
    return current


def lock_employee(event: EmployeeEvent) -> Employee | None:
    """The employee, locked, so that nobody plans at the same time."""
    return session().get_one(Employee, event.employee_id, with_for_update=True) if event.employee_id is not None else None


# ------------------------------------------------------------------ taking effect
def apply(event: EmployeeEvent, grade: EmployeeEventGrade) -> None:
    """Plans or does what the change says; the employee and the terms are locked. Raises Refusal or Invalid."""
    day, place, employee = event.effective_on, place_of(event, grade), lock_employee(event)
    if employee is None:
        _hire(event, grade)
        return
    match event.kind:
        case "regularise":
            event.before_day = terms_of(employee.id).regular_on
            make_regular(employee, day)
        case "transfer" | "promotion":
            if not only_terms(event, grade):
                transfer(employee, day, event.reason, **place)
        case "leave":
            event.before_day = terms_of(employee.id).left_on
            leave_company(employee, day, None)
        case "rehire":
            rehire(employee, day, event.reason, **place)
        case "correction":
            correct_assignment(entry_of(event), event.reason or "", **place)
    if event.kind in ("transfer", "promotion", "rehire"):
        event.assignment_id = _planned(employee.id, day)


def _planned(employee_id: int, day: date) -> int | None:
    return session().scalar(select(Assignment.id).where(Assignment.employee_id == employee_id, Assignment.from_day == day))


def _hire(event: EmployeeEvent, grade: EmployeeEventGrade) -> None:
    s = session()
    event.employee_id = hire(
        number=event.employee_number or "",
        name=event.name,
        username=event.username or "",
        joined_on=event.effective_on,
        entity_id=event.entity_id,
        department_id=event.department_id or 0,
        post_id=event.post_id,
        grade_id=grade.grade_id,
        manager_id=event.manager_id,
        employment_type=event.employment_type or "regular",
        regular_on=event.regular_on,
        work_email=event.work_email,
        work_phone=event.work_phone,
    )
    event.user_id = grade.user_id = s.get_one(Employee, event.employee_id).user_id
    event.assignment_id = _planned(event.employee_id, event.effective_on)


def due(event: EmployeeEvent, day: date) -> bool:
    """Whether the change holds on *day*: a last day has to be over, a correction holds at once."""
    return event.kind == "correction" or (event.effective_on < day if event.kind == "leave" else event.effective_on <= day)


def take_effect(day: date, events: Iterable[int] | None = None) -> int:
    """Approved changes whose day has come are in effect, with the employment type they name; returns how many. Idempotent.

    Places, accounts and probation follow from the assignments and terms, see `apply_due_assignments`. *events* limits it to these ids.
    """
    s = session()
    waiting = select(EmployeeEvent).where(EmployeeEvent.state == "approved")
    if events is not None:
        waiting = waiting.where(EmployeeEvent.id.in_(list(events)))
    done = 0
    for event in s.scalars(waiting.order_by(EmployeeEvent.effective_on, EmployeeEvent.id)).all():
        if not due(event, day):
            continue
        event.state = "effective"
        if event.employment_type is not None and event.employee_id is not None:
            terms_of(event.employee_id).employment_type = event.employment_type
        done += 1
    s.flush()
    return done


def withdraw(event: EmployeeEvent) -> None:
    """Takes back what the approval planned."""
    s = session()
    assignment = s.get(Assignment, event.assignment_id) if event.assignment_id is not None else None
    employee = s.get_one(Employee, event.employee_id)
    match event.kind:
        case "hire":
            unhire(employee)
        case "regularise":
            terms_of(employee.id).regular_on = event.before_day
        case "transfer" | "promotion" if assignment is not None:
            take_back(assignment)
        case "rehire":
            _stay_away(employee, assignment)
        case "leave":
            _stay(employee, event)


def _stay_away(employee: Employee, assignment: Assignment | None) -> None:
    if assignment is None or assignments_of(employee.id)[-1].id != assignment.id:
        raise Refusal(_("Only the last planned change can be withdrawn."), code="not_last")
    assignment.archived_at = func.now()


def _stay(employee: Employee, event: EmployeeEvent) -> None:
    rows = assignments_of(employee.id)
    current = rules.in_force(rows, event.effective_on)
    if current is None or rows[-1].id != current.id:
        raise Refusal(_("Only the last planned change can be withdrawn."), code="not_last")
    current.to_day = event.before_day + timedelta(days=1) if event.before_day is not None else None
    terms_of(employee.id).left_on = event.before_day
