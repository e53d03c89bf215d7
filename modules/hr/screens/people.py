"""Colleagues: the directory everybody may read, and the employee's page with what each reader may see of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import redirect, render_template, request
from markupsafe import Markup
from sqlalchemy import select

from modules.hr.actions import heads_of, heads_on
from modules.hr.models import Assignment, Department, Employee, EmployeeEvent, EmployeePrivate, Employment, Grade, Leave, Post
from modules.hr.screens import handover
from modules.hr.screens.changes import form_url
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import NotFound
from portal.kernel.i18n import _, _l
from portal.web import recordpage, registry, rows, words
from portal.web.access import may
from portal.web.fields import fields_of
from portal.web.page import Page, route
from portal.web.rows import Row
from portal.web.screen import Related, Screen
from portal.web.sensitivereads import looked
from security.transitions import action_of
from security.visibility import changeable, context

CHANGES = Related(
    EmployeeEvent,
    "employee_id",
    title=_l("Employee changes"),
    columns=("kind", "effective_on", "from_department", "department", "state", "number"),
    order=("effective_on", "desc"),
)


class People(Screen, model=Employee):
    """Everybody who works here; HR also sees who has left."""

    route_base = "/people"
    menu = "People"
    menu_order = 10
    icon = "address-book"
    title = _l("Colleagues")
    list_columns = ("name", "department", "post", "work_phone", "work_email", "number")
    show_columns = ("name", "number", "department", "post", "work_email", "work_phone", "entity", "active")
    edit_columns = ("name", "number", "work_email", "work_phone")
    search_columns = ("name", "number", "work_email", "work_phone")
    filters = ("department", "post", "active")
    order = ("number", "asc")
    verbs = ("view", "edit", "export")

    def condition(self, entity: Any) -> Sequence[Any]:
        """Those who have left, or are yet to come, only when asked for."""
        return () if "f.active" in request.args else (entity.active,)

    @route("/of/<int:user_id>")
    def of(self, user_id: int) -> Any:
        """To the employee page of an account."""
        pk = session().scalar(select(Employee.id).where(Employee.user_id == user_id))
        if pk is None:
            raise NotFound(_("This record does not exist."))
        return redirect(f"/people/{pk}")

    def list_extras(self) -> dict[str, Any]:
        """Somebody new is hired by an approved change."""
        if not prepares():
            return {}
        return {"add_url": form_url("hire"), "add_label": _("New employee")}

    # ------------------------------------------------------------------ the page of one employee
    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """Terms for heads and HR, private data for the person and HR, and what may be done now."""
        terms = session().scalar(select(Employment).where(Employment.employee_id == record.id))
        out: dict[str, Any] = {
            "sections": self._sections(record, row, terms),
            "actions": self._actions(record, terms),
            "side": self._side(record),
        }
        if terms is not None:
            out["related"] = [tab for tab in (CHANGES.build(record),) if tab is not None]
        if terms is not None and may("view", Assignment):
            out["extra_tabs"] = [self._assignments(record)]
        if record.user_id == context().me:
            out.setdefault("extra_tabs", []).append(_readers(record.user_id))
        return out

    def _sections(self, record: Employee, row: Row, terms: Employment | None) -> list[dict[str, Any]]:
        found = recordpage.sections(type(self), ((_l("Directory"), self.show_columns),), row)
        if terms is not None and may("view", Employment):
            names = ["employment_type", "state", "grade_id", "manager_id", "joined_on", "regular_on", "left_on"]
            found.append(_section(_("Employment"), Employment, names, terms.id))
        private = session().scalar(select(EmployeePrivate.id).where(EmployeePrivate.employee_id == record.id))
        if private is not None and may("view", EmployeePrivate):
            names = ["identity_number", "bank_account", "home_address"]
            found.append(_section(_("Private data, seen by the person and HR only"), EmployeePrivate, names, private))
        return found

    def _actions(self, record: Employee, terms: Employment | None) -> list[dict[str, Any]]:
        """What is done at once, and the changes a second person approves: only those that fit."""
        found = recordpage.actions(record, self.route_base)
        for action in found:
            prefill(action, {"work_phone": record.work_phone}, {})
        if not prepares() or terms is None:
            return found
        here = terms.state != "left"
        fits = {"regularise": terms.state == "probation", "rehire": not here, "leave": here, "transfer": here, "promotion": here}
        looks = {
            "transfer": ("arrows-exchange", "primary"),
            "promotion": ("stairs", None),
            "regularise": ("user-check", None),
            "leave": ("user-off", None),
            "rehire": ("user-plus", "primary"),
        }
        for kind, (icon, tone) in looks.items():
            if fits[kind]:
                label, url = str(EmployeeEvent.KINDS[kind]), form_url(kind, record.id)
                found.append({"name": kind, "label": label, "icon": icon, "tone": tone, "allowed": True, "href": url})
        return found

    def _side(self, record: Employee) -> list[dict[str, Any]]:
        found = select(Employee.id, Employee.name).where(Employee.user_id.in_(heads_of(record.user_id))).order_by(Employee.number)
        above = [{"label": _("Head"), "value": name, "url": f"/people/{pk}"} for pk, name in session().execute(found)]
        mine = [h.department_id for heads in heads_on(today()).values() for h in heads if h.user_id == record.user_id]
        side = []
        if above:
            side.append({"title": _("Answered for by"), "rows": above})
        if mine:
            headed = select(Department.id, Department.name).where(Department.id.in_(mine)).order_by(Department.code)
            listed = [{"label": _("Department"), "value": name, "url": f"/departments/{pk}"} for pk, name in session().execute(headed)]
            side.append({"title": _("Answers for"), "rows": listed})
        open_work = handover.box(record)
        if open_work is not None:
            side.append(open_work)
        if "security" in context().scopes:
            side.append(
                {
                    "title": _("Account"),
                    "rows": [
                        {"label": _("Signed in"), "value": _("Open sessions"), "url": f"/administration/sessions/?person={record.user_id}"},
                        {"label": _("Earlier"), "value": _("Sign-in history"), "url": f"/sign-ins/?f.user_id={record.user_id}"},
                    ],
                }
            )
        if record.user_id in context().seen_ids("staff") or "staff" in context().scopes:
            coming = session().scalars(
                select(Leave)
                .where(Leave.user_id == record.user_id, Leave.state == "approved", Leave.to_day >= today())
                .order_by(Leave.from_day)
                .limit(5)
            )
            away = [{"label": str(Leave.KINDS[x.kind]), "value": f"{x.from_day} – {x.to_day}", "url": f"/leaves/{x.id}"} for x in coming]
            if away:
                side.append({"title": _("Away soon"), "rows": away})
        return side

    def _assignments(self, record: Employee) -> dict[str, Any]:
        """Where the person worked, works and will work; a planned change may be withdrawn here."""
        names = ["from_day", "to_day", "department_id", "post_id", "grade_id", "manager_id", "reason", "version", "plan"]
        ids = session().scalars(select(Assignment.id).where(Assignment.employee_id == record.id).order_by(Assignment.from_day.desc())).all()
        fields = fields_of(Assignment)
        by_event = set(session().scalars(select(EmployeeEvent.assignment_id).where(EmployeeEvent.assignment_id.in_(ids))))
        administers = "staff_admin" in context().scopes
        found = []
        for row in rows.read(Assignment, names, list(ids)):
            shown = {n: row.display(fields[n]) for n in names if n not in ("version", "plan")}
            begins, ends = row.values["from_day"], row.values["to_day"]
            when = "future" if begins > today() else "past" if ends is not None and ends <= today() else "now"
            actions = []
            if prepares() and (when != "future" or len(ids) == 1):
                actions.append({"label": _("Correct"), "href": form_url("correction", record.id, begins)})
            if administers and when == "future" and row.id not in by_event:
                actions += _withdrawing(row)
            found.append({**shown, "id": row.id, "when": when, "actions": actions})
        html = render_template("hr/assignments.html", rows=found, back=f"/people/{record.id}?tab=assignments")
        return {"key": "assignments", "label": _("Career"), "count": len(found), "html": Markup(html)}  # noqa: S704 - our own template


def _withdrawing(row: Row) -> list[dict[str, Any]]:
    """Taking a planned place back: alone, or with all that a hand-over planned; a merger is taken back on its own page."""
    plan = row.values["plan"] or ""
    name = "withdraw_together" if plan.startswith("handover:") else "withdraw"
    if plan.startswith("merger:") or not may(name, Assignment):
        return []
    action = action_of(Assignment, name)
    url = f"/assignments/{row.id}/{name.replace('_', '-')}"
    confirm = str(action.confirm) if action.confirm else None
    return [{"label": str(action.label), "url": url, "version": row.values["version"], "confirm": confirm}]


def _readers(user_id: int) -> dict[str, Any]:
    """Who read the person's own sensitive data; for the person only."""
    found = looked(user_id)
    html = render_template("administration/who_looked.html", entries=found)
    return {"key": "readers", "label": _("Who looked"), "count": len(found), "html": Markup(html)}  # noqa: S704 - our own template


