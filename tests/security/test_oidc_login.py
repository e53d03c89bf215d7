"""Sign-in with a real Keycloak: the way in, who is let in, and what cannot be abused (POR-01, POR-03)."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from keycloak.exceptions import KeycloakError

from security import accounts, keycloak, oidc, sessions
from tests.factories.company import subject_of
from tests.security.conftest import Realm, Site
from tests.security.visitor import Visitor, until

pytestmark = [pytest.mark.keycloak, pytest.mark.req("POR-01")]


@pytest.fixture
def person(site: Site, realm: Realm) -> Iterator[Callable[..., str]]:
    """`person("x.y", …)`: a fresh account in Keycloak with the sample password, removed afterwards; returns its subject."""
    made: list[str] = []

    def make(username: str, **more: Any) -> str:
        secret = [{"type": "password", "value": "shuniu-demo", "temporary": False}]
        body = {"username": username, "enabled": True, "emailVerified": True, "firstName": "新", "lastName": "来", "credentials": secret}
        subject = str(realm.admin.create_user(body | {"email": f"{username}@elsewhere.example"} | more))
        made.append(subject)
        return subject

    yield make
    for subject in made:
        with suppress(KeycloakError):  # some tests remove theirs
            realm.admin.delete_user(subject)


# ------------------------------------------------------------------ the way in
@pytest.mark.parametrize("path", ["/projects/?q=%E9%A1%B9&page=2", "/daily-reports/"])
def test_sign_in_returns_to_the_page_first_asked_for(site: Site, visitor: Visitor, path: str) -> None:
    form = visitor.get(f"{site.url}/login/?next={quote(path)}")
    assert "/realms/shuniu/" in form.url, "no password field of our own"
    answer = visitor.fill_in(form, "pm.chen", follow=False)
    answer = visitor.get(answer.headers["Location"], follow=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, path)
    assert site.me(visitor) == "pm.chen"
    assert site.signed_in(visitor)


@pytest.mark.req("POR-01", part="open redirect")
@pytest.mark.parametrize("evil", ["//evil.example/", "/\\evil.example", "https:evil.example", "https://evil.example/"])
def test_sign_in_never_leads_out(site: Site, visitor: Visitor, evil: str) -> None:
    answer = visitor.fill_in(visitor.get(f"{site.url}/login/", params={"next": evil}), "pm.chen", follow=False)
    answer = visitor.get(answer.headers["Location"], follow=False)
    assert answer.headers["Location"] == "/"
    again = visitor.get(f"{site.url}/login/", follow=False, params={"next": evil})
    assert again.headers["Location"] == "/", "who is signed in already is not sent out either"


def test_request_to_keycloak_is_code_flow_with_pkce_state_and_nonce(site: Site, visitor: Visitor) -> None:
    sent = [visitor.get(f"{site.url}/login/", follow=False) for _ in range(2)]
    queries = [{k: v[0] for k, v in parse_qs(urlsplit(a.headers["Location"]).query).items()} for a in sent]
    for query in queries:
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["scope"].split()[0] == "openid"
        assert query["redirect_uri"] == f"{site.url}/oidc/callback"
        assert min(len(query[name]) for name in ("state", "nonce", "code_challenge")) >= 32
    for name in ("state", "nonce", "code_challenge"):
        assert queries[0][name] != queries[1][name]
    assert all(a.headers["Cache-Control"] == "no-store" for a in sent)


def test_one_sign_in_answers_one_attempt_of_one_browser(site: Site, visitor: Visitor) -> None:
    callback = visitor.sign_in(f"{site.url}/login/", "pm.chen", follow=False).headers["Location"]
    stranger = Visitor()
    assert stranger.get(callback, follow=False).status_code == 400, "begun in another browser"
    assert site.me(stranger) is None
    assert visitor.get(callback, follow=False).status_code == 302
    assert site.me(visitor) == "pm.chen"
    token = site.cookie(visitor)["sid"]
    replay = visitor.get(callback, follow=False)
    assert (replay.status_code, replay.headers["Location"]) == (302, "/"), "used up; who is signed in goes on"
    assert site.cookie(visitor)["sid"] == token


@pytest.mark.parametrize(
    "query",
    ["", "?code=x", "?code=x&state=unknown", "?state=", "?error=denied", "?error=denied&state=unknown", "?code=x&state=%00&iss=y"],
)
def test_answers_nobody_asked_for_are_refused(site: Site, visitor: Visitor, query: str) -> None:
    answer = visitor.get(f"{site.url}/oidc/callback{query}", follow=False)
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert site.me(visitor) is None


@pytest.mark.parametrize("more", ["&code=wrong", "&code=wrong&iss=http%3A%2F%2Fevil.example", "&error=server_error", ""])
def test_wrong_answers_to_a_real_attempt_are_refused(site: Site, visitor: Visitor, more: str) -> None:
    sent = visitor.get(f"{site.url}/login/", follow=False)
    state = parse_qs(urlsplit(sent.headers["Location"]).query)["state"][0]
    answer = visitor.get(f"{site.url}/oidc/callback?state={state}{more}", follow=False)
    assert answer.status_code == 400
    assert site.me(visitor) is None


@pytest.mark.parametrize(("changed", "why"), [("nonce", "nonce differs"), ("verifier", "invalid_grant")])
def test_a_stolen_code_is_worth_nothing(site: Site, visitor: Visitor, changed: str, why: str) -> None:
    """An attacker's code put into a victim's browser meets another nonce and another verifier."""
    callback = visitor.sign_in(f"{site.url}/login/", "pm.chen", follow=False).headers["Location"]
    code = parse_qs(urlsplit(callback).query)["code"][0]
    state, nonce, verifier, path, at = site.cookie(visitor)[oidc.COOKIE_KEY][0]
    attempt = oidc.Attempt(state, nonce, verifier, path, at)
    other = oidc.Attempt(**{**attempt.__dict__, changed: "x" * 64})
    with site.app.app_context(), pytest.raises(oidc.SignInRefused, match=why):
        oidc.provider().exchange(code, other)


def test_id_token_is_fully_checked(site: Site, visitor: Visitor) -> None:
    callback = visitor.sign_in(f"{site.url}/login/", "pm.chen", follow=False).headers["Location"]
    attempt = oidc.Attempt(*site.cookie(visitor)[oidc.COOKIE_KEY][0])
    with site.app.app_context():
        provider = oidc.provider()
        token = provider.exchange(parse_qs(urlsplit(callback).query)["code"][0], attempt)
        assert token.claims["preferred_username"] == "pm.chen"
        for nonce, access_token in (("", None), (attempt.nonce, None), (attempt.nonce, "another"), ("another", "another")):
            with pytest.raises(oidc.BadToken):
                provider.verify_id_token(token.raw, nonce, access_token)


def test_session_token_is_new_random_and_kept_as_hash(site: Site, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "pm.li")
    first = site.cookie(visitor)["sid"]
    assert len(first) >= 43
    assert site.value("select count(*) from security_session where token_hash = :t", t=first) == 0
    assert site.value("select count(*) from security_session where token_hash = :h and ended_at is null", h=sessions.hash_of(first)) == 1
    # the same browser signs in again, as somebody else: its cookie from before is worth nothing afterwards
    with site.app.app_context():
        sessions.end(first)
    planted = site.cookie(visitor)["sid"]
    visitor.http.cookies.clear(domain="127.0.0.1", path="/realms/shuniu/")
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "pm.chen")
    assert site.cookie(visitor)["sid"] not in (first, planted)


def test_cookie_is_closed_to_scripts_and_other_sites(site: Site, visitor: Visitor) -> None:
    answer = visitor.get(f"{site.url}/login/", follow=False)
    flags = answer.headers["Set-Cookie"].lower()
    assert flags.startswith("shuniu=")
    assert "httponly" in flags
    assert "samesite=lax" in flags


def test_abandoned_attempts_do_not_pile_up(site: Site, visitor: Visitor) -> None:
    for n in range(12):
        visitor.get(f"{site.url}/login/?next=/{'p' * 400}{n}", follow=False)
    assert len(site.cookie(visitor)[oidc.COOKIE_KEY]) == oidc.ATTEMPTS
    assert len(visitor.http.cookies.get("shuniu") or "") < 3500
    callback = visitor.sign_in(f"{site.url}/login/", "pm.chen", follow=False).headers["Location"]
    visitor.get(callback, follow=False)
    assert set(site.cookie(visitor)) <= {"sid", "locale", "theme"}, "nothing from before the sign-in is left"


def test_attempt_expires() -> None:
    cookie: dict[str, Any] = {}
    attempt = oidc.Attempt.begin(cookie, "/x")
    cookie[oidc.COOKIE_KEY][0][4] = int(time.time()) - oidc.ATTEMPT_SECONDS - 1
    assert oidc.Attempt.take(cookie, attempt.state) is None
    assert cookie == {}


def test_session_ends_by_time(site: Site, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "member.wang")
    hours = site.value(
        "select extract(epoch from expires_at - created_at) / 3600 from security_session where token_hash = :h",
        h=sessions.hash_of(site.cookie(visitor)["sid"]),
    )
    assert round(float(hours), 2) == site.settings.session_hours
    assert site.signed_in(visitor)
    site.rows("update security_session set expires_at = now() where token_hash = :h", h=sessions.hash_of(site.cookie(visitor)["sid"]))
    assert not site.signed_in(visitor)


@pytest.mark.req("POR-12", part="sessions")
def test_sessions_show_when_they_were_last_used(site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SEEN_EVERY", 3600.0)  # however slow the machine is
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "member.wang")
    token = sessions.hash_of(site.cookie(visitor)["sid"])
    assert site.signed_in(visitor)
    assert site.value("select last_seen_at from security_session where token_hash = :h", h=token) is None, "not at every request"
    monkeypatch.setattr(sessions, "SEEN_EVERY", 0.0)
    assert site.signed_in(visitor)
    until(lambda: site.value("select last_seen_at from security_session where token_hash = :h", h=token) is not None)


def test_pieces_of_pages_make_the_whole_page_load(site: Site, visitor: Visitor) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": f"{site.url}/projects/?page=3"}
    answer = visitor.http.get(f"{site.url}/login/?next=/projects/rows", headers=headers, allow_redirects=False)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (200, "/login/?next=%2Fprojects%2F%3Fpage%3D3")


def test_another_name_of_this_machine_leads_to_the_public_address(site: Site, visitor: Visitor) -> None:
    answer = visitor.get(site.url.replace("127.0.0.1", "localhost") + "/login/?next=/x", follow=False)
    assert answer.headers["Location"] == f"{site.url}/login/?next=%2Fx&moved=1"


def test_no_password_is_taken_here(site: Site, visitor: Visitor) -> None:
    answer = visitor.post(f"{site.url}/login/", {"username": "pm.chen", "password": "shuniu-demo"}, follow=False)
    assert answer.status_code in (302, 303, 400)
    assert site.me(visitor) is None


# ------------------------------------------------------------------ who is let in
@pytest.mark.req("POR-03", part="nobody behind the account")
def test_an_account_with_nobody_behind_it_gets_a_page_and_administrators_are_told_once(
    site: Site, visitor: Visitor, person: Callable[..., str], told: list[dict[str, Any]]
) -> None:
    subject = person("stranger")
    answer = visitor.sign_in(f"{site.url}/login/", "stranger")
    assert answer.status_code == 403
    assert site.cookie(visitor).get("sid") is None
    assert [t["subject"] for t in told] == [subject]
    assert visitor.get(f"{site.url}/login/").status_code == 403, "again: the page, not a loop"
    assert len(told) == 1
    assert site.value("select count(*) from security_session where subject = :s", s=subject) == 0
    heard = site.rows(
        """select u.username from notify_notice n join ab_user u on u.id = n.receiver_id
           where n.kind = 'security.unlinked_login' and n.params->>'subject' = :s""",
        s=subject,
    )
    assert {row[0] for row in heard} == {"admin", "hr"}
    assert site.value("select count(*) from security_signin where subject = :s and outcome = 'unlinked'", s=subject) == 2


@pytest.mark.req("POR-03", part="never by e-mail alone")
def test_an_equal_mail_address_or_name_links_nobody(site: Site, visitor: Visitor, realm: Realm, person: Callable[..., str]) -> None:
    taken = realm.admin.get_user(subject_of("pm.li"))
    realm.admin.update_user(taken["id"], taken | {"email": "moved@elsewhere.example"})
    subject = ""
    try:
        subject = person("pm.li.too", email="pm.li@shuniu.example")
        assert visitor.sign_in(f"{site.url}/login/", "pm.li.too").status_code == 403
        assert site.value("select user_id from security_account where subject = :s", s=subject) is None
    finally:
        if subject:
            realm.admin.delete_user(subject)  # two accounts may not have one address
        realm.admin.update_user(taken["id"], taken)


@pytest.mark.req("POR-03", part="first link")
def test_first_sign_in_links_by_employee_number_and_then_by_subject(
    site: Site, visitor: Visitor, realm: Realm, person: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = site.value("select id from ab_user where username = 'ceo'")
    site.rows("update security_account set subject = null where user_id = :u", u=user_id)
    monkeypatch.setattr(accounts, "_finders", [lambda number: user_id if number == "N-777" else None])
    subject = person("new.ceo", attributes={"employee_number": ["N-777"]})
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "new.ceo")
    assert site.me(visitor) == "ceo"
    assert site.value("select subject from security_account where user_id = :u", u=user_id) == subject
    # from now on the subject counts, whatever else changes
    account = realm.admin.get_user(subject)
    realm.admin.update_user(subject, account | {"attributes": {}, "email": "x@elsewhere.example"})
    second = Visitor()
    second.sign_in(f"{site.url}/login/?next=/health/live", "new.ceo")
    assert site.me(second) == "ceo"
    # and nobody else comes in by the same number
    person("thief", attributes={"employee_number": ["N-777"]})
    third = Visitor()
    assert third.sign_in(f"{site.url}/login/", "thief").status_code == 403
    assert site.me(third) is None


def test_a_switched_off_person_gets_a_page_and_no_loop(site: Site, visitor: Visitor) -> None:
    site.rows("update ab_user set active = false where username = 'legal'")
    try:
        assert visitor.sign_in(f"{site.url}/login/", "legal").status_code == 403
        assert len(visitor.trail) < 8
        assert visitor.get(f"{site.url}/login/").status_code == 403
        assert site.open_sessions("legal") == 0
    finally:
        site.rows("update ab_user set active = true where username = 'legal'")


def test_switching_somebody_off_acts_at_the_next_request(site: Site, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "buyer")
    assert site.signed_in(visitor)
    site.rows("update ab_user set active = false where username = 'buyer'")
    try:
        assert not site.signed_in(visitor)
    finally:
        site.rows("update ab_user set active = true where username = 'buyer'")


# ------------------------------------------------------------------ roles at sign-in
@pytest.mark.req("POR-04", part="roles follow at sign-in")
def test_roles_follow_keycloak_and_unknown_ones_are_ignored(site: Site, realm: Realm) -> None:
    subject, client = subject_of("member.zhao"), realm.client("portal")
    realm.admin.create_client_role(client, {"name": "unheard_of"}, skip_exists=True)
    extra = [realm.admin.get_client_role(client, name) for name in ("qa", "unheard_of")]
    realm.admin.assign_client_role(subject, client, extra)
    try:
        Visitor().sign_in(f"{site.url}/login/?next=/health/live", "member.zhao")
        assert site.roles("member.zhao") == {"employee", "qa"}
    finally:
        realm.admin.delete_client_roles_of_user(subject, client, extra)
        realm.admin.delete_client_role(client, "unheard_of")
    Visitor().sign_in(f"{site.url}/login/?next=/health/live", "member.zhao")
    assert site.roles("member.zhao") == {"employee"}


@pytest.mark.req("POR-04", part="changes made in the portal win until written")
def test_role_changes_waiting_for_keycloak_win(site: Site, realm: Realm) -> None:
    user_id = site.value("select id from ab_user where username = 'outsider'")
    with site.sql():
        accounts.queue_role(user_id, "qa", "add")
        accounts.queue_role(user_id, "employee", "remove")
    assert site.roles("outsider") == {"qa"}, "here at once"
    Visitor().sign_in(f"{site.url}/login/?next=/health/live", "outsider")
    assert site.roles("outsider") == {"qa"}, "Keycloak's older word does not undo it"
    with site.app.app_context():
        assert keycloak.push_role_writes() == 2
        assert keycloak.push_role_writes() == 0
    subject = subject_of("outsider")
    assert realm.roles(subject) == {"qa"}
    with site.sql():
        accounts.queue_role(user_id, "employee", "add")
        accounts.queue_role(user_id, "qa", "remove")
    with site.app.app_context():
        keycloak.push_role_writes()
    assert realm.roles(subject) == {"employee"}
    Visitor().sign_in(f"{site.url}/login/?next=/health/live", "outsider")
    assert site.roles("outsider") == {"employee"}


@pytest.mark.req("POR-12", part="sign-in history")
def test_sign_ins_are_in_the_history(site: Site, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "hr")
    row = site.rows("select outcome, username, subject, ip from security_signin order by id desc limit 1")[0]
    assert tuple(row) == ("ok", "hr", subject_of("hr"), "127.0.0.1")
