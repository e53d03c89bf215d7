"""Joining, moving and leaving through REST and pages, with effective dates, on PostgreSQL."""

from datetime import timedelta

import pytest

from portal.kernel import calendar
from portal.kernel.db import unrestricted
from tests.factories.changes import EVENTS, act, approved, prepare

EMPLOYEES = "/api/v1/employees/"


@pytest.fixture
def today(app):
    with app.app_context():
        return calendar.today()


@pytest.fixture
def sql(app):
    """Rows of a statement, as the system."""
    from sqlalchemy import text

    def run(statement, **values):
        with app.app_context(), unrestricted("test") as s:
            got = s.execute(text(statement), values)
            return got.all() if got.returns_rows else []

    return run


@pytest.fixture
def employee(sql):
    return lambda username: sql("select e.id from hr_employee e join ab_user u on u.id = e.user_id where u.username = :u", u=username)[0][0]


@pytest.fixture
def department(sql):
    return lambda code: sql("select id from hr_department where code = :c", c=code)[0][0]


@pytest.fixture
def apply_due(app):
    """What the daily job does at the start of a day; returns how many people and changes it touched."""
    from modules.hr.actions import apply_due_assignments, take_effect

    def run(day):
        with app.app_context(), calendar.freeze(day), unrestricted("test"):
            return apply_due_assignments(day) + take_effect(day)

    return run


def newcomer(department_id, **more):
    body = {"name": "柳随风", "employee_number": "E9001", "username": "liu.suifeng", "department_id": department_id}
    return body | {"effective_on": "2024-01-08"} | more


@pytest.mark.req("HRM-02")
class TestJoining:
    @pytest.mark.parametrize("username", ["a b", "x", "王小明", "a'; --", "a" * 65, "-a", "@a", "<a@b>"])
    def test_an_account_name_one_can_type(self, client_as, department, username):
        got = prepare(client_as("hr"), "hire", **newcomer(department("PLT"), username=username))
        assert got.status_code == 422 and "username" in got.get_json()["error"]["fields"]

    def test_a_hired_person_can_be_found(self, client_as, department, sql, fresh_db):
        pk = approved(client_as, "hire", **newcomer(department("PLT")))["employee_id"]
        assert client_as("outsider").get(f"{EMPLOYEES}{pk}").get_json()["result"]["name"] == "柳随风"
        assert sql("select active, first_name, last_name from ab_user where username = 'liu.suifeng'") == [(True, "随风", "柳")]
        assert sql("select count(*) from security_account a join ab_user u on u.id = a.user_id where u.username = 'liu.suifeng'")[0][0] == 1
        assert sql("select r.name from ab_user_role x join ab_role r on r.id = x.role_id join ab_user u on u.id = x.user_id "
                   "where u.username = 'liu.suifeng'") == [("employee",)]  # fmt: skip
        assert sql("select from_day::text, to_day from hr_assignment where employee_id = :e", e=pk) == [("2024-01-08", None)]

    def test_an_e_mail_address_as_in_keycloak_is_an_account_name(self, client_as, department, sql, fresh_db):
        for n, name in enumerate(("Liu.Suifeng@shuniu.example", "liu.suifeng@other.example")):
            approved(client_as, "hire", **newcomer(department("PLT"), username=name, employee_number=f"E900{n}"))
        accounts = sql("select username, email from ab_user where username like 'liu.suifeng%' order by 1")
        assert [a[0] for a in accounts] == ["liu.suifeng@other.example", "liu.suifeng@shuniu.example"]
        assert all(a[1].count("@") == 1 and a[1].endswith("@example.invalid") for a in accounts), accounts  # no address was given

    @pytest.mark.req("POR-02", part="the account opens on the day of joining")
    def test_who_joins_later_cannot_sign_in_before(self, client_as, department, sql, today, apply_due, fresh_db):
        day = today + timedelta(days=10)
        assert approved(client_as, "hire", **newcomer(department("PLT"), effective_on=day))["state"] == "approved"
        state = "select u.active, e.active from ab_user u join hr_employee e on e.user_id = u.id where u.username = 'liu.suifeng'"
        assert sql(state) == [(False, False)]
        apply_due(day - timedelta(days=1))
        assert sql(state) == [(False, False)]
        apply_due(day)
        assert sql(state) == [(True, True)]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"employee_number": "E0001"}, "employee_number"),
            ({"username": "HR"}, "username"),
            ({"name": " "}, "name"),
            ({"department_id": 99999999}, "department_id"),
            ({"work_email": "hr@shuniu.example"}, "work_email"),
            ({"regular_on": "2023-01-01"}, "regular_on"),
            ({"employment_type": "pirate"}, "employment_type"),
            ({"active": True}, "active"),
            ({"user_id": 1}, "user_id"),
            ({"state": "approved"}, "state"),
            ({"employee_id": 1}, "employee_id"),
        ],
    )
    def test_bad_input_is_named_and_nothing_is_left_behind(self, client_as, department, sql, change, field):
        before = sql("select count(*) from hr_employee_event")
        got = prepare(client_as("hr"), "hire", **newcomer(department("PLT")) | change)
        assert got.status_code == 422, got.text
        assert field in got.get_json()["error"]["fields"]
        assert sql("select count(*) from hr_employee_event") == before

    def test_only_hr_prepares(self, client_as, department):
        for who in ("head.rd", "leader", "admin", "outsider"):
            assert prepare(client_as(who), "hire", **newcomer(department("PLT"))).status_code == 403, who

    def test_the_form_keeps_what_was_typed(self, client_as, department):
        got = client_as("hr").post("/employee-events/add?kind=hire", data=newcomer(department("PLT"), employee_number="E0001"))
        assert got.status_code == 422
        assert "柳随风" in got.text and "liu.suifeng" in got.text

    def test_the_form_prepares(self, client_as, department, fresh_db):
        got = client_as("hr").post("/employee-events/add?kind=hire", data=newcomer(department("PLT"), regular_on=""))
        assert got.status_code == 303, got.text
        assert "柳随风" in client_as("hr").get(got.headers["Location"]).text


