"""People: moving, leaving, coming back. Assignments with effective dates are the truth, the employee's own columns today's copy."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import func, or_, select

from modules.hr import rules
from modules.hr.actions.organisation import administers, apply_due_departments, covers, end_headships
from modules.hr.events import EmployeeJoined, EmployeeLeft, EmployeeMoved
from modules.hr.models import Assignment, Department, DepartmentPeriod, Employee, EmployeeEvent, Employment, Grade, Post
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from security.accounts import set_active
from security.transitions import operation, text


# ------------------------------------------------------------------ questions
def assignment_on(user_id: int, day: date) -> Assignment | None:
    """Where *user_id* worked on *day*, as far as the person at hand may see it."""
    return session().scalar(select(Assignment).where(Assignment.user_id == user_id, covers(Assignment, day)))


# ------------------------------------------------------------------ moving
PLACE = ("department_id", "post_id", "grade_id", "manager_id")
"""What an assignment says about somebody."""


def assignments_of(employee_id: int) -> list[Assignment]:
    """Assignments of an employee in order; whoever changes them has locked the employee's row, so nobody plans at the same time."""
    return list(session().scalars(select(Assignment).where(Assignment.employee_id == employee_id).order_by(Assignment.from_day)))


def check_place(user_id: int | None, place: Mapping[str, int | None], day: date, keeps: Assignment | None = None) -> None:
    """Department, post, grade and manager are ones somebody can have on *day*; the manager of the entry *keeps* may stay, gone or not.

    Raises Invalid naming the others.
    """
    s = session()
    problems: dict[str, Any] = {}
    post_id, grade_id, manager_id = place.get("post_id"), place.get("grade_id"), place.get("manager_id")
    if s.get(Department, place.get("department_id")) is None:
        problems["department_id"] = _("There is no such department.")
    elif day > today() and not _there_on(place.get("department_id"), day):
        problems["department_id"] = _("The department does not exist on that day.")
    if post_id is not None and s.get(Post, post_id) is None:
        problems["post_id"] = _("There is no such post.")
    if grade_id is not None and s.get(Grade, grade_id) is None:
        problems["grade_id"] = _("There is no such grade.")
    if manager_id is not None and (keeps is None or manager_id != keeps.manager_id):
        if manager_id == user_id or s.scalar(select(Employee.id).where(Employee.user_id == manager_id)) is None:
            problems["manager_id"] = _("Choose another employee.")
        elif assignment_on(manager_id, day) is None:
            problems["manager_id"] = _("This person does not work here on that day.")
    if problems:
        raise Invalid(problems)


def lasting(day: date, to_day: date | None) -> date:
    """The day of a place that holds from *day* until *to_day* (not included) for which it has to fit: today while it holds today."""
    return max(day, today() if to_day is None else min(today(), to_day - timedelta(days=1)))


def _there_on(department_id: int | None, day: date) -> bool:
    period = select(DepartmentPeriod.id).where(DepartmentPeriod.department_id == department_id, covers(DepartmentPeriod, day))
    return session().scalar(period.limit(1)) is not None


def check_transfer(employee: Employee, from_day: date, **place: int | None) -> Assignment:
    """The assignment that a transfer on *from_day* would end. Raises Refusal or Invalid when it is not possible."""
    rows = assignments_of(employee.id)
    if any(a.from_day > from_day for a in rows):
        raise Refusal(_("A later change of this person is already planned; withdraw it first."), code="later_change")
    current = rules.in_force(rows, from_day)
    if current is None:
        raise Invalid({"from_day": _("The person does not work here on that day.")})
    check_place(employee.user_id, place, lasting(from_day, current.to_day))
    if all(getattr(current, k) == v for k, v in place.items()):
        raise Refusal(_("Nothing would change."), code="no_change")
    if current.from_day == from_day:
        raise Refusal(_("Another change already takes effect on that day; withdraw or correct it."), code="same_day")
    return current


