"""Leave from the request to the calendar, and rates of grades, on PostgreSQL."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from portal.kernel import calendar
from portal.kernel.db import unrestricted
from tests.modules.test_hr_people import act, department, employee, sql, today

__all__ = ["department", "employee", "sql", "today"]
LEAVES = "/api/v1/leaves/"
MONDAY = date(2026, 3, 2)


@pytest.fixture
def ask(client_as):
    """`ask("member.wang", from_day=…)`: a leave of the person, as far as submitted unless `draft`."""

    def make(username, draft=False, **values):
        client = client_as(username)
        body = {"kind": "annual", "from_day": "2026-09-07", "to_day": "2026-09-08"} | values
        got = client.post(LEAVES, json=body)
        assert got.status_code == 201, got.text
        pk = got.get_json()["id"]
        return pk if draft else (pk, act(client, f"{LEAVES}{pk}/submit"))

    return make


@pytest.fixture
def told(sql):
    """`told(pk)`: whom the portal told that leave *pk* waits for an answer."""
    return lambda pk: {
        r for (r,) in sql("select receiver_id from notify_notice where kind = 'hr.leave_submitted' and record_id = :p", p=pk)
    }


@pytest.mark.req("HRM-07", part="leave entry")
class TestLife:
    def test_from_the_request_to_the_answer(self, client_as, ask, user_id, sql, app, fresh_db):
        from modules.hr.actions import leave_days, on_leave

        pk, submitted = ask("member.wang", from_half="pm", reason="探亲")
        result = submitted.get_json()["result"]
        assert (submitted.status_code, result["state"], result["days"]) == (200, "submitted", "1.5")
        assert result["number"].startswith("QJ-") and result["user_id"] == user_id("member.wang")
        told = sql("select receiver_id from notify_notice where kind = 'hr.leave_submitted' and record_id = :p", p=pk)
        assert told == [(user_id("deputy.plt"),)]  # who answers for the nearest department upwards
        head = client_as("head.rd")
        assert "王一诺" in head.get(f"/leaves/{pk}").text
        got = act(head, f"{LEAVES}{pk}/approve", note="好")
        assert got.status_code == 200, got.text
        assert (got.get_json()["result"]["state"], got.get_json()["result"]["decided_by"]) == ("approved", user_id("head.rd"))
        assert sql("select receiver_id from notify_notice where kind = 'hr.leave_decided' and record_id = :p", p=pk) == [
            (user_id("member.wang"),)
        ]
        with app.app_context(), unrestricted("test"):
            me = user_id("member.wang")
            assert on_leave([me], date(2026, 9, 7))[me].halves == {"pm"} and not on_leave([me], date(2026, 9, 7))[me].whole_day
            assert on_leave([me], date(2026, 9, 8))[me].whole_day
            assert on_leave([me], date(2026, 9, 9)) == {}
            assert leave_days([me], date(2026, 9, 1), date(2026, 9, 8)) == {(me, date(2026, 9, 7)): Decimal("0.5")}
        history = client_as("member.wang").get(f"/leaves/{pk}/history")
        assert history.status_code == 200 and "孙望舒" in history.text

    def test_half_a_day_off_beside_half_a_day_away_is_work(self, app, client_as, ask, user_id, fresh_db):
        from modules.hr.actions import leave_days, on_leave

        day = date(2026, 9, 7)
        for kind, half in (("trip", "am"), ("annual", "pm")):
            pk, _got = ask("member.wang", kind=kind, from_day=day.isoformat(), to_day=day.isoformat(), from_half=half, to_half=half)
            assert act(client_as("head.rd"), f"{LEAVES}{pk}/approve").status_code == 200
        me = user_id("member.wang")
        with app.app_context(), unrestricted("test"):
            assert on_leave([me], day)[me].halves == {"pm"}
            assert leave_days([me], day, day + timedelta(days=1)) == {(me, day): Decimal("0.5")}

    def test_a_leave_of_centuries_is_refused_at_once(self, client_as, ask, fresh_db):
        _pk, got = ask("member.wang", to_day="2999-12-31")
        assert got.status_code == 422 and "to_day" in got.get_json()["error"]["fields"]
        assert (
            client_as("member.wang").post(LEAVES, json={"kind": "annual", "from_day": "2026-09-07", "to_day": "9999-12-31"}).status_code
            == 422
        )

    @pytest.mark.req("ALL-16", part="documents")
    def test_it_belongs_to_the_entity_that_employs_the_person(self, client_as, ask, sql, user_id, fresh_db):
        entity = sql('insert into kernel_entity (code, name) values (\'SUB\', \'{"zh": "子公司", "en": "Subsidiary"}\') returning id')[0][0]
        sql("update hr_employee set entity_id = :e where user_id = :u", e=entity, u=user_id("member.wang"))
        for who, own in (("member.wang", True), ("outsider", False)):
            pk = ask(who, draft=True)
            assert (client_as(who).get(f"{LEAVES}{pk}").get_json()["result"]["entity_id"] == entity) is own

    def test_a_rejection_needs_its_reason(self, client_as, ask, fresh_db):
        pk, _got = ask("member.wang")
        assert act(client_as("head.rd"), f"{LEAVES}{pk}/reject").status_code == 422
        got = act(client_as("head.rd"), f"{LEAVES}{pk}/reject", note="发布周")
        assert (got.get_json()["result"]["state"], got.get_json()["result"]["decision_note"]) == ("rejected", "发布周")

    def test_nobody_answers_the_own_leave_nor_that_of_others_people(self, client_as, ask, fresh_db):
        own, _got = ask("head.rd")
        assert act(client_as("head.rd"), f"{LEAVES}{own}/approve").status_code == 403
        other, _got = ask("member.wang", from_day="2026-09-14", to_day="2026-09-14")
        assert act(client_as("head.sales"), f"{LEAVES}{other}/approve", version="1").status_code == 404
        assert act(client_as("hr"), f"{LEAVES}{other}/approve").status_code == 403
        assert act(client_as("member.wang"), f"{LEAVES}{other}/approve").status_code == 403

    def test_hr_answers_for_the_head_of_the_company(self, client_as, ask, user_id, told, fresh_db):
        pk, _got = ask("ceo")
        assert told(pk) == {user_id("hr")}
        hr = client_as("hr")
        assert f'action="/leaves/{pk}/approve"' in hr.get("/").text
        assert act(hr, f"{LEAVES}{pk}/approve").status_code == 200
        assert f'action="/leaves/{pk}/approve"' not in hr.get("/").text

    def test_the_home_page_offers_only_what_the_reader_may_answer(self, client_as, ask, fresh_db):
        pk, _got = ask("member.wang")
        assert f'action="/leaves/{pk}/approve"' in client_as("head.rd").get("/").text
        assert f'action="/leaves/{pk}/approve"' not in client_as("hr").get("/").text

    def test_while_the_company_has_no_head_hr_answers_for_those_below(
        self, client_as, ask, told, user_id, department, sql, today, fresh_db
    ):
        sql("update hr_department_head set to_day = :t where department_id = :d", t=today, d=department("HQ"))
        add = "insert into hr_department_head (department_id, user_id, kind, from_day) values (:d, :u, 'deputy', :t)"
        sql(add, d=department("RD"), u=user_id("deputy.plt"), t=today)
        pk, _got = ask("head.rd")
        assert told(pk) == {user_id("hr")}
        for who in ("deputy.plt", "member.wang"):
            assert act(client_as(who), f"{LEAVES}{pk}/approve", version="1").status_code in (403, 404), who
        assert act(client_as("head.rd"), f"{LEAVES}{pk}/approve").status_code == 403
        other, _got = ask("member.wang")
        assert act(client_as("hr"), f"{LEAVES}{other}/approve").status_code == 403, "this person has a head"
        assert act(client_as("hr"), f"{LEAVES}{pk}/approve").status_code == 200

    @pytest.mark.parametrize("kind", ["acting", "deputy"])
    def test_hr_answers_for_whoever_stands_in_for_the_head_of_the_company(
        self, client_as, ask, told, user_id, department, sql, today, fresh_db, kind
    ):
        sql("update hr_department_head set to_day = :t where department_id = :d", t=today, d=department("HQ"))
        add = "insert into hr_department_head (department_id, user_id, kind, from_day) values (:d, :u, :k, :t)"
        sql(add, d=department("HQ"), u=user_id("ceo"), k=kind, t=today)
        own, _got = ask("ceo")
        assert told(own) == {user_id("hr")}
        assert act(client_as("hr"), f"{LEAVES}{own}/approve").status_code == 200
        below, _got = ask("head.rd")
        assert told(below) == {user_id("ceo")}
        assert act(client_as("hr"), f"{LEAVES}{below}/approve").status_code == 403
        assert act(client_as("ceo"), f"{LEAVES}{below}/approve").status_code == 200

    def test_a_head_of_a_dissolved_department_above_counts(self, client_as, ask, told, user_id, department, sql, fresh_db):
        sql("update hr_department set archived_at = now() where id = :d", d=department("PLT"))
        sql("update hr_department_head set archived_at = now() where department_id = :d", d=department("PLT"))
        pk, _got = ask("member.wang")
        assert told(pk) == {user_id("head.rd")}
        assert act(client_as("hr"), f"{LEAVES}{pk}/approve").status_code == 403
        assert act(client_as("head.rd"), f"{LEAVES}{pk}/approve").status_code == 200

    def test_overlap_is_refused_half_days_apart_are_not(self, ask, fresh_db):
        ask("member.wang", from_day="2026-09-07", to_day="2026-09-07", to_half="am")
        _pk, beside = ask("member.wang", from_day="2026-09-07", from_half="pm", to_day="2026-09-08")
        assert beside.status_code == 200
        _pk, clash = ask("member.wang", from_day="2026-09-08", from_half="pm", to_day="2026-09-09")
        assert (clash.status_code, clash.get_json()["error"]["code"]) == (409, "overlap")

    def test_the_database_refuses_overlap_by_itself(self, ask, sql, user_id, fresh_db):
        import sqlalchemy.exc

        ask("member.wang")
        with pytest.raises(sqlalchemy.exc.IntegrityError, match="hr_leave_apart"):
            sql(
                """insert into hr_leave (user_id, kind, from_day, to_day, state, entity_id)
                   select user_id, kind, to_day, to_day, 'approved', entity_id from hr_leave where user_id = :u and state = 'submitted'""",
                u=user_id("member.wang"),
            )

    def test_cancelling_frees_the_days(self, client_as, ask, fresh_db):
        pk, _got = ask("member.wang")
        assert act(client_as("member.wang"), f"{LEAVES}{pk}/cancel").status_code == 200
        _pk, again = ask("member.wang")
        assert again.status_code == 200

    def test_what_is_over_only_hr_cancels(self, client_as, ask, fresh_db):
        pk, _got = ask("member.wang", from_day="2026-01-12", to_day="2026-01-12")
        assert act(client_as("head.rd"), f"{LEAVES}{pk}/approve").status_code == 200
        got = act(client_as("member.wang"), f"{LEAVES}{pk}/cancel")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "over")
        assert act(client_as("hr"), f"{LEAVES}{pk}/cancel").status_code == 200

    @pytest.mark.parametrize(
        ("values", "status"),
        [
            ({"from_day": "2026-09-09", "to_day": "2026-09-08"}, 422),
            ({"from_day": "2026-09-08", "to_day": "2026-09-08", "from_half": "pm", "to_half": "am"}, 422),
            ({"kind": "sabbatical"}, 422),
            ({"user_id": 1}, 422),
            ({"state": "approved"}, 422),
            ({"days": "9"}, 422),
            ({"from_day": "someday"}, 422),
        ],
    )
    def test_bad_input(self, client_as, values, status):
        body = {"kind": "annual", "from_day": "2026-09-07", "to_day": "2026-09-08"} | values
        assert client_as("member.wang").post(LEAVES, json=body).status_code == status

    def test_rest_days_only_or_before_joining_is_refused(self, ask, fresh_db):
        _pk, weekend = ask("member.wang", from_day="2026-09-12", to_day="2026-09-13")
        assert weekend.status_code == 422
        _pk, early = ask("member.wang", from_day="2001-01-08", to_day="2001-01-08")
        assert early.status_code == 422

    def test_what_was_asked_for_is_not_changed(self, client_as, ask, fresh_db):
        pk, _got = ask("member.wang")
        c = client_as("member.wang")
        got = c.put(f"{LEAVES}{pk}", json={"to_day": "2026-09-30"}, headers={"If-Match": c.get(f"{LEAVES}{pk}").headers["ETag"]})
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "wrong_state")

    def test_bulk_approval_says_which_were_refused(self, client_as, ask, fresh_db):
        one, _got = ask("member.wang")
        own, _got = ask("head.rd")
        got = client_as("head.rd").post(f"{LEAVES}actions/approve", json={"ids": [one, own]})
        assert got.get_json()["done"] == [one] and list(got.get_json()["refused"]) == [str(own)]

    def test_a_trip_is_away_but_not_on_leave(self, app, client_as, ask, user_id, fresh_db):
        from modules.hr.actions import away, on_leave

        pk, _got = ask("member.wang", kind="trip")
        act(client_as("head.rd"), f"{LEAVES}{pk}/approve")
        me, day = user_id("member.wang"), date(2026, 9, 7)
        with app.app_context(), unrestricted("test"):
            assert on_leave([me], day) == {}
            assert away([me], day, day + timedelta(days=1))[me, day].kind == "trip"

    def test_the_home_page_of_a_head_offers_it(self, client_as, ask, fresh_db):
        pk, _got = ask("member.wang")
        head = client_as("head.rd")
        page = head.get("/")
        assert f"/leaves/{pk}/approve" in page.text
        version = head.get(f"{LEAVES}{pk}").headers["ETag"].strip('"')
        done = head.post(f"/leaves/{pk}/approve", data={"version": version, "next": "/"})
        assert done.status_code == 303 and done.headers["Location"] == "/"
        assert head.get(f"{LEAVES}{pk}").get_json()["result"]["state"] == "approved"


@pytest.mark.req("VIS-02", part="leave")
def test_leave_is_seen_by_the_person_the_heads_and_hr(client_as, sql):
    pk = sql("select l.id from hr_leave l join ab_user u on u.id = l.user_id where u.username = 'member.zhao'")[0][0]
    for who, status in (
        ("member.zhao", 200),
        ("head.rd", 200),
        ("ceo", 200),
        ("hr", 200),
        ("deputy.plt", 200),
        ("head.sales", 404),
        ("pm.li", 404),
        ("admin", 404),
    ):
        assert client_as(who).get(f"{LEAVES}{pk}").status_code == status, who
        assert client_as(who).get(f"/leaves/{pk}").status_code == status, who


@pytest.mark.req("HRM-07", part="leave entry")
@pytest.mark.parametrize("kind", ["deputy", "acting"])
def test_who_stands_in_for_a_head_does_not_answer_the_heads_own_leave(client_as, ask, sql, user_id, department, fresh_db, kind):
    with_head = "insert into hr_department_head (department_id, user_id, kind, from_day) values (:d, :u, 'head', '2020-01-01')"
    sql(with_head, d=department("PLT"), u=user_id("member.zhao"))
    sql("update hr_department_head set kind = :k where user_id = :u", k=kind, u=user_id("deputy.plt"))
    stand_in = client_as("deputy.plt")
    (heads, _), (members, _) = ask("member.zhao"), ask("member.wang")
    assert stand_in.get(f"{LEAVES}{heads}").status_code == 200  # seen, but somebody above answers
    assert act(stand_in, f"{LEAVES}{heads}/approve").status_code == 403
    assert act(stand_in, f"{LEAVES}{heads}/reject", note="x").status_code == 403
    assert f"/leaves/{heads}/approve" not in stand_in.get(f"/leaves/{heads}").text
    assert act(stand_in, f"{LEAVES}{members}/approve").status_code == 200
    assert act(client_as("head.rd"), f"{LEAVES}{heads}/approve").status_code == 200


@pytest.mark.req("HRM-03")
class TestRates:
    def rate(self, day, **more):
        return {
            "from_day": day.isoformat(),
            "base_salary": "10000",
            "performance_pay": "2000",
            "project_performance": "1000",
            "daily_cost": "900.50",
        } | more

    def test_a_new_rate_closes_the_one_before_and_the_past_stays(self, client_as, sql, today, app, fresh_db):
        from modules.hr.actions import rate_of

        grade = sql("select id from hr_grade")[0][0]
        day = today + timedelta(days=30)
        got = act(client_as("hr"), f"/api/v1/grades/{grade}/set-rate", **self.rate(day))
        assert got.status_code == 200, got.text
        with app.app_context(), unrestricted("test"):
            costs = {n: rate_of(grade, today + timedelta(days=n)).daily_cost for n in (-101, -100, 0, 29, 30)}
        assert costs == {-101: Decimal("700"), -100: Decimal("800"), 0: Decimal("800"), 29: Decimal("800"), 30: Decimal("900.50")}
        planned = sql("select id from hr_grade_rate where from_day = :d", d=day)[0][0]
        assert act(client_as("hr"), f"/api/v1/grade-rates/{planned}/withdraw").status_code == 200
        assert sql("select count(*) from hr_grade_rate where to_day is null and archived_at is null and grade_id = :g", g=grade) == [(1,)]

    def test_the_past_cannot_be_touched(self, client_as, sql, today):
        hr, grade = client_as("hr"), sql("select id from hr_grade")[0][0]
        url = f"/api/v1/grades/{grade}/set-rate"
        assert act(hr, url, **self.rate(today - timedelta(days=1))).status_code == 422
        assert act(hr, url, **self.rate(today, daily_cost="-1")).status_code == 422
        assert act(hr, url, **self.rate(today, daily_cost="1.005")).status_code == 422
        assert act(hr, url, **self.rate(today, daily_cost="NaN")).status_code == 422
        running = sql("select id from hr_grade_rate where to_day is null")[0][0]
        assert act(hr, f"/api/v1/grade-rates/{running}/withdraw").status_code == 409
        assert hr.put(f"/api/v1/grade-rates/{running}", json={"daily_cost": "1"}, headers={"If-Match": "1"}).status_code == 405
        assert hr.delete(f"/api/v1/grade-rates/{running}", headers={"If-Match": "1"}).status_code == 405

    def test_the_database_refuses_overlapping_rates(self, sql):
        import sqlalchemy.exc

        with pytest.raises(sqlalchemy.exc.IntegrityError, match="hr_grade_rate_apart"):
            sql("""insert into hr_grade_rate (grade_id, from_day, base_salary, performance_pay, project_performance, daily_cost)
                   select grade_id, from_day + 1, 1, 1, 1, 1 from hr_grade_rate where to_day is null""")

    @pytest.mark.req("VIS-08", part="cost rates")
    def test_only_hr_and_finance_see_rates(self, client_as, sql):
        for who, status in (("hr", 200), ("finance", 200), ("leader", 403), ("head.rd", 403), ("member.wang", 403), ("admin", 403)):
            assert client_as(who).get("/api/v1/grade-rates/").status_code == status, who
        assert client_as("finance").get("/api/v1/grade-rates/").get_json()["count"] == 2
        grade = sql("select id from hr_grade")[0][0]
        assert "800" in client_as("finance").get(f"/grades/{grade}").text
        assert "800.00" not in client_as("head.rd").get(f"/grades/{grade}").text
        assert act(client_as("finance"), f"/api/v1/grades/{grade}/set-rate", **self.rate(calendar.date.max)).status_code == 403
