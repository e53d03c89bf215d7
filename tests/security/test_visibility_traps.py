"""The ways row rules were seen to fail, each tried on the tables of the product (docs/adr/0010)."""

from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import event, exists, func, literal, or_, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from modules.dailyreport.models import DailyReport, LineText, ReportLine
from modules.hr.models import Leave
from modules.project.models import Domain, Project, ProjectMember
from portal.kernel import calendar
from portal.kernel.db import as_person, session, unrestricted
from portal.kernel.document import records
from portal.kernel.errors import NotSignedIn
from security.policies import rule_sql
from security.visibility import acting, context

pytestmark = pytest.mark.req("VIS-06")
DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def hidden(superuser):
    """Ids of rows that member.wang does not see."""
    line, project = superuser.execute(
        """select l.id, l.project_id from dailyreport_line l join ab_user u on u.id = l.author_id
            where u.username = 'member.zhao' and l.project_id is not null"""
    ).fetchone()
    return {"line": line, "project": project}


# ------------------------------------------------------------------ 1. the first statement
def test_the_first_statement_of_a_transaction_has_its_criteria(session_as):
    sent = []
    with session_as("member.wang") as s:
        event.listen(s.get_bind(), "before_cursor_execute", lambda _c, _cu, statement, *_a: sent.append(statement))
        s.scalars(select(ReportLine.id)).all()
    first = next(q for q in sent if "FROM dailyreport_line" in q)
    assert "ANY (" in first and "archived_at IS NULL" in first


@pytest.mark.parametrize(
    "statement",
    [
        select(func.count()).select_from(ReportLine),
        select(func.count(ReportLine.id)),
        select(func.sum(ReportLine.hours)),
        select(ReportLine.project_id, func.count()).group_by(ReportLine.project_id),
        select(ReportLine.id).join(Project, Project.id == ReportLine.project_id),
        select(exists().where(ReportLine.id > 0)),
        select(literal(1)).where(select(ReportLine.id).exists()),
        select(ReportLine.id).union(select(ReportLine.id)),
        select(select(ReportLine.id).subquery()),
        select(select(func.count(ReportLine.id)).scalar_subquery()),
        select(select(ReportLine.id).cte("c").c.id),
    ],
    ids=lambda s: " ".join(str(s).split())[:50],
)
def test_no_form_of_statement_reaches_a_row_nobody_showed(statement, session_as, database):
    """A person on no project, with no report, in a department of no own: whatever is asked, the answer is empty."""
    with session_as("security.admin") as s:
        rows = [tuple(r) for r in s.execute(statement)]
    assert rows in ([], [(0,)], [(None,)], [(False,)])


# ------------------------------------------------------------------ 2. a rule stands on its own row
def test_a_rule_that_reads_another_table_is_refused():
    with pytest.raises(RuntimeError, match="does not stand on its own row"):
        rule_sql(or_(ReportLine.author_id == Project.pm_id), ReportLine.__table__)
    alone = exists(select(literal(1)).where(Project.id == ReportLine.project_id))
    assert "FROM project_project \n" in rule_sql(alone, ReportLine.__table__) and "dailyreport_line," not in rule_sql(
        alone, ReportLine.__table__
    )


def test_no_policy_reads_its_own_table_in_a_subquery(superuser):
    rows = superuser.execute(
        "select tablename, policyname, coalesce(qual, '') || coalesce(with_check, '') from pg_policies where schemaname='public'"
    )
    wrong = [(t, p) for t, p, q in rows.fetchall() if f"FROM {t}\n" in q or f"FROM {t})" in q or f"FROM {t} " in q]
    assert wrong == []


# ------------------------------------------------------------------ 3, 5. settings
def test_nothing_of_a_person_stays_on_the_connection(database, token_of, raw_as):
    with raw_as("hr") as conn:
        assert conn.execute("select count(*) from hr_employee_private").fetchone()[0] > 1
        conn.rollback()  # what the pool does; the next request takes this connection
        assert conn.execute("select current_user, current_setting('app.me', true), current_setting('app.staff', true)").fetchone() == (
            "app_login",
            "",
            "",
        )
        with pytest.raises(DENIED):
            conn.execute("select 1 from hr_employee")
        conn.rollback()
        conn.execute("select app_begin('', '', '')")
        with pytest.raises(DENIED):
            conn.execute("select 1 from hr_employee")
        conn.rollback()
        conn.execute("select app_begin(%s, '', '')", [token_of("outsider")])
        assert conn.execute("select count(*) from hr_employee_private").fetchone()[0] == 1
        conn.execute("commit")
        assert conn.execute("select current_user, nullif(current_setting('app.me', true), '')").fetchone() == ("app_login", None)


