"""Handing over open work: counted without showing, done in one transaction or not at all, by those who may (VIS-11)."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from portal.kernel import calendar, handover
from portal.kernel.db import Base
from portal.kernel.document import records
from portal.kernel.errors import Refusal
from tests.conformance import clean
from tests.factories.changes import EVENTS, act, approved

pytestmark = pytest.mark.req("VIS-11", part="hand-over")
API = "/api/v1/handovers/"


def day(days: int) -> date:
    return calendar.today() + timedelta(days=days)


def counts(answer: dict[str, Any]) -> dict[str, int]:
    return {p["kind"]: p["count"] for p in answer["result"] if p["count"]}


def taken(seen: dict[str, Any], receiver: int, **more: Any) -> dict[str, Any]:
    return {"day": seen["day"], "seen": seen["seen"], "receiver_id": receiver, "reason": "跳槽"} | more


def leaves(superuser: Any, person: int, days: int = 6) -> None:
    """A last day that two people agreed on."""
    superuser.execute("update hr_employment set left_on = %s where user_id = %s", [day(days), person])


def employee_of(superuser: Any, username: str) -> int:
    found = "select e.id from hr_employee e join ab_user u on u.id = e.user_id where u.username = %s"
    return int(superuser.execute(found, [username]).fetchone()[0])


# ------------------------------------------------------------------ the declarations
def test_every_column_that_names_a_person_is_handed_over_or_said_to_stay(app: Any) -> None:
    """A new column has to answer: declare `@handover`, `follows` or `stay` for it."""
    mapped = {m.__tablename__: m for m in records()}
    declared = {(k.model.__tablename__, k.column) for k in handover.kinds.values() if k.give is not None}
    wrong = []
    for t in Base.metadata.sorted_tables:
        if t.name.startswith("ab_"):
            continue
        for c in t.columns:
            loose = t.name in mapped and c.name in ("decided_by", "user_id", "assignee_id")
            if not loose and not any(f.column.table.name == "ab_user" for f in c.foreign_keys):
                continue
            ways = ((t.name, c.name) in declared) + ((t.name, c.name) in handover.stays)
            if ways != 1:
                wrong.append(f"{t.name}.{c.name}: {'declared twice' if ways else 'neither handed over nor said to stay'}")
    clean(wrong)
    columns = {(t.name, c.name) for t in Base.metadata.sorted_tables for c in t.columns}
    clean((declared | handover.stays.keys()) - columns, "no such column")


# ------------------------------------------------------------------ looking
@pytest.mark.parametrize("username", ["pm.chen", "leader", "head.rd", "security.admin", "auditor", "member.wang"])
def test_only_hr_and_the_system_administrator(username, client_as, user_id):
    client = client_as(username)
    assert client.get(f"{API}{user_id('pm.chen')}").status_code == 403
    assert client.post(f"{API}{user_id('pm.chen')}", json={}).status_code == 403
    assert client.get(f"/hand-over/{user_id('pm.chen')}").status_code == 403
    assert "/hand-over/" not in client.get("/").text


def test_what_one_may_not_see_is_a_number(client_as, user_id):
    got = client_as("admin").get(f"{API}{user_id('pm.chen')}?day={day(1)}").get_json()
    assert counts(got) == {"project.manager": 3, "dailyreport.lines": counts(got)["dailyreport.lines"]}
    managed = next(p for p in got["result"] if p["kind"] == "project.manager")
    assert (managed["records"], managed["hidden"], managed["dated"]) == ([], 3, False)
    page = client_as("admin").get(f"/hand-over/{user_id('pm.chen')}").text
    assert "Project Alpha" not in page and "3 项对您不可见" in page
    heads = client_as("hr").get(f"{API}{user_id('head.rd')}").get_json()
    shown = next(p for p in heads["result"] if p["kind"] == "hr.headships")
    assert shown["count"] == 1 and len(shown["records"]) == 1 and shown["hidden"] == 0
    assert shown["records"][0]["label"].startswith("部门 RD · ")
    assert client_as("hr").get(f"{API}987654").status_code == 404


# ------------------------------------------------------------------ of whom
def test_nobody_strips_a_colleague_who_stays(fresh_db, client_as, user_id, superuser):
    """Neither HR nor an administrator takes headships, people and projects from somebody who does not leave."""
    head, new = user_id("head.rd"), user_id("member.zhao")
    superuser.execute("update project_project set pm_id = %s where name = 'Project Beta'", [head])

    def held() -> Any:
        rows = "select user_id, to_day from hr_department_head union all select pm_id, null from project_project order by 1, 2"
        return superuser.execute(rows).fetchall()

    before = held()
    for username, words in (("hr", "没有已确定的最后工作日"), ("admin", "只有人力资源可以移交")):
        client = client_as(username)
        seen = client.get(f"{API}{head}?day={day(7)}").get_json()
        assert words in seen["refusal"] and seen["open"] == 2, "looking is possible"
        got = client.post(f"{API}{head}", json=taken(seen, new))
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, "not_leaving"), got.text
        assert words in got.get_json()["error"]["message"]
        page = client.get(f"/hand-over/{head}").text
        assert words in page and 'name="receiver"' not in page
        form = {"day": seen["day"], "seen": seen["seen"], "reason": "x", "receiver": new, "take.project.manager": "1"}
        assert client.post(f"/hand-over/{head}", data=form).status_code == 409
    assert held() == before
    leaves(superuser, head)
    seen = client_as("admin").get(f"{API}{head}?day={day(7)}").get_json()
    assert "只有人力资源可以移交" in seen["refusal"], "an administrator does not learn who is about to leave"
    assert client_as("admin").post(f"{API}{head}", json=taken(seen, new)).status_code == 409
    seen = client_as("hr").get(f"{API}{head}?day={day(7)}").get_json()
    assert seen["refusal"] is None
    assert client_as("hr").post(f"{API}{head}", json=taken(seen, new)).status_code == 200


def test_a_closed_account_by_another_than_who_closed_it(fresh_db, client_as, user_id, superuser):
    """Who closes accounts and is in HR, too, would otherwise do alone what takes two."""
    chen, hr = user_id("pm.chen"), user_id("hr")
    superuser.execute(
        """insert into ab_user_role (id, user_id, role_id)
           select nextval('ab_user_role_id_seq'), %s, id from ab_role where name = 'system_admin'""",
        [hr],
    )
    superuser.execute("update security_epoch set n = n + 1")
    both = client_as("hr")
    assert both.post(f"/api/v1/accounts/{chen}/switch-off", json={"reason": "test"}).status_code == 200
    seen = both.get(f"{API}{chen}").get_json()
    assert "由您本人停用" in seen["refusal"]
    assert both.post(f"{API}{chen}", json=taken(seen, user_id("pm.li"))).status_code == 409
    assert client_as("admin").post(f"{API}{chen}", json=taken(seen, user_id("pm.li"))).status_code == 409, "still employed: HR only"
    assert both.post(f"/api/v1/accounts/{chen}/switch-on", json={"reason": "test"}).status_code == 200
    assert client_as("admin").post(f"/api/v1/accounts/{chen}/switch-off", json={"reason": "test"}).status_code == 200
    seen = both.get(f"{API}{chen}").get_json()
    assert seen["refusal"] is None
    assert both.post(f"{API}{chen}", json=taken(seen, user_id("pm.li"))).status_code == 200


# ------------------------------------------------------------------ doing
def test_everything_goes_in_one_action_before_the_last_day(fresh_db, client_as, user_id, superuser, worker):
    """A head, a team's member and somebody's manager leaves in a week: what has a day changes then, the rest at once."""
    head, new = user_id("head.rd"), user_id("member.zhao")
    superuser.execute("update project_project set pm_id = %s where name = 'Project Beta'", [head])
    superuser.execute("update project_domain set manager_id = %s where code = 'D3'", [head])
    superuser.execute("update hr_assignment set manager_id = %s where user_id in (%s, %s)", [head, user_id("member.wang"), new])
    superuser.execute("update hr_employment set manager_id = %s where user_id in (%s, %s)", [head, user_id("member.wang"), new])
    superuser.execute("update hr_employment set manager_id = %s where user_id = %s", [user_id("ceo"), head])
    project, role = superuser.execute(
        "select p.id, r.id from project_project p, project_role r where p.name = 'Project Gamma' and r.code = 'DEV'"
    ).fetchone()
    superuser.execute(
        "insert into project_member (project_id, user_id, role_id, from_day) values (%s, %s, %s, %s)", [project, head, role, day(-5)]
    )
    superuser.execute("update notify_warning set assignee_id = %s where key = 'test:5'", [head])
    hr = client_as("hr")
    leaves(superuser, head)
    seen = hr.get(f"{API}{head}?day={day(7)}").get_json()
    assert {k: n for k, n in counts(seen).items() if k not in ("hr.leaves", "dailyreport.lines")} == {
        "hr.headships": 1, "hr.reports": 2, "project.manager": 1, "project.domain": 1, "project.member": 1, "notify.warnings": 1,
    }  # fmt: skip
    done = hr.post(f"{API}{head}", json=taken(seen, new))
    assert done.status_code == 200, done.text
    one = lambda q, *a: superuser.execute(q, a).fetchone()[0]  # noqa: E731
    department = one("select id from hr_department where code = 'RD'")
    rows = superuser.execute(
        "select user_id, kind, from_day, to_day from hr_department_head where department_id = %s order by from_day", [department]
    ).fetchall()
    assert rows == [(head, "head", day(-800), day(7)), (new, "head", day(7), None)]
    assert one("select pm_id from project_project where name = 'Project Beta'") == new
    assert one("select manager_id from project_domain where code = 'D3'") == new
    assert one("select assignee_id from notify_warning where key = 'test:5'") == new
    places = superuser.execute(
        "select user_id, from_day, to_day from project_member where project_id = %s and user_id in (%s, %s) order by from_day",
        [project, head, new],
    ).fetchall()
    assert places == [(head, day(-5), day(7)), (new, day(7), None)]
    managers = superuser.execute(
        "select u.username, a.manager_id, a.from_day = %s from hr_assignment a join ab_user u on u.id = a.user_id"
        " where u.username in ('member.wang', 'member.zhao') order by 1, 3",
        [day(7)],
    ).fetchall()
    # whoever becomes the manager gets the one above
    assert managers == [
        ("member.wang", head, False), ("member.wang", new, True), ("member.zhao", head, False), ("member.zhao", user_id("ceo"), True),
    ]  # fmt: skip
    # the history of each record says it
    reasons = superuser.execute("select tbl, reason from audit_entry where reason like 'handover|%' order by tbl").fetchall()
    assert {t for t, _r in reasons} >= {"hr_department_head", "hr_assignment", "project_project", "project_domain", "project_member"}
    assert {r for _t, r in reasons} == {"handover|孙望舒|赵青禾|跳槽"}
    beta = one("select id from project_project where name = 'Project Beta'")
    assert "由 孙望舒 移交给 赵青禾：跳槽" in client_as("leader").get(f"/projects/{beta}/history").text
    # all of them are told, nothing is left, and nothing is there for a second time
    worker()
    told = superuser.execute(
        "select u.username from notify_notice n join ab_user u on u.id = n.receiver_id where n.kind = 'security.handed_over'"
    ).fetchall()
    assert {r[0] for r in told} >= {"head.rd", "member.zhao", "ceo", "deputy.plt", "leader"}
    assert "孙望舒" in client_as("member.zhao").get("/notices/").text
    again = hr.get(f"{API}{head}?day={day(7)}").get_json()
    assert again["open"] == 0
    assert hr.post(f"{API}{head}", json=taken(again, new)).status_code == 409


def test_after_leaving_and_one_receiver_for_each_kind(fresh_db, client_as, user_id, superuser, app):
    """HR lets the head leave; the vacancy and the projects still show as open work, and go to two people."""
    head, wang, zhao = user_id("head.rd"), user_id("member.wang"), user_id("member.zhao")
    superuser.execute("update project_project set pm_id = %s where name in ('Project Beta', 'Project Zeta')", [head])
    hr = client_as("hr")
    from modules.hr.actions import leave_company
    from modules.hr.models import Employee
    from portal.kernel.db import unrestricted

    with app.app_context(), unrestricted("a test: somebody leaves") as s:
        leave_company(s.query(Employee).filter_by(user_id=head).one(), day(-1), None)
    assert "孙望舒" in hr.get("/hand-over/").text
    home = hr.get("/").text
    assert "离职人员未移交的工作" in home and f"/hand-over/{head}" in home
    seen = hr.get(f"{API}{head}").get_json()
    assert {k: n for k, n in counts(seen).items() if k not in ("hr.leaves", "dailyreport.lines")} == {
        "hr.headships": 1,
        "project.manager": 1,
    }
    done = hr.post(f"{API}{head}", json=taken(seen, wang, receivers={"project.manager": zhao, "hr.headships": wang}))
    assert done.get_json()["done"] == {"hr.headships": 1, "project.manager": 1}
    heads = superuser.execute("select user_id, from_day, to_day from hr_department_head where user_id in (%s, %s)", [wang, head]).fetchall()
    assert sorted(heads) == sorted([(wang, day(0), None), (head, day(-800), day(0))])
    states = dict(superuser.execute("select name, pm_id from project_project where name in ('Project Beta', 'Project Zeta')").fetchall())
    assert states == {"Project Beta": zhao, "Project Zeta": head}, "what is closed stays as it was"
    assert hr.get(f"{API}{head}").get_json()["open"] == 0 and "孙望舒" not in hr.get("/hand-over/").text


# ------------------------------------------------------------------ as a whole or not at all
PLACES = """select a.id, a.manager_id, a.from_day, a.to_day from hr_assignment a join ab_user u on u.id = a.user_id
             where u.username = %s and a.archived_at is null order by a.from_day"""


@pytest.fixture
def planned(client_as, user_id, superuser):
    """In a week the head's people go to somebody else; for one of them a transfer under the head was approved for a day after."""
    head, wang, zhao = user_id("head.rd"), user_id("member.wang"), user_id("member.zhao")
    superuser.execute("update hr_assignment set manager_id = %s where user_id in (%s, %s)", [head, wang, zhao])
    superuser.execute("update hr_employment set manager_id = %s where user_id in (%s, %s)", [head, wang, zhao])
    department = superuser.execute("select id from hr_department where code = 'PLT'").fetchone()[0]
    event = approved(client_as, "transfer", employee_of(superuser, "member.wang"), department_id=department, effective_on=day(20))
    before = {who: superuser.execute(PLACES, [who]).fetchall() for who in ("member.wang", "member.zhao")}
    assert [r[1] for r in before["member.wang"]] == [head, head]
    leaves(superuser, head)
    hr = client_as("hr")
    seen = hr.get(f"{API}{head}?day={day(7)}").get_json()
    assert counts(seen)["hr.reports"] == 3
    assert hr.post(f"{API}{head}", json=taken(seen, user_id("pm.li"))).status_code == 200
    return before, event


