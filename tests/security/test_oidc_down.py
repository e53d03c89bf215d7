"""Keycloak is down or hangs: who is signed in goes on working, who is not is told, and nothing is lost (POR-07)."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

import pytest
import requests

from portal.kernel import settings as active
from portal.kernel.db import unrestricted
from security import accounts, following, keycloak, oidc
from tests.factories.company import subject_of
from tests.security.conftest import Realm, Site
from tests.security.visitor import Visitor

pytestmark = [pytest.mark.keycloak, pytest.mark.req("POR-07")]


@contextmanager
def frozen(realm: Realm) -> Iterator[None]:
    """Keycloak takes connections and answers nothing."""
    assert realm.pid, "the process id of Keycloak is not known: run the tests with `python3 run.py test`"
    os.kill(realm.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(realm.pid, signal.SIGCONT)
        for _try in range(60):
            try:
                requests.get(f"{realm.issuer}/.well-known/openid-configuration", timeout=1).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.25)


def test_keycloak_hangs(site: Site, realm: Realm, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "pm.chen")
    token = realm.tokens("member.wang")["access_token"]
    assert site.signed_in(Visitor(), Authorization=f"Bearer {token}")
    with frozen(realm):
        assert site.signed_in(visitor), "the session is the portal's own"
        begun = time.monotonic()
        answer = Visitor().get(f"{site.url}/login/?next=/projects/", follow=False)
        assert time.monotonic() - begun < 5
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) <= 30
        assert "/login/?next=%2Fprojects%2F" in answer.text, "tries again by itself and keeps the page wanted"
        assert site.signed_in(Visitor(), Authorization=f"Bearer {token}"), "access tokens are checked with the keys known"
        with site.app.app_context():
            kid = next(iter(oidc.provider().keys._keys))
            process = oidc.Provider(realm.issuer, "portal", "", site.url)
            assert process.keys.key(kid), "a process started meanwhile reads the copy in the database"
        signed_out = visitor.sign_out(site.url)
        assert signed_out.status_code == 200
        assert site.me(visitor) is None, "signing out here needs nobody else"
    assert Visitor().get(f"{site.url}/login/").status_code == 200, "and people can sign in again"


@pytest.fixture
def away(site: Site) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """`with away():` nothing listens where Keycloak should be."""

    @contextmanager
    def gone() -> Iterator[None]:
        active.use(site.settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:9/realms/shuniu"}))
        try:
            yield
        finally:
            active.use(site.settings)

    yield gone


def test_role_changes_wait_and_are_written_on_recovery(site: Site, realm: Realm, away: Callable[[], AbstractContextManager[None]]) -> None:
    Visitor().sign_in(f"{site.url}/login/?next=/health/live", "pm.li")
    site.rows("update security_session set created_at = now() - interval '1 minute'")
    user_id = site.value("select id from ab_user where username = 'outsider'")
    subject = subject_of("outsider")
    for operation, there in (("add", {"employee", "finance"}), ("remove", {"employee"})):
        with away(), site.app.app_context():
            with unrestricted("test"):
                accounts.queue_role(user_id, "finance", operation)
            assert site.roles("outsider") == there, "here at once"
            assert keycloak.push_role_writes() == 0
            assert following.catch_up() is None, "nothing is ended on a guess"
            assert following.follow(datetime.now(UTC)) is None
            assert keycloak.health() == {"role_writes_waiting": 1}
        with site.app.app_context():
            assert keycloak.push_role_writes() == 1
            assert keycloak.health() == {"role_writes_waiting": 0}
        assert realm.roles(subject) == there


def test_keycloak_refuses_connections(site: Site, visitor: Visitor, away: Callable[[], AbstractContextManager[None]]) -> None:
    with away():
        answer = visitor.get(f"{site.url}/login/", follow=False)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (503, "no-store")
        assert "Location" not in answer.headers
        bearer = visitor.http.get(f"{site.url}/login/", headers={"Authorization": "Bearer a.b.c"})
        assert bearer.status_code == 401


def test_an_issuer_that_names_itself_differently_is_not_believed(site: Site, visitor: Visitor) -> None:
    other = site.settings.oidc_issuer.replace("127.0.0.1", "localhost")
    active.use(site.settings.model_copy(update={"oidc_issuer": other}))
    try:
        assert visitor.get(f"{site.url}/login/", follow=False).status_code == 503
    finally:
        active.use(site.settings)
