"""History: a trigger on every business table writes it, nobody may change it, whoever sees the row may read it (ALL-05)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import BigInteger, ColumnElement, DateTime, Identity, Index, Text, Uuid, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import Base, session
from portal.kernel.document import Record
from security import reads


class AuditEntry(Base):
    """One change of one row: who, when, from where, why, and each changed column before and after."""

    __tablename__ = "audit_entry"
    # no foreign key to what it describes: history outlives everything
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    txid: Mapped[int] = mapped_column(BigInteger, server_default=func.txid_current())
    actor: Mapped[int | None] = mapped_column(BigInteger)
    db_role: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    ip: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    tbl: Mapped[str] = mapped_column(Text)
    row_id: Mapped[int] = mapped_column(BigInteger)
    root_tbl: Mapped[str | None] = mapped_column(Text)
    root_id: Mapped[int | None] = mapped_column(BigInteger)
    op: Mapped[str] = mapped_column(Text)
    old: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    new: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    # the seal covers hashes of the values with this salt; erasure drops it and leaves what the seal needs (security.sealing)
    salt: Mapped[UUID | None] = mapped_column(Uuid, server_default=text("gen_random_uuid()"))
    residue: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    __table_args__ = (
        Index("ix_audit_entry_row", "tbl", "row_id", "id"),
        Index("ix_audit_entry_root", "root_tbl", "root_id", "id"),
        Index("ix_audit_entry_actor", "actor", "id"),
        Index("ix_audit_entry_txid", "txid", "id"),
        Index("ix_audit_entry_at", "at", postgresql_using="brin"),
        Index("ix_audit_entry_reads", "id", postgresql_where=text("op = 'read'")),
        Index("ix_audit_entry_read_people", text("(new -> 'people')"), postgresql_using="gin", postgresql_where=text("op = 'read'")),
        {"info": {"only": {"worker": "select", "app": "select"}}},
    )


def erased_in(residue: dict[str, Any] | None) -> set[str]:
    """The columns whose values were erased from an entry."""
    sides = [side for side in (residue or {}).values() if isinstance(side, dict)]
    return {name for side in sides for name, kept in side.items() if isinstance(kept, dict) and "hash" in kept}


def timeline(record: Record, limit: int = 50, before: int | None = None) -> list[Any]:
    """The record's history and that of its children, newest first.

    Rows (id, at, actor, actor_name, ip, request_id, reason, tbl, row_id, op, old, new, residue).

    *before*: the id to go on from. Only entries about rows the reader sees come back (row-level security).
    """
    tbl = record.__tablename__
    found = _entries(
        or_(
            (AuditEntry.tbl == tbl) & (AuditEntry.row_id == record.id),
            (AuditEntry.root_tbl == tbl) & (AuditEntry.root_id == record.id),
        ),
        limit,
        before,
    )
    reads.of_history(found)
    return found


def changes_of(model: type[Record], rows: Iterable[int], limit: int = 50, before: int | None = None) -> list[Any]:
    """The history of several records of a kind, as of one (`timeline`); no read is noted: the caller leaves out what is sensitive."""
    return _entries((AuditEntry.tbl == model.__tablename__) & AuditEntry.row_id.in_(list(rows)), limit, before)


def _entries(which: ColumnElement[bool], limit: int, before: int | None) -> list[Any]:
    query = (
        select(
            AuditEntry.id,
            AuditEntry.at,
            AuditEntry.actor,
            func.coalesce(User.last_name + User.first_name, "").label("actor_name"),
            AuditEntry.ip,
            AuditEntry.request_id,
            AuditEntry.reason,
            AuditEntry.tbl,
            AuditEntry.row_id,
            AuditEntry.op,
            AuditEntry.old,
            AuditEntry.new,
            AuditEntry.residue,
        )
        .outerjoin(User, User.id == AuditEntry.actor)
        .where(which, AuditEntry.op != reads.READ)
        .order_by(AuditEntry.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return list(session().execute(query))
