"""Signed tokens, checked strictly: one algorithm, one spelling, keys of our issuer only."""

import base64
import binascii
import json
import re
from typing import Any, NoReturn

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from security.keys import KeyCache, UnknownKey

ALGORITHMS = ("RS256",)
LEEWAY = 30
"""Seconds that clocks may differ."""
MAX_LENGTH = 16_384
HEADERS = {"alg", "kid", "typ"}

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class BadToken(ValueError):
    """The token must not be believed; the text says why, for the log, and never holds the token."""


def verify(token: str, keys: KeyCache, *, issuer: str, audience: str, header_types: tuple[str, ...]) -> dict[str, Any]:
    """The claims of *token* after checking form, algorithm, signature, issuer, audience and times.  Raises `BadToken`.

    *header_types* are the accepted values of the header's ``typ``, compared without case.
    """
    header = _header(token)
    if str(header.get("typ", "")).lower() not in header_types:
        raise BadToken(f"typ {header.get('typ')!r}")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise BadToken("no key named")
    try:
        key = keys.key(kid)
        claims = jwt.decode(token, key, registry=JWSRegistry(algorithms=list(ALGORITHMS))).claims
        JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": header_types != LOGOUT_TYPES},
        ).validate(claims)
    except UnknownKey as error:
        raise BadToken("signed with a key nobody published") from error
    except (JoseError, ValueError, TypeError, OverflowError) as error:
        raise BadToken(f"{type(error).__name__}: {error}") from error
    return claims


LOGOUT_TYPES = ("logout+jwt",)
JWT_TYPES = ("jwt",)


def text_claim(claims: dict[str, Any], name: str) -> str:
    """The claim *name* as a text that is not empty.  Raises `BadToken`."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise BadToken(f"claim {name} is missing")
    return value


def _header(token: str) -> dict[str, Any]:
    if len(token) > MAX_LENGTH or not _SHAPE.fullmatch(token):
        raise BadToken("not a signed token")
    try:
        # the unused bits at the end of a part could be varied freely: one content must have one spelling
        if any(base64.urlsafe_b64encode(_decode(part)).rstrip(b"=").decode() != part for part in token.split(".")):
            raise BadToken("not the canonical spelling")
        for part in token.split(".")[:2]:  # readers differ in which of two entries of one name counts
            json.loads(_decode(part).decode(), object_pairs_hook=_once, parse_constant=_no_constant)
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise error if isinstance(error, BadToken) else BadToken(f"unreadable: {type(error).__name__}") from error
    if set(header) - HEADERS or header.get("alg") not in ALGORITHMS:
        raise BadToken("header not accepted")
    return dict(header)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadToken("one name twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadToken(f"{name} is no number")


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
