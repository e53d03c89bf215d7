"""Employee changes: prepared and submitted by HR, decided by a second person, put into effect by what `employment` and `joining` do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select, true
from sqlalchemy.orm.attributes import flag_modified

from modules.hr import rules
from modules.hr.actions.effects import (
    apply,
    due,
    employee_of,
    entry_of,
    grade_of,
    lock_employee,
    only_terms,
    place_of,
    take_effect,
    touched,
    withdraw,
)
from modules.hr.actions.employment import (
    PLACE,
    assignments_of,
    check_correction,
    check_leaving,
    check_place,
    check_regular,
    check_rehire,
    check_transfer,
    lasting,
)
from modules.hr.actions.joining import problems_of
from modules.hr.actions.organisation import nearest_heads
from modules.hr.events import EmployeeEventDecided, EmployeeEventSubmitted
from modules.hr.models import Employee, EmployeeEvent, EmployeeEventGrade, Employment
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import Conflict, Forbidden, Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l, listed
from portal.kernel.numbering import next_number, series
from security.manager import allowed
from security.roles import people_who
from security.transitions import state_label, text, transition
from security.visibility import acting, context

SERIES = series("hr.EmployeeEvent", "RS-{yyyy}-{seq:4}")

_TERMS = ("employment_type", "effective_on", "reason")
PROPOSES: dict[str, tuple[str, ...]] = {
    "hire": ("name", "employee_number", "username", "work_email", "work_phone", *PLACE, "regular_on", *_TERMS),
    "regularise": _TERMS,
    "transfer": (*PLACE, *_TERMS),
    "promotion": ("post_id", "grade_id", "manager_id", *_TERMS),
    "leave": ("effective_on", "reason"),
    "rehire": (*PLACE, *_TERMS),
    "correction": (*PLACE, "effective_on", "reason"),
}
"""What each kind of change says; nothing else may be given with it."""
NEEDS: dict[str, tuple[str, ...]] = {
    "hire": ("name", "employee_number", "username", "department_id", "effective_on"),
    "transfer": ("department_id", "effective_on"),
    "rehire": ("department_id", "effective_on"),
    "correction": ("department_id", "effective_on", "reason"),
}
"""What each kind cannot do without; `effective_on` for those not named."""
STAYS = ("transfer", "promotion", "correction")
"""Kinds for which what is not said stays as it is."""


# ------------------------------------------------------------------ preparing
def prepare(kind: str, employee_id: int | None, values: Mapping[str, Any]) -> int:
    """A new draft about *employee_id* (None: somebody to be hired); returns its id. Raises Forbidden, and Invalid naming the fields."""
    _preparing("add")
    if kind not in EmployeeEvent.KINDS:
        raise Invalid({"kind": _("Choose one of: %(what)s.", what=listed(EmployeeEvent.KINDS.values()))})
    with acting() as s:
        event, grade = EmployeeEvent(kind=kind), EmployeeEventGrade()
        if kind != "hire":
            employee = s.get(Employee, employee_id) if employee_id is not None else None
            if employee is None:
                raise Invalid({"employee_id": _("Choose another employee.")})
            event.employee_id, event.user_id, event.name = employee.id, employee.user_id, employee.name
            event.entity_id, grade.user_id = employee.entity_id, employee.user_id
        elif employee_id is not None:
            raise Invalid({"employee_id": _("This may not be set here.")})
        _fill(event, grade, {**_stays(event, values), **values})
        s.add(event)
        s.flush()
        grade.event_id = event.id
        s.add(grade)
        s.flush()
        return event.id


def revise(event_id: int, version: int, values: Mapping[str, Any]) -> None:
    """Other values for a draft or a rejected change, by who prepared it. Raises Forbidden, Refusal, Conflict, and Invalid by field."""
    _preparing("edit")
    with acting() as s:
        event = s.get_one(EmployeeEvent, event_id, with_for_update=True, populate_existing=True)
        if event.created_by != context().me and not context().system:
            raise Forbidden(_("Only who prepared this change may edit it."))
        if event.state not in ("draft", "rejected"):
            raise Refusal(_("In state “%(state)s” this record is read-only.", state=state_label(event)), code="wrong_state")
        if event.version != version:
            raise Conflict(_("Somebody saved this record meanwhile. Compare both versions and save again."), version=event.version)
        _fill(event, grade_of(event), values)
        flag_modified(event, "name")  # another grade alone is another version too


def _preparing(verb: str) -> None:
    ctx = context()
    if not ctx.system and not (allowed(verb, "hr.EmployeeEvent") and "staff_admin" in ctx.scopes):
        raise Forbidden(_("You may not prepare changes of employees."))


def _stays(event: EmployeeEvent, values: Mapping[str, Any]) -> dict[str, Any]:
    """What is not said of a transfer is what holds on its day."""
    if event.kind not in STAYS or event.employee_id is None:
        return {}
    current = rules.in_force(assignments_of(event.employee_id), values.get("effective_on") or today())
    return {k: getattr(current, k) for k in PLACE if k in PROPOSES[event.kind]} if current is not None else {}


def _fill(event: EmployeeEvent, grade: EmployeeEventGrade, values: Mapping[str, Any]) -> None:
    problems = {k: _("This may not be set here.") for k in values if k not in PROPOSES[event.kind]}
    for name, value in values.items():
        if name in problems:
            continue
        setattr(grade if name == "grade_id" else event, name, value.strip() or None if isinstance(value, str) else value)
    for name in NEEDS.get(event.kind, ("effective_on",)):
        if getattr(event, name) in (None, "") and name not in problems:
            problems[name] = _("This is required.")
    if problems:
        raise Invalid(problems)
    _note_before(event, grade)
    try:
        _check(event, grade)
    except Invalid as e:
        raise Invalid({_FIELDS.get(k, k): v for k, v in e.fields.items()}) from e


_FIELDS = {
    "from_day": "effective_on",
    "last_day": "effective_on",
    "day": "effective_on",
    "joined_on": "effective_on",
    "number": "employee_number",
}
"""Fields of what puts a change into effect, as the change calls them."""


_PLACE_BEFORE = {
    "from_department_id": "department_id",
    "from_post_id": "post_id",
    "from_grade_id": "grade_id",
    "from_manager_id": "manager_id",
}


def _before(event: EmployeeEvent) -> dict[str, Any]:
    """What the change ends or touches, as it is planned now: the place, the employment type, the day of the same step planned so far."""
    current = touched(event)
    found = {k: getattr(current, column) if current is not None else None for k, column in _PLACE_BEFORE.items()}
    terms = select(Employment.employment_type, Employment.regular_on, Employment.left_on).where(Employment.employee_id == event.employee_id)
    kind, regular_on, left_on = session().execute(terms).one_or_none() or (None, None, None)
    return {**found, "from_employment_type": kind, "before_day": {"regularise": regular_on, "leave": left_on}.get(event.kind)}


def _note_before(event: EmployeeEvent, grade: EmployeeEventGrade) -> None:
    for name, value in _before(event).items():
        setattr(grade if name == "from_grade_id" else event, name, value)
    if event.kind == "promotion":
        event.department_id = event.from_department_id


def _as_submitted(event: EmployeeEvent, grade: EmployeeEventGrade) -> None:
    """Who approves agrees to what was read. Raises Refusal naming what is not any more as it was at the submission."""
    now = _before(event)
    other = [n for n, value in now.items() if getattr(grade if n == "from_grade_id" else event, n) != value]
    if other:
        what = listed(_said(n) for n in other)
        words = _("Changed since the submission: %(what)s. Reject it, so that HR looks at it again and submits it anew.", what=what)
        raise Refusal(words, code="before_changed")


def _said(name: str) -> str:
    model = EmployeeEventGrade if name == "from_grade_id" else EmployeeEvent
    return str(getattr(model, name).info["label"])


# ------------------------------------------------------------------ possible or not
def _check(event: EmployeeEvent, grade: EmployeeEventGrade) -> None:
    """Raises Refusal or Invalid when the change could not take effect as things are planned now."""
    day, place = event.effective_on, place_of(event, grade)
    _alone(event)
    if event.employee_id is None:
        kind = event.employment_type or "regular"
        found = problems_of(
            event.employee_number or "", event.name, (event.username or "").lower(), event.department_id or 0, kind, None, day,
            event.regular_on, work_email=event.work_email,
        )  # fmt: skip
        if found:
            raise Invalid(found)
        check_place(None, place, lasting(day, None))
        return
    employee = employee_of(event)
    match event.kind:
        case "regularise":
            check_regular(employee, day)
        case "transfer" | "promotion":
            if not only_terms(event, grade):
                check_transfer(employee, day, **place)
        case "leave":
            check_leaving(employee, day)
        case "rehire":
            check_rehire(employee, day, **place)
        case "correction":
            check_correction(entry_of(event), **place)


def _alone(event: EmployeeEvent) -> None:
    """One end of probation, departure and return at a time, and one transfer or promotion per day. Raises Refusal naming the other."""
    c = EmployeeEvent
    if event.kind in ("regularise", "leave", "rehire"):
        same = c.kind == event.kind
    elif event.kind in ("transfer", "promotion"):
        same = c.kind.in_(("transfer", "promotion")) & (c.effective_on == event.effective_on)
    else:
        return
    others = (c.employee_id == event.employee_id) & (c.id != event.id if event.id is not None else true())
    number = session().scalar(select(c.number).where(same, others, c.state.in_(("submitted", "approved"))).order_by(c.id).limit(1))
    if number is not None:
        words = _("%(number)s about the same is still open for this person; have it decided or cancel it first.", number=number)
        raise Refusal(words, code="already_open")


@contextmanager
def _in_words() -> Iterator[None]:
    """On a record's page there are no fields to mark: what is wrong is said in one sentence."""
    try:
        yield
    except Invalid as e:
        said = [str(v) for v in e.fields.values()] or [str(e)]
        raise Refusal(" ".join(dict.fromkeys(said)), code="not_possible") from e


