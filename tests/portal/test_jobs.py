"""Jobs: due times in the company's zone, on working days, each run once, also after the scheduler was away."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from portal.kernel import calendar, jobs, outbox
from portal.kernel.calendar import WorkingCalendar, freeze
from portal.kernel.db import unrestricted

ran: list[tuple[str, datetime | None]] = []


@jobs.job("30 17 * * *", workdays_only=True, name="test.evening")
def evening(due: datetime) -> None:
    ran.append(("evening", due))


@jobs.job("0 * * * *", name="test.hourly", each=True, catch_up=timedelta(hours=3))
def hourly() -> None:
    ran.append(("hourly", None))


@pytest.fixture(autouse=True)
def only_ours(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ran.clear()
    mine = {name: one for name, one in jobs._jobs.items() if name.startswith("test.")}
    monkeypatch.setattr(jobs, "_jobs", mine)
    with app.app_context():
        with unrestricted("test") as s:
            s.execute(text("delete from kernel_outbox; delete from kernel_job_run; delete from kernel_working_day"))
        yield


def shanghai(day: date, hour: int, minute: int = 0) -> datetime:
    return calendar.moment(day, hour, minute)


def at(moment: datetime) -> list[Any]:
    """Tick at *moment*, work, and tell what ran."""
    ran.clear()
    with freeze(moment):
        jobs.tick()
    outbox.drain()
    return list(ran)


def evenings(moment: datetime) -> list[datetime | None]:
    return [due for name, due in at(moment) if name == "evening"]


WEDNESDAY = date(2026, 3, 18)


@pytest.mark.req("ALR-09", part="schedule")
def test_due_in_the_companys_zone_and_once() -> None:
    assert evenings(shanghai(WEDNESDAY, 17, 29)) == []
    assert evenings(shanghai(WEDNESDAY, 17, 30)) == [datetime(2026, 3, 18, 9, 30, tzinfo=UTC)]
    assert evenings(shanghai(WEDNESDAY, 17, 31)) == []
    assert evenings(shanghai(WEDNESDAY, 23)) == []


@pytest.mark.req("ALL-02", part="jobs")
def test_on_working_days_only_make_up_saturdays_included() -> None:
    assert evenings(shanghai(date(2026, 3, 21), 18)) == [], "an ordinary Saturday"
    assert len(evenings(shanghai(date(2026, 2, 14), 18))) == 1, "a make-up Saturday"
    assert evenings(shanghai(date(2026, 10, 1), 18)) == [], "a public holiday"
    with unrestricted("test") as s:
        s.execute(text("insert into kernel_working_day (day, working) values ('2026-03-21', true), ('2026-03-20', false)"))
    assert len(evenings(shanghai(date(2026, 3, 21), 19))) == 1, "the company works that Saturday"
    assert evenings(shanghai(date(2026, 3, 20), 19)) == [], "and rests that Friday"


@pytest.mark.req("ALR-09", part="catch-up")
def test_a_missed_time_is_caught_up_once_if_it_is_not_too_old() -> None:
    assert len(evenings(shanghai(WEDNESDAY, 23, 0))) == 1
    assert evenings(shanghai(WEDNESDAY + timedelta(days=2), 8)) == [], "Thursday's is too old on Friday morning"
    times = [name for name, _ in at(shanghai(WEDNESDAY + timedelta(days=5), 12, 10))]
    assert times.count("hourly") == 3, "each missed hour within the catch-up time"


@pytest.mark.req("ALR-09", part="once")
def test_two_schedulers_start_nothing_twice(app: Flask) -> None:
    started: list[int] = []

    def scheduler() -> None:
        with app.app_context():
            started.append(jobs.tick())

    with freeze(shanghai(WEDNESDAY, 18)):
        threads = [threading.Thread(target=scheduler) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    outbox.drain()
    assert [name for name, _ in ran].count("evening") == 1 and sum(started) == len(ran)


def test_a_failed_run_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fragile() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("not yet")

    jobs.job("0 12 * * *", name="test.fragile")(fragile)
    at(shanghai(WEDNESDAY, 12, 1))
    with unrestricted("test") as s:
        s.execute(text("update kernel_outbox set available_at = now()"))
    outbox.drain()
    assert len(calls) == 2
    with unrestricted("test") as s:
        assert s.scalar(text("select count(*) from kernel_job_run where job = 'test.fragile' and finished_at is not null")) == 1


def test_states_and_running_now() -> None:
    with freeze(shanghai(WEDNESDAY, 18)):
        jobs.run_now("test.evening")
        with unrestricted("test"):
            states = {state.job.name: state for state in jobs.states()}
    outbox.drain()
    assert ran == [("evening", shanghai(WEDNESDAY, 18))]
    assert states["test.evening"].next_due == shanghai(WEDNESDAY + timedelta(days=1), 17, 30)
    friday = jobs._jobs["test.evening"].next_due(shanghai(date(2026, 3, 20), 18), WorkingCalendar())
    assert friday == shanghai(date(2026, 3, 23), 17, 30)


@pytest.mark.parametrize("cron", ["* * *", "61 * * * *", "0 0 * * * *"])
def test_a_wrong_cron_expression_stops_the_start(cron: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        jobs.job(cron)
