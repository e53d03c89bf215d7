"""Events: told at once within the transaction, or once after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import text

from portal.kernel import outbox
from portal.kernel.db import unrestricted
from portal.kernel.errors import Refusal
from portal.kernel.events import after, decode, encode, on, publish


@dataclass(frozen=True)
class Submitted:
    """A test event with every kind of value."""

    pk: int
    day: date
    at: datetime
    hours: Decimal
    note: str | None
    days: tuple[date, ...]
    labels: dict[str, str]


EVENT = Submitted(
    1, date(2026, 3, 31), datetime(2026, 3, 31, 9, tzinfo=UTC), Decimal("7.50"), None, (date(2026, 4, 1),), {"zh": "甲", "en": "A"}
)
heard: list[tuple[str, Submitted]] = []
refusing: list[bool] = []


@on(Submitted)
def at_once(event: Submitted) -> None:
    heard.append(("on", event))
    if refusing:
        raise Refusal("no")


@after(Submitted)
def later(event: Submitted) -> None:
    heard.append(("after", event))


@pytest.fixture(autouse=True)
def clean(app: Flask) -> Iterator[None]:
    heard.clear()
    refusing.clear()
    with app.app_context():
        with unrestricted("test") as s:
            s.execute(text("delete from kernel_outbox"))
        yield


def test_values_survive_the_outbox() -> None:
    assert decode(Submitted, encode(EVENT)) == EVENT


def test_subscribers_hear_it_at_once_and_later_exactly_once() -> None:
    with unrestricted("test"):
        publish(EVENT)
        assert heard == [("on", EVENT)]
    outbox.drain()
    outbox.drain()
    assert heard == [("on", EVENT), ("after", EVENT)]


def test_a_refusal_takes_everything_back() -> None:
    refusing.append(True)
    with pytest.raises(Refusal), unrestricted("test"):
        publish(EVENT)
    outbox.drain()
    assert [name for name, _ in heard] == ["on"]
