"""Tables of imports: who imported what, the file with its progress, and what became of each row."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    FetchedValue,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    and_,
    false,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.columns import BY_ACTION
from portal.kernel.document import ME, Record, User
from portal.kernel.handover import stay
from portal.kernel.i18n import _, _l
from portal.lowcode.importing import declared

OPEN = ("waiting", "checked", "submitted", "running")
"""States in which an import may still be stopped."""


def sends(c: Any, v: Any) -> Any:
    """Who sent the file, as long as their roles include imports of this kind."""
    return and_(c.owner_id == v.me, or_(false(), *(and_(c.importer == i.name, v.holds(i.scope)) for i in declared.importers.values())))


def answers_for(c: Any, v: Any) -> Any:
    """Who approves imports of this kind."""
    return or_(false(), *(and_(c.importer == i.name, v.holds(i.approval)) for i in declared.importers.values()))


class ImportRun(Record):
    """A file somebody imports: checked first without keeping anything, then stored as a whole or not at all.

    What one person may not do alone waits for a second one in between.
    """

    __tablename__ = "lowcode_import_run"
    __label__ = _l("Import")
    __label_plural__ = _l("Imports")
    STATES = ("waiting", "checked", "submitted", "running", "done", "rejected", "refused", "failed", "cancelled")
    owner_id: Mapped[int] = mapped_column(
        ForeignKey(User.id), server_default=ME, info={"label": _l("Imported by"), "lookup": "employees", **BY_ACTION}
    )
    importer: Mapped[str] = mapped_column(Text, info={"label": _l("What"), "choices": declared.titles, **BY_ACTION})
    file_name: Mapped[str] = mapped_column(Text, info={"label": _l("File"), **BY_ACTION})
    locale: Mapped[str] = mapped_column(Text, server_default="zh", info={"label": _l("Language"), "internal": True, **BY_ACTION})
    state: Mapped[str] = mapped_column(
        Text,
        server_default="waiting",
        info={
            "label": _l("State"),
            "choices": {
                "waiting": _l("Being checked"),
                "checked": _l("Checked"),
                "submitted": _l("Waits for approval"),
                "running": _l("Being imported"),
                "done": _l("Imported"),
                "rejected": _l("Rejected"),
                "refused": _l("Not readable"),
                "failed": _l("Failed"),
                "cancelled": _l("Cancelled"),
            },
            "tone": {
                "waiting": "info",
                "submitted": "warn",
                "rejected": "risk",
                "checked": "warn",
                "running": "info",
                "done": "ok",
                "refused": "risk",
                "failed": "risk",
                "cancelled": "idle",
            },
        },
    )
    # FetchedValue: else the ORM sends NULL for columns people may not write
    message: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Note"), **BY_ACTION})
    to_create: Mapped[int] = mapped_column(server_default="0", info={"label": _l("New"), **BY_ACTION})
    to_change: Mapped[int] = mapped_column(server_default="0", info={"label": _l("Changed rows"), **BY_ACTION})
    unchanged: Mapped[int] = mapped_column(server_default="0", info={"label": _l("Unchanged"), **BY_ACTION})
    errors: Mapped[int] = mapped_column(server_default="0", info={"label": _l("Rows with errors"), **BY_ACTION})
    fingerprint: Mapped[str | None] = mapped_column(
        Text, server_default=FetchedValue(), info={"label": _l("Fingerprint"), "internal": True, **BY_ACTION}
    )
    needs_approval: Mapped[bool] = mapped_column(
        server_default="false", info={"label": _l("Needs a second person"), "help": _l("New people are hired by two."), **BY_ACTION}
    )
    submitted_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue(), info={"label": _l("Submitted"), **BY_ACTION}
    )
    decided_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, server_default=FetchedValue(), info={"label": _l("Decided by"), "lookup": "employees", **BY_ACTION}
    )
    decision_note: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Answer"), **BY_ACTION})
    ended_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue(), info={"label": _l("Ended"), **BY_ACTION}
    )

    __table_args__ = (Index("lowcode_import_run_newest", "owner_id", text("id desc")), Index("lowcode_import_run_ended", "ended_at"))

    def see(c: Any, v: Any) -> Any:
        """Who sent the file and may still import; from the submission on who approves, and who answers for what was stored."""
        return or_(sends(c, v), and_(or_(c.submitted_at.is_not(None), c.state == "done"), answers_for(c, v)))

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions and by the work itself

    def __str__(self) -> str:
        return self.file_name


class ImportFile(Record):
    """The bytes of an import and how far the work on them is; the bytes go when the time for corrections is over."""

    __tablename__ = "lowcode_import_file"
    __label__ = _l("Imported file")
    __label_plural__ = _l("Imported files")
    LOG = True
    run_id: Mapped[int] = mapped_column(ForeignKey(ImportRun.id), unique=True, info={"label": _l("Import"), **BY_ACTION})
    owner_id: Mapped[int] = mapped_column(
        ForeignKey(User.id), index=True, server_default=ME, info={"label": _l("Imported by"), "lookup": "employees", **BY_ACTION}
    )
    content: Mapped[bytes] = mapped_column(LargeBinary, info={"label": _l("Content"), "internal": True, "secret": True, **BY_ACTION})
    private: Mapped[dict[str, Any]] = mapped_column(
        JSONB,
        server_default=text("'{}'::jsonb"),
        info={"label": _l("Private values"), "kind": "json", "internal": True, "secret": True, **BY_ACTION},
    )
    """By sheet and row, what only the person who sent the file reads: to give it back with the errors."""
    done: Mapped[int] = mapped_column(server_default="0", info={"label": _l("Rows done"), **BY_ACTION})
    total: Mapped[int] = mapped_column(server_default="0", info={"label": _l("Rows in all"), **BY_ACTION})

    def see(c: Any, v: Any) -> Any:
        return and_(c.owner_id == v.me, v.sees(ImportRun, c.run_id))

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return str(_("File of import %(n)s", n=self.run_id))


class ImportRow(Record):
    """What an import did, or would do, with one row of the file."""

    __tablename__ = "lowcode_import_row"
    __label__ = _l("Imported row")
    __label_plural__ = _l("Imported rows")
    LOG = True
    DISPOSABLE = True  # what the next run over the file finds takes its place
    OUTCOMES = {"error": _l("Error"), "create": _l("New"), "change": _l("Change"), "same": _l("Unchanged")}
    run_id: Mapped[int] = mapped_column(ForeignKey(ImportRun.id), info={"label": _l("Import"), **BY_ACTION})
    owner_id: Mapped[int] = mapped_column(
        ForeignKey(User.id), index=True, info={"label": _l("Imported by"), "lookup": "employees", **BY_ACTION}
    )
    sheet: Mapped[str] = mapped_column(Text, info={"label": _l("Sheet"), **BY_ACTION})
    row: Mapped[int] = mapped_column(info={"label": _l("Row"), **BY_ACTION})
    key: Mapped[str] = mapped_column(Text, server_default="", info={"label": _l("Key"), **BY_ACTION})
    outcome: Mapped[str] = mapped_column(
        Text,
        info={
            "label": _l("Outcome"),
            "choices": OUTCOMES,
            "tone": {"error": "risk", "create": "ok", "change": "info", "same": "idle"},
            **BY_ACTION,
        },
    )
    values: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb"), info={"label": _l("Values"), "kind": "json", "secret": True, **BY_ACTION}
    )
    changes: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb"), info={"label": _l("Changes"), "kind": "json", "secret": True, **BY_ACTION}
    )
    problems: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb"), info={"label": _l("Errors"), "kind": "json", **BY_ACTION}
    )
    record_id: Mapped[int | None] = mapped_column(BigInteger, server_default=FetchedValue(), info={"label": _l("Record"), **BY_ACTION})

    __table_args__ = (UniqueConstraint("run_id", "sheet", "row", name="lowcode_import_row_once"),)

    def see(c: Any, v: Any) -> Any:
        return v.sees(ImportRun, c.run_id)

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return self.key


stay("lowcode_import_run", "who imported, and who decided", "owner_id", "decided_by")
stay("lowcode_import_file", "who imported", "owner_id")
stay("lowcode_import_row", "who imported", "owner_id")
