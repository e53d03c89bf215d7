"""The generated company: people, departments, projects and a great many report lines, written by the superuser past all triggers."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from flask import Flask
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from config import Settings


@dataclass(frozen=True)
class Size:
    """How large the company is; *lines* are report lines in all."""

    name: str
    people: int
    departments: int
    projects: int
    lines: int


SMALL = Size("small", 120, 21, 200, 60_000)
LARGE = Size("large", 500, 60, 2_000, 2_000_000)

PERSONS = {
    "sees nothing": 1,
    "one project": 2,
    "member": 3,
    "team head": 4,
    "division head": 5,
    "heads all": 6,
    "leader": 7,
    "HR": 8,
}
"""Whom is measured: their account is this many places after the ordinary people."""


class Database:
    """A database of its own on the server of the tests."""

    def __init__(self, size: Size, keep: bool) -> None:
        self.size = size
        self.keep = keep
        self.name = f"shuniu_bench_{size.name}"
        self.server = make_url(os.environ["SHUNIU_TEST_PG_SUPER_URL"])

    def url(self, variable: str) -> str:
        """The address of this database for the role of an environment variable."""
        return make_url(os.environ[variable]).set(database=self.name).render_as_string(hide_password=False)

    def connect(self, database: str | None = None) -> psycopg.Connection[tuple[object, ...]]:
        """A superuser's connection, autocommitting."""
        address: URL = self.server.set(database=database or self.name, drivername="postgresql")
        return psycopg.connect(address.render_as_string(hide_password=False), autocommit=True)

    def user(self, person: str) -> int:
        """The account of one of `PERSONS`."""
        return self.size.people + PERSONS[person]

    @contextmanager
    def ready(self) -> Iterator[Flask]:
        """The application on the filled database, which is dropped afterwards unless it is kept."""
        from portal.app import create_app

        settings = Settings(
            database_url=self.url("SHUNIU_TEST_PG_APP_URL"),
            worker_database_url=self.url("SHUNIU_TEST_PG_WORKER_URL"),
            owner_database_url=self.url("SHUNIU_TEST_PG_OWNER_URL"),
            redis_url=None,
            secret_key="bench" * 8,
            trusted_hosts=["localhost", "127.0.0.1"],
            log_level="ERROR",
        )
        app = create_app(settings)
        if not self._is_there():
            self._build(app, settings)
        try:
            yield app
        finally:
            self._disconnect(app)
            if not self.keep:
                self._drop()

    def _is_there(self) -> bool:
        with self.connect("postgres") as conn:
            found = conn.execute("select 1 from pg_database where datname = %s", [self.name]).fetchone()
        if found and self.keep:
            with self.connect() as conn:
                return conn.execute("select to_regclass('bench_ready')").fetchone() != (None,)
        return False

    def _drop(self) -> None:
        with self.connect("postgres") as conn:
            conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(self.name)))

    def _build(self, app: Flask, settings: Settings) -> None:
        from portal import schema

        self._drop()
        with self.connect("postgres") as conn:
            conn.execute(sql.SQL("create database {} owner shuniu_owner template template0").format(sql.Identifier(self.name)))
        with self.connect() as conn:
            conn.execute("create extension if not exists pg_trgm")
            conn.execute("revoke all on schema public from public; grant all on schema public to shuniu_owner")
            conn.execute("grant usage on schema public to app_login, worker_login")
        schema.migrate(app, settings)
        with self.connect() as conn:
            began = time.monotonic()
            fill(conn, self.size)
            print(f"{self.size.lines:,} lines generated in {time.monotonic() - began:.0f} s", file=sys.stderr)

    @staticmethod
    def _disconnect(app: Flask) -> None:
        from portal.kernel.db import db

        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()


PER_REPORT = 3
TABLES = (
    "hr_department", "hr_employee", "hr_employment", "hr_department_head", "project_domain", "project_role", "project_project",
    "project_member", "dailyreport_report", "dailyreport_line", "dailyreport_line_text",
)  # fmt: skip


