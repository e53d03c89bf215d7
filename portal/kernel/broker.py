"""The doorbell: tells workers at once that the outbox has something.  Losing a ring loses nothing, since workers also look by themselves.

With Redis a dramatiq message rings for worker processes; without it the same actor runs on a broker inside this process.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import dramatiq
import redis
import structlog
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker

log = structlog.get_logger(__name__)
QUEUE = "outbox"
ACTOR = "look"

_lock = threading.Lock()
_broker: tuple[int, dramatiq.Broker] | None = None
_bell: "tuple[int, _Bell] | None" = None


def redis_broker(url: str) -> RedisBroker:
    """A broker on Redis that finds a killed worker's messages again within seconds and never waits long for a dead server."""
    client = redis.Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=20.0, socket_keepalive=True)
    return RedisBroker(client=client, heartbeat_timeout=5000, maintenance_chance=1_000_000, dead_message_ttl=60_000)  # type: ignore[no-untyped-call]


def current() -> dramatiq.Broker:
    """The broker of this process (made anew after a fork)."""
    global _broker
    with _lock:
        if _broker is None or _broker[0] != os.getpid():
            from portal.kernel.settings import settings

            url = settings().redis_url
            made: dramatiq.Broker = redis_broker(url) if url else StubBroker()
            made.declare_queue(QUEUE)
            _broker = (os.getpid(), made)
        return _broker[1]


def forget() -> None:
    """Make the broker anew at the next use, e.g. after the settings changed."""
    global _broker, _bell
    with _lock:
        _broker = _bell = None


def actor(look: Callable[[], None]) -> Any:
    """The actor that answers the doorbell by calling *look*.  Never retried: the outbox knows what is left."""
    at = current()
    with contextlib.suppress(KeyError):
        del at.actors[ACTOR]
    return dramatiq.actor(actor_name=ACTOR, queue_name=QUEUE, broker=at, max_retries=0, time_limit=3_600_000)(look)


def message() -> dramatiq.Message[Any]:
    """What the doorbell says."""
    return dramatiq.Message(queue_name=QUEUE, actor_name=ACTOR, args=(), kwargs={}, options={"max_retries": 0})


class _Bell:
    """Sends rings from a thread of its own, so that a request never waits for Redis; several rings become one."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._down = False
        threading.Thread(target=self._run, name="doorbell", daemon=True).start()

    def ring(self) -> None:
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._send()
                self._down = False
            except Exception as error:  # a doorbell that fails only costs time: its thread must not end
                if not self._down:
                    log.warning("doorbell.unreachable", error=f"{type(error).__name__}: {error}", effect="workers look every few seconds")
                self._down = True

    def _send(self) -> None:
        at = current()
        # without Redis only a process that works the outbox itself has somebody to hear it
        if ACTOR in at.actors or not isinstance(at, StubBroker):
            at.enqueue(message())


def ring() -> None:
    """Tell a worker to look into the outbox.  Never fails, never waits."""
    global _bell
    bell = _bell
    if bell is None or bell[0] != os.getpid():
        with _lock:
            bell = _bell if _bell is not None and _bell[0] == os.getpid() else (os.getpid(), _Bell())
            _bell = bell
    bell[1].ring()
