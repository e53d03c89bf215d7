"""What administrators keep: legal entities, working calendar, number series."""

from collections.abc import Callable
from typing import Any

from portal.kernel import calendar, numbering
from portal.kernel.company import NumberSeries, WorkingDay
from portal.kernel.document import LegalEntity
from portal.kernel.i18n import _, listed
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

    def list_extras(self) -> dict[str, Any]:
        """Says which patterns hold where none is kept here."""
        known = listed(f"{code} {pattern}" for code, pattern in numbering.standards().items())
        return {"subtitle": _("Standard, where none is kept here: %(patterns)s.", patterns=known)}
