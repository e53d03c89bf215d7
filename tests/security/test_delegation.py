"""Deputies: what passes on and what never does, over the period, in all three places rules are enforced; giving and ending (VIS-11)."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal.kernel import calendar
from portal.kernel.document import records
from security.visibility import context, visible
from tests.security.oracle import Oracle

pytestmark = pytest.mark.req("VIS-11", part="visibility")
EVERYTHING = {"include_archived": True}
API = "/api/v1/delegations/"
WHO = ("pm.chen", "pm.li", "head.rd", "ceo", "domain.manager", "member.wang", "outsider", "hr", "deputy.one", "blind.member")


def day(days: int) -> date:
    return calendar.today() + timedelta(days=days)


def lend(conn: Any, giver: int, deputy: int, begins: int, ends: int, projects: bool = True, people: bool = True) -> int:
    row = conn.execute(
        """insert into security_delegation (giver_id, deputy_id, from_day, to_day, projects, people, reason)
           values (%s, %s, %s, %s, %s, %s, 'x') returning id""",
        [giver, deputy, day(begins), day(ends), projects, people],
    ).fetchone()
    return int(row[0])


@pytest.fixture
def sight(app: Any, session_as: Any, raw_as: Any, database: Any) -> Callable[[str], dict[str, set[int]]]:
    """What somebody sees of every table: the same by ORM, by row-level security alone and by the criteria alone, and by the oracle."""
    tables = [m.__tablename__ for m in records()]

    def see(username: str) -> dict[str, set[int]]:
        with session_as(username) as s:
            orm = {m.__tablename__: set(s.scalars(select(m.id), execution_options=EVERYTHING)) for m in records()}
            ctx = context()
            rules = {m: visible(m, m, ctx) for m in records()}
        with raw_as(username) as conn:
            raw = {t: {r[0] for r in conn.execute(f"select id from {t}")} for t in tables}
        with psycopg.connect(database.super_dsn()) as conn:
            oracle = Oracle(conn, tables)
            from sqlalchemy.dialects import postgresql

            alone = {}
            for m, rule in rules.items():
                asked = select(m.id) if rule is None else select(m.id).where(rule)
                said = str(asked.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))
                alone[m.__tablename__] = {r[0] for r in conn.execute(said.replace("%", "%%") if "%" in said else said)}
        want = {t: oracle.visible(username, t) for t in tables}
        assert orm == want and raw == want and alone == want
        return orm

    return see


AXES = {
    "projects": {"project_project", "project_state_change", "project_member", "dailyreport_line", "dailyreport_line_text",
                 "notify_warning"},
    "people": {"hr_employment", "hr_assignment", "hr_leave", "hr_employee_event", "hr_employee_event_grade", "hr_merger",
               "dailyreport_report", "dailyreport_comment", "dailyreport_like",
               "dailyreport_line", "dailyreport_line_text", "notify_warning"},
}  # fmt: skip


@pytest.mark.parametrize(("giver", "axis"), [("pm.chen", "projects"), ("head.rd", "people"), ("domain.manager", "projects")])
def test_own_and_the_chosen_axis_of_the_giver(fresh_db, superuser, user_id, sight, giver, axis):
    """Every model: own rows and those of the giver's axis, nothing else; before, on the first day, on the last and after."""
    before, theirs = sight("outsider"), sight(giver)
    pk = lend(superuser, user_id(giver), user_id("outsider"), 0, 1, axis == "projects", axis == "people")
    after = sight("outsider")
    more = {t for t in after if after[t] - before[t]} - {"security_delegation"}
    assert more and more <= AXES[axis]
    for t in after.keys() - {"security_delegation"}:
        assert before[t] <= after[t] <= before[t] | theirs[t]
    # the giver's own rows stay the giver's
    me = user_id(giver)
    own_rows = {"hr_leave": "user_id", "hr_employment": "user_id", "dailyreport_report": "author_id", "hr_employee_event": "user_id"}
    for table, column in own_rows.items():
        own = {r[0] for r in superuser.execute(f"select id from {table} where {column} = %s", [me]).fetchall()}
        assert not (after[table] - before[table]) & own
    for begins, ends in ((1, 9), (-9, 0)):  # not begun; until today, which is not included
        superuser.execute("update security_delegation set from_day = %s, to_day = %s where id = %s", [day(begins), day(ends), pk])
        assert {t: ids for t, ids in sight("outsider").items() if t != "security_delegation"} == {
            t: ids for t, ids in before.items() if t != "security_delegation"
        }


