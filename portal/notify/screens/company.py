"""What administrators keep: legal entities, working calendar, number series, system parameters."""

from collections.abc import Callable
from typing import Any

from flask import flash, redirect, request

from portal.kernel import calendar, settings
from portal.kernel.company import NumberSeries, WorkingDay
from portal.kernel.db import session
from portal.kernel.document import LegalEntity
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _, _l
from portal.kernel.module import all_modules
from portal.web.access import route
from portal.web.administration import LAYERS
from portal.web.page import Page
from portal.web.screen import Screen
from security.visibility import Context


class LegalEntities(Screen, model=LegalEntity):
    """The companies of the group."""

    route_base = "/legal-entities"
    menu = "Administration"
    menu_order = 40
    icon = "building"
    verbs = ("view", "add", "edit", "export")
    list_columns = ("code", "name", "credit_code")
    search_columns = ("code", "credit_code")
    order = ("code", "asc")

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of administrators; everybody may read it."""
        return lambda ctx: "system" in ctx.scopes


class WorkingDays(Screen, model=WorkingDay):
    """Days that differ from the statutory calendar."""

    route_base = "/working-days"
    menu = "Administration"
    menu_order = 50
    icon = "calendar-event"
    list_columns = ("day", "working", "name")
    search_columns = ("name",)
    order = ("day", "desc")

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who keep it; others may read it."""
        return lambda ctx: bool(ctx.scopes & {"system", "staff_admin"})

    def list_extras(self) -> dict[str, Any]:
        """Says which year nobody keeps."""
        years = calendar.unknown_years()
        if not years:
            return {"subtitle": _("Statutory days are known up to %(year)s.", year=max(calendar.known_years()))}
        return {"subtitle": unknown_text(years)}


def unknown_text(years: list[int]) -> str:
    """The warning about years nobody keeps."""
    text = _("The statutory calendar of %(years)s is unknown: Monday to Friday count as worked.", years=", ".join(str(y) for y in years))
    hint = _("Enter holidays and make-up days here.")
    return f"{text} {hint}"


class Series(Screen, model=NumberSeries):
    """Patterns of document numbers."""

    route_base = "/number-series"
    menu = "Administration"
    menu_order = 55
    icon = "list-details"
    order = ("code", "asc")


class Parameters(Page):
    """System parameters with their defaults."""

    name = "kernel.Parameter"
    route_base = "/parameters"
    title = _l("System parameters")
    menu = "Administration"
    menu_order = 45
    icon = "settings"

    @route("/")
    def show(self) -> str:
        """Every declared parameter."""
        return self._page({})

    @route("/", methods=("POST",), verb="edit")
    def save(self) -> Any:
        """Stores what differs; what cannot be accepted is shown again with the reasons."""
        problems: dict[str, str] = {}
        for name, one in settings.declared.items():
            raw = request.form.get(name)
            if raw is None and not (isinstance(one.default, bool) and f"{name}__present" in request.form):
                continue
            if one.secret and raw == "":
                continue  # an empty secret keeps the stored one
            value = bool(raw) if isinstance(one.default, bool) else (raw or "").strip()
            try:
                if one.secret or one.parse(value) != one.get():
                    one.set(value)
            except Invalid as wrong:
                problems |= {k: str(v) for k, v in wrong.fields.items()}
        if problems:
            session().rollback()
            return self._page(problems), 422
        session().flush()
        flash(_("Saved."), "success")
        return redirect("/parameters/", 303)

    def _page(self, problems: dict[str, str]) -> str:
        groups: dict[str, list[dict[str, Any]]] = {}
        for name, one in sorted(settings.declared.items()):
            stored = "" if one.secret else one.get()
            value = request.form.get(name, "") if problems and not isinstance(stored, bool) else stored
            kind = "bool" if isinstance(one.default, bool) else "integer" if isinstance(one.default, int) else "text"
            hint = str(one.help) if one.help else ""
            if not one.secret:
                hint = " ".join(part for part in (hint, _("Default: %(value)s.", value=one.default)) if part)
            groups.setdefault(name.partition(".")[0], []).append(
                {
                    "name": name,
                    "label": str(one.label),
                    "kind": kind,
                    "value": value,
                    "display": str(value),
                    "help": hint,
                    "error": problems.get(name, ""),
                    "placeholder": _("Stored; type to replace it") if one.secret else "",
                    "autocomplete": "off",
                    "choices": [],
                    "span": 1,
                }
            )
        titles = {name: str(words) for name, words in LAYERS.items()} | {module.name: str(module.label) for module in all_modules()}
        sections = [{"title": titles.get(name, name), "fields": fields} for name, fields in groups.items()]
        return self.render("portal/form.html", sections=sections, action_url="/parameters/", cancel_url="/", version=None, error="")
