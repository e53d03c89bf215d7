"""Changes of employees when something else happens between submission, approval, effect and taking back."""

from datetime import timedelta

import pytest

from tests.factories.changes import EVENTS, act, approved, prepare, submitted
from tests.factories.changes import merged as merge
from tests.modules.test_hr_people import apply_due, department, employee, sql, today

__all__ = ["apply_due", "department", "employee", "sql", "today"]

WHO = {"name": "柳随风", "employee_number": "E9001", "username": "liu.suifeng"}
PLACES = "select department_id, from_day, to_day from hr_assignment where employee_id = :e and archived_at is null order by from_day"


def error(answer):
    return answer.status_code, answer.get_json()["error"]["code"]


@pytest.fixture
def cancel(client_as):
    return lambda event, who="hr": act(client_as(who), f"{EVENTS}{event['id']}/cancel", note="不再需要")


@pytest.fixture
def merged(client_as, department):
    """One department becomes part of another."""
    return lambda code, into, day: merge(client_as, department(code), department(into), day)


@pytest.mark.req("HRM-02", part="taken back before it takes effect")
class TestOnlyItsOwn:
    def test_the_employment_type_on_the_day_of_joining_leaves_the_hiring_alone(self, client_as, department, today, sql, cancel, fresh_db):
        day = today + timedelta(days=10)
        hired = approved(client_as, "hire", **WHO, department_id=department("PLT"), effective_on=day)
        pk = hired["employee_id"]
        event = approved(client_as, "transfer", pk, effective_on=day, employment_type="dispatched")
        before = sql(PLACES, e=pk)
        assert cancel(event).status_code == 200
        assert sql(PLACES, e=pk) == before == [(department("PLT"), day, None)]

    def test_another_transfer_stays(self, client_as, employee, department, today, sql, cancel, fresh_db):
        """Also when both were approved while a change of nothing but the employment type still noted the other's place as its own."""
        pk, day = employee("member.zhao"), today + timedelta(days=10)
        terms = approved(client_as, "transfer", pk, effective_on=today + timedelta(days=11), employment_type="dispatched")
        # as if approved for one day
        sql("update hr_employee_event set effective_on = :d where id = :i", d=day - timedelta(days=1), i=terms["id"])
        moved = approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=day)
        sql("update hr_employee_event x set effective_on = :d, assignment_id = m.assignment_id from hr_employee_event m "
            "where x.id = :x and m.id = :m", d=day, x=terms["id"], m=moved["id"])  # fmt: skip
        before = sql(PLACES, e=pk)
        assert cancel(terms).status_code == 200
        assert sql(PLACES, e=pk) == before and len(before) == 2
        assert cancel(moved).status_code == 200
        assert [(r[0], r[2]) for r in sql(PLACES, e=pk)] == [(department("PLT"), None)]

    def test_a_place_that_is_another_changes_is_not_taken_back(self, client_as, employee, department, today, sql, cancel, fresh_db):
        pk, day = employee("member.zhao"), today + timedelta(days=10)
        first = approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=day)
        second = approved(client_as, "transfer", pk, department_id=department("ADM"), effective_on=day + timedelta(days=5))
        sql("update hr_employee_event set assignment_id = (select assignment_id from hr_employee_event where id = :s) where id = :f",
            s=second["id"], f=first["id"])  # fmt: skip
        before = sql(PLACES, e=pk)
        assert error(cancel(first)) == (409, "changed_since")
        assert sql(PLACES, e=pk) == before

    def test_the_later_of_two_goes_first(self, client_as, employee, department, today, sql, cancel, fresh_db):
        pk, day = employee("member.zhao"), today + timedelta(days=10)
        first = approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=day)
        second = approved(client_as, "transfer", pk, department_id=department("ADM"), effective_on=day + timedelta(days=5))
        assert error(cancel(first)) == (409, "not_last")
        assert cancel(second).status_code == 200 == cancel(first).status_code
        assert [(r[0], r[2]) for r in sql(PLACES, e=pk)] == [(department("PLT"), None)]

    def test_who_is_to_be_transferred_too_is_not_unhired(self, client_as, department, today, sql, cancel, apply_due, fresh_db):
        day = today + timedelta(days=10)
        hired = approved(client_as, "hire", **WHO, department_id=department("PLT"), effective_on=day)
        later = {"department_id": department("SAL"), "effective_on": day + timedelta(days=5)}
        draft = prepare(client_as("hr"), "leave", hired["employee_id"], effective_on=day + timedelta(days=9)).get_json()["id"]
        moved = approved(client_as, "transfer", hired["employee_id"], **later)
        assert error(cancel(hired)) == (409, "others_open")
        assert cancel(moved).status_code == 200 == cancel(hired).status_code
        assert error(act(client_as("hr"), f"{EVENTS}{draft}/submit")) == (409, "not_employed")
        apply_due(day + timedelta(days=6))

    def test_other_words_and_a_place_to_come(self, client_as, employee, department, today, sql, fresh_db):
        """What two agreed on is not put right by one, and what is still to come not at all."""
        hr, pk, day = client_as("hr"), employee("member.zhao"), today + timedelta(days=10)
        event = approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=day, reason="支援")
        first, second = (r[0] for r in sql("select id from hr_assignment where employee_id = :e order by from_day", e=pk))
        assert error(act(hr, f"/api/v1/assignments/{second}/correct", reason="改写")) == (409, "by_event")
        assert act(hr, f"/api/v1/assignments/{first}/correct", reason="入职").status_code == 200, "no change stands for it"
        got = prepare(hr, "correction", pk, department_id=department("ADM"), effective_on=day, reason="录入错误")
        assert error(got) == (409, "to_come")
        career = hr.get(f"/people/{pk}?tab=assignments").text
        assert f"effective_on={day}" not in career and "kind=correction" in career
        approved(client_as, "correction", pk, department_id=department("BE"), effective_on=today, reason="录入错误")
        assert error(act(hr, f"/api/v1/assignments/{first}/correct", reason="改写")) == (409, "by_event")
        assert event["state"] == "approved"

    def test_who_was_unhired_is_hired_again_and_not_restored(self, client_as, session_as, department, today, cancel, fresh_db):
        from modules.hr.models import Employee
        from portal.kernel.errors import Refusal
        from portal.web import records

        hired = approved(client_as, "hire", **WHO, department_id=department("PLT"), effective_on=today + timedelta(days=10))
        assert cancel(hired).status_code == 200
        with session_as("hr"), pytest.raises(Refusal, match="重新办理入职"):
            records.restore(Employee, hired["employee_id"], None)


