"""Leave and business trips."""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, FetchedValue, ForeignKey, Numeric, Text, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.columns import BY_ACTION, checked
from portal.kernel.document import ME, Document, User
from portal.kernel.errors import Refusal
from portal.kernel.i18n import _, _l


class Leave(Document):
    """Time off or away, in half days. Both ends are included, as people say them: `from_day` to `to_day`."""

    __tablename__ = "hr_leave"
    __label__ = _l("Leave")
    __label_plural__ = _l("Leaves")
    wide = {"staff": None}
    KINDS = {
        "annual": _l("Annual leave"),
        "sick": _l("Sick leave"),
        "personal": _l("Personal leave"),
        "trip": _l("Business trip"),
        "marriage": _l("Marriage leave"),
        "parental": _l("Parental leave"),
        "other": _l("Other leave"),
    }
    HALVES = {"am": _l("Morning"), "pm": _l("Afternoon")}
    user_id: Mapped[int] = mapped_column(
        ForeignKey(User.id), index=True, server_default=ME, info={"label": _l("Person"), "lookup": "employees", **BY_ACTION}
    )
    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Kind"), "choices": KINDS})
    from_day: Mapped[date] = mapped_column(info={"label": _l("First day")})
    from_half: Mapped[str] = mapped_column(Text, server_default="am", info={"label": _l("Starts in the"), "choices": HALVES})
    to_day: Mapped[date] = mapped_column(info={"label": _l("Last day")})
    to_half: Mapped[str] = mapped_column(Text, server_default="pm", info={"label": _l("Ends with the"), "choices": HALVES})
    days: Mapped[Decimal | None] = mapped_column(
        Numeric(5, 1), server_default=FetchedValue(), info={"label": _l("Working days"), **BY_ACTION}
    )
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason"), "multiline": True})
    decided_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, server_default=FetchedValue(), info={"label": _l("Decided by"), "lookup": "employees", **BY_ACTION}
    )
    decision_note: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Answer"), **BY_ACTION})

    __table_args__ = (
        CheckConstraint("kind IN ('annual', 'sick', 'personal', 'trip', 'marriage', 'parental', 'other')", name="hr_leave_kind_known"),
        CheckConstraint("from_half IN ('am', 'pm') AND to_half IN ('am', 'pm')", name="hr_leave_halves_known"),
        checked(
            "hr_leave_ordered",
            "from_day < to_day OR (from_day = to_day AND from_half <= to_half)",
            _l("The leave ends before it starts."),
            "to_day",
        ),
        # Half days counted from a fixed day: the afternoon of a day is one more than its morning.
        ExcludeConstraint(
            (text("int8range(user_id, user_id, '[]')"), "&&"),
            (
                text(
                    "int4range((from_day - date '2000-01-01') * 2 + (from_half = 'pm')::int,"
                    " (to_day - date '2000-01-01') * 2 + (to_half = 'pm')::int, '[]')"
                ),
                "&&",
            ),
            using="gist",
            where=text("state IN ('submitted', 'approved') AND archived_at IS NULL"),
            name="hr_leave_apart",
        ),
    )

    def see(c: Any, v: Any) -> Any:
        return v.has("staff", c.user_id)

    def change(c: Any, v: Any) -> Any:
        return c.user_id == v.me

    def before_update(self, ctx: Any) -> None:
        """What was asked for is not changed any more: cancel it and ask again."""
        if self.state != "draft":
            raise Refusal(_("Only a draft can be changed; cancel the leave and ask again."), code="wrong_state")

    def before_archive(self, ctx: Any) -> None:
        """A leave that counts stays."""
        if self.state in ("submitted", "approved"):
            raise Refusal(_("Cancel the leave first."), code="wrong_state")

    def __str__(self) -> str:
        return f"{Leave.KINDS.get(self.kind, '')} {self.from_day} – {self.to_day}"
