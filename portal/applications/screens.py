"""Pages: the launcher, the card of the home page, and what administrators and auditors see."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from flask import flash, redirect
from sqlalchemy import func, literal, select
from sqlalchemy.orm import aliased

from portal.applications import clients
from portal.applications.actions import launch, offered
from portal.applications.models import Application, Category, Launch
from portal.kernel import calendar
from portal.kernel.db import session, unrestricted
from portal.kernel.errors import Unavailable
from portal.kernel.i18n import _, _l
from portal.web import words
from portal.web.access import route
from portal.web.declared import Computed
from portal.web.frame import frame_part
from portal.web.home import card
from portal.web.page import Page
from portal.web.rows import Row
from portal.web.screen import Screen
from security.manager import allowed
from security.visibility import Context, context

MANY = 8
"""From so many tiles on there is a search box."""
ON_HOME = 6
COUNTED_DAYS = 30


class Launcher(Page):
    """The viewer's own applications, by category."""

    name = "applications.Launcher"
    route_base = "/launcher"
    title = _l("Applications")
    menu = "Work"
    menu_order = 90
    icon = "apps"

    @route("/")
    def show(self) -> str:
        """Tiles."""
        groups = offered(context())
        return self.render(
            "applications/launcher.html",
            groups=groups,
            searched=sum(len(items) for _category, items in groups) >= MANY,
            manage_url="/applications/" if allowed("edit", "applications.Application") else None,
        )

    @route("/<int:pk>")
    def open(self, pk: int) -> Any:
        """Notes the opening and goes to the application, which signs the person in by itself."""
        return redirect(launch(pk), 303)


@frame_part("launcher_url")
def _launcher_url(_ctx: Context) -> str | None:
    return "/launcher/" if allowed("view", "applications.Launcher") else None


@card("applications", title=_l("Applications"), permission=("view", "applications.Launcher"), size="side", order=80)
def applications_card(ctx: Context) -> tuple[str, dict[str, Any]] | None:
    """The first of them; nothing for people who have none."""
    items = [item for _category, group in offered(ctx) for item in group]
    return ("applications/_card.html", {"items": items[:ON_HOME], "more_url": "/launcher/"}) if items else None


# ------------------------------------------------------------------ administration
class Told(str):
    """A text with the colour of what it means."""

    level = ""

    @classmethod
    def of(cls, state: str) -> "Told":
        """The words of a client's state."""
        told = cls(clients.STATES[state])
        told.level = clients.TONES[state]
        return told


def client_states(ids: list[int]) -> Mapping[int, str]:
    """Keys of `clients.STATES` for applications, in one statement."""
    a, c = Application, clients.Client
    compared = select(literal(1)).select_from(aliased(c)).exists()
    asked = select(a.id, a.client_id, c.enabled, compared).outerjoin(c, c.client_id == a.client_id).where(a.id.in_(ids))
    found = session().execute(asked.execution_options(include_archived=True)).tuples()
    return {pk: clients.state(client, enabled, compared) for pk, client, enabled, compared in found}


def _told(ids: list[int]) -> Mapping[int, Told]:
    return {pk: Told.of(state) for pk, state in client_states(ids).items()}


def _opened(ids: list[int]) -> Mapping[int, int]:
    """How often each was opened lately, by whomever: a count, the lines are for auditors."""
    since = calendar.now() - timedelta(days=COUNTED_DAYS)
    asked = select(Launch.application_id, func.count()).where(Launch.application_id.in_(ids), Launch.at > since)
    with unrestricted("how often applications are opened, without names") as s:
        counts = dict(s.execute(asked.group_by(Launch.application_id)).tuples().all())
    return {pk: counts.get(pk, 0) for pk in ids}


class Applications(Screen, model=Application):
    """The catalogue as administrators keep it."""

    route_base = "/applications"
    title = _l("Application catalogue")
    menu = "Administration"
    menu_verb = "edit"
    menu_order = 30
    icon = "apps"
    computed = {
        "client_state": Computed(_l("Client in Keycloak"), "text", _told),
        "opened": Computed(_l("Opened in 30 days"), "integer", _opened),
    }
    list_columns = ("name", "category", "roles", "client_id", "client_state", "state", "position")
    show_columns = ("name", "description", "category", "icon", "url", "roles", "position", "client_id", "client_state", "opened")
    add_columns = edit_columns = ("name", "description", "category", "icon", "url", "client_id", "roles", "position")
    search_columns = ("name", "url", "client_id")
    filters = ("state", "category", "client_id")
    order = ("position", "asc")
    add_label = _l("Register an application")
    empty = {
        "icon": "apps",
        "title": _l("No applications yet"),
        "text": _l("Register the applications people should find in the portal."),
    }
    tabs = ((_l("In use"), "f.state=active"), (_l("Closed"), "f.state=closed"))

    def list_extras(self) -> dict[str, Any]:
        """Since when Keycloak's clients are known, what is wrong with some, and the way to compare again."""
        if not allowed("edit", self.permission()):
            return {}
        a, c = Application, clients.Client
        at = select(func.max(c.seen_at)).scalar_subquery()
        lame = select(func.count()).select_from(a).outerjoin(c, c.client_id == a.client_id)
        lame = lame.where(
            a.state == "active", a.archived_at.is_(None), a.client_id.is_not(None), func.coalesce(c.enabled, False).is_(False)
        )
        compared, wrong = session().execute(select(at, lame.scalar_subquery())).one()
        parts = [
            _("Compared with Keycloak at %(when)s.", when=words.moment(compared)) if compared else _("Not compared with Keycloak yet."),
            _("%(n)s applications cannot sign people in: their client is missing or disabled.", n=wrong) if compared and wrong else "",
        ]
        return {
            "subtitle": " ".join(part for part in parts if part),
            "page_actions": [{"label": _("Compare with Keycloak"), "url": "/applications/compare", "icon": "refresh", "post": True}],
        }

    @route("/compare", methods=("POST",), verb="edit")
    def compare(self) -> Any:
        """Asks Keycloak for its clients now."""
        try:
            count = clients.compare()
        except Unavailable:
            flash(_("Keycloak cannot be asked now; the clients shown are those of the last comparison."), "warning")
        else:
            flash(_("%(count)s clients read from Keycloak.", count=count), "success")
        return redirect("/applications/", 303)

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """What to do about a client that does not work."""
        state = clients.known().state(record.client_id)
        if state not in ("missing", "disabled"):
            return {}
        what = {"label": record.client_id, "value": str(clients.STATES[state]), "tone": clients.TONES[state]}
        return {"side": [{"title": _("Client in Keycloak"), "rows": [what]}]}


class Categories(Screen, model=Category):
    """Headings of the launcher."""

    route_base = "/application-categories"
    menu = "Administration"
    menu_verb = "edit"
    menu_order = 31
    icon = "list"
    list_columns = ("name", "code", "position")
    order = ("position", "asc")


class Launches(Screen, model=Launch):
    """Who opened what, for auditors."""

    route_base = "/application-launches"
    menu = "Administration"
    menu_order = 32
    icon = "history"
    verbs = ("view", "export")
    has_record_page = False
    list_columns = ("at", "application", "user")
    filters = ("application", "user", "at")
    order = ("at", "desc")

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who read everybody's."""
        return lambda ctx: "explain" in ctx.scopes
