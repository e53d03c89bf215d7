"""From cells to rows: heads matched in either language, cells read by the fields of the model, everything wrong said in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask_babel import force_locale

from portal.kernel.errors import Invalid
from portal.kernel.i18n import LANGUAGES, _, _l, listed
from portal.lowcode.importing.declared import Column, Importer, Sheet, Stored
from portal.lowcode.importing.reading import Cell, Grid
from portal.web.fields import FieldError

EXAMPLE = "#"
"""First character of a row that is only an example or a remark."""


REMARKS = _l("Errors")
"""Head of the column that the file of errors has more; what stands in it is left out."""


@dataclass
class Line:
    """One row of the file on its way: its texts, the values read from them, what is wrong, and what became of it."""

    sheet: Sheet
    number: int
    cells: dict[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    waits: dict[str, "Line"] = field(default_factory=dict)
    """Columns that refer to rows of the same file that are not stored yet."""
    stored: Stored | None = None
    outcome: str = "same"
    changes: dict[str, list[str]] = field(default_factory=dict)
    """Column → what it was and what it becomes, in words."""
    refers: dict[str, list[Any]] = field(default_factory=dict)
    """Column → id and name of the stored record it refers to."""
    record_id: int | None = None
    ids: dict[int, int | None] = field(default_factory=dict)
    """Its id as each reference to it understands it, once stored."""

    @property
    def key(self) -> str:
        """The natural key."""
        return self.cells.get(self.sheet.key, "")

    @property
    def place(self) -> str:
        """Where a person finds the row."""
        return str(_("sheet “%(sheet)s”, row %(n)s", sheet=self.sheet.title, n=self.number))


def lines(importer: Importer, grids: Sequence[Grid]) -> list[Line]:
    """Every filled row of every sheet of *importer*. Raises Invalid when the file does not fit the template."""
    found: list[Line] = []
    known = {_plain(word): sheet for sheet in importer.sheets for word in (*in_all_languages(sheet.title), sheet.name)}
    taken: set[str] = set()
    for grid in grids:
        sheet = known.get(_plain(grid.title))
        if sheet is None and len(importer.sheets) == 1 and not taken:
            sheet = importer.sheets[0]
        if sheet is None or not grid.rows:
            continue
        if sheet.name in taken:
            raise _misfit(_("Two sheets are called “%(sheet)s”.", sheet=sheet.title))
        taken.add(sheet.name)
        found += _of_sheet(sheet, grid)
    if not taken:
        raise _misfit(_("No sheet is called as in the template: %(sheets)s.", sheets=listed(s.title for s in importer.sheets)))
    if not found:
        raise _misfit(_("The file holds no rows."))
    _same_keys(found)
    return found


def _misfit(words: str) -> Invalid:
    return Invalid({"file": words}, code="unacceptable_file")


def in_all_languages(text: Any) -> list[str]:
    """A lazy text in every language."""
    out = []
    for language in LANGUAGES:
        with force_locale(language):
            out.append(str(text))
    return out


def _plain(text: str) -> str:
    return "".join(text.split()).rstrip("*＊").casefold()


def _of_sheet(sheet: Sheet, grid: Grid) -> list[Line]:
    offered = sheet.offered()
    words = {_plain(word): c for c in offered for word in (*in_all_languages(c.field.label), c.name)}
    head = _head(sheet, grid, words)
    out = []
    for number, cells in grid.rows[1:]:
        line = Line(sheet, number, {})
        for n, c in head.items():
            _cell(line, c, cells[n] if n < len(cells) else None)
        if not (line.cells or line.problems) or next(iter(line.cells.values()), "").startswith(EXAMPLE):
            continue
        if not line.key:
            line.problems.setdefault(sheet.key, _("This is required."))
        out.append(line)
    return out


def _head(sheet: Sheet, grid: Grid, words: Mapping[str, Column]) -> dict[int, Column]:
    found: dict[int, Column] = {}
    unknown = []
    remarks = {_plain(word) for word in in_all_languages(REMARKS)}
    for n, cell in enumerate(grid.rows[0][1]):
        if cell is None or (isinstance(cell, str) and _plain(cell) in remarks):
            continue
        c = words.get(_plain(cell)) if isinstance(cell, str) else None
        if c is None:
            unknown.append(str(cell)[:40] if isinstance(cell, str) else "?")
        elif c in found.values():
            raise _misfit(_("Sheet “%(sheet)s” has the column “%(column)s” twice.", sheet=sheet.title, column=c.field.label))
        else:
            found[n] = c
    if unknown:
        raise _misfit(_("Sheet “%(sheet)s” has columns nobody knows: %(columns)s.", sheet=sheet.title, columns=listed(unknown[:10])))
    if sheet.key not in {c.name for c in found.values()}:
        label = next(c.field.label for c in sheet.columns if c.name == sheet.key)
        raise _misfit(_("Sheet “%(sheet)s” lacks the column “%(column)s”.", sheet=sheet.title, column=label))
    return found


def _cell(line: Line, c: Column, cell: Cell) -> None:
    if isinstance(cell, dict):
        line.problems[c.name] = _unusable(cell)
        return
    text = (cell or "").strip()
    if not text:
        return
    line.cells[c.name] = text
    if c.reference is not None:
        if len(text) > 200 or "\x00" in text:
            line.problems[c.name] = _("Is too large")
        return
    try:
        line.values[c.name] = c.field.parse(_usual(c, text))
    except FieldError as e:
        line.problems[c.name] = str(e)


def _unusable(cell: Mapping[str, Any]) -> Any:
    if cell.get("formula"):
        return _("The cell holds a formula. Put its value in as text or number.")
    if cell.get("long"):
        return _("At most %(n)s characters.", n=cell["long"])
    return _("The cell holds an error of the spreadsheet: %(what)s.", what=cell["error"])


_DAY = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?")


def _usual(c: Column, text: str) -> str:
    """People write a choice by its words in either language, and a day in several ways."""
    if c.field.kind == "date" and (day := _DAY.fullmatch(text)):
        return f"{day[1]}-{int(day[2]):02}-{int(day[3]):02}"
    if c.field.kind not in ("choice", "state", "bool"):
        return text
    if c.field.kind == "bool":
        return {"是": "yes", "否": "no", "√": "yes", "×": "no"}.get(text, text)
    if text in c.field.choices:
        return text
    wanted = _plain(text)
    for value, words in c.field.choices.items():
        if wanted in {_plain(w) for w in in_all_languages(words)}:
            return str(value)
    raise FieldError(_("Is not one of the choices: %(choices)s", choices=listed(c.field.choices.values())))


def _same_keys(found: Sequence[Line]) -> None:
    first: dict[tuple[str, str], Line] = {}
    for line in found:
        if not line.key:
            continue
        other = first.setdefault((line.sheet.name, line.key), line)
        if other is not line:
            line.problems.setdefault(line.sheet.key, _("Row %(n)s has the same key.", n=other.number))
