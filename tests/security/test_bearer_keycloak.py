"""Access tokens of a real Keycloak at the portal (POR-06)."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from sqlalchemy import event

from portal.kernel import settings as active
from portal.kernel.db import db
from security import accounts, oidc, sessions
from tests.factories.company import subject_of
from tests.security.conftest import Realm, Site
from tests.security.visitor import Visitor

pytestmark = [pytest.mark.keycloak, pytest.mark.req("POR-06")]


def header(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def status(site: Site, token: str, scheme: str = "Bearer") -> int:
    return requests.get(f"{site.url}/login/", headers={"Authorization": f"{scheme} {token}"}, allow_redirects=False, timeout=20).status_code


def test_a_person_calls_with_an_access_token(site: Site, realm: Realm) -> None:
    token = realm.tokens("pm.chen")["access_token"]
    assert site.signed_in(Visitor(), **header(token))
    row = site.rows(
        """select kind, subject, sid is not null, id_token, expires_at < now() + interval '6 minutes' from security_session
           where token_hash = :h""",
        h=sessions.hash_of(token),
    )
    assert [tuple(r) for r in row] == [("bearer", subject_of("pm.chen"), True, None, True)]
    assert site.signed_in(Visitor(), authorization=f"bearer {token}"), "the scheme's case does not matter"


def test_later_calls_with_the_same_token_cost_no_statement_of_their_own(site: Site, realm: Realm) -> None:
    token = realm.tokens("pm.chen")["access_token"]
    assert site.signed_in(Visitor(), **header(token))
    seen: list[str] = []
    with site.app.app_context():
        engines = list(db.engines.values())
    note = lambda conn, cursor, statement, *rest: seen.append(statement)  # noqa: E731
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        assert site.signed_in(Visitor(), **header(token))
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    assert len([s for s in seen if "app_begin" in s]) == 1
    assert len(seen) == 1


def test_tokens_not_made_for_the_api_get_401(site: Site, realm: Realm) -> None:
    tokens = realm.tokens("pm.chen")
    other_client = realm.tokens("pm.chen", client="admin-cli")["access_token"]
    master = realm.admin.connection.token["access_token"]
    wrong = {
        "ID token": tokens["id_token"], "refresh token": tokens["refresh_token"], "for another client": other_client,
        "another realm": master, "garbage": "abc", "empty": "", "two": tokens["access_token"] + " x",
    }  # fmt: skip
    for what, token in wrong.items():
        answer = requests.get(f"{site.url}/login/", headers=header(token), allow_redirects=False, timeout=20)
        assert answer.status_code == 401, what
        assert answer.json()["error"]["code"] == "invalid_token"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_bad_token_is_not_helped_by_a_good_cookie(site: Site, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "pm.chen")
    assert visitor.http.get(f"{site.url}/login/", headers=header("abc"), allow_redirects=False).status_code == 401


def test_clients_not_taken_get_401(site: Site, realm: Realm) -> None:
    token = realm.tokens("pm.li")["access_token"]
    active.use(site.settings.model_copy(update={"oidc_api_clients": []}))
    try:
        assert status(site, token) == 401
    finally:
        active.use(site.settings)
    assert site.signed_in(Visitor(), **header(token))


def test_a_token_of_nobody_gets_401_with_the_reason(site: Site, realm: Realm) -> None:
    secret = [{"type": "password", "value": "shuniu-demo", "temporary": False}]
    subject = realm.admin.create_user(
        {"username": "api.stranger", "enabled": True, "emailVerified": True, "firstName": "a", "lastName": "b", "credentials": secret,
         "email": "api.stranger@elsewhere.example"}
    )  # fmt: skip
    try:
        token = realm.tokens("api.stranger")["access_token"]
        answer = requests.get(f"{site.url}/login/", headers=header(token), allow_redirects=False, timeout=20)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_account")
    finally:
        realm.admin.delete_user(subject)


def test_ending_the_row_ends_the_token(site: Site, realm: Realm) -> None:
    token = realm.tokens("hr")["access_token"]
    assert site.signed_in(Visitor(), **header(token))
    with site.app.app_context():
        assert sessions.end_by_subject(subject_of("hr")) >= 1
    assert not site.signed_in(Visitor(), **header(token))


@pytest.mark.req("POR-04", part="tokens of somebody switched off")
def test_tokens_of_somebody_switched_off_stop_at_once(site: Site, realm: Realm) -> None:
    token = realm.tokens("legal")["access_token"]
    assert site.signed_in(Visitor(), **header(token))
    site.rows("update ab_user set active = false where username = 'legal'")
    try:
        assert not site.signed_in(Visitor(), **header(token))
    finally:
        site.rows("update ab_user set active = true where username = 'legal'")


# ------------------------------------------------------------------ machines
@pytest.fixture
def robot(site: Site) -> Iterator[int]:
    with site.app.app_context():
        user_id = accounts.bind_machine("portal-demo-robot", "robot.reports", ("qa",))
    yield user_id
    site.rows("delete from security_session where user_id = :u", u=user_id)
    site.rows("delete from security_account where user_id = :u", u=user_id)
    site.rows("delete from ab_user_role where user_id = :u", u=user_id)
    site.rows("update ab_user set username = username || '-' || id, email = id || email where id = :u", u=user_id)


@pytest.mark.req("POR-06", part="machines")
def test_a_machine_acts_as_its_technical_user(site: Site, realm: Realm, robot: int) -> None:
    token = realm.machine_token()
    assert site.signed_in(Visitor(), **header(token))
    assert site.value("select user_id from security_session where token_hash = :h", h=sessions.hash_of(token)) == robot
    assert site.roles("robot.reports") == {"qa"}
    assert site.value("select subject from security_account where user_id = :u", u=robot) is not None


@pytest.mark.req("POR-06", part="machines")
def test_a_machine_nobody_bound_gets_401(site: Site, realm: Realm) -> None:
    assert status(site, realm.machine_token()) == 401


@pytest.mark.req("POR-06", part="machines")
def test_a_person_does_not_become_the_machine_by_its_client(site: Site, realm: Realm, robot: int) -> None:
    client = realm.client("portal-demo-robot")
    before = realm.admin.get_client(client)
    realm.admin.update_client(client, before | {"directAccessGrantsEnabled": True})
    try:
        form = {"grant_type": "password", "client_id": "portal-demo-robot", "client_secret": "shuniu-demo", "username": "auditor",
                "password": "shuniu-demo"}  # fmt: skip
        answer: Any = requests.post(f"{realm.issuer}/protocol/openid-connect/token", data=form, timeout=30).json()
        token = answer["access_token"]
        assert site.signed_in(Visitor(), **header(token))
        assert site.value("select user_id from security_session where token_hash = :h", h=sessions.hash_of(token)) != robot
    finally:
        realm.admin.update_client(client, before)


# ------------------------------------------------------------------ rotation
@pytest.mark.req("POR-06", part="key rotation")
def test_keycloak_rotates_its_keys(site: Site, realm: Realm) -> None:
    old = realm.tokens("pm.li")["access_token"]
    assert site.signed_in(Visitor(), **header(old))
    parent = realm.admin.get_realm("shuniu")["id"]
    realm.admin.create_component(
        {"name": "rotated", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider", "parentId": parent,
         "config": {"priority": ["500"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"], "keySize": ["2048"]}}
    )  # fmt: skip
    made = next(c for c in realm.admin.get_components({"name": "rotated"}) if c["name"] == "rotated")
    try:
        new = realm.tokens("pm.li")["access_token"]
        assert new.split(".")[0] != old.split(".")[0], "signed with the new key"
        oidc.provider().keys._tried = None  # ten seconds later
        assert site.signed_in(Visitor(), **header(new))
        assert site.signed_in(Visitor(), **header(old)), "tokens of the old key live on"
    finally:
        realm.admin.delete_component(made["id"])
