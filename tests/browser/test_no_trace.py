"""Somebody who is not on a project finds no trace of it, whatever is looked at, typed or guessed."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal

NAME, CUSTOMER = "临江新城供排水智慧调度系统", "临江水务集团有限公司"
NOWHERE = 987654321


def body(page: Page, url: str) -> tuple[int, str]:
    """Status and page of *url*, without what differs from request to request."""
    answer = page.request.get(url)
    text = re.sub(r'nonce="[^"]*"|name="csrf[-_]token" (content|value)="[^"]*"|[0-9a-f]{16,}', "~", answer.text())
    return answer.status, re.sub(r"(?<=/)\d+\b", "#", text)


@pytest.mark.req("VIS-01", part="pages, search, addresses, look-ups in the browser")
@pytest.mark.req("VIS-09", part="as if it did not exist")
@pytest.mark.parametrize("username", ["outsider", "member.zhao"])
def test_no_trace_of_a_foreign_project(open_page: Opener, portal: Portal, username: str) -> None:
    project, number = portal.sql("select id, number from project_project where name = %s", NAME)[0]
    line = portal.value("select max(id) from dailyreport_line where project_id = %s", project)
    report = portal.value("select report_id from dailyreport_line where id = %s", line)
    page = open_page(username)
    page.goto("/")
    menu = page.locator("nav[data-menu] a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    assert len(menu) > 6
    searched = [
        f"/{place}/?q={word}" for place in ("projects", "daily-report-lines", "daily-reports", "warnings") for word in ("临江", number)
    ]
    for url in [*menu, *searched, "/notices/"]:
        answer = page.request.get(url)
        assert answer.status == 200, url
        shown = answer.text().replace(f'value="{number}"', "")  # what was typed stands in the search field
        assert NAME not in shown, url
        assert CUSTOMER not in shown, url
        assert number not in re.sub(r"[?&]q=[^\"&]*|<b>[^<]*</b>|“[^”]*”", "", shown), url
    for place, pk in (("projects", project), ("daily-report-lines", line), ("daily-reports", report)):
        for address in (f"/{place}/%s", f"/{place}/%s/history", f"/api/v1/{place}/%s"):
            there, nowhere = body(page, address % pk), body(page, address % NOWHERE)
            assert there == nowhere and there[0] == 404, address
    for place in ("projects", "project-members", "daily-report-lines"):
        found = page.request.get(f"/lookup/{place}?q=临江")
        assert found.status in (200, 403, 404) and NAME not in found.text()
        assert NAME not in page.request.get(f"/lookup/{place}?id={project}").text()
    for place in ("projects", "project-members", "daily-report-lines", "daily-reports", "warnings"):
        found = page.request.get(f"/api/v1/{place}/?q=(page_size:100)")
        assert NAME not in found.text() and CUSTOMER not in found.text(), place
    page.goto("/my-report/")
    page.get_by_role("button", name=re.compile("加一行|补充")).first.or_(page.get_by_role("link", name="补充遗漏")).first.click()
    assert NAME not in page.content()


def test_a_page_that_is_not_for_one_says_so(open_page: Opener, portal: Portal, refused: object) -> None:
    project = portal.value("select id from project_project where name = %s", NAME)
    page = open_page("outsider", phone=True)
    page.goto(f"/projects/{project}")
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("main")).to_contain_text(re.compile("不存在|找不到"))
    expect(page.locator(".sn-tabbar")).to_be_visible()
    refused("404")  # type: ignore[operator]
