"""Whether a person may report on a day, when that is late, and what may stand on a line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from modules.dailyreport import rules
from modules.dailyreport.models import CATEGORIES, ClosedMonth, hold_months
from modules.dailyreport.rules import Fault
from modules.hr.actions import away
from modules.hr.models import Employment
from modules.project.actions import OpenProject, projects_open_to
from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import session
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.i18n import _, _l
from portal.kernel.settings import parameter


def _clock(value: Any) -> time:
    return value if isinstance(value, time) else time.fromisoformat(str(value))


deadline_time = parameter(
    "dailyreport.deadline",
    time(12),
    _clock,
    label=_l("Deadline of daily reports"),
    help=_l("A report is late after this time of the next working day."),
)
auto_confirm_days = parameter(
    "dailyreport.auto_confirm_days",
    5,
    label=_l("Working days until automatic confirmation"),
    help=_l("A line nobody decides on is confirmed after so many working days; 0 switches it off."),
    check=lambda days: 0 <= days <= 60,
)

MAX_DONE = 2000
MAX_TEXT = 4000
MAX_LINES = 30

WORDS: Mapping[Fault, Any] = {
    Fault.FUTURE: _l("A report for a day to come cannot be written."),
    Fault.BEFORE_JOINING: _l("This day is before the first day of work."),
    Fault.AFTER_LEAVING: _l("This day is after the last day at work."),
    Fault.NOT_EMPLOYED: _l("There is no employment for this account, so there is nothing to report."),
    Fault.MONTH_CLOSED: _l("This month is closed; nothing in it changes any more."),
    Fault.HOURS_RANGE: _l("Hours must be more than 0 and at most 24."),
    Fault.HOURS_PRECISION: _l("Hours have at most two decimal places."),
    Fault.NO_LINES: _l("Please fill in at least one line."),
    Fault.OVERTIME_MARK: _l("More than 8 hours, or work on a rest day: please mark it as overtime."),
}


@dataclass(frozen=True)
class LineEntry:
    """One line as typed: a project or a category, the hours, what was done. *id* names the line it corrects, None a new one."""

    hours: Decimal
    done: str = ""
    project_id: int | None = None
    category: str | None = None
    id: int | None = None


@dataclass(frozen=True)
class ReportEntry:
    """A report as typed."""

    day: date
    lines: Sequence[LineEntry] = field(default_factory=list)
    overtime: bool = False
    plan: str = ""
    problems: str = ""


@dataclass(frozen=True)
class Day:
    """What is known about a person's day before anything is written."""

    day: date
    workday: bool
    on_leave: bool
    fault: Fault | None
    deadline: datetime

    @property
    def closed(self) -> bool:
        """Nothing may be written for it."""
        return self.fault is not None

    @property
    def reason(self) -> str:
        """Why nothing may be written, in words; empty when something may."""
        return str(WORDS[self.fault]) if self.fault else ""


def day_of(person: int, day: date, working: WorkingCalendar | None = None) -> Day:
    """What holds for *person* on *day*. Reads as whoever is looking: the person, or an action."""
    working = working or WorkingCalendar.load()
    s = session()
    term = s.execute(select(Employment.joined_on, Employment.left_on).where(Employment.user_id == person)).one_or_none()
    joined, last = (term.joined_on, term.left_on) if term else (None, None)
    closed = s.scalars(select(ClosedMonth.month).where(ClosedMonth.month == rules.month_of(day))).all()
    workday = working.is_workday(day)
    due = rules.report_deadline(day, working.next_workday, deadline_time.get(), calendar.zone())
    fault = rules.day_fault(day, calendar.today(), joined, last, closed)
    return Day(day, workday, bool(days_on_leave(person, day, day + timedelta(days=1))), fault, due)


def refuse_closed(day: date) -> None:
    """Raises Refusal when the month of *day* is closed, and keeps it open until the transaction ends."""
    hold_months()
    if session().scalar(select(ClosedMonth.id).where(ClosedMonth.month == rules.month_of(day))) is not None:
        raise Refusal(WORDS[Fault.MONTH_CLOSED], code=Fault.MONTH_CLOSED.value)


def days_on_leave(person: int, start: date, end: date) -> set[date]:
    """Days of [*start*, *end*) that are wholly approved leave of *person*; a business trip is work."""
    return {day for (_user, day), leave in away([person], start, end).items() if leave.whole_day and leave.kind != "trip"}


def open_projects(person: int, day: date) -> dict[int, OpenProject]:
    """Projects *person* may report on for *day*, by id. Judged by the work date."""
    return {p.id: p for p in projects_open_to(person, day)}


def targets(person: int, day: date) -> dict[int, str]:
    """The same with the label a line keeps."""
    return {pk: p.label for pk, p in open_projects(person, day).items()}


def check_line(entry: LineEntry, allowed: Mapping[int, str], index: int) -> dict[str, str]:
    """What is wrong with one line, by field name (`lines.0.hours`)."""
    at = f"lines.{index}"
    problems: dict[str, str] = {}
    fault = rules.hours_fault(entry.hours)
    if fault:
        problems[f"{at}.hours"] = str(WORDS[fault])
    if (entry.project_id is None) == (entry.category is None):
        problems[f"{at}.target"] = _("Please choose a project or another kind of work.")
    elif entry.project_id is not None and entry.project_id not in allowed:
        problems[f"{at}.target"] = _("On this day you may not report on this project.")
    elif entry.category is not None and entry.category not in CATEGORIES:
        problems[f"{at}.target"] = _("Please choose a project or another kind of work.")
    if len(entry.done) > MAX_DONE:
        problems[f"{at}.done"] = _("At most %(n)s characters.", n=MAX_DONE)
    return problems


def check_report(
    entry: ReportEntry, facts: Day, allowed: Mapping[int, str], locked: Sequence[Decimal] = (), submitting: bool = True
) -> None:
    """Raises Invalid naming every field of *entry* that breaks a rule. *locked* are the hours of lines that no longer change."""
    if facts.fault:
        raise Invalid({"day": facts.reason}, code=facts.fault.value)
    problems: dict[str, str] = {}
    for index, line in enumerate(entry.lines):
        problems |= check_line(line, allowed, index)
    if len(entry.lines) > MAX_LINES:
        problems["lines"] = _("At most %(n)s lines a day.", n=MAX_LINES)
    for name, value in (("plan", entry.plan), ("problems", entry.problems)):
        if len(value) > MAX_TEXT:
            problems[name] = _("At most %(n)s characters.", n=MAX_TEXT)
    if not any(key.endswith(".hours") for key in problems):
        hours = [*locked, *(line.hours for line in entry.lines)]
        fault = rules.total_fault(hours) if hours or submitting else None
        total = sum(hours, Decimal(0))
        if fault == Fault.DAY_TOTAL:
            problems["hours"] = _("The lines add up to %(total)s hours; a day has 24.", total=total)
        elif fault:
            problems["lines"] = str(WORDS[fault])
        elif submitting and rules.needs_overtime_mark(total, facts.workday) and not entry.overtime:
            problems["overtime"] = str(WORDS[Fault.OVERTIME_MARK])
    if problems:
        raise Invalid(problems)
