"""Human resources moves somebody from next month; a head approves a leave, which then stands on the board."""

import re
from datetime import date, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal, today


@pytest.mark.req("HRM-02", part="a transfer from next month, in the browser")
def test_a_transfer_takes_effect_from_its_day(open_page: Opener, portal: Portal) -> None:
    first = (date.fromisoformat(today(portal)).replace(day=1) + timedelta(days=32)).replace(day=1)
    employee = portal.value("select id from hr_employee where user_id = %s", portal.user_id("member.zhao"))
    page = open_page("hr")
    page.goto("/people/")
    page.get_by_role("searchbox").first.fill("赵思源")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="赵思源").first.click()
    page.get_by_role("button", name="调动").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("[name=from_day]").fill(first.isoformat())
    dialog.locator(".ts-wrapper:has(+ *), .ts-wrapper").first.locator(".ts-control").click()
    page.keyboard.type("后端小组")
    page.locator(".ts-dropdown .option").filter(has_text="后端小组").first.click()
    dialog.get_by_role("button", name="调动").click()
    expect(page.get_by_role("heading", name="赵思源")).to_be_visible()
    there, now = (
        portal.value("select id from hr_department where code = 'RD1A'"),
        portal.value("select department_id from hr_employee where id = %s", employee),
    )
    assert portal.value("select code from hr_department where id = %s", now) == "RD2A", "today nothing has changed"
    rows = portal.sql("select department_id, from_day from hr_assignment where employee_id = %s order by from_day desc limit 1", employee)
    assert rows == [(there, first)]
    page.get_by_role("tab", name=re.compile("任职经历")).click()
    expect(page.get_by_role("tabpanel").filter(visible=True)).to_contain_text("后端小组")
    # the organisation as it will be
    page.goto(f"/organisation/?day={first}")
    expect(page.locator("main")).to_contain_text("后端小组")


@pytest.mark.req("HRM-07", part="a leave is approved and stands on the board")
@pytest.mark.req("ALR-05", part="the answer arrives without reload")
def test_a_leave_is_approved_from_home_and_stands_on_the_board(open_page: Opener, portal: Portal) -> None:
    wang = portal.user_id("member.wang")
    leave, begins = portal.sql("select id, from_day from hr_leave where user_id = %s and state = 'submitted'", wang)[0]
    member = open_page("member.wang")
    member.goto("/")
    heard = member.locator("[data-unread]")
    before = int(heard.text_content() or 0)
    page = open_page("head.rd", phone=True)
    page.goto("/")
    card = page.get_by_role("region", name="待审批的请假")
    card.get_by_role("listitem").filter(has_text="王知夏").get_by_role("button", name=re.compile("通过")).tap()
    expect(card.get_by_role("listitem").filter(has_text="王知夏")).to_have_count(0)
    assert portal.value("select state from hr_leave where id = %s", leave) == "approved"
    page.goto(f"/team-board/?by=week&day={begins}")
    cell = page.locator("table[data-board] tr").filter(has_text="王知夏")
    expect(cell.locator(".sn-c.rest").first).to_contain_text("年假")
    expect(heard).to_have_text(str(before + 1), timeout=25_000)


@pytest.mark.req("HRM-07", part="asked for in the browser")
def test_a_leave_is_asked_for_on_a_phone(open_page: Opener, portal: Portal) -> None:
    page = open_page("member.zhao", phone=True)
    page.goto("/leaves/add")
    day = (date.fromisoformat(today(portal)) + timedelta(days=60)).isoformat()
    page.locator("[name=kind]").first.select_option("personal")
    page.locator("[name=from_day]").fill(day)
    page.locator("[name=to_day]").fill(day)
    page.locator("[name=reason]").fill("家中有事")
    page.get_by_role("button", name=re.compile("保存|提交")).first.tap()
    expect(page.locator("main")).to_contain_text("家中有事")