@pytest.mark.req("HRM-02", part="taken back before it takes effect")
class TestSplitMeanwhile:
    """A reorganisation or another manager splits a place that an approved change planned."""

    def test_what_came_of_the_place_goes_with_it(self, client_as, employee, department, today, sql, merged, cancel, fresh_db):
        pk, day = employee("member.zhao"), today + timedelta(days=10)
        event = approved(client_as, "transfer", pk, department_id=department("BE1"), effective_on=day)
        merged("BE1", "BE", day + timedelta(days=5))
        assert len(sql(PLACES, e=pk)) == 3
        assert cancel(event).status_code == 200
        assert [(r[0], r[2]) for r in sql(PLACES, e=pk)] == [(department("PLT"), None)]

    def test_what_concerns_the_place_before_goes_on(self, client_as, employee, department, today, sql, merged, cancel, fresh_db):
        """Promoted in a department that is merged later: not promoted, but merged."""
        pk, day = employee("member.wang"), today + timedelta(days=10)
        old = sql("select grade_id, department_id from hr_assignment where employee_id = :e", e=pk)[0]
        assert old[1] == department("BE1")
        grade = client_as("hr").post("/api/v1/grades/", json={"code": "P6", "name": {"zh": "六级", "en": "Grade 6"}}).get_json()["id"]
        event = approved(client_as, "promotion", pk, grade_id=grade, effective_on=day)
        merged("BE1", "BE", day + timedelta(days=5))
        assert cancel(event).status_code == 200
        rows = sql(PLACES.replace("department_id,", "department_id, grade_id,"), e=pk)
        assert [(r[0], r[1]) for r in rows] == [(department("BE1"), old[0]), (department("BE"), old[0])]
        assert rows[0][3] == rows[1][2] == day + timedelta(days=5) and rows[1][3] is None

    def test_a_plan_for_many_taken_back_afterwards_does_not_bring_it_again(
        self, client_as, app, employee, department, today, sql, user_id, cancel, fresh_db
    ):
        """Promoted, then given another manager by a hand-over from a later day; the promotion is cancelled, then the hand-over."""
        from modules.hr.actions.handover import take_person
        from modules.hr.actions.plans import take_back_all
        from modules.hr.models import Assignment
        from portal.kernel.db import unrestricted

        pk, day = employee("member.wang"), today + timedelta(days=10)
        sql("update hr_assignment set manager_id = :m where employee_id = :e", m=user_id("pm.chen"), e=pk)
        event = approved(client_as, "promotion", pk, grade_id=None, effective_on=day)
        with app.app_context(), unrestricted("test") as s:
            place = s.query(Assignment).filter_by(employee_id=pk, from_day=day).one()
            take_person(place, user_id("pm.li"), day + timedelta(days=5))
            plan = s.query(Assignment).filter_by(employee_id=pk, from_day=day + timedelta(days=5)).one().plan
        assert cancel(event).status_code == 200
        managers = "select manager_id, to_day from hr_assignment where employee_id = :e and archived_at is null order by from_day"
        assert sql(managers, e=pk) == [(user_id("pm.chen"), day + timedelta(days=5)), (user_id("pm.li"), None)]
        with app.app_context(), unrestricted("test"):
            take_back_all(plan)
        assert sql(managers, e=pk) == [(user_id("pm.chen"), None)]

    def test_a_return_goes_with_what_came_of_it(self, client_as, employee, department, today, sql, merged, cancel, fresh_db):
        pk, day = employee("sales.liu"), today + timedelta(days=10)
        approved(client_as, "leave", pk, effective_on=day - timedelta(days=1))
        event = approved(client_as, "rehire", pk, department_id=department("BE1"), effective_on=day)
        merged("BE1", "BE", day + timedelta(days=5))
        assert cancel(event).status_code == 200
        assert [(r[0], r[2]) for r in sql(PLACES, e=pk)] == [(department("SAL"), day)]

    def test_nobody_goes_on_in_a_department_that_ends(self, client_as, employee, department, today, sql, merged, cancel, fresh_db):
        pk, day = employee("member.wang"), today + timedelta(days=10)
        event = approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=day)
        merged("BE1", "BE", day + timedelta(days=5))
        before = sql(PLACES, e=pk)
        assert error(cancel(event)) == (409, "department_ends")
        assert sql(PLACES, e=pk) == before


