"""Files that are not what they seem: each is refused in words, quickly, in little memory."""

import io
import re
import resource
import time
import tracemalloc
import zipfile

import pytest
from openpyxl import Workbook

from portal.kernel import uploads
from portal.kernel.errors import Invalid
from portal.lowcode.importing import reading

SHEET = "xl/worksheets/sheet1.xml"
HEAD = b'<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
TAIL = b"</sheetData></worksheet>"
MANY = 90


def plain(rows=(("code", "name"), ("D1", "一部"))):
    book = Workbook()
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def changed(parts, drop=()):
    """A sound workbook with some parts replaced, added or dropped."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain())) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in drop and name not in parts:
                new.writestr(name, old.read(name))
        for name, content in parts.items():
            new.writestr(name, content)
    return out.getvalue()


def part(name):
    with zipfile.ZipFile(io.BytesIO(plain())) as old:
        return old.read(name)


def zipped(parts):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return out.getvalue()


def lying():
    """The directory says one kilobyte where twenty megabytes come out."""
    data = bytearray(changed({SHEET: HEAD + b" " * 20_000_000 + TAIL}))
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(SHEET.encode()))
    data[at + 24 : at + 28] = (1024).to_bytes(4, "little")
    return bytes(data)


def spoilt():
    data = bytearray(plain())
    at = data.find(SHEET.encode()) + len(SHEET) + 20
    data[at : at + 30] = bytes(30)
    return bytes(data)


def encrypted():
    data = bytearray(plain())
    for mark, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = data.find(mark)
        data[at + flags] |= 1
    return bytes(data)


LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row><c t="inlineStr"><is><t>&c;</t></is></c>'
    b"</row></sheetData></worksheet>"
)
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
LINK = (
    b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    b'<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"'
    b' Target="http://127.0.0.1:9/x" TargetMode="External"/>'
    b"</Relationships>"
)


def sheets(sheet, count):
    """A workbook of *count* sheets with the same content."""
    names = [f"xl/worksheets/sheet{n}.xml" for n in range(2, count + 1)]
    rels, types, book = (part(n) for n in ("xl/_rels/workbook.xml.rels", "[Content_Types].xml", "xl/workbook.xml"))
    kind = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
    more = b"".join(b'<Relationship Id="x%d" Type="%s" Target="/%s"/>' % (n, kind, x.encode()) for n, x in enumerate(names))
    listed = b"".join(b'<sheet name="s%d" sheetId="%d" r:id="x%d" xmlns:r="%s"/>' % (n, n + 9, n, kind[:-10]) for n in range(len(names)))
    plus = b"".join(
        b'<Override PartName="/%s" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>' % x.encode()
        for x in names
    )
    return changed({
        **dict.fromkeys((SHEET, *names), sheet),
        "xl/_rels/workbook.xml.rels": rels.replace(b"</Relationships>", more + b"</Relationships>"),
        "[Content_Types].xml": types.replace(b"</Types>", plus + b"</Types>"),
        "xl/workbook.xml": book.replace(b"</sheets>", listed + b"</sheets>"),
    })  # fmt: skip


def repeated(text, rows, columns=MANY):
    """One text of the table of shared ones, in every cell: the file stays small, what comes out of it does not."""
    shared = f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>{text}</t></si></sst>'
    row = b"<row>" + b'<c t="s"><v>0</v></c>' * columns + b"</row>"
    strings = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    told = b'<Override PartName="/xl/sharedStrings.xml" ContentType="%s"/></Types>' % strings
    types = part("[Content_Types].xml").replace(b"</Types>", told)
    return changed({"[Content_Types].xml": types, "xl/sharedStrings.xml": shared.encode(), SHEET: HEAD + row * rows + TAIL})


# kind: (how it is made, a word of what the person reads)
HOSTILE = {
    "empty": (lambda: b"", "empty"),
    "a program": (lambda: b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff" + bytes(4000), "no workbook"),
    "a PDF": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(400), "PDF"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(400), "PNG"),
    "a web page": (lambda: b"<html><script>alert(1)</script></html>", "no workbook"),
    "a text": (lambda: "编号,名称\nD1,一部\n".encode("gb18030"), "no workbook"),
    "an old workbook": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4000), "old or password-protected"),
    "another archive": (lambda: zipped({"a.txt": b"x"}), "no workbook"),
    "a letter": (lambda: zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>"}), "no workbook"),
    "too large": (lambda: b"PK\x03\x04" + bytes(uploads.MAX_WORKBOOK), "larger than"),
    "a bomb": (lambda: changed({SHEET: HEAD + b" " * 60_000_000 + TAIL}), "too large"),
    "a bomb beside the sheets": (lambda: changed({"xl/media/image1.bin": bytes(40_000_000)}), "too large"),
    "a lying directory": (lying, "damaged"),
    "a thousand parts": (lambda: changed({f"xl/media/{n}.bin": b"" for n in range(1000)}), "too large"),
    "cut off": (lambda: plain()[:-600], "damaged"),
    "spoilt bytes": (spoilt, "damaged"),
    "protected": (encrypted, "password"),
    "macros": (lambda: changed({"xl/vbaProject.bin": b"\xd0\xcf\x11\xe0"}), "macros"),
    "called a workbook with macros": (
        lambda: changed({"[Content_Types].xml": part("[Content_Types].xml").replace(
            b"vnd.openxmlformats-officedocument.spreadsheetml.sheet.main", b"vnd.ms-excel.sheet.macroEnabled.main")}), "macros"),
    "an embedded program": (lambda: changed({"xl/embeddings/oleObject1.bin": b"MZ"}), "embedded"),
    "links to other workbooks": (lambda: changed({"xl/externalLinks/externalLink1.xml": b"<x/>"}), "other files"),
    "a picture from elsewhere": (lambda: changed({"xl/worksheets/_rels/sheet1.xml.rels": LINK}), "other files"),
    "a data connection": (lambda: changed({"xl/connections.xml": b"<connections/>"}), "other files"),
    "entities that grow": (lambda: changed({SHEET: LAUGHS}), "declarations"),
    "entities from files": (lambda: changed({"xl/workbook.xml": OUTSIDE + part("xl/workbook.xml")}), "declarations"),
    "UTF-16": (lambda: changed({SHEET: LAUGHS.decode().encode("utf-16")}), "encoding"),
    "UTF-7": (lambda: changed({SHEET: b'<?xml version="1.0" encoding="utf-7"?><a/>'}), "encoding"),
    "names that climb": (lambda: changed({"xl/../../evil.xml": b"<x/>"}), "damaged"),
    "broken XML": (lambda: changed({SHEET: HEAD + b"<row><c>"}), "cannot be read"),
    "bytes that are no text": (lambda: changed({SHEET: HEAD + b"<row><c><v>\xff\xfe\xfd</v></c></row>" + TAIL}), "cannot be read"),
    "a row without end": (
        lambda: changed({SHEET: HEAD + b'<row r="1152921504606846976"><c r="A1"><v>1</v></c></row>' + TAIL}), "rows"),
    "a million rows": (lambda: changed({SHEET: HEAD + b"<row/>" * 2_000_000 + TAIL}), "too large"),
    "a cell beyond the last row": (lambda: changed({SHEET: HEAD + b'<row r="1048578"><c><v>1</v></c></row>' + TAIL}), "rows"),
    "too many rows": (lambda: plain([("code",)] + [(f"D{n}",) for n in range(reading.MAX_ROWS + 2)]), "rows"),
    "too many columns": (lambda: plain([[f"c{n}" for n in range(reading.MAX_COLUMNS + 5)]]), "columns"),
    "four million cells in a row": (lambda: changed({SHEET: HEAD + b"<row>" + b"<c/>" * 4_000_000 + b"</row>" + TAIL}), "too large"),
    "a long text in a quarter of a million cells": (lambda: repeated("长" * 2_000, 2_700), "too large"),
    "more cells than anybody fills": (lambda: sheets(HEAD + (b"<row>" + b"<c><v>1</v></c>" * 95 + b"</row>") * 540 + TAIL, 4), "too large"),
    "a very wide row": (
        lambda: changed({SHEET: HEAD + b'<row r="1">' + b"<c><v>1</v></c>" * 16_384 + b"</row>" + TAIL}), "columns"),
    "a cell beyond the last column": (
        lambda: changed({SHEET: HEAD + b'<row r="1"><c r="ZZZZZZ1"><v>1</v></c></row>' + TAIL}), "columns|cannot be read|too large"),
    "texts without end": (
        lambda: changed({"xl/sharedStrings.xml": b'<?xml version="1.0"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
                         + b"<si><t>x</t></si>" * 900_000 + b"</sst>"}), ""),
}  # fmt: skip


@pytest.mark.req("HRM-09", part="xlsx, hostile files")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_quickly_in_little_memory(app, kind):
    make, words = HOSTILE[kind]
    data = make()
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    own = time.process_time()
    tracemalloc.start()
    with app.test_request_context("/"):
        from flask_babel import force_locale

        with force_locale("en"):
            try:
                uploads.workbook(data)
                grids = reading.read(data)
            except Invalid as e:
                said = e.fields["file"]
            else:
                said = ""
                # without end, but harmless: nothing of it came through
                assert kind == "texts without end" and sum(len(g.rows) for g in grids) <= 2
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert re.search(words, said), said
    assert peak < 40_000_000, f"{peak / 1e6:.0f} MB in the portal's own process"
    # a child counts what its parent held when it was made, and other children count too
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after.ru_maxrss < max(400_000, before.ru_maxrss + 1, mine * 1.1), f"the reader took {after.ru_maxrss / 1000:.0f} MB"
    # the machine may be busy: what counts is the work it makes
    work = time.process_time() - own + after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert work < 5, f"{work:.1f} s of work, {time.monotonic() - begun:.1f} s in all"


@pytest.mark.req("HRM-09", part="xlsx, hostile files")
def test_the_reader_is_stopped_when_it_says_too_much(app, monkeypatch):
    """What comes out is counted while it comes: neither all of it is waited for nor held."""
    data = repeated("x" * 1_900, 2_000, 20)  # 76 MB
    monkeypatch.setattr(reading, "MAX_OUTPUT", 2_000_000)
    children, begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.monotonic()
    tracemalloc.start()
    with app.test_request_context("/"), pytest.raises(Invalid):
        reading.read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000, f"{peak / 1e6:.0f} MB"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - children < 2, time.monotonic() - begun


@pytest.mark.req("HRM-09", part="xlsx, cells")
def test_a_cell_of_more_characters_than_anybody_reads_is_an_error_of_its_row(app):
    with app.test_request_context("/"):
        data = repeated("x" * 32_000, 2, 2)
        uploads.workbook(data)
        assert reading.read(data)[0].rows == [(n, [{"long": reading.MAX_TEXT}] * 2) for n in (1, 2)]


@pytest.mark.req("HRM-09", part="xlsx, cells")
def test_a_sound_workbook_is_read_as_people_see_it(app):
    from datetime import date, datetime

    rows = [
        ("数字", 7, 7.0, 0.1, 12345678901234), ("日期", date(2026, 3, 31), datetime(2026, 3, 31, 9, 30), None, None),
        ("文本", "007", " x ", True, "是"), (None, None), ("公式", "=1+1", "=HYPERLINK(\"http://x\")", None, None),
    ]  # fmt: skip
    with app.test_request_context("/"):
        data = plain(rows)
        uploads.workbook(data)
        grid = reading.read(data)[0]
    assert grid.rows == [
        (1, ["数字", "7", "7", "0.1", "12345678901234"]),
        (2, ["日期", "2026-03-31", "2026-03-31T09:30"]),
        (3, ["文本", "007", " x ", "true", "是"]),
        (5, ["公式", {"formula": True}, {"formula": True}]),
    ]


def test_names_of_files_are_only_names():
    assert uploads.file_name("C:\\Users\\x\\组织.xlsx") == "组织.xlsx"
    assert uploads.file_name("../../etc/passwd") == "passwd"
    assert uploads.file_name('<b>"a\x00\n.xlsx') == "ba.xlsx"
    assert uploads.file_name(None) == "file"