TARGETS = {"department_id": Department, "post_id": Post, "grade_id": Grade, "manager_id": User}


def prefill(action: dict[str, Any], values: Mapping[str, Any], texts: dict[tuple[Any, int], str]) -> None:
    """Puts what holds now into the fields of an action, so that only the difference has to be typed. *texts* keeps what was read."""
    for argument in action["arguments"]:
        name = argument["name"]
        value, target = values.get(name), TARGETS.get(name)
        if value is None:
            continue
        if target is not None and (target, value) not in texts:
            texts[target, value] = rows.labels(target, [value]).get(value, words.NONE)
        argument["value"], argument["display"] = value, texts[target, value] if target is not None else str(value)


def _section(title: str, model: Any, names: list[str], pk: int) -> dict[str, Any]:
    row = rows.read(model, names, [pk])[0]
    fields = fields_of(model)
    section = {"title": title, "fields": [recordpage.shown(fields[n], row) for n in names]}
    record = session().get(model, pk)
    base = {"hr_employment": "/employments", "hr_employee_private": "/employee-private"}[model.__tablename__]
    if record is not None and may("edit", model) and session().scalar(select(changeable(model, model, context())).where(model.id == pk)):
        section["edit_url"] = f"{base}/{pk}/edit"
    return section


def prepares() -> bool:
    """Whether the reader prepares changes of employees."""
    return "staff_admin" in context().scopes and may("add", EmployeeEvent)


