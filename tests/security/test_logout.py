"""Sign-out at both ends, and at once (POR-05, POR-18)."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Flask
from joserfc.jwk import RSAKey

from config import Settings
from portal.kernel import settings as active
from security import bearer, following, keycloak, oidc, sessions
from security.oidc import LOGOUT_EVENT, LOGOUT_MAX_AGE
from tests.factories.company import subject_of
from tests.security.conftest import Realm, Site
from tests.security.forge import Forge, forge
from tests.security.visitor import FORM, Visitor, until

pytestmark = pytest.mark.req("POR-05")


# ------------------------------------------------------------------ begun in the portal
@pytest.mark.keycloak
@pytest.mark.req("POR-18", part="sign-out")
def test_signing_out_ends_both_sessions(site: Site, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "pm.chen")
    token = site.cookie(visitor)["sid"]
    sent = visitor.sign_out(site.url, follow=False)
    query = parse_qs(urlsplit(sent.headers["Location"]).query)
    assert query["id_token_hint"][0].count(".") == 2
    assert query["post_logout_redirect_uri"] == [f"{site.url}/logout/done"]
    assert site.me(visitor) is None, "here before Keycloak is asked"
    left = site.rows("select id_token, end_reason from security_session where token_hash = :h", h=sessions.hash_of(token))
    assert [tuple(row) for row in left] == [(None, "signed out")]
    done = visitor.get(sent.headers["Location"])
    assert done.url == f"{site.url}/logout/done", "without a question in between"
    assert done.status_code == 200
    assert FORM.search(visitor.get(f"{site.url}/login/").text), "Keycloak asks for the password again"
    # a copy of the cookie from before is worth nothing
    thief = Visitor()
    serializer: Any = site.app.session_interface.get_signing_serializer(site.app)  # type: ignore[attr-defined]
    thief.http.cookies.set("shuniu", serializer.dumps({"sid": token}))
    assert not site.signed_in(thief)


@pytest.mark.keycloak
def test_signing_out_without_a_session_does_no_harm(site: Site, visitor: Visitor) -> None:
    assert visitor.get(f"{site.url}/logout/").status_code == 200


@pytest.mark.keycloak
def test_signing_out_leaves_other_browsers_alone(site: Site) -> None:
    one, two = Visitor(), Visitor()
    for v in (one, two):
        v.sign_in(f"{site.url}/login/?next=/health/live", "pm.li")
    one.sign_out(site.url)
    assert site.signed_in(two)


def test_a_link_signs_nobody_out(client_as: Callable[..., Any], superuser: Any) -> None:
    client = client_as("member.zhao")
    asked = client.get("/logout/")
    assert asked.status_code == 200
    assert 'action="/logout/"' in asked.text, "a page that asks"
    client.csrf = False
    assert client.post("/logout/").status_code == 400, "another site cannot send the form"
    assert client.get("/").status_code == 200, "signed in as before"
    client.csrf = True
    assert client.post("/logout/").status_code == 303
    assert client.get("/").status_code == 302
    assert client.get("/logout/").status_code == 302, "nothing left to end here: on to Keycloak"


# ------------------------------------------------------------------ ended by an administrator
def ended_by_admin(site: Site, visitor: Visitor) -> str:
    """Ends the visitor's session as an administrator does; the Keycloak session it hung on."""
    row = site.rows("select id, sid from security_session where token_hash = :h", h=sessions.hash_of(site.cookie(visitor)["sid"]))[0]
    admin = site.value("select id from ab_user where username = 'admin'")
    with site.app.app_context():
        assert sessions.end_chosen([row.id], by=admin) == 1
    return str(row.sid)


@pytest.mark.keycloak
@pytest.mark.req("POR-18", part="ended by an administrator")
def test_single_sign_on_does_not_lead_back_into_an_ended_session(site: Site, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "buyer")
    ended_by_admin(site, visitor)
    assert site.me(visitor) is None
    # Keycloak has not been told yet and would let the browser in without asking
    assert visitor.get(f"{site.url}/login/").url == f"{site.url}/logout/done"
    assert site.me(visitor) is None
    last = site.rows("select outcome, reason, username from security_signin order by id desc limit 1")[0]
    assert tuple(last) == ("refused", "over", "buyer")
    again = visitor.get(f"{site.url}/login/?next=/health/live")
    assert FORM.search(again.text), "Keycloak asks for the password"
    visitor.fill_in(again, "buyer")
    assert site.signed_in(visitor)


