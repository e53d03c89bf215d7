"""The outbox: work to be done after a transaction, written inside it, so that neither is lost nor done without the other.

`enqueue` inserts a row; any number of workers take rows (`drain`) and run the handler and the done-mark in one transaction,
which makes every effect inside the portal happen exactly once.  What reaches the world outside happens at least once; there the
row's key is the word for de-duplication.  A handler that fails is retried with growing pauses and at last becomes a dead letter
that administrators see and send again; so does one that ends its worker.  docs/adr/0020-outbox-and-jobs.md
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, Table, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from portal.kernel import broker, calendar
from portal.kernel.db import Base, after_commit, session, unrestricted

log = structlog.get_logger(__name__)
Handler = Callable[..., None]

outbox = Table(
    "kernel_outbox",
    Base.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("handler", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("available_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("starts", Integer, nullable=False, server_default="0"),
    Column("leased_until", DateTime(timezone=True)),
    Column("lease_token", Text),
    Column("done_at", DateTime(timezone=True)),
    Column("dead_at", DateTime(timezone=True)),
    Column("last_error", Text),
    Index("kernel_outbox_open", "available_at", "id", postgresql_where=text("done_at is null and dead_at is null")),
    Index("kernel_outbox_dead", "dead_at", postgresql_where=text("dead_at is not null")),
    Index("kernel_outbox_done", "done_at", postgresql_where=text("done_at is not null")),
    # people's transactions may only add: no reading, hence neither RETURNING nor a conflict target below
    info={"grants": {"app": "insert", "app_act": "insert", "app_anon": "insert", "worker": "select, insert, update, delete"}},
)

LEASE = timedelta(seconds=20)
"""Time a worker has to begin with what it took; while a handler runs its row stays locked, however long that takes."""
BATCH = 10
MAX_ATTEMPTS = 10
MAX_STARTS = 20
"""How often a letter that was lost with its worker is begun again without coming to an end."""
KEEP_DONE = timedelta(days=30)
AWAY_PAUSE = timedelta(seconds=30)
"""Time until a letter is tried again whose receiver is away, however long that lasts: not the letter's fault, and not counted."""

handlers: dict[str, Handler] = {}
_failures: dict[str, "Callable[[dict[str, Any], str, bool], None]"] = {}
_away: dict[str, "Callable[[Exception], bool]"] = {}


def handler(
    name: str,
    failed: Callable[[dict[str, Any], str, bool], None] | None = None,
    away: Callable[[Exception], bool] | None = None,
) -> Callable[[Handler], Handler]:
    """Register the function that does the work called *name*.

    It gets the payload as keyword arguments and runs inside `unrestricted`.  It must be idempotent towards the outside world.
    *failed* is called with payload, error and whether this was the last attempt, in the transaction that records the failure.
    *away* tells the errors that say only that the receiver cannot be reached now: such a letter waits for it and never dies of it.
    """

    def register(function: Handler) -> Handler:
        known = handlers.get(name)
        if known is not None and known.__qualname__ != function.__qualname__:
            raise ValueError(f"two handlers are called {name}")
        handlers[name] = function
        if failed is not None:
            _failures[name] = failed
        if away is not None:
            _away[name] = away
        return function

    return register


_INSERT = text(
    """insert into kernel_outbox (key, handler, payload, available_at)
       values (:key, :handler, cast(:payload as jsonb), coalesce(:at, now())) on conflict do nothing"""
)


def enqueue(handler_name: str, payload: dict[str, Any], key: str, at: datetime | None = None) -> None:
    """Have *handler_name* called with *payload* once this transaction is committed, not before *at* (aware).

    A second row with the same *key* is ignored, for ever: the key says what must happen once.
    """
    values = {"key": key, "handler": handler_name, "payload": orjson.dumps(payload).decode(), "at": at}
    session().execute(_INSERT, values)
    ring_after_commit()


