"""Projects and their teams: who creates, runs and sees them, on PostgreSQL."""

from datetime import timedelta

import pytest

from portal.kernel.db import unrestricted
from tests.modules.test_hr_people import act, sql, today

__all__ = ["sql", "today"]
PROJECTS = "/api/v1/projects/"
MEMBERS = "/api/v1/project-members/"


@pytest.fixture
def project(sql):
    return lambda name: sql("select id from project_project where name = :n", n=f"Project {name}")[0][0]


@pytest.fixture
def role(sql):
    return lambda code: sql("select id from project_role where code = :c", c=code)[0][0]


@pytest.fixture
def new(sql, user_id, today):
    def body(domain="D1", pm="pm.li", **more):
        pk = sql("select id from project_domain where code = :c", c=domain)[0][0]
        dates = {"starts_on": today.isoformat(), "ends_on": (today + timedelta(days=90)).isoformat()}
        return {"name": "新项目", "domain_id": pk, "pm_id": user_id(pm), "planned_hours": "800.00", **dates, **more}

    return body


@pytest.mark.req("PRJ-06", part="header and start")
class TestCreating:
    def test_a_domain_manager_creates_a_project_that_somebody_else_manages(self, client_as, new, today, fresh_db):
        boss = client_as("domain.manager")
        got = boss.post(PROJECTS, json=new())
        assert got.status_code == 201, got.text  # the new row is visible in the transaction that makes it
        pk = got.get_json()["id"]
        assert (got.get_json()["result"]["state"], got.get_json()["result"]["number"]) == ("draft", None)
        started = act(client_as("pm.li"), f"{PROJECTS}{pk}/start")
        assert started.status_code == 200, started.text
        assert started.get_json()["result"]["number"].startswith(f"XM-{today.year}-")
        assert started.get_json()["result"]["started_on"] == today.isoformat()

    def test_a_leader_creates_in_any_domain(self, client_as, new, fresh_db):
        for domain in ("D1", "D2", "D3"):
            got = client_as("leader").post(PROJECTS, json=new(domain))
            assert got.status_code == 201, got.text

    def test_others_do_not(self, client_as, new):
        for who in ("pm.chen", "member.wang", "head.rd", "admin", "hr"):
            got = client_as(who).post(PROJECTS, json=new(pm=who if who != "admin" else "pm.li"))
            assert got.status_code in (403, 422), (who, got.status_code)
        got = client_as("domain.manager").post(PROJECTS, json=new("D2"))
        assert (got.status_code, list(got.get_json()["error"]["fields"])) == (422, ["domain_id"])

    def test_the_form_creates_too_and_shows_problems(self, client_as, new, fresh_db):
        boss = client_as("domain.manager")
        assert boss.get("/projects/add").status_code == 200
        bad = boss.post("/projects/add", data=new(ends_on="2001-01-01"))
        assert bad.status_code == 422 and "新项目" in bad.text
        good = boss.post("/projects/add", data=new())
        assert good.status_code == 303
        assert "新项目" in boss.get(good.headers["Location"]).text

    @pytest.mark.parametrize(
        "change",
        [
            {"planned_hours": "-1"},
            {"name": "  "},
            {"pm_id": 99999999},
            {"state": "active"},
            {"number": "XM-1"},
            {"ends_on": "2001-01-01"},
            {"started_on": "2001-01-01"},
        ],
    )
    def test_bad_input(self, client_as, new, change):
        assert client_as("domain.manager").post(PROJECTS, json=new(**change)).status_code == 422


