"""Export of exactly what the reader may see: XLSX and CSV, read in chunks, formulas made harmless."""

import csv
import io
import re
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import Response, send_file
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from portal.kernel import calendar
from portal.kernel.errors import NotFound, Refusal
from portal.kernel.i18n import _
from portal.web import rows
from portal.web.declared import Declared
from portal.web.fields import fields_of
from portal.web.paging import Where, no_condition
from portal.web.query import Query
from security import rates, reads
from security.visibility import context

MAX_ROWS = 50_000
CHUNK = 2_000
FORMATS = {"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "csv": "text/csv; charset=utf-8"}


def respond(
    what: type[Declared], names: Sequence[str], query: Query, kind: str, filename: str, condition: Where = no_condition
) -> Response:
    """The file with the columns *names* of every row of *query* and *condition*.

    Raises Refusal above MAX_ROWS rows, NotFound for an unknown kind, TooMany for somebody who exports without end.
    """
    if kind not in FORMATS:
        raise NotFound(_("This page does not exist."))
    count_export()
    noted: dict[str, Any] = {"format": kind, "columns": list(names), "filters": _asked(what.model, query), "rows": 0}
    heads = [str(_label(what, n)) for n in names]
    lines = _counted(_lines(what, names, query, condition), noted)
    out = workbook(heads, lines, filename) if kind == "xlsx" else csv_text(heads, lines)
    response = send_file(
        out, mimetype=FORMATS[kind], as_attachment=True, download_name=f"{filename}-{calendar.today().isoformat()}.{kind}", max_age=0
    )
    reads.note(what.model.__tablename__, way="export", **noted)
    response.headers["Cache-Control"] = "no-store"
    return response


def count_export() -> None:
    """Counts one export of the person.  Raises TooMany above the limit."""
    rates.count("export", context().me)


def _counted(lines: Iterator[list[Any]], noted: dict[str, Any]) -> Iterator[list[Any]]:
    for line in lines:
        noted["rows"] += 1
        yield line


def _asked(model: type[Any], query: Query) -> list[str]:
    """The conditions in the words of REST, without the values of sensitive columns."""
    secret = reads.secrets().get(model.__tablename__, frozenset())
    out = [f"{c.field.name} {c.operator}" + ("" if c.field.name in secret else f" {c.value}") for c in query.conditions]
    return [*out, *([f"search {query.text}"] if query.text else []), *(["archived"] if query.archived else [])]


def _label(what: type[Declared], name: str) -> Any:
    return what.computed[name].label if name in what.computed else fields_of(what.model)[name].label


def _lines(what: type[Declared], names: Sequence[str], query: Query, condition: Where) -> Iterator[list[Any]]:
    fields, done = fields_of(what.model), 0
    query.size, query.after, query.before, query.number = CHUNK, None, None, 0
    while True:
        part = query.page(condition)
        done += len(part.ids)
        if done > MAX_ROWS:
            raise Refusal(_("These are more than %(n)s rows. Narrow the list and export again.", n=MAX_ROWS), code="too_many_rows")
        found = what.read(names, part.ids, archived=query.archived)
        for row in found:
            yield [row.values.get(n) if n in what.computed else cell(fields[n], row) for n in names]
        if part.next is None:
            return
        query.after = part.next


def cell(f: Any, row: rows.Row) -> Any:
    """The value of one cell: figures and days as such, everything else as the text people read."""
    value = row.values.get(f.name)
    if value is None:
        return None
    if f.kind in ("money", "decimal", "hours", "integer", "date"):
        return value
    if f.kind == "datetime":
        return calendar.local(value).replace(tzinfo=None)
    return row.display(f)


def harmless(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, with a quote before it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠") and value != "—":
        return "'" + value
    return value


def csv_text(heads: Sequence[str], lines: Iterator[Sequence[Any]]) -> io.BytesIO:
    """CSV in UTF-8 with a byte order mark, which Excel needs."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([harmless(h) for h in heads])
    for line in lines:
        writer.writerow([_csv(v) for v in line])
    return io.BytesIO(out.getvalue().encode("utf-8-sig"))


def _csv(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return value if isinstance(value, Decimal | int) else harmless(str(value)) if value is not None else ""


def workbook(heads: Sequence[str], lines: Iterator[Sequence[Any]], title: str) -> Any:
    """An XLSX file with one sheet, its head fixed. Texts are stored as texts, never as formulas."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(re.sub(r"[\\/*?:\[\]\x00-\x1f]", " ", title)[:31] or "export")
    sheet.freeze_panes = "A2"
    for i, head in enumerate(heads, 1):
        sheet.column_dimensions[get_column_letter(i)].width = max(10, min(40, len(head) * 2 + 4))
    sheet.append([_written(sheet, h, Font(bold=True)) for h in heads])
    for line in lines:
        sheet.append([_written(sheet, v) for v in line])
    out = tempfile.SpooledTemporaryFile(max_size=4_000_000)  # noqa: SIM115 - sent, then closed by the response
    book.save(out)
    out.seek(0)
    return out


def _written(sheet: Any, value: Any, font: Font | None = None) -> Any:
    if isinstance(value, str):
        made = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("", value)[:32_767])
        made.data_type = "s"
    elif isinstance(value, list | dict):
        made = WriteOnlyCell(sheet, value=str(value))
        made.data_type = "s"
    else:
        made = WriteOnlyCell(sheet, value=value)
        if isinstance(value, Decimal):
            made.number_format = "#,##0.00"
    if font is not None:
        made.font = font
    return made
