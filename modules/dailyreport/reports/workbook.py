"""The team board as a workbook: exactly what the page shows (DAY-05)."""

import io
from decimal import Decimal
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill

from modules.dailyreport import rules
from modules.dailyreport.reports.period import day_words
from modules.dailyreport.reports.team import Board, Cell, Unit
from modules.hr.models import Leave
from portal.kernel.i18n import _
from portal.web.exporting import harmless

FILLS = {"ok": "E2F4EB", "info": "E4EFFB", "warn": "FCF0D5", "risk": "FDE9E7", "rest": "F0EAFB", "due": "FCF0D5"}
BOLD = Font(bold=True)


def cell_words(cell: Cell) -> str:
    """A cell in a word: what its colour says."""
    if cell.tone == "rest":
        return str(Leave.KINDS.get(cell.leave, cell.leave))
    words = {
        "ok": _("Confirmed"),
        "info": _("To be confirmed"),
        "warn": _("Returned"),
        "risk": _("Missing"),
        "due": _("Not yet"),
    }
    return str(words.get(cell.tone, ""))


def workbook(board: Board, units: dict[int, Unit], heading: str) -> io.BytesIO:
    """Sheets of people by day, hours by project and day, and problems. Figures are numbers, texts cannot become formulas."""
    book = Workbook()
    people: Any = book.active
    people.title = _("People")
    people.append([harmless(heading)])
    people["A1"].font = BOLD
    days = board.period.days
    head = [_("Department"), _("Person"), *(day_words(d) for d in days), _("Total hours"), _("Overtime"), _("Days due"), _("Saturation")]
    people.append(head)
    for row in board.rows:
        unit = units.get(row.person.department_id)
        values: list[Any] = [harmless(unit.name if unit else ""), harmless(row.person.name)]
        values += [c.hours if c.hours is not None else (cell_words(c) or None) for c in row.cells]
        overtime = sum((c.overtime for c in row.cells), Decimal(0))
        values += [row.hours, overtime, row.due, rules.four_places(row.saturation)]
        people.append(values)
        line = people.max_row
        for n, cell in enumerate(row.cells):
            if cell.tone in FILLS:
                people.cell(line, 3 + n).fill = PatternFill("solid", fgColor=FILLS[cell.tone])
        people.cell(line, len(values)).number_format = "0.0%"
    _finish(people, [18, 12, *([9] * len(days)), 10, 10, 10, 10], 2)

    hours = book.create_sheet(_("Hours by project"))
    hours.append([_("Day"), _("Project or kind of work"), _("Hours")])
    for part in sorted(board.slices, key=lambda p: (p.day, p.label)):
        hours.append([part.day, harmless(part.label), part.hours])
    _finish(hours, [12, 40, 10], 1)

    problems = book.create_sheet(_("Problems"))
    problems.append([_("Day"), _("Person"), _("Problems and risks")])
    for problem in board.problems:
        problems.append([problem.day, harmless(problem.person.name), harmless(problem.text)])
    _finish(problems, [12, 12, 80], 1)
    out = io.BytesIO()
    book.save(out)
    out.seek(0)
    return out


def _finish(sheet: Any, widths: list[int], heads: int) -> None:
    for n, width in enumerate(widths, 1):
        sheet.column_dimensions[sheet.cell(1, n).column_letter].width = width
    for cell in sheet[heads]:
        cell.font = BOLD
        cell.alignment = Alignment(horizontal="center")
    sheet.freeze_panes = sheet.cell(heads + 1, 3 if heads == 2 else 1)
