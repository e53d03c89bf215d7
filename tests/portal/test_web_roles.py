"""Roles in the browser: matrix, scopes, who has them; at once, kept, and without business data."""

import csv
import io
import re

import pytest

BASE = "/administration/roles"


def version(page: str) -> str:
    return re.search(r'data-version="(\d+)"', page)[1]


def matrix(client, *changes):
    page = client.get(f"{BASE}/matrix?module=web").text
    wanted = [{"role": r, "permission": p, "on": on} for r, p, on in changes]
    return client.post(f"{BASE}/matrix", json={"module": "web", "version": version(page), "changes": wanted})


@pytest.mark.req("VIS-12")
class TestMatrix:
    def test_a_change_holds_with_the_next_request_of_everybody(self, client_as, fresh_db):
        admin, member = client_as("admin"), client_as("member.wang")
        assert member.get("/announcements/add").status_code == 403
        got = matrix(admin, ("employee", "add:web.Announcement", True))
        assert got.status_code == 200 and got.get_json() == {"saved": 1}
        assert member.get("/announcements/add").status_code == 200
        # the row rule still decides
        assert member.post("/api/v1/announcements/", json={"title": "a", "body": "b"}).status_code == 403
        assert matrix(admin, ("employee", "add:web.Announcement", False)).get_json() == {"saved": 1}
        assert member.get("/announcements/add").status_code == 403
        kept = admin.get(f"{BASE}/changes").text
        assert kept.count("add:web.Announcement") == 2 and "钱管理" in kept

    def test_differences_and_export(self, client_as, fresh_db):
        admin = client_as("admin")
        assert "add:web.Announcement" not in admin.get(f"{BASE}/differences").text
        matrix(admin, ("employee", "add:web.Announcement", True))
        assert "add:web.Announcement" in admin.get(f"{BASE}/differences").text
        matrix(admin, ("employee", "view:hr.Employee", False))
        shown = admin.get(f"{BASE}/differences").text
        assert 'class="sn-st idle">' in shown and 'class="sn-st rest">' not in shown  # that tone says leave
        exported = admin.get(f"{BASE}/export.json").get_json()
        employee = next(r for r in exported["roles"] if r["key"] == "employee")
        assert "add:web.Announcement" in employee["permissions"]
        table = list(csv.DictReader(io.StringIO(admin.get(f"{BASE}/export.csv").data.decode("utf-8-sig"))))
        assert next(r for r in table if r["permission"] == "add:web.Announcement")["employee"] == "x"
        assert admin.get(f"{BASE}/export.xml").status_code == 404

    def test_two_administrators(self, client_as, fresh_db):
        admin, other = client_as("admin"), client_as("security.admin")
        old = version(admin.get(f"{BASE}/matrix?module=web").text)
        assert matrix(other, ("employee", "add:web.Announcement", True)).status_code == 200
        late = admin.post(f"{BASE}/matrix", json={"module": "web", "version": old, "changes": []})
        assert late.status_code == 409

    @pytest.mark.parametrize(
        "changes",
        [
            "x",
            [1],
            [{"role": "employee"}],
            [{"role": "nonsense", "permission": "view:web.Announcement", "on": True}],
            [{"role": "employee", "permission": "fly:web.Moon", "on": True}],
        ],
    )
    def test_wrong_changes(self, client_as, changes):
        admin = client_as("admin")
        page = admin.get(f"{BASE}/matrix?module=web").text
        got = admin.post(f"{BASE}/matrix", json={"version": version(page), "changes": changes})
        assert got.status_code == 422, got.text

    def test_administration_cannot_be_locked_out(self, client_as):
        got = matrix(client_as("admin"), ("system_admin", "edit:security.Role", False))
        assert got.status_code == 409

    def test_only_administrators(self, client_as):
        for who in ("member.wang", "hr", "leader"):
            c = client_as(who)
            assert c.get(f"{BASE}/").status_code == 403
            assert c.post(f"{BASE}/matrix", json={}).status_code == 403
        auditor = client_as("auditor")
        assert auditor.get(f"{BASE}/matrix").status_code == 200
        assert auditor.post(f"{BASE}/matrix", json={}).status_code == 403
        assert client_as("admin").get(f"{BASE}/matrix?module=nonsense").status_code == 404

    def test_every_module_has_its_page(self, client_as):
        admin = client_as("admin")
        page = admin.get(f"{BASE}/matrix").text
        modules = set(re.findall(r"matrix\?module=([a-z_]+)", page))
        assert {"hr", "project", "dailyreport", "web", "security"} <= modules
        for m in modules:
            assert admin.get(f"{BASE}/matrix?module={m}").status_code == 200


