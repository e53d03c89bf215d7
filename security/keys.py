"""Keycloak's signing keys, kept in memory and in PostgreSQL, so that tokens can be verified while Keycloak is away."""

import base64
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import requests
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from sqlalchemy import DateTime, Text, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import Base, unrestricted
from portal.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

MAX_AGE = 300.0
"""Seconds after which the keys are asked for again; a withdrawn key is believed no longer than that while Keycloak answers."""
PAUSE = 10.0
"""Least seconds between two questions: tokens with invented key names must not become a flood for Keycloak."""
TIMEOUT = 3.0
MIN_BITS = 2048


class SigningKeys(Base):
    """The last key set an issuer published."""

    __tablename__ = "security_jwks"

    issuer: Mapped[str] = mapped_column(Text, primary_key=True)
    keys: Mapped[dict[str, Any]] = mapped_column(JSONB)
    fetched_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class UnknownKey(LookupError):
    """No published signing key has this name."""


class KeyCache:
    """The signing keys of one issuer by key name.

    Asked again when they are old or when a name is unknown (rotation), at most every `PAUSE` seconds.  When the issuer does not
    answer, the last keys known to this process or to the database go on being used.
    """

    def __init__(self, issuer: str, address: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._address = address
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, RSAKey] = {}
        self._fetched: float | None = None
        self._tried: float | None = None

    def key(self, kid: str) -> RSAKey:
        """The key called *kid*.  Raises `UnknownKey`."""
        known = kid in self._keys
        # whoever already has the key does not wait for another thread that is asking
        if (not known or self._old()) and self._lock.acquire(blocking=not known):
            try:
                if kid not in self._keys or self._old():
                    self._refresh()
            finally:
                self._lock.release()
        try:
            return self._keys[kid]
        except KeyError:
            raise UnknownKey(kid) from None

    def _old(self) -> bool:
        return self._fetched is None or self._clock() - self._fetched > MAX_AGE

    def _refresh(self) -> None:
        now = self._clock()
        if self._tried is not None and now - self._tried < PAUSE:
            return
        self._tried = now
        try:
            answer = requests.get(self._address(), timeout=TIMEOUT)
            answer.raise_for_status()
            published = answer.json()
            keys = usable(published)
        except (requests.RequestException, JoseError, Unavailable, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("keys.refresh_failed", issuer=self.issuer, error=type(error).__name__)
            if not self._keys:
                self._keys = usable(_stored(self.issuer))
            return
        self._keys, self._fetched = keys, now
        _store(self.issuer, published)


def usable(published: dict[str, Any]) -> dict[str, RSAKey]:
    """The keys of a published set that may sign tokens for us: RSA of 2048 bits or more, made for signatures, RS256, with a name."""
    found = {}
    for entry in published["keys"]:
        if entry.get("kty") != "RSA" or entry.get("use") != "sig" or entry.get("alg", "RS256") != "RS256" or not entry.get("kid"):
            continue
        modulus = int.from_bytes(base64.urlsafe_b64decode(entry["n"] + "=" * (-len(entry["n"]) % 4)))
        if modulus.bit_length() >= MIN_BITS:
            found[str(entry["kid"])] = RSAKey.import_key({name: entry[name] for name in ("kty", "n", "e", "kid")})
    return found


def _stored(issuer: str) -> dict[str, Any]:
    with unrestricted("signing keys: last known") as s:
        return s.scalar(select(SigningKeys.keys).where(SigningKeys.issuer == issuer)) or {"keys": []}


def _store(issuer: str, published: dict[str, Any]) -> None:
    row = {"keys": published, "fetched_at": datetime.now(UTC)}
    with unrestricted("signing keys: keep a copy") as s:
        s.execute(insert(SigningKeys).values(issuer=issuer, **row).on_conflict_do_update(index_elements=["issuer"], set_=row))
