"""Marks in every business row, each telling which row it stands in, so that a leak names itself.

Texts carry `zq<table>r<row>c<column>q`; figures that are added up become powers of two above `SUMS`, so that every sum tells which rows are
in it; other figures carry table, row and column in their digits. `found` reads them back from any answer.
"""

import html
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Numeric, String
from sqlalchemy.dialects.postgresql import JSONB

from portal.web.fields import fields_of

TEXT = re.compile(r"zq(\d+)r(\d+)c(\d+)q")
FIGURE = re.compile(r"(?<![\d.])7(\d{3})(\d{5})(\d{2})(?!\d)")
LONG = re.compile(r"(?<![\w.])\d{8,}(?!\.?[\w%])")  # no percentages and averages: they share the powers, but are no sums
SUMS = 24
"""Sums are multiples of 2**SUMS: numbers that pages show otherwise are smaller."""
PROGRAM_WORDS = {"code", "kind", "key", "mode", "channel", "way", "outcome", "record_type", "pattern", "query", "role", "what", "name_en"}
"""Columns of texts that programs read; a model's own choices and states are found by themselves."""
ADDED_UP = {("dailyreport_line", "hours"): "id", ("dailyreport_report", "hours"): "author_id"}
"""Figures that pages and reports add up, and by what: one row of each such group has a power of two, the others nothing.

Decimals have 28 digits, so there is no power for every report; who sees one report of a person sees all.
"""


@dataclass(frozen=True, order=True)
class Mark:
    """One value of one row."""

    table: str
    row: int
    column: str


@dataclass
class Canaries:
    """What was planted where."""

    tables: list[str]
    columns: dict[str, list[str]]
    bits: list[Mark] = field(default_factory=list)
    planted: set[Mark] = field(default_factory=set)

    def of(self, texts: Iterable[str]) -> set[Mark]:
        """The marks in *texts*."""
        out: set[Mark] = set()
        for text in texts:
            for pattern in (TEXT, FIGURE):
                for t, r, c in pattern.findall(text):
                    out |= self._mark(int(t), int(r), int(c))
            for digits in LONG.findall(text):
                out |= self.summed(int(digits))
        return out

    def _mark(self, t: int, r: int, c: int) -> set[Mark]:
        if t >= len(self.tables) or c >= len(self.columns[self.tables[t]]):
            return set()
        mark = Mark(self.tables[t], r, self.columns[self.tables[t]][c])
        return {mark} & self.planted

    def summed(self, value: int) -> set[Mark]:
        """The rows a sum consists of; none for a number that is no sum of planted figures."""
        if value <= 0 or value % 2**SUMS or value >= 2 ** (SUMS + len(self.bits)):
            return set()
        return {mark for n, mark in enumerate(self.bits) if value >> (SUMS + n) & 1}

    def figure(self, mark: Mark) -> int:
        """The figure planted at *mark*."""
        return int(2 ** (SUMS + self.bits.index(mark)))


def plant(conn: psycopg.Connection[Any], models: Iterable[type[Any]]) -> Canaries:
    """Puts a mark into every column of every row that holds free text or a figure; *conn* is past all rules."""
    models = list(models)
    out = Canaries([m.__tablename__ for m in models], {m.__tablename__: [c.name for c in m.__table__.columns] for m in models})
    for t, column in ADDED_UP:  # room for the sums, and no upper limit of a day's hours
        for (name,) in conn.execute(
            "select conname from pg_constraint where conrelid = %s::regclass and contype = 'c' and pg_get_constraintdef(oid) ~ %s",
            [t, rf"\m{column}\M"],
        ).fetchall():
            conn.execute(sql.SQL("alter table {} drop constraint {}").format(sql.Identifier(t), sql.Identifier(name)))
    for n, model in enumerate(models):
        _plant(conn, out, n, model)
    return out