class Terms(Screen, model=Employment):
    """Terms of employment as they stand; approved changes set them."""

    route_base = "/employments"
    title = _l("Employment")
    list_columns = ("employee", "employment_type", "state", "grade", "manager", "joined_on")
    verbs = ("view", "export")


class PrivateData(Screen, model=EmployeePrivate):
    """Identity and bank fields."""

    route_base = "/employee-private"
    title = _l("Private data")
    list_columns = ("employee", "identity_number", "bank_account")
    edit_columns = ("identity_number", "bank_account", "home_address")
    verbs = ("view", "edit")

    def _after(self, pk: int) -> str:
        return _employee_page(EmployeePrivate, pk)


class Assignments(Screen, model=Assignment):
    """Changes of place over time, planned ones too."""

    route_base = "/assignments"
    title = _l("Places over time")
    list_columns = ("employee", "department", "post", "grade", "from_day", "to_day", "reason")
    filters = ("employee", "department", "post", "grade", "from_day", "to_day")
    order = ("from_day", "desc")
    verbs = ("view", "export")


def _employee_page(model: Any, pk: int) -> str:
    return f"/people/{session().scalar(select(model.employee_id).where(model.id == pk))}"


registry.person_page("/people/of/{id}")


class MyRecord(Page):
    """The way to one's own page."""

    name = "hr.MyRecord"
    route_base = "/my-record"
    title = _l("My record")
    menu = "People"
    menu_order = 15
    icon = "id-badge"

    @route("/")
    def mine(self) -> Any:
        """To the person's own employee page."""
        pk = session().scalar(select(Employee.id).where(Employee.user_id == context().me))
        if pk is None:
            raise NotFound(_("Your account has no employee record. Please ask HR."))
        return redirect(f"/people/{pk}")
