"""Every action: exactly the right persons may, only in the right states, and a new one has to say here who that is."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from portal.kernel.document import records
from portal.kernel.errors import Forbidden, Invalid, NotFound, Refusal
from security import manager
from security.transitions import Action, actions_of, perform
from security.visibility import Bound, context
from tests.conformance import clean
from tests.factories.company import PEOPLE
from tests.security.oracle import Oracle, Row

PERSONS = sorted(PEOPLE.keys() - {"leaver"})
Words = Callable[[Oracle, int, Row], bool]


# ------------------------------------------------------------------ who may, in plain words
def hr(o: Oracle, me: int, row: Row) -> bool:
    return "hr" in o.held[me]


def administrator(o: Oracle, me: int, row: Row) -> bool:
    return "system_admin" in o.held[me]


def manages(o: Oracle, me: int, row: Row) -> bool:
    return o.answers_for(me, row["id"]) or "leader" in o.held[me]


def manages_team(o: Oracle, me: int, row: Row) -> bool:
    return o.answers_for(me, row["project_id"]) or "leader" in o.held[me]


def oversees(o: Oracle, me: int, row: Row) -> bool:
    """Those above the PM: the domain manager, leaders."""
    domain = next(d for d in o.rows["project_domain"] if d["id"] == row["domain_id"])
    return domain["manager_id"] == me or "leader" in o.held[me]


def own(column: str) -> Words:
    return lambda o, me, row: row[column] == me


def answers_leave(o: Oracle, me: int, row: Row) -> bool:
    return o.answers_leave(me, row["user_id"])


def approves_change(o: Oracle, me: int, row: Row) -> bool:
    """Another person: HR or a leader who neither prepared nor submitted it, and whom it is not about."""
    return bool(o.held[me] & {"hr", "leader"}) and me not in (row["created_by"], row["submitted_by"], row["user_id"])


def approves_merger(o: Oracle, me: int, row: Row) -> bool:
    """HR and leaders, never who asked for it."""
    return bool(o.held[me] & {"hr", "leader"}) and row["created_by"] != me


def cancels_change(o: Oracle, me: int, row: Row) -> bool:
    """HR before the approval; after it HR or a leader whom it is not about."""
    if row["state"] in ("draft", "submitted", "rejected"):
        return hr(o, me, row)
    return bool(o.held[me] & {"hr", "leader"}) and row["user_id"] != me


def decides(o: Oracle, me: int, row: Row) -> bool:
    """The project's PM or domain manager, the head for other work, whoever is next for a PM's own; the author only with nobody above."""
    if row["decider"] == "author" or row["author_id"] == me:
        return row["decider"] == "author" and row["author_id"] == me
    as_manager = row["decider"] in ("manager", "either") and o.answers_for(me, row["project_id"])
    return as_manager or (row["decider"] in ("head", "either") and me in o.answer_for(row["author_id"]))


def watches(o: Oracle, me: int) -> bool:
    """Looks after access or audits it; that auditors do not end anything is their role's permission."""
    return bool(o.held[me] & {"system_admin", "security_admin", "auditor"})


def concerned(o: Oracle, me: int, row: Row) -> bool:
    """Manager of the project, head of the person or department, receiver, the one it is assigned to; seeing everything is not enough."""
    staff = row["user_id"] is not None and (row["user_id"] == me or me in o.heads_above(row["user_id"]))
    return (
        o.answers_for(me, row["project_id"])
        or staff
        or row["department_id"] in o.departments_of(me)
        or me in row["receivers"]
        or row["assignee_id"] == me
    )


def looks_after_accounts(o: Oracle, me: int, row: Row) -> bool:
    return bool({"system_admin", "security_admin", "auditor"} & o.held[me])  # the auditor's role has no permission for it


def of_an_account(o: Oracle, me: int, row: Row) -> bool:
    return row["kind"] in ("account", "double") and looks_after_accounts(o, me, row)


def decides_on_erasure(o: Oracle, me: int, row: Row) -> bool:
    """Those who look after personal data, never who asked nor the person concerned."""
    return o.looks_after_personal_data(me) and me not in (row["created_by"], row["person_id"])


