"""The team board: who of a department subtree reported, who did not, who is on leave, and what the hours went into (DAY-05)."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import ColumnElement, any_, bindparam, func, select

from modules.dailyreport import rules
from modules.dailyreport.actions.deciding import waits_for
from modules.dailyreport.models import CATEGORIES, DailyReport, LineText, ReportLine
from modules.dailyreport.reports.period import Period
from modules.hr.actions import away
from modules.hr.models import Department, Employee, Employment
from modules.project.models import Project
from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import Ids, session
from security.visibility import context, viewer

ZERO = Decimal(0)
GAP = timedelta(days=60)
"""How far back it is counted since when somebody has not reported."""
Absences = dict[int, dict[date, str]]
"""Kind of leave by person and day."""


def among(column: Any, ids: Collection[int]) -> ColumnElement[bool]:
    """*column* is one of *ids*, as one array parameter: the same plan at any size."""
    found: ColumnElement[bool] = column == any_(bindparam(None, list(ids), Ids(), unique=True))
    return found


# ------------------------------------------------------------------ who
@dataclass(frozen=True)
class Unit:
    """A department the reader may open: *ids* is its subtree."""

    id: int
    name: str
    parent_id: int | None
    ids: frozenset[int]


def units() -> dict[int, Unit]:
    """Departments whose reports the person at hand may read, by id: the headed subtrees, or all of them for the scope `staff`."""
    ctx = context()
    rows = session().execute(select(Department.id, Department.name, Department.parent_id).order_by(Department.code)).all()
    children: dict[int | None, list[int]] = defaultdict(list)
    for row in rows:
        children[row.parent_id].append(row.id)

    def below(root: int) -> Iterable[int]:
        yield root
        for child in children[root]:
            yield from below(child)

    allowed = {row.id for row in rows} if "staff" in ctx.scopes else set(ctx.seen_ids("headed_departments"))
    return {row.id: Unit(row.id, row.name, row.parent_id, frozenset(below(row.id))) for row in rows if row.id in allowed}


@dataclass(frozen=True)
class Person:
    """Somebody whose reports are due: *joined_on* and *last_day* (None: still here) bound the days."""

    id: int
    name: str
    department_id: int
    joined_on: date
    last_day: date | None


def people_of(departments: Collection[int], period: Period) -> list[Person]:
    """People of *departments* who were employed in *period* and whom the reader answers for, by department and name."""
    rows = session().execute(
        select(Employee.user_id, Employee.name, Employee.department_id, Employment.joined_on, Employment.left_on)
        .join(Employment, Employment.employee_id == Employee.id)
        .join(Department, Department.id == Employee.department_id)
        .where(
            among(Employee.department_id, departments),
            Employment.joined_on < period.end,
            (Employment.left_on.is_(None)) | (Employment.left_on >= period.start),
        )
        .order_by(Department.code, Employee.number)
    )
    return [Person(*row) for row in rows]


def absences(people: Collection[int], period: Period) -> Absences:
    """Kind of leave by person and day of *period* that is wholly leave; a business trip is work. One statement."""
    found: dict[int, dict[date, str]] = defaultdict(dict)
    for (person, day), leave in away(people, period.start, period.end).items():
        if leave.whole_day and leave.kind != "trip":
            found[person][day] = leave.kind
    return found


# ------------------------------------------------------------------ what
@dataclass
class Cell:
    """One person's day. tone: ok confirmed, info waits, warn returned, due today, risk missing, rest leave, "" nothing due."""

    day: date
    tone: str = ""
    hours: Decimal | None = None
    overtime: Decimal = ZERO
    late: bool = False
    leave: str = ""
    report_id: int | None = None


@dataclass
class Row:
    """One person's period."""

    person: Person
    cells: list[Cell]
    hours: Decimal = ZERO
    due: int = 0
    submitted: int = 0
    on_time: int = 0
    missing: list[date] = field(default_factory=list)
    gap: int = 0

    @property
    def saturation(self) -> Fraction | None:
        """Hours by the standard hours of the days due until today."""
        return rules.saturation(self.hours, self.due)


@dataclass(frozen=True)
class Problem:
    """A problem somebody raised in a report."""

    report_id: int
    person: Person
    day: date
    text: str


@dataclass(frozen=True)
class Slice:
    """Hours of a day on one project (or kind of work)."""

    day: date
    project_id: int | None
    label: str
    hours: Decimal


