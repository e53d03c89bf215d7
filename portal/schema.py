"""The database schema: migrations, then policies, grants, functions, roles and permissions, all in one transaction as the owner."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import Connection, create_engine, text

from config import Settings
from portal.kernel.db import Base
from portal.notify.rules import ensure_rules
from security import policies, roles
from security.manager import declared_permissions

FOLDER = Path(__file__).resolve().parents[1] / "migrations"
LOCK = 7_302_026  # one migration at a time, whichever process starts it


def configuration(conn: Connection) -> Config:
    """Alembic's configuration on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = conn
    return config


def included(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """What migrations look after: our tables, not what extensions bring."""
    return not (kind == "table" and reflected and compare_to is None and name == "alembic_version")


def head() -> str | None:
    """The newest migration in the code."""
    return ScriptDirectory(str(FOLDER)).get_current_head()


def current(conn: Connection) -> str | None:
    """The migration the database is at, read with any role that may read `alembic_version`."""
    return conn.execute(text("select version_num from alembic_version")).scalar()


def migrate(app: Flask, settings: Settings) -> None:
    """Brings the database up to the code: tables, rules, roles, permissions. Idempotent; safe to start twice at once."""
    engine = create_engine(settings.owner_database_url)
    with engine.begin() as conn:
        conn.execute(text("select pg_advisory_xact_lock(:k)"), {"k": LOCK})
        conn.exec_driver_sql("create extension if not exists pg_trgm")
        policies.drop(conn)
        command.upgrade(configuration(conn), "head")
        policies.install(conn, settings.timezone)
        first_entity(conn)
        ensure_rules(conn)
        roles.sync(conn, declared_permissions(app))
    engine.dispose()


def first_entity(conn: Connection) -> None:
    """Every installation has at least one legal entity; its name is the administrator's to change."""
    conn.exec_driver_sql(
        """insert into kernel_entity (code, name) select 'HQ', '{"zh": "本公司", "en": "Our company"}'
            where not exists (select from kernel_entity)"""
    )


def make_migration(settings: Settings, message: str) -> None:
    """Writes the next migration from the difference between models and the (migrated) database."""
    engine = create_engine(settings.owner_database_url)
    with engine.begin() as conn:
        command.revision(configuration(conn), message=message, autogenerate=True, rev_id=f"{int(head() or 0) + 1:04}")
    engine.dispose()


def difference(conn: Connection) -> list[Any]:
    """What the models have and the migrated database has not, or the other way round. Empty when they are equal."""
    return list(compare_metadata(MigrationContext.configure(conn, opts={"include_object": included, "compare_type": True}), Base.metadata))