def _plant(conn: psycopg.Connection[Any], out: Canaries, n: int, model: type[Any]) -> None:
    table = model.__tablename__
    rows = [r for (r,) in conn.execute(sql.SQL("select id from {} order by id").format(sql.Identifier(table))).fetchall()]
    if not rows:
        return
    values: dict[str, sql.Composable] = {}
    for column in markable(model):
        c, kind = out.columns[table].index(column.name), column.type
        text = sql.SQL("'zq' || {} || 'r' || id || 'c' || {} || 'q'").format(sql.Literal(str(n)), sql.Literal(str(c)))
        if (table, column.name) in ADDED_UP:
            conn.execute(sql.SQL("alter table {} alter {} type numeric(60, 2)").format(sql.Identifier(table), sql.Identifier(column.name)))
            first, group = len(out.bits), sql.Identifier(ADDED_UP[table, column.name])
            chosen = [r for (r,) in conn.execute(
                sql.SQL("select min(id) from {} group by {} order by 1").format(sql.Identifier(table), group)).fetchall()]  # fmt: skip
            out.bits += [Mark(table, r, column.name) for r in chosen]
            place = sql.SQL("array_position({}, id) - 1 + {}").format(sql.Literal(chosen), sql.Literal(SUMS + first))
            value: sql.Composable = sql.SQL("coalesce((2::numeric ^ ({})), 0)::numeric(60, 2)").format(place)
        elif isinstance(kind, Numeric):
            conn.execute(sql.SQL("alter table {} alter {} type numeric(60, {})").format(
                sql.Identifier(table), sql.Identifier(column.name), sql.Literal(kind.scale or 2)))  # fmt: skip
            value = sql.SQL("({} + id * 100)").format(sql.Literal(70_000_000_000 + n * 10_000_000 + c))
        elif column.name == "custom":
            value = sql.SQL("custom || jsonb_build_object('mark', {})").format(text)
        elif isinstance(kind, JSONB):
            value = sql.SQL("jsonb_build_object('zh', {0}, 'en', {0})").format(text)
        else:
            value = text
        values[column.name] = value
    done = _update(conn, table, values) or [name for name, value in values.items() if _update(conn, table, {name: value})]
    out.planted |= {Mark(table, r, name) for r in rows for name in done}


def _update(conn: psycopg.Connection[Any], table: str, values: dict[str, sql.Composable]) -> list[str]:
    """The columns that took their marks: all or none."""
    sets = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(k), v) for k, v in values.items())
    try:
        with conn.transaction():
            conn.execute(sql.SQL("update {} set {}").format(sql.Identifier(table), sets))
    except psycopg.errors.IntegrityError:
        return []
    return list(values)


def markable(model: type[Any]) -> Iterator[Any]:
    """Columns of free text and of figures."""
    known = fields_of(model)
    for column in model.__table__.columns:
        f = known.get(column.name)
        if column.foreign_keys or column.computed is not None or column.name in PROGRAM_WORDS or column.name in ("id", "state", "version"):
            continue
        free = isinstance(column.type, String) and not column.info.get("choices") and (f is None or f.kind not in ("choice", "state"))
        if column.name == "custom" or isinstance(column.type, Numeric) or free or (f is not None and f.kind == "label"):
            yield column


def texts_of(answer: Any) -> list[str]:
    """Everything an answer says: its headers but for the request's own echo, and its body, workbooks unpacked."""
    out = [f"{name}: {value}" for name, value in answer.headers.items()]
    raw = answer.get_data()
    if raw[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(raw)) as book:
            out += [book.read(name).decode("utf-8", "replace") for name in book.namelist()]
        return [plain_figures(t) for t in out]
    text = raw.decode("utf-8", "replace")
    out.append(html.unescape(text) if answer.mimetype == "text/html" else text)
    if answer.mimetype == "application/json":
        out.append(json.dumps(json.loads(text), ensure_ascii=False))  # escapes read
    return [plain_figures(t) for t in out]


def plain_figures(text: str) -> str:
    """*text* with figures as programs write them: `1,234.00` becomes `1234`."""
    return re.sub(r"(?<=\d)\.0+\b", "", re.sub(r"(?<=\d),(?=\d{3})", "", text))
