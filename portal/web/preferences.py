"""Language and theme of the person: kept with the account, and in the cookie for whoever is not signed in."""

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, g, has_request_context, redirect, request
from flask import session as cookie
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.wrappers import Response

from portal.kernel.db import unrestricted
from portal.kernel.errors import Invalid
from portal.kernel.i18n import DEFAULT, LANGUAGES, _
from security.sessions import Account
from security.visibility import context

THEMES = ("auto", "light", "dark")
blueprint = Blueprint("preferences", __name__, url_prefix="/preferences")


def locale() -> str:
    """The language of this request: the account's, else the cookie's, else what the browser prefers, else Chinese."""
    if not has_request_context():
        return DEFAULT
    chosen = g.get("locale")
    if chosen is None:
        chosen = _account("locale") or cookie.get("locale") or request.accept_languages.best_match(list(LANGUAGES)) or DEFAULT
        g.locale = chosen = chosen if chosen in LANGUAGES else DEFAULT
    return str(chosen)


def theme() -> str:
    """`auto`, `light` or `dark`."""
    chosen = _account("theme") or cookie.get("theme") or "auto"
    return chosen if chosen in THEMES else "auto"


def _account(name: str) -> Any:
    # an error page made while the database is away must not need it
    if g.get("database_away"):
        return None
    try:
        return getattr(context(), name)
    except (DBAPIError, PoolTimeout):
        g.database_away = True
        return None


@blueprint.post("/locale")
def set_locale() -> Response:
    """The language from now on; back to the page one came from."""
    chosen = request.form.get("locale", "")
    if chosen not in LANGUAGES:
        raise Invalid({"locale": _("Is not one of the choices")})
    keep("locale", chosen)
    return redirect(local_path(request.form.get("next")), 303)


@blueprint.post("/theme")
def set_theme() -> tuple[str, int]:
    """Light, dark, or as the device has it."""
    chosen = request.form.get("theme", "")
    if chosen not in THEMES:
        raise Invalid({"theme": _("Is not one of the choices")})
    keep("theme", chosen)
    return "", 204


def keep(name: str, value: str) -> None:
    """Remembers a checked `locale` or `theme` with the account and in the cookie."""
    me = context().me
    cookie[name] = value
    if me is not None:
        with unrestricted("own language or theme") as s:
            row = insert(Account).values(user_id=me, **{name: value})
            s.execute(row.on_conflict_do_update(index_elements=["user_id"], set_={name: value}))


def local_path(target: str | None) -> str:
    """*target* when it is a path of this portal, else the home page: no open redirects."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")) or any(ord(c) < 32 for c in target) or "\\" in target:
        return "/"
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc else "/"
