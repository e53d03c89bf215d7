"""Pieces of the team board: figures, cells, chart, and the words on them."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import select

from modules.dailyreport import rules
from modules.dailyreport.models import CATEGORIES, ReportLine
from modules.dailyreport.reports.period import Period, day_words, weekday_words
from modules.dailyreport.reports.team import Board, Cell, Row, Unit, among
from modules.dailyreport.reports.workbook import cell_words
from portal.kernel.db import session
from portal.kernel.i18n import _, ngettext
from portal.web import words
from security.visibility import Context

ZERO = Decimal(0)
PAGE = {"day": 50, "week": 40, "month": 20}
"""People on one page of the matrix; the figures above it are of all of them."""
SERIES = 5
"""Projects in the chart; the rest is one bar."""


def heads_people(ctx: Context) -> bool:
    """Whether the viewer answers for people, or sees all of them by role."""
    return bool(ctx.seen_ids("headed_departments")) or "staff" in ctx.scopes


def percent(value: Fraction | None) -> str:
    """A ratio as people read it: 86.1%."""
    return words.NONE if value is None else f"{rules.percentage(value)}%".replace(".0%", "%")


def figures(result: Board, period: Period) -> list[dict[str, Any]]:
    """The five figures, each with the rows behind it."""
    ids = [row.person.id for row in result.rows]
    span = {"f.day.from": period.start.isoformat(), "f.day.to": period.last.isoformat()}

    def opened(base: str, people: list[int], **more: Any) -> str | None:
        if len(people) > 100:
            return None
        return f"{base}?{urlencode({**span, **more, 'f.author_id': ','.join(map(str, people))}, safe=',')}"

    missing = sum(len(r.missing) for r in result.missing)
    figures = []
    if result.has_today:
        done, due = len(result.done_today), len(result.done_today) + len(result.open_today)
        figures.append(
            {
                "label": _("Reported today"),
                "value": str(done),
                "hint": _("of %(n)s due", n=due),
                "url": opened("/daily-reports/", ids, **{"f.day.from": result.today, "f.day.to": result.today, "f.state": "submitted"}),
            }
        )
    else:
        figures.append(
            {
                "label": _("Reported"),
                "value": str(result.submitted),
                "hint": _("of %(n)s due", n=result.due),
                "url": opened("/daily-reports/", ids, **{"f.state": "submitted"}),
            }
        )
    figures += [
        {
            "label": _("Missing"),
            "value": str(missing),
            "tone": "risk" if missing else "",
            "hint": ngettext("reports, %(num)s person", "reports, %(num)s people", len(result.missing)),
            "url": "#people",
        },
        {
            "label": _("On time"),
            "value": percent(result.timeliness),
            "hint": _("before: %(rate)s", rate=percent(result.before)),
            "url": opened("/daily-reports/", ids, **{"f.late": "0", "f.state": "submitted"}),
        },
        {
            "label": _("Hours"),
            "value": words.hours(result.hours),
            "hint": _("h, overtime %(hours)s h", hours=words.hours(result.overtime)),
            "url": opened("/daily-reports/", ids, **{"f.state": "submitted"}),
        },
        {
            "label": _("To be confirmed"),
            "value": str(result.waiting),
            "hint": ngettext("lines, %(num)s by you", "lines, %(num)s by you", result.waiting_for_me),
            "url": opened("/daily-report-lines/", ids, **{"f.state": "submitted"}),
        },
    ]
    return figures


def anchor(period: Period, today: date) -> date:
    """The day another kind of period is opened around: today when it lies in the shown one."""
    return today if period.start <= today < period.end else period.start


def head(day: date, today: date, result: Board) -> dict[str, Any]:
    """The head of a day's column."""
    rest = day not in result.workdays
    month = result.period.kind == "month"
    return {
        "day": day,
        "label": _("Today") if day == today and not month else weekday_words(day, narrow=rest or month),
        "number": day.day,
        "today": day == today,
        "rest": rest,
    }


