"""The team board, project hours, statistics, reminders and risk rules, on PostgreSQL."""

import io
from datetime import datetime, timedelta

import pytest
from openpyxl import load_workbook

from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import unrestricted
from tests.modules.test_dailyreport_writing import lines, project, workday, write
from tests.modules.test_hr_people import act, sql, today

__all__ = ["lines", "project", "sql", "today", "workday", "write"]


def figure(page, label):
    """The text of a key figure of a page."""
    part = page.split(f"<dt>{label}</dt><dd>", 1)[1].split("</dd>", 1)[0]
    return " ".join("".join(c if depth == 0 else "" for c, depth in _outside_tags(part)).split())


def _outside_tags(text):
    depth = 0
    for c in text:
        depth += c == "<"
        yield c, depth
        depth -= c == ">"


@pytest.mark.req("DAY-05")
class TestBoard:
    def test_a_head_sees_the_own_subtree(self, client_as, write, workday, project):
        write("member.wang", workday, [f"p:{project('Alpha')} 6 联调", "c:meeting 2 例会"], has_problems="1", problems="缺一台网关")
        page = client_as("head.rd").get(f"/team-board/?day={workday}").text
        for name in ("王一诺", "赵青禾", "陈嘉树", "李闻溪", "吴思远", "宋质"):
            assert name in page
        for name in ("邓外", "刘长风", "林晚舟"):
            assert name not in page
        assert "缺一台网关" in page and "XM-TEST-0001 Project Alpha" in page

    def test_nobody_but_heads_and_hr_has_one(self, client_as):
        for who in ("outsider", "pm.chen", "member.wang", "leader", "qa", "acting.old", "acting.soon"):
            assert client_as(who).get("/team-board/").status_code == 404, who
            assert client_as(who).get("/report-statistics/").status_code == 404, who
        for who in ("head.rd", "ceo", "hr", "deputy.plt", "head.sales"):
            assert client_as(who).get("/team-board/").status_code == 200, who
        assert client_as("admin").get("/team-board/").status_code in (403, 404)

    def test_foreign_departments_and_people_do_not_exist(self, client_as, sql, user_id, workday):
        sales = sql("select id from hr_department where code = 'SAL'")[0][0]
        head = client_as("head.rd")
        assert head.get(f"/team-board/?unit={sales}").status_code == 404
        assert head.get(f"/team-board/cell?person={user_id('outsider')}&day={workday}").status_code == 404
        assert head.get(f"/team-board/cell?person={user_id('member.wang')}&day={workday}").status_code == 200
        assert head.get(f"/team-board/export.xlsx?unit={sales}").status_code == 404

    @pytest.mark.parametrize("query", ["by=year", "day=2026-13-01", "unit=x", "unit=-1", "by=week&day=x"])
    def test_nonsense_is_answered_and_not_a_failure(self, client_as, query):
        assert client_as("head.rd").get(f"/team-board/?{query}").status_code in (400, 404)

    @pytest.mark.parametrize("by", ["day", "week", "month"])
    def test_every_period_with_few_statements(self, client_as, by, app, workday):
        from tests.modules.statements import counted

        with counted(app) as sent:
            assert client_as("ceo").get(f"/team-board/?by={by}&day={workday}").status_code == 200
        assert len(sent) <= 15, "\n".join(sent)

    @pytest.mark.req("VIS-03")
    def test_of_a_hidden_project_a_head_reads_number_and_name_only(
        self, client_as, write, workday, project, user_id, session_as, raw_as, sql
    ):
        write("member.wang", workday, [f"p:{project('Alpha')} 6 密钥轮换方案", "c:meeting 2 例会"])
        head = client_as("head.rd")
        cell = head.get(f"/team-board/cell?person={user_id('member.wang')}&day={workday}").text
        assert "XM-TEST-0001 Project Alpha" in cell and "6.0" in cell and "例会" in cell
        assert "密钥轮换方案" not in cell and f"/projects/{project('Alpha')}" not in cell
        line = sql("select id from dailyreport_line where project_id is not null and day = :d", d=workday)[0][0]
        got = head.get(f"/api/v1/daily-report-lines/{line}").get_json()["result"]
        assert got["done"] is None and got["project_label"] == "XM-TEST-0001 Project Alpha"
        listed = (
            head.get("/daily-report-lines/").text
            + head.get("/daily-report-lines/export.csv").text
            + head.get(f"/daily-report-lines/{line}").text
        )
        assert "密钥轮换方案" not in listed
        with raw_as("head.rd") as conn:
            assert conn.execute("select done from dailyreport_line_text where line_id = %s", [line]).fetchone() is None
        for who in ("pm.chen", "domain.manager", "leader", "qa", "member.wang"):
            with raw_as(who) as conn:
                assert conn.execute("select done from dailyreport_line_text where line_id = %s", [line]).fetchone() == ("密钥轮换方案",), (
                    who
                )
        # once the head is on the project, the words are visible too
        role = sql("select id from project_role where code = 'DEV'")[0][0]
        sql(
            "insert into project_member (project_id, user_id, role_id, from_day) values (:p, :u, :r, :d)",
            p=project("Alpha"), u=user_id("head.rd"), r=role, d=workday,
        )  # fmt: skip
        assert "密钥轮换方案" in head.get(f"/team-board/cell?person={user_id('member.wang')}&day={workday}").text

    def test_comment_and_like_reach_the_author(self, client_as, write, workday, sql, user_id):
        write("outsider", workday, ["c:other 8 市场活动"])
        report = sql("select id from dailyreport_report where author_id = :a and day = :d", a=user_id("outsider"), d=workday)[0][0]
        head = client_as("head.sales")
        got = head.post(f"/team-board/report/{report}/comment", data={"text": "辛苦了"}, headers={"HX-Request": "true"})
        assert got.status_code == 200 and "辛苦了" in got.text
        assert 'aria-pressed="true"' in head.post(f"/team-board/report/{report}/like", headers={"HX-Request": "true"}).text
        assert 'aria-pressed="false"' in head.post(f"/team-board/report/{report}/like", headers={"HX-Request": "true"}).text
        assert (
            sql("select count(*) from notify_notice where receiver_id = :u and kind = 'dailyreport.commented'", u=user_id("outsider"))[0][0]
            == 1
        )
        assert "辛苦了" in client_as("outsider").get(f"/daily-reports/{report}").text
        for who in ("pm.chen", "member.wang", "head.rd"):
            assert client_as(who).post(f"/team-board/report/{report}/comment", data={"text": "x"}).status_code == 404
            assert act(client_as(who), f"/api/v1/daily-reports/{report}/like", version='"1"').status_code == 404

    def test_the_workbook_is_the_board(self, client_as, write, workday, project, user_id):
        write(
            "member.wang",
            workday,
            [f"p:{project('Alpha')} 6 =1+1", "c:meeting 2.5 例会"],
            overtime="1",
            has_problems="1",
            problems="=cmd()",
        )
        got = client_as("head.rd").get(f"/team-board/export.xlsx?day={workday}")
        assert got.status_code == 200
        book = load_workbook(io.BytesIO(got.data))
        people, hours, problems = book.worksheets
        rows = {r[1].value: r for r in people.iter_rows(min_row=3)}
        assert rows["王一诺"][-4].value == 8.5 and rows["王一诺"][-3].value == 0.5
        assert "邓外" not in rows and len(rows) == 8
        assert {r[1].value for r in hours.iter_rows(min_row=2)} >= {"XM-TEST-0001 Project Alpha", "会议"}
        assert [r[2].value for r in problems.iter_rows(min_row=2)] == ["'=cmd()"]
        assert "1+1" not in str([[c.value for c in r] for s in book.worksheets for r in s.iter_rows()])

    def test_sums_agree_with_the_rows_behind_them(self, client_as, write, workday, project, sql):
        write("member.wang", workday, [f"p:{project('Alpha')} 6 x", "c:meeting 2 x"])
        write("member.zhao", workday, [f"p:{project('Beta')} 7.5 x"])
        page = client_as("head.rd").get(f"/team-board/?by=day&day={workday}").text
        assert figure(page, "工时").startswith("15.5")
        rows = (
            client_as("head.rd")
            .get(f'/api/v1/daily-report-lines/?q={{"filters":[{{"col":"day","opr":"eq","value":"{workday}"}}]}}')
            .get_json()
        )
        assert sum(float(r["hours"]) for r in rows["result"]) == 15.5


