"""The doors: sign-in, Keycloak's answer, sign-out at both ends, and the pages for those who cannot come in."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

import structlog
from flask import Flask, g, redirect, render_template, request
from flask import session as cookie
from flask_appbuilder.security.views import AuthView
from flask_wtf.csrf import validate_csrf
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response
from wtforms.validators import ValidationError

from config import Settings
from portal.kernel.db import db
from portal.kernel.errors import NotFound, Unavailable
from portal.kernel.i18n import _, language
from portal.kernel.settings import settings
from security import accounts, bearer, emergency, following, rates, sessions, signins
from security.oidc import HOME, SIGNED_OUT, Attempt, SignInRefused, local_path, provider
from security.tokens import BadToken
from security.visibility import context

log = structlog.get_logger(__name__)

RETRY_SECONDS = 10
KEPT_IN_COOKIE = ("locale", "theme")
KEYCLOAK_LOCALES = {"zh": "zh-CN", "en": "en"}
SAMPLE_ACCOUNTS = (
    "admin",
    "leader",
    "domain.manager",
    "pm.chen",
    "head.rd",
    "member.wang",
    "member.zhao",
    "hr",
    "qa",
    "finance",
    "outsider",
)

F = TypeVar("F", bound=Callable[..., Any])


def opens(url: str, methods: tuple[str, ...] = ("GET",)) -> Callable[[F], F]:
    """Makes a method answer *url*, for everybody: where Flask-AppBuilder looks for routes."""

    def declare(f: F) -> F:
        cast(Any, f)._urls = [*getattr(f, "_urls", ()), (url, list(methods))]
        return f

    return declare


def page(status: int, kind: str = "", **words: Any) -> Response:
    """A page for somebody who is not signed in; nothing of it may be kept by a browser or proxy."""
    shown = {"kind": kind, "status": status, "request_id": g.get("request_id", "")} | words
    return _no_store(Response(render_template("portal/error.html", error=shown, framed=False), status=status, mimetype="text/html"))


def unavailable(retry_url: str) -> Response:
    """Keycloak does not answer: said instead of sending the browser into the void; tries again by itself."""
    answer = page(503, "sso_down", retry_url=retry_url, retry_seconds=RETRY_SECONDS)
    answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _no_store(answer: Response) -> Response:
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _login_url(path: str = HOME) -> str:
    return "/login/" if path == HOME else "/login/?" + urlencode({"next": path})


def _go(address: str) -> Response:
    return _no_store(redirect(address, 303 if request.method == "POST" else 302))


class LoginView(AuthView):  # type: ignore[misc]
    """Replaces Flask-AppBuilder's sign-in."""

    route_base = ""

    # ------------------------------------------------------------------ in
    @opens("/login/", methods=("GET", "POST"))
    def login(self) -> Response:
        """Send the browser to Keycloak, or show the password form where single sign-on is switched off."""
        active = settings()
        path = local_path(request.values.get("next"), active.public_url)
        if request.headers.get("HX-Request"):
            return _whole_page(active)
        if context().me is not None:
            return _go(path)
        rates.count("login", rates.address())
        if active.local_accounts:
            return self._local(path)
        if request.method == "POST":
            return _go(_login_url(path))
        oidc = provider()
        if not oidc.reachable():
            return unavailable(_login_url(path))
        if request.host != urlsplit(active.public_url).netloc and not request.args.get("moved"):
            # the answer will come to the public address, where a cookie set here would be missing
            return _go(f"{active.public_url}/login/?{urlencode({'next': path, 'moved': 1})}")
        attempt = Attempt.begin(cookie, path)
        return _go(oidc.authorization_url(attempt, ui_locales=KEYCLOAK_LOCALES[language()]))

    @opens("/oidc/callback")
    def callback(self) -> Response:
        """Keycloak's answer: a code for the sign-in begun in this browser, or a refusal."""
        active, oidc = settings(), provider()
        if active.local_accounts:
            raise NotFound
        attempt = Attempt.take(cookie, request.args.get("state", ""))
        if attempt is None:
            return _go(HOME) if context().me is not None else _expired()
        if "error" in request.args:
            log.info("login.refused", error=request.args["error"][:100])
            signins.refused("refused", "provider", way="keycloak")
            return _expired() if request.args.get("error_description") == "authentication_expired" else _refused(attempt.path)
        try:
            if request.args.get("iss", oidc.issuer) != oidc.issuer:
                raise SignInRefused("answer of another issuer")
            token = oidc.exchange(request.args.get("code", ""), attempt)
        except SignInRefused as error:
            log.warning("login.refused", error=str(error))
            signins.refused("refused", "answer", way="keycloak")
            return _refused(attempt.path)
        except Unavailable:
            return unavailable(_login_url(attempt.path))
        sid = token.claims.get("sid")
        if isinstance(sid, str) and sessions.logged_out(sid):
            # ended in the portal a moment ago and Keycloak has not heard of it yet: no way back in without signing in anew
            subject, username = token.claims["sub"], token.claims.get("preferred_username")
            signins.refused("refused", "over", way="keycloak", username=username, subject=subject)
            return _go(oidc.logout_url(token.raw))
        arrival = accounts.sign_in(token.claims)
        if arrival.outcome != "ok":
            return _not_let_in(arrival)
        self._enter(arrival, sid=sid if isinstance(sid, str) else None, id_token=token.raw, subject=token.claims["sub"])
        return _go(attempt.path)

    def _local(self, path: str) -> Response:
        """The password form; by flag only, and the frame says so in a banner."""
        error, username, status = "", request.form.get("username", "").strip(), 200
        if request.method == "POST":
            try:
                validate_csrf(request.form.get("csrf_token"))
                arrival = accounts.check_password(username, request.form.get("password", ""))
            except ValidationError:
                error, status = _("The page was open too long. Please try again."), 400
            else:
                if arrival.outcome == "ok":
                    self._enter(arrival)
                    return _go(path)
                if arrival.outcome == "inactive":
                    return _not_let_in(arrival)
                error, status = _("User name or password is wrong."), 401
                if arrival.outcome == "locked":
                    error, status = _("Too many wrong passwords. Please try again in 15 minutes."), 429
        samples = SAMPLE_ACCOUNTS if settings().demo else ()
        shown = {"local": True, "sso_url": None, "error": error, "username": username, "next": path, "sample_accounts": samples}
        return _no_store(Response(render_template("portal/login.html", **shown), status=status, mimetype="text/html"))

    @opens("/emergency", methods=("GET", "POST"))
    def emergency(self) -> Response:
        """The emergency administrator's own sign-in; there is no such page unless an operator opened it (POR-13)."""
        if emergency.opened_until() is None:
            raise NotFound(_("This page does not exist."))
        error, status = "", 200
        if request.method == "POST":
            rates.count("login", rates.address())
            arrival, until = emergency.check(request.form.get("password", ""))
            if arrival.outcome == "ok":
                self._enter(arrival, expires=until)
                return _go(HOME)
            error, status = _("The password is wrong."), 401
            if arrival.outcome == "locked":
                error, status = _("Too many wrong passwords. Please try again in 15 minutes."), 429
        shown = _no_store(Response(render_template("portal/emergency.html", error=error), status=status, mimetype="text/html"))
        if status == 429:
            shown.headers["Retry-After"] = str(int(accounts.LOCK_FOR.total_seconds()))
        return shown

    @staticmethod
    def _enter(
        arrival: accounts.Arrival,
        sid: str | None = None,
        id_token: str | None = None,
        subject: str | None = None,
        expires: datetime | None = None,
    ) -> None:
        """Begin the session: a fresh token in a cookie emptied of everything the browser brought along."""
        if arrival.user_id is None:
            raise ValueError("nobody to let in")
        held = cookie.get("sid")
        token = sessions.start(arrival.user_id, sid=sid, id_token=id_token, subject=subject, replaces=held, expires=expires)
        kept = {name: cookie[name] for name in KEPT_IN_COOKIE if name in cookie}
        cookie.clear()
        cookie.update(kept, sid=token)
        log.info("login.ok", user_id=arrival.user_id)

    # ------------------------------------------------------------------ out
    @opens("/logout/", methods=("GET", "POST"))
    def logout(self) -> Response:
        """End the session here, at once, and then Keycloak's, which ends those of the other applications.

        Only when the person sends the form: a link or a picture elsewhere that leads here signs nobody out. Where no session is left to
        end here, the way goes on to Keycloak, which asks by itself.
        """
        if request.method != "POST" and context().me is not None:
            return _no_store(Response(render_template("portal/sign_out.html"), mimetype="text/html"))
        token = cookie.get("sid")
        ended = sessions.end(token) if token else None
        kept = {name: cookie[name] for name in KEPT_IN_COOKIE if name in cookie}
        cookie.clear()
        cookie.update(kept)
        if ended:
            log.info("logout", user_id=ended.user_id)
        if settings().local_accounts or (ended and ended.user_name == emergency.USERNAME):
            return _go(SIGNED_OUT)
        oidc = provider()
        if not oidc.reachable():
            return _go(f"{SIGNED_OUT}?keycloak=away")
        return _go(oidc.logout_url(ended.id_token if ended else None))

    @opens(SIGNED_OUT)
    def signed_out(self) -> Response:
        """Where Keycloak sends the browser after the sign-out."""
        away = request.args.get("keycloak") == "away"
        message = (
            _("You are signed out of the portal. The sign-in service could not be reached: close the browser to be signed out there too.")
            if away
            else _("You are signed out of the portal and of the applications that share its sign-in.")
        )
        again = [{"label": _("Sign in again"), "url": "/login/", "primary": True}]
        return page(200, "unauthorised", title=_("You are signed out"), message=message, actions=again)

    @opens("/oidc/backchannel-logout", methods=("POST",))
    def backchannel_logout(self) -> Response:
        """Keycloak says that a session is over (OpenID Connect Back-Channel Logout 1.0); it ends here before the answer is given."""
        try:
            if settings().local_accounts:
                raise BadToken("single sign-on is off")
            raw = request.form.getlist("logout_token")
            if len(raw) != 1:
                raise BadToken("not exactly one logout token")
            claims = provider().verify_logout_token(raw[0])
            ended = sessions.obey_logout(claims["jti"], claims.get("sid"), claims.get("sub"))
            if ended is None:
                raise BadToken("used before")
        except BadToken as error:
            log.warning("backchannel.refused", reason=str(error))
            return _no_store(Response('{"error": "invalid_request"}', status=400, mimetype="application/json"))
        log.info("backchannel.logout", ended=ended)
        return _no_store(Response("", status=200))


