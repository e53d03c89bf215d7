"""Home: cards are arranged by keyboard and stay; warnings are acknowledged; notices come by themselves."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal


def keys(page: Page, column: str) -> list[str]:
    """Cards shown in a column, in order."""
    return page.locator(f"[data-column={column}] > [data-card]:visible").evaluate_all("cards => cards.map(c => c.dataset.card)")


def press(page: Page, name: str, key: str = "Enter") -> None:
    """Walk with the tabulator key to the control called *name*, and press it."""
    control = page.get_by_role("button", name=name).first
    for _step in range(120):
        page.keyboard.press("Tab")
        if control.evaluate("e => e === document.activeElement"):
            page.keyboard.press(key)
            return
    raise AssertionError(f"{name} cannot be reached by keyboard")


@pytest.mark.req("POR-09", part="moved, hidden and brought back by keyboard; kept")
@pytest.mark.req("POR-16", part="keyboard only")
def test_cards_are_arranged_by_keyboard_and_stay(open_page: Opener) -> None:
    page = open_page("head.rd")
    page.goto("/")
    before = keys(page, "main")
    titles = {k: page.locator(f"[data-card={k}]").get_attribute("aria-label") for k in before}
    press(page, "调整卡片")
    with page.expect_response("**/home/layout"):
        press(page, f"下移 {titles[before[0]]}")
    with page.expect_response("**/home/layout"):
        press(page, f"隐藏 {titles[before[2]]}")
    wanted = [before[1], before[0], *before[3:]]
    assert keys(page, "main") == wanted
    page.reload()
    assert keys(page, "main") == wanted
    press(page, "调整卡片")
    page.locator(f"[data-show-card={before[2]}]").focus()
    with page.expect_navigation():  # its content was not loaded while it was hidden
        page.keyboard.press("Enter")
    expect(page.locator(f"[data-card={before[2]}]")).to_be_visible()
    assert set(keys(page, "main")) == set(before)
    page.get_by_role("button", name="调整卡片").click()
    page.get_by_role("button", name="恢复默认布局").click()
    expect(page.locator("h1")).to_be_visible()
    assert keys(page, "main") == before


@pytest.mark.req("POR-09", part="by role")
def test_the_first_page_is_made_for_the_role(open_page: Opener) -> None:
    shown = {}
    for username in ("member.wang", "pm.chen", "head.rd", "admin"):
        page = open_page(username)
        page.goto("/")
        shown[username] = {*keys(page, "main"), *keys(page, "side")}
        expect(page.get_by_role("link", name="写日报")).to_be_visible()
    assert {"my_report", "announcements"} <= shown["member.wang"] & shown["pm.chen"] & shown["head.rd"]
    assert "team_board" in shown["head.rd"] - shown["member.wang"]
    assert "to_confirm" in shown["pm.chen"] - shown["member.wang"]
    assert "team_board" not in shown["admin"]


@pytest.mark.req("ALR-04", part="acknowledged in the browser")
def test_a_warning_is_acknowledged(open_page: Opener, portal: Portal) -> None:
    page = open_page("domain.manager")
    page.goto("/")
    card = page.get_by_role("region", name="风险预警")
    card.get_by_role("listitem").filter(has_text="长虹水库大坝监测").get_by_role("link").click()
    page.get_by_role("button", name="确认知悉").click()
    expect(page.locator("main")).to_contain_text("已知悉")
    assert portal.value("select state from notify_warning where subject like '%%长虹水库%%'") == "acknowledged"
    page.goto("/warnings/?f.state=open")
    expect(page.locator("tbody")).not_to_contain_text("长虹水库", timeout=3_000) if page.locator("tbody").count() else None
    # others do not learn of it
    other = open_page("member.wang")
    other.goto("/warnings/")
    expect(other.locator("main")).not_to_contain_text("长虹水库")


@pytest.mark.req("ALR-05", part="the bell")
def test_the_bell_lists_notices_and_marks_them_read(open_page: Opener, portal: Portal) -> None:
    page = open_page("domain.manager")
    page.goto("/")
    badge = page.locator("[data-unread]")
    expect(badge).to_be_visible()
    page.locator("[data-notices] > summary").click()
    expect(page.locator("[data-notice-list] a").first).to_be_visible()
    page.get_by_role("button", name=re.compile("全部已读|全部标为已读")).click()
    expect(badge).to_be_hidden()
    assert (
        portal.value("select count(*) from notify_notice where receiver_id = %s and read_at is null", portal.user_id("domain.manager")) == 0
    )


@pytest.mark.req("POR-16", part="light and dark, kept")
@pytest.mark.req("ALL-11", part="switched and kept")
def test_language_and_theme_are_kept_for_the_next_browser(open_page: Opener) -> None:
    page = open_page("qa")
    page.goto("/projects/")
    page.get_by_role("button", name="Switch to English").click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    with page.expect_response("**/preferences/theme"):
        page.locator("[data-theme-switch]").click()
    theme = page.locator("html").get_attribute("data-bs-theme")
    other = open_page("qa")
    other.goto("/projects/")
    expect(other.get_by_role("heading", name="Projects")).to_be_visible()
    assert other.locator("html").get_attribute("data-bs-theme") == theme
