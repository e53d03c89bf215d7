"""Who a Keycloak account is in the portal: links by Keycloak's stable subject, roles at sign-in, local passwords by flag only.

What a role may do is the portal's; who has it is Keycloak's, except for changes made in the portal that Keycloak does not know yet.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import structlog
from flask import has_request_context, request
from flask_appbuilder.security.sqla.models import Role, User, assoc_user_role
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from werkzeug.security import check_password_hash, generate_password_hash

from portal.kernel import outbox
from portal.kernel.db import Session, session, unrestricted
from portal.kernel.events import publish
from portal.kernel.settings import settings
from security import delegation, roles, sessions
from security.sessions import Account, RoleWrite
from security.signins import SignIn, one_line, record, record_locked

log = structlog.get_logger(__name__)

Outcome = Literal["ok", "unlinked", "inactive", "wrong_password", "locked"]
NOT_MANAGED = ("Admin", "Public")
"""Flask-AppBuilder's own roles: neither given nor taken by Keycloak."""
SAMPLE_CLIENT = "portal-demo-cli"
FRESH = 60.0
"""Seconds for which an access token's roles are news; less than what following Keycloak reads again (`following.OVERLAP`)."""


@dataclass(frozen=True)
class Arrival:
    """Somebody at the door: let in (`outcome` is ok) or not."""

    outcome: Outcome
    user_id: int | None = None
    name: str = ""


# ------------------------------------------------------------------ what others register
Finder = Callable[[str], int | None]
Hook = Callable[[dict[str, Any]], None]
Guard = Callable[[int], None]
_finders: list[Finder] = []
_guards: list[Guard] = []
_hooks: list[Hook] = []


def employee_finder(function: Finder) -> Finder:
    """Register how an employee number becomes an `ab_user.id` (None: nobody); called inside `unrestricted`."""
    if function not in _finders:
        _finders.append(function)
    return function


def return_guard(function: Guard) -> Guard:
    """Register what refuses (raises Refusal) that the account of an `ab_user.id` is switched on again: somebody who left."""
    if function not in _guards:
        _guards.append(function)
    return function


def check_return(user_id: int) -> None:
    """Ask everybody who registered whether *user_id* may sign in again. Raises Refusal."""
    for guard in _guards:
        guard(user_id)


def on_unlinked_login(function: Hook) -> Hook:
    """Register what tells administrators of a sign-in with nobody behind it.

    Called inside `unrestricted` with the account's `subject`, `username`, `name`, `email` and `employee_number`, once a day per subject.
    """
    if function not in _hooks:
        _hooks.append(function)
    return function


@dataclass(frozen=True)
class RolesGained:
    """*user_id* has new *roles* by Keycloak's word alone, which nobody gave in the portal (VIS-05)."""

    user_id: int
    roles: list[str]


@dataclass(frozen=True)
class AccountLinked:
    """A Keycloak account came to the person *user_id* by the employee number its administrators set, or by the word of *by* (VIS-05)."""

    user_id: int
    subject: str
    username: str
    by: int | None = None


# ------------------------------------------------------------------ sign-in by Keycloak
def sign_in(claims: dict[str, Any]) -> Arrival:
    """Find the person behind a verified ID token, bring roles up to date and write the sign-in history."""
    with unrestricted("sign in by Keycloak") as s:
        user_id = find(s, claims)
        if user_id is None:
            _tell_unlinked(s, claims)
            record(s, "unlinked", None, claims.get("preferred_username"), claims["sub"], way="keycloak")
            return Arrival("unlinked", name=str(claims.get("preferred_username", "")))
        user = s.execute(select(User.active, User.first_name, User.last_name, User.username).where(User.id == user_id)).one()
        name = f"{user.last_name}{user.first_name}"
        if not user.active:
            record(s, "inactive", user_id, user.username, claims["sub"], way="keycloak")
            return Arrival("inactive", user_id, name)
        sync_roles(s, user_id, claims.get("roles"))
        record(s, "ok", user_id, user.username, claims["sub"], way="keycloak")
        _count(s, user_id)
        return Arrival("ok", user_id, name)


def find(s: Session, claims: dict[str, Any]) -> int | None:
    """The person of a verified token: by subject; at the very first sign-in by the employee number Keycloak's administrators set.

    Never by e-mail or user name, which can be changed or given anew.  An account linked to another subject stays with that one.
    """
    subject = claims["sub"]
    known: int | None = s.scalar(select(Account.user_id).where(Account.subject == subject))
    if known is not None:
        return known
    number = claims.get("employee_number")
    if not isinstance(number, str) or not number.strip():
        return None
    user_id = next((found for found in (finder(number.strip()) for finder in _finders) if found is not None), None)
    if user_id is None:
        return None
    s.execute(insert(Account).values(user_id=user_id).on_conflict_do_nothing(index_elements=["user_id"]))
    linked = update(Account).where(Account.user_id == user_id, Account.subject.is_(None)).values(subject=subject)
    if s.execute(linked.returning(Account.user_id).execution_options(synchronize_session=False)).scalar() is None:
        log.warning("account.number_taken", employee_number=number, subject=subject, user_id=user_id)
        return None
    log.info("account.linked", user_id=user_id, subject=subject)
    publish(AccountLinked(user_id, str(subject), str(claims.get("preferred_username") or "")))
    return user_id


