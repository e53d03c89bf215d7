"""Every model × every person: the rules in the ORM, row-level security alone, and both, against the oracle."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import select, text, update

from portal.kernel.document import records
from security.visibility import changeable, context, visible
from tests.factories.company import PEOPLE
from tests.security.oracle import Oracle

PERSONS = sorted(PEOPLE.keys() - {"leaver"})
EVERYTHING = {"include_archived": True}


@pytest.fixture(scope="module")
def tables(app: Any) -> list[str]:
    return [m.__tablename__ for m in records()]


@pytest.fixture(scope="module")
def oracle(database: Any, tables: list[str]) -> Oracle:
    with psycopg.connect(database.super_dsn()) as conn:
        return Oracle(conn, tables)


@pytest.fixture(scope="module")
def superuser_engine(database: Any) -> Iterator[Any]:
    from sqlalchemy import create_engine

    engine = create_engine(database.super_server.set(database=database.name))
    yield engine
    engine.dispose()


def differences(expected: Callable[[str], set[int]], got: dict[str, set[int]]) -> dict[str, str]:
    found = {}
    for table, ids in got.items():
        want = expected(table)
        if ids != want:
            found[table] = f"too many {sorted(ids - want)[:8]}, missing {sorted(want - ids)[:8]}"
    return found


@pytest.mark.req("VIS-01")
@pytest.mark.req("VIS-02")
@pytest.mark.req("VIS-03")
@pytest.mark.req("VIS-04")
@pytest.mark.req("VIS-07")
@pytest.mark.parametrize("username", PERSONS)
def test_sees(username, oracle, session_as, raw_as, superuser_engine):
    """ORM statements, plain SQL on the web's own role, and the ORM rule alone give exactly the oracle's rows."""
    with session_as(username) as s:
        orm = {m.__tablename__: set(s.scalars(select(m.id), execution_options=EVERYTHING)) for m in records()}
        ctx = context()
        plain = {m.__tablename__: set(s.scalars(text(f"select id from {m.__tablename__}"))) for m in records()}
        rules = {m: visible(m, m, ctx) for m in records()}
    with raw_as(username) as conn:
        raw = {m.__tablename__: {r[0] for r in conn.execute(f"select id from {m.__tablename__}")} for m in records()}
    with superuser_engine.connect() as conn:  # what the criteria would let through if row-level security were off
        alone = {
            m.__tablename__: set(conn.scalars(select(m.id) if rule is None else select(m.id).where(rule))) for m, rule in rules.items()
        }

    def expected(table: str) -> set[int]:
        return oracle.visible(username, table)

    ways = {"orm": orm, "text": plain, "raw": raw, "criteria alone": alone}
    assert {way: found for way, got in ways.items() if (found := differences(expected, got))} == {}


@pytest.mark.req("ALL-06")
@pytest.mark.parametrize("username", ["leader", "pm.chen", "member.wang", "hr"])
def test_archived_rows_stay_out_of_ordinary_lists(username, oracle, session_as):
    with session_as(username) as s:
        for m in records():
            archived = {r["id"] for r in oracle.rows[m.__tablename__] if r["archived_at"] is not None}
            assert set(s.scalars(select(m.id))) == oracle.visible(username, m.__tablename__) - archived


@pytest.mark.req("VIS-06")
@pytest.mark.parametrize("username", PERSONS)
def test_changes(username, oracle, session_as, raw_as, superuser_engine):
    """Which rows an UPDATE reaches: plain SQL, ORM bulk statement, and the ORM rule that pages use to hide the edit button."""
    raw, orm = {}, {}
    for m in records():
        with raw_as(username) as conn:
            raw[m.__tablename__] = {r[0] for r in conn.execute(f"update {m.__tablename__} set custom = custom returning id")}
    with session_as(username) as s:
        for m in records():
            statement = update(m).values(custom=m.custom).returning(m.id).execution_options(synchronize_session=False, **EVERYTHING)
            orm[m.__tablename__] = set(s.scalars(statement))
        ctx = context()
        rules = {m: (visible(m, m, ctx), changeable(m, m, ctx)) for m in records()}
    alone = {}
    with superuser_engine.connect() as conn:
        for m, (see, change) in rules.items():
            alone[m.__tablename__] = set(conn.scalars(select(m.id).where(*[r for r in (see, change) if r is not None])))

    def expected(table: str) -> set[int]:
        return oracle.changeable(username, table)

    ways = {"raw": raw, "orm": orm, "rule alone": alone}
    assert {way: found for way, got in ways.items() if (found := differences(expected, got))} == {}


@pytest.mark.req("VIS-07")
@pytest.mark.parametrize("who", [None, "", "leaver"])
def test_nobody_reads_nothing(who, app, raw_as, database, request_as):
    """Without a person every business table refuses; the same for somebody whose account is closed."""
    if who == "leaver":  # a session that was begun before the account was closed
        with psycopg.connect(database.super_dsn(), autocommit=True) as conn:
            conn.execute(
                "insert into security_session (token_hash, user_id, kind, expires_at) select encode(sha256('left'), 'hex'), id, 'browser',"
                " now() + interval '1 hour' from ab_user where username = 'leaver'"
            )
    for m in records():
        with raw_as(None if who == "leaver" else who) as conn:
            if who == "leaver":
                conn.rollback()
                conn.execute("select app_begin('left', '', '')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"select id from {m.__tablename__} limit 1")


def test_the_oracle_is_not_empty(oracle, tables):
    """Data and oracle tell people apart at all: no table is empty, and none looks the same to everybody unless it is meant to."""
    from tests.security.oracle import OPEN_TO_EVERYBODY

    for table in tables:
        seen = {p: frozenset(oracle.visible(p, table)) for p in PERSONS}
        assert any(seen.values()), f"{table} has no rows in the sample"
        if table not in OPEN_TO_EVERYBODY:
            assert len(set(seen.values())) > 1, table
