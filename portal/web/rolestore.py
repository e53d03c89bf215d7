"""Roles as administrators change them: permissions, scopes, who has them. Every change is kept and takes effect at once."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask_appbuilder.security.sqla.models import (
    Permission,
    PermissionView,
    Role,
    ViewMenu,
    assoc_permissionview_role,
    assoc_user_role,
)
from sqlalchemy import ColumnElement, Text, delete, false, func, insert, or_, select, true
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import session
from portal.kernel.document import Record, User
from portal.kernel.errors import Invalid, NotFound, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from portal.kernel.module import scopes
from security import accounts, emergency, expected
from security.roles import BUILT_IN, RoleInfo, RoleScope, bump, matches
from security.visibility import acting, context

EVERYBODY = "employee"
"""What everybody may do is nobody's own access, as long as it brings no scope."""
KEY = re.compile(r"[a-z][a-z0-9_]{1,39}")
PROTECTED = {("system_admin", "view:security.Role"), ("system_admin", "edit:security.Role")}
"""What nobody may take away, else nobody could give it back."""


class RoleChange(Record):
    """One change of a role, of who has it, or of an account (then without a role)."""

    __tablename__ = "web_role_change"
    __label__ = _l("Change of a role")
    __label_plural__ = _l("Changes of roles")
    role: Mapped[str] = mapped_column(Text, index=True, info={"label": _l("Role")})
    what: Mapped[str] = mapped_column(
        Text,
        info={
            "label": _l("What"),
            "choices": {
                "given": _l("Given to a person"),
                "taken": _l("Taken from a person"),
                "allowed": _l("Permission added"),
                "denied": _l("Permission removed"),
                "scope_added": _l("Scope added"),
                "scope_removed": _l("Scope removed"),
                "created": _l("Role created"),
                "changed": _l("Role changed"),
                "removed": _l("Role removed"),
                "switched_off": _l("Account switched off"),
                "switched_on": _l("Account switched on"),
            },
        },
    )
    detail: Mapped[str] = mapped_column(Text, server_default="", info={"label": _l("Detail")})

    def see(c, v):  # type: ignore[no-untyped-def]
        return v.holds("system") | (c.created_by == v.me)

    def change(c, v):  # type: ignore[no-untyped-def]
        return false()  # a log: written with the change itself, never edited

    def __str__(self) -> str:
        return f"{self.role} {self.what} {self.detail}".strip()


@dataclass(frozen=True)
class OwnAccessWidened:
    """*by* took a role, or added *added* (permissions and scopes) to a role that *by* has (VIS-05)."""

    by: int
    role: str
    added: list[str]


@dataclass(frozen=True)
class RoleView:
    """A role as the pages show it."""

    id: int
    key: str
    label: dict[str, str]
    description: dict[str, str]
    built_in: bool
    people: int
    scopes: tuple[str, ...]


def all_roles() -> list[RoleView]:
    """Every role, those of the product first. Two statements."""
    held: dict[int, list[str]] = {}
    for role_id, name in session().execute(select(RoleScope.role_id, RoleScope.scope).order_by(RoleScope.scope)):
        held.setdefault(role_id, []).append(name)
    people = select(func.count()).select_from(assoc_user_role).where(assoc_user_role.c.role_id == Role.id).correlate(Role).scalar_subquery()
    rows = session().execute(
        select(Role.id, Role.name, RoleInfo.label, RoleInfo.description, RoleInfo.built_in, people.label("people"))
        .join(RoleInfo, RoleInfo.role_id == Role.id)
        .order_by(RoleInfo.built_in.desc(), Role.id)
    )
    return [RoleView(r.id, r.name, r.label, r.description, r.built_in, r.people, tuple(held.get(r.id, ()))) for r in rows]


def role(key: str) -> RoleView:
    """The role *key*. Raises NotFound."""
    found = next((r for r in all_roles() if r.key == key), None)
    if found is None:
        raise NotFound(_("This record does not exist."))
    return found


