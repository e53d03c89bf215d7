"""Signing in through the real Keycloak, coming back to the page asked for, and leaving everywhere."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from keycloak import KeycloakAdmin
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal
from tests.factories.company import PASSWORD
from tests.security.conftest import _alone

alone = _alone
"""Other processes of the run wait: the client in Keycloak can point to one portal only."""


@pytest.fixture(scope="module", autouse=True)
def realm(keycloak: SimpleNamespace, portal: Portal, alone: None) -> Iterator[KeycloakAdmin]:
    """Keycloak, whose client `portal` leads to the running portal meanwhile."""
    server, _, name = keycloak.issuer.partition("/realms/")
    admin = KeycloakAdmin(
        server_url=server + "/",
        username=keycloak.admin_user,
        password=keycloak.admin_password,
        realm_name=name,
        user_realm_name="master",
    )
    client = admin.get_client_id("portal")
    before = admin.get_client(client)
    url = portal.url
    places = {"backchannel.logout.url": f"{url}/oidc/backchannel-logout", "post.logout.redirect.uris": f"{url}/logout/done"}
    admin.update_client(client, before | {"redirectUris": [f"{url}/oidc/callback"], "attributes": before["attributes"] | places})
    yield admin
    admin.update_client(client, before)


def fill_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """Keycloak's form."""
    expect(page.locator("#kc-form-login")).to_be_visible()
    page.fill("#username", username)
    page.fill("#password", password)
    page.click("#kc-login")


@pytest.mark.req("POR-01", part="back to the page asked for")
@pytest.mark.req("POR-05", part="from the portal to Keycloak")
def test_sign_in_returns_to_the_page_asked_for_and_sign_out_ends_it_everywhere(
    open_page: Opener, portal: Portal, refused: Callable[[str], None]
) -> None:
    page = open_page(None)
    page.goto("/projects/?q=%E4%B8%B4%E6%B1%9F")
    assert "/realms/shuniu/" in page.url
    fill_in(page, "pm.chen")
    page.wait_for_url(f"{portal.url}/projects/?q=%E4%B8%B4%E6%B1%9F")
    expect(page.get_by_role("link", name="临江新城供排水智慧调度系统").first).to_be_visible()
    # a second tab needs no second sign-in
    other = page.context.new_page()
    other.goto(f"{portal.url}/my-report/")
    expect(other.locator("h1")).to_be_visible()
    assert other.url.startswith(portal.url)

    page.locator("summary", has=page.locator(".sn-av")).click()
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_url("**/logout/done*")
    assert portal.value("select count(*) from security_session where ended_at is null and kind = 'browser'") == 0
    other.goto(f"{portal.url}/my-report/")
    refused("401")  # pages still open asked for news
    expect(other.locator("#kc-form-login")).to_be_visible()  # Keycloak asks anew: its session is over too


@pytest.mark.req("POR-18", part="sign-out acts at once, Keycloak's too")
@pytest.mark.req("POR-05", part="from Keycloak to the portal")
def test_the_end_of_the_session_in_keycloak_ends_the_open_page(
    open_page: Opener, portal: Portal, realm: KeycloakAdmin, refused: Callable[[str], None]
) -> None:
    page = open_page(None)
    page.goto("/my-report/")
    fill_in(page, "member.wang")
    page.wait_for_url(f"{portal.url}/my-report/**")
    realm.user_logout(realm.get_user_id("member.wang"))
    page.goto("/my-report/")
    expect(page.locator("#kc-form-login")).to_be_visible()
    refused("401")


def test_a_wrong_password_is_asked_again_at_keycloak(open_page: Opener, portal: Portal) -> None:
    page = open_page(None)
    page.goto("/")
    fill_in(page, "hr", "wrong")
    assert "/realms/shuniu/" in page.url
    fill_in(page, "hr")
    page.wait_for_url(f"{portal.url}/")
    expect(page.locator("h1")).to_contain_text(portal.name("hr")[1:])


@pytest.mark.req("POR-01", part="open redirects are refused")
def test_a_foreign_return_address_leads_home(open_page: Opener, portal: Portal) -> None:
    page = open_page(None)
    page.goto("/login/?next=https://evil.example/")
    fill_in(page, "hr")
    page.wait_for_url(f"{portal.url}/")


@pytest.mark.req("POR-03", part="a page of its own")
def test_somebody_without_employee_gets_a_clear_page(
    open_page: Opener, realm: KeycloakAdmin, refused: Callable[[str], None], portal: Portal
) -> None:
    user = realm.create_user(
        {
            "username": "stranger", "enabled": True, "email": "stranger@elsewhere.example", "emailVerified": True,
            "firstName": "路", "lastName": "人",
            "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
        },
        exist_ok=True,
    )  # fmt: skip
    try:
        page = open_page(None)
        page.goto("/")
        fill_in(page, "stranger")
        expect(page.locator("h1")).to_be_visible()
        assert page.url.startswith(portal.url)
        expect(page.locator("nav[data-menu]")).to_have_count(0)
        expect(page.get_by_role("link", name="使用其他账号登录")).to_be_visible()
        refused("403")
    finally:
        realm.delete_user(user)
