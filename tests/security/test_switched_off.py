"""Somebody switched off, or with other roles, is so everywhere: within a second here, within a minute from Keycloak (POR-04, POR-18)."""

import itertools
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from portal.kernel.db import unrestricted
from security import accounts, following
from tests.factories.company import subject_of
from tests.security.conftest import Realm, Site
from tests.security.visitor import Visitor

pytestmark = pytest.mark.keycloak
Seconds = Callable[[str, float], None]


@pytest.mark.req("POR-18")
@pytest.mark.req("POR-04", part="switching somebody off")
def test_switched_off_here_means_at_once(site: Site, realm: Realm, visitor: Visitor, record_property: Seconds) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "legal")
    used, unused = (realm.tokens("legal")["access_token"] for _ in range(2))
    other = Visitor()
    other.sign_in(f"{site.url}/login/?next=/health/live", "legal")
    assert site.signed_in(Visitor(), Authorization=f"Bearer {used}")
    user_id = site.value("select id from ab_user where username = 'legal'")

    def nowhere() -> bool:
        ways = [site.signed_in(visitor), site.signed_in(other)]
        for token in (used, unused):
            answer = Visitor().http.get(f"{site.url}/api/v1/employees/", headers={"Authorization": f"Bearer {token}"}, timeout=20)
            ways.append(answer.status_code != 401)
        return not any(ways)

    with site.app.app_context(), unrestricted("test"):
        accounts.set_active(user_id, False)
    try:
        begun = time.monotonic()
        first = nowhere()
        record_property("seconds from the portal", round(time.monotonic() - begun, 2))
        assert first, "the very next request is refused"
    finally:
        with site.app.app_context(), unrestricted("test"):
            accounts.set_active(user_id, True)


@pytest.mark.req("POR-04", part="within a minute")
@pytest.mark.req("POR-18", part="within a minute from Keycloak")
def test_from_keycloak_it_takes_less_than_a_minute(site: Site, realm: Realm, visitor: Visitor, record_property: Seconds) -> None:
    visitor.sign_in(f"{site.url}/login/?next=/health/live", "buyer")
    token = realm.tokens("buyer")["access_token"]
    assert site.signed_in(Visitor(), Authorization=f"Bearer {token}")
    with site.app.app_context():
        following.follow_keycloak()
    queued = site.rows("select available_at - created_at from kernel_outbox where handler = :h order by available_at", h=following.READ)
    pauses = [timedelta(0), *(row[0] for row in queued[-2:]), timedelta(minutes=1)]
    longest = max(later - earlier for earlier, later in itertools.pairwise(pauses))
    assert longest <= timedelta(seconds=21)

    client, subject = realm.client("portal"), subject_of("buyer")
    role = [realm.admin.get_client_role(client, "finance")]
    realm.admin.assign_client_role(subject, client, role)
    begun = time.monotonic()
    with site.app.app_context():
        following.read()
    assert site.roles("buyer") == {"employee", "buyer", "finance"}
    took = time.monotonic() - begun
    realm.admin.delete_client_roles_of_user(subject, client, role)

    account = realm.admin.get_user(subject)
    realm.admin.update_user(subject, account | {"enabled": False})
    try:
        begun = time.monotonic()
        with site.app.app_context():
            following.read()
        assert not site.signed_in(visitor)
        assert not site.signed_in(Visitor(), Authorization=f"Bearer {token}")
        took = max(took, time.monotonic() - begun)
    finally:
        realm.admin.update_user(subject, account | {"enabled": True})
    record_property("seconds of one look", round(took, 2))
    assert longest.total_seconds() + took < 60
