"""Records on paper: Chinese embedded, capital amounts, what people typed stays text, visibility as on the page (ALL-11, ALL-12)."""

import io
from decimal import Decimal
from typing import Any

import pytest
from pypdf import PdfReader

from portal.web import printing


def read(data: bytes) -> str:
    """All text of a PDF, blanks left out."""
    return "".join("".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages).split())


def printed(client: Any, address: str) -> str:
    """The text of the PDF at *address*."""
    got = client.get(address)
    assert got.status_code == 200 and got.mimetype == "application/pdf", got.text[:300]
    return read(got.data)


def embedded(data: bytes) -> set[bool]:
    """Whether each font carries its outlines."""
    fonts = [f.get_object() for page in PdfReader(io.BytesIO(data)).pages for f in page["/Resources"]["/Font"].values()]
    below = [f["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object() for f in fonts]
    return {bool({"/FontFile", "/FontFile2", "/FontFile3"} & d.keys()) for d in below}


def a_project(client: Any) -> dict[str, Any]:
    found = client.get("/api/v1/projects/?q=(filters:!((col:state,opr:eq,value:active)))").get_json()["result"]
    return found[0]  # type: ignore[no-any-return]


@pytest.mark.req("ALL-12", part="print without trail")
@pytest.mark.req("ALL-11", part="printed forms")
def test_a_record_is_printed_in_the_readers_language(client_as: Any, fresh_db: None) -> None:
    client = client_as("pm.chen")
    project = a_project(client)
    address = f"/projects/{project['id']}/print.pdf"
    text = printed(client, address)
    for part in ("项目", "".join(project["name"].split()), project["number"], "项目经理", "打印：", "第1页，共1页", "状态进行中"):
        assert part in text, (part, text)
    data = client.get(address).data
    assert embedded(data) == {True} and b"pdfaid" in data
    assert client.patch("/api/v1/me", json={"locale": "en"}).status_code == 200
    text = printed(client, address)
    assert "Projectmanager" in text and "Page1of1" in text and "项目经理" not in text
    assert printed(client, f"/api/v1/projects/{project['id']}/print.pdf") == text


@pytest.mark.req("VIS-06", part="print")
def test_what_somebody_does_not_see_is_not_printed(client_as: Any) -> None:
    project = a_project(client_as("leader"))
    for address in (f"/projects/{project['id']}/print.pdf", f"/api/v1/projects/{project['id']}/print.pdf"):
        assert client_as("outsider").get(address).status_code == 404
        assert client_as(None).get(address).status_code in (302, 303, 401)
        assert client_as("leader").get(address.replace(str(project["id"]), "999999")).status_code == 404


@pytest.mark.req("ALL-11", part="capital amounts on paper")
def test_money_on_a_chinese_form_is_written_in_capital_characters(client_as: Any, fresh_db: None) -> None:
    client = client_as("hr")
    rate = client.get("/api/v1/grade-rates/").get_json()["result"][0]
    screen = "/grade-rates"
    text = printed(client, f"{screen}/{rate['id']}/print.pdf")
    from portal.kernel.money import capital_amount

    assert capital_amount(Decimal(rate["base_salary"])) in text
    client.patch("/api/v1/me", json={"locale": "en"})
    assert "元整" not in printed(client, f"{screen}/{rate['id']}/print.pdf")


HOSTILE = '#set text(red) *bold* $x$ #read("/etc/passwd") #import "@preview/x:1.0.0" ]] \\u{41} " \' <a> \x00\x07\u202e'


@pytest.mark.req("ALL-12", part="print without trail")
def test_what_people_typed_stays_text(app: Any, client_as: Any) -> None:
    with app.test_request_context():
        form = _form(heading=HOSTILE, value=HOSTILE * 20)
        assert '#read("/etc/passwd")'.replace(" ", "") in read(printing.pdf(form))


@pytest.mark.parametrize("text", ["𠮷田", "😀", "नमस्ते", "\U000e0001"])
def test_characters_our_font_lacks_do_not_stop_the_printing(text: str) -> None:
    assert printing.pdf(_form(heading=text, value=text)).startswith(b"%PDF")


@pytest.mark.parametrize("wide", ["nw", "nnw", "w", "wn", "nwnwwn", ""])
def test_wide_and_narrow_facts_in_any_order(wide: str) -> None:
    facts = [{"label": f"F{i}", "value": f"V{i}", "wide": w == "w", "capital": ""} for i, w in enumerate(wide)]
    text = read(printing.pdf(_form() | {"sections": [{"title": "T", "fields": facts}]}))
    assert all(f"F{i}V{i}" in text for i in range(len(wide)))


def test_long_tables_repeat_their_head_and_say_what_is_missing() -> None:
    table = {"title": "行", "columns": [{"label": "名称", "right": False}, {"label": "工时", "right": True}],
             "rows": [[f"第{i}行", "8.0"] for i in range(printing.LINES)], "note": "仅打印前"}  # fmt: skip
    data = printing.pdf(_form() | {"tables": [table]})
    pages = PdfReader(io.BytesIO(data)).pages
    assert len(pages) > 40 and all("名称" in p.extract_text() for p in pages[:-1])
    assert f"第{printing.LINES - 1}行" in read(data) and "仅打印前" in read(data)


def _form(heading: str = "标题", value: str = "值") -> dict[str, Any]:
    facts = [{"label": "说明", "value": value, "wide": True, "capital": ""}]
    words = {"page": "第 {n} 页，共 {of} 页"}
    return {
        "lang": "zh", "company": "示例公司", "reference": "单据 1", "printed": "打印", "title": "单据", "heading": heading, "number": "",
        "state": "", "sections": [{"title": "", "fields": facts}], "tables": [], "signatures": ["经办", "批准"], "words": words,
    }  # fmt: skip
