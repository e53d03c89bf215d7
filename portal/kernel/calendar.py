"""Time of the company: now, today, and which days people work.

Moments are aware UTC datetimes, business days are dates in the company's zone.  Working days come from the
statutory calendar of the `chinesecalendar` library, make-up days included, corrected by what administrators
enter as `WorkingDay`.  A year the library does not know is Monday to Friday and a visible warning.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import chinese_calendar
import structlog

log = structlog.get_logger(__name__)
_frozen: datetime | None = None
_warned: set[int] = set()
# the statutory calendar of a year appears in the November before it
_NOTICE = timedelta(days=45)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def zone() -> ZoneInfo:
    """The company's time zone."""
    from portal.kernel.settings import settings

    return _zone(settings().timezone)


def now() -> datetime:
    """This moment, aware, UTC.  Inside `freeze` the frozen one."""
    return _frozen or datetime.now(UTC)


def today() -> date:
    """Today's date at the company."""
    return local(now()).date()


def local(moment: datetime) -> datetime:
    """*moment* in the company's zone."""
    return moment.astimezone(zone())


def moment(day: date, hour: int = 0, minute: int = 0) -> datetime:
    """The moment *hour*:*minute* of *day* at the company, as UTC."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone()).astimezone(UTC)


FIRST, LAST = date(1900, 1, 1), date(2999, 12, 31)
"""Days people may name: within them neighbours, weeks and deadlines of a day exist too."""


def parse_day(text: str) -> date:
    """The day that *text* (ISO 8601) names.  Raises ValueError when it is none between `FIRST` and `LAST`."""
    day = date.fromisoformat(text.strip())
    if not FIRST <= day <= LAST:
        raise ValueError(f"{day} is out of range")
    return day


@contextmanager
def freeze(at: datetime | date) -> Iterator[datetime]:
    """For tests: `now` stands still at *at* for the whole process; a date means its noon at the company."""
    global _frozen
    before = _frozen
    instant = at.astimezone(UTC) if isinstance(at, datetime) else moment(at, 12)
    _frozen = instant
    try:
        yield instant
    finally:
        _frozen = before


@cache
def known_years() -> frozenset[int]:
    """Years the statutory calendar library covers."""
    return frozenset(day.year for day in chinese_calendar.holidays)


def _statutory(day: date) -> bool:
    if day.year in known_years():
        return bool(chinese_calendar.is_workday(day))
    if day.year not in _warned:
        _warned.add(day.year)
        log.warning("calendar.unknown_year", year=day.year, assumed="Monday to Friday")
    return day.weekday() < 5


class WorkingCalendar:
    """Which days are worked: the statutory calendar with the administrators' overrides."""

    def __init__(self, overrides: Mapping[date, bool] | None = None) -> None:
        self.overrides = dict(overrides or {})

    @classmethod
    def load(cls) -> "WorkingCalendar":
        """The calendar with the override table of the current session: one statement, keep it while you need it."""
        from portal.kernel.company import overrides

        return cls(overrides())

    def is_workday(self, day: date) -> bool:
        """Whether people work on *day*."""
        own = self.overrides.get(day)
        return _statutory(day) if own is None else own

    def next_workday(self, day: date, count: int = 1) -> date:
        """The *count*-th working day after *day*."""
        return self._step(day, count, 1)

    def previous_workday(self, day: date, count: int = 1) -> date:
        """The *count*-th working day before *day*."""
        return self._step(day, count, -1)

    def workdays(self, start: date, end: date) -> list[date]:
        """Working days of the half-open period [*start*, *end*)."""
        days = (start + timedelta(days=n) for n in range((end - start).days))
        return [day for day in days if self.is_workday(day)]

    def _step(self, day: date, count: int, direction: int) -> date:
        seen = 0
        while seen < count:
            day += timedelta(days=direction)
            seen += self.is_workday(day)
        return day

    def unknown_years(self) -> list[int]:
        """Years in use soon that nobody keeps: unknown to the library and without any override."""
        kept = {day.year for day in self.overrides} | known_years()
        return [year for year in range(today().year, (today() + _NOTICE).year + 1) if year not in kept]


def unknown_years() -> list[int]:
    """`WorkingCalendar.unknown_years` of the current session; administrators see a warning while it is not empty."""
    return WorkingCalendar.load().unknown_years()
