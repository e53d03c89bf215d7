"""The application: settings in, Flask application out."""

import importlib
from pathlib import Path
from typing import Any, NoReturn

from flask import Flask, Response, g
from flask_appbuilder import AppBuilder
from sqlalchemy.engine import make_url

from config import Settings
from portal.kernel import i18n
from portal.kernel import settings as active_settings
from portal.kernel.db import Session, db
from portal.kernel.errors import NotFound
from portal.kernel.i18n import _
from security import reads
from security.manager import PortalSecurityManager
from security.policies import check_declared

INSTALLED = ("hr", "project", "dailyreport")
"""The modules of this installation; what they need comes before them."""

BUILT_IN = ("portal.notify", "portal.applications", "portal.lowcode.importing")
PARTS = ("models", "actions", "subscribers", "screens", "resources", "imports", "jobs", "reports")


REPLACED = ("UtilView.back", "LocaleView.index", "appbuilder.static")
"""Flask-AppBuilder's own addresses, which it registers without asking; nothing of ours uses them."""


def _gone(**_arguments: Any) -> NoReturn:
    raise NotFound(_("There is no such page."))


class Portal(Flask):
    """Flask with one transaction per request: committed when the answer is made, rolled back when it is an error."""

    def dispatch_request(self) -> Any:
        response: Response = self.make_response(super().dispatch_request())  # rendered before the commit
        s = db.session()
        if s.in_transaction():
            if response.status_code >= 400 and not g.get("keep"):
                s.rollback()
            elif isinstance(s, Session):
                reads.write()  # with what it read: no answer leaves without
                s.finish()
        return response


def _note_reads(response: Response) -> Response:
    """What was read for an answer that kept nothing else, such as both versions in a conflict."""
    s = db.session()
    if g.get("sensitive_reads") and isinstance(s, Session):
        reads.write()
        s.finish()
    return response


def load_modules() -> None:
    """Imports every part of the installed modules, so that models, actions, subscribers, pages and jobs register themselves."""
    for package in (*BUILT_IN, *(f"modules.{name}" for name in INSTALLED)):
        importlib.import_module(package)
        folder = Path(str(importlib.import_module(package).__file__)).parent
        for part in PARTS:
            if (folder / f"{part}.py").exists() or (folder / part / "__init__.py").exists():
                importlib.import_module(f"{package}.{part}")


def engine_options(settings: Settings) -> dict[str, Any]:
    """Server-side prepared statements are off: a generic plan would forget whose arrays it was made for."""
    return {
        "hide_parameters": True,  # session tokens and personal numbers are parameters; errors are logged
        "pool_size": settings.web_threads + 2,
        "max_overflow": 4,
        "pool_pre_ping": True,
        # compiling a plan takes longer than any of our statements runs
        "connect_args": {"prepare_threshold": None, "connect_timeout": 5, "application_name": "shuniu", "options": "-c jit=off"},
    }


def create_app(settings: Settings | None = None, **overrides: Any) -> Portal:
    """The portal for *settings* (default: file and environment). *overrides* go into Flask's configuration, for tests."""
    from portal import schema
    from portal.web import health
    from portal.web import setup as web
    from security import login

    if settings is not None:
        active_settings.use(settings)
    settings = active_settings.settings()
    make_url(settings.database_url)  # a malformed address fails here, with its own words
    app = Portal("portal", root_path=str(Path(__file__).parent), template_folder="web/templates", static_folder=None)
    options = engine_options(settings)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=options,
        SQLALCHEMY_BINDS={"worker": {"url": settings.worker_database_url, **options}},
        SESSION_COOKIE_NAME="shuniu",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.public_url.startswith("https:"),
        MAX_CONTENT_LENGTH=16 * 1024 * 1024,
        FAB_CREATE_DB=False,
        FAB_UPDATE_PERMS=False,
        FAB_ADD_SECURITY_VIEWS=False,
        FAB_ADD_SECURITY_API=False,
        FAB_ADD_OPENAPI_VIEWS=False,
        FAB_ADD_MENU_API=False,
        FAB_INDEX_VIEW="portal.web.home.Home",
        APP_NAME="枢纽",
        LANGUAGES={code: {"flag": "", "name": name} for code, name in i18n.LANGUAGES.items()},
        BABEL_DEFAULT_LOCALE=i18n.DEFAULT,
        BABEL_DEFAULT_TIMEZONE=settings.timezone,
        BABEL_TRANSLATION_DIRECTORIES=str(i18n.compile_catalogues()),
        WTF_CSRF_CHECK_DEFAULT=False,
    )
    app.config.update(overrides)
    app.after_request(_note_reads)
    db.init_app(app)
    load_modules()
    check_declared()
    with app.app_context():
        builder = AppBuilder(app, db.session, security_manager_class=PortalSecurityManager, update_perms=False)
        for endpoint in REPLACED:
            app.view_functions[endpoint] = _gone
        login.install(app, settings)
        web.install(app, builder)
        health.expect_revision(schema.head)
    return app
