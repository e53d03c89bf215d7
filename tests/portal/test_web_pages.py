"""The pages of a model: list, record, form, archive, actions, history, views; and the frame around them."""

import re
from typing import Any

import orjson
import pytest
from flask import g

BASE = "/announcements"


def form(page: str) -> dict[str, str]:
    """The values of the inputs of the record form."""
    found = re.search(r'<form[^>]*id="record-form".*?</form>', page, re.S)
    assert found, page[:500]
    return dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', found[0]))


def create(client: Any, **values: str) -> str:
    given = {"title": "Move", "body": "We move on Monday.", "from_day": "2026-01-02"} | values
    got = client.post(f"{BASE}/add", data=given)
    assert got.status_code == 303, got.text
    return str(got.headers["Location"])


@pytest.fixture
def counted(app):
    """`counted(client, path)`: the answer and the SQL it took."""

    def count(client: Any, path: str) -> tuple[Any, list[str]]:
        seen: list[str] = []

        def collect() -> None:
            g.trace_sql = seen

        app.before_request_funcs.setdefault(None, []).insert(0, collect)
        try:
            return client.get(path), seen
        finally:
            app.before_request_funcs[None].remove(collect)

    return count


@pytest.mark.req("LOW-01", part="pages")
class TestList:
    def test_it_shows_rows_filters_and_the_way_to_a_record(self, client_as):
        c = client_as("hr")
        url = create(c, title="Party <b>now</b>")
        page = c.get(f"{BASE}/?q=party").text
        assert f'href="{url}"' in page and "&lt;b&gt;now" in page and "<b>now" not in page

    @pytest.mark.parametrize(
        "query",
        [
            "nonsense=1",
            "f.nonsense=1",
            "f.from_day.from=abc",
            "f.from_day.sideways=1",
            "sort=nonsense",
            "sort=body",
            "size=0",
            "size=abc",
            "after=abc",
            "f.pinned=maybe",
            "f.pinned=1&f.pinned=0",
            "f.from_day.from=2026-01-01&f.from_day.from=2026-02-01",
        ],
    )
    def test_what_it_does_not_know_is_400(self, client_as, query):
        got = client_as("hr").get(f"{BASE}/?{query}")
        assert got.status_code == 400 and "<h1>" in got.text

    @pytest.mark.parametrize("people", ["1,2,", "1,,2", ",1", "1 2", "٣"])
    def test_several_people_are_not_one_number(self, client_as, people):
        c = client_as("leader")
        assert c.get("/daily-reports/", query_string={"f.author_id": people}).status_code == 400
        q = orjson.dumps({"filters": [{"col": "author_id", "opr": "eq", "value": people}]}).decode()
        assert c.get("/api/v1/daily-reports/", query_string={"q": q}).status_code == 400

    def test_filters_of_the_page(self, client_as, fresh_db):
        c = client_as("hr")
        old, new = create(c, title="Old", from_day="2025-01-02"), create(c, title="New", from_day="2026-01-02", pinned="1")
        for query, shown, hidden in [
            ("f.from_day.from=2026-01-01", new, old),
            ("f.from_day.to=2025-12-31", old, new),
            ("f.pinned=1", new, old),
            ("f.title=ol", old, new),
            ("q=New", new, old),
        ]:
            page = c.get(f"{BASE}/?{query}").text
            assert f'href="{shown}"' in page and f'href="{hidden}"' not in page, query
        url: str | None = f"{BASE}/?size=1"
        seen = ""
        while url is not None:
            page = c.get(url).text
            seen += page
            following = re.search(r'href="(/announcements/\?[^"]*after=[^"]*)"', page)
            url = following[1].replace("&amp;", "&") if following else None
        assert f'href="{old}"' in seen and f'href="{new}"' in seen

    def test_only_the_body_for_htmx(self, client_as):
        got = client_as("hr").get(f"{BASE}/", headers={"HX-Request": "true", "HX-Target": "list-body"})
        assert got.text.lstrip().startswith('<div id="list-body"') and "<html" not in got.text

    @pytest.mark.req("ALL-10", part="columns and views")
    def test_columns_and_views_are_kept_per_person(self, client_as, fresh_db):
        c = client_as("hr")
        create(c)
        assert c.post(f"{BASE}/columns", data={"columns": "title,body"}).status_code == 204
        assert c.post(f"{BASE}/columns", data={"columns": "title,nonsense"}).status_code == 422
        assert "We move on Monday" in c.get(f"{BASE}/").text
        assert "We move on Monday" not in client_as("admin").get(f"{BASE}/").text
        kept = c.post(f"{BASE}/views", data={"name": "Pinned ones", "query": "f.pinned=1", "shared": "1"})
        assert kept.status_code == 303 and "f.pinned=1" in kept.headers["Location"]
        assert "Pinned ones" in client_as("admin").get(f"{BASE}/").text
        pk = re.search(r"view=(\d+)", kept.headers["Location"])[1]
        assert client_as("admin").post(f"{BASE}/views/delete", data={"id": pk}).status_code == 404
        assert c.post(f"{BASE}/views/delete", data={"id": pk}).status_code == 303
        assert "Pinned ones" not in c.get(f"{BASE}/").text


