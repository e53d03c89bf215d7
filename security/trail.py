"""The whole history for auditors: the trail of any record, deleted ones too, without what even they may not read.

An auditor sees no business row, only what became of it. Columns declared `info={"secret": True}` (identity numbers, salaries, parameters)
show that they changed, never from what to what (VIS-08); so does every column of a table the code does not know.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import ColumnElement, func, or_, select, text

from portal.kernel.db import session, unrestricted
from portal.kernel.document import records
from security import reads, sealing
from security.audit import AuditEntry, erased_in
from security.sealing import AuditCheck, AuditSeal

CAP = 1000
NAME = "security.AuditLog"
"""View name of the permissions `view` and `verify`."""


@dataclass(frozen=True)
class Wanted:
    """Which entries: of a record (with its parts), of a kind of record, of a person, in the half-open period [since, until)."""

    table: str | None = None
    row: int | None = None
    actor: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    entry: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions over `AuditEntry`."""
        e, out = AuditEntry, []
        if self.table is not None and self.row is not None:
            listed = (e.tbl == self.table) & (e.row_id == 0) & (e.op == reads.READ) & e.new["ids"].contains([self.row])
            own = (e.tbl == self.table) & (e.row_id == self.row)
            out.append(or_(own, (e.root_tbl == self.table) & (e.root_id == self.row), listed))
        elif self.table is not None:
            out.append(e.tbl == self.table)
        elif self.row is not None:
            out.append(e.row_id == self.row)
        out += [column == value for column, value in ((e.actor, self.actor), (e.id, self.entry)) if value is not None]
        out += [e.at >= self.since] if self.since is not None else []
        out += [e.at < self.until] if self.until is not None else []
        return out


@dataclass(frozen=True)
class TrailEntry:
    """One entry as an auditor reads it. *hidden*: columns whose values are left out; *erased*: whose values exist no more."""

    id: int
    at: datetime
    actor: int | None
    actor_name: str
    db_role: str | None
    request_id: str | None
    ip: str | None
    reason: str | None
    tbl: str
    row_id: int
    root_tbl: str | None
    root_id: int | None
    op: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    seq: int | None
    hidden: tuple[str, ...]
    erased: frozenset[str]


@cache
def _readable() -> dict[str, frozenset[str]]:
    found = {}
    for m in records():
        secret = {c.name for c in m.__table__.columns if c.info.get("secret")}
        secret |= {"custom"} if secret else set()  # what a company adds to a record with secrets may be one as well
        found[m.__tablename__] = frozenset(m.__table__.columns.keys()) - secret
    return found


