"""Changes of employees as approved events: two persons, from draft to effect, what each may see, and what is refused."""

from datetime import timedelta

import pytest

from tests.factories.changes import EVENTS, act, approved, merged, prepare, submitted
from tests.modules.test_hr_people import apply_due, department, employee, sql, today

__all__ = ["apply_due", "department", "employee", "sql", "today"]

EMPLOYEES = "/api/v1/employees/"
WHO = {"name": "柳随风", "employee_number": "E9001", "username": "liu.suifeng"}


def state_of(client, pk):
    return client.get(f"{EVENTS}{pk}").get_json()["result"]["state"]


@pytest.fixture
def second_hr(sql, app):
    """buyer is of HR too from now on."""
    from portal.kernel.db import unrestricted
    from security import roles

    def make(username="buyer"):
        user = sql("select id from ab_user where username = :u", u=username)[0][0]
        with app.app_context(), unrestricted("test") as s:
            roles.grant(s, user, "hr")
        return username

    return make


@pytest.mark.req("HRM-02", part="approval by a second person")
class TestTwoPersons:
    def test_who_prepared_does_not_approve(self, client_as, employee, department, today, sql, fresh_db):
        hr, pk = client_as("hr"), employee("member.zhao")
        event = submitted(hr, "transfer", pk, department_id=department("SAL"), effective_on=today)
        assert act(hr, f"{EVENTS}{event}/approve").status_code == 403
        assert act(hr, f"{EVENTS}{event}/reject", note="x").status_code == 403
        for who, status in (("head.rd", 404), ("member.zhao", 404), ("admin", 404), ("qa", 404)):
            assert act(client_as(who), f"{EVENTS}{event}/approve", version="1").status_code == status, who
        assert sql("select department_id from hr_employee where id = :e", e=pk) == [(department("PLT"),)], "nothing happened yet"
        done = act(client_as("leader"), f"{EVENTS}{event}/approve", note="同意")
        assert done.status_code == 200 and done.get_json()["result"]["state"] == "effective"
        assert sql("select department_id from hr_employee where id = :e", e=pk) == [(department("SAL"),)]
        number = done.get_json()["result"]["number"]
        assert number == f"RS-{today:%Y}-0001"

    def test_another_of_hr_approves_but_who_submitted_does_not(self, client_as, employee, department, today, second_hr, fresh_db):
        other = client_as(second_hr())
        made = prepare(client_as("hr"), "transfer", employee("member.zhao"), department_id=department("SAL"), effective_on=today)
        event = f"{EVENTS}{made.get_json()['id']}"
        assert other.put(event, json={"reason": "x"}, headers={"If-Match": other.get(event).headers["ETag"]}).status_code == 403
        assert act(other, f"{event}/submit").status_code == 200
        assert act(other, f"{event}/approve").status_code == 403, "submitted it"
        assert act(client_as("hr"), f"{event}/approve").status_code == 403, "prepared it"
        assert act(client_as("leader"), f"{event}/approve").status_code == 200

    def test_nobody_decides_on_the_own_matter(self, client_as, employee, department, today, second_hr, sql, fresh_db):
        event = submitted(client_as("hr"), "leave", employee("leader"), effective_on=today + timedelta(days=9)) if second_hr() else 0
        assert act(client_as("leader"), f"{EVENTS}{event}/approve", version="2").status_code == 404, "not even seen"
        assert act(client_as("buyer"), f"{EVENTS}{event}/approve").status_code == 200

    def test_without_a_second_person_it_cannot_be_submitted(self, client_as, employee, today, sql):
        made = prepare(client_as("hr"), "leave", employee("leader"), effective_on=today + timedelta(days=9))
        sent = act(client_as("hr"), f"{EVENTS}{made.get_json()['id']}/submit")
        assert (sent.status_code, sent.get_json()["error"]["code"]) == (409, "no_approver")

    def test_rejected_put_right_and_approved(self, client_as, employee, department, today, user_id, sql, fresh_db):
        hr, leader, pk = client_as("hr"), client_as("leader"), employee("member.zhao")
        event = submitted(hr, "transfer", pk, department_id=department("SAL"), effective_on=today)
        url = f"{EVENTS}{event}"
        assert act(leader, f"{url}/reject").status_code == 422, "not without a reason"
        assert act(leader, f"{url}/reject", note="请改到行政部").status_code == 200
        told = "select count(*) from notify_notice where receiver_id = :u and kind = :k"
        assert sql(told, u=user_id("hr"), k="hr.change_answered") == [(1,)]
        assert sql(told, u=user_id("leader"), k="hr.change_submitted") == [(1,)]
        put = hr.put(url, json={"department_id": department("ADM")}, headers={"If-Match": hr.get(url).headers["ETag"]})
        assert put.status_code == 200, put.text
        assert act(hr, f"{url}/submit").status_code == 200
        assert hr.put(url, json={"reason": "y"}, headers={"If-Match": hr.get(url).headers["ETag"]}).status_code == 409, "read-only"
        assert act(leader, f"{url}/approve").status_code == 200
        assert sql("select department_id from hr_employee where id = :e", e=pk) == [(department("ADM"),)]

    def test_a_changed_version_is_not_approved(self, client_as, employee, department, today, sql, fresh_db):
        hr, leader = client_as("hr"), client_as("leader")
        event = submitted(hr, "transfer", employee("member.zhao"), department_id=department("SAL"), effective_on=today)
        read = leader.get(f"{EVENTS}{event}").headers["ETag"]
        act(leader, f"{EVENTS}{event}/reject", note="再议")
        grade = sql("select id from hr_grade limit 1")[0][0]
        url = f"{EVENTS}{event}"
        assert hr.put(url, json={"grade_id": grade, "post_id": None}, headers={"If-Match": hr.get(url).headers["ETag"]}).status_code == 200
        act(hr, f"{url}/submit")
        assert act(leader, f"{url}/approve", version=read).status_code == 409


