"""The one question of everything that hangs on a record: does the person see that record? Answered by its own policies."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import literal, select, text

from portal.kernel.document import Hanging, carriers, records
from security.visibility import Setting, viewer
from tests.factories.company import PEOPLE
from tests.security.oracle import Oracle

PERSONS = sorted(PEOPLE.keys() - {"leaver"})


@pytest.mark.req("VIS-06", part="what hangs on a record")
@pytest.mark.parametrize("username", PERSONS)
def test_a_record_is_seen_by_the_question_as_by_its_own_rules(username: str, app: Any, database: Any, raw_as: Any) -> None:
    """Every row of every table, archived ones too: the function says what the oracle says."""
    with psycopg.connect(database.super_dsn()) as conn:
        oracle = Oracle(conn, [m.__tablename__ for m in records()])
    with raw_as(username) as conn:
        for m in carriers():
            t = m.__tablename__
            ids = [r["id"] for r in oracle.rows[t]]
            asked = conn.execute("select x, app_sees_record(%s, x) from unnest(%s::bigint[]) as x", [t, ids]).fetchall()
            assert {x for x, yes in asked if yes} == oracle.visible(username, t), t


@pytest.mark.req("VIS-06", part="what hangs on a record")
def test_what_it_does_not_know_is_seen_by_nobody(raw_as: Any, app: Any) -> None:
    hanging = [m.__tablename__ for m in records() if issubclass(m, Hanging)]
    with raw_as("leader") as conn:
        for table in ("ab_user", "audit_entry", "security_session", "no_such", "", "project_project; --", "PROJECT_PROJECT", *hanging):
            assert conn.execute("select app_sees_record(%s, 1)", [table]).fetchone()[0] is False, table
        assert conn.execute("select app_sees_record(null, 1)").fetchone()[0] is False
        assert conn.execute("select app_sees_record('project_project', null)").fetchone()[0] is False
    with raw_as(None) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("select app_sees_record('project_project', 1)")


@pytest.mark.req("VIS-06", part="what hangs on a record")
def test_rules_ask_it_in_both_renderings(session_as: Any, superuser: Any) -> None:
    from modules.project.models import Project

    theirs = "select p.id from project_project p join ab_user u on u.id = p.pm_id where u.username = 'pm.chen'"
    seen = superuser.execute(theirs).fetchone()[0]
    for username, expected in (("pm.chen", True), ("outsider", False)):
        with session_as(username) as s:
            for v in (viewer(), Setting(seeing=True)):
                assert s.scalar(select(v.sees_record(literal("project_project"), literal(seen)))) is expected
                rule = v.sees_record(literal("project_project"), Project.id)
                assert bool(s.scalar(select(text("1")).select_from(Project).where(Project.id == seen, rule))) is expected
