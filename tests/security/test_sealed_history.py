"""The seal on the history: every committed entry once, in one order, and whatever anybody alters is found."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from portal.kernel import calendar
from portal.kernel.db import unrestricted
from portal.kernel.settings import settings as active
from security import sealing, verification
from tests.security.tampering import ATTACKS, EXPECTED, Attack

pytestmark = [pytest.mark.req("VIS-13", part="chain and verify"), pytest.mark.req("ALL-05", part="detection")]
ROOT = Path(__file__).resolve().parents[2]
UNSEALED = "select from audit_entry a where not exists (select from security_audit_seal s where s.entry_id = a.id)"
ROLES = ("app", "app_act", "app_read", "app_anon", "worker", "see_staff", "app_login", "worker_login")


@pytest.fixture
def anchor_file(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "anchors.txt"
    monkeypatch.setattr(active(), "audit_anchors", path)
    return path


@pytest.fixture
def seal(app: Any) -> Callable[[], int | None]:
    def run() -> int | None:
        with app.app_context(), unrestricted("test of the seal"):
            return sealing.seal()

    return run


@pytest.fixture
def settle(seal: Any, superuser: Any) -> Callable[[], int]:
    """Seals until nothing is left: transactions of other databases of the server make it wait too."""

    def run() -> int:
        done, until = 0, time.monotonic() + 60
        while superuser.execute(f"select exists ({UNSEALED})").fetchone()[0]:
            assert time.monotonic() < until, "some transaction of this server runs for very long"
            done += seal() or 0
        return done

    return run


@pytest.fixture
def verify(app: Any, anchor_file: Path) -> Callable[[], verification.Report]:
    def run() -> verification.Report:
        with app.app_context(), unrestricted("test of the seal"):
            return verification.verify(anchor_file)

    return run


@pytest.fixture
def anchored(app: Any, anchor_file: Path) -> Callable[[], bool]:
    def run() -> bool:
        with app.app_context(), unrestricted("test of the seal"):
            return verification.anchor(anchor_file, at_once=True)

    return run


@pytest.fixture
def owner(database: Any) -> Iterator[psycopg.Connection[Any]]:
    """Writes business rows as migrations do; each `with` is one transaction."""
    with psycopg.connect(database.super_dsn()) as conn:
        conn.execute("set role shuniu_owner")
        conn.commit()
        yield conn


def change(conn: psycopg.Connection[Any], words: str) -> int:
    """One entry by *conn*; its id."""
    conn.execute("update project_project set summary = %s where id = (select min(id) from project_project)", [words])
    return int(conn.execute("select max(id) from audit_entry where txid = txid_current()").fetchone()[0])  # type: ignore[index]


def kinds(report: verification.Report) -> list[tuple[str, int | None]]:
    return [(p.kind, p.entry) for p in report.problems]


# ------------------------------------------------------------------ sealing
def test_what_is_committed_is_sealed_once_in_order_without_gaps(
    fresh_db: None, superuser: Any, seal: Any, settle: Any, verify: Any
) -> None:
    entries = superuser.execute("select count(*) from audit_entry").fetchone()[0]
    assert verify().unsealed == entries > 100
    assert settle() == entries and seal() == 0
    rows = superuser.execute("select seq, entry_id, previous, hash from security_audit_seal order by seq").fetchall()
    assert [r[0] for r in rows] == list(range(1, entries + 1)) and len({r[1] for r in rows}) == entries
    assert rows[0][2] == bytes(32) and all(b[2] == a[3] for a, b in pairwise(rows))
    report = verify()
    assert report.sound and (report.sealed, report.unsealed) == (entries, 0)


@pytest.mark.req("VIS-13", part="late commits")
def test_an_entry_of_a_transaction_that_commits_late_is_sealed_later_not_skipped(
    fresh_db: None, database: Any, superuser: Any, seal: Any, settle: Any, verify: Any
) -> None:
    settle()
    with psycopg.connect(database.super_dsn()) as late, psycopg.connect(database.super_dsn()) as early:
        first = change(late, "begun first, committed last")
        early.execute("insert into web_announcement (title, body, from_day) values ('t', 'b', '2026-01-01')")
        second = early.execute("select max(id) from audit_entry").fetchone()[0]  # type: ignore[index]
        early.commit()
        assert first < second
        assert seal() == 0  # the later one waits too: behind it something older may still come
        report = verify()
        assert report.sound and report.unsealed == 1
        late.commit()
    with psycopg.connect(database.super_dsn()) as third:
        last = change(third, "afterwards")
        third.commit()
    assert settle() == 3
    order = [r[0] for r in superuser.execute("select entry_id from security_audit_seal order by seq desc limit 3").fetchall()]
    assert order == [last, second, first]
    assert verify().sound and verify().unsealed == 0


@pytest.mark.req("VIS-13", part="late commits")
def test_many_writers_some_slow_some_rolled_back(fresh_db: None, database: Any, seal: Any, settle: Any, verify: Any) -> None:
    dice = random.Random(7)
    connections = [psycopg.connect(database.super_dsn()) for _ in range(4)]
    try:
        for step in range(120):
            conn = dice.choice(connections)
            conn.execute("insert into web_announcement (title, body, from_day) values (%s, 'b', '2026-01-01')", [str(step)])
            if dice.random() < 0.4:
                (conn.rollback if dice.random() < 0.3 else conn.commit)()
            if dice.random() < 0.3:
                seal()
                assert verify().sound
        for conn in connections:
            conn.commit()
    finally:
        for conn in connections:
            conn.close()
    settle()
    report = verify()
    assert report.sound and report.unsealed == 0 and report.sealed > 60


def test_one_sealer_at_a_time(superuser: Any, seal: Any) -> None:
    with superuser.transaction():
        superuser.execute("select pg_advisory_xact_lock(%s)", [sealing.LOCK])
        assert seal() is None
    assert seal() is not None


def test_after_a_restore_elsewhere_sealing_goes_on(fresh_db: None, superuser: Any, owner: Any, settle: Any, verify: Any) -> None:
    """On a new server numbers of transactions begin anew: what was sealed, and the tail that was not, name higher ones."""
    settle()
    tail = change(owner, "not sealed when the copy was made")
    owner.commit()
    superuser.execute("alter table audit_entry disable trigger all")
    # as if all had happened on a server ten million transactions on; the seals are the ones made there
    superuser.execute("update audit_entry set txid = txid + 10000000")
    superuser.execute("truncate security_audit_seal")
    with superuser.transaction():
        body = superuser.execute("select prosrc from pg_proc where proname = 'audit_seal'").fetchone()[0]
        body = body.replace("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", "20000000").replace(
            "a.txid < oldest", f"a.id <> {tail}"
        )
        superuser.execute(f"create function pg_temp.elsewhere() returns bigint language plpgsql as $fn${body}$fn$")
        superuser.execute("select pg_temp.elsewhere()")
    here = change(owner, "the first one here")
    owner.commit()
    assert settle() == 2
    order = [r[0] for r in superuser.execute("select entry_id from security_audit_seal order by seq desc limit 2").fetchall()]
    assert order == [here, tail]
    change(owner, "the second one here")
    owner.commit()
    assert settle() == 1 and verify().sound


# ------------------------------------------------------------------ whatever is altered
@pytest.fixture
def sealed(fresh_db: None, owner: Any, settle: Any, anchored: Any) -> None:
    """A sealed and anchored history with an unsealed tail of one entry."""
    for n in range(20):
        change(owner, f"change {n}")
        owner.commit()
    settle()
    assert anchored()
    change(owner, "not sealed yet")
    owner.commit()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.__name__)
def test_whatever_is_altered_is_found(attack: Attack, sealed: None, database: Any, verify: Any, anchor_file: Path, depth: Any) -> None:
    """By somebody with all rights on the database; each attempt is taken back before the next."""
    assert verify().sound
    engine = create_engine(database.url("SHUNIU_TEST_PG_SUPER_URL"))
    with engine.connect() as conn, conn.begin() as whole:
        for seed in range(depth(12, 300)):
            attempt = conn.begin_nested()
            entry = attack(conn.connection.driver_connection, random.Random(seed))
            with Session(conn, join_transaction_mode="create_savepoint") as s, pytest.MonkeyPatch.context() as patch:
                patch.setattr(verification, "session", lambda s=s: s)
                report = verification.verify(anchor_file)
            attempt.rollback()
            assert not report.sound, f"{attack.__name__} with seed {seed} was not found"
            first = report.problems[0]
            assert first.kind in EXPECTED[attack.__name__], (seed, kinds(report))
            if entry:
                assert first.entry == entry, (seed, entry, kinds(report))
        whole.rollback()
    engine.dispose()
    assert verify().sound


def test_the_command_says_it_too(sealed: None, superuser: Any, database: Any, anchor_file: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "SHUNIU_DATABASE_URL": database.url("SHUNIU_TEST_PG_APP_URL"),
            "SHUNIU_WORKER_DATABASE_URL": database.url("SHUNIU_TEST_PG_WORKER_URL"),
            "SHUNIU_AUDIT_ANCHORS": str(anchor_file),
        }
        command = [sys.executable, "-m", "portal.cli", "admin", "verify-audit"]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    lines = anchor_file.read_text().splitlines()
    done = run()
    assert done.returncode == 0, done.stderr
    assert "not sealed yet: 1" in done.stdout and "the history is as it was written" in done.stdout
    assert anchor_file.read_text().splitlines() == lines  # nothing new was sealed, nothing to anchor
    superuser.execute("update audit_entry set ip = '10.6.6.6' where id = (select entry_id from security_audit_seal where seq = 7)")
    entry = superuser.execute("select entry_id from security_audit_seal where seq = 7").fetchone()[0]
    done = run()
    assert done.returncode == 1
    assert f"BROKEN changed: the entry was changed (sequence 7, entry {entry})" in done.stderr
    found = superuser.execute(
        "select sound, first_kind, first_entry from security_audit_check where what = 'verified' order by id"
    ).fetchall()
    assert found == [(True, "", None), (False, "changed", entry)]


# ------------------------------------------------------------------ approved erasure
@pytest.mark.req("VIS-13", part="erasure")
def test_an_erased_value_is_gone_and_the_chain_holds(sealed: None, owner: Any, superuser: Any, settle: Any, verify: Any) -> None:
    table, row = "hr_employee_private", superuser.execute("select min(id) from hr_employee_private").fetchone()[0]
    owner.execute("update hr_employee_private set bank_account = 'SECRET-OLD' where id = %s", [row])
    owner.commit()
    settle()
    owner.execute("update hr_employee_private set bank_account = 'SECRET-NEW', home_address = 'a street' where id = %s", [row])
    owner.commit()
    changed = owner.execute("select audit_erase(%s, %s, array['bank_account'], 'asked by the person')", [table, row]).fetchone()[0]
    owner.commit()
    assert changed == 3  # one of them before it was sealed
    texts = superuser.execute("select old::text || new::text from audit_entry where tbl = %s and row_id = %s", [table, row]).fetchall()
    assert "SECRET" not in repr(texts)
    rest = "select new->>'home_address', salt from audit_entry where tbl = %s and row_id = %s and op = 'update' order by id desc limit 1"
    assert superuser.execute(rest, [table, row]).fetchone() == ("a street", None)
    report = verify()
    assert report.sound and report.erased == 2
    settle()
    report = verify()
    assert report.sound and report.erased == 3
    # a second time, another column; what is left is still held by the chain
    owner.execute("select audit_erase(%s, %s, array['home_address', 'bank_account'], 'asked again')", [table, row])
    owner.commit()
    assert verify().sound
    superuser.execute(
        "update audit_entry set new = jsonb_set(new, '{identity_number}', '\"x\"') where tbl = %s and row_id = %s and op = 'insert'",
        [table, row],
    )
    assert kinds(verify())[0][0] == "changed"


def test_another_text_in_place_of_an_erased_value_is_found(sealed: None, owner: Any, superuser: Any, verify: Any) -> None:
    entry, row = superuser.execute("select id, row_id from audit_entry where tbl = 'project_project' and op = 'update' limit 1").fetchone()
    owner.execute("select audit_erase('project_project', %s, array['summary'], 'test')", [row])
    owner.commit()
    assert verify().sound
    superuser.execute('update audit_entry set new = new || \'{"summary": "what never was"}\' where id = %s', [entry])
    assert kinds(verify())[0] == ("changed", entry)


# ------------------------------------------------------------------ anchors
def test_anchors_are_written_after_so_many_entries_and_daily(
    fresh_db: None, app: Any, owner: Any, settle: Any, anchor_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turn() -> int:
        with app.app_context(), unrestricted("test of the seal"):
            verification.seal_history()
        return len(anchor_file.read_text().splitlines()) if anchor_file.exists() else 0

    monkeypatch.setattr(active(), "audit_anchor_entries", 3)
    assert turn() == 0  # what this turn seals is not committed yet
    settle()
    assert turn() == 1 and turn() == 1
    for _ in range(2):
        change(owner, str(random.random()))
    owner.commit()
    settle()
    assert turn() == 1
    with calendar.freeze(calendar.now() + timedelta(days=1, minutes=1)):
        assert turn() == 2
    for _ in range(3):
        change(owner, str(random.random()))
    owner.commit()
    settle()
    assert turn() == 3
    assert oct(anchor_file.stat().st_mode)[-3:] == "600"


def test_a_lost_or_spoilt_anchor_file_is_no_silence(sealed: None, verify: Any, anchored: Any, anchor_file: Path, superuser: Any) -> None:
    kept = anchor_file.read_bytes()
    anchor_file.write_bytes(kept[:-20])  # the machine stopped while writing
    assert kinds(verify())[0][0] == "unreadable"
    assert anchored() and len(anchor_file.read_text().splitlines()) == 2
    anchor_file.write_bytes(kept + b"something else\n")
    assert [p.kind for p in verify().problems] == ["unreadable"]
    anchor_file.unlink()
    assert [p.kind for p in verify().problems] == ["no_anchors"]
    anchor_file.write_bytes(kept)
    assert verify().sound


def test_an_older_copy_put_in_place_of_the_file_is_found(
    sealed: None, owner: Any, settle: Any, verify: Any, anchored: Any, anchor_file: Path
) -> None:
    older = anchor_file.read_bytes()
    change(owner, "after the copy")
    owner.commit()
    settle()
    assert anchored() and verify().sound
    anchor_file.write_bytes(older)
    assert [p.kind for p in verify().problems] == ["no_anchors"]
    copy = anchor_file.with_name("copy.txt")  # but a copy kept elsewhere may be older
    copy.write_bytes(older)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "anchor_file", lambda: anchor_file.with_name("newer.txt"))
        assert verify().sound


def test_an_end_cut_off_after_a_verification_is_found_without_an_anchor_too(sealed: None, app: Any, owner: Any, settle: Any) -> None:
    settle()
    unwritable = Path("/dev/null/anchors.txt")
    with app.app_context():
        assert [p.kind for p in verification.check(unwritable).problems] == ["no_anchors"]
        owner.execute("delete from security_audit_check where what = 'anchored'")
        owner.commit()
        assert verification.check(unwritable).sound
        owner.execute("delete from audit_entry where id = (select entry_id from security_audit_seal order by seq desc limit 1)")
        owner.execute("delete from security_audit_seal where seq = (select max(seq) from security_audit_seal)")
        owner.commit()
        assert [p.kind for p in verification.check(unwritable).problems] == ["cut"]


@pytest.mark.parametrize("at", ["yesterday-or-so", "2026-13-45T00:00:00", "2026-01-01T00:00:00", "9999-12-31T23:59:59-12:00"])
def test_a_line_with_an_odd_time_stops_no_sealing(sealed: None, app: Any, anchor_file: Path, superuser: Any, settle: Any, at: str) -> None:
    anchor_file.write_text(f"{at} 3 {'0' * 64}\n")
    with app.app_context(), unrestricted("test of the seal"):
        verification.seal_history()
    settle()
    with app.app_context():
        assert not verification.check(anchor_file).sound


def test_an_entry_written_without_salt_is_held_by_the_chain_too(sealed: None, superuser: Any, settle: Any, verify: Any) -> None:
    insert = "insert into audit_entry (tbl, row_id, op, salt, old, new) values ('x', 1, 'update', null, '7', '{\"a\": 1}') returning id"
    for column, value in (("new", '{"a": 2}'), ("old", "8")):
        entry = superuser.execute(insert).fetchone()[0]
        settle()
        assert verify().sound
        superuser.execute(f"update audit_entry set {column} = %s where id = %s", [value, entry])
        assert kinds(verify()) == [("changed", entry)]
        superuser.execute("delete from security_audit_seal where entry_id = %s", [entry])
        superuser.execute("delete from audit_entry where id = %s", [entry])


def test_a_file_that_cannot_be_written_stops_neither_sealing_nor_verifying(
    sealed: None, app: Any, owner: Any, anchor_file: Path, superuser: Any, settle: Any
) -> None:
    anchor_file.unlink()
    anchor_file.mkdir()
    with app.app_context(), unrestricted("test of the seal"):
        verification.seal_history()
    settle()
    with app.app_context():
        report = verification.check(anchor_file)
    assert [p.kind for p in report.problems] == ["no_anchors"] and report.unsealed == 0
    assert superuser.execute("select count(*) from security_audit_check where what = 'anchored'").fetchone()[0] == 1


def test_an_anchor_never_knows_more_than_is_committed(fresh_db: None, app: Any, settle: Any, anchor_file: Path) -> None:
    """The turn that seals fails at the end: the file has no hash of what was rolled back."""
    with app.app_context(), pytest.raises(RuntimeError), unrestricted("test of the seal"):
        verification.seal_history()
        raise RuntimeError
    assert not anchor_file.exists()


# ------------------------------------------------------------------ nobody of the portal
@pytest.mark.parametrize("role", ROLES)
def test_no_role_of_the_portal_touches_seals_or_erases(role: str, superuser: Any) -> None:
    statements = [
        "insert into security_audit_seal values (1, 1, '', '', 1)",
        "update security_audit_seal set hash = ''",
        "delete from security_audit_seal",
        "truncate security_audit_seal",
        "update security_audit_check set sound = true",
        "delete from security_audit_check",
        "select audit_erase('project_project', 1, array['name'], '')",
        "drop function audit_seal()",
        "create or replace function audit_seal() returns bigint language sql as 'select 0::bigint'",
        "drop index security_audit_seal_entry",
    ]
    if role != "worker":
        statements += ["select audit_seal()", "select * from security_audit_seal", "select * from security_audit_check",
                       "insert into security_audit_check (what, seq) values ('verified', 1)"]  # fmt: skip
    with psycopg.connect(superuser.info.dsn, password=superuser.info.password) as conn:
        for statement in statements:
            conn.execute(f"set session authorization {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)
            conn.rollback()
