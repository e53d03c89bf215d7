"""Puts everything of the web layer into the application."""

from typing import Any

from flask import Flask
from flask_appbuilder import AppBuilder
from jinja2 import ChoiceLoader, FileSystemLoader

from portal.kernel.i18n import ROOT, listed, tr
from portal.kernel.settings import settings
from portal.web import accounts as accounts
from portal.web import administration as administration
from portal.web import announcements as announcements
from portal.web import assets, errors, headers, health, lookup, openapi, preferences, registry, words
from portal.web import auditlog as auditlog
from portal.web import comparing as comparing
from portal.web import delegations as delegations
from portal.web import erasures as erasures
from portal.web import home as home
from portal.web import rolesapi as rolesapi
from portal.web import signins as signins
from portal.web import whosees as whosees
from portal.web import whoseesapi as whoseesapi


def install(app: Flask, builder: AppBuilder) -> None:
    """Headers, errors, health, templates, and whatever was declared. Raises LookupError for a wrong column name."""
    headers.install(app, settings())
    health.install(app)
    errors.install(app)
    _language(app)
    templates(app)
    app.before_request(headers.check_csrf)
    for blueprint in (assets.blueprint, preferences.blueprint, lookup.blueprint, openapi.blueprint):
        app.register_blueprint(blueprint)
    known = {type(view) for view in builder.baseviews}
    for page in registry.pages.values():
        if page not in known:
            builder.add_view_no_menu(page)
    for screen in registry.screens.values():
        screen.check_declaration()
        builder.add_view_no_menu(screen)
    for resource in registry.resources.values():
        resource.check_declaration()
        builder.add_api(resource)
    for endpoints in registry.endpoints.values():
        builder.add_api(endpoints)


def templates(app: Flask) -> None:
    """Globals and filters of the templates, and the folders of the modules. See the notes at the head of each template."""
    folders = [ROOT / "portal" / "web" / "templates", *sorted(ROOT.glob("portal/*/templates")), *sorted(ROOT.glob("modules/*/templates"))]
    env = app.jinja_env
    env.loader = ChoiceLoader([FileSystemLoader([str(f) for f in dict.fromkeys(folders)]), app.jinja_loader or ChoiceLoader([])])
    env.trim_blocks = env.lstrip_blocks = False
    env.globals["asset"] = assets.asset
    env.filters |= {"money": words.money, "hours": words.hours, "day": words.day, "moment": words.moment, "number": words.number}
    env.filters |= {"listed": listed, "tr": tr}
    app.context_processor(_shared)


def _shared() -> dict[str, Any]:
    return {"csp_nonce": headers.nonce(), "locale": preferences.locale(), "theme": preferences.theme()}


def _language(app: Flask) -> None:
    app.extensions["babel"].locale_selector = preferences.locale
