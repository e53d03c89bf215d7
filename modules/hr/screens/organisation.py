"""The organisation: its chart as of any day, and the page of one department."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from flask import render_template
from markupsafe import Markup
from sqlalchemy import func, or_, select

from modules.hr import rules
from modules.hr.actions import departments_on, found, heads_on, organisation, people_on
from modules.hr.models import Department, DepartmentHead, DepartmentPeriod, Employee, Merger
from modules.hr.screens.access import administers, approves, may_import
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import NotFound
from portal.kernel.i18n import _, _l
from portal.web import recordpage, rows
from portal.web.access import may
from portal.web.fields import fields_of
from portal.web.page import Page, route
from portal.web.query import asked_day
from portal.web.rows import Row
from portal.web.screen import Related, Screen
from security.visibility import context


def chart(day: date) -> list[dict[str, Any]]:
    """The nested departments of *day* as plain values, for the page and for REST."""
    heads = heads_on(day)
    pages = dict(session().execute(select(Employee.user_id, Employee.id)).tuples().all())

    def plain(node: rules.Node) -> dict[str, Any]:
        return {
            "id": node.id,
            "name": node.name,
            "people": node.own,
            "people_in_all": node.total,
            "heads": [
                {"user_id": h.user_id, "employee_id": pages.get(h.user_id), "name": h.name, "kind": h.kind} for h in heads.get(node.id, [])
            ],
            "below": [plain(child) for child in node.children],
        }

    return [plain(root) for root in organisation(day)]


class Organisation(Page):
    """The chart of departments with heads and headcounts, as of any day."""

    name = "hr.Organisation"
    route_base = "/organisation"
    menu = "People"
    menu_order = 20
    icon = "sitemap"
    title = _l("Organisation")

    @route("/")
    def show(self) -> str:
        """The whole chart on the day asked for."""
        day = asked_day()
        trees = chart(day)
        return self.render(
            "hr/organisation.html",
            day=day,
            today=today(),
            trees=trees,
            kinds={k: str(v) for k, v in DepartmentHead.KINDS.items()},
            departments=sum(1 for _place in departments_on(day)),
            people=sum(t["people_in_all"] for t in trees),
            add_url="/departments/add" if may("add", Department) and "staff_admin" in context().scopes else None,
            import_url="/imports/hr-organisation/" if may_import() else None,
            subtree=_subtrees(trees),
        )

    @route("/<int:pk>/people")
    def people(self, pk: int) -> str:
        """Who worked in one department, and below it, on the day asked for."""
        day = asked_day()
        places = departments_on(day)
        here = next((p for p in places if p.id == pk), None)
        if here is None:
            raise NotFound(_("This record does not exist."))
        inside = rules.below({p.id: p.parent_id for p in places}, pk)
        members = [user_id for user_id, department in people_on(day).items() if department in inside]
        listed = session().execute(select(Employee.id, Employee.name).where(Employee.user_id.in_(members)).order_by(Employee.number))
        body = render_template("hr/department_people.html", people=[{"id": i, "name": n} for i, n in listed])
        crumbs = [{"label": str(self.title), "url": f"/organisation/?day={day}"}]
        title = _("%(department)s on %(day)s", department=here.name, day=day)
        return self.render("portal/page.html", title=title, crumbs=crumbs, body=Markup(body))  # noqa: S704 - our own template


def _subtrees(trees: list[dict[str, Any]]) -> dict[int, str]:
    """For each department the query string that lists the people of its whole subtree today."""
    out: dict[int, str] = {}

    def walk(node: dict[str, Any]) -> list[int]:
        ids = [node["id"], *(i for child in node["below"] for i in walk(child))]
        out[node["id"]] = f"f.department_id={','.join(map(str, ids))}"
        return ids

    for root in trees:
        walk(root)
    return out


class Departments(Screen, model=Department):
    """Departments as they stand today; changes are dated actions and keep what was."""

    route_base = "/departments"
    menu = "People"
    menu_order = 50
    icon = "building"
    title = _l("Departments")
    list_columns = ("code", "name", "parent")
    show_columns = ("code", "name", "parent")
    add_columns = ("code", "name", "parent")
    edit_columns = ("code",)
    search_columns = ("code", "name")
    order = ("code", "asc")
    verbs = ("view", "add", "edit", "export")
    visible = administers
    add_label = _l("New department")
    related = (
        Related(Employee, "department_id", title=_l("People"), columns=("name", "post", "work_phone", "work_email")),
        Related(Department, "parent_id", title=_l("Departments below"), columns=("code", "name")),
        Related(
            DepartmentPeriod,
            "department_id",
            title=_l("Earlier and later"),
            columns=("from_day", "to_day", "name", "parent", "reason"),
            order=("from_day", "desc"),
        ),
    )

    def perform_create(self, values: Mapping[str, Any]) -> int:
        return found(values["code"], values["name"], values.get("parent_id"))

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """The heads, with what HR may do about them."""
        actions = [] if record.archived_at else recordpage.actions(record, self.route_base)
        for action in actions:
            for argument in action["arguments"]:
                if argument["name"] in ("from_day",):
                    argument["value"] = today().isoformat()
                elif argument["name"] == "name":
                    argument["value"] = record.name
        return {"actions": actions, "extra_tabs": [self._heads(record)], "side": self._mergers(record)}

    @staticmethod
    def _mergers(record: Department) -> list[dict[str, Any]]:
        """Mergers with this department that wait or are approved, for those who may see them. One statement."""
        c = Merger
        mine = or_(c.department_id == record.id, c.into_id == record.id)
        found = session().scalars(select(c).where(mine, c.state.in_(("submitted", "approved"))).order_by(c.from_day.desc()).limit(5))
        states = fields_of(Merger)["state"].choices
        listed = [{"label": str(states[m.state]), "value": f"{m.name} · {m.from_day}", "url": f"/department-mergers/{m.id}"} for m in found]
        return [{"title": _("Mergers"), "rows": listed}] if listed else []

    def _heads(self, record: Department) -> dict[str, Any]:
        names = ["user_id", "kind", "from_day", "to_day", "version"]
        ids = session().scalars(
            select(DepartmentHead.id).where(DepartmentHead.department_id == record.id).order_by(DepartmentHead.from_day.desc())
        )
        pages = dict(session().execute(select(Employee.user_id, Employee.id)).tuples().all())
        fields = fields_of(DepartmentHead)
        may_end = may("end", DepartmentHead) and "staff_admin" in context().scopes
        out = []
        for one in rows.read(DepartmentHead, names, list(ids)):
            begins, ends = one.values["from_day"], one.values["to_day"]
            when = "future" if begins > today() else "past" if ends is not None and ends <= today() else "now"
            actions = []
            if may_end and when != "past":
                actions.append({"label": _("End today"), "url": f"/department-heads/{one.id}/end", "version": one.values["version"]})
            shown = {n: one.display(fields[n]) for n in names if n != "version"}
            out.append({**shown, "when": when, "page": f"/people/{pages.get(one.values['user_id'])}", "actions": actions})
        html = render_template("hr/heads.html", rows=out, back=f"/departments/{record.id}?tab=heads")
        return {"key": "heads", "label": _("Heads"), "count": len(out), "html": Markup(html)}  # noqa: S704 - our own template


class Mergers(Screen, model=Merger):
    """What is to be merged, was, or was not to be."""

    route_base = "/department-mergers"
    menu = "People"
    menu_order = 22
    icon = "git-merge"
    title = _l("Mergers of departments")
    visible = approves
    list_columns = ("name", "from_day", "state", "created_by", "decided_by")
    show_columns = ("department", "into", "from_day", "reason", "created_by", "decided_by", "decision_note")
    search_columns = ("name", "reason")
    filters = ("state", "department", "into", "from_day")
    order = ("from_day", "desc")
    verbs = ("view", "export")
    tabs = ((_l("To approve"), "f.state=submitted"), (_l("Approved"), "f.state=approved"))
    empty = {
        "icon": "git-merge",
        "title": _l("No mergers yet"),
        "text": _l("HR asks for one on the page of a department; a second person approves."),
    }

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """Before it is decided: how much would move. Two statements."""
        if record.state != "submitted":
            return {}
        people = select(func.count()).select_from(Employee).where(Employee.active, Employee.department_id == record.department_id)
        below = select(func.count()).select_from(Department).where(Department.parent_id == record.department_id)
        counted = [
            {"label": _("People"), "value": session().scalar(people)},
            {"label": _("Departments below"), "value": session().scalar(below)},
        ]
        return {"side": [{"title": _("What would move today"), "rows": counted}]}


class Heads(Screen, model=DepartmentHead):
    """Who answers for which department, and when."""

    route_base = "/department-heads"
    title = _l("Department heads")
    list_columns = ("department", "user", "kind", "from_day", "to_day")
    order = ("from_day", "desc")
    verbs = ("view", "export")