MAY: dict[str, Words] = {
    "security.Difference.link": of_an_account,
    "security.Difference.disable": of_an_account,
    "security.Difference.adopt": lambda o, me, row: row["kind"] == "group" and looks_after_accounts(o, me, row),
    "security.Difference.ignore": looks_after_accounts,
    "security.Difference.reopen": looks_after_accounts,
    "security.Difference.enable": lambda o, me, row: row["kind"] == "off" and looks_after_accounts(o, me, row),
    "project.Project.start": manages,
    "project.Project.pause": manages,
    "project.Project.resume": manages,
    "project.Project.complete": manages,
    "project.Project.close": oversees,
    "project.Project.cancel": oversees,
    "project.Project.appoint_manager": oversees,
    "project.ProjectMember.leave_team": manages_team,
    "hr.Employee.change_contact": lambda o, me, row: row["user_id"] == me or hr(o, me, row),
    "hr.Assignment.withdraw": hr,
    "hr.Assignment.withdraw_together": hr,
    "hr.Assignment.correct": hr,
    "hr.Department.move": hr,
    "hr.Department.rename": hr,
    "hr.Department.merge": hr,
    "hr.Department.appoint": hr,
    "hr.DepartmentHead.end": hr,
    "hr.Grade.set_rate": hr,
    "hr.GradeRate.withdraw": hr,
    "hr.EmployeeEvent.submit": hr,
    "hr.EmployeeEvent.approve": approves_change,
    "hr.EmployeeEvent.reject": approves_change,
    "hr.EmployeeEvent.cancel": cancels_change,
    "hr.Merger.approve": approves_merger,
    "hr.Merger.reject": approves_merger,
    "hr.Merger.cancel": lambda o, me, row: bool(o.held[me] & {"hr", "leader"}),
    "hr.Leave.submit": own("user_id"),
    "hr.Leave.approve": answers_leave,
    "hr.Leave.reject": answers_leave,
    "hr.Leave.cancel": lambda o, me, row: row["user_id"] == me or hr(o, me, row),
    "dailyreport.DailyReport.submit": own("author_id"),
    "dailyreport.DailyReport.comment": lambda o, me, row: o.staff(me, row["author_id"]),
    "dailyreport.DailyReport.like": lambda o, me, row: o.staff(me, row["author_id"]),
    "dailyreport.ReportLine.confirm": decides,
    "dailyreport.ReportLine.return": decides,
    "dailyreport.ReportLine.undo": lambda o, me, row: row["decided_by"] == me and decides(o, me, row),
    "dailyreport.ReportLine.submit": own("author_id"),
    "dailyreport.ReportLine.correct": own("author_id"),
    "dailyreport.ReportLine.withdraw": lambda o, me, row: row["author_id"] == me and row["reversal_of_id"] is not None,
    "notify.Warning_.acknowledge": concerned,
    "notify.Warning_.reopen": concerned,
    "notify.Warning_.snooze": concerned,
    "notify.Warning_.assign": concerned,
    "notify.Warning_.close": concerned,
    "notify.Notice.read": own("receiver_id"),
    "security.Delegation.end": lambda o, me, row: me in (row["giver_id"], row["deputy_id"]) and row["ended_at"] is None,
    "security.Delegation.revoke": lambda o, me, row: watches(o, me) and row["ended_at"] is None,
    "lowcode.ImportRun.commit": own("owner_id"),
    "lowcode.ImportRun.submit": own("owner_id"),
    "lowcode.ImportRun.approve": lambda o, me, row: row["owner_id"] != me,
    "lowcode.ImportRun.reject": lambda o, me, row: row["owner_id"] != me,
    "lowcode.ImportRun.cancel": own("owner_id"),
    "applications.Application.close": administrator,
    "applications.Application.reopen": administrator,
    "security.Erasure.approve": decides_on_erasure,
    "security.Erasure.refuse": decides_on_erasure,
    "security.Erasure.withdraw": own("created_by"),
    "security.LegalHold.lift": lambda o, me, row: o.looks_after_personal_data(me) and row["person_id"] != me,
}


def every_action() -> list[Action]:
    return [a for m in records() for a in actions_of(m)]


def key(a: Action) -> str:
    return f"{a.model.permission_name()}.{a.name}"


@pytest.fixture(scope="module")
def oracle(app: Any, database: Any) -> Oracle:
    with psycopg.connect(database.super_dsn()) as conn:
        return Oracle(conn, [m.__tablename__ for m in records()])


@pytest.fixture
def permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles stand aside: only the action's own rule counts."""
    monkeypatch.setattr(manager, "allowed", lambda verb, view: True)


