"""Project hours: who worked on a project, by week, planned against actual (DAY-06)."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import Date, cast, func, select

from modules.dailyreport import rules
from modules.dailyreport.models import ReportLine
from modules.dailyreport.reports.team import among
from modules.hr.models import Employee
from modules.project.models import Project, ProjectMember, ProjectRole
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.i18n import tr
from security.visibility import context

ZERO = Decimal(0)
WEEKS = 8


@dataclass
class Worker:
    """A person on a project: *planned* hours of the membership, hours by week, and all of them."""

    id: int
    name: str
    role: str
    planned: Decimal
    weeks: dict[date, Decimal]
    total: Decimal = ZERO
    confirmed: Decimal = ZERO
    member: bool = True
    left: bool = False


@dataclass(frozen=True)
class ProjectHours:
    """A project's people and hours."""

    project: Project
    weeks: list[date]
    workers: list[Worker]
    may_see_hours: bool

    @property
    def total(self) -> Decimal:
        return sum((w.total for w in self.workers), ZERO)

    @property
    def confirmed(self) -> Decimal:
        return sum((w.confirmed for w in self.workers), ZERO)

    def week_total(self, week: date) -> Decimal:
        """Hours of everybody in the week that begins on *week*."""
        return sum((w.weeks.get(week, ZERO) for w in self.workers), ZERO)


def sees_hours(project_id: int) -> bool:
    """Whether the person at hand sees everybody's lines on the project: its PM, domain manager, and who sees all projects."""
    ctx = context()
    return project_id in ctx.seen_ids("managed_projects") or "projects" in ctx.scopes


def my_projects() -> list[Project]:
    """Projects whose people and hours the person at hand may open: the managed ones, and those a role lets one see."""
    found = select(Project).where(Project.state != "draft").order_by(Project.state != "active", Project.number)
    return list(session().scalars(found.limit(300)))


def project_hours(project: Project, until: date | None = None, weeks: int = WEEKS) -> ProjectHours:
    """People and hours of *project* over the *weeks* up to the one of *until*. Three statements.

    A member whose role only shows the project gets its people with their planned hours; the hours of others stay hidden.
    """
    last = rules.week_of(until or calendar.today())[0]
    shown = [last - timedelta(weeks=n) for n in reversed(range(weeks))]
    s, today = session(), calendar.today()
    workers: dict[int, Worker] = {}
    members = s.execute(
        select(ProjectMember.user_id, Employee.name, ProjectRole.name.label("role"), ProjectMember.planned_hours, ProjectMember.to_day)
        .join(Employee, Employee.user_id == ProjectMember.user_id)
        .join(ProjectRole, ProjectRole.id == ProjectMember.role_id)
        .where(ProjectMember.project_id == project.id)
        .order_by(ProjectMember.from_day, ProjectMember.id)
    )
    for row in members:
        known = workers.setdefault(row.user_id, Worker(row.user_id, row.name, tr(row.role), ZERO, defaultdict(Decimal)))
        known.planned += row.planned_hours
        known.role, known.left = tr(row.role), row.to_day is not None and row.to_day <= today
    x = ReportLine
    week = cast(func.date_trunc("week", x.day), Date).label("week")
    hours = s.execute(
        select(x.author_id, week, func.sum(x.hours), func.sum(x.hours).filter(x.state == "confirmed"))
        .where(x.project_id == project.id, x.state != "open")
        .group_by(x.author_id, week)
    ).all()
    strangers = {author for author, *_rest in hours if author not in workers}
    names = (
        dict(s.execute(select(Employee.user_id, Employee.name).where(among(Employee.user_id, strangers))).tuples().all())
        if strangers
        else {}
    )
    for author, monday, total, confirmed in hours:
        worker = workers.setdefault(author, Worker(author, names.get(author, ""), "", ZERO, defaultdict(Decimal), member=False))
        worker.weeks[monday] += total
        worker.total += total
        worker.confirmed += confirmed or ZERO
    ordered = sorted(workers.values(), key=lambda w: (w.left, -w.total, w.name))
    return ProjectHours(project, shown, ordered, sees_hours(project.id))
