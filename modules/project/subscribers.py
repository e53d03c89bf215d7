"""Whom projects tell what, and what the coming and going of people means for teams."""

from datetime import timedelta

from sqlalchemy import func, or_, select

from modules.hr.events import EmployeeLeft
from modules.project.events import ManagerAppointed, MemberJoined
from modules.project.models import Domain, Project, ProjectMember
from portal.kernel.db import session
from portal.kernel.events import on
from portal.kernel.i18n import _l
from portal.notify import notice_kind, notify

notice_kind(
    "project.member_joined",
    label=_l("New on a project's team"),
    title=_l("You are on the team of %(project)s from %(from_day)s on"),
    url="/projects/%(id)s",
)
notice_kind(
    "project.manager_appointed",
    label=_l("Appointed as project manager"),
    title=_l("You manage %(project)s now"),
    url="/projects/%(id)s",
)
notice_kind(
    "project.manager_left",
    label=_l("A project's manager has left"),
    title=_l("%(project)s needs a new project manager"),
    url="/projects/%(id)s",
    tone="warn",
)


@on(MemberJoined)
def tell_member(event: MemberJoined) -> None:
    """Who comes to a team hears of it."""
    project = session().get_one(Project, event.project_id)
    params = {"project": str(project), "from_day": event.from_day.isoformat(), "id": project.id}
    key = f"project.member_joined:{project.id}:{event.from_day:%Y%m%d}"
    notify([event.user_id], "project.member_joined", None, params, key=key)


@on(ManagerAppointed)
def tell_manager(event: ManagerAppointed) -> None:
    """Who manages a project from now on hears of it."""
    project = session().get_one(Project, event.id)
    params = {"project": str(project), "id": project.id}
    notify(
        [event.to_user_id], "project.manager_appointed", project, params, key=f"project.manager_appointed:{project.id}:{project.version}"
    )


@on(EmployeeLeft)
def end_memberships(event: EmployeeLeft) -> None:
    """Who leaves the company leaves its teams; the manager of the domain is asked for a new project manager."""
    s = session()
    last = event.last_day + timedelta(days=1)
    open_ = or_(ProjectMember.to_day.is_(None), ProjectMember.to_day > last)
    for member in s.scalars(select(ProjectMember).where(ProjectMember.user_id == event.user_id, open_)):
        if member.from_day >= last:
            member.archived_at = func.now()
        else:
            member.to_day = last
    running = Project.state.in_(("draft", "active", "paused"))
    found = select(Project, Domain.manager_id).join(Domain, Domain.id == Project.domain_id).where(Project.pm_id == event.user_id, running)
    for project, manager in s.execute(found).all():
        if manager is not None and manager != event.user_id:
            params = {"project": str(project), "id": project.id}
            notify([manager], "project.manager_left", project, params, key=f"project.manager_left:{project.id}:{event.user_id}")
