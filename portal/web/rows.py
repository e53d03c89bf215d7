"""Rows for lists, pages and REST: plain columns plus the texts of what they refer to, under the viewer's rules."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Select, Text, any_, func, inspect, literal, select
from sqlalchemy import cast as cast_sql

from portal.kernel.db import Ids, PlainTable, session
from portal.kernel.document import Record, User
from portal.kernel.i18n import tr
from portal.web.fields import NONE, Field, fields_of
from security.visibility import context, visible


@dataclass
class Row:
    """The values of one record by column, and the texts of its references by column."""

    id: int
    values: dict[str, Any]
    labels: dict[str, str | None] = field(default_factory=dict)

    def display(self, f: Field) -> str:
        """The text of a field as people read it."""
        return f.display(self.values.get(f.name), self.labels.get(f.name))

    def linked(self, f: Field) -> bool:
        """Whether the reference may be followed: its target is visible, not only its stored text."""
        return self.values.get(f.name) is not None and self.values.get(f"_{f.name}_seen", False) is True


# -------------------------------------------------------------------- how a record is called
class _Blank(str):
    """An empty text that takes any format."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return ""


class _Probe:
    """Stands in for a record while `__str__` runs and notes the columns it uses."""

    def __init__(self) -> None:
        self.used: list[str] = []

    def __getattr__(self, name: str) -> str:
        self.used.append(name)
        return _Blank()


def person_name(first: str | None, last: str | None) -> str:
    """Chinese names without a space, others as `First Last`."""
    first, last = (first or "").strip(), (last or "").strip()
    if (first + last).isascii():
        return f"{first} {last}".strip()
    return last + first


NO_TEXT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a `__str__` raises that cannot do with what it is given: empty columns, or more than columns."""

_label_columns: dict[type[Any], tuple[str, ...]] = {}


def label_columns(model: type[Any]) -> tuple[str, ...]:
    """The columns that the text of a record is made of: those its `__str__` reads."""
    if model not in _label_columns:
        _label_columns[model] = _find_label_columns(model)
    return _label_columns[model]


def _find_label_columns(model: type[Any]) -> tuple[str, ...]:
    if model is User:
        return ("first_name", "last_name", "username")
    columns = inspect(model).column_attrs.keys()
    declared = getattr(model, "__label_columns__", None)
    if declared:
        return tuple(declared)
    probe = _Probe()
    try:
        cast(Callable[[Any], str], model.__str__)(probe)
    except NO_TEXT:
        probe.used = []
    used = tuple(dict.fromkeys(n for n in probe.used if n in columns))
    if used and len(used) == len(dict.fromkeys(probe.used)):
        return used
    return tuple(n for n in ("number", "code", "name", "title") if n in columns) or ("id",)


def label_of(model: type[Any], values: Sequence[Any]) -> str:
    """The text of a record of *model* from the values of its label columns."""
    names = label_columns(model)
    if model is User:
        return person_name(values[0], values[1]) or str(values[2] or NONE)
    if cast(Any, model).__str__ not in (Record.__str__, object.__str__) and not hasattr(model, "__label_columns__"):
        try:
            text = cast(Callable[[Any], str], model.__str__)(SimpleNamespace(**dict(zip(names, values, strict=True))))
            return text.strip() or NONE
        except NO_TEXT:
            text = ""
    return " ".join(tr(v) for v in values if v not in (None, "")) or NONE


def text_of(record: Any) -> str:
    """The text of a loaded record."""
    return label_of(type(record), [getattr(record, n) for n in label_columns(type(record))])


def labels(model: type[Any], ids: Iterable[int]) -> dict[int, str]:
    """Texts of the records *ids* of *model* that the viewer may see. One statement."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    statement = select(model.id, *(getattr(model, n) for n in label_columns(model))).where(model.id.in_(wanted))
    found = session().execute(statement, execution_options={"include_archived": True})
    return {row[0]: label_of(model, row[1:]) for row in found}


# -------------------------------------------------------------------- reading
def read(
    model: type[Any], names: Sequence[str], ids: Sequence[int], *, archived: bool = False, extra: Mapping[str, Any] | None = None
) -> list[Row]:
    """The records *ids* with columns *names*, in the order of *ids*; the text of every reference comes with them. One statement.

    *extra*: further values by name, as expressions over *model* or `Through` another table.
    """
    if not ids:
        return []
    added = {n: e.label(f"x_{n}") for n, e in (extra or {}).items() if not isinstance(e, Through)}
    further = _further(model, {n: e for n, e in (extra or {}).items() if isinstance(e, Through)})
    statement = select_columns(model, names).add_columns(*added.values(), *(f.column for f in further))
    statement = statement.where(model.id == any_(literal(list(ids), Ids())))
    found = session().execute(statement, execution_options={"include_archived": True} if archived else {})
    by_id = {row.id: row for row in unpack(model, names, found, list(added), further)}
    return [by_id[i] for i in ids if i in by_id]


