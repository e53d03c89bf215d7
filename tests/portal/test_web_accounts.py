"""Accounts for administrators: found, looked at, switched off and on with a reason, roles given; nothing of the company is shown."""

import pytest

from portal.web import accountstore

BASE = "/administration/accounts"
API = "/api/v1/accounts"


def id_of(superuser, username: str) -> int:
    return superuser.execute("select id from ab_user where username = %s", [username]).fetchone()[0]


def switch(client, pk: int, on: bool, reason: str = "看护假期间停用"):
    return client.post(f"{BASE}/{pk}/switch", data={"active": "1" if on else "0", "reason": reason})


@pytest.mark.req("POR-12", part="users")
class TestFinding:
    def test_by_name_role_and_state(self, client_as):
        admin = client_as("admin")
        page = admin.get(f"{BASE}/?q=王").text
        assert "member.wang" in page and "pm.chen" not in page
        leaders = admin.get(f"{API}/?role=leader").get_json()
        assert [a["username"] for a in leaders["result"]] == ["leader"] and "leader" in leaders["result"][0]["roles"]
        assert all(not a["active"] for a in admin.get(f"{API}/?state=off").get_json()["result"])
        assert "没有符合条件的账号" in admin.get(f"{BASE}/?q=%25").text, "a percent sign is a letter like any other"

    def test_every_account_comes_once(self, client_as, superuser, monkeypatch):
        monkeypatch.setattr(accountstore.search, "__defaults__", ("", "", "", "", "", 7))
        admin, names, after = client_as("admin"), [], ""
        while after is not None:
            got = admin.get(f"{API}/?after={after}").get_json()
            assert len(got["result"]) <= 7
            names += [a["username"] for a in got["result"]]
            after = got["next"]
        assert sorted(names) == sorted(row[0] for row in superuser.execute("select username from ab_user"))

    def test_going_back_gives_the_page_before(self, client_as, monkeypatch):
        monkeypatch.setattr(accountstore.search, "__defaults__", ("", "", "", "", "", 5))
        admin = client_as("admin")
        first = admin.get(f"{API}/").get_json()
        second = admin.get(f"{API}/?after={first['next']}").get_json()
        assert first["ids"] != second["ids"]
        assert admin.get(f"{API}/?before={second['result'][0]['username']}").get_json()["ids"] == first["ids"]

    @pytest.mark.parametrize("wrong", ["state=gone", "role=nobody", "nonsense=1"])
    def test_wrong_conditions_are_said(self, client_as, wrong):
        assert client_as("admin").get(f"{API}/?{wrong}").status_code == 400

    @pytest.mark.parametrize("who", ["hr", "leader", "member.wang", "auditor"])
    def test_for_administrators_only(self, client_as, who):
        seen = client_as(who).get(f"{BASE}/").status_code
        assert seen == (200 if who == "auditor" else 403)
        assert client_as(who).post(f"{API}/1/switch-off", json={"reason": "x"}).status_code == 403


@pytest.mark.req("POR-12", part="users")
class TestSwitching:
    @pytest.mark.req("POR-18", part="switching off")
    def test_off_ends_the_sessions_at_once_and_on_opens_again(self, client_as, fresh_db, superuser):
        admin, member = client_as("admin"), client_as("member.wang")
        pk = id_of(superuser, "member.wang")
        assert member.get("/").status_code == 200
        assert switch(admin, pk, False).status_code == 303
        assert member.get("/").status_code == 302, "the very next request"
        page = admin.get(f"{BASE}/{pk}").text
        assert "已停用" in page and "看护假期间停用" in page
        assert "看护假期间停用" in admin.get("/administration/roles/changes").text
        assert switch(admin, pk, True, "回来了").status_code == 303
        assert admin.get(f"{API}/{pk}").get_json()["result"]["active"] is True
        assert member.get("/").status_code == 302, "the old session does not come back"

    def test_rest_does_the_same(self, client_as, fresh_db, superuser):
        admin, pk = client_as("admin"), id_of(superuser, "member.wang")
        got = admin.post(f"{API}/{pk}/switch-off", json={"reason": "test"}).get_json()
        assert got["result"]["active"] is False and got["result"]["open_sessions"] == 0
        assert admin.post(f"{API}/{pk}/switch-on", json={"reason": "test"}).get_json()["result"]["active"] is True
        assert admin.post(f"{API}/{pk}/switch-on", json={"reason": "test", "x": 1}).status_code == 422
        for nobody in (99999999, 2**31, 2**63 - 1):
            assert admin.get(f"{API}/{nobody}").status_code == 404
            assert admin.post(f"{API}/{nobody}/switch-off", json={"reason": "test"}).status_code == 404

    def test_keycloak_is_told_in_the_same_transaction(self, client_as, fresh_db, superuser):
        pk = id_of(superuser, "member.wang")
        switch(client_as("admin"), pk, False)
        told = "select count(*) from kernel_outbox where handler = 'security.directory_person' and payload ->> 'user_id' = %s"
        assert superuser.execute(told, [str(pk)]).fetchone() == (1,)

    def test_a_reason_is_needed_and_what_was_typed_stays(self, client_as, superuser):
        admin, pk = client_as("admin"), id_of(superuser, "member.wang")
        assert switch(admin, pk, False, "  ").status_code == 422
        long = switch(admin, pk, False, "长" * 301)
        assert long.status_code == 422 and "长" * 301 in long.text

    def test_who_may_not_be_switched(self, client_as, fresh_db, superuser):
        admin = client_as("admin")
        own = admin.post(f"{API}/{id_of(superuser, 'admin')}/switch-off", json={"reason": "x"})
        assert own.status_code == 409 and own.get_json()["error"]["code"] == "own_account"
        other = client_as("security.admin").post(f"{API}/{id_of(superuser, 'admin')}/switch-off", json={"reason": "x"})
        assert other.status_code == 409 and other.get_json()["error"]["code"] == "protected", "the last one"

    @pytest.mark.req("POR-02", part="leavers stay out")
    def test_somebody_who_left_is_hired_again_instead(self, client_as, fresh_db, superuser):
        pk = id_of(superuser, "member.wang")
        superuser.execute("update hr_employee set active = false where user_id = %s", [pk])
        superuser.execute("update ab_user set active = false where id = %s", [pk])
        got = client_as("admin").post(f"{API}/{pk}/switch-on", json={"reason": "x"})
        assert got.status_code == 409 and got.get_json()["error"]["code"] == "left"

    def test_roles_on_the_account(self, client_as, fresh_db, superuser):
        admin, pk = client_as("admin"), id_of(superuser, "member.wang")
        assert admin.post(f"{BASE}/{pk}/roles", data={"role": "qa"}).status_code == 303
        assert "qa" in admin.get(f"{API}/{pk}").get_json()["result"]["roles"]
        assert admin.post(f"{BASE}/{pk}/roles", data={"role": "qa", "given": "0"}).status_code == 303
        assert "qa" not in admin.get(f"{API}/{pk}").get_json()["result"]["roles"]
        assert client_as("auditor").post(f"{BASE}/{pk}/roles", data={"role": "qa"}).status_code == 403