@dataclass
class Board:
    """A team's period: rows and figures, all from the same numbers."""

    period: Period
    today: date
    workdays: list[date]
    rows: list[Row]
    slices: list[Slice]
    problems: list[Problem]
    waiting: int = 0
    waiting_for_me: int = 0
    before: Fraction | None = None
    """Timeliness of the period before."""

    @property
    def due(self) -> int:
        return sum(row.due for row in self.rows)

    @property
    def submitted(self) -> int:
        return sum(row.submitted for row in self.rows)

    @property
    def missing(self) -> list[Row]:
        """People with a missing day before today."""
        return [row for row in self.rows if row.missing]

    @property
    def timeliness(self) -> Fraction | None:
        """Reports on time by the days due: those before today, and today's that are already there."""
        closed = sum(row.due for row in self.rows) - len(self.open_today)
        return rules.timeliness(sum(row.on_time for row in self.rows), closed)

    @property
    def hours(self) -> Decimal:
        return sum((row.hours for row in self.rows), ZERO)

    @property
    def overtime(self) -> Decimal:
        return sum((cell.overtime for row in self.rows for cell in row.cells), ZERO)

    @property
    def has_today(self) -> bool:
        """Today is a working day in the period."""
        return self.today in self.workdays

    def _today(self, tones: Collection[str]) -> list[tuple[Row, Cell]]:
        return [(r, c) for r in self.rows for c in r.cells if c.day == self.today and c.tone in tones]

    @property
    def open_today(self) -> list[Row]:
        """People whose report of today is due and not there yet."""
        return [row for row, _cell in self._today(("due",))]

    @property
    def done_today(self) -> list[tuple[Row, Cell]]:
        return self._today(("ok", "info", "warn"))

    @property
    def away_today(self) -> list[tuple[Row, Cell]]:
        return self._today(("rest",))


def board(people: list[Person], period: Period, working: WorkingCalendar | None = None, *, figures: bool = True) -> Board:
    """The board of *people* in *period*. Six statements at any number of people; without *figures* the rows alone, with three."""
    working, today = working or WorkingCalendar.load(), calendar.today()
    workdays = working.workdays(period.start, period.end)
    ids = [p.id for p in people]
    first = period.before.start if figures else period.start
    free = absences(ids, Period(period.kind, min(first, today - GAP) if today in workdays else first, period.end))
    found = {(r.author_id, r.day): r for r in _reports(ids, period)}
    result = Board(period, today, workdays, [], _slices(ids, period) if figures else [], [])
    for person in people:
        result.rows.append(_row(person, period, workdays, free.get(person.id, {}), found, today))
    by_id = {p.id: p for p in people}
    result.problems = [
        Problem(r.id, by_id[r.author_id], r.day, r.problems) for r in found.values() if r.problems and r.state == "submitted"
    ]
    result.problems.sort(key=lambda p: (p.day, p.report_id), reverse=True)
    if figures:
        result.waiting, result.waiting_for_me = _waiting(ids, period)
        result.before = _timeliness_before(people, period.before, working, free)
    _gaps(result, working, free)
    return result


def _row(person: Person, period: Period, workdays: list[date], away: dict[date, str], found: dict[Any, Any], today: date) -> Row:
    due = set(rules.expected_days([d for d in workdays if d <= today], person.joined_on, person.last_day, away))
    row = Row(person, [])
    for day in period.days:
        cell, report = Cell(day), found.get((person.id, day))
        if report is not None and report.state == "submitted":
            cell.tone = "warn" if report.returned else "info" if report.waiting else "ok"
            cell.hours, cell.late, cell.report_id = report.hours, report.late, report.id
            cell.overtime = report.overtime_hours
            row.hours += report.hours
            if day in due:
                row.submitted += 1
                row.on_time += not report.late
        elif day in away:
            cell.tone, cell.leave = "rest", away[day]
        elif day in due:
            cell.tone = "due" if day == today else "risk"
            if day < today:
                row.missing.append(day)
        row.cells.append(cell)
    row.due = len(due)
    return row


