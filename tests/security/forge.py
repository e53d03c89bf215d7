"""An issuer of our own: publishes keys and signs whatever a test asks for, so that every claim can be wrong by itself."""

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import RSAKey


class Forge:
    """Signs tokens with *key*; *published* is its key set; *asked* counts how often that was fetched.

    Its token end point answers with *answer*; *heard* is the form it was sent.
    """

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.asked = 0
        self.broken = False
        self.answer: Any = {}
        self.heard: dict[str, list[str]] = {}
        self.key = self.new_key()
        forge = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body: dict[str, Any] = {"issuer": forge.issuer, "jwks_uri": forge.issuer + "/certs",
                                        "token_endpoint": forge.issuer + "/token"}  # fmt: skip
                if self.path.endswith("/certs"):
                    forge.asked += 1
                    body = {"keys": forge.published}
                self.send_response(500 if forge.broken else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def do_POST(self) -> None:
                forge.heard = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(forge.answer if isinstance(forge.answer, bytes) else json.dumps(forge.answer).encode())

            def log_message(self, *args: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}/realms/forge"

    def new_key(self, bits: int = 2048, publish: bool = True, **more: Any) -> RSAKey:
        """A new key pair, published as a signing key unless told otherwise."""
        key = RSAKey.generate_key(bits, {"kid": uuid.uuid4().hex})
        if publish:
            self.published.append(key.as_dict(private=False) | {"use": "sig", "alg": "RS256"} | more)
        return key

    def access_claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good access token, with *changes*: None leaves the claim out, a timedelta counts from now."""
        now = int(time.time())
        good = {
            "iss": self.issuer, "aud": ["portal-api", "account"], "sub": str(uuid.uuid4()), "typ": "Bearer", "azp": "portal-demo-cli",
            "iat": now, "exp": now + 300, "jti": uuid.uuid4().hex, "sid": uuid.uuid4().hex, "preferred_username": "someone",
        }  # fmt: skip
        return settled(good | changes, now)

    def logout_claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good logout token, with *changes*."""
        now = int(time.time())
        good = {
            "iss": self.issuer, "aud": "portal", "sub": str(uuid.uuid4()), "sid": uuid.uuid4().hex, "typ": "Logout",
            "iat": now, "exp": now + 120, "jti": uuid.uuid4().hex, "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }  # fmt: skip
        return settled(good | changes, now)

    def sign(self, claims: dict[str, Any], key: RSAKey | None = None, alg: str = "RS256", **header: Any) -> str:
        """*claims* as a signed token; header entries set to None are left out."""
        used = key or self.key
        entries = {"alg": alg, "typ": "JWT", "kid": used.kid} | header
        head = {name: value for name, value in entries.items() if value is not None}
        return self.sign_raw(json.dumps(head).encode(), json.dumps(claims).encode(), used, alg)

    def sign_raw(self, header: bytes, claims: bytes, key: RSAKey | None = None, alg: str = "RS256") -> str:
        """A token of exactly these bytes."""
        signed = f"{encode(header)}.{encode(claims)}"
        digest = hashes.SHA512() if alg.endswith("512") else hashes.SHA256()
        pad = padding.PSS(padding.MGF1(digest), digest.digest_size) if alg.startswith("PS") else padding.PKCS1v15()
        return f"{signed}.{encode((key or self.key).private_key.sign(signed.encode(), pad, digest))}"


def encode(raw: bytes) -> str:
    """*raw* as a part of a token."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def settled(claims: dict[str, Any], now: int) -> dict[str, Any]:
    """*claims* without those that are None, time differences as moments."""
    moments = {name: now + int(v.total_seconds()) if isinstance(v, timedelta) else v for name, v in claims.items()}
    return {name: value for name, value in moments.items() if value is not None}


@contextmanager
def forge() -> Iterator[Forge]:
    """A forge that publishes its keys over HTTP while the block runs."""
    made = Forge()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
