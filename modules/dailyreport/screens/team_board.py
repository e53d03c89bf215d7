"""The board of a department head: who reported, who did not, what the hours went into (DAY-05)."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from flask import Response, flash, redirect, request, send_file
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse

from modules.dailyreport import rules
from modules.dailyreport.actions.reminding import remind
from modules.dailyreport.models import DailyReport, ReportLine
from modules.dailyreport.reports.period import KINDS, Period, day_words, period_of, weekday_words
from modules.dailyreport.reports.remarks import remarks_of
from modules.dailyreport.reports.team import Board, Cell, Row, Unit, board, lines_of, people_of, units
from modules.dailyreport.reports.workbook import cell_words, workbook
from modules.hr.models import Employee
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.errors import BadRequest, NotFound
from portal.kernel.i18n import _, _l, ngettext
from portal.web import words
from portal.web.frame import fragment
from portal.web.page import Page, route
from security.transitions import perform, perform_many
from security.visibility import Context, context

ZERO = Decimal(0)
PAGE = {"day": 60, "week": 60, "month": 25}
"""People on one page of the matrix; the figures above it are of all of them."""
SERIES = 5
"""Projects in the chart; the rest is one bar."""


def heads_people(ctx: Context) -> bool:
    """Whether the viewer answers for people, or sees all of them by role."""
    return bool(ctx.ids("headed_departments")) or "staff" in ctx.scopes


def percent(value: Any) -> str:
    """A ratio as people read it: 86.1%."""
    return words.NONE if value is None else f"{float(value) * 100:.1f}%".replace(".0%", "%")


class TeamBoard(Page):
    """Day, week or month of a department subtree."""

    name = "dailyreport.TeamBoard"
    route_base = "/team-board"
    menu = "Work"
    menu_order = 20
    icon = "users-group"
    title = _l("Team reports")
    visible = heads_people

    # ------------------------------------------------------------------ what is asked for
    def _asked(self) -> tuple[Period, dict[int, Unit], Unit]:
        by = request.args.get("by", "week")
        if by not in KINDS:
            raise BadRequest(_("There is no such period."))
        try:
            day = date.fromisoformat(request.args["day"]) if request.args.get("day") else calendar.today()
        except ValueError:
            raise BadRequest(_("This is not a day: %(day)s", day=request.args["day"][:20])) from None
        known = units()
        if not known:
            raise NotFound(_("You do not answer for a department."))
        wanted = request.args.get("unit", "")
        if wanted and not (wanted.isdecimal() and len(wanted) < 19 and int(wanted) in known):
            raise NotFound(_("There is no such department."))
        unit = known[int(wanted)] if wanted else self._top(known)
        return period_of(by, day), known, unit

    @staticmethod
    def _top(known: dict[int, Unit]) -> Unit:
        """What is shown first: the subtree of the only department on top, or all of them together."""
        roots = [u for u in known.values() if u.parent_id not in known]
        if len(roots) == 1:
            return roots[0]
        return Unit(0, _("All departments"), None, frozenset().union(*(u.ids for u in roots)))

    def _url(self, period: Period, unit: Unit, **more: Any) -> str:
        values = {"by": period.kind, "day": period.start.isoformat(), **({"unit": unit.id} if unit.id else {}), **more}
        return f"{self.route_base}/?{urlencode(values)}"

    # ------------------------------------------------------------------ pages
    @route("/")
    def show(self) -> str:
        """The board."""
        period, known, unit = self._asked()
        people = people_of(unit.ids, period)
        result = board(people, period)
        first = max(0, request.args.get("from", 0, type=int))
        shown = result.rows[first : first + PAGE[period.kind]]
        today = calendar.today()
        subs = [u for u in known.values() if u.parent_id == unit.id] if unit.id else [u for u in known.values() if u.parent_id not in known]
        counts: dict[int, int] = defaultdict(int)
        for person in people:
            for sub in subs:
                counts[sub.id] += person.department_id in sub.ids
        return self.render(
            "dailyreport/board.html",
            subtitle=f"{unit.name} · {self._named(period)}",
            period=period,
            unit=unit,
            board=result,
            figures=self._figures(result, period, unit),
            seg=[
                {"label": label, "url": self._url(period_of(kind, _anchor(period, today)), unit), "current": kind == period.kind}
                for kind, label in (("day", _("Daily")), ("week", _("Weekly")), ("month", _("Monthly")))
            ],
            previous=self._url(period.before, unit),
            following=self._url(period.after, unit) if period.end <= today else None,
            subs=[{"label": s.name, "count": counts[s.id], "url": self._url(period, s)} for s in subs if counts[s.id]],
            up=self._up(period, known, unit),
            total=len(people),
            groups=_groups(shown, known),
            days=[_head(d, today, result) for d in period.days],
            cell=lambda row, cell: _cell(row, cell, today),
            percent=percent,
            pager=_pager(self, period, unit, first, len(result.rows)),
            chart=_chart(result),
            projects=_day_projects(result) if period.kind == "day" else None,
            export_url=f"{self.route_base}/export.xlsx?{request.query_string.decode()}",
            problems=[
                {
                    "who": p.person.name,
                    "day": day_words(p.day),
                    "text": p.text,
                    "url": f"/daily-reports/{p.report_id}",
                }
                for p in result.problems[:8]
            ],
            problem_count=len(result.problems),
            day_words=day_words,
            today=today,
        )

    def _named(self, period: Period) -> str:
        return _("week %(n)s", n=period.start.isocalendar().week) if period.kind == "week" else period.words

    def _up(self, period: Period, known: dict[int, Unit], unit: Unit) -> dict[str, str] | None:
        if not unit.id:
            return None
        above = known.get(unit.parent_id) if unit.parent_id is not None else None
        if above is not None:
            return {"label": above.name, "url": self._url(period, above)}
        return {"label": _("All departments"), "url": self._url(period, self._top(known))} if self._top(known).id != unit.id else None

    @staticmethod
    def _figures(result: Board, period: Period, unit: Unit) -> list[dict[str, Any]]:
        """The five figures, each with the rows behind it."""
        ids = [row.person.id for row in result.rows]
        span = {"f.day.from": period.start.isoformat(), "f.day.to": period.last.isoformat()}

        def opened(base: str, people: list[int], **more: Any) -> str | None:
            if len(people) > 100:
                return None
            return f"{base}?{urlencode([*{**span, **more}.items(), *(('f.author_id', i) for i in people)])}"

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

    @route("/cell")
    def cell(self) -> str:
        """One person's day, opened in the matrix."""
        person = request.args.get("person", type=int)
        try:
            day = date.fromisoformat(request.args.get("day", ""))
        except ValueError:
            raise BadRequest(_("This is not a day: %(day)s", day=request.args.get("day", "")[:20])) from None
        report = session().scalar(select(DailyReport).where(DailyReport.author_id == person, DailyReport.day == day))
        return self._opened(report, person, day)

    def _opened(self, report: DailyReport | None, person: int | None, day: date) -> str:
        if person not in context().ids("staff") and "staff" not in context().scopes:
            raise NotFound(_("This record does not exist."))
        name = session().scalar(select(Employee.name).where(Employee.user_id == person))
        if name is None:
            raise NotFound(_("This record does not exist."))
        lines = lines_of(report.id) if report else []
        return fragment(
            "dailyreport/board_cell.html",
            report=report,
            person=person,
            name=name,
            day=day,
            words=day_words(day),
            lines=lines,
            mine=sum(line.mine for line in lines),
            remarks=remarks_of(report.id) if report else None,
            states=ReportLine.STATE_LABELS,
            deciders=ReportLine.DECIDERS,
            today=calendar.today(),
        )

    def _again(self, pk: int) -> AnyResponse | str:
        report = session().scalar(select(DailyReport).where(DailyReport.id == pk))
        if request.headers.get("HX-Request") and report is not None:
            return self._opened(report, report.author_id, report.day)
        return redirect(f"/daily-reports/{pk}", 303)

    @route("/report/<int:pk>/like", methods=["POST"])
    def like(self, pk: int) -> AnyResponse | str:
        """Thumb up, or back."""
        perform(DailyReport, "like", pk)
        return self._again(pk)

    @route("/report/<int:pk>/comment", methods=["POST"])
    def comment(self, pk: int) -> AnyResponse | str:
        """A remark for the author."""
        perform(DailyReport, "comment", pk, arguments={"text": request.form.get("text", "")})
        return self._again(pk)

    @route("/report/<int:pk>/confirm", methods=["POST"])
    def confirm(self, pk: int) -> AnyResponse | str:
        """Confirms the lines of the report that wait for the person."""
        perform_many(ReportLine, "confirm", [line.id for line in lines_of(pk) if line.mine])
        return self._again(pk)

    @route("/remind", methods=["POST"])
    def remind(self) -> AnyResponse:
        """Tells those who have not reported today; once a day and person from the same head."""
        _period, _known, unit = self._asked()
        today = period_of("day", calendar.today())
        result = board(people_of(unit.ids, today), today)
        told = remind([row.person.id for row in result.open_today], today.start)
        if told:
            flash(ngettext("%(num)s person is reminded.", "%(num)s people are reminded.", told), "success")
        else:
            flash(_("Nobody is left to remind; everybody was told already or has reported."), "info")
        return redirect(f"{self.route_base}/?{request.query_string.decode()}", 303)

    @route("/export.xlsx", verb="export")
    def export(self) -> Response:
        """The board as a workbook, as it is shown, of all people of the selection."""
        period, known, unit = self._asked()
        result = board(people_of(unit.ids, period), period)
        out = workbook(result, known, f"{unit.name} {period.words}")
        name = f"{_('Team reports')}-{period.start.isoformat()}.xlsx"
        response = send_file(
            out,
            mimetype="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            as_attachment=True,
            download_name=name,
            max_age=0,
        )
        response.headers["Cache-Control"] = "no-store"
        return response


