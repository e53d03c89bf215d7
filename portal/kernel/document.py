"""Records and documents: the base of every business table."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from flask_appbuilder.security.sqla.models import User
from flask_babel import lazy_gettext as _l
from sqlalchemy import BigInteger, CheckConstraint, DateTime, FetchedValue, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from portal.kernel.db import Base, Label, db
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _, tr
from portal.kernel.identifiers import credit_code_valid
from portal.kernel.module import module_of

__all__ = [
    "Record", "Document", "Coded", "Hanging", "LegalEntity", "User", "carriers", "live_unique", "records", "SYSTEM_COLUMNS"
]  # fmt: skip

SYSTEM_COLUMNS = frozenset({"id", "state", "archived_at", "created_at", "created_by"})
"""Nobody writes these but the database and named actions: the application role has no grant on them (a document's number neither)."""

ME = text("nullif(current_setting('app.me', true), '')::bigint")
ENTITY = text("nullif(current_setting('app.entity', true), '')::bigint")


def live_unique(name: str, *columns: Any) -> Index:
    """A natural key among rows that are not archived."""
    return Index(name, *columns, unique=True, postgresql_where=text("archived_at IS NULL"))


class Record(db.Model):  # type: ignore[name-defined,misc]
    """A business row: seen by `see`, changed by `change`, versioned, archived instead of deleted, with its whole history kept.

    A subclass declares `def see(c, v)` and `def change(c, v)`: SQL over its columns *c* for a viewer *v* (security.visibility).
    """

    __abstract__ = True
    __label__: ClassVar[Any] = ""
    __label_plural__: ClassVar[Any] = ""
    __root__: ClassVar[str | None] = None
    """Name of the foreign key to the record on whose page this row's history is shown too."""
    STATES: ClassVar[tuple[str, ...]] = ()
    EDITABLE: ClassVar[tuple[str, ...] | None] = None
    """States in which the fields may be edited; None: in every state. Elsewhere the row is read-only, also below the application."""
    LOG: ClassVar[bool] = False
    """Its rows are themselves a history and deleted after a time: the history trigger would only keep a copy of them for ever."""
    DISPOSABLE: ClassVar[bool] = False
    """Somebody's own settings and drafts, no business rows: they may be deleted. Everything else is archived (ALL-06)."""
    wide: ClassVar[dict[str, Callable[[Any], Any] | None]] = {}
    """Scopes whose holders see every row (None) or the rows that match."""

    see: ClassVar[Any]
    change: ClassVar[Any]

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True, sort_order=-20)
    version: Mapped[int] = mapped_column(Integer, server_default="1", sort_order=90, info={"label": _l("Version")})
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), sort_order=91, info={"label": _l("Created")}
    )
    created_by: Mapped[int | None] = mapped_column(BigInteger, server_default=ME, sort_order=92, info={"label": _l("Created by")})
    # FetchedValue: else the ORM sends NULL and the missing grant refuses the insert
    archived_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue(), sort_order=93, info={"label": _l("Archived")}
    )
    custom: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb"), sort_order=94, info={"label": _l("Custom fields")}
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for name in ("see", "change"):
            rule = cls.__dict__.get(name)
            if callable(rule) and not isinstance(rule, classmethod):
                setattr(cls, name, classmethod(rule))
        super().__init_subclass__(**kwargs)
        table = cls.__dict__.get("__table__")
        if table is not None and cls.STATES and "state" in table.c:
            known = ", ".join(f"'{s}'" for s in cls.STATES)
            table.append_constraint(CheckConstraint(f"state in ({known})", name=f"{table.name}_state_known"))

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805
        return {"version_id_col": cls.version, "eager_defaults": True} if "__tablename__" in cls.__dict__ else {}

    @classmethod
    def system_columns(cls) -> frozenset[str]:
        """Columns that neither forms nor REST nor the person's database role write."""
        protected = {c.name for c in cls.__table__.columns if c.info.get("protected")}
        return SYSTEM_COLUMNS | protected

    @classmethod
    def permission_name(cls) -> str:
        """The name roles and pages know the model by: `dailyreport.DailyReport`."""
        return f"{module_of(cls)}.{cls.__name__}"


