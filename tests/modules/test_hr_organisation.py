"""The organisation as of a day: moves, mergers, heads and deputies by period."""

from datetime import timedelta

import pytest

from portal.kernel import calendar
from portal.kernel.db import unrestricted
from tests.factories.changes import EVENTS, MERGERS, approved, asked_to_merge, merged
from tests.modules.test_hr_people import act, apply_due, department, employee, sql, today

__all__ = ["apply_due", "department", "employee", "sql", "today"]
DEPARTMENTS = "/api/v1/departments/"


def flat(nodes, above=None):
    """Department id → (name, id above, people in all)."""
    out = {}
    for n in nodes:
        out[n["id"]] = (n["name"], above, n["people_in_all"])
        out |= flat(n["below"], n["id"])
    return out


def chart(client, day=None):
    got = client.get(f"{DEPARTMENTS}tree" + (f"?day={day}" if day else ""))
    assert got.status_code == 200, got.text
    return got.get_json()["result"]


@pytest.mark.req("HRM-01")
class TestChart:
    def test_everybody_sees_the_chart_with_heads_and_numbers(self, client_as, department, sql):
        page = client_as("outsider").get("/organisation/")
        assert page.status_code == 200
        tree = chart(client_as("outsider"))
        assert [n["name"] for n in tree] == ["部门 HQ"]
        assert tree[0]["people_in_all"] == sql("select count(*) from hr_employee where active")[0][0]
        rd = next(n for n in tree[0]["below"] if n["id"] == department("RD"))
        assert [(h["name"], h["kind"]) for h in rd["heads"]] == [("孙望舒", "head")]
        assert "孙望舒" in page.text

    def test_a_deputy_shows_only_while_the_period_runs(self, client_as, department, today):
        def heads(day):
            found = {}

            def walk(nodes):
                for n in nodes:
                    found[n["id"]] = [h["kind"] for h in n["heads"]]
                    walk(n["below"])

            walk(chart(client_as("outsider"), day))
            return found[department("PLT")]

        assert heads(today) == ["deputy"]
        assert heads(today - timedelta(days=1)) == ["acting", "deputy"]
        assert heads(today + timedelta(days=1)) == ["acting", "deputy"]
        assert heads(today + timedelta(days=10)) == ["acting"]
        assert heads(today + timedelta(days=60)) == []

    @pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "20260101x"])
    def test_a_bad_day_is_a_clear_answer(self, client_as, day):
        assert client_as("outsider").get(f"{DEPARTMENTS}tree?day={day}").status_code == 400
        assert client_as("outsider").get(f"/organisation/?day={day}").status_code == 400

    def test_before_the_first_day_there_is_nothing(self, client_as):
        assert chart(client_as("hr"), "1999-01-01") == []
        assert client_as("hr").get("/organisation/?day=1999-01-01").status_code == 200


