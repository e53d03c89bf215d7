"""Human resources prepares a transfer and the leader approves it; a head approves a leave, which then stands on the board."""

import re
from datetime import date, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal, today


@pytest.mark.req("HRM-02", part="prepared by HR, approved by the leader on a phone, seen by HR, in the browser")
def test_a_transfer_is_prepared_approved_and_takes_effect_from_its_day(open_page: Opener, portal: Portal) -> None:
    first = (date.fromisoformat(today(portal)).replace(day=1) + timedelta(days=32)).replace(day=1)
    employee = portal.value("select id from hr_employee where user_id = %s", portal.user_id("member.zhao"))
    page = open_page("hr")
    page.goto("/people/")
    page.get_by_role("searchbox").first.fill("赵思源")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="赵思源").first.click()
    page.get_by_role("link", name="调动", exact=True).click()
    expect(page.get_by_role("heading", name="调动 · 赵思源")).to_be_visible()
    form = page.locator("#record-form")
    form.locator("[name=effective_on]").fill(first.isoformat())
    form.locator("[data-field=department_id] .ts-control").click()
    page.keyboard.type("后端小组")
    page.locator(".ts-dropdown .option").filter(has_text="后端小组").first.click()
    form.locator("[name=reason]").fill("支援后端")
    form.get_by_role("button", name="存为草稿").click()
    expect(page.get_by_role("heading", name="调动 · 赵思源")).to_be_visible()
    page.get_by_role("button", name="提交审批").click()
    expect(page.locator("main")).to_contain_text("RS-")

    phone = open_page("leader", phone=True)
    phone.goto("/")
    card = phone.get_by_role("region", name="待审批的人事变动")
    card.get_by_role("listitem").filter(has_text="赵思源").get_by_role("link", name="查看并审批").tap()
    expect(phone.get_by_role("heading", name="变动前后")).to_be_visible()
    expect(phone.locator(".sn-before td.changed").first).to_contain_text("后端小组")
    assert phone.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "fits the phone"
    phone.get_by_role("button", name="通过").first.tap()
    phone.get_by_role("dialog").get_by_role("button", name="通过").tap()
    expect(phone.locator("main")).to_contain_text("已批准")

    there = portal.value("select id from hr_department where code = 'RD1A'")
    now = portal.value("select department_id from hr_employee where id = %s", employee)
    assert portal.value("select code from hr_department where id = %s", now) == "RD2A", "today nothing has changed"
    rows = portal.sql("select department_id, from_day from hr_assignment where employee_id = %s order by from_day desc limit 1", employee)
    assert rows == [(there, first)]
    page.goto(f"/people/{employee}")
    page.get_by_role("tab", name=re.compile("人事变动")).click()
    expect(page.get_by_role("tabpanel").filter(visible=True)).to_contain_text("已批准")
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
