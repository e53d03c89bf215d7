"""What every answer carries and how errors look: headers, hosts, CSRF, error bodies, health, metrics, logs."""

import json
import re

import pytest
from sqlalchemy.exc import OperationalError


@pytest.mark.req("POR-15", part="headers")
class TestHeaders:
    def test_a_page_has_them_all(self, client_as, settings):
        got = client_as("hr").get("/")
        policy = got.headers["Content-Security-Policy"]
        nonce = re.search(r"'nonce-([^']+)'", policy)[1]
        assert "unsafe-inline" not in policy.split("style-src-attr")[0] and "unsafe-eval" not in policy
        assert "frame-ancestors 'none'" in policy and "object-src 'none'" in policy and "base-uri 'none'" in policy
        assert settings.oidc_issuer.partition("/realms/")[0] in policy.split("form-action")[1]
        for script in re.findall(r"<script[^>]*>", got.text):
            assert 'type="application/json"' in script or f'nonce="{nonce}"' in script, script
        assert not re.search(r'\son[a-z]+="', got.text)
        for name, value in [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ]:
            assert got.headers[name] == value
        assert "no-cache" in got.headers["Cache-Control"] or "no-store" in got.headers["Cache-Control"]
        assert re.search(r"'nonce-([^']+)'", client_as("hr").get("/").headers["Content-Security-Policy"])[1] != nonce

    def test_a_foreign_host_is_refused(self, client_as):
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example"):
            got = client_as("hr").get("/", headers={"Host": host})
            assert got.status_code == 400 and "evil" not in got.text

    def test_request_ids_come_back(self, client_as):
        c = client_as("hr")
        assert c.get("/health/live", headers={"X-Request-ID": "abcdef0123456789"}).headers["X-Request-ID"] == "abcdef0123456789"
        for bad in ("x", "a" * 65, "ab cd efgh", "<script>alert"):
            assert c.get("/health/live", headers={"X-Request-ID": bad}).headers["X-Request-ID"] != bad


@pytest.mark.req("ALL-13")
class TestErrors:
    def test_pages_for_people_json_for_programs(self, client_as):
        c = client_as("hr")
        page, program = c.get("/nonsense"), c.get("/api/v1/nonsense")
        assert page.status_code == program.status_code == 404
        assert "<main" in page.text and 'href="/people/"' in page.text
        assert set(program.get_json()["error"]) == {"code", "message", "fields"}
        assert c.get("/nonsense", headers={"Accept": "application/json"}).get_json()["error"]["code"] == "not_found"
        assert c.get("/nonsense", headers={"HX-Request": "true"}).get_json()["error"]["code"] == "not_found"
        assert c.delete("/people/").status_code == 405
        assert c.put("/api/v1/me").status_code == 405

    def test_nobody_is_sent_to_sign_in_and_back(self, client_as):
        c = client_as(None)
        got = c.get("/projects/?q=a&f.state=draft")
        assert got.status_code == 302
        assert got.headers["Location"] == "/login/?next=%2Fprojects%2F%3Fq%3Da%26f.state%3Ddraft"
        assert c.get("/").headers["Location"] == "/login/"

    def test_both_languages(self, client_as):
        c = client_as("auditor")  # reads English
        assert c.get("/api/v1/nonsense").get_json()["error"]["message"] == "This record does not exist."
        assert client_as("hr").get("/api/v1/nonsense").get_json()["error"]["message"] == "该记录不存在。"

    @pytest.mark.parametrize("address", ["/lang/en", "/back", "/static/appbuilder/css/fab.css"])
    def test_addresses_of_the_framework_are_closed(self, client_as, address):
        assert client_as("hr").get(address, headers={"Referer": "https://evil.example/"}).status_code == 404

    def test_a_fault_of_ours_leaks_nothing(self, app, client_as, monkeypatch, capsys):
        from portal.web import announcements

        def broken() -> None:
            raise RuntimeError("secret-in-the-exception")

        monkeypatch.setattr(announcements.AnnouncementResource, "condition", lambda self, entity: broken())
        got = client_as("hr").get("/api/v1/announcements/")
        assert got.status_code == 500
        error = got.get_json()["error"]
        assert error["code"] == "server_error" and error["request_id"] and "secret" not in got.text and "Runtime" not in got.text
        monkeypatch.undo()
        assert client_as("hr").get("/api/v1/announcements/").status_code == 200

    def test_the_database_away(self, app, client_as, monkeypatch):
        from portal.kernel.db import db

        c = client_as("hr")
        c.get("/")
        with app.app_context():
            engines = list(db.engines.values())

        class Away(Exception):
            sqlstate = None

        def refuse(*args, **kwargs):
            raise OperationalError("connect", {}, Away("could not connect to server at 10.0.0.1"))

        for engine in engines:
            engine.dispose()
            monkeypatch.setattr(engine, "connect", refuse)
            monkeypatch.setattr(engine.pool, "connect", refuse)
        page, program = c.get("/projects/"), c.get("/api/v1/projects/")
        assert page.status_code == program.status_code == 503
        assert program.get_json()["error"]["code"] == "database_unavailable" and program.headers["Retry-After"]
        assert "10.0.0.1" not in page.text + program.text and "<h1>" in page.text
        ready = c.get("/health/ready")
        assert ready.status_code == 503 and ready.get_json()["parts"]["postgresql"] != "ok"
        assert c.get("/health/live").status_code == 200
        monkeypatch.undo()
        assert c.get("/projects/").status_code == 200

    def test_too_large(self, client_as):
        got = client_as("hr").post("/api/v1/announcements/", data=b"x" * (17 * 1024 * 1024), headers={"Content-Type": "application/json"})
        assert got.status_code == 413


