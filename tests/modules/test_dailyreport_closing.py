"""Closed months, and two things at the same moment: writing while a month is closed, saving a draft twice."""

import re
import threading
import time
from datetime import timedelta

import pytest

from modules.dailyreport.models import _MONTHS
from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from tests.modules.test_dailyreport_writing import LINES, project, workday, write
from tests.modules.test_hr_people import act, sql, today

__all__ = ["project", "sql", "today", "workday", "write"]
MONTHS = "/api/v1/closed-months/"


def close(client_as, day):
    return client_as("hr").post(MONTHS, json={"month": day.replace(day=1).isoformat()})


def closed_before(sql, day):
    """The month of *day* closed in the days when lines might still wait in it."""
    return sql("insert into dailyreport_closed_month (month) values (:m) returning id", m=day.replace(day=1))[0][0]


@pytest.fixture
def line(write, project, workday, sql, user_id):
    """A line of member.wang that waits for the PM; no other line waits."""
    sql("update dailyreport_line set state = 'confirmed', decided_at = now() where state = 'submitted'")
    assert write("member.wang", workday, [f"p:{project('Alpha')} 6 门禁"]).status_code == 303
    return sql("select id from dailyreport_line where author_id = :a and day = :d", a=user_id("member.wang"), d=workday)[0][0]


@pytest.mark.req("DAY-02", part="closed months")
class TestClosedMonth:
    def test_nothing_is_decided_in_it(self, client_as, line, workday, sql):
        closed_before(sql, workday)
        for action, arguments in (("confirm", {}), ("return", {"reason": "x"})):
            got = act(client_as("pm.chen"), f"{LINES}{line}/{action}", **arguments)
            assert (got.status_code, got.get_json()["error"]["code"]) == (409, "month_closed"), got.text
            assert "已关账" in got.text
        assert sql("select state from dailyreport_line where id = :i", i=line) == [("submitted",)]

    def test_nothing_is_taken_back_or_corrected_in_it(self, client_as, line, workday, sql):
        assert act(client_as("pm.chen"), f"{LINES}{line}/confirm").status_code == 200
        assert close(client_as, workday).status_code == 201
        for who, action, arguments in (("pm.chen", "undo", {}), ("member.wang", "correct", {"hours": "4"})):
            got = act(client_as(who), f"{LINES}{line}/{action}", **arguments)
            assert (got.status_code, got.get_json()["error"]["code"]) == (409, "month_closed"), got.text
        assert sql("select state from dailyreport_line where id = :i", i=line) == [("confirmed",)]

    def test_nothing_in_it_confirms_itself(self, app, client_as, line, workday, sql, today):
        from modules.dailyreport.jobs import auto_confirm
        from portal.kernel.db import unrestricted

        def run():
            with app.app_context(), calendar.freeze(WorkingCalendar({}).next_workday(today, 9)), unrestricted("test"):
                auto_confirm()
            return sql("select state from dailyreport_line where id = :i", i=line)[0][0]

        closed_before(sql, workday)
        assert run() == "submitted"
        sql("update dailyreport_closed_month set archived_at = now() where month = :m", m=workday.replace(day=1))
        assert run() == "confirmed"

    def test_writing_waits_for_the_closing_and_is_refused_then(self, client_as, write, workday, superuser):
        answers = []
        with superuser.transaction():
            superuser.execute("select pg_advisory_xact_lock(%s)", [_MONTHS])
            superuser.execute("insert into dailyreport_closed_month (month) values (%s)", [workday.replace(day=1)])
            writing = threading.Thread(target=lambda: answers.append(write("outsider", workday, ["c:other 8 x"])))
            writing.start()
            time.sleep(0.7)
            assert not answers
        writing.join(20)
        assert answers[0].status_code == 422 and "已关账" in answers[0].text

    @pytest.fixture
    def while_somebody_writes(self, line, superuser):
        """What *ask* is answered in the end: it has to wait for a writer, who then hands in *line* or has it confirmed."""

        def run(ask, state):
            answers = []
            superuser.execute("update dailyreport_line set state = 'returned' where id = %s", [line])
            with superuser.transaction():
                superuser.execute("select pg_advisory_xact_lock_shared(%s)", [_MONTHS])
                superuser.execute("update dailyreport_line set state = %s where id = %s", [state, line])
                asking = threading.Thread(target=lambda: answers.append(ask()))
                asking.start()
                time.sleep(0.7)
                assert not answers
                got = superuser.execute("select count(*) from pg_locks where locktype = 'advisory' and not granted").fetchone()
                assert got == (1,)
            asking.join(20)
            return answers[0]

        return run

    def test_closing_waits_for_whoever_writes(self, client_as, while_somebody_writes, workday):
        got = while_somebody_writes(lambda: close(client_as, workday), "submitted")
        assert got.status_code == 409 and got.get_json()["error"]["code"] == "lines_waiting", got.text
        assert while_somebody_writes(lambda: close(client_as, workday), "confirmed").status_code == 201

    def test_closing_again_waits_as_well(self, client_as, while_somebody_writes, workday, sql):
        pk = closed_before(sql, workday)
        assert client_as("hr").delete(f"{MONTHS}{pk}", headers={"If-Match": '"1"'}).status_code == 200

        def restore():
            return client_as("hr").post(f"{MONTHS}{pk}/restore", headers={"If-Match": '"2"'})

        got = while_somebody_writes(restore, "submitted")
        assert got.status_code == 409 and got.get_json()["error"]["code"] == "lines_waiting", got.text
        assert sql("select archived_at is null from dailyreport_closed_month where id = :i", i=pk) == [(False,)]
        assert while_somebody_writes(restore, "confirmed").status_code == 200
        assert sql("select archived_at is null from dailyreport_closed_month where id = :i", i=pk) == [(True,)]

    def test_deciding_holds_the_months(self, request_as, line, superuser):
        from modules.dailyreport.models import ReportLine
        from security.transitions import perform

        free = "select pg_try_advisory_lock(%s)"
        with request_as("pm.chen"):
            perform(ReportLine, "confirm", line)
            assert superuser.execute(free, [_MONTHS]).fetchone() == (False,)
        assert superuser.execute(free, [_MONTHS]).fetchone() == (True,)
        superuser.execute("select pg_advisory_unlock(%s)", [_MONTHS])


