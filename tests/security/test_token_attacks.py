"""Every known way to forge or bend a token, by name; and what a hostile or broken identity provider may answer (POR-06, POR-01)."""

import base64
import hmac
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from config import Settings
from portal.kernel import settings as active
from portal.kernel.errors import Unavailable
from security import bearer, oidc
from security.oidc import half_hash
from security.tokens import MAX_LENGTH, BadToken
from tests.security.forge import Forge, forge


@pytest.fixture(scope="module")
def smithy() -> Iterator[Forge]:
    with forge() as made:
        yield made


@pytest.fixture
def trusting(app: Flask, settings: Settings, smithy: Forge) -> Iterator[None]:
    """The portal trusts the forge."""
    before = active.settings()
    active.use(settings.model_copy(update={"oidc_issuer": smithy.issuer}))
    with app.app_context():
        keys = oidc.provider().keys
        keys._tried = None
        keys.key(str(smithy.key.kid))
        keys._tried = time.monotonic() + 3600  # invented key names are told at once
        yield
        keys._tried = None
    active.use(before)


def accepted(token: str) -> bool:
    """Whether the token is believed; anything but an orderly refusal is an error."""
    try:
        bearer.verify_access_token(token)
    except BadToken:
        return False
    return True


def part(value: Any) -> str:
    """*value* as a part of a token."""
    raw = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_mac(f: Forge, alg: str, secret: bytes) -> str:
    """A token signed by HMAC with something that is public."""
    signed = f"{part({'alg': alg, 'typ': 'JWT', 'kid': f.key.kid})}.{part(f.access_claims())}"
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[alg]
    return f"{signed}.{part(hmac.new(secret, signed.encode(), digest).digest())}"


def reheaded(f: Forge, **header: Any) -> str:
    """A good token whose header was exchanged afterwards."""
    _head, body, signature = good(f).split(".")
    return f"{part({'alg': 'RS256', 'typ': 'JWT', 'kid': f.key.kid} | header)}.{body}.{signature}"


def good(f: Forge, **changes: Any) -> str:
    return f.sign(f.access_claims(**changes))


def raw(f: Forge, header: str, body: str) -> str:
    """Rightly signed over texts that a JSON writer would not write."""
    return f.sign_raw(header.replace("KID", str(f.key.kid)).encode(), body.encode())


def head(f: Forge) -> str:
    return json.dumps({"alg": "RS256", "typ": "JWT", "kid": f.key.kid})


def claims(f: Forge, **changes: Any) -> str:
    return json.dumps(f.access_claims(**changes))


def stranger(f: Forge) -> RSAKey:
    """A key of the attacker under the name of the issuer's."""
    return RSAKey.generate_key(2048, {"kid": f.key.kid})


def encrypted(f: Forge, inner: str) -> str:
    """A token within an encrypted token."""
    key = OctKey.generate_key(256)
    return str(jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "cty": "JWT", "kid": f.key.kid}, inner.encode(), key))


def pem(f: Forge) -> bytes:
    return bytes(f.key.as_pem(private=False))


