"""The menu: what the viewer may use, grouped by what people do. From the cached permission set: no statement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from portal.kernel.i18n import _l
from portal.web import registry
from security.manager import allowed
from security.visibility import Context

GROUPS: dict[str, tuple[Any, str]] = {
    "Home": (_l("Home"), "home"),
    "Work": (_l("Work"), "checklist"),
    "Sales": (_l("Sales"), "chart-arrows"),
    "Projects": (_l("Projects"), "folder"),
    "Money": (_l("Money"), "coin"),
    "Purchasing": (_l("Purchasing"), "shopping-cart"),
    "Contracts": (_l("Contracts"), "file-text"),
    "Quality": (_l("Quality"), "certificate"),
    "Service": (_l("Service"), "headset"),
    "People": (_l("People"), "users"),
    "Archive": (_l("Archive"), "archive"),
    "Administration": (_l("Administration"), "settings"),
}
"""Key, words and icon of every group, in order."""

PHONE = ("/", "/my-report", "/team-board", "/confirmations", "/projects", "/warnings")
"""What the bottom bar of a phone offers first, when the person may use it."""


@dataclass(frozen=True)
class Entry:
    """One line of the menu."""

    group: str
    label: Any
    url: str
    icon: str
    order: int
    verb: str
    view: str
    visible: Callable[[Context], bool] | None = None

    def shown(self, ctx: Context) -> bool:
        """Whether the viewer gets it."""
        return (not self.verb or allowed(self.verb, self.view)) and (self.visible is None or bool(self.visible(ctx)))


def entries() -> list[Entry]:
    """Every declared entry, in order."""
    found = []
    declared: list[Any] = [*registry.screens.values(), *registry.pages.values()]
    for c in declared:
        if c.menu:
            url = c.route_base + ("/" if c.route_base.endswith("/") is False else "")
            found.append(
                Entry(c.menu, c.menu_label(), c.menu_url or url, c.icon, c.menu_order, c.menu_verb, c.permission(), c.visible_in_menu())
            )
    return sorted(found, key=lambda e: (list(GROUPS).index(e.group) if e.group in GROUPS else 99, e.order, str(e.url)))


def build(ctx: Context, path: str) -> list[dict[str, Any]]:
    """The viewer's menu; the entry of *path* is current."""
    shown = [e for e in entries() if e.shown(ctx)]
    current = max((e.url for e in shown if _inside(path, e.url)), key=len, default=None)
    out: list[dict[str, Any]] = []
    for key, (label, icon) in GROUPS.items():
        items = [
            {"label": str(e.label), "url": e.url, "icon": e.icon, "current": e.url == current, "count": None, "hot": False}
            for e in shown
            if e.group == key
        ]
        if key == "Home":
            out.append({"label": str(label), "icon": icon, "key": "home", "url": "/", "open": False, "items": [], "current": path == "/"})
        elif items:
            out.append(
                {
                    "label": str(label),
                    "icon": icon,
                    "key": key.lower(),
                    "url": None,
                    "open": any(i["current"] for i in items),
                    "items": items,
                }
            )
    return out


def phone(built: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Up to four entries for the bottom bar."""
    home = {"label": built[0]["label"], "url": "/", "icon": "home", "current": built[0].get("current", False), "count": None}
    items = [home, *(i for g in built for i in g["items"])]
    first = [i for p in PHONE for i in items if i["url"].rstrip("/") == p.rstrip("/")]
    return (first + [i for i in items if i not in first])[:4]


def _inside(path: str, url: str) -> bool:
    base = url.split("?")[0].rstrip("/")
    return bool(base) and (path == base or path.startswith(base + "/"))