@pytest.mark.req("HRM-01", part="history")
class TestChanges:
    def test_a_move_keeps_what_was(self, client_as, department, today, fresh_db):
        hr, plt = client_as("hr"), department("PLT")
        got = act(hr, f"{DEPARTMENTS}{plt}/move", parent_id=department("SAL"), from_day=today.isoformat(), reason="调整")
        assert got.status_code == 200, got.text
        now, before = flat(chart(hr)), flat(chart(hr, today - timedelta(days=1)))
        assert now[plt][1] == department("SAL") and before[plt][1] == department("RD")
        assert now[department("BE1")][1] == department("BE")
        assert now[department("RD")][2] < before[department("RD")][2]

    def test_the_subtree_moves_with_its_heads_sight(self, client_as, department, today, employee, sql, fresh_db):
        record = f"/api/v1/employments/{sql('select id from hr_employment where employee_id = :e', e=employee('member.wang'))[0][0]}"
        assert client_as("head.rd").get(record).status_code == 200
        assert (
            act(
                client_as("hr"), f"{DEPARTMENTS}{department('PLT')}/move", parent_id=department("SAL"), from_day=today.isoformat()
            ).status_code
            == 200
        )
        assert client_as("head.rd").get(record).status_code == 404
        assert client_as("head.sales").get(record).status_code == 200

    def test_a_later_move_and_name_take_effect_by_themselves(self, client_as, department, today, apply_due, sql, fresh_db):
        hr, be, day = client_as("hr"), department("BE"), today + timedelta(days=30)
        assert act(hr, f"{DEPARTMENTS}{be}/rename", name="平台二组", from_day=day.isoformat()).status_code == 200
        assert flat(chart(hr))[be][0] == "部门 BE" and flat(chart(hr, day))[be][0] == "平台二组"
        again = act(hr, f"{DEPARTMENTS}{be}/move", parent_id=department("SAL"), from_day=(day - timedelta(days=3)).isoformat())
        assert again.status_code == 409
        apply_due(day)
        assert sql("select name from hr_department where id = :d", d=be) == [("平台二组",)]

    def test_a_department_cannot_be_below_itself(self, client_as, department, today):
        for target in ("RD", "PLT", "BE1"):
            got = act(client_as("hr"), f"{DEPARTMENTS}{department('RD')}/move", parent_id=department(target), from_day=today.isoformat())
            assert (got.status_code, list(got.get_json()["error"]["fields"])) == (422, ["parent_id"])

    def test_a_merger_moves_people_and_departments_and_keeps_the_past(self, client_as, department, today, sql, fresh_db):
        hr, plt, adm = client_as("hr"), department("PLT"), department("ADM")
        sql(
            "update hr_assignment a set to_day = :t from ab_user u where u.id = a.user_id and u.username = 'leaver'",
            t=today - timedelta(days=9),
        )
        before = flat(chart(hr))
        inside = sql("select count(*) from hr_employee where department_id = :d and active", d=plt)[0][0]
        merged(client_as, plt, adm, today, reason="合并")
        now = flat(chart(hr))
        assert plt not in now and now[department("BE")][1] == adm
        assert now[adm][2] == before[adm][2] + before[plt][2]
        assert sql("select count(*) from hr_employee where department_id = :d and active", d=plt) == [(0,)] and inside > 0
        past = flat(chart(hr, today - timedelta(days=1)))
        assert past[plt] == before[plt]
        assert sql(
            "select count(*) from hr_department_head where department_id = :d and archived_at is null and (to_day is null or to_day > :t)",
            d=plt,
            t=today,
        ) == [(0,)]

    def test_no_merger_of_the_past_nor_into_what_is_not_there(self, client_as, department, today, sql, fresh_db):
        sql("update hr_merger set archived_at = now()")
        hr = client_as("hr")
        assert hr.post(DEPARTMENTS, json={"code": "OLD", "name": "旧部门"}).status_code == 201
        old = department("OLD")
        sql("update hr_department_period set from_day = :f where department_id = :d", f=today - timedelta(days=9), d=old)
        merged(client_as, old, department("ADM"), today)
        merged(client_as, department("SAL"), department("ADM"), today + timedelta(days=9))
        cases = [("ADM", -1, "from_day"), ("BE", 3, "into_id"), ("PLT", 3, "into_id"), ("SAL", 3, "into_id"), ("SAL", 9, "into_id")]
        before = sql("select count(*) from hr_merger")
        for into, target, days, field in [*((c, department(c), n, f) for c, n, f in cases), ("dissolved", old, 3, "into_id")]:
            got = act(hr, f"{DEPARTMENTS}{department('PLT')}/merge", into_id=target, from_day=str(today + timedelta(days=days)))
            assert (got.status_code, list(got.get_json()["error"].get("fields", ()))) == (422, [field]), (into, days, got.text)
        assert sql("select count(*) from hr_merger") == before

    def test_a_new_department_and_a_code_in_use(self, client_as, department, fresh_db):
        hr = client_as("hr")
        got = hr.post(DEPARTMENTS, json={"code": "LAB", "name": "实验室", "parent_id": department("RD")})
        assert got.status_code == 201, got.text
        assert flat(chart(hr))[got.get_json()["id"]] == ("实验室", department("RD"), 0)
        assert hr.post(DEPARTMENTS, json={"code": "LAB", "name": "又一个"}).status_code == 422
        assert client_as("head.rd").post(DEPARTMENTS, json={"code": "X", "name": "X"}).status_code == 403

    def test_name_and_place_are_not_edited_past_the_history(self, client_as, department):
        hr, url = client_as("hr"), f"{DEPARTMENTS}{department('RD')}"
        etag = hr.get(url).headers["ETag"]
        assert hr.put(url, json={"name": "改名"}, headers={"If-Match": etag}).status_code == 422
        assert hr.put(url, json={"parent_id": None}, headers={"If-Match": etag}).status_code == 422


