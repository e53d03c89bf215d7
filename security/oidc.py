"""OpenID Connect with Keycloak: sign-in by code with PKCE, ID tokens, sign-out at both ends.

A sign-in in progress is kept in the browser's signed cookie: state, nonce, PKCE verifier and the page first asked for, for ten
minutes, at most three at a time.
"""

import base64
import hashlib
import hmac
import secrets
import threading
import time
import unicodedata
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import requests
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from portal.kernel.errors import Unavailable
from portal.kernel.settings import settings
from security.keys import KeyCache
from security.tokens import JWT_TYPES, LOGOUT_TYPES, BadToken, text_claim, verify

log = structlog.get_logger(__name__)

SCOPE = "openid profile email"
CALLBACK, SIGNED_OUT = "/oidc/callback", "/logout/done"
TIMEOUT, PROBE_TIMEOUT = 5.0, 2.0
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_MAX_AGE = 300
"""Seconds for which a logout token is taken; Keycloak sends it at once and does not repeat it."""


class SignInRefused(ValueError):
    """Keycloak or its answer says no; the text is for the log."""


# ------------------------------------------------------------------ the provider
class Provider:
    """The Keycloak realm of this installation: its addresses, its keys, and the exchanges with it."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, public_url: str) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._secret = client_secret
        self._public_url = public_url
        self._metadata: dict[str, Any] = {}
        self.keys = KeyCache(issuer, lambda: self.address("jwks_uri"))

    def reachable(self) -> bool:
        """Keycloak answers now: asked before a browser is sent there."""
        try:
            self._load(PROBE_TIMEOUT)
        except Unavailable:
            return False
        return True

    def address(self, name: str) -> str:
        """The end point *name* of the discovery document.  Raises `Unavailable` when it was never read and cannot be now."""
        if not self._metadata:
            self._load(TIMEOUT)
        return str(self._metadata[name])

    def _load(self, timeout: float) -> None:
        try:
            answer = requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=timeout)
            answer.raise_for_status()
            metadata = answer.json()
        except (requests.RequestException, ValueError) as error:
            log.warning("oidc.unreachable", issuer=self.issuer, error=type(error).__name__)
            raise Unavailable("identity provider", code="identity_provider_unavailable", retry_after=10) from error
        if metadata.get("issuer") != self.issuer:
            log.error("oidc.wrong_issuer", issuer=self.issuer, found=str(metadata.get("issuer")))
            raise Unavailable("identity provider", code="identity_provider_unavailable", retry_after=10)
        self._metadata = metadata

    def _session(self) -> OAuth2Session:
        return OAuth2Session(
            self.client_id,
            self._secret,
            scope=SCOPE,
            redirect_uri=self._public_url + CALLBACK,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic",  # noqa: S106 - a method, no secret
        )

    def authorization_url(self, attempt: "Attempt", **extra: str) -> str:
        """Where to send the browser for *attempt*."""
        with self._session() as client:
            url, _state = client.create_authorization_url(
                self.address("authorization_endpoint"), state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier, **extra
            )
        return str(url)

    def exchange(self, code: str, attempt: "Attempt") -> "IdToken":
        """The verified ID token that *code* stands for.  Raises `SignInRefused` and `Unavailable`."""
        try:
            with self._session() as client:
                tokens = client.fetch_token(
                    self.address("token_endpoint"),
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=attempt.verifier,
                    timeout=TIMEOUT,
                )
        except OAuthError as error:
            raise SignInRefused(f"token end point: {error.error}") from error
        except requests.RequestException as error:
            raise Unavailable("identity provider", code="identity_provider_unavailable", retry_after=10) from error
        except ValueError as error:  # a page of something in between, say
            raise SignInRefused("token end point: no JSON object") from error
        raw = tokens.get("id_token")
        if not isinstance(raw, str):
            raise SignInRefused("no ID token")
        try:
            return IdToken(raw, self.verify_id_token(raw, attempt.nonce, tokens.get("access_token")))
        except BadToken as error:
            raise SignInRefused(f"ID token: {error}") from error

    def verify_id_token(self, raw: str, nonce: str, access_token: Any) -> dict[str, Any]:
        """The claims of an ID token made for this sign-in.  Raises `BadToken`."""
        claims = verify(raw, self.keys, issuer=self.issuer, audience=self.client_id, header_types=JWT_TYPES)
        if claims.get("typ", "ID") != "ID":
            raise BadToken(f"claim typ is {claims['typ']!r}")
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and "azp" not in claims:
            raise BadToken("several audiences and no azp")
        if claims.get("azp", self.client_id) != self.client_id:
            raise BadToken("made for another client")
        if not hmac.compare_digest(text_claim(claims, "nonce").encode(), nonce.encode()):
            raise BadToken("nonce differs")
        if not isinstance(access_token, str) or not hmac.compare_digest(text_claim(claims, "at_hash"), half_hash(access_token)):
            raise BadToken("at_hash does not fit the access token")
        text_claim(claims, "sub")
        return claims

    def verify_logout_token(self, raw: str) -> dict[str, Any]:
        """The claims of a back-channel logout token; that it is used once is for the caller to see to.  Raises `BadToken`."""
        claims = verify(raw, self.keys, issuer=self.issuer, audience=self.client_id, header_types=LOGOUT_TYPES)
        if "nonce" in claims:
            raise BadToken("a logout token has no nonce")
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
            raise BadToken("not the event of a logout")
        text_claim(claims, "jti")
        named = [name for name in ("sid", "sub") if name in claims]
        if not named:
            raise BadToken("names neither session nor person")
        for name in named:
            text_claim(claims, name)
        if float(claims["iat"]) < time.time() - LOGOUT_MAX_AGE:
            raise BadToken("too old")
        return claims

    def logout_url(self, id_token: str | None) -> str:
        """Where to send the browser to end the Keycloak session too."""
        query = {"client_id": self.client_id, "post_logout_redirect_uri": self._public_url + SIGNED_OUT}
        if id_token:
            query["id_token_hint"] = id_token
        return f"{self.address('end_session_endpoint')}?{urlencode(query)}"


@dataclass(frozen=True)
class IdToken:
    """A verified ID token and its claims."""

    raw: str
    claims: dict[str, Any]


def half_hash(value: str) -> str:
    """The left half of the SHA-256 of *value*, as `at_hash` has it for RS256."""
    return base64.urlsafe_b64encode(hashlib.sha256(value.encode()).digest()[:16]).rstrip(b"=").decode()


_providers: dict[tuple[str, str, str, str], Provider] = {}
_lock = threading.Lock()


def provider() -> Provider:
    """The provider of the active settings; keys and addresses are shared by all threads."""
    active = settings()
    key = (active.oidc_issuer, active.oidc_client_id, active.oidc_client_secret, active.public_url)
    with _lock:
        if key not in _providers:
            _providers[key] = Provider(*key)
        return _providers[key]


# ------------------------------------------------------------------ a sign-in in progress
ATTEMPT_SECONDS = 600
ATTEMPTS = 3
COOKIE_KEY = "signin"


@dataclass(frozen=True)
class Attempt:
    """One sign-in in progress."""

    state: str
    nonce: str
    verifier: str
    path: str
    at: int

    @classmethod
    def begin(cls, cookie: Any, path: str) -> "Attempt":
        """A new attempt, kept in *cookie*; the oldest beyond `ATTEMPTS` and the expired are dropped."""
        attempt = cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), path, int(time.time()))
        kept = [attempt, *cls._kept(cookie)][:ATTEMPTS]
        cookie[COOKIE_KEY] = [[a.state, a.nonce, a.verifier, a.path, a.at] for a in kept]
        return attempt

    @classmethod
    def take(cls, cookie: Any, state: str) -> "Attempt | None":
        """The attempt called *state*, which is thereby used up; None when there is none or it is too old."""
        kept = cls._kept(cookie)
        found = next((a for a in kept if hmac.compare_digest(a.state.encode(), state.encode())), None)
        rest = [[a.state, a.nonce, a.verifier, a.path, a.at] for a in kept if a is not found]
        if rest:
            cookie[COOKIE_KEY] = rest
        else:
            cookie.pop(COOKIE_KEY, None)
        return found

    @classmethod
    def _kept(cls, cookie: Any) -> list["Attempt"]:
        now = time.time()
        return [a for a in (cls(*entry) for entry in cookie.get(COOKIE_KEY, ())) if 0 <= now - a.at < ATTEMPT_SECONDS]


HOME = "/"
MAX_PATH = 500
_OWN = ("/login", "/logout", "/oidc")


def local_path(wanted: str | None, origin: str) -> str:
    """*wanted* as a path within the portal at *origin*, or the home page when it could lead anywhere else.

    Refused are other hosts in every spelling browsers understand (`//host`, `/\\host`, `https:host`), control and invisible
    characters, dot segments and empty segments, and the sign-in pages themselves.
    """
    if not wanted or len(wanted) > MAX_PATH:
        return HOME
    path = wanted[len(origin) :] if wanted.startswith(origin + "/") else wanted
    if not path.startswith("/") or path.startswith("//") or "\\" in path or any(unicodedata.category(c)[0] in "CZ" for c in path):
        return HOME
    try:
        parts = urlsplit(path)
    except ValueError:
        return HOME
    segments = unquote(parts.path).replace("\\", "/").split("/")
    if parts.scheme or parts.netloc or "" in segments[1:-1] or not {".", ".."}.isdisjoint(segments):
        return HOME
    if any(parts.path == own or parts.path.startswith(own + "/") for own in _OWN):
        return HOME
    return path
