"""What the portal does at Keycloak's administration interface, as the service account of its own client.

Everything here runs outside people's requests: Keycloak answers some of these calls only after calling the portal back.
"""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import requests
import structlog
from flask_appbuilder.security.sqla.models import User
from keycloak import KeycloakAdmin, KeycloakOpenIDConnection
from keycloak.exceptions import KeycloakConnectionError, KeycloakError, KeycloakGetError
from sqlalchemy import func, select

from portal.kernel.db import unrestricted
from portal.kernel.errors import Refusal, Unavailable
from portal.kernel.i18n import _
from portal.kernel.outbox import enqueue, handler
from portal.kernel.settings import settings
from security import sessions, signins
from security.sessions import Account, RoleWrite

log = structlog.get_logger(__name__)

TIMEOUT = 5
PAGE = 500
WATCHED = ("USER", "CLIENT_ROLE_MAPPING", "GROUP_MEMBERSHIP", "GROUP", "CLIENT_ROLE")


def moment_of(event: dict[str, Any]) -> datetime:
    """When an event of Keycloak happened."""
    return datetime.fromtimestamp(int(event["time"]) / 1000, UTC)


class Administration:
    """Keycloak's administration of our realm.  Methods raise `KeycloakError`, of which `unreachable` tells the passing ones."""

    def __init__(self, issuer: str, client_id: str, client_secret: str) -> None:
        server, _realms, realm = issuer.partition("/realms/")
        self.client_id = client_id
        connection = KeycloakOpenIDConnection(
            server_url=server + "/", realm_name=realm, client_id=client_id, client_secret_key=client_secret, timeout=TIMEOUT
        )
        self._admin = KeycloakAdmin(connection=connection)
        self._client: str | None = None

    @property
    def client(self) -> str:
        """Keycloak's own identifier of our client."""
        if self._client is None:
            found = self._admin.get_client_id(self.client_id)
            if found is None:
                raise KeycloakGetError(f"client {self.client_id} not found", response_code=404)
            self._client = str(found)
        return self._client

    def request(self, method: str, path: str, body: Any = None, *, gone_is_well: bool = False, **query: Any) -> Any:
        """The answer to one call below the realm's address, None when it is empty.  Raises `KeycloakError`.

        *gone_is_well*: what is not there is no error, for removing.
        """
        try:
            answer = self._call(method, path, body, query)
        except KeycloakError as error:
            if gone_is_well and error.response_code == 404:
                return None
            raise
        return answer.json() if answer.content and answer.status_code != 204 else None

    def make(self, path: str, body: Any) -> str:
        """POST *body* and return the id of what was made."""
        return str(self._call("post", path, body, {}).headers["Location"].rsplit("/", 1)[1])

    def _call(self, method: str, path: str, body: Any, query: dict[str, Any]) -> Any:
        connection = self._admin.connection
        url, send = f"/admin/realms/{connection.realm_name}{path}", getattr(connection, f"raw_{method}")
        data = () if body is None else (orjson.dumps(body).decode(),)
        answer = send(url, *data, **query)
        if answer.status_code >= 400:
            told = answer.text[:200] if answer.status_code < 500 else ""
            raise KeycloakError(f"{method} {path}: {answer.status_code} {told}".strip(), response_code=answer.status_code)
        return answer

    def write_role(self, subject: str, role_key: str, operation: str) -> None:
        """Give or take a client role; a role the realm lacks is created before it is given."""
        try:
            role = self._admin.get_client_role(self.client, role_key)
        except KeycloakGetError as error:
            if error.response_code != 404:
                raise
            if operation == "remove":
                return
            self._admin.create_client_role(self.client, {"name": role_key}, skip_exists=True)
            role = self._admin.get_client_role(self.client, role_key)
        if operation == "add":
            self._admin.assign_client_role(subject, self.client, [role])
        else:
            self._admin.delete_client_roles_of_user(subject, self.client, [role])

    def may_sign_in(self, subject: str) -> bool:
        """The account exists and is enabled."""
        try:
            return bool(self._admin.get_user(subject).get("enabled"))
        except KeycloakGetError as error:
            if error.response_code == 404:
                return False
            raise

    def roles_of(self, subject: str) -> list[str]:
        """The client roles the account has, those of its groups and of composite roles included, as its tokens name them."""
        return [str(role["name"]) for role in self._admin.get_composite_client_roles_of_user(subject, self.client)]

    def changes_since(self, moment: datetime) -> set[str]:
        """Resource paths (`users/…`, `groups/…`, …) of accounts, roles and memberships that were changed since *moment* (aware)."""
        found: set[str] = set()
        query = {"dateFrom": str(int(moment.timestamp() * 1000)), "resourceTypes": list(WATCHED), "max": PAGE}
        for first in range(0, 20 * PAGE, PAGE):
            page = self._admin.get_admin_events(query=query | {"first": first})
            found |= {str(event.get("resourcePath", "")) for event in page}
            if len(page) < PAGE:
                break
        return found

    def events_since(self, moment: datetime, types: Sequence[str], at_most: int) -> list[dict[str, Any]]:
        """What people did since *moment* (aware) at the sign-in pages of the realm, the newest *at_most*, oldest first."""
        found: list[dict[str, Any]] = []
        query = {"dateFrom": str(int(moment.timestamp() * 1000)), "type": list(types), "max": PAGE}
        for first in range(0, at_most, PAGE):
            page = self._admin.get_events(query=query | {"first": first})
            found += page
            if len(page) < PAGE:
                break
        return found[at_most - 1 :: -1] if len(found) > at_most else found[::-1]

    def passwords_reset_since(self, moment: datetime) -> list[tuple[str, datetime]]:
        """(subject, when) of the accounts whose password an administrator set at Keycloak since *moment* (aware), the newest `PAGE`."""
        query = {"dateFrom": str(int(moment.timestamp() * 1000)), "resourceTypes": "USER", "operationTypes": "ACTION", "max": PAGE}
        paths = ((str(e.get("resourcePath", "")).split("/"), e) for e in self._admin.get_admin_events(query=query))
        return [(path[1], moment_of(e)) for path, e in paths if len(path) == 3 and path[2] == "reset-password"]

    def demand_password(self, subject: str) -> None:
        """Let the account in only after it has chosen a new password, and end what it has running."""
        person = self._admin.get_user(subject)
        actions = list(person.get("requiredActions") or [])
        if "UPDATE_PASSWORD" not in actions:
            self._admin.update_user(subject, person | {"requiredActions": [*actions, "UPDATE_PASSWORD"]})
        self.log_out(subject)

    def log_out(self, subject: str) -> None:
        """End all Keycloak sessions of the account; Keycloak then calls the portal's back-channel."""
        self._admin.user_logout(subject)

    def end_session(self, sid: str) -> None:
        """End one Keycloak session, and with it those of every application in it; one that is over already is no error."""
        answer = self._admin.connection.raw_delete(f"/admin/realms/{self._admin.connection.realm_name}/sessions/{sid}")
        if answer.status_code not in (204, 404):
            raise KeycloakError(f"session not ended: {answer.status_code}", response_code=answer.status_code)

    def sessions_of(self, subject: str) -> set[str]:
        """The account's Keycloak sessions; none when the account is gone."""
        try:
            return {str(s["id"]) for s in self._admin.get_sessions(subject)}
        except KeycloakGetError as error:
            if error.response_code == 404:
                return set()
            raise

    def clients(self) -> list[tuple[str, str, bool]]:
        """The realm's clients: client id, name, whether it is enabled."""
        return [(str(c["clientId"]), str(c.get("name") or ""), bool(c.get("enabled"))) for c in self._admin.get_clients()]

    def open_sessions(self) -> set[str]:
        """All Keycloak sessions that signed in to the portal; some may be missing when sessions end while the pages are read."""
        found: set[str] = set()
        first = 0
        while True:
            page = self._admin.get_client_all_sessions(self.client, {"first": first, "max": PAGE})
            found |= {str(s["id"]) for s in page}
            if len(page) < PAGE:
                return found
            first += PAGE


