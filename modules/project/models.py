"""Tables of projects: business domains, roles on a project, the project itself and its team."""

from datetime import date
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import FetchedValue, ForeignKey, Numeric, Text, false, inspect, or_, select, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modules.project.events import MemberJoined, ProjectRenamed
from portal.kernel.calendar import today
from portal.kernel.columns import BY_ACTION, checked, never_overlapping, ordered_period
from portal.kernel.document import Coded, Document, Record, User, live_unique
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from security.visibility import acting


class Domain(Record):
    """A line of business; its manager answers for every project in it."""

    __tablename__ = "project_domain"
    __label__ = _l("Business domain")
    __label_plural__ = _l("Business domains")
    code: Mapped[str] = mapped_column(Text, info={"label": _l("Code")})
    name: Mapped[str] = mapped_column(Text, info={"label": _l("Name")})
    manager_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, info={"label": _l("Domain manager"), "lookup": "employees"}
    )

    __table_args__ = (live_unique("project_domain_code_live", "code"),)

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("projects_admin")

    def __str__(self) -> str:
        return self.name


class ProjectRole(Coded):
    """What somebody can be on a project, and what that opens."""

    __tablename__ = "project_role"
    __label__ = _l("Project role")
    __label_plural__ = _l("Project roles")
    grants_view: Mapped[bool] = mapped_column(server_default=text("true"), info={"label": _l("May see the project")})
    after_completion: Mapped[bool] = mapped_column(server_default=text("false"), info={"label": _l("May report work after completion")})

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("projects_admin")


class Project(Document):
    """One project: who answers for it, for whom it is done, when, and its state. The number is given when it starts."""

    __tablename__ = "project_project"
    __label__ = _l("Project")
    __label_plural__ = _l("Projects")
    wide = {"projects": None, "projects_admin": None}
    STATES = ("draft", "active", "paused", "completed", "closed", "cancelled")
    EDITABLE = ("draft", "active", "paused")
    name: Mapped[str] = mapped_column(Text, info={"label": _l("Name")})
    domain_id: Mapped[int] = mapped_column(ForeignKey(Domain.id), index=True, info={"label": _l("Business domain")})
    customer_name: Mapped[str | None] = mapped_column(Text, info={"label": _l("Customer")})
    pm_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Project manager"), "lookup": "employees"})
    starts_on: Mapped[date] = mapped_column(info={"label": _l("Planned start")})
    ends_on: Mapped[date] = mapped_column(info={"label": _l("Planned end")})
    planned_hours: Mapped[Decimal] = mapped_column(Numeric(10, 2), server_default="0", info={"label": _l("Planned hours")})
    summary: Mapped[str | None] = mapped_column(Text, info={"label": _l("Summary"), "multiline": True})
    started_on: Mapped[date | None] = mapped_column(server_default=FetchedValue(), info={"label": _l("Started on"), **BY_ACTION})
    finished_on: Mapped[date | None] = mapped_column(server_default=FetchedValue(), info={"label": _l("Finished on"), **BY_ACTION})
    state_reason: Mapped[str | None] = mapped_column(
        Text, server_default=FetchedValue(), info={"label": _l("Reason of the state"), **BY_ACTION}
    )

    domain: Mapped[Domain] = relationship()

    __table_args__ = (
        checked("project_project_ordered", "ends_on >= starts_on", _l("The end must not be before the start."), "ends_on"),
        checked("project_project_hours", "planned_hours >= 0", _l("Not below zero."), "planned_hours"),
        checked("project_project_named", "length(btrim(name)) > 0", _l("This is required."), "name"),
    )

    def see(c: Any, v: Any) -> Any:
        # The first two arms look at the row itself: a new project is in nobody's set before the next transaction.
        return or_(c.pm_id == v.me, v.has("managed_domains", c.domain_id), v.has("projects", c.id))

    def change(c: Any, v: Any) -> Any:
        return or_(c.pm_id == v.me, v.has("managed_domains", c.domain_id), v.holds("projects_admin"))

    def before_create(self, ctx: Any) -> None:
        """Projects are created by those above their managers: the manager of the domain, or who administers projects."""
        if not ctx.system and "projects_admin" not in ctx.scopes and self.domain_id not in ctx.ids("managed_domains"):
            raise Invalid({"domain_id": _("Only the manager of this domain or the company's leaders may create a project in it.")})

    def before_update(self, ctx: Any) -> None:
        """Those who keep the project's name hear of a new one. What is over is not changed any more."""
        if self.state in ("closed", "cancelled"):
            raise Refusal(_("This project is over and cannot be changed."), code="wrong_state")
        if cast(Any, inspect(self)).attrs["name"].history.has_changes():
            event = ProjectRenamed(self.id, self.number, self.name)
            with acting():
                publish(event)

    def before_archive(self, ctx: Any) -> None:
        """Only what never began disappears from the lists."""
        if self.state not in ("draft", "cancelled"):
            raise Refusal(_("Only a draft or a cancelled project can be archived."), code="wrong_state")

    def __str__(self) -> str:
        return f"{self.number} {self.name}" if self.number else self.name