def select_columns(model: type[Any], names: Sequence[str]) -> Select[Any]:
    """SELECT of the id, *names* and the label columns of every reference among them."""
    fields = fields_of(model)
    columns: list[Any] = [model.id.label("_id")]
    for name in names:
        f = fields[name]
        columns.append(f.expression(model).label(f"c_{name}"))
        if f.target is not None:
            columns.append(_label_subquery(model, f).label(f"l_{name}"))
        if f.stored_label:
            columns.append(getattr(model, f.stored_label).label(f"s_{name}"))
    return select(*columns)


def _label_subquery(model: type[Any], f: Field) -> Any:
    target = cast(type[Any], f.target)
    t = PlainTable(target)
    return _looked_up(model, target, t, t.id == f.expression(model), _packed(target, t, label_columns(target)))


def _packed(target: type[Any], t: Any, names: Iterable[str]) -> Any:
    # as text, so that JSON does not turn figures into floats; `_values` reads them back
    fields = fields_of(target)
    return func.jsonb_build_array(*(getattr(t, n) if fields[n].kind in ("label", "json") else cast_sql(getattr(t, n), Text) for n in names))


def _looked_up(model: type[Any], target: type[Any], t: PlainTable, where: Any, value: Any) -> Any:
    """*value* of the row of *target* that *where* finds for a row of *model*, archived or not; NULL when the viewer does not see it."""
    statement = select(value).where(where)
    if issubclass(target, Record):
        ctx = context()
        rule = None if ctx.system else visible(target, t, ctx)
        statement = statement if rule is None else statement.where(rule)
    return statement.correlate(model).scalar_subquery()


def _values(target: type[Any], names: Iterable[str], parts: Sequence[Any]) -> list[Any]:
    fields = fields_of(target)
    return [_typed(fields[n].kind, v) for n, v in zip(names, parts, strict=True)]


def _typed(kind: str, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case "date":
            return date.fromisoformat(value)
        case "datetime":
            return datetime.fromisoformat(value)
        case "money" | "decimal" | "hours":
            return Decimal(value)
        case "integer" | "ref" | "person":
            return int(value)
        case "bool":
            return value == "true"
    return value


@dataclass(frozen=True)
class Through:
    """The value of *column* of the row of *target* whose *key* points to the row being read, when the viewer sees it."""

    target: type[Any]
    key: str
    column: str


@dataclass(frozen=True)
class _Further:
    """All values that come through one row of *target*: its columns by the name they get here."""

    target: type[Any]
    names: dict[str, str]
    column: Any


def _further(model: type[Any], wanted: Mapping[str, Through]) -> list[_Further]:
    out = []
    for i, (target, key) in enumerate(dict.fromkeys((w.target, w.key) for w in wanted.values())):
        t = PlainTable(target)
        names = {n: w.column for n, w in wanted.items() if (w.target, w.key) == (target, key)}
        packed = _looked_up(model, target, t, getattr(t, key) == model.id, _packed(target, t, names.values()))
        out.append(_Further(target, names, packed.label(f"f_{i}")))
    return out


def unpack(
    model: type[Any], names: Sequence[str], result: Iterable[Any], extra: Sequence[str] = (), further: Sequence[_Further] = ()
) -> Iterable[Row]:
    """The rows of a statement made by `select_columns`."""
    fields = fields_of(model)
    for found in result:
        got: Mapping[str, Any] = found._mapping
        row = Row(got["_id"], {n: got[f"c_{n}"] for n in names})
        row.values |= {n: got[f"x_{n}"] for n in extra}
        for i, more in enumerate(further):
            parts = got[f"f_{i}"]
            values = [None] * len(more.names) if parts is None else _values(more.target, more.names.values(), parts)
            row.values |= zip(more.names, values, strict=True)
        row.values.setdefault("id", row.id)
        for name in names:
            f = fields[name]
            if f.target is None:
                continue
            parts = got[f"l_{name}"]
            row.values[f"_{name}_seen"] = parts is not None
            stored = got[f"s_{name}"] if f.stored_label else None
            row.labels[name] = (
                label_of(f.target, _values(f.target, label_columns(f.target), parts)) if parts is not None else (stored or None)
            )
        yield row
