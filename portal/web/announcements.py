"""Announcements: everybody reads them, those who administer the system or keep staff data write them."""

from datetime import date
from typing import Any

from sqlalchemy import Boolean, Date, Index, Text, or_, select, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel import calendar
from portal.kernel.columns import checked
from portal.kernel.db import session
from portal.kernel.document import Record
from portal.kernel.i18n import _l
from portal.web.home import card
from portal.web.resource import Resource
from portal.web.screen import Screen

SHOWN = 5


class Announcement(Record):
    """A text for everybody, shown on the home page from one day to another (open when empty)."""

    __tablename__ = "web_announcement"
    __label__ = _l("Announcement")
    __label_plural__ = _l("Announcements")
    title: Mapped[str] = mapped_column(Text, info={"label": _l("Title"), "max_length": 120, "span": 2})
    body: Mapped[str] = mapped_column(Text, info={"label": _l("Text"), "multiline": True, "max_length": 5000})
    from_day: Mapped[date] = mapped_column(Date, server_default=text("current_date"), info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(
        Date, info={"label": _l("Until"), "help": _l("The last day it is shown; empty: until it is archived.")}
    )
    pinned: Mapped[bool] = mapped_column(Boolean, server_default=text("false"), info={"label": _l("Pinned")})
    __table_args__ = (
        checked("web_announcement_period", "to_day is null or to_day >= from_day", _l("It cannot end before it begins."), "to_day"),
        Index("ix_web_announcement_days", text("from_day desc")),
    )

    def see(c, v):  # type: ignore[no-untyped-def]
        return v.person

    def change(c, v):  # type: ignore[no-untyped-def]
        return or_(v.holds("system"), v.holds("staff_admin"))

    @classmethod
    def defaults(cls, ctx: Any) -> dict[str, Any]:
        """A new one is shown from today."""
        return {"from_day": calendar.today()}

    def __str__(self) -> str:
        return self.title


class AnnouncementScreen(Screen, model=Announcement):
    """Announcements as pages."""

    route_base = "/announcements"
    icon = "speakerphone"
    menu = "Administration"
    menu_verb = "edit"
    menu_order = 80
    list_columns = ("title", "from_day", "to_day", "pinned")
    show_columns = ("title", "body", "from_day", "to_day", "pinned")
    add_columns = edit_columns = ("title", "body", "from_day", "to_day", "pinned")
    search_columns = ("title", "body")
    order = ("from_day", "desc")


class AnnouncementResource(Resource, model=Announcement):
    """Announcements for programs."""

    resource_name = "announcements"
    order = ("from_day", "desc")


@card("announcements", title=_l("Announcements"), permission=("view", "web.Announcement"), size="side", order=90)
def announcements_card() -> tuple[str, dict[str, Any]]:
    """Those of today, pinned ones first."""
    a, today = Announcement, calendar.today()
    found = session().execute(
        select(a.id, a.title, a.from_day, a.pinned)
        .where(a.from_day <= today, or_(a.to_day.is_(None), a.to_day >= today))
        .order_by(a.pinned.desc(), a.from_day.desc(), a.id.desc())
        .limit(SHOWN)
    )
    return "portal/card_announcements.html", {"items": list(found), "more_url": "/announcements/"}