PLACES = "select id, department_id, from_day, to_day, manager_id from hr_assignment where archived_at is null order by id"
PERIODS = "select id, parent_id, from_day, to_day from hr_department_period where archived_at is null order by id"
HEADS = "select id, user_id, from_day, to_day from hr_department_head where archived_at is null order by id"


@pytest.mark.req("HRM-01", part="mergers by two")
class TestMergersByTwo:
    def test_nobody_merges_alone(self, client_as, department, today, sql, worker, user_id, fresh_db):
        hr, plt, before = client_as("hr"), department("PLT"), sql(PLACES)
        pk = asked_to_merge(hr, plt, department("ADM"), today, reason="合并")
        assert sql(PLACES) == before, "asking changes nothing"
        worker()
        told = "select u.username from notify_notice n join ab_user u on u.id = n.receiver_id where n.kind = :k"
        assert {r[0] for r in sql(told, k="hr.merger_submitted")} == {"leader"}
        twice = act(hr, f"{DEPARTMENTS}{plt}/merge", into_id=department("ADM"), from_day=str(today))
        assert (twice.status_code, twice.get_json()["error"]["code"]) == (409, "already_open")
        assert act(hr, f"{MERGERS}{pk}/approve").status_code == 403
        assert sql(PLACES) == before
        leader = client_as("leader")
        assert "部门 PLT → 部门 ADM" in leader.get("/department-mergers/?f.state=submitted").text
        assert f"/department-mergers/{pk}" in leader.get(f"/departments/{plt}").text
        assert client_as("member.zhao").get(f"{MERGERS}{pk}").status_code == 404
        assert act(leader, f"{MERGERS}{pk}/approve", note="同意").status_code == 200
        assert sql(PLACES) != before
        assert sql("select created_by, decided_by from hr_merger where id = :m", m=pk) == [(user_id("hr"), user_id("leader"))]
        worker()
        assert {r[0] for r in sql(told, k="hr.merger_approved")} >= {"hr", "deputy.plt"}, "the heads and everybody in HR"
        assert client_as("head.rd").get(f"/department-mergers/{pk}").status_code == 200

    def test_with_nobody_else_it_cannot_be_asked_for(self, client_as, department, today, sql, fresh_db):
        sql("delete from ab_user_role where role_id = (select id from ab_role where name = 'leader')")
        got = act(client_as("hr"), f"{DEPARTMENTS}{department('PLT')}/merge", into_id=department("ADM"), from_day=str(today))
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "no_approver")

    def test_rejected_and_asked_for_again(self, client_as, department, today, sql, fresh_db):
        hr, before = client_as("hr"), sql(PLACES)
        pk = asked_to_merge(hr, department("PLT"), department("ADM"), today)
        assert act(client_as("leader"), f"{MERGERS}{pk}/reject").status_code == 422, "not without a reason"
        assert act(client_as("leader"), f"{MERGERS}{pk}/reject", note="太早").status_code == 200
        assert asked_to_merge(hr, department("PLT"), department("ADM"), today) != pk
        assert sql(PLACES) == before

    def test_the_day_has_passed_before_anybody_approved(self, client_as, department, today, sql, fresh_db):
        pk = asked_to_merge(client_as("hr"), department("PLT"), department("ADM"), today)
        sql("update hr_merger set from_day = :d where id = :m", d=today - timedelta(days=1), m=pk)
        got = act(client_as("leader"), f"{MERGERS}{pk}/approve")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "not_possible")

    def test_planned_it_is_withdrawn_as_a_whole_only(self, client_as, department, employee, today, sql, user_id, fresh_db):
        """People, what was approved for later, departments below and heads: all as before, or nothing."""
        hr, plt, adm, day = client_as("hr"), department("PLT"), department("ADM"), today + timedelta(days=20)
        sql("insert into hr_department_head (department_id, user_id, kind, from_day) values (:d, :u, 'deputy', :f)",
            d=plt, u=user_id("qa"), f=day + timedelta(days=5))  # fmt: skip
        event = approved(client_as, "transfer", employee("qa"), department_id=plt, effective_on=day + timedelta(days=10))
        before = sql(PLACES), sql(PERIODS), sql(HEADS)
        pk = merged(client_as, plt, adm, day)
        then = flat(chart(hr, day))
        assert plt not in then and then[department("BE")][1] == adm and then[adm][2] > flat(chart(hr))[adm][2]
        ours = sql("select id, user_id from hr_assignment where plan = :p and archived_at is null", p=f"merger:{pk}")
        assert ours
        for row, person in ours:
            got = act(hr, f"/api/v1/assignments/{row}/withdraw")
            code = "by_event" if person == user_id("qa") else "as_a_whole"
            assert (got.status_code, got.get_json()["error"]["code"]) == (409, code)
            assert act(hr, f"/api/v1/assignments/{row}/withdraw-together").status_code == 409
        assert act(hr, f"{MERGERS}{pk}/cancel").status_code == 422, "not without a reason"
        assert act(hr, f"{MERGERS}{pk}/cancel", note="不合并了").status_code == 200
        assert (sql(PLACES), sql(PERIODS), sql(HEADS)) == before
        assert sql("select assignment_id from hr_employee_event where id = :e", e=event["id"])[0][0] in {r[0] for r in before[0]}
        assert act(hr, f"{EVENTS}{event['id']}/cancel", note="不再需要").status_code == 200

    def test_in_effect_it_stays(self, client_as, department, today, sql, fresh_db):
        pk = merged(client_as, department("PLT"), department("ADM"), today)
        got = act(client_as("hr"), f"{MERGERS}{pk}/cancel", note="不合并了")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "in_effect")

    def test_who_came_later_moves_on_the_day(self, client_as, department, employee, today, sql, app, fresh_db):
        from modules.hr.jobs import apply_due

        day = today + timedelta(days=20)
        merged(client_as, department("PLT"), department("ADM"), day)
        approved(client_as, "transfer", employee("qa"), department_id=department("PLT"), effective_on=today)
        with app.app_context(), calendar.freeze(day), unrestricted("test"):
            apply_due()
        assert sql("select count(*) from hr_employee where active and department_id = :d", d=department("PLT")) == [(0,)]
        assert sql("select department_id from hr_employee where id = :e", e=employee("qa")) == [(department("ADM"),)]


