"""What changes at Keycloak reaches signed-in people within a minute (POR-04)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from security import following
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
