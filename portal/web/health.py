"""Health, metrics and the line per request in the log (POR-15)."""

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import requests
import structlog
from flask import Blueprint, Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from portal import __version__
from portal.kernel.db import db
from portal.kernel.settings import settings
from portal.web.resource import answer

log = structlog.get_logger("portal.request")
blueprint = Blueprint("health", __name__)

REQUESTS = Counter("portal_requests_total", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram("portal_request_seconds", "Time to answer", ["route"], buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
STATEMENTS = Histogram("portal_request_statements", "SQL statements per request", ["route"], buckets=(0, 1, 2, 3, 4, 6, 8, 12, 20, 50, 100))

Check = Callable[[], str]
_checks: dict[str, Check] = {}
_expected_revision: Callable[[], str | None] | None = None


def check(name: str) -> Callable[[Check], Check]:
    """Registers a dependency named in /health/ready; the function returns `ok` or says what is wrong. It never makes the portal unready."""

    def register(f: Check) -> Check:
        _checks[name] = f
        return f

    return register


def expect_revision(head: Callable[[], str | None]) -> None:
    """Tells which migration the code needs; without it the state of the migrations is not checked."""
    global _expected_revision
    _expected_revision = head


@blueprint.get("/health/live")
def live() -> Response:
    """The process answers."""
    return answer({"status": "ok", "version": __version__})


@blueprint.get("/health/ready")
def ready() -> Response:
    """200 when PostgreSQL and the migrations are ready; the other dependencies are named and only degrade."""
    parts = {"postgresql": _postgresql()}
    parts["migrations"] = _migrations() if parts["postgresql"] == "ok" else "unknown"
    able = all(p == "ok" for p in parts.values())
    parts |= {name: _cached(name, f) for name, f in _checks.items()}
    status = "unavailable" if not able else "ok" if all(p in ("ok", "off", "in process") for p in parts.values()) else "degraded"
    return answer({"status": status, "version": __version__, "parts": parts}, 200 if able else 503)


def _postgresql() -> str:
    try:
        with db.engine.connect() as conn:
            conn.execute(text("select 1"))
        return "ok"
    except SQLAlchemyError:
        return "cannot be reached"


def _migrations() -> str:
    if _expected_revision is None:
        return "ok"
    try:
        with db.engine.connect() as conn:
            found = conn.execute(text("select version_num from alembic_version")).scalar()
        return "ok" if found == _needed() else f"database is at {found}"
    except SQLAlchemyError:
        return "not migrated"


@cache
def _needed() -> str | None:
    return _expected_revision() if _expected_revision is not None else None


_results: dict[str, tuple[float, str]] = {}
_lock = threading.Lock()


def _cached(name: str, f: Check) -> str:
    # probes come every few seconds from several places
    with _lock:
        at, result = _results.get(name, (0.0, ""))
        if time.monotonic() - at > 5:
            try:
                result = f()
            except Exception as e:  # a module's own check may raise anything; the answer names it
                result = f"cannot be reached ({type(e).__name__})"
            _results[name] = (time.monotonic(), result)
    return result


@check("keycloak")
def _keycloak() -> str:
    if settings().local_accounts:
        return "off"
    got = requests.get(f"{settings().oidc_issuer}/.well-known/openid-configuration", timeout=2)
    return "ok" if got.ok else f"answers {got.status_code}"


@check("broker")
def _broker() -> str:
    url = settings().redis_url
    if not url:
        return "in process"
    import redis

    redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1).ping()
    return "ok"


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus metrics of this process, or of all when gunicorn shares a folder."""
    import os

    registry: CollectorRegistry = DEFAULT_REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), mimetype=CONTENT_TYPE_LATEST)


# -------------------------------------------------------------------- per request
@event.listens_for(Engine, "before_cursor_execute")
def _count(_conn: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
    from flask import has_request_context

    if has_request_context():
        g.statements = g.get("statements", 0) + 1
        if g.get("trace_sql") is not None:
            g.trace_sql.append(statement)


def install(app: Flask) -> None:
    """Counts and logs every request of *app*."""

    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def finish(response: Response) -> Response:
        seconds = time.perf_counter() - g.get("started", time.perf_counter())
        route = request.url_rule.rule if request.url_rule else "unknown"
        REQUESTS.labels(request.method, route, response.status_code).inc()
        if route != "/static/<path:name>":
            SECONDS.labels(route).observe(seconds)
            STATEMENTS.labels(route).observe(g.get("statements", 0))
            _remember_person()
            # the path only: query strings may hold what people typed
            log.info(
                "request",
                method=request.method,
                path=request.path,
                status=response.status_code,
                ms=round(seconds * 1000, 1),
                statements=g.get("statements", 0),
            )
        return response

    app.register_blueprint(blueprint)


def _remember_person() -> None:
    s = db.session()
    ctx = s.info.get("ctx")
    if ctx is not None and ctx.me is not None:
        g.user_id = ctx.me
