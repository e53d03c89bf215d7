"""Risk warnings, and the rules that raise them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flask import flash, redirect, request
from markupsafe import Markup
from sqlalchemy import case, func, select

from portal.kernel.db import session
from portal.kernel.errors import Forbidden, Invalid, PortalError
from portal.kernel.i18n import _, _l
from portal.notify import rules, warnings
from portal.notify.models import CHANNELS, RECEIVERS, SEVERITIES, Warning_, WarningRule
from portal.notify.notices import model_of, visible_records
from portal.web import frame, lookup, records, registry
from portal.web.access import route
from portal.web.declared import Computed
from portal.web.home import card
from portal.web.rows import Row
from portal.web.screen import Screen, posted_version


def _messages(ids: list[int]) -> Mapping[int, str]:
    found = session().scalars(select(Warning_).where(Warning_.id.in_(ids)))
    return {warning.id: warnings.message(warning).title for warning in found}


class Warnings(Screen, model=Warning_):
    """What needs somebody's attention."""

    route_base = "/warnings"
    title = _l("Risk warnings")
    menu = "Work"
    menu_order = 40
    menu_url = "/warnings/?f.state=open"
    icon = "alert-triangle"
    verbs = ("view", "export")
    computed = {"what": Computed(_l("Warning"), "text", _messages)}
    list_columns = ("what", "severity", "state", "user_id", "assignee_id", "raised_at", "closed_at")
    show_columns = (
        "what",
        "severity",
        "state",
        "code",
        "subject",
        "user_id",
        "assignee_id",
        "raised_at",
        "changed_at",
        "snoozed_until",
        "closed_at",
    )
    filters = ("state", "severity", "code", "project_id", "user_id", "assignee_id", "raised_at")
    search_columns = ("subject",)
    order = ("raised_at", "desc")
    tabs = ((_l("Open"), "f.state=open"), (_l("Acknowledged"), "f.state=acknowledged"), (_l("Cleared"), "f.state=closed"))
    empty = {"icon": "shield-check", "title": _l("No warnings"), "text": _l("Nothing needs your attention.")}

    def heading(self, record: Any, row: Row) -> str:
        return str(row.values["what"])

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """What the warning is about, for those who may see it."""
        model = model_of(record.record_type)
        about = visible_records([(record.record_type, record.record_id)]).get((record.record_type, record.record_id))
        if model is None or about is None:
            return {}
        line = {"label": str(model.__label__), "value": str(about), "url": registry.url_of(model, about.id)}
        return {"side": [{"title": _("About"), "rows": [line]}]}


@card("warnings", title=_l("Risk warnings"), permission=("view", "notify.Warning_"), size="main", order=30)
def warnings_card() -> tuple[str, dict[str, Any]]:
    """The most severe open ones the viewer sees."""
    rank = case({name: n for n, name in enumerate(SEVERITIES)}, value=Warning_.severity)
    found = session().execute(
        select(Warning_, func.count().over().label("all"))
        .where(Warning_.state == "open")
        .order_by(rank.desc(), Warning_.raised_at.desc(), Warning_.id.desc())
        .limit(6)
    )
    rows = found.all()
    items = [{"said": warnings.message(row[0]), "warning": row[0], "severity": str(SEVERITIES[row[0].severity])} for row in rows]
    return "notify/_card.html", {"items": items, "count": rows[0].all if rows else 0, "more_url": "/warnings/?f.state=open"}


# ------------------------------------------------------------------ rules
_EDITED = (
    "name",
    "enabled",
    "severity",
    "receivers",
    "channels",
    "workdays_only",
    "quiet_from",
    "quiet_to",
    "scope_axis",
    "scope_ids",
    "parameters",
)
_SCOPES = {"domain": "project-domains", "project": "projects", "department": "departments"}


