"""What an approved employee change does: at once or on its day, and how it is taken back before."""

from collections.abc import Iterable
from datetime import date, timedelta

from sqlalchemy import select

from modules.hr import rules
from modules.hr.actions.employment import (
    assignments_of,
    check_lasts,
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
    """The employee, locked, so that nobody plans at the same time. Raises Refusal for somebody whose hiring was taken back."""
    return employee_of(event, lock=True) if event.employee_id is not None else None


def employee_of(event: EmployeeEvent, lock: bool = False) -> Employee:
    """The employee a change is about. Raises Refusal for somebody whose hiring was taken back."""
    found = session().get(Employee, event.employee_id, with_for_update=lock or None)
    if found is None:
        raise Refusal(_("The hiring of this person was taken back."), code="not_employed")
    return found


# ------------------------------------------------------------------ taking effect
def apply(event: EmployeeEvent, grade: EmployeeEventGrade) -> None:
    """Plans or does what the change says; the employee and the terms are locked. Raises Refusal or Invalid."""
    day, place, employee = event.effective_on, place_of(event, grade), lock_employee(event)
    if employee is None:
        _hire(event, grade)
        return
    made: Assignment | None = None
    match event.kind:
        case "regularise":
            make_regular(employee, day)
        case "transfer" | "promotion":
            if not only_terms(event, grade):
                made = transfer(employee, day, event.reason, **place)
        case "leave":
            leave_company(employee, day, None)
        case "rehire":
            made = rehire(employee, day, event.reason, **place)
        case "correction":
            made = entry_of(event)
            correct_assignment(made, event.reason or "", **place)
    event.assignment_id = made.id if made is not None else None


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
    (first,) = assignments_of(event.employee_id)
    event.assignment_id = first.id


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


# ------------------------------------------------------------------ taking it back
def withdraw(event: EmployeeEvent) -> None:
    """Takes back what the approval planned, and only that. Raises Refusal when it does not stand any more as this change left it."""
    employee = employee_of(event)
    match event.kind:
        case "hire":
            _not_needed(event)
            unhire(employee)
        case "regularise":
            terms = terms_of(employee.id)
            if terms.state != "probation" or terms.regular_on != event.effective_on:
                raise _changed_since()
            terms.regular_on = event.before_day
        case "transfer" | "promotion" | "rehire" if _moved(event):
            take_back(_own_place(event), joins=event.kind == "rehire")
        case "leave":
            _stay(employee, event)


def _changed_since() -> Refusal:
    said = _("What this change planned was changed since; cancel the later change first, or prepare another one.")
    return Refusal(said, code="changed_since")


def _not_needed(event: EmployeeEvent) -> None:
    """Whoever does not come is not to be transferred either. Raises Refusal naming the change that is still open."""
    others = (EmployeeEvent.employee_id == event.employee_id) & (EmployeeEvent.id != event.id)
    number = session().scalar(select(EmployeeEvent.number).where(others, EmployeeEvent.state.in_(("submitted", "approved"))).limit(1))
    if number is not None:
        raise Refusal(_("%(number)s is about this person too; cancel it first.", number=number), code="others_open")


def _moved(event: EmployeeEvent) -> bool:
    """Whether the change made a place: not when nothing but the employment type was to change."""
    grade = grade_of(event)
    before = (event.from_department_id, event.from_post_id, grade.from_grade_id, event.from_manager_id)
    return event.kind == "rehire" or tuple(place_of(event, grade).values()) != before


def _own_place(event: EmployeeEvent) -> Assignment:
    """The place this change made, still there and nobody else's. Raises Refusal."""
    made = session().get(Assignment, event.assignment_id or 0)
    others = (EmployeeEvent.assignment_id == event.assignment_id) & EmployeeEvent.state.in_(("approved", "effective"))
    another = session().scalar(select(EmployeeEvent.id).where(others, EmployeeEvent.id != event.id).limit(1))
    if made is None or (made.employee_id, made.from_day) != (event.employee_id, event.effective_on) or another is not None:
        raise _changed_since()
    return made


def _stay(employee: Employee, event: EmployeeEvent) -> None:
    rows, terms = assignments_of(employee.id), terms_of(employee.id)
    current = rules.in_force(rows, event.effective_on)
    if terms.left_on != event.effective_on:
        raise _changed_since()
    if current is None or rows[-1].id != current.id:
        raise Refusal(_("Only the last planned change can be withdrawn."), code="not_last")
    current.to_day = event.before_day + timedelta(days=1) if event.before_day is not None else None
    check_lasts(current)
    terms.left_on = event.before_day
