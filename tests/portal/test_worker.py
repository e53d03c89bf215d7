"""Workers, scheduler and doorbell as real processes on a real Redis: nothing is lost when any of them is killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings
from portal.kernel import broker, outbox, worker
from portal.kernel import settings as active
from portal.kernel.db import unrestricted
from tests.factories.around import free_port
from tests.factories.servers import needed

heard: list[Any] = []


@outbox.handler("test.heard")
def hear(value: Any) -> None:
    heard.append((value, time.monotonic()))


class Redis:
    """A Redis server of its own that keeps nothing, to be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        program = os.environ.get("SHUNIU_TEST_REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")
        self.program = program or needed("SHUNIU_TEST_REDIS_SERVER", "a Redis server program")
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self.process = subprocess.Popen([self.program, *options], stdout=subprocess.DEVNULL)
        until(lambda: self.answers(), 10, "Redis answers")

    def answers(self) -> bool:
        import redis

        try:
            return bool(redis.Redis(port=self.port, socket_connect_timeout=0.5).ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def clean(app: Flask) -> Iterator[None]:
    heard.clear()
    with app.app_context(), unrestricted("test") as s:
        s.execute(text("delete from kernel_outbox"))
    yield
    worker.stop_inside()
    broker.forget()


def gone(pid: int) -> bool:
    """Whether the process ended."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True


def put(app: Flask, value: Any) -> None:
    with app.app_context(), unrestricted("test"):
        outbox.enqueue("test.heard", {"value": value}, key=f"test:{value}")


@contextmanager
def ringing(settings: Settings, url: str | None) -> Iterator[None]:
    active.use(settings.model_copy(update={"redis_url": url}))
    broker.forget()
    try:
        yield
    finally:
        active.use(settings)
        broker.forget()


# ------------------------------------------------------------------ doorbell
@pytest.mark.req("ALR-09", part="with Redis")
@pytest.mark.redis
def test_the_doorbell_wakes_a_worker_at_once(app: Flask, settings: Settings, redis_server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL", 3600.0)
    with ringing(settings, redis_server.url):
        drainer = worker.Drainer(app, 2)
        drainer.start()
        try:
            time.sleep(1.0)
            put(app, 1)
            until(lambda: heard, 2, "the doorbell was answered")
        finally:
            drainer.stop(5)


@pytest.mark.req("ALR-06", part="Redis lost")
@pytest.mark.redis
def test_without_redis_at_hand_nobody_waits_and_nothing_is_lost(app: Flask, settings: Settings, redis_server: Redis) -> None:
    with ringing(settings, redis_server.url):
        drainer = worker.Drainer(app, 2)
        drainer.start()
        try:
            redis_server.kill()
            begun = time.monotonic()
            for n in range(20):
                put(app, n)
            assert time.monotonic() - begun < 2, "enqueuing does not wait for Redis"
            until(lambda: len(heard) == 20, 10, "the worker looks by itself")
            redis_server.start()
            put(app, "after")
            until(lambda: heard[-1][0] == "after", 10, "and goes on when Redis is back")
        finally:
            drainer.stop(5)
    assert len(heard) == 21


@pytest.mark.req("ALR-09", part="without Redis")
def test_without_redis_the_same_work_is_done_in_this_process(app: Flask) -> None:
    worker.start_inside(app, scheduler=False)
    put(app, 1)
    until(lambda: heard, 5, "a thread of this process did it")
    worker.start_inside(app, scheduler=False)
    put(app, 2)
    until(lambda: len(heard) == 2, 5, "started once only")
    worker.stop_inside()


def test_a_process_that_does_no_work_itself_does_not_collect_rings(app: Flask) -> None:
    for n in range(5):
        put(app, n)
    time.sleep(0.3)
    queues = broker.current().queues  # type: ignore[attr-defined]
    assert all(queue.qsize() == 0 for queue in queues.values())


# ------------------------------------------------------------------ scheduler
@pytest.mark.req("ALR-09", part="single leader")
def test_one_of_two_schedulers_leads_and_the_other_takes_over(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: Counter[str] = Counter()
    monkeypatch.setattr(worker, "TICK", 0.2)
    first, second = worker.Scheduler(app), worker.Scheduler(app)
    names = {first._thread: "first", second._thread: "second"}
    import threading

    monkeypatch.setattr(worker.jobs, "tick", lambda: ticks.update([names[threading.current_thread()]]))
    first.start()
    until(lambda: ticks["first"] > 1, 10, "the first leads")
    second.start()
    time.sleep(1.0)
    assert ticks["second"] == 0
    first.stop()
    until(lambda: ticks["second"] > 1, 10, "the second takes over")
    second.stop()


# ------------------------------------------------------------------ processes that are killed
class Workers:
    """The supervisor with its children, as `run.py worker` starts them."""

    def __init__(self, settings: Settings, redis_url: str | None, count: int, log: Path, **more: str) -> None:
        environment = {
            **os.environ,
            "SHUNIU_DATABASE_URL": settings.database_url,
            "SHUNIU_WORKER_DATABASE_URL": settings.worker_database_url,
            "SHUNIU_SECRET_KEY": settings.secret_key,
            "SHUNIU_LOG_LEVEL": "INFO",
            **({"SHUNIU_REDIS_URL": redis_url} if redis_url else {}),
            **more,
        }
        environment.pop("DATABASE_URL", None)
        command = [sys.executable, "-m", "tests.portal.soak_worker", "supervise", str(count)]
        root = Path(__file__).resolve().parents[2]
        self.log = log.open("wb")
        self.process = subprocess.Popen(command, env=environment, cwd=root, stdout=self.log, stderr=subprocess.STDOUT)

    def children(self) -> list[int]:
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
        return found

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(40)
        finally:
            self.process.kill()
            self.log.close()


@pytest.fixture
def effects(app: Flask, superuser: Any) -> Iterator[None]:
    superuser.execute("create table if not exists soak_effect (n int); truncate soak_effect; grant select, insert on soak_effect to worker")
    yield
    superuser.execute("drop table soak_effect")


@pytest.mark.req("ALR-06", part="worker killed")
@pytest.mark.redis
@pytest.mark.skipif(sys.platform != "linux", reason="finds the children in /proc, which Linux has")
def test_reminders_survive_killed_workers_and_killed_redis(
    app: Flask,
    settings: Settings,
    superuser: Any,
    effects: None,
    redis_server: Redis,
    smtp: SimpleNamespace,
    user_id: Callable[[str], int],
    depth: Callable[[int, int], int],
    tmp_path: Path,
) -> None:
    """Every reminder is done exactly once in the portal and mailed at least once, always under the same message id."""
    count, receiver = depth(500, 10_000), user_id("sales.liu")
    dice, kills = random.Random(7), Counter[str]()
    mail = {"SHUNIU_SMTP_HOST": smtp.host, "SHUNIU_SMTP_PORT": str(smtp.port)}
    log = tmp_path / "workers.log"
    workers = Workers(settings, redis_server.url, 2, log, **mail)
    enqueued = 0

    def one(sql: str) -> Any:
        return superuser.execute(sql).fetchone()[0]

    def kill_something() -> None:
        if dice.random() < 0.3:
            redis_server.kill()
            time.sleep(dice.uniform(0.1, 1.5))
            redis_server.start()
            kills["redis"] += 1
        elif children := workers.children():
            os.kill(dice.choice(children), signal.SIGKILL)
            kills["worker"] += 1

    with ringing(settings, redis_server.url):
        try:
            until(lambda: len(workers.children()) == 2, 60, "two workers run")
            next_kill = time.monotonic() + 6
            while enqueued < count:
                with app.app_context(), unrestricted("test"):
                    for n in range(enqueued, min(enqueued + max(25, count // 100), count)):
                        outbox.enqueue("soak.remind", {"n": n, "receiver": receiver}, key=f"soak:{n}")
                enqueued = min(enqueued + max(25, count // 100), count)
                time.sleep(0.5)
                if time.monotonic() > next_kill:
                    kill_something()
                    next_kill = time.monotonic() + dice.uniform(2, 5)
            for _ in range(3):
                time.sleep(dice.uniform(1, 3))
                kill_something()
            open_rows = "select count(*) from kernel_outbox where done_at is null"
            until(lambda: one(open_rows) == 0, 120 + count / 20, f"everything is done; {one(open_rows)} open")
        finally:
            status = workers.stop()
    print(f"{count} reminders, {dict(kills)} killed, {len(smtp.messages)} mails")
    assert status == 0 and kills["worker"] >= 3
    done = Counter(n for (n,) in superuser.execute("select n from soak_effect"))
    assert len(done) == count, "lost"
    assert max(done.values()) == 1, "done twice"
    assert one("select count(*) from notify_notice where kind = 'soak.reminder'") == count
    sent = (
        "select count(*) from notify_delivery d join notify_notice n on n.id = d.notice_id where n.key like 'soak:%' and d.state = 'sent'"
    )
    assert one(sent) == count
    mails = Counter(message["Message-ID"] for message in smtp.messages)
    assert len(mails) == count, "every mail arrived"
    assert one("select count(*) from kernel_outbox where dead_at is not null") == 0


@pytest.mark.req("ALR-06", part="worker killed by its work")
@pytest.mark.skipif(sys.platform != "linux", reason="finds the children in /proc, which Linux has")
def test_work_that_ends_its_worker_is_given_up_and_all_other_work_is_done(
    app: Flask, settings: Settings, superuser: Any, effects: None, tmp_path: Path
) -> None:
    with app.app_context(), unrestricted("test"):
        outbox.enqueue("soak.deadly", {"n": 0}, key="deadly")
        for n in range(1, 25):
            outbox.enqueue("soak.trace", {"n": n}, key=f"trace:{n}")
    log = tmp_path / "workers.log"
    workers = Workers(settings, None, 1, log, SOAK_QUICK="1")

    def done() -> list[int]:
        return [n for (n,) in superuser.execute("select n from soak_effect order by n")]

    def letter() -> Any:
        return superuser.execute("select dead_at, starts, last_error from kernel_outbox where key = 'deadly'").fetchone()

    try:
        until(lambda: len(done()) >= 24, 90, "the work beside it is done")
        until(lambda: letter()[0] is not None, 90, "the deadly letter is given up")
        until(workers.children, 20, "a worker runs")
        assert not gone(workers.children()[0])
    finally:
        workers.stop()
    assert done() == list(range(1, 25)), "each once, and nothing of what killed its worker"
    assert letter()[2] == "WorkerLost: begun 3 times, each time its worker ended before it did"
    assert log.read_text(errors="replace").count("child_ended") == 4, "the first start and three that were counted"


@pytest.mark.req("ALR-09", part="supervision")
@pytest.mark.skipif(sys.platform != "linux", reason="finds the children in /proc, which Linux has")
def test_a_killed_worker_is_replaced_and_children_end_with_their_supervisor(app: Flask, settings: Settings, tmp_path: Path) -> None:
    workers = Workers(settings, None, 1, tmp_path / "workers.log")
    try:
        until(workers.children, 60, "a worker runs")
        (first,) = workers.children()
        os.kill(first, signal.SIGKILL)
        until(lambda: workers.children() not in ([], [first]), 20, "another one took its place")
        (second,) = workers.children()
        workers.process.kill()
        workers.process.wait()
        until(lambda: gone(second), 60, "the orphan ends by itself")
    finally:
        workers.process.kill()
        workers.log.close()
