"""The web server: gunicorn, the application loaded once and shared by its processes."""

import json
import logging
import time
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from portal.app import create_app
from portal.commands import database
from portal.kernel.db import db
from portal.kernel.settings import settings
from portal.kernel.worker import start_inside
from portal.web import logs

MEMORY = "/dev/shm"  # noqa: S108  (heartbeat files of the processes must not wait for a disk)


class ServerLog(Logger):  # type: ignore[misc]
    """The server's own events as JSON lines. Requests are logged by the application, which knows the person, never the query string."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLines())


class JsonLines(logging.Formatter):
    """Log records as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
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
            "logger_class": ServerLog,
            "loglevel": chosen.log_level.lower(),
            "timeout": 60,
            "graceful_timeout": 10,
            "keepalive": 5,
            "forwarded_allow_ips": "*" if chosen.proxies else "127.0.0.1",
            "worker_tmp_dir": MEMORY if Path(MEMORY).is_dir() else None,
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
        if not settings().redis_url:  # nobody rings elsewhere: this process looks after the outbox too
            start_inside(self.app)


def serve(*, prepare: bool = False) -> None:
    """Load the application and serve it until a signal ends us; with *prepare* migrate and load the sample company first."""
    logs.configure(settings().log_level)
    app = create_app()
    if prepare:
        database.prepare_demo(app)
    Server(app).run()
