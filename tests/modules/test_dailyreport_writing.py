"""Writing, handing in, deciding and correcting reports: by the page and by REST, on PostgreSQL."""

import re
from datetime import timedelta

import pytest

from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from tests.modules.test_hr_people import act, sql, today

__all__ = ["sql", "today"]
REPORTS = "/api/v1/daily-reports/"
LINES = "/api/v1/daily-report-lines/"


@pytest.fixture
def project(sql):
    return lambda name: sql("select id from project_project where name = :n", n=f"Project {name}")[0][0]


@pytest.fixture
def workday(app, today):
    """A working day a little ago on which nobody of the company has written anything."""
    with app.app_context():
        return WorkingCalendar({}).previous_workday(today - timedelta(days=10))


@pytest.fixture
def write(client_as, fresh_db):
    """`write("member.wang", day, ["p:3 4.5 what was done", "c:meeting 1"], plan="…")` posts the form."""

    def post(who, day, lines, go="submit", **more):
        form = {"go": go, "plan": "", "has_problems": "0", **more}
        for n, line in enumerate(lines):
            target, hours, *done = line.split(" ", 2)
            form |= {f"lines-{n}-target": target, f"lines-{n}-hours": hours, f"lines-{n}-done": done[0] if done else ""}
        return client_as(who).post(f"/my-report/?day={day}", data=form)

    return post


@pytest.fixture
def lines(sql):
    """Lines of a person's day as (label or category, hours, state, decider)."""

    def found(who, day):
        return [
            tuple(r)
            for r in sql(
                "select coalesce(l.category, 'project'), l.hours::float, l.state, l.decider"
                " from dailyreport_line l join ab_user u on u.id = l.author_id"
                " where u.username = :u and l.day = :d and l.archived_at is null order by l.position, l.id",
                u=who,
                d=day,
            )
        ]

    return found


