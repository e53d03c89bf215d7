"""What columns and constraints of many tables have in common."""

from typing import Any

from sqlalchemy import CheckConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from portal.kernel.i18n import _l

BY_ACTION: dict[str, Any] = {"readonly": True, "protected": True}
"""Columns that only named actions and jobs write: no form shows them for writing and the application role has no grant."""


def checked(name: str, condition: str, message: Any, field: str = "") -> CheckConstraint:
    """Constraint with what to tell the person who breaks it, at *field*."""
    return CheckConstraint(condition, name=name, info={"message": message, "field": field})


def never_overlapping(name: str, *keys: str, where: str = "archived_at IS NULL", message: Any = "", field: str = "") -> ExcludeConstraint:
    """Constraint: the periods of rows with equal *keys* (bigint columns) do not overlap. *message* as for `checked`."""
    # int8range instead of the plain column: GiST has no equality for bigint without an extra extension.
    same = [(text(f"int8range({key}, {key}, '[]')"), "&&") for key in keys]
    info = {"message": message, "field": field} if message else {}
    return ExcludeConstraint(*same, (text("daterange(from_day, to_day)"), "&&"), using="gist", where=text(where), name=name, info=info)


def ordered_period(name: str) -> CheckConstraint:
    """Constraint: a period ends after it begins."""
    return checked(name, "to_day IS NULL OR to_day > from_day", _l("The end must be after the beginning."), "to_day")
