"""Cards of the home page: today's report, the team today, lines to confirm."""

from collections.abc import Collection, Mapping
from datetime import date, timedelta
from typing import Any

from flask import g
from sqlalchemy import select

from modules.dailyreport import rules
from modules.dailyreport.actions.admission import days_on_leave
from modules.dailyreport.models import DailyReport
from modules.dailyreport.reports.period import day_words, period_of
from modules.dailyreport.reports.team import board, people_of, units
from modules.dailyreport.screens.board_parts import heads_people
from modules.dailyreport.screens.confirmations import LIMIT, decides_at_all, waiting_and_count
from modules.hr.models import Employment, Leave
from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import session
from portal.kernel.i18n import _, _l
from portal.web.home import card, primary_action
from security.visibility import Context

LOOK_BACK = timedelta(days=7)
FACES = 12
"""People shown by name in a column of the strip."""

primary_action("view", "dailyreport.MyReport", "/my-report/", _l("Write my report"), "pencil")


def _working() -> WorkingCalendar:
    """The calendar, read once for all cards of the page."""
    if "dailyreport_working" not in g:
        g.dailyreport_working = WorkingCalendar.load()
    found: WorkingCalendar = g.dailyreport_working
    return found


def first_open_day(person: int, done: Collection[date]) -> date:
    """The day the card offers: the earliest of the last days that is due and not *done*, else today. Two statements."""
    today = calendar.today()
    days = _working().workdays(today - LOOK_BACK, today + timedelta(days=1))
    term = session().execute(select(Employment.joined_on, Employment.left_on).where(Employment.user_id == person)).one_or_none()
    if term is None or not days:
        return today
    away = days_on_leave(person, days[0], today + timedelta(days=1))
    due = rules.expected_days(days, term.joined_on, term.left_on, away)
    return next((d for d in due if d not in done), today)


def _writes(ctx: Context) -> bool:
    return ctx.me is not None


@card("my_report", title=_l("My report"), permission=("view", "dailyreport.MyReport"), size="side", order=10, visible=_writes)
def my_report(ctx: Context) -> tuple[str, Mapping[str, Any]] | None:
    """Today's report, or the first one missing."""
    if ctx.me is None:
        return None
    today, r = calendar.today(), DailyReport
    week = period_of("week", today)
    found = session().execute(
        select(r.day, r.state, r.hours).where(r.author_id == ctx.me, r.day >= min(week.start, today - LOOK_BACK), r.day < week.end)
    )
    reports = {report.day: report for report in found}
    hours = {d: report.hours for d, report in reports.items() if report.state == "submitted"}
    day = first_open_day(ctx.me, hours)
    return "dailyreport/_home_report.html", {
        "day": day,
        "today": today,
        "report": reports.get(day),
        "words": day_words,
        "strip": [(d, hours.get(d)) for d in week.days[:5]],
        "more_url": f"/my-report/week?day={today.isoformat()}",
        "more_label": _("Week view"),
    }


@card(
    "team_board", title=_l("Team reports today"), permission=("view", "dailyreport.TeamBoard"), visible=heads_people, size="main", order=20
)
def team_today() -> tuple[str, Mapping[str, Any]] | None:
    """Who reported, who has not, who is away."""
    known = units()
    if not known:
        return None
    departments = frozenset().union(*(u.ids for u in known.values()))
    period = period_of("day", calendar.today())
    result = board(people_of(departments, period), period, _working(), figures=False)
    if not result.has_today:
        return None
    return "dailyreport/_home_team.html", {
        "board": result,
        "done": result.done_today,
        "open": sorted(result.open_today, key=lambda r: -r.gap),
        "away": result.away_today,
        "kinds": Leave.KINDS,
        "faces": FACES,
        "hint": _("%(n)s people", n=len(result.rows)),
        "more_url": "/team-board/",
        "more_label": _("Board"),
    }


@card(
    "to_confirm",
    title=_l("Reports to confirm"),
    permission=("view", "dailyreport.Confirmations"),
    visible=decides_at_all,
    size="main",
    order=15,
)
def to_confirm() -> tuple[str, Mapping[str, Any]] | None:
    """Lines that wait for the person."""
    groups, count = waiting_and_count(LIMIT)
    return "dailyreport/_home_confirm.html", {
        "groups": groups[:5],
        "count": count,
        "hot": count > 0,
        "more_url": "/confirmations/",
        "more_label": _("All"),
        "day_words": day_words,
    }
