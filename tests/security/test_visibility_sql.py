"""What plain SQL on the web's own login role can do, and which roles it can take (docs/adr/0010)."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session as PlainSession

from modules.hr.models import Employment
from portal.kernel.db import db

pytestmark = pytest.mark.req("VIS-07")
DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def hidden(superuser: Any) -> dict[str, int]:
    """Ids of rows that member.wang does not see."""
    line, project = superuser.execute(
        """select l.id, l.project_id from dailyreport_line l join ab_user u on u.id = l.author_id
            where u.username = 'member.zhao' and l.project_id is not null"""
    ).fetchone()
    return {"line": line, "project": project}


def test_plain_sql_of_the_web_role_tells_nothing(raw_as, hidden):
    with raw_as("member.wang") as conn:
        line, project = hidden["line"], hidden["project"]
        assert conn.execute("select 1 from dailyreport_line where id = %s", [line]).fetchone() is None
        assert conn.execute("select 1 from project_project where id = %s for key share", [project]).fetchone() is None
        with conn.cursor().copy("copy (select id from dailyreport_line) to stdout") as copied:
            assert line not in {int(r[0]) for r in copied.rows()}
        assert conn.execute("select 1 from pg_stats where schemaname = 'public' and tablename = 'dailyreport_line'").fetchone() is None
        for statement in (
            "truncate dailyreport_line",
            "delete from dailyreport_line",
            "delete from project_project",
            "alter table project_project disable row level security",
            "alter table project_project disable trigger all",
            "drop policy see on project_project",
            "create function f() returns int language sql as 'select 1'",
            "create table stolen as select * from project_project",
            "set session_replication_role = replica",
            "set row_security = off; select * from project_project",
        ):
            with conn.transaction(force_rollback=True), pytest.raises(psycopg.Error), conn.transaction():
                conn.execute(statement)


# ------------------------------------------------------------------ roles and functions
def test_a_person_cannot_become_another_by_the_functions(raw_as, user_id, token_of):
    for call, values in (
        ("app_context(%s, null, 'job')", [user_id("hr")]),
        ("app_begin_as(%s)", [user_id("hr")]),
        ("app_signed_in(%s)", [token_of("hr")]),
        ("app_begin(%s, '', '')", [token_of("hr")]),
        ("app_nobody()", []),
    ):
        with raw_as("member.wang") as conn, pytest.raises(DENIED):
            conn.execute(f"select {call}", values)
    for call, values in (("app_context(%s, null, 'job')", [user_id("hr")]), ("app_begin_as(%s)", [user_id("hr")])):
        with raw_as("") as conn, pytest.raises(DENIED):  # nor may the login role itself without a token
            conn.execute(f"select {call}", values)


def test_login_roles_may_take_just_the_roles_they_need(superuser):
    from security.policies import BASE_ROLES, viewer_roles

    def may(login: str) -> set[str]:
        rows = superuser.execute("select rolname from pg_roles where pg_has_role(%s, oid, 'member') and rolname <> %s", [login, login])
        return {r[0] for r in rows.fetchall() if not r[0].startswith("wide_")}

    # a cluster may hold roles of other installations: what counts is that nothing powerful is among them
    web = {*viewer_roles(), "app_anon", "app_act", "app_read"}
    assert web <= may("app_login") and "worker" not in may("app_login") and "shuniu_owner" not in may("app_login")
    assert {*web, "worker"} <= may("worker_login") and "shuniu_owner" not in may("worker_login")
    strong = superuser.execute(
        "select rolname from pg_roles where (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb) and rolname = any(%s)",
        [[*BASE_ROLES, *viewer_roles(), "app_login", "worker_login"]],
    ).fetchall()
    assert strong == []
    inheriting = superuser.execute("select rolname from pg_roles where rolname in ('app_login', 'worker_login') and rolinherit").fetchall()
    assert inheriting == []


def test_the_login_role_reads_no_table_without_beginning(raw_as, superuser):
    tables = [r[0] for r in superuser.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()]
    for role in ("", None):  # not begun; begun for nobody
        with raw_as(role) as conn:
            for t in tables:
                with conn.transaction(force_rollback=True):
                    try:
                        with conn.transaction():
                            conn.execute(f'select * from "{t}" limit 1')
                    except DENIED:
                        continue
                    assert t == "alembic_version", f"{t} is readable to {'nobody' if role is None else 'the login role'}"


def test_wide_roles_only_widen_seeing(raw_as, session_as, superuser, user_id):
    line = superuser.execute("select id from dailyreport_line where project_id is not null limit 1").fetchone()[0]
    with raw_as("qa") as conn:
        assert conn.execute("select current_user").fetchone()[0] == "see_projects"
        assert conn.execute("select 1 from dailyreport_line where id = %s", [line]).fetchone()
        assert conn.execute("update project_project set custom = custom").rowcount == 0
        assert conn.execute("select 1 from dailyreport_report limit 1").fetchone() is None
    with raw_as("leader") as conn:
        assert conn.execute("select current_user").fetchone()[0] == "see_projects_projects_admin"


def test_a_plain_session_on_the_engine_sees_nothing(app):
    """Whoever opens a session past the kernel has no person and no rights."""
    with app.app_context(), PlainSession(db.engine) as s, pytest.raises(ProgrammingError, match="permission denied"):
        s.scalars(select(Employment.id)).all()
