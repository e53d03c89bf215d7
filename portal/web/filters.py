"""Filters: conditions on declared columns, by the kind of the column; the same for pages and REST."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, cast

from sqlalchemy import ARRAY, ColumnElement, any_, false, literal, or_

from portal.kernel import calendar
from portal.kernel.errors import BadRequest
from portal.kernel.i18n import _
from portal.web.fields import Field, FieldError, fields_of

_ORDERED = ("eq", "ne", "gt", "ge", "lt", "le", "in")
BY_KIND: Mapping[str, tuple[str, ...]] = {
    "text": ("eq", "ne", "in", "ct", "sw"),
    "email": ("eq", "ne", "in", "ct", "sw"),
    "longtext": ("ct",),
    "label": ("ct", "sw", "eq"),
    "integer": _ORDERED,
    "decimal": _ORDERED,
    "money": _ORDERED,
    "hours": _ORDERED,
    "date": _ORDERED,
    "datetime": _ORDERED,
    "bool": ("eq", "ne"),
    "choice": ("eq", "ne", "in"),
    "state": ("eq", "ne", "in"),
    "multichoice": ("ct",),
    "ref": ("eq", "ne", "in"),
    "person": ("eq", "ne", "in"),
}
CHOSEN = ("choice", "state", "ref", "person")
"""Kinds of which several values may be asked for at once."""
MAX_FILTERS = 20
MAX_VALUES = 200


_NUMBER = re.compile(r"[0-9]{1,19}")
_NUMBERS = re.compile(r"[0-9]{1,19}(,[0-9]{1,19})+")


@dataclass(frozen=True)
class Condition:
    """`<field> <operator> <value>`, checked."""

    field: Field
    operator: str
    value: Any

    def on(self, entity: Any) -> ColumnElement[bool]:
        """The condition over *entity*, a model or an alias."""
        column, value = self.field.expression(entity), self.value
        if self.field.kind == "label":
            either = [_compare(column[lang].astext, self.operator, value) for lang in ("zh", "en")]
            return or_(*either)
        if self.field.kind == "multichoice":
            array = isinstance(self.field.column.type, ARRAY)
            return cast(ColumnElement[bool], literal(value) == any_(column) if array else column.contains([value]))
        return cast(ColumnElement[bool], _compare(column, self.operator, value))


def _compare(column: Any, operator: str, value: Any) -> Any:
    if operator in ("eq", "ne") and value is None:
        return column.is_(None) if operator == "eq" else column.is_not(None)
    match operator:
        case "eq":
            return column == value
        case "ne":
            return or_(column != value, column.is_(None))
        case "gt":
            return column > value
        case "ge":
            return column >= value
        case "lt":
            return column < value
        case "le":
            return column <= value
        case "in":
            return column.in_(value) if value else false()
        case "ct":
            return column.icontains(value, autoescape=True)
        case _:
            return column.istartswith(value, autoescape=True)


def condition(model: type[Any], allowed: Sequence[str], name: Any, operator: Any, value: Any) -> Condition:
    """One condition from JSON values. Raises BadRequest naming what is unknown or wrong."""
    if not isinstance(name, str) or name not in allowed:
        raise BadRequest(_("There is no filter “%(name)s”.", name=_short(name)), code="unknown_filter", fields={_short(name): "unknown"})
    f = fields_of(model)[name]
    if not isinstance(operator, str) or operator not in BY_KIND.get(f.kind, ()):
        raise BadRequest(
            _(
                "“%(op)s” is not possible for “%(name)s”; possible: %(known)s.",
                op=_short(operator),
                name=name,
                known=", ".join(BY_KIND.get(f.kind, ())),
            ),
            code="unknown_operator",
            fields={name: "operator"},
        )
    try:
        return Condition(f, operator, _parse(f, operator, value))
    except FieldError as e:
        raise BadRequest(f"{f.label}: {e}", code="bad_filter_value", fields={name: str(e)}) from None


def _parse(f: Field, operator: str, value: Any) -> Any:
    if operator == "in":
        items = value if isinstance(value, list) else [value]
        if len(items) > MAX_VALUES:
            raise FieldError(_("At most %(n)s values", n=MAX_VALUES))
        return [_one(f, v) for v in items]
    if value is None and operator in ("eq", "ne"):
        return None
    return _one(f, value)


def _one(f: Field, value: Any) -> Any:
    if isinstance(value, list | dict) or value is None:
        raise FieldError(_("Has the wrong type"))
    if f.kind in ("text", "longtext", "email", "label", "multichoice"):
        text = str(value)
        if "\x00" in text or len(text) > 500:
            raise FieldError(_("At most %(n)s characters", n=500))
        return text
    if f.kind == "bool":
        parsed: Any = value if isinstance(value, bool) else f.parse(str(value))
    else:
        parsed = f.parse(str(value))
    if parsed is None:
        raise FieldError(_("A value is missing"))
    return parsed


# -------------------------------------------------------------------- the query string of a page
def from_page(model: type[Any], allowed: Sequence[str], args: Mapping[str, list[str]]) -> list[Condition]:
    """Conditions of `f.<name>`, `f.<name>.from`, `f.<name>.to`. Empty values are no condition. Raises BadRequest."""
    out: list[Condition] = []
    for key, values in args.items():
        if not key.startswith("f."):
            continue
        name, _dot, edge = key[2:].partition(".")
        given = [v for v in values if v.strip()]
        if not given:
            continue
        if edge not in ("", "from", "to"):
            raise BadRequest(_("There is no filter “%(name)s”.", name=_short(key)), code="unknown_filter")
        f = fields_of(model).get(name)
        if len(given) > 1 and (edge or (f is not None and f.kind not in CHOSEN)):
            raise BadRequest(_("The filter “%(name)s” takes one value.", name=_short(key)), code="one_value")
        if edge:
            out.append(_edge(condition(model, allowed, name, "ge" if edge == "from" else "le", given[0]), given[0]))
        elif f is not None and f.kind in CHOSEN:
            given = several(given)
            out.append(condition(model, allowed, name, "in" if len(given) > 1 else "eq", given if len(given) > 1 else given[0]))
        elif f is not None and f.kind in ("text", "longtext", "email", "label", "multichoice"):
            out.append(condition(model, allowed, name, "ct", given[0]))
        else:
            out.append(condition(model, allowed, name, "eq", given[0]))
    if len(out) > MAX_FILTERS:
        raise BadRequest(_("At most %(n)s filters", n=MAX_FILTERS), code="too_many_filters")
    return out


def several(values: Sequence[str]) -> list[str]:
    """Values of one condition: each alone, or whole numbers together as `20,69,22`."""
    return [one for v in values for one in (v.split(",") if _NUMBERS.fullmatch(v) else [v]) if one.strip()]


def together(values: Sequence[Any]) -> list[Any]:
    """The other way round: several whole numbers as one value, so that an address with many people stays short."""
    texts = [str(v) for v in values]
    return [",".join(texts)] if len(texts) > 1 and all(_NUMBER.fullmatch(t) for t in texts) else list(values)


def _edge(c: Condition, raw: str) -> Condition:
    # "to" a day of a moment includes that whole day at the company
    if c.field.kind == "datetime" and len(raw) == 10:
        first = datetime.combine(c.value.astimezone(calendar.zone()).date(), time(), calendar.zone())
        return Condition(c.field, "ge", first) if c.operator == "ge" else Condition(c.field, "lt", first + timedelta(days=1))
    return c


def quick_search(model: type[Any], columns: Sequence[str], text: str) -> list[Condition]:
    """*columns* containing *text*, of which one must hold; none when the text is empty."""
    text = text.strip().replace("\x00", "")[:200]
    fields = fields_of(model)
    return [Condition(fields[n], "ct", text) for n in columns if text and fields[n].kind in ("text", "label", "longtext", "email")]


def _short(value: Any) -> str:
    return str(value)[:60]
