"""Fields: what a column of a model means to people and programs. Forms, lists, REST, export and OpenAPI all read these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, DateTime, Integer, Numeric, SmallInteger, String, inspect
from sqlalchemy.dialects.postgresql import JSONB

from portal.kernel import calendar
from portal.kernel.db import Base
from portal.kernel.document import SYSTEM_COLUMNS, User, humanise
from portal.kernel.i18n import _, _l, listed
from portal.kernel.i18n import tr as tr
from portal.web import words

NEVER_WRITTEN = SYSTEM_COLUMNS | {"version", "custom", "entity_id"}
"""Columns no form and no JSON body may set, whatever a page declares."""

MAX_TEXT = 10_000
MAX_INT = 2**63 - 1
NONE = "—"


class FieldError(ValueError):
    """The typed value cannot be accepted; the text says why in the reader's language."""


@dataclass(frozen=True)
class Field:
    """One column: its kind, its words, and how to read, show and store it."""

    name: str
    kind: str
    label: Any
    column: Column[Any] = field(compare=False, repr=False)
    required: bool = False
    readonly: bool = False
    nullable: bool = True
    choices: Mapping[str, Any] = field(default_factory=dict, compare=False)
    tones: Mapping[str, str] = field(default_factory=dict, compare=False)
    target: type[Any] | None = field(default=None, compare=False)
    lookup: str | None = None
    scale: int = 0
    digits: int = 0
    max_length: int | None = None
    help: Any = ""
    unit: Any = ""
    stored_label: str | None = None
    minimum: Any = None
    maximum: Any = None
    span: int = 1
    keys: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Words for the keys of a JSON object."""
    internal: bool = False
    """Of use to the program only: the history of a record leaves it out."""
    suggest: Callable[[], tuple[Mapping[str, Any], Any]] | None = field(default=None, compare=False)
    """Values a form offers for a text, with their words, and a note on them; other values may be typed."""

    # ---------------------------------------------------------------- where the value is
    def expression(self, entity: Any) -> Any:
        """The value as SQL over *entity*: the model, an alias of it or its `PlainTable`. Everything that reads or compares asks here."""
        return getattr(entity, self.name)

    def of(self, record: Any) -> Any:
        """The value of a loaded record."""
        return getattr(record, self.name)

    def put(self, record: Any, value: Any) -> None:
        """Sets the value of a loaded or new record."""
        setattr(record, self.name, value)

    # ---------------------------------------------------------------- reading what was typed or sent
    def parse(self, raw: str | None) -> Any:
        """The value of a form text; an empty text is None. Raises FieldError."""
        text = (raw or "").strip() if self.kind != "longtext" else (raw or "").replace("\r\n", "\n").strip()
        if not text:
            return False if self.kind == "bool" else None
        if "\x00" in text:
            raise FieldError(_("Contains a character that cannot be stored"))
        return self.check(_READ[self.kind](self, text))

    def from_json(self, value: Any) -> Any:
        """The value of a JSON value. Raises FieldError."""
        if value is None:
            return None
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise FieldError(_("Must be true or false"))
            return value
        if self.kind == "label":
            return self.check(_label(value))
        if self.kind == "multichoice":
            if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
                raise FieldError(_("Must be a list of texts"))
            return self.check(value)
        if self.kind == "json":
            if not isinstance(value, dict | list):
                raise FieldError(_("Must be an object or a list"))
            return value
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal | float):
            raise FieldError(_("Has the wrong type"))
        if self.kind in ("text", "longtext", "email", "choice", "state", "date", "datetime") and not isinstance(value, str):
            raise FieldError(_("Must be a text"))
        return self.parse(str(value))

    def check(self, value: Any) -> Any:
        """*value* when it is within what the column and its declaration allow. Raises FieldError."""
        if isinstance(value, str) and len(value) > (self.max_length or MAX_TEXT):
            raise FieldError(_("At most %(n)s characters", n=self.max_length or MAX_TEXT))
        if self.kind in ("choice", "state") and self.choices and value not in self.choices:
            raise FieldError(_("Is not one of the choices"))
        if self.kind == "multichoice" and self.choices and any(v not in self.choices for v in value):
            raise FieldError(_("Is not one of the choices"))
        if self.minimum is not None and value < self.minimum:
            raise FieldError(_("Must be at least %(n)s", n=self.minimum))
        if self.maximum is not None and value > self.maximum:
            raise FieldError(_("Must be at most %(n)s", n=self.maximum))
        return value

    # ---------------------------------------------------------------- showing
    def display(self, value: Any, label: str | None = None) -> str:
        """*value* as a person reads it in the current language; *label* is the text of a reference."""
        if self.kind in ("ref", "person"):
            return label or NONE
        if value is None or value == "" or value == []:
            return NONE
        return _SHOW.get(self.kind, _show_text)(self, value)

    def to_json(self, value: Any) -> Any:
        """*value* as JSON: decimals as text, times in UTC."""
        if isinstance(value, Decimal):
            return f"{value:.{self.scale}f}" if self.scale else str(value)
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if isinstance(value, date | time):
            return value.isoformat()
        return value

    def tone(self, value: Any) -> str:
        """Colour of a state or choice badge."""
        return self.tones.get(str(value), "idle")

    @property
    def attribute(self) -> str:
        """Key under which REST shows a reference's text: `author` for `author_id`."""
        return self.name[:-3] if self.name.endswith("_id") else f"{self.name}_label"

    def schema(self) -> dict[str, Any]:
        """OpenAPI schema of the JSON value."""
        out: dict[str, Any] = dict(_SCHEMA[self.kind])
        if self.choices and self.kind in ("choice", "state"):
            out["enum"] = [*self.choices, *([None] if self.nullable else [])]
        if self.kind in ("text", "longtext", "email"):
            out["maxLength"] = self.max_length or MAX_TEXT
        out["title"] = str(self.label)
        if self.nullable:
            out["nullable"] = True
        if self.readonly:
            out["readOnly"] = True
        return out


