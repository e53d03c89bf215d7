"""Workbooks to fill in: empty ones, those with what is stored, and those with the errors of an import."""

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from portal.kernel.i18n import _
from portal.lowcode.importing.declared import Column, Importer, Sheet
from portal.lowcode.importing.lines import EXAMPLE, REMARKS
from portal.lowcode.importing.models import ImportRow

HEAD = PatternFill("solid", fgColor="E4EFFB")
MUST = PatternFill("solid", fgColor="FCF0D5")
WRONG = PatternFill("solid", fgColor="FDE9E7")
GREY = Font(italic=True, color="808080")
MAX_LISTED = 2_000
FILLED_ROWS = 2_000
"""Rows for which the lists of allowed values are offered."""


def empty(importer: Importer) -> io.BytesIO:
    """The template in the reader's language: heads, an example row, allowed values, notes."""
    return _workbook(importer, {s.name: [_example(s)] for s in importer.sheets}, grey=True)


def filled(importer: Importer) -> io.BytesIO:
    """The template with every record the reader sees: importing it again changes nothing."""
    return _workbook(importer, {s.name: _stored(s) for s in importer.sheets})


def corrections(importer: Importer, rows: Sequence[ImportRow], private: Mapping[str, Any]) -> io.BytesIO:
    """The rows of an import as they were sent, with a column that says what is wrong; to be corrected and sent again.

    *private*: sheet → row → the values that are kept apart.
    """
    lines: dict[str, list[dict[str, Any]]] = {s.name: [] for s in importer.sheets}
    wrong: dict[str, list[Mapping[str, str]]] = {s.name: [] for s in importer.sheets}
    for row in rows:
        if row.sheet in lines:
            lines[row.sheet].append(row.values | private.get(row.sheet, {}).get(str(row.row), {}))
            wrong[row.sheet].append(row.problems)
    return _workbook(importer, lines, wrong=wrong)


def problem_words(sheet: Sheet, problems: Mapping[str, str]) -> str:
    """What is wrong with a row, column by column."""
    labels = {c.name: str(c.field.label) for c in sheet.columns}
    return "; ".join(f"{labels.get(name, name)}: {words}" for name, words in problems.items())


# ------------------------------------------------------------------ what stands in it
def _example(sheet: Sheet) -> dict[str, Any]:
    out: dict[str, Any] = {c.name: c.example or _sample(c) for c in sheet.offered()}
    first = sheet.offered()[0].name
    return out | {first: f"{EXAMPLE} {_('Example')}: {out[first]}"}


def _sample(c: Column) -> str:
    if c.field.kind == "date":
        return "2026-03-31"
    return str(next(iter(c.field.choices.values()))) if c.field.choices else ""


def _stored(sheet: Sheet) -> list[dict[str, Any]]:
    stored = sheet.current(None)
    words: dict[str, Mapping[int, str]] = {}
    for c in sheet.offered():
        if c.reference is not None:
            ids = {pk for s in stored.values() if (pk := s.values.get(c.name)) is not None}
            words[c.name] = c.reference.keys(ids) if ids else {}
    return [{c.name: _shown(c, one.values.get(c.name), words) for c in sheet.offered()} for one in stored.values()]


def _shown(c: Column, value: Any, words: Mapping[str, Mapping[int, str]]) -> Any:
    if value is None:
        return None
    if c.reference is not None:
        return words[c.name].get(value)
    return value if isinstance(value, date) else c.field.display(value) if c.field.choices or c.field.kind == "bool" else value


# ------------------------------------------------------------------ how it looks
def _workbook(
    importer: Importer,
    lines: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    wrong: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    grey: bool = False,
) -> io.BytesIO:
    book = Workbook()
    book.remove(book.worksheets[0])
    allowed = _("Allowed values")
    lists = {(s.name, c.name): found for s in importer.sheets for c in s.offered() if (found := _allowed(c))}
    places = {key: (n, len(found)) for n, (key, found) in enumerate(lists.items(), 1)}
    for sheet in importer.sheets:
        made: Any = book.create_sheet(str(sheet.title)[:31])
        columns = sheet.offered()
        _heads(made, columns, wrong is not None)
        for n, values in enumerate(lines[sheet.name]):
            problems = wrong[sheet.name][n] if wrong is not None else {}
            for i, c in enumerate(columns, 1):
                cell = made.cell(n + 2, i)
                _put(cell, values.get(c.name))
                if grey:
                    cell.font = GREY
                if c.name in problems:
                    cell.fill = WRONG
            if problems:
                _put(made.cell(n + 2, len(columns) + 1), problem_words(sheet, problems))
        for i, c in enumerate(columns, 1):
            if (place := places.get((sheet.name, c.name))) is not None:
                _offer(made, i, allowed, *place, strict=bool(c.field.choices))
    _values_sheet(book, allowed, lists, importer)
    _notes_sheet(book, importer)
    out = io.BytesIO()
    book.save(out)
    out.seek(0)
    return out


