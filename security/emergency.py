"""The emergency administrator: off unless an operator opens it from the command line, for a while, when nobody can sign in (POR-13).

It signs in on a page of its own with a password that only that command ever shows; what is kept is a slow hash.  When the time is
over, or it is closed, its sessions end and the account can do nothing.  Opening, closing, every sign-in and every wrong password stand in
the sign-in history; leaders and security administrators are told of the first three.
"""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from flask_appbuilder.security.sqla.models import Role, User, assoc_user_role
from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.security import check_password_hash, generate_password_hash

from portal.kernel import calendar
from portal.kernel.db import Base, Session, unrestricted
from security import roles, sessions
from security.accounts import LOCK_AFTER, LOCK_AFTER_PER_ADDRESS, LOCK_FOR, Arrival
from security.signins import SignIn, from_request, record, record_locked

log = structlog.get_logger(__name__)

USERNAME = "emergency"
ROLE = "system_admin"
SHORTEST, LONGEST = timedelta(minutes=5), timedelta(hours=24)
_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that look alike on paper
_NEVER = generate_password_hash(secrets.token_urlsafe())


class Emergency(Base):
    """One opening of the emergency access."""

    __tablename__ = "security_emergency"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    password_hash: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    operator: Mapped[str] = mapped_column(Text)
    """The operating system's account that ran the command."""


Event = Literal["opened", "closed", "ok"]
Hook = Callable[[Event, dict[str, Any]], None]
_hooks: list[Hook] = []


def on_emergency(function: Hook) -> Hook:
    """Register what tells people that the access was opened, closed or used; called inside `unrestricted`."""
    if function not in _hooks:
        _hooks.append(function)
    return function


def _tell(event: Event, row: Any) -> None:
    told = {"operator": row.operator, "until": row.until.isoformat(), "address": from_request()["ip"] or "–", "opening": row.id}
    log.warning(f"emergency.{event}", **told)
    for hook in _hooks:
        hook(event, told)


# ------------------------------------------------------------------ opening and closing
def enable(lasting: timedelta, operator: str) -> tuple[str, datetime]:
    """Open the access for *lasting*; the password, which is nowhere else, and when it ends.  An earlier opening is closed.

    Raises ValueError for a time too short or too long, or when somebody else is called like the emergency account.
    """
    if not SHORTEST <= lasting <= LONGEST:
        raise ValueError("5 minutes to 24 hours")
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(6)) for _ in range(4))
    until = calendar.now() + lasting
    with unrestricted("emergency access opened from the command line") as s:
        _close(s, Emergency.closed_at.is_(None))
        user_id = _account(s)
        s.execute(update(User).where(User.id == user_id).values(active=True).execution_options(synchronize_session=False))
        roles.grant(s, user_id, ROLE)
        kept = {"user_id": user_id, "password_hash": generate_password_hash(password, method="scrypt"), "until": until}
        row = s.execute(insert(Emergency).values(**kept, operator=operator[:100]).returning(Emergency.id)).scalar_one()
        record(s, "opened", user_id, USERNAME, way="emergency")
        _tell("opened", s.execute(_columns.where(Emergency.id == row)).one())
    return password, until


def disable() -> bool:
    """Close the access; False when it was not open."""
    with unrestricted("emergency access closed from the command line") as s:
        return _close(s, Emergency.closed_at.is_(None))


def expire() -> bool:
    """Close what is past its time; whether something was.  The password and sessions end by themselves, this only clears up."""
    with unrestricted("emergency access past its time") as s:
        return _close(s, Emergency.closed_at.is_(None) & (Emergency.until <= func.now()))


def opened_until() -> datetime | None:
    """When the open access ends; None when it is not open."""
    with unrestricted("is the emergency access open") as s:
        return s.scalar(select(func.max(Emergency.until)).where(*_OPEN))


_OPEN = (Emergency.closed_at.is_(None), Emergency.until > func.now())
_columns = select(Emergency.id, Emergency.user_id, Emergency.password_hash, Emergency.opened_at, Emergency.until, Emergency.operator)


def _account(s: Session) -> int:
    """The account, made at the first opening; it has the one role and no other."""
    user = s.execute(select(User.id, User.email).where(User.username == USERNAME)).one_or_none()
    mail = f"{USERNAME}@emergency.invalid"
    if user is None:
        name = {"username": USERNAME, "first_name": "", "last_name": USERNAME, "email": mail}
        return int(s.execute(insert(User).values(**name, active=False).returning(User.id)).scalar_one())
    if user.email != mail:
        raise ValueError(f"somebody's account is called {USERNAME}")
    _take_roles(s, user.id)
    return int(user.id)


def _take_roles(s: Session, user_id: int) -> None:
    held = select(Role.name).join(assoc_user_role, assoc_user_role.c.role_id == Role.id).where(assoc_user_role.c.user_id == user_id)
    for key in list(s.scalars(held)):
        roles.revoke(s, user_id, key)
    s.execute(delete(assoc_user_role).where(assoc_user_role.c.user_id == user_id))


def _close(s: Session, which: Any) -> bool:
    rows = s.execute(_columns.where(which).with_for_update()).all()
    for row in rows:
        # the hash goes too: an old one is of use to nobody but a thief
        change = update(Emergency).where(Emergency.id == row.id).values(closed_at=func.now(), password_hash="")
        s.execute(change.execution_options(synchronize_session=False))
        off = update(User).where(User.id == row.user_id).values(active=False)
        s.execute(off.execution_options(synchronize_session=False))
        _take_roles(s, row.user_id)
        sessions.end_with_account(row.user_id, "emergency access over")
        record(s, "closed", row.user_id, USERNAME, way="emergency")
        _tell("closed", row)
    return bool(rows)


# ------------------------------------------------------------------ signing in
def check(password: str) -> tuple[Arrival, datetime | None]:
    """Who signs in with the emergency password, and until when.  Never anybody while the access is not open.

    Locked for a quarter of an hour after five wrong passwords from one address, or thirty from anywhere.
    """
    with unrestricted("sign in with the emergency password") as s:
        row = s.execute(_columns.where(*_OPEN).order_by(Emergency.id.desc()).limit(1)).one_or_none()
        # opened anew it has another password and begins unlocked: whoever tries on must not keep the operator out
        since = func.greatest(func.now() - LOCK_FOR, row.opened_at if row else None)
        recent = (SignIn.way == "emergency", SignIn.outcome == "wrong_password", SignIn.at > since)
        everywhere = s.scalar(select(func.count()).select_from(SignIn).where(*recent)) or 0
        here = s.scalar(select(func.count()).select_from(SignIn).where(*recent, SignIn.ip == from_request()["ip"])) or 0
        if here >= LOCK_AFTER or everywhere >= LOCK_AFTER_PER_ADDRESS:
            record_locked(s, USERNAME, "emergency")
            return Arrival("locked"), None
        # the same work when it is not open, so that the time tells nothing
        right = check_password_hash(row.password_hash if row else _NEVER, password[:200])
        if row is None or not right:
            record(s, "wrong_password", row.user_id if row else None, USERNAME, way="emergency")
            return Arrival("wrong_password"), None
        record(s, "ok", row.user_id, USERNAME, way="emergency")
        _tell("ok", row)
        return Arrival("ok", row.user_id, USERNAME), row.until