# ------------------------------------------------------------------ those who cannot come in
def _whole_page(active: Settings) -> Response:
    """A piece of a page cannot hold the sign-in: have the browser load the sign-in, and come back to the page it shows."""
    shown = local_path(request.headers.get("HX-Current-URL"), active.public_url)
    return _no_store(Response("", status=200, headers={"HX-Redirect": _login_url(shown)}))


def _expired() -> Response:
    again = [{"label": _("Sign in again"), "url": "/login/", "primary": True}]
    message = _("It was begun too long ago or in another browser. Please start again.")
    return page(400, title=_("This sign-in has expired"), message=message, actions=again)


def _refused(path: str) -> Response:
    again = [{"label": _("Try again"), "url": _login_url(path), "primary": True}]
    message = _("The sign-in service did not confirm who you are. Please try again.")
    return page(400, title=_("The sign-in did not succeed"), message=message, actions=again)


def _not_let_in(arrival: accounts.Arrival) -> Response:
    """Somebody Keycloak knows and the portal does not let in.  No session, and no redirect that would come straight back here."""
    other = [{"label": _("Sign in with another account"), "url": "/logout/", "primary": True}]
    if arrival.outcome == "unlinked":
        return page(403, "no_employee", actions=other)
    message = _(
        "The account of %(name)s may not use the portal at present. If that is not right, ask people administration.", name=arrival.name
    )
    return page(403, "forbidden", title=_("This account is switched off"), message=message, actions=other)