def hidden_in(table: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns *names* of *table* whose values auditors do not get."""
    return tuple(sorted(set(names) - _readable().get(table, frozenset())))


def trail(wanted: Wanted, limit: int, before: int | None = None) -> list[TrailEntry]:
    """Entries, newest first; *before*: the id to go on from. The caller has checked the permission."""
    e = AuditEntry
    statement = (
        select(
            *(e.id, e.at, e.actor, e.db_role, e.request_id, e.ip, e.reason, e.tbl, e.row_id, e.root_tbl, e.root_id, e.op),
            *(e.old, e.new, e.residue, AuditSeal.seq, func.coalesce(User.last_name + User.first_name, "").label("actor_name")),
        )
        .outerjoin(User, User.id == e.actor)
        .outerjoin(AuditSeal, AuditSeal.entry_id == e.id)
        .where(*wanted.conditions())
        .order_by(e.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(e.id < before)
    reads.note(reads.TRAIL, way="trail", asked={k: v for k, v in asdict(wanted).items() if v is not None})
    with unrestricted("an auditor reads the trail") as s:
        return [_masked(row) for row in s.execute(statement)]


def count(wanted: Wanted) -> int:
    """How many entries there are, at most `CAP` + 1."""
    found = select(AuditEntry.id).where(*wanted.conditions()).limit(CAP + 1).subquery()
    with unrestricted("an auditor counts entries of the trail") as s:
        return int(s.scalar(select(func.count()).select_from(found)) or 0)


def _masked(row: Any) -> TrailEntry:
    values = dict(row._mapping)
    residue, names = values.pop("residue"), {*(row.old or {}), *(row.new or {})}
    hidden = () if row.op == reads.READ else hidden_in(row.tbl, sorted(names))  # what was read, never the value
    for side in ("old", "new"):
        if values[side] is not None:
            values[side] = {k: v for k, v in values[side].items() if k not in hidden}
    return TrailEntry(**values, hidden=hidden, erased=frozenset(erased_in(residue)) - set(hidden))


# ------------------------------------------------------------------ how the seal stands
@dataclass(frozen=True)
class SealState:
    """How far the history is sealed, and what the last verification and the last anchor were."""

    sealed: int
    hash: str
    unsealed: int
    verified: AuditCheck | None
    anchored: AuditCheck | None


_OPEN = text(
    """select count(*) from audit_entry a
        where a.txid >= coalesce((select horizon from security_audit_seal order by seq desc limit 1), 0)
          and not exists (select from security_audit_seal s where s.entry_id = a.id)"""
)


def seal_state() -> SealState:
    """For the auditor's page. The caller has checked the permission."""
    with unrestricted("an auditor asks how the seal stands") as s:
        seq, hash_ = sealing.head()
        newest = select(AuditCheck).distinct(AuditCheck.what).order_by(AuditCheck.what, AuditCheck.id.desc())
        last = {c.what: c for c in s.scalars(newest)}
        unsealed = int(session().scalar(_OPEN) or 0)
        s.expunge_all()
    return SealState(seq, hash_, unsealed, last.get("verified"), last.get("anchored"))


# ------------------------------------------------------------------ who read what
READS = "security.SensitiveRead"
"""View name of the permission to read who read sensitive data."""


@dataclass(frozen=True)
class WantedRead:
    """Which reads: by *actor*, about *person*, of *table*, in *way*, in the half-open period [since, until)."""

    actor: int | None = None
    person: int | None = None
    table: str | None = None
    way: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions over `AuditEntry`."""
        e = AuditEntry
        equal = ((e.actor, self.actor), (e.tbl, self.table), (e.new["way"].astext, self.way))
        out = [e.op == text("'read'"), *(column == value for column, value in equal if value is not None)]
        out += [e.new["people"].contains([self.person])] if self.person is not None else []
        out += [e.at >= self.since] if self.since is not None else []
        out += [e.at < self.until] if self.until is not None else []
        return out


def sensitive_reads(wanted: WantedRead, limit: int, before: int | None = None) -> list[Any]:
    """Reads of sensitive data, newest first; *before*: the id to go on from.

    Rows (id, at, actor, actor_name, ip, request_id, tbl, row_id, root_tbl, root_id, new, seq). The caller has checked the permission,
    or asks about the person at hand.
    """
    e = AuditEntry
    statement = (
        select(
            *(e.id, e.at, e.actor, e.ip, e.request_id, e.tbl, e.row_id, e.root_tbl, e.root_id, e.new, AuditSeal.seq),
            func.coalesce(User.last_name + User.first_name, "").label("actor_name"),
        )
        .outerjoin(User, User.id == e.actor)
        .outerjoin(AuditSeal, AuditSeal.entry_id == e.id)
        .where(*wanted.conditions(), *([e.id < before] if before is not None else []))
        .order_by(e.id.desc())
        .limit(limit)
    )
    with unrestricted("who read sensitive data: an auditor asks, or the person it is about") as s:
        return list(s.execute(statement))


def count_reads(wanted: WantedRead) -> int:
    """How many there are, at most `CAP` + 1."""
    found = select(AuditEntry.id).where(*wanted.conditions()).limit(CAP + 1).subquery()
    with unrestricted("an auditor counts the reads of sensitive data") as s:
        return int(s.scalar(select(func.count()).select_from(found)) or 0)