def unreachable(error: Exception) -> bool:
    """Keycloak is away or in trouble, as opposed to saying no: worth another try."""
    if isinstance(error, KeycloakConnectionError | requests.RequestException):
        return True
    return isinstance(error, KeycloakError) and (error.response_code is None or error.response_code >= 500)


def away(error: Exception) -> bool:
    """Keycloak is not there now: letters to it wait until it is (POR-07).  An error 500 may come from what the letter says, and is none."""
    if isinstance(error, Unavailable | KeycloakConnectionError | requests.RequestException):
        return True
    return isinstance(error, KeycloakError) and error.response_code in (None, 502, 503, 504)


_administrations: dict[tuple[str, str, str], Administration] = {}
_lock = threading.Lock()


def administration() -> Administration:
    """The administration of the active settings.  Raises `Unavailable` when Keycloak cannot be reached."""
    active = settings()
    key = (active.oidc_issuer, active.oidc_client_id, active.oidc_client_secret)
    with _lock:
        if key not in _administrations:
            try:
                _administrations[key] = Administration(*key)
            except (KeycloakError, requests.RequestException) as error:
                raise Unavailable("identity provider", code="identity_provider_unavailable", retry_after=30) from error
        return _administrations[key]


# ------------------------------------------------------------------ role changes
@handler("security.role_writes")
def _role_writes_queued() -> None:
    push_role_writes()


