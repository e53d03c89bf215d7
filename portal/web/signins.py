"""The sign-in history as pages and for programs: everybody the own lines, administrators and auditors all of them (POR-12)."""

from collections.abc import Callable
from typing import Any

from portal.kernel.i18n import _, _l
from portal.web import registry
from portal.web.resource import Resource
from portal.web.rows import Row
from portal.web.screen import Screen
from security import signins
from security.signins import SignIn
from security.visibility import Context

FILTERS = ("user", "at", "outcome", "way", "reason", "ip", "username", "by")
SEARCHED = ("username", "ip")
ORDER = ("at", "desc")


class SignIns(Screen, model=SignIn):
    """Sign-ins, refused ones too, sign-outs, and sessions that were ended."""

    route_base = "/sign-ins"
    title = _l("Sign-in history")
    menu = "Administration"
    menu_order = 25
    icon = "history"
    verbs = ("view", "export")
    list_columns = ("at", "user", "outcome", "way", "reason", "ip", "by", "username")
    show_columns = ("at", "user", "username", "outcome", "way", "reason", "by", "ip", "user_agent", "subject")
    filters = FILTERS
    search_columns = SEARCHED
    order = ORDER
    tabs = (
        (_l("Refused"), "&".join(f"f.outcome={o}" for o in signins.REFUSED)),
        (_l("Ended by somebody"), "f.outcome=ended"),
    )

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who read everybody's; the others come from their account's page."""
        return lambda ctx: signins.SCOPE in ctx.scopes

    def list_extras(self) -> dict[str, Any]:
        """Says how long lines are kept."""
        return {"subtitle": _("Kept for %(n)s days.", n=signins.KEPT_DAYS.get())}

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """The way to the person, and to everything of the person and of the address."""
        links = []
        if record.user_id is not None:
            name = row.labels.get("user_id") or record.username
            links.append({"label": _("Person"), "value": name, "url": registry.person_url(record.user_id)})
            links.append({"label": _("All of the person"), "value": _("Sign-in history"), "url": f"/sign-ins/?f.user_id={record.user_id}"})
        if record.ip:
            links.append({"label": _("All of the address"), "value": record.ip, "url": f"/sign-ins/?f.ip={record.ip}"})
        return {"side": [{"title": _("See also"), "rows": links}]} if links else {}


class SignInResource(Resource, model=SignIn):
    """The sign-in history for programs."""

    resource_name = "sign-ins"
    verbs = ("view", "export")
    filters = FILTERS
    search_columns = SEARCHED
    order = ORDER
