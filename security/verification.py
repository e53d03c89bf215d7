"""Verifying the sealed history, and the anchors outside the database that show when its end was cut off (VIS-13).

An anchor is one line of a file: time, sequence, hash. Whoever can write everything in the database could chain everything anew; what the
file said before would no longer fit. docs/adr/0017-sealed-history.md
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import insert, select, text

from portal.kernel import calendar
from portal.kernel.db import session, unrestricted
from portal.kernel.events import publish
from portal.kernel.i18n import _l
from portal.kernel.jobs import job
from portal.kernel.settings import settings
from security import sealing
from security.sealing import CONTENT, GENESIS, AuditCheck

log = structlog.get_logger(__name__)

SHOWN = 20
"""Problems kept with their place; the rest is only counted."""
KINDS = {
    "changed": _l("the entry was changed"),
    "missing": _l("the entry is gone"),
    "seal": _l("the seal was changed"),
    "gap": _l("the seal is gone"),
    "double": _l("the place is taken twice"),
    "order": _l("the entry stands in another place than when it was sealed"),
    "inserted": _l("the entry was put in later"),
    "future": _l("the entry names a transaction that has not begun"),
    "erased": _l("a value is gone without an erasure on record"),
    "anchor": _l("the chain differs from its anchor: it was made anew"),
    "cut": _l("the end is cut off before its anchor"),
    "unreadable": _l("the anchor cannot be read"),
    "no_anchors": _l("anchors were written that their file does not have: it is gone or an older one"),
}


@dataclass(frozen=True)
class AuditBroken:
    """A verification found the history altered."""

    problems: int
    kind: str
    seq: int | None
    entry: int | None


@dataclass(frozen=True)
class Problem:
    """What is wrong where: *kind* is one of `KINDS`; *note* says more for the operator."""

    kind: str
    seq: int | None = None
    entry: int | None = None
    note: str = ""

    def place(self) -> str:
        """Where, in English, for the command line."""
        parts = [f"sequence {self.seq}"] if self.seq is not None else []
        parts += [f"entry {self.entry}"] if self.entry is not None else []
        return ", ".join([*parts, *([self.note] if self.note else [])])


@dataclass
class Report:
    """What a verification found. *problems* in the order of the chain; *count* of all, also of those not kept."""

    sealed: int = 0
    head: str = ""
    unsealed: int = 0
    oldest: datetime | None = None
    erased: int = 0
    anchors: int = 0
    anchored: int = 0
    count: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return self.count == 0

    def add(self, problem: Problem) -> None:
        """Notes *problem*."""
        self.count += 1
        if len(self.problems) < SHOWN:
            self.problems.append(problem)


# ------------------------------------------------------------------ anchors
@dataclass(frozen=True)
class Anchor:
    """A head of the chain as it was once written outside."""

    at: datetime
    seq: int
    hash: str


_LINE = re.compile(r"(\S{10,40}) ([0-9]{1,18}) ([0-9a-f]{64})")


def anchor_file() -> Path:
    """Where anchors are kept."""
    return settings().audit_anchors or settings().data_dir / "audit-anchors.txt"


def anchors(path: Path) -> Iterator[Anchor | int]:
    """The anchors of the file; for a line that is none, its number."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for n, line in enumerate(lines, 1):
            if line.strip():
                yield _anchor_of(line) or n


def _anchor_of(line: str) -> Anchor | None:
    found = _LINE.fullmatch(line.strip())
    try:
        return Anchor(datetime.fromisoformat(found[1]).astimezone(calendar.zone()), int(found[2]), found[3]) if found else None
    except (ValueError, OverflowError):
        return None


def last_anchor(path: Path) -> Anchor | None:
    """The newest anchor, read from the end of the file."""
    if not path.is_file():
        return None
    with path.open("rb") as f:
        f.seek(max(0, f.seek(0, os.SEEK_END) - 4096))
        lines = f.read().decode("utf-8", "replace").splitlines()
    return next((found for found in map(_anchor_of, reversed(lines)) if found is not None), None)


