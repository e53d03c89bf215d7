"""Models and tables: conventions, indexes, migrations."""

import re
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Date, DateTime, Float, Integer, Numeric, Table, UniqueConstraint, create_engine

from portal.kernel.db import Base
from portal.kernel.document import SYSTEM_COLUMNS, Document, Record, records
from portal.kernel.module import all_modules, module_of
from tests.conformance import clean

# tables of Flask-AppBuilder follow its own conventions
OURS = lambda t: not t.name.startswith("ab_")  # noqa: E731


def tables() -> list[Table]:
    return [t for t in Base.metadata.sorted_tables if OURS(t)]


def leading(table: Table, column: Column[Any]) -> bool:
    """Some index begins with the column."""
    firsts = [next(iter(i.expressions)) for i in table.indexes if not _partial(i, column)]
    firsts += [next(iter(c.columns)) for c in table.constraints if isinstance(c, UniqueConstraint) and len(c.columns)]
    firsts += list(table.primary_key.columns)[:1]
    return any(getattr(f, "name", None) == column.name for f in firsts) or column.unique is True


def _partial(index: Any, column: Column[Any]) -> bool:
    where = index.dialect_options["postgresql"].get("where")
    # an index over the rows that have the key at all, or over those that are not archived, serves every look-up
    return where is not None and str(where).lower() not in (f"{column.name} is not null", "archived_at is null")


def test_migrations_make_what_the_models_say(app: Any, settings: Any) -> None:
    from portal import schema

    if schema.head() is None:
        pytest.fail("there is no migration yet")
    engine = create_engine(settings.owner_database_url)
    with engine.connect() as conn:
        found = schema.difference(conn)
    engine.dispose()
    clean(found)


def test_migrations_have_one_head_and_go_one_way(app: Any) -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from portal.schema import FOLDER

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    scripts = ScriptDirectory.from_config(config)
    assert len(scripts.get_heads()) == 1
    assert [s.down_revision for s in scripts.walk_revisions()].count(None) == 1


def test_every_model_tells_what_it_is(app: Any) -> None:
    problems = []
    for m in records():
        doc = vars(m).get("__doc__") or ""
        if not doc.strip().endswith((".", "!", ")")):
            problems.append(f"{m.__name__}: no sentence as docstring")
        if not str(m.__label__) or not str(m.__label_plural__):
            problems.append(f"{m.__name__}: no label in singular and plural")
        if m.__str__ is Record.__str__:
            problems.append(f"{m.__name__}: no __str__")
        module = module_of(m)
        if not m.__tablename__.startswith(f"{module}_"):
            problems.append(f"{m.__name__}: table {m.__tablename__} does not begin with {module}_")
    clean(problems)


def test_columns_keep_to_the_conventions(app: Any) -> None:
    problems = []
    for t in tables():
        for c in t.columns:
            at = f"{t.name}.{c.name}"
            if isinstance(c.type, DateTime) and not c.type.timezone:
                problems.append(f"{at}: a moment without zone")
            if isinstance(c.type, Float) and not isinstance(c.type, Numeric):
                problems.append(f"{at}: float")
            if c.name in ("status", "deleted", "is_deleted", "active_flag"):
                problems.append(f"{at}: the word is state / archived_at")
            if re.search(r"_(at)$", c.name) and not isinstance(c.type, DateTime):
                problems.append(f"{at}: …_at is a moment")
            if re.search(r"_(on|day)$", c.name) and not isinstance(c.type, Date):
                problems.append(f"{at}: …_on and …_day are dates")
            if c.name == "id" and c.primary_key and (not isinstance(c.type, BigInteger) or c.identity is None):
                problems.append(f"{at}: bigint identity")
            target = next(iter(c.foreign_keys), None)
            if target is None and c.name.endswith("_id") and isinstance(c.type, Integer) and c.name not in LOOSE.get(t.name, ()):
                problems.append(f"{at}: an id without foreign key")
    clean(problems)


# ids that refer to rows of many tables, or to rows the layer does not know
LOOSE = {
    "audit_entry": ("row_id", "root_id"),
    "security_audit_seal": ("entry_id",),
    "notify_notice": ("record_id",),
    "notify_warning": ("record_id", "project_id", "department_id"),
    "security_question": ("record_id",),
    "web_form_draft": ("record_id",),
    "lowcode_import_row": ("record_id",),
    "kernel_number_counter": ("entity_id",),
}


def test_every_foreign_key_is_indexed(app: Any) -> None:
    missing = []
    for t in tables():
        for c in t.columns:
            if c.foreign_keys and not leading(t, c):
                missing.append(f"{t.name}.{c.name}")
    clean(missing)


def test_states_are_declared_with_words_and_a_colour(app: Any) -> None:
    from portal.web.fields import fields_of

    problems = []
    for m in records():
        column = m.__table__.c.get("state")
        assert (column is not None) == bool(m.STATES), m
        if column is None:
            continue
        assert not column.nullable and column.server_default is not None, m
        default = str(column.server_default.arg)
        assert default in m.STATES, (m, default)
        f = fields_of(m)["state"]
        problems += [f"{m.__name__}: no words for state {s}" for s in m.STATES if s not in f.choices]
        problems += [f"{m.__name__}: no tone for state {s}" for s in m.STATES if f.tones and s not in f.tones]
    clean(problems)


@pytest.mark.req("ALL-01")
def test_money_is_numeric_with_two_places(app: Any) -> None:
    for t in tables():
        for c in t.columns:
            if re.search(r"amount|price|salary|cost|_pay$|_performance$", c.name) and isinstance(c.type, Numeric):
                assert c.type.scale in (2, 4) and c.type.asdecimal, f"{t.name}.{c.name}"


@pytest.mark.req("ALL-16")
def test_documents_belong_to_a_legal_entity(app: Any) -> None:
    for m in records():
        if issubclass(m, Document):
            assert not m.__table__.c.entity_id.nullable, m


@pytest.mark.req("ALL-06")
def test_every_record_can_be_archived_and_has_a_version(app: Any) -> None:
    for m in records():
        assert {"id", "version", "created_at", "created_by", "archived_at", "custom"} <= set(m.__table__.c.keys()), m
        assert m.__mapper__.version_id_col is m.__table__.c.version, m


def test_modules_are_registered_and_own_their_models(app: Any) -> None:
    known = {m.name for m in all_modules()}
    for m in records():
        if m.__module__.startswith("modules."):
            assert module_of(m) in known, m
    for module in all_modules():
        assert str(module.label) and module.group, module


@pytest.mark.req("ALL-04")
def test_system_columns_are_never_writable_fields(app: Any) -> None:
    from portal.web.fields import fields_of, writable

    for m in records():
        closed = (
            SYSTEM_COLUMNS
            | {c.name for c in m.__table__.columns if c.info.get("protected") or c.info.get("readonly")}
            | {"version", "custom"}
        )
        # a column called number may be a natural key of a record that is no document
        assert not set(writable(m)) & closed, m
        assert set(writable(m)) <= set(fields_of(m)), m
