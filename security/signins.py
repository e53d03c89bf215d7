"""The history of sign-ins: who came in, who was refused and why, who went, and whose session was ended by whom (POR-12).

Rows are written on a connection of their own (`unrestricted`), so that a refusal, which rolls back the request, still leaves its
line.  They are kept for a number of days that administrators set.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from flask import has_request_context, request
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import DateTime, ForeignKey, Index, Text, delete, exists, false, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel import calendar
from portal.kernel.columns import BY_ACTION
from portal.kernel.db import Session, unrestricted
from portal.kernel.document import Record
from portal.kernel.i18n import _l
from portal.kernel.settings import parameter

SCOPE = "security"
"""The scope whose holders read everybody's sign-ins and open sessions; declared with the roles."""

KEPT_DAYS = parameter(
    "security.signin_days",
    365,
    label=_l("Days for which sign-ins are kept"),
    help=_l("Older lines of the sign-in history are deleted every night."),
    check=lambda n: 30 <= n <= 3650,
)
SAID_AGAIN = timedelta(minutes=10)
"""A program that keeps calling with the same refused token leaves one line in this time."""

OUTCOMES = {
    "ok": _l("Signed in"),
    "unlinked": _l("Nobody behind the account"),
    "inactive": _l("Account switched off"),
    "wrong_password": _l("Wrong password"),
    "locked": _l("Locked: too many wrong passwords"),
    "refused": _l("Sign-in refused"),
    "token_refused": _l("Access token refused"),
    "signed_out": _l("Signed out"),
    "ended": _l("Session ended"),
    "reset": _l("New password demanded"),
    "opened": _l("Emergency access opened"),
    "closed": _l("Emergency access closed"),
}
REFUSED = ("unlinked", "inactive", "wrong_password", "locked", "refused", "token_refused")
OUTCOME_TONES = {
    "ok": "ok", "unlinked": "warn", "inactive": "warn", "wrong_password": "warn", "locked": "risk", "refused": "warn",
    "token_refused": "warn", "signed_out": "idle", "ended": "info", "reset": "info", "opened": "risk", "closed": "info",
}  # fmt: skip
WAYS = {
    "keycloak": _l("Company account"),
    "password": _l("Local password"),
    "emergency": _l("Emergency access"),
    "token": _l("Access token"),
}
REASONS = {
    "provider": _l("The sign-in service said no"),
    "answer": _l("The answer of the sign-in service could not be believed"),
    "over": _l("Its session was ended before"),
    "client": _l("Made for another program"),
    "nobody": _l("Nobody here is behind it"),
    "person": _l("By the person, from another place"),
    "administrator": _l("By an administrator"),
    "keycloak": _l("At the sign-in service"),
    "switched_off": _l("The account was switched off"),
    "password": _l("A new password was set"),
    "emergency": _l("The emergency access is over"),
}


class SignIn(Record):
    """One line of the sign-in history: a sign-in, a refused one, a sign-out, or a session somebody ended."""

    __tablename__ = "security_signin"
    __label__ = _l("Sign-in")
    __label_plural__ = _l("Sign-ins")
    LOG = True

    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), info={"label": _l("When"), **BY_ACTION})
    outcome: Mapped[str] = mapped_column(Text, info={"label": _l("What"), "choices": OUTCOMES, "tone": OUTCOME_TONES, **BY_ACTION})
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, info={"label": _l("Person"), "lookup": "people", **BY_ACTION}
    )
    username: Mapped[str | None] = mapped_column(Text, info={"label": _l("User name given"), **BY_ACTION})
    way: Mapped[str | None] = mapped_column(Text, info={"label": _l("Signed in by"), "choices": WAYS, **BY_ACTION})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason"), "choices": REASONS, **BY_ACTION})
    by_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, info={"label": _l("Ended by"), "lookup": "people", **BY_ACTION}
    )
    subject: Mapped[str | None] = mapped_column(Text, info={"label": _l("Account at the sign-in service"), **BY_ACTION})
    ip: Mapped[str | None] = mapped_column(Text, info={"label": _l("Address"), **BY_ACTION})
    user_agent: Mapped[str | None] = mapped_column(Text, info={"label": _l("Browser or program"), **BY_ACTION})

    __table_args__ = (
        Index("ix_security_signin_name_at", "username", "at"),
        Index("ix_security_signin_ip_at", "ip", "at"),
        Index("ix_security_signin_at", text("at desc"), text("id desc")),
    )

    def see(c: Any, v: Any) -> Any:
        return or_(c.user_id == v.me, v.holds(SCOPE))

    def change(c: Any, v: Any) -> Any:
        return false()  # a log: nobody edits it

    def __str__(self) -> str:
        return str(OUTCOMES.get(self.outcome, self.outcome))


