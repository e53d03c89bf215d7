"""Where the axes cross (VIS-03): a head reads the hours of the own people, but of a project that is not theirs only number and name."""

import re
from typing import Any

import pytest

from portal.web import registry

pytestmark = pytest.mark.req("VIS-03")
CONTENT = re.compile(r"done by [\w.]+ on (?!None)\w+|Customer of \w+|summary of \w+")


@pytest.fixture
def line_of(superuser: Any) -> Any:
    def find(author: str, project: str | None) -> int:
        return superuser.execute(
            """select l.id from dailyreport_line l join ab_user u on u.id = l.author_id left join project_project p on p.id = l.project_id
                where u.username = %s and p.name is not distinct from %s order by l.id limit 1""",
            [author, f"Project {project}" if project else None],
        ).fetchone()[0]

    return find


@pytest.mark.parametrize("head", ["ceo", "head.rd", "deputy.plt"])
def test_a_head_reads_hours_and_the_name_of_the_project_and_nothing_else(head: str, client_as: Any, line_of: Any) -> None:
    client = client_as(head)
    row = client.get(f"/api/v1/daily-report-lines/{line_of('member.zhao', 'Beta')}").get_json()["result"]
    assert row["hours"] == "2.50" and "Project Beta" in (row["project_label"] or "")
    assert row["done"] is None and row["return_reason"] is None
    own = client.get(f"/api/v1/daily-report-lines/{line_of('member.zhao', None)}").get_json()["result"]
    assert own["done"] == "done by member.zhao on None"
    page = client.get(f"/daily-report-lines/{line_of('member.zhao', 'Beta')}")
    assert page.status_code == 200
    text = page.get_data(as_text=True)
    assert "Project Beta" in text and not CONTENT.search(text) and not re.search(r'href="/projects/\d+"', text)


def test_pm_domain_manager_leader_and_author_read_it_all(client_as: Any, line_of: Any) -> None:
    for username in ("pm.li", "domain.manager", "leader", "qa", "member.zhao"):
        row = client_as(username).get(f"/api/v1/daily-report-lines/{line_of('member.zhao', 'Beta')}").get_json()["result"]
        assert row["done"] == "done by member.zhao on Beta", username
    for username in ("pm.li", "domain.manager", "leader", "qa"):  # the lines on their project, not the report
        assert client_as(username).get(f"/api/v1/daily-report-lines/{line_of('member.zhao', None)}").status_code == 404, username


@pytest.mark.parametrize("head", ["ceo", "head.rd", "hr"])
def test_no_page_tells_a_head_what_was_done_on_a_project_that_is_not_theirs(head: str, client_as: Any) -> None:
    """Every page and list a head can reach by links: labels of projects yes; customers, contents and links to them no."""
    client = client_as(head)
    todo = [f"{r.route_base}/" for r in registry.resources.values()] + [f"{r.route_base}/export.csv" for r in registry.resources.values()]
    todo += [f"{s.route_base}/" for s in registry.screens.values()] + [f"{p.route_base}/" for p in registry.pages.values()]
    todo += ["/team-board/?days=7", "/report-statistics/", "/search?q=Alpha"]
    done: set[str] = set()
    found = []
    while todo and len(done) < 220:
        url = todo.pop(0).split("#")[0]
        key = re.sub(r"\d+", "0", url)
        if url in done or "logout" in url or sum(re.sub(r"\d+", "0", d) == key for d in done) > 2:
            continue
        done.add(url)
        answer = client.get(url)
        assert answer.status_code < 500, url
        if answer.mimetype.startswith(("image", "application/vnd", "application/octet", "font")):
            continue
        body = answer.get_data(as_text=True)
        found += [f"{url}: {m[0]}" for m in CONTENT.finditer(body)]
        found += [f"{url}: {m[0]}" for m in re.finditer(r'href="/projects/\d+"', body)]
        if answer.mimetype == "text/html":
            todo += [
                u.replace("&amp;", "&")
                for u in re.findall(r'(?:href|hx-get|data-url)="(/[^"/][^"]*)"', body)
                if not u.startswith("/static")
            ]
    assert len(done) > 60 and found == []


def test_deputies_count_while_their_period_runs(client_as: Any, line_of: Any) -> None:
    line = line_of("member.zhao", None)
    status = {
        u: client_as(u).get(f"/api/v1/daily-report-lines/{line}").status_code
        for u in ("deputy.plt", "acting.old", "acting.soon", "head.sales")
    }
    assert status == {"deputy.plt": 200, "acting.old": 404, "acting.soon": 404, "head.sales": 404}


def test_everybody_finds_colleagues_in_the_directory(client_as: Any) -> None:
    client = client_as("outsider")
    q = {"q": "(page_size:100)"}
    rows = client.get("/api/v1/employees/", query_string=q).get_json()["result"]
    assert len(rows) >= 29 and {"name", "department", "post", "work_email"} <= set(rows[0])
    assert not {"grade", "identity_number", "bank_account", "salary"} & set(rows[0])
    assert client.get("/api/v1/employments/", query_string=q).get_json()["count"] == 1
    assert client.get("/api/v1/grade-rates/", query_string=q).status_code in (200, 403)
