"""Reports and lines over REST: the same rules as the page, and nothing taken away that another call added."""

from decimal import Decimal
from threading import Thread

import pytest

from tests.modules.test_dailyreport_writing import LINES, REPORTS, lines, project, workday
from tests.modules.test_hr_people import act, sql, today

__all__ = ["lines", "project", "sql", "today", "workday"]


@pytest.mark.req("DAY-03", part="REST")
class TestPrograms:
    def test_a_whole_report(self, client_as, project, workday, fresh_db, lines):
        client = client_as("member.wang")
        report = client.post(REPORTS, json={"day": workday.isoformat(), "plan": "明天"}).get_json()["id"]
        made = client.post(LINES, json={"report_id": report, "project_id": project("Alpha"), "hours": "7.5", "done": "联调"})
        assert made.status_code == 201, made.text
        assert (made.get_json()["result"]["done"], made.get_json()["result"]["state"]) == ("联调", "open")
        line = made.get_json()["id"]
        got = client.put(f"{LINES}{line}", json={"hours": "8"}, headers={"If-Match": made.headers["ETag"]})
        assert got.status_code == 200 and got.get_json()["result"]["hours"] == "8.00" and got.get_json()["result"]["done"] == "联调"
        assert act(client, f"{REPORTS}{report}/submit").status_code == 200
        assert lines("member.wang", workday) == [("project", 8.0, "submitted", "manager")]
        got = act(client, f"{REPORTS}{report}/submit")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "wrong_state")

    def test_a_line_moved_to_a_project_brings_no_history_there(self, client_as, project, workday, fresh_db, lines):
        client, pm = client_as("member.wang"), client_as("pm.chen")
        report = client.post(REPORTS, json={"day": workday.isoformat()}).get_json()["id"]
        made = client.post(LINES, json={"report_id": report, "category": "other", "hours": "2", "done": "与项目无关的私事"})
        old, version = made.get_json()["id"], made.headers["ETag"]
        body = {"project_id": project("Alpha"), "category": None, "done": "联调"}
        moved = client.put(f"{LINES}{old}", json=body, headers={"If-Match": version})
        assert moved.status_code == 200 and moved.get_json()["result"]["done"] == "联调", moved.text
        new = moved.get_json()["id"]
        history = pm.get(f"{LINES}{new}/history")
        assert new != old and history.status_code == 200
        assert "私事" not in history.text and '"other"' not in history.text
        assert pm.get(f"{LINES}{old}").status_code == 404
        assert lines("member.wang", workday) == [("project", 2.0, "open", "manager")]

    def test_a_line_added_after_handing_in_is_handed_in_by_itself(self, client_as, workday, fresh_db, lines):
        client = client_as("member.wang")
        report = client.post(REPORTS, json={"day": workday.isoformat()}).get_json()["id"]
        first = client.post(LINES, json={"report_id": report, "category": "meeting", "hours": "7"}).get_json()["id"]
        assert act(client, f"{LINES}{first}/submit").status_code == 409  # with the report
        assert act(client, f"{REPORTS}{report}/submit").status_code == 200
        late = client.post(LINES, json={"report_id": report, "category": "training", "hours": "1"}).get_json()["id"]
        assert act(client, f"{LINES}{late}/submit").status_code == 200
        assert {state for _what, _hours, state, _by in lines("member.wang", workday)} == {"submitted"}
        more = client.post(LINES, json={"report_id": report, "category": "other", "hours": "1"}).get_json()["id"]
        assert act(client, f"{LINES}{more}/submit").status_code == 409  # nine hours, and no mark

    def test_a_line_added_meanwhile_is_not_taken_away(self, app, session_as, client_as, workday, fresh_db, sql):
        from modules.dailyreport.actions import programs
        from modules.dailyreport.actions.admission import LineEntry
        from portal.kernel.errors import Conflict

        client = client_as("member.wang")
        report = client.post(REPORTS, json={"day": workday.isoformat()}).get_json()["id"]
        found = programs._own_open

        def late(report_id):
            read = found(report_id)
            monkey.undo()
            other = Thread(target=client.post, args=(LINES,), kwargs={"json": {"report_id": report, "category": "meeting", "hours": "1"}})
            other.start()  # a session of its own, like another request
            other.join()
            return read

        with pytest.MonkeyPatch.context() as monkey, session_as("member.wang"):
            monkey.setattr(programs, "_own_open", late)
            with pytest.raises(Conflict):
                programs.add_line(report, LineEntry(Decimal(2), "", None, "training"))
        assert sql("select category from dailyreport_line where report_id = :r and archived_at is null", r=report) == [("meeting",)]

    @pytest.mark.parametrize(
        "forged",
        [
            {"author_id": 1},
            {"state": "confirmed"},
            {"decided_by": 1},
            {"day": "2026-01-05"},
            {"decider": "author"},
            {"project_label": "x"},
            {"submitted_on": "2026-01-05"},
        ],
    )
    def test_what_is_not_theirs_to_say_is_refused(self, client_as, workday, fresh_db, forged):
        client = client_as("member.wang")
        report = client.post(REPORTS, json={"day": workday.isoformat()}).get_json()["id"]
        got = client.post(LINES, json={"report_id": report, "category": "meeting", "hours": "1", **forged})
        assert got.status_code == 422 and next(iter(forged)) in got.get_json()["error"]["fields"]

    def test_nothing_hangs_on_anothers_report_or_project(self, client_as, project, workday, fresh_db, sql):
        other = client_as("outsider").post(REPORTS, json={"day": workday.isoformat()}).get_json()["id"]
        mine = client_as("member.wang").post(REPORTS, json={"day": workday.isoformat()}).get_json()["id"]
        for report, target in (
            (other, {"category": "meeting"}),
            (999999, {"category": "meeting"}),
            (mine, {"project_id": project("Beta")}),
            (mine, {"project_id": 999999}),
            (mine, {}),
        ):
            got = client_as("member.wang").post(LINES, json={"report_id": report, "hours": "1", **target})
            assert got.status_code == 422, (report, target, got.text)
        seen_by_head = client_as("ceo").post(LINES, json={"report_id": mine, "hours": "1", "category": "meeting"})
        assert seen_by_head.status_code == 422
        assert sql("select count(*) from dailyreport_line where report_id = any(:r)", r=[other, mine])[0][0] == 0

    def test_raw_sql_of_the_application_role_writes_nothing(self, raw_as, user_id, fresh_db):
        import psycopg

        with raw_as("member.wang") as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("insert into dailyreport_report (author_id, day) values (%s, date '2026-03-10')", [user_id("member.wang")])
        with raw_as("member.wang") as conn:
            assert conn.execute("update dailyreport_line set hours = 24").rowcount == 0
