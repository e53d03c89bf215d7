"""Mergers of departments: asked for by one person, approved by another."""

from datetime import date
from typing import Any

from sqlalchemy import FetchedValue, ForeignKey, Index, Text, and_, false, or_, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from modules.hr.models.organisation import Department
from portal.kernel.columns import BY_ACTION
from portal.kernel.document import Record, User
from portal.kernel.errors import Refusal
from portal.kernel.i18n import _, _l

_LATER: dict[str, Any] = {"server_default": FetchedValue()}


class Merger(Record):
    """One department is to become part of another from a day on, with everybody in it."""

    __tablename__ = "hr_merger"
    __label__ = _l("Merger")
    __label_plural__ = _l("Mergers")
    STATES = ("submitted", "approved", "rejected", "cancelled")

    name: Mapped[str] = mapped_column(Text, info={"label": _l("Merger")})
    department_id: Mapped[int] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Department"), **BY_ACTION})
    into_id: Mapped[int] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Becomes part of"), **BY_ACTION})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From"), **BY_ACTION})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason"), "multiline": True, **BY_ACTION})
    state: Mapped[str] = mapped_column(
        Text,
        server_default="submitted",
        info={
            "label": _l("State"),
            "readonly": True,
            "choices": {
                "submitted": _l("Waits for approval"),
                "approved": _l("Approved"),
                "rejected": _l("Rejected"),
                "cancelled": _l("Cancelled"),
            },
            "tone": {"submitted": "info", "approved": "ok", "rejected": "risk", "cancelled": "idle"},
        },
    )
    decided_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, **_LATER, info={"label": _l("Decided by"), "lookup": "employees", **BY_ACTION}
    )
    decision_note: Mapped[str | None] = mapped_column(Text, **_LATER, info={"label": _l("Answer"), **BY_ACTION})
    headships: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB, **_LATER, info={"label": _l("Headships it ends"), "internal": True, **BY_ACTION}
    )
    """`ended`: id and end before of each headship it ended; `gone`: ids of those that had not begun. For taking it back."""

    __table_args__ = (
        Index(
            "hr_merger_open",
            "department_id",
            unique=True,
            postgresql_where=text("state IN ('submitted', 'approved') AND archived_at IS NULL"),
        ),
    )

    def see(c: Any, v: Any) -> Any:
        """HR and who approves; the heads above both departments what was approved, also when it was taken back."""
        heads = or_(v.has("headed_departments", c.department_id), v.has("headed_departments", c.into_id))
        return or_(v.holds("staff_admin"), v.holds("staff_approval"), and_(c.decided_by.is_not(None), c.state != "rejected", heads))

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions only

    def before_archive(self, ctx: Any) -> None:
        """What was asked for stays."""
        raise Refusal(_("Cancel the merger instead; what was asked for stays."), code="wrong_state")

    def __str__(self) -> str:
        return self.name