def groups(rows: list[Row], known: dict[int, Unit]) -> list[dict[str, Any]]:
    """The rows by department, in their order."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if not found or found[-1]["id"] != row.person.department_id:
            unit = known.get(row.person.department_id)
            found.append({"id": row.person.department_id, "name": unit.name if unit else "", "rows": []})
        found[-1]["rows"].append(row)
    return found


def cell_view(row: Row, cell: Cell, kind: str) -> dict[str, Any]:
    """Words of a cell: the short ones in it, the long ones for those who do not see it."""
    notes = []
    if cell.overtime:
        notes.append(_("+%(hours)s", hours=words.hours(cell.overtime)))
    if cell.late:
        notes.append(_("late"))
    if cell.tone == "warn":
        notes.append(_("returned"))
    narrow = kind == "month"
    short = {"risk": _("miss."), "due": "…" if narrow else _("Not yet"), "rest": _("lv.") if narrow else cell_words(cell)}.get(
        cell.tone, ""
    )
    spoken = [row.person.name, day_words(cell.day), cell_words(cell)]
    if cell.hours is not None:
        spoken.append(_("%(hours)s hours", hours=words.hours(cell.hours)))
    return {
        "hours": plain_hours(cell.hours) if cell.hours is not None else "",
        "short": short,
        "note": notes[0] if notes else "",
        "label": " ".join([*(w for w in spoken if w), *notes[:1]]),
        "opens": cell.report_id is not None or cell.tone in ("due", "risk"),
    }


def plain_hours(hours: Decimal) -> str:
    """`7.5`, `8`: as short as a cell needs it."""
    return f"{hours.normalize():f}"


def pager(address: Callable[[int], str], period: Period, first: int, count: int) -> dict[str, Any] | None:
    """Where the neighbours of the rows from *first* on are; None when all *count* fit on one page."""
    size = PAGE[period.kind]
    if count <= size:
        return None
    return {
        "first": first + 1,
        "last": min(first + size, count),
        "count": str(count),
        "prev_url": address(max(0, first - size)) if first else None,
        "next_url": address(first + size) if first + size < count else None,
    }


def chart(result: Board) -> dict[str, Any] | None:
    """Hours by project, and the sentence that says what to see in them."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    by_day: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    outside = ZERO
    for part in result.slices:
        totals[part.label] += part.hours
        by_day[part.label, part.day] += part.hours
        if part.project_id is None:
            outside += part.hours
    whole = sum(totals.values(), ZERO)
    if not whole:
        return None
    on_projects = {part.label for part in result.slices if part.project_id is not None}
    ranked = sorted(totals, key=lambda label: (label not in on_projects, -totals[label], label))  # projects first: they are the question
    top, others = ranked[:SERIES], ranked[SERIES:]
    days = [d for d in result.period.days if d <= result.today and any((label, d) in by_day for label in ranked)]
    series = [{"name": brief(label), "values": [by_day[label, d] for d in days]} for label in top]
    if others:
        series.append({"name": _("Others"), "values": [sum((by_day[label, d] for label in others), ZERO) for d in days]})
    sentence = _(
        "%(this)s %(part)s of %(whole)s h (%(rate)s) went into %(label)s; %(outside)s were on no project.",
        this=result.period.this,
        part=words.hours(totals[top[0]]),
        whole=words.hours(whole),
        rate=percent(rules.ratio(totals[top[0]], whole)),
        label=top[0],
        outside=percent(rules.ratio(outside, whole)),
    )
    month = result.period.kind == "month"
    return {
        "sentence": sentence,
        "data": {
            "unit": "h",
            "labels": [f"{d.month}-{d.day}" if month else weekday_words(d) for d in days],
            "series": series,
            "horizontal": not month,
            "stack": True,
        },
    }


def brief(label: str) -> str:
    """A project's name without its number, short enough for a legend; the sentence above names it in full."""
    first, _space, rest = label.partition(" ")
    name = rest if rest and any(c.isdigit() for c in first) else label
    return name if len(name) <= 10 else f"{name[:9]}…"


def day_projects(result: Board) -> dict[int, str]:
    """For the view of one day: what each person worked on."""
    x = ReportLine
    ids = [row.person.id for row in result.rows]

    rows = session().execute(
        select(x.author_id, x.project_label, x.category, x.hours)
        .where(among(x.author_id, ids), x.day == result.period.start, x.state != "open")
        .order_by(x.author_id, x.position, x.id)
    )
    found: dict[int, list[str]] = defaultdict(list)
    for author, label, category, hours in rows:
        found[author].append(f"{label or CATEGORIES.get(category, '')} {plain_hours(hours)}")
    return {author: " · ".join(parts) for author, parts in found.items()}