@pytest.mark.req("HRM-02", part="approval by a second person")
class TestOneAtATime:
    @pytest.mark.parametrize("kind", ["regularise", "leave", "rehire"])
    def test_a_second_of_the_kind(self, client_as, employee, department, today, sql, kind, fresh_db):
        hr, pk = client_as("hr"), employee("sales.liu")
        more = {"department_id": department("SAL")} if kind == "rehire" else {}
        if kind == "regularise":
            sql("update hr_employment set state = 'probation', regular_on = :d where employee_id = :e", d=today + timedelta(days=90), e=pk)
        if kind == "rehire":
            approved(client_as, "leave", pk, effective_on=today - timedelta(days=1))
        days = [today + timedelta(days=n) for n in (20, 10)]
        first, second = (prepare(hr, kind, pk, effective_on=d, **more).get_json()["id"] for d in days)
        assert act(hr, f"{EVENTS}{first}/submit").status_code == 200
        assert error(act(hr, f"{EVENTS}{second}/submit")) == (409, "already_open")
        assert act(client_as("leader"), f"{EVENTS}{first}/approve").status_code == 200
        assert error(act(hr, f"{EVENTS}{second}/submit")) == (409, "already_open")
        third = prepare(hr, kind, pk, effective_on=days[1], **more)
        assert error(third) == (409, "already_open") and "RS-" in third.get_json()["error"]["message"]
        assert act(hr, f"{EVENTS}{first}/cancel", note="改期").status_code == 200
        assert act(hr, f"{EVENTS}{second}/submit").status_code == 200

    def test_two_transfers_on_one_day(self, client_as, employee, department, today, fresh_db):
        hr, pk, day = client_as("hr"), employee("member.zhao"), today + timedelta(days=10)
        submitted(hr, "transfer", pk, department_id=department("SAL"), effective_on=day)
        for values in ({"department_id": department("ADM")}, {"employment_type": "dispatched"}):
            assert error(prepare(hr, "transfer", pk, effective_on=day, **values)) == (409, "already_open")
        assert prepare(hr, "transfer", pk, effective_on=day + timedelta(days=1), employment_type="dispatched").status_code == 201

    @pytest.mark.parametrize("kind", ["regularise", "leave"])
    def test_a_day_that_was_changed_since_is_not_brought_back(self, client_as, employee, today, sql, cancel, kind, fresh_db):
        pk, day = employee("sales.liu"), today + timedelta(days=10)
        sql("update hr_employment set state = 'probation', regular_on = :d where employee_id = :e", d=today + timedelta(days=90), e=pk)
        event = approved(client_as, kind, pk, effective_on=day)
        column = {"regularise": "regular_on", "leave": "left_on"}[kind]
        sql(f"update hr_employment set {column} = :d where employee_id = :e", d=day + timedelta(days=3), e=pk)
        assert error(cancel(event)) == (409, "changed_since")
        assert sql(f"select {column} from hr_employment where employee_id = :e", e=pk) == [(day + timedelta(days=3),)]