def transfer(employee: Employee, from_day: date, reason: str | None, **place: int | None) -> Assignment:
    """Another department, post, grade or manager from a day on; on a later day it happens by itself. Returns the new place."""
    current = check_transfer(employee, from_day, **place)
    s = session()
    end = current.to_day
    current.to_day = from_day
    s.flush()
    new = Assignment(employee_id=employee.id, user_id=employee.user_id, **place, from_day=from_day, to_day=end, reason=reason)
    s.add(new)
    s.flush()
    if from_day <= today():
        apply_due_assignments(today(), [employee.id])
    return new


@operation(by=administers, label=_l("Withdraw"), icon="arrow-back-up", name="withdraw")
def withdraw_transfer(assignment: Assignment) -> None:
    """A planned change that nothing stands for but itself (a take-over of data) is taken back."""
    event = made_by([assignment])
    if event is not None:
        raise Refusal(_("This was approved as %(number)s; cancel that change instead.", number=event.number or ""), code="by_event")
    if assignment.plan is not None:
        words = _("This was planned together with others by a hand-over or a merger; it is withdrawn as a whole.")
        raise Refusal(words, code="as_a_whole")
    take_back(assignment)


def made_by(places: Iterable[Assignment]) -> EmployeeEvent | None:
    """An approved employee change that made, or put right, one of *places*."""
    ids = [a.id for a in places]
    known = EmployeeEvent.assignment_id.in_(ids) & EmployeeEvent.state.in_(("approved", "effective"))
    return session().scalar(select(EmployeeEvent).where(known).order_by(EmployeeEvent.id).limit(1)) if ids else None


def take_back(assignment: Assignment, joins: bool = False) -> None:
    """The planned *assignment* is gone and the place before it goes on; *joins*: the person would come back with it, and does not.

    A reorganisation or a new manager may have split it meanwhile. What came of that belongs to it: it is gone too, or holds for the
    place that goes on as far as it has what was replaced. Raises Refusal once it has taken effect or another change follows.
    """
    s = session()
    if assignment.from_day <= today():
        raise Refusal(_("This has already taken effect; transfer the person again instead."), code="in_effect")
    rows = assignments_of(assignment.employee_id)
    last = next((a for a in rows if a.to_day == assignment.from_day), None) if not joins else None
    parts = [a for a in rows if a.from_day >= assignment.from_day]
    broken = any(a.to_day != b.from_day for a, b in pairwise(parts))
    if broken or (last is None and not joins) or made_by(parts[1:]) is not None:
        raise Refusal(_("Only the last planned change can be withdrawn."), code="not_last")
    end = parts[-1].to_day
    goes_on = _going_on(last, parts) if last is not None else []
    kept = {row.id for row, _wanted in goes_on}
    for row in parts:
        if row.id not in kept:
            row.archived_at = func.now()
    s.flush()
    if last is None:
        return
    for row, wanted in goes_on:
        for column, value in wanted.items():
            setattr(row, column, value)
        if row.plan is not None:
            row.replaces_id = last.id  # so that taking the whole plan back does not bring the place taken back here again
        last.to_day, last = row.from_day, row
    last.to_day = end
    check_lasts(last)
    s.flush()


def _going_on(last: Assignment, parts: list[Assignment]) -> list[tuple[Assignment, dict[str, int | None]]]:
    """Which of *parts* after the first hold for the place *last* too, and what they then say."""
    found, was, stays = [], _place_of(parts[0]), _place_of(last)
    for row in parts[1:]:
        now = _place_of(row)
        wanted = {k: now[k] if stays[k] == was[k] else stays[k] for k in PLACE}
        if wanted != stays:
            found.append((row, wanted))
        was, stays = now, wanted
    return found


def _place_of(assignment: Assignment) -> dict[str, int | None]:
    return {k: getattr(assignment, k) for k in PLACE}


def check_lasts(place: Assignment) -> None:
    """Raises Refusal when the department of a *place* that goes on again ends before it."""
    c = DepartmentPeriod
    ends = session().scalars(select(c.to_day).where(c.department_id == place.department_id)).all()
    if None in ends or not ends:
        return
    over = max(d for d in ends if d is not None)
    if place.to_day is None or place.to_day > over:
        words = _(
            "The department where the person would go on working ends on %(day)s; prepare another change instead.", day=f"{over:%Y-%m-%d}"
        )
        raise Refusal(words, code="department_ends")


