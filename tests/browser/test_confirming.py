"""The way of a report's lines: confirmed, returned with a reason, corrected, confirmed; the rest by the head."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal, forget_day, report_of, today

GOOD, BAD, OTHER = "联调泵站控制接口并自测", "开发", "部门周会"


def waiting(page: Page, text: str) -> Locator:
    """The line with that content among those that wait."""
    return page.locator("#confirmations li").filter(has_text=text)


def head_of(portal: Portal, username: str) -> str:
    """The nearest department head above the person."""
    return str(
        portal.value(
            """with recursive up(id, depth) as (
                 select department_id, 0 from hr_employee where user_id = %s
                 union all select d.parent_id, up.depth + 1 from hr_department d join up on up.id = d.id where d.parent_id is not null)
               select u.username from up join hr_department_head h on h.department_id = up.id join ab_user u on u.id = h.user_id
                where h.kind = 'head' and h.archived_at is null and h.to_day is null order by up.depth limit 1""",
            portal.user_id(username),
        )
    )


def states(portal: Portal, day: str) -> dict[str, str]:
    return {done: state for _place, _hours, state, done in report_of(portal, "member.wang", day)}


@pytest.mark.req("DAY-03", part="confirmed, returned, corrected, in the browser")
@pytest.mark.req("ALR-05", part="live, without reload")
def test_lines_are_confirmed_returned_corrected_and_confirmed(open_page: Opener, portal: Portal) -> None:
    day = today(portal)
    forget_day(portal, "member.wang", day)
    member = open_page("member.wang", phone=True)
    member.goto("/my-report/")
    wanted = ((1, "4", GOOD), (1, "3", BAD), (None, "1", OTHER))
    for n, (index, hours, done) in enumerate(wanted):
        lines = member.locator("[data-lines] [data-line]")
        if lines.count() <= n:
            member.get_by_role("button", name="加一行").tap()
        lines.nth(n).locator("select").select_option(**({"index": index} if index else {"value": "c:meeting"}))
        lines.nth(n).locator("input[name$=-hours]").fill(hours)
        lines.nth(n).locator("textarea").fill(done)
    member.get_by_role("button", name="提交日报").tap()
    expect(member.get_by_text("已提交").first).to_be_visible()
    assert set(states(portal, day).values()) == {"submitted"}
    member.goto("/")
    heard = member.locator("[data-unread]")
    before = int(heard.text_content() or 0)

    manager = open_page("pm.chen")
    manager.goto("/confirmations/")
    expect(waiting(manager, OTHER)).to_have_count(0)
    waiting(manager, GOOD).get_by_role("button", name=re.compile("^确认")).click()
    expect(waiting(manager, GOOD)).to_have_count(0)
    expect(manager.get_by_text(re.compile("确认 1 行|已确认")).first).to_be_visible()
    back = manager.locator("#confirmations li").filter(has=manager.locator("p", has_text=re.compile(f"^{BAD}$"))).filter(has_text="王知夏")
    back.locator("summary").click()
    back.get_by_label("退回原因").fill("请写明开发了哪个功能")
    back.get_by_role("button", name="确定退回").click()
    expect(back).to_have_count(0)
    assert states(portal, day) == {GOOD: "confirmed", BAD: "returned", OTHER: "submitted"}

    # the author hears of it on the page that is open, without loading it again
    expect(heard).to_have_text(str(before + 1), timeout=25_000)
    member.goto("/my-report/")
    expect(member.get_by_text("请写明开发了哪个功能")).to_be_visible()
    member.locator("[data-line] textarea").fill("开发告警推送功能，接口 3 个")
    member.get_by_role("button", name="提交日报").tap()
    expect(member.locator("[data-report]")).to_have_count(0)
    assert states(portal, day) == {GOOD: "confirmed", "开发告警推送功能，接口 3 个": "submitted", OTHER: "submitted"}

    manager.goto("/confirmations/")
    waiting(manager, "开发告警推送功能").get_by_role("button", name=re.compile("^确认")).click()
    expect(waiting(manager, "开发告警推送功能")).to_have_count(0)

    head = open_page(head_of(portal, "member.wang"))
    head.goto("/confirmations/")
    expect(waiting(head, GOOD)).to_have_count(0)
    waiting(head, OTHER).filter(has_text="王知夏").get_by_role("button", name=re.compile("^确认")).click()
    expect(waiting(head, OTHER).filter(has_text="王知夏")).to_have_count(0)
    assert set(states(portal, day).values()) == {"confirmed"}


def test_a_confirmation_can_be_taken_back(open_page: Opener, portal: Portal) -> None:
    page = open_page("pm.li", phone=True)
    page.goto("/confirmations/")
    items = page.locator("#confirmations li")
    before = items.count()
    items.first.get_by_role("button", name=re.compile("^确认")).tap()
    expect(items).to_have_count(before - 1)
    page.locator("form[action='/confirmations/undo'] button").tap()
    expect(items).to_have_count(before)


def test_returning_without_a_reason_is_refused_in_words(open_page: Opener) -> None:
    page = open_page("pm.chen")
    page.goto("/confirmations/")
    first = page.locator("#confirmations li").first
    first.locator("summary").click()
    first.get_by_role("button", name="确定退回").click()
    expect(page.locator("#sn-toasts")).to_contain_text("原因")
