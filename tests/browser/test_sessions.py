"""An administrator ends somebody's session and that browser is signed out; a person ends the own ones elsewhere."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal

LIST = "/administration/sessions/"


@pytest.mark.req("POR-12", part="sessions, in the browser")
def test_an_administrator_ends_a_session(open_page: Opener, portal: Portal) -> None:
    person = open_page("archivist")
    person.goto("/")
    expect(person.locator("nav[data-menu]")).to_be_visible()

    admin = open_page("admin")
    admin.goto(LIST)
    expect(admin.get_by_role("heading", level=1)).to_have_text("在线会话")
    admin.locator(".ts-control input").fill("archivist")
    admin.locator(".ts-dropdown .option", has_text="archivist").click()
    admin.get_by_role("button", name="查看").click()
    name = portal.name("archivist")
    expect(admin.locator("tbody tr")).to_have_count(1)
    expect(admin.locator("tbody tr")).to_contain_text(name)
    admin.get_by_role("button", name=f"结束 {name} 的会话").click()
    admin.locator("#sn-ask [data-yes]").click()
    expect(admin.get_by_text("没有在线会话")).to_be_visible()
    portal.tokens.pop("archivist")  # the next test begins a new one

    assert person.request.get("/api/v1/me").status == 401
    page = person.request.get("/projects/", max_redirects=0)
    assert page.status == 302 and "/login/" in page.headers["location"], "the next page is the sign-in"
    admin.goto("/sign-ins/?f.outcome=ended")
    expect(admin.locator("tbody tr").first).to_contain_text("由管理员操作")


@pytest.mark.req("POR-12", part="own sessions, in the browser")
@pytest.mark.parametrize("width", [1440, 390])
def test_a_person_ends_the_other_sessions(open_page: Opener, portal: Portal, width: int) -> None:
    me = portal.user_id("buyer")
    portal.sql(
        "insert into security_session (token_hash, user_id, kind, expires_at, user_agent)"
        " values (gen_random_uuid()::text, %s, 'browser', now() + interval '1 hour', 'Mozilla/5.0 (Windows) Firefox/128.0')",
        me,
    )
    page = open_page("buyer")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/my-account/")
    expect(page.locator("tbody tr", has_text="Firefox 128 · Windows")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="结束其他会话").click()
    page.locator("#sn-ask [data-yes]").click()
    expect(page.locator("tbody tr", has_text="Firefox 128 · Windows").filter(has=page.get_by_role("button"))).to_have_count(0)
    expect(page.get_by_text("本次会话")).to_be_visible()
    expect(page.locator("tbody tr", has_text="会话被结束").first).to_be_visible()