@pytest.mark.req("HRM-02", part="approval by a second person")
class TestBeforeHasChanged:
    def test_another_place(self, client_as, employee, department, today, sql, fresh_db):
        """Who read “from PLT” does not approve “from BE”; rejected and submitted anew it can be approved."""
        hr, leader, pk = client_as("hr"), client_as("leader"), employee("member.zhao")
        event = submitted(hr, "transfer", pk, department_id=department("SAL"), effective_on=today + timedelta(days=5))
        approved(client_as, "correction", pk, department_id=department("BE"), effective_on=today, reason="录入错误")
        got = act(leader, f"{EVENTS}{event}/approve")
        assert error(got) == (409, "before_changed") and "原部门" in got.get_json()["error"]["message"]
        page = leader.post(f"/employee-events/{event}/approve", data={"version": leader.get(f"{EVENTS}{event}").headers["ETag"].strip('"')})
        assert page.status_code == 409 and "原部门" in page.text
        assert leader.get(f"{EVENTS}{event}").get_json()["result"]["from_department_id"] == department("PLT"), "as it was submitted"
        assert act(leader, f"{EVENTS}{event}/reject", note="请核对").status_code == 200
        assert act(hr, f"{EVENTS}{event}/submit").status_code == 200
        done = act(leader, f"{EVENTS}{event}/approve")
        assert done.status_code == 200 and done.get_json()["result"]["from_department_id"] == department("BE")

    def test_another_employment_type_or_planned_day(self, client_as, employee, today, sql, fresh_db):
        pk, day = employee("member.zhao"), today + timedelta(days=5)
        sql("update hr_employment set state = 'probation', regular_on = :d where employee_id = :e", d=today + timedelta(days=90), e=pk)
        event = submitted(client_as("hr"), "regularise", pk, effective_on=day)
        sql("update hr_employment set regular_on = :d where employee_id = :e", d=today + timedelta(days=60), e=pk)
        assert error(act(client_as("leader"), f"{EVENTS}{event}/approve")) == (409, "before_changed")
        sql("update hr_employment set regular_on = :d where employee_id = :e", d=today + timedelta(days=90), e=pk)
        approved(client_as, "transfer", pk, effective_on=today, employment_type="dispatched")
        assert error(act(client_as("leader"), f"{EVENTS}{event}/approve")) == (409, "before_changed")

    def test_a_manager_who_does_not_work_here_on_the_day(self, client_as, employee, department, today, user_id, sql, fresh_db):
        hr, pk, liu = client_as("hr"), employee("member.zhao"), user_id("sales.liu")
        gone = today + timedelta(days=9)
        place = {"department_id": department("SAL"), "manager_id": liu}
        waits = submitted(hr, "transfer", pk, effective_on=gone + timedelta(days=1), **place)
        new = submitted(hr, "hire", **WHO, **place, effective_on=gone + timedelta(days=1))
        approved(client_as, "leave", employee("sales.liu"), effective_on=gone)
        for event in (waits, new):
            got = act(client_as("leader"), f"{EVENTS}{event}/approve")
            assert error(got) == (409, "not_possible") and "不在职" in got.get_json()["error"]["message"]
        got = prepare(hr, "transfer", pk, effective_on=gone + timedelta(days=2), **place)
        assert got.status_code == 422 and set(got.get_json()["error"]["fields"]) == {"manager_id"}
        assert prepare(hr, "transfer", pk, effective_on=gone, **place).status_code == 201, "still here on the last day"

    def test_who_left_long_ago_is_nobodys_manager_from_an_earlier_day(self, client_as, employee, department, today, user_id, sql, fresh_db):
        approved(client_as, "leave", employee("sales.liu"), effective_on=today - timedelta(days=3))
        place = {"department_id": department("SAL"), "manager_id": user_id("sales.liu")}
        got = prepare(client_as("hr"), "transfer", employee("member.zhao"), effective_on=today - timedelta(days=9), **place)
        assert got.status_code == 422 and "manager_id" in got.get_json()["error"]["fields"]


