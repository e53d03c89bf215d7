"""What may be done with a project and its team, and the questions others ask about them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, or_, select

from modules.hr.models import Employee
from modules.project import rules
from modules.project.events import ManagerAppointed, MemberJoined, MemberLeft, ProjectRenamed, ProjectStateChanged
from modules.project.models import Domain, Project, ProjectMember, ProjectRole, ProjectStateChange
from portal.kernel.calendar import today
from portal.kernel.db import session, unrestricted
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.handover import handover
from portal.kernel.i18n import _, _l, tr
from portal.kernel.numbering import next_number, series
from security.transitions import Argument, operation, text, transition

SERIES = series("project.Project", "XM-{yyyy}-{seq:4}")


def manages(c: Any, v: Any) -> Any:
    """PM, domain manager, or somebody whose role administers projects."""
    return (c.pm_id == v.me) | v.has("managed_domains", c.domain_id) | v.holds("projects_admin")


def oversees(c: Any, v: Any) -> Any:
    """Domain manager, or somebody whose role administers projects: those above the PM."""
    return v.has("managed_domains", c.domain_id) | v.holds("projects_admin")


# ------------------------------------------------------------------ questions of others
@dataclass(frozen=True)
class OpenProject:
    """A project a person may report work on: label as children store it, the person's role there and the hours planned for it."""

    id: int
    label: str
    role: str
    planned_hours: Any


def projects_open_to(user_id: int, day: date) -> list[OpenProject]:
    """The projects on which work of *user_id* on *day* is admitted, by label (DAY-01, DAY-09).

    The person is its manager, or on its team on that day, and the project was in a state that accepts work at some time of that
    day. Only number and name are told: a role need not open the project itself, so this reads unrestricted.
    """
    on_team = (
        select(
            ProjectMember.project_id,
            ProjectRole.after_completion.label("after_completion"),
            ProjectRole.name.label("role"),
            ProjectMember.planned_hours.label("planned"),
        )
        .join(ProjectRole, ProjectRole.id == ProjectMember.role_id)
        .where(ProjectMember.user_id == user_id, in_period(day), ProjectMember.archived_at.is_(None))
        .subquery()
    )
    statement = (
        select(Project.id, Project.number, Project.name, Project.pm_id, on_team.c.after_completion, on_team.c.role, on_team.c.planned)
        .outerjoin(on_team, on_team.c.project_id == Project.id)
        .where(or_(Project.pm_id == user_id, on_team.c.project_id.is_not(None)), Project.archived_at.is_(None), Project.state != "draft")
    )
    with unrestricted("projects a person may report on: number and name only") as s:
        rows = s.execute(statement).all()
        changes = _changes(r.id for r in rows)
    found = []
    for r in rows:
        manager = r.pm_id == user_id
        if rules.accepts_work_on(changes.get(r.id, []), day, bool(r.after_completion)):
            role = str(_("Project manager")) if manager else tr(r.role)
            found.append(OpenProject(r.id, f"{r.number} {r.name}" if r.number else r.name, role, r.planned or 0))
    return sorted(found, key=lambda p: p.label)


def _changes(project_ids: Iterable[int]) -> dict[int, list[tuple[date, str, str]]]:
    rows = session().execute(
        select(ProjectStateChange.project_id, ProjectStateChange.day, ProjectStateChange.from_state, ProjectStateChange.to_state)
        .where(ProjectStateChange.project_id.in_(list(project_ids)))
        .order_by(ProjectStateChange.project_id, ProjectStateChange.id)
    )
    found: dict[int, list[tuple[date, str, str]]] = {}
    for project_id, day, before, after in rows:
        found.setdefault(project_id, []).append((day, before, after))
    return found


def in_period(day: date) -> Any:
    """SQL: the membership holds on *day*."""
    return (ProjectMember.from_day <= day) & or_(ProjectMember.to_day.is_(None), ProjectMember.to_day > day)


# ------------------------------------------------------------------ its life
def _changed(project: Project, to: str, reason: str | None = None) -> None:
    day = today()
    session().add(ProjectStateChange(project_id=project.id, day=day, from_state=project.state, to_state=to, reason=reason))
    project.state_reason = reason
    publish(ProjectStateChanged(project.id, project.state, to, day, reason))


REASON = {"reason": text(_l("Reason"), required=True, max_length=500)}


@transition("draft", "active", by=manages, label=_l("Start"), tone="primary", icon="player-play")
def start(project: Project) -> None:
    """Work may be reported from today on; the project gets its number."""
    project.started_on = project.started_on or today()
    _changed(project, "active")
    if project.number is None:
        project.number = next_number(SERIES, project.entity_id, today())
        publish(ProjectRenamed(project.id, project.number, project.name))


@transition("active", "paused", by=manages, label=_l("Pause"), icon="player-pause", arguments=REASON)
def pause(project: Project, reason: str) -> None:
    """No work is accepted from tomorrow on until the project is resumed."""
    _changed(project, "paused", reason)


