"""What a file that somebody sends really is: judged by its content, never by its name, before anything reads it.

`workbook(data, name)` lets an XLSX file through that is plain data of a bearable size.  It costs no more than unpacking does:
the sizes are known before the first byte is unpacked.
"""

import io
import re
import zipfile
import zlib
from pathlib import PurePath
from typing import Any

import puremagic

from portal.kernel.errors import Invalid
from portal.kernel.i18n import _

MAX_WORKBOOK = 8 * 1024 * 1024
"""Bytes of a workbook as it is sent."""
MAX_UNPACKED = 16 * 1024 * 1024
"""Bytes of all its parts together: a workbook of 148 KB was seen that kept its reader busy for 82 seconds."""
MAX_PARTS = 400
MAX_TAGS = 1_200_000
"""Angle brackets in all its parts: each costs its reader some microseconds. 5,000 rows of 20 cells have 800,000."""
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_MAIN = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# what makes a workbook more than data, by the beginning of the part's name
_ACTIVE = ("xl/vbaproject", "xl/macrosheets/", "xl/dialogsheets/", "xl/activex/", "xl/ctrlprops/", "xl/embeddings/", "customui/")
_LINKED = ("xl/externallinks/", "xl/connections", "xl/querytables/", "xl/webextensions/", "xl/model/", "xl/customdata/")
_DECLARES = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_OUTSIDE = re.compile(rb"""TargetMode\s*=\s*["']\s*External""", re.IGNORECASE)
_HYPERLINK = re.compile(rb"""relationships/hyperlink["']""", re.IGNORECASE)
_RELATION = re.compile(rb"<(?:\w+:)?Relationship\b[^>]*>")


def kind_of(data: bytes) -> str:
    """What *data* is by its first bytes, as people call it: `PDF`, `EXE`, …; empty when nobody knows."""
    try:
        found = puremagic.magic_string(data[:4096])
    except (puremagic.PureError, ValueError):
        return ""
    known = next((f.extension for f in found if f.extension), "")
    return known.lstrip(".").upper()


def file_name(given: str | None) -> str:
    """The last part of a file's name, without what could not be shown or stored."""
    last = PurePath((given or "").replace("\\", "/")).name
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(" .")
    return kept[-120:] or "file"


def workbook(data: bytes, field: str = "file") -> None:
    """Lets *data* through when it is a workbook (XLSX) of plain data within the limits. Raises Invalid saying at *field* why not."""
    problem = _workbook_problem(data)
    if problem:
        raise Invalid({field: problem}, code="unacceptable_file")


def _workbook_problem(data: bytes) -> Any:
    if not data:
        return _("The file is empty.")
    if len(data) > MAX_WORKBOOK:
        return _("The file is larger than %(n)s MB.", n=MAX_WORKBOOK // 1024 // 1024)
    if data.startswith(_OLE):
        return _("This is an old or password-protected workbook. Save it as XLSX without a password.")
    if not data.startswith(b"PK\x03\x04"):
        kind = kind_of(data)
        if kind and kind not in ("XLSX", "ZIP"):
            return _("By its content this is no workbook (XLSX), but: %(kind)s.", kind=kind)
        return _("By its content this is no workbook (XLSX).")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _archive_problem(archive)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        zlib.error,
    ):
        return _damaged()


def _damaged() -> Any:
    return _("The file is damaged. Open it in your spreadsheet program and save it again.")


def _too_large() -> Any:
    return _("Unpacked the file is too large. Keep only the sheets of the template, with no pictures and no formats beyond the last row.")


def _archive_problem(archive: zipfile.ZipFile) -> Any:
    parts = archive.infolist()
    names = [p.filename for p in parts]
    lowered = {n.lower() for n in names}
    if len(parts) > MAX_PARTS or sum(p.file_size for p in parts) > MAX_UNPACKED:
        return _too_large()
    if any(p.flag_bits & 1 for p in parts):
        return _("The file is protected by a password.")
    if len(lowered) != len(names) or any(n.startswith("/") or "\\" in n or ".." in PurePath(n).parts for n in names):
        return _damaged()
    if any(n.startswith(_ACTIVE) for n in lowered):
        return _("The workbook holds macros or embedded programs. Save it as XLSX without them.")
    if any(n.startswith(_LINKED) for n in lowered):
        return _("The workbook takes data from other files. Break the links and save it again.")
    if "[Content_Types].xml" not in names or "xl/workbook.xml" not in lowered:
        return _("By its content this is no workbook (XLSX).")
    return _parts_problem(archive, parts)


def _parts_problem(archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo]) -> Any:
    left, tags = MAX_UNPACKED, 0
    for part in parts:
        with archive.open(part) as stream:  # no more than the directory says, and checked against its sum
            content = stream.read(left + 1)
        left -= len(content)
        if left < 0:
            return _too_large()
        tags += content.count(b"<")
        if tags > MAX_TAGS:
            return _too_large()
        # whatever it is called, a sheet may be in it
        name = part.filename.lower()
        if name.endswith((".xml", ".rels", ".vml")) and (
            content[:2] in (b"\xff\xfe", b"\xfe\xff")
            or b"\x00" in content
            or _encoding(content) not in ("", "utf-8", "utf8", "us-ascii", "ascii")
        ):
            return _("The workbook is in an unusual encoding. Save it again with your spreadsheet program.")
        if _DECLARES.search(content):
            return _("The workbook holds declarations that have no place in one. Save it again with your spreadsheet program.")
        if name.endswith(".rels") and any(_OUTSIDE.search(r) and not _HYPERLINK.search(r) for r in _RELATION.findall(content)):
            return _("The workbook takes data from other files. Break the links and save it again.")
        if name == "[content_types].xml" and _MAIN not in content:
            return _("This is a workbook with macros or a template of one. Save it as XLSX.")
    return ""


def _encoding(content: bytes) -> str:
    found = re.match(rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)""", content[:400])
    return found[1].decode("ascii", "replace").lower() if found else ""
