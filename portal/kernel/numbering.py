"""Document numbers: gap-free per series, legal entity and period, unique under concurrency, never used twice (ALL-03).

A pattern holds one `{seq}` (`{seq:4}` pads with zeros) and any of `{yyyy} {yy} {mm} {dd} {entity}`.  The date placeholders
make the period: with `{yyyy}` a series starts again at 1 each year.
"""

import re
from datetime import date

from sqlalchemy import BigInteger, Column, Table, Text, text

from portal.kernel.db import Base, session
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _

# one row per series, entity and period; its lock is held until commit, so that a roll-back leaves no gap
counter = Table(
    "kernel_number_counter",
    Base.metadata,
    Column("entity_id", BigInteger, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
    info={"grants": {"app_act": "select, insert, update", "worker": "select, insert, update"}},
)

_PLACEHOLDER = re.compile(r"\{(\w+)(?::(\d{1,2}))?\}")
_DATES = {"yyyy": "%Y", "yy": "%y", "mm": "%m", "dd": "%d"}
_declared: dict[str, str] = {}


def series(code: str, pattern: str) -> str:
    """Declare the number series *code* with its default *pattern*; returns the code.  Raises `Invalid`."""
    check_pattern(pattern)
    _declared[code] = pattern
    return code


def standards() -> dict[str, str]:
    """Series → the pattern that holds where administrators keep none."""
    return dict(sorted(_declared.items()))


def check_pattern(pattern: str) -> None:
    """Raises `Invalid` unless *pattern* has exactly one `{seq}` and only known placeholders."""
    names = [match[1] for match in _PLACEHOLDER.finditer(pattern)]
    rest = _PLACEHOLDER.sub("", pattern)
    if names.count("seq") != 1 or "{" in rest or "}" in rest or not set(names) <= {*_DATES, "seq", "entity"}:
        raise Invalid({"pattern": _("A pattern needs {seq} once; allowed besides: {yyyy} {yy} {mm} {dd} {entity}.")})


def period_of(pattern: str, day: date) -> str:
    """What makes the series start again: the date parts of *pattern* on *day*, e.g. `2026`."""
    used = {match[1] for match in _PLACEHOLDER.finditer(pattern)}
    year = "%Y" if used & {"yyyy", "yy"} else ""
    return day.strftime("-".join(part for part in (year, *(_DATES[k] for k in ("mm", "dd") if k in used)) if part))


def render(pattern: str, day: date, value: int, entity: str = "") -> str:
    """The number *value* of *day* in *pattern*."""

    def fill(match: re.Match[str]) -> str:
        name, width = match[1], int(match[2] or 0)
        if name == "seq":
            return str(value).zfill(width)
        return entity if name == "entity" else day.strftime(_DATES[name])

    return _PLACEHOLDER.sub(fill, pattern)


_PATTERN = text(
    """select s.pattern, e.code from kernel_entity e left join lateral (
         select pattern from kernel_number_series s where s.code = :code and s.archived_at is null
            and (s.entity_id = e.id or s.entity_id is null) order by s.entity_id nulls last limit 1) s on true
       where e.id = :entity"""
)
_NEXT = text(
    """insert into kernel_number_counter as c (entity_id, code, period, last) values (:entity, :code, :period, 1)
       on conflict (entity_id, code, period) do update set last = c.last + 1 returning last"""
)


def next_number(code: str, entity_id: int, day: date) -> str:
    """The next number of series *code* for the legal entity, in the period of *day*.

    Call it last in an action: the counter stays locked until the transaction ends, which is what keeps the series without gaps.
    Raises LookupError for a series nobody declared.
    """
    own, entity = session().execute(_PATTERN, {"code": code, "entity": entity_id}).one()
    pattern = own or _declared[code]
    value = session().execute(_NEXT, {"entity": entity_id, "code": code, "period": period_of(pattern, day)}).scalar_one()
    return render(pattern, day, value, entity)