class ProjectStateChange(Record):
    """On which day a project went from one state to another: whether work is admitted is judged by the day it was done."""

    __tablename__ = "project_state_change"
    __label__ = _l("Change of state")
    __label_plural__ = _l("Changes of state")
    __root__ = "project_id"
    wide = {"projects": None, "projects_admin": None}
    project_id: Mapped[int] = mapped_column(ForeignKey(Project.id), index=True, info={"label": _l("Project")})
    day: Mapped[date] = mapped_column(info={"label": _l("Day")})
    from_state: Mapped[str] = mapped_column(Text, info={"label": _l("State before"), "states": Project.STATES})
    to_state: Mapped[str] = mapped_column(Text, info={"label": _l("State after"), "states": Project.STATES})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason")})

    def see(c: Any, v: Any) -> Any:
        return v.has("projects", c.project_id)

    def change(c: Any, v: Any) -> Any:
        return false()  # written with the project's state

    def __str__(self) -> str:
        return f"{self.day}"


class ProjectMember(Record):
    """A person on a project's team in a role during ``[from_day, to_day)``; leaving the team sets the end, nothing is removed."""

    __tablename__ = "project_member"
    __label__ = _l("Project member")
    __label_plural__ = _l("Project members")
    __root__ = "project_id"
    wide = {"projects": None, "projects_admin": None}
    project_id: Mapped[int] = mapped_column(ForeignKey(Project.id), index=True, info={"label": _l("Project")})
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person"), "lookup": "employees"})
    role_id: Mapped[int] = mapped_column(ForeignKey(ProjectRole.id), index=True, info={"label": _l("Role on the project")})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(info={"label": _l("Until (not included)")})
    planned_hours: Mapped[Decimal] = mapped_column(Numeric(10, 2), server_default="0", info={"label": _l("Planned hours")})

    project: Mapped[Project] = relationship()
    role: Mapped[ProjectRole] = relationship()

    __table_args__ = (
        ordered_period("project_member_ordered"),
        checked("project_member_hours", "planned_hours >= 0", _l("Not below zero."), "planned_hours"),
        never_overlapping(
            "project_member_apart",
            "project_id",
            "user_id",
            message=_l("This person is already on the team in that period."),
            field="user_id",
        ),
    )

    def see(c: Any, v: Any) -> Any:
        return v.has("projects", c.project_id)

    def change(c: Any, v: Any) -> Any:
        return v.has("managed_projects", c.project_id)

    def before_create(self, ctx: Any) -> None:
        """Somebody comes to the team."""
        event = MemberJoined(self.project_id, self.user_id, self.role_id, self.from_day, self.to_day)
        with acting() as s:
            state = s.scalar(select(Project.state).where(Project.id == self.project_id))
            if state in ("closed", "cancelled"):
                raise Refusal(_("This project is over; nobody can join its team."), code="wrong_state")
            publish(event)

    def before_update(self, ctx: Any) -> None:
        """The place on the team stays the same person's and project's."""
        for column in ("project_id", "user_id"):
            if cast(Any, inspect(self)).attrs[column].history.has_changes():
                raise Invalid({column: _("This cannot be changed; add another member instead.")})

    def before_archive(self, ctx: Any) -> None:
        """A membership that has begun ends, it does not disappear."""
        if self.from_day <= today():
            raise Refusal(_("Let the person leave the team instead; what was done stays."), code="dated_change")

    def __str__(self) -> str:
        return f"{self.from_day}"