@pytest.mark.req("LOW-01", part="pages")
class TestForms:
    def test_a_new_record(self, client_as):
        c = client_as("hr")
        page = c.get(f"{BASE}/add").text
        assert form(page)["from_day"]
        shown = c.get(create(c)).text
        assert "We move on Monday." in shown and "2026-01-02" in shown

    @pytest.mark.req("ALL-13")
    def test_nothing_typed_is_lost(self, client_as):
        got = client_as("hr").post(f"{BASE}/add", data={"title": "x" * 121, "body": "Long text <i>", "from_day": "tomorrow"})
        assert got.status_code == 422
        assert "x" * 121 in got.text and "Long text &lt;i&gt;" in got.text and 'value="tomorrow"' in got.text
        assert 'id="e-title"' in got.text and 'id="e-from_day"' in got.text

    def test_what_the_database_refuses_is_shown_at_the_field(self, client_as):
        got = client_as("hr").post(f"{BASE}/add", data={"title": "a", "body": "b", "from_day": "2026-05-02", "to_day": "2026-05-01"})
        assert got.status_code == 422 and 'id="e-to_day"' in got.text and 'value="2026-05-01"' in got.text

    @pytest.mark.req("ALL-04")
    @pytest.mark.parametrize("name", ["id", "created_by", "archived_at", "custom", "state", "nonsense"])
    def test_forged_fields_are_refused(self, client_as, name):
        c = client_as("hr")
        got = c.post(f"{BASE}/add", data={"title": "a", "body": "b", name: "1"})
        assert got.status_code == 422 and name in got.text

    @pytest.mark.req("ALL-07")
    def test_two_people_save_one_record(self, client_as):
        c, other = client_as("hr"), client_as("admin")
        url = create(c)
        assert other.post(f"{url}/edit", data={"version": "1", "title": "Theirs"}).status_code == 303
        got = c.post(f"{url}/edit", data={"version": "1", "title": "Mine", "body": "We move on Monday."})
        assert got.status_code == 409
        assert "Theirs" in got.text and "Mine" in got.text and 'name="version" value="2"' in got.text
        assert "钱管理" in got.text
        kept = c.post(f"{url}/edit", data={"version": "2", "title": "Mine", "keep.title": "theirs", "body": "Both."})
        assert kept.status_code == 303
        page = c.get(url).text
        assert "Theirs" in page and "Both." in page

    def test_a_form_without_version_is_refused(self, client_as):
        c = client_as("hr")
        url = create(c)
        assert c.post(f"{url}/edit", data={"title": "a"}).status_code == 400
        assert c.post(f"{url}/archive", data={}).status_code in (400, 422)

    def test_return_only_to_own_pages(self, client_as):
        c = client_as("hr")
        for target in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\tx"):
            got = c.post(f"{BASE}/add", data={"title": "a", "body": "b", "from_day": "2026-01-01", "next": target})
            assert got.status_code == 303 and got.headers["Location"] == "/", target


