"""From an uploaded workbook to the texts of its cells, in a process of its own with bounds of time, memory and output."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog

from portal.kernel.errors import Invalid
from portal.kernel.i18n import _

log = structlog.get_logger(__name__)
MAX_ROWS = 5_000
MAX_COLUMNS = 100
SECONDS = 20
MAX_OUTPUT = 32 * 1024 * 1024
_READER = Path(__file__).with_name("reader.py")

Cell = str | dict[str, Any] | None
"""A text as typed; None for an empty cell; an object for a formula or an error value."""


@dataclass
class Grid:
    """The filled rows of one sheet: row number as the spreadsheet shows it, and its cells."""

    title: str
    rows: list[tuple[int, list[Cell]]] = field(default_factory=list)


def read(data: bytes) -> list[Grid]:
    """The visible sheets of a workbook that `uploads.workbook` let through. Raises Invalid saying why it cannot be read."""
    command = [sys.executable, "-I", str(_READER), str(MAX_ROWS + 1), str(MAX_COLUMNS)]
    try:
        # its output is bounded by the rows and columns it may write and by its own memory
        done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, check=False, env={"LC_ALL": "C.UTF-8"})
    except subprocess.TimeoutExpired:
        raise _refused(_("Reading the file takes too long. Split it into smaller ones.")) from None
    match done.returncode:
        case 0 if len(done.stdout) <= MAX_OUTPUT:
            return _grids(done.stdout)
        case 3:
            raise _refused(_("A sheet has more than %(n)s rows. Split the file.", n=MAX_ROWS))
        case 4:
            raise _refused(_("A sheet has more than %(n)s columns.", n=MAX_COLUMNS))
        case 0 | 5 | -9 | -24:
            raise _refused(_("The file is too large to read. Split it into smaller ones."))
    log.info("import.unreadable", status=done.returncode, said=done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:])
    raise _refused(_("The file cannot be read. Open it in your spreadsheet program and save it again as XLSX."))


def _refused(words: str) -> Invalid:
    return Invalid({"file": words}, code="unacceptable_file")


def _grids(output: bytes) -> list[Grid]:
    lines = output.splitlines()
    if not lines or orjson.loads(lines[-1]) != {"end": True}:
        raise _refused(_("The file is too large to read. Split it into smaller ones."))
    found: dict[str, Grid] = {}
    for line in lines[:-1]:
        title, number, cells = orjson.loads(line)
        found.setdefault(title, Grid(title)).rows.append((number, cells))
    return list(found.values())
