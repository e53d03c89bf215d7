"""What the database refuses, in words: one mapping from its error codes to the portal's errors."""

from typing import Any

from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.exc import DBAPIError, OperationalError

from portal.kernel.db import Base
from portal.kernel.document import humanise
from portal.kernel.errors import BadRequest, Forbidden, Invalid, PortalError, Refusal, Unavailable
from portal.kernel.i18n import _


class Duplicate(Refusal):
    """Another record already has this key."""

    code = "duplicate"


def explain(e: DBAPIError) -> PortalError | None:
    """The answer for a database error; None when it is a fault of ours."""
    diag: Any = getattr(e.orig, "diag", None)
    sqlstate = getattr(e.orig, "sqlstate", None) or ""
    table = Base.metadata.tables.get(getattr(diag, "table_name", None) or "")
    column = getattr(diag, "column_name", None)
    constraint = getattr(diag, "constraint_name", None) or ""
    match sqlstate:
        case "23505":
            columns = _columns_of(table, constraint)
            # no detail of the other row: it may be one the person does not see
            text = _("There is already one with this value.")
            return Duplicate(text, fields=dict.fromkeys(columns, text))
        case "23503":
            key = column or next(iter(_columns_of(table, constraint)), "")
            text = _("There is no such record.")
            return Invalid({key: text} if key else text, text, code="no_such_reference")
        case "23502":
            text = _("This is required.")
            return Invalid({column: text} if column else text, text)
        case "23514" | "23P01":
            return _check(table, constraint, sqlstate)
        case "42501":
            return Forbidden(_("You may not do this to this record."))
        case "40001" | "40P01" | "55P03":
            return Refusal(_("Somebody else is changing the same records. Please try again."), code="busy")
        case "57014":
            return Unavailable(_("This took too long and was stopped. Narrow the selection and try again."))
        case "P0001":  # raised by a function of ours, with a message for people
            return Refusal(str(getattr(diag, "message_primary", "") or e.orig))
    if sqlstate.startswith("22"):
        return BadRequest(_("A value cannot be stored or compared."))
    if isinstance(e, OperationalError) or sqlstate[:2] in ("08", "53", "57") or e.connection_invalidated:
        return Unavailable(_("The database cannot be reached. Please try again in a moment."), code="database_unavailable")
    return None


def _check(table: Table | None, constraint: str, sqlstate: str) -> PortalError:
    for c in table.constraints if table is not None else ():
        if c.name == constraint and c.info.get("message"):
            key = c.info.get("field", "")
            text = str(c.info["message"])
            return Invalid({key: text} if key else text, text, code="check")
    rule = humanise(constraint.removeprefix(f"{table.name}_") if table is not None else constraint)
    text = _("This overlaps an existing entry.") if sqlstate == "23P01" else _("This breaks the rule “%(rule)s”.", rule=rule)
    columns = [c.name for c in table.columns if c.name in constraint.split(f"{table.name}_", 1)[-1]] if table is not None else []
    return Invalid({columns[0]: text} if columns else text, text, code="check")


def _columns_of(table: Table | None, name: str) -> list[str]:
    if table is None:
        return []
    for index in table.indexes:
        if index.name == name:
            return [c.name for c in index.columns]
    for c in table.constraints:
        if c.name == name or (isinstance(c, UniqueConstraint) and name == f"{table.name}_{'_'.join(x.name for x in c.columns)}_key"):
            return [x.name for x in getattr(c, "columns", ())]
    return [c.name for c in table.columns if name in (f"{table.name}_{c.name}_key", f"{table.name}_{c.name}_fkey")]
