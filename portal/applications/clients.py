"""What Keycloak knows of the applications' clients: compared every few minutes, so that no page waits for Keycloak."""

from dataclasses import dataclass
from datetime import datetime

import requests
from keycloak.exceptions import KeycloakError
from sqlalchemy import Boolean, DateTime, Text, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel import calendar
from portal.kernel.db import Base, session, unrestricted
from portal.kernel.errors import Unavailable
from portal.kernel.i18n import _, _l
from portal.kernel.settings import settings
from security.keycloak import administration

INTERNAL = {"admin-cli", "broker", "realm-management", "security-admin-console"}
"""Keycloak's own clients that no tile leads to."""

STATES = {
    "none": "",
    "ok": _l("Known and enabled"),
    "missing": _l("Missing in Keycloak"),
    "disabled": _l("Disabled in Keycloak"),
    "unknown": _l("Not compared yet"),
}
TONES = {"ok": "ok", "missing": "risk", "disabled": "warn", "unknown": "idle", "none": ""}


class Client(Base):
    """A client of Keycloak's realm as the last comparison found it."""

    __tablename__ = "applications_client"
    __table_args__ = {"info": {"grants": {"app": "select"}}}

    client_id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, server_default="")
    enabled: Mapped[bool] = mapped_column(Boolean)
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


@dataclass(frozen=True)
class Known:
    """Keycloak's clients as of *at*; nothing of them when there never was a comparison."""

    clients: dict[str, Client]
    at: datetime | None

    def state(self, client_id: str | None) -> str:
        """One of `STATES` for the client an application names."""
        found = self.clients.get(client_id or "")
        return state(client_id, found.enabled if found is not None else None, self.at is not None)


def state(client_id: str | None, enabled: bool | None, compared: bool) -> str:
    """One of `STATES`; *enabled*: what Keycloak says of the client, None when it does not know it; *compared*: whether it was asked."""
    if not client_id:
        return "none"
    if not compared:
        return "unknown"
    return "missing" if enabled is None else "ok" if enabled else "disabled"


def known() -> Known:
    """The last comparison.  One statement."""
    found = {c.client_id: c for c in session().scalars(select(Client).order_by(Client.client_id))}
    return Known(found, max((c.seen_at for c in found.values()), default=None))


def suggested() -> tuple[dict[str, str], str]:
    """What the form offers: client ids with their names in Keycloak, and since when they are known."""
    found = known()
    if found.at is None:
        return {}, str(_("Keycloak has not been asked yet for its clients: type the client id as it stands there."))
    return (
        {c.client_id: c.name for c in found.clients.values()},
        str(_("Clients in Keycloak as of %(when)s are offered.", when=f"{calendar.local(found.at):%Y-%m-%d %H:%M}")),
    )


def compare() -> int:
    """Read the realm's clients from Keycloak and keep them; returns how many.  Raises `Unavailable` when Keycloak cannot be asked."""
    if settings().local_accounts:
        raise Unavailable("identity provider", code="identity_provider_unavailable")
    try:
        found = administration().clients()
    except (KeycloakError, requests.RequestException) as error:
        raise Unavailable("identity provider", code="identity_provider_unavailable", retry_after=30) from error
    rows = [{"client_id": c, "name": name, "enabled": enabled} for c, name, enabled in found if c not in INTERNAL]
    with unrestricted("clients of Keycloak") as s:
        new = insert(Client).values(rows)
        kept = {"name": new.excluded.name, "enabled": new.excluded.enabled, "seen_at": func.now()}
        s.execute(new.on_conflict_do_update(index_elements=["client_id"], set_=kept))
        s.execute(delete(Client).where(Client.client_id.not_in([r["client_id"] for r in rows])))
    return len(rows)
