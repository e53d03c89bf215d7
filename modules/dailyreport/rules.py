"""The formulas of the daily report: what a day may contain, when a report is late, how full and how timely a team reports."""

from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

STANDARD_HOURS = Decimal("8")
DAY_HOURS = Decimal("24")
ZERO = Decimal("0")
FILL_WANTED = Fraction(4, 5)
"""A lower fill rate is marked."""


class Fault(StrEnum):
    """Why a day or a line is refused; the words for people are in actions."""

    FUTURE = "future"
    BEFORE_JOINING = "before_joining"
    AFTER_LEAVING = "after_leaving"
    NOT_EMPLOYED = "not_employed"
    MONTH_CLOSED = "month_closed"
    HOURS_RANGE = "hours_range"
    HOURS_PRECISION = "hours_precision"
    DAY_TOTAL = "day_total"
    OVERTIME_MARK = "overtime_mark"
    NO_LINES = "no_lines"


def month_of(day: date) -> date:
    """First day of the month of *day*."""
    return day.replace(day=1)


def week_of(day: date) -> tuple[date, date]:
    """Half-open week [Monday, next Monday) around *day*."""
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=7)


def month_span(day: date) -> tuple[date, date]:
    """Half-open month [first day, first day of the next month) around *day*."""
    first = month_of(day)
    return first, (first + timedelta(days=32)).replace(day=1)


def day_fault(day: date, today: date, joined_on: date | None, last_day: date | None, closed: Collection[date] = ()) -> Fault | None:
    """Why no report may be written for *day*, or None.

    *joined_on* is the first day of work, *last_day* the last one (None while the employment lasts); *closed* holds the first days of
    closed months.
    """
    if day > today:
        return Fault.FUTURE
    if joined_on is None:
        return Fault.NOT_EMPLOYED
    if day < joined_on:
        return Fault.BEFORE_JOINING
    if last_day is not None and day > last_day:
        return Fault.AFTER_LEAVING
    if month_of(day) in closed:
        return Fault.MONTH_CLOSED
    return None


def hours_fault(hours: Decimal) -> Fault | None:
    """Why *hours* cannot stand on one line, or None: more than 0, at most 24, in steps of a hundredth."""
    if not hours.is_finite() or not ZERO < hours <= DAY_HOURS:
        return Fault.HOURS_RANGE
    if hours != hours.quantize(Decimal("0.01")):
        return Fault.HOURS_PRECISION
    return None


def total_fault(hours: Iterable[Decimal]) -> Fault | None:
    """Why the lines of a day together are refused, or None. Reversal lines are negative and take back what they reverse."""
    lines = list(hours)
    if not lines:
        return Fault.NO_LINES
    total = sum(lines, ZERO)
    return Fault.DAY_TOTAL if total > DAY_HOURS or total < ZERO else None


def needs_overtime_mark(total: Decimal, workday: bool) -> bool:
    """Whether the author has to mark the day as overtime: more than eight hours, or any hour on a rest day."""
    return total > STANDARD_HOURS or (not workday and total > ZERO)


def overtime_hours(total: Decimal, workday: bool) -> Decimal:
    """Hours beyond the standard day: above eight on a working day, all of them on a rest day.  docs/formulas/overtime-hours.md"""
    return max(total - STANDARD_HOURS, ZERO) if workday else max(total, ZERO)


def report_deadline(day: date, next_workday: Callable[[date], date], at: time, zone: ZoneInfo) -> datetime:
    """The moment until which the report of *day* is on time: *at* o'clock of the first working day after it.

    docs/formulas/report-deadline.md
    """
    return datetime.combine(next_workday(day), at, zone)


def is_late(submitted_at: datetime, deadline: datetime) -> bool:
    """A report exactly at the deadline is on time."""
    return submitted_at > deadline


def expected_days(workdays: Iterable[date], joined_on: date | None, last_day: date | None, on_leave: Collection[date] = ()) -> list[date]:
    """Working days of the employment from *joined_on* to *last_day*, both included, without leave: the days a report is due for."""
    if joined_on is None:
        return []
    return [d for d in workdays if d >= joined_on and (last_day is None or d <= last_day) and d not in on_leave]


def ratio(part: Decimal | int, whole: Decimal | int) -> Fraction | None:
    """Exact *part* / *whole*; None when there is nothing to divide by."""
    return Fraction(part) / Fraction(whole) if whole else None


def fill_rate(submitted: int, expected: int) -> Fraction | None:
    """Reports submitted for the days they were due, by the days due; None when none was due.  docs/formulas/fill-rate.md"""
    return ratio(min(submitted, expected), expected)


def timeliness(on_time: int, expected: int) -> Fraction | None:
    """Reports submitted by the deadline, by the days whose deadline has passed or that are submitted.  docs/formulas/timeliness.md"""
    return ratio(min(on_time, expected), expected)


def saturation(hours: Decimal, due_days: int) -> Fraction | None:
    """Reported hours by standard hours of the days due; above 1 means overtime.  docs/formulas/saturation.md"""
    return ratio(hours, due_days * STANDARD_HOURS)


def utilisation(project_hours: Decimal, due_days: int) -> Fraction | None:
    """Hours on projects by standard hours of the days due.  docs/formulas/utilisation.md"""
    return ratio(project_hours, due_days * STANDARD_HOURS)


def over_allocated(hours: Decimal, due_days: int) -> bool:
    """Whether a person reported more than the standard hours of a period.  docs/formulas/over-allocation.md"""
    return hours > due_days * STANDARD_HOURS


def rounded(value: Fraction, places: int) -> Decimal:
    """*value* with so many decimal places, half away from zero."""
    scaled = (abs(value) * 10**places + Fraction(1, 2)).__floor__()
    return Decimal(scaled if value >= 0 else -scaled).scaleb(-places)


def four_places(value: Fraction | None) -> Decimal | None:
    """A ratio as sent: four places."""
    return None if value is None else rounded(value, 4)


def percentage(value: Fraction) -> Decimal:
    """A ratio as people read it: in per cent, one place."""
    return rounded(value * 100, 1)