@pytest.mark.req("DAY-01")
class TestTheForm:
    def test_one_minute_project_and_meeting(self, write, lines, project, workday, sql):
        got = write(
            "member.wang",
            workday,
            [f"p:{project('Alpha')} 6.5 接口联调", "c:meeting 1.5 周例会"],
            plan="明天压测",
            has_problems="1",
            problems="缺环境",
        )
        assert got.status_code == 303, got.text[-3000:]
        assert lines("member.wang", workday) == [("project", 6.5, "submitted", "manager"), ("meeting", 1.5, "submitted", "head")]
        row = sql(
            "select r.state, r.hours::float, r.plan, r.problems, r.late from dailyreport_report r"
            " join ab_user u on u.id = r.author_id where u.username = 'member.wang' and r.day = :d",
            d=workday,
        )
        assert tuple(row[0]) == ("submitted", 8.0, "明天压测", "缺环境", True)
        assert sql("select done from dailyreport_line_text where done = '接口联调'")

    def test_only_own_projects_that_accept_work_are_offered_and_taken(self, client_as, write, lines, project, workday):
        page = client_as("member.wang").get(f"/my-report/?day={workday}").text
        assert f'value="p:{project("Alpha")}"' in page
        for name in ("Beta", "Epsilon", "Theta", "Zeta"):
            assert f'value="p:{project(name)}"' not in page
            got = write("member.wang", workday, [f"p:{project(name)} 8 x"])
            assert got.status_code == 422 and "这一天你不能在该项目上填报" in got.text, name
        assert lines("member.wang", workday) == []

    @pytest.mark.req("DAY-09")
    def test_a_role_that_does_not_open_the_project_still_reports_on_it(self, write, lines, project, workday):
        assert write("blind.member", workday, [f"p:{project('Alpha')} 8 x"]).status_code == 303
        assert lines("blind.member", workday) == [("project", 8.0, "submitted", "manager")]

    def test_what_was_typed_is_shown_and_kept_when_it_is_refused(self, client_as, write, workday, sql):
        got = write("outsider", workday, ["c:meeting 26 很长的会", "c:training 1 学习"], plan="保留我")
        assert got.status_code == 422
        assert "很长的会" in got.text and "保留我" in got.text and 'value="26"' in got.text
        kept = sql("select d.content from dailyreport_draft d join ab_user u on u.id = d.author_id where u.username = 'outsider'")[0][0]
        assert kept["lines"][0] == {"target": "c:meeting", "hours": "26", "done": "很长的会"} and kept["plan"] == "保留我"
        again = client_as("outsider").get(f"/my-report/?day={workday}").text
        assert "很长的会" in again and "保留我" in again

    def test_autosave_keeps_anything_and_refuses_a_second_window(self, client_as, workday, fresh_db, sql):
        client = client_as("outsider")
        url = f"/my-report/draft?day={workday}"
        first = client.put(url, data={"version": "0", "lines-0-target": "", "lines-0-hours": "abc", "plan": "半句"})
        assert first.status_code == 200, first.text
        version = first.get_json()["version"]
        assert client.post(url, data={"version": str(version), "plan": "整句"}).status_code == 200
        late = client.put(url, data={"version": str(version), "plan": "旧窗口"})
        assert late.status_code == 409 and late.get_json()["error"]["code"] == "changed_meanwhile"
        assert (
            sql("select content->>'plan' from dailyreport_draft d join ab_user u on u.id = d.author_id where username = 'outsider'")[0][0]
            == "整句"
        )

    @pytest.mark.parametrize("hours", ["8", "13"])
    def test_a_whole_day_sent_twice_is_no_overtime(self, write, workday, lines, hours):
        for _click in range(2):
            assert (
                write("outsider", workday, [f"c:meeting {hours}"], report_version="0", overtime="1" if hours == "13" else "").status_code
                == 303
            )
        assert [h for _what, h, *_rest in lines("outsider", workday)] == [float(hours)]

    def test_a_form_sent_twice_counts_once(self, client_as, write, workday, lines, sql, fresh_db):
        for _click in range(2):
            got = write("outsider", workday, ["c:meeting 3 例会", "c:other 1"], report_version="0")
            assert (got.status_code, got.location) == (303, f"/my-report/?day={workday}")
        assert [hours for _what, hours, *_rest in lines("outsider", workday)] == [3.0, 1.0]
        assert sql("select count(*) from dailyreport_draft where day = :d", d=workday) == [(0,)]
        # something else from the old page is no repetition: it is kept, and nothing is added behind the person's back
        got = write("outsider", workday, ["c:training 2 新的"], report_version="0")
        assert got.status_code == 409 and "新的" in got.text
        assert len(lines("outsider", workday)) == 2
        version = re.search(r'name="report_version" value="(\d+)"', got.text)[1]
        assert write("outsider", workday, ["c:training 2 新的"], report_version=version).status_code == 303
        assert len(lines("outsider", workday)) == 3

    @pytest.mark.parametrize("hours", ["1e9999999", "-1e9999999", "9" * 400, "1e-9999999", "sNaN", "-Infinity"])
    def test_hours_that_are_none_stay_to_be_corrected(self, client_as, write, workday, fresh_db, hours):
        assert write("outsider", workday, [f"c:meeting {hours}"]).status_code == 422
        assert client_as("outsider").get(f"/my-report/?day={workday}").status_code == 200

    def test_a_draft_is_its_authors_alone(self, client_as, session_as, workday, fresh_db):
        client_as("member.wang").put(f"/my-report/draft?day={workday}", data={"plan": "私人"})
        from sqlalchemy import text

        for who in ("ceo", "head.rd", "pm.chen", "hr", "leader"):
            with session_as(who) as s:
                assert s.scalar(text("select count(*) from dailyreport_draft where content->>'plan' = '私人'")) == 0

    def test_copy_yesterday_leaves_out_what_is_closed(self, client_as, write, project, workday, sql, user_id):
        write("member.wang", workday, [f"p:{project('Alpha')} 6 联调", "c:meeting 2 例会"])
        following = workday + timedelta(days=1)
        got = client_as("member.wang").get(f"/my-report/prefill?day={following}").get_json()
        assert [(x["target"], x["hours"], x["done"]) for x in got["lines"]] == [
            (f"p:{project('Alpha')}", "6.0", "联调"),
            ("c:meeting", "2.0", "例会"),
        ]
        sql(
            "update project_member set to_day = :d where project_id = :p and user_id = :u",
            d=following,
            p=project("Alpha"),
            u=user_id("member.wang"),
        )
        got = client_as("member.wang").get(f"/my-report/prefill?day={following}").get_json()
        assert [x["target"] for x in got["lines"]] == ["c:meeting"]

    def test_without_script_blank_lines_are_ignored(self, client_as, workday, fresh_db, lines):
        form = {
            "lines-0-target": "c:other",
            "lines-0-hours": "3",
            "lines-0-done": "x",
            "lines-1-target": "",
            "lines-1-hours": "",
            "lines-1-done": "",
            "go": "submit",
        }
        assert client_as("outsider").post(f"/my-report/?day={workday}", data=form).status_code == 303
        assert lines("outsider", workday) == [("other", 3.0, "submitted", "head")]

    def test_the_week_shows_each_day(self, client_as, write, workday):
        write("outsider", workday, ["c:other 8 资产盘点"])
        page = client_as("outsider").get(f"/my-report/week?day={workday}")
        assert page.status_code == 200 and "资产盘点" in page.text


