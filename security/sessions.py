"""Sessions on the server: who is signed in, until when, and since when no longer.

The browser's cookie holds a random token; this table holds only its SHA-256, so reading the table gives nobody a session.
Every transaction begins with the SQL function ``app_begin``, which looks the token up here: ending a row takes effect with
the next request.  All writing goes over a separate connection (``unrestricted``) and is therefore committed at once,
whatever becomes of the request that caused it.
"""

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from flask import has_request_context, request
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Text,
    Update,
    and_,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel import outbox
from portal.kernel.db import Base, Session, session, unrestricted
from portal.kernel.settings import settings
from security import signins
from security.visibility import context

KINDS = ("browser", "bearer", "job")
SHOWN = "id, user_id, kind, created_at, expires_at, ended_at, end_reason, last_seen_at, ip, user_agent"
"""Columns people's database role may read."""


class ServerSession(Base):
    """One signed-in browser, one access token in use, or one job that works in a person's name."""

    __tablename__ = "security_session"
    __table_args__ = (
        CheckConstraint("kind in ('browser', 'bearer', 'job')", name="ck_security_session_kind"),
        Index("ix_security_session_sid", "sid", postgresql_where=text("ended_at is null")),
        Index("ix_security_session_subject", "subject", postgresql_where=text("ended_at is null")),
        Index("ix_security_session_expires_at", "expires_at"),
        # people read their own, without the hash and what belongs to Keycloak
        {"info": {"grants": {"app": f"select ({SHOWN})"}, "see": lambda c, v: or_(c.user_id == v.me, v.holds(signins.SCOPE))}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token_hash: Mapped[str] = mapped_column(Text, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    kind: Mapped[str] = mapped_column(Text)
    sid: Mapped[str | None] = mapped_column(Text)
    """Keycloak's session, by which a back-channel logout names it."""
    subject: Mapped[str | None] = mapped_column(Text)
    """Keycloak's stable identifier of the person."""
    id_token: Mapped[str | None] = mapped_column(Text)
    """Needed as a hint when the person signs out at Keycloak; wiped when the session ends."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)
    last_seen_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ip: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)


class Account(Base):
    """What the portal keeps about a person's account beside FAB's own row: the link to Keycloak, language, theme."""

    __tablename__ = "security_account"

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True)
    subject: Mapped[str | None] = mapped_column(Text, unique=True)
    """Keycloak's identifier; empty until the first sign-in links it."""
    client_id: Mapped[str | None] = mapped_column(Text, unique=True)
    """For a technical user: the Keycloak client whose service account acts as this user."""
    locale: Mapped[str | None] = mapped_column(Text)
    theme: Mapped[str | None] = mapped_column(Text)


class RoleWrite(Base):
    """A role given or taken in the portal that Keycloak does not know yet; until done it wins over Keycloak's word."""

    __tablename__ = "security_role_write"
    __table_args__ = (
        CheckConstraint("operation in ('add', 'remove')", name="ck_security_role_write_operation"),
        Index("ix_security_role_write_pending", "user_id", "id", postgresql_where=text("done_at is null")),
        Index("ix_security_role_write_user_id", "user_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    role_key: Mapped[str] = mapped_column(Text)
    operation: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    done_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    attempts: Mapped[int] = mapped_column(server_default="0")
    last_error: Mapped[str | None] = mapped_column(Text)


class KeycloakLogout(Base):
    """A logout token that was obeyed: it may not be used twice, and tokens of its Keycloak session are refused."""

    __tablename__ = "security_logout_jti"
    __table_args__ = (Index("ix_security_logout_jti_sid", "sid"), Index("ix_security_logout_jti_expires_at", "expires_at"))

    jti: Mapped[str] = mapped_column(Text, primary_key=True)
    sid: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


# ------------------------------------------------------------------ tokens
def hash_of(token: str) -> str:
    """What the table keeps instead of *token*."""
    return hashlib.sha256(token.encode()).hexdigest()


# ------------------------------------------------------------------ beginning
def start(
    user_id: int,
    sid: str | None = None,
    id_token: str | None = None,
    kind: str = "browser",
    expires: datetime | None = None,
    subject: str | None = None,
    replaces: str | None = None,
) -> str:
    """Begin a session of *user_id* and return its token, which is nowhere else.

    It ends at *expires* (aware; by default after `settings().session_hours`).  *replaces* is the token the same browser held
    before, which ends with this: a token planted before the sign-in is worth nothing after it.
    """
    token = secrets.token_urlsafe(32)
    until = expires or datetime.now(UTC) + timedelta(hours=settings().session_hours)
    with unrestricted("sign in: begin a session") as s:
        if replaces:
            s.execute(_ending(ServerSession.token_hash == hash_of(replaces), "renewed"))
        row = {"user_id": user_id, "kind": kind, "sid": sid, "subject": subject, "id_token": id_token, "expires_at": until}
        s.execute(insert(ServerSession).values(token_hash=hash_of(token), **row, **signins.from_request()))
    return token


def renew(token: str) -> str | None:
    """A new token for the living session of *token*, which stops working; None when that session has ended."""
    fresh = secrets.token_urlsafe(32)
    change = update(ServerSession).where(ServerSession.token_hash == hash_of(token), *LIVING).values(token_hash=hash_of(fresh))
    with unrestricted("sign in: renew a session's token") as s:
        return fresh if s.execute(change.returning(ServerSession.id)).scalar() is not None else None


def adopt(token: str, user_id: int, *, expires: datetime, sid: str | None, subject: str | None) -> None:
    """Make the access token *token* known as a session of *user_id*.  One that is known, ended or not, stays as it is."""
    row = {"user_id": user_id, "kind": "bearer", "sid": sid, "subject": subject, "expires_at": expires}
    statement = insert(ServerSession).values(token_hash=hash_of(token), **row, **signins.from_request())
    with unrestricted("an access token is used for the first time") as s:
        s.execute(statement.on_conflict_do_nothing(index_elements=["token_hash"]))


# ------------------------------------------------------------------ in use
SEEN_EVERY = 60.0
"""Seconds between two notes that a session is in use."""


class _Seen:
    """When this process last noted each session; the first request of a session only starts the clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[int, float] = {}

    def due(self, session_id: int) -> bool:
        now = time.monotonic()
        with self._lock:
            if len(self._noted) > 10_000:
                self._noted = {known: at for known, at in self._noted.items() if now - at < SEEN_EVERY}
            if now - self._noted.setdefault(session_id, now) < SEEN_EVERY:
                return False
            self._noted[session_id] = now
            return True


_seen = _Seen()


def note_use(session_id: int | None) -> None:
    """Note now and then that the session with this row id is in use: for the list of sessions."""
    if session_id is not None and _seen.due(session_id):
        with unrestricted("a session is in use") as s:
            s.execute(update(ServerSession).where(ServerSession.id == session_id).values(last_seen_at=func.now(), **_seen_from()))


def _seen_from() -> dict[str, str]:
    return {"ip": request.remote_addr} if has_request_context() and request.remote_addr else {}


# ------------------------------------------------------------------ ending
LIVING = (ServerSession.ended_at.is_(None), ServerSession.expires_at > func.now())
"""Conditions of a session that goes on."""


def _ending(which: ColumnElement[bool], reason: str) -> Update:
    return (
        update(ServerSession)
        .where(which, ServerSession.ended_at.is_(None))
        .values(ended_at=func.now(), end_reason=reason, id_token=None)
        .execution_options(synchronize_session=False)
    )


WRITTEN: dict[str, tuple[str, str | None]] = {
    "signed out": ("signed_out", None),
    "signed out at Keycloak": ("signed_out", "keycloak"),
    "over at Keycloak": ("ended", "keycloak"),
    "switched off at Keycloak": ("ended", "switched_off"),
    "switched off": ("ended", "switched_off"),
    "new password": ("ended", "password"),
    "ended by the person": ("ended", "person"),
    "ended by an administrator": ("ended", "administrator"),
    "emergency access over": ("ended", "emergency"),
}
"""How the sign-in history says why a session ended: outcome and reason.  One that was renewed goes on: nothing is written."""


def _finish(s: Session, which: ColumnElement[bool], reason: str, by: int | None = None) -> list[Any]:
    """End what *which* says with *s* and write it into the sign-in history; the rows ended: id, user_id, sid, subject, kind."""
    gone = _ending(and_(which, *LIVING), reason).returning(
        ServerSession.id, ServerSession.user_id, ServerSession.sid, ServerSession.subject, ServerSession.kind
    )
    rows = list(s.execute(gone))
    outcome, why = WRITTEN[reason]
    signins.record_ended(s, [r for r in rows if r.kind != "job"], outcome, why, by)
    return rows


def _end(which: ColumnElement[bool], reason: str) -> int:
    with unrestricted(f"sign out: {reason}") as s:
        return len(_finish(s, which, reason))


@dataclass(frozen=True)
class Ended:
    """What is left of a session that was ended: for the sign-out at Keycloak."""

    user_id: int
    id_token: str | None
    user_name: str


def end(token: str, reason: str = "signed out") -> Ended | None:
    """End the session of *token*; None when there is none."""
    with unrestricted(f"sign out: {reason}") as s:
        which = ServerSession.token_hash == hash_of(token)
        found = select(ServerSession.user_id, ServerSession.id_token, User.username).join(User, User.id == ServerSession.user_id)
        row = s.execute(found.where(which, *LIVING).with_for_update(of=ServerSession)).one_or_none()
        _finish(s, which, reason)
    return Ended(row.user_id, row.id_token, row.username) if row else None


def end_by_sid(sid: str, reason: str = "signed out at Keycloak") -> int:
    """End every session that hangs on Keycloak's session *sid*.  Returns the number ended."""
    return _end(ServerSession.sid == sid, reason)


def end_by_subject(subject: str, reason: str = "signed out at Keycloak") -> int:
    """End every session of the person Keycloak knows as *subject*.  Returns the number ended."""
    return _end(ServerSession.subject == subject, reason)


# ------------------------------------------------------------------ ended by somebody, or because of what happened to the account
def _end_at_keycloak(s: Session, rows: list[Any], keep: int | None) -> None:
    """Have Keycloak end its sessions of *rows* too, else the next page would sign the same browser in again without asking.

    Not the one that the session with row id *keep* hangs on as well.
    """
    if settings().local_accounts:
        return
    kept = s.scalar(select(ServerSession.sid).where(ServerSession.id == keep)) if keep is not None else None
    until = datetime.now(UTC) + LOGOUT_KEPT
    for row in rows:
        if row.sid in (None, kept):
            continue
        over = {"jti": f"ended:{row.sid}", "sid": row.sid, "subject": row.subject, "expires_at": until}
        # remembered at once: Keycloak's single sign-on and tokens of the session are refused before Keycloak hears of it
        s.execute(insert(KeycloakLogout).values(**over).on_conflict_do_nothing(index_elements=["jti"]))
        outbox.enqueue("security.keycloak_session", {"sid": row.sid}, key=f"security.keycloak_session:{row.id}")


def end_chosen(ids: list[int], by: int, keep: int | None = None) -> int:
    """End the sessions with these row ids for *by*, who may: own ones, or an administrator.  Committed at once; the number ended.

    *keep*: the session of *by* that goes on, if it is none of them.
    """
    with unrestricted("sessions ended by a person") as s:
        rows = _finish(s, and_(ServerSession.id.in_(ids), ServerSession.user_id == by), "ended by the person", by)
        rows += _finish(s, ServerSession.id.in_(ids), "ended by an administrator", by)
        _end_at_keycloak(s, rows, keep if keep not in ids else None)
        return len(rows)


def end_of_person(user_id: int, by: int, keep: int | None = None) -> int:
    """End every session of *user_id* for *by*, who may; the one with row id *keep* goes on.  Committed at once; the number ended."""
    which = ServerSession.user_id == user_id
    if keep is not None:
        which = and_(which, ServerSession.id != keep)
    reason = "ended by the person" if by == user_id else "ended by an administrator"
    with unrestricted("sessions ended by a person") as s:
        rows = _finish(s, which, reason, by)
        _end_at_keycloak(s, rows, keep)
        return len(rows)


def end_for_password(s: Session, user_id: int, by: int) -> int:
    """End every session of *user_id* with *s*, here and at Keycloak, because *by* demanded a new password; the number ended."""
    rows = _finish(s, ServerSession.user_id == user_id, "new password", by)
    _end_at_keycloak(s, rows, None)
    return len(rows)


def end_before(subject: str, moment: datetime) -> int:
    """End the sessions of the person Keycloak knows as *subject* that began before a new password was set at *moment* (aware)."""
    return _end(and_(ServerSession.subject == subject, ServerSession.created_at < moment), "new password")


def end_with_account(user_id: int, reason: Literal["switched off", "new password", "emergency access over"]) -> int:
    """End every session of *user_id* in the transaction at hand (an action or system work), with what happened to the account."""
    return len(_finish(session(), ServerSession.user_id == user_id, reason, context().me))


# ------------------------------------------------------------------ Keycloak's word
LOGOUT_KEPT = timedelta(hours=24)
"""How long a logout token is remembered: longer than it, and any access token of its session, can be valid."""


def obey_logout(jti: str, sid: str | None, subject: str | None) -> int | None:
    """End what a verified logout token names, and remember the token; None when it was used before.

    Both happen in one transaction: a token whose sessions could not be ended may be sent again.
    """
    row = {"jti": jti, "sid": sid, "subject": subject, "expires_at": datetime.now(UTC) + LOGOUT_KEPT}
    which = ServerSession.sid == sid if sid else ServerSession.subject == subject
    with unrestricted("sign out: told by Keycloak") as s:
        first = insert(KeycloakLogout).values(**row).on_conflict_do_nothing(index_elements=["jti"]).returning(KeycloakLogout.jti)
        if s.execute(first).scalar() is None:
            return None
        return len(_finish(s, which, "signed out at Keycloak"))


def logged_out(sid: str) -> bool:
    """Keycloak has told that its session *sid* is over."""
    with unrestricted("sign in: is the Keycloak session over") as s:
        return s.scalar(select(KeycloakLogout.jti).where(KeycloakLogout.sid == sid).limit(1)) is not None


def living_at_keycloak(older_than: timedelta = timedelta(seconds=10)) -> dict[str, str]:
    """Keycloak sessions that portal sessions hang on, with their person: sid → subject.  The youngest are left out."""
    columns = select(ServerSession.sid, ServerSession.subject).distinct()
    linked = (ServerSession.sid.is_not(None), ServerSession.subject.is_not(None))
    which = (*LIVING, *linked, ServerSession.created_at < func.now() - older_than)
    with unrestricted("sessions to compare with Keycloak") as s:
        return {str(row.sid): str(row.subject) for row in s.execute(columns.where(*which))}


# ------------------------------------------------------------------ housekeeping
KEEP_ENDED = timedelta(days=180)


def prune() -> int:
    """Forget sessions over for `KEEP_ENDED`, access tokens and logout tokens past their time.  Returns the rows deleted."""
    over = func.coalesce(ServerSession.ended_at, ServerSession.expires_at)
    # while the token itself lives its row must stay: an ended one would be taken for new
    bearers = (ServerSession.kind == "bearer", ServerSession.expires_at < func.now() - timedelta(days=1))
    with unrestricted("forget old sessions") as s:
        removals = (
            delete(ServerSession).where(over < func.now() - KEEP_ENDED, ServerSession.expires_at < func.now()),
            delete(ServerSession).where(*bearers),
            delete(KeycloakLogout).where(KeycloakLogout.expires_at < func.now()),
        )
        return sum(len(s.execute(r.returning(text("1")).execution_options(synchronize_session=False)).all()) for r in removals)