def test_what_roles_show_and_private_rows_never_pass_on(fresh_db, superuser, user_id, sight):
    before = sight("outsider")
    for giver in ("hr", "finance", "leader", "qa", "auditor", "security.admin", "admin"):
        lend(superuser, user_id(giver), user_id("outsider"), 0, 9)
    after = sight("outsider")
    assert {t for t in after if after[t] != before[t]} == {"security_delegation"}


def test_no_chains(fresh_db, superuser, user_id, sight):
    before = sight("outsider")
    lend(superuser, user_id("head.rd"), user_id("sales.liu"), 0, 9)
    lend(superuser, user_id("sales.liu"), user_id("outsider"), 0, 9)
    lend(superuser, user_id("outsider"), user_id("head.rd"), 0, 9)  # and round in a circle
    after = sight("outsider")
    assert {t: ids for t, ids in after.items() if t != "security_delegation"} == {
        t: ids for t, ids in before.items() if t != "security_delegation"
    }


def test_seeing_is_not_acting(fresh_db, superuser, user_id, client_as, session_as):
    """The deputy reads the project and the leave, and can change neither."""
    lend(superuser, user_id("pm.chen"), user_id("outsider"), 0, 9)
    lend(superuser, user_id("head.rd"), user_id("outsider"), 0, 9)
    project, version = superuser.execute("select id, version from project_project where name = 'Project Alpha'").fetchone()
    leave, leave_version = superuser.execute("select id, version from hr_leave where state = 'submitted'").fetchone()
    client = client_as("outsider")
    assert client.get(f"/projects/{project}").status_code == 200 and client.get(f"/leaves/{leave}").status_code == 200
    head = {"If-Match": f'"{version}"'}
    assert client.patch(f"/api/v1/projects/{project}", json={"name": "taken"}, headers=head).status_code == 403
    assert client.post(f"/api/v1/projects/{project}/pause", json={"reason": "x"}, headers=head).status_code == 403
    answer = client.post(f"/api/v1/leaves/{leave}/approve", headers={"If-Match": f'"{leave_version}"'})
    assert answer.status_code == 403
    with session_as("outsider") as s:
        from sqlalchemy import text

        assert s.execute(text("update project_project set custom = custom where id = :p"), {"p": project}).rowcount == 0


def test_a_closed_account_lets_nobody_see(fresh_db, superuser, user_id, sight):
    before = sight("outsider")["project_project"]
    lend(superuser, user_id("pm.chen"), user_id("outsider"), 0, 9)
    assert sight("outsider")["project_project"] > before
    superuser.execute("update ab_user set active = false where username = 'pm.chen'")
    assert sight("outsider")["project_project"] == before


LENDING = st.lists(
    st.tuples(
        st.sampled_from(WHO), st.sampled_from(WHO), st.integers(-3, 2), st.integers(1, 4), st.booleans(), st.booleans(), st.booleans()
    ).filter(lambda d: d[0] != d[1] and (d[4] or d[5])),
    min_size=1,
    max_size=9,
)


def test_any_delegations_at_once(fresh_db, superuser, user_id, sight):
    """Overlapping ones, several givers, chains and circles: every way agrees with the oracle for everybody concerned."""

    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(LENDING)
    def tried(lending: list[Any]) -> None:
        superuser.execute("delete from security_delegation")
        for giver, deputy, begins, days, projects, people, ended in lending:
            pk = lend(superuser, user_id(giver), user_id(deputy), begins, begins + days, projects, people)
            if ended:
                superuser.execute("update security_delegation set ended_at = now() where id = %s", [pk])
        for deputy in sorted({d[1] for d in lending})[:3]:
            sight(deputy)

    tried()


# ------------------------------------------------------------------ giving and ending
def body(deputy: int, **more: Any) -> dict[str, Any]:
    given = {"deputy_id": deputy, "from_day": str(day(0)), "to_day": str(day(10)), "projects": True, "people": True, "reason": "on leave"}
    return given | more


