"""Who sees what, in the browser and by REST: the answers, nothing of the records' content, the question kept, nobody else."""

import json
from typing import Any

import pytest

PAGE = "/administration/who-sees-what/"
API = "/api/v1/visibility"
pytestmark = pytest.mark.req("VIS-10")


@pytest.fixture
def alpha(superuser: Any) -> Any:
    """id and number of Project Alpha."""
    return superuser.execute("select id, number from project_project where name = 'Project Alpha'").fetchone()


def questions(superuser: Any) -> list[tuple[Any, ...]]:
    return superuser.execute(
        "select actor, reason, new ->> 'record_type' from audit_entry where tbl = 'security_question' order by id"
    ).fetchall()


class TestPage:
    @pytest.mark.parametrize("way", ["id", "number", "number alone", "address", "api address"])
    def test_a_person_and_a_record(self, client_as, user_id, alpha, way):
        pk, number = alpha
        given = {
            "id": {"type": "project.Project", "record": f"#{pk}"},
            "number": {"type": "project.Project", "record": number},
            "number alone": {"record": number},
            "address": {"record": f"https://portal.example/projects/{pk}?tab=history"},
            "api address": {"record": f"/api/v1/projects/{pk}", "type": "hr.Leave"},
        }[way]
        seen = client_as("security.admin").get(PAGE, query_string={"person": user_id("member.wang"), **given}).text
        assert "此人可以看到该记录" in seen and f"{number} 项目成员（开发）" in seen and "王一诺" in seen
        hidden = client_as("security.admin").get(PAGE, query_string={"person": user_id("ex.member"), **given}).text
        assert "此人看不到该记录" in hidden and "今天不生效" in hidden

    def test_english(self, client_as, user_id, alpha):
        page = (
            client_as("auditor").get(PAGE, query_string={"person": user_id("head.rd"), "type": "project.Project", "record": alpha[0]}).text
        )
        assert "This person does not see the record" in page and "Project is among the projects one may see" in page
        page = client_as("auditor").get(PAGE, query_string={"person": user_id("head.rd")}).text
        assert "Head of 部门 RD, since 20" in page and "Daily reports" in page

    def test_only_a_record(self, client_as, alpha):
        page = client_as("auditor").get(PAGE, query_string={"type": "project.Project", "record": alpha[0]}).text
        for who in ("pm.chen", "member.wang", "domain.manager", "leader", "qa"):
            assert f">{who}<" in page, who
        for who in ("outsider", "ex.member", "blind.member", "hr"):
            assert f">{who}<" not in page, who
        assert f"Project manager of {alpha[1]}" in page and "Manager of the business domain 域 D1" in page

    def test_pages_of_people(self, client_as, superuser):
        pk = superuser.execute("select id from hr_department limit 1").fetchone()[0]
        first = client_as("auditor").get(f"{API}/people?type=hr.Department&record={pk}&page_size=10").get_json()
        second = client_as("auditor").get(f"{API}/people?type=hr.Department&record={pk}&page_size=10&page=2").get_json()
        assert first["count"] == second["count"] > 20 and len(first["result"]) == 10
        assert not {p["id"] for p in first["result"]} & {p["id"] for p in second["result"]}
        assert client_as("auditor").get(f"{PAGE}?type=hr.Department&record={pk}&page=2").status_code == 200
        beyond = client_as("auditor").get(f"{API}/people?type=hr.Department&record={pk}&page_size=10&page=50").get_json()
        assert beyond["count"] == first["count"] and beyond["result"] == []
        page = client_as("auditor").get(f"{PAGE}?type=hr.Department&record={pk}&page=50").text
        assert "Nobody sees this record" not in page and 'href="/administration/who-sees-what/?person=' in page

    def test_nothing_of_the_content(self, client_as, user_id, superuser, alpha):
        client = client_as("security.admin")
        line = superuser.execute("select id from dailyreport_line where project_id = %s limit 1", [alpha[0]]).fetchone()[0]
        for query in (
            {"type": "project.Project", "record": alpha[0]},
            {"type": "dailyreport.ReportLine", "record": line, "person": user_id("pm.chen")},
            {"person": user_id("pm.chen")},
        ):
            got = client.get(PAGE, query_string=query)
            page = got.text
            assert got.status_code == 200 and 'class="card sn-lst"' in page
            assert not any(secret in page for secret in ("Project Alpha", "Customer of", "summary of", "SECRET-", "leave of"))

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ({"person": "x"}, 404),
            ({"person": "99999999999999999999"}, 404),
            ({"type": "project.Project", "record": "987654321"}, 404),
            ({"type": "project.Project", "record": "9" * 30}, 404),
            ({"type": "no.Such", "record": "1"}, 422),
            ({"record": "1"}, 422),
            ({"record": "https://portal.example/nowhere/1"}, 422),
            ({"record": "http://[/projects/1"}, 422),
            ({"record": "//[x"}, 422),
            ({"record": "XM-NONE-1"}, 404),
            ({"record": "\x00"}, 200),
            ({"page": "-4"}, 200),
        ],
    )
    def test_what_does_not_exist(self, client_as, superuser, query, status):
        before = len(questions(superuser))
        got = client_as("auditor").get(PAGE, query_string=query)
        assert got.status_code == status and 'name="record"' in got.text
        assert len(questions(superuser)) == before

    def test_archived_records_and_closed_accounts_say_so(self, client_as, superuser, user_id):
        theta = superuser.execute("select id from project_project where name = 'Project Theta'").fetchone()[0]
        page = client_as("auditor").get(PAGE, query_string={"type": "project.Project", "record": theta}).text
        assert "This record is archived" in page and ">domain.two<" in page
        page = client_as("auditor").get(PAGE, query_string={"person": user_id("leaver"), "type": "project.Project", "record": theta}).text
        assert "This account is switched off" in page and "Not visible" in page

    def test_several_records_of_one_number(self, fresh_db, client_as, superuser, alpha):
        superuser.execute(
            """with e as (insert into kernel_entity (code, name) values ('TWO', '{"zh": "二", "en": "Two"}') returning id)
               update project_project set entity_id = e.id, number = %s from e where name = 'Project Beta'""",
            [alpha[1]],
        )
        assert client_as("auditor").get(PAGE, query_string={"record": alpha[1]}).status_code == 422

    def test_a_number_may_look_like_an_id_or_an_address(self, fresh_db, client_as, superuser):
        first, second, third = (r[0] for r in superuser.execute("select id from hr_employee order by id limit 3").fetchall())
        superuser.execute("update hr_employee set number = %s where id = %s", [str(first), second])
        superuser.execute("update hr_employee set number = 'XM/2026/7' where id = %s", [third])

        def asked(record: str) -> Any:
            got = client_as("auditor").get(f"{API}/people", query_string={"type": "hr.Employee", "record": record})
            return got.get_json()["record"]["id"] if got.status_code == 200 else got.status_code

        assert asked(str(first)) == 422 and asked(f"#{first}") == first
        assert asked(str(second)) == second and asked("XM/2026/7") == third