@pytest.mark.req("HRM-02", part="approval by a second person")
class TestRefusedAtApproval:
    def test_a_later_change_came_meanwhile(self, client_as, employee, department, today, sql, fresh_db):
        hr, pk = client_as("hr"), employee("member.zhao")
        event = submitted(hr, "transfer", pk, department_id=department("SAL"), effective_on=today)
        approved(client_as, "transfer", pk, department_id=department("ADM"), effective_on=today + timedelta(days=9))
        before = sql("select from_day, to_day from hr_assignment where employee_id = :e order by 1", e=pk)
        got = act(client_as("leader"), f"{EVENTS}{event}/approve")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "later_change")
        assert state_of(client_as("leader"), event) == "submitted"
        assert sql("select from_day, to_day from hr_assignment where employee_id = :e order by 1", e=pk) == before
        page = client_as("leader").post(
            f"/employee-events/{event}/approve", data={"version": client_as("leader").get(f"{EVENTS}{event}").headers["ETag"].strip('"')}
        )
        assert page.status_code == 409 and "更晚生效的变动" in page.text

    def test_the_department_was_closed_meanwhile(self, client_as, employee, department, today, sql, fresh_db):
        hr, day = client_as("hr"), today + timedelta(days=30)
        pk = employee("sales.liu")
        event = submitted(hr, "transfer", pk, department_id=department("BE1"), effective_on=day)
        merged(client_as, department("BE1"), department("BE"), today + timedelta(days=5))
        got = act(client_as("leader"), f"{EVENTS}{event}/approve")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "not_possible")
        assert "不存在" in got.get_json()["error"]["message"]
        assert sql("select count(*) from hr_assignment where employee_id = :e", e=pk) == [(1,)], "nothing is half done"

    def test_the_account_name_was_taken_meanwhile(self, client_as, department, today, sql, fresh_db):
        place = {"department_id": department("PLT"), "effective_on": today}
        first = submitted(client_as("hr"), "hire", **WHO, **place)
        approved(client_as, "hire", **(WHO | {"employee_number": "E9002"}), **place)
        got = act(client_as("leader"), f"{EVENTS}{first}/approve")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "not_possible")
        assert sql("select count(*) from hr_employee where number = 'E9001'") == [(0,)]