@pytest.mark.req("POR-15")
class TestDays:
    """A day out of reach is an answer, not a fault: its neighbours, week and deadline may not exist."""

    @pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-02-30", "gestern"])
    @pytest.mark.parametrize(
        "page",
        [
            "/my-report/?day=",
            "/my-report/week?day=",
            "/my-report/prefill?day=",
            "/team-board/?day=",
            "/team-board/?by=month&day=",
            "/team-board/cell?person=1&day=",
            "/report-statistics/?day=",
            "/project-hours/?until=",
            "/organisation/?day=",
            "/api/v1/departments/tree?day=",
        ],
    )
    def test_pages(self, client_as, page, day):
        assert client_as("head.rd").get(page + day).status_code == 400

    @pytest.mark.parametrize("day", ["1900-01-01", "2999-12-31"])
    def test_the_first_and_the_last(self, client_as, day):
        for page in (
            "/my-report/?day=",
            "/my-report/week?day=",
            "/team-board/?by=month&day=",
            "/report-statistics/?day=",
            "/project-hours/?until=",
        ):
            assert client_as("head.rd").get(page + day).status_code == 200, page


@pytest.mark.req("VIS-09", part="numbers beyond any record")
@pytest.mark.parametrize("pk", [2**63, 10**30])
def test_a_number_beyond_any_record_is_not_there(client_as, pk):
    client = client_as("outsider")
    for address in (
        f"/daily-reports/{pk}",
        f"/leaves/{pk}/edit",
        f"/notices/{pk}",
        f"/api/v1/projects/{pk}",
        f"/api/v1/projects/{pk}/history",
    ):
        assert client.get(address).status_code == 404, address


class TestViews:
    """Conditions kept under a name."""

    @pytest.mark.parametrize("query", ["f.kind=annual\r\nX-Evil: 1", "a\x00b", "x\ty"])
    def test_no_control_characters(self, client_as, query):
        got = client_as("outsider").post("/leaves/views", data={"name": "mine", "query": query})
        assert got.status_code == 422 and "X-Evil" not in got.headers

    def test_others_shared_views_take_no_place_of_ones_own(self, client_as, fresh_db):
        from portal.web.views import MAX_VIEWS

        one, other = client_as("outsider"), client_as("member.wang")
        for n in range(MAX_VIEWS):
            assert one.post("/leaves/views", data={"name": f"v{n}", "query": "", "shared": "1"}).status_code == 303
        assert one.post("/leaves/views", data={"name": "too many", "query": ""}).status_code == 422
        assert other.post("/leaves/views", data={"name": "mine", "query": ""}).status_code == 303


class TestHealth:
    def test_live_and_ready(self, client):
        assert client.get("/health/live").get_json()["status"] == "ok"
        got = client.get("/health/ready")
        assert got.status_code == 200
        parts = got.get_json()["parts"]
        assert parts["postgresql"] == parts["migrations"] == "ok" and {"keycloak", "broker"} <= set(parts)

    def test_a_missing_dependency_only_degrades(self, client, monkeypatch):
        from portal.web import health

        monkeypatch.setitem(health._checks, "keycloak", lambda: "cannot be reached")
        health._results.clear()
        got = client.get("/health/ready")
        assert got.status_code == 200 and got.get_json()["status"] == "degraded"
        health._results.clear()

    def test_metrics(self, client):
        client.get("/health/live")
        text = client.get("/metrics").text
        assert 'portal_requests_total{method="GET",route="/health/live",status="200"}' in text

    def test_log_lines_are_json_without_secrets(self, app, client_as, capsys):
        import logging

        import structlog

        from portal.web import logs

        before = structlog.get_config(), logging.getLogger().handlers[:], logging.getLogger().level
        try:
            logs.configure("INFO")
            structlog.get_logger("test").info("hello", access_token="eyJhbGciOi", password="hunter2", plain="seen")
            structlog.get_logger("test").error("failed", exc_info=ValueError("why"))
        finally:
            structlog.configure(**before[0])
            logging.getLogger().handlers[:] = before[1]
            logging.getLogger().setLevel(before[2])
        err = capsys.readouterr().err
        lines = [json.loads(line) for line in err.strip().splitlines()]
        assert lines[0]["plain"] == "seen" and "hunter2" not in err and "eyJ" not in err
        assert "ValueError" in lines[1]["exception"]


class TestCsrf:
    @pytest.mark.parametrize("value", ["", "nonsense", "x" * 500])
    def test_a_wrong_token(self, client_as, value):
        c = client_as("hr")
        got = c.post("/preferences/theme", data={"theme": "dark"}, headers={"X-CSRFToken": value})
        assert got.status_code == 400

    def test_the_token_of_another_session(self, client_as):
        c, other = client_as("hr"), client_as("admin")
        got = c.post("/preferences/theme", data={"theme": "dark"}, headers={"X-CSRFToken": other.csrf_token()})
        assert got.status_code == 400

    def test_the_token_in_the_page_works(self, client_as):
        c = client_as("hr")
        page = c.get("/announcements/add").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        c.csrf = False
        got = c.post("/announcements/add", data={"csrf_token": token, "title": "a", "body": "b", "from_day": "2026-01-01"})
        assert got.status_code == 303
