"""From an uploaded workbook to the texts of its cells, in a process of its own with bounds of time, memory and output."""

import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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
MAX_CELLS = 200_000
"""Filled cells of all sheets together: 5,000 rows of 20 columns are half of it."""
MAX_TEXT = 2_000
"""Characters of one cell; a longer one is an error of its row."""
MAX_OUTPUT = 24 * 1024 * 1024
SECONDS = 20
_PIECE = 64 * 1024
_READER = Path(__file__).with_name("reader.py")

Cell = str | dict[str, Any] | None
"""A text as typed; None for an empty cell; an object for a formula, an error value or a text that is too long."""


@dataclass
class Grid:
    """The filled rows of one sheet: row number as the spreadsheet shows it, and its cells."""

    title: str
    rows: list[tuple[int, list[Cell]]] = field(default_factory=list)


class _TooMuch(Exception):
    """The reader writes more than anybody wants to hold."""


@dataclass
class _Reader:
    """The process that reads; its output comes line by line and is counted, so that no more of it is held than is used."""

    data: bytes
    status: int = 0
    said: bytes = b""

    def lines(self) -> Iterator[bytes]:
        """What it answers. Raises TimeoutError and _TooMuch; the process is gone in any case."""
        bounds = [str(n) for n in (MAX_ROWS + 1, MAX_COLUMNS, MAX_CELLS, MAX_TEXT)]
        with tempfile.TemporaryFile() as sent:  # a pipe would have to be filled while the answer is read
            sent.write(self.data)
            sent.seek(0)
            child = subprocess.Popen(
                [sys.executable, "-I", str(_READER), *bounds],
                stdin=sent,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"LC_ALL": "C.UTF-8"},
                bufsize=0,
            )
        with child:
            try:
                yield from self._follow(child)
                self.status = child.wait(SECONDS)
            finally:
                child.kill()

    def _follow(self, child: "subprocess.Popen[bytes]") -> Iterator[bytes]:
        until, size, rest = time.monotonic() + SECONDS, 0, b""
        with selectors.DefaultSelector() as ready:
            for pipe in (child.stdout, child.stderr):
                assert pipe is not None
                ready.register(pipe, selectors.EVENT_READ)
            while ready.get_map():
                events = ready.select(max(0.0, until - time.monotonic()))
                if not events or time.monotonic() > until:
                    raise TimeoutError
                for key, _mask in events:
                    stream: Any = key.fileobj
                    piece = stream.read(_PIECE)
                    size += len(piece)
                    if size > MAX_OUTPUT:
                        raise _TooMuch
                    if not piece:
                        ready.unregister(stream)
                    elif stream is child.stderr:
                        self.said = (self.said + piece)[-4_000:]
                    else:
                        *whole, rest = (rest + piece).split(b"\n")
                        yield from whole
        if rest:
            yield rest


def read(data: bytes) -> list[Grid]:
    """The visible sheets of a workbook that `uploads.workbook` let through. Raises Invalid saying why it cannot be read."""
    reader, found, ended = _Reader(data), dict[str, Grid](), False
    try:
        for line in reader.lines():
            told = orjson.loads(line)
            if isinstance(told, dict):
                ended = True
                continue
            title, number, cells = told
            found.setdefault(title, Grid(title)).rows.append((number, cells))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise _refused(_("Reading the file takes too long. Split it into smaller ones.")) from None
    except (_TooMuch, orjson.JSONDecodeError):
        raise _too_large() from None
    match reader.status:
        case 0 if ended:
            return list(found.values())
        case 3:
            raise _refused(_("A sheet has more than %(n)s rows. Split the file.", n=MAX_ROWS))
        case 4:
            raise _refused(_("A sheet has more than %(n)s columns.", n=MAX_COLUMNS))
        case 0 | 5 | -9 | -24:
            raise _too_large()
    log.info("import.unreadable", status=reader.status, said=reader.said.decode("utf-8", "replace").strip().splitlines()[-1:])
    raise _refused(_("The file cannot be read. Open it in your spreadsheet program and save it again as XLSX."))


def _refused(words: str) -> Invalid:
    return Invalid({"file": words}, code="unacceptable_file")


def _too_large() -> Invalid:
    return _refused(_("The file is too large to read. Split it into smaller ones."))