def _reports(ids: list[int], period: Period) -> Sequence[Any]:
    lines = (
        select(
            ReportLine.report_id,
            func.count().filter(ReportLine.state == "returned").label("returned"),
            func.count().filter(ReportLine.state.in_(("submitted", "open"))).label("waiting"),
        )
        .where(among(ReportLine.author_id, ids), ReportLine.day >= period.start, ReportLine.day < period.end)
        .where(ReportLine.archived_at.is_(None))
        .group_by(ReportLine.report_id)
        .subquery()
    )
    r = DailyReport
    return (
        session()
        .execute(
            select(r.id, r.author_id, r.day, r.state, r.hours, r.overtime_hours, r.late, r.problems, lines.c.returned, lines.c.waiting)
            .outerjoin(lines, lines.c.report_id == r.id)
            .where(among(r.author_id, ids), r.day >= period.start, r.day < period.end)
        )
        .all()
    )


def _slices(ids: list[int], period: Period) -> list[Slice]:
    x = ReportLine
    rows = session().execute(
        select(x.day, x.project_id, func.max(x.project_label), x.category, func.sum(x.hours))
        .where(among(x.author_id, ids), x.day >= period.start, x.day < period.end, x.state != "open")
        .group_by(x.day, x.project_id, x.category)
    )
    return [Slice(day, project, label or str(CATEGORIES.get(category, category)), hours) for day, project, label, category, hours in rows]


def _waiting(ids: list[int], period: Period) -> tuple[int, int]:
    x = ReportLine
    row = session().execute(
        select(func.count(), func.count().filter(waits_for(x, viewer()))).where(
            x.state == "submitted", among(x.author_id, ids), x.day >= period.start, x.day < period.end
        )
    )
    first, mine = row.one()
    return first, mine


def _timeliness_before(people: list[Person], period: Period, working: WorkingCalendar, free: Absences) -> Fraction | None:
    workdays = working.workdays(period.start, period.end)
    ids = [p.id for p in people]
    due = sum(len(rules.expected_days(workdays, p.joined_on, p.last_day, free.get(p.id, {}))) for p in people)
    r = DailyReport
    on_time = session().scalar(
        select(func.count())
        .select_from(r)
        .where(
            among(r.author_id, ids),
            r.day >= period.start,
            r.day < period.end,
            r.state == "submitted",
            r.late.is_(False),
            r.day.in_(workdays),
        )
    )
    return rules.timeliness(on_time or 0, due)


def _gaps(result: Board, working: WorkingCalendar, free: Absences) -> None:
    """For people who have not reported today: how many working days before today are missing without a break."""
    open_ = {row.person.id: row for row in result.open_today}
    if not open_:
        return
    r = DailyReport
    rows = session().execute(
        select(r.author_id, func.max(r.day))
        .where(among(r.author_id, open_), r.state == "submitted", r.day < result.today, r.day >= result.today - GAP)
        .group_by(r.author_id)
    )
    last: dict[int, date] = dict(rows.tuples().all())
    days = working.workdays(result.today - GAP, result.today)
    for pk, row in open_.items():
        due = rules.expected_days(days, row.person.joined_on, row.person.last_day, free.get(pk, {}))
        row.gap = sum(d > last[pk] for d in due) if pk in last else len(due)


# ------------------------------------------------------------------ one person's day
@dataclass(frozen=True)
class LineView:
    """A line as its reader may see it: *link* only when the project is visible, *done* None when its content is not (VIS-03)."""

    id: int
    version: int
    label: str
    category: str | None
    link: bool
    project_id: int | None
    hours: Decimal
    state: str
    decider: str
    done: str | None
    reason: str | None
    mine: bool
    reversal: bool = False
    decided_by: int | None = None
    decided_at: datetime | None = None


def lines_of(report_id: int) -> list[LineView]:
    """The visible lines of a report in their order. Two statements."""
    x, t = ReportLine, LineText
    rows = (
        session()
        .execute(
            select(x, t.id, t.done, t.return_reason, waits_for(x, viewer()).label("mine"))
            .outerjoin(t, t.line_id == x.id)
            .where(x.report_id == report_id)
            .order_by(x.position, x.id)
        )
        .all()
    )
    seen = visible_projects({line.project_id for line, *_rest in rows if line.project_id})
    return [
        LineView(
            line.id, line.version, line.project_label or str(CATEGORIES.get(line.category, "")), line.category, line.project_id in seen,
            line.project_id, line.hours, line.state, line.decider, done if text_id else None, reason,
            bool(mine), line.reversal_of_id is not None, line.decided_by, line.decided_at,
        )
        for line, text_id, done, reason, mine in rows
    ]  # fmt: skip


def visible_projects(ids: Collection[int]) -> set[int]:
    """Those of *ids* the reader may open."""
    return set(session().scalars(select(Project.id).where(among(Project.id, ids)))) if ids else set()
