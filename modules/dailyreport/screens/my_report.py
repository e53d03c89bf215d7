"""The person's own report: a form of one minute, saved while typing, corrected when a line comes back (DAY-01)."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import Response, flash, g, jsonify, redirect, request
from sqlalchemy import func, select
from werkzeug.wrappers import Response as AnyResponse

from modules.dailyreport.actions.admission import Day, LineEntry, ReportEntry, day_of, open_projects, targets
from modules.dailyreport.actions.writing import EDITABLE, keep_draft, me, write_report
from modules.dailyreport.models import CATEGORIES, DailyReport, ReportDraft, ReportLine
from modules.dailyreport.reports.period import Period, day_words, period_of, weekday_words
from modules.dailyreport.reports.remarks import remarks_of
from modules.dailyreport.reports.team import LineView, lines_of
from modules.project.actions import OpenProject
from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import session
from portal.kernel.errors import Conflict, Invalid, PortalError, Refusal
from portal.kernel.i18n import _, _l, ngettext
from portal.web import words
from portal.web.page import Page, route
from portal.web.query import asked_day
from security.transitions import perform
from security.visibility import context

_LINE = re.compile(r"lines-(\d{1,3})-(target|hours|done|id)")
ZERO = Decimal(0)


def typed(form: Mapping[str, str]) -> dict[str, Any]:
    """What stands in the form, as text: nothing of it is lost, whatever it breaks."""
    lines: dict[int, dict[str, str]] = {}
    for name, value in form.items():
        found = _LINE.fullmatch(name)
        if found:
            lines.setdefault(int(found[1]), {})[found[2]] = value[:4000]
    kept = [line for _n, line in sorted(lines.items()) if any(line.get(k, "").strip() for k in ("target", "hours", "done"))]
    return {
        "lines": kept[:60],
        "plan": form.get("plan", "")[:8000],
        "problems": form.get("problems", "")[:8000] if form.get("has_problems", "1") == "1" else "",
        "overtime": form.get("overtime") == "1",
    }


def as_entry(day: date, content: Mapping[str, Any]) -> ReportEntry:
    """The typed *content* as a report; what is no number becomes a number the rules refuse."""
    lines = []
    for line in content["lines"]:
        kind, _colon, key = line.get("target", "").partition(":")
        project = int(key) if kind == "p" and key.isdecimal() and len(key) < 19 else None
        pk = line.get("id", "")
        lines.append(
            LineEntry(
                hours=_hours(line.get("hours", "")),
                done=line.get("done", "").strip(),
                project_id=project,
                category=key if kind == "c" else None,
                id=int(pk) if pk.isdecimal() and len(pk) < 19 else None,
            )
        )
    return ReportEntry(day, lines, bool(content["overtime"]), content["plan"], content["problems"])


def _hours(value: str) -> Decimal:
    try:
        hours = Decimal(value.strip().replace("，", ".").replace(",", ".") or "0")
    except InvalidOperation:
        return Decimal("NaN")
    # far from any day: sums of such numbers cannot be shown
    return hours if hours.is_finite() and abs(hours.adjusted()) < 6 else Decimal("NaN")


class MyReport(Page):
    """Today's report, or another day's; and the week around it."""

    name = "dailyreport.MyReport"
    route_base = "/my-report"
    menu = "Work"
    menu_order = 10
    icon = "message-report"
    title = _l("My report")

    @route("/")
    def show(self) -> str:
        """The form, or what was handed in."""
        return self._page(asked_day())

    @route("/", methods=["POST"])
    def save(self) -> AnyResponse | tuple[str, int]:
        """Saves or hands in. A refusal shows the form again with everything typed, and keeps it as a draft."""
        day, content = asked_day(), typed(request.form)
        submitting = request.form.get("go") != "save"
        try:
            if submitting:
                given = request.form.get("report_version", "")
                write_report(as_entry(day, content), submitting=True, version=int(given) if given.isdecimal() and len(given) < 10 else None)
                flash(_("The report of %(day)s is submitted.", day=day_words(day)), "success")
            else:
                keep_draft(day, content)
                flash(_("The draft is saved."), "success")
        except PortalError as e:
            session().rollback()
            if isinstance(e, Conflict) and _is_there(as_entry(day, content)):
                return redirect(f"/my-report/?day={day.isoformat()}", 303)  # the same form, sent twice
            keep_draft(day, content)
            g.keep = True  # the draft stays although the answer is an error
            return self._page(day, content, e), e.http
        return redirect(f"/my-report/?day={day.isoformat()}", 303)

    @route("/draft", methods=["PUT", "POST"])
    def autosave(self) -> Response:
        """Keeps what is typed so far."""
        given = request.form.get("version", "")
        version = int(given) if given.isdecimal() and len(given) < 10 else None
        try:
            draft = keep_draft(asked_day(), typed(request.form), version)
        except Conflict as e:
            session().rollback()
            answer = jsonify(error={"code": e.code, "message": str(e), "fields": {}}, version=e.version)
            answer.status_code = 409
            return answer
        return jsonify(saved_at=calendar.local(draft.saved_at).strftime("%H:%M"), version=draft.version, ids=[])

    @route("/prefill")
    def prefill(self) -> Response:
        """Lines of the last report before the day, ready to be changed: only projects that are open on the day."""
        day, person = asked_day(), me()
        last = (
            session()
            .execute(
                select(DailyReport.id, DailyReport.day, DailyReport.plan)
                .where(DailyReport.author_id == person, DailyReport.day < day, DailyReport.day >= day - timedelta(days=31))
                .order_by(DailyReport.day.desc())
                .limit(1)
            )
            .one_or_none()
        )
        allowed = targets(person, day)
        lines = []
        for line in lines_of(last.id) if last else []:
            target = f"p:{line.project_id}" if line.project_id else f"c:{line.category}"
            if line.hours > 0 and (line.project_id is None or line.project_id in allowed):
                lines.append({"target": target, "task": "", "hours": words.hours(line.hours), "done": line.done or ""})
        if last is None or not lines:
            message = _("There is no earlier report to copy.")
        else:
            message = ngettext(
                "%(num)s line copied from %(day)s; adjust the hours and submit.",
                "%(num)s lines copied from %(day)s; adjust the hours and submit.",
                len(lines),
                day=day_words(last.day),
            )
        return jsonify(lines=lines, plan="", message=message)

    @route("/correct/<int:pk>", methods=["POST"])
    def correct(self, pk: int) -> AnyResponse:
        """Takes a confirmed line back and puts the right hours beside it."""
        day = session().scalar(select(ReportLine.day).where(ReportLine.id == pk))
        given = {"hours": request.form.get("hours", ""), "done": request.form.get("done", "")}
        version = request.form.get("version", "")
        try:
            perform(ReportLine, "correct", pk, int(version) if version.isdecimal() else None, given)
            flash(_("The correction waits for confirmation."), "success")
        except (Invalid, Refusal, Conflict) as e:
            session().rollback()
            flash(str(next(iter(e.fields.values()), e)), "danger")
        return redirect(f"/my-report/?day={day.isoformat()}" if day else "/my-report/", 303)

    @route("/week")
    def week(self) -> str:
        """The person's week: what stands on each day."""
        period = period_of("week", asked_day())
        reports = {r.day: r for r in session().scalars(self._own(period))}
        days = []
        working = WorkingCalendar.load()
        for day in period.days:
            report = reports.get(day)
            days.append(
                {
                    "day": day,
                    "words": day_words(day),
                    "workday": working.is_workday(day),
                    "future": day > calendar.today(),
                    "report": report,
                    "lines": lines_of(report.id) if report else [],
                    "url": f"/my-report/?day={day.isoformat()}",
                }
            )
        return self.render(
            "dailyreport/week.html",
            period=period,
            days=days,
            total=sum((r.hours for r in reports.values()), ZERO),
            previous=f"/my-report/week?day={period.before.start.isoformat()}",
            following=f"/my-report/week?day={period.after.start.isoformat()}" if period.end <= calendar.today() else None,
            crumbs=[{"label": _("My report"), "url": "/my-report/"}],
            title=period.words,
        )

    # ------------------------------------------------------------------ building the page
    def _own(self, period: Period) -> Any:
        return select(DailyReport).where(
            DailyReport.author_id == context().me, DailyReport.day >= period.start, DailyReport.day < period.end
        )

    def _page(self, day: date, content: dict[str, Any] | None = None, error: PortalError | None = None) -> str:
        person = me()
        working = WorkingCalendar.load()
        facts = day_of(person, day, working)
        report = session().scalar(select(DailyReport).where(DailyReport.author_id == person, DailyReport.day == day))
        draft = session().scalar(select(ReportDraft).where(ReportDraft.author_id == person, ReportDraft.day == day))
        stored = lines_of(report.id) if report else []
        editable = [line for line in stored if line.state in EDITABLE and not line.reversal]
        locked = [line for line in stored if line not in editable]
        content = content or (draft.content if draft else None) or _content(report, editable)
        allowed = open_projects(person, day)
        handed_in = report is not None and report.state == "submitted"
        fields = {str(k): str(v) for k, v in (error.fields.items() if error else ())}
        locked_hours = sum((line.hours for line in locked), ZERO)
        return self.render(
            "dailyreport/report.html",
            title=day_words(day),
            crumbs=[{"label": _("My report"), "url": "/my-report/"}] if day != calendar.today() else [],
            day=day,
            facts=facts,
            report=report,
            handed_in=handed_in,
            writing=not facts.closed and (not handed_in or bool(editable) or bool(draft) or error is not None or "more" in request.args),
            locked=[_shown(line) for line in locked],
            locked_hours=locked_hours,
            lines=_form_lines(content, editable, fields),
            content=content,
            total=locked_hours + sum((h for line in content["lines"] if (h := _hours(line.get("hours", ""))).is_finite()), ZERO),
            projects=[{"value": f"p:{pk}", "label": p.label} for pk, p in allowed.items()],
            categories=[{"value": f"c:{key}", "label": str(label)} for key, label in CATEGORIES.items()],
            used=_used(person, allowed),
            draft=draft,
            error=error,
            fields=fields,
            needs_mark=not facts.workday,
            deadline=_deadline_words(facts),
            rail=self._rail(person, day, working),
            remarks=remarks_of(report.id) if handed_in and report else None,
            previous=f"/my-report/?day={(day - timedelta(days=1)).isoformat()}",
            following=f"/my-report/?day={(day + timedelta(days=1)).isoformat()}" if day < calendar.today() else None,
            week_url=f"/my-report/week?day={day.isoformat()}",
        )

    def _rail(self, person: int, day: date, working: WorkingCalendar) -> dict[str, Any]:
        """The week strip and the report before this one."""
        period, today = period_of("week", day), calendar.today()
        reports = {r.day: r for r in session().scalars(self._own(period))}
        open_lines = dict(
            session()
            .execute(
                select(ReportLine.report_id, func.count())
                .where(ReportLine.report_id.in_([r.id for r in reports.values()]), ReportLine.state != "confirmed")
                .group_by(ReportLine.report_id)
            )
            .tuples()
            .all()
        )
        returned = set(
            session().scalars(
                select(ReportLine.day).where(
                    ReportLine.author_id == person,
                    ReportLine.day >= period.start,
                    ReportLine.day < period.end,
                    ReportLine.state == "returned",
                )
            )
        )
        strip = []
        for each in period.days:
            report = reports.get(each)
            if each.weekday() > 4 and report is None and not working.is_workday(each):
                continue
            done = report is not None and report.state == "submitted"
            if done and report is not None:
                tone = "warn" if each in returned else "info" if open_lines.get(report.id) else "ok"
            else:
                tone = "due" if each == today else "risk" if each < today and working.is_workday(each) else ""
            strip.append(
                {
                    "label": f"{weekday_words(each, narrow=True)} {each.day}",
                    "tone": tone,
                    "hours": report.hours if done and report else None,
                    "missing": tone == "risk",
                    "url": f"/my-report/?day={each.isoformat()}" if each <= today else None,
                    "current": each == day,
                }
            )
        last = session().scalar(
            select(DailyReport)
            .where(DailyReport.author_id == person, DailyReport.day < day, DailyReport.state == "submitted")
            .order_by(DailyReport.day.desc())
            .limit(1)
        )
        total = sum((r.hours for r in reports.values() if r.state == "submitted"), ZERO)
        return {"strip": strip, "total": total, "last": last, "last_lines": lines_of(last.id) if last else [], "words": day_words}


