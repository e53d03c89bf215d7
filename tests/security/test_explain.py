"""Why somebody sees a record: every answer against the oracle, row-level security and the contexts; the reasons are the real ones."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import select, text

from portal.kernel.document import records
from portal.kernel.module import contexts, memberships
from security import explain
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
    used = explain.contexts_needed(models) | explain.contexts_needed(models, lambda m: m.change)
    assert used <= set(memberships), f"declare @explains for {used - set(memberships)}"
    assert set(memberships) <= set(contexts)


@pytest.mark.parametrize("username", PERSONS)
def test_memberships_that_count_give_exactly_the_ids_of_the_context(username: str, session_as: Any, person: Any, app: Any) -> None:
    with session_as(username):
        arrays = context().arrays
    with app.app_context():
        from portal.kernel.db import unrestricted

        with unrestricted("a test") as s:
            for name in memberships:
                m = explain._relation(name).subquery()
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