def der(f: Forge) -> bytes:
    return bytes(f.key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def swap(token: str, n: int, change: Callable[[str], str]) -> str:
    parts = token.split(".")
    parts[n] = change(parts[n])
    return ".".join(parts)


def resigned(f: Forge, **header: Any) -> str:
    """Rightly signed by the issuer, with further header entries."""
    return f.sign(f.access_claims(), **header)


ATTACKS: dict[str, Callable[[Forge], str]] = {
    # no signature
    "alg none, signature empty": lambda f: ".".join([*reheaded(f, alg="none").split(".")[:2], ""]),
    "alg none, old signature": lambda f: reheaded(f, alg="none"),
    "alg None in other cases": lambda f: reheaded(f, alg="nOnE"),
    "alg empty": lambda f: reheaded(f, alg=""),
    "alg null": lambda f: reheaded(f, alg=None),
    "alg a list": lambda f: reheaded(f, alg=["none", "RS256"]),
    "alg in small letters": lambda f: resigned(f, alg="rs256"),
    "signature of zeros": lambda f: swap(good(f), 2, lambda _s: part(b"\0" * 256)),
    "signature empty": lambda f: swap(good(f), 2, lambda _s: ""),
    "signature cut": lambda f: swap(good(f), 2, lambda s: s[:-8]),
    "signature missing": lambda f: good(f).rpartition(".")[0],
    "signature of another token": lambda f: swap(good(f), 2, lambda _s: good(f, sub="other").split(".")[2]),
    # another algorithm than the issuer's
    "HS256 with the public key as PEM": lambda f: with_mac(f, "HS256", pem(f)),
    "HS256 with the public key as PEM, stripped": lambda f: with_mac(f, "HS256", pem(f).strip()),
    "HS256 with the public key as DER": lambda f: with_mac(f, "HS256", der(f)),
    "HS256 with the key set": lambda f: with_mac(f, "HS256", json.dumps({"keys": f.published}).encode()),
    "HS512 with the public key": lambda f: with_mac(f, "HS512", pem(f)),
    "HS256 with an empty secret": lambda f: with_mac(f, "HS256", b""),
    "HS256 with the client's name": lambda f: with_mac(f, "HS256", b"portal"),
    "ES256 with a signature of zeros": lambda f: swap(reheaded(f, alg="ES256"), 2, lambda _s: part(b"\0" * 64)),
    "EdDSA": lambda f: swap(reheaded(f, alg="EdDSA"), 2, lambda _s: part(b"\0" * 64)),
    "PS256 by the issuer": lambda f: f.sign(f.access_claims(), alg="PS256"),
    "RS512 by the issuer": lambda f: f.sign(f.access_claims(), alg="RS512"),
    "RS384 named over an RS256 signature": lambda f: resigned(f, alg="RS384"),
    # keys
    "another key of the same name": lambda f: f.sign(f.access_claims(), stranger(f)),
    "key in the header": lambda f: f.sign(f.access_claims(), k := stranger(f), jwk=k.as_dict(private=False)),
    "jku of the attacker": lambda f: f.sign(f.access_claims(), stranger(f), jku="http://127.0.0.1:1/certs"),
    "jku of the issuer, @ of another": lambda f: resigned(f, jku=f.issuer + "@127.0.0.1:1/certs"),
    "x5u": lambda f: resigned(f, x5u="http://127.0.0.1:1/x.pem"),
    "x5c": lambda f: resigned(f, x5c=["MII"]),
    "x5t": lambda f: resigned(f, **{"x5t#S256": "x"}),
    "kid missing": lambda f: resigned(f, kid=None),
    "kid empty": lambda f: resigned(f, kid=""),
    "kid unknown": lambda f: resigned(f, kid="unknown"),
    "kid a path": lambda f: with_kid(f, "../../../../dev/null"),
    "kid a path to a file of zeros": lambda f: with_kid(f, "/proc/sys/kernel/randomize_va_space"),
    "kid SQL": lambda f: with_kid(f, "x' union select 'secret' -- "),
    "kid a URL": lambda f: with_kid(f, "http://127.0.0.1:1/key"),
    "kid a command": lambda f: with_kid(f, "x;sleep 9|id"),
    "kid with NUL": lambda f: with_kid(f, f"{f.key.kid}\0"),
    "kid with a blank": lambda f: with_kid(f, f"{f.key.kid} "),
    "kid a list": lambda f: resigned(f, kid=[f.key.kid]),
    "kid a number": lambda f: resigned(f, kid=1),
    "kid an object": lambda f: resigned(f, kid={"a": 1}),
    "kid in full-width letters": lambda f: with_kid(f, "".join(chr(ord(c) + 0xFEE0) for c in str(f.key.kid))),
    # header
    "crit known": lambda f: resigned(f, crit=["exp"]),
    "crit unknown": lambda f: resigned(f, crit=["http://example/x"]),
    "crit empty": lambda f: resigned(f, crit=[]),
    "b64 false": lambda f: resigned(f, b64=False, crit=["b64"]),
    "compressed": lambda f: resigned(f, zip="DEF"),
    "typ missing": lambda f: resigned(f, typ=None),
    "typ of a logout token": lambda f: resigned(f, typ="logout+jwt"),
    "typ of a proof": lambda f: resigned(f, typ="dpop+jwt"),
    "typ a list": lambda f: resigned(f, typ=["JWT"]),
    "cty of a nested token": lambda f: resigned(f, cty="JWT"),
    "entry nobody knows": lambda f: resigned(f, admin=True),
    "header no object": lambda f: raw(f, '["RS256"]', claims(f)),
    "header twice alg": lambda f: raw(f, '{"alg":"none","alg":"RS256","typ":"JWT","kid":"KID"}', claims(f)),
    "header twice kid": lambda f: raw(f, '{"alg":"RS256","typ":"JWT","kid":"x","kid":"KID"}', claims(f)),
    "header with a byte-order mark": lambda f: raw(f, "\ufeff" + head(f), claims(f)),
    "header in UTF-16": lambda f: f.sign_raw(head(f).encode("utf-16"), claims(f).encode()),
    # claims as text
    "claims twice sub": lambda f: raw(f, head(f), '{"sub":"admin",' + claims(f)[1:]),
    "claims twice aud": lambda f: raw(f, head(f), claims(f)[:-1] + ',"aud":"portal-api"}'),
    "claims no object": lambda f: raw(f, head(f), "[1]"),
    "claims a text": lambda f: raw(f, head(f), '"x"'),
    "claims null": lambda f: raw(f, head(f), "null"),
    "claims empty": lambda f: raw(f, head(f), ""),
    "claims cut": lambda f: raw(f, head(f), claims(f)[:-1]),
    "claims nested a thousand deep": lambda f: raw(f, head(f), "[" * 5000 + "]" * 5000),
    "exp not a number": lambda f: raw(f, head(f), claims(f, exp=None)[:-1] + ',"exp":NaN}'),
    "exp endless": lambda f: raw(f, head(f), claims(f, exp=None)[:-1] + ',"exp":Infinity}'),
    "exp beyond all numbers": lambda f: raw(f, head(f), claims(f, exp=None)[:-1] + ',"exp":1e999}'),
    "exp of a thousand digits": lambda f: raw(f, head(f), claims(f, exp=None)[:-1] + ',"exp":' + "9" * 5000 + "}"),
    "claims in UTF-16": lambda f: f.sign_raw(head(f).encode(), claims(f).encode("utf-16")),
    # claims
    "expired": lambda f: good(f, exp=int(time.time()) - 31),
    "not yet": lambda f: good(f, nbf=int(time.time()) + 60),
    "issued in the future": lambda f: good(f, iat=int(time.time()) + 3600),
    "no expiry": lambda f: good(f, exp=None),
    "another issuer": lambda f: good(f, iss="http://127.0.0.1:1/realms/forge"),
    "issuer with a slash": lambda f: good(f, iss=f.issuer + "/"),
    "issuer in capitals": lambda f: good(f, iss=f.issuer.upper()),
    "issuer the master realm": lambda f: good(f, iss=f.issuer.replace("forge", "master")),
    "issuer a list": lambda f: good(f, iss=[f.issuer]),
    "for another audience": lambda f: good(f, aud="account"),
    "for the web client": lambda f: good(f, aud="portal"),
    "audience with a suffix": lambda f: good(f, aud="portal-api.evil"),
    "audience missing": lambda f: good(f, aud=None),
    "client missing": lambda f: good(f, azp=None),
    "ID token as access token": lambda f: good(f, typ="ID", aud="portal-api", nonce="n"),
    "refresh token as access token": lambda f: good(f, typ="Refresh"),
    "offline token as access token": lambda f: good(f, typ="Offline"),
    "logout token as access token": lambda f: f.sign(f.logout_claims(aud="portal-api")),
    "person missing": lambda f: good(f, sub=None),
    "person a list": lambda f: good(f, sub=["a"]),
    # spelling
    "padding": lambda f: good(f) + "=",
    "blank inside": lambda f: good(f).replace(".", ". ", 1),
    "line end inside": lambda f: good(f)[:40] + "\n" + good(f)[40:],
    "tab in front": lambda f: "\t" + good(f),
    "NUL at the end": lambda f: good(f) + "\0",
    "other base64 alphabet": lambda f: swap(f.sign(f.access_claims(x="???>>>" * 20)), 1, lambda s: s.replace("_", "/").replace("-", "+")),
    "unused bits": lambda f: good(f)[:-1] + chr(ord(good(f)[-1]) ^ 1),
    "full-width dot": lambda f: good(f).replace(".", "\uff0e"),
    "zero-width blank": lambda f: good(f)[:30] + "\u200b" + good(f)[30:],
    "letter that folds": lambda f: good(f).replace("K", "\u212a") + "\u017f",
    "percent-encoded": lambda f: good(f).replace(".", "%2E"),
    "four parts": lambda f: good(f) + "." + good(f).split(".")[2],
    "part in front": lambda f: "." + good(f),
    "two tokens": lambda f: f"{good(f)},{good(f)}",
    "JSON form": lambda f: json.dumps(dict(zip(("protected", "payload", "signature"), good(f).split("."), strict=True))),
    "nested, encrypted": lambda f: encrypted(f, good(f)),
    "too long": lambda f: good(f, x="y" * MAX_LENGTH),
    "nothing": lambda f: "",
    "dots": lambda f: "..",
}


def with_kid(f: Forge, kid: str) -> str:
    """Signed by HMAC with nothing, as files of zeros and unions would have it, under the name *kid*."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{part(f.access_claims())}"
    return f"{signed}.{part(hmac.new(b'', signed.encode(), 'sha256').digest())}"


def renamed(f: Forge, kid: str) -> str:
    return f.sign(f.access_claims(), kid=kid)


@pytest.mark.req("POR-06", part="forged tokens")
@pytest.mark.parametrize("name", ATTACKS)
def test_attack(trusting: None, smithy: Forge, name: str) -> None:
    token = ATTACKS[name](smithy)
    assert accepted(good(smithy)), "a good token is believed"
    assert token != good(smithy)
    assert not accepted(token)


def test_no_kind_is_missing() -> None:
    assert len(ATTACKS) >= 26


@pytest.mark.req("POR-06", part="forged tokens")
def test_rightly_signed_under_a_forged_name(trusting: None, smithy: Forge) -> None:
    for kid in ("../x", "x' or 1=1 -- ", "http://127.0.0.1:1/", f"{smithy.key.kid}\0", " "):
        assert not accepted(renamed(smithy, kid)), kid


def mutate(token: str, rng: random.Random) -> str:
    """*token* with one random change of its text."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/"
    while True:
        where = rng.randrange(len(token))
        kind = rng.randrange(6)
        if kind == 0:
            changed = token[:where] + rng.choice(alphabet) + token[where + 1 :]
        elif kind == 1:
            changed = token[:where] + token[where + 1 :]
        elif kind == 2:
            changed = token[:where] + rng.choice(alphabet) + token[where:]
        elif kind == 3:
            other = rng.randrange(len(token))
            low, high = min(where, other), max(where, other)
            changed = token[:low] + token[high:] + token[low:high]
        elif kind == 4:
            changed = token[: -rng.randrange(1, 12)]
        else:
            parts = token.split(".")
            n = rng.randrange(3)
            raw = bytearray(base64.urlsafe_b64decode(parts[n] + "=="))
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            parts[n] = part(bytes(raw))
            changed = ".".join(parts)
        if changed != token:
            return changed


@pytest.mark.req("POR-06", part="mutated tokens")
def test_a_million_mutations(trusting: None, smithy: Forge, depth: Callable[[int, int], int]) -> None:
    """A thousand changes of each of many good tokens; the verifier is called as every request calls it."""
    rng = random.Random(26_11)
    believed = []
    tried = depth(5_000, 1_000_000)
    begun = time.monotonic()
    for n in range(tried):
        if n % 1000 == 0:
            token = good(smithy)
            assert accepted(token)
        bent = mutate(token, rng)
        if accepted(bent):
            believed.append(bent)
    print(f"{tried} mutations in {time.monotonic() - begun:.0f} s")
    assert believed == []


# ------------------------------------------------------------------ an identity provider that answers wrongly
NONCE = "n" * 32


def id_claims(f: Forge, access: str, **changes: Any) -> dict[str, Any]:
    """Claims of a good ID token for the access token *access*."""
    return f.access_claims(**({"aud": "portal", "azp": "portal", "typ": "ID", "nonce": NONCE, "at_hash": half_hash(access)} | changes))


def tokens(f: Forge, **changes: Any) -> dict[str, Any]:
    access = good(f)
    return {"access_token": access, "token_type": "Bearer", "id_token": f.sign(id_claims(f, access, **changes))}


def without(f: Forge, name: str) -> dict[str, Any]:
    return {k: v for k, v in tokens(f).items() if k != name}


ANSWERS: dict[str, Callable[[Forge], Any]] = {
    "no ID token": lambda f: without(f, "id_token"),
    "ID token null": lambda f: tokens(f) | {"id_token": None},
    "ID token a list": lambda f: tokens(f) | {"id_token": ["x"]},
    "ID token empty": lambda f: tokens(f) | {"id_token": ""},
    "access token as ID token": lambda f: tokens(f) | {"id_token": good(f)},
    "no access token": lambda f: without(f, "access_token"),
    "nonce of another sign-in": lambda f: tokens(f, nonce="m" * 32),
    "no nonce": lambda f: tokens(f, nonce=None),
    "nonce a list": lambda f: tokens(f, nonce=[NONCE]),
    "at_hash of another token": lambda f: tokens(f, at_hash=half_hash("x")),
    "no at_hash": lambda f: tokens(f, at_hash=None),
    "for another client": lambda f: tokens(f, aud="other"),
    "for several clients, authorised for another": lambda f: tokens(f, aud=["portal", "other"], azp="other"),
    "for several clients, no azp": lambda f: tokens(f, aud=["portal", "other"], azp=None),
    "of another issuer": lambda f: tokens(f, iss="http://127.0.0.1:1/realms/x"),
    "expired": lambda f: tokens(f, exp=int(time.time()) - 60),
    "no person": lambda f: tokens(f, sub=None),
    "typ of an access token": lambda f: tokens(f, typ="Bearer"),
    "signed by another": lambda f: tokens(f) | {"id_token": f.sign(id_claims(f, "x"), stranger(f))},
    "unsigned": lambda f: tokens(f) | {"id_token": ".".join([part({"alg": "none", "typ": "JWT"}), part(id_claims(f, "x")), ""])},
    "an error": lambda f: {"error": "invalid_grant"},
    "a list": lambda f: [],
    "a text": lambda f: "x",
    "no JSON": lambda f: b"<html>",
    "nothing": lambda f: b"",
}


def exchange(f: Forge) -> Any:
    """Exchange a code at the forge."""
    attempt = oidc.Attempt("s" * 32, NONCE, "v" * 64, "/", int(time.time()))
    return oidc.provider().exchange("code", attempt)


@pytest.mark.req("POR-01", part="what the provider answers")
def test_a_good_answer_signs_in_and_the_verifier_goes_along(trusting: None, smithy: Forge) -> None:
    smithy.answer = tokens(smithy)
    assert exchange(smithy).claims["nonce"] == NONCE
    assert smithy.heard["code_verifier"] == ["v" * 64]
    assert smithy.heard["redirect_uri"][0].endswith("/oidc/callback")


@pytest.mark.req("POR-01", part="what the provider answers")
@pytest.mark.parametrize("name", ANSWERS)
def test_a_wrong_answer_signs_nobody_in(trusting: None, smithy: Forge, name: str) -> None:
    smithy.answer = ANSWERS[name](smithy)
    with pytest.raises((oidc.SignInRefused, Unavailable)):
        exchange(smithy)
