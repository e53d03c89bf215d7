"""The formulas of the daily report, with worked figures and over arbitrary input."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.dailyreport import rules
from modules.dailyreport.rules import Fault

ZONE = ZoneInfo("Asia/Shanghai")
DAYS = st.dates(date(2020, 1, 1), date(2035, 12, 31))
HOURS = st.decimals(Decimal("-30"), Decimal("30"), places=2)


def weekdays(day: date) -> date:
    day += timedelta(days=1)
    while day.weekday() > 4:
        day += timedelta(days=1)
    return day


@pytest.mark.req("DAY-02")
class TestDay:
    @given(DAYS, DAYS, DAYS, st.none() | DAYS, st.sets(DAYS.map(rules.month_of), max_size=3))
    def test_a_day_is_admitted_exactly_when_worked_past_and_open(self, day, today, joined, last, closed):
        fault = rules.day_fault(day, today, joined, last, closed)
        admitted = joined <= day <= today and (last is None or day <= last) and day.replace(day=1) not in closed
        assert (fault is None) == admitted

    @pytest.mark.parametrize(
        ("day", "expected"),
        [
            (date(2026, 11, 26), Fault.FUTURE),
            (date(2026, 11, 25), None),
            (date(2026, 2, 28), Fault.BEFORE_JOINING),
            (date(2026, 3, 1), None),
            (date(2026, 10, 31), Fault.MONTH_CLOSED),
        ],
    )
    def test_worked_days(self, day, expected):
        assert rules.day_fault(day, date(2026, 11, 25), date(2026, 3, 1), None, {date(2026, 10, 1)}) == expected

    def test_the_last_day_at_work_still_counts_and_the_next_does_not(self):
        assert rules.day_fault(date(2026, 11, 20), date(2026, 11, 25), date(2025, 1, 1), date(2026, 11, 20)) is None
        assert rules.day_fault(date(2026, 11, 21), date(2026, 11, 25), date(2025, 1, 1), date(2026, 11, 20)) == Fault.AFTER_LEAVING

    def test_nobody_reports_without_an_employment(self):
        assert rules.day_fault(date(2026, 11, 25), date(2026, 11, 25), None, None) == Fault.NOT_EMPLOYED


@pytest.mark.req("DAY-02")
class TestHours:
    @given(HOURS)
    def test_a_line_holds_more_than_nothing_and_at_most_a_day(self, hours):
        assert (rules.hours_fault(hours) is None) == (0 < hours <= 24)

    @pytest.mark.parametrize("hours", ["NaN", "Infinity", "-Infinity", "24.01", "0", "-1"])
    def test_what_is_no_number_of_hours_is_refused(self, hours):
        assert rules.hours_fault(Decimal(hours)) == Fault.HOURS_RANGE

    def test_a_thousandth_of_an_hour_is_refused(self):
        assert rules.hours_fault(Decimal("1.005")) == Fault.HOURS_PRECISION

    @given(st.lists(st.decimals(Decimal("0.01"), Decimal("24"), places=2), max_size=8))
    def test_the_day_holds_at_most_24_hours(self, lines):
        fault = rules.total_fault(lines)
        if not lines:
            assert fault == Fault.NO_LINES
        else:
            assert (fault is None) == (sum(lines) <= 24)

    def test_26_hours_are_refused_and_a_reversal_takes_back(self):
        assert rules.total_fault([Decimal("13"), Decimal("13")]) == Fault.DAY_TOTAL
        assert rules.total_fault([Decimal("8"), Decimal("-8"), Decimal("6")]) is None
        assert rules.total_fault([Decimal("4"), Decimal("-8")]) == Fault.DAY_TOTAL

    @given(st.decimals(Decimal("0"), Decimal("24"), places=2), st.booleans())
    def test_the_overtime_mark_is_needed_exactly_when_there_is_overtime(self, total, workday):
        assert rules.needs_overtime_mark(total, workday) == (rules.overtime_hours(total, workday) > 0)

    def test_overtime_of_a_working_day_and_of_a_rest_day(self):
        assert rules.overtime_hours(Decimal("10"), True) == Decimal("2")
        assert rules.overtime_hours(Decimal("8"), True) == 0
        assert rules.overtime_hours(Decimal("4"), False) == Decimal("4")


@pytest.mark.req("DAY-02")
class TestDeadline:
    def test_friday_is_due_on_monday_noon_and_noon_itself_is_on_time(self):
        due = rules.report_deadline(date(2026, 11, 20), weekdays, time(12), ZONE)
        assert due == datetime(2026, 11, 23, 12, tzinfo=ZONE)
        assert not rules.is_late(due, due)
        assert rules.is_late(due + timedelta(microseconds=1), due)

    @given(DAYS)
    def test_the_deadline_is_always_after_the_day(self, day):
        assert rules.report_deadline(day, weekdays, time(0), ZONE).date() > day


@pytest.mark.req("DAY-08")
class TestStatistics:
    @given(st.integers(0, 500), st.integers(0, 500))
    def test_rates_stay_between_nothing_and_all(self, done, due):
        for rate in (rules.fill_rate(done, due), rules.timeliness(done, due)):
            assert rate is None if due == 0 else 0 <= rate <= 1

    def test_worked_figures(self):
        assert rules.four_places(rules.fill_rate(33, 36)) == Decimal("0.9167")
        assert rules.four_places(rules.timeliness(31, 36)) == Decimal("0.8611")
        shown = [str(rules.percentage(x)) for x in (Fraction(31, 36), Fraction(9, 8), Fraction(-1, 800))]
        assert shown == ["86.1", "112.5", "-0.1"]
        assert rules.saturation(Decimal("36"), 4) == Fraction(9, 8)
        assert rules.utilisation(Decimal("24"), 4) == Fraction(3, 4)
        assert rules.utilisation(Decimal("8"), 0) is None

    @given(st.fractions(-5, 5))
    def test_four_places_round_half_away_from_zero(self, value):
        shown = rules.four_places(value)
        assert abs(Fraction(shown) - value) <= Fraction(1, 20000)
        assert rules.four_places(-value) == -shown

    @given(st.decimals(Decimal("0"), Decimal("300"), places=2), st.integers(0, 23))
    def test_over_allocated_means_saturation_above_one(self, hours, days):
        rate = rules.saturation(hours, days)
        assert rules.over_allocated(hours, days) == (hours > 0 if rate is None else rate > 1)

    @given(st.lists(DAYS, unique=True), DAYS, st.none() | DAYS)
    def test_reports_are_due_within_the_employment_only(self, days, joined, last):
        due = rules.expected_days(days, joined, last)
        assert set(due) == {d for d in days if joined <= d and (last is None or d <= last)}
        assert rules.expected_days(days, None, None) == []


@given(DAYS)
def test_weeks_and_months_are_half_open(day):
    monday, following = rules.week_of(day)
    assert monday.weekday() == 0 and monday <= day < following == monday + timedelta(days=7)
    first, following = rules.month_span(day)
    assert first.day == following.day == 1 and first <= day < following
