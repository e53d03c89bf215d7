"""What daily reports add to a project's own page."""

from collections.abc import Iterator

from sqlalchemy import func, select

from modules.dailyreport import rules
from modules.dailyreport.models import ReportLine
from modules.dailyreport.reports.project_hours import sees_hours
from modules.dailyreport.screens.board_parts import percent
from modules.project.models import Project
from modules.project.slots import Figure, project_figures
from portal.kernel.db import session
from portal.kernel.i18n import _l
from portal.web import words
from security.manager import allowed


@project_figures
def reported_hours(project_id: int) -> Iterator[Figure]:
    """Hours reported so far, for those who see everybody's lines on the project. One statement."""
    if not (allowed("view", "dailyreport.ProjectHours") and sees_hours(project_id)):
        return
    total = func.coalesce(func.sum(ReportLine.hours), 0)
    statement = (
        select(Project.planned_hours, total)
        .outerjoin(ReportLine, (ReportLine.project_id == Project.id) & (ReportLine.state != "open") & ReportLine.archived_at.is_(None))
        .where(Project.id == project_id)
        .group_by(Project.id)
    )
    planned, used = session().execute(statement).one()
    share = rules.ratio(used, planned)
    tone = "risk" if share is not None and share > 1 else ""
    yield Figure(_l("Reported hours"), words.hours(used), percent(share), tone, f"/project-hours/?project={project_id}")