@transition("paused", "active", by=manages, label=_l("Resume"), tone="primary", icon="player-play")
def resume(project: Project) -> None:
    """Work may be reported again."""
    _changed(project, "active")


@transition(
    ("active", "paused"), "completed", by=manages, label=_l("Complete"), icon="flag-check", confirm=_l("Is the work of this project done?")
)
def complete(project: Project) -> None:
    """The work is done; only roles that serve the project afterwards still report on it."""
    project.finished_on = today()
    _changed(project, "completed")


@transition("completed", "closed", by=oversees, label=_l("Close"), icon="lock", confirm=_l("Close this project for good?"))
def close(project: Project) -> None:
    """Nothing is reported on the project any more."""
    _changed(project, "closed")


@transition(
    ("draft", "active", "paused"), "cancelled", by=oversees, label=_l("Cancel the project"), tone="danger", icon="ban", arguments=REASON
)
def cancel(project: Project, reason: str) -> None:
    """The project ends without a result."""
    project.finished_on = today()
    _changed(project, "cancelled", reason)


# ------------------------------------------------------------------ the people
@operation(
    ("draft", "active", "paused", "completed"),
    by=oversees,
    label=_l("Appoint project manager"),
    icon="user-star",
    arguments={"user_id": Argument("person", _l("Project manager"), required=True)},
)
def appoint_manager(project: Project, user_id: int) -> None:
    """Somebody else answers for the project from now on and the one before no longer does."""
    if user_id == project.pm_id:
        raise Refusal(_("This person already manages the project."), code="no_change")
    if session().scalar(select(Employee.id).where(Employee.user_id == user_id, Employee.active)) is None:
        raise Invalid({"user_id": _("This person does not work here.")})
    before, project.pm_id = project.pm_id, user_id
    publish(ManagerAppointed(project.id, before, user_id, today()))


@operation(
    by=lambda c, v: v.has("managed_projects", c.project_id) | v.holds("projects_admin"),
    label=_l("Leaves the team"),
    icon="user-minus",
    name="leave_team",
    arguments={"day": Argument("date", _l("Not on the team from"))},
)
def leave_team(member: ProjectMember, day: date | None) -> None:
    """The person is not on the team any more from *day* (default tomorrow) on; what was done stays."""
    day = day or date.fromordinal(today().toordinal() + 1)
    if member.to_day is not None and member.to_day <= day:
        raise Refusal(_("The person has already left the team by then."), code="already_left")
    if day <= member.from_day:
        member.archived_at = func.now()
    else:
        member.to_day = day
    publish(MemberLeft(member.project_id, member.user_id, day))


# ------------------------------------------------------------------ handing over what somebody answers for
def _lasts(c: Any, day: date) -> Any:
    return or_(c.to_day.is_(None), c.to_day > day)


@handover(
    "project.manager", Project, "pm_id", _l("Projects one manages"), order=30,
    open=lambda c, people, day: [c.pm_id.in_(people), c.archived_at.is_(None), c.state.in_(("draft", "active", "paused", "completed"))],
)  # fmt: skip
def take_project(project: Project, receiver: int, day: date) -> None:
    """The receiver manages the project at once."""
    appoint_manager(project, receiver)


@handover(
    "project.domain", Domain, "manager_id", _l("Business domains one manages"), order=40,
    open=lambda c, people, day: [c.manager_id.in_(people), c.archived_at.is_(None)],
)  # fmt: skip
def take_domain(domain: Domain, receiver: int, day: date) -> None:
    """The receiver manages the domain, and sees every project in it, at once."""
    domain.manager_id = receiver


@handover(
    "project.member", ProjectMember, "user_id", _l("Places on teams"), dated=True, order=50,
    open=lambda c, people, day: [
        c.user_id.in_(people), c.archived_at.is_(None), _lasts(c, day),
        c.project_id.in_(select(Project.id).where(Project.state.in_(("draft", "active", "paused")))),
    ],
)  # fmt: skip
def take_place(member: ProjectMember, receiver: int, day: date) -> None:
    """The receiver has the place from *day* on, in the same role; whoever is on the team already keeps the own place."""
    s, m = session(), ProjectMember
    begins, ends = max(day, member.from_day), member.to_day
    if member.from_day >= day:
        member.archived_at = func.now()
    else:
        member.to_day = day
    s.flush()
    publish(MemberLeft(member.project_id, member.user_id, day))
    mine = select(m.id).where(m.project_id == member.project_id, m.user_id == receiver, _lasts(m, begins))
    if ends is not None:
        mine = mine.where(m.from_day < ends)
    if s.scalar(mine.limit(1)) is None:
        s.add(m(project_id=member.project_id, user_id=receiver, role_id=member.role_id, from_day=begins, to_day=ends))
        publish(MemberJoined(member.project_id, receiver, member.role_id, begins, ends))
