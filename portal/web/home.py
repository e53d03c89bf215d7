"""The home page: cards registered by the modules, arranged per person, with defaults per role."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flask import redirect, render_template
from markupsafe import Markup
from sqlalchemy import ForeignKey, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.wrappers import Response

from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.document import Record, User, live_unique
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _, _l
from portal.web.access import route
from portal.web.page import Page
from portal.web.resource import object_body
from security.manager import allowed
from security.visibility import Context, acting, context

Body = Callable[..., tuple[str, Mapping[str, Any]] | None]


class HomeLayout(Record):
    """How one person arranged the home page: cards in order, with size and whether hidden."""

    __tablename__ = "web_home_layout"
    __label__ = _l("Home page layout")
    __label_plural__ = _l("Home page layouts")
    DISPOSABLE = True
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person"), "readonly": True})
    layout: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"), info={"label": _l("Layout")})
    __table_args__ = (live_unique("web_home_layout_user_live", "user_id"),)

    def see(c, v):  # type: ignore[no-untyped-def]
        return c.user_id == v.me

    def change(c, v):  # type: ignore[no-untyped-def]
        return c.user_id == v.me

    def __str__(self) -> str:
        return f"#{self.user_id}"


@dataclass(frozen=True)
class Card:
    """A card the home page may show. *roles*: where it stands for holders of a role, instead of *order*."""

    key: str
    title: Any
    body: Body
    permission: tuple[str, str] | None = None
    visible: Callable[[Context], bool] | None = None
    size: str = "main"
    order: int = 100
    roles: Mapping[str, int] = field(default_factory=dict)

    def shown(self, ctx: Context) -> bool:
        """Whether the person may have it."""
        return (self.permission is None or allowed(*self.permission)) and (self.visible is None or bool(self.visible(ctx)))

    def place(self, ctx: Context) -> int:
        """Its place for the person: the best of the roles, else the general one."""
        return min((self.roles[r] for r in ctx.roles if r in self.roles), default=self.order)

    def build(self, ctx: Context) -> tuple[str, Mapping[str, Any]] | None:
        """Template and values; None when there is nothing to show."""
        return self.body(ctx) if inspect.signature(self.body).parameters else self.body()


cards: dict[str, Card] = {}


def card(
    key: str,
    *,
    title: Any,
    permission: tuple[str, str] | None = None,
    visible: Callable[[Context], bool] | None = None,
    size: str = "main",
    order: int = 100,
    roles: Mapping[str, int] | None = None,
) -> Callable[[Body], Body]:
    """Registers a function giving (template, values) as a card of the home page.

    It may take the viewer as its argument, and returns None when there is nothing to show. Of the values, `count`, `hot`, `hint`,
    `more_url` and `more_label` go into the card's head.
    """

    def register(f: Body) -> Body:
        cards[key] = Card(key, title, f, permission, visible, size, order, roles or {})
        return f

    return register


class Home(Page):
    """The first page after signing in."""

    name = "web.Home"
    route_base = ""
    title = _l("Home")
    default_view = "index"
    primary: ClassVar[tuple[str, str, str, Any] | None] = None

    @route("/", verb="")
    def index(self) -> str:
        """The person's cards."""
        ctx = context()
        return self.render(
            "portal/home.html",
            title=_("Home"),
            greeting=greeting(ctx),
            subtitle=None,
            primary=_primary(),
            cards=_built(ctx),
            layout_url="/home/layout",
            reset_url="/home/layout/reset",
        )

    @route("/home/layout", methods=("POST",), verb="")
    def arrange(self) -> tuple[str, int]:
        """Keeps the arrangement."""
        given = object_body().get("cards")
        if not isinstance(given, list) or len(given) > 100:
            raise Invalid({"cards": _("Must be a list of cards")})
        layout, ctx = [], context()
        for one in given:
            known = cards.get(one.get("key", "")) if isinstance(one, dict) and isinstance(one.get("key"), str) else None
            if known is None or one.get("size", "main") not in ("main", "side"):
                raise Invalid({"cards": _("There is no such card.")})
            layout.append({"key": known.key, "size": one.get("size", known.size), "hidden": bool(one.get("hidden"))})
        own = _layout(ctx)
        if own is None:
            session().add(HomeLayout(user_id=ctx.me, layout=layout))
        else:
            own.layout = layout
        session().flush()
        return "", 204

    @route("/home/layout/reset", methods=("POST",), verb="")
    def reset(self) -> Response:
        """Back to the standard of the person's roles."""
        own = _layout(context())
        if own is not None:
            with acting() as s:
                s.delete(s.merge(own))
        return redirect("/", 303)


def _layout(ctx: Context) -> HomeLayout | None:
    return session().scalars(select(HomeLayout).where(HomeLayout.user_id == ctx.me)).one_or_none()


def _built(ctx: Context) -> list[dict[str, Any]]:
    mine = sorted((c for c in cards.values() if c.shown(ctx)), key=lambda c: (c.place(ctx), c.key))
    own = _layout(ctx)
    kept = {entry["key"]: (i, entry) for i, entry in enumerate(own.layout)} if own is not None else {}
    mine.sort(key=lambda c: kept[c.key][0] if c.key in kept else 1000)
    return [b for b in (_one(c, kept[c.key][1] if c.key in kept else {}, ctx) for c in mine) if b is not None]


def _one(c: Card, kept: Mapping[str, Any], ctx: Context) -> dict[str, Any] | None:
    hidden = bool(kept.get("hidden"))
    built: tuple[str, Mapping[str, Any]] | None = ("", {}) if hidden else c.build(ctx)
    if built is None:
        return None
    template, values = built
    body = _body(c, template, values)
    return {
        "key": c.key,
        "title": str(c.title),
        "size": kept.get("size", c.size),
        "hidden": hidden,
        "count": values.get("count"),
        "hot": values.get("hot", False),
        "hint": values.get("hint"),
        "more_url": values.get("more_url"),
        "more_label": values.get("more_label"),
        "body": body,
    }


def _body(c: Card, template: str, values: Mapping[str, Any]) -> Markup:
    if not template:
        return Markup("")
    return Markup(render_template(template, **values))  # noqa: S704 - our own template


def greeting(ctx: Context) -> Any:
    """A word for the time of day at the company."""
    hour = calendar.local(calendar.now()).hour
    name = ctx.name or ctx.username
    if hour < 11:
        return _("Good morning, %(name)s", name=name)
    if hour < 14:
        return _("Hello, %(name)s", name=name)
    return _("Good afternoon, %(name)s", name=name) if hour < 18 else _("Good evening, %(name)s", name=name)


def primary_action(verb: str, view: str, url: str, label: Any, icon: str = "plus") -> None:
    """Sets the one button at the top of the home page, for people who may use it."""
    Home.primary = (f"{verb}:{view}", url, icon, label)


def _primary() -> dict[str, str] | None:
    if Home.primary is None:
        return None
    permission, url, icon, label = Home.primary
    verb, _colon, view = permission.partition(":")
    return {"label": str(label), "url": url, "icon": icon} if allowed(verb, view) else None