# ------------------------------------------------------------------ its life
def prepares(c: Any, v: Any) -> Any:
    """Who prepares and submits: HR."""
    return v.holds("staff_admin")


def decides(c: Any, v: Any) -> Any:
    """Who approves or rejects: holders of the scope, never who prepared or submitted it, never the person concerned."""
    others = (c.created_by.is_distinct_from(v.me), c.submitted_by.is_distinct_from(v.me), c.user_id.is_distinct_from(v.me))
    return v.holds("staff_approval") & others[0] & others[1] & others[2]


def cancels(c: Any, v: Any) -> Any:
    """HR what is not approved; HR and approvers what is, but never the person concerned."""
    early = c.state.in_(("draft", "submitted", "rejected"))
    late = ~early & c.user_id.is_distinct_from(v.me) & (v.holds("staff_admin") | v.holds("staff_approval"))
    return (early & v.holds("staff_admin")) | late


def deciders(event: EmployeeEvent) -> list[int]:
    """User ids of those who may approve *event*: whose roles see it by the scope and include approving."""
    able = people_who("approve", EmployeeEvent.permission_name(), scope="staff_approval")
    return [p for p in able if p not in (event.created_by, event.submitted_by, event.user_id)]


@transition(("draft", "rejected"), "submitted", by=prepares, label=_l("Submit for approval"), tone="primary", icon="send")
def submit(event: EmployeeEvent) -> None:
    """A second person is asked; the number is given now."""
    lock_employee(event)
    grade = grade_of(event)
    _note_before(event, grade)
    with _in_words():
        _check(event, grade)
    event.submitted_by, event.decided_by, event.decision_note = context().me, None, None
    asked = deciders(event)
    if not asked:
        raise Refusal(
            _("Nobody else may approve this; a second person needs a role that approves changes of employees."), code="no_approver"
        )
    event.number = event.number or next_number(SERIES, event.entity_id, today())
    publish(EmployeeEventSubmitted(event.id, asked))