# -------------------------------------------------------------------- texts → values
def _read_int(f: Field, text: str) -> int:
    try:
        value = int(text.replace(",", ""))
    except ValueError:
        raise FieldError(_("Must be a whole number")) from None
    limit = 2**31 - 1 if isinstance(f.column.type, Integer) and not isinstance(f.column.type, BigInteger) else MAX_INT
    if abs(value) > limit:
        raise FieldError(_("Is too large"))
    return value


def _read_id(f: Field, text: str) -> int:
    if not (text.isascii() and text.isdigit()):  # no thousands separators: "1,2" is no person 12
        raise FieldError(_("Must be a whole number"))
    return _read_int(f, text)


def _read_decimal(f: Field, text: str) -> Decimal:
    try:
        value = Decimal(text.replace(",", "").replace("，", ""))
    except InvalidOperation:
        raise FieldError(_("Must be a number")) from None
    if not value.is_finite():
        raise FieldError(_("Must be a number"))
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > f.scale:
        raise FieldError(_("At most %(n)s decimal places", n=f.scale))
    if abs(value) >= Decimal(10) ** (f.digits - f.scale):
        raise FieldError(_("Is too large"))
    return value.quantize(Decimal(1).scaleb(-f.scale))


def _read_date(f: Field, text: str) -> date:
    try:
        return calendar.parse_day(text)
    except ValueError:
        raise FieldError(_("Must be a date like 2026-03-31")) from None


