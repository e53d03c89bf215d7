"""Fixtures of the services around the portal: Redis, identity provider, browser, a served portal, mail."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from tests.factories.servers import needed


@pytest.fixture(scope="session")
def redis_url() -> str:
    return needed("SHUNIU_TEST_REDIS_URL", "Redis")


@pytest.fixture(scope="session")
def keycloak() -> SimpleNamespace:
    """The identity provider: issuer, client_secret, admin_user, admin_password, pid, portal_url and `token(username)`."""
    import requests

    issuer = needed("SHUNIU_TEST_OIDC_ISSUER", "Keycloak")

    def token(username: str, password: str = "shuniu-demo") -> str:
        form = {"grant_type": "password", "client_id": "portal-demo-cli", "username": username, "password": password}
        answer = requests.post(f"{issuer}/protocol/openid-connect/token", data=form, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    return SimpleNamespace(
        issuer=issuer,
        token=token,
        client_secret=os.environ.get("SHUNIU_TEST_OIDC_CLIENT_SECRET", ""),
        admin_user=os.environ.get("SHUNIU_TEST_OIDC_ADMIN_USER", ""),
        admin_password=os.environ.get("SHUNIU_TEST_OIDC_ADMIN_PASSWORD", ""),
        pid=int(os.environ.get("SHUNIU_TEST_KEYCLOAK_PID") or 0),
        portal_url=os.environ.get("SHUNIU_TEST_PORTAL_URL", "http://127.0.0.1:8000"),
    )


@pytest.fixture
def bearer_as(app: Flask, keycloak: SimpleNamespace) -> Callable[[str], dict[str, str]]:
    """`bearer_as("pm.chen")`: request headers with an access token of Keycloak for the person."""
    return lambda username: {"Authorization": f"Bearer {keycloak.token(username)}"}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for the process."""
    from playwright.sync_api import sync_playwright

    program = needed("SHUNIU_TEST_CHROMIUM", "the browser")
    extra = json.loads(os.environ.get("SHUNIU_TEST_CHROMIUM_ENV") or "{}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], env={**os.environ, **extra})
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page in a browser context of its own; what its console reports as errors is collected in `page.problems`."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="zh-CN")
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    yield page
    context.close()


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture(scope="module")
def server(app: Flask) -> Iterator[str]:
    """The address of the portal served over real HTTP by threads of this process, on the database of the module."""
    import threading

    from werkzeug.serving import make_server

    listening = make_server("127.0.0.1", free_port(), app, threaded=True)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join(10)


@pytest.fixture
def sign_in(server: str, token_of: Callable[..., str], app: Flask) -> Callable[[Any, str], None]:
    """`sign_in(page, "pm.chen")`: gives the page's browser the cookie of a living session, without the way through Keycloak."""

    def put(page: Any, username: str) -> None:
        serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        value = serializer.dumps({"sid": token_of(username)})
        page.context.add_cookies([{"name": app.config["SESSION_COOKIE_NAME"], "value": value, "url": server}])

    return put


@pytest.fixture
def smtp() -> Iterator[SimpleNamespace]:
    """A mail server: host, port, and the received messages (email.message.EmailMessage) in `messages`."""
    import email
    import email.policy

    from aiosmtpd.controller import Controller

    received: list[Any] = []

    class Keep:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            received.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            return "250 OK"

    controller = Controller(Keep(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield SimpleNamespace(host=controller.hostname, port=controller.port, messages=received)
    controller.stop()
