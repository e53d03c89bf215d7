"""Following Keycloak: sessions that ended there, accounts switched off and roles changed there reach the portal within a minute.

A sign-out is normally told at once over the back-channel; this finds what was missed while the portal was down, and what Keycloak
tells nobody: a switched-off account keeps its Keycloak session, and changed roles wait for the next sign-in.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
import structlog
from keycloak.exceptions import KeycloakError
from sqlalchemy import DateTime, Text, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel import outbox
from portal.kernel.db import Base, Session, unrestricted
from portal.kernel.errors import Unavailable
from portal.kernel.i18n import _l
from portal.kernel.jobs import job
from portal.kernel.settings import settings
from security import accounts, emergency, sessions, signins
from security.keycloak import Administration, administration, moment_of, push_role_writes
from security.sessions import Account, ServerSession

log = structlog.get_logger(__name__)

JOB = "security.follow_keycloak"
READ = "security.read_keycloak"
AGAIN = (timedelta(seconds=20), timedelta(seconds=40))
"""A look every 20 seconds: with one a minute the slowest change would take longer than the minute promised."""
OVERLAP = timedelta(minutes=3)
"""Events are written when the change's transaction ends: the last minutes are read again, which does no harm."""
FIRST = timedelta(days=1)


class Followed(Base):
    """Until when an issuer's changes are known; stays behind while it cannot be asked, so that nothing is missed."""

    __tablename__ = "security_followed"

    issuer: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True)
class CaughtUp:
    """What a comparison with Keycloak's sessions found."""

    compared: int
    ended: int


def catch_up() -> CaughtUp | None:
    """End the sessions whose Keycloak session is over: its back-channel call may have come while the portal was down.

    None when Keycloak could not be asked; then nothing is ended.
    """
    if settings().local_accounts:
        return None
    ours = sessions.living_at_keycloak()  # first ours, then Keycloak's: a sign-in between the two is not missed
    if not ours:
        return CaughtUp(0, 0)
    try:
        admin = administration()
        theirs = admin.open_sessions()
        missing = {sid: subject for sid, subject in ours.items() if sid not in theirs}
        still_open = {subject: admin.sessions_of(subject) for subject in set(missing.values())}
    except (KeycloakError, requests.RequestException, Unavailable) as error:
        log.warning("keycloak.unreachable", work="catching up", error=type(error).__name__)
        return None
    gone = [sid for sid, subject in missing.items() if sid not in still_open[subject]]
    ended = sum(sessions.end_by_sid(sid, "over at Keycloak") for sid in gone)
    if ended:
        log.info("sessions.caught_up", compared=len(ours), ended=ended)
    return CaughtUp(len(ours), ended)


def follow(since: datetime) -> int | None:
    """Take over what changed at Keycloak since *since* (aware): roles, and accounts switched off.  Returns the accounts looked at.

    None when Keycloak could not be asked.
    """
    if settings().local_accounts:
        return None
    try:
        admin = administration()
        changed = _accounts(admin.changes_since(since))
        for subject, user_id in changed.items():
            _take_over(admin, subject, user_id)
    except (KeycloakError, requests.RequestException, Unavailable) as error:
        log.warning("keycloak.unreachable", work="following", error=type(error).__name__)
        return None
    return len(changed)


def _accounts(paths: set[str]) -> dict[str, int]:
    """Linked accounts a change concerns, subject → `ab_user.id`; a group's or a role's change concerns everybody signed in."""
    named = {path.split("/")[1] for path in paths if path.startswith("users/") and path.count("/") >= 1}
    everybody = any(path and not path.startswith("users/") for path in paths)
    with unrestricted("accounts changed at Keycloak") as s:
        linked = select(Account.subject, Account.user_id).where(Account.subject.is_not(None))
        found = list(s.execute(linked.where(Account.subject.in_(named)))) if named else []
        if everybody:
            living = select(ServerSession.user_id).where(ServerSession.ended_at.is_(None), ServerSession.expires_at > func.now())
            found += s.execute(linked.where(Account.user_id.in_(living), Account.client_id.is_(None))).all()
    return {str(row.subject): int(row.user_id) for row in found}


def _take_over(admin: Administration, subject: str, user_id: int) -> None:
    if admin.may_sign_in(subject):
        current = admin.roles_of(subject)
        with unrestricted("roles changed at Keycloak") as s:
            if s.scalar(select(Account.client_id).where(Account.user_id == user_id)) is None:
                accounts.sync_roles(s, user_id, current)
        return
    # an access token not used here before would begin a session of its own: its Keycloak session is remembered as over
    for sid in admin.sessions_of(subject):
        sessions.obey_logout(f"switched-off:{sid}", sid, None)
    ended = sessions.end_by_subject(subject, "switched off at Keycloak")
    if ended:
        log.info("account.switched_off", user_id=user_id, ended=ended)