def test_what_two_agreed_on_is_followed_and_never_overwritten(fresh_db, planned, client_as, user_id, superuser):
    before, event = planned
    head, new = user_id("head.rd"), user_id("pm.li")
    places = superuser.execute(PLACES, ["member.wang"]).fetchall()
    assert [r[1:] for r in places] == [(head, before["member.wang"][0][2], day(7)), (new, day(7), day(20)), (new, day(20), None)]
    agreed = before["member.wang"][1]
    row = superuser.execute("select manager_id, from_day, to_day, archived_at is null from hr_assignment where id = %s", [agreed[0]])
    assert row.fetchone() == (head, day(20), None, False), "what was approved still says so"
    hr = client_as("hr")
    got = act(hr, f"{EVENTS}{event['id']}/cancel", note="不再需要")
    assert got.status_code == 200, got.text
    places = superuser.execute(PLACES, ["member.wang"]).fetchall()
    assert [r[1:] for r in places] == [(head, before["member.wang"][0][2], day(7)), (new, day(7), None)]


def test_planned_places_are_withdrawn_together_only(fresh_db, planned, client_as, superuser):
    """One by one it would be a change of somebody's manager by one person."""
    before, event = planned
    hr, zhao = client_as("hr"), superuser.execute(PLACES, ["member.zhao"]).fetchall()
    first, second = superuser.execute(PLACES, ["member.wang"]).fetchall()[1:]
    for pk, code in ((zhao[1][0], "as_a_whole"), (first[0], "as_a_whole"), (second[0], "by_event")):
        got = act(hr, f"/api/v1/assignments/{pk}/withdraw")
        assert (got.status_code, got.get_json()["error"]["code"]) == (409, code)
    assert act(hr, f"/api/v1/assignments/{zhao[0][0]}/withdraw-together").status_code == 409, "that one was not planned"
    page = hr.get(f"/people/{employee_of(superuser, 'member.zhao')}?tab=assignments").text
    assert f"/assignments/{zhao[1][0]}/withdraw-together" in page and f'/assignments/{zhao[1][0]}/withdraw"' not in page
    assert act(hr, f"/api/v1/assignments/{zhao[1][0]}/withdraw-together").status_code == 200
    assert {who: superuser.execute(PLACES, [who]).fetchall() for who in before} == before
    stands_for = "select assignment_id from hr_employee_event where id = %s"
    assert superuser.execute(stands_for, [event["id"]]).fetchone()[0] == before["member.wang"][1][0]


