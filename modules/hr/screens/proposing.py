"""The form of an employee change: fields by kind, the grade from a table of its own; for the page and for REST."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import select

from modules.hr import rules
from modules.hr.actions import PROPOSES, assignments_of, prepare, revise
from modules.hr.actions.changes import NEEDS, STAYS
from modules.hr.models import EmployeeEvent, EmployeeEventGrade, Employment
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import BadRequest, Invalid
from portal.kernel.i18n import _, _l
from portal.web import forms, rows
from portal.web.fields import NONE, Field, FieldError, fields_of

SECTIONS = (
    (_l("Person"), ("name", "employee_number", "username", "work_email", "work_phone")),
    (_l("Place"), ("department_id", "post_id", "grade_id", "manager_id")),
    (_l("Terms"), ("employment_type", "effective_on", "regular_on", "reason")),
)
DAYS = {
    "hire": _l("Joined on"),
    "regularise": _l("Regular from"),
    "leave": _l("Last day at work"),
    "rehire": _l("Joins again on"),
    "correction": _l("A day of the entry to be put right"),
}
"""What `effective_on` is called where it says more than a day of taking effect."""
HELP = {
    "employee_number": _l("Given once; it stays with the person, also after leaving and coming back."),
    "username": _l("As in Keycloak; the account opens on the day of joining."),
    "regular_on": _l("Day after the probation; empty without probation."),
    "employment_type": _l("Empty: it stays as it is."),
}


def effective_label(kind: str) -> Any:
    """What the day of a change is called."""
    return DAYS.get(kind) or fields_of(EmployeeEvent)["effective_on"].label


def fields(kind: str) -> dict[str, Field]:
    """The fields of a change of *kind* by name. Raises Invalid for an unknown kind."""
    if kind not in PROPOSES:
        raise Invalid({"kind": _("Choose a kind of change.")})
    needed = NEEDS.get(kind, ("effective_on",))
    out = {}
    for name in PROPOSES[kind]:
        model = EmployeeEventGrade if name == "grade_id" else EmployeeEvent
        required = name in needed
        found = replace(fields_of(model)[name], readonly=False, required=required, nullable=not required)
        if name == "effective_on":
            found = replace(found, label=effective_label(kind))
        elif name in HELP and not (kind == "hire" and name == "employment_type"):
            found = replace(found, help=HELP[name])
        out[name] = found
    return out


# ------------------------------------------------------------------ what holds now
def values_of(event: EmployeeEvent) -> dict[str, Any]:
    """What a stored change proposes."""
    found = {n: getattr(event, n) for n in PROPOSES[event.kind] if n != "grade_id"}
    if "grade_id" in PROPOSES[event.kind]:
        find = select(EmployeeEventGrade.grade_id).where(EmployeeEventGrade.event_id == event.id)
        found["grade_id"] = session().scalar(find)
    return found


def present(kind: str, employee_id: int | None, day: date | None) -> dict[str, Any]:
    """What the form begins with, so that only the difference has to be typed: the place on *day*, or the last one."""
    out: dict[str, Any] = {"effective_on": day or (today() if kind != "correction" else None)}
    if kind == "hire" or employee_id is None:
        return out | ({"employment_type": "regular"} if kind == "hire" else {})
    places = assignments_of(employee_id)
    place = rules.in_force(places, day or today())
    if kind == "regularise":
        planned = session().scalar(select(Employment.regular_on).where(Employment.employee_id == employee_id))
        out["effective_on"] = day or planned or today()
    if kind == "rehire":
        place = place or (places[-1] if places else None)
    if place is not None and kind in (*STAYS, "rehire"):
        out |= {k: getattr(place, k) for k in PROPOSES[kind] if k in ("department_id", "post_id", "grade_id", "manager_id")}
    return out


# ------------------------------------------------------------------ what was given
def from_form(kind: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Values of a posted form. Raises Invalid naming the fields."""
    known = fields(kind)
    values: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for name, f in known.items():
        try:
            values[name] = f.parse(form.get(name))
        except FieldError as e:
            errors[name] = str(e)
    return _complete(known, values, errors)


def from_json(kind: str, given: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """Values of a JSON object. *partial*: what is not given stays. Raises Invalid naming the fields."""
    known = fields(kind)
    errors: dict[str, Any] = {str(k)[:60]: _("This may not be set here.") for k in given if k not in known}
    values: dict[str, Any] = {}
    for name, f in known.items():
        if name in given:
            try:
                values[name] = f.from_json(given[name])
            except FieldError as e:
                errors[name] = str(e)
    return values if partial and not errors else _complete(known, values, errors, stays=kind in STAYS)


def _complete(known: Mapping[str, Field], values: dict[str, Any], errors: dict[str, Any], stays: bool = False) -> dict[str, Any]:
    for name, f in known.items():
        given = name in values or not (stays and name == "department_id")  # a transfer that names none stays in its department
        if f.required and given and values.get(name) in (None, "") and name not in errors:
            errors[name] = _("This is required.")
    if errors:
        raise Invalid(errors)
    return values


def create(body: Any) -> int:
    """The change a JSON object describes; returns its id. Raises BadRequest, Invalid, Refusal."""
    if not isinstance(body, dict):
        raise BadRequest(_("The body must be a JSON object."), code="bad_json")
    rest = {k: v for k, v in body.items() if k not in ("kind", "employee_id")}
    kind, employee_id = body.get("kind"), body.get("employee_id")
    if not isinstance(kind, str):
        raise Invalid({"kind": _("Choose a kind of change.")})
    try:
        employee_id = fields_of(EmployeeEvent)["employee_id"].from_json(employee_id)
    except FieldError as e:
        raise Invalid({"employee_id": str(e)}) from None
    return prepare(kind, employee_id, from_json(kind, rest))


def change(event: EmployeeEvent, body: Any, version: int) -> None:
    """Stores what a JSON object says of a stored change. Raises BadRequest, Invalid, Refusal, Conflict."""
    if not isinstance(body, dict):
        raise BadRequest(_("The body must be a JSON object."), code="bad_json")
    revise(event.id, version, from_json(event.kind, body, partial=True))


# ------------------------------------------------------------------ what the form shows
def controls(kind: str, values: Mapping[str, Any], typed: Mapping[str, str] | None, errors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The form's sections for the templates: *values*, or what was *typed*, shown again with its *errors*."""
    built = []
    for name, f in fields(kind).items():
        value, text = values.get(name), typed.get(name) if typed is not None else None
        display = ""
        chosen = int(text) if text and text.isdecimal() and len(text) < 19 else value if typed is None else None
        if f.target is not None and chosen is not None:
            display = rows.labels(f.target, [chosen]).get(chosen, NONE)
        built.append(forms.control(f, value=value, text=text, display=display, error=str(errors.get(name, ""))))
    return forms.sections(SECTIONS, built)