def test_pooled_connections_do_not_mix_people(app, request_as, user_id, superuser):
    own = {
        u: superuser.execute(
            "select count(*) from dailyreport_report where author_id = %s and archived_at is null", [user_id(u)]
        ).fetchone()[0]
        for u in ("member.wang", "member.zhao", "outsider", "pm.chen")
    }
    for _ in range(5):
        for username, count in own.items():
            with request_as(username) as s:
                assert s.scalar(select(func.count()).select_from(DailyReport)) == count
                assert s.scalar(text("select count(*) from dailyreport_report")) == count


def test_autocommit_reads_nothing(database, token_of):
    from sqlalchemy.engine import make_url

    from tests.factories.databases import dsn

    with psycopg.connect(dsn(make_url(database.url("SHUNIU_TEST_PG_APP_URL"))), autocommit=True) as conn:
        conn.execute("select app_begin(%s, '', '')", [token_of("hr")])
        with pytest.raises(DENIED):  # the settings were local to a transaction that is over
            conn.execute("select 1 from hr_employee")


def test_a_savepoint_keeps_the_person(request_as):
    with request_as("member.wang") as s:
        count = s.scalar(select(func.count()).select_from(ReportLine))
        point = s.begin_nested()
        assert s.scalar(select(func.count()).select_from(ReportLine)) == count
        point.rollback()
        assert s.scalar(text("select count(*) from dailyreport_line")) == count
        point = s.begin_nested()
        with pytest.raises(DBAPIError):
            s.execute(text("select 1/0"))
        point.rollback()
        assert s.scalar(text("select count(*) from dailyreport_line")) == count
        assert s.scalar(text("select current_user")) == "app"
        s.rollback()  # the next transaction begins for the same person
        assert s.scalar(text("select count(*) from dailyreport_line")) == count


def test_changes_of_what_a_person_may_see_hold_from_the_next_transaction(fresh_db, request_as, superuser, user_id):
    with request_as("member.wang") as s:
        before = set(s.scalars(select(Project.id)))
        s.rollback()
        superuser.execute("update project_member set to_day = current_date - 1 where user_id = %s", [user_id("member.wang")])
        assert before and set(s.scalars(select(Project.id))) == set()


# ------------------------------------------------------------------ 4. new rows
def test_a_manager_creates_a_project_that_is_in_no_array_yet(session_as, user_id):
    with session_as("pm.chen") as s:
        domain = s.scalar(select(Domain.id))
        row = Project(
            name="new", domain_id=domain, pm_id=user_id("pm.chen"), starts_on=calendar.today(), ends_on=calendar.today() + timedelta(days=1)
        )
        s.add(row)
        s.flush()
        assert row.id and row.state == "draft" and row.number is None and row.created_by == user_id("pm.chen") and row.version == 1
        assert row.id in s.scalars(select(Project.id)).all()


@pytest.mark.parametrize("username", ["outsider", "pm.li", "member.wang", "admin", "hr", "qa"])
def test_nobody_creates_a_project_for_another_manager(username, session_as, user_id):
    with session_as(username) as s:
        domain = s.scalar(select(Domain.id))
        s.add(Project(name="x", domain_id=domain, pm_id=user_id("pm.chen"), starts_on=calendar.today(), ends_on=calendar.today()))
        with pytest.raises(ProgrammingError, match="row-level security"):
            s.flush()


# ------------------------------------------------------------------ 6. nobody
def test_without_a_person_the_orm_raises(request_as):
    with request_as(None) as s:
        for m in records():
            with pytest.raises(NotSignedIn):
                s.scalars(select(m.id)).all()
        assert context().me is None and context().role == "app_anon"