@pytest.mark.req("HRM-02", part="effective dates")
class TestMoving:
    def test_a_transfer_from_next_month_happens_on_its_day(
        self, client_as, employee, department, today, sql, apply_due, user_id, session_as, fresh_db
    ):
        from modules.hr.actions import assignment_on

        pk, day = employee("member.zhao"), today + timedelta(days=20)
        approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=day, reason="支援")
        assert client_as("hr").get(f"{EMPLOYEES}{pk}").get_json()["result"]["department_id"] == department("PLT")
        with session_as("hr"):
            assert assignment_on(user_id("member.zhao"), day - timedelta(days=1)).department_id == department("PLT")
            assert assignment_on(user_id("member.zhao"), day).department_id == department("SAL")
        apply_due(day - timedelta(days=1))
        assert sql("select department_id from hr_employee where id = :e", e=pk) == [(department("PLT"),)]
        assert apply_due(day) >= 1
        assert sql("select department_id from hr_employee where id = :e", e=pk) == [(department("SAL"),)]
        assert apply_due(day) == 0
        assert sql("select count(*) from notify_notice where kind = 'hr.moved' and receiver_id = :u", u=user_id("member.zhao")) == [(1,)]

    def test_the_new_head_sees_from_that_day_on(self, client_as, employee, department, today, sql, fresh_db):
        pk = employee("member.zhao")
        record = f"/api/v1/employments/{sql('select id from hr_employment where employee_id = :e', e=pk)[0][0]}"
        assert client_as("head.rd").get(record).status_code == 200
        assert client_as("head.sales").get(record).status_code == 404
        assert approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=today)["state"] == "effective"
        assert client_as("head.rd").get(record).status_code == 404
        assert client_as("head.sales").get(record).status_code == 200

    def test_a_planned_transfer_is_withdrawn(self, client_as, employee, department, today, sql, fresh_db):
        hr, pk, day = client_as("hr"), employee("member.zhao"), today + timedelta(days=20)
        event = approved(client_as, "transfer", pk, department_id=department("SAL"), effective_on=day)
        later = prepare(hr, "transfer", pk, department_id=department("ADM"), effective_on=day - timedelta(days=5))
        assert (later.status_code, later.get_json()["error"]["code"]) == (409, "later_change")
        planned = sql("select id from hr_assignment where employee_id = :e and from_day = :d", e=pk, d=day)[0][0]
        alone = act(hr, f"/api/v1/assignments/{planned}/withdraw")
        assert (alone.status_code, alone.get_json()["error"]["code"]) == (409, "by_event")
        assert act(hr, f"{EVENTS}{event['id']}/cancel").status_code == 422, "not without a reason"
        assert act(hr, f"{EVENTS}{event['id']}/cancel", note="项目取消").get_json()["result"]["state"] == "cancelled"
        assert sql("select from_day < :d, to_day from hr_assignment where employee_id = :e and archived_at is null", e=pk, d=day) == [
            (True, None)
        ]

    def test_refusals(self, client_as, employee, department, today):
        hr, pk = client_as("hr"), employee("member.zhao")
        cases = [
            ({"effective_on": today}, 409),  # nothing would change
            ({"department_id": department("SAL"), "effective_on": "1999-01-01"}, 409),
            ({"department_id": 99999999, "effective_on": today}, 422),
            ({"department_id": None, "effective_on": today}, 422),
            ({"department_id": department("SAL"), "effective_on": "soon"}, 422),
            ({"department_id": department("SAL")}, 422),
        ]
        for body, status in cases:
            got = prepare(hr, "transfer", pk, **body)
            assert got.status_code == status, (body, got.text)
        for who in ("head.rd", "member.zhao", "admin", "leader"):
            assert prepare(client_as(who), "transfer", pk, department_id=department("SAL"), effective_on=today).status_code == 403, who

    def test_nobody_does_it_alone(self, client_as, employee, department, today, sql):
        """No way around the second person by page or REST: the direct operations, the terms, a place put right."""
        hr, pk = client_as("hr"), employee("member.zhao")
        page = hr.get(f"/people/{pk}").text
        for name in ("transfer", "make-regular", "leave-company", "rehire"):
            assert act(hr, f"{EMPLOYEES}{pk}/{name}", department_id=department("SAL"), from_day=today.isoformat()).status_code == 404, name
            assert f"/people/{pk}/{name}" not in page
        assert hr.post(EMPLOYEES, json=newcomer(department("PLT"))).status_code == 405
        assert hr.post("/people/add", data=newcomer(department("PLT"))).status_code in (404, 405)
        terms = f"/api/v1/employments/{sql('select id from hr_employment where employee_id = :e', e=pk)[0][0]}"
        got = hr.put(terms, json={"regular_on": "2030-01-01"}, headers={"If-Match": hr.get(terms).headers["ETag"]})
        assert got.status_code == 405
        place = f"/api/v1/assignments/{sql('select id from hr_assignment where employee_id = :e', e=pk)[0][0]}/correct"
        assert act(hr, place, reason="笔误", department_id=department("SAL")).status_code == 422

    def test_the_page_leads_to_the_form(self, client_as, employee):
        pk = employee("member.zhao")
        page = client_as("hr").get(f"/people/{pk}")
        assert f"/employee-events/add?kind=transfer&amp;employee_id={pk}" in page.text
        assert "/employee-events/add" not in client_as("head.rd").get(f"/people/{pk}").text
        form = client_as("hr").get(f"/employee-events/add?kind=transfer&employee_id={pk}")
        assert form.status_code == 200 and "部门 PLT" in form.text, "begins with what holds now"
        assert "/employee-events/add?kind=hire" in client_as("hr").get("/people/").text
        assert client_as("head.rd").get("/employee-events/add?kind=hire").status_code == 403


