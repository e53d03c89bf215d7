"""The form for a new employee: fields of four tables in one, for the page and for REST."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modules.hr.actions import hire
from modules.hr.models import Assignment, Employee, EmployeePrivate, Employment
from portal.kernel.document import User
from portal.kernel.errors import BadRequest, Invalid
from portal.kernel.i18n import _, _l
from portal.web import forms, rows
from portal.web.fields import Field, FieldError, fields_of

_SOURCES: tuple[tuple[Any, str, bool], ...] = (
    # table, column, required
    (Employee, "name", True),
    (Employee, "number", True),
    (User, "username", True),
    (Employee, "work_email", False),
    (Employee, "work_phone", False),
    (Employee, "department_id", True),
    (Employee, "post_id", False),
    (Employment, "grade_id", False),
    (Assignment, "manager_id", False),
    (Employment, "employment_type", False),
    (Employment, "joined_on", True),
    (Employment, "regular_on", False),
    (EmployeePrivate, "identity_number", False),
    (EmployeePrivate, "bank_account", False),
    (EmployeePrivate, "home_address", False),
)
SECTIONS = (
    (_l("Person"), ("name", "number", "username", "work_email", "work_phone")),
    (_l("Place"), ("department_id", "post_id", "grade_id", "manager_id")),
    (_l("Terms"), ("employment_type", "joined_on", "regular_on")),
    (_l("Private data"), ("identity_number", "bank_account", "home_address")),
)


def fields() -> dict[str, Field]:
    """The fields of the form by name."""
    out = {}
    for model, column, required in _SOURCES:
        found = replace(fields_of(model)[column], readonly=False, required=required, nullable=not required)
        out[column] = replace(found, label=_l("Account name"), max_length=64) if column == "username" else found
    return out


def from_json(body: Any) -> int:
    """Hires the person a JSON object describes; returns the employee's id. Raises Invalid naming the fields."""
    if not isinstance(body, dict):
        raise BadRequest(_("The body must be a JSON object."), code="bad_json")
    known = fields()
    errors: dict[str, Any] = {str(k)[:60]: _("There is no such field.") for k in body if k not in known}
    values: dict[str, Any] = {}
    for name, f in known.items():
        if name in body and not errors.get(name):
            try:
                values[name] = f.from_json(body[name])
            except FieldError as e:
                errors[name] = str(e)
    return _hire(known, values, errors)


def from_form(form: Mapping[str, str]) -> int:
    """Hires the person a posted form describes; returns the employee's id. Raises Invalid naming the fields."""
    known = fields()
    errors: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for name, f in known.items():
        try:
            values[name] = f.parse(form.get(name))
        except FieldError as e:
            errors[name] = str(e)
    return _hire(known, values, errors)


def _hire(known: Mapping[str, Field], values: dict[str, Any], errors: dict[str, Any]) -> int:
    for name, f in known.items():
        if f.required and values.get(name) in (None, "") and name not in errors:
            errors[name] = _("This is required.")
    if errors:
        raise Invalid(errors)
    return hire(**{k: v for k, v in values.items() if v is not None})


def controls(typed: Mapping[str, str] | None, errors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The form's sections for the templates; what was *typed* is shown again with its *errors*."""
    built = []
    for name, f in fields().items():
        text = typed.get(name) if typed is not None else None
        display = ""
        if f.target is not None and text and text.isdecimal() and len(text) < 19:
            display = rows.labels(f.target, [int(text)]).get(int(text), "")
        built.append(forms.control(f, value=None, text=text, display=display, error=str(errors.get(name, ""))))
    return forms.sections(SECTIONS, built)