@pytest.mark.req("PRJ-13", part="pause")
class TestLife:
    def test_through_all_states(self, client_as, project, sql, fresh_db):
        pm, pk = client_as("pm.chen"), project("Alpha")
        url = f"{PROJECTS}{pk}"
        assert act(pm, f"{url}/pause").status_code == 422
        assert act(pm, f"{url}/pause", reason="等客户").get_json()["result"]["state_reason"] == "等客户"
        assert act(pm, f"{url}/start").get_json()["error"]["code"] == "wrong_state"
        assert act(pm, f"{url}/resume").get_json()["result"]["state"] == "active"
        assert act(pm, f"{url}/complete").get_json()["result"]["state"] == "completed"
        assert act(pm, f"{url}/close").status_code == 403
        assert act(client_as("domain.manager"), f"{url}/close").get_json()["result"]["state"] == "closed"
        changed = sql("select from_state, to_state from project_state_change where project_id = :p order by id", p=pk)
        assert [b for _a, b in changed] == ["active", "paused", "active", "completed", "closed"]
        assert pm.put(url, json={"name": "x"}, headers={"If-Match": pm.get(url).headers["ETag"]}).status_code == 409

    def test_who_may_not(self, client_as, project):
        url = f"{PROJECTS}{project('Alpha')}"
        assert act(client_as("member.wang"), f"{url}/pause", reason="x").status_code == 403
        assert act(client_as("pm.chen"), f"{url}/cancel", reason="x").status_code == 403
        for who in ("pm.li", "outsider", "domain.two", "admin", "hr"):
            assert act(client_as(who), f"{url}/pause", version="1", reason="x").status_code == 404, who

    def test_numbers_are_without_gaps(self, client_as, new, sql, today, fresh_db):
        boss, numbers = client_as("domain.manager"), []
        for n in range(3):
            pk = boss.post(PROJECTS, json=new(name=f"编号 {n}")).get_json()["id"]
            numbers.append(act(boss, f"{PROJECTS}{pk}/start").get_json()["result"]["number"])
        assert numbers == [f"XM-{today.year}-{n:04}" for n in (1, 2, 3)]

    def test_handing_over(self, client_as, project, user_id, fresh_db):
        url = f"{PROJECTS}{project('Alpha')}"
        assert act(client_as("pm.chen"), f"{url}/appoint-manager", user_id=user_id("pm.li")).status_code == 403
        got = act(client_as("domain.manager"), f"{url}/appoint-manager", user_id=user_id("pm.li"))
        assert got.status_code == 200, got.text
        assert client_as("pm.chen").get(url).status_code == 404
        assert client_as("pm.li").get(url).status_code == 200

    def test_a_new_name_reaches_those_who_keep_it(self, client_as, project, sql, worker, fresh_db):
        pm, url = client_as("pm.chen"), f"{PROJECTS}{project('Alpha')}"
        got = pm.put(url, json={"name": "阿尔法二期"}, headers={"If-Match": pm.get(url).headers["ETag"]})
        assert got.status_code == 200, got.text
        worker()
        labels = sql("select distinct project_label from dailyreport_line where project_id = :p", p=project_id(url))
        assert len(labels) == 1 and "阿尔法二期" in labels[0][0]


def project_id(url):
    return int(url.rsplit("/", 1)[1])


@pytest.mark.req("PRJ-02", part="team with roles and dates")
class TestTeam:
    def member(self, project_id, user, role_id, today, **more):
        return {
            "project_id": project_id,
            "user_id": user,
            "role_id": role_id,
            "from_day": today.isoformat(),
            "planned_hours": "120.00",
        } | more

    def test_the_pm_builds_the_team(self, client_as, project, role, user_id, today, sql, fresh_db):
        pm, pk = client_as("pm.chen"), project("Alpha")
        assert client_as("outsider").get(f"{PROJECTS}{pk}").status_code == 404
        got = pm.post(MEMBERS, json=self.member(pk, user_id("outsider"), role("DEV"), today))
        assert got.status_code == 201, got.text
        assert client_as("outsider").get(f"{PROJECTS}{pk}").status_code == 200
        told = sql(
            "select params->>'id' from notify_notice where kind = 'project.member_joined' and receiver_id = :u", u=user_id("outsider")
        )
        assert told == [(str(pk),)]
        page = pm.get(f"/projects/{pk}?tab=team")
        assert "邓外" in page.text
        row = got.get_json()["id"]
        assert act(pm, f"{MEMBERS}{row}/leave-team", day=today.isoformat()).status_code == 200
        assert client_as("outsider").get(f"{PROJECTS}{pk}").status_code == 404

    def test_leaving_ends_the_period_and_keeps_the_row(self, client_as, project, sql, user_id, today, fresh_db):
        pm, pk = client_as("pm.chen"), project("Alpha")
        row = sql("select id from project_member where project_id = :p and user_id = :u", p=pk, u=user_id("member.wang"))[0][0]
        assert pm.delete(f"{MEMBERS}{row}", headers={"If-Match": "1"}).status_code == 409
        got = act(pm, f"{MEMBERS}{row}/leave-team")
        assert got.get_json()["result"]["to_day"] == (today + timedelta(days=1)).isoformat()
        assert client_as("member.wang").get(f"{PROJECTS}{pk}").status_code == 200  # still today

    def test_twice_in_one_period_is_refused(self, client_as, project, role, user_id, today):
        got = client_as("pm.chen").post(MEMBERS, json=self.member(project("Alpha"), user_id("member.wang"), role("EXT"), today))
        assert got.status_code == 422, got.text
        assert list(got.get_json()["error"]["fields"]) == ["user_id"]

    @pytest.mark.parametrize(
        "change",
        [
            {"to_day": "2001-01-01"},
            {"planned_hours": "-5"},
            {"role_id": 99999999},
            {"user_id": 99999999},
            {"project_id": 99999999},
            {"from_day": "x"},
        ],
    )
    def test_bad_input(self, client_as, project, role, user_id, today, change):
        body = self.member(project("Alpha"), user_id("outsider"), role("DEV"), today) | change
        assert client_as("pm.chen").post(MEMBERS, json=body).status_code == 422

    def test_nobody_else_builds_it(self, client_as, project, role, user_id, today, sql):
        body = self.member(project("Alpha"), user_id("outsider"), role("DEV"), today)
        assert client_as("member.wang").post(MEMBERS, json=body).status_code == 403
        for who in ("pm.li", "outsider", "hr"):  # the project is none they could name
            assert client_as(who).post(MEMBERS, json=body).status_code == 422, who
        assert sql("select count(*) from project_member where user_id = :u", u=user_id("outsider")) == [(0,)]

    def test_the_form_comes_back_to_the_team(self, client_as, project, role, user_id, today, fresh_db):
        pm, pk = client_as("pm.chen"), project("Alpha")
        assert pm.get(f"/project-members/add?project_id={pk}").status_code == 200
        got = pm.post("/project-members/add", data=self.member(pk, user_id("outsider"), role("DEV"), today))
        assert (got.status_code, got.headers.get("Location")) == (303, f"/projects/{pk}?tab=team"), got.text