# ------------------------------------------------------------------ pieces of the page
def _anchor(period: Period, today: date) -> date:
    """The day another kind of period is opened around: today when it lies in the shown one."""
    return today if period.start <= today < period.end else period.start


def _head(day: date, today: date, result: Board) -> dict[str, Any]:
    rest = day not in result.workdays
    month = result.period.kind == "month"
    return {
        "day": day,
        "label": _("Today") if day == today and not month else weekday_words(day, narrow=rest or month),
        "number": day.day,
        "today": day == today,
        "rest": rest,
    }


def _groups(rows: list[Row], known: dict[int, Unit]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for row in rows:
        if not found or found[-1]["id"] != row.person.department_id:
            unit = known.get(row.person.department_id)
            found.append({"id": row.person.department_id, "name": unit.name if unit else "", "rows": []})
        found[-1]["rows"].append(row)
    return found


def _cell(row: Row, cell: Cell, today: date) -> dict[str, Any]:
    """Words of a cell: the short ones in it, the long ones for those who do not see it."""
    notes = []
    if cell.overtime:
        notes.append(_("+%(hours)s", hours=words.hours(cell.overtime)))
    if cell.late:
        notes.append(_("late"))
    if cell.tone == "warn":
        notes.append(_("returned"))
    short = {"risk": _("miss."), "due": _("Not yet"), "rest": cell_words(cell)}.get(cell.tone, "")
    spoken = [row.person.name, day_words(cell.day), cell_words(cell)]
    if cell.hours is not None:
        spoken.append(_("%(hours)s hours", hours=words.hours(cell.hours)))
    return {
        "hours": _short(cell.hours) if cell.hours is not None else "",
        "short": short,
        "note": notes[0] if notes else "",
        "label": " ".join([*(w for w in spoken if w), *notes[:1]]),
        "url": f"cell?person={row.person.id}&day={cell.day.isoformat()}",
        "opens": cell.report_id is not None or cell.tone in ("due", "risk"),
    }


def _short(hours: Decimal) -> str:
    return f"{hours.normalize():f}"


def _pager(page: TeamBoard, period: Period, unit: Unit, first: int, count: int) -> dict[str, Any] | None:
    size = PAGE[period.kind]
    if count <= size:
        return None
    return {
        "first": first + 1,
        "last": min(first + size, count),
        "count": str(count),
        "prev_url": page._url(period, unit, **{"from": max(0, first - size)}) if first else None,
        "next_url": page._url(period, unit, **{"from": first + size}) if first + size < count else None,
    }


def _chart(result: Board) -> dict[str, Any] | None:
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
    ranked = sorted(totals, key=lambda label: (-totals[label], label))
    top, others = ranked[:SERIES], ranked[SERIES:]
    days = [d for d in result.period.days if d <= result.today and any((label, d) in by_day for label in ranked)]
    series = [{"name": _brief(label), "values": [float(by_day[label, d]) for d in days]} for label in top]
    if others:
        series.append({"name": _("Others"), "values": [float(sum((by_day[label, d] for label in others), ZERO)) for d in days]})
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


def _brief(label: str) -> str:
    """A project's name without its number, short enough for a legend; the sentence above names it in full."""
    first, _space, rest = label.partition(" ")
    name = rest if rest and any(c.isdigit() for c in first) else label
    return name if len(name) <= 10 else f"{name[:9]}…"


def _day_projects(result: Board) -> dict[int, str]:
    """For the view of one day: what each person worked on."""
    x = ReportLine
    ids = [row.person.id for row in result.rows]
    from modules.dailyreport.models import CATEGORIES
    from modules.dailyreport.reports.team import among

    rows = session().execute(
        select(x.author_id, x.project_label, x.category, x.hours)
        .where(among(x.author_id, ids), x.day == result.period.start, x.state != "open")
        .order_by(x.author_id, x.position, x.id)
    )
    found: dict[int, list[str]] = defaultdict(list)
    for author, label, category, hours in rows:
        found[author].append(f"{label or CATEGORIES.get(category, '')} {_short(hours)}")
    return {author: " · ".join(parts) for author, parts in found.items()}
