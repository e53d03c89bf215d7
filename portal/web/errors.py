"""Every error becomes one clear answer: JSON for programs and scripts of the pages, a page for people. Nothing inner leaks."""

from typing import Any
from urllib.parse import urlencode

import structlog
from flask import Flask, Response, g, render_template, request
from flask_login import AnonymousUserMixin
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from portal.kernel.db import db
from portal.kernel.errors import Conflict, NotSignedIn, PortalError, TooMany, Unavailable
from portal.kernel.i18n import _
from portal.web import frame, records
from portal.web.resource import answer, jsonable
from security.visibility import context

log = structlog.get_logger(__name__)

_KINDS = {
    400: "bad_request",
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    405: "method",
    409: "conflict",
    413: "invalid",
    422: "invalid",
    428: "bad_request",
    429: "too_many",
    503: "unavailable",
}


class Failure(PortalError):
    """Something broke on our side; the log has it under the request id."""

    http, code = 500, "server_error"


def install(app: Flask) -> None:
    """Makes every exception of *app* one of ours."""
    app.register_error_handler(Exception, handle)


def handle(e: Exception) -> Any:
    """The answer for *e*."""
    _forget()
    return respond(translate(e))


def translate(e: Exception) -> PortalError:
    """*e* as an error with status, code and words."""
    known = records.answer(e)
    if known is None and isinstance(e, CSRFError):
        known = PortalError(_("The page was open too long. Load it again and send it once more."), code="csrf")
        known.http = 400
    elif known is None and isinstance(e, HTTPException) and (e.code or 500) < 500:
        known = _http(e)
    elif known is None and isinstance(e, OperationalError | PoolTimeout):
        known = Unavailable(_("The database cannot be reached. Please try again in a moment."), code="database_unavailable")
    if known is None:
        log.exception("request.failed", path=request.path, kind=type(e).__name__)
        return Failure(_("Something broke on our side. It has been recorded."))
    if isinstance(e, DBAPIError):
        log.info("request.refused", code=known.code, sqlstate=getattr(e.orig, "sqlstate", None))
    if isinstance(known, Unavailable) and known.code == "database_unavailable":
        _without_database()
    return known


def _without_database() -> None:
    # from here on nothing may ask who is looking: the answer is made for nobody
    g.database_away = True
    g._login_user = AnonymousUserMixin()


def _http(e: HTTPException) -> PortalError:
    words = {
        400: _("The request could not be understood."),
        404: _("This record does not exist."),
        405: _("This address does not work that way."),
        413: _("This is too large."),
        415: _("This kind of content is not understood here."),
        429: _("Too many requests. Please wait a moment."),
    }
    status = e.code or 400
    out = TooMany(words[429]) if status == 429 else PortalError(words.get(status, words[400]), code=_KINDS.get(status, "bad_request"))
    out.http = status
    return out


def respond(e: PortalError) -> Any:
    """The answer for a portal error, in the form the caller understands."""
    response = _json(e) if wants_json() else _page(e)
    retry = getattr(e, "retry_after", None)
    if retry:
        response.headers["Retry-After"] = str(retry)
    if e.http == 401:
        response.headers.setdefault("WWW-Authenticate", 'Bearer realm="shuniu"')
    response.headers["Cache-Control"] = "no-store"
    return response


def wants_json() -> bool:
    """Programs, and the scripts of the pages, get JSON."""
    if request.path.startswith(("/api/", "/lookup/", "/health", "/metrics")) or request.headers.get("HX-Request") or request.is_json:
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return best == "application/json" and request.accept_mimetypes[best] > request.accept_mimetypes["text/html"]


def body_of(e: PortalError) -> dict[str, Any]:
    """`{"error": {code, message, fields}}`, in a conflict with both versions."""
    error: dict[str, Any] = {"code": e.code, "message": str(e), "fields": jsonable(e.fields) if e.fields else {}}
    if isinstance(e, Conflict):
        error |= {"version": e.version, "yours": e.yours, "theirs": e.theirs}
    if e.http >= 500:
        error["request_id"] = g.get("request_id", "")
    return {"error": error}


def _json(e: PortalError) -> Response:
    return answer(body_of(e), e.http)


def _page(e: PortalError) -> Response:
    if isinstance(e, NotSignedIn):
        target = request.full_path.rstrip("?") if request.method == "GET" else "/"
        where = "/login/" if target == "/" else "/login/?" + urlencode({"next": target})
        return Response("", status=302, headers={"Location": where})
    shown = {
        "status": e.http,
        "kind": "csrf" if e.code == "csrf" else _KINDS.get(e.http, "server"),
        "message": str(e) if e.http < 500 and str(e) else None,
        "request_id": g.get("request_id", ""),
        "at": None,
        "retry_url": request.full_path if e.http == 503 and request.method == "GET" else None,
        "retry_seconds": getattr(e, "retry_after", None) if e.http == 503 else None,
        "detail": "; ".join(str(v) for v in e.fields.values() if not isinstance(v, list) and str(v) != str(e)) or None,
        "actions": [],
    }
    try:
        framed = not g.get("database_away") and context().me is not None
        html = (
            frame.render("portal/error.html", error=shown, title=str(e.http))
            if framed
            else render_template("portal/error.html", error=shown, framed=False)
        )
    except (DBAPIError, PoolTimeout):
        _forget()
        _without_database()
        html = render_template("portal/error.html", error=shown, framed=False)
    return Response(html, status=e.http, mimetype="text/html")


def _forget() -> None:
    # whatever the failed request did is undone before the error page is made
    try:
        db.session.rollback()
    except SQLAlchemyError:
        db.session.remove()
