"""What administrators keep about the company itself: days that differ from the statutory calendar, number patterns, parameters."""

from datetime import date
from typing import Any

from sqlalchemy import ForeignKey, Text, not_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import session
from portal.kernel.document import LegalEntity, Record, live_unique
from portal.kernel.i18n import _l


class WorkingDay(Record):
    """A day on which the company works, or rests, other than the statutory calendar says (ALL-02)."""

    __tablename__ = "kernel_working_day"
    __label__ = _l("Special day")
    __label_plural__ = _l("Working calendar")
    __table_args__ = (live_unique("kernel_working_day_day_live", "day"),)

    day: Mapped[date] = mapped_column(info={"label": _l("Day")})
    working: Mapped[bool] = mapped_column(info={"label": _l("Working day")})
    name: Mapped[str] = mapped_column(Text, server_default="", info={"label": _l("Reason")})

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("system")

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.name}".strip()


def overrides() -> dict[date, bool]:
    """Every day administrators have decided about, True when it is worked."""
    rows = session().execute(select(WorkingDay.day, WorkingDay.working).where(WorkingDay.archived_at.is_(None)))
    return dict(rows.tuples().all())


class NumberSeries(Record):
    """The pattern of a series of document numbers; without a row the pattern the module declares holds (ALL-03)."""

    __tablename__ = "kernel_number_series"
    __label__ = _l("Number series")
    __label_plural__ = _l("Number series")
    __table_args__ = (live_unique("kernel_number_series_code_live", "code", text("coalesce(entity_id, 0)")),)

    code: Mapped[str] = mapped_column(Text, info={"label": _l("Series")})
    entity_id: Mapped[int | None] = mapped_column(
        ForeignKey(LegalEntity.id), index=True, info={"label": _l("Legal entity"), "help": _l("Empty: every legal entity.")}
    )
    pattern: Mapped[str] = mapped_column(
        Text, info={"label": _l("Pattern"), "help": _l("For example XM-{yyyy}-{seq:4}; also {yy}, {mm}, {dd}, {entity}.")}
    )

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("system")

    def before_create(self, _ctx: Any) -> None:
        """Refuses a pattern that cannot work."""
        from portal.kernel.numbering import check_pattern

        check_pattern(self.pattern)

    before_update = before_create

    def __str__(self) -> str:
        return f"{self.code} {self.pattern}"


class Parameter(Record):
    """The value of a system parameter that differs from its default (POR-12); null: the default."""

    __tablename__ = "kernel_parameter"
    __label__ = _l("System parameter")
    __label_plural__ = _l("System parameters")
    __table_args__ = (live_unique("kernel_parameter_name_live", "name"),)

    name: Mapped[str] = mapped_column(Text, info={"label": _l("Name")})
    value: Mapped[Any] = mapped_column(JSONB, info={"label": _l("Value"), "secret": True})
    secret: Mapped[bool] = mapped_column(server_default=text("false"), info={"label": _l("Secret"), "readonly": True, "secret": False})

    def see(c: Any, v: Any) -> Any:
        return not_(c.secret) | v.holds("system")

    def change(c: Any, v: Any) -> Any:
        return v.holds("system")

    def __str__(self) -> str:
        return self.name