def notices(conn: Any, kind: str) -> set[str]:
    asked = "select u.username from notify_notice n join ab_user u on u.id = n.receiver_id where n.kind = %s"
    return {r[0] for r in conn.execute(asked, [kind]).fetchall()}


@pytest.mark.req("POR-12", part="delegation")
class TestGiving:
    def test_given_seen_and_ended(self, fresh_db, client_as, superuser, user_id, worker):
        member = client_as("outsider")
        project = superuser.execute("select id from project_project where name = 'Project Alpha'").fetchone()[0]
        assert member.get(f"/projects/{project}").status_code == 404
        got = client_as("pm.chen").post(API, json=body(user_id("outsider")))
        assert got.status_code == 201, got.text
        made = got.get_json()["result"]
        assert (made["standing"], made["giver_id"], made["created_by"]) == ("in_force", user_id("pm.chen"), user_id("pm.chen"))
        assert member.get(f"/projects/{project}").status_code == 200
        assert notices(superuser, "security.delegation_given") == {"pm.chen", "outsider"}
        assert notices(superuser, "security.delegation_for_absent") == set()
        assert "陈嘉树" in member.get("/my-deputies/").text
        epoch = superuser.execute("select n from security_epoch").fetchone()[0]
        ended = member.post(f"{API}{made['id']}/end", headers={"If-Match": got.headers["ETag"]})
        assert ended.status_code == 200 and ended.get_json()["result"]["standing"] == "ended"
        assert superuser.execute("select n from security_epoch").fetchone()[0] > epoch
        assert member.get(f"/projects/{project}").status_code == 404
        assert notices(superuser, "security.delegation_ended") == {"pm.chen", "outsider"}
        again = member.post(f"{API}{made['id']}/end", headers={"If-Match": ended.headers["ETag"]})
        assert again.status_code == 403

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"from_day": -1}, "from_day"),
            ({"to_day": 0}, "to_day"),
            ({"to_day": 93}, "to_day"),
            ({"projects": False, "people": False}, "projects"),
            ({"reason": " "}, "reason"),
            ({"deputy_id": "self"}, "deputy_id"),
            ({"deputy_id": "leaver"}, "deputy_id"),
            ({"deputy_id": 987654}, "deputy_id"),
        ],
    )
    def test_refused(self, client_as, superuser, user_id, change, field):
        before = superuser.execute("select count(*) from security_delegation").fetchone()
        given: dict[str, Any] = {}
        for k, v in change.items():
            given[k] = (
                str(day(v)) if k.endswith("_day") else user_id({"self": "pm.chen"}.get(v, v)) if k == "deputy_id" and v != 987654 else v
            )
        got = client_as("pm.chen").post(API, json=body(user_id("outsider")) | given)
        assert got.status_code == 422 and field in got.get_json()["error"]["fields"], got.text
        assert superuser.execute("select count(*) from security_delegation").fetchone() == before

    def test_the_longest_period_is_a_parameter(self, fresh_db, client_as, superuser, user_id):
        from portal.kernel.settings import forget_values

        superuser.execute("insert into kernel_parameter (name, value) values ('security.delegation_days', '5')")
        forget_values()
        assert client_as("pm.chen").post(API, json=body(user_id("outsider"))).status_code == 422
        assert client_as("pm.chen").post(API, json=body(user_id("outsider"), to_day=str(day(5)))).status_code == 201

    def test_an_administrator_for_somebody_absent(self, fresh_db, client_as, superuser, user_id):
        admin = client_as("security.admin")
        got = admin.post(API, json=body(user_id("outsider"), giver_id=user_id("pm.chen")))
        assert got.status_code == 201
        assert notices(superuser, "security.delegation_given") == {"pm.chen", "outsider"}
        assert "deputy.plt" in notices(superuser, "security.delegation_for_absent")  # who answers for pm.chen
        own = admin.post(API, json=body(user_id("security.admin"), giver_id=user_id("pm.chen")))
        assert own.status_code == 422 and "deputy_id" in own.get_json()["error"]["fields"]
        assert own.get_json()["error"]["fields"]

    @pytest.mark.parametrize("username", ["pm.li", "leader", "hr", "auditor", "member.wang"])
    def test_nobody_else_gives_what_is_not_theirs(self, client_as, user_id, username):
        got = client_as(username).post(API, json=body(user_id("outsider"), giver_id=user_id("pm.chen")))
        assert got.status_code == 403

    def test_who_ends_and_who_reads(self, fresh_db, client_as, superuser, user_id):
        pk = lend(superuser, user_id("pm.chen"), user_id("outsider"), 0, 9)
        match = {"If-Match": '"1"'}
        assert client_as("member.wang").get(f"{API}{pk}").status_code == 404
        assert client_as("member.wang").post(f"{API}{pk}/end", headers=match).status_code == 404
        assert client_as("auditor").get(f"{API}{pk}").status_code == 200
        assert client_as("auditor").post(f"{API}{pk}/end", headers=match).status_code == 403
        assert client_as("auditor").post(f"{API}{pk}/revoke", json={"reason": "x"}, headers=match).status_code == 403
        assert client_as("outsider").post(f"{API}{pk}/revoke", json={"reason": "x"}, headers=match).status_code == 403
        assert client_as("security.admin").post(f"{API}{pk}/revoke", json={}, headers=match).status_code == 422
        done = client_as("security.admin").post(f"{API}{pk}/revoke", json={"reason": "not needed"}, headers=match)
        assert done.status_code == 200 and done.get_json()["result"]["end_reason"] == "not needed"
        assert notices(superuser, "security.delegation_ended") == {"pm.chen", "outsider"}

    def test_it_ends_with_the_account(self, fresh_db, superuser, user_id, app):
        from portal.kernel.db import unrestricted
        from security.accounts import set_active

        first = lend(superuser, user_id("pm.chen"), user_id("outsider"), 0, 9)
        second = lend(superuser, user_id("head.rd"), user_id("pm.chen"), 3, 9)
        with app.app_context(), unrestricted("a test: somebody leaves"):
            set_active(user_id("pm.chen"), False)
        ended = superuser.execute("select id from security_delegation where ended_at is not null and id >= %s order by id", [first])
        assert [r[0] for r in ended.fetchall()] == [first, second]