def push_role_writes() -> int:
    """Write the queued role changes to Keycloak, oldest first.  Returns how many were written.

    While Keycloak is away they stay queued and win over its word; one it refuses does not hold up those of other people.
    """
    if settings().local_accounts:
        return 0
    done, stuck = 0, set[int]()
    try:
        admin = administration()
        for write_id, user_id in _pending():
            if user_id not in stuck:
                if _push(admin, write_id):
                    done += 1
                else:
                    stuck.add(user_id)
    except Unavailable:
        log.warning("keycloak.unreachable", work="role writes")
    return done


def _pending() -> list[tuple[int, int]]:
    with unrestricted("role changes waiting for Keycloak") as s:
        rows = s.execute(select(RoleWrite.id, RoleWrite.user_id).where(RoleWrite.done_at.is_(None)).order_by(RoleWrite.id).limit(PAGE))
        return [(row.id, row.user_id) for row in rows]


def _push(admin: Administration, write_id: int) -> bool:
    """Write one change; False when the person's later changes must wait behind it.  Raises `Unavailable`."""
    with unrestricted("role change to Keycloak") as s:
        write = s.scalar(select(RoleWrite).where(RoleWrite.id == write_id, RoleWrite.done_at.is_(None)).with_for_update(skip_locked=True))
        if write is None:
            return False
        subject = s.scalar(select(Account.subject).where(Account.user_id == write.user_id))
        if subject is None:
            return False  # nobody there to write to before the first sign-in links the account
        try:
            admin.write_role(subject, write.role_key, write.operation)
        except Exception as error:
            write.attempts += 1
            write.last_error = f"{type(error).__name__}: {error}"[:500]
            if not isinstance(error, KeycloakError | requests.RequestException):
                raise
            log.warning("keycloak.role_write_failed", write=write_id, error=write.last_error)
            gone = unreachable(error)
        else:
            write.done_at, write.last_error = func.now(), None
            return True
    if gone:
        raise Unavailable("identity provider", code="identity_provider_unavailable", retry_after=30)
    return False


# ------------------------------------------------------------------ sessions ended in the portal
@handler("security.keycloak_session", away=away)
def _end_session(sid: str) -> None:
    if not settings().local_accounts:
        administration().end_session(sid)


# ------------------------------------------------------------------ a new password
@handler("security.demand_password", away=away)
def _demand_password(user_id: int) -> None:
    subject = _subject(user_id)
    if subject is None or settings().local_accounts:
        return
    admin = administration()
    # an access token not used here before would begin a session of its own: its Keycloak session is remembered as over
    for sid in admin.sessions_of(subject):
        sessions.obey_logout(f"password:{sid}", sid, None)
    admin.demand_password(subject)


def demand_password(user_id: int, by: int) -> int:
    """Have *user_id* choose a new password before the next sign-in, for *by*, who may; returns the sessions that ended, at once.

    Raises Refusal for an account that Keycloak does not know, and while single sign-on is off.
    """
    if settings().local_accounts:
        raise Refusal(_("Local passwords are set on the server: run.py admin reset-password."), code="local_accounts")
    with unrestricted("new password demanded by an administrator") as s:
        known = select(Account.subject, User.username).join(User, User.id == Account.user_id)
        row = s.execute(known.where(Account.user_id == user_id, Account.client_id.is_(None), Account.subject.is_not(None))).one_or_none()
        if row is None:
            raise Refusal(_("This account was never used at the sign-in service; there is no password to change."), code="no_account")
        ended = sessions.end_for_password(s, user_id, by)
        mark = signins.record(s, "reset", user_id, row.username, row.subject, way="keycloak", by_id=by)
        enqueue("security.demand_password", {"user_id": user_id}, key=f"security.demand_password:{mark}")
    return ended


def _subject(user_id: int) -> str | None:
    with unrestricted("Keycloak account of a person") as s:
        return s.scalar(select(Account.subject).where(Account.user_id == user_id))


# ------------------------------------------------------------------ health
def health() -> dict[str, Any]:
    """How many role changes wait for Keycloak: for the health page."""
    with unrestricted("role changes waiting for Keycloak") as s:
        return {"role_writes_waiting": s.scalar(select(func.count()).where(RoleWrite.done_at.is_(None))) or 0}
