"""The outbox: one transaction with its cause, exactly once inside the portal, retries, dead letters."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from portal.kernel import outbox
from portal.kernel.db import session, unrestricted

done: list[Any] = []
broken: set[Any] = set()
deadly: set[Any] = set()


class Killed(BaseException):
    """The end of a worker."""


@outbox.handler("test.note")
def note(value: Any) -> None:
    """Leaves a trace in the database and fails when told to."""
    session().execute(text("insert into kernel_number_counter values (0, 'test', :v, 1)"), {"v": str(value)})
    done.append(value)
    if value in broken:
        raise RuntimeError(f"{value} is broken")
    if value in deadly:
        raise Killed  # no Exception: the worker ends here, as when its process is killed


@pytest.fixture(autouse=True)
def clean(app: Flask) -> Iterator[None]:
    done.clear()
    broken.clear()
    deadly.clear()
    with app.app_context(), unrestricted("test") as s:
        s.execute(text("delete from kernel_outbox"))
        s.execute(text("delete from kernel_number_counter where code = 'test'"))
    with app.app_context():
        yield


def put(*values: Any, **kwargs: Any) -> None:
    with unrestricted("test"):
        for value in values:
            outbox.enqueue("test.note", {"value": value}, key=f"test:{value}", **kwargs)


def rows(sql: str = "select * from kernel_outbox order by id") -> list[Any]:
    with unrestricted("test") as s:
        return list(s.execute(text(sql)).all())


def traces() -> list[str]:
    return [row[0] for row in rows("select period from kernel_number_counter where code = 'test' order by period")]


def due_now() -> None:
    with unrestricted("test") as s:
        s.execute(text("update kernel_outbox set available_at = now(), leased_until = null where done_at is null"))


@pytest.mark.req("ALR-06")
def test_work_and_cause_live_and_die_together() -> None:
    with pytest.raises(ZeroDivisionError), unrestricted("test"):
        outbox.enqueue("test.note", {"value": 1}, key="a")
        _ = 1 / 0
    assert outbox.drain() == 0
    put(2)
    assert outbox.drain() == 1 and done == [2] and traces() == ["2"]


class Away(RuntimeError):
    """The receiver cannot be reached."""


@outbox.handler("test.away", away=lambda error: isinstance(error, Away))
def to_somebody_away(value: Any) -> None:
    if value in broken:
        raise Away(value)
    if value in deadly:
        raise RuntimeError(value)
    done.append(value)


@pytest.mark.req("POR-07", part="changes wait however long Keycloak is away")
def test_a_letter_whose_receiver_is_away_waits_for_ever_and_is_not_worn_out() -> None:
    with unrestricted("test"):
        outbox.enqueue("test.away", {"value": 1}, key="away:1")
    broken.add(1)
    for _ in range(outbox.MAX_ATTEMPTS + 5):
        due_now()
        assert outbox.drain() == 1 and not done
    left = rows("select attempts, dead_at, available_at - now() < interval '31 s' as soon from kernel_outbox")
    assert [tuple(row) for row in left] == [(0, None, True)]
    broken.clear()
    due_now()
    assert outbox.drain() == 1 and done == [1]


def test_other_errors_of_such_a_letter_still_end_it() -> None:
    with unrestricted("test"):
        outbox.enqueue("test.away", {"value": 1}, key="away:1")
    deadly.add(1)
    for _ in range(outbox.MAX_ATTEMPTS):
        due_now()
        outbox.drain()
    assert rows("select dead_at is not null as dead from kernel_outbox")[0].dead


@pytest.mark.req("ALR-06", part="once")
def test_a_key_is_handled_once_for_ever() -> None:
    put(1)
    put(1)
    outbox.drain()
    put(1)
    outbox.drain()
    assert done == [1]


@pytest.mark.req("ALR-06")
def test_people_may_add_and_nothing_else(request_as: Callable[..., Any]) -> None:
    with request_as("member.wang", keep=True):
        outbox.enqueue("test.note", {"value": 7}, key="mine")
    assert outbox.drain() == 1 and done == [7]
    for forbidden in ("select * from kernel_outbox", "update kernel_outbox set done_at = now()", "delete from kernel_outbox"):
        with request_as("member.wang") as s, pytest.raises(DBAPIError, match="permission denied"):
            s.execute(text(forbidden))


@pytest.mark.req("ALR-06")
def test_nothing_of_a_failed_handler_stays_and_it_is_tried_again_later() -> None:
    broken.add(1)
    put(1)
    assert outbox.drain() == 1
    (row,) = rows()
    assert traces() == [] and row.attempts == 1 and row.done_at is None and row.last_error == "RuntimeError: 1 is broken"
    assert outbox.drain() == 0, "not before its pause is over"
    broken.clear()
    due_now()
    assert outbox.drain() == 1 and traces() == ["1"]
    assert rows()[0].done_at is not None and rows()[0].last_error is None


@pytest.mark.req("ALR-06", part="dead letters")
def test_a_dead_letter_is_kept_and_can_be_sent_again() -> None:
    broken.add(1)
    put(1)
    for _ in range(outbox.MAX_ATTEMPTS):
        due_now()
        outbox.drain()
    (row,) = rows()
    assert row.dead_at is not None and len(done) == outbox.MAX_ATTEMPTS
    due_now()
    assert outbox.drain() == 0
    with unrestricted("test"):
        assert outbox.backlog().dead == 1
    broken.clear()
    assert outbox.resend([row.id]) == 1 and outbox.resend([row.id]) == 0
    assert outbox.drain() == 1 and traces() == ["1"]


def test_what_is_recorded_of_a_database_error_holds_no_values() -> None:
    broken_row = {"value": "secret" * 3}
    with unrestricted("test"):
        outbox.enqueue("test.note", broken_row, key="a")
        outbox.enqueue("test.note", broken_row, key="b")
    outbox.drain()
    (failed,) = [row for row in rows() if row.last_error]
    assert failed.last_error.startswith("UniqueViolation") and "secret" not in failed.last_error and "insert" not in failed.last_error


def test_pauses_grow_and_end_at_an_hour() -> None:
    pauses = [outbox.pause_after(n).total_seconds() for n in range(1, 20)]
    assert pauses[0] < 3 and all(later > 1.3 * sooner for sooner, later in itertools.pairwise(pauses[:11]))
    assert max(pauses) <= 3600 * 1.2


@pytest.mark.req("ALR-06")
def test_a_lease_that_ran_out_is_taken_by_another_and_the_first_does_nothing() -> None:
    put(1)
    (mine,) = outbox.take("first")
    assert outbox.take("second") == []
    with unrestricted("test") as s:
        s.execute(text("update kernel_outbox set leased_until = now() - interval '1 second'"))
    (theirs,) = outbox.take("second")
    assert not outbox.deliver(mine, "first") and done == []
    assert outbox.deliver(theirs, "second") and not outbox.deliver(theirs, "second") and done == [1]


@pytest.mark.req("ALR-06", part="dead letters")
def test_a_lease_that_runs_out_is_no_failure() -> None:
    put(1)
    for n in range(outbox.MAX_ATTEMPTS + 2):
        assert len(outbox.take(f"worker {n}")) == 1
        with unrestricted("test") as s:
            s.execute(text("update kernel_outbox set leased_until = now() - interval '1 second'"))
    assert rows()[0].attempts == 0
    broken.add(1)
    outbox.drain()
    (row,) = rows()
    assert row.attempts == 1 and row.dead_at is None


def a_worker() -> None:
    """A worker's life until a letter kills it or nothing is left to do; the leases of the one before are over."""
    with unrestricted("test") as s:
        s.execute(text("update kernel_outbox set leased_until = now() - interval '1 second' where leased_until is not null"))
        s.execute(text("update kernel_outbox set available_at = available_at - interval '2 hours'"))  # as if pauses were over
    with contextlib.suppress(Killed):
        outbox.drain()


