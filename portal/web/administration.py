"""Pages for administrators: roles, the matrix role × module × action, who has which role. They show no business data."""

import csv
import io
from typing import Any

import orjson
from flask import Response, flash, redirect, request

from portal.kernel.document import records
from portal.kernel.errors import Conflict, Invalid, NotFound
from portal.kernel.i18n import LANGUAGES, _, _l, tr
from portal.kernel.module import all_modules, scopes
from portal.web import registry, rolestore, rows, words
from portal.web.exporting import count_export, harmless
from portal.web.fields import fields_of
from portal.web.page import Page, route
from portal.web.resource import answer, object_body
from security import reads
from security.manager import allowed
from security.transitions import actions_of
from security.visibility import context

VERBS = {
    "view": _l("View"),
    "add": _l("Add"),
    "edit": _l("Edit"),
    "archive": _l("Archive"),
    "export": _l("Export"),
    "resend": _l("Send again"),
    "run": _l("Run now"),
    "verify": _l("Verify now"),
    "switch": _l("Switch off and on"),
    "compare": _l("Compare"),
}
LAYERS = {"web": _l("Portal"), "notify": _l("Notices and warnings"), "security": _l("Security"), "kernel": _l("Basic data")}
MAX_CHANGES = 2000


class RolePage(Page):
    """Roles, what they may do and who has them."""

    name = "security.Role"
    route_base = "/administration/roles"
    title = _l("Roles and permissions")
    menu = "Administration"
    menu_order = 10
    icon = "shield-lock"
    default_view = "overview"

    # ---------------------------------------------------------------- pages
    @route("/")
    def overview(self) -> str:
        """All roles."""
        return self.render(
            "administration/roles.html",
            roles=[_shown(r) for r in rolestore.all_roles()],
            can_edit=_may_edit(),
            different=len(rolestore.differences()),
        )

    @route("/matrix")
    def matrix(self) -> str:
        """What each role may do, one module at a time."""
        known = list(rolestore.permissions())
        names = sorted({p.partition(":")[2].partition(".")[0] for p in known})
        module = request.args.get("module") or (names[0] if names else "")
        if names and module not in names:
            raise NotFound(_("There is no such module."))
        roles, now, edit = rolestore.all_roles(), rolestore.granted_by_role(), _may_edit()
        mine = [p for p in known if p.partition(":")[2].partition(".")[0] == module]
        return self.render(
            "portal/matrix.html",
            title=_("Permissions"),
            crumbs=self._crumbs(),
            subtitle=None,
            modules=[
                {"key": n, "label": _module(n), "url": f"{self.route_base}/matrix?module={n}", "current": n == module, "count": None}
                for n in names
            ],
            roles=[{"key": r.key, "label": tr(r.label), "locked": False, "people": r.people} for r in roles],
            groups=_groups(mine, roles, now),
            save_url=f"{self.route_base}/matrix",
            version=context().epoch,
            history_url=f"{self.route_base}/changes",
            can_edit=edit,
        )

    @route("/matrix", methods=("POST",), verb="edit")
    def save_matrix(self) -> Response:
        """Stores the changed cells; they hold from everybody's next request."""
        given = object_body()
        if str(given.get("version")) != str(context().epoch):
            raise Conflict(_("Somebody changed roles meanwhile. Load the page again."), version=context().epoch)
        changes = given.get("changes")
        if not isinstance(changes, list) or len(changes) > MAX_CHANGES:
            raise Invalid({"changes": _("Must be an object or a list")})
        wanted = []
        for c in changes:
            if (
                not isinstance(c, dict)
                or not isinstance(c.get("role"), str)
                or not isinstance(c.get("permission"), str)
                or not isinstance(c.get("on"), bool)
            ):
                raise Invalid({"changes": _("Must be an object or a list")})
            wanted.append((c["role"], c["permission"], c["on"]))
        return answer({"saved": rolestore.change_permissions(wanted)})

    @route("/changes")
    def changes(self) -> str:
        """What was changed, by whom and when."""
        choices = fields_of(rolestore.RoleChange)["what"].choices
        found = [
            {
                "at": words.moment(c.created_at),
                "who": c.who or "—",
                "role": c.role,
                "what": str(choices.get(c.what, c.what)),
                "detail": c.detail,
            }
            for c in rolestore.recent()
        ]
        return self.render("administration/role_changes.html", title=_("Changes of roles"), crumbs=self._crumbs(), changes=found)

    @route("/differences")
    def differences(self) -> str:
        """Where roles differ from how they came."""
        found = [d | {"label": _permission_words(d["permission"])} for d in rolestore.differences()]
        return self.render(
            "administration/role_differences.html", title=_("Differences from the standard"), crumbs=self._crumbs(), differences=found
        )

    @route("/export.<kind>")
    def export(self, kind: str) -> Response:
        """The whole matrix as JSON or CSV."""
        count_export()
        reads.note("security_role", way="export", format=kind)
        roles, now, known = rolestore.all_roles(), rolestore.granted_by_role(), rolestore.permissions()
        if kind == "json":
            body = {
                "roles": [
                    {
                        "key": r.key,
                        "label": r.label,
                        "description": r.description,
                        "scopes": r.scopes,
                        "permissions": sorted(now.get(r.key, ())),
                    }
                    for r in roles
                ]
            }
            content, kind_of = orjson.dumps(body, option=orjson.OPT_INDENT_2), "application/json"
        elif kind == "csv":
            out = io.StringIO(newline="")
            writer = csv.writer(out)
            writer.writerow(["permission", *(r.key for r in roles)])
            for p in known:
                writer.writerow([harmless(p), *("x" if p in now.get(r.key, ()) else "" for r in roles)])
            content, kind_of = out.getvalue().encode("utf-8-sig"), "text/csv; charset=utf-8"
        else:
            raise NotFound(_("This page does not exist."))
        return Response(
            content, mimetype=kind_of, headers={"Content-Disposition": f'attachment; filename="roles.{kind}"', "Cache-Control": "no-store"}
        )

    # ---------------------------------------------------------------- one role
    @route("/add", verb="edit")
    def add(self) -> str:
        """The form of a new role."""
        return self._form(None, {}, {})

    @route("/add", methods=("POST",), verb="edit")
    def store(self) -> Any:
        """A new role."""
        return self._save(request.form.get("key", "").strip(), new=True)

    @route("/<key>")
    def show(self, key: str) -> str:
        """One role: form, scopes, people."""
        found = rolestore.role(key)
        return self._form(found, {}, {})

    @route("/<key>", methods=("POST",), verb="edit")
    def save(self, key: str) -> Any:
        """Stores the role."""
        rolestore.role(key)
        return self._save(key, new=False)

    @route("/<key>/remove", methods=("POST",), verb="edit")
    def remove(self, key: str) -> Any:
        """Removes a role nobody has."""
        rolestore.remove(key)
        flash(_("Removed."), "success")
        return redirect(f"{self.route_base}/", 303)

    @route("/<key>/people", methods=("POST",), verb="edit")
    def assign(self, key: str) -> Any:
        """Gives the role to a person, or takes it."""
        user_id = request.form.get("user_id", type=int)
        if user_id is None or not 0 < user_id < 2**31:
            raise Invalid({"user_id": _("There is no such record.")})
        rolestore.assign(key, user_id, given=request.form.get("given", "1") == "1")
        flash(_("Saved."), "success")
        return redirect(f"{self.route_base}/{key}", 303)

    def _save(self, key: str, *, new: bool) -> Any:
        label = {lang: request.form.get(f"label.{lang}", "").strip()[:100] for lang in LANGUAGES}
        description = {lang: request.form.get(f"description.{lang}", "").strip()[:500] for lang in LANGUAGES}
        found = None if new else rolestore.role(key)
        if found is not None and request.form.get("had", ",".join(found.scopes)) != ",".join(found.scopes):
            raise Conflict(_("Somebody changed roles meanwhile. Load the page again."), version=context().epoch)
        try:
            rolestore.save(key, label, description, request.form.getlist("scopes"), new=new)
        except Invalid as e:
            return self._form(found, {k: str(v) for k, v in e.fields.items()}, request.form), 422
        flash(_("Saved."), "success")
        return redirect(f"{self.route_base}/{key}", 303)

    def _form(self, found: rolestore.RoleView | None, errors: dict[str, str], typed: Any) -> str:
        held = typed.getlist("scopes") if typed else found.scopes if found else ()
        people = [
            {"id": p.id, "name": rows.person_name(p.first_name, p.last_name), "username": p.username}
            for p in (rolestore.holders(found.key) if found else ())
        ]

        def text(name: str, lang: str) -> str:
            stored = getattr(found, name).get(lang, "") if found else ""
            return str(typed.get(f"{name}.{lang}", stored) if typed else stored)

        return self.render(
            "administration/role.html",
            title=tr(found.label) if found else _("New role"),
            crumbs=self._crumbs(),
            role=_shown(found) if found else None,
            key=typed.get("key", "") if typed else "",
            texts={f"{n}.{lang}": text(n, lang) for n in ("label", "description") for lang in LANGUAGES},
            languages=LANGUAGES,
            had=",".join(found.scopes) if found else "",
            scopes=[{"value": s.name, "label": str(s.label), "help": str(s.help), "on": s.name in held} for s in scopes.values()],
            errors=errors,
            people=people,
            can_edit=_may_edit(),
        )

    def _crumbs(self) -> list[dict[str, str]]:
        return [{"label": str(self.title), "url": f"{self.route_base}/"}]