def _content(report: DailyReport | None, editable: list[LineView]) -> dict[str, Any]:
    lines = [
        {
            "id": str(line.id),
            "target": f"p:{line.project_id}" if line.project_id else f"c:{line.category}",
            "hours": words.hours(line.hours),
            "done": line.done or "",
        }
        for line in editable
    ]
    return {
        "lines": lines,
        "plan": report.plan or "" if report else "",
        "problems": report.problems or "" if report else "",
        "overtime": bool(report and report.overtime),
    }


def _is_there(entry: ReportEntry) -> bool:
    """Whether the person's report of the day holds every line of *entry* already."""
    report = session().scalar(select(DailyReport.id).where(DailyReport.author_id == me(), DailyReport.day == entry.day))
    left = [(x.project_id, x.category, x.hours, x.done or "") for x in (lines_of(report) if report else [])]
    for line in entry.lines:
        one = (line.project_id, line.category, line.hours, line.done)
        if one not in left:
            return False
        left.remove(one)
    return bool(entry.lines)


def _form_lines(content: dict[str, Any], editable: list[LineView], fields: Mapping[str, str]) -> list[dict[str, Any]]:
    by_id = {str(line.id): line for line in editable}
    shown = []
    for index, line in enumerate(content["lines"]):
        stored = by_id.get(line.get("id", ""))
        shown.append(
            {
                "target": line.get("target", ""),
                "hours": line.get("hours", ""),
                "done": line.get("done", ""),
                "id": line.get("id", "") if stored else "",
                "label": stored.label if stored else "",
                "reason": stored.reason if stored and stored.state == "returned" else None,
                "errors": [fields[f"lines.{index}.{key}"] for key in ("target", "hours", "done") if f"lines.{index}.{key}" in fields],
            }
        )
    return shown or [{"target": "", "hours": "", "done": "", "id": "", "label": "", "reason": None, "errors": []}]