@pytest.mark.req("DAY-02")
class TestTheDay:
    def test_26_hours_are_refused_with_the_sum(self, write, lines, workday):
        got = write("outsider", workday, ["c:meeting 13 a", "c:training 13 b"])
        assert got.status_code == 422 and "合计 26 小时" in got.text
        assert lines("outsider", workday) == []

    @pytest.mark.parametrize("hours", ["0", "-1", "24.5", "abc", "NaN", "1e9", "1.005", ""])
    def test_what_is_no_number_of_hours_is_refused(self, write, workday, hours):
        assert write("outsider", workday, [f"c:meeting {hours} x"]).status_code == 422

    def test_more_than_eight_hours_need_the_mark(self, write, lines, workday, sql):
        got = write("outsider", workday, ["c:meeting 9.5 x"])
        assert got.status_code == 422 and "请标记加班" in got.text
        assert write("outsider", workday, ["c:meeting 9.5 x"], overtime="1").status_code == 303
        assert sql("select overtime_hours::float from dailyreport_report order by id desc limit 1")[0][0] == 1.5

    def test_a_rest_day_is_optional_and_all_overtime(self, write, app, today, sql):
        day = today - timedelta(days=10)
        while WorkingCalendar({}).is_workday(day):
            day -= timedelta(days=1)
        assert write("outsider", day, ["c:other 4 值班"]).status_code == 422
        assert write("outsider", day, ["c:other 4 值班"], overtime="1").status_code == 303
        assert sql("select overtime_hours::float from dailyreport_report order by id desc limit 1")[0][0] == 4

    def test_a_day_to_come_before_joining_after_leaving_and_in_a_closed_month(self, write, client_as, today, sql, workday):
        assert write("outsider", today + timedelta(days=1), ["c:other 8 x"]).status_code == 422
        assert "未来" in client_as("outsider").get(f"/my-report/?day={today + timedelta(days=1)}").text
        assert write("outsider", today - timedelta(days=901), ["c:other 8 x"]).status_code == 422
        sql(
            "update hr_employment set left_on = :d where user_id = (select id from ab_user where username = 'outsider')",
            d=workday - timedelta(days=1),
        )
        got = write("outsider", workday, ["c:other 8 x"])
        assert got.status_code == 422 and "离职之后" in got.text
        got = write("sales.liu", (today - timedelta(days=200)).replace(day=10), ["c:other 8 x"])
        assert got.status_code == 422 and "已关账" in got.text

    def test_late_is_after_noon_of_the_next_working_day(self, app, write, sql, client_as):
        from datetime import date, datetime

        friday = date(2026, 3, 13)
        for hour, late in ((11, False), (13, True)):
            with calendar.freeze(datetime(2026, 3, 16, hour, tzinfo=calendar.zone())):
                got = write("outsider", friday if late else friday - timedelta(days=0), ["c:other 8 x"])
                assert got.status_code == 303, got.text[-2000:]
            assert sql("select late from dailyreport_report order by id desc limit 1")[0][0] is late
            sql("delete from dailyreport_line_text where line_id in (select id from dailyreport_line where day = :d)", d=friday)
            sql("delete from dailyreport_line where day = :d", d=friday)
            sql("delete from dailyreport_report where day = :d", d=friday)

    def test_two_reports_of_a_day_are_one(self, client_as, workday, fresh_db):
        client = client_as("outsider")
        assert client.post(REPORTS, json={"day": workday.isoformat()}).status_code == 201
        got = client.post(REPORTS, json={"day": workday.isoformat()})
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "duplicate")


