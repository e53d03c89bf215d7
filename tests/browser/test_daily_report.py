"""A member writes the report of the day: on a phone, in few touches; nothing typed is ever lost."""

import re
import time
from decimal import Decimal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal, forget_day, report_of, today

ALPHA = "临江新城供排水智慧调度系统"


@pytest.fixture(autouse=True)
def day(portal: Portal) -> str:
    """Today, on which member.wang has written nothing yet; the report before is one line of eight hours."""
    here = today(portal)
    forget_day(portal, "member.wang", here)
    author = portal.user_id("member.wang")
    last = portal.value("select max(day) from dailyreport_report where author_id = %s", author)
    spare = "select id from dailyreport_line where author_id = %s and day = %s and position > 1"
    portal.sql(f"delete from dailyreport_line_text where line_id in ({spare})", author, last)
    portal.sql(f"delete from dailyreport_line where id in ({spare})", author, last)
    portal.sql("update dailyreport_line set hours = 8 where author_id = %s and day = %s", author, last)
    return here


def line(page: Page, n: int) -> Locator:
    """The n-th line of the form, from 1."""
    return page.locator("[data-lines] [data-line]").nth(n - 1)


@pytest.mark.req("DAY-01", part="under a minute on a phone")
def test_yesterday_is_copied_changed_and_handed_in_with_six_touches(open_page: Opener, portal: Portal, day: str) -> None:
    page = open_page("member.wang", phone=True)
    page.goto("/")
    touches, begun = 0, time.monotonic()

    def touch(target: Locator) -> None:
        nonlocal touches
        target.tap()
        touches += 1

    touch(page.get_by_role("link", name="写日报"))
    touch(page.get_by_role("button", name="复制昨天"))
    expect(page.locator("[data-fill-note]")).to_be_visible()
    touch(line(page, 1).get_by_role("button", name="减半小时"))
    line(page, 1).get_by_label(re.compile("做了什么")).fill("联调告警推送接口")
    touches += 1
    expect(page.locator("[data-total]")).to_have_text("7.5")
    touch(page.get_by_role("button", name="提交日报"))
    expect(page.get_by_text("已提交").first).to_be_visible()
    assert time.monotonic() - begun < 60
    assert touches <= 6
    [(place, hours, state, done)] = report_of(portal, "member.wang", day)
    assert ALPHA in place
    assert (hours, state, done) == (Decimal("7.5"), "submitted", "联调告警推送接口")


@pytest.mark.req("DAY-01", part="own active projects only")
def test_only_own_active_projects_are_offered(open_page: Opener, portal: Portal, day: str) -> None:
    page = open_page("member.wang")
    page.goto("/my-report/")
    page.get_by_role("button", name="加一行").click()
    offered = line(page, 1).locator("optgroup").first.locator("option").all_inner_texts()
    mine = portal.sql(
        """select p.number || ' ' || p.name from project_project p
            where p.state = 'active' and (p.pm_id = %(u)s or exists (
              select from project_member m where m.project_id = p.id and m.user_id = %(u)s and m.archived_at is null
                 and m.from_day <= current_date and (m.to_day is null or m.to_day > current_date)))""".replace("%(u)s", "%s"),
        *[portal.user_id("member.wang")] * 2,
    )  # fmt: skip
    assert sorted(offered) == sorted(name for (name,) in mine) and offered


@pytest.mark.req("DAY-02", part="26 hours are refused and nothing is lost")
def test_26_hours_are_refused_and_nothing_is_lost(open_page: Opener, portal: Portal, day: str, refused: object) -> None:
    page = open_page("member.wang")
    page.goto("/my-report/")
    for n, (hours, done) in enumerate((("13", "上午到晚上"), ("13", "晚上到上午")), start=1):
        if page.locator("[data-lines] [data-line]").count() < n:
            page.get_by_role("button", name="加一行").click()
        line(page, n).locator("select").select_option(index=1)
        line(page, n).get_by_label(re.compile("工时")).fill(hours)
        line(page, n).get_by_label(re.compile("做了什么")).fill(done)
    page.get_by_label("明日计划").fill("好好休息")
    page.get_by_label("加班").check()
    page.get_by_role("button", name="提交日报").click()
    expect(page.get_by_role("alert")).to_contain_text("24")
    for _look in range(2):  # also after coming back to the page
        expect(line(page, 1).get_by_label(re.compile("做了什么"))).to_have_value("上午到晚上")
        expect(line(page, 2).get_by_label(re.compile("工时"))).to_have_value(re.compile(r"13(\.0)?"))
        expect(page.get_by_label("明日计划")).to_have_value("好好休息")
        refused("422")  # type: ignore[operator]
        page.goto("/my-report/")
    assert report_of(portal, "member.wang", day) == []


@pytest.mark.req("DAY-01", part="saved while typing")
def test_what_is_typed_survives_closing_the_page(open_page: Opener, portal: Portal, day: str) -> None:
    page = open_page("member.wang", phone=True)
    page.goto("/my-report/")
    if not page.locator("[data-lines] [data-line]").count():
        page.get_by_role("button", name="加一行").tap()
    line(page, 1).locator("select").select_option(index=1)
    line(page, 1).get_by_label(re.compile("工时")).fill("3.5")
    with page.expect_response(lambda r: "/my-report/draft" in r.url and r.ok):
        line(page, 1).get_by_label(re.compile("做了什么")).fill("写到一半，手机没电了")
    page.reload()
    expect(line(page, 1).get_by_label(re.compile("做了什么"))).to_have_value("写到一半，手机没电了")
    expect(line(page, 1).get_by_label(re.compile("工时"))).to_have_value("3.5")
    assert report_of(portal, "member.wang", day) == [], "a draft is no report"


@pytest.mark.req("POR-16", part="reports need no script")
def test_a_report_can_be_handed_in_without_script(open_page: Opener, portal: Portal, day: str) -> None:
    page = open_page("member.wang", java_script_enabled=False)
    page.goto("/my-report/")
    first = page.locator("[data-line]").filter(visible=True).first
    first.locator("select").select_option(index=1)
    first.locator("input[name$=-hours]").fill("8")
    first.locator("textarea").fill("没有脚本也能交")
    page.locator("button[value=submit]").click()
    expect(page.get_by_text("已提交").first).to_be_visible()
    assert [(str(h), s) for _p, h, s, _d in report_of(portal, "member.wang", day)] == [("8.00", "submitted")]


@pytest.mark.req("POR-16", part="keyboard only")
def test_a_report_can_be_written_by_keyboard_alone(open_page: Opener, portal: Portal, day: str) -> None:
    page = open_page("member.wang")
    page.goto("/my-report/")
    copy = page.get_by_role("button", name="复制昨天")
    for _press in range(40):
        page.keyboard.press("Tab")
        if copy.evaluate("e => e === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("[data-fill-note]")).to_be_visible()
    for _press in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value === 'submit'"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_text("已提交").first).to_be_visible()
    assert len(report_of(portal, "member.wang", day)) == 1