@pytest.mark.req("ALR-06", part="worker killed by its work")
def test_a_letter_that_ends_its_worker_is_counted_goes_last_and_is_given_up() -> None:
    deadly.add(1)
    put(*range(1, 13))
    a_worker()
    assert done == [1] and rows()[0].starts == 0
    a_worker()
    assert rows()[0].starts == 1 and rows()[0].available_at > rows("select now() as at")[0].at, "counted, and due later"
    a_worker()
    assert [row.done_at is not None for row in rows()] == [False] + [True] * 11, "the others were done before it"
    assert len(traces()) == 11 and all(row.attempts == 0 for row in rows())
    for _ in range(outbox.MAX_STARTS):
        a_worker()
    (row,) = rows("select * from kernel_outbox where done_at is null")
    assert row.dead_at is not None and row.last_error.startswith(f"WorkerLost: begun {outbox.MAX_STARTS} times")
    assert done.count(1) == outbox.MAX_STARTS + 1
    a_worker()
    assert done.count(1) == outbox.MAX_STARTS + 1, "dead is dead"
    deadly.clear()
    assert outbox.resend([row.id]) == 1
    a_worker()
    assert rows("select * from kernel_outbox where done_at is null") == [] and len(traces()) == 12


@pytest.mark.req("ALR-06", part="worker killed by its work")
def test_an_end_of_any_kind_forgets_the_starts() -> None:
    deadly.add(1)
    put(1)
    for _ in range(3):
        a_worker()
    assert rows()[0].starts == 2 and rows()[0].last_error.startswith("WorkerLost: begun 1 times")
    deadly.clear()
    broken.add(1)
    a_worker()
    assert (rows()[0].starts, rows()[0].attempts, rows()[0].last_error) == (0, 1, "RuntimeError: 1 is broken")