@pytest.mark.req("HRM-02", part="probation to regular, leaving, coming back")
class TestLife:
    def test_hired_on_probation_made_regular_earlier(self, client_as, department, today, sql, apply_due, fresh_db):
        place = {"department_id": department("PLT"), "effective_on": today}
        event = approved(client_as, "hire", **WHO, **place, regular_on=today + timedelta(days=90))
        pk = event["employee_id"]
        terms = "select state, regular_on from hr_employment where employee_id = :e"
        assert sql(terms, e=pk) == [("probation", today + timedelta(days=90))]
        soon = today + timedelta(days=10)
        regular = approved(client_as, "regularise", pk, effective_on=soon, employment_type="fixed_term")
        assert regular["state"] == "approved"
        assert sql(terms, e=pk) == [("probation", soon)]
        apply_due(soon)
        assert sql(terms, e=pk) == [("regular", soon)]
        assert sql("select employment_type from hr_employment where employee_id = :e", e=pk) == [("fixed_term",)]
        assert state_of(client_as("hr"), regular["id"]) == "effective"
        again = prepare(client_as("hr"), "regularise", pk, effective_on=soon)
        assert (again.status_code, again.get_json()["error"]["code"]) == (409, "wrong_state")
        assert "试用期" in again.get_json()["error"]["message"]

    def test_the_earlier_end_of_probation_is_taken_back(self, client_as, department, today, sql, fresh_db):
        ends = today + timedelta(days=90)
        event = approved(client_as, "hire", **WHO, department_id=department("PLT"), effective_on=today, regular_on=ends)
        regular = approved(client_as, "regularise", event["employee_id"], effective_on=today + timedelta(days=10))
        assert act(client_as("leader"), f"{EVENTS}{regular['id']}/cancel", note="再看看").status_code == 200
        assert sql("select state, regular_on from hr_employment where employee_id = :e", e=event["employee_id"]) == [("probation", ends)]

    def test_a_promotion_keeps_the_department(self, client_as, employee, department, today, sql, fresh_db):
        pk = employee("member.zhao")
        post = client_as("hr").post("/api/v1/posts/", json={"code": "SE", "name": {"zh": "高级工程师", "en": "Senior engineer"}})
        grade = client_as("hr").post("/api/v1/grades/", json={"code": "P6", "name": {"zh": "六级", "en": "Grade 6"}})
        ids = {"post_id": post.get_json()["id"], "grade_id": grade.get_json()["id"]}
        assert prepare(client_as("hr"), "promotion", pk, department_id=department("SAL"), effective_on=today, **ids).status_code == 422
        event = approved(client_as, "promotion", pk, effective_on=today, reason="晋升", **ids)
        assert event["state"] == "effective" and event["department_id"] == event["from_department_id"] == department("PLT")
        assert sql("select post_id from hr_employee where id = :e", e=pk) == [(ids["post_id"],)]
        assert sql("select grade_id from hr_employment where employee_id = :e", e=pk) == [(ids["grade_id"],)]

    @pytest.mark.parametrize(
        ("kind", "code"), [("regularise", "wrong_state"), ("rehire", "employed")], ids=["regular already", "works here"]
    )
    def test_what_does_not_fit_is_refused(self, client_as, employee, department, today, sql, fresh_db, kind, code):
        pk = employee("member.zhao")
        sql("update hr_employment set state = 'regular' where employee_id = :e", e=pk)
        more = {"department_id": department("SAL")} if kind == "rehire" else {}
        got = prepare(client_as("hr"), kind, pk, effective_on=today, **more)
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, code)

    def test_who_left_is_neither_transferred_nor_leaves_again(self, client_as, employee, department, today, fresh_db):
        pk = employee("sales.liu")
        approved(client_as, "leave", pk, effective_on=today - timedelta(days=1))
        for kind, more in (("transfer", {"department_id": department("RD")}), ("leave", {}), ("regularise", {})):
            got = prepare(client_as("hr"), kind, pk, effective_on=today, **more)
            assert got.status_code in (409, 422), (kind, got.text)

    def test_only_the_employment_type(self, client_as, employee, today, sql, apply_due, fresh_db):
        pk, day = employee("member.zhao"), today + timedelta(days=3)
        event = approved(client_as, "transfer", pk, effective_on=day, employment_type="dispatched")
        kind = "select employment_type from hr_employment where employee_id = :e"
        assert sql(kind, e=pk) == [("regular",)] and event["from_employment_type"] == "regular"
        apply_due(day)
        assert sql(kind, e=pk) == [("dispatched",)]
        assert sql("select count(*) from hr_assignment where employee_id = :e", e=pk) == [(1,)]

    def test_an_entry_is_put_right_by_two(self, client_as, employee, department, today, sql, fresh_db):
        pk = employee("member.zhao")
        missing = prepare(client_as("hr"), "correction", pk, department_id=department("BE"), effective_on=today)
        assert missing.status_code == 422 and "reason" in missing.get_json()["error"]["fields"]
        event = approved(client_as, "correction", pk, department_id=department("BE"), effective_on=today, reason="录入错误")
        assert event["state"] == "effective"
        rows = sql("select department_id, reason from hr_assignment where employee_id = :e", e=pk)
        assert rows == [(department("BE"), "录入错误")]
        assert sql("select department_id from hr_employee where id = :e", e=pk) == [(department("BE"),)]


