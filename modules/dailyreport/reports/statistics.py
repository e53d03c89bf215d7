"""Statistics of reports: fill rate, timeliness, where the effort went, utilisation, over-allocation (DAY-08)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import func, select

from modules.dailyreport import rules
from modules.dailyreport.models import CATEGORIES, DailyReport, ReportLine
from modules.dailyreport.reports.period import Period
from modules.dailyreport.reports.team import Person, absences, among
from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import session

ZERO = Decimal(0)


@dataclass
class PersonFigures:
    """One person's period. *due* counts the days a report is due for, until today."""

    person: Person
    due: int
    closed: int
    submitted: int = 0
    on_time: int = 0
    hours: Decimal = ZERO
    project_hours: Decimal = ZERO
    overtime: Decimal = ZERO
    reports: int = 0

    @property
    def fill_rate(self) -> Fraction | None:
        return rules.fill_rate(self.submitted, self.due)

    @property
    def timeliness(self) -> Fraction | None:
        return rules.timeliness(self.on_time, self.closed)

    @property
    def utilisation(self) -> Fraction | None:
        return rules.utilisation(self.project_hours, self.due)

    @property
    def saturation(self) -> Fraction | None:
        return rules.saturation(self.hours, self.due)

    @property
    def over_allocated(self) -> bool:
        return rules.over_allocated(self.hours, self.due)


@dataclass(frozen=True)
class Share:
    """Hours on one project or kind of work, by so many people."""

    project_id: int | None
    category: str | None
    label: str
    hours: Decimal
    confirmed: Decimal
    people: int
    part: Fraction | None


@dataclass(frozen=True)
class Statistics:
    """A team's figures, each the sum of its rows."""

    period: Period
    people: list[PersonFigures]
    shares: list[Share]

    def total(self, name: str) -> Any:
        """Sum of a figure over all people."""
        return sum((getattr(p, name) for p in self.people), ZERO if name in ("hours", "project_hours", "overtime") else 0)

    @property
    def fill_rate(self) -> Fraction | None:
        return rules.fill_rate(self.total("submitted"), self.total("due"))

    @property
    def timeliness(self) -> Fraction | None:
        return rules.timeliness(self.total("on_time"), self.total("closed"))

    @property
    def utilisation(self) -> Fraction | None:
        return rules.utilisation(self.total("project_hours"), self.total("due"))

    @property
    def over_allocated(self) -> list[PersonFigures]:
        """People above the standard hours, the fullest first."""
        return sorted((p for p in self.people if p.over_allocated), key=lambda p: p.saturation or 0, reverse=True)


def statistics(people: list[Person], period: Period) -> Statistics:
    """Figures of *people* in *period*. Four statements."""
    working, today = WorkingCalendar.load(), calendar.today()
    workdays = [d for d in working.workdays(period.start, period.end) if d <= today]
    ids = [p.id for p in people]
    away = absences(ids, period)
    figures: dict[int, PersonFigures] = {}
    for person in people:
        due = rules.expected_days(workdays, person.joined_on, person.last_day, away.get(person.id, {}))
        figures[person.id] = PersonFigures(person, len(due), sum(d < today for d in due))
    for row in _reports(ids, period, workdays, today):
        found = figures[row.author_id]
        found.reports, found.overtime = row.reports, row.overtime
        # a report on a day of leave or rest is work, but was not due
        found.submitted, found.on_time = min(row.submitted, found.due), min(row.on_time, found.due)
        found.closed = min(found.closed + row.today, found.due)
    shares: dict[tuple[int | None, str | None], list[Any]] = {}
    for row in _lines(ids, period):
        found = figures[row.author_id]
        found.hours += row.hours
        if row.project_id is not None:
            found.project_hours += row.hours
        entry = shares.setdefault((row.project_id, row.category), [row.label, ZERO, ZERO, 0])
        entry[1] += row.hours
        entry[2] += row.confirmed or ZERO
        entry[3] += 1
    whole = sum((e[1] for e in shares.values()), ZERO)
    ordered = sorted(shares.items(), key=lambda item: item[1][1], reverse=True)
    return Statistics(
        period,
        list(figures.values()),
        [
            Share(project, category, label or str(CATEGORIES.get(category or "", "")), hours, confirmed, count, rules.ratio(hours, whole))
            for (project, category), (label, hours, confirmed, count) in ordered
        ],
    )


def _reports(ids: list[int], period: Period, workdays: list[Any], today: Any) -> Sequence[Any]:
    r = DailyReport
    on_workday = r.day.in_(workdays)
    return (
        session()
        .execute(
            select(
                r.author_id,
                func.count().label("reports"),
                func.count().filter(on_workday).label("submitted"),
                func.count().filter(on_workday, r.late.is_(False)).label("on_time"),
                func.count().filter(r.day == today).label("today"),
                func.sum(r.overtime_hours).label("overtime"),
            )
            .where(among(r.author_id, ids), r.day >= period.start, r.day < period.end, r.state == "submitted")
            .group_by(r.author_id)
        )
        .all()
    )


def _lines(ids: list[int], period: Period) -> Sequence[Any]:
    x = ReportLine
    return (
        session()
        .execute(
            select(
                x.author_id,
                x.project_id,
                x.category,
                func.max(x.project_label).label("label"),
                func.sum(x.hours).label("hours"),
                func.sum(x.hours).filter(x.state == "confirmed").label("confirmed"),
            )
            .where(among(x.author_id, ids), x.day >= period.start, x.day < period.end, x.state != "open")
            .group_by(x.author_id, x.project_id, x.category)
        )
        .all()
    )


@dataclass(frozen=True)
class Week:
    """Fill rate of one week, for the trend."""

    period: Period
    rate: Fraction | None


def trend(people: list[Person], period: Period, weeks: int = 12) -> list[Week]:
    """Fill rate of the *weeks* weeks that end with *period*. Three statements."""
    working, today = WorkingCalendar.load(), calendar.today()
    first = Period("week", *rules.week_of(period.last)).start - timedelta(weeks=weeks - 1)
    whole = Period("month", first, first + timedelta(weeks=weeks))
    workdays = [d for d in working.workdays(whole.start, whole.end) if d <= today]
    ids = [p.id for p in people]
    away = absences(ids, whole)
    r = DailyReport
    done: dict[Any, int] = dict(
        session()
        .execute(
            select(r.day, func.count())
            .where(among(r.author_id, ids), r.day >= whole.start, r.day < whole.end, r.state == "submitted", r.day.in_(workdays))
            .group_by(r.day)
        )
        .tuples()
        .all()
    )
    due: dict[Any, int] = {}
    for person in people:
        for day in rules.expected_days(workdays, person.joined_on, person.last_day, away.get(person.id, {})):
            due[day] = due.get(day, 0) + 1
    found = []
    for n in range(weeks):
        week = Period("week", first + timedelta(weeks=n), first + timedelta(weeks=n + 1))
        days = [d for d in workdays if week.start <= d < week.end]
        found.append(Week(week, rules.fill_rate(sum(done.get(d, 0) for d in days), sum(due.get(d, 0) for d in days))))
    return found
