"""Named limits on what may be tried how often: sign-ins and refused access tokens by address, exports by person.

Counted in Redis, if there is one, for all processes together, else in each process for itself; while Redis is away too.  Passwords have
locks of their own, counted in the sign-in history (`security.accounts`, `security.emergency`).
"""

import math
import threading
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

import structlog
from flask import has_request_context, request
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from portal.kernel.errors import TooMany
from portal.kernel.i18n import _, _l
from portal.kernel.settings import settings

log = structlog.get_logger(__name__)
AWAY = 30.0
"""Seconds after which Redis is asked again when it did not answer."""


@dataclass(frozen=True)
class Limit:
    """At most *times* in *seconds* for one address or person."""

    times: int
    seconds: int
    words: Any


LIMITS = {
    # a whole office may come from one address at nine o'clock
    "login": Limit(300, 60, _l("Too many sign-ins from your network address.")),
    "token": Limit(60, 60, _l("Too many refused access tokens from your network address.")),
    "export": Limit(100, 600, _l("Too many exports in a short time.")),
    "import": Limit(60, 600, _l("Too many imports in a short time.")),
}


class _Counters:
    """Where this process counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, SlidingWindowCounterRateLimiter] = {}
        self._away_until = 0.0

    def at(self, url: str | None) -> SlidingWindowCounterRateLimiter:
        """The counters in Redis at *url*, those of this process without one."""
        with self._lock:
            if (url or "") not in self._made:
                # redis-py would try again for seconds
                options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "socket_connect_timeout": 1, "socket_timeout": 1}
                storage: Storage = RedisStorage(url, key_prefix="shuniu:limits", **options) if url else MemoryStorage()
                self._made[url or ""] = SlidingWindowCounterRateLimiter(storage)
            return self._made[url or ""]

    def hit(self, item: RateLimitItemPerSecond, name: str, who: str) -> float | None:
        """Count one; None when it is within the limit, else the time (`time.time`) from which it is again."""
        url = settings().redis_url if time.monotonic() >= self._away_until else None
        try:
            return self._hit(self.at(url), item, name, who)
        except RedisError as error:
            self._away_until = time.monotonic() + AWAY
            log.warning("limits.redis_away", error=type(error).__name__)
            return self._hit(self.at(None), item, name, who)

    @staticmethod
    def _hit(counters: SlidingWindowCounterRateLimiter, item: RateLimitItemPerSecond, name: str, who: str) -> float | None:
        if counters.hit(item, name, who):
            return None
        return counters.get_window_stats(item, name, who).reset_time

    def forget(self) -> None:
        """Begin anew, in this process only."""
        with self._lock:
            self._made.clear()
            self._away_until = 0.0


_counters = _Counters()
forget = _counters.forget


def exceeded(name: str, who: object) -> int | None:
    """Count one more of *name* for *who*; None within the limit, else the seconds to wait."""
    limit = LIMITS[name]
    over = _counters.hit(RateLimitItemPerSecond(limit.times, limit.seconds), name, str(who))
    if over is None:
        return None
    log.warning("limit.exceeded", limit=name, who=str(who))
    return max(1, min(limit.seconds, math.ceil(over - time.time())))


def count(name: str, who: object) -> None:
    """Count one more of *name* for *who*.  Raises `TooMany` above the limit."""
    wait = exceeded(name, who)
    if wait is not None:
        raise TooMany(message(name, wait), retry_after=wait)


def message(name: str, wait: int) -> str:
    """What the person reads."""
    again = _("Please try again in %(n)s seconds.", n=wait)
    return f"{LIMITS[name].words} {again}"


def address() -> str:
    """The address the request at hand came from; of IPv6 the network, since one line has more addresses than anybody can count."""
    given = (request.remote_addr or "") if has_request_context() else ""
    try:
        found = ip_address(given.partition("%")[0])
    except ValueError:
        return given
    if isinstance(found, IPv4Address):
        return given
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