@pytest.mark.req("VIS-12", part="roles")
class TestRoles:
    def test_a_new_role_with_scopes_and_people(self, client_as, user_id, fresh_db):
        admin, member = client_as("admin"), client_as("member.wang")
        before = member.get("/api/v1/projects/").get_json()["count"]
        assert admin.post(f"{BASE}/add", data={"key": "Bad Key"}).status_code == 422
        assert admin.post(f"{BASE}/add", data={"key": "observer", "label.zh": "观察员", "scopes": "projects"}).status_code == 303
        assert admin.post(f"{BASE}/add", data={"key": "observer", "label.zh": "再来"}).status_code == 422
        assert admin.post(f"{BASE}/add", data={"key": "other", "label.zh": "x", "scopes": "nonsense"}).status_code == 422
        given = admin.post(f"{BASE}/observer/people", data={"user_id": user_id("member.wang"), "given": "1"})
        assert given.status_code == 303
        assert member.get("/api/v1/projects/").get_json()["count"] > before
        page = admin.get(f"{BASE}/observer").text
        assert "王一诺" in page
        assert admin.post(f"{BASE}/observer/remove").status_code == 409
        admin.post(f"{BASE}/observer/people", data={"user_id": user_id("member.wang"), "given": "0"})
        assert member.get("/api/v1/projects/").get_json()["count"] == before
        assert admin.post(f"{BASE}/observer", data={"label.zh": "访客"}).status_code == 303
        assert admin.post(f"{BASE}/observer/remove").status_code == 303
        assert admin.get(f"{BASE}/observer").status_code == 404
        changes = admin.get(f"{BASE}/changes").text
        assert "member.wang" in changes and "observer" in changes

    def test_what_stays(self, client_as, user_id):
        admin = client_as("admin")
        assert admin.post(f"{BASE}/employee/remove").status_code == 409
        last = admin.post(f"{BASE}/system_admin/people", data={"user_id": user_id("admin"), "given": "0"})
        assert last.status_code == 409
        assert admin.post(f"{BASE}/system_admin", data={"label.zh": "系统管理员"}).status_code == 409
        for wrong in ("", "abc", "0", "-1", "99999999999", str(user_id("leaver"))):
            assert admin.post(f"{BASE}/qa/people", data={"user_id": wrong}).status_code == 422, wrong
        assert admin.get(f"{BASE}/nonsense").status_code == 404

    @pytest.mark.req("VIS-05")
    def test_an_administrator_sees_no_business_data(self, client_as):
        admin = client_as("admin")
        for resource in ("projects", "daily-reports", "daily-report-lines", "employments", "employee-private"):
            got = admin.get(f"/api/v1/{resource}/")
            assert (
                got.status_code == 403
                or all(r.get("author") in (None, "钱管理") for r in got.get_json()["result"])
                or got.get_json()["count"] <= 1
            )
        assert "Project" not in admin.get(f"{BASE}/").text.split("<main")[1]

    def test_two_administrators_and_one_role(self, client_as, fresh_db):
        admin, other = client_as("admin"), client_as("security.admin")
        had = re.search(r'name="had" value="([^"]*)"', admin.get(f"{BASE}/finance").text)[1]
        assert other.post(f"{BASE}/finance", data={"label.zh": "财务", "had": had, "scopes": ["rates", "staff"]}).status_code == 303
        late = admin.post(f"{BASE}/finance", data={"label.zh": "财务部", "had": had, "scopes": ["rates"]})
        assert late.status_code == 409
        assert admin.get("/api/v1/roles/finance").get_json()["result"]["scopes"] == ["rates", "staff"]

    @pytest.mark.req("VIS-05", part="own access")
    def test_who_widens_the_own_access_is_seen_by_a_leader(self, client_as, user_id, fresh_db):
        admin, leader = client_as("admin"), client_as("leader")

        def told():
            return leader.get("/api/v1/notices/?q=(filters:!((col:kind,opr:eq,value:security.own_access)))").get_json()["count"]

        admin.post(f"{BASE}/qa/people", data={"user_id": user_id("member.wang")})
        matrix(admin, ("employee", "add:web.Announcement", True), ("qa", "add:web.Announcement", True))
        assert told() == 0  # somebody else's access, or everybody's
        admin.post(f"{BASE}/finance/people", data={"user_id": user_id("admin")})
        assert told() == 1
        assert (
            client_as("admin").post(f"{BASE}/system_admin", data={"label.zh": "系统管理员", "scopes": ["system", "projects"]}).status_code
            == 303
        )
        assert told() == 2
        matrix(admin, ("system_admin", "view:hr.GradeRate", True), ("system_admin", "export:hr.GradeRate", True))
        assert told() == 3
        page = leader.get("/notices/").text
        assert "钱管理" in page and "projects" in page and "view:hr.GradeRate" in page

    def test_in_english(self, client_as):
        page = client_as("auditor").get(f"{BASE}/").text
        assert "System administrator" in page and "角色" not in page.split("<main")[1]


