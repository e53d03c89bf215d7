"""History: complete, by whatever way a row changes; read by those who see the row; altered by nobody."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import g
from sqlalchemy import select, text, update

from modules.hr.models import EmployeePrivate, Leave
from modules.project.models import Project, ProjectMember
from portal.kernel import calendar
from portal.kernel.db import unrestricted
from portal.kernel.document import records
from security.audit import AuditEntry, timeline
from security.visibility import acting, context

pytestmark = pytest.mark.req("ALL-05")


def entries(superuser: Any, table: str, pk: int) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    return (
        superuser.cursor(row_factory=dict_row)
        .execute("select * from audit_entry where tbl = %s and row_id = %s order by id", [table, pk])
        .fetchall()
    )


@pytest.fixture
def project_id(superuser: Any) -> Callable[[str], int]:
    return lambda name: superuser.execute("select id from project_project where name = %s", [f"Project {name}"]).fetchone()[0]


# ------------------------------------------------------------------ complete
def test_who_what_when_from_where_why(request_as: Any, superuser: Any, user_id: Any) -> None:
    with request_as("member.wang", keep=True, environ_base={"REMOTE_ADDR": "10.1.2.3"}) as s:
        leave = Leave(
            kind="annual", from_day=calendar.today() + timedelta(days=90), to_day=calendar.today() + timedelta(days=90), reason="one"
        )
        s.add(leave)
        s.flush()
        pk = leave.id
        leave.reason = "two"
        s.flush()
        with acting("because of a test"):
            s.get(Leave, pk).decision_note = "noted"
    created, edited, acted = entries(superuser, "hr_leave", pk)
    assert created["op"] == "insert" and created["old"] is None and created["new"]["reason"] == "one"
    assert (edited["op"], edited["old"], edited["new"]) == ("update", {"reason": "one"}, {"reason": "two"})
    assert (acted["new"], acted["reason"], acted["db_role"]) == ({"decision_note": "noted"}, "because of a test", "app_act")
    for e in (created, edited, acted):
        assert (e["actor"], e["ip"]) == (user_id("member.wang"), "10.1.2.3") and e["txid"] == created["txid"]
    assert edited["db_role"] == "app" and edited["reason"] is None


def test_nothing_is_written_when_nothing_changed(request_as: Any, superuser: Any, project_id: Any) -> None:
    pk = project_id("Alpha")
    before = len(entries(superuser, "project_project", pk))
    with request_as("pm.chen", keep=True) as s:
        s.execute(update(Project).where(Project.id == pk).values(summary=Project.summary).execution_options(synchronize_session=False))
    assert len(entries(superuser, "project_project", pk)) == before


def test_bulk_statements_plain_sql_and_deletes_are_in_it(app: Any, superuser: Any, settings: Any, project_id: Any) -> None:
    pk = project_id("Beta")
    with app.app_context(), unrestricted("the nightly job") as s:
        s.execute(update(Project).where(Project.id == pk).values(summary="bulk").execution_options(synchronize_session=False))
        s.execute(text("update project_project set summary = 'plain' where id = :i"), {"i": pk})
        member = s.scalar(select(ProjectMember.id).where(ProjectMember.project_id == pk))
        s.execute(text("delete from project_member where id = :i"), {"i": member})
    bulk, plain = entries(superuser, "project_project", pk)[-2:]
    assert (bulk["new"], plain["new"]) == ({"summary": "bulk"}, {"summary": "plain"})
    assert bulk["reason"] == "the nightly job" and bulk["db_role"] == "worker" and bulk["actor"] is None
    gone = entries(superuser, "project_member", member)[-1]
    assert gone["op"] == "delete" and gone["old"]["project_id"] == pk and gone["new"] is None
    assert (gone["root_tbl"], gone["root_id"]) == ("project_project", pk)
    # as the owner of the tables, e.g. in a migration
    with psycopg.connect(superuser.info.dsn, password=superuser.info.password) as conn:
        conn.execute("set role shuniu_owner")
        conn.execute("update project_project set summary = 'migrated' where id = %s", [pk])
    assert entries(superuser, "project_project", pk)[-1]["new"] == {"summary": "migrated"}


def test_the_systems_work_within_a_request_names_the_person(request_as: Any, superuser: Any, project_id: Any, user_id: Any) -> None:
    with request_as("pm.chen") as s:
        s.scalars(select(Project.id)).all()
        with unrestricted("a reason") as w:
            w.get(Project, project_id("Gamma")).summary = "changed by the system for pm.chen"
    last = entries(superuser, "project_project", project_id("Gamma"))[-1]
    assert (last["actor"], last["db_role"], last["reason"]) == (user_id("pm.chen"), "worker", "a reason")


def test_rolled_back_work_leaves_no_entry(request_as: Any, superuser: Any, project_id: Any) -> None:
    before = superuser.execute("select count(*) from audit_entry").fetchone()
    with request_as("pm.chen") as s:
        s.get(Project, project_id("Alpha")).summary = "never"
        s.flush()
    assert superuser.execute("select count(*) from audit_entry").fetchone() == before


# ------------------------------------------------------------------ read by those who see the row
@pytest.mark.req("VIS-08", part="history")
@pytest.mark.parametrize(
    "username", ["outsider", "member.wang", "pm.chen", "head.rd", "ceo", "leader", "hr", "admin", "auditor", "finance"]
)
def test_history_shows_exactly_the_rows_one_sees(username: str, raw_as: Any) -> None:
    with raw_as(username) as conn:
        for m in (m for m in records() if not m.LOG):
            t = m.__tablename__
            told = {r[0] for r in conn.execute("select distinct row_id from audit_entry where tbl = %s", [t]).fetchall()}
            assert told == {r[0] for r in conn.execute(f"select id from {t}").fetchall()}, t


def test_history_of_a_person_tells_no_secrets_to_colleagues(session_as: Any, user_id: Any) -> None:
    for username in ("member.zhao", "head.rd", "ceo", "leader", "admin"):
        with session_as(username) as s:
            found = s.execute(select(AuditEntry.tbl, AuditEntry.row_id, AuditEntry.old, AuditEntry.new)).all()
            text_ = repr([r for r in found if r.tbl != "hr_employee_private"])
            assert "SECRET-" not in text_ and "6222-" not in text_ and "daily_cost" not in text_
            own = s.scalar(select(EmployeePrivate.id).where(EmployeePrivate.user_id == user_id(username)))
            assert {r.row_id for r in found if r.tbl == "hr_employee_private"} == {own}


def test_the_timeline_holds_the_parts_of_a_record_too(session_as: Any, project_id: Any) -> None:
    with session_as("pm.chen") as s:
        project = s.get(Project, project_id("Alpha"))
        found = timeline(project)
        assert {e.tbl for e in found} == {"project_project", "project_member", "project_state_change"}
        assert [e.id for e in found] == sorted((e.id for e in found), reverse=True)
        rest = timeline(project, limit=2, before=found[1].id)
        assert [e.id for e in rest] == [e.id for e in found[2:4]]
    with session_as("member.zhao") as s:  # who does not see the project asks for its history by a made-up object
        assert timeline(Project(id=project_id("Alpha"))) == []


# ------------------------------------------------------------------ altered by nobody
@pytest.mark.parametrize("role", ["app", "app_act", "app_read", "app_anon", "worker", "see_staff", "app_login", "worker_login"])
def test_no_role_of_the_portal_alters_history(role: str, superuser: Any) -> None:
    statements = (
        "insert into audit_entry (tbl, row_id, op) values ('x', 1, 'insert')",
        "update audit_entry set actor = 1",
        "delete from audit_entry",
        "truncate audit_entry",
        "alter table audit_entry disable row level security",
        "alter table project_project disable trigger audit",
        "drop trigger audit on project_project",
        "create or replace function audit() returns trigger language plpgsql as 'begin return null; end'",
        "set session_replication_role = 'replica'",
    )
    with psycopg.connect(superuser.info.dsn, password=superuser.info.password) as conn:
        conn.execute(f"set session authorization {role}")
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)
            conn.rollback()
            conn.execute(f"set session authorization {role}")


def test_every_kind_of_record_has_a_history(superuser: Any) -> None:
    for m in (m for m in records() if not m.LOG):
        rows = superuser.execute(f"select count(*) from {m.__tablename__}").fetchone()[0]
        inserts = superuser.execute(
            "select count(distinct row_id) from audit_entry where tbl = %s and op = 'insert'", [m.__tablename__]
        ).fetchone()[0]
        assert inserts >= rows or m.__tablename__ == "kernel_entity", m.__tablename__


def test_unrestricted_work_in_a_request_names_person_address_and_request(request_as: Any, superuser: Any, user_id: Any) -> None:
    with request_as("pm.chen", environ_base={"REMOTE_ADDR": "10.9.8.7"}):
        context()
        g.request_id = "r-77"
        with unrestricted("test of the history") as s:
            project = s.scalars(select(Project).limit(1)).one()
            project.summary = "written past the rules"
            s.flush()
            pk = project.id
    last = entries(superuser, "project_project", pk)[-1]
    assert (last["actor"], last["ip"], last["request_id"], last["reason"]) == (
        user_id("pm.chen"),
        "10.9.8.7",
        "r-77",
        "test of the history",
    )
