"""The REST API over real models: its conventions, what it refuses, and what it costs."""

import json
from typing import Any

import prison
import pytest
from flask import g

ANNOUNCEMENTS = "/api/v1/announcements/"
LINES = "/api/v1/daily-report-lines/"


def q(**given: Any) -> dict[str, str]:
    return {"q": prison.dumps(given)}


def created(client: Any, **values: Any) -> dict[str, Any]:
    got = client.post(ANNOUNCEMENTS, json={"title": "Move", "body": "We move on Monday.", **values})
    assert got.status_code == 201, got.text
    return got.get_json() | {"etag": got.headers["ETag"], "location": got.headers["Location"]}


@pytest.fixture
def statements(app):
    """`statements(call)`: the SQL of one request."""

    def count(client: Any, *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
        seen: list[str] = []

        def collect() -> None:
            g.trace_sql = seen

        app.before_request_funcs.setdefault(None, []).insert(0, collect)
        try:
            return client.get(*args, **kwargs), seen
        finally:
            app.before_request_funcs[None].remove(collect)

    return count


@pytest.mark.req("LOW-01", part="rest")
class TestList:
    def test_it_has_the_agreed_shape(self, client_as):
        got = client_as("pm.chen").get(LINES)
        body = got.get_json()
        assert got.status_code == 200
        assert set(body) == {"count", "count_capped", "ids", "result", "next", "previous"}
        assert body["ids"] == [r["id"] for r in body["result"]] and body["count"] >= len(body["ids"])
        line = body["result"][0]
        assert isinstance(line["hours"], str) and isinstance(line["author"], str) and isinstance(line["author_id"], int)

    def test_columns_are_sparse(self, client_as):
        got = client_as("pm.chen").get(LINES, query_string=q(columns=["day", "author"]))
        assert all(set(r) == {"day", "author"} for r in got.get_json()["result"])

    def test_filters_by_kind(self, client_as):
        c = client_as("ceo")
        every = c.get(LINES, query_string=q(page_size=200)).get_json()["result"]
        for col, opr, value, keep in [
            ("state", "eq", "confirmed", lambda r: r["state"] == "confirmed"),
            ("state", "in", ["confirmed", "returned"], lambda r: r["state"] != "submitted"),
            ("hours", "ge", "2.50", lambda r: True),
            ("hours", "gt", 2.5, lambda r: False),
            ("day", "le", every[0]["day"], lambda r: r["day"] <= every[0]["day"]),
            ("project_id", "eq", None, lambda r: r["project_id"] is None),
            ("project_id", "ne", None, lambda r: r["project_id"] is not None),
            ("project_label", "ct", "alpha", lambda r: "alpha" in (r["project_label"] or "").lower()),
            ("author_id", "eq", every[0]["author_id"], lambda r: r["author_id"] == every[0]["author_id"]),
        ]:
            got = c.get(LINES, query_string=q(filters=[{"col": col, "opr": opr, "value": value}], page_size=200))
            assert got.status_code == 200, got.text
            assert got.get_json()["ids"] == [r["id"] for r in every if keep(r)], (col, opr)

    def test_order_and_pages_cover_everything_once(self, client_as):
        c = client_as("ceo")
        for order in (
            {},
            {"order_column": "hours", "order_direction": "asc"},
            {"order": ["-project_label", "day"]},
            {"order_column": "decided_at"},
        ):
            whole = c.get(LINES, query_string=q(page_size=200, **order)).get_json()["ids"]
            assert len(whole) > 12
            seen, after, backwards = [], None, []
            while True:
                page = c.get(LINES, query_string=q(page_size=5, **order, **({"after": after} if after else {}))).get_json()
                seen += page["ids"]
                if page["previous"]:
                    backwards = c.get(LINES, query_string=q(page_size=5, **order, before=page["previous"])).get_json()["ids"]
                    assert backwards == whole[max(0, len(seen) - len(page["ids"]) - 5) : len(seen) - len(page["ids"])]
                after = page["next"]
                if after is None:
                    break
            assert seen == whole, order
            numbered = [i for n in range(5) for i in c.get(LINES, query_string=q(page_size=5, page=n, **order)).get_json()["ids"]]
            assert numbered == whole[:25]

    def test_search_and_archived(self, client_as, fresh_db):
        c = client_as("admin")
        before = c.get(ANNOUNCEMENTS).get_json()["ids"]
        kept, gone = created(c, title="100%_done"), created(c, title="Other")
        assert c.get(ANNOUNCEMENTS, query_string=q(search="100%_")).get_json()["ids"] == [kept["id"]]
        assert c.get(ANNOUNCEMENTS, query_string=q(search="%")).get_json()["ids"] == [kept["id"]]
        assert c.delete(gone["location"], headers={"If-Match": gone["etag"]}).status_code == 200
        assert set(c.get(ANNOUNCEMENTS).get_json()["ids"]) == {kept["id"], *before}
        assert c.get(ANNOUNCEMENTS + "?archived=1").get_json()["ids"] == [gone["id"]]
        assert c.get(gone["location"]).status_code == 404
        back = c.post(gone["location"] + "/restore", headers={"If-Match": '"2"'})
        assert back.status_code == 200, back.text

    @pytest.mark.parametrize(
        "given",
        [
            {"filters": [{"col": "nonsense", "opr": "eq", "value": 1}]},
            {"filters": [{"col": "hours", "opr": "like", "value": 1}]},
            {"filters": [{"col": "hours", "opr": "ct", "value": "1"}]},
            {"filters": [{"col": "hours", "opr": "eq", "value": "abc"}]},
            {"filters": [{"col": "hours", "opr": "eq", "value": "1e99"}]},
            {"filters": [{"col": "id", "opr": "eq", "value": 10**30}]},
            {"filters": [{"col": "day", "opr": "eq", "value": "2026-02-30"}]},
            {"filters": [{"col": "state", "opr": "eq", "value": "nonsense"}]},
            {"filters": [{"col": "version", "opr": "eq", "value": 1}]},
            {"filters": [{"col": "day"}]},
            {"filters": "day"},
            {"order_column": "nonsense"},
            {"order_column": "day", "order_direction": "sideways"},
            {"order": ["custom"]},
            {"columns": ["nonsense"]},
            {"columns": ["custom"]},
            {"columns": []},
            {"page": "abc"},
            {"page": -1},
            {"page": 10**9},
            {"page_size": 0},
            {"page_size": 201},
            {"page_size": True},
            {"after": "nonsense"},
            {"after": 5},
            {"nonsense": 1},
        ],
    )
    def test_what_it_does_not_know_is_400_with_words(self, client_as, given):
        got = client_as("ceo").get(LINES, query_string=q(**given))
        assert got.status_code == 400, got.text
        error = got.get_json()["error"]
        assert error["code"] and error["message"] and isinstance(error["fields"], dict)

    def test_malformed_q(self, client_as):
        c = client_as("ceo")
        for raw in ("((", "!(", "{", "[]", "x" * 9000, "(page:!!)", "\x00"):
            assert c.get(LINES, query_string={"q": raw}).status_code == 400, raw[:20]
        assert c.get(LINES, query_string={"page": "2"}).status_code == 400

    def test_a_cursor_of_another_order_is_refused(self, client_as):
        c = client_as("ceo")
        after = c.get(LINES, query_string=q(page_size=5)).get_json()["next"]
        assert c.get(LINES, query_string=q(page_size=5, order_column="hours", after=after)).status_code == 400


@pytest.mark.req("LOW-01", part="rest")
class TestOne:
    def test_read_with_etag(self, client_as):
        c = client_as("admin")
        made = created(c)
        got = c.get(made["location"])
        assert got.headers["ETag"] == f'"{made["result"]["version"]}"'
        assert c.get(made["location"], headers={"If-None-Match": got.headers["ETag"]}).status_code == 304
        assert c.get(made["location"], query_string=q(columns=["title"])).get_json()["result"].keys() == {"title", "version"}

    @pytest.mark.req("VIS-09")
    def test_invisible_answers_like_nonexistent(self, client_as, superuser):
        (hidden,) = superuser.execute("select id from project_project where name = 'Project Beta'").fetchone()
        c = client_as("member.wang")
        for method, path in [("get", ""), ("put", ""), ("delete", ""), ("post", "/activate"), ("get", "/history"), ("get", "/actions")]:
            bodies = set()
            for pk in (hidden, 987654321):
                got = getattr(c, method)(f"/api/v1/projects/{pk}{path}", **({"json": {"name": "x"}} if method != "get" else {}))
                assert got.status_code == 404, (method, path, pk, got.text)
                bodies.add(got.text)
            assert len(bodies) == 1
        assert {c.get(f"/projects/{pk}").status_code for pk in (hidden, 987654321)} == {404}

    def test_huge_ids(self, client_as):
        c = client_as("ceo")
        for pk in (2**63, 10**40, 0):
            assert c.get(f"{LINES}{pk}").status_code in (400, 404)

    def test_history(self, client_as):
        c = client_as("admin")
        made = created(c)
        c.put(made["location"], json={"title": "Moved"}, headers={"If-Match": made["etag"]})
        got = c.get(made["location"] + "/history").get_json()["result"]
        assert [e["operation"] for e in got] == ["update", "insert"]
        assert got[0]["old"] == {"title": "Move"} and got[0]["new"] == {"title": "Moved"}


@pytest.mark.req("ALL-04")
class TestWrite:
    @pytest.mark.parametrize(
        "field",
        ["id", "version", "created_at", "created_by", "archived_at", "custom", "nonsense", "__class__", "see"],
    )
    def test_forbidden_and_unknown_fields_are_named(self, client_as, field):
        c = client_as("admin")
        made = created(c)
        for got in (
            c.post(ANNOUNCEMENTS, json={"title": "a", "body": "b", field: 7}),
            c.put(made["location"], json={"title": "a", field: 7}, headers={"If-Match": made["etag"]}),
        ):
            assert got.status_code == 422, got.text
            assert set(got.get_json()["error"]["fields"]) == {field}
        assert c.get(made["location"]).get_json()["result"]["title"] == "Move"

    @pytest.mark.parametrize("field", ["state", "number", "entity_id", "submitted_at"])
    def test_state_and_number_of_documents(self, client_as, field):
        got = client_as("leader").post("/api/v1/projects/", json={"name": "P", field: "1"})
        assert field in got.get_json()["error"]["fields"]

    def test_missing_and_wrong_values_are_all_named(self, client_as):
        got = client_as("admin").post(ANNOUNCEMENTS, json={"title": "x" * 200, "pinned": "maybe", "to_day": "31.12.2026"})
        assert got.status_code == 422
        assert set(got.get_json()["error"]["fields"]) == {"title", "body", "pinned", "to_day"}

    @pytest.mark.parametrize("raw", [b"", b"[]", b"3", b"null", b"{", b'"text"', b"\xff\xfe", b'{"title": NaN}', b"[" * 100_000])
    def test_bodies_that_are_no_object(self, client_as, raw):
        got = client_as("admin").post(ANNOUNCEMENTS, data=raw, headers={"Content-Type": "application/json"})
        assert got.status_code == 400, got.text

    @pytest.mark.parametrize("value", [["a"], {"a": 1}, 5, True, "with\x00nul"])
    def test_values_of_another_type(self, client_as, value):
        got = client_as("admin").post(ANNOUNCEMENTS, json={"title": value, "body": "b"})
        assert got.status_code == 422, got.text

    def test_a_check_of_the_database_is_422(self, client_as):
        got = client_as("admin").post(ANNOUNCEMENTS, json={"title": "a", "body": "b", "from_day": "2026-05-02", "to_day": "2026-05-01"})
        assert got.status_code == 422
        assert set(got.get_json()["error"]["fields"]) == {"to_day"}

    @pytest.mark.req("ALL-03", part="duplicates")
    def test_a_duplicate_is_409_without_detail(self, client_as):
        c = client_as("hr")
        first = c.post("/api/v1/posts/", json={"code": "QA1", "name": {"zh": "测试", "en": "Tester"}})
        assert first.status_code == 201, first.text
        again = c.post("/api/v1/posts/", json={"code": "QA1", "name": {"zh": "另一"}})
        assert again.status_code == 409
        error = again.get_json()["error"]
        assert error["code"] == "duplicate" and "code" in error["fields"] and "测试" not in again.text

    def test_a_reference_must_exist_and_be_visible(self, client_as, superuser, user_id):
        (beta,) = superuser.execute("select id from project_project where name = 'Project Beta'").fetchone()
        (role,) = superuser.execute("select id from project_role where code = 'DEV'").fetchone()
        for project in (beta, 987654321):
            got = client_as("pm.chen").post(
                "/api/v1/project-members/",
                json={"project_id": project, "user_id": user_id("member.zhao"), "role_id": role, "from_day": "2026-01-01"},
            )
            assert got.status_code == 422, got.text
            assert set(got.get_json()["error"]["fields"]) == {"project_id"}

    def test_roles_decide_before_anything_else(self, client_as):
        c = client_as("member.wang")
        assert c.post(ANNOUNCEMENTS, json={"nonsense": 1}).status_code == 403
        made = created(client_as("admin"))
        assert c.put(made["location"], json={"title": "mine"}, headers={"If-Match": made["etag"]}).status_code == 403
        assert c.delete(made["location"], headers={"If-Match": made["etag"]}).status_code == 403
        assert c.get(ANNOUNCEMENTS + "export.csv").status_code == 403


@pytest.mark.req("ALL-07")
class TestTwoPeople:
    def test_if_match_is_needed(self, client_as):
        c = client_as("admin")
        made = created(c)
        assert c.put(made["location"], json={"title": "a"}).status_code == 428
        assert c.delete(made["location"]).status_code == 428
        assert c.put(made["location"], json={"title": "a"}, headers={"If-Match": "*"}).status_code == 428
        assert c.put(made["location"], json={"title": "a"}, headers={"If-Match": "abc"}).status_code == 400

    def test_the_second_is_refused_with_both_versions(self, client_as):
        c, other = client_as("admin"), client_as("hr")
        made = created(c)
        assert other.put(made["location"], json={"title": "Theirs"}, headers={"If-Match": made["etag"]}).status_code == 200
        got = c.put(made["location"], json={"title": "Mine", "body": "We move on Monday."}, headers={"If-Match": made["etag"]})
        error = got.get_json()["error"]
        assert got.status_code == 409 and error["code"] == "changed_meanwhile"
        assert (error["yours"], error["theirs"], error["version"]) == ({"title": "Mine"}, {"title": "Theirs"}, 2)
        assert c.get(made["location"]).get_json()["result"]["title"] == "Theirs"
        assert c.delete(made["location"], headers={"If-Match": made["etag"]}).status_code == 409


class TestWhoCalls:
    def test_nobody(self, client_as):
        c = client_as(None)
        for call in (c.get(LINES), c.post(LINES, json={}), c.get("/api/v1/me"), c.get("/api/v1/_openapi"), c.get("/lookup/people")):
            assert call.status_code == 401 and call.get_json()["error"]["code"] == "not_signed_in"

    def test_cookie_calls_need_the_csrf_token(self, client_as):
        c = client_as("admin")
        c.csrf = False
        for call in (
            c.post(ANNOUNCEMENTS, json={"title": "a", "body": "b"}),
            c.put(ANNOUNCEMENTS + "1", json={}),
            c.delete(ANNOUNCEMENTS + "1"),
            c.post("/announcements/add", data={"title": "a", "body": "b"}),
            c.post("/preferences/theme", data={"theme": "dark"}),
        ):
            assert call.status_code == 400 and ("csrf" in call.text.lower() or "表单" in call.text or "久" in call.text), call.text

    def test_me(self, client_as):
        body = client_as("hr").get("/api/v1/me").get_json()
        assert body["username"] == "hr" and "staff" in body["scopes"] and "view" in body["permissions"]["hr.Employee"]


class TestCost:
    @pytest.mark.req("LOW-01", part="budget")
    @pytest.mark.parametrize("who", ["ceo", "outsider", "pm.chen", "leader", "hr"])
    def test_a_list_takes_at_most_three_statements(self, client_as, statements, who):
        c = client_as(who)
        c.get(LINES)
        got, sql = statements(c, LINES)
        assert got.status_code == 200
        assert len(sql) <= 3, "\n".join(sql)

    def test_one_record_takes_two(self, client_as, statements):
        made = created(client_as("admin"))
        c = client_as("outsider")
        _got, sql = statements(c, made["location"])
        assert len(sql) == 2, "\n".join(sql)


@pytest.mark.req("LOW-01", part="export")
class TestExport:
    def test_csv_and_xlsx_hold_what_the_reader_sees(self, client_as):
        from io import BytesIO

        from openpyxl import load_workbook

        c = client_as("pm.chen")
        ids = c.get(LINES, query_string=q(page_size=200)).get_json()["ids"]
        text = c.get(LINES + "export.csv").data.decode("utf-8-sig")
        assert len(text.strip().splitlines()) >= len(ids) + 1
        sheet = load_workbook(BytesIO(c.get(LINES + "export.xlsx").data)).active
        assert sheet.max_row == len(ids) + 1
        assert c.get(LINES + "export.pdf").status_code == 404

    def test_formulas_become_harmless(self, client_as, fresh_db):
        from io import BytesIO

        from openpyxl import load_workbook

        c = client_as("hr")
        for title in ('=HYPERLINK("http://x")', "+1", "-1", "@x", "＝1"):
            created(c, title=title)
        text = c.get(ANNOUNCEMENTS + "export.csv").data.decode("utf-8-sig")
        assert "'=HYPERLINK" in text and "'+1" in text and "'@x" in text
        sheet = load_workbook(BytesIO(c.get(ANNOUNCEMENTS + "export.xlsx").data)).active
        cells = [cell for row in sheet.iter_rows(min_row=2) for cell in row if isinstance(cell.value, str)]
        assert any(cell.value.startswith("=HYPERLINK") for cell in cells)
        assert all(cell.data_type == "s" for cell in cells)

    def test_too_many_rows_are_refused_in_words(self, client_as, monkeypatch):
        from portal.web import exporting

        monkeypatch.setattr(exporting, "MAX_ROWS", 3)
        monkeypatch.setattr(exporting, "CHUNK", 2)
        got = client_as("ceo").get(LINES + "export.csv")
        assert got.status_code == 409 and got.get_json()["error"]["code"] == "too_many_rows"


@pytest.mark.req("LOW-06", part="openapi")
def test_the_openapi_document_is_valid(client_as):
    from jsonschema import Draft202012Validator

    doc = client_as("admin").get("/api/v1/_openapi").get_json()
    assert doc["openapi"].startswith("3.0") and "/api/v1/daily-report-lines/" in doc["paths"]
    seen: set[str] = set()
    for path, item in doc["paths"].items():
        for operation in item.values():
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])
            assert operation["responses"]
            declared = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path
    refs = json.dumps(doc).split('"$ref": "')[1:]
    for ref in (r.split('"', 1)[0] for r in refs):
        node: Any = doc
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]
    for schema in doc["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    record = client_as("ceo").get(LINES).get_json()["result"][0]
    assert set(record) == set(doc["components"]["schemas"]["daily-report-lines"]["properties"])