@pytest.mark.req("HRM-02", part="taken back before it takes effect")
class TestTakingBack:
    def test_a_departure(self, client_as, employee, today, sql, apply_due, user_id, fresh_db):
        pk, day = employee("sales.liu"), today + timedelta(days=5)
        event = approved(client_as, "leave", pk, effective_on=day)
        assert act(client_as("sales.liu"), f"{EVENTS}{event['id']}/cancel", note="x").status_code == 403, "not the person"
        assert act(client_as("hr"), f"{EVENTS}{event['id']}/cancel", note="挽留成功").status_code == 200
        apply_due(day + timedelta(days=1))
        assert sql("select active from hr_employee where id = :e", e=pk) == [(True,)]
        assert sql("select left_on from hr_employment where employee_id = :e", e=pk) == [(None,)]
        told = sql("select receiver_id from notify_notice where kind = 'hr.change_cancelled'")
        assert {t[0] for t in told} == {user_id("leader"), user_id("sales.liu"), user_id("head.sales")}

    def test_a_return_the_day_after_the_last_day_leaves_the_departure_alone(self, client_as, employee, department, today, sql, fresh_db):
        pk = employee("sales.liu")
        approved(client_as, "leave", pk, effective_on=today)
        back = approved(client_as, "rehire", pk, department_id=department("RD"), effective_on=today + timedelta(days=1))
        assert act(client_as("hr"), f"{EVENTS}{back['id']}/cancel", note="不来了").status_code == 200
        rows = sql("select to_day from hr_assignment where employee_id = :e and archived_at is null", e=pk)
        assert rows == [(today + timedelta(days=1),)]

    def test_somebody_hired_who_does_not_come(self, client_as, department, today, sql, apply_due, fresh_db):
        day = today + timedelta(days=10)
        event = approved(client_as, "hire", **WHO, department_id=department("PLT"), effective_on=day)
        assert act(client_as("hr"), f"{EVENTS}{event['id']}/cancel", note="放弃录用").status_code == 200
        apply_due(day)
        assert sql("select u.active from ab_user u join hr_employee e on e.user_id = u.id where e.number = 'E9001'") == [(False,)]
        again = approved(client_as, "hire", **WHO, department_id=department("PLT"), effective_on=day)
        assert again["employee_id"] != event["employee_id"], "number and account name are free again"

    def test_what_is_in_effect_stays(self, client_as, employee, department, today, fresh_db):
        event = approved(client_as, "transfer", employee("member.zhao"), department_id=department("SAL"), effective_on=today)
        got = act(client_as("hr"), f"{EVENTS}{event['id']}/cancel", note="x")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "wrong_state")


