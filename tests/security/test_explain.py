"""Why somebody sees a record: every answer against the oracle, row-level security and the contexts; the reasons are the real ones."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.sql import visitors

from portal.kernel.db import PlainTable, unrestricted
from portal.kernel.document import records
from portal.kernel.module import contexts, memberships
from security import arms, explain
from security.visibility import context
from tests.factories.company import PEOPLE
from tests.security.oracle import Oracle

PERSONS = sorted(PEOPLE.keys() - {"leaver"})
pytestmark = pytest.mark.req("VIS-10")


@pytest.fixture(scope="module")
def tables(app: Any) -> list[str]:
    return [m.__tablename__ for m in records()]


@pytest.fixture
def oracle(database: Any, tables: list[str]) -> Oracle:
    with psycopg.connect(database.super_dsn()) as conn:
        return Oracle(conn, tables)


@pytest.fixture(scope="module")
def person(app: Any, user_id: Any) -> Callable[[str], explain.Person]:
    def find(username: str) -> explain.Person:
        with app.app_context():
            found = explain.person_of(user_id(username))
        assert found is not None
        return found

    return find


def holding(ways: tuple[explain.Way, ...]) -> list[explain.Judged]:
    """The conditions that hold in the arms that open the record."""
    return [j for w in ways if w.holds for j in w.conditions if j.holds]


# ------------------------------------------------------------------ the declarations
def test_every_context_of_a_rule_explains_itself(app: Any) -> None:
    models = list(records())
    changing = {leaf.name for m in models for leaf in arms.leaves(m.change.__func__(PlainTable(m), arms.Marks())) if leaf.kind == "context"}
    used = explain.contexts_needed(models) | changing
    assert used <= set(memberships), f"declare @explains for {used - set(memberships)}"
    assert set(memberships) <= set(contexts)


def test_every_condition_of_a_rule_has_its_kind(app: Any) -> None:
    """What looks at the person is never taken for a plain condition on the row."""
    kinds = set()
    for m in records():
        for leaf in [leaf for a in arms.arms_of(m, PlainTable(m)) for leaf in a.leaves]:
            kinds.add(leaf.kind)
            about_person = any(isinstance(x, arms.Mark) for x in visitors.iterate(leaf.test))
            assert about_person == (leaf.kind != "condition"), (m, leaf)
            assert leaf.kind != "condition" or leaf.name, (m, leaf.test)
    assert kinds == {"own", "context", "scope", "parent", "person", "condition"}


@pytest.mark.parametrize("username", PERSONS)
def test_memberships_that_count_give_exactly_the_ids_of_the_context(username: str, session_as: Any, person: Any, app: Any) -> None:
    with session_as(username):
        arrays = {**context().arrays, **context().seen}
    with app.app_context(), unrestricted("a test") as s:
        for name in memberships:
            m = arms.relation(name).subquery()
            found = s.scalars(select(m.c.id).where(m.c.person == person(username).id, m.c.counts))
            assert set(found) == set(arrays[name]), name


# ------------------------------------------------------------------ yes and no
@pytest.mark.parametrize("username", PERSONS)
def test_one_person_and_one_record(username: str, oracle: Oracle, person: Any, app: Any) -> None:
    """Each model: rows the person sees and rows the person does not see, archived ones too."""
    wrong = []
    with app.app_context():
        for m in records():
            seen = oracle.visible(username, m.__tablename__)
            ids = [r["id"] for r in oracle.rows[m.__tablename__]]
            gone = [r["id"] for r in oracle.rows[m.__tablename__] if r["archived_at"] is not None]
            some = {*[i for i in ids if i in seen][:3], *[i for i in ids if i not in seen][:3], *gone[:2]}
            for pk in sorted(some):
                (found,) = explain.find(m, pk=pk)
                got = explain.verdict(person(username), found)
                if got.visible != (pk in seen) or any(w.holds for w in got.ways) != got.visible:
                    wrong.append(f"{m.__name__} {pk}: {got.visible}, {[w.holds for w in got.ways]}, expected {pk in seen}")
                if got.visible and not all(j.leaf.kind != "context" or any(x.counts for x in j.memberships) for j in holding(got.ways)):
                    wrong.append(f"{m.__name__} {pk}: no membership named")
    assert wrong == []


def test_everybody_who_sees_a_record(oracle: Oracle, app: Any) -> None:
    """Each row of each model: exactly the people of the oracle, each with a reason."""
    wrong = []
    names = {i: n for n, i in oracle.people.items()}
    with app.app_context():
        for m in records():
            rows = oracle.rows[m.__tablename__]
            for row in [*rows[:6], *rows[-3:]]:
                (found,) = explain.find(m, pk=row["id"])
                total, got = explain.seers(found, 1000)
                want = {n for i, n in names.items() if oracle.sees(i, m.__tablename__, row)}
                if {x.person.username for x in got} != want or total != len(want):
                    wrong.append((m.__name__, row["id"], total, {x.person.username for x in got} ^ want))
                for x in got:
                    for j in holding(x.ways):
                        if (j.leaf.kind == "context" and not j.memberships) or (j.leaf.kind == "scope" and not j.roles):
                            wrong.append((m.__name__, row["id"], x.person.username, j.leaf))
    assert wrong == []


@pytest.mark.parametrize("username", PERSONS)
def test_what_one_person_sees(username: str, oracle: Oracle, person: Any, app: Any) -> None:
    with app.app_context():
        got = {a.model.__tablename__: a for a in explain.accesses(person(username), list(records()))}
    live = {t: {r["id"] for r in rows if r["archived_at"] is None} for t, rows in oracle.rows.items()}
    expected = {t: min(len(oracle.visible(username, t) & live[t]), explain.CAP + 1) for t in got}
    assert {t: a.rows for t, a in got.items()} == expected
    assert all(a.rows >= max((n for _arm, n in a.arms), default=0) for a in got.values())


# ------------------------------------------------------------------ the reasons are the real ones
def one_row(oracle: Oracle, table: str, **values: Any) -> int:
    return next(int(r["id"]) for r in oracle.rows[table] if all(r[k] == v for k, v in values.items()))


END = {
    "hr_department_head": "update hr_department_head set archived_at = now() where id = %s",
    "project_member": "update project_member set archived_at = now() where id = %s",
    "project_project": "update project_project set pm_id = (select id from ab_user where username = 'buyer') where id = %s",
    "project_domain": "update project_domain set manager_id = null where id = %s",
}

CASES = {
    "department head": ("head.rd", "dailyreport_report", {"author": "member.wang"}, {"hr_department_head"}),
    "deputy": ("deputy.plt", "dailyreport_report", {"author": "member.wang"}, {"hr_department_head"}),
    "headed department": ("head.rd", "notify_warning", {"department": "PLT"}, {"hr_department_head"}),
    "project manager": ("pm.chen", "project_member", {"project": "Project Alpha"}, {"project_project"}),
    "project manager, lines": ("pm.chen", "dailyreport_line", {"project": "Project Alpha", "author": "member.wang"}, {"project_project"}),
    "domain manager": ("domain.manager", "project_project", {"name": "Project Alpha"}, {"project_domain"}),
    "member": ("member.wang", "project_project", {"name": "Project Alpha"}, {"project_member"}),
}  # fmt: skip


def row_of(oracle: Oracle, table: str, about: dict[str, str]) -> int:
    wanted: dict[str, Any] = {}
    for k, v in about.items():
        match k:
            case "author":
                wanted["author_id"] = oracle.people[v]
            case "project":
                wanted["project_id"] = one_row(oracle, "project_project", name=v)
            case "department":
                wanted["department_id"] = one_row(oracle, "hr_department", code=v)
            case _:
                wanted[k] = v
    return one_row(oracle, table, **wanted)


@pytest.mark.parametrize("case", CASES)
def test_without_the_memberships_named_the_answer_is_no(
    case: str, oracle: Oracle, person: Any, app: Any, fresh_db: Any, superuser: Any
) -> None:
    username, table, about, sources = CASES[case]
    model = next(m for m in records() if m.__tablename__ == table)
    pk = row_of(oracle, table, about)
    with app.app_context():
        (found,) = explain.find(model, pk=pk)
        before = explain.verdict(person(username), found)
        named = {(m.source, m.source_id) for j in holding(before.ways) for m in j.memberships if m.counts}
        assert before.visible and {s for s, _id in named} == sources
        for source, source_id in named:
            superuser.execute(END[source], [source_id])
        after = explain.verdict(person(username), found)
        assert not after.visible and not any(w.holds for w in after.ways)
        assert username not in {s.person.username for s in explain.seers(found, 1000)[1]}


def test_a_scope_names_its_role_and_goes_with_it(oracle: Oracle, person: Any, app: Any, fresh_db: Any, superuser: Any) -> None:
    model = next(m for m in records() if m.__tablename__ == "project_project")
    pk = one_row(oracle, "project_project", name="Project Alpha")
    with app.app_context():
        (found,) = explain.find(model, pk=pk)
        before = explain.verdict(person("qa"), found)
        assert [j.roles[0][0] for j in holding(before.ways)] == ["qa"] and [j.leaf.name for j in holding(before.ways)] == ["projects"]
        superuser.execute(
            "delete from security_role_scope where scope = 'projects' and role_id = (select id from ab_role where name = 'qa')"
        )
        assert not explain.verdict(person("qa"), found).visible


def test_the_author_is_named_as_such(oracle: Oracle, person: Any, app: Any) -> None:
    pk = one_row(oracle, "dailyreport_line_text", author_id=oracle.people["member.wang"])
    model = next(m for m in records() if m.__tablename__ == "dailyreport_line_text")
    with app.app_context():
        got = explain.verdict(person("member.wang"), explain.find(model, pk=pk)[0])
    own = got.ways[0].conditions[0]
    assert got.visible and got.ways[0].holds and own.leaf.kind == "own" and own.leaf.columns == ("author_id",)


@pytest.mark.parametrize(
    ("username", "via", "counts"),
    [
        ("ex.member", "member", False),
        ("future.member", "member", False),
        ("blind.member", "closed", False),
        ("member.wang", "member", True),
    ],
)
def test_memberships_that_do_not_count_are_told_too(username: str, via: str, counts: bool, oracle: Oracle, person: Any, app: Any) -> None:
    pk = one_row(oracle, "project_project", name="Project Alpha")
    model = next(m for m in records() if m.__tablename__ == "project_project")
    with app.app_context():
        got = explain.verdict(person(username), explain.find(model, pk=pk)[0])
    told = [(m.via, m.counts) for w in got.ways for j in w.conditions for m in j.memberships]
    assert got.visible is counts and told == [(via, counts)]


def test_a_switched_off_account_sees_nothing(oracle: Oracle, person: Any, app: Any) -> None:
    model = next(m for m in records() if m.__tablename__ == "hr_department")
    with app.app_context():
        found = explain.find(model, pk=one_row(oracle, "hr_department", code="HQ"))[0]
        assert not explain.verdict(person("leaver"), found).visible
        assert "leaver" not in {s.person.username for s in explain.seers(found, 1000)[1]}
        assert {a.rows for a in explain.accesses(person("leaver"), [model])} == {0}


# ------------------------------------------------------------------ a parent's rule
def test_a_child_is_explained_by_its_parent(oracle: Oracle, person: Any, app: Any, monkeypatch: Any) -> None:
    """No rule of the product uses `sees` yet: the members' rule is written with it for this test."""
    models = {m.__tablename__: m for m in records()}
    member, project = models["project_member"], models["project_project"]
    monkeypatch.setattr(member, "see", classmethod(lambda c, v: v.sees(project, c.project_id)))
    monkeypatch.setattr(member, "wide", {})
    pk = row_of(oracle, "project_member", {"project": "Project Alpha"})
    with app.app_context():
        found = explain.find(member, pk=pk)[0]
        got = explain.verdict(person("member.wang"), found)
        (condition,) = got.ways[0].conditions
        assert got.visible and condition.holds and condition.leaf.kind == "parent"
        assert [m.via for m in (j.memberships[0] for j in holding(condition.arms))] == ["member"]
        seers = {s.person.username for s in explain.seers(found, 1000)[1]}
        assert seers == {n for n, i in oracle.people.items() if oracle.sees(i, "project_member", {"project_id": oracle_project(oracle)})}