@pytest.mark.keycloak
@pytest.mark.req("POR-18", part="ended by an administrator")
def test_keycloak_ends_its_session_as_well(site: Site, realm: Realm, worker: Callable[[], int]) -> None:
    gone, stays = Visitor(), Visitor()
    for v in (gone, stays):
        v.sign_in(f"{site.url}/login/?next=/health/live", "legal")
    sid = ended_by_admin(site, gone)
    assert sid in {s["id"] for s in realm.admin.get_sessions(subject_of("legal"))}
    worker()
    assert sid not in {s["id"] for s in realm.admin.get_sessions(subject_of("legal"))}
    assert site.signed_in(stays), "the other browser's goes on"
    with site.app.app_context():
        keycloak.administration().end_session(sid)  # over already: no error


# ------------------------------------------------------------------ begun at Keycloak
@pytest.mark.keycloak
@pytest.mark.req("POR-18", part="sign-out at Keycloak")
def test_keycloak_ends_the_portal_session_at_once(site: Site, realm: Realm) -> None:
    one, two, other = Visitor(), Visitor(), Visitor()
    for v in (one, two):
        v.sign_in(f"{site.url}/login/?next=/health/live", "qa")
    other.sign_in(f"{site.url}/login/?next=/health/live", "pm.li")
    sid = site.value("select sid from security_session where token_hash = :h", h=sessions.hash_of(site.cookie(one)["sid"]))
    realm.admin.connection.raw_delete(f"/admin/realms/shuniu/sessions/{sid}")
    until(lambda: site.me(one) is None, 1.0)
    assert site.signed_in(two), "the other browser has a Keycloak session of its own"
    realm.admin.user_logout(subject_of("qa"))
    until(lambda: site.me(two) is None, 1.0)
    assert site.signed_in(other)


@contextmanager
def listener(realm: Realm) -> Iterator[list[str]]:
    """Stands in for the portal's back-channel: collects what Keycloak sends and says 500, so that the portal hears nothing."""
    heard: list[str] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(500)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Ear)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = realm.client("portal")
    before = realm.admin.get_client(client)
    place = {"backchannel.logout.url": f"http://127.0.0.1:{server.server_port}/"}
    realm.admin.update_client(client, before | {"attributes": before["attributes"] | place})
    try:
        yield heard
    finally:
        realm.admin.update_client(client, before)
        server.shutdown()
        server.server_close()


def send(site: Site, token: str | None, **more: Any) -> requests.Response:
    form = {} if token is None else {"logout_token": token}
    return requests.post(f"{site.url}/oidc/backchannel-logout", data=form, timeout=20, **more)


@pytest.mark.keycloak
def test_logout_token_of_keycloak_works_once(site: Site, realm: Realm, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "service")
    with listener(realm) as heard:
        realm.admin.user_logout(subject_of("service"))
        until(lambda: bool(heard))
    token = parse_qs(heard[0])["logout_token"][0]
    assert site.signed_in(visitor), "the portal was not told"
    tokens = realm.tokens("service")
    others = [tokens[name] for name in ("access_token", "id_token", "refresh_token")]
    for wrong in (None, "", "x", token[:-2], token[:-10] + "AAAAAAAAAA", *others):
        answer = send(site, wrong)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (400, "no-store")
    twice = requests.post(f"{site.url}/oidc/backchannel-logout", data={"logout_token": [token, token]}, timeout=20)
    assert twice.status_code == 400
    assert site.signed_in(visitor)
    answer = send(site, token)
    assert (answer.status_code, answer.headers["Cache-Control"], answer.text) == (200, "no-store", "")
    assert not site.signed_in(visitor)
    assert send(site, token).status_code == 400, "used before"
    assert requests.get(f"{site.url}/oidc/backchannel-logout", timeout=20).status_code == 405