class TestWho:
    @pytest.mark.parametrize("username", ["admin", "leader", "hr", "pm.chen", "member.wang", "ceo"])
    def test_nobody_else(self, username, client_as, user_id, alpha, superuser):
        before = len(questions(superuser))
        client = client_as(username)
        query = f"type=project.Project&record={alpha[0]}&person_id={user_id('pm.chen')}"
        assert client.get(PAGE).status_code == 403
        for path in ("check", "people", "records"):
            assert client.get(f"{API}/{path}?{query}").status_code == 403
        assert client_as(None).get(f"{API}/check?{query}").status_code == 401
        assert len(questions(superuser)) == before
        assert PAGE not in client.get("/").text

    def test_the_question_is_kept(self, client_as, user_id, superuser, alpha, session_as):
        client_as("security.admin").get(f"{API}/check?type=project.Project&record={alpha[0]}&person_id={user_id('outsider')}")
        kept = (user_id("security.admin"), f"who sees what: outsider, project.Project {alpha[0]}", "project.Project")
        assert questions(superuser)[-1] == kept
        client_as("auditor").get(PAGE, query_string={"person": user_id("hr")})
        assert questions(superuser)[-1] == (user_id("auditor"), "who sees what: hr", None)
        from sqlalchemy import func, select

        from security.questions import Question

        def seen(username: str) -> int:
            with session_as(username) as s:
                return int(s.scalar(select(func.count()).select_from(Question)) or 0)

        assert seen("auditor") == seen("security.admin") >= 2 and seen("admin") == seen("hr") == seen("leader") == 0