def test_what_took_effect_or_bears_more_is_not_withdrawn(fresh_db, planned, client_as, user_id, superuser):
    hr, (_old, new) = client_as("hr"), superuser.execute(PLACES, ["member.zhao"]).fetchall()
    url = f"/api/v1/assignments/{new[0]}/withdraw-together"
    leaves(superuser, user_id("pm.li"), 29)
    seen = hr.get(f"{API}{user_id('pm.li')}?day={day(30)}").get_json()
    given = taken(seen, user_id("qa"), receiver_id=None, receivers={"hr.reports": user_id("qa")})
    assert hr.post(f"{API}{user_id('pm.li')}", json=given).status_code == 200
    refused = act(hr, url)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "not_last")
    last = superuser.execute(PLACES, ["member.zhao"]).fetchall()[-1][0]
    assert act(hr, f"/api/v1/assignments/{last}/withdraw-together").status_code == 200, "what came last goes first"
    superuser.execute("update hr_assignment set to_day = %s where to_day = %s", [day(0), day(7)])
    superuser.execute("update hr_assignment set from_day = %s where from_day = %s", [day(0), day(7)])
    refused = act(hr, url)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "in_effect")


def test_changed_between_looking_and_doing(fresh_db, client_as, user_id, superuser):
    chen, hr = user_id("pm.chen"), client_as("hr")
    leaves(superuser, chen)
    seen = hr.get(f"{API}{chen}").get_json()
    superuser.execute("update project_project set version = version + 1 where name = 'Project Alpha'")
    got = hr.post(f"{API}{chen}", json=taken(seen, user_id("pm.li")))
    assert got.status_code == 409 and got.get_json()["error"]["code"] == "changed_meanwhile"
    assert superuser.execute("select count(*) from project_project where pm_id = %s", [chen]).fetchone()[0] == 3
    form = {"day": seen["day"], "seen": seen["seen"], "reason": "x", "receiver": user_id("pm.li"), "take.project.manager": "1"}
    page = hr.post(f"/hand-over/{chen}", data=form)
    assert page.status_code == 409 and "什么都没有移交" in page.text
    fresh = hr.get(f"{API}{chen}").get_json()["seen"]
    assert f'value="{fresh}"' in page.text, "the new preview is shown"
    assert hr.post(f"/hand-over/{chen}", data=form | {"seen": fresh}).status_code == 303


