"""Human resources takes over a small organisation from a workbook: one error, corrected, stored; the leader hears of it."""

import io
import re
from pathlib import Path

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.portal import Portal


def send(page: Page, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    page.locator("[name=file]").set_input_files(path)
    page.get_by_role("button", name="上传并检查").click()


def filled(template: bytes, code_above: str) -> bytes:
    book = load_workbook(io.BytesIO(template))
    book["部门"].append(["NB1", "新业务一组", "NB", None, "N002"])
    book["部门"].append(["NB", "新业务部", code_above, None, "N001"])
    book["人员"].append(["N001", "白启明", "bai.qiming", "NB", None, None, None, "无固定期限", "2026-01-05"])
    book["人员"].append(["N002", "白向晚", "bai.xiangwan", "NB1", None, None, "N001", None, "2026-01-05"])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.req("HRM-09", part="xlsx, in the browser")
@pytest.mark.parametrize("phone", [False, True])
def test_an_organisation_is_taken_over(open_page: Opener, portal: Portal, tmp_path: Path, phone: bool, refused: object) -> None:
    page = open_page("hr", phone=phone)
    page.goto("/organisation/")
    page.get_by_role("main").get_by_role("link", name="导入").click()
    template = page.request.get("/imports/hr-organisation/template.xlsx").body()
    choices = [str(c.value) for c in load_workbook(io.BytesIO(template))["可选值"]["G"] if c.value]
    above = portal.value("select code from hr_department where parent_id is null and archived_at is null")
    assert choices
    if phone:  # only the way through; the desk stores it
        send(page, tmp_path / "程序.xlsx", b"MZ" + bytes(300))
        expect(page.get_by_text("不是工作簿")).to_be_visible()
        refused("422")  # type: ignore[operator]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        return
    send(page, tmp_path / "组织.xlsx", filled(template, "XX9"))
    wrong = page.get_by_role("row").filter(has_text="新业务部")
    expect(wrong).to_contain_text("没有代码为 XX9 的部门")
    expect(page.get_by_role("button", name="立即导入")).to_have_count(0)
    with page.expect_download() as got:
        page.get_by_role("link", name=re.compile("下载（含错误说明）")).click()
    book = load_workbook(io.BytesIO(got.value.path().read_bytes()))
    cell = next(row[2] for row in book["部门"].iter_rows(min_row=2) if row[0].value == "NB")
    cell.value = above
    out = io.BytesIO()
    book.save(out)
    page.get_by_role("link", name="上传另一个文件").click()
    send(page, tmp_path / "组织-更正.xlsx", out.getvalue())
    expect(page.get_by_role("row", name=re.compile("白向晚 N002"))).to_be_visible()
    expect(page.get_by_role("button", name="立即导入")).to_have_count(0)  # it hires people: never one person alone
    page.get_by_role("button", name="提交审批").click()
    expect(page.locator("[data-state=submitted]")).to_be_visible()
    leader = open_page("leader")
    leader.goto("/imports/")
    leader.get_by_role("link", name=re.compile("组织-更正")).click()
    expect(leader.get_by_role("row", name=re.compile("白向晚 N002"))).to_be_visible()
    assert portal.value("select count(*) from hr_employee where number in ('N001', 'N002')") == 0
    leader.get_by_role("button", name="批准并导入").click()
    expect(leader.locator("[data-state=done]")).to_be_visible()
    page.reload()
    expect(page.locator("[data-state=done]")).to_be_visible()
    page.get_by_role("row", name=re.compile("白向晚 N002")).get_by_role("link", name="白向晚").click()
    expect(page.locator("main")).to_contain_text("新业务一组")
    assert portal.value("select count(*) from hr_employee where number in ('N001', 'N002')") == 2
    leader.goto("/notices/")
    expect(leader.locator("main")).to_contain_text("组织-更正")
