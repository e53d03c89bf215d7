"""A running portal: the real server with two processes, on a clone of a database with the sample company."""

import hashlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import requests
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from tests.conftest import SECRET
from tests.factories import databases
from tests.factories.around import free_port

PROJECT = Path(__file__).parents[2]
RESULTS = PROJECT / "test-results"
COOKIE = "shuniu"
# The sample company's story ends today, which counts as a working day whatever the calendar says.
PREPARE = """
from portal.app import create_app
from portal.commands import database
from portal.kernel.calendar import today
from portal.kernel.company import WorkingDay
from portal.kernel.db import unrestricted
from portal.kernel.settings import settings

app = create_app()
database.migrate_schema(app, settings())
with app.app_context(), unrestricted("tests: today is a working day") as s:
    s.add(WorkingDay(day=today(), working=True, name="test"))
assert database.load_sample(app)
"""


class SampleDatabase(databases.Database):
    """A database with the sample company; the run's template of it is made once."""

    def __init__(self, worker: str) -> None:
        super().__init__(worker, prepare)
        self.name, self.template = f"{self.name}_sample", f"{self.template}_sample"


def environment(database: databases.Database, **more: str) -> dict[str, str]:
    """Environment of a portal process on *database*; *more* are settings by name."""
    env = {k: v for k, v in os.environ.items() if k != "DATABASE_URL" and (not k.startswith("SHUNIU_") or k.startswith("SHUNIU_TEST_"))}
    chosen = {
        "database_url": database.url("SHUNIU_TEST_PG_APP_URL"),
        "worker_database_url": database.url("SHUNIU_TEST_PG_WORKER_URL"),
        "owner_database_url": database.url("SHUNIU_TEST_PG_OWNER_URL"),
        "secret_key": SECRET,
        "oidc_issuer": os.environ.get("SHUNIU_TEST_OIDC_ISSUER", "http://127.0.0.1:8001/realms/shuniu"),
        "oidc_client_secret": os.environ.get("SHUNIU_TEST_OIDC_CLIENT_SECRET", "unused"),
        "log_level": "WARNING",
        **more,
    }
    return env | {f"SHUNIU_{name.upper()}": value for name, value in chosen.items()} | {"PYTHONUNBUFFERED": "1"}


def prepare(database: databases.Database) -> None:
    """Migrate *database* and load the sample company."""
    subprocess.run([sys.executable, "-c", PREPARE], env=environment(database), cwd=PROJECT, check=True, timeout=300)


@dataclass
class Portal:
    """The portal at *url*. Its tables are open to the test past all rules."""

    url: str
    database: SampleDatabase
    tokens: dict[str, str] = field(default_factory=dict)

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement; none for one that gives none."""
        with psycopg.connect(self.database.super_dsn(), autocommit=True) as conn:
            done = conn.execute(statement, values)  # type: ignore[arg-type]
            return list(done.fetchall()) if done.description else []

    def value(self, statement: str, *values: Any) -> Any:
        """The first value; None without rows."""
        rows = self.sql(statement, *values)
        return rows[0][0] if rows else None

    def user_id(self, username: str) -> int:
        """Number of a person."""
        return int(self.value("select id from ab_user where username = %s", username))

    def name(self, username: str) -> str:
        """The name a person is shown by."""
        return str(self.value("select name from hr_employee where user_id = %s", self.user_id(username)))

    def cookie(self, username: str) -> dict[str, Any]:
        """The cookie of a living session of the person: as after signing in, without the way through Keycloak."""
        if username not in self.tokens:
            self.tokens[username] = secrets.token_urlsafe(32)
            self.sql(
                "insert into security_session (token_hash, user_id, kind, expires_at)"
                " values (%s, %s, 'browser', now() + interval '2 hours')",
                hashlib.sha256(self.tokens[username].encode()).hexdigest(), self.user_id(username),
            )  # fmt: skip
        signer = Flask("cookie")
        signer.secret_key = SECRET
        serializer = SecureCookieSessionInterface().get_signing_serializer(signer)
        assert serializer is not None
        return {"name": COOKIE, "value": serializer.dumps({"sid": self.tokens[username]}), "url": self.url}


@contextmanager
def running(database: SampleDatabase, port: int | None = None) -> Iterator[Portal]:
    """Serve *database* until the end of the block."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"portal-{database.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "portal.cli", "serve"],
            env=environment(database, public_url=url, port=str(port)), cwd=PROJECT, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _until_ready(url, process)
            yield Portal(url, database)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with its children, without waiting for idle connections
            process.wait()


def _until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert process.poll() is None, f"the portal ended with {process.returncode}; see test-results/"
        try:
            if requests.get(f"{url}/health/live", timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise AssertionError("the portal does not answer")


def report_of(portal: Portal, username: str, day: str) -> list[tuple[Any, ...]]:
    """Lines of the person's report on *day*: place, hours, state, what was done; in order."""
    return portal.sql(
        """select coalesce(l.project_label, l.category), l.hours, l.state, t.done
             from dailyreport_line l join dailyreport_line_text t on t.line_id = l.id
            where l.author_id = %s and l.day = %s and l.archived_at is null order by l.position, l.id""",
        portal.user_id(username), day,
    )  # fmt: skip


def forget_day(portal: Portal, username: str, day: str) -> None:
    """As if the person had not written anything on *day* yet."""
    author = portal.user_id(username)
    for statement in (
        "delete from dailyreport_line_text where line_id in (select id from dailyreport_line where author_id = %s and day = %s)",
        "delete from dailyreport_line where author_id = %s and day = %s",
        "delete from dailyreport_like where report_id in (select id from dailyreport_report where author_id = %s and day = %s)",
        "delete from dailyreport_comment where report_id in (select id from dailyreport_report where author_id = %s and day = %s)",
        "delete from dailyreport_report where author_id = %s and day = %s",
        "delete from dailyreport_draft where author_id = %s and day = %s",
    ):
        portal.sql(statement, author, day)


def today(portal: Portal) -> str:
    """The company's day."""
    return str(portal.value("select (now() at time zone 'Asia/Shanghai')::date"))
