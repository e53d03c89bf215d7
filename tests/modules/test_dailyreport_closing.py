"""Closed months, and two things at the same moment: writing while a month is closed, saving a draft twice."""

import threading
import time

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


@pytest.fixture
def line(write, project, workday, sql, user_id):
    """A line of member.wang that waits for the PM."""
    assert write("member.wang", workday, [f"p:{project('Alpha')} 6 门禁"]).status_code == 303
    return sql("select id from dailyreport_line where author_id = :a and day = :d", a=user_id("member.wang"), d=workday)[0][0]


@pytest.mark.req("DAY-02", part="closed months")
class TestClosedMonth:
    def test_nothing_is_decided_in_it(self, client_as, line, workday, sql):
        assert close(client_as, workday).status_code == 201
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

        assert close(client_as, workday).status_code == 201
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

    def test_closing_waits_for_whoever_writes(self, client_as, line, workday, superuser):
        answers = []
        with superuser.transaction():
            superuser.execute("select pg_advisory_xact_lock_shared(%s)", [_MONTHS])
            closing = threading.Thread(target=lambda: answers.append(close(client_as, workday)))
            closing.start()
            time.sleep(0.7)
            assert not answers
            got = superuser.execute("select count(*) from pg_locks where locktype = 'advisory' and not granted").fetchone()
            assert got == (1,)
        closing.join(20)
        assert answers[0].status_code == 201

    def test_deciding_holds_the_months(self, request_as, line, superuser):
        from modules.dailyreport.models import ReportLine
        from security.transitions import perform

        free = "select pg_try_advisory_lock(%s)"
        with request_as("pm.chen"):
            perform(ReportLine, "confirm", line)
            assert superuser.execute(free, [_MONTHS]).fetchone() == (False,)
        assert superuser.execute(free, [_MONTHS]).fetchone() == (True,)
        superuser.execute("select pg_advisory_unlock(%s)", [_MONTHS])


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