def test_an_ended_an_expired_and_an_invented_session_are_nobody(raw_as, superuser, user_id):
    made = """insert into security_session (token_hash, user_id, kind, expires_at, ended_at)
              values (encode(sha256(%s::bytea), 'hex'), %s, 'browser', now() + %s::interval, %s)"""
    superuser.execute(made, ["expired", user_id("hr"), "-1 second", None])
    superuser.execute(made, ["ended", user_id("hr"), "1 hour", "2020-01-01"])
    superuser.execute(made, ["good", user_id("hr"), "1 hour", None])
    for token, me in (("expired", None), ("ended", None), ("invented", None), ("' or 1=1 --", None), ("good", user_id("hr"))):
        with raw_as("") as conn:
            answer = conn.execute("select app_begin(%s, '', '')", [token]).fetchone()[0]
            assert answer["me"] == me, token


# ------------------------------------------------------------------ 8. past the ORM
def test_a_row_read_by_the_system_is_not_in_the_persons_identity_map(request_as, hidden):
    with request_as("member.wang") as s:
        assert s.get(ReportLine, hidden["line"]) is None
        with unrestricted("a test") as w:
            assert session() is w and w is not s
            loaded = w.get(ReportLine, hidden["line"])
            assert loaded is not None
        assert session() is s
        assert s.get(ReportLine, hidden["line"]) is None
        assert loaded not in s


def test_a_person_within_the_system_within_a_person(request_as, hidden, user_id):
    """Blocks within blocks each have their own person; leaving one, also by an error, gives the outer one back."""
    with request_as("member.wang") as s:
        with unrestricted("a test") as w:
            assert w.get(ReportLine, hidden["line"]) is not None
            with as_person(user_id("outsider")) as p:
                assert session() is p and context().username == "outsider"
                assert p.get(ReportLine, hidden["line"]) is None
            assert session() is w and context().system
            with pytest.raises(ZeroDivisionError), as_person(user_id("outsider")):
                raise ZeroDivisionError
            assert session() is w
        assert session() is s and context().username == "member.wang"


def test_unrestricted_rolls_back_on_error_and_commits_otherwise(app, superuser):
    with app.app_context():
        with pytest.raises(ZeroDivisionError), unrestricted("a test") as w:
            w.add(Domain(code="GONE", name="gone"))
            w.flush()
            raise ZeroDivisionError
        with unrestricted("a test") as w:
            w.add(Domain(code="KEPT", name="kept"))
    assert [r[0] for r in superuser.execute("select code from project_domain where code in ('GONE', 'KEPT')").fetchall()] == ["KEPT"]


@pytest.mark.parametrize("way", ["refresh", "expired", "lazy", "merge", "flush", "bulk", "core"])
def test_an_object_of_a_hidden_row_tells_and_changes_nothing(way, session_as, hidden):
    from sqlalchemy import update
    from sqlalchemy.orm import make_transient_to_detached

    with session_as("member.wang") as s:
        if way == "lazy":
            row = ProjectMember(id=-1, project_id=hidden["project"])
            make_transient_to_detached(row)
            s.add(row)
            assert row.project is None
            return
        if way == "core":
            assert (
                s.execute(update(ReportLine.__table__).where(ReportLine.__table__.c.id == hidden["line"]).values(custom={})).rowcount == 0
            )
            return
        row = Project(id=hidden["project"], version=1)
        make_transient_to_detached(row)
        match way:
            case "refresh":
                s.add(row)
                with pytest.raises(Exception, match="Could not refresh"):
                    s.refresh(row)
            case "expired":
                s.add(row)
                with pytest.raises(ObjectDeletedError):
                    _ = row.name
            case "merge":
                merged = s.merge(Project(id=hidden["project"], name="stolen", version=1))
                with pytest.raises((DBAPIError, StaleDataError)):
                    s.flush()
                assert merged.name == "stolen"  # what was typed, never what is stored
            case "flush":
                s.add(row)
                row.name = "stolen"
                with pytest.raises(StaleDataError):
                    s.flush()
            case "bulk":
                with pytest.raises(StaleDataError):
                    s.execute(update(Project), [{"id": hidden["project"], "name": "stolen", "version": 1}])
                    s.flush()


# ------------------------------------------------------------------ inside actions
def test_acting_sees_all_and_leaves_nothing_behind(request_as, hidden):
    with request_as("member.wang") as s:
        with acting("a test") as inner:
            assert inner.get(Project, hidden["project"]) is not None
            assert inner.scalar(text("select current_user")) == "app_act"
        assert s.scalar(text("select current_user")) == "app"
        assert s.get(Project, hidden["project"]) is None
        assert s.scalar(text("select current_setting('app.reason', true)")) == ""


