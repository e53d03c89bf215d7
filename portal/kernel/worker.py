"""Running the outbox: worker processes, the scheduler, their supervision, and all of it in one process when there is no Redis.

`run_worker` supervises child processes, since a dramatiq worker whose process is killed does not come back by itself.  Each child
answers the doorbell and looks into the outbox every few seconds anyway.  `run_scheduler` is the same with one child that ticks
while it holds the leader's lock.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import dramatiq
import structlog
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from portal.kernel import broker, jobs, outbox
from portal.kernel.settings import settings

log = structlog.get_logger(__name__)

POLL = 2.0
"""Seconds between looks into the outbox when nobody rings."""
TICK = 5.0
"""Seconds between two ticks of the scheduler."""
_SUPERVISOR = "PORTAL_SUPERVISOR_PID"  # told to the children: it may be gone before they can look
_LEADER = 7_201_604_001  # key of the advisory lock; any number nobody else uses


class Drainer:
    """Drains the outbox in this process: at each ring and every `POLL` seconds."""

    def __init__(self, app: Flask, threads: int) -> None:
        self._app = app
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._busy = threading.Semaphore(threads)
        self._actor = broker.actor(self._rung)
        self._worker = dramatiq.Worker(broker.current(), worker_threads=threads, worker_timeout=500)
        self._poller = threading.Thread(target=self._poll, name="outbox-poll", daemon=True)

    def start(self) -> None:
        """Begin; returns at once.  Works, slower, while Redis cannot be reached."""
        self._worker.start()
        self._poller.start()

    def stop(self, seconds: float = 20.0) -> None:
        """Finish the rows at hand, take no more."""
        self._stop.set()
        self._wake.set()
        self._poller.join(seconds)
        self._worker.stop(timeout=int(seconds * 1000))

    def _rung(self) -> None:
        self._look()

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._wake.wait(POLL)
            self._wake.clear()

    def _look(self) -> None:
        with self._busy, self._app.app_context():
            try:
                outbox.drain(stopping=self._stop.is_set)
            except DBAPIError as error:
                # the database is away: the rows wait for us there
                log.warning("outbox.unreachable", error=str(error.orig))
            except Exception:  # the last resort of this thread: whatever it is, the next look is taken
                log.exception("outbox.look_failed")


class Scheduler:
    """Ticks while it is the leader; any number may run, one works."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Give up the lead."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def run(self) -> None:
        """Run until stopped.  A lost database connection means a lost lead, which is asked for again."""
        while not self._stop.is_set():
            try:
                self._lead()
            except DBAPIError as error:
                log.warning("scheduler.database_lost", error=str(error.orig))
            except Exception:  # the last resort of this thread: whatever it is, the next tick comes
                log.exception("scheduler.tick_failed")
            self._stop.wait(TICK)

    def _lead(self) -> None:
        # a connection of its own that lives as long as the lead: the lock belongs to it
        engine = create_engine(settings().worker_database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as lock:
            if not lock.scalar(text("select pg_try_advisory_lock(:key)"), {"key": _LEADER}):
                return
            log.info("scheduler.leads", pid=os.getpid())
            while not self._stop.is_set():
                lock.execute(text("select 1"))
                with self._app.app_context():
                    jobs.tick()
                self._stop.wait(TICK)


_inside: tuple[int, Drainer, Scheduler] | None = None


def start_inside(app: Flask, *, scheduler: bool = True) -> None:
    """Without Redis: work the outbox and the jobs in threads of this process (ALR-09).  Once per process, after a fork again."""
    global _inside
    if _inside is not None and _inside[0] == os.getpid():
        return
    _inside = (os.getpid(), Drainer(app, 1), Scheduler(app))
    _inside[1].start()
    if scheduler:
        _inside[2].start()


def stop_inside() -> None:
    """Stop what `start_inside` started in this process."""
    global _inside
    if _inside is not None and _inside[0] == os.getpid():
        _inside[1].stop(5.0)
        _inside[2].stop(5.0)
    _inside = None


# ------------------------------------------------------------------ processes
def work(app: Flask) -> None:
    """One worker process, until SIGTERM or SIGINT."""
    drainer = Drainer(app, settings().worker_threads)
    drainer.start()
    _until_signal()
    drainer.stop()


def schedule(app: Flask) -> None:
    """One scheduler process, until SIGTERM or SIGINT."""
    scheduler = Scheduler(app)
    scheduler.start()
    _until_signal()
    scheduler.stop()


def _until_signal() -> None:
    asked = _Asked()
    parent = int(os.environ.get(_SUPERVISOR) or os.getppid())
    while not asked.to_stop and os.getppid() == parent:  # the supervisor died: so do we, another one will start its own
        time.sleep(0.2)


class _Asked:
    """Whether SIGTERM or SIGINT came.  A plain flag: setting an Event in a handler can wait for the very thread it interrupted."""

    def __init__(self) -> None:
        self.to_stop = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.to_stop = True


def run_worker(processes: int = 1, scheduler: bool = False) -> int:
    """Supervise *processes* workers (and a scheduler) until SIGTERM or SIGINT; returns the exit status."""
    return Supervisor(["worker"] * processes + (["scheduler"] if scheduler else [])).run()


def run_scheduler() -> int:
    """Supervise one scheduler until SIGTERM or SIGINT; returns the exit status."""
    return Supervisor(["scheduler"]).run()


class Supervisor:
    """Keeps child processes running: starts them again when they end, slower and slower while they end at once."""

    def __init__(self, roles: list[str], command: Callable[[str], list[str]] | None = None) -> None:
        self._roles = roles
        self._command = command or (lambda role: [sys.executable, "-m", "portal.kernel.worker", role])
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._started: dict[int, float] = {}
        self._pause: dict[int, float] = {}

    def run(self) -> int:
        """Until a signal asks to stop; then the children get 25 seconds to finish what they hold."""
        asked = _Asked()
        while not asked.to_stop:
            for slot, role in enumerate(self._roles):
                self._keep(slot, role)
            time.sleep(0.2)
        return self._end()

    def _keep(self, slot: int, role: str) -> None:
        child, now = self._children.get(slot), time.monotonic()
        if child is not None and child.poll() is None:
            return
        if child is not None:
            # one that was killed is started at once; one that fails by itself soon after its start has a lasting problem
            failing = child.returncode > 0 and now - self._started[slot] < 10
            self._pause[slot] = min(max(self._pause.get(slot, 0.0) * 2, 0.5), 30.0) if failing else 0.0
            log.warning("supervisor.child_ended", role=role, pid=child.pid, status=child.returncode, again_in=self._pause[slot])
            del self._children[slot]
            self._started[slot] = now
        if now - self._started.get(slot, -1e9) >= self._pause.get(slot, 0.0):
            self._children[slot] = subprocess.Popen(self._command(role), env={**os.environ, _SUPERVISOR: str(os.getpid())})
            self._started[slot] = now

    def _end(self) -> int:
        for child in self._children.values():
            child.terminate()
        until = time.monotonic() + 25
        for child in self._children.values():
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
        return 0


def main(arguments: list[str]) -> Any:
    """Entry of a child process: `python -m portal.kernel.worker worker|scheduler`."""
    import importlib

    # the kernel knows the application by name only: it lies above
    importlib.import_module("portal.web.logs").configure(settings().log_level)
    app = importlib.import_module("portal.app").create_app()
    return {"worker": work, "scheduler": schedule}[arguments[0]](app)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