class WarningRules(Screen, model=WarningRule):
    """Rules as administrators set them, with a preview of what they would raise."""

    route_base = "/warning-rules"
    title = _l("Warning rules")
    menu = "Administration"
    menu_order = 40
    icon = "adjustments-horizontal"
    add_label = _l("Another setting of a rule")
    list_columns = ("code", "name", "enabled", "severity", "scope_axis", "receivers", "scanned_at", "scan_seconds")
    show_columns = (
        "code",
        "name",
        "enabled",
        "severity",
        "parameters",
        "scope_axis",
        "scope_ids",
        "receivers",
        "channels",
        "workdays_only",
        "quiet_from",
        "quiet_to",
        "scanned_at",
        "scan_seconds",
    )
    add_columns = ("code", "name", "severity")
    edit_columns = _EDITED
    filters = ("code", "enabled", "severity")
    search_columns = ("name",)
    order = ("code", "asc")

    def _form(self, record: Any, **kwargs: Any) -> Any:
        if record is None:
            return super()._form(record, **kwargs)
        problem: PortalError | None = kwargs.get("error")
        errors = {k: str(v) for k, v in (kwargs.get("errors") or {}).items()}
        preview = frame.fragment("notify/_preview_button.html", preview_url=f"/warning-rules/{record.id}/preview")
        page = frame.render(
            "portal/form.html",
            title=_("Edit %(what)s", what=_name(record)),
            crumbs=[
                {"label": str(self.menu_label()), "url": "/warning-rules/"},
                {"label": _name(record), "url": f"/warning-rules/{record.id}"},
            ],
            action_url=f"/warning-rules/{record.id}/edit",
            cancel_url=f"/warning-rules/{record.id}",
            extra_html=Markup(preview),  # noqa: S704 - our own template
            version=kwargs.get("version") or record.version,
            conflict=kwargs.get("conflict"),
            sections=_sections(record, request.form if request.method == "POST" else None, errors),
            error=str(problem) if problem is not None else "",
        )
        return page, problem.http if problem is not None else 422 if errors else 200

    @route("/<int:pk>/edit", methods=("POST",), verb="edit")
    def save(self, pk: int) -> Any:
        """Stores the settings; what cannot be accepted is shown again with the reasons."""
        record, may_change = records.get(WarningRule, pk)
        if not may_change:
            raise Forbidden(_("You may see this record, but not change it."))
        version = posted_version()
        try:
            values = _typed(record)
            self.perform_update(pk, values, version)
        except PortalError as problem:
            session().rollback()
            fresh, _may = records.get(WarningRule, pk)
            errors = problem.fields if isinstance(problem, Invalid) else {}
            return self._form(fresh, errors=errors, error=problem, version=version)
        flash(_("Saved."), "success")
        return redirect(f"/warning-rules/{pk}", 303)

    @route("/<int:pk>/preview", methods=("GET", "POST"))
    def preview(self, pk: int) -> str:
        """What the rule would raise now, with the settings typed or, without any, the stored ones."""
        record, _may = records.get(WarningRule, pk)
        if request.method == "POST":
            values = _typed(record)
        else:
            values = {"parameters": record.parameters, "scope_axis": record.scope_axis, "scope_ids": record.scope_ids}
        found = warnings.preview(record.code, values["parameters"], values["scope_axis"], values["scope_ids"])
        seen = visible_records((c.record_type, c.record_id) for c in found[:500])
        shown = [c for c in found if (c.record_type, c.record_id) in seen]
        return frame.fragment("notify/_preview.html", conditions=shown[:50], count=len(found), hidden=len(found) - len(shown))


def _name(rule: WarningRule) -> str:
    return rule.name or warnings.rule_label(rule.code)


def _parameter_kind(default: Any) -> str:
    if isinstance(default, bool):
        return "bool"
    return {int: "integer", Decimal: "decimal"}.get(type(default), "text")


def _field(name: str, label: Any, kind: str, value: Any, error: str = "", **more: Any) -> dict[str, Any]:
    empty = {"display": "", "required": False, "readonly": False, "choices": [], "help": "", "unit": "", "span": 1, "placeholder": ""}
    return empty | {"name": name, "label": str(label), "kind": kind, "value": value, "error": error} | more


def _choices(labels: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"value": value, "label": str(label)} for value, label in labels.items()]


