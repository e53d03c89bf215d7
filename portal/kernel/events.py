"""Events: facts that modules publish and others, who may lie above them, react to.

An event is a frozen dataclass of plain values (int, str, bool, date, datetime, Decimal, lists and dicts of them).
`@on` runs in the publisher's transaction and may raise `Refusal`, which rolls everything back.
`@after` runs later, from the outbox, once per event, as the system.
"""

import dataclasses
import uuid
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from portal.kernel import outbox

E = TypeVar("E")
Subscriber = Callable[[E], None]

_during: dict[type[Any], list[Subscriber[Any]]] = {}
_later: dict[type[Any], list[str]] = {}


def on(event: type[E]) -> Callable[[Subscriber[E]], Subscriber[E]]:
    """Register a function called with every published *event*, in the same transaction."""

    def register(function: Subscriber[E]) -> Subscriber[E]:
        _during.setdefault(event, []).append(function)
        return function

    return register


def after(event: type[E]) -> Callable[[Subscriber[E]], Subscriber[E]]:
    """Register a function called after the publisher committed, through the outbox: retried until it succeeds."""

    def register(function: Subscriber[E]) -> Subscriber[E]:
        name = f"{function.__module__}.{function.__qualname__}"

        @outbox.handler(name)
        def deliver(**values: Any) -> None:
            function(decode(event, values))

        _later.setdefault(event, []).append(name)
        return function

    return register


def publish(event: Any) -> None:
    """Tell everybody about *event*: `@on` subscribers now, `@after` subscribers once this transaction is committed."""
    for function in _during.get(type(event), ()):
        function(event)
    names = _later.get(type(event), ())
    if names:
        values, occurrence = encode(event), uuid.uuid4().hex
        for name in names:
            outbox.enqueue(name, values, key=f"event:{occurrence}:{name}")


def encode(event: Any) -> dict[str, Any]:
    """The fields of *event* as JSON values."""
    return {field.name: _plain(getattr(event, field.name)) for field in dataclasses.fields(event)}


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def decode(event: type[E], values: dict[str, Any]) -> E:
    """The *event* that `encode` wrote as *values*."""
    hints = get_type_hints(event)
    return event(**{name: _typed(hints[name], value) for name, value in values.items() if name in hints})


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, inner = get_origin(hint), [a for a in get_args(hint) if a is not type(None)]
    if origin in (list, tuple, set, frozenset):
        return origin(_typed(inner[0], item) for item in value)
    if origin is not None and origin is not dict:
        return _typed(inner[0], value)
    if hint in (date, datetime):
        return hint.fromisoformat(value)
    return Decimal(value) if hint is Decimal else value