@pytest.mark.req("HRM-02", part="effective")
@pytest.mark.req("POR-02", part="account, visibility and events follow the effective day")
class TestTheWholeJob:
    def test_a_transfer_from_tomorrow(self, client_as, app, employee, department, today, sql, apply_due, user_id, fresh_db, monkeypatch):
        from modules.hr.events import EmployeeMoved
        from portal.kernel import events

        heard = []
        monkeypatch.setitem(events._during, EmployeeMoved, [*events._during.get(EmployeeMoved, []), heard.append])
        pk, tomorrow = employee("member.zhao"), today + timedelta(days=1)
        person = user_id("member.zhao")
        event = approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=tomorrow)
        terms = f"/api/v1/employments/{sql('select id from hr_employment where employee_id = :e', e=pk)[0][0]}"

        def seen():
            return client_as("head.rd").get(terms).status_code, client_as("head.sales").get(terms).status_code

        assert event["state"] == "approved" and seen() == (200, 404) and not heard, "nothing changes today"
        receivers = sql("select receiver_id from notify_notice where kind = 'hr.change_approved'")
        assert {r[0] for r in receivers} == {person, user_id("deputy.plt"), user_id("head.sales")}, "who answers before and afterwards"
        apply_due(tomorrow)
        assert seen() == (404, 200)
        assert [(e.user_id, e.from_department_id, e.to_department_id, e.day) for e in heard] == [
            (person, department("PLT"), department("SAL"), tomorrow)
        ]
        assert state_of(client_as("hr"), event["id"]) == "effective"

    def test_a_departure_closes_the_account_the_day_after_and_ends_sessions(
        self, client_as, employee, today, sql, apply_due, token_of, fresh_db
    ):
        liu = client_as("sales.liu")
        assert liu.get("/api/v1/me").status_code == 200
        event = approved(client_as, "leave", employee("sales.liu"), effective_on=today, reason="离职")
        assert event["state"] == "approved" and liu.get("/api/v1/me").status_code == 200
        apply_due(today + timedelta(days=1))
        assert liu.get("/api/v1/me").status_code == 401
        assert state_of(client_as("hr"), event["id"]) == "effective"


