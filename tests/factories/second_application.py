"""A second application of the company, as it might be: it signs people in at the same Keycloak by a client of its own.

Only what the tests need, with Authlib as real applications use it: a page that wants somebody signed in, and the way back from Keycloak.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, session, url_for
from keycloak import KeycloakAdmin
from werkzeug.serving import make_server

CLIENT = "second-application"


@dataclass
class SecondApplication:
    """The running application at *url*; *client* is Keycloak's own identifier of its client."""

    url: str
    client: str


def _make(issuer: str, secret: str) -> Flask:
    app = Flask("second")
    app.secret_key = secrets.token_hex(16)
    app.config["SESSION_COOKIE_NAME"] = "second"  # cookies ignore ports
    keycloak = OAuth(app).register(
        "keycloak",
        client_id=CLIENT,
        client_secret=secret,
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid", "code_challenge_method": "S256"},
    )

    @app.get("/")
    def index() -> Any:
        if "name" not in session:
            return keycloak.authorize_redirect(url_for("back", _external=True))
        return (
            f"<!doctype html><html lang=en><title>Second</title><h1>Signed in as {session['name']}</h1><a href='/forget'>Leave</a></html>"
        )

    @app.get("/back")
    def back() -> Any:
        session["name"] = keycloak.authorize_access_token()["userinfo"]["preferred_username"]
        return redirect(url_for("index"))

    @app.get("/forget")
    def forget() -> Any:
        session.clear()
        return redirect(url_for("index"))

    @app.get("/favicon.ico")
    def icon() -> Any:
        return "", 204

    return app


@contextmanager
def second_application(issuer: str, admin: KeycloakAdmin) -> Iterator[SecondApplication]:
    """Serve it on a free port, registered in Keycloak as *admin*, until the end of the block."""
    secret = secrets.token_urlsafe(24)
    server = make_server("127.0.0.1", 0, _make(issuer, secret), threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    client = admin.create_client(
        {
            "clientId": CLIENT,
            "name": "Second application",
            "secret": secret,
            "publicClient": False,
            "standardFlowEnabled": True,
            "directAccessGrantsEnabled": False,
            "redirectUris": [f"{url}/back"],
            "attributes": {"pkce.code.challenge.method": "S256"},
        }
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield SecondApplication(url, client)
    finally:
        server.shutdown()
        server.server_close()
        admin.delete_client(client)
