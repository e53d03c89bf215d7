"""The board of a department head: who reported, who did not, what the hours went into (DAY-05)."""

from collections import defaultdict
from datetime import date

from flask import Response, flash, redirect, request, send_file
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse

from modules.dailyreport.actions.reminding import remind
from modules.dailyreport.models import DailyReport, ReportLine
from modules.dailyreport.reports.period import Period, day_words, period_of
from modules.dailyreport.reports.remarks import remarks_of
from modules.dailyreport.reports.team import Unit, board, lines_of, people_of
from modules.dailyreport.reports.workbook import workbook
from modules.dailyreport.screens.board_parts import (
    PAGE,
    anchor,
    cell_view,
    chart,
    day_projects,
    figures,
    groups,
    head,
    heads_people,
    pager,
    percent,
)
from modules.dailyreport.screens.unit_page import OfUnit
from modules.hr.models import Employee
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.errors import NotFound
from portal.kernel.i18n import _, _l, ngettext
from portal.web.exporting import count_export
from portal.web.frame import fragment
from portal.web.page import Page, route
from portal.web.query import asked_day
from security import reads
from security.transitions import perform, perform_many
from security.visibility import context


class TeamBoard(OfUnit, Page):
    """Day, week or month of a department subtree."""

    name = "dailyreport.TeamBoard"
    route_base = "/team-board"
    menu = "Work"
    menu_order = 20
    icon = "users-group"
    title = _l("Team reports")
    visible = heads_people

    @route("/")
    def show(self) -> str:
        """The board."""
        period, known, unit = self.asked("week")
        people = people_of(unit.ids, period)
        result = board(people, period)
        first = max(0, request.args.get("from", 0, type=int))
        shown = result.rows[first : first + PAGE[period.kind]]
        today = calendar.today()
        subs = self.below(known, unit)
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
            figures=figures(result, period),
            seg=[
                {"label": label, "url": self.address(period_of(kind, anchor(period, today)), unit), "current": kind == period.kind}
                for kind, label in (("day", _("Daily")), ("week", _("Weekly")), ("month", _("Monthly")))
            ],
            previous=self.address(period.before, unit),
            following=self.address(period.after, unit) if period.end <= today else None,
            subs=[{"label": s.name, "count": counts[s.id], "url": self.address(period, s)} for s in subs if counts[s.id]],
            up=self._up(period, known, unit),
            total=len(people),
            groups=groups(shown, known),
            days=[head(d, today, result) for d in period.days],
            cell=lambda row, cell: cell_view(row, cell, period.kind),
            percent=percent,
            pager=pager(lambda start: self.address(period, unit, **{"from": start}), period, first, len(result.rows)),
            chart=chart(result),
            projects=day_projects(result) if period.kind == "day" else None,
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
            return {"label": above.name, "url": self.address(period, above)}
        return {"label": _("All departments"), "url": self.address(period, self.top(known))} if self.top(known).id != unit.id else None

    @route("/cell")
    def cell(self) -> str:
        """One person's day, opened in the matrix."""
        person = request.args.get("person", type=int)
        day = asked_day()
        report = session().scalar(select(DailyReport).where(DailyReport.author_id == person, DailyReport.day == day))
        return self._opened(report, person, day)

    def _opened(self, report: DailyReport | None, person: int | None, day: date) -> str:
        if person not in context().seen_ids("staff") and "staff" not in context().scopes:
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
        own = report is not None and report.author_id == context().me
        return redirect(f"/my-report/?day={report.day.isoformat()}" if own and report else f"/daily-reports/{pk}", 303)

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
        _period, _known, unit = self.asked("week")
        today = period_of("day", calendar.today())
        result = board(people_of(unit.ids, today), today, figures=False)
        # a deputy of a head reads the board, but speaks for nobody
        mine = None if "staff" in context().scopes else set(context().ids("staff"))
        told = remind([row.person.id for row in result.open_today if mine is None or row.person.id in mine], today.start)
        if told:
            flash(ngettext("%(num)s person is reminded.", "%(num)s people are reminded.", told), "success")
        else:
            flash(_("Nobody is left to remind; everybody was told already or has reported."), "info")
        return redirect(f"{self.route_base}/?{request.query_string.decode()}", 303)

    @route("/export.xlsx", verb="export")
    def export(self) -> Response:
        """The board as a workbook, as it is shown, of all people of the selection."""
        period, known, unit = self.asked("week")
        count_export()
        result = board(people_of(unit.ids, period), period)
        filters = [unit.name, period.words]
        reads.note(DailyReport.__tablename__, way="export", filters=filters, format="xlsx", rows=len(result.rows))
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
