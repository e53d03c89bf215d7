"""What a list was asked for: columns, conditions, order, page. From a page's address or from REST's `q`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson
import prison
from flask import request
from sqlalchemy import ColumnElement, or_

from portal.kernel import calendar
from portal.kernel.errors import BadRequest
from portal.kernel.i18n import _
from portal.web import filters, paging
from portal.web.fields import fields_of
from portal.web.filters import Condition
from portal.web.paging import Order, Slice

MAX_Q = 8_000
_KEYS = {
    "columns",
    "filters",
    "order",
    "order_column",
    "order_direction",
    "page",
    "page_size",
    "after",
    "before",
    "search",
    "keys",
    "exact",
}


@dataclass
class Query:
    """A checked list request over one model."""

    model: type[Any]
    conditions: list[Condition] = field(default_factory=list)
    search: list[Condition] = field(default_factory=list)
    text: str = ""
    order: list[Order] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    size: int = paging.DEFAULT_SIZE
    number: int = 0
    after: str | None = None
    before: str | None = None
    archived: bool = False
    exact: bool = False

    def where(self, entity: Any) -> Sequence[ColumnElement[bool]]:
        """All conditions over *entity*."""
        out = [c.on(entity) for c in self.conditions]
        if self.search:
            out.append(or_(*(c.on(entity) for c in self.search)))
        return out

    @property
    def keys_fixed(self) -> bool:
        """Whether a condition pins one of the columns the rule compares."""
        axes = {column for column, _name in getattr(self.model, "__axes__", ())}
        return any(c.field.name in axes and c.operator == "eq" for c in self.conditions)

    @property
    def constrained(self) -> bool:
        """Whether anything narrows the list."""
        return bool(self.conditions or self.search)

    def page(self, extra: paging.Where | None = None) -> Slice:
        """The page asked for; *extra* adds conditions the page itself needs."""

        def where(entity: Any) -> Sequence[ColumnElement[bool]]:
            return [*self.where(entity), *(extra(entity) if extra else ())]  # nosec B610

        return paging.page(
            self.model,
            where,
            self.order,
            self.size,
            after=self.after,
            before=self.before,
            offset=self.number * self.size,
            keys_fixed=self.keys_fixed,
            archived=self.archived,
            exact=self.exact,
        )


def orderable(model: type[Any]) -> list[str]:
    """Columns a list may be ordered by."""
    return [n for n, f in fields_of(model).items() if f.kind not in ("json", "multichoice", "longtext", "ref", "person")]


def parse_order(model: type[Any], name: Any, desc: bool) -> Order:
    """Raises BadRequest for a column that cannot be ordered by."""
    if not isinstance(name, str) or name not in orderable(model):
        raise BadRequest(_("Cannot be ordered by “%(name)s”.", name=str(name)[:60]), code="unknown_order")
    return Order(name, desc)


# -------------------------------------------------------------------- pages
def from_page(
    model: type[Any], args: Mapping[str, list[str]], *, filterable: Sequence[str], search: Sequence[str], order: Sequence[Order]
) -> Query:
    """The list a page's address asks for. Raises BadRequest for anything it does not know."""

    def one(name: str) -> str:
        return args.get(name, [""])[-1]

    q = Query(model, text=one("q").strip()[:200], order=list(order))
    q.conditions = filters.from_page(model, filterable, args)
    q.search = filters.quick_search(model, search, q.text)
    if one("sort"):
        q.order = [parse_order(model, one("sort").lstrip("-"), one("sort").startswith("-"))]
    if one("size"):
        q.size = _whole(one("size"), "size", 1, paging.MAX_SIZE)
    q.after, q.before = one("after") or None, one("before") or None
    q.archived, q.exact = one("archived") == "1", one("count") == "exact"
    return q