def _sections(rule: WarningRule, typed: Any, errors: Mapping[str, str]) -> list[dict[str, Any]]:
    """The form: the stored values, or what was typed."""

    def now(name: str, stored: Any, *, many: bool = False, flag: bool = False) -> Any:
        if typed is None:
            return stored
        if flag:
            return bool(typed.get(name))
        return typed.getlist(name) if many else typed.get(name, "")

    def plain(name: str, label: Any, kind: str, stored: Any, **more: Any) -> dict[str, Any]:
        many = kind == "multichoice" or more.get("multiple", False)
        return _field(name, label, kind, now(name, stored, many=many, flag=kind == "bool"), errors.get(name, ""), **more)

    declared = rules.declared.get(rule.code)
    parameters = []
    if declared is not None:
        stored = {**rules.plain(declared.parameters), **rule.parameters}
        for name, default in declared.parameters.items():
            label = declared.labels.get(name, name)
            parameters.append(plain(f"p.{name}", label, _parameter_kind(default), stored.get(name)))
    axes = {c["value"]: c["label"] for c in _choices(WarningRule.__table__.c.scope_axis.info["choices"])}
    scopes = [plain("scope_axis", _("Scope"), "choice", rule.scope_axis, required=True, choices=_choices(axes))]
    for axis, resource in _SCOPES.items():
        if resource not in registry.resources:
            continue
        field = plain(f"scope.{axis}", axes[axis], "ref", rule.scope_ids if rule.scope_axis == axis else [], multiple=True)
        ids = [int(i) for i in field["value"] if str(i).isdecimal() and len(str(i)) < 19]
        names = {item["id"]: item["text"] for item in lookup.items(registry.resources[resource], "", ids)} if ids else {}
        field |= {"value": ids, "display": [names.get(i, str(i)) for i in ids], "lookup_url": f"/lookup/{resource}"}
        field["error"] = errors.get("scope_ids", "") if rule.scope_axis == axis else ""
        scopes.append(field)
    return [
        {
            "title": _("Rule"),
            "fields": [
                plain("name", _("Name"), "text", rule.name, help=_("Empty: the name of the rule.")),
                plain("severity", _("Severity"), "choice", rule.severity, required=True, choices=_choices(SEVERITIES)),
                plain("enabled", _("On"), "bool", rule.enabled),
                plain("workdays_only", _("On working days only"), "bool", rule.workdays_only),
            ],
        },
        {"title": _("Parameters"), "fields": parameters},
        {"title": _("Scope"), "fields": scopes},
        {
            "title": _("Who hears of it, and how"),
            "fields": [
                plain("receivers", _("Receivers"), "multichoice", rule.receivers, choices=_choices(RECEIVERS), span=2),
                plain("channels", _("Channels"), "multichoice", rule.channels, choices=_choices(CHANNELS), span=2),
                plain("quiet_from", _("Quiet from (hour)"), "integer", rule.quiet_from),
                plain("quiet_to", _("Quiet until (hour)"), "integer", rule.quiet_to),
            ],
        },
    ]


def _typed(rule: WarningRule) -> dict[str, Any]:
    """The values of the posted form.  Raises `Invalid` with the names of its fields."""
    form, problems = request.form, {}
    values: dict[str, Any] = {"name": form.get("name", "").strip()[:200], "severity": form.get("severity", "")}
    values |= {"enabled": bool(form.get("enabled")), "workdays_only": bool(form.get("workdays_only"))}
    for name, known in (("receivers", RECEIVERS), ("channels", CHANNELS)):
        values[name] = form.getlist(name)
        if set(values[name]) - set(known):
            problems[name] = _("Is not one of the choices")
    if values["severity"] not in SEVERITIES:
        problems["severity"] = _("Is not one of the choices")
    for name in ("quiet_from", "quiet_to"):
        raw = form.get(name, "").strip()
        if raw and not (raw.isdecimal() and int(raw) < 24):
            problems[name] = _("An hour from 0 to 23.")
        else:
            values[name] = int(raw) if raw else None
    values["scope_axis"] = form.get("scope_axis", "company")
    ids = form.getlist(f"scope.{values['scope_axis']}")
    values["scope_ids"] = [int(i) for i in ids if i.isdecimal() and len(i) < 19]
    declared = rules.declared.get(rule.code)
    given = {}
    for name, default in (declared.parameters if declared is not None else {}).items():
        raw = form.get(f"p.{name}", "")
        given[name] = bool(raw) if isinstance(default, bool) else raw.strip()
    try:
        values["parameters"] = rules.plain(declared.parse(given)) if declared is not None else rule.parameters
    except Invalid as wrong:
        problems |= {f"p.{name}": words for name, words in wrong.fields.items()}
    if problems:
        raise Invalid(problems)
    return values
