"""The web server: gunicorn, the application loaded once and shared by its processes."""

import json
import logging
import time
from datetime import datetime, timedelta
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from portal.app import create_app
from portal.kernel.db import db
from portal.kernel.settings import settings

QUIET = ("/static/", "/health/")
"""Paths whose successful requests are not worth a line."""


class RequestLog(Logger):  # type: ignore[misc]
    """One JSON line per request. The query string stays out: it may hold codes and tokens."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(JsonLines())

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        path = environ.get("PATH_INFO", "")
        if resp.status_code < 400 and path.startswith(QUIET):
            return
        self.access_log.info(
            "request",
            extra={
                "fields": {
                    "method": environ.get("REQUEST_METHOD"),
                    "path": path,
                    "status": resp.status_code,
                    "ms": round(request_time.total_seconds() * 1000, 1),
                    "bytes": getattr(resp, "sent", None),
                    "ip": environ.get("REMOTE_ADDR"),
                    "request_id": dict(resp.headers).get("X-Request-ID"),
                }
            },
        )


class JsonLines(logging.Formatter):
    """Log records as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with our settings instead of a command line."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        super().__init__()

    def load_config(self) -> None:
        chosen = settings()
        values: dict[str, Any] = {
            "bind": f"{chosen.host}:{chosen.port}",
            "workers": chosen.web_workers,
            "threads": chosen.web_threads,
            "worker_class": "gthread",
            "preload_app": True,
            "post_fork": self.after_fork,
            "logger_class": RequestLog,
            "accesslog": "-",
            "loglevel": chosen.log_level.lower(),
            "timeout": 60,
            "graceful_timeout": 10,
            "keepalive": 5,
            "forwarded_allow_ips": "*" if chosen.proxies else "127.0.0.1",
            "worker_tmp_dir": "/dev/shm" if _has_memory_folder() else None,  # noqa: S108
            "control_socket_disable": True,
        }
        for name, value in values.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        return self.app

    def after_fork(self, server: Any, worker: Any) -> None:
        """Connections of the parent belong to the parent: each process opens its own."""
        with self.app.app_context():
            for engine in db.engines.values():
                engine.dispose(close=False)


def _has_memory_folder() -> bool:
    from pathlib import Path

    return Path("/dev/shm").is_dir()  # noqa: S108


def serve() -> None:
    """Load the application and serve it until a signal ends us."""
    started = datetime.now().astimezone()
    app = create_app()
    server = Server(app)
    logging.getLogger("gunicorn.error").debug("loaded in %s", datetime.now().astimezone() - started)
    server.run()
