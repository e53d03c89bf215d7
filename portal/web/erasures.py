"""Erasure of personal data and legal holds, as pages and for programs (ALL-17)."""

from collections.abc import Callable, Mapping
from typing import Any

from portal.kernel.i18n import _, _l
from portal.web.resource import Resource
from portal.web.screen import Screen
from security import erasure
from security.erasure import SCOPE, Erasure, LegalHold
from security.visibility import Context, context

ASKED = ("person", "kind", "reason")
FILTERS = ("person", "kind", "state", "due_on")
HELD = ("person", "reason")


def _looks_after(ctx: Context) -> bool:
    return SCOPE in ctx.scopes


class Erasures(Screen, model=Erasure):
    """What is due or asked to be erased, and what became of it."""

    route_base = "/erasures"
    title = _l("Data erasure")
    menu = "Administration"
    menu_order = 30
    icon = "trash"
    verbs = ("view", "add", "export")
    list_columns = ("person", "kind", "state", "due_on", "created_at", "created_by", "decided_by", "erased_at")
    show_columns = (
        "person",
        "kind",
        "reason",
        "due_on",
        "state",
        "created_by",
        "decided_by",
        "decision_note",
        "erased_at",
        "values_erased",
    )
    add_columns = ASKED
    filters = FILTERS
    order = ("id", "desc")
    track = ("proposed", "approved", "erased")
    tabs = ((_l("Waits for a decision"), "f.state=proposed"),)
    add_label = _l("Ask for erasure")

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who look after it; the others come from their own page."""
        return _looks_after

    def _defaults(self, ctx: Context) -> Mapping[str, Any]:
        return {"person_id": ctx.me}

    def perform_create(self, values: Mapping[str, Any]) -> int:
        return erasure.ask(**values)

    def list_extras(self) -> dict[str, Any]:
        """How long each kind is kept."""
        kept = [_("%(kind)s: %(n)s years after leaving", kind=k.label, n=k.years.get()) for k in erasure.KINDS.values()]
        return {"subtitle": " · ".join(kept)} if _looks_after(context()) else {}


class ErasureResource(Resource, model=Erasure):
    """Erasure of personal data for programs: `approve`, `refuse`, `withdraw`."""

    resource_name = "erasures"
    verbs = ("view", "add", "export")
    add_columns = ASKED
    filters = FILTERS
    order = ("id", "desc")

    def perform_create(self, values: Mapping[str, Any]) -> int:
        return erasure.ask(**values)


class LegalHolds(Screen, model=LegalHold):
    """On whom nothing may be erased, and why."""

    route_base = "/legal-holds"
    title = _l("Legal holds")
    menu = "Administration"
    menu_order = 31
    icon = "lock"
    verbs = ("view", "add", "export")
    list_columns = ("person", "state", "reason", "created_at", "created_by", "lifted_by")
    show_columns = ("person", "reason", "state", "created_at", "created_by", "lifted_by", "lift_note")
    add_columns = HELD
    filters = ("person", "state")
    order = ("id", "desc")
    add_label = _l("Place a hold")

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who look after it."""
        return _looks_after

    def perform_create(self, values: Mapping[str, Any]) -> int:
        return erasure.hold(**values)


class LegalHoldResource(Resource, model=LegalHold):
    """Legal holds for programs: `lift`."""

    resource_name = "legal-holds"
    verbs = ("view", "add", "export")
    add_columns = HELD
    filters = ("person", "state")
    order = ("id", "desc")

    def perform_create(self, values: Mapping[str, Any]) -> int:
        return erasure.hold(**values)
