"""Cards of the home page: today's report, the team today, lines to confirm."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from modules.dailyreport.models import DailyReport
from modules.dailyreport.reports.period import day_words, period_of
from modules.dailyreport.reports.team import board, people_of, units
from modules.dailyreport.screens.board_parts import heads_people
from modules.dailyreport.screens.confirmations import decides_at_all, waiting, waiting_count
from modules.dailyreport.screens.my_report import first_open_day
from modules.hr.models import Leave
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.i18n import _, _l
from portal.web.home import card, primary_action
from security.visibility import Context

FACES = 12
"""People shown by name in a column of the strip."""

primary_action("view", "dailyreport.MyReport", "/my-report/", _l("Write my report"), "pencil")


def _writes(ctx: Context) -> bool:
    return ctx.me is not None


@card("my_report", title=_l("My report"), permission=("view", "dailyreport.MyReport"), size="side", order=10, visible=_writes)
def my_report(ctx: Context) -> tuple[str, Mapping[str, Any]] | None:
    """Today's report, or the first one missing."""
    if ctx.me is None:
        return None
    day, today = first_open_day(ctx.me), calendar.today()
    report = session().scalar(select(DailyReport).where(DailyReport.author_id == ctx.me, DailyReport.day == day))
    week = period_of("week", today)
    reports = session().scalars(
        select(DailyReport).where(DailyReport.author_id == ctx.me, DailyReport.day >= week.start, DailyReport.day < week.end)
    )
    hours = {r.day: r.hours for r in reports if r.state == "submitted"}
    return "dailyreport/_home_report.html", {
        "day": day,
        "today": today,
        "report": report,
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
    result = board(people_of(departments, period), period)
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
    count = waiting_count()
    return "dailyreport/_home_confirm.html", {
        "groups": waiting()[:5] if count else [],
        "count": count,
        "hot": count > 0,
        "more_url": "/confirmations/",
        "more_label": _("All"),
        "day_words": day_words,
    }
