"""Roles: defaults once, changes at once and for all processes, administrators without business data."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, func, select, text

from modules.dailyreport.models import DailyReport, ReportLine
from modules.hr.models import EmployeePrivate, Employment, GradeRate
from modules.project.models import Project
from portal.kernel.db import unrestricted
from security import manager, roles
from security.policies import viewer_roles, wide_scopes
from security.roles import BUILT_IN, matches
from security.visibility import context


@pytest.fixture
def owner(app: Any, settings: Any) -> Iterator[Connection]:
    engine = create_engine(settings.owner_database_url)
    with engine.connect() as conn:
        yield conn
        conn.rollback()
    engine.dispose()


@pytest.mark.parametrize(
    ("grants", "verb", "view", "expected"),
    [
        (("view:hr.*",), "view", "hr.Leave", True),
        (("view:hr.*",), "edit", "hr.Leave", False),
        (("view:hr.*", "!view:hr.GradeRate"), "view", "hr.GradeRate", False),
        (("!view:hr.GradeRate", "view:hr.*"), "view", "hr.GradeRate", True),  # the last word counts
        (("add,edit:hr.Leave",), "edit", "hr.Leave", True),
        (("*:project.*",), "pause", "project.Project", True),
        (("*:project.*",), "view", "projectx.Project", False),
        ((), "view", "hr.Leave", False),
    ],
)
def test_patterns_of_grants(grants: tuple[str, ...], verb: str, view: str, expected: bool) -> None:
    assert matches(grants, verb, view) is expected


# ------------------------------------------------------------------ synchronising
def held(conn: Any, role: str) -> set[tuple[str, str]]:
    rows = conn.execute(
        text("""select substr(p.name, 5), v.name from ab_permission_view_role x join ab_role r on r.id = x.role_id
             join ab_permission_view pv on pv.id = x.permission_view_id join ab_permission p on p.id = pv.permission_id
             join ab_view_menu v on v.id = pv.view_menu_id where r.name = :r"""),
        {"r": role},
    )
    return {(a, b) for a, b in rows}


@pytest.mark.req("VIS-12")
def test_defaults_are_given_once(owner: Connection) -> None:
    wanted = {("view", "project.Project"), ("pause", "project.Project"), ("view", "hr.GradeRate"), ("view", "security.Session")}
    roles.sync(owner, wanted)
    assert {p for p in wanted if p in held(owner, "leader")} == {("view", "project.Project"), ("pause", "project.Project")}
    assert ("view", "hr.GradeRate") in held(owner, "finance") and ("view", "hr.GradeRate") not in held(owner, "employee")
    before = {r.key: held(owner, r.key) for r in BUILT_IN}
    roles.sync(owner, wanted)
    assert {r.key: held(owner, r.key) for r in BUILT_IN} == before

    # an administrator takes one away: a later migration does not give it back
    owner.execute(
        text("""delete from ab_permission_view_role x using ab_role r, ab_permission_view pv, ab_permission p, ab_view_menu v
             where r.id = x.role_id and pv.id = x.permission_view_id and p.id = pv.permission_id and v.id = pv.view_menu_id
             and r.name = 'leader' and p.name = 'can_pause'""")
    )
    roles.sync(owner, {*wanted, ("new", "project.Project")})
    assert ("pause", "project.Project") not in held(owner, "leader") and ("new", "project.Project") in held(owner, "leader")


@pytest.mark.req("VIS-12")
def test_permissions_nothing_declares_any_more_are_removed(owner: Connection) -> None:
    roles.sync(owner, {("view", "project.Project"), ("old", "project.Project")})
    assert ("old", "project.Project") in held(owner, "leader")
    roles.sync(owner, {("view", "project.Project")})
    assert ("old", "project.Project") not in held(owner, "leader")
    roles.sync(owner, {("view", "project.Project"), ("old", "project.Project")})
    assert ("old", "project.Project") in held(owner, "leader")


# ------------------------------------------------------------------ taking effect
@pytest.mark.req("VIS-12", part="at once")
def test_a_role_given_or_taken_counts_with_the_next_transaction(fresh_db: None, app: Any, request_as: Any, user_id: Any) -> None:
    with request_as("outsider") as s:
        assert s.scalar(select(func.count()).select_from(Project)) == 0
        with unrestricted("test") as w:
            roles.grant(w, user_id("outsider"), "leader")
        assert s.scalar(text("select count(*) from project_project")) == 0
        s.rollback()
        assert s.scalar(select(func.count()).select_from(Project)) > 0
        assert context().role == "see_projects_projects_admin"
        with unrestricted("test") as w:
            roles.revoke(w, user_id("outsider"), "leader")
        s.rollback()
        assert s.scalar(select(func.count()).select_from(Project)) == 0


@pytest.mark.req("VIS-12", part="at once")
def test_the_cached_permissions_are_forgotten_with_the_epoch(fresh_db: None, request_as: Any, superuser: Any) -> None:
    superuser.execute(
        """with p as (insert into ab_permission (id, name) values (nextval('ab_permission_id_seq'), 'can_juggle') returning id),
             v as (insert into ab_view_menu (id, name) values (nextval('ab_view_menu_id_seq'), 'test.Ball') returning id)
           insert into ab_permission_view (id, permission_id, view_menu_id)
             select nextval('ab_permission_view_id_seq'), p.id, v.id from p, v"""
    )
    with request_as("outsider") as s:
        assert not manager.allowed("juggle", "test.Ball")
        with unrestricted("test") as w:
            w.execute(
                text("""insert into ab_permission_view_role (id, permission_view_id, role_id)
                     select nextval('ab_permission_view_role_id_seq'), pv.id, r.id
                       from ab_permission_view pv join ab_view_menu v on v.id = pv.view_menu_id, ab_role r
                      where v.name = 'test.Ball' and r.name = 'employee'""")
            )
            roles.bump(w)
        s.rollback()
        assert manager.allowed("juggle", "test.Ball")
        superuser.execute(
            """delete from ab_permission_view_role x using ab_permission_view pv, ab_view_menu v
                where pv.id = x.permission_view_id and v.id = pv.view_menu_id and v.name = 'test.Ball'"""
        )
        superuser.execute("update security_epoch set n = n + 1")
        s.rollback()
        assert not manager.allowed("juggle", "test.Ball")


@pytest.mark.req("VIS-12")
def test_permissions_cost_no_statement_when_known(request_as: Any, app: Any) -> None:
    from sqlalchemy import event

    with request_as("member.wang") as s:
        manager.granted()
        sent: list[str] = []
        event.listen(s.get_bind(), "before_cursor_execute", lambda *a: sent.append(a[2]))
        s.rollback()
        for _ in range(5):
            manager.allowed("view", "project.Project")
        assert len([q for q in sent if "app_begin" not in q]) == 0


# ------------------------------------------------------------------ separation of duties
@pytest.mark.req("VIS-05")
@pytest.mark.parametrize("username", ["admin", "security.admin", "auditor"])
def test_administrators_see_no_business_data(username: str, session_as: Any, user_id: Callable[[str], int]) -> None:
    with session_as(username) as s:
        assert s.scalars(select(Project.id)).all() == []
        assert s.scalars(select(ReportLine.id)).all() == []
        assert s.scalars(select(DailyReport.id)).all() == []
        assert s.scalars(select(GradeRate.id)).all() == []
        for private in (Employment, EmployeePrivate):
            assert set(s.scalars(select(private.user_id))) == {user_id(username)}


@pytest.mark.req("VIS-08")
def test_who_reads_salaries_and_bank_accounts(session_as: Any) -> None:
    def sees(username: str, model: Any) -> int:
        with session_as(username) as s:
            return int(s.scalar(select(func.count()).select_from(model)) or 0)

    assert {u for u in ("ceo", "leader", "head.rd", "hr", "finance", "admin", "qa", "pm.chen") if sees(u, GradeRate)} == {"hr", "finance"}
    assert {u for u in ("ceo", "leader", "head.rd", "hr", "finance", "admin") if sees(u, EmployeePrivate) > 1} == {"hr"}


@pytest.mark.req("VIS-04")
def test_every_combination_of_scopes_has_its_database_role(fresh_db: None, request_as: Any, superuser: Any, user_id: Any) -> None:
    """Somebody with several roles sees what each of them opens."""
    names = wide_scopes()
    role = superuser.execute("insert into ab_role (id, name) values (nextval('ab_role_id_seq'), 'test') returning id").fetchone()[0]
    superuser.execute(
        "insert into ab_user_role (id, user_id, role_id) values (nextval('ab_user_role_id_seq'), %s, %s)", [user_id("outsider"), role]
    )
    seen = set()
    for n in range(len(names) + 1):
        for combination in combinations(names, n):
            superuser.execute("delete from security_role_scope where role_id = %s", [role])
            for scope in combination:
                superuser.execute("insert into security_role_scope (role_id, scope) values (%s, %s)", [role, scope])
            with request_as("outsider") as s:
                assert context().scopes == set(combination)
                seen.add(s.scalar(text("select current_user")))
                expected = {
                    Project: "projects" in combination or "projects_admin" in combination,
                    DailyReport: "staff" in combination,
                    GradeRate: "rates" in combination,
                }
                for model, wide in expected.items():
                    count = s.scalar(select(func.count()).select_from(model))
                    assert count == s.scalar(text(f"select count(*) from {model.__tablename__} where archived_at is null"))
                    total = superuser.execute(f"select count(*) from {model.__tablename__} where archived_at is null").fetchone()[0]
                    assert (count == total) is wide, (model, combination)
    assert seen == set(viewer_roles())