def _may_edit() -> bool:
    return allowed("edit", "security.Role")


def _shown(r: rolestore.RoleView) -> dict[str, Any]:
    return {
        "key": r.key,
        "label": tr(r.label),
        "description": tr(r.description),
        "built_in": r.built_in,
        "people": r.people,
        "scopes": [str(scopes[s].label) if s in scopes else s for s in r.scopes],
        "url": f"{RolePage.route_base}/{r.key}",
    }


def _module(name: str) -> str:
    found = next((m for m in all_modules() if m.name == name), None)
    return str(found.label) if found is not None and found.label else str(LAYERS.get(name, name))


def _groups(mine: list[str], roles: list[rolestore.RoleView], now: dict[str, set[str]]) -> list[dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for p in sorted(mine, key=lambda p: (p.partition(":")[2], _verb_place(p.partition(":")[0]))):
        verb, _colon, view = p.partition(":")
        group = out.setdefault(view, {"label": _view(view), "hint": view, "rows": []})
        cells = {
            r.key: {
                "on": p in now.get(r.key, ()),
                "default": rolestore.default(r.key, p) if r.built_in else p in now.get(r.key, ()),
                "locked": (r.key, p) in rolestore.PROTECTED,
            }
            for r in roles
        }
        group["rows"].append({"key": p, "label": _verb(verb, view), "verb": verb, "cells": cells})
    return list(out.values())


def _verb_place(verb: str) -> tuple[int, str]:
    return (list(VERBS).index(verb) if verb in VERBS else 99, verb)


def _model(view: str) -> Any:
    return next((c for c in records() if c.permission_name() == view), None)


def _view(view: str) -> str:
    model = _model(view)
    if model is not None:
        return str(model.__label_plural__ or model.__label__ or view)
    page = registry.pages.get(view)
    return str(page.title) if page is not None and page.title else view


def _verb(verb: str, view: str) -> str:
    if verb in VERBS:
        return str(VERBS[verb])
    model = _model(view)
    found = next((a for a in actions_of(model) if a.name == verb), None) if model is not None else None
    return str(found.label) if found is not None else verb


def _permission_words(permission: str) -> str:
    verb, _colon, view = permission.partition(":")
    return f"{_view(view)} · {_verb(verb, view)}"
