"""Reads a workbook in a process of its own, with bounds: `python reader.py` takes the file on standard input and writes JSON lines.

Each line is `[sheet, row, [cell, …]]`; a cell is a text, null, or `{"formula": true}` / `{"error": "#REF!"}` / `{"long": 2000}` for a
text of more characters than that.  The last line is `{"end": true}`.
Nothing of the portal is imported here: the process starts quickly and stays small.
"""

import io
import json
import resource
import sys
import warnings
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

MEMORY = 384 * 1024 * 1024
SECONDS = 8
MAX_SHEETS = 20
LAST_ROW = 1_048_576


def main(max_rows: int, max_columns: int, max_cells: int, max_text: int) -> int:
    """Exit status 0, or 3 when a sheet has more rows than *max_rows*, 4 when a row has more than *max_columns* cells, 5 when all sheets
    together have more than *max_cells* filled ones.  *max_text*: characters of a cell."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # writes no file
    warnings.simplefilter("ignore")
    from openpyxl import load_workbook
    from openpyxl.xml import DEFUSEDXML

    if not DEFUSEDXML:
        raise SystemExit("defusedxml is missing")
    book = load_workbook(io.BytesIO(sys.stdin.buffer.read()), read_only=True, data_only=False, keep_links=False)
    left = max_cells
    for sheet in book.worksheets[:MAX_SHEETS]:
        if sheet.sheet_state != "visible":
            continue
        status, filled = _rows(sheet, max_rows, max_columns, left, max_text)
        if status:
            return status
        left -= filled
    print(json.dumps({"end": True}))  # noqa: T201 - this is the answer
    return 0


def _rows(sheet: Any, max_rows: int, max_columns: int, max_cells: int, max_text: int) -> tuple[int, int]:
    """Writes the rows of a sheet; the exit status and its filled cells."""
    # the size it declares may be wrong
    sheet.reset_dimensions()
    seen, filled, gap = 0, 0, None
    for passed, row in enumerate(sheet.iter_rows(max_col=max_columns + 1)):
        if passed > LAST_ROW:
            return 3, 0
        if row is gap:  # rows left out come as one and the same object
            continue
        cells = [_plain(c, max_text) for c in row]
        while cells and cells[-1] is None:
            cells.pop()
        if not cells:
            gap = row
            continue
        if len(cells) > max_columns:
            return 4, 0
        seen += 1
        if seen > max_rows:
            return 3, 0
        filled += sum(c is not None for c in cells)
        if filled > max_cells:
            return 5, 0
        number = next(c.row for c in row if getattr(c, "row", None) is not None)
        print(json.dumps([sheet.title, number, cells], ensure_ascii=True))  # noqa: T201 - this is the answer
    return 0, filled


def _plain(cell: Any, max_text: int) -> Any:
    value, kind = cell.value, getattr(cell, "data_type", "n")
    if value is None or value == "":
        return None
    if kind == "f" or (isinstance(value, str) and value.startswith("=") and kind != "s" and kind != "inlineStr"):
        return {"formula": True}
    if kind == "e":
        return {"error": str(value)[:20]}
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time(0) else value.isoformat(timespec="minutes")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else format(Decimal(repr(value)), "f")
    if isinstance(value, str):
        return value if len(value) <= max_text else {"long": max_text}
    return str(value)


if __name__ == "__main__":
    try:
        sys.exit(main(*map(int, sys.argv[1:])))
    except MemoryError:
        sys.exit(5)