# -------------------------------------------------------------------- REST
def from_rest(
    model: type[Any],
    raw: str,
    *,
    filterable: Sequence[str],
    search: Sequence[str],
    order: Sequence[Order],
    columns: Sequence[str],
    default_columns: Sequence[str],
) -> Query:
    """The list REST's `q` (rison, or JSON) asks for. Raises BadRequest for anything it does not know."""
    given = load(raw)
    unknown = set(given) - _KEYS
    if unknown:
        raise BadRequest(_("Unknown in q: %(names)s.", names=", ".join(sorted(map(str, unknown)))[:200]), code="unknown_parameter")
    q = Query(model, order=list(order), columns=chosen(given.get("columns"), columns, default_columns))
    items = given.get("filters") or []
    if not isinstance(items, list) or len(items) > filters.MAX_FILTERS:
        raise BadRequest(_("filters must be a list of at most %(n)s items.", n=filters.MAX_FILTERS), code="bad_filters")
    for item in items:
        if not isinstance(item, dict) or set(item) != {"col", "opr", "value"}:
            raise BadRequest(_("A filter has col, opr and value."), code="bad_filters")
        q.conditions.append(filters.condition(model, filterable, item["col"], item["opr"], item["value"]))
    if given.get("search") is not None:
        q.text = str(given["search"])[:200]
        q.search = filters.quick_search(model, search, q.text)
    q.order = _rest_order(model, given) or q.order
    q.size = _whole(given.get("page_size", paging.DEFAULT_SIZE), "page_size", 1, paging.MAX_SIZE)
    q.number = _whole(given.get("page", 0), "page", 0, paging.MAX_OFFSET // q.size)
    for name in ("after", "before"):
        if given.get(name) is not None and not isinstance(given[name], str):
            raise BadRequest(_("%(name)s must be a text.", name=name), code="bad_cursor")
    q.after, q.before = given.get("after"), given.get("before")
    return q


def load(raw: str) -> dict[str, Any]:
    """The object in `q`: rison, or JSON when it starts with a brace. Raises BadRequest."""
    if not raw.strip():
        return {}
    if len(raw) > MAX_Q:
        raise BadRequest(_("q is too long."), code="bad_q")
    try:
        got = orjson.loads(raw) if raw.lstrip().startswith("{") else prison.loads(raw)
    except Exception:  # the rison parser raises many kinds
        raise BadRequest(_("q is not valid rison."), code="bad_q") from None
    if not isinstance(got, dict):
        raise BadRequest(_("q must be an object."), code="bad_q")
    return got


def chosen(given: Any, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """The asked for columns. Raises BadRequest naming the unknown ones."""
    if given is None:
        return list(default)
    if not isinstance(given, list) or not given:
        raise BadRequest(_("columns must be a list."), code="bad_columns")
    unknown = [str(c)[:60] for c in given if c not in known]
    if unknown:
        raise BadRequest(_("There is no column “%(name)s”.", name=", ".join(unknown)[:200]), code="unknown_column")
    return list(dict.fromkeys(given))


def _rest_order(model: type[Any], given: Mapping[str, Any]) -> list[Order]:
    if given.get("order_column") is not None:
        direction = given.get("order_direction", "asc")
        if direction not in ("asc", "desc"):
            raise BadRequest(_("order_direction must be asc or desc."), code="unknown_order")
        return [parse_order(model, given["order_column"], direction == "desc")]
    items = given.get("order")
    if items is None:
        return []
    names = items if isinstance(items, list) else [items]
    if len(names) > 3 or not all(isinstance(n, str) for n in names):
        raise BadRequest(_("order must be up to three column names, each with - for descending."), code="unknown_order")
    return [parse_order(model, n.lstrip("-"), n.startswith("-")) for n in names]


def asked_day(name: str = "day") -> date:
    """The day that the address of a page names under *name*, today without one. Raises BadRequest."""
    given = request.args.get(name, "")
    if not given:
        return calendar.today()
    try:
        return calendar.parse_day(given)
    except ValueError:
        words = _("Must be a date like 2026-03-31")
        raise BadRequest(words, code="bad_day", fields={name: words}) from None


def _whole(value: Any, name: str, low: int, high: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise BadRequest(
            _("%(name)s must be a whole number from %(low)s to %(high)s.", name=name, low=low, high=high),
            code="bad_page",
            fields={name: "range"},
        )
    return number