@pytest.mark.req("HRM-02", part="leaving")
class TestLeaving:
    @pytest.mark.req("POR-02", part="the account closes after the last day")
    def test_the_account_closes_when_the_last_day_is_over(self, client_as, employee, today, sql, apply_due, fresh_db):
        pk = employee("sales.liu")
        assert client_as("sales.liu").get("/api/v1/me").status_code == 200
        approved(client_as, "leave", pk, effective_on=today + timedelta(days=3), reason="离职")
        state = """select e.active, u.active, x.state from hr_employee e join ab_user u on u.id = e.user_id
                   join hr_employment x on x.employee_id = e.id where e.id = :e"""
        apply_due(today + timedelta(days=3))
        assert sql(state, e=pk)[0][:2] == (True, True)
        apply_due(today + timedelta(days=4))
        assert sql(state, e=pk) == [(False, False, "left")]
        assert client_as("sales.liu").get("/api/v1/me").status_code == 401
        assert sql("select count(*) from hr_assignment where employee_id = :e", e=pk) == [(1,)]

    def test_departments_and_teams_are_left_too(self, client_as, employee, today, sql, user_id, apply_due, fresh_db):
        for who in ("head.sales", "member.wang", "pm.chen"):
            approved(client_as, "leave", employee(who), effective_on=today - timedelta(days=1))
        open_ended = "select count(*) from {} where user_id = :u and archived_at is null and (to_day is null or to_day > :t)"
        assert sql(open_ended.format("hr_department_head"), u=user_id("head.sales"), t=today) == [(0,)]
        assert sql(open_ended.format("project_member"), u=user_id("member.wang"), t=today) == [(0,)]
        told = sql("select distinct receiver_id from notify_notice where kind = 'project.manager_left'")
        assert (user_id("domain.manager"),) in told

    def test_back_again_under_the_same_number(self, client_as, employee, department, today, sql, fresh_db):
        pk = employee("sales.liu")
        number = sql("select number from hr_employee where id = :e", e=pk)
        early = prepare(client_as("hr"), "rehire", pk, department_id=department("RD"), effective_on=today)
        assert (early.status_code, early.get_json()["error"]["code"]) == (409, "employed")
        approved(client_as, "leave", pk, effective_on=today - timedelta(days=5))
        approved(client_as, "rehire", pk, department_id=department("RD"), effective_on=today, employment_type="fixed_term")
        assert sql(
            "select e.number, e.active, x.state, x.left_on, x.employment_type"
            " from hr_employee e join hr_employment x on x.employee_id = e.id where e.id = :e",
            e=pk,
        ) == [(number[0][0], True, "regular", None, "fixed_term")]

    def test_back_again_the_very_next_day(self, client_as, employee, department, today, sql, apply_due, fresh_db):
        pk, tomorrow = employee("sales.liu"), today + timedelta(days=1)
        approved(client_as, "leave", pk, effective_on=today)
        approved(client_as, "rehire", pk, department_id=department("RD"), effective_on=tomorrow)
        assert apply_due(tomorrow) and not apply_due(tomorrow)
        assert sql(
            "select e.active, x.state, x.joined_on, x.left_on"
            " from hr_employee e join hr_employment x on x.employee_id = e.id where e.id = :e",
            e=pk,
        ) == [(True, "regular", tomorrow, None)]

    @pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "3000-01-01"])
    def test_days_out_of_reach_are_refused(self, client_as, employee, day):
        got = prepare(client_as("hr"), "leave", employee("sales.liu"), effective_on=day)
        assert got.status_code == 422 and "effective_on" in got.get_json()["error"]["fields"]

    def test_an_employee_is_never_archived(self, client_as, employee):
        got = client_as("hr").delete(f"{EMPLOYEES}{employee('sales.liu')}", headers={"If-Match": "1"})
        assert got.status_code == 405


