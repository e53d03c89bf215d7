"""Pages of employee changes: prepared, submitted, decided; what the person's place was and will be."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from flask import flash, redirect, render_template, request
from markupsafe import Markup
from sqlalchemy import select

from modules.hr.actions import decides, prepare, revise
from modules.hr.models import Assignment, Employee, EmployeeEvent, EmployeeEventGrade
from modules.hr.screens import proposing
from modules.hr.screens.access import administers
from portal.kernel import calendar
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import BadRequest, Conflict, Forbidden, Invalid, PortalError, Refusal
from portal.kernel.i18n import _, _l
from portal.web import forms, frame, recordpage, records, rows, words
from portal.web.access import may, route
from portal.web.fields import fields_of
from portal.web.home import card
from portal.web.rows import Row
from portal.web.screen import Screen, posted_version
from security.visibility import Context, context, viewer

BASE = "/employee-events"


def concerned(ctx: Context) -> bool:
    """Who gets the list in the menu: HR, who approves, and heads."""
    return administers(ctx) or "staff_approval" in ctx.scopes or bool(ctx.ids("headed_departments"))


def form_url(kind: str, employee_id: int | None = None, day: date | None = None) -> str:
    """Where a change of *kind* is prepared."""
    person = f"&employee_id={employee_id}" if employee_id is not None else ""
    return f"{BASE}/add?kind={kind}{person}" + (f"&effective_on={day:%Y-%m-%d}" if day is not None else "")


class EmployeeEvents(Screen, model=EmployeeEvent):
    """Everything that was, is to be decided, or will be."""

    route_base = BASE
    menu = "People"
    menu_order = 25
    icon = "switch-horizontal"
    title = _l("Employee changes")
    visible = concerned
    list_columns = ("name", "kind", "effective_on", "from_department", "department", "state", "number")
    show_columns = (
        "kind", "name", "employee", "employee_number", "username", "work_email", "work_phone", "effective_on", "regular_on", "reason",
        "department", "post", "manager", "employment_type", "from_department", "from_post", "from_manager", "from_employment_type",
        "submitted_by", "decided_by", "decision_note", "approved_on",
    )  # fmt: skip
    search_columns = ("name", "number", "reason")
    filters = ("kind", "state", "employee", "department", "from_department", "effective_on", "created_by")
    order = ("effective_on", "desc")
    track = ("draft", "submitted", "approved", "effective")
    tabs = ((_l("To approve"), "f.state=submitted"), (_l("Approved, to come"), "f.state=approved"))
    add_label = _l("New change")
    empty = {
        "icon": "switch-horizontal",
        "title": _l("No changes of employees yet"),
        "text": _l("HR prepares them here or on a person's page; a second person approves."),
    }

    def list_extras(self) -> dict[str, Any]:
        """What came of it: who worked where and when."""
        if not (administers(context()) and may("view", Assignment)):
            return {}
        return {"page_actions": [{"label": _("Places over time"), "url": "/assignments/", "icon": "history"}]}

    # ------------------------------------------------------------------ the page
    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """The place before and after, who prepared and who decided."""
        return {"sections": self._sections(record, row), "details_html": [self._compared(record, row)], "side": [self._trail(row)]}

    def _sections(self, record: EmployeeEvent, row: Row) -> list[dict[str, Any]]:
        fields = fields_of(EmployeeEvent)
        names = ["kind", "employee" if record.employee_id is not None else "name", "effective_on", "regular_on"]
        if record.kind == "hire":
            names += ["employee_number", "username", "work_email", "work_phone"]
        names.append("reason")
        built = []
        for name in self.resolve(names):
            if name == "regular_on" and record.kind != "hire":
                continue
            shown = recordpage.shown(fields[name], row)
            if name == "effective_on":
                shown["label"] = str(proposing.effective_label(record.kind))
            built.append(shown)
        return [{"title": _("What is to happen"), "fields": built}]

    def _compared(self, record: EmployeeEvent, row: Row) -> Markup:
        fields, compared = fields_of(EmployeeEvent), []
        leaves, unchanged = record.kind == "leave", record.kind == "regularise"
        for name, before in (("department_id", "from_department_id"), ("post_id", "from_post_id"), ("manager_id", "from_manager_id")):
            old = row.display(fields[before])
            new = words.NONE if leaves else old if unchanged else row.display(fields[name])
            compared.append((fields[name].label, old, new))
        compared.insert(2, self._grade(record, leaves, unchanged) or ("", "", ""))
        old, new = row.display(fields["from_employment_type"]), row.display(fields["employment_type"])
        compared.append((fields["employment_type"].label, old, words.NONE if leaves else new if record.employment_type else old))
        if unchanged:
            compared.append((_("State"), _("Probation"), _("Regular")))
        found = [{"label": str(label), "before": a, "after": b, "changed": a != b} for label, a, b in compared if label]
        html = render_template("hr/before_after.html", rows=found, begins=record.kind in ("hire", "rehire"), leaves=leaves)
        return Markup(html)  # noqa: S704 - our own template

    def _grade(self, record: EmployeeEvent, leaves: bool, unchanged: bool) -> tuple[Any, str, str] | None:
        """The grades, for whoever may see them."""
        found = session().scalar(select(EmployeeEventGrade.id).where(EmployeeEventGrade.event_id == record.id))
        if found is None or not may("view", EmployeeEventGrade):
            return None
        fields = fields_of(EmployeeEventGrade)
        grade = rows.read(EmployeeEventGrade, ["grade_id", "from_grade_id"], [found])[0]
        old = grade.display(fields["from_grade_id"])
        return fields["grade_id"].label, old, words.NONE if leaves else old if unchanged else grade.display(fields["grade_id"])

    def _trail(self, row: Row) -> dict[str, Any]:
        fields = fields_of(EmployeeEvent)
        names = ("created_by", "submitted_by", "decided_by", "approved_on", "decision_note")
        labels = {"created_by": _("Prepared by")}
        listed = [
            {"label": labels.get(n) or str(fields[n].label), "value": row.display(fields[n])}
            for n in names
            if row.values.get(n) is not None
        ]
        return {"title": _("Prepared and decided"), "rows": listed}

    # ------------------------------------------------------------------ preparing
    @route("/add", verb="add")
    def add(self) -> Any:
        """The form of a kind of change; without one, the choice of kind and person."""
        kind, employee_id, day = self._asked_for()
        if not kind or (kind != "hire" and employee_id is None):
            return self._choice(kind, {}, employee_id)
        return self._proposal(kind, employee_id, None, values=proposing.present(kind, employee_id, day))

    @route("/begin", methods=("POST",), verb="add")
    def begin(self) -> Any:
        """On to the form of the kind and for the person chosen."""
        kind, chosen = request.form.get("kind", ""), request.form.get("employee_id", "")
        errors: dict[str, str] = {}
        if kind not in EmployeeEvent.KINDS:
            errors["kind"] = _("Choose a kind of change.")
        if kind != "hire" and self._person(chosen) is None:
            errors["employee_id"] = _("This is required.")
        if errors:
            return self._choice(kind, errors, self._person(chosen))
        return redirect(form_url(kind, None if kind == "hire" else int(chosen)), 303)

    @route("/add", methods=("POST",), verb="add")
    def store(self) -> Any:
        """A new draft; what cannot be accepted is shown again with the reasons."""
        kind, employee_id, _day = self._asked_for()
        try:
            pk = prepare(kind, employee_id, proposing.from_form(kind, request.form))
        except (Invalid, Refusal) as e:
            session().rollback()
            if kind not in EmployeeEvent.KINDS or "employee_id" in e.fields:
                return self._choice(kind, e.fields, None)
            return self._proposal(kind, employee_id, None, error=e)
        flash(_("Saved as a draft. Submit it, so that a second person can approve it."), "success")
        return redirect(f"{BASE}/{pk}", 303)

    @route("/<int:pk>/edit", verb="edit")
    def edit(self, pk: int) -> Any:
        """The form of a draft or of what was rejected."""
        record = self._mine(pk)
        return self._proposal(record.kind, record.employee_id, record, values=proposing.values_of(record))

    @route("/<int:pk>/edit", methods=("POST",), verb="edit")
    def save(self, pk: int) -> Any:
        """Stores the form."""
        record = self._mine(pk)
        try:
            revise(pk, posted_version(), proposing.from_form(record.kind, request.form))
        except (Invalid, Refusal, Conflict) as e:
            session().rollback()
            record = self._mine(pk)
            return self._proposal(record.kind, record.employee_id, record, error=e)
        flash(_("Saved."), "success")
        return redirect(f"{BASE}/{pk}", 303)

    def _mine(self, pk: int) -> EmployeeEvent:
        record, may_change = records.get(EmployeeEvent, pk)
        if not may_change:
            raise records.read_only(record)
        return record

    def _asked_for(self) -> tuple[str, int | None, date | None]:
        kind, person, day = (request.args.get(k, "") for k in ("kind", "employee_id", "effective_on"))
        if kind and kind not in EmployeeEvent.KINDS:
            raise BadRequest(_("Choose a kind of change."), code="unknown_parameter")
        try:
            return kind, self._person(person), calendar.parse_day(day) if day else None
        except ValueError:
            raise BadRequest(_("Must be a date like 2026-03-31"), code="unknown_parameter") from None

    @staticmethod
    def _person(text: str) -> int | None:
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            return None
        return session().scalar(select(Employee.id).where(Employee.id == int(text)))

    def _choice(self, kind: str, errors: Mapping[str, Any], employee_id: int | None) -> Any:
        fields = fields_of(EmployeeEvent)
        shown = rows.labels(Employee, [employee_id]).get(employee_id, "") if employee_id is not None else ""
        built = [
            forms.control(fields["kind"], value=kind or None, error=str(errors.get("kind", ""))),
            forms.control(fields["employee_id"], value=employee_id, display=shown, error=str(errors.get("employee_id", ""))),
        ]
        built[1]["help"] = _("Not for somebody to be hired.")
        page = frame.render(
            "portal/form.html",
            title=_("New change of an employee"),
            crumbs=[{"label": str(self.title), "url": f"{BASE}/"}],
            action_url=f"{BASE}/begin",
            version=None,
            sections=[{"title": "", "fields": built}],
            error=None,
            conflict=None,
            submit_label=_("Continue"),
            cancel_url=f"{BASE}/",
        )
        return page, 422 if errors else 200

    def _proposal(
        self,
        kind: str,
        employee_id: int | None,
        record: EmployeeEvent | None,
        *,
        values: Mapping[str, Any] | None = None,
        error: PortalError | None = None,
    ) -> Any:
        if "staff_admin" not in context().scopes:
            raise Forbidden(_("You may not prepare changes of employees."))
        typed = request.form if request.method == "POST" else None
        person = session().scalar(select(Employee.name).where(Employee.id == employee_id)) if employee_id is not None else None
        label = EmployeeEvent.KINDS[kind]
        crumbs = [{"label": str(self.title), "url": f"{BASE}/"}]
        back = f"{BASE}/" if employee_id is None else f"/people/{employee_id}"
        if record is not None:
            crumbs.append({"label": str(record), "url": f"{BASE}/{record.id}"})
            back = f"{BASE}/{record.id}"
        page = frame.render(
            "portal/form.html",
            title=f"{label} · {person}" if person else _("New employee"),
            subtitle=_("A second person approves it before anything changes."),
            crumbs=crumbs,
            action_url=form_url(kind, employee_id) if record is None else f"{BASE}/{record.id}/edit",
            version=record.version if record is not None else None,
            sections=proposing.controls(kind, values or {}, typed, error.fields if error is not None else {}),
            error=str(error) if error is not None and not isinstance(error, Invalid) else None,
            conflict=None,
            submit_label=_("Save as a draft"),
            cancel_url=back,
        )
        return page, error.http if error is not None else 200


# ------------------------------------------------------------------ home
def _waiting(limit: int) -> Sequence[Any]:
    columns = (EmployeeEvent.id, EmployeeEvent.name, EmployeeEvent.kind, EmployeeEvent.effective_on, EmployeeEvent.reason)
    mine = select(*columns).where(EmployeeEvent.state == "submitted", decides(EmployeeEvent, viewer()))
    return session().execute(mine.order_by(EmployeeEvent.effective_on, EmployeeEvent.id).limit(limit)).all()


@card(
    "employee_events",
    title=_l("Employee changes to approve"),
    permission=("approve", "hr.EmployeeEvent"),
    visible=lambda ctx: "staff_approval" in ctx.scopes,
    order=28,
)
def changes_to_approve() -> tuple[str, Mapping[str, Any]] | None:
    """Changes that wait for the reader; read before they are approved."""
    waiting = _waiting(6)
    if not waiting:
        return None
    found = [
        {
            "id": r.id,
            "name": r.name,
            "kind": str(EmployeeEvent.KINDS[r.kind]),
            "day": words.day(r.effective_on),
            "reason": r.reason or "",
            "soon": (r.effective_on - today()).days <= 2,
        }
        for r in waiting[:5]
    ]
    return "hr/card_changes.html", {
        "rows": found,
        "count": len(found) if len(waiting) < 6 else "5+",
        "hot": any(r["soon"] for r in found),
        "more_url": f"{BASE}/?f.state=submitted",
    }
