"""The launcher in the browser: own tiles, found by keyboard, opened in a new tab, signed in without a second password (POR-08)."""

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from keycloak import KeycloakAdmin
from playwright.sync_api import expect

from tests.browser import test_sign_in
from tests.browser.conftest import DESK, PHONE, Opener
from tests.browser.portal import Portal
from tests.browser.test_sign_in import fill_in
from tests.factories.second_application import CLIENT, SecondApplication, second_application
from tests.security.conftest import _alone

alone = _alone
realm = test_sign_in.realm


@pytest.fixture
def second(keycloak: SimpleNamespace, portal: Portal, realm: KeycloakAdmin) -> Iterator[SecondApplication]:
    """A second application with a client of its own, for everybody in the catalogue."""
    with second_application(keycloak.issuer, realm) as made:
        portal.sql(
            """insert into applications_application (name, category_id, url, client_id, roles)
               select '{"zh": "第二应用", "en": "Second application"}', min(id), %s, %s, '{employee}' from applications_category""",
            f"{made.url}/",
            CLIENT,
        )
        yield made
        portal.sql(
            "delete from applications_launch where application_id in (select id from applications_application where client_id = %s)", CLIENT
        )
        portal.sql("delete from applications_application where client_id = %s", CLIENT)


@pytest.mark.req("POR-08", part="single sign-on with a second client")
def test_a_tile_opens_the_second_application_signed_in(
    open_page: Opener, portal: Portal, second: SecondApplication, refused: Callable[[str], None]
) -> None:
    page = open_page(None)
    page.goto("/launcher/")
    fill_in(page, "member.zhao")
    page.wait_for_url(f"{portal.url}/launcher/")
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="第二应用").click()
    tab = opened.value
    expect(tab.locator("h1")).to_have_text("Signed in as member.zhao")
    assert tab.url == f"{second.url}/"
    assert any("/protocol/openid-connect/auth?" in one and f"client_id={CLIENT}" in one for one in asked), "by its own client"
    assert not any(one.startswith("POST") and "login-actions" in one for one in asked), "no sign-in form was sent"
    assert tab.evaluate("window.opener === null"), "the application has no hold of the portal's tab"
    who = portal.value("select user_id from applications_launch order by id desc limit 1")
    assert who == portal.user_id("member.zhao")

    page.locator("summary", has=page.locator(".sn-av")).click()
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_url("**/logout/done*")
    refused("401")
    tab.get_by_role("link", name="Leave").click()
    expect(tab.locator("#kc-form-login")).to_be_visible()
    expect(tab.locator("#password")).to_be_visible()


@pytest.mark.req("POR-08", part="Keycloak's account page in the sample company")
def test_the_sample_tile_of_the_own_account_works(open_page: Opener, portal: Portal, keycloak: SimpleNamespace) -> None:
    page = open_page(None)
    page.goto("/launcher/")
    fill_in(page, "buyer")
    page.wait_for_url(f"{portal.url}/launcher/")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="我的账号").click()
    tab = opened.value
    tab.wait_for_url(re.compile(re.escape(f"{keycloak.issuer}/account/")))
    expect(tab.locator("#kc-form-login")).to_have_count(0)
    expect(tab.locator("input[name=username]")).to_have_value("buyer")


@pytest.mark.req("POR-08", part="launcher on a desk and on a phone")
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_launcher_is_found_and_used_by_keyboard(open_page: Opener, portal: Portal, size: dict[str, int]) -> None:
    portal.sql(
        """insert into applications_application (name, category_id, url, roles)
           select jsonb_build_object('zh', '工具' || n, 'en', 'Tool'), c.id, 'http://127.0.0.1:9/', '{employee}'
             from generate_series(1, 4) n, (select max(id) as id from applications_category) c
            where not exists (select from applications_application where name->>'zh' = '工具' || n)"""
    )
    page = open_page("member.wang", phone=size is PHONE)
    page.goto("/")
    page.locator("header.sn-top").get_by_role("link", name="应用").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("应用")
    for width in (size["width"], 360) if size is PHONE else (size["width"],):
        page.set_viewport_size(size | {"width": width})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    expect(page.get_by_role("heading", level=2)).to_have_text(["日常办公", "研发", "账号"])
    expect(page.get_by_role("link", name="财务核算")).to_have_count(0)
    box = page.get_by_role("searchbox", name="搜索应用")
    box.fill("会议")
    expect(page.locator("[data-tile]:visible")).to_have_count(1)
    box.press("ArrowDown")
    expect(page.get_by_role("link", name="会议室预订")).to_be_focused()
    box.fill("nothing of that name")
    expect(page.get_by_text("没有匹配的应用")).to_be_visible()
    box.fill("")
    box.press("ArrowDown")
    expect(page.get_by_role("link", name="知识库")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("link", name="企业邮箱")).to_be_focused()
    tall = page.locator("[data-tile]").first.bounding_box()
    assert tall is not None and tall["height"] >= 44
    if size is PHONE:
        return
    with page.context.expect_page() as opened:
        box.fill("会议")
        box.press("Enter")
    opened.value.close()
    newest = "select application_id from applications_launch order by id desc limit 1"
    assert portal.value(f"select name->>'zh' from applications_application where id = ({newest})") == "会议室预订"


@pytest.mark.req("POR-08", part="administration")
def test_an_administrator_registers_an_application(open_page: Opener, portal: Portal) -> None:
    page = open_page("admin")
    page.goto("/applications/")
    page.get_by_role("button", name="与 Keycloak 核对").click()
    expect(page.get_by_text("上次与 Keycloak 核对")).to_be_visible()
    page.get_by_role("link", name="登记应用").click()
    page.get_by_label("名称 (中文)").fill("设备台账")
    page.get_by_label("名称 (English)").fill("Devices")
    page.get_by_label("地址").fill("javascript:alert(1)")
    page.get_by_label("Keycloak 客户端").fill("no-such-client")
    page.locator(".ts-control input").first.fill("日常")
    page.locator(".ts-dropdown .option", has_text="日常办公").click()
    page.get_by_label("员工", exact=True).uncheck()
    page.get_by_label("采购", exact=True).check()
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_text("只能打开以 https:// 或 http:// 开头的地址。").first).to_be_visible()
    open_page.problems[:] = [p for p in open_page.problems if "422" not in p]  # type: ignore[attr-defined]
    expect(page.get_by_label("名称 (中文)")).to_have_value("设备台账")
    page.get_by_label("地址").fill("https://devices.shuniu.invalid/")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("设备台账")
    expect(page.get_by_text("Keycloak 中不存在").first).to_be_visible()
    for username, there in (("buyer", 1), ("legal", 0), ("outsider", 0)):
        own = open_page(username)
        own.goto("/launcher/")
        expect(own.get_by_role("link", name="设备台账")).to_have_count(there)