def _heads(made: Any, columns: Sequence[Column], remarks: bool) -> None:
    made.freeze_panes = "B2"
    for i, c in enumerate(columns, 1):
        cell = made.cell(1, i)
        _put(cell, str(c.field.label) + (" *" if c.required else ""))
        cell.font, cell.fill = Font(bold=True), MUST if c.required else HEAD
        if c.field.help or c.fixed:
            cell.comment = Comment(str(c.field.help or c.fixed), "portal")
        letter = get_column_letter(i)
        made.column_dimensions[letter].width = max(12, min(30, len(str(c.field.label)) * 2 + 4))
        # numbers of people and codes keep their zeros
        made.column_dimensions[letter].number_format = "yyyy-mm-dd" if c.field.kind == "date" else "@"
    if remarks:
        cell = made.cell(1, len(columns) + 1, str(REMARKS))
        cell.font, cell.fill = Font(bold=True), WRONG
        made.column_dimensions[get_column_letter(len(columns) + 1)].width = 60


def _put(cell: Any, value: Any) -> None:
    """A text is stored as one, never as a formula."""
    if isinstance(value, str):
        cell.value = ILLEGAL_CHARACTERS_RE.sub("", value)[:32_767]
        cell.data_type, cell.number_format = "s", "@"
    else:
        cell.value = value
        if isinstance(value, date):
            cell.number_format = "yyyy-mm-dd"


def _allowed(c: Column) -> Sequence[tuple[str, str]]:
    if c.field.kind in ("choice", "state") and c.field.choices:
        return [(str(words), "") for words in c.field.choices.values()]
    return c.reference.listed()[:MAX_LISTED] if c.reference is not None and c.reference.listed is not None else ()


def _offer(made: Any, column: int, allowed: str, place: int, count: int, *, strict: bool) -> None:
    letter = get_column_letter(2 * place - 1)
    rule = DataValidation("list", formula1=f"'{allowed}'!${letter}$3:${letter}${count + 2}", allow_blank=True)
    rule.showErrorMessage = strict  # a reference may also name a row of this file
    rule.error = _("Choose one of the allowed values.")
    rule.add(f"{get_column_letter(column)}2:{get_column_letter(column)}{FILLED_ROWS}")
    made.add_data_validation(rule)


def _values_sheet(book: Workbook, title: str, lists: Mapping[tuple[str, str], Sequence[tuple[str, str]]], importer: Importer) -> None:
    if not lists:
        return
    made: Any = book.create_sheet(title)
    made.freeze_panes = "A3"
    sheets = {s.name: s for s in importer.sheets}
    for n, ((sheet, name), found) in enumerate(lists.items()):
        label = next(c.field.label for c in sheets[sheet].columns if c.name == name)
        _put(made.cell(1, 2 * n + 1), str(sheets[sheet].title))
        _put(made.cell(2, 2 * n + 1), str(label))
        made.cell(2, 2 * n + 1).font = Font(bold=True)
        for row, (value, words) in enumerate(found, 3):
            _put(made.cell(row, 2 * n + 1), value)
            _put(made.cell(row, 2 * n + 2), words or None)
        made.column_dimensions[get_column_letter(2 * n + 1)].width = made.column_dimensions[get_column_letter(2 * n + 2)].width = 18


def _notes_sheet(book: Workbook, importer: Importer) -> None:
    made: Any = book.create_sheet(_("How to fill in"))
    made.column_dimensions["A"].width = 100
    for n, words in enumerate(notes(importer), 1):
        _put(made.cell(n, 1), str(words))
        made.cell(n, 1).alignment = Alignment(wrap_text=True)


def notes(importer: Importer) -> Iterable[Any]:
    """What to know before one fills the template."""
    return (
        _("Columns with * are needed for new rows. Keep the heads; the order of columns and rows does not matter."),
        _("Rows are found by their code or number: known ones are changed, others are new. An empty cell leaves what is stored as it is."),
        _("Rows whose first cell begins with # are left out. Formulas are not taken: put their values in."),
        *importer.notes,
    )