@pytest.mark.req("DAY-06", part="hours")
class TestProjectHours:
    def test_the_pm_sees_people_by_week(self, client_as, write, workday, project):
        write("member.wang", workday, [f"p:{project('Alpha')} 6 x", "c:meeting 2 x"])
        page = client_as("pm.chen").get(f"/project-hours/?project={project('Alpha')}").text
        assert "王一诺" in page and "薛暗" in page and "刘长风" in page  # also who is not on the team but reported
        listed = client_as("pm.chen").get(
            f'/api/v1/daily-report-lines/?q={{"filters":[{{"col":"project_id","opr":"eq","value":{project("Alpha")}}}],"page_size":200}}'
        )
        total = sum(float(r["hours"]) for r in listed.get_json()["result"] if r["state"] != "open")
        assert figure(page, "已报工时").startswith(f"{total:.1f}")

    def test_a_member_sees_the_people_and_only_own_hours(self, client_as, project):
        page = client_as("member.wang").get(f"/project-hours/?project={project('Alpha')}").text
        assert "薛暗" in page and "已报工时" not in page and "陈嘉树" not in page

    def test_others_find_no_trace(self, client_as, project):
        for who in ("outsider", "member.zhao", "pm.li", "head.rd", "hr", "blind.member"):
            got = client_as(who).get(f"/project-hours/?project={project('Alpha')}")
            assert got.status_code == 404 and "Alpha" not in got.text, who