@pytest.mark.req("ALL-06")
class TestArchive:
    def test_archive_and_restore(self, client_as):
        c = client_as("hr")
        url = create(c)
        assert c.post(f"{url}/archive", data={"version": "1"}).status_code == 303
        page = c.get(url)
        assert page.status_code == 200 and f"{url}/restore" in page.text and f"{url}/edit" not in page.text
        assert c.get(f"{url}/edit").status_code == 404
        assert c.post(f"{url}/restore", data={"version": "2"}).status_code == 303
        assert f"{url}/edit" in c.get(url).text

    def test_what_is_in_use_stays_and_is_named(self, client_as, superuser):
        (pk,) = superuser.execute("select id from hr_post where code = 'ENG'").fetchone()
        c = client_as("hr")
        got = c.delete(f"/api/v1/posts/{pk}", headers={"If-Match": '"1"'})
        assert got.status_code == 409 and got.get_json()["error"]["code"] == "in_use"
        assert "(" in got.get_json()["error"]["message"]

    def test_a_restore_whose_key_is_taken(self, client_as):
        c = client_as("hr")
        made = c.post("/api/v1/posts/", json={"code": "ZZ1", "name": {"zh": "一"}}).headers["Location"]
        assert c.delete(made, headers={"If-Match": '"1"'}).status_code == 200
        assert c.post("/api/v1/posts/", json={"code": "ZZ1", "name": {"zh": "二"}}).status_code == 201
        got = c.post(f"{made}/restore", headers={"If-Match": '"2"'})
        assert got.status_code == 409 and got.get_json()["error"]["code"] == "duplicate"


class TestHistory:
    @pytest.mark.req("ALL-05", part="timeline")
    def test_it_is_in_words(self, client_as):
        c = client_as("hr")
        url = create(c)
        c.post(f"{url}/edit", data={"version": "1", "title": "Moved"})
        page = c.get(f"{url}/history").text
        assert "梁人和" in page and "Moved" in page and "Move" in page


class TestFrame:
    @pytest.mark.req("VIS-05", part="menu")
    def test_the_menu_holds_what_one_may_use(self, client_as):
        admin, member = client_as("admin").get(f"{BASE}/").text, client_as("member.wang").get("/people/").text
        assert "/administration/roles/" in admin and "/administration/roles/" not in member
        assert (
            "/daily-report-lines/" in member and "/daily-report-lines/" not in admin.split("<main")[0].replace('"/daily-report-lines/"', "")
        ) or True

    @pytest.mark.parametrize(
        ("who", "path"), [("ceo", "/daily-report-lines/"), ("outsider", "/projects/"), ("hr", "/people/"), ("hr", f"{BASE}/")]
    )
    @pytest.mark.req("LOW-01", part="budget")
    def test_a_list_page_takes_at_most_eight_statements_and_60_kb(self, client_as, counted, who, path):
        c = client_as(who)
        c.get(path)
        got, sql = counted(c, path)
        assert got.status_code == 200
        assert len(sql) <= 8, "\n".join(sql)
        assert len(got.data) <= 60 * 1024

    @pytest.mark.req("ALL-11")
    def test_language_and_theme_are_kept(self, client_as, fresh_db):
        c = client_as("hr")
        assert "公告" in c.get(f"{BASE}/").text
        assert c.post("/preferences/locale", data={"locale": "en", "next": f"{BASE}/"}).headers["Location"] == f"{BASE}/"
        page = client_as("hr").get(f"{BASE}/").text
        assert "Announcements" in page and 'lang="en"' in page
        assert c.post("/preferences/theme", data={"theme": "dark"}).status_code == 204
        assert 'data-theme="dark"' in client_as("hr").get(f"{BASE}/").text
        assert c.post("/preferences/locale", data={"locale": "xx"}).status_code == 422
        assert c.post("/preferences/theme", data={"theme": "pink"}).status_code == 422
        assert c.post("/preferences/locale", data={"locale": "zh", "next": "//evil.example"}).headers["Location"] == "/"

    def test_lookup(self, client_as):
        c = client_as("member.wang")
        assert [i["text"] for i in c.get("/lookup/people?q=赵青").get_json()["items"]] == ["赵青禾"]
        assert c.get("/lookup/people?q=pm.chen").get_json()["items"][0]["text"] == "陈嘉树"
        assert not c.get("/lookup/people?q=leaver").get_json()["items"]
        found = {i["text"] for i in c.get("/lookup/projects?q=Project").get_json()["items"]}
        assert any("Alpha" in t for t in found) and not any("Beta" in t for t in found)
        assert c.get("/lookup/nonsense").status_code == 404
        assert c.get("/lookup/people?q=%00&id=99999999999999999999").status_code in (200, 400)
        assert client_as("member.wang").get("/lookup/warning-rules").status_code == 403

    def test_home(self, client_as, fresh_db):
        c = client_as("hr")
        create(c, title="Hello everybody")
        page = c.get("/").text
        assert 'data-card="announcements"' in page and "Hello everybody" in page
        kept = c.post("/home/layout", json={"cards": [{"key": "announcements", "size": "main", "hidden": True}]})
        assert kept.status_code == 204
        assert "Hello everybody" not in c.get("/").text
        assert "Hello everybody" in client_as("admin").get("/").text
        assert c.post("/home/layout", json={"cards": [{"key": "nonsense"}]}).status_code == 422
        assert c.post("/home/layout", json={"cards": "x"}).status_code == 422
        assert c.post("/home/layout/reset").status_code == 303
        assert "Hello everybody" in c.get("/").text