def _tell_unlinked(s: Session, claims: dict[str, Any]) -> None:
    today = (SignIn.subject == claims["sub"], SignIn.outcome == "unlinked", SignIn.at > func.now() - timedelta(days=1))
    if s.scalar(select(SignIn.id).where(*today).limit(1)) is not None:
        return
    known = {"username": "preferred_username", "name": "name", "email": "email", "employee_number": "employee_number"}
    told = {"subject": claims["sub"]} | {word: str(claims.get(claim) or "") for word, claim in known.items()}
    log.warning("account.unlinked", subject=told["subject"], username=told["username"])
    for hook in _hooks:
        hook(told)


def _count(s: Session, user_id: int) -> None:
    values = {"last_login": func.now(), "login_count": func.coalesce(User.login_count, 0) + 1, "fail_login_count": 0}
    s.execute(update(User).where(User.id == user_id).values(**values).execution_options(synchronize_session=False))


# ------------------------------------------------------------------ access tokens
def client_allowed(client_id: str) -> bool:
    """Access tokens made for *client_id* are taken: named in the settings, a machine's, or the sample client of a demonstration."""
    active = settings()
    if client_id in active.oidc_api_clients or (active.demo and client_id == SAMPLE_CLIENT):
        return True
    with unrestricted("access token: is the client known") as s:
        return s.scalar(select(Account.user_id).where(Account.client_id == client_id)) is not None


def find_for_token(claims: dict[str, Any]) -> int | None:
    """The person or the technical user of a verified access token; a person's roles are brought up to date."""
    with unrestricted("access token: who is it") as s:
        machine = _machine(claims)
        if machine:
            return _find_machine(s, machine, claims["sub"])
        user_id = find(s, claims)
        # an older token may name roles that were taken since and that no further event would take again
        if user_id is not None and time.time() - float(claims["iat"]) < FRESH:
            sync_roles(s, user_id, claims.get("roles"))
        return user_id


def _machine(claims: dict[str, Any]) -> str | None:
    """The client whose own token this is.  A person who signs in through the same client has no `client_id` claim."""
    client = claims.get("client_id")
    if isinstance(client, str) and client == claims["azp"] and claims.get("preferred_username") == f"service-account-{client}":
        return client
    return None


def _find_machine(s: Session, client_id: str, subject: str) -> int | None:
    account = s.execute(select(Account.user_id, Account.subject).where(Account.client_id == client_id)).one_or_none()
    if account is None or account.subject not in (None, subject):
        return None
    if account.subject is None:
        link = update(Account).where(Account.user_id == account.user_id).values(subject=subject)
        s.execute(link.execution_options(synchronize_session=False))
    return int(account.user_id)


def bind_machine(client_id: str, username: str, role_keys: tuple[str, ...]) -> int:
    """Create (or find) the technical user *username* as whom the service account of *client_id* acts, with exactly these roles.

    Its roles are the portal's own affair: tokens of machines change none.  Returns the `ab_user.id`.  Raises ValueError for the name
    of a person.
    """
    with unrestricted(f"technical user of {client_id}") as s:
        user_id = s.scalar(select(User.id).where(User.username == username))
        if user_id is not None and s.scalar(select(Account.client_id).where(Account.user_id == user_id)) is None:
            raise ValueError(f"{username} is a person's account")
        if user_id is None:
            name = {"username": username, "first_name": client_id[:60], "last_name": "", "email": f"{username}@machines.invalid"}
            user_id = s.execute(insert(User).values(**name, active=True).returning(User.id)).scalar_one()
        account = insert(Account).values(user_id=user_id, client_id=client_id)
        s.execute(account.on_conflict_do_update(index_elements=["user_id"], set_={"client_id": client_id}))
        _set_roles(s, user_id, set(role_keys))
    return int(user_id)


# ------------------------------------------------------------------ roles
def sync_roles(s: Session, user_id: int, claimed: Any) -> None:
    """Give *user_id* the roles Keycloak names and take the others; unknown ones are ignored, changes not yet written there win.

    A token without the claim (no list) changes nothing.
    """
    if not isinstance(claimed, list):
        return
    wanted = {role for role in claimed if isinstance(role, str)}
    for write in s.scalars(select(RoleWrite).where(RoleWrite.user_id == user_id, RoleWrite.done_at.is_(None)).order_by(RoleWrite.id)):
        (wanted.add if write.operation == "add" else wanted.discard)(write.role_key)
    gained = _set_roles(s, user_id, wanted)
    if gained:
        publish(RolesGained(user_id, gained))


