"""Jobs: work due at certain times, in the company's zone, on working days if wanted.

The scheduler only writes outbox rows: at each tick it asks which due times have passed and are not in `kernel_job_run`, notes
them there and enqueues them, in one transaction.  The unique key (job, due time) makes each due time run once, however many
schedulers there are and however often they are killed.  docs/adr/0020-outbox-and-jobs.md
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from croniter import croniter
from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Table, Text, func, text

from portal.kernel import calendar, outbox
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import Base, session, unrestricted
from portal.kernel.i18n import _l
from portal.kernel.outbox import handler

__all__ = ["Job", "all_jobs", "handler", "job", "run_now", "tick"]

log = structlog.get_logger(__name__)
CATCH_UP = timedelta(hours=6)

job_run = Table(
    "kernel_job_run",
    Base.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job", Text, nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("noticed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Index("kernel_job_run_once", "job", "due_at", unique=True),
    info={"grants": {"worker": "select, insert, update, delete"}},
)


@dataclass(frozen=True)
class Job:
    """A function with its times.  *catch_up* is how late a missed time may still be run; *each*: every missed one, not the last only."""

    name: str
    function: Callable[..., None]
    cron: str
    workdays_only: bool = False
    catch_up: timedelta = CATCH_UP
    each: bool = False
    label: Any = ""

    def due_between(self, after: datetime, until: datetime, worked: WorkingCalendar) -> Iterator[datetime]:
        """Due times in (*after*, *until*], as UTC, the latest first."""
        times = croniter(self.cron, calendar.local(until + timedelta(seconds=1)))
        while True:
            due = times.get_prev(datetime).replace(microsecond=0)
            if due <= after:
                return
            if due <= until and not (self.workdays_only and not worked.is_workday(due.date())):
                yield due.astimezone(UTC)

    def next_due(self, after: datetime, worked: WorkingCalendar) -> datetime | None:
        """The first due time later than *after*, as UTC; None when there is none within two years."""
        times = croniter(self.cron, calendar.local(after))
        for _ in range(1000):
            due: datetime = times.get_next(datetime)
            if due - after > timedelta(days=730):
                return None
            if not self.workdays_only or worked.is_workday(due.date()):
                return due.astimezone(UTC)
        return None


_jobs: dict[str, Job] = {}


def job(
    cron: str, *, workdays_only: bool = False, catch_up: timedelta = CATCH_UP, each: bool = False, name: str = "", label: Any = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run the decorated function at the times of *cron* (minute hour day month weekday, company zone).

    *workdays_only*: on working days by the company's calendar, make-up Saturdays included.  When the scheduler was away the last
    missed time is run if it is not older than *catch_up* (*each*: all of them); older ones are left out.
    The function runs inside `unrestricted`; it may take `due`, the aware time it was meant for.
    """
    if not croniter.is_valid(cron) or len(cron.split()) != 5:
        raise ValueError(f"not a cron expression: {cron}")

    def register(function: Callable[..., None]) -> Callable[..., None]:
        made = Job(name or f"{function.__module__}.{function.__qualname__}", function, cron, workdays_only, catch_up, each, label)
        _jobs[made.name] = made
        return function

    return register


def all_jobs() -> list[Job]:
    """Every registered job, by name."""
    return [_jobs[name] for name in sorted(_jobs)]


_LAST = text("select job, max(due_at) from kernel_job_run group by job")
_NOTE = text("insert into kernel_job_run (job, due_at) values (:job, :due) on conflict (job, due_at) do nothing returning id")


def tick() -> int:
    """Enqueue what is due and not done; returns how many runs.  Needs an application context."""
    started = 0
    with unrestricted("scheduler: what is due and not done") as s:
        worked, until = WorkingCalendar.load(), calendar.now()
        last = dict(s.execute(_LAST).tuples().all())
        for one in all_jobs():
            oldest = max(last.get(one.name, until - one.catch_up), until - one.catch_up)
            due_times = list(one.due_between(oldest, until, worked))
            for due in reversed(due_times if one.each else due_times[:1]):
                started += _start(one, due)
    return started


def _start(one: Job, due: datetime) -> bool:
    if session().execute(_NOTE, {"job": one.name, "due": due}).scalar() is None:
        return False
    outbox.enqueue("job", {"name": one.name, "due": due.isoformat()}, key=f"job:{one.name}:{due.isoformat()}")
    log.info("job.due", job=one.name, due=due.isoformat())
    return True


def run_now(name: str) -> datetime:
    """Enqueue job *name* outside of its times, e.g. from the administration page.  Raises KeyError for an unknown one."""
    due = calendar.now()
    with unrestricted("administration: run a job now"):
        _start(_jobs[name], due)
    return due


@outbox.handler("job")
def _run(name: str, due: str) -> None:
    one = _jobs.get(name)
    if one is None:
        raise LookupError(f"no job {name}")
    moment = datetime.fromisoformat(due)
    begun = calendar.now()
    wanted = {"due": moment} if "due" in inspect.signature(one.function).parameters else {}
    one.function(**wanted)
    session().execute(
        text("update kernel_job_run set started_at = :begun, finished_at = clock_timestamp() where job = :job and due_at = :due"),
        {"begun": begun, "job": name, "due": moment},
    )


@dataclass(frozen=True)
class JobState:
    """A job as the administration page shows it."""

    job: Job
    last_due: datetime | None
    last_finished: datetime | None
    next_due: datetime | None


def states() -> list[JobState]:
    """Every job with its last run and next due time; call it inside `unrestricted`."""
    rows = session().execute(text("select distinct on (job) job, due_at, finished_at from kernel_job_run order by job, due_at desc")).all()
    last = {row.job: row for row in rows}
    worked, now = WorkingCalendar.load(), calendar.now()
    return [
        JobState(
            one,
            last[one.name].due_at if one.name in last else None,
            last[one.name].finished_at if one.name in last else None,
            one.next_due(now, worked),
        )
        for one in all_jobs()
    ]


@job("20 3 * * *", catch_up=timedelta(days=2), name="kernel.forget_old_work", label=_l("Clear finished work"))
def forget_old_work() -> None:
    """Remove outbox rows and job runs nobody needs any more."""
    outbox.purge()
    session().execute(text("delete from kernel_job_run where due_at < :before"), {"before": calendar.now() - timedelta(days=400)})