@pytest.mark.req("VIS-12", part="rest")
class TestRest:
    API = "/api/v1/roles/"

    def test_the_same_through_rest(self, client_as, user_id, fresh_db):
        admin, member = client_as("admin"), client_as("member.wang")
        before = member.get("/api/v1/projects/").get_json()["count"]
        made = admin.post(self.API, json={"key": "observer", "label": {"zh": "观察员"}, "scopes": ["projects"]})
        assert made.status_code == 201, made.text
        url, etag = made.headers["Location"], made.headers["ETag"]
        assert admin.post(self.API, json={"key": "observer", "label": {"zh": "x"}}).status_code == 422
        assert admin.put(f"{url}/permissions", json={"permissions": {"add:web.Announcement": True}}).status_code == 428
        changed = admin.put(f"{url}/permissions", json={"permissions": {"add:web.Announcement": True}}, headers={"If-Match": etag})
        assert changed.status_code == 200 and changed.get_json()["result"]["permissions"] == ["add:web.Announcement"]
        assert admin.put(url, json={"label": {"zh": "y"}}, headers={"If-Match": etag}).status_code == 409
        given = admin.post(f"{url}/people", json={"user_id": user_id("member.wang")})
        assert [h["username"] for h in given.get_json()["result"]["holders"]] == ["member.wang"]
        assert member.get("/api/v1/projects/").get_json()["count"] > before
        assert member.get("/announcements/add").status_code == 200
        assert admin.delete(url, headers={"If-Match": given.headers["ETag"]}).status_code == 409
        taken = admin.post(f"{url}/people", json={"user_id": user_id("member.wang"), "given": False})
        assert admin.delete(url, headers={"If-Match": taken.headers["ETag"]}).status_code == 200
        assert admin.get(url).status_code == 404

    def test_reading(self, client_as):
        auditor = client_as("auditor")
        body = auditor.get(self.API).get_json()
        assert {"employee", "leader", "system_admin"} <= set(body["ids"])
        assert "view:hr.Employee" in auditor.get(f"{self.API}permissions").get_json()["result"]
        assert auditor.get(f"{self.API}differences").get_json()["result"] == []
        assert "system" in auditor.get(f"{self.API}system_admin").get_json()["result"]["scopes"]
        assert auditor.post(self.API, json={}).status_code == 403
        assert client_as("leader").get(self.API).status_code == 403
        assert client_as(None).get(self.API).status_code == 401

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("", {"label": {"zh": "a"}}),
            ("", {"key": 5, "label": {"zh": "a"}}),
            ("", {"key": "a b", "label": {"zh": "a"}}),
            ("", {"key": "abc", "label": "a"}),
            ("", {"key": "abc", "label": {"fr": "a"}}),
            ("", {"key": "abc", "label": {"zh": "a"}, "scopes": "projects"}),
            ("", {"key": "abc", "label": {"zh": "a"}, "scopes": ["nonsense"]}),
            ("", {"key": "abc", "label": {"zh": "a"}, "built_in": True}),
            ("qa/people", {"user_id": "1"}),
            ("qa/people", {"user_id": 10**12}),
            ("qa/people", {"user_id": True}),
            ("qa/people", {}),
        ],
    )
    def test_wrong_input(self, client_as, path, body):
        got = client_as("admin").post(self.API + path, json=body)
        assert got.status_code == 422 and got.get_json()["error"]["fields"], got.text


@pytest.mark.req("ALL-11", part="rest")
def test_own_language_and_theme_through_rest(client_as, fresh_db):
    c = client_as("hr")
    assert c.patch("/api/v1/me", json={"locale": "en", "theme": "dark"}).status_code == 200
    me = c.get("/api/v1/me").get_json()
    assert (me["locale"], me["theme"]) == ("en", "dark")
    assert c.patch("/api/v1/me", json={"locale": "fr"}).status_code == 422
    assert set(c.patch("/api/v1/me", json={"roles": ["x"]}).get_json()["error"]["fields"]) == {"roles"}