@transition(
    "submitted",
    "approved",
    by=decides,
    label=_l("Approve"),
    tone="primary",
    icon="check",
    arguments={"note": text(_l("Answer"), max_length=500)},
)
def approve(event: EmployeeEvent, note: str | None) -> None:
    """The change stands: at once when its day is reached, else on its day by itself."""
    grade = grade_of(event)
    lock_employee(event)
    _as_submitted(event, grade)
    with _in_words():
        _check(event, grade)
        apply(event, grade)
    event.decided_by, event.decision_note, event.approved_on = context().me, note, today()
    event.state = "approved"
    session().flush()
    take_effect(today(), [event.id])
    publish(EmployeeEventDecided(event.id, "approved", context().me, _concerned(event)))


@transition(
    "submitted",
    "rejected",
    by=decides,
    label=_l("Reject"),
    tone="danger",
    icon="x",
    arguments={"note": text(_l("Reason"), required=True, max_length=500)},
)
def reject(event: EmployeeEvent, note: str) -> None:
    """Who prepared it is told why and may put it right."""
    event.decided_by, event.decision_note = context().me, note
    publish(EmployeeEventDecided(event.id, "rejected", context().me, []))


@transition(
    ("draft", "submitted", "rejected", "approved"),
    "cancelled",
    by=cancels,
    label=_l("Cancel the change"),
    icon="ban",
    arguments={"note": text(_l("Reason"), max_length=500)},
)
def cancel(event: EmployeeEvent, note: str | None) -> None:
    """It does not happen. What is approved and has not taken effect is taken back; afterwards only another change helps."""
    told: list[int] = []
    if event.state == "approved":
        if not note:
            raise Invalid({"note": _("This is required.")})
        lock_employee(event)
        if due(event, today()):
            raise Refusal(_("This has already taken effect; prepare another change instead."), code="in_effect")
        told = _concerned(event)
        withdraw(event)
    event.decision_note = note or event.decision_note
    publish(EmployeeEventDecided(event.id, "cancelled", context().me, told))


def _concerned(event: EmployeeEvent) -> list[int]:
    """Who hears of an approved change beside those who prepared and decided it: the person, the head before and the head to come."""
    told = [] if event.user_id is None else [event.user_id]
    for department in (event.from_department_id, event.department_id):
        told += nearest_heads(department, exclude=event.user_id)
    return list(dict.fromkeys(told))