def _read_datetime(f: Field, text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise FieldError(_("Must be a time like 2026-03-31T09:30")) from None
    try:
        return (value if value.tzinfo else value.replace(tzinfo=calendar.zone())).astimezone(UTC)
    except OverflowError:
        raise FieldError(_("Is too large")) from None


def _read_bool(f: Field, text: str) -> bool:
    if text.lower() in ("1", "true", "on", "yes"):
        return True
    if text.lower() in ("0", "false", "off", "no"):
        return False
    raise FieldError(_("Must be yes or no"))


def _read_email(f: Field, text: str) -> str:
    name, at, domain = text.partition("@")
    if not at or not name or "." not in domain or any(c.isspace() for c in text):
        raise FieldError(_("Must be an e-mail address"))
    return text


def _label(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or set(value) - {"zh", "en"} or not all(isinstance(v, str) for v in value.values()):
        raise FieldError(_("Must be an object with the texts zh and en"))
    clean = {k: v.strip() for k, v in value.items() if v.strip()}
    if any("\x00" in v or len(v) > 500 for v in clean.values()):
        raise FieldError(_("At most %(n)s characters", n=500))
    if not clean:
        raise FieldError(_("Must be an object with the texts zh and en"))
    return clean


def _read_text(f: Field, text: str) -> str:
    return text


_READ: dict[str, Callable[[Field, str], Any]] = {
    "text": _read_text,
    "longtext": _read_text,
    "email": _read_email,
    "choice": _read_text,
    "state": _read_text,
    "integer": _read_int,
    "ref": _read_id,
    "person": _read_id,
    "decimal": _read_decimal,
    "money": _read_decimal,
    "hours": _read_decimal,
    "date": _read_date,
    "datetime": _read_datetime,
    "bool": _read_bool,
    "label": lambda f, text: _label({"zh": text}),
    "multichoice": lambda f, text: [text],
    "json": lambda f, text: _no_json(),
}


def _no_json() -> Any:
    raise FieldError(_("Cannot be typed here"))


# -------------------------------------------------------------------- values → texts
def _show_text(f: Field, value: Any) -> str:
    return str(value)


_SHOW: dict[str, Callable[[Field, Any], str]] = {
    "money": lambda f, v: words.decimal(v, f.scale),
    "decimal": lambda f, v: words.decimal(v, f.scale),
    "hours": lambda f, v: words.hours(v),
    "integer": lambda f, v: words.number(v),
    "date": lambda f, v: words.day(v),
    "datetime": lambda f, v: words.moment(v),
    "bool": lambda f, v: _("Yes") if v else _("No"),
    "choice": lambda f, v: str(f.choices.get(v, v)),
    "state": lambda f, v: str(f.choices.get(v, v)),
    "multichoice": lambda f, v: listed(f.choices.get(x, x) for x in v),
    "label": lambda f, v: tr(v),
    "json": lambda f, v: listed(f"{f.keys.get(k, k)}: {x}" for k, x in v.items()) if isinstance(v, dict) else str(v),
}

_TEXT = {"type": "string"}
_DECIMAL = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
_ID = {"type": "integer", "format": "int64"}
_SCHEMA: dict[str, dict[str, Any]] = {
    "text": _TEXT,
    "longtext": _TEXT,
    "email": {"type": "string", "format": "email"},
    "choice": _TEXT,
    "state": _TEXT,
    "integer": _ID,
    "ref": _ID,
    "person": _ID,
    "decimal": _DECIMAL,
    "money": _DECIMAL,
    "hours": _DECIMAL,
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "bool": {"type": "boolean"},
    "multichoice": {"type": "array", "items": _TEXT},
    "label": {"type": "object", "properties": {"zh": _TEXT, "en": _TEXT}, "additionalProperties": False},
    "json": {},
}


# -------------------------------------------------------------------- from the model
_columns: dict[type[Any], dict[str, Field]] = {}
_all: dict[type[Any], tuple[Mapping[str, Field], Mapping[str, Field]]] = {}
Further = Callable[[type[Any]], Mapping[str, Field]]
_further: list[Further] = []


def further_fields(source: Further) -> Further:
    """Registers where fields of a model come from that are no columns of its table.

    It answers at every question, for the transaction at hand: the same mapping as long as nothing was changed.
    """
    _further.append(source)
    return source


def further_of(model: type[Any]) -> Mapping[str, Field]:
    """Fields of *model* that are no columns of its table."""
    for source in _further:
        if found := source(model):
            return found
    return {}


def columns_of(model: type[Any]) -> Mapping[str, Field]:
    """Every column of *model* as a Field, in table order."""
    if model in _columns:
        return _columns[model]
    found = {}
    for attr in inspect(model).column_attrs:
        column = attr.columns[0]
        if isinstance(column, Column):
            found[attr.key] = _field(model, attr.key, column)
    _columns[model] = found
    return found


def fields_of(model: type[Any]) -> Mapping[str, Field]:
    """Every field of *model*: its columns in table order, then what was added to it in the browser."""
    columns, more = columns_of(model), further_of(model)
    if not more:
        return columns
    known = _all.get(model)
    if known is None or known[0] is not more:
        known = _all[model] = (more, {**columns, **more})
    return known[1]


def _field(model: type[Any], name: str, column: Column[Any]) -> Field:
    info = dict(column.info)
    target, kind = _target(column), info.get("kind") or _kind(name, column, info)
    defaulted = column.default is not None or column.server_default is not None or column.primary_key
    numeric = column.type if isinstance(column.type, Numeric) else None
    states: Sequence[str] = info.get("states", getattr(model, "STATES", ()) if name == "state" else ())
    choices = info.get("choices") or {s: words.state(s) for s in states}
    return Field(
        name=name,
        kind=kind,
        label=info.get("label") or _l(humanise(name)),
        column=column,
        required=bool(info.get("required", not column.nullable and not defaulted)),
        readonly=bool(info.get("readonly") or info.get("protected")) or name in NEVER_WRITTEN or column.computed is not None,
        nullable=bool(column.nullable),
        choices=choices,
        tones=info.get("tone") or words.STATE_TONES,
        target=target,
        lookup=info.get("lookup"),
        scale=(numeric.scale or 0) if numeric is not None else 0,
        digits=(numeric.precision or 18) if numeric is not None else 0,
        max_length=info.get("max_length") or getattr(column.type, "length", None),
        help=info.get("help", ""),
        unit=info.get("unit", ""),
        stored_label=info.get("stored_label"),
        minimum=info.get("min"),
        maximum=info.get("max"),
        span=2 if kind == "longtext" else info.get("span", 1),
        keys=info.get("keys") or {},
        internal=bool(info.get("internal")),
        suggest=info.get("suggest"),
    )


def _target(column: Column[Any]) -> type[Any] | None:
    if column.name == "created_by":
        return cast(type[Any], User)
    for key in column.foreign_keys:
        table = key.column.table
        for mapper in Base.registry.mappers:
            if mapper.local_table is table:
                return cast(type[Any], mapper.class_)
    return None


def _kind(name: str, column: Column[Any], info: Mapping[str, Any]) -> str:
    kind = column.type
    target = _target(column)
    if target is not None and not column.primary_key:
        return "person" if target is User else "ref"
    if name == "state":
        return "state"
    if isinstance(kind, Boolean):
        return "bool"
    if isinstance(kind, DateTime):
        return "datetime"
    if isinstance(kind, Date):
        return "date"
    if isinstance(kind, Numeric):
        return {(18, 2): "money", (5, 2): "hours"}.get((kind.precision, kind.scale), "decimal")  # type: ignore[arg-type]
    if isinstance(kind, Integer | SmallInteger):
        return "integer"
    if isinstance(kind, JSONB) and info.get("choices"):
        return "multichoice"
    if isinstance(kind, JSONB):
        return "label" if name in ("name", "label", "title", "text") or info.get("localised") else "json"
    if isinstance(kind, ARRAY):
        return "multichoice"
    if info.get("states"):
        return "state"
    if info.get("choices"):
        return "choice"
    if info.get("multiline"):
        return "longtext"
    if name.endswith("email"):
        return "email"
    return "text" if isinstance(kind, String) else "json"


def writable(model: type[Any]) -> list[str]:
    """Columns a form or a JSON body may set when nothing else is declared."""
    return [n for n, f in fields_of(model).items() if not f.readonly and f.kind not in ("json", "state")]
