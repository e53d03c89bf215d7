"""How values read in each language: numbers, days, moments, the words of the common states."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from babel.numbers import format_decimal

from portal.kernel import calendar
from portal.kernel.i18n import _l, language

NONE = "—"

_STATES: dict[str, Any] = {
    "draft": _l("Draft"),
    "submitted": _l("Submitted"),
    "approved": _l("Approved"),
    "effective": _l("In effect"),
    "rejected": _l("Rejected"),
    "cancelled": _l("Cancelled"),
    "open": _l("Open"),
    "confirmed": _l("Confirmed"),
    "returned": _l("Returned"),
    "active": _l("Active"),
    "paused": _l("Paused"),
    "completed": _l("Completed"),
    "closed": _l("Closed"),
}
STATE_TONES = {
    "draft": "idle",
    "submitted": "info",
    "approved": "ok",
    "effective": "ok",
    "rejected": "risk",
    "cancelled": "idle",
    "open": "idle",
    "confirmed": "ok",
    "returned": "warn",
    "active": "info",
    "paused": "warn",
    "completed": "ok",
    "closed": "idle",
}


def state(name: str) -> Any:
    """Words of a common state; an unknown one is shown as it is."""
    return _STATES.get(name, name.replace("_", " ").capitalize())


def decimal(value: Decimal | int | None, scale: int = 2) -> str:
    """`1,234.50`; a dash for nothing."""
    if value is None:
        return NONE
    return str(format_decimal(value, format="#,##0." + "0" * scale if scale else "#,##0", locale=language(), decimal_quantization=True))


def money(value: Decimal | int | None) -> str:
    """Yuan to the cent; a dash for nothing and for zero."""
    return decimal(value) if value else NONE


def hours(value: Decimal | int | None) -> str:
    """`7.5`, `8.0`."""
    if value is None:
        return NONE
    amount = Decimal(value)
    return f"{amount:.2f}".removesuffix("0") if amount == amount.quantize(Decimal("0.1")) else f"{amount:.2f}"


def number(value: int | Decimal | None) -> str:
    """`1,234`."""
    return NONE if value is None else str(format_decimal(value, locale=language()))


def day(value: date | None) -> str:
    """`2026-03-31` in both languages: sortable, never mistaken."""
    if value is None:
        return NONE
    return (value.astimezone(calendar.zone()).date() if isinstance(value, datetime) else value).isoformat()


def moment(value: datetime | None) -> str:
    """`03-31 17:42` in the company's zone; with the year when it is another one."""
    if value is None:
        return NONE
    local = value.astimezone(calendar.zone())
    return local.strftime("%m-%d %H:%M" if local.year == calendar.today().year else "%Y-%m-%d %H:%M")