@operation(
    by=administers,
    label=_l("Correct the reason"),
    icon="pencil",
    name="correct",
    arguments={"reason": text(_l("Reason"), required=True)},
)
def correct_reason(assignment: Assignment, reason: str) -> None:
    """Puts the words of an entry right that no employee change stands for (a reorganisation, a take-over of data).

    Words that two people agreed on, and another place, are put right by an employee change of the kind “correction”.
    """
    event = made_by([assignment])
    if event is not None:
        words = _("This was approved as %(number)s; prepare a correction, which a second person approves.", number=event.number or "")
        raise Refusal(words, code="by_event")
    assignment.reason = reason


def check_correction(assignment: Assignment, **place: int | None) -> None:
    """Raises Refusal or Invalid when the entry cannot be put right so. What is still to come is cancelled and prepared anew instead."""
    if assignment.from_day > today() and assignments_of(assignment.employee_id)[0].id != assignment.id:
        raise Refusal(_("This place is still to come: cancel or withdraw the change and prepare it anew."), code="to_come")
    check_place(assignment.user_id, place, lasting(assignment.from_day, assignment.to_day), keeps=assignment)


def correct_assignment(assignment: Assignment, reason: str, **place: int | None) -> None:
    """Puts right what was entered wrongly; the history keeps what it said before."""
    check_correction(assignment, **place)
    for column, value in {**place, "reason": reason}.items():
        setattr(assignment, column, value)
    session().flush()
    apply_due_assignments(today(), [assignment.employee_id])


# ------------------------------------------------------------------ probation, contact
def check_regular(employee: Employee, day: date) -> Employment:
    """The terms of somebody who may become regular on *day*. Raises Refusal or Invalid."""
    terms = terms_of(employee.id)
    if terms.state != "probation":
        raise Refusal(_("This person is not on probation."), code="wrong_state")
    if day < terms.joined_on:
        raise Invalid({"day": _("This is before the day of joining.")})
    return terms


def make_regular(employee: Employee, day: date | None) -> None:
    """Probation ends; a later day is noted and happens by itself."""
    day = day or today()
    terms = check_regular(employee, day)
    terms.regular_on = day
    if day <= today():
        terms.state = "regular"


@operation(
    by=lambda c, v: (c.user_id == v.me) | v.holds("staff_admin"),
    label=_l("Change contact"),
    icon="phone",
    arguments={"work_phone": text(_l("Work phone"), max_length=40)},
)
def change_contact(employee: Employee, work_phone: str | None) -> None:
    """The phone colleagues find in the directory, kept by the person or HR."""
    employee.work_phone = work_phone


def terms_of(employee_id: int) -> Employment:
    """The terms of an employee, locked."""
    return session().scalars(select(Employment).where(Employment.employee_id == employee_id).with_for_update()).one()


# ------------------------------------------------------------------ leaving and coming back
def check_leaving(employee: Employee, last_day: date) -> Assignment:
    """The assignment that ends when *last_day* is over. Raises Refusal when the person cannot leave then."""
    rows = assignments_of(employee.id)
    current = rules.in_force(rows, last_day)
    if terms_of(employee.id).state == "left" or current is None:
        raise Refusal(_("The person does not work here on that day."), code="not_employed")
    if any(a.from_day > last_day for a in rows):
        raise Refusal(_("A later change of this person is already planned; withdraw it first."), code="later_change")
    return current


def leave_company(employee: Employee, last_day: date, reason: str | None) -> None:
    """The account closes when the last day is over; everything the person did stays."""
    current = check_leaving(employee, last_day)
    terms_of(employee.id).left_on = last_day
    current.to_day = last_day + timedelta(days=1)
    if reason:
        current.reason = reason
    session().flush()
    apply_due_assignments(today(), [employee.id])