# ------------------------------------------------------------------ installation
def banner() -> str | None:
    """What stands above every page of the emergency administrator, and of everybody while single sign-on is switched off."""
    seen = db.session().info.get("ctx")
    if seen is not None and seen.me is not None and seen.username == emergency.USERNAME:
        return str(_("Emergency access: everything done here is recorded, and leaders and security administrators were told."))
    if not settings().local_accounts:
        return None
    return str(_("Single sign-on is off: people sign in with local accounts. Not for daily use."))


def install(app: Flask, active: Settings) -> None:
    """Add the doors to *app* and let access tokens in; called inside the application context, after AppBuilder was made."""
    builder = app.extensions["appbuilder"]
    view = LoginView()
    builder.add_view_no_menu(view)
    builder.sm.auth_view = view
    app.before_request(bearer.authenticate)
    app.after_request(_note_use)
    app.context_processor(lambda: {"banner": banner()})
    log.debug("login.installed", keycloak=not active.local_accounts, job=following.JOB)


def _note_use(response: Response) -> Response:
    seen = db.session().info.get("ctx")
    if seen is not None and seen.me is not None and response.status_code < 500:
        try:
            sessions.note_use(seen.session_id)
        except SQLAlchemyError as error:  # the answer is made; a missing note harms nobody
            log.warning("session.not_noted", error=type(error).__name__)
    return response
