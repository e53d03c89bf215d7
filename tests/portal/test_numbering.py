"""Document numbers: without gaps, unique while many submit at once, never used twice."""

import threading
from collections.abc import Iterator
from datetime import date

import pytest
from flask import Flask
from sqlalchemy import text

from portal.kernel import numbering
from portal.kernel.db import unrestricted
from portal.kernel.errors import Invalid
from portal.kernel.numbering import check_pattern, next_number, period_of, render, series

DAY = date(2026, 3, 31)
numbering.series("TEST", "XM-{yyyy}-{seq:4}")


@pytest.fixture
def entity(app: Flask) -> Iterator[int]:
    with app.app_context():
        with unrestricted("test") as s:
            s.execute(text("delete from kernel_number_counter"))
            s.execute(text("delete from kernel_number_series"))
            found = s.scalar(text("select min(id) from kernel_entity"))
        yield found


def one(entity: int, day: date = DAY, code: str = "TEST") -> str:
    with unrestricted("test"):
        return next_number(code, entity, day)


@pytest.mark.req("ALL-03")
def test_numbers_follow_each_other_and_start_again_each_year(entity: int) -> None:
    assert [one(entity), one(entity), one(entity, date(2027, 1, 1)), one(entity)] == [
        "XM-2026-0001",
        "XM-2026-0002",
        "XM-2027-0001",
        "XM-2026-0003",
    ]


@pytest.mark.req("ALL-03", part="gap-free")
def test_a_rolled_back_transaction_leaves_no_gap(entity: int) -> None:
    assert one(entity) == "XM-2026-0001"
    with pytest.raises(ZeroDivisionError), unrestricted("test"):
        assert next_number("TEST", entity, DAY) == "XM-2026-0002"
        _ = 1 / 0
    assert one(entity) == "XM-2026-0002"


@pytest.mark.req("ALL-03", part="concurrency")
def test_many_at_once_get_all_the_numbers_and_none_twice(app: Flask, entity: int) -> None:
    got: list[str] = []

    def submit(n: int) -> None:
        with app.app_context():
            for i in range(10):
                try:
                    with unrestricted("test"):
                        number = next_number("TEST", entity, DAY)
                        if (n + i) % 4 == 0:
                            raise ZeroDivisionError
                    got.append(number)
                except ZeroDivisionError:
                    pass

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [f"XM-2026-{n:04d}" for n in range(1, 61)]


@pytest.mark.req("ALL-03", part="pattern")
def test_administrators_choose_the_pattern_also_for_one_entity(entity: int) -> None:
    with unrestricted("test") as s:
        other = s.scalar(text("insert into kernel_entity (code, name) values ('SUB', '{}') returning id"))
        add = text("insert into kernel_number_series (code, entity_id, pattern) values ('TEST', :e, :p)")
        s.execute(add, [{"e": None, "p": "P{yy}{mm}-{seq:3}"}, {"e": other, "p": "{entity}/{seq}"}])
    assert one(entity) == "P2603-001" and one(entity, date(2026, 4, 1)) == "P2604-001"
    assert [one(other), one(other, date(2031, 1, 1))] == ["SUB/1", "SUB/2"]


@pytest.mark.req("ALL-03", part="pattern")
@pytest.mark.parametrize("pattern", ["XM", "{seq}{seq}", "{seq:4}-{week}", "{seq:4", "{yyyy}-{}", "{seq:4}}"])
def test_a_pattern_that_cannot_work_is_refused(pattern: str, app: Flask) -> None:
    with app.app_context(), pytest.raises(Invalid):
        check_pattern(pattern)


def test_a_series_nobody_declared(entity: int) -> None:
    with pytest.raises(LookupError):
        one(entity, code="NOBODY")


def test_periods_and_rendering() -> None:
    assert period_of("A-{seq}", DAY) == "" and period_of("A-{yy}-{seq}", DAY) == "2026"
    assert period_of("{yyyy}{mm}{dd}{seq}", DAY) == "2026-03-31"
    assert render("{yyyy}{mm}{dd}/{seq:2}", DAY, 123) == "20260331/123"
    assert series("TEST", "XM-{yyyy}-{seq:4}") == "TEST"
