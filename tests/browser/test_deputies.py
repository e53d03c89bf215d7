"""A project manager names a deputy and ends it; HR hands over the work of somebody who has left, at a desk and on a phone."""

import re
from datetime import date, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal, today


def choose(page: Page, field: str, name: str) -> None:
    """Picks the person *name* in the field *field*."""
    page.locator(f".ts-wrapper:has([id='f-{field}-ts-control']) .ts-control input").fill(name)
    page.locator(".ts-dropdown .option").filter(has_text=name).filter(visible=True).first.click()


@pytest.mark.req("VIS-11", part="visibility")
@pytest.mark.parametrize("phone", [False, True])
def test_a_deputy_sees_the_project_until_it_is_ended(open_page: Opener, portal: Portal, phone: bool) -> None:
    project = portal.value("select id from project_project where pm_id = %s and state = 'active' limit 1", portal.user_id("pm.chen"))
    deputy = open_page("archivist", phone=phone)
    assert deputy.request.get(f"/projects/{project}").status == 404
    page = open_page("pm.chen", phone=phone)
    page.goto("/my-deputies/")
    page.get_by_role("link", name="指定受托人").click()
    expect(page.locator("[name=giver_id]")).to_have_count(0)
    choose(page, "deputy_id", portal.name("archivist"))
    page.locator("[name=to_day]").fill((date.fromisoformat(today(portal)) + timedelta(days=5)).isoformat())
    page.locator("[name=reason]").fill("休假")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(portal.name("archivist"))
    deputy.goto(f"/projects/{project}")
    expect(deputy.get_by_role("heading", level=1)).to_be_visible()
    deputy.goto("/my-deputies/")
    expect(deputy.get_by_role("region", name="委托给我的")).to_contain_text(portal.name("pm.chen"))
    page.goto("/my-deputies/")
    page.get_by_role("button", name=re.compile("结束委托")).first.click()
    with page.expect_response(lambda answer: answer.request.method == "POST"):  # an earlier one may stand there as ended already
        page.locator("#sn-ask [data-yes]").click()
    expect(page.get_by_role("region", name="我委托的人")).to_contain_text("提前结束")
    assert deputy.request.get(f"/projects/{project}").status == 404
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.req("VIS-11", part="hand-over")
@pytest.mark.parametrize(("phone", "person"), [(False, "pm.li"), (True, "pm.chen")])
def test_work_is_handed_over_from_the_persons_page(open_page: Opener, portal: Portal, phone: bool, person: str) -> None:
    giver, receiver = portal.user_id(person), portal.user_id("head.rd")
    managed = portal.value(
        "select count(*) from project_project where pm_id = %s and state in ('draft', 'active', 'paused', 'completed')", giver
    )
    assert managed
    page = open_page("hr", phone=phone)
    page.goto(f"/hand-over/{giver}")
    expect(page.get_by_text("没有已确定的最后工作日")).to_be_visible()
    expect(page.get_by_role("button", name="移交", exact=True)).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    portal.sql("update hr_employment set left_on = current_date + 5 where user_id = %s", giver)
    page.goto(f"/people/of/{giver}")
    page.get_by_role("region", name="所负责的工作").get_by_role("link", name="移交工作").click()
    row = page.locator("tbody tr").filter(has_text="所管理的项目")
    expect(row).to_contain_text(str(managed))
    expect(row).to_contain_text("项对您不可见")
    choose(page, "receiver", portal.name("head.rd"))
    page.locator("[name=reason]").fill("调往分公司")
    page.get_by_role("button", name="移交", exact=True).click()
    expect(page.locator("main")).to_contain_text("没有未移交的工作")
    left = portal.value(
        "select count(*) from project_project where pm_id = %s and state in ('draft', 'active', 'paused', 'completed')", giver
    )
    assert left == 0
    assert portal.value("select count(*) from project_project where pm_id = %s", receiver) >= managed
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
