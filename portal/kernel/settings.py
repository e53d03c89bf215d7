"""Settings of this installation (file, environment) and parameters administrators change while it runs."""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import JSON, event, select

from config import Settings, load
from portal.kernel.company import Parameter as Stored
from portal.kernel.db import Session, after_commit, session, unrestricted
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _

T = TypeVar("T")
_KINDS: dict[type, str] = {bool: "bool", int: "integer", Decimal: "decimal", datetime.time: "time"}
_active: Settings | None = None


def settings() -> Settings:
    """The active settings: those the application was made with, else what file and environment say."""
    global _active
    if _active is None:
        _active = load()
    return _active


def use(active: Settings) -> None:
    """Make *active* the settings of this process."""
    global _active
    _active = active


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """A system parameter a module declares: typed, with a default and a help text (POR-12)."""

    name: str
    default: T
    type: Callable[[Any], T]
    label: Any
    help: Any = ""
    secret: bool = False
    check: Callable[[T], bool] | None = None

    def get(self) -> T:
        """The value in force.  Another process's change is seen within 10 seconds; secrets only inside `unrestricted`."""
        value = _secret(self.name) if self.secret else _values().get(self.name)
        return self.default if value is None else self.parse(value)

    @property
    def kind(self) -> str:
        """Its type in words of the fields: bool, integer, decimal, time or text."""
        return _KINDS.get(self.default.__class__, "text")

    def parse(self, value: Any) -> T:
        """*value* as typed by an administrator or stored.  Raises `Invalid` naming the parameter."""
        try:
            parsed = _boolean(value) if self.type is bool else self.type(value)
        except (ValueError, TypeError, ArithmeticError):
            parsed = None
        if parsed is None or (self.check is not None and not self.check(cast(T, parsed))):
            raise Invalid({self.name: _("This is not a valid value for “%(name)s”.", name=self.label)})
        return cast(T, parsed)

    def set(self, value: Any) -> None:
        """Store *value*.  The person needs the scope `system`.  Raises `Invalid`."""
        plain = self.parse(value)
        stored = plain if isinstance(plain, bool | int | str | list | dict) else str(plain)
        row = self._stored()
        if row is None:
            session().add(Stored(name=self.name, value=stored, secret=self.secret))
        else:
            row.value = stored

    def reset(self) -> None:
        """Let the default be in force again: null is stored.  The person needs the scope `system`."""
        row = self._stored()
        if row is not None:
            row.value = None

    def _stored(self) -> Stored | None:
        return session().scalars(select(Stored).where(Stored.name == self.name, Stored.archived_at.is_(None))).one_or_none()


declared: dict[str, Parameter[Any]] = {}


def parameter(
    name: str,
    default: T,
    type: Callable[[Any], T] | None = None,
    *,
    label: Any,
    help: Any = "",
    secret: bool = False,
    check: Callable[[T], bool] | None = None,
) -> Parameter[T]:
    """Declare the system parameter *name* (`<module>.<word>`); its type is that of *default* unless given."""
    kind = type or cast(Callable[[Any], T], default.__class__)
    declared[name] = Parameter(name, default, kind, label, help, secret, check)
    return declared[name]


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}[str(value).lower()]


# ------------------------------------------------------------------ the values, read once for all
_CACHE_SECONDS = 10.0
_cached: tuple[float, dict[str, Any]] | None = None


def _values() -> dict[str, Any]:
    global _cached
    current = _cached
    if current is None or time.monotonic() - current[0] > _CACHE_SECONDS:
        # not in the session at hand: it may be nobody's, and its viewer must not decide what everybody gets
        with unrestricted("system parameters") as s:
            rows = s.execute(select(Stored.name, Stored.value).where(Stored.secret.is_(False), Stored.archived_at.is_(None)))
            current = (time.monotonic(), dict(rows.tuples().all()))
        _cached = current
    return current[1]


def stored_names() -> set[str]:
    """Names of the parameters that have a value of their own, secrets too; values are not read."""
    with unrestricted("system parameters") as s:
        return set(s.scalars(select(Stored.name).where(Stored.archived_at.is_(None), Stored.value != JSON.NULL)))


def _secret(name: str) -> Any:
    return session().scalar(select(Stored.value).where(Stored.name == name, Stored.archived_at.is_(None)))


def forget_values() -> None:
    """Read the parameters anew at the next use."""
    global _cached
    _cached = None


@event.listens_for(Session, "after_flush")
def _changed(s: Session, _context: Any) -> None:
    if any(isinstance(row, Stored) for row in (*s.new, *s.dirty)):
        forget_values()
        after_commit(forget_values)


Amount = Decimal
"""Type of parameters that hold money."""