def test_an_error_inside_acting_gives_the_persons_role_back(request_as, hidden):
    """Pages show a refused action again within the same request: under the person's own rules."""
    with request_as("member.wang") as s:
        s.scalars(select(Project.id)).all()
        with pytest.raises(ZeroDivisionError), acting("a test") as inner:
            inner.get(Project, hidden["project"]).name = "changed and refused"
            inner.flush()
            raise ZeroDivisionError
        assert s.scalar(text("select current_user")) == "app"
        assert s.get(Project, hidden["project"]) is None
        assert s.scalar(text("select count(*) from project_project where id = :i"), {"i": hidden["project"]}) == 0
        with unrestricted("a test") as w:
            assert w.get(Project, hidden["project"]).name != "changed and refused"


def test_a_database_error_inside_acting_leaves_a_usable_session(request_as):
    with request_as("member.wang") as s:
        with pytest.raises(DBAPIError), acting("a test") as inner:
            inner.execute(text("select 1/0"))
        assert s.scalar(text("select current_user")) == "app"
        assert s.scalars(select(Project.id)).all()


def test_nobody_acts(request_as):
    with request_as(None), pytest.raises(NotSignedIn), acting("a test"):
        raise AssertionError("not reached")


# ------------------------------------------------------------------ foreign keys and columns
@pytest.mark.req("VIS-06", part="foreign keys")
def test_a_row_cannot_be_hung_on_a_hidden_parent(session_as, hidden, user_id, superuser):
    """PostgreSQL checks foreign keys without policies; the generated trigger does with them."""
    role = superuser.execute("select id from project_role limit 1").fetchone()[0]
    with session_as("pm.chen") as s:  # Beta is pm.li's
        beta = superuser.execute("select id from project_project where name = 'Project Beta'").fetchone()[0]
        s.add(ProjectMember(project_id=beta, user_id=user_id("outsider"), role_id=role, from_day=calendar.today()))
        with pytest.raises(DBAPIError):
            s.flush()
    with session_as("pm.chen") as s:
        mine = s.scalar(select(ProjectMember).where(ProjectMember.user_id == user_id("member.wang")))
        mine.project_id = beta
        with pytest.raises(DBAPIError):
            s.flush()


@pytest.mark.req("ALL-04")
def test_the_persons_role_has_no_grant_on_system_and_protected_columns(raw_as, superuser):
    from portal.kernel.document import SYSTEM_COLUMNS

    for m in records():
        for column in m.__table__.columns:
            closed = column.name in SYSTEM_COLUMNS or column.info.get("protected")
            for role in ("app", "see_projects", "see_staff"):
                for verb in ("insert", "update"):
                    has = superuser.execute(
                        "select has_column_privilege(%s, %s, %s, %s)", [role, m.__tablename__, column.name, verb]
                    ).fetchone()[0]
                    assert has is not bool(closed), f"{role} {verb} {m.__tablename__}.{column.name}"
        with raw_as("pm.chen") as conn, pytest.raises(DENIED):
            conn.execute(f"update {m.__tablename__} set created_by = 1")


def test_a_forged_author_is_refused(session_as, user_id):
    with session_as("member.wang") as s:
        s.add(Leave(user_id=user_id("member.zhao"), kind="annual", from_day=calendar.today(), to_day=calendar.today()))
        with pytest.raises(DBAPIError):
            s.flush()
    with session_as("member.wang") as s:
        s.add(DailyReport(author_id=user_id("member.zhao"), day=calendar.today()))
        with pytest.raises(DBAPIError):
            s.flush()


def test_statement_cache_does_not_mix_people(request_as, superuser):
    """One compiled statement serves everybody; the arrays in it are the person's at hand, also when a set is empty."""
    statement = select(LineText.id)
    seen = {}
    for _ in range(2):
        for username in ("member.wang", "security.admin", "ceo", "hr", "member.zhao", "pm.li"):
            with request_as(username) as s:
                found = frozenset(s.scalars(statement))
                assert seen.setdefault(username, found) == found
                assert found == frozenset(s.scalars(text("select id from dailyreport_line_text")))
    assert len(set(seen.values())) == 5  # the head of the company and HR read the same