def granted_by_role() -> dict[str, set[str]]:
    """Role key → permissions `verb:view`. One statement."""
    rows = session().execute(
        select(Role.name, Permission.name, ViewMenu.name)
        .select_from(assoc_permissionview_role)
        .join(Role, Role.id == assoc_permissionview_role.c.role_id)
        .join(PermissionView, PermissionView.id == assoc_permissionview_role.c.permission_view_id)
        .join(Permission, Permission.id == PermissionView.permission_id)
        .join(ViewMenu, ViewMenu.id == PermissionView.view_menu_id)
    )
    out: dict[str, set[str]] = {}
    for name, verb, view in rows:
        out.setdefault(name, set()).add(f"{verb.removeprefix('can_')}:{view}")
    return out


def permissions() -> dict[str, int]:
    """Every permission `verb:view` with its id. One statement."""
    rows = session().execute(
        select(PermissionView.id, Permission.name, ViewMenu.name)
        .join(Permission, Permission.id == PermissionView.permission_id)
        .join(ViewMenu, ViewMenu.id == PermissionView.view_menu_id)
        .order_by(ViewMenu.name, Permission.name)
    )
    return {f"{verb.removeprefix('can_')}:{view}": pk for pk, verb, view in rows if "." in view}


def default(key: str, permission: str) -> bool:
    """Whether the product gives *permission* to the role *key*."""
    verb, _colon, view = permission.partition(":")
    return any(b.key == key and matches(b.grants, verb, view) for b in BUILT_IN)


def differences() -> list[dict[str, Any]]:
    """Where roles of the product differ from how they came."""
    now, known, out = granted_by_role(), permissions(), []
    for b in BUILT_IN:
        for p in known:
            has, standard = p in now.get(b.key, set()), default(b.key, p)
            if has != standard:
                out.append({"role": b.key, "permission": p, "now": has, "default": standard})
    return out


# -------------------------------------------------------------------- changing
def change_permissions(changes: Iterable[tuple[str, str, bool]]) -> int:
    """Gives or takes (role, permission, on). Raises Invalid for unknown ones, Refusal for protected ones. Returns how many changed."""
    known, by_key, now = permissions(), {r.key: r.id for r in all_roles()}, granted_by_role()
    todo = []
    for key, permission, on in changes:
        if key not in by_key or permission not in known:
            raise Invalid({permission[:80] or "permission": _("There is no such role or permission.")})
        if not on and (key, permission) in PROTECTED:
            raise Refusal(_("The system administrator must keep this permission."), code="protected")
        if (permission in now.get(key, set())) != on:
            todo.append((key, permission, on))
    with acting("permissions of roles") as s:
        t = assoc_permissionview_role
        for key, permission, on in todo:
            pair = {"permission_view_id": known[permission], "role_id": by_key[key]}
            if on:
                s.execute(insert(t).values(id=func.nextval("ab_permission_view_role_id_seq"), **pair))
            else:
                s.execute(delete(t).where(t.c.permission_view_id == pair["permission_view_id"], t.c.role_id == pair["role_id"]))
        if todo:
            bump(s)
        for key in sorted({key for key, _permission, on in todo if on} - {EVERYBODY}):
            _tell_of_own(key, [permission for k, permission, on in todo if on and k == key])
    keep([(key, "allowed" if on else "denied", permission) for key, permission, on in todo])
    return len(todo)


def save(key: str, label: Mapping[str, str], description: Mapping[str, str], wanted: Iterable[str], *, new: bool) -> None:
    """Creates or changes a role. Raises Invalid, NotFound."""
    wanted = set(wanted)
    errors: dict[str, Any] = {}
    if not KEY.fullmatch(key):
        errors["key"] = _("Small letters, figures and _, at most 40.")
    if not label.get("zh"):
        errors["label.zh"] = _("This is required.")
    if wanted - set(scopes):
        errors["scopes"] = _("Is not one of the choices")
    before = {r.key: r for r in all_roles()}
    if new and key in before:
        errors["key"] = _("There is already one with this value.")
    if errors:
        raise Invalid(errors)
    if not new and key not in before:
        raise NotFound(_("This record does not exist."))
    had = set(before[key].scopes) if key in before else set()
    if key == "system_admin" and "system" not in wanted:
        raise Refusal(_("The system administrator must keep this permission."), code="protected")
    with acting("role") as s:
        if new:
            role_id = s.execute(insert(Role).values(id=func.nextval("ab_role_id_seq"), name=key).returning(Role.id)).scalar_one()
            s.add(RoleInfo(role_id=role_id, label=dict(label), description=dict(description), built_in=False))
        else:
            role_id = before[key].id
            info = s.get_one(RoleInfo, role_id)
            info.label, info.description = dict(label), dict(description)
        for name in wanted - had:
            s.add(RoleScope(role_id=role_id, scope=name))
        for name in had - wanted:
            s.execute(delete(RoleScope).where(RoleScope.role_id == role_id, RoleScope.scope == name))
        s.flush()
        bump(s)
        if new:
            expected.role_changed(key)
        _tell_of_own(key, sorted(wanted - had))
    what = "created" if new else "changed"
    keep(
        [
            (key, what, ""),
            *((key, "scope_added", n) for n in sorted(wanted - had)),
            *((key, "scope_removed", n) for n in sorted(had - wanted)),
        ]
    )