def _shown(line: LineView) -> dict[str, Any]:
    tone = {"confirmed": "ok", "returned": "warn", "open": "idle"}.get(line.state, "info")
    return {"line": line, "tone": tone, "state": str(ReportLine.STATE_LABELS[line.state]), "waits": str(ReportLine.DECIDERS[line.decider])}


def _used(person: int, projects: Mapping[int, OpenProject]) -> dict[str, dict[str, Decimal]]:
    """Planned and reported hours of the person by project, shown beside each line."""
    x = ReportLine
    reported = session().execute(
        select(x.project_id, func.sum(x.hours))
        .where(x.author_id == person, x.project_id.in_(list(projects)), x.state != "open")
        .group_by(x.project_id)
    )
    used = dict(reported.tuples().all())
    return {f"p:{pk}": {"used": used.get(pk) or ZERO, "planned": Decimal(p.planned_hours)} for pk, p in projects.items()}


def _deadline_words(facts: Day) -> str:
    """Until when the report is on time."""
    due = calendar.local(facts.deadline)
    if calendar.now() > facts.deadline:
        return str(_("the deadline was %(day)s %(time)s", day=day_words(due.date()), time=due.strftime("%H:%M")))
    if due.date() == calendar.today() + timedelta(days=1):
        return str(_("due tomorrow at %(time)s", time=due.strftime("%H:%M")))
    return str(_("due %(day)s %(time)s", day=day_words(due.date()), time=due.strftime("%H:%M")))
