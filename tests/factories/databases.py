"""The databases a test run makes for itself.

One template database per run: migrated, with the invented company in it. Every process of the run works in a clone of its own,
made anew for every test module.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tests.factories.servers import needed

RUN = "SHUNIU_TEST_RUN"
PREFIX = "shuniu_test_"


def dsn(url: URL) -> str:
    """*url* for psycopg itself."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class Database:
    """The database of this process: a clone of the run's template."""

    def __init__(self, worker: str, make: Callable[["Database"], None]) -> None:
        self.run = os.environ[RUN]
        self.name = f"{PREFIX}{self.run}_{worker}"
        self.template = f"{PREFIX}{self.run}_template"
        self.super_server = make_url(needed("SHUNIU_TEST_PG_SUPER_URL", "PostgreSQL"))
        self.make = make
        self.generation = 0

    def url(self, variable_name: str) -> str:
        """The address of this database for the role whose address of the server's first database is in *variable_name*."""
        return make_url(needed(variable_name, "PostgreSQL")).set(database=self.name).render_as_string(hide_password=False)

    def super_dsn(self, database: str | None = None) -> str:
        """libpq address of this (or another) database for the superuser."""
        return dsn(self.super_server.set(database=database or self.name))

    @contextmanager
    def server(self) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        with psycopg.connect(dsn(self.super_server), autocommit=True) as conn:
            yield conn

    def renew(self, disconnect: Callable[[], None] = lambda: None) -> None:
        """Make this database as the template is; the first process of the run makes the template."""
        disconnect()
        self.generation += 1
        with self._lock(), self.server() as conn:
            if not conn.execute("select 1 from pg_database where datname = %s", [self.template]).fetchone():
                self._create(conn, self.name, "template0")
                with psycopg.connect(self.super_dsn(), autocommit=True) as inside:
                    inside.execute("create extension if not exists pg_trgm")
                    inside.execute("revoke all on schema public from public; grant all on schema public to shuniu_owner")
                    inside.execute("grant usage on schema public to app_login, worker_login")
                self.make(self)
                disconnect()
                self._create(conn, self.template, self.name)
                return
        with self.server() as conn:
            self._create(conn, self.name, self.template)

    @staticmethod
    def _create(conn: psycopg.Connection[tuple[object, ...]], name: str, template: str) -> None:
        conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        # copying files instead of logging pages: the servers of tests keep nothing through a crash anyway
        statement = sql.SQL("create database {} owner shuniu_owner template {} strategy file_copy")
        conn.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (Path(tempfile.gettempdir()) / f"{PREFIX}{self.run}.lock").open("w") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            yield


def drop_all(run: str) -> None:
    """Drop every database of the run, when the last process is done."""
    address = os.environ.get("SHUNIU_TEST_PG_SUPER_URL")
    if not address:
        return
    with psycopg.connect(dsn(make_url(address)), autocommit=True) as conn:
        for (name,) in conn.execute("select datname from pg_database where datname like %s", [f"{PREFIX}{run}\\_%"]).fetchall():
            conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(str(name))))
    (Path(tempfile.gettempdir()) / f"{PREFIX}{run}.lock").unlink(missing_ok=True)
