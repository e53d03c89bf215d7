"""Accounts as administrators look after them: who there is, with which roles, in use or switched off. No business data."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from sqlalchemy import Select, func, or_, select

from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import Invalid, NotFound, Refusal
from portal.kernel.i18n import _
from portal.web import rolestore, rows
from security import accounts, emergency, expected, sessions
from security.sessions import ServerSession
from security.visibility import acting, context

PAGE = 50
MAX_REASON = 300
MAX_USER = 2**31 - 1
"""The highest number Flask-AppBuilder's table of people can hold."""
Kind = Literal["person", "program", "emergency"]


@dataclass(frozen=True)
class AccountView:
    """An account as the pages show it; *linked*: somebody signed in to it at Keycloak once; *roles*: keys."""

    id: int
    username: str
    name: str
    active: bool
    kind: Kind
    linked: bool
    last_login: datetime | None
    roles: tuple[str, ...]


# ------------------------------------------------------------------ reading
def _asked() -> Select[Any]:
    a = sessions.Account
    known = (User.id, User.username, User.first_name, User.last_name, User.active, User.last_login, a.subject, a.client_id)
    return select(*known).outerjoin(a, a.user_id == User.id)


def _views(found: Iterable[Any], held: dict[int, list[str]]) -> list[AccountView]:
    return [
        AccountView(
            id=r.id,
            username=r.username,
            name=rows.person_name(r.first_name, r.last_name) or r.username,
            active=bool(r.active),
            kind="emergency" if r.username == emergency.USERNAME else "program" if r.client_id else "person",
            linked=r.subject is not None,
            last_login=r.last_login,
            roles=tuple(held.get(r.id, ())),
        )
        for r in found
    ]


def search(
    words: str = "", role: str = "", state: str = "", after: str = "", before: str = "", size: int = PAGE
) -> tuple[list[AccountView], bool]:
    """Accounts by user name, at most *size*, and whether there are more in that direction.

    *words* are looked for in user name and name; *role* is a key; *state* is `active`, `off` or empty; *after* and *before* are user names.
    """
    asked = _asked()
    if words:
        full = User.last_name + User.first_name
        asked = asked.where(or_(full.contains(words, autoescape=True), User.username.icontains(words, autoescape=True)))
    if role:
        t = assoc_user_role
        asked = asked.where(User.id.in_(select(t.c.user_id).join(Role, Role.id == t.c.role_id).where(Role.name == role)))
    if state:
        asked = asked.where(User.active.is_(state == "active"))
    if before:
        asked = asked.where(User.username < before).order_by(User.username.desc())
    else:
        asked = asked.where(User.username > after).order_by(User.username)
    with acting("list of accounts") as s:
        found = s.execute(asked.limit(size + 1)).all()
        more, found = len(found) > size, found[:size]
        if before:
            found = found[::-1]
        return _views(found, _roles_of([r.id for r in found])), more


def one(user_id: int) -> AccountView:
    """The account. Raises NotFound."""
    with acting("one account") as s:
        found = s.execute(_asked().where(User.id == user_id)).all() if user_id <= MAX_USER else []
        if not found:
            raise NotFound(_("There is no such account."))
        return _views(found, _roles_of([user_id]))[0]


def _roles_of(ids: list[int]) -> dict[int, list[str]]:
    t = assoc_user_role
    held: dict[int, list[str]] = {}
    asked = select(t.c.user_id, Role.name).join(Role, Role.id == t.c.role_id).where(t.c.user_id.in_(ids)).order_by(Role.id)
    for user_id, name in session().execute(asked):
        if name not in accounts.NOT_MANAGED:
            held.setdefault(user_id, []).append(name)
    return held


def open_sessions(user_id: int) -> int:
    """How often the account is signed in now."""
    asked = select(func.count()).select_from(ServerSession).where(ServerSession.user_id == user_id, *sessions.LIVING)
    return session().scalar(asked) or 0


# ------------------------------------------------------------------ switching off and on
def switch(user_id: int, active: bool, reason: str) -> None:
    """Switch the account off, which ends its sessions with this request here and soon at Keycloak, or on again; kept with *reason*.

    Raises NotFound, Invalid without a reason, Refusal: the own account, the emergency account, the last system administrator, or where
    a module says no (somebody who left).
    """
    reason = reason.strip()
    found = one(user_id)
    if not reason or len(reason) > MAX_REASON or "\x00" in reason:
        raise Invalid({"reason": _("Say why, in at most %(n)s characters.", n=MAX_REASON)})
    if user_id == context().me:
        raise Refusal(_("Nobody switches the own account; another administrator does it."), code="own_account")
    if found.kind == "emergency":
        raise Refusal(_("The emergency account is opened and closed on the server only."), code="protected")
    if found.active == active:
        return
    with acting("account switched") as s:
        if active:
            accounts.check_return(user_id)
        elif "system_admin" in found.roles:
            # one after the other: two who switch off the last two at once would leave none
            s.execute(select(Role.id).where(Role.name == "system_admin").with_for_update())
            if sum(h.username != emergency.USERNAME for h in rolestore.holders("system_admin")) <= 1:
                raise Refusal(_("The last system administrator cannot be switched off."), code="protected")
        accounts.set_active(user_id, active)
    rolestore.keep([("", "switched_on" if active else "switched_off", f"{found.username}: {reason}")])
    expected.person_changed(user_id, opens=active)