def test_all_or_nothing(fresh_db, client_as, user_id, superuser, monkeypatch):
    """One record that cannot go keeps all of them, also those that went before it."""
    head, hr = user_id("head.rd"), client_as("hr")
    leaves(superuser, head)
    superuser.execute("update project_project set pm_id = %s where name = 'Project Beta'", [head])
    superuser.execute("update notify_warning set assignee_id = %s where key = 'test:5'", [head])
    seen = hr.get(f"{API}{head}?day={day(5)}").get_json()

    def refuse(_record: Any, _receiver: int, _day: date) -> None:
        raise Refusal("the receiver cannot take this one")

    monkeypatch.setitem(handover.kinds, "notify.warnings", replace(handover.kinds["notify.warnings"], give=refuse))
    got = hr.post(f"{API}{head}", json=taken(seen, user_id("member.zhao")))
    assert got.status_code == 409 and "receiver.notify.warnings" in got.get_json()["error"]["fields"]
    assert superuser.execute("select pm_id from project_project where name = 'Project Beta'").fetchone()[0] == head
    assert superuser.execute("select count(*) from hr_department_head where user_id = %s", [user_id("member.zhao")]).fetchone()[0] == 0
    assert superuser.execute("select count(*) from audit_entry where reason like 'handover|%'").fetchone()[0] == 0


