"""Tables: applications in categories, and who opened which."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import g, has_request_context
from flask_appbuilder.security.sqla.models import Role
from flask_babel.speaklater import LazyString
from sqlalchemy import ARRAY, DateTime, ForeignKey, Index, Integer, Text, false, func, or_, select, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.applications import clients
from portal.kernel.columns import BY_ACTION, checked
from portal.kernel.db import Label, session
from portal.kernel.document import Coded, Record, User
from portal.kernel.errors import Invalid
from portal.kernel.handover import stay
from portal.kernel.i18n import _, _l, tr
from security.roles import BUILT_IN, RoleInfo
from security.visibility import context

MAX_URL = 1000
ORDER = {"label": _l("Position in the list"), "min": 0, "max": 9999, "help": _l("Small numbers come first.")}
ICONS = {
    "apps": _l("Application"),
    "notes": _l("Notes"),
    "file-text": _l("Document"),
    "mail": _l("Letter"),
    "messages": _l("Conversation"),
    "calendar-event": _l("Calendar"),
    "building": _l("Building"),
    "git-branch": _l("Source code"),
    "tool": _l("Tool"),
    "database": _l("Database"),
    "server": _l("Server"),
    "chart-bar": _l("Chart"),
    "coin": _l("Money"),
    "shopping-cart": _l("Purchasing"),
    "users": _l("People"),
    "user-circle": _l("Account"),
    "headset": _l("Service"),
    "certificate": _l("Quality"),
    "news": _l("News"),
    "world": _l("Website"),
}


class RoleNames(Mapping[str, Any]):
    """Words of every role by its key, read once per request; roles are made by administrators while the portal runs."""

    def _now(self) -> dict[str, Any]:
        viewer = context()
        if viewer.me is None and not viewer.system:  # nobody reads tables; the words of the product's own roles are no secret
            return {r.key: LazyString(tr, {"zh": r.zh, "en": r.en}) for r in BUILT_IN}
        known: dict[str, Any] | None = g.get("role_names") if has_request_context() else None
        if known is None:
            asked = select(Role.name, RoleInfo.label).join(RoleInfo, RoleInfo.role_id == Role.id)
            rows = session().execute(asked.order_by(RoleInfo.built_in.desc(), Role.id))
            known = {name: LazyString(tr, label) for name, label in rows.tuples()}
            if has_request_context():
                g.role_names = known
        return known

    def __getitem__(self, key: str) -> Any:
        return self._now()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __bool__(self) -> bool:
        return True  # asked for when models are declared, long before there is a database


class Category(Coded):
    """A heading under which the launcher shows applications."""

    __tablename__ = "applications_category"
    __label__ = _l("Application category")
    __label_plural__ = _l("Application categories")

    position: Mapped[int] = mapped_column(
        Integer,
        server_default="100",
        info=ORDER,
    )

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("system")


class Application(Record):
    """Another application of the company, as the launcher offers it to the holders of its roles."""

    __tablename__ = "applications_application"
    __label__ = _l("Application")
    __label_plural__ = _l("Applications")
    STATES = ("active", "closed")

    name: Mapped[Label] = mapped_column(info={"label": _l("Name")})
    description: Mapped[Label | None] = mapped_column(
        info={"localised": True, "label": _l("In a few words"), "help": _l("What people find there; shown on the tile.")}
    )
    category_id: Mapped[int] = mapped_column(ForeignKey(Category.id), index=True, info={"label": _l("Category")})
    icon: Mapped[str] = mapped_column(Text, server_default="apps", info={"label": _l("Icon"), "choices": ICONS, "tone": {}})
    url: Mapped[str] = mapped_column(
        Text,
        info={
            "label": _l("Address"),
            "max_length": MAX_URL,
            "span": 2,
            "help": _l("Where the tile leads: https://… or http://…, best the page at which the application begins its own sign-in."),
        },
    )
    client_id: Mapped[str | None] = mapped_column(
        Text,
        info={
            "label": _l("Keycloak client"),
            "max_length": 255,
            "suggest": clients.suggested,
            "help": _l("By which the application signs people in; empty when it does not use Keycloak."),
        },
    )
    roles: Mapped[list[str]] = mapped_column(
        ARRAY(Text),
        server_default=text("'{}'"),
        info={
            "label": _l("Roles that see it"),
            "choices": RoleNames(),
            "help": _l("Holders of any of these find it. Without a role nobody finds it but administrators, here in the list."),
        },
    )
    position: Mapped[int] = mapped_column(
        Integer,
        server_default="100",
        info=ORDER,
    )
    state: Mapped[str] = mapped_column(
        Text,
        server_default="active",
        info={
            "label": _l("State"),
            "choices": {"active": _l("In use"), "closed": _l("Closed")},
            "tone": {"active": "ok", "closed": "idle"},
        },
    )

    __table_args__ = (
        checked(
            "applications_application_url_web",
            r"url ~* '^https?://[^/?#@[:space:]\\]+([/?#]|$)' and url !~ '[[:space:][:cntrl:]\\]'",
            _l("Only complete web addresses, beginning with https:// or http://, without user name and password."),
            "url",
        ),
    )

    def see(c: Any, v: Any) -> Any:
        return or_(v.has("own_applications", c.id), v.holds("system"))

    def change(c: Any, v: Any) -> Any:
        return v.holds("system")

    @classmethod
    def defaults(cls, ctx: Any) -> dict[str, Any]:
        """A new one is for everybody until somebody chooses."""
        return {"roles": ["employee"], "icon": "apps", "position": 100}

    def before_create(self, _ctx: Any) -> None:
        """Only addresses a browser may safely be sent to."""
        self.url = web_address(self.url)
        self.client_id = (self.client_id or "").strip() or None
        self.roles = list(dict.fromkeys(self.roles or []))

    before_update = before_create

    def __str__(self) -> str:
        return tr(self.name)


def web_address(given: str) -> str:
    """*given* when it is a complete http(s) address without user name and password.  Raises `Invalid` saying what is wrong with it."""
    url = given.strip()

    def wrong(words: str) -> Invalid:
        return Invalid({"url": words})

    if any(c.isspace() or ord(c) < 32 or ord(c) == 127 or c == "\\" for c in url):
        raise wrong(_("An address has neither blanks nor backslashes in it."))
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - out of range it raises
    except ValueError:
        raise wrong(_("This is not a valid address.")) from None
    if parts.scheme.lower() not in ("http", "https"):
        raise wrong(_("Only addresses that begin with https:// or http:// can be opened."))
    if "@" in parts.netloc:
        raise wrong(_("User names and passwords do not belong into an address: everybody who sees the tile would read them."))
    if not url.lower().startswith(f"{parts.scheme.lower()}://") or not parts.hostname:
        raise wrong(_("The address names no host, as in https://example.com/."))
    return url


class Launch(Record):
    """Somebody opened an application: who, which and when.  People read their own, auditors everybody's, others only counts."""

    __tablename__ = "applications_launch"
    __label__ = _l("Opened application")
    __label_plural__ = _l("Opened applications")
    LOG = True

    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), info={"label": _l("When"), **BY_ACTION})
    application_id: Mapped[int] = mapped_column(ForeignKey(Application.id), info={"label": _l("Application"), **BY_ACTION})
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), info={"label": _l("Person"), "lookup": "people", **BY_ACTION})

    __table_args__ = (
        Index("ix_applications_launch_application", "application_id", text("at desc")),
        Index("ix_applications_launch_user", "user_id", text("at desc")),
        Index("ix_applications_launch_at", text("at desc"), text("id desc")),
    )

    def see(c: Any, v: Any) -> Any:
        return or_(c.user_id == v.me, v.holds("explain"))

    def change(c: Any, v: Any) -> Any:
        return false()  # a log: written with the opening, never edited

    def __str__(self) -> str:
        return f"#{self.application_id}"


stay("applications_launch", "what was opened", "user_id")