def check_rehire(employee: Employee, from_day: date, **place: int | None) -> None:
    """Raises Refusal or Invalid when the person cannot come back on *from_day*."""
    left_on = terms_of(employee.id).left_on
    if left_on is None or from_day <= left_on:
        raise Refusal(_("The person works here until then."), code="employed")
    if any(a.to_day is None or a.to_day > from_day for a in assignments_of(employee.id)):
        raise Refusal(_("A later change of this person is already planned; withdraw it first."), code="later_change")
    check_place(employee.user_id, place, lasting(from_day, None))


def rehire(employee: Employee, from_day: date, reason: str | None, **place: int | None) -> Assignment:
    """Somebody who left comes back under the same number; the account opens on that day. Returns the new place."""
    check_rehire(employee, from_day, **place)
    s = session()
    new = Assignment(employee_id=employee.id, user_id=employee.user_id, **place, from_day=from_day, reason=reason)
    s.add(new)
    s.flush()
    apply_due_assignments(today(), [employee.id])
    return new


# ------------------------------------------------------------------ what a day brings
def apply_due_assignments(day: date, employees: Iterable[int] | None = None) -> int:
    """Brings today's copies to what the assignments say about *day*; returns how many people changed. Idempotent.

    Joins, moves and departures that became due are published here. *employees* limits it to these ids.
    """
    changed = 0 if employees is not None else apply_due_departments(day)
    s = session()
    rows = (
        select(Employee, Employment, Assignment)
        .join(Employment, Employment.employee_id == Employee.id)
        .outerjoin(Assignment, (Assignment.employee_id == Employee.id) & covers(Assignment, day) & Assignment.archived_at.is_(None))
    )
    if employees is not None:
        rows = rows.where(Employee.id.in_(list(employees)))
    else:
        differs = [getattr(Employee, k).is_distinct_from(getattr(Assignment, k)) for k in ("department_id", "post_id")]
        differs += [getattr(Employment, k).is_distinct_from(getattr(Assignment, k)) for k in ("grade_id", "manager_id")]
        differs.append(Employment.left_on < Assignment.from_day)
        due = (Employment.state == "probation") & (Employment.regular_on <= day)
        rows = rows.where(or_(Employee.active != Assignment.id.is_not(None), Assignment.id.is_not(None) & or_(*differs), due))
    for employee, terms, assignment in s.execute(rows).all():
        changed += _apply(employee, terms, assignment, day)
    s.flush()
    return changed


def _apply(employee: Employee, terms: Employment, assignment: Assignment | None, day: date) -> bool:
    if assignment is None:
        gone = employee.active and terms.left_on is not None and terms.left_on < day
        if gone:
            employee.active, terms.state = False, "left"
            end_headships(employee.user_id, (terms.left_on or day) + timedelta(days=1))
            set_active(employee.user_id, False)
            publish(EmployeeLeft(employee.id, employee.user_id, terms.left_on or day))
        return gone
    before = (employee.department_id, employee.post_id, terms.grade_id, terms.manager_id)
    after = (assignment.department_id, assignment.post_id, assignment.grade_id, assignment.manager_id)
    joins = not employee.active
    employee.department_id, employee.post_id = assignment.department_id, assignment.post_id
    terms.grade_id, terms.manager_id = assignment.grade_id, assignment.manager_id
    regular = terms.state == "probation" and terms.regular_on is not None and terms.regular_on <= day
    if regular:
        terms.state = "regular"
    # also the day after the last one, when the account never closed
    again = terms.left_on is not None and terms.left_on < assignment.from_day
    if again:
        terms.state, terms.joined_on, terms.left_on = "regular", assignment.from_day, None
    if joins:
        employee.active = True
        set_active(employee.user_id, True)
        publish(EmployeeJoined(employee.id, employee.user_id, assignment.department_id, assignment.from_day))
    elif before != after:
        publish(EmployeeMoved(employee.id, employee.user_id, before[0], after[0], assignment.from_day))
    return joins or again or regular or before != after
