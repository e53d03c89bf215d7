"""The portal on a port of its own, with a real Keycloak that knows where it is, and scripted browsers."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from flask import Flask
from keycloak import KeycloakAdmin
from sqlalchemy import text

from config import Settings
from portal.kernel import settings as active
from portal.kernel.db import unrestricted
from security import accounts
from tests.security.hr_steps import repaired
from tests.security.realms import SECRET, OwnRealm, own_realm
from tests.security.visitor import Visitor


@dataclass
class Realm:
    """The running Keycloak; *admin* may change everything in the sample realm."""

    issuer: str
    admin: KeycloakAdmin
    pid: int

    def tokens(self, username: str, client: str = "portal-demo-cli", password: str = "shuniu-demo") -> dict[str, Any]:
        """What the direct grant gives: access_token, id_token, refresh_token."""
        form = {"grant_type": "password", "client_id": client, "username": username, "password": password, "scope": "openid"}
        answer = requests.post(f"{self.issuer}/protocol/openid-connect/token", data=form, timeout=30)
        answer.raise_for_status()
        return dict(answer.json())

    def machine_token(self, client: str = "portal-demo-robot", secret: str = "shuniu-demo") -> str:
        """An access token of a client's own."""
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
        answer = requests.post(f"{self.issuer}/protocol/openid-connect/token", data=form, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def client(self, client_id: str) -> str:
        """Keycloak's identifier of a client."""
        return str(self.admin.get_client_id(client_id))

    def roles(self, subject: str) -> set[str]:
        """The portal roles Keycloak has for somebody."""
        return {str(role["name"]) for role in self.admin.get_client_roles_of_user(subject, self.client("portal"))}


@pytest.fixture(scope="session")
def realm(keycloak: SimpleNamespace) -> Realm:
    server, _, name = keycloak.issuer.partition("/realms/")
    admin = KeycloakAdmin(
        server_url=server + "/",
        username=keycloak.admin_user,
        password=keycloak.admin_password,
        realm_name=name,
        user_realm_name="master",
    )
    return Realm(keycloak.issuer, admin, keycloak.pid)


@pytest.fixture(scope="module")
def theirs(keycloak: SimpleNamespace) -> Iterator[OwnRealm]:
    """A realm with nobody in it, for tests that write people and departments to Keycloak."""
    with own_realm(keycloak.issuer, keycloak.admin_user, keycloak.admin_password, f"directory_{os.getpid()}") as made:
        yield made


@pytest.fixture
def here(request: pytest.FixtureRequest, app: Flask, settings: Settings, theirs: OwnRealm) -> Iterator[Callable[..., Any]]:
    """`here(function, …)`: runs it as the system, with the portal connected to the realm `theirs`."""
    if "fresh_db" in request.fixturenames:
        request.getfixturevalue("fresh_db")  # first: a new database leads back to the sample realm, which other tests have filled
    active.use(settings.model_copy(update={"oidc_issuer": theirs.issuer, "oidc_client_secret": SECRET}))

    def do(function: Callable[..., Any], *args: Any, **values: Any) -> Any:
        with app.app_context(), unrestricted("test"):
            return function(*args, **values)

    yield do
    active.use(settings)


@pytest.fixture
def equal(here: Callable[..., Any], app: Flask, theirs: OwnRealm, fresh_db: None) -> Callable[..., Any]:
    """Both sides equal before the test begins, and nothing of others there."""
    theirs.empty()
    assert repaired(app) == []
    return here


@dataclass
class Site:
    """The portal behind a real port."""

    app: Flask
    url: str
    settings: Settings

    @contextmanager
    def sql(self) -> Iterator[Callable[..., Any]]:
        """Run statements as the system: yields a function that returns the result."""
        with self.app.app_context(), unrestricted("test") as s:
            yield lambda statement, **values: s.execute(text(statement), values)

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """The rows of one statement; none for one that returns none."""
        with self.sql() as run:
            result = run(statement, **values)
            return list(result.all()) if result.returns_rows else []

    def value(self, statement: str, **values: Any) -> Any:
        """The first value of one statement; None without rows."""
        rows = self.rows(statement, **values)
        return rows[0][0] if rows else None

    def roles(self, username: str) -> set[str]:
        """Role keys a person has here."""
        found = self.rows(
            """select r.name from ab_role r join ab_user_role x on x.role_id = r.id join ab_user u on u.id = x.user_id
               where u.username = :n""",
            n=username,
        )
        return {row[0] for row in found}

    def open_sessions(self, username: str) -> int:
        """How many of a person's sessions live."""
        return int(
            self.value(
                """select count(*) from security_session x join ab_user u on u.id = x.user_id
                   where u.username = :n and x.ended_at is null and x.expires_at > now()""",
                n=username,
            )
        )

    def signed_in(self, visitor: Visitor, **headers: str) -> bool:
        """The portal takes *visitor* for somebody: the sign-in page sends who is signed in straight on."""
        answer = visitor.http.get(f"{self.url}/login/?next=/through", headers=headers, allow_redirects=False, timeout=20)
        assert answer.status_code == 302, answer.text[:500]
        return answer.headers["Location"] == "/through"

    def cookie(self, visitor: Visitor) -> dict[str, Any]:
        """What the portal keeps in the visitor's cookie."""
        serializer = self.app.session_interface.get_signing_serializer(self.app)  # type: ignore[attr-defined]
        raw = visitor.http.cookies.get(self.app.config["SESSION_COOKIE_NAME"])
        return dict(serializer.loads(raw)) if raw else {}

    def me(self, visitor: Visitor) -> str | None:
        """User name of the person whose living session the visitor's cookie holds."""
        found = self.value(
            """select u.username from security_session x join ab_user u on u.id = x.user_id
               where x.token_hash = encode(sha256(convert_to(:t, 'UTF8')), 'hex') and x.ended_at is null and x.expires_at > now()""",
            t=self.cookie(visitor).get("sid", ""),
        )
        return str(found) if found else None


@pytest.fixture(scope="module")
def _alone() -> Iterator[None]:
    """Other processes of the run wait: there is one Keycloak, and its client can point to one portal only."""
    with (Path(tempfile.gettempdir()) / f"shuniu_test_{os.environ.get('SHUNIU_TEST_RUN', '')}_sso.lock").open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def site(app: Flask, server: str, settings: Settings, realm: Realm, _alone: None) -> Iterator[Site]:
    """The portal, and the realm's client `portal` pointing to it while the module runs."""
    here = settings.model_copy(update={"public_url": server})
    active.use(here)
    client = realm.client("portal")
    before = realm.admin.get_client(client)
    places = {"backchannel.logout.url": f"{server}/oidc/backchannel-logout", "post.logout.redirect.uris": f"{server}/logout/done"}
    realm.admin.update_client(client, before | {"redirectUris": [f"{server}/oidc/callback"], "attributes": before["attributes"] | places})
    yield Site(app, server, here)
    realm.admin.update_client(client, before)
    active.use(settings)


@pytest.fixture
def visitor() -> Visitor:
    """A browser that was never anywhere."""
    return Visitor()


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What administrators were told of sign-ins with nobody behind them."""
    heard: list[dict[str, Any]] = []
    accounts.on_unlinked_login(heard.append)
    yield heard
    accounts._hooks.remove(heard.append)