@pytest.mark.req("VIS-02", part="deputies by period")
class TestHeads:
    def test_deputies_see_while_their_period_runs(self, client_as, user_id, department):
        def staff(username):
            return set(client_as(username).get("/api/v1/employments/?q=(page_size:200)").get_json()["ids"])

        assert len(staff("deputy.plt")) > 1  # the department deputised for is not the own one
        assert len(staff("acting.old")) == 1 and len(staff("acting.soon")) == 1

    def test_hr_appoints_and_ends(self, client_as, department, user_id, today, sql, fresh_db):
        hr, sal = client_as("hr"), department("SAL")
        url = f"{DEPARTMENTS}{sal}/appoint"
        begin = {
            "user_id": user_id("outsider"),
            "kind": "acting",
            "from_day": today.isoformat(),
            "to_day": (today + timedelta(days=5)).isoformat(),
        }
        before = client_as("outsider").get("/api/v1/employments/").get_json()["count"]
        got = act(hr, url, **begin)
        assert got.status_code == 200, got.text
        assert client_as("outsider").get("/api/v1/employments/").get_json()["count"] > before == 1
        twice = act(hr, url, **begin)
        assert (twice.status_code, twice.get_json()["error"]["code"]) == (409, "overlap")
        row = sql("select id from hr_department_head where user_id = :u", u=user_id("outsider"))[0][0]
        assert act(hr, f"/api/v1/department-heads/{row}/end").status_code == 200
        assert client_as("outsider").get("/api/v1/employments/").get_json()["count"] == 1

    def test_a_new_head_ends_the_one_before(self, client_as, department, user_id, today, sql, fresh_db):
        got = act(
            client_as("hr"),
            f"{DEPARTMENTS}{department('SAL')}/appoint",
            user_id=user_id("sales.manager"),
            kind="head",
            from_day=today.isoformat(),
        )
        assert got.status_code == 200, got.text
        rows = sql(
            """select u.username, h.to_day from hr_department_head h join ab_user u on u.id = h.user_id
               where h.department_id = :d and kind = 'head' order by from_day""",
            d=department("SAL"),
        )
        assert rows == [("head.sales", today), ("sales.manager", None)]
        assert client_as("head.sales").get("/api/v1/employments/").get_json()["count"] == 1

    @pytest.mark.parametrize(
        ("change", "status"),
        [({"kind": "king"}, 422), ({"to_day": "2020-01-01"}, 422), ({"user_id": 99999999}, 422), ({"from_day": None}, 422)],
    )
    def test_bad_input(self, client_as, department, user_id, today, change, status):
        body = {"user_id": user_id("outsider"), "kind": "deputy", "from_day": today.isoformat()} | change
        assert act(client_as("hr"), f"{DEPARTMENTS}{department('SAL')}/appoint", **body).status_code == status

    @pytest.mark.parametrize("kind", ["head", "deputy", "acting"])
    def test_nobody_of_hr_appoints_themselves(self, client_as, department, user_id, today, sql, fresh_db, kind):
        body = {"user_id": user_id("hr"), "kind": kind, "from_day": today.isoformat()}
        got = act(client_as("hr"), f"{DEPARTMENTS}{department('SAL')}/appoint", **body)
        assert got.status_code == 422 and "另一位" in got.get_json()["error"]["fields"]["user_id"]
        assert sql("select count(*) from hr_department_head where user_id = :u", u=user_id("hr")) == [(0,)]

    def test_only_hr_appoints(self, client_as, department, user_id, today):
        for who in ("head.sales", "leader", "admin"):
            got = act(
                client_as(who), f"{DEPARTMENTS}{department('SAL')}/appoint", user_id=user_id(who), kind="deputy", from_day=today.isoformat()
            )
            assert got.status_code == 403, who

    def test_the_nearest_head_upwards_answers(self, app, user_id):
        from modules.hr.actions import heads_of, heads_of_many

        with app.app_context(), calendar.freeze(calendar.today()), unrestricted("test"):
            assert heads_of(user_id("member.wang")) == [user_id("deputy.plt")]
            assert heads_of(user_id("qa")) == [user_id("head.rd")]
            assert heads_of(user_id("head.rd")) == [user_id("ceo")]
            assert heads_of(user_id("ceo")) == []
            both = [user_id("member.wang"), user_id("head.rd")]
            assert heads_of_many(both) == {user_id("member.wang"): [user_id("deputy.plt")], user_id("head.rd"): [user_id("ceo")]}
