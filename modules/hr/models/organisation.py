"""Departments over time and who answers for them."""

from datetime import date
from typing import Any, cast

from sqlalchemy import CheckConstraint, ForeignKey, Text, false, inspect
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modules.hr.events import DepartmentRecoded
from portal.kernel.columns import never_overlapping, ordered_period
from portal.kernel.document import Record, User, live_unique
from portal.kernel.errors import Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l


class Department(Record):
    """A unit of the organisation as it stands today; its history is in `DepartmentPeriod`."""

    __tablename__ = "hr_department"
    __label__ = _l("Department")
    __label_plural__ = _l("Departments")
    code: Mapped[str] = mapped_column(Text, info={"label": _l("Code")})
    name: Mapped[str] = mapped_column(Text, info={"label": _l("Name")})
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("hr_department.id"), index=True, info={"label": _l("Part of")})

    parent: Mapped["Department | None"] = relationship(remote_side="Department.id")

    __table_args__ = (live_unique("hr_department_code_live", "code"),)

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def before_update(self, ctx: Any) -> None:
        """Name and place change by dated actions, which keep the history."""
        for column in ("name", "parent_id"):
            if cast(Any, inspect(self)).attrs[column].history.has_changes():
                raise Refusal(_("Rename or move the department from a day on instead."), code="dated_change")
        code = cast(Any, inspect(self)).attrs["code"].history
        if code.has_changes() and code.deleted:
            publish(DepartmentRecoded(self.id, code.deleted[0], self.code))

    def before_archive(self, ctx: Any) -> None:
        """A department ends by being merged into another."""
        raise Refusal(_("Merge the department into another one instead; its history stays readable."), code="dated_change")

    def __str__(self) -> str:
        return self.name


class DepartmentPeriod(Record):
    """Where a department hung and what it was called from a day until another; no period covers a day on which it did not exist."""

    __tablename__ = "hr_department_period"
    __label__ = _l("Department period")
    __label_plural__ = _l("Department periods")
    __root__ = "department_id"
    department_id: Mapped[int] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Department")})
    parent_id: Mapped[int | None] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Part of")})
    name: Mapped[str] = mapped_column(Text, info={"label": _l("Name")})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(info={"label": _l("Until (not included)")})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason")})

    department: Mapped[Department] = relationship(foreign_keys=department_id)
    parent: Mapped[Department | None] = relationship(foreign_keys=parent_id)

    __table_args__ = (ordered_period("hr_department_period_ordered"), never_overlapping("hr_department_period_apart", "department_id"))

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions only: they keep the periods in order

    def __str__(self) -> str:
        return self.name


class DepartmentHead(Record):
    """A person who answers for a department during a period, as its head, as a deputy or acting for the head."""

    __tablename__ = "hr_department_head"
    __label__ = _l("Department head")
    __label_plural__ = _l("Department heads")
    __root__ = "department_id"
    KINDS = {"head": _l("Head"), "deputy": _l("Deputy head"), "acting": _l("Acting head")}
    department_id: Mapped[int] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Department")})
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person"), "lookup": "employees"})
    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Kind"), "choices": KINDS})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(info={"label": _l("Until (not included)")})

    department: Mapped[Department] = relationship()

    __table_args__ = (
        CheckConstraint("kind IN ('head', 'deputy', 'acting')", name="hr_department_head_kind_known"),
        ordered_period("hr_department_head_ordered"),
        never_overlapping("hr_department_head_apart", "department_id", "user_id"),
        # One head at a time; deputies and acting heads may be several.
        never_overlapping("hr_department_head_single", "department_id", where="kind = 'head' AND archived_at IS NULL"),
    )

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions only: they keep the periods in order

    def __str__(self) -> str:
        return str(DepartmentHead.KINDS.get(self.kind, ""))
