"""System parameters: typed, with defaults, changed by administrators only, secrets hidden."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from portal.kernel.db import unrestricted
from portal.kernel.errors import Invalid
from portal.kernel.settings import declared, forget_values, parameter

days = parameter("test.days", 3, label="Days", check=lambda n: 0 < n < 100)
limit = parameter("test.limit", Decimal("1.50"), label="Limit")
on = parameter("test.on", True, label="On")
key = parameter("test.key", "", label="Key", secret=True)


@pytest.fixture(autouse=True)
def clean(app: Flask) -> Iterator[None]:
    with app.app_context():
        with unrestricted("test") as s:
            s.execute(text("delete from kernel_parameter"))
        forget_values()
        yield


@pytest.mark.req("POR-12", part="parameters")
def test_defaults_and_changes() -> None:
    with unrestricted("test"):
        assert (days.get(), limit.get(), on.get()) == (3, Decimal("1.50"), True)
        days.set("5")
        limit.set("2.25")
        on.set("off")
    with unrestricted("test"):
        assert (days.get(), limit.get(), on.get()) == (5, Decimal("2.25"), False)
        days.set(6)
    with unrestricted("test") as s:
        assert days.get() == 6
        assert s.scalar(text("select count(*) from kernel_parameter where name = 'test.days'")) == 1
    assert declared["test.days"] is days


@pytest.mark.parametrize("value", ["", "x", "0", "100", None, "1.5"])
def test_a_wrong_value_is_refused(value: Any) -> None:
    with unrestricted("test"), pytest.raises(Invalid) as refusal:
        days.set(value)
    assert list(refusal.value.fields) == ["test.days"]


@pytest.mark.req("POR-12", part="parameters")
def test_only_administrators_change_them_and_see_secrets(request_as: Callable[..., Any]) -> None:
    with unrestricted("test"):
        key.set("dingtalk://secret")
        days.set(7)
    with request_as("member.wang") as s:
        assert s.scalars(text("select name from kernel_parameter")).all() == ["test.days"]
        assert days.get() == 7
    with request_as("admin") as s:
        assert sorted(s.scalars(text("select name from kernel_parameter"))) == ["test.days", "test.key"]
        days.set(8)
    with request_as("member.wang") as s, pytest.raises(DBAPIError):
        s.execute(text("insert into kernel_parameter (name, value) values ('test.limit', '9')"))
