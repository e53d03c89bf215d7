"""The frame around every page: menu, the person, what waits for them. Costs no statement but those parts that count something."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import g, render_template, request

from portal import __version__
from portal.kernel.settings import settings
from portal.web import menu
from portal.web.preferences import locale, theme
from security import login
from security.visibility import Context, context

Part = Callable[[Context], Any]
_parts: dict[str, Part] = {}


def frame_part(name: str) -> Callable[[Part], Part]:
    """Registers a function giving a part of the frame for the viewer: `notices`, `todos`, `banner`."""

    def register(f: Part) -> Part:
        _parts[name] = f
        return f

    return register


def render(template: str, **values: Any) -> str:
    """*template* inside the frame. Fragments (HTMX) should use `fragment`."""
    ctx = context()
    return render_template(template, **(parts(ctx) if ctx.me is not None else {}), **values)


def fragment(template: str, **values: Any) -> str:
    """A piece of a page, without the frame's values."""
    return render_template(template, **values)


def parts(ctx: Context) -> Mapping[str, Any]:
    """What the frame shows for *ctx*."""
    built = menu.build(ctx, request.path)
    out = {
        "framed": True,
        "menu": built,
        "phone_menu": menu.phone(built),
        "me": {"name": ctx.name or ctx.username, "username": ctx.username},
        "profile_url": "/my-account/",
        "todos": None,
        "notices": None,
        "banner": login.banner(),
        "app_version": __version__,
        "locale": locale(),
        "theme": theme(),
        "request_id": g.get("request_id", ""),
        "local_accounts": settings().local_accounts,
    }
    for name, part in _parts.items():
        out[name] = part(ctx)
    return out