@pytest.mark.req("POR-02", part="name")
def test_the_account_follows_the_name(client_as, employee, sql, user_id, fresh_db):
    hr, url = client_as("hr"), f"{EMPLOYEES}{employee('member.wang')}"
    got = hr.put(url, json={"name": "欧阳一诺"}, headers={"If-Match": hr.get(url).headers["ETag"]})
    assert got.status_code == 200, got.text
    assert sql("select last_name, first_name from ab_user where id = :u", u=user_id("member.wang")) == [("欧阳", "一诺")]
    assert hr.put(url, json={"number": "E0001"}, headers={"If-Match": hr.get(url).headers["ETag"]}).status_code == 409


@pytest.mark.req("VIS-08")
class TestWhoSeesWhat:
    def test_everybody_reads_the_directory_without_the_rest(self, client_as, employee):
        entry = client_as("outsider").get(f"{EMPLOYEES}{employee('member.wang')}").get_json()["result"]
        assert {"name", "department", "post", "work_phone", "work_email"} <= set(entry)
        assert not {"grade_id", "joined_on", "identity_number", "bank_account"} & set(entry)
        page = client_as("outsider").get(f"/people/{employee('member.wang')}").text
        assert "SECRET-" not in page and "6222-" not in page and "/assignments" not in page

    @pytest.mark.req("HRM-02", part="protected fields")
    def test_private_fields_only_for_the_person_and_hr(self, client_as, employee, sql):
        pk = employee("member.wang")
        private = f"/api/v1/employee-private/{sql('select id from hr_employee_private where employee_id = :e', e=pk)[0][0]}"
        for who, status in (("member.wang", 200), ("hr", 200), ("head.rd", 404), ("leader", 404), ("admin", 404), ("finance", 404)):
            assert client_as(who).get(private).status_code == status, who
        assert "SECRET-" in client_as("member.wang").get(f"/people/{pk}").text
        assert "SECRET-" not in client_as("head.rd").get(f"/people/{pk}").text
        got = client_as("member.wang").put(private, json={"bank_account": "1"}, headers={"If-Match": "1"})
        assert got.status_code == 403

    def test_a_wrong_identity_number_is_refused_on_the_record_too(self, client_as, employee, sql):
        private = (
            f"/api/v1/employee-private/{sql('select id from hr_employee_private where employee_id = :e', e=employee('member.wang'))[0][0]}"
        )
        hr = client_as("hr")
        got = hr.put(private, json={"identity_number": "110105194912310021"}, headers={"If-Match": hr.get(private).headers["ETag"]})
        assert got.status_code == 422 and "identity_number" in got.get_json()["error"]["fields"]

    def test_the_own_page_and_phone(self, client_as, employee, fresh_db):
        got = client_as("member.wang").get("/my-record/")
        assert got.status_code == 302 and got.headers["Location"] == f"/people/{employee('member.wang')}"
        me = act(client_as("hr"), f"{EMPLOYEES}{employee('member.wang')}/change-contact", work_phone="0571-1")
        assert me.status_code == 200 and me.get_json()["result"]["work_phone"] == "0571-1"