@pytest.mark.req("DAY-08", part="hours")
def test_statistics_of_a_month(client_as, write, workday, project):
    write("member.wang", workday, [f"p:{project('Alpha')} 8 x", "c:meeting 2 x"], overtime="1")
    page = client_as("head.rd").get(f"/report-statistics/?by=week&day={workday}")
    assert page.status_code == 200 and "王一诺" in page.text and "XM-TEST-0001 Project Alpha" in page.text
    assert figure(page.text, "工时").startswith("10.0") and "邓外" not in page.text


# ------------------------------------------------------------------ reminders
@pytest.mark.req("DAY-07")
@pytest.mark.req("ALR-01", part="reports")
class TestReminders:
    @pytest.fixture
    def monday(self, app):
        """A working Monday after a working Friday, far from holidays."""
        return datetime(2026, 3, 16, tzinfo=calendar.zone())

    @pytest.fixture
    def job(self, app):
        def run(name, at):
            from portal.kernel.jobs import all_jobs

            one = next(j for j in all_jobs() if j.name == name)
            with app.app_context(), calendar.freeze(at), unrestricted("test"):
                one.function(**({"due": at} if name == "dailyreport.deadline" else {}))

        return run

    @pytest.fixture
    def told(self, sql):
        def names(kind):
            return {
                r[0] for r in sql("select u.username from notify_notice n join ab_user u on u.id = n.receiver_id where n.kind = :k", k=kind)
            }

        return names

    def test_those_who_have_not_reported_once(self, job, told, write, monday, sql, user_id):
        with calendar.freeze(monday.replace(hour=16)):
            assert write("member.wang", monday.date(), ["c:other 8 x"]).status_code == 303
        for kind, who in (("sick", "member.zhao"), ("trip", "pm.chen")):
            sql(
                "insert into hr_leave (user_id, kind, from_day, to_day, state, entity_id)"
                " select :u, :k, :d, :d, 'approved', min(id) from kernel_entity",
                u=user_id(who),
                k=kind,
                d=monday.date(),
            )
        sql("update hr_employment set joined_on = :d where user_id = :u", d=monday.date() + timedelta(days=1), u=user_id("pm.li"))
        sql("update hr_employment set left_on = :d where user_id = :u", d=monday.date() - timedelta(days=1), u=user_id("buyer"))
        for _twice in range(2):
            job("dailyreport.remind_missing", monday.replace(hour=17, minute=30))
        found = told("dailyreport.missing")
        assert "outsider" in found and "pm.chen" in found
        assert not found & {"member.wang", "member.zhao", "pm.li", "buyer", "leaver"}
        assert sql("select count(*) from notify_notice where kind = 'dailyreport.missing'")[0][0] == len(found)

    def test_before_the_deadline_the_person_after_it_the_head(self, job, told, monday, fresh_db, sql, user_id, client_as):
        job("dailyreport.deadline", monday.replace(hour=10, minute=45))
        assert told("dailyreport.due") == set() == told("dailyreport.team_missing")
        for minute in (0, 15, 30):
            job("dailyreport.deadline", monday.replace(hour=11, minute=minute))
        assert "outsider" in told("dailyreport.due") and told("dailyreport.team_missing") == set()
        for minute in (15, 30):
            job("dailyreport.deadline", monday.replace(hour=12, minute=minute))
        heads = told("dailyreport.team_missing")
        assert {"head.rd", "head.sales", "ceo"} <= heads and "outsider" not in heads
        assert (
            sql("select count(*) from notify_notice where kind = 'dailyreport.team_missing' and receiver_id = :u", u=user_id("head.sales"))[
                0
            ][0]
            == 1
        )
        page = client_as("head.sales").get("/notices/").text
        assert "邓外" in page and "王一诺" not in page

    @pytest.fixture
    def deadline(self, app, sql):
        """`deadline("05:00")` sets the parameter."""
        from portal.kernel.settings import forget_values

        def put(clock):
            sql("insert into kernel_parameter (name, value) values ('dailyreport.deadline', to_jsonb(cast(:c as text)))", c=clock)
            forget_values()

        yield put
        forget_values()

    @pytest.mark.parametrize("clock", ["00:10", "05:00", "22:30", "23:55"])
    def test_a_deadline_at_night_is_watched_too(self, job, deadline, monday, fresh_db, sql, clock):
        """Every run of the job from Friday evening to the night of Tuesday; Friday's reports are due on Monday."""
        from portal.kernel.jobs import all_jobs

        deadline(clock)
        watch = next(j for j in all_jobs() if j.name == "dailyreport.deadline")
        friday, hour, minute = monday - timedelta(days=3), int(clock[:2]), int(clock[3:])
        due = monday.replace(hour=hour, minute=minute)
        about = "select count(*) from notify_notice where kind = :k and key like :d"
        key = f"%{friday.date()}%"
        for at in sorted(watch.due_between(friday.replace(hour=20), due, WorkingCalendar({}))):
            job("dailyreport.deadline", at)
        assert sql(about, k="dailyreport.due", d=key)[0][0] > 0
        assert sql(about, k="dailyreport.team_missing", d=key)[0][0] == 0
        for at in sorted(watch.due_between(due, monday + timedelta(days=1, hours=3), WorkingCalendar({}))):
            job("dailyreport.deadline", at)
        assert sql(about, k="dailyreport.team_missing", d=key)[0][0] > 0

    def test_rest_days_are_left_alone(self, app):
        from portal.kernel.jobs import all_jobs

        mine = {j.name: j for j in all_jobs() if j.name.startswith("dailyreport.")}
        assert mine["dailyreport.remind_missing"].workdays_only and mine["dailyreport.deadline"].workdays_only
        make_up_sunday = datetime(2026, 1, 4, tzinfo=calendar.zone())  # a make-up working day of 2026
        saturday = datetime(2026, 3, 14, tzinfo=calendar.zone())
        working = WorkingCalendar({})
        due = mine["dailyreport.remind_missing"].due_between
        assert list(due(make_up_sunday, make_up_sunday + timedelta(hours=23), working))
        assert not list(due(saturday, saturday + timedelta(hours=23), working))

    def test_a_head_reminds_with_one_button(self, client_as, told, sql, fresh_db, today, app):
        working = WorkingCalendar({})
        got = client_as("head.sales").post("/team-board/remind")
        assert got.status_code == 303
        assert ("outsider" in told("dailyreport.urged")) == working.is_workday(today)
        assert "member.wang" not in told("dailyreport.urged")
        assert client_as("outsider").post("/team-board/remind").status_code == 404