# ------------------------------------------------------------------ what people did at Keycloak's own pages
REFUSALS = {
    "invalid_user_credentials": "wrong_password",
    "user_not_found": "wrong_password",
    "invalid_authenticator": "wrong_password",
    "user_temporarily_disabled": "locked",
    "user_disabled": "inactive",
}
"""Keycloak's error → outcome in the sign-in history.  Other errors are no person's doing, or reach the portal as its answer."""
NEW_PASSWORD = ("UPDATE_PASSWORD", "UPDATE_CREDENTIAL")
AT_MOST = 1000
"""Refusals taken over in one turn; whoever tries more often than that is known by then."""


def follow_sign_ins(since: datetime) -> int | None:
    """Write what Keycloak refused since *since* (aware) into the sign-in history, and end the sessions begun before a new password.

    What was taken over before is left out.  Returns the lines written; None when Keycloak could not be asked.
    """
    if settings().local_accounts:
        return None
    try:
        admin = administration()
        refused = admin.events_since(since, ("LOGIN_ERROR",), AT_MOST)
        renewed = [(str(e.get("userId")), moment_of(e)) for e in admin.events_since(since, NEW_PASSWORD, AT_MOST) if _is_password(e)]
        renewed += admin.passwords_reset_since(since)
    except (KeycloakError, requests.RequestException, Unavailable) as error:
        log.warning("keycloak.unreachable", work="sign-ins", error=type(error).__name__)
        return None
    if len(refused) >= AT_MOST:
        log.warning("signins.many_refused", kept=AT_MOST)
    for subject, moment in renewed:
        sessions.end_before(subject, moment)
    with unrestricted("sign-ins refused at Keycloak") as s:
        subjects = {e["userId"] for e in refused if e.get("userId")}
        people = dict(s.execute(select(Account.subject, Account.user_id).where(Account.subject.in_(subjects))).tuples().all())
        return sum(_write_refusal(s, e, people) for e in refused if e.get("error") in REFUSALS)


def _is_password(event: dict[str, Any]) -> bool:
    return event["type"] == "UPDATE_PASSWORD" or (event.get("details") or {}).get("credential_type") == "password"


def _write_refusal(s: Session, event: dict[str, Any], people: dict[str | None, int]) -> bool:
    subject = event.get("userId")
    if event.get("clientId") not in (settings().oidc_client_id, accounts.SAMPLE_CLIENT) and subject not in people:
        return False  # somebody at another application
    line = {
        "outcome": REFUSALS[event["error"]],
        "reason": "provider",
        "username": (event.get("details") or {}).get("username"),
        "user_id": people.get(subject),
        "subject": subject,
        "ip": event.get("ipAddress"),
    }
    return signins.record_elsewhere(s, moment_of(event), **line)


@job("* * * * *", catch_up=timedelta(minutes=5), name=JOB, label=_l("Follow the sign-in service"))
def follow_keycloak() -> None:
    """Every minute: write what waits, then read what changed, and twice more; and clear up an emergency access past its time."""
    emergency.expire()
    push_role_writes()
    catch_up()
    read()
    begun = datetime.now(UTC)
    with unrestricted("when to ask Keycloak again"):
        for later in AGAIN:
            outbox.enqueue(READ, {}, key=f"{READ}:{(begun + later).isoformat()}", at=begun + later)


@outbox.handler(READ)
def read() -> None:
    """Take over what changed at Keycloak since it was last known."""
    issuer, begun = settings().oidc_issuer, datetime.now(UTC)
    with unrestricted("since when Keycloak's changes are known") as s:
        last = s.scalar(select(Followed.at).where(Followed.issuer == issuer))
    since = (last or begun - FIRST) - OVERLAP
    if follow(since) is not None and follow_sign_ins(since) is not None:
        with unrestricted("Keycloak's changes are known") as s:
            s.execute(insert(Followed).values(issuer=issuer, at=begun).on_conflict_do_update(index_elements=["issuer"], set_={"at": begun}))


@job("40 3 * * *", name="security.prune", label=_l("Forget old sessions and sign-ins"))
def forget_old_sessions() -> None:
    """Once a day."""
    sessions.prune()
    signins.prune()