# ------------------------------------------------------------------ writing
def from_request() -> dict[str, str | None]:
    """Address and browser of the request at hand."""
    if not has_request_context():
        return {"ip": None, "user_agent": None}
    return {"ip": request.remote_addr, "user_agent": one_line(request.headers.get("User-Agent"), 300) or None}


def one_line(given: Any, longest: int = 64) -> str:
    """What somebody typed or sent as one printable line of at most *longest* characters: it is kept before anybody has signed in."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(given or "")[: 2 * longest]).split())[:longest]


def record(s: Session, outcome: str, user_id: int | None = None, username: Any = None, subject: Any = None, **more: Any) -> int:
    """Write one line with *s*, its id; *more*: `way`, `reason` and `by_id`."""
    row = {"outcome": outcome, "user_id": user_id, "username": one_line(username), "subject": subject}
    return int(s.execute(insert(SignIn).values(**row, **more, **from_request()).returning(SignIn.id)).scalar_one())


def record_locked(s: Session, username: str, way: str) -> None:
    """One line for all that is tried from one address while it is locked, within `SAID_AGAIN`: trying on must not fill the table."""
    where = from_request()
    same = (SignIn.outcome == "locked", SignIn.way == way, SignIn.username == one_line(username), SignIn.ip == where["ip"])
    if not s.scalar(select(exists().where(*same, SignIn.at > func.now() - SAID_AGAIN))):
        record(s, "locked", None, username, way=way)


def record_elsewhere(s: Session, at: datetime, **line: Any) -> bool:
    """Write a line for what happened at the sign-in service at *at*; False when it stands here already."""
    line |= {"at": at, "way": "keycloak", "username": one_line(line.get("username"))}
    same = (getattr(SignIn, name).is_not_distinct_from(line.get(name)) for name in ("at", "way", "outcome", "username", "subject", "ip"))
    if s.scalar(select(exists().where(*same))):
        return False
    s.execute(insert(SignIn).values(**line))
    return True


def record_ended(s: Session, ended: Iterable[Any], outcome: str, reason: str | None, by: int | None) -> None:
    """One line for each session that was ended; the rows of *ended* have `user_id` and `subject`."""
    rows = list(ended)
    if not rows:
        return
    asked = select(User.id, User.username).where(User.id.in_({r.user_id for r in rows}))
    names = dict(s.execute(asked).tuples().all())
    lines = [{"user_id": r.user_id, "username": names.get(r.user_id, ""), "subject": r.subject} for r in rows]
    s.execute(insert(SignIn), [line | {"outcome": outcome, "reason": reason, "by_id": by} | from_request() for line in lines])


def refused(outcome: str, reason: str, *, way: str, user_id: int | None = None, username: Any = None, subject: str | None = None) -> None:
    """Write that somebody was refused, at once and whatever becomes of the request; the same again within `SAID_AGAIN` is left out."""
    where = from_request()
    same = (SignIn.outcome == outcome, SignIn.reason == reason, SignIn.subject.is_not_distinct_from(subject), SignIn.ip == where["ip"])
    with unrestricted("sign-in history: somebody was refused") as s:
        if not s.scalar(select(exists().where(*same, SignIn.at > func.now() - SAID_AGAIN))):
            record(s, outcome, user_id, username, subject, way=way, reason=reason)


# ------------------------------------------------------------------ housekeeping
def prune() -> int:
    """Delete what is older than the system parameter says; returns the lines deleted."""
    before = calendar.now() - timedelta(days=KEPT_DAYS.get())
    with unrestricted("sign-in history: delete old lines") as s:
        gone = delete(SignIn).where(SignIn.at < before).returning(SignIn.id)
        return len(s.execute(gone.execution_options(synchronize_session=False, include_archived=True)).all())