def _set_roles(s: Session, user_id: int, wanted: set[str]) -> list[str]:
    """Makes *wanted* the person's roles; those that are new."""
    managed = set(s.scalars(select(Role.name).where(Role.name.not_in(NOT_MANAGED))))
    mine = select(Role.name).join(assoc_user_role, assoc_user_role.c.role_id == Role.id).where(assoc_user_role.c.user_id == user_id)
    held = set(s.scalars(mine))
    gained = sorted((wanted & managed) - held)
    for key in gained:
        roles.grant(s, user_id, key)
    for key in sorted((held & managed) - wanted):
        roles.revoke(s, user_id, key)
    return gained


def queue_role(user_id: int, role_key: str, operation: Literal["add", "remove"]) -> None:
    """Apply a change of roles made in the portal and queue it for Keycloak, in the current transaction (an action or system work)."""
    s = session()
    (roles.grant if operation == "add" else roles.revoke)(s, user_id, role_key)
    if settings().local_accounts:
        return
    row = {"user_id": user_id, "role_key": role_key, "operation": operation}
    write = s.execute(insert(RoleWrite).values(**row).returning(RoleWrite.id)).scalar_one()
    outbox.enqueue("security.role_writes", {}, key=f"security.role_write:{write}")


def tell_roles(user_id: int) -> None:
    """Have Keycloak know every role *user_id* has here; for an account that was just made or taken over.

    Until then they win over Keycloak's word, which would take them at the first sign-in.
    """
    s = session()
    mine = select(Role.name).join(assoc_user_role, assoc_user_role.c.role_id == Role.id).where(assoc_user_role.c.user_id == user_id)
    for key in list(s.scalars(mine.where(Role.name.not_in(NOT_MANAGED)).order_by(Role.name))):
        queue_role(user_id, key, "add")


# ------------------------------------------------------------------ local passwords (by flag only)
LOCK_AFTER, LOCK_AFTER_PER_ADDRESS = 5, 30
LOCK_FOR = timedelta(minutes=15)
_NOBODY = generate_password_hash("nobody")


def check_password(username: str, password: str) -> Arrival:
    """Who signs in with a password kept here.  Locked for a quarter of an hour after five wrong ones, or thirty from one address."""
    username = one_line(username).lower()  # else every spelling would have wrong passwords of its own
    with unrestricted("sign in with a local password") as s:
        address = request.remote_addr if has_request_context() else None
        # those typed at the sign-in service or on the emergency page are counted there
        recent = (SignIn.at > func.now() - LOCK_FOR, SignIn.outcome == "wrong_password", SignIn.way == "password")
        since_ok = select(func.max(SignIn.at)).where(SignIn.username == username, SignIn.outcome == "ok").scalar_subquery()
        wrong = s.scalar(
            select(func.count()).where(SignIn.username == username, *recent, SignIn.at > func.coalesce(since_ok, func.now() - LOCK_FOR))
        )
        from_address = s.scalar(select(func.count()).where(SignIn.ip == address, *recent))
        if (wrong or 0) >= LOCK_AFTER or (from_address or 0) >= LOCK_AFTER_PER_ADDRESS:
            record_locked(s, username, "password")
            return Arrival("locked")
        known = select(User.id, User.password, User.active, User.first_name, User.last_name)
        row = s.execute(known.where(func.lower(User.username) == username)).one_or_none()
        # the same work for a name that does not exist, so that the time tells nothing
        right = check_password_hash(row.password if row and row.password else _NOBODY, password)
        if row is None or not row.password or not right:
            record(s, "wrong_password", row.id if row else None, username, way="password")
            return Arrival("wrong_password")
        name = f"{row.last_name}{row.first_name}"
        if not row.active:
            record(s, "inactive", row.id, username, way="password")
            return Arrival("inactive", row.id, name)
        record(s, "ok", row.id, username, way="password")
        _count(s, row.id)
        return Arrival("ok", row.id, name)


def set_password(user_id: int, password: str) -> None:
    """Keep a local password for *user_id*, whose sessions end; it works only where single sign-on is switched off."""
    change = update(User).where(User.id == user_id).values(password=generate_password_hash(password))
    session().execute(change.execution_options(synchronize_session=False))
    sessions.end_with_account(user_id, "new password")


def set_active(user_id: int, active: bool) -> None:
    """Let *user_id* use the portal, or no longer: then every session ends with the transaction at hand."""
    change = update(User).where(User.id == user_id).values(active=active)
    session().execute(change.execution_options(synchronize_session=False))
    if not active:
        sessions.end_with_account(user_id, "switched off")
        delegation.end_with_account(user_id, "switched off")
