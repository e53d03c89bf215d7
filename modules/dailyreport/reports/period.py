"""Periods on pages: a day, a week or a month, with their words and neighbours."""

from dataclasses import dataclass
from datetime import date, timedelta

from babel.dates import format_date

from modules.dailyreport import rules
from portal.kernel.i18n import _, language

KINDS = ("day", "week", "month")


@dataclass(frozen=True)
class Period:
    """A half-open stretch of days [start, end) that a page shows. kind: day, week or month."""

    kind: str
    start: date
    end: date

    @property
    def days(self) -> list[date]:
        """Every day in it."""
        return [self.start + timedelta(days=n) for n in range((self.end - self.start).days)]

    @property
    def last(self) -> date:
        """The last day in it."""
        return self.end - timedelta(days=1)

    def around(self, day: date) -> "Period":
        """The period of this kind that holds *day*."""
        return period_of(self.kind, day)

    @property
    def before(self) -> "Period":
        """The one before."""
        return self.around(self.start - timedelta(days=1))

    @property
    def after(self) -> "Period":
        """The one after."""
        return self.around(self.end)

    @property
    def words(self) -> str:
        """How people call it: 11月23日 – 29日."""
        if self.kind == "day":
            return day_words(self.start)
        if self.kind == "month":
            return str(format_date(self.start, "yyyy年M月" if language() == "zh" else "MMMM yyyy", locale=language()))
        if language() == "zh":
            last = f"{self.last.day}日" if self.last.month == self.start.month else f"{self.last.month}月{self.last.day}日"
            return f"{self.start.month}月{self.start.day}日 – {last}"
        pattern = "d" if self.last.month == self.start.month else "MMM d"
        return f"{format_date(self.start, 'MMM d', locale='en')} – {format_date(self.last, pattern, locale='en')}"

    @property
    def this(self) -> str:
        """This week, that week …: how a sentence names it."""
        return str({"day": _("On this day"), "week": _("In this week"), "month": _("In this month")}[self.kind])


def period_of(kind: str, day: date) -> Period:
    """The period of *kind* around *day*."""
    if kind == "day":
        return Period(kind, day, day + timedelta(days=1))
    start, end = rules.week_of(day) if kind == "week" else rules.month_span(day)
    return Period(kind, start, end)


def day_words(day: date) -> str:
    """A day with its weekday: 11月26日 周四."""
    return str(format_date(day, "M月d日 EEE" if language() == "zh" else "EEE, MMM d", locale=language()))


def weekday_words(day: date, narrow: bool = False) -> str:
    """The weekday alone: 周四, or 四."""
    word = str(format_date(day, "EEE", locale=language()))
    return word[-1] if narrow and language() == "zh" else word