@pytest.mark.req("DAY-03")
class TestDeciding:
    @pytest.fixture
    def handed_in(self, write, project, workday, sql, user_id):
        write("member.wang", workday, [f"p:{project('Alpha')} 6 联调", "c:meeting 2 例会"])
        rows = sql("select id, project_id from dailyreport_line where author_id = :a and day = :d", a=user_id("member.wang"), d=workday)
        return {"project": next(r.id for r in rows if r.project_id), "other": next(r.id for r in rows if not r.project_id)}

    def test_the_pm_confirms_project_lines_and_the_head_the_others(self, client_as, handed_in, sql, user_id):
        assert act(client_as("pm.chen"), f"{LINES}{handed_in['project']}/confirm").status_code == 200
        assert act(client_as("head.rd"), f"{LINES}{handed_in['other']}/confirm").status_code == 200
        rows = sql("select state, decided_by from dailyreport_line where id = any(:i) order by id", i=list(handed_in.values()))
        assert [tuple(r) for r in rows] == [("confirmed", user_id("pm.chen")), ("confirmed", user_id("head.rd"))]

    @pytest.mark.parametrize(
        ("who", "which", "status"),
        [
            ("pm.li", "project", 404), ("head.rd", "project", 403), ("leader", "project", 403), ("qa", "project", 403),
            ("pm.chen", "other", 404), ("member.wang", "project", 403), ("member.wang", "other", 403), ("hr", "other", 403),
            ("head.sales", "other", 404), ("acting.old", "other", 404), ("domain.manager", "project", 200), ("ceo", "other", 200),
            ("deputy.plt", "other", 200),
        ],
    )  # fmt: skip
    def test_nobody_else(self, client_as, handed_in, who, which, status):
        client = client_as(who)
        version = client.get(f"{LINES}{handed_in[which]}").headers.get("ETag", '"1"')
        got = client.post(f"{LINES}{handed_in[which]}/confirm", json={}, headers={"If-Match": version})
        assert got.status_code == status, got.text

    def test_who_stands_in_for_a_head_does_not_decide_on_the_heads_lines(self, client_as, write, workday, sql, user_id):
        sql(
            "insert into hr_department_head (department_id, user_id, kind, from_day)"
            " select id, :u, 'head', '2020-01-01' from hr_department where code = 'PLT'",
            u=user_id("member.zhao"),
        )
        assert write("member.zhao", workday, ["c:meeting 2 例会"]).status_code == 303
        (line,) = sql("select id from dailyreport_line where author_id = :a and day = :d", a=user_id("member.zhao"), d=workday)
        assert act(client_as("deputy.plt"), f"{LINES}{line.id}/confirm").status_code == 403
        assert act(client_as("head.rd"), f"{LINES}{line.id}/confirm").status_code == 200

    def test_a_returned_line_comes_back_with_its_reason_and_goes_again(
        self, client_as, handed_in, lines, workday, worker, sql, user_id, project
    ):
        line = handed_in["project"]
        assert act(client_as("pm.chen"), f"{LINES}{line}/return").status_code == 422  # without a reason
        assert act(client_as("pm.chen"), f"{LINES}{line}/return", reason="请写清楚接口").status_code == 200
        page = client_as("member.wang").get(f"/my-report/?day={workday}").text
        assert "请写清楚接口" in page
        assert (
            sql("select count(*) from notify_notice where receiver_id = :u and kind = 'dailyreport.returned'", u=user_id("member.wang"))[0][
                0
            ]
            == 1
        )
        form = {
            "lines-0-id": str(line),
            "lines-0-target": f"p:{project('Alpha')}",
            "lines-0-hours": "5",
            "lines-0-done": "门禁接口联调",
            "go": "submit",
        }
        got = client_as("member.wang").post(f"/my-report/?day={workday}", data=form)
        assert got.status_code == 303, got.text[-3000:]
        assert ("project", 5.0, "submitted", "manager") in lines("member.wang", workday)
        assert ("meeting", 2.0, "submitted", "head") in lines("member.wang", workday)  # the other line stood as it was

    def test_a_confirmed_line_is_locked_by_itself(self, client_as, handed_in, lines, workday, sql):
        act(client_as("pm.chen"), f"{LINES}{handed_in['project']}/confirm")
        client = client_as("member.wang")
        version = client.get(f"{LINES}{handed_in['project']}").headers["ETag"]
        assert client.put(f"{LINES}{handed_in['project']}", json={"hours": "1"}, headers={"If-Match": version}).status_code == 409
        assert client.delete(f"{LINES}{handed_in['project']}", headers={"If-Match": version}).status_code == 409
        form = {"lines-0-id": str(handed_in["project"]), "lines-0-target": "c:other", "lines-0-hours": "1", "overtime": "1", "go": "submit"}
        assert client.post(f"/my-report/?day={workday}", data=form).status_code == 409
        assert ("project", 6.0, "confirmed", "manager") in lines("member.wang", workday)
        act(client_as("head.rd"), f"{LINES}{handed_in['other']}/return", reason="x")
        assert ("meeting", 2.0, "returned", "head") in lines("member.wang", workday)

    def test_correction_is_a_reversal_and_a_new_line(self, client_as, handed_in, lines, workday, sql):
        pm, author, line = client_as("pm.chen"), client_as("member.wang"), handed_in["project"]
        assert act(author, f"{LINES}{line}/correct", hours="4").status_code == 409  # not confirmed yet
        act(pm, f"{LINES}{line}/confirm")
        got = act(author, f"{LINES}{line}/correct", hours="4.5", done="其实少一些")
        assert got.status_code == 200, got.text
        assert act(author, f"{LINES}{line}/correct", hours="3").status_code == 409  # once
        entries = sql(
            "select id, hours::float, state, reversal_of_id, corrects_id from dailyreport_line"
            " where day = :d and project_id is not null order by id",
            d=workday,
        )
        assert [(e.hours, e.state) for e in entries] == [(6.0, "confirmed"), (-6.0, "submitted"), (4.5, "submitted")]
        assert act(pm, f"{LINES}{entries[2].id}/confirm").status_code == 409  # the reversal first
        assert act(pm, f"{LINES}{entries[1].id}/confirm").status_code == 200
        assert act(pm, f"{LINES}{entries[2].id}/confirm").status_code == 200
        assert (
            sql(
                "select sum(hours)::float from dailyreport_line where project_id is not null and day = :d and state = 'confirmed'",
                d=workday,
            )[0][0]
            == 4.5
        )
        assert (
            sql("select hours::float from dailyreport_report where day = :d and hours > 0 order by id desc limit 1", d=workday)[0][0] == 6.5
        )

    def test_a_correction_that_is_returned_can_be_given_up(self, client_as, handed_in, workday, sql):
        pm, author, line = client_as("pm.chen"), client_as("member.wang"), handed_in["project"]
        act(pm, f"{LINES}{line}/confirm")
        act(author, f"{LINES}{line}/correct", hours="4")
        reversal = sql("select id from dailyreport_line where reversal_of_id = :i", i=line)[0][0]
        act(pm, f"{LINES}{reversal}/return", reason="6 小时是对的")
        assert act(author, f"{LINES}{reversal}/withdraw").status_code == 200
        assert (
            sql(
                "select sum(hours)::float from dailyreport_line where day = :d and archived_at is null and project_id is not null",
                d=workday,
            )[0][0]
            == 6
        )

    def test_right_hours_do_not_confirm_themselves_beside_wrong_ones(self, app, client_as, handed_in, workday, sql, today):
        from modules.dailyreport.jobs import auto_confirm
        from portal.kernel.db import unrestricted

        pm, author, line = client_as("pm.chen"), client_as("member.wang"), handed_in["project"]
        act(pm, f"{LINES}{line}/confirm")
        act(author, f"{LINES}{line}/correct", hours="4")
        reversal = sql("select id from dailyreport_line where reversal_of_id = :i", i=line)[0][0]
        act(pm, f"{LINES}{reversal}/return", reason="6 小时是对的")
        with app.app_context(), calendar.freeze(WorkingCalendar({}).next_workday(today, 9)), unrestricted("test"):
            auto_confirm()
        counted = "select sum(hours)::float from dailyreport_line where day = :d and project_id is not null and state = 'confirmed'"
        assert sql(counted, d=workday) == [(6.0,)]

    def test_own_lines_of_a_pm_go_to_the_domain_manager_or_head(self, client_as, write, project, workday, lines, sql, user_id):
        write("pm.chen", workday, [f"p:{project('Alpha')} 8 计划"])
        assert lines("pm.chen", workday) == [("project", 8.0, "submitted", "either")]
        line = sql("select id from dailyreport_line where author_id = :a and day = :d", a=user_id("pm.chen"), d=workday)[0][0]
        assert act(client_as("pm.chen"), f"{LINES}{line}/confirm").status_code == 403
        assert act(client_as("head.rd"), f"{LINES}{line}/confirm").status_code == 200

    def test_with_nobody_above_one_decides_alone(self, client_as, write, workday, lines, sql, user_id):
        write("ceo", workday, ["c:meeting 8 董事会"])
        assert lines("ceo", workday) == [("meeting", 8.0, "submitted", "author")]
        line = sql("select id from dailyreport_line where author_id = :a", a=user_id("ceo"))[0][0]
        assert act(client_as("ceo"), f"{LINES}{line}/confirm").status_code == 200

    def test_what_nobody_decides_on_is_confirmed_after_some_working_days(self, app, handed_in, sql, today):
        from modules.dailyreport.jobs import auto_confirm
        from portal.kernel.db import unrestricted

        def run(on):
            with app.app_context(), calendar.freeze(on), unrestricted("test"):
                auto_confirm()
            return sql("select count(*) from dailyreport_line where id = any(:i) and state = 'confirmed'", i=list(handed_in.values()))[0][0]

        working = WorkingCalendar({})
        assert run(working.next_workday(today, 4)) == 0
        assert run(working.next_workday(today, 5)) == 2
        assert sql("select decided_by from dailyreport_line where id = :i", i=handed_in["project"])[0][0] is None

    def test_many_at_once_on_the_page_and_back_again(self, client_as, handed_in, sql):
        client = client_as("pm.chen")
        page = client.get("/confirmations/")
        assert page.status_code == 200 and "王一诺" in page.text and f'value="{handed_in["project"]}"' in page.text
        got = client.post(
            "/confirmations/", data={"ids": [str(handed_in["project"]), str(handed_in["other"])]}, headers={"HX-Request": "true"}
        )
        assert got.status_code == 200 and "undo" in got.headers["HX-Trigger"]
        left = client.get("/confirmations/").text.split('id="waiting">', 1)[1].split("<", 1)[0]
        assert f'id="waiting" hx-swap-oob="true">{left}<' in got.text, "the number above the lines goes along"
        state = "select state from dailyreport_line where id = :i"
        assert sql(state, i=handed_in["project"])[0][0] == "confirmed" and sql(state, i=handed_in["other"])[0][0] == "submitted"
        client.post(f"/confirmations/undo?ids={handed_in['project']}")
        assert sql(state, i=handed_in["project"])[0][0] == "submitted"
        got = client.post("/confirmations/", data={"return": str(handed_in["project"]), f"reason-{handed_in['project']}": "不对"})
        assert got.status_code == 303 and sql(state, i=handed_in["project"])[0][0] == "returned"