@pytest.mark.req("HRM-02", part="approval by a second person")
class TestWhoDecides:
    def test_the_scope_alone_does_not_approve(self, client_as, employee, department, today, sql, user_id, fresh_db):
        """Without the permission nobody is asked, and neither page nor REST nor the card on the home page lets them."""
        hr, leader, pk = client_as("hr"), client_as("leader"), employee("member.zhao")
        values = {"department_id": department("SAL"), "effective_on": today}
        event = submitted(hr, "transfer", pk, **values)
        assert f"/employee-events/{event}/approve" in leader.get(f"/employee-events/{event}").text
        sql("""delete from ab_permission_view_role r using ab_permission_view x, ab_permission p, ab_view_menu v
                where r.permission_view_id = x.id and p.id = x.permission_id and v.id = x.view_menu_id and p.name = 'can_approve'
                  and v.name = 'hr.EmployeeEvent' and r.role_id = (select id from ab_role where name = 'leader')""")
        sql("update security_epoch set n = n + 1")
        page = leader.get(f"/employee-events/{event}")
        assert page.status_code == 200 and f"/employee-events/{event}/approve" not in page.text
        assert act(leader, f"{EVENTS}{event}/approve").status_code == 403
        version = leader.get(f"{EVENTS}{event}").headers["ETag"].strip('"')
        assert leader.post(f"/employee-events/{event}/approve", data={"version": version}).status_code == 403
        assert f'href="/employee-events/{event}"' not in leader.get("/").text
        told = sql("select count(*) from notify_notice where kind = 'hr.change_submitted'")
        made = prepare(hr, "leave", employee("sales.liu"), effective_on=today + timedelta(days=3)).get_json()["id"]
        assert error(act(hr, f"{EVENTS}{made}/submit")) == (409, "no_approver")
        sql("insert into ab_user_role (id, user_id, role_id) select nextval('ab_user_role_id_seq'), :u, id from ab_role where name = 'hr'",
            u=user_id("buyer"))  # fmt: skip
        assert act(hr, f"{EVENTS}{made}/submit").status_code == 200
        asked = sql("select receiver_id from notify_notice where kind = 'hr.change_submitted' order by id")[told[0][0] :]
        assert asked == [(user_id("buyer"),)], "only who can approve hears of it"