def write_anchor(path: Path, seq: int, hash_: str) -> None:
    """Appends one line, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # the machine stopped in the middle of a line
        line = f"{calendar.now().isoformat(timespec='seconds')} {seq} {hash_}\n"
        os.write(handle, (("\n" if torn else "") + line).encode())
        os.fsync(handle)
    finally:
        os.close(handle)


EVERY = timedelta(minutes=10)
"""An anchor at least this often, if anything was sealed: what came after the last one can be cut off unseen."""


def anchor(path: Path, *, at_once: bool = False) -> bool:
    """Writes an anchor for what is sealed and committed: when `EVERY` passed, after so many entries, or *at_once*. Whether it did.

    Inside `unrestricted`, before anything is sealed in the same transaction: the file must not know more than the database keeps.
    A file that cannot be read or written stops nothing: it is logged, and the auditor's page shows how old the last anchor is.
    """
    seq, hash_ = sealing.head()
    try:
        last = last_anchor(path)
        if seq == 0 or (last is not None and seq <= last.seq):
            return False
        if last is not None and not at_once:
            due = abs(calendar.now() - last.at) >= EVERY  # a clock set back must not stop anchors until it has caught up
            if not due and seq - last.seq < settings().audit_anchor_entries:
                return False
        write_anchor(path, seq, hash_)
    except OSError as error:
        log.error("audit.anchor_not_written", path=str(path), error=str(error))
        return False
    session().execute(insert(AuditCheck).values(what="anchored", seq=seq, hash=hash_))
    return True


# ------------------------------------------------------------------ verifying
_CHAIN = f"""select s.seq, s.entry_id, s.previous, s.hash, a.id, {CONTENT} as content, a.residue is not null as residue
        from security_audit_seal s left join audit_entry a on a.id = s.entry_id order by s.seq"""  # noqa: S608 - constants
_TAIL = text(
    """select count(*), min(a.at) from audit_entry a
        where not exists (select from security_audit_seal s where s.entry_id = a.id)
          and a.txid >= coalesce((select horizon from security_audit_seal order by seq desc limit 1), 0)"""
)
# everything visible to a statement began before its snapshot ends
_ODD = text(
    """select a.id, a.txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint from audit_entry a
        where not exists (select from security_audit_seal s where s.entry_id = a.id)
          and (a.txid < coalesce((select horizon from security_audit_seal order by seq desc limit 1), 0)
               or a.txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
        order by a.id"""
)
# columns of which the hash alone is left, and whether an erasure of that row and column is on record
_ERASED = text(
    """select x.key, exists (select from audit_entry e
          where e.tbl = a.tbl and e.row_id = a.row_id and e.op = 'erase' and e.id > a.id and jsonb_exists(e.new, x.key)) as recorded
         from audit_entry a, lateral (
           select e.key from jsonb_each(case jsonb_typeof(a.residue) when 'object' then a.residue else '{}' end) s,
                  jsonb_each(case jsonb_typeof(s.value) when 'object' then s.value else '{}' end) e
            where e.value->>'hash' is not null) x
        where a.id = :id order by x.key"""
)
BATCH = 2000


def verify(path: Path) -> Report:
    """Goes through the whole chain, inside `unrestricted`, however long it is, and compares it with the anchors in *path*."""
    report = Report()
    s = session()
    s.execute(text("set local search_path = pg_catalog, public, pg_temp"))
    known = _known_anchors(path, report)
    _walk(report, known)
    _ends(report, known)
    report.unsealed, report.oldest = s.execute(_TAIL).one()
    for entry, future in s.execute(_ODD, execution_options={"stream_results": True, "yield_per": BATCH}):
        report.add(Problem("future" if future else "inserted", entry=entry))
    return report


def _known_anchors(path: Path, report: Report) -> dict[int, list[Anchor]]:
    """What heads were once: by the file, and by the database's own notes, which somebody who cuts the end must think of too."""
    known: dict[int, list[Anchor]] = {}
    # before the file is read: a line is written first and noted then
    noted = session().execute(select(AuditCheck.what, AuditCheck.at, AuditCheck.seq, AuditCheck.hash).where(AuditCheck.sound)).all()
    try:
        for found in anchors(path):
            if isinstance(found, int):
                report.add(Problem("unreadable", note=f"line {found} of {path}"))
                continue
            known.setdefault(found.seq, []).append(found)
            report.anchors += 1
    except OSError as error:
        report.add(Problem("unreadable", note=f"{path}: {error.strerror}"))
    else:
        written = max((n.seq for n in noted if n.what == "anchored"), default=0)
        # a copy of the file may well be older
        if written > max(known, default=0) and (not known or path == anchor_file()):
            report.add(Problem("no_anchors", seq=written, note=str(path)))
    for n in noted:
        if n.seq > 0 and not any(held.hash == n.hash for held in known.get(n.seq, ())):
            known.setdefault(n.seq, []).append(Anchor(n.at, n.seq, n.hash))
    return known


def _walk(report: Report, known: dict[int, list[Anchor]]) -> None:
    before, expected = GENESIS, 1
    last: Any = None
    for row in session().execute(text(_CHAIN), execution_options={"stream_results": True, "yield_per": BATCH}):
        if row.seq < expected:
            report.add(Problem("double", row.seq, row.entry_id))
            continue
        previous, hash_ = bytes(row.previous or b""), bytes(row.hash or b"")
        if row.seq > expected:
            report.add(Problem("gap", expected, note=f"{row.seq - expected} in a row"))
            before, last = previous, None
        own = b"" if row.content is None else _hash(previous, row.seq, row.content)
        if row.id is None:
            report.add(Problem("missing", row.seq, row.entry_id))
        elif own != hash_:
            report.add(Problem(_why(row, before, own) if report.count < SHOWN else "changed", row.seq, row.entry_id))
        elif previous != before:  # it fits what it was sealed on, so what stands before it is not that any more
            report.add(Problem("seal", *((last.seq, last.entry_id) if last is not None else (row.seq, row.entry_id))))
        elif row.residue:
            report.erased += 1
            for problem in _erasures(row):
                report.add(problem)
        for held in known.get(row.seq, ()):
            if held.hash == hash_.hex():
                report.anchored = row.seq
            else:
                report.add(Problem("anchor", row.seq, row.entry_id, note=f"written {_when(held)}; last one that fits: {report.anchored}"))
        before, expected, last = hash_, row.seq + 1, row
        report.sealed, report.head = row.seq, hash_.hex()


def _erasures(row: Any) -> Iterator[Problem]:
    found = session().execute(_ERASED, {"id": row.id}).all()
    if not found:  # erasure leaves a hash, nothing else leaves anything
        yield Problem("changed", row.seq, row.entry_id)
    yield from (Problem("erased", row.seq, row.entry_id, note=str(e.key)) for e in found if not e.recorded)


def _hash(previous: bytes, seq: int, content: bytes) -> bytes:
    return sha256(previous + seq.to_bytes(8, "big") + bytes(content)).digest()


_NEAR = f"""select s.seq, s.previous, {CONTENT} as content from security_audit_seal s join audit_entry a on a.id = s.entry_id
        where s.seq between cast(:seq as bigint) - 50 and cast(:seq as bigint) + 50 and s.seq <> :seq"""  # noqa: S608 - constants


def _why(row: Any, before: bytes, own: bytes) -> str:
    """The entry in this place does not have the hash of its seal: the seal, the place or the entry is another one."""
    near = session().execute(text(_NEAR), {"seq": row.seq}).all()
    if row.previous != before or any(n.seq == row.seq + 1 and bytes(n.previous) == own for n in near):
        return "seal"
    return "order" if any(_hash(row.previous, row.seq, n.content) == row.hash for n in near) else "changed"


def _when(held: Anchor) -> str:
    return f"{held.at:%Y-%m-%d %H:%M %z}"


def _ends(report: Report, known: dict[int, list[Anchor]]) -> None:
    beyond = sorted(seq for seq in known if seq > report.sealed)
    if beyond:
        written = _when(known[beyond[-1]][0])
        report.add(Problem("cut", report.sealed + 1, note=f"{beyond[-1] - report.sealed} entries; the anchor was written {written}"))


def check(path: Path | None = None) -> Report:
    """Verifies, keeps what was found for the auditor's page, tells of it, and anchors a sound head. Own transactions."""
    path = path or anchor_file()
    with unrestricted("verifying the sealed history"):
        report = verify(path)
    with unrestricted("what the verification of the history found") as s:
        first = report.problems[0] if report.problems else Problem("")
        s.execute(
            insert(AuditCheck).values(
                what="verified", seq=report.sealed, hash=report.head, unsealed=report.unsealed, sound=report.sound,
                problems=report.count, first_kind=first.kind, first_seq=first.seq, first_entry=first.entry,
            )
        )  # fmt: skip
        if report.sound:
            anchor(path, at_once=True)
        else:
            log.error("audit.broken", problems=report.count, kind=first.kind, seq=first.seq, entry=first.entry)
            publish(AuditBroken(report.count, first.kind, first.seq, first.entry))
    return report


# ------------------------------------------------------------------ by the clock
@job("* * * * *", catch_up=timedelta(minutes=5), name="security.seal_history", label=_l("Seal the history"))
def seal_history() -> None:
    """Every minute: an anchor if one is due, for what earlier turns sealed; then the seal on what is new."""
    anchor(anchor_file())
    sealing.seal()


@job("50 4 * * *", catch_up=timedelta(hours=20), name="security.verify_history", label=_l("Verify the history"))
def verify_history() -> None:
    """Every night."""
    check()
