"""An administrator shapes a role in the matrix and gives it away; it holds at once, and shows the administrator nothing of the business."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal

RATES = "/grade-rates/"


def role_page(page: Page, key: str) -> None:
    page.goto(f"/administration/roles/{key}")
    expect(page.locator("h1")).to_be_visible()


@pytest.mark.req("VIS-12", part="made, granted and assigned in the browser; at once in open sessions")
@pytest.mark.req("VIS-08", part="rates appear with the role only")
def test_a_new_role_works_at_once_in_an_open_session(open_page: Opener, portal: Portal, refused: object) -> None:
    person = open_page("legal")
    person.goto("/")
    assert person.request.get(RATES).status == 403
    expect(person.locator(f"nav[data-menu] a[href='{RATES}']")).to_have_count(0)

    admin = open_page("admin")
    admin.goto("/administration/roles/")
    admin.get_by_role("link", name="新建角色").click()
    admin.fill("[name=key]", "rate_reader")
    admin.fill("[name='label.zh']", "费率查阅")
    admin.fill("[name='label.en']", "Rate reader")
    admin.check("[name=scopes][value=rates]")
    admin.get_by_role("button", name="保存").click()
    expect(admin.get_by_role("heading", name="费率查阅")).to_be_visible()

    admin.get_by_role("link", name="权限", exact=True).click()
    admin.get_by_role("navigation", name="模块").get_by_role("link", name="人员").click()
    cell = admin.locator("[data-pm-row='view:hr.GradeRate'] [data-role=rate_reader]")
    expect(cell).not_to_be_checked()
    cell.check()
    expect(admin.locator("[data-matrix-count]")).to_have_text(re.compile("1"))
    with admin.expect_navigation():  # shown anew as it is stored
        admin.get_by_role("button", name="保存权限").click()
    expect(cell).to_be_checked()

    role_page(admin, "rate_reader")
    admin.locator(".ts-control").click()
    admin.keyboard.type("legal")
    admin.locator(".ts-dropdown .option").filter(has_text=portal.name("legal")).click()
    admin.get_by_role("button", name="授予角色").click()
    expect(admin.locator("main")).to_contain_text("legal")

    person.goto(RATES)
    expect(person.locator("table tbody tr").first).to_be_visible()
    expect(person.locator(f"nav[data-menu] a[href='{RATES}']")).to_have_count(1)

    admin.get_by_role("button", name=re.compile(f"{portal.name('legal')}")).click()
    admin.locator("#sn-ask [data-yes]").click()
    expect(admin.get_by_text("暂无人员").or_(admin.locator("main").get_by_text(re.compile("没有人|无人")))).to_be_visible()
    assert person.request.get(RATES).status == 403
    refused("403")  # type: ignore[operator]


@pytest.mark.req("VIS-05", part="nothing of the business")
def test_the_administrator_sees_no_business_data(open_page: Opener, portal: Portal) -> None:
    page = open_page("admin")
    page.goto("/")
    expect(page.get_by_role("region", name="今日团队日报")).to_have_count(0)
    own = portal.user_id("admin")
    for place in ("projects", "project-members", "daily-reports", "daily-report-lines", "leaves", "grade-rates", "employments"):
        answer = page.request.get(f"/api/v1/{place}/?q=(page_size:100)")
        if answer.status in (403, 404):
            continue
        rows = answer.json()["result"]
        authors = {str(row.get("author_id") or row.get("user_id")) for row in rows}
        assert not rows or all(str(own) in a or portal.name("admin") in a for a in authors), (place, authors)