def test_who_heads_it_already_cannot_take_it(fresh_db, client_as, user_id, superuser):
    head, hr = user_id("head.rd"), client_as("hr")
    leaves(superuser, head)
    department = superuser.execute("select id from hr_department where code = 'RD'").fetchone()[0]
    superuser.execute("update hr_department_head set to_day = %s where user_id = %s", [day(40), head])
    superuser.execute(
        "insert into hr_department_head (department_id, user_id, kind, from_day) values (%s, %s, 'head', %s)",
        [department, user_id("member.zhao"), day(40)],
    )
    seen = hr.get(f"{API}{head}?day={day(5)}").get_json()
    assert hr.post(f"{API}{head}", json=taken(seen, user_id("member.zhao"))).status_code == 409
    assert hr.post(f"{API}{head}", json=taken(seen, user_id("pm.li"))).status_code == 200
    rows = superuser.execute(
        "select user_id, to_day from hr_department_head where department_id = %s and archived_at is null order by from_day", [department]
    ).fetchall()
    assert rows == [(head, day(5)), (user_id("pm.li"), day(40)), (user_id("member.zhao"), None)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"receiver_id": "pm.chen"}, "receiver.project.manager"),
        ({"receiver_id": "hr"}, "receiver.project.manager"),
        ({"receiver_id": "leaver"}, "receiver.project.manager"),
        ({"receiver_id": 987654}, "receiver.project.manager"),
        ({"reason": " "}, "reason"),
        ({"day": -1}, "day"),
        ({"receiver_id": None}, "receivers"),
        ({"receivers": {"no.such": 1}}, "receivers"),
        ({"extra": 1}, "extra"),
    ],
)
def test_refused(client_as, user_id, superuser, change, field):
    chen = user_id("pm.chen")
    leaves(superuser, chen)
    seen = client_as("hr").get(f"{API}{chen}").get_json()
    given = {k: str(day(v)) if k == "day" else user_id(v) if isinstance(v, str) and k == "receiver_id" else v for k, v in change.items()}
    got = client_as("hr").post(f"{API}{chen}", json=taken(seen, user_id("pm.li")) | given)
    assert got.status_code == 422 and field in got.get_json()["error"]["fields"], got.text
    assert superuser.execute("select count(*) from project_project where pm_id = %s", [chen]).fetchone()[0] == 3