class TestLink:
    def test_on_the_page_of_a_record_one_sees(self, client_as, superuser, alpha):
        department = superuser.execute("select id from project_domain limit 1").fetchone()[0]
        link = f"{PAGE}?type=project.Domain&amp;record=%23{department}"
        page = client_as("auditor").get(f"/project-domains/{department}").text
        assert link in page and "Who sees this" in page
        assert client_as("auditor").get(link.replace("&amp;", "&")).status_code == 200
        assert link not in client_as("pm.chen").get(f"/project-domains/{department}").text
        assert client_as("auditor").get(f"/projects/{alpha[0]}").status_code == 404


class TestRest:
    def test_check(self, client_as, user_id, alpha):
        got = client_as("auditor").get(f"{API}/check?type=project.Project&record={alpha[1]}&person_id={user_id('pm.chen')}").get_json()
        assert got["visible"] is True and got["page"] is True
        assert got["record"] == {"type": "project.Project", "label": "Project", "id": alpha[0], "number": alpha[1], "archived": False}
        holding = [c for w in got["arms"] if w["holds"] for c in w["conditions"] if c["holds"]]
        assert [c["kind"] for c in holding] == ["own", "context"]
        assert holding[1]["memberships"][0]["source"] == {"type": "project.Project", "id": alpha[0]}

    def test_records(self, client_as, user_id):
        got = client_as("auditor").get(f"{API}/records?person_id={user_id('head.rd')}").get_json()
        by_type = {r["type"]: r for r in got["result"]}
        assert by_type["project.Project"]["count"] == 0 and by_type["dailyreport.DailyReport"]["count"] > 0
        assert by_type["dailyreport.DailyReport"]["arms"][0]["needs"] == ["staff"]
        assert {m["via"] for m in got["memberships"]["staff"]["result"]} == {"head", "self"}
        wide = client_as("auditor").get(f"{API}/records?person_id={user_id('leader')}").get_json()
        assert ("projects", "leader") in {(r["scope"], r["key"]) for r in wide["roles"]}

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("check", 422),
            ("check?person_id=1&type=project.Project", 422),
            ("people?record=1", 422),
            ("people?type=project.Project&record=987654321", 404),
            ("people?type=project.Project&record=1&page=0", 422),
            ("people?type=project.Project&record=1&page_size=100000", 422),
            ("records", 422),
            ("records?person_id=abc", 404),
        ],
    )
    def test_wrong_questions(self, client_as, path, status):
        got = client_as("auditor").get(f"{API}/{path}")
        assert got.status_code == status and got.get_json()["error"]["message"]

    def test_described(self, client_as, user_id):
        paths = client_as("auditor").get("/api/v1/_openapi").get_json()["paths"]
        for path, query in (("records", f"person_id={user_id('hr')}"), ("people", "type=hr.Department&record=1")):
            schema = paths[f"{API}/{path}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            got = client_as("auditor").get(f"{API}/{path}?{query}").get_json()
            assert set(got) == set(schema["properties"])
            assert set(got["result"][0]) == set(schema["properties"]["result"]["items"]["properties"])
        assert json.dumps(paths[f"{API}/check"])