@pytest.mark.req("DAY-02", part="closed months")
class TestLinesThatWait:
    """Nobody could decide on them in a closed month: it is not closed before, and where it was, they are in nobody's way."""

    @pytest.mark.parametrize("language", ["zh", "en"])
    def test_the_month_stays_open_while_a_line_waits(self, client_as, line, workday, sql, language):
        client = client_as("hr")
        client.post("/preferences/locale", data={"locale": language, "next": "/"})
        got = client.post(MONTHS, json={"month": workday.replace(day=1).isoformat()})
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "lines_waiting"), got.text
        said = got.get_json()["error"]["message"]
        assert ("还有 1 行日报待确认" if language == "zh" else "1 line of this month still waits for confirmation") in said
        assert sql("select 1 from dailyreport_closed_month where month = :m", m=workday.replace(day=1)) == []
        assert act(client_as("pm.chen"), f"{LINES}{line}/confirm").status_code == 200
        assert close(client_as, workday).status_code == 201

    def test_lines_count_that_whoever_closes_does_not_see(self, client_as, line, workday, sql, fresh_db):
        sql("delete from security_role_scope where scope = 'staff'")
        assert client_as("hr").get(f"{LINES}{line}").status_code == 404
        assert close(client_as, workday).get_json()["error"]["code"] == "lines_waiting"

    def test_lines_of_other_months_and_archived_ones_are_no_matter(self, client_as, line, workday, sql):
        before = workday.replace(day=1) - timedelta(days=1)
        after = (workday.replace(day=1) + timedelta(days=32)).replace(day=1)
        sql("update dailyreport_line set day = :d where id = :i", d=after, i=line)
        assert close(client_as, workday).status_code == 201
        assert close(client_as, after).status_code == 409
        sql("update dailyreport_line set archived_at = now() where id = :i", i=line)
        assert close(client_as, after).status_code == 201 and close(client_as, before).status_code == 201

    def test_a_closed_month_is_not_moved_to_one_with_waiting_lines(self, client_as, line, workday, sql):
        free = (workday.replace(day=1) - timedelta(days=1)).replace(day=1)
        pk = close(client_as, free).get_json()["id"]

        def move(version, day):
            body = {"month": day.replace(day=1).isoformat()}
            return client_as("hr").put(f"{MONTHS}{pk}", json=body, headers={"If-Match": f'"{version}"'})

        got = move(1, workday)
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "lines_waiting"), got.text
        month = "select month, version from dailyreport_closed_month where id = :i"
        assert sql(month, i=pk) == [(free, 1)]
        sql("update dailyreport_line set state = 'confirmed' where id = :i", i=line)
        assert move(1, workday).status_code == 200
        assert sql(month, i=pk) == [(workday.replace(day=1), 2)]
        taken = close(client_as, free).get_json()["id"]
        got = move(2, free)
        assert got.status_code == 409 and got.get_json()["error"]["code"] == "duplicate", (got.text, taken)

    def test_those_of_a_month_closed_before_hide_no_other(self, client_as, line, project, workday, sql, user_id):
        old = workday.replace(day=1) - timedelta(days=20)
        report = sql(
            "insert into dailyreport_report (author_id, day, state, submitted_at) values (:a, :d, 'submitted', now()) returning id",
            a=user_id("member.wang"), d=old,
        )[0][0]  # fmt: skip
        stuck = sql(
            "insert into dailyreport_line (report_id, author_id, day, project_id, project_label, hours, state, decider, submitted_on)"
            " select :r, author_id, :d, project_id, project_label, 0.5, state, decider, submitted_on"
            "   from dailyreport_line, generate_series(1, 30) where id = :i returning id",
            r=report, d=old, i=line,
        )  # fmt: skip
        pm = client_as("pm.chen")
        cell = f"/team-board/cell?person={user_id('member.wang')}&day={old}"
        ids = re.compile(r'name="ids" value="(\d+)"')
        assert len(ids.findall(pm.get("/confirmations/").text)) == 30
        closed_before(sql, old)
        assert ids.findall(pm.get("/confirmations/").text) == [str(line)]
        home = pm.get("/").text
        assert "6.0" in home and f'value="{stuck[0][0]}"' not in home
        sql("update dailyreport_line set decider = 'head' where report_id = :r", r=report)
        assert "待你确认" not in client_as("head.rd").get(cell).text
        assert pm.post("/confirmations/", data={"group": f"p{project('Alpha')}"}).status_code == 303
        assert sql("select state from dailyreport_line where id = :i", i=line) == [("confirmed",)]
        assert sql("select distinct state from dailyreport_line where report_id = :r", r=report) == [("submitted",)]
        sql("update dailyreport_closed_month set archived_at = now() where month = :m", m=old.replace(day=1))
        assert "待你确认" in client_as("head.rd").get(cell).text


