"""The company's working calendar: statutory days, make-up days, overrides, years nobody knows."""

from datetime import UTC, date, datetime

import pytest

from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar, freeze


@pytest.mark.req("ALL-02")
def test_working_days_of_2026_by_month() -> None:
    year = WorkingCalendar()
    months = [len(year.workdays(date(2026, m, 1), date(2026 + m // 12, m % 12 + 1, 1))) for m in range(1, 13)]
    assert months == [21, 16, 22, 21, 19, 21, 23, 21, 22, 18, 21, 23] and sum(months) == 248


@pytest.mark.req("ALL-02")
def test_make_up_saturdays_are_worked_and_holidays_are_not() -> None:
    year = WorkingCalendar()
    assert year.is_workday(date(2026, 2, 14)) and date(2026, 2, 14).weekday() == 5
    assert not year.is_workday(date(2026, 10, 1))
    assert year.next_workday(date(2026, 9, 30)) == date(2026, 10, 8)
    assert year.previous_workday(date(2026, 10, 8)) == date(2026, 9, 30)
    assert year.next_workday(date(2026, 9, 30), 2) == date(2026, 10, 9)


@pytest.mark.req("ALL-02")
def test_an_override_decides() -> None:
    year = WorkingCalendar({date(2026, 10, 1): True, date(2026, 10, 9): False})
    assert year.is_workday(date(2026, 10, 1)) and not year.is_workday(date(2026, 10, 9))
    assert year.next_workday(date(2026, 10, 8)) == date(2026, 10, 10)


@pytest.mark.req("ALL-02", part="unknown year")
def test_a_year_nobody_knows_is_named_and_taken_as_monday_to_friday() -> None:
    beyond = max(calendar.known_years()) + 1
    with freeze(date(beyond - 1, 6, 1)):
        assert WorkingCalendar().unknown_years() == []
    with freeze(date(beyond - 1, 12, 1)):
        assert WorkingCalendar().unknown_years() == [beyond]
        assert WorkingCalendar({date(beyond, 1, 1): False}).unknown_years() == []
    monday = date.fromisocalendar(beyond, 10, 1)
    assert [WorkingCalendar().is_workday(date.fromisocalendar(beyond, 10, n)) for n in range(1, 8)] == [True] * 5 + [False] * 2
    assert monday.year == beyond


@pytest.mark.req("ALL-02")
def test_today_is_the_companys_day() -> None:
    with freeze(datetime(2026, 3, 31, 16, 30, tzinfo=UTC)):
        assert calendar.today() == date(2026, 4, 1)
        assert calendar.now() == datetime(2026, 3, 31, 16, 30, tzinfo=UTC)
    with freeze(date(2026, 3, 31)):
        assert calendar.local(calendar.now()).hour == 12
    assert calendar.moment(date(2026, 3, 31), 17, 30) == datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
