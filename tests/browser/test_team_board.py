"""A department head looks after the own subtree: the board, a person's report, a word about it, the export."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal, today


def people(page: Page) -> list[str]:
    """Names on the board, in order."""
    return page.locator("table[data-board] th.who .sn-ell").all_inner_texts()


def last_line(portal: Portal, username: str, project: str) -> tuple[str, str, str]:
    """Day, label and content of the person's latest line on the project."""
    [(day, label, done)] = portal.sql(
        """select l.day::text, l.project_label, t.done from dailyreport_line l join dailyreport_line_text t on t.line_id = l.id
             join project_project p on p.id = l.project_id
            where l.author_id = %s and p.name = %s and l.state <> 'open' order by l.day desc limit 1""",
        portal.user_id(username), project,
    )  # fmt: skip
    return day, label, done


def opened(page: Page, portal: Portal, username: str, day: str) -> Locator:
    """The person's day, opened on the board."""
    page.goto(f"/team-board/?by=week&day={day}")
    page.locator(f"[data-cell='cell?person={portal.user_id(username)}&day={day}']").click()
    expect(page.locator(".sn-xp")).to_be_visible()
    return page.locator(".sn-xp")


@pytest.mark.req("DAY-05", part="day, week, month and parts of the department")
def test_the_board_shows_the_own_subtree_by_day_week_and_month(open_page: Opener, portal: Portal) -> None:
    page = open_page("head.rd")
    page.goto("/")
    page.get_by_role("region", name="今日团队日报").get_by_role("link", name="看板").click()
    mine = portal.sql(
        """with recursive t(id) as (select id from hr_department where code = 'RD' union all
                                    select d.id from hr_department d join t on d.parent_id = t.id)
           select e.name from hr_employee e join t on t.id = e.department_id where e.active and e.archived_at is null"""
    )
    assert sorted(people(page)) == sorted(name for (name,) in mine)
    for label in ("日", "月", "周"):
        page.get_by_role("navigation", name="时间范围").get_by_role("link", name=label, exact=True).click()
        expect(page.get_by_role("navigation", name="时间范围").locator("[aria-current]")).to_have_text(label)
        assert sorted(people(page)) == sorted(name for (name,) in mine)
    page.get_by_role("navigation", name="部门").get_by_role("link", name=re.compile("平台组")).click()
    expect(page.get_by_role("heading", name="团队日报")).to_be_visible()
    inside = people(page)
    assert portal.name("member.wang") in inside
    assert portal.name("member.zhao") not in inside
    page.get_by_role("link", name="上一期").click()
    expect(page.locator("table[data-board]")).to_be_visible()


@pytest.mark.req("DAY-05", part="a person's report, comment and like")
@pytest.mark.req("VIS-03", part="the link of a project that may be seen")
def test_a_report_is_opened_liked_and_commented(open_page: Opener, portal: Portal) -> None:
    day, _label, done = last_line(portal, "member.wang", "临江新城供排水智慧调度系统")
    page = open_page("head.rd")
    report = opened(page, portal, "member.wang", day)
    expect(report).to_contain_text(portal.name("member.wang"))
    report.get_by_role("button", name=re.compile("^点赞|^赞")).click()
    expect(report.locator("button[aria-pressed=true]")).to_be_visible()
    report.get_by_label("评论").fill("接口问题请拉上厂商当面确认")
    report.get_by_role("button", name="评论").click()
    expect(page.locator(".sn-xp .sn-cmts")).to_contain_text("接口问题请拉上厂商当面确认")
    page.locator(".sn-xp").get_by_role("link", name="查看").click()
    expect(page).to_have_url(re.compile(r"/daily-reports/\d+"))
    # the author finds both
    author = open_page("member.wang")
    author.goto(page.url)
    expect(author.locator("main")).to_contain_text("接口问题请拉上厂商当面确认")
    assert done is not None


@pytest.mark.req("VIS-03", part="a hidden project: number and name only")
def test_of_a_hidden_project_only_number_and_name_are_shown(open_page: Opener, portal: Portal) -> None:
    day, label, done = last_line(portal, "member.zhao", "青湖产业园能耗监测平台")
    page = open_page("head.rd")
    report = opened(page, portal, "member.zhao", day)
    row = report.get_by_role("row").filter(has_text=label)
    expect(row).to_be_visible()
    expect(row.get_by_role("link")).to_have_count(0)
    assert done not in page.content()
    # its project manager reads the content, and may go to the project
    manager = open_page("pm.li")
    manager.goto(f"/daily-report-lines/?f.day.from={day}&f.day.to={day}")
    expect(manager.locator("main")).to_contain_text(portal.name("member.zhao"))


@pytest.mark.req("DAY-05", part="the export is what is shown")
def test_the_export_holds_what_the_board_shows(open_page: Opener, portal: Portal, tmp_path: Path) -> None:
    page = open_page("head.rd")
    page.goto(f"/team-board/?by=week&day={last_line(portal, 'member.zhao', '青湖产业园能耗监测平台')[0]}")
    shown = {}
    for row in page.locator("table[data-board] tbody tr:not(.grp)").all():
        shown[row.locator("th .sn-ell").inner_text()] = Decimal(row.locator("td.sum b.sn-tn").inner_text())
    with page.expect_download() as download:
        page.get_by_role("link", name="导出").click()
    path = tmp_path / "board.xlsx"
    download.value.save_as(path)
    rows = list(load_workbook(path, read_only=True).worksheets[0].iter_rows(values_only=True))
    head = next(i for i, row in enumerate(rows) if "人员" in row)
    name, total = rows[head].index("人员"), rows[head].index("合计工时")
    exported = {row[name]: Decimal(str(row[total])) for row in rows[head + 1 :] if row[name]}
    assert exported == shown and sum(shown.values()) > 0


@pytest.mark.req("DAY-07", part="a head reminds by hand")
def test_those_who_are_missing_are_reminded(open_page: Opener, portal: Portal) -> None:
    page = open_page("head.rd")
    page.goto("/team-board/?by=day")
    button = page.get_by_role("button", name=re.compile("提醒"))
    expected = int(re.findall(r"\d+", button.inner_text())[0])
    before = portal.value("select count(*) from notify_notice where kind like 'dailyreport.%%' and created_at::date >= current_date - 1")
    button.click()
    expect(page.locator("#sn-toasts, main").get_by_text(re.compile("已提醒|提醒")).first).to_be_visible()
    after = portal.value("select count(*) from notify_notice where kind like 'dailyreport.%%' and created_at::date >= current_date - 1")
    assert expected - 1 <= after - before <= expected  # the head need not be reminded by itself
    assert today(portal)
