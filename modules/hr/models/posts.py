"""Posts, grades and what grades cost."""

from datetime import date
from typing import Any

from sqlalchemy import ForeignKey, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.kernel.columns import checked, never_overlapping, ordered_period
from portal.kernel.db import Money
from portal.kernel.document import Coded, Record
from portal.kernel.i18n import _l


class Post(Coded):
    """What somebody is employed as, such as software engineer."""

    __tablename__ = "hr_post"
    __label__ = _l("Post")
    __label_plural__ = _l("Posts")

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")


class Grade(Coded):
    """A post grade; what it costs over time is in `GradeRate`."""

    __tablename__ = "hr_grade"
    __label__ = _l("Grade")
    __label_plural__ = _l("Grades")
    post_family: Mapped[str | None] = mapped_column(Text, info={"label": _l("Post family")})

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")


class GradeRate(Record):
    """What a grade earns in a month and costs in a day during a period; a past rate is never changed, a new period closes it."""

    __tablename__ = "hr_grade_rate"
    __label__ = _l("Grade rate")
    __label_plural__ = _l("Grade rates")
    __root__ = "grade_id"
    wide = {"rates": None}
    grade_id: Mapped[int] = mapped_column(ForeignKey(Grade.id), index=True, info={"label": _l("Grade")})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(info={"label": _l("Until (not included)"), "readonly": True})
    base_salary: Mapped[Money] = mapped_column(info={"label": _l("Base salary per month (yuan)"), "secret": True})
    performance_pay: Mapped[Money] = mapped_column(info={"label": _l("Performance pay per month (yuan)"), "secret": True})
    project_performance: Mapped[Money] = mapped_column(info={"label": _l("Project performance per month (yuan)"), "secret": True})
    daily_cost: Mapped[Money] = mapped_column(info={"label": _l("Average cost per person-day (yuan)"), "secret": True})

    grade: Mapped[Grade] = relationship()

    __table_args__ = (
        ordered_period("hr_grade_rate_ordered"),
        checked(
            "hr_grade_rate_not_negative",
            "base_salary >= 0 AND performance_pay >= 0 AND project_performance >= 0 AND daily_cost >= 0",
            _l("Not below zero."),
        ),
        never_overlapping("hr_grade_rate_apart", "grade_id"),
    )

    def see(c: Any, v: Any) -> Any:
        return v.holds("rates")

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions only: they keep the periods in order

    def __str__(self) -> str:
        return f"{self.from_day}"