def test_an_administrator_never_takes_it(fresh_db, client_as, user_id, superuser):
    """Handing projects over gives sight of them: never to the own account, and everybody concerned hears of it."""
    chen, admin = user_id("pm.chen"), client_as("admin")
    leaves(superuser, chen, -1)
    superuser.execute("update hr_employee set active = false where user_id = %s", [chen])
    superuser.execute("update ab_user set active = false where id = %s", [chen])
    seen = admin.get(f"{API}{chen}").get_json()
    got = admin.post(f"{API}{chen}", json=taken(seen, user_id("admin")))
    assert got.status_code == 422
    assert admin.post(f"{API}{chen}", json=taken(seen, user_id("pm.li"))).status_code == 200
    assert superuser.execute("select count(*) from project_project where pm_id = %s", [chen]).fetchone()[0] == 0
    assert admin.get("/api/v1/projects/").get_json()["count"] == 0


def test_the_page_says_who_it_is_for(client_as, user_id, superuser):
    employee = superuser.execute("select id from hr_employee where user_id = %s", [user_id("pm.chen")]).fetchone()[0]
    link = f"/hand-over/{user_id('pm.chen')}"
    assert link in client_as("hr").get(f"/people/{employee}").text
    assert link not in client_as("member.wang").get(f"/people/{employee}").text
    leaves(superuser, user_id("pm.chen"))
    page = client_as("hr").get(link).text
    assert "陈嘉树" in page and 'name="receiver.project.manager"' in page and 'name="receiver"' in page
    bad = client_as("hr").post(link, data={"day": str(day(0)), "seen": "x", "reason": "", "receiver": user_id("pm.li")})
    assert bad.status_code == 422
    described = client_as("hr").get("/api/v1/_openapi").get_json()["paths"]["/api/v1/handovers/{pk}"]
    assert set(described) == {"get", "post"}