@pytest.mark.req("VIS-01")
class TestNoTrace:
    def test_of_another_project(self, client_as, project, sql):
        pk = project("Alpha")
        row = sql("select id from project_member where project_id = :p", p=pk)[0][0]
        for who in ("member.zhao", "outsider", "ex.member", "future.member", "blind.member", "hr", "admin", "auditor"):
            c = client_as(who)
            for url in (
                f"{PROJECTS}{pk}",
                f"/projects/{pk}",
                f"/projects/{pk}/edit",
                f"/projects/{pk}/history",
                f"{MEMBERS}{row}",
                f"/project-members/{row}",
            ):
                got = c.get(url)
                assert got.status_code in (403, 404), (who, url)
                assert "Alpha" not in got.text
            for url in (
                f"{PROJECTS}?q=(page_size:200)",
                "/projects/",
                "/",
                "/lookup/projects?q=Alpha",
                "/project-members/",
                f"{MEMBERS}?q=(page_size:200)",
                "/projects/?q=Alpha",
            ):
                text = c.get(url).text
                assert "Project Alpha" not in text and "Customer of Alpha" not in text, (who, url)

    def test_pm_domain_manager_leader_qa_and_members_see_it(self, client_as, project):
        for who in ("pm.chen", "domain.manager", "leader", "qa", "member.wang"):
            assert client_as(who).get(f"{PROJECTS}{project('Alpha')}").status_code == 200, who
            assert client_as(who).get(f"/projects/{project('Alpha')}").status_code == 200, who


@pytest.mark.req("DAY-01", part="open projects")
@pytest.mark.req("DAY-09", part="who may report")
class TestOpenProjects:
    @pytest.fixture
    def open_to(self, app, user_id, today):
        from modules.project.actions import projects_open_to

        def names(username, days=0):
            with app.app_context(), unrestricted("test"):
                return [
                    p.label.split(" ", 1)[-1].removeprefix("Project ")
                    for p in projects_open_to(user_id(username), today + timedelta(days=days))
                ]

        return names

    def test_by_membership_and_state_of_the_day(self, open_to):
        assert "Alpha" in open_to("member.wang") and "Beta" not in open_to("member.wang")
        assert "Beta" in open_to("member.zhao") and "Alpha" not in open_to("member.zhao")
        assert open_to("ex.member") == [] and open_to("ex.member", -1) == ["Alpha"]
        assert open_to("future.member") == [] and open_to("future.member", 1) == ["Alpha"]
        assert open_to("outsider") == []

    def test_a_role_that_does_not_open_the_project_still_reports(self, open_to):
        assert open_to("blind.member") == ["Alpha"]

    def test_the_pm_reports_without_being_on_the_team(self, open_to):
        assert "Alpha" in open_to("pm.chen")

    def test_a_pause_counts_from_the_next_day(self, client_as, project, open_to, fresh_db):
        act(client_as("pm.chen"), f"{PROJECTS}{project('Alpha')}/pause", reason="等客户")
        assert "Alpha" in open_to("member.wang", 0)
        assert "Alpha" not in open_to("member.wang", 1)
        assert "Alpha" in open_to("member.wang", -1)

    def test_after_completion_only_service_roles(self, client_as, project, role, user_id, today, sql, open_to, fresh_db):
        pk = project("Alpha")
        sql("insert into project_role (code, name, grants_view, after_completion) values ('SVC', '{\"zh\": \"服务\"}', true, true)")
        pm = client_as("pm.chen")
        body = {"project_id": pk, "user_id": user_id("service"), "role_id": role("SVC"), "from_day": today.isoformat()}
        assert pm.post(MEMBERS, json=body).status_code == 201
        assert act(pm, f"{PROJECTS}{pk}/complete").status_code == 200
        assert open_to("service", 1) == ["Alpha"] and "Alpha" not in open_to("member.wang", 1)
        assert act(client_as("domain.manager"), f"{PROJECTS}{pk}/close").status_code == 200
        assert open_to("service", 1) == []


def test_the_home_card_shows_own_running_projects_with_their_light(client_as):
    page = client_as("member.wang").get("/").text
    assert "Project Alpha" in page and "Project Beta" not in page and "sn-hl" in page
    assert "Project Beta" in client_as("leader").get("/").text