def ring_after_commit() -> None:
    """Have the workers rung for once this transaction is committed; for code that inserts rows by itself."""
    waiting = session().info
    if not waiting.get("doorbell"):
        waiting["doorbell"] = True
        after_commit(_Ring(waiting))


@dataclass(frozen=True)
class _Ring:
    """Rings once per transaction, after it is committed."""

    waiting: dict[str, Any]

    def __call__(self) -> None:
        self.waiting.pop("doorbell", None)
        broker.ring()


@dataclass(frozen=True)
class Letter:
    """A row a worker has taken; *attempts* failed before.

    *lost*: the lease before this one ran out, the worker was killed or slow; *starts*: how often it was begun after that.
    """

    id: int
    key: str
    handler: str
    payload: dict[str, Any]
    attempts: int
    starts: int
    lost: bool


# a lease that runs out is no failure: the worker was stopped, or slow, mostly with another letter of the batch
# the subquery locks, skipping what others hold: those rows are being handled at this very moment
_TAKE = text(
    """update kernel_outbox o set leased_until = clock_timestamp() + :lease, lease_token = :token
       from (select id, leased_until from kernel_outbox where done_at is null and dead_at is null and available_at <= clock_timestamp()
               and (leased_until is null or leased_until < clock_timestamp())
             order by available_at, id limit :batch for update skip locked) due
       where o.id = due.id returning o.id, o.key, o.handler, o.payload, o.attempts, o.starts, due.leased_until is not null"""
)
_HOLD = text("select 1 from kernel_outbox where id = :id and lease_token = :token and done_at is null for update skip locked")
# committed before the handler runs, so that it stays when the handler takes its process along; from then on the letter is due later
_BEGIN = text(
    """update kernel_outbox set starts = starts + 1, available_at = clock_timestamp() + :pause,
         last_error = case when starts > 0 then :error else last_error end
       where id = :id and lease_token = :token and done_at is null returning id"""
)
_DONE = text("update kernel_outbox set done_at = clock_timestamp(), leased_until = null, last_error = null where id = :id")
_FAILED = text(
    """update kernel_outbox set leased_until = null, lease_token = null, last_error = :error, attempts = attempts + :counted, starts = 0,
         available_at = clock_timestamp() + :pause,
         dead_at = case when :counted = 1 and attempts + 1 >= :most then clock_timestamp() end
       where id = :id and lease_token = :token returning dead_at"""
)


def drain(limit: int = 1000, stopping: Callable[[], bool] = lambda: False) -> int:
    """Handle what is due until nothing is left, *limit* rows are done or *stopping* says so.  Returns the rows taken.

    Needs an application context.  Errors of handlers are recorded, errors of the database are raised.
    """
    taken = 0
    while taken < limit and not stopping():
        token = uuid.uuid4().hex
        letters = take(token)
        if not letters:
            break
        for letter in letters:
            deliver(letter, token)
        taken += len(letters)
    return taken


def take(token: str) -> list[Letter]:
    """Lease the next rows that are due under *token*."""
    with unrestricted("outbox: take what is due") as s:
        rows = s.execute(_TAKE, {"lease": LEASE, "token": token, "batch": BATCH}).all()
    # what was begun and lost comes last: if it takes the worker along again, the others are done by then
    return sorted((Letter(*row) for row in rows), key=lambda letter: (letter.starts, letter.id))