class Document(Record):
    """A record with a life: a state changed by named actions only and a number given at the first submit (ALL-03, ALL-04)."""

    __abstract__ = True
    STATES: ClassVar[tuple[str, ...]] = ("draft", "submitted", "approved", "rejected", "cancelled")
    EDITABLE: ClassVar[tuple[str, ...] | None] = ("draft", "rejected")

    number: Mapped[str | None] = mapped_column(
        Text, server_default=FetchedValue(), sort_order=-10, info={"label": _l("Number"), "protected": True}
    )
    state: Mapped[str] = mapped_column(Text, server_default="draft", sort_order=-9, info={"label": _l("State")})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        table = cls.__dict__.get("__table__")
        if table is not None:  # drafts have no number; one given is never given again, not even after archiving
            Index(f"{table.name}_number", table.c.entity_id, table.c.number, unique=True)

    @declared_attr
    def entity_id(cls) -> Mapped[int]:  # noqa: N805
        return mapped_column(
            ForeignKey("kernel_entity.id"), server_default=ENTITY, index=True, sort_order=-8, info={"label": _l("Legal entity")}
        )


class Coded(Record):
    """An entry of a list people choose from: a code of its own and a name in both languages."""

    __abstract__ = True
    code: Mapped[str] = mapped_column(Text, sort_order=-10, info={"label": _l("Code")})
    name: Mapped[Label] = mapped_column(sort_order=-9, info={"label": _l("Name")})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        table = cls.__dict__.get("__table__")
        if table is not None:
            live_unique(f"{table.name}_code_live", table.c.code)

    def __str__(self) -> str:
        return tr(self.name)


class LegalEntity(Coded):
    """A company of the group (ALL-16)."""

    __tablename__ = "kernel_entity"
    __label__ = _l("Legal entity")
    __label_plural__ = _l("Legal entities")
    credit_code: Mapped[str | None] = mapped_column(
        Text, info={"label": _l("Unified social credit code"), "help": _l("18 characters, the last one checks the others.")}
    )
    __table_args__ = (live_unique("kernel_entity_credit_code_live", "credit_code"),)

    def see(c, v):  # type: ignore[no-untyped-def]  # noqa: N805
        return v.person

    def change(c, v):  # type: ignore[no-untyped-def]  # noqa: N805
        return v.holds("system")

    def before_create(self, _ctx: Any) -> None:
        """The credit code has its check character (HRM-04)."""
        self.credit_code = (self.credit_code or "").strip().upper() or None
        if self.credit_code and not credit_code_valid(self.credit_code):
            problem = _("This is no unified social credit code: 18 characters, the last of which checks the others.")
            raise Invalid({"credit_code": problem})

    before_update = before_create


class Hanging(Record):
    """A row that hangs on any record, such as a file or a comment: seen by whoever sees that record, by its own policies.

    A subclass that says more in `see` adds it to `v.sees_record(c.record_type, c.record_id)`. Nothing hangs on such a row itself.
    """

    __abstract__ = True
    record_type: Mapped[str] = mapped_column(
        Text, sort_order=-10, info={"label": _l("Kind of record"), "internal": True, "readonly": True, "protected": True}
    )
    """The table of the record."""
    record_id: Mapped[int] = mapped_column(
        BigInteger, sort_order=-9, info={"label": _l("Record"), "internal": True, "readonly": True, "protected": True}
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        table = cls.__dict__.get("__table__")
        if table is not None:
            Index(f"{table.name}_record", table.c.record_type, table.c.record_id)

    def see(c, v):  # type: ignore[no-untyped-def]  # noqa: N805
        return v.sees_record(c.record_type, c.record_id)


def carriers() -> Iterator[type[Record]]:
    """The record classes that rows may hang on, by table name."""
    return (c for c in records() if not issubclass(c, Hanging))


def records() -> Iterator[type[Record]]:
    """Every mapped record class, by table name."""
    found = [m.class_ for m in Base.registry.mappers if issubclass(m.class_, Record)]
    return iter(sorted(found, key=lambda c: c.__tablename__))


def humanise(column: str) -> str:
    """`project_id` → `Project`, `work_email` → `Work email`: the msgid of a column without a label of its own."""
    words = re.sub(r"_id$", "", column).replace("_", " ")
    return words[:1].upper() + words[1:]