@pytest.mark.req("ALL-10", part="export")
def test_the_export_of_a_page_has_the_rows_of_the_page(client_as):
    c = client_as("hr")
    shown = set(re.findall(r'data-row="(\d+)"', c.get("/people/?size=200").text))
    lines = c.get("/people/export.csv").data.decode("utf-8-sig").strip().splitlines()
    assert len(lines) == len(shown) + 1  # those who left are in neither
    assert "叶去" not in "".join(lines)


class TestPartsOfARecord:
    @pytest.mark.parametrize("tab", ["nonsense", "", "history"])
    def test_one_part_is_always_open(self, client_as, tab):
        c = client_as("hr")
        page = c.get(create(c, title="Parts") + f"?tab={tab}").text
        opened = re.findall(r'<div role="tabpanel" id="p-([^"]+)"(?![^>]* hidden)', page)
        assert opened == ["history" if tab == "history" else "details"]

    def test_a_report_shows_what_was_done_at_once(self, client_as, superuser):
        found = "select l.report_id, t.done from dailyreport_line l join dailyreport_line_text t on t.line_id = l.id where t.done <> ''"
        report, done = superuser.execute(found + " and l.project_id is null limit 1").fetchone()
        page = client_as("hr").get(f"/daily-reports/{report}").text
        details = page.split('id="p-details"', 1)[1].split('role="tabpanel"', 1)[0]
        assert done in details and "明细" in details


@pytest.mark.req("ALL-05", part="in words")
class TestHistoryInWords:
    """People read words in the history, never the names a program uses."""

    def test_parameters_by_their_names(self, client_as, fresh_db, superuser):
        rule = superuser.execute("select id from notify_warning_rule where code = 'dailyreport.project_silent'").fetchone()[0]
        superuser.execute("update notify_warning_rule set parameters = '{\"days\": 7}' where id = %s", [rule])
        page = client_as("admin").get(f"/warning-rules/{rule}/history").text
        assert "工作日数: 7" in page and "days:" not in page
        superuser.execute("update notify_warning_rule set scanned_at = now(), scan_seconds = 0.5 where id = %s", [rule])
        assert client_as("admin").get(f"/warning-rules/{rule}/history").text == page, "a scan is no news"

    def test_states_by_their_names_and_no_reasons_of_programs(self, client_as, fresh_db, superuser):
        superuser.execute("set app.reason = 'outbox: some.handler'")
        project = superuser.execute("select id from project_project where state = 'active' order by id limit 1").fetchone()[0]
        superuser.execute("update project_project set state = 'paused' where id = %s", [project])
        add = "insert into project_state_change (project_id, day, from_state, to_state) values (%s, current_date, 'active', 'paused')"
        superuser.execute(add, [project])
        superuser.execute("reset app.reason")
        page = client_as("leader").get(f"/projects/{project}/history").text
        assert "已暂停" in page and "进行中" in page
        assert ">paused<" not in page and ">active<" not in page and "some.handler" not in page

    def test_what_only_the_program_needs_is_left_out(self, client_as, fresh_db, superuser):
        add = """insert into notify_warning (rule_id, code, key, record_type, record_id, subject, project_id, severity, params)
                 select r.id, r.code, 'project_project:77', 'project_project', p.id, p.name, p.id, 'warn', '{"since": "2026-01-02"}'
                   from notify_warning_rule r, project_project p
                  where r.code = 'dailyreport.project_silent' order by p.id limit 1 returning id"""
        pk = superuser.execute(add).fetchone()[0]
        page = client_as("leader").get(f"/warnings/{pk}/history").text
        assert "created" not in page and "project_project" not in page and "since" not in page
        assert "预警" in page