def deliver(letter: Letter, token: str) -> bool:
    """Run the handler of *letter* and mark it done in the same transaction.  False when it failed or another worker has it."""
    bound = log.bind(handler=letter.handler, key=letter.key, attempt=letter.attempts + 1)
    if letter.lost and not _begin(letter, token):
        return False
    try:
        with unrestricted(f"outbox: {letter.handler}") as s:
            if s.execute(_HOLD, {"id": letter.id, "token": token}).scalar() is None:
                return False
            function = handlers.get(letter.handler)
            if function is None:
                raise LookupError(f"no handler {letter.handler}")
            function(**letter.payload)
            s.flush()
            s.execute(_DONE, {"id": letter.id})
    except Exception as error:  # whatever a handler raises is recorded, and tried again
        waits = letter.handler in _away and _away[letter.handler](error)
        dead = _failed(letter, token, problem_of(error), MAX_ATTEMPTS, AWAY_PAUSE if waits else None)
        bound.warning("outbox.dead" if dead else "outbox.failed", error=problem_of(error))
        return False
    bound.debug("outbox.done")
    return True


def pause_after(attempts: int) -> timedelta:
    """Time until the next attempt: 2, 4, 8 … seconds, at most an hour, a little spread so that a crowd does not return at once."""
    seconds = min(2.0**attempts, 3600.0)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 - no secret


def problem_of(error: Exception) -> str:
    """*error* in one line for logs and administrators: of the database's errors neither the statement nor its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:500]


def _begin(letter: Letter, token: str) -> bool:
    """Count that *letter*, lost before, is begun again; False when another worker has it or it was begun too often and is dead now."""
    problem = f"WorkerLost: begun {letter.starts} times, each time its worker ended before it did"
    if letter.starts >= MAX_STARTS:
        if _failed(letter, token, problem, 0):
            log.warning("outbox.dead", handler=letter.handler, key=letter.key, error=problem)
        return False
    values = {"id": letter.id, "token": token, "error": problem, "pause": pause_after(letter.starts + 1)}
    with unrestricted("outbox: count a start") as s:
        return s.execute(_BEGIN, values).one_or_none() is not None


def _failed(letter: Letter, token: str, problem: str, most: int, waits: timedelta | None = None) -> bool:
    """Record that *letter* failed, for good if that was the attempt number *most*; True when it is dead now.

    *waits*: its receiver is away; it is tried again after that time, and the attempt does not count.
    """
    pause = pause_after(letter.attempts + 1) if waits is None else waits
    values = {"id": letter.id, "token": token, "error": problem, "pause": pause, "most": most, "counted": int(waits is None)}
    with unrestricted("outbox: record a failure") as s:
        row = s.execute(_FAILED, values).one_or_none()
        dead = row is not None and row.dead_at is not None
        if row is not None and letter.handler in _failures:
            _failures[letter.handler](letter.payload, problem, dead)
    return dead


def resend(ids: list[int]) -> int:
    """Let dead letters *ids* be tried again, now.  Returns how many there were."""
    with unrestricted("outbox: send dead letters again") as s:
        done = s.execute(
            text(
                """update kernel_outbox set dead_at = null, attempts = 0, available_at = clock_timestamp()
                   where id = any(:ids) and dead_at is not null returning id"""
            ),
            {"ids": ids},
        ).all()
        after_commit(broker.ring)
    return len(done)


@dataclass(frozen=True)
class Backlog:
    """How the outbox stands: for health, metrics and the administration page."""

    waiting: int
    failing: int
    dead: int
    oldest_seconds: float


def backlog() -> Backlog:
    """Counts over the open rows; call it inside `unrestricted`."""
    row = (
        session()
        .execute(
            text(
                """select count(*) filter (where dead_at is null and available_at <= now()),
                      count(*) filter (where dead_at is null and last_error is not null), count(*) filter (where dead_at is not null),
                      coalesce(extract(epoch from now() - min(available_at) filter (where dead_at is null and available_at <= now())), 0)
               from kernel_outbox where done_at is null"""
            )
        )
        .one()
    )
    return Backlog(row[0], row[1], row[2], float(row[3]))


def purge() -> int:
    """Forget rows done longer than `KEEP_DONE` ago.  Runs inside `unrestricted`."""
    done = session().execute(text("delete from kernel_outbox where done_at < :before returning id"), {"before": calendar.now() - KEEP_DONE})
    return len(done.all())
