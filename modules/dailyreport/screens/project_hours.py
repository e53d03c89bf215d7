"""Who worked on a project and how much: people by week, planned against actual (DAY-06)."""

from datetime import date, timedelta
from typing import Any

from flask import request
from sqlalchemy import select

from modules.dailyreport import rules
from modules.dailyreport.reports.period import day_words
from modules.dailyreport.reports.project_hours import WEEKS, my_projects, project_hours
from modules.dailyreport.screens.board_parts import percent
from modules.project.models import Project
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.errors import NotFound
from portal.kernel.i18n import _, _l
from portal.web import words
from portal.web.page import Page, route
from portal.web.query import asked_day
from security.visibility import Context


def _has_projects(ctx: Context) -> bool:
    return bool(ctx.seen_ids("projects")) or "projects" in ctx.scopes


class ProjectHoursPage(Page):
    """People and hours of the projects one may see."""

    name = "dailyreport.ProjectHours"
    route_base = "/project-hours"
    menu = "Projects"
    menu_order = 30
    icon = "clock"
    title = _l("People and hours")
    visible = _has_projects

    @route("/")
    def show(self) -> str:
        """One project; the first of one's own without a choice."""
        projects = my_projects()
        chosen = request.args.get("project", type=int)
        until = asked_day("until")
        project = session().scalar(select(Project).where(Project.id == chosen)) if chosen else projects[0] if projects else None
        if chosen and project is None:
            raise NotFound(_("This record does not exist."))
        if project is None:
            return self.render("dailyreport/project_hours.html", project=None, projects=[])
        found = project_hours(project, until)
        rows = "/daily-report-lines/?" + f"f.project_id={project.id}"
        used = rules.ratio(found.total, project.planned_hours)

        def opened(person: int | None = None, week: date | None = None, state: str = "") -> str:
            address = rows + (f"&f.author_id={person}" if person else "") + (f"&f.state={state}" if state else "")
            return address + (f"&f.day.from={week}&f.day.to={week + timedelta(days=6)}" if week else "")

        base = f"{self.route_base}/?project={project.id}"
        step = timedelta(weeks=WEEKS)
        return self.render(
            "dailyreport/project_hours.html",
            project=project,
            projects=projects,
            found=found,
            opened=opened,
            subtitle=str(project),
            used=percent(used),
            over=used is not None and used > 1,
            previous=f"{base}&until={(until - step).isoformat()}",
            following=f"{base}&until={min(until + step, calendar.today()).isoformat()}" if until < calendar.today() else None,
            chart=_chart(found) if found.may_see_hours else None,
            day_words=day_words,
            words=words,
            percent=percent,
        )


def _chart(found: Any) -> dict[str, Any] | None:
    top = [w for w in found.workers if w.total][:6]
    if not top:
        return None
    best = top[0]
    return {
        "sentence": _(
            "%(who)s did the most: %(part)s of %(whole)s h (%(rate)s).",
            who=best.name,
            part=words.hours(best.total),
            whole=words.hours(found.total),
            rate=percent(rules.ratio(best.total, found.total)),
        ),
        "data": {
            "unit": "h",
            "labels": [f"{w.month}-{w.day}" for w in found.weeks],
            "series": [{"name": w.name, "values": [w.weeks.get(week, 0) for week in found.weeks]} for w in top],
            "horizontal": False,
            "stack": True,
        },
    }
