"""Deputies: whom I let see what I see, what others let me see, and the administrators' list (VIS-11, POR-12)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import has_request_context
from sqlalchemy import select

from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.i18n import _, _l, listed
from portal.web import rows
from portal.web.access import may, signed_in
from portal.web.declared import Computed
from portal.web.page import Page, route
from portal.web.resource import Resource
from portal.web.rows import Row
from portal.web.screen import Screen
from security import delegation
from security.delegation import Delegation
from security.visibility import Context

ADDED = ("giver", "deputy", "from_day", "to_day", "projects", "people", "todos", "reason")
LISTED = 50


class Standing(str):
    """A standing in words that knows its *level*, for the colour in a list."""

    level: str

    def __new__(cls, key: str) -> "Standing":
        made = super().__new__(cls, str(delegation.STANDINGS[key]))
        made.level = delegation.STANDING_TONES[key]
        return made


def _standings(ids: list[int]) -> Mapping[int, Any]:
    return {pk: Standing(key) for pk, key in delegation.of_deputies(ids).items()}


class Delegations(Screen, model=Delegation):
    """Delegations one sees: the own ones, and all of them for administrators of access."""

    route_base = "/delegations"
    title = _l("Delegations")
    menu = "Administration"
    menu_order = 15
    icon = "user-share"
    verbs = ("view", "add", "export")
    computed = {"standing": Computed(_l("State"), "state", _standings)}
    list_columns = ("giver", "deputy", "from_day", "to_day", "standing", "projects", "people", "reason")
    show_columns = (*ADDED, "standing", "ended_at", "ended_by", "end_reason", "created_at", "created_by")
    add_columns = ADDED
    filters = ("giver", "deputy", "from_day", "to_day", "ended_at")
    order = ("from_day", "desc")
    add_label = _l("Name a deputy")
    sections = (
        (_l("Who and when"), ("giver", "deputy", "from_day", "to_day")),
        (_l("What the deputy sees"), ("projects", "people", "todos")),
        (_l("Why"), ("reason",)),
    )
    empty = {"icon": "user-share", "title": _l("No deputies"), "text": _l("Nobody sees anything for somebody else.")}

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who see everybody's; the others have their own page."""
        return lambda ctx: delegation.SCOPE in ctx.scopes

    @classmethod
    def addable(cls) -> list[str]:  # type: ignore[override]  # not cached: it depends on the reader
        """Only administrators of access name a deputy for somebody else."""
        names = cls.resolve(ADDED)
        return names if not has_request_context() or delegation.administers() else [n for n in names if n != "giver_id"]

    def heading(self, record: Any, row: Row) -> str:
        names = {"deputy": row.labels.get("deputy_id") or "", "giver": row.labels.get("giver_id") or ""}
        return str(_("%(deputy)s sees for %(giver)s", **names))

    def perform_create(self, values: Mapping[str, Any]) -> int:
        """Both people hear of it."""
        return delegation.give(**values)


class DelegationResource(Resource, model=Delegation):
    """Delegations for programs; `POST` gives one, `…/end` and `…/revoke` end it."""

    resource_name = "delegations"
    verbs = ("view", "add", "export")
    computed = {"standing": Computed(_l("State"), "text", delegation.of_deputies)}
    add_columns = ADDED
    filters = ("giver", "deputy", "from_day", "to_day", "ended_at")
    order = ("from_day", "desc")

    def perform_create(self, values: Mapping[str, Any]) -> int:
        """Both people hear of it."""
        return delegation.give(**values)


# -------------------------------------------------------------------- one's own page
class MyDeputies(Page):
    """Whom I let see, and what others let me see."""

    name = "web.MyDeputies"
    route_base = "/my-deputies"
    title = _l("My deputies")
    menu = "Work"
    menu_order = 90
    icon = "user-share"

    @route("/")
    def show(self) -> str:
        """Both lists, those in force first."""
        me = signed_in().me
        c = Delegation
        given, got = _read(c.giver_id == me), _read(c.deputy_id == me)
        return self.render(
            "portal/deputies.html",
            given=given,
            got=got,
            may_end=may("end", Delegation),
            add_url="/delegations/add" if may("add", Delegation) else None,
            days=delegation.MAX_DAYS.get(),
        )


def _read(condition: Any) -> list[dict[str, Any]]:
    c = Delegation
    found: Sequence[Any] = session().scalars(select(c).where(condition).order_by(c.to_day.desc(), c.id.desc()).limit(LISTED)).all()
    people = rows.labels(User, {i for d in found for i in (d.giver_id, d.deputy_id)}) if found else {}
    order = list(delegation.STANDINGS)
    shown = []
    for d in found:
        key = delegation.standing(d.from_day, d.to_day, d.ended_at)
        axes = ((d.projects, _("projects")), (d.people, _("people")), (d.todos, _("to-dos")))
        shown.append(
            {
                "id": d.id,
                "version": d.version,
                "giver": people.get(d.giver_id, ""),
                "deputy": people.get(d.deputy_id, ""),
                "from_day": d.from_day,
                "to_day": d.to_day,
                "what": listed(str(words) for on, words in axes if on),
                "reason": d.reason,
                "standing": str(delegation.STANDINGS[key]),
                "tone": delegation.STANDING_TONES[key],
                "open": key in ("planned", "in_force"),
                "place": 1 - order.index(key) if key in ("planned", "in_force") else order.index(key),
            }
        )
    return sorted(shown, key=lambda s: s["place"])
