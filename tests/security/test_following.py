"""What changes at Keycloak reaches signed-in people within a minute (POR-04)."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import requests

from portal.kernel.errors import Refusal
from security import following, keycloak
from tests.factories.company import subject_of
from tests.security.conftest import Realm, Site
from tests.security.visitor import Visitor

pytestmark = [pytest.mark.keycloak, pytest.mark.req("POR-04", part="within a minute")]


def follow(site: Site) -> int | None:
    with site.app.app_context():
        return following.follow(datetime.now(UTC) - timedelta(seconds=30))


def test_roles_of_signed_in_people_follow(site: Site, realm: Realm, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "member.wang")
    client, subject = realm.client("portal"), subject_of("member.wang")
    role = [realm.admin.get_client_role(client, "finance")]
    realm.admin.assign_client_role(subject, client, role)
    try:
        assert (follow(site) or 0) >= 1
        assert site.roles("member.wang") == {"employee", "finance"}
    finally:
        realm.admin.delete_client_roles_of_user(subject, client, role)
    follow(site)
    assert site.roles("member.wang") == {"employee"}
    assert site.signed_in(visitor), "and they go on working"


def test_roles_given_by_a_group_follow(site: Site, realm: Realm, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "member.zhao")
    client, subject = realm.client("portal"), subject_of("member.zhao")
    group = realm.admin.create_group({"name": "test group"})
    try:
        realm.admin.assign_group_client_roles(group, client, [realm.admin.get_client_role(client, "qa")])
        realm.admin.group_user_add(subject, group)
        follow(site)
        assert site.roles("member.zhao") == {"employee", "qa"}
    finally:
        realm.admin.delete_group(group)
    follow(site)
    assert site.roles("member.zhao") == {"employee"}


def test_an_account_switched_off_at_keycloak_is_out(site: Site, realm: Realm, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "auditor")
    used, unused = (realm.tokens("auditor")["access_token"] for _ in range(2))
    assert site.signed_in(Visitor(), Authorization=f"Bearer {used}")
    account = realm.admin.get_user(subject_of("auditor"))
    realm.admin.update_user(account["id"], account | {"enabled": False})
    try:
        assert site.signed_in(visitor), "Keycloak tells nobody"
        follow(site)
        assert not site.signed_in(visitor)
        assert not site.signed_in(Visitor(), Authorization=f"Bearer {used}")
        answer = visitor.http.get(f"{site.url}/login/", headers={"Authorization": f"Bearer {unused}"}, allow_redirects=False)
        assert answer.status_code == 401
    finally:
        realm.admin.update_user(account["id"], account | {"enabled": True})


def test_the_job_remembers_how_far_it_is(site: Site, realm: Realm, worker: Callable[[], int]) -> None:
    with site.app.app_context():
        following.follow_keycloak()
    first = site.value("select at from security_followed where issuer = :i", i=realm.issuer)
    assert datetime.now(UTC) - first < timedelta(minutes=1)
    with site.app.app_context():
        following.follow_keycloak()
    assert site.value("select at from security_followed where issuer = :i", i=realm.issuer) > first


# ------------------------------------------------------------------ Keycloak's own pages
def follow_sign_ins(site: Site, seconds: float = 60) -> int | None:
    with site.app.app_context():
        return following.follow_sign_ins(datetime.now(UTC) - timedelta(seconds=seconds))


@pytest.mark.req("POR-12", part="refused at Keycloak")
def test_wrong_passwords_at_keycloak_stand_in_the_history_once(site: Site, realm: Realm) -> None:
    asked = """select outcome, reason, way, user_id is not null, host(ip::inet), at > now() - interval '1 minute' from security_signin
               where username = :n order by id desc"""
    follow_sign_ins(site)
    before = len(site.rows(asked, n="member.zhao"))
    for name in ("member.zhao", "no\u202esuch\nbody" + "x" * 150):
        with pytest.raises(requests.HTTPError):
            realm.tokens(name, password="wrong")
    site.rows("insert into security_account (user_id, subject) select id, :s from ab_user where username = 'member.zhao'"
              " on conflict (user_id) do update set subject = :s", s=subject_of("member.zhao"))  # fmt: skip
    assert follow_sign_ins(site) == 2
    found = site.rows(asked, n="member.zhao")
    assert len(found) == before + 1 and tuple(found[0]) == ("wrong_password", "provider", "keycloak", True, "127.0.0.1", True)
    strange = site.rows("select username, user_id from security_signin where username like 'no such body%' or username like 'no_such%'")
    assert len(strange) == 1 and strange[0].user_id is None and strange[0].username.isprintable()
    assert follow_sign_ins(site) == 0, "the same minutes read again add nothing"


@pytest.mark.req("POR-12", part="refused at Keycloak")
def test_what_one_turn_takes_over_is_bounded(site: Site, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flood.one", "flood.two", "flood.three"):
        with pytest.raises(requests.HTTPError):
            realm.tokens(name, password="wrong")
    monkeypatch.setattr(following, "AT_MOST", 2)
    follow_sign_ins(site, 10)
    found = {r[0] for r in site.rows("select username from security_signin where username like 'flood.%'")}
    assert found == {"flood.two", "flood.three"}, "the newest"


@pytest.mark.req("POR-18", part="password reset at Keycloak")
def test_a_password_set_at_keycloak_ends_the_sessions_begun_before(site: Site, realm: Realm, visitor: Visitor) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "buyer")
    realm.admin.set_user_password(subject_of("buyer"), "shuniu-demo", temporary=False)
    follow_sign_ins(site)
    assert not site.signed_in(visitor)
    later = Visitor()
    later.sign_in(f"{site.url}/login/?next=/health/live", "buyer")
    follow_sign_ins(site)
    assert site.signed_in(later)


@pytest.mark.req("POR-18", part="password reset")
def test_demanding_a_new_password_ends_everything_at_once(site: Site, realm: Realm, visitor: Visitor, worker: Callable[[], int]) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "service")
    subject, unused = subject_of("service"), realm.tokens("service")["access_token"]
    user, admin = (site.value("select id from ab_user where username = :n", n=n) for n in ("service", "admin"))
    try:
        with site.app.app_context():
            begun = time.monotonic()
            assert keycloak.demand_password(user, by=admin) >= 1
            assert time.monotonic() - begun < 1.0
        assert not site.signed_in(visitor), "before Keycloak heard of it"
        worker()
        account = realm.admin.get_user(subject)
        assert account["requiredActions"] == ["UPDATE_PASSWORD"] and account["enabled"]
        assert not realm.admin.get_sessions(subject)
        answer = visitor.http.get(f"{site.url}/login/", headers={"Authorization": f"Bearer {unused}"}, allow_redirects=False)
        assert answer.status_code == 401
        outcomes = site.rows("select outcome, by_id from security_signin where user_id = :u order by id desc limit 4", u=user)
        assert {("reset", admin), ("ended", admin)} <= {tuple(r) for r in outcomes}
    finally:
        realm.admin.update_user(subject, realm.admin.get_user(subject) | {"requiredActions": []})


@pytest.mark.req("POR-18", part="password reset")
def test_only_accounts_of_people_can_be_told_to_change_the_password(site: Site) -> None:
    admin = site.value("select id from ab_user where username = 'admin'")
    nobody = site.value("select id from ab_user where id not in (select user_id from security_account) limit 1")
    with site.app.app_context(), pytest.raises(Refusal):
        keycloak.demand_password(nobody or 0, by=admin)