def test_what_another_worker_has_taken_meanwhile_is_not_begun() -> None:
    put(1)
    outbox.take("first")
    with unrestricted("test") as s:
        s.execute(text("update kernel_outbox set leased_until = now() - interval '1 second'"))
    (mine,) = outbox.take("second")
    with unrestricted("test") as s:
        s.execute(text("update kernel_outbox set leased_until = now() - interval '1 second'"))
    (theirs,) = outbox.take("third")
    assert mine.lost and not outbox.deliver(mine, "second") and done == [] and rows()[0].starts == 0
    assert outbox.deliver(theirs, "third") and done == [1]


def test_a_letter_that_was_never_lost_costs_no_statement_more(app: Flask) -> None:
    from portal.kernel.db import db

    put(1)
    (letter,) = outbox.take("w")
    sent: list[str] = []

    def note_statement(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(" ".join(statement.split()[:4]))

    event.listen(db.engines["worker"], "before_cursor_execute", note_statement)
    try:
        assert outbox.deliver(letter, "w")
    finally:
        event.remove(db.engines["worker"], "before_cursor_execute", note_statement)
    assert [s for s in sent if "kernel" in s or s.startswith("select 1")] == [
        "select 1 from kernel_outbox",
        "insert into kernel_number_counter values",
        "update kernel_outbox set done_at",
    ]
    assert len(sent) == 4, sent  # and who is at work


@pytest.mark.req("ALR-06")
def test_a_row_being_handled_is_nobody_elses_even_when_its_lease_is_over(app: Flask) -> None:
    put(1)
    (mine,) = outbox.take("first")
    with unrestricted("test") as s:
        s.execute(text("update kernel_outbox set leased_until = now() - interval '1 second'"))
        assert s.execute(outbox._HOLD, {"id": mine.id, "token": "first"}).scalar() == 1
        found: list[Any] = []

        def other() -> None:
            with app.app_context():
                found.extend(outbox.take("second"))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert found == []


@pytest.mark.req("ALR-06", part="once")
def test_many_threads_share_the_work_without_doing_any_twice(app: Flask) -> None:
    put(*range(100))

    def work() -> None:
        with app.app_context():
            outbox.drain()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(100)) and len(traces()) == 100


def test_a_row_without_a_handler_waits_for_the_next_release() -> None:
    with unrestricted("test"):
        outbox.enqueue("test.gone", {}, key="gone")
    outbox.drain()
    assert rows()[0].last_error == "LookupError: no handler test.gone"


def test_old_done_rows_are_forgotten() -> None:
    put(1, 2)
    outbox.drain()
    with unrestricted("test") as s:
        s.execute(text("update kernel_outbox set done_at = now() - interval '31 days' where key = 'test:1'"))
    with unrestricted("test"):
        assert outbox.purge() == 1
    assert [row.key for row in rows()] == ["test:2"]
