"""What is asked of the trail, page and REST: kinds of record, persons, moments, filters; said plainly where it cannot be understood."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from flask import request

from portal.kernel import calendar
from portal.kernel.document import records
from portal.kernel.errors import BadRequest
from portal.kernel.i18n import _
from portal.web import query
from portal.web.access import MAX_ID

PAGE = 30
MAX_SIZE = 200


def whole(value: Any, name: str) -> int:
    """A whole number, such as an id. Raises BadRequest."""
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or int(text) > MAX_ID:
        raise BadRequest(_("Must be a whole number"), code="bad_filter_value", fields={name: _("Must be a whole number")})
    return int(text)


def table(value: Any, name: str) -> str:
    """The table of a kind of record. Raises BadRequest."""
    if not isinstance(value, str) or value not in tables():
        raise BadRequest(_("Is not one of the choices"), code="bad_filter_value", fields={name: _("Is not one of the choices")})
    return value


def moment(value: Any, name: str) -> datetime:
    """A moment, or the beginning of a day at the company."""
    try:
        if isinstance(value, str) and len(value) == 10:
            return calendar.moment(calendar.parse_day(value))
        found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=calendar.zone())).astimezone(calendar.zone())
    except (ValueError, OverflowError):
        problem = _("Must be a time like 2026-03-31T09:30")
        raise BadRequest(problem, code="bad_filter_value", fields={name: problem}) from None


def tables() -> dict[str, str]:
    """Table → words of every kind of record, the newest names of the code; by words."""
    found = {m.__tablename__: str(m.__label__ or m.__name__) for m in records()}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def day(name: str) -> date | None:
    """The day named *name* in the address, if any. Raises BadRequest."""
    return query.asked_day(name) if request.args.get(name) else None


Parse = Callable[[Any, str], Any]
Filters = Mapping[tuple[str, str], tuple[str, Parse]]


def given(known: Filters) -> tuple[dict[str, Any], int, int | None]:
    """What `q` asks for: the values of the filters *known*, the size of a page and the id to go on from. Raises BadRequest."""
    unknown = set(request.args) - {"q"}
    asked = query.load(request.args.get("q", ""))
    unknown |= set(asked) - {"filters", "page_size", "after"}
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))[:200]
        raise BadRequest(_("Unknown in q: %(names)s.", names=names), code="unknown_parameter")
    items = asked.get("filters") or []
    if not isinstance(items, list):
        raise BadRequest(_("A filter has col, opr and value."), code="bad_filters")
    values: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, dict) or set(item) != {"col", "opr", "value"}:
            raise BadRequest(_("A filter has col, opr and value."), code="bad_filters")
        name, parse = known.get((str(item["col"]), str(item["opr"])), ("", None))
        if parse is None:
            raise BadRequest(_("There is no filter “%(name)s”.", name=str(item["col"])[:60]), code="unknown_filter")
        if name in values:
            raise BadRequest(_("The filter “%(name)s” takes one value.", name=str(item["col"])[:60]), code="one_value")
        values[name] = parse(item["value"], str(item["col"]))
    size = whole(asked.get("page_size", PAGE), "page_size")
    if not 0 < size <= MAX_SIZE:
        problem = _("%(name)s must be a whole number from %(low)s to %(high)s.", name="page_size", low=1, high=MAX_SIZE)
        raise BadRequest(problem, code="bad_page", fields={"page_size": "range"})
    return values, size, whole(asked["after"], "after") if asked.get("after") is not None else None
