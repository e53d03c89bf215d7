"""REST calls with a Keycloak access token: ``Authorization: Bearer …``.

The token is verified at every call.  The first call with a token adds a row to `security_session`, keyed by the token's hash, so
that the transaction begins for its person exactly as it does for a browser: API rules equal page rules, and ending the row ends
the token at once.
"""

import threading
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from flask import Response, current_app, g, jsonify, request

from portal.kernel.errors import TooMany
from portal.kernel.i18n import _
from portal.kernel.settings import settings
from security import accounts, rates, sessions, signins
from security.oidc import provider
from security.tokens import JWT_TYPES, LEEWAY, BadToken, text_claim, verify

log = structlog.get_logger(__name__)

REMEMBERED = 10_000


def verify_access_token(token: str) -> dict[str, Any]:
    """The claims of an access token made for the REST API.  Raises `BadToken`."""
    active = settings()
    oidc = provider()
    claims = verify(token, oidc.keys, issuer=oidc.issuer, audience=active.oidc_api_audience, header_types=JWT_TYPES)
    if claims.get("typ") != "Bearer":
        raise BadToken(f"claim typ is {claims.get('typ')!r}")
    text_claim(claims, "azp")
    return claims


def is_bearer() -> bool:
    """This request came with an access token; it cannot be forged from another site, so it needs no CSRF token."""
    return bool(g.get("bearer"))


def authenticate() -> Response | None:
    """Before every request: believe the access token, or answer 401.  Requests without one pass."""
    scheme, _blank, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    g.bearer = True
    # the cookie, if any, counts for nothing beside a token
    g.credential = "-"
    token = token.strip()
    try:
        if settings().local_accounts:
            raise BadToken("single sign-on is off")
        claims = verify_access_token(token)
        _admit(token, claims)
    except BadToken as error:
        log.info("bearer.refused", reason=str(error))
        return _refuse("invalid_token", _("The access token is not valid. Get a new one and try again."))
    except NoAccount as error:
        log.info("bearer.no_account", subject=error.subject)
        return _refuse("no_account", _("Nobody in this portal is linked to the owner of this access token."))
    g.credential = token
    return None


class NoAccount(LookupError):
    """The token is good, but its owner is nobody here."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self.subject = subject


class _Known:
    """Hashes of tokens that already have their row, so that a call costs no statement for it; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hashes: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, token_hash: str) -> bool:
        return token_hash in self._hashes

    def add(self, token_hash: str) -> None:
        with self._lock:
            self._hashes[token_hash] = None
            if len(self._hashes) > REMEMBERED:
                self._hashes.popitem(last=False)


def _admit(token: str, claims: dict[str, Any]) -> None:
    """Make sure that *token* has its row.  Raises `BadToken` for a client or a session not accepted, `NoAccount`."""
    known: _Known = current_app.extensions.setdefault("security_bearer", _Known())
    token_hash = sessions.hash_of(token)
    if token_hash in known:
        return
    subject, client, sid = claims["sub"], claims["azp"], claims.get("sid")
    # only what Keycloak signed is written into the history: anybody can send anything
    told = {"way": "token", "subject": subject, "username": claims.get("preferred_username")}
    if not accounts.client_allowed(client):
        signins.refused("token_refused", "client", **told)
        raise BadToken("made for another client")
    if isinstance(sid, str) and sessions.logged_out(sid):
        signins.refused("token_refused", "over", **told)
        raise BadToken("its Keycloak session has ended")
    user_id = accounts.find_for_token(claims)
    if user_id is None:
        signins.refused("token_refused", "nobody", **told)
        raise NoAccount(subject)
    expires = datetime.fromtimestamp(float(claims["exp"]), UTC) + timedelta(seconds=LEEWAY)
    sessions.adopt(token, user_id, expires=expires, sid=sid if isinstance(sid, str) else None, subject=subject)
    known.add(token_hash)


def _refuse(code: str, message: str) -> Response:
    """401, or 429 for an address that keeps sending tokens that are refused; good tokens from there are not held up."""
    wait = rates.exceeded("token", rates.address())
    if wait is not None:
        code, message = TooMany.code, rates.message("token", wait)
    answer = jsonify(error={"code": code, "message": message, "fields": {}})
    answer.status_code = 401 if wait is None else TooMany.http
    answer.headers["Cache-Control"] = "no-store"
    if wait is None:
        answer.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    else:
        answer.headers["Retry-After"] = str(wait)
    return answer
