"""Closing an application and taking it into use again, and the way into one."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from portal.applications.models import Application, Category, Launch
from portal.kernel.db import session
from portal.kernel.errors import Refusal
from portal.kernel.i18n import _, _l
from portal.web import records
from security.transitions import transition
from security.visibility import Context, acting, context

ONCE_IN = timedelta(minutes=1)
"""However often somebody opens an application within this time, it is noted once: a log must not grow by reloading an address."""


def _administrators(c: Any, v: Any) -> Any:
    return v.holds("system")


@transition("active", "closed", by=_administrators, label=_l("Close"), icon="ban")
def close(application: Application) -> None:
    """The launcher no longer offers it; what is noted about it stays."""


@transition("closed", "active", by=_administrators, label=_l("Take into use again"), tone="primary", icon="rotate-clockwise")
def reopen(application: Application) -> None:
    """The launcher offers it again to the holders of its roles."""


def offered(ctx: Context) -> list[tuple[dict[str, str], list[Any]]]:
    """Categories with the applications in use of the viewer's own roles, in their order.  One statement.

    Administrators see every application in their list; here they get, like everybody, what their roles are meant to use.
    """
    a, c = Application, Category
    asked = (
        select(a.id, a.name, a.description, a.icon, a.url, c.id.label("category_id"), c.name.label("category"))
        .join(c, c.id == a.category_id)
        .where(a.state == "active", a.id.in_(ctx.ids("own_applications")))
        .order_by(c.position, c.id, a.position, a.id)
    )
    groups: dict[int, tuple[dict[str, str], list[Any]]] = {}
    for row in session().execute(asked):
        groups.setdefault(row.category_id, (row.category, []))[1].append(row)
    return list(groups.values())


def launch(application_id: int) -> str:
    """Note that the viewer opens the application, once in `ONCE_IN`; returns where it is.  Raises NotFound, Refusal when it is closed."""
    application, _may = records.get(Application, application_id)
    if application.state != "active":
        raise Refusal(_("“%(name)s” is closed.", name=str(application)), code="closed")
    url, me = application.url, context().me
    with acting() as s:
        # one at a time, else openings at the same moment would not see each other
        s.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"applications.launch:{me}:{application_id}", 0))))
        lately = (Launch.user_id == me, Launch.application_id == application_id, Launch.at > func.clock_timestamp() - ONCE_IN)
        if s.scalar(select(Launch.id).where(*lately).limit(1)) is None:
            s.add(Launch(application_id=application_id, user_id=me))
    return url