def test_every_action_is_known_here(app: Any) -> None:
    clean({key(a) for a in every_action()} - MAY.keys(), "say in MAY, in other words than the code, who may do this")


@pytest.mark.req("ALL-04", part="persons")
@pytest.mark.parametrize("username", PERSONS)
def test_the_right_persons_may(username: str, oracle: Oracle, session_as: Any) -> None:
    me, wrong = oracle.people[username], []
    with session_as(username) as s:
        ctx = context()
        for a in every_action():
            table = a.model.__tablename__
            seen = [r for r in oracle.rows[table] if oracle.sees(me, table, r)]
            may = set(s.scalars(select(a.model.id).where(a.by(a.model, Bound(ctx))), execution_options={"include_archived": True}))
            expected = {r["id"] for r in seen if MAY[key(a)](oracle, me, r)}
            if may != expected:
                wrong.append(f"{key(a)}: too many {sorted(may - expected)[:5]}, missing {sorted(expected - may)[:5]}")
    clean(wrong)


def arguments(a: Action, oracle: Oracle) -> dict[str, Any]:
    """Something acceptable for every argument, so that nothing else is in the way."""
    day = oracle.today.isoformat()
    values = {"text": "x", "date": day, "decimal": "1", "integer": 1, "person": oracle.people["outsider"], "ref": 1}
    return {k: next(iter(v.choices)) if v.kind == "choice" else values[v.kind] for k, v in a.arguments.items()}


@pytest.mark.req("ALL-04", part="states")
def test_the_wrong_state_is_refused_whoever_asks(oracle: Oracle, request_as: Any, permitted: None) -> None:
    wrong, tried = [], 0
    names = {v: k for k, v in oracle.people.items()}
    for a in every_action():
        if a.sources == ("*",):
            continue
        for state in a.model.STATES:
            if state in a.sources:
                continue
            rows = [r for r in oracle.rows[a.model.__tablename__] if r["state"] == state and r["archived_at"] is None]
            pair = next(
                ((r, me) for r in rows for me in names if oracle.sees(me, a.model.__tablename__, r) and MAY[key(a)](oracle, me, r)), None
            )
            if pair is None:
                continue
            row, me = pair
            tried += 1
            with request_as(names[me]):
                try:
                    perform(a.model, a.name, row["id"], arguments=arguments(a, oracle))
                    wrong.append(f"{key(a)} went through in state {state}")
                except Refusal as e:
                    if e.code != "wrong_state":
                        wrong.append(f"{key(a)} in state {state}: {e.code}")
                except (Forbidden, NotFound, Invalid) as e:
                    wrong.append(f"{key(a)} in state {state}: {type(e).__name__} {e.fields or e}")
    clean(wrong)
    assert tried > 20


@pytest.mark.req("ALL-04", part="persons")
@pytest.mark.parametrize("username", ["outsider", "member.wang", "qa", "admin", "pm.li", "head.sales", "blind.member"])
def test_the_wrong_person_is_refused(username: str, oracle: Oracle, request_as: Any, permitted: None) -> None:
    me, wrong = oracle.people[username], []
    for a in every_action():
        table = a.model.__tablename__
        rows = [r for r in oracle.rows[table] if r["archived_at"] is None and not MAY[key(a)](oracle, me, r)]
        unseen = next((r for r in rows if not oracle.sees(me, table, r)), None)
        seen = next((r for r in rows if oracle.sees(me, table, r)), None)
        for row, expected in ((unseen, NotFound), (seen, Forbidden)):
            if row is None:
                continue
            with request_as(username):
                try:
                    perform(a.model, a.name, row["id"], arguments=arguments(a, oracle))
                    wrong.append(f"{key(a)} on row {row['id']} went through")
                except expected:
                    pass
                except Exception as e:
                    wrong.append(f"{key(a)} on row {row['id']}: {type(e).__name__} {e}, not {expected.__name__}")
    clean(wrong)


def test_every_action_has_words_and_no_action_shares_a_name_with_a_verb(app: Any) -> None:
    from portal.web.access import VERBS

    wrong = []
    for a in every_action():
        if not a.help:
            wrong.append(f"{key(a)} has no docstring")
        if a.name in VERBS or a.name in ("history", "edit", "actions", "restore"):
            wrong.append(f"{key(a)} has the name of an address")
        if not str(a.label):
            wrong.append(f"{key(a)} has no label")
    clean(wrong)