# ------------------------------------------------------------------ risk rules
@pytest.mark.req("ALR-02", part="reports")
class TestRules:
    @pytest.fixture
    def scan(self, app, sql):
        from portal.notify import rules, warnings

        def run(code, at=None):
            with app.app_context(), calendar.freeze(at or calendar.now()), unrestricted("test") as s:
                rules.ensure_rules(s)
                s.flush()
                pk = s.connection().exec_driver_sql("select id from notify_warning_rule where code = %s", (code,)).scalar()
                s.connection().exec_driver_sql("update notify_warning_rule set workdays_only = false")
                outcome = warnings.scan(pk)
            rows = sql(
                "select subject, severity, params, state, receivers from notify_warning"
                " where code = :c and state <> 'closed' order by subject",
                c=code,
            )
            return outcome, {r.subject: r for r in rows}

        return run

    def test_a_silent_project_is_raised_and_closes_by_itself(self, scan, sql, write, project, today, user_id, app, fresh_db):
        working = WorkingCalendar({})
        sql("delete from dailyreport_like")
        sql("delete from dailyreport_comment")
        _outcome, found = scan("dailyreport.project_silent")
        assert "XM-TEST-0003 Project Gamma" not in found  # paused
        sql("update dailyreport_line set day = day - 60 where project_id = :p", p=project("Alpha"))
        _outcome, found = scan("dailyreport.project_silent")
        assert "XM-TEST-0001 Project Alpha" in found
        warning = found["XM-TEST-0001 Project Alpha"]
        assert set(warning.receivers) == {user_id("pm.chen"), user_id("domain.manager")}
        outcome, found = scan("dailyreport.project_silent")
        assert outcome.raised == 0  # once per condition
        day = working.previous_workday(today)
        sql(
            "update dailyreport_line set day = :d where id = (select max(id) from dailyreport_line where project_id = :p)",
            d=day,
            p=project("Alpha"),
        )
        _outcome, found = scan("dailyreport.project_silent")
        assert "XM-TEST-0001 Project Alpha" not in found

    @pytest.mark.req("ALR-02", part="on event")
    def test_the_report_that_was_missing_closes_the_warning_soon(self, scan, sql, write, project, today, worker, fresh_db):
        sql("update dailyreport_line set day = day - 60 where project_id = :p", p=project("Alpha"))
        _outcome, found = scan("dailyreport.project_silent")
        assert "XM-TEST-0001 Project Alpha" in found
        day = WorkingCalendar({}).previous_workday(today)
        sql("delete from kernel_outbox")
        for who in ("member.wang", "pm.chen"):
            assert write(who, day, [f"p:{project('Alpha')} 8 x"]).status_code == 303
        queued = sql("select payload->>'code', available_at - created_at from kernel_outbox where handler = 'notify.scan_code' order by 1")
        assert {row[0] for row in queued} == {"dailyreport.fill_rate_low", "dailyreport.project_silent"}
        assert len(queued) <= 4 and all(wait <= timedelta(seconds=26) for _code, wait in queued)  # two people within a slot are one scan
        sql("update kernel_outbox set available_at = now() - interval '1 second'")
        worker()
        state = "select state from notify_warning where code = 'dailyreport.project_silent' and subject like '%Alpha'"
        assert sql(state) == [("closed",)]

    @pytest.mark.req("ALR-02", part="on event")
    def test_one_report_raises_no_warning_about_others(self, scan, sql, write, today, worker, fresh_db):
        _outcome, found = scan("dailyreport.fill_rate_low")
        assert found  # it would be raised
        for table in ("notify_delivery", "notify_notice", "notify_warning", "kernel_outbox"):
            sql(f"delete from {table}")
        assert write("outsider", WorkingCalendar({}).previous_workday(today), ["c:other 8 x"]).status_code == 303
        sql("update kernel_outbox set available_at = now() - interval '1 second'")
        worker()
        assert sql("select count(*) from kernel_outbox where handler = 'notify.scan_code' and done_at is null") == [(0,)]
        assert sql("select count(*) from notify_warning") == [(0,)] and sql("select count(*) from notify_notice") == [(0,)]
        outcome, _found = scan("dailyreport.fill_rate_low")
        assert outcome.raised > 0

    def test_a_team_that_reports_too_little(self, scan, sql, fresh_db, user_id):
        _outcome, found = scan("dailyreport.fill_rate_low")
        assert "部门 SAL" in found and found["部门 SAL"].severity == "risk"
        assert user_id("head.sales") in found["部门 SAL"].receivers
        sql(
            "update notify_warning_rule set parameters = cast(:p as jsonb) where code = 'dailyreport.fill_rate_low'",
            p='{"percent": 0, "days": 5}',
        )
        _outcome, found = scan("dailyreport.fill_rate_low")
        assert found == {}
