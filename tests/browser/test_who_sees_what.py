"""Who sees what: asked in the browser by the security administrator, on a desk and on a phone."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.portal import Portal

pytestmark = pytest.mark.req("VIS-10", part="page")


@pytest.mark.parametrize("phone", [False, True])
def test_asking(open_page: Any, portal: Portal, phone: bool) -> None:
    project, number = portal.sql("select id, number from project_project where state = 'active' order by id limit 1")[0]
    page = open_page("security.admin", phone=phone)
    page.goto("/administration/who-sees-what/")
    page.locator(".ts-control").click()
    page.keyboard.type("outsider")
    page.locator(".ts-dropdown .option").filter(has_text=portal.name("outsider")).click()
    page.fill("[name=record]", f"{portal.url}/projects/{project}")
    page.get_by_role("button", name="查询", exact=True).click()
    answer = page.get_by_role("region", name="查询结果")
    expect(answer).to_contain_text("不可见")
    expect(answer).to_contain_text("项目属于可查看的项目")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.goto(f"/administration/who-sees-what/?record={number}")
    everybody = page.get_by_role("region", name="谁能看到")
    expect(everybody).to_contain_text(f"{number} 项目经理")
    expect(everybody).to_contain_text("角色：公司领导")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    everybody.locator("tbody a").first.click()
    expect(page.get_by_role("region", name="查询结果")).to_contain_text("可见")