def remove(key: str) -> None:
    """Removes a role that is no role of the product and that nobody has. Raises Refusal."""
    found = role(key)
    if found.built_in:
        raise Refusal(_("A role that came with the product cannot be removed."), code="built_in")
    if found.people:
        raise Refusal(_("%(n)s people still have this role.", n=found.people), code="in_use")
    with acting("role removed") as s:
        t = assoc_permissionview_role
        s.execute(delete(t).where(t.c.role_id == found.id))
        s.execute(delete(RoleScope).where(RoleScope.role_id == found.id))
        s.execute(delete(RoleInfo).where(RoleInfo.role_id == found.id))
        s.execute(delete(Role).where(Role.id == found.id))
        bump(s)
        expected.role_changed(key)
    keep([(key, "removed", "")])


def holders(key: str) -> list[Any]:
    """People with the role: rows (id, first_name, last_name, username). One statement."""
    t = assoc_user_role
    return list(
        session().execute(
            select(User.id, User.first_name, User.last_name, User.username)
            .join(t, t.c.user_id == User.id)
            .join(Role, Role.id == t.c.role_id)
            .where(Role.name == key, User.active)
            .order_by(User.last_name, User.first_name, User.id)
        )
    )


def assign(key: str, user_id: int, *, given: bool) -> None:
    """Gives the role to a person or takes it. Raises Invalid, NotFound, Refusal."""
    found = role(key)
    person = session().execute(select(User.id, User.username).where(User.id == user_id, User.active)).one_or_none()
    if person is None:
        raise Invalid({"user_id": _("There is no such record.")})
    if person.username == emergency.USERNAME:
        raise Refusal(_("The emergency account has its one role and no other."), code="protected")
    has = any(h.id == user_id for h in holders(key))
    if has == given:
        return
    by = context().me
    with acting("role of a person") as s:
        # one after the other: two who take the last two at once would leave none
        s.execute(select(Role.id).where(Role.id == found.id).with_for_update())
        if key == "system_admin" and not given and sum(h.username != emergency.USERNAME for h in holders(key)) <= 1:
            raise Refusal(_("The last system administrator cannot be removed."), code="protected")
        accounts.queue_role(user_id, key, "add" if given else "remove")
        if by == user_id and given:
            publish(OwnAccessWidened(user_id, key, []))
        s.flush()
    keep([(key, "given" if given else "taken", str(person.username))])


def _tell_of_own(key: str, added: list[str]) -> None:
    """Whoever administers roles and has *key* gets *added* too."""
    ctx = context()
    if added and ctx.me is not None and key in ctx.roles:
        publish(OwnAccessWidened(ctx.me, key, added))


def keep(changes: Iterable[tuple[str, str, str]]) -> None:
    """Writes the changes into the record of changes."""
    with acting("record of role changes") as s:
        s.add_all(RoleChange(role=key, what=what, detail=detail) for key, what, detail in changes)


def about(username: str, limit: int = 20) -> list[Any]:
    """The latest changes of one account, newest first."""
    c = RoleChange
    return recent(limit, or_(c.detail == username, c.detail.startswith(f"{username}: ", autoescape=True)))


def recent(limit: int = 100, which: ColumnElement[bool] | None = None) -> list[Any]:
    """The latest changes, newest first; only those *which*."""
    c = RoleChange
    who = select(User.last_name + User.first_name).where(User.id == c.created_by).correlate(c).scalar_subquery()
    return list(
        session().execute(
            select(c.id, c.created_at, c.role, c.what, c.detail, who.label("who"))
            .where(true() if which is None else which)
            .order_by(c.id.desc())
            .limit(limit)
        )
    )