class TestPages:
    @pytest.mark.parametrize(("username", "giver"), [("pm.chen", False), ("security.admin", True)])
    def test_the_form(self, client_as, username, giver):
        page = client_as(username).get("/delegations/add").text
        assert ('name="giver_id"' in page) == giver and 'name="deputy_id"' in page and 'name="reason"' in page

    def test_named_by_form(self, fresh_db, client_as, superuser, user_id):
        form = {"deputy_id": user_id("outsider"), "from_day": day(0), "to_day": day(3), "projects": "1", "reason": "休假"}
        got = client_as("pm.chen").post("/delegations/add", data=form)
        assert got.status_code == 303, got.text
        assert "邓外" in client_as("pm.chen").get("/my-deputies/").text
        assert "陈嘉树" in client_as("outsider").get(got.headers["Location"]).text
        bad = client_as("pm.chen").post("/delegations/add", data=form | {"to_day": day(200)})
        assert bad.status_code == 422 and "92" in bad.text

    def test_the_list_is_for_those_concerned(self, client_as):
        everything = client_as("security.admin").get("/delegations/").text
        assert "苗代" in everything and "/delegations/" in client_as("security.admin").get("/").text
        assert "苗代" not in client_as("member.wang").get("/delegations/").text
        assert "/my-deputies/" in client_as("member.wang").get("/").text

    def test_the_explanation_names_who_lets_it_be_seen(self, client_as, user_id, superuser):
        pk = superuser.execute("select id from project_project where name = 'Project Alpha'").fetchone()[0]
        asked = {"person": user_id("deputy.one"), "type": "project.Project", "record": f"#{pk}"}
        page = client_as("auditor").get("/administration/who-sees-what/", query_string=asked).text
        assert "Through 陈嘉树 (Project manager of" in page and "until" in page
        beta = superuser.execute("select id from project_project where name = 'Project Beta'").fetchone()[0]
        asked |= {"person": user_id("deputy.late"), "record": f"#{beta}"}
        late = client_as("auditor").get("/administration/who-sees-what/", query_string=asked).text
        assert "This person does not see the record" in late and "does not count today" in late