def fill(conn: psycopg.Connection[tuple[object, ...]], size: Size) -> None:
    """Writes the company. Accounts 1…*people* are ordinary; those of `PERSONS` follow."""
    n, d, p = size.people, size.departments, size.projects
    reports = size.lines // PER_REPORT
    everybody = n + len(PERSONS)
    _nothing, one, member, team, division, root = (n + PERSONS[k] for k in list(PERSONS)[:6])
    busy = max(2, n // 6)  # so many of the people manage projects
    steps = [
        "set session_replication_role = replica",  # no triggers, no checks of foreign keys: minutes instead of hours
        "set jit = off",
        f"""insert into ab_user (id, username, first_name, last_name, email, active)
            select i, 'p' || i, 'P' || i, '王', 'p' || i || '@shuniu.example', true from generate_series(1, {everybody}) i""",
        f"""insert into ab_user_role (id, user_id, role_id)
            select nextval('ab_user_role_id_seq'), i, r.id from generate_series(1, {everybody}) i, ab_role r where r.name = 'employee'""",
        f"""insert into ab_user_role (id, user_id, role_id) select nextval('ab_user_role_id_seq'), x.u, r.id
            from (values ({n + PERSONS["leader"]}, 'leader'), ({n + PERSONS["HR"]}, 'hr')) x(u, k) join ab_role r on r.name = x.k""",
        # a tree of four children each: five levels at 500 people
        f"""insert into hr_department (id, code, name, parent_id) overriding system value
            select i, 'D' || i, 'Department ' || i, case when i > 1 then (i - 2) / 4 + 1 end from generate_series(1, {d}) i""",
        f"""insert into hr_employee (id, user_id, number, name, department_id, entity_id) overriding system value
            select i, i, 'E' || i, '王P' || i, case when i <= {n} then 2 + i % ({d} - 1) else 1 end, 1
            from generate_series(1, {everybody}) i""",
        f"""insert into hr_employment (id, employee_id, user_id, joined_on) overriding system value
            select i, i, i, current_date - 3000 from generate_series(1, {everybody}) i""",
        f"""insert into hr_department_head (department_id, user_id, kind, from_day)
            select x.d, x.u, 'head', current_date - 3000 from (values (1, {root}), (2, {division}), ({d}, {team})) x(d, u)""",
        f"""insert into project_domain (id, code, name, manager_id) overriding system value
            select i, 'M' || i, 'Domain ' || i, {busy} + i from generate_series(1, 10) i""",
        'insert into project_role (id, code, name) overriding system value values (1, \'DEV\', \'{"zh": "开发", "en": "Developer"}\')',
        f"""insert into project_project (id, name, number, state, domain_id, pm_id, starts_on, ends_on, entity_id) overriding system value
            select i, 'Project ' || i, 'XM-' || i, 'active', 1 + i % 10, case when i = 1 then {one} else 1 + i % {busy} end,
                   current_date - 3000, current_date + 1000, 1 from generate_series(1, {p}) i""",
        f"""insert into project_member (project_id, user_id, role_id, from_day)
            select i, 1 + (i * 7 + k * 31) % {n}, 1, current_date - 3000 from generate_series(1, {p}) i, generate_series(1, 4) k""",
        f"""insert into project_member (project_id, user_id, role_id, from_day)
            select i, {member}, 1, current_date - 3000 from generate_series(2, 6) i""",
        f"""insert into dailyreport_report (id, author_id, day, state, submitted_at, hours) overriding system value
            select i, 1 + i % {n}, current_date - i / {n} - 1, 'submitted', now(), 8 from generate_series(0, {reports - 1}) i""",
        f"""insert into dailyreport_line (id, report_id, author_id, day, project_id, project_label, category, hours, state, submitted_on)
            overriding system value
            select r.id * {PER_REPORT} + k, r.id, r.author_id, r.day, x.project, 'XM-' || x.project,
                   case when x.project is null then 'meeting' end, 2.5,
                   case when r.day > current_date - 5 then 'submitted' else 'confirmed' end, r.day
            from dailyreport_report r, generate_series(0, {PER_REPORT - 1}) k,
                 lateral (select case when k < 2 then 1 + (r.author_id * 13 + k * 101 + r.id / {n} / 20) % {p} end as project) x""",
        """insert into dailyreport_line_text (line_id, author_id, project_id, done)
           select id, author_id, project_id, 'what was done on ' || coalesce(project_label, 'meetings') from dailyreport_line""",
        "set session_replication_role = origin",
        *(f"select setval(pg_get_serial_sequence('{t}', 'id'), (select max(id) from {t}))" for t in TABLES),
        "vacuum (analyze)",
        "create table bench_ready as select now() as at",
    ]
    for step in steps:
        conn.execute(step)
