"""Pages of projects, their teams, domains and roles."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from flask import render_template
from markupsafe import Markup
from sqlalchemy import func, or_, select

from modules.hr.models import Department, Employee
from modules.project import rules, slots
from modules.project.actions import in_period
from modules.project.models import Domain, Project, ProjectMember, ProjectRole, ProjectStateChange
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import Forbidden
from portal.kernel.i18n import _, _l, ngettext
from portal.web import recordpage, rows, words
from portal.web.access import may, route
from portal.web.declared import Computed
from portal.web.fields import fields_of
from portal.web.home import card
from portal.web.rows import Row
from portal.web.screen import Screen
from security.visibility import Context, context

LEVEL_WORDS = {"ok": _l("On track"), "warn": _l("Needs attention"), "risk": _l("At risk")}
RUNNING = ("active", "paused")


def date_reason(word: str, days: int) -> str:
    """What the dates say, in words."""
    match word:
        case "overdue":
            return str(ngettext("%(num)s day past the planned end", "%(num)s days past the planned end", days))
        case "late_start":
            return str(ngettext("should have started %(num)s day ago", "should have started %(num)s days ago", days))
        case "ends_soon":
            return str(ngettext("%(num)s day to the planned end", "%(num)s days to the planned end", days) if days else _("ends today"))
        case "paused":
            return str(_("paused"))
    return ""


def figure(label: str, display: str, hint: str = "", tone: str = "", url: str | None = None) -> dict[str, Any]:
    """One figure of the strip at the head of the page."""
    return {"label": label, "display": display, "hint": hint, "tone": tone, "url": url}


def health_of(ids: Sequence[int]) -> dict[int, rules.Health]:
    """The light of several projects with its reasons. One statement, and one of each module that adds to it."""
    found = session().execute(select(Project.id, Project.state, Project.starts_on, Project.ends_on).where(Project.id.in_(list(ids))))
    return lights_of(found.all())


def lights_of(projects: Sequence[Any]) -> dict[int, rules.Health]:
    """The same for rows that hold id, state, starts_on and ends_on. One statement of each module that adds to it."""
    added = slots.health_parts([p.id for p in projects])
    out = {}
    for p in projects:
        level, word, days = rules.date_health(p.state, p.starts_on, p.ends_on, today())
        reason = date_reason(word, days)
        parts = [rules.Health(level, (reason,) if reason else ())]
        out[p.id] = rules.worst([*parts, *(added.get(p.id, []) if p.state == "active" else [])])
    return out


def health_words(health: rules.Health) -> str:
    """A light in words, with its reasons."""
    return "；".join([str(LEVEL_WORDS[health.level]), *map(str, health.reasons)])


class Light(str):
    """A light in words that knows its *level*, for the shape in a list."""

    level: str

    def __new__(cls, health: rules.Health) -> "Light":
        light = super().__new__(cls, health_words(health))
        light.level = health.level
        return light


class Projects(Screen, model=Project):
    """The projects the reader may see."""

    route_base = "/projects"
    menu = "Projects"
    menu_order = 10
    icon = "folder"
    title = _l("Projects")
    list_columns = ("name", "number", "health", "state", "domain", "pm", "customer_name", "starts_on", "ends_on", "planned_hours")
    show_columns = ("name", "number", "domain", "pm", "customer_name", "entity", "starts_on", "ends_on", "started_on", "finished_on",
                    "planned_hours", "state_reason", "summary")  # fmt: skip
    add_columns = ("name", "domain", "pm", "customer_name", "starts_on", "ends_on", "planned_hours", "summary")
    edit_columns = ("name", "customer_name", "starts_on", "ends_on", "planned_hours", "summary")
    search_columns = ("number", "name", "customer_name")
    filters = ("domain", "pm", "state", "starts_on", "ends_on")
    order = ("starts_on", "desc")
    track = ("draft", "active", "completed", "closed")
    tabs = ((_l("Running"), "f.state=active"), (_l("Paused"), "f.state=paused"), (_l("Completed"), "f.state=completed"))
    totals = ("planned_hours",)
    sections = (
        (_l("Project"), ("name", "number", "domain", "pm", "customer_name", "entity_id")),
        (_l("Time and effort"), ("starts_on", "ends_on", "started_on", "finished_on", "planned_hours", "state_reason")),
        (_l("Summary"), ("summary",)),
    )
    computed = {"health": Computed(_l("Health"), "health", lambda ids: {k: Light(h) for k, h in health_of(ids).items()})}
    add_label = _l("New project")
    empty = {"icon": "folder", "title": _l("No projects yet"), "text": _l("You see a project here as soon as you are on its team.")}

    def list_extras(self) -> dict[str, Any]:
        """Only those above the project managers create projects."""
        return {} if creates_projects(context()) else {"add_url": None}

    @route("/add", verb="add")
    def add(self) -> Any:
        """The form for a new project."""
        if not creates_projects(context()):
            raise Forbidden(_("Only the managers of domains and the company's leaders create projects."))
        return self._form(None, row=self._unsaved(dict(self._defaults(context()))))

    def _defaults(self, ctx: Context) -> Mapping[str, Any]:
        domains = ctx.ids("managed_domains")
        return {"domain_id": domains[0] if len(domains) == 1 else None, "starts_on": today()}

    # ------------------------------------------------------------------ the page of one project
    def heading(self, record: Any, row: Row) -> str:
        return str(record.name)

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """Light, figures, team, and what other modules add."""
        health = health_of([record.id]).get(record.id, rules.Health("ok"))
        team = self._team(record)
        spent = rules.elapsed(record.starts_on, record.ends_on, today())
        running = record.state in RUNNING
        figures = [
            figure(_("Health"), str(LEVEL_WORDS[health.level]), "；".join(map(str, health.reasons)), tone=health.level),
            figure(_("Time used"), f"{spent}%" if running else words.NONE, f"{record.starts_on} – {record.ends_on}"),
            figure(_("Planned hours"), words.decimal(record.planned_hours, 0), "h"),
            figure(_("Team"), str(team["now"]), _("people today"), url=f"/projects/{record.id}?tab=team"),
            *slots.figures(record.id),
        ]
        return {
            "figures": figures,
            "track": self._track(record),
            "extra_tabs": [{"key": "team", "label": _("Team"), "count": team["now"], "html": team["html"]}, *slots.tabs(record.id)],
        }

    def _track(self, record: Project) -> list[dict[str, Any]]:
        """The steps of its life with the days they were reached."""
        steps = recordpage.track(Project, self.track, record.state)
        reached: dict[str, date] = {}
        for state, day in session().execute(
            select(ProjectStateChange.to_state, ProjectStateChange.day)
            .where(ProjectStateChange.project_id == record.id)
            .order_by(ProjectStateChange.id)
        ):
            reached[state] = day
        labels = {str(fields_of(Project)["state"].choices.get(s, s)): s for s in Project.STATES}
        for step in steps:
            day = reached.get(labels.get(step["label"], ""))
            step["at"] = words.day(day) if day else None
        return steps

    def _team(self, record: Project) -> dict[str, Any]:
        names = ["user_id", "role_id", "from_day", "to_day", "planned_hours", "version"]
        ids = session().scalars(
            select(ProjectMember.id)
            .where(ProjectMember.project_id == record.id)
            .order_by(ProjectMember.to_day.is_not(None), ProjectMember.from_day, ProjectMember.id)
        )
        people = {
            u: (pk, department)
            for u, pk, department in session().execute(
                select(Employee.user_id, Employee.id, Employee.department_id).where(
                    or_(
                        Employee.user_id == record.pm_id,
                        Employee.user_id.in_(select(ProjectMember.user_id).where(ProjectMember.project_id == record.id)),
                    )
                )
            )
        }
        departments = rows.labels(Department, {d for _pk, d in people.values()})
        fields = fields_of(ProjectMember)
        manages = record.id in context().ids("managed_projects")  # administering projects does not make a team
        members: list[dict[str, Any]] = []
        for one in rows.read(ProjectMember, names, list(ids)):
            begins, ends = one.values["from_day"], one.values["to_day"]
            when = "future" if begins > today() else "past" if ends is not None and ends <= today() else "now"
            page, department = people.get(one.values["user_id"], (None, None))
            actions = []
            if manages and when != "past" and may("leave_team", ProjectMember):
                text = _("Take %(name)s off the team from tomorrow on?", name=one.labels.get("user_id") or "")
                actions.append(
                    {
                        "label": _("Leaves the team"),
                        "url": f"/project-members/{one.id}/leave-team",
                        "version": one.values["version"],
                        "confirm": text,
                    }
                )
            members.append(
                {n: one.display(fields[n]) for n in names if n != "version"}
                | {
                    "id": one.id,
                    "when": when,
                    "page": f"/people/{page}" if page else None,
                    "department": departments.get(department or 0, ""),
                    "actions": actions,
                    "edit_url": f"/project-members/{one.id}/edit" if manages and when != "past" and may("edit", ProjectMember) else None,
                }
            )
        pm_page, pm_department = people.get(record.pm_id, (None, None))
        pm = {
            "name": rows.labels(User, [record.pm_id]).get(record.pm_id, ""),
            "page": f"/people/{pm_page}" if pm_page else None,
            "department": departments.get(pm_department or 0, ""),
        }
        open_ = record.state not in ("closed", "cancelled")
        add_url = f"/project-members/add?project_id={record.id}" if manages and open_ and may("add", ProjectMember) else None
        back = f"/projects/{record.id}?tab=team"
        html = render_template("project/team.html", members=members, pm=pm, add_url=add_url, back=back)
        now = sum(1 for m in members if m["when"] == "now")
        return {"html": Markup(html), "now": now}  # noqa: S704 - our own template


def administers(ctx: Context) -> bool:
    """Whether the reader creates domains and roles."""
    return "projects_admin" in ctx.scopes


def creates_projects(ctx: Context) -> bool:
    """Managers of a domain, and those whose role administers projects."""
    return bool(ctx.ids("managed_domains")) or "projects_admin" in ctx.scopes


class Members(Screen, model=ProjectMember):
    """Who is on which team, in which role, when."""

    route_base = "/project-members"
    title = _l("Project members")
    icon = "users-group"
    list_columns = ("project", "user", "role", "from_day", "to_day", "planned_hours")
    add_columns = ("project", "user", "role", "from_day", "to_day", "planned_hours")
    edit_columns = ("role", "from_day", "to_day", "planned_hours")
    filters = ("project", "user", "role", "from_day", "to_day")
    order = ("from_day", "desc")
    add_label = _l("Add to the team")

    def _defaults(self, ctx: Context) -> Mapping[str, Any]:
        return {"from_day": today()}

    def _after(self, pk: int) -> str:
        project = session().scalar(select(ProjectMember.project_id).where(ProjectMember.id == pk))
        return f"/projects/{project}?tab=team" if project else f"{self.route_base}/"


class Domains(Screen, model=Domain):
    """Lines of business and who answers for them."""

    route_base = "/project-domains"
    menu = "Projects"
    menu_order = 80
    icon = "hierarchy-2"
    title = _l("Business domains")
    list_columns = ("code", "name", "manager")
    order = ("code", "asc")
    visible = administers

    def list_extras(self) -> dict[str, Any]:
        """Only who administers projects adds to them."""
        return {} if administers(context()) else {"add_url": None}


class Roles(Screen, model=ProjectRole):
    """What people can be on a project."""

    route_base = "/project-roles"
    menu = "Projects"
    menu_order = 81
    icon = "id-badge-2"
    title = _l("Project roles")
    list_columns = ("code", "name", "grants_view", "after_completion")
    order = ("code", "asc")
    visible = administers

    def list_extras(self) -> dict[str, Any]:
        """Only who administers projects adds to them."""
        return {} if administers(context()) else {"add_url": None}


# ------------------------------------------------------------------ home
@card("my_projects", title=_l("My projects"), permission=("view", "project.Project"), order=40, roles={"leader": 15})
def my_projects(ctx: Context) -> tuple[str, Mapping[str, Any]] | None:
    """The running projects the reader answers for or works on, the unhealthy ones first."""
    mine = [*ctx.ids("managed_projects"), *ctx.ids("projects")]
    wide = bool({"projects", "projects_admin"} & ctx.scopes) and not mine
    if not mine and not wide:
        return None
    p, m = Project, ProjectMember
    team = select(func.count()).select_from(m).where(m.project_id == p.id, in_period(today())).correlate(p).scalar_subquery()
    statement = select(p.id, p.number, p.name, p.state, p.starts_on, p.ends_on, p.pm_id, team.label("people")).where(p.state.in_(RUNNING))
    if not wide:
        statement = statement.where(Project.id.in_(mine))
    found = session().execute(statement.order_by(Project.ends_on, Project.id).limit(60)).all()
    if not found:
        return None
    lights = lights_of(found)
    managers = rows.labels(User, {p.pm_id for p in found})
    listed = sorted(found, key=lambda row: (-rules.RANK[lights[row.id].level], row.ends_on))
    shown = [
        {
            "id": row.id,
            "number": row.number or "",
            "name": row.name,
            "pm": managers.get(row.pm_id, ""),
            "state": str(fields_of(Project)["state"].choices.get(row.state, row.state)),
            "level": lights[row.id].level,
            "health": health_words(lights[row.id]),
            "reason": next(iter(map(str, lights[row.id].reasons)), ""),
            "elapsed": rules.elapsed(row.starts_on, row.ends_on, today()),
            "ends_on": words.day(row.ends_on),
            "people": row.people,
        }
        for row in listed[:7]
    ]
    hot = any(s["level"] == "risk" for s in shown)
    return "project/card_projects.html", {"rows": shown, "count": len(found), "hot": hot, "more_url": "/projects/"}