@pytest.mark.req("DAY-01", part="autosave")
class TestDraftsAtOnce:
    def both(self, client_as, workday, superuser, first, second):
        """The second saving arrives while the first is not committed yet."""
        answers = []
        author = superuser.execute("select id from ab_user where username = 'outsider'").fetchone()[0]
        client = client_as("outsider")
        content = client.put(f"/my-report/draft?day={workday}", data={"version": "0", "plan": first})
        assert content.status_code == 200
        kept = superuser.execute("delete from dailyreport_draft where author_id = %s returning content::text", [author]).fetchone()[0]
        with superuser.transaction():
            superuser.execute(
                "insert into dailyreport_draft (author_id, day, content, saved_at) values (%s, %s, cast(%s as jsonb), now())",
                [author, workday, kept],
            )
            saving = threading.Thread(
                target=lambda: answers.append(client.put(f"/my-report/draft?day={workday}", data={"version": "0", "plan": second}))
            )
            saving.start()
            time.sleep(0.7)
            assert not answers
        saving.join(20)
        return answers[0]

    def test_the_same_words_twice_are_no_conflict(self, client_as, workday, superuser, fresh_db):
        assert self.both(client_as, workday, superuser, "登记", "登记").status_code == 200

    def test_other_words_are(self, client_as, workday, superuser, fresh_db):
        got = self.both(client_as, workday, superuser, "登记", "别的")
        assert got.status_code == 409 and got.get_json()["error"]["code"] == "changed_meanwhile"
        plan = superuser.execute("select content->>'plan' from dailyreport_draft where day = %s", [workday]).fetchall()
        assert plan == [("登记",)]