@pytest.mark.req("VIS-02", part="changes of employees")
class TestWhoSees:
    def test_the_person_not_before_the_approval(self, client_as, employee, department, today, fresh_db):
        person, head = client_as("member.zhao"), client_as("head.sales")
        event = submitted(client_as("hr"), "leave", employee("member.zhao"), effective_on=today + timedelta(days=9))
        assert person.get(f"{EVENTS}{event}").status_code == 404 == client_as("head.rd").get(f"{EVENTS}{event}").status_code
        act(client_as("leader"), f"{EVENTS}{event}/approve")
        assert person.get(f"{EVENTS}{event}").status_code == 200 == client_as("head.rd").get(f"{EVENTS}{event}").status_code
        assert head.get(f"{EVENTS}{event}").status_code == 404
        assert "变动" in person.get(f"/people/{employee('member.zhao')}").text

    def test_the_head_before_for_a_month_the_head_of_the_person_always(self, client_as, employee, department, today, sql, fresh_db):
        event = approved(client_as, "transfer", employee("member.zhao"), department_id=department("SAL"), effective_on=today)["id"]
        before, now = client_as("head.rd"), client_as("head.sales")

        def seen():
            return before.get(f"{EVENTS}{event}").status_code, now.get(f"{EVENTS}{event}").status_code

        move = "update hr_employee_event set effective_on = :d, approved_on = :a where id = :e"
        assert seen() == (200, 200), "both were told, also when it takes effect at once"
        sql(move, d=today - timedelta(days=90), a=today - timedelta(days=29), e=event)
        assert seen() == (200, 200)
        sql(move, d=today - timedelta(days=30), a=today - timedelta(days=90), e=event)
        assert seen() == (404, 200)

    @pytest.mark.req("VIS-11", part="visibility")
    def test_a_deputy_reads_of_the_people_but_not_of_who_lets_see(self, client_as, employee, department, today, sql, user_id, fresh_db):
        sql("insert into security_delegation (giver_id, deputy_id, from_day, to_day, people, reason) values (:g, :d, :a, :b, true, 'x')",
            g=user_id("head.rd"), d=user_id("outsider"), a=today, b=today + timedelta(days=9))  # fmt: skip
        day, deputy = today + timedelta(days=5), client_as("outsider")
        about_head = approved(client_as, "leave", employee("head.rd"), effective_on=day)["id"]
        about_zhao = approved(client_as, "transfer", employee("member.zhao"), department_id=department("SAL"), effective_on=day)["id"]
        assert deputy.get(f"{EVENTS}{about_zhao}").status_code == 200
        assert deputy.get(f"{EVENTS}{about_head}").status_code == 404 == deputy.get(f"/employee-events/{about_head}").status_code
        assert (
            client_as("head.rd").get(f"{EVENTS}{about_head}").status_code
            == 200
            == client_as("ceo").get(f"{EVENTS}{about_head}").status_code
        )

    def test_the_grade_only_for_who_may_see_the_persons_grade(self, client_as, employee, department, today, sql, apply_due, fresh_db):
        grade, tomorrow = sql("select id from hr_grade limit 1")[0][0], today + timedelta(days=1)
        event = approved(client_as, "transfer", employee("member.zhao"), department_id=department("SAL"), effective_on=tomorrow)

        def grades():
            found = {}
            for who in ("hr", "leader", "member.zhao", "head.rd", "head.sales"):
                got = client_as(who).get(f"{EVENTS}{event['id']}").get_json()["result"]
                shown = "五级" in client_as(who).get(f"/employee-events/{event['id']}").text
                assert shown == (got["grade_id"] == grade), who
                found[who] = got["grade_id"]
            return found

        assert grades() == {"hr": grade, "leader": grade, "member.zhao": grade, "head.rd": grade, "head.sales": None}
        apply_due(tomorrow)
        assert grades() == {"hr": grade, "leader": grade, "member.zhao": grade, "head.rd": None, "head.sales": grade}

    def test_what_waits_stands_on_the_home_page_of_who_may_approve(self, client_as, employee, department, today, fresh_db):
        event = submitted(client_as("hr"), "transfer", employee("member.zhao"), department_id=department("SAL"), effective_on=today)
        link = f'href="/employee-events/{event}"'
        assert link in client_as("leader").get("/").text
        assert link not in client_as("hr").get("/").text, "prepared it"
        assert link not in client_as("head.rd").get("/").text


class TestPages:
    def test_kind_and_person_are_chosen_first(self, client_as, employee, fresh_db):
        hr = client_as("hr")
        assert hr.get("/employee-events/add").status_code == 200
        assert hr.post("/employee-events/begin", data={"kind": "leave"}).status_code == 422
        assert hr.post("/employee-events/begin", data={"kind": "no", "employee_id": "x"}).status_code == 422
        on = hr.post("/employee-events/begin", data={"kind": "leave", "employee_id": str(employee("member.zhao"))})
        assert on.status_code == 303 and hr.get(on.headers["Location"]).status_code == 200
        assert hr.get("/employee-events/add?kind=no").status_code == 400
        assert hr.get("/employee-events/add?kind=leave&employee_id=999999999&effective_on=x").status_code == 400

    def test_a_draft_is_changed_on_its_form(self, client_as, employee, department, today, fresh_db):
        hr = client_as("hr")
        pk = prepare(hr, "transfer", employee("member.zhao"), department_id=department("SAL"), effective_on=today).get_json()["id"]
        form = hr.get(f"/employee-events/{pk}/edit")
        assert form.status_code == 200 and "部门 SAL" in form.text
        version = hr.get(f"{EVENTS}{pk}").headers["ETag"].strip('"')
        data = {"version": version, "department_id": str(department("ADM")), "effective_on": today.isoformat()}
        assert hr.post(f"/employee-events/{pk}/edit", data=data).status_code == 303
        assert hr.post(f"/employee-events/{pk}/edit", data=data).status_code == 409, "an old version"
        bad = data | {"version": str(int(version) + 1), "department_id": ""}
        assert hr.post(f"/employee-events/{pk}/edit", data=bad).status_code == 422
        page = hr.get(f"/employee-events/{pk}").text
        assert "部门 PLT" in page and "部门 ADM" in page, "before and after"