@pytest.mark.keycloak
@pytest.mark.req("POR-06", part="tokens of an ended Keycloak session")
def test_access_tokens_end_with_their_keycloak_session(site: Site, realm: Realm) -> None:
    first, late = (realm.tokens("archivist") for _ in range(2))
    headers = [{"Authorization": f"Bearer {t['access_token']}"} for t in (first, late)]
    assert site.signed_in(Visitor(), **headers[0])
    with site.app.app_context():
        for n, tokens in enumerate((first, late)):
            claims = bearer.verify_access_token(tokens["access_token"])
            sessions.obey_logout(f"test-{n}", claims["sid"], None)
    assert not site.signed_in(Visitor(), **headers[0]), "used before"
    assert requests.get(f"{site.url}/login/", headers=headers[1], timeout=20).status_code == 401, "never used before"


# ------------------------------------------------------------------ every way a logout token can be wrong
@pytest.fixture(scope="module")
def smithy() -> Iterator[Forge]:
    with forge() as made:
        yield made


@pytest.fixture
def refused(app: Flask, settings: Settings, smithy: Forge) -> Iterator[Callable[[str], str]]:
    """`refused(token)`: why the portal, trusting the forge, does not obey; empty when it would."""
    before = active.settings()
    active.use(settings.model_copy(update={"oidc_issuer": smithy.issuer}))

    def why(token: str) -> str:
        try:
            oidc.provider().verify_logout_token(token)
        except oidc.BadToken as error:
            return str(error) or "refused"
        return ""

    with app.app_context():
        yield why
    active.use(before)


def test_good_logout_tokens_are_obeyed(refused: Callable[[str], str], smithy: Forge) -> None:
    for changes in ({}, {"sub": None}, {"sid": None}, {"aud": ["portal", "x"]}, {"events": {LOGOUT_EVENT: {}, "urn:other": {}}}):
        assert refused(smithy.sign(smithy.logout_claims(**changes), typ="logout+jwt")) == "", changes


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None}, {"iss": "http://evil.example"}, {"aud": None}, {"aud": "portal-api"}, {"aud": []}, {"iat": None}, {"exp": None},
        {"exp": 1}, {"iat": timedelta(minutes=10)}, {"iat": timedelta(seconds=-LOGOUT_MAX_AGE - 60)}, {"jti": None},
        {"jti": ""}, {"jti": 5},
        {"events": None}, {"events": {}}, {"events": []}, {"events": LOGOUT_EVENT}, {"events": {LOGOUT_EVENT: None}},
        {"events": {"urn:other": {}}}, {"nonce": "x"}, {"nonce": ""}, {"sid": None, "sub": None},
        {"sid": "", "sub": None}, {"sid": ["a"]}, {"sub": 5},
    ],
    ids=str,
)  # fmt: skip
def test_each_wrong_claim_is_refused(refused: Callable[[str], str], smithy: Forge, changes: dict[str, Any]) -> None:
    assert refused(smithy.sign(smithy.logout_claims(**changes), typ="logout+jwt"))


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": None}, {"alg": "RS512"}, {"kid": "other"}, {"crit": ["exp"]}], ids=str)
def test_each_wrong_header_is_refused(refused: Callable[[str], str], smithy: Forge, header: dict[str, Any]) -> None:
    assert refused(smithy.sign(smithy.logout_claims(), **({"typ": "logout+jwt"} | header)))


def test_a_stranger_can_sign_nobody_out(refused: Callable[[str], str], smithy: Forge) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": smithy.key.kid})
    assert refused(smithy.sign(smithy.logout_claims(), stranger, typ="logout+jwt"))


# ------------------------------------------------------------------ what was missed while the portal was down
@pytest.mark.keycloak
def test_catching_up_with_logouts_that_were_missed(site: Site, realm: Realm) -> None:
    gone, stays = Visitor(), Visitor()
    gone.sign_in(f"{site.url}/login/?next=/health/live", "finance")
    stays.sign_in(f"{site.url}/login/?next=/health/live", "sales.liu")
    site.rows("update security_session set created_at = now() - interval '1 minute' where ended_at is null")
    with listener(realm) as heard:
        realm.admin.user_logout(subject_of("finance"))
        until(lambda: bool(heard))
    assert site.signed_in(gone)
    with site.app.app_context():
        caught = following.catch_up()
    assert caught is not None
    assert caught.ended >= 1
    assert not site.signed_in(gone)
    assert site.signed_in(stays)


def test_old_sessions_are_forgotten(app: Flask, user_id: Callable[[str], int]) -> None:
    with app.app_context():
        sessions.start(user_id("pm.chen"))
        before = sessions.prune()
        assert before == 0 or sessions.prune() == 0