def oracle_project(oracle: Oracle) -> int:
    return one_row(oracle, "project_project", name="Project Alpha")


# ------------------------------------------------------------------ cost
def test_the_counts_may_use_indexes(person: Any, app: Any) -> None:
    """Only the bare condition on a column uses its index: without them each count of a person who sees little reads the whole table."""
    from sqlalchemy import event

    from portal.kernel.db import db

    sent: list[str] = []

    def note(*a: Any) -> None:
        sent.append(a[2])

    with app.app_context():
        event.listen(db.engines["worker"], "before_cursor_execute", note)
        try:
            explain.accesses(person("member.wang"), [m for m in records() if m.__tablename__ == "dailyreport_line"])
        finally:
            event.remove(db.engines["worker"], "before_cursor_execute", note)
    (counting,) = [s for s in sent if "FROM dailyreport_line" in s]
    assert "author_id = ANY" in counting and "coalesce" not in counting.lower()


def test_many_people_take_no_more_statements(app: Any, fresh_db: Any, superuser: Any, oracle: Oracle) -> None:
    """500 people more, all in one department: the same number of statements, and quick."""
    import time

    from sqlalchemy import event

    from portal.kernel.db import db

    model = next(m for m in records() if m.__tablename__ == "dailyreport_line")
    pk = row_of(oracle, "dailyreport_line", {"project": "Project Alpha", "author": "member.wang"})
    sent: list[str] = []

    def count() -> tuple[int, int]:
        sent.clear()
        total, _found = explain.seers(explain.find(model, pk=pk)[0])
        return total, len(sent)

    with app.app_context():
        event.listen(db.engines["worker"], "before_cursor_execute", lambda *a: sent.append(a[2]))
        few = count()
        superuser.execute(
            """with u as (insert into ab_user (id, username, first_name, last_name, email, active)
                 select nextval('ab_user_id_seq'), 'many' || n, n, 'X', n || '@many.example', true from generate_series(1, 500) n
                 returning id)
               insert into hr_department_head (department_id, user_id, kind, from_day)
                 select d.id, u.id, 'deputy', current_date - 400 from u, hr_department d where d.code = 'RD'"""
        )
        begun = time.monotonic()
        many = count()
        assert time.monotonic() - begun < 1.5
    assert many == (few[0] + 500, few[1])
