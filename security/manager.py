"""Flask-AppBuilder's security manager over our sessions, and the cached permission check."""

from typing import Any, cast

from flask import Flask
from flask_appbuilder.security.sqla.manager import SecurityManager
from flask_login import LoginManager, UserMixin
from sqlalchemy import text

from portal.kernel.db import session
from security.visibility import Context, context

_permissions: dict[tuple[int, frozenset[int]], frozenset[tuple[str, str]]] = {}


def granted() -> frozenset[tuple[str, str]]:
    """All (verb, view) pairs the person's roles include; read once per change of permissions and set of roles."""
    ctx = context()
    if ctx.me is None:
        return frozenset()
    key = (ctx.epoch, ctx.role_ids)
    if key not in _permissions:
        rows = session().execute(
            text("""select distinct substr(p.name, 5), v.name from ab_permission_view_role r
                      join ab_permission_view x on x.id = r.permission_view_id
                      join ab_permission p on p.id = x.permission_id join ab_view_menu v on v.id = x.view_menu_id
                     where r.role_id = any(:roles)"""),
            {"roles": list(ctx.role_ids)},
        )
        found = frozenset((str(a), str(b)) for a, b in rows)
        for old in [k for k in _permissions if k[0] < ctx.epoch]:
            _permissions.pop(old, None)
        _permissions[key] = found
    return _permissions[key]


def allowed(verb: str, view: str) -> bool:
    """Whether the person's roles include *verb* on *view*, e.g. `allowed("view", "dailyreport.DailyReport")`. No statement when cached."""
    return context().system or (verb, view) in granted()


class Person(UserMixin):  # type: ignore[misc]
    """The signed-in person for Flask-Login and Flask-AppBuilder: a plain object, since ORM users detach."""

    def __init__(self, ctx: Context) -> None:
        self.id = ctx.me
        self.username = ctx.username
        self.first_name, self.last_name = ctx.name[1:], ctx.name[:1]
        self.name = ctx.name
        self.active = True
        self.roles: list[Any] = []
        self.groups: list[Any] = []

    def get_full_name(self) -> str:
        """Family name first."""
        return self.name


class PortalSecurityManager(SecurityManager):  # type: ignore[misc]
    """Permissions from the cached set, people from the server session; none of FAB's own pages."""

    def register_views(self) -> None:
        """FAB's login, user and role pages are replaced by ours."""

    def create_db(self) -> None:
        """Tables and roles come from migrations."""

    def create_login_manager(self, app: Flask) -> LoginManager:
        manager = LoginManager(app)
        manager.request_loader(lambda _request: self._person())
        return manager

    @staticmethod
    def _person() -> Person | None:
        ctx = context()
        return Person(ctx) if ctx.me is not None else None

    def load_user(self, pk: int) -> Any | None:
        return self._person()

    def is_item_public(self, permission_name: str, view_name: str) -> bool:
        return False

    def has_access(self, permission_name: str, view_name: str) -> bool:
        return allowed(permission_name.removeprefix("can_"), view_name)

    def get_user_menu_access(self, menu_names: list[str] | None = None) -> set[str]:
        return set()  # the menu is built from the pages' own permissions (portal.web.menu)

    def add_permissions_view(self, base_permissions: list[str], view_menu: str) -> None:
        """Written when migrating (`security.roles.sync`), never at start."""

    def add_permissions_menu(self, view_menu_name: str) -> None:
        """There are no menu permissions."""


def declared_permissions(app: Flask) -> set[tuple[str, str]]:
    """Every (verb, view) that a registered page or resource checks."""
    found = set()
    for view in cast(Any, app).appbuilder.baseviews:
        name = getattr(view, "class_permission_name", None)
        if name and "." in name:
            found |= {(p.removeprefix("can_"), name) for p in view.base_permissions or ()}
    return found
