"""Accounts, pages and REST for administrators: find one, see its roles, sign-ins and sessions, switch it off and on (POR-12)."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Response, flash, redirect, request

from portal.kernel.errors import BadRequest, Invalid
from portal.kernel.i18n import _, _l, tr
from portal.web import accountstore, registry, rolestore, words
from portal.web.access import require, route
from portal.web.accountstore import AccountView
from portal.web.describing import PK, Schema, listed, one, operation, query
from portal.web.fields import fields_of
from portal.web.page import Page
from portal.web.resource import Endpoints, answer, object_body
from security.manager import allowed
from security.signins import SignIn

NAME = "security.Account"
KINDS = {"person": _l("Person"), "program": _l("Program"), "emergency": _l("Emergency access")}
STATES = {"active": _l("In use"), "off": _l("Switched off")}
ASKED = ("q", "role", "state", "after", "before")


def _conditions() -> dict[str, str]:
    """What the address asks for. Raises BadRequest for a state or role that does not exist."""
    given = {name: request.args.get(name, "").strip()[:200].replace("\x00", "") for name in ASKED}
    if given["state"] not in ("", *STATES):
        raise BadRequest(_("Is not one of the choices"), code="bad_filter_value", fields={"state": _("Is not one of the choices")})
    if given["role"] and given["role"] not in {r.key for r in rolestore.all_roles()}:
        raise BadRequest(_("There is no such role."), code="bad_filter_value", fields={"role": _("There is no such role.")})
    return given


def _search(given: dict[str, str]) -> tuple[list[AccountView], str | None, str | None]:
    """The accounts asked for, and the user names to go on from: forwards, backwards."""
    found, more = accountstore.search(given["q"], given["role"], given["state"], given["after"], given["before"])
    if given["before"]:
        return found, found[-1].username if found else None, found[0].username if more else None
    return found, found[-1].username if more else None, found[0].username if given["after"] and found else None


class Accounts(Page):
    """Everybody who can sign in, people and programs."""

    name = NAME
    route_base = "/administration/accounts"
    title = _l("Accounts")
    menu = "Administration"
    menu_order = 5
    icon = "users"

    @route("/")
    def show(self) -> str:
        """The list, by name, role and state."""
        given = _conditions()
        found, following, preceding = _search(given)
        labels = {r.key: tr(r.label) for r in rolestore.all_roles()}
        kept = {name: given[name] for name in ("q", "role", "state") if given[name]}
        return self.render(
            "administration/accounts.html",
            accounts=[_shown(a, labels) for a in found],
            given=given,
            roles=labels,
            states=STATES,
            filtered=bool(kept),
            next_url=f"{self.route_base}/?" + urlencode(kept | {"after": following}) if following else None,
            previous_url=f"{self.route_base}/?" + urlencode(kept | {"before": preceding}) if preceding else None,
        )

    @route("/<int:pk>")
    def one(self, pk: int) -> str:
        """One account: roles, sign-ins, sessions."""
        return self._one(pk)

    @route("/<int:pk>/switch", methods=("POST",), verb="switch")
    def switch(self, pk: int) -> Any:
        """Switches the account off or on."""
        active, reason = request.form.get("active") == "1", request.form.get("reason", "")
        try:
            accountstore.switch(pk, active, reason)
        except Invalid as e:
            return self._one(pk, reason, str(e.fields.get("reason", ""))), 422
        flash(_("Switched on.") if active else _("Switched off; its sessions are ended."), "success")
        return redirect(f"{self.route_base}/{pk}", 303)

    @route("/<int:pk>/roles", methods=("POST",), verb="view")
    def roles(self, pk: int) -> Any:
        """Gives the account a role, or takes it; who may change roles."""
        require("edit", "security.Role")
        rolestore.assign(request.form.get("role", ""), pk, given=request.form.get("given", "1") == "1")
        flash(_("Saved."), "success")
        return redirect(f"{self.route_base}/{pk}", 303)

    def _one(self, pk: int, reason: str = "", error: str = "") -> str:
        found = accountstore.one(pk)
        labels = {r.key: tr(r.label) for r in rolestore.all_roles()}
        return self.render(
            "administration/account.html",
            title=found.name,
            crumbs=[{"label": str(self.title), "url": f"{self.route_base}/"}],
            account=_shown(found, labels),
            held=[{"key": key, "label": labels.get(key, key)} for key in found.roles],
            others={key: label for key, label in labels.items() if key not in found.roles},
            sessions=accountstore.open_sessions(pk),
            sessions_url=f"/administration/sessions/?person={pk}" if allowed("view", "security.Session") else None,
            signins_url=f"/sign-ins/?f.user_id={pk}" if allowed("view", SignIn.permission_name()) else None,
            changes=_changes(found.username, labels),
            can_switch=allowed("switch", NAME) and found.kind != "emergency",
            can_reset=allowed("reset", "security.Session") and found.kind == "person" and found.linked,
            can_assign=allowed("edit", "security.Role") and found.kind != "emergency" and found.active,
            reason=reason,
            error=error,
        )


def _changes(username: str, labels: dict[str, str]) -> list[dict[str, Any]]:
    choices = fields_of(rolestore.RoleChange)["what"].choices
    return [
        {
            "at": words.moment(c.created_at),
            "who": c.who or _("The system"),
            "role": labels.get(c.role, c.role),
            "what": str(choices.get(c.what, c.what)),
            "why": c.detail.removeprefix(username).removeprefix(": "),
        }
        for c in rolestore.about(username)
    ]


def _shown(a: AccountView, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "id": a.id,
        "name": a.name,
        "username": a.username,
        "kind": a.kind,
        "kind_label": str(KINDS[a.kind]),
        "active": a.active,
        "linked": a.linked,
        "last_login": a.last_login,
        "roles": [labels.get(key, key) for key in a.roles],
        "url": f"{Accounts.route_base}/{a.id}",
        "person_url": registry.person_url(a.id) if a.kind == "person" else None,
    }


# -------------------------------------------------------------------- for programs
class AccountEndpoints(Endpoints, at="accounts", name=NAME):
    """`/api/v1/accounts/`: who can sign in; switching off acts at once. Roles are given under `/api/v1/roles/`."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """One row."""
        return {cls.resource_name: SCHEMA}

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """Finding accounts, switching one off and on."""
        base, tag = cls.route_base, [cls.resource_name]
        asked = [query(n) for n in ASKED]
        switches = {"switch-off": ("switch_account_off", _("Switch off")), "switch-on": ("switch_account_on", _("Switch on"))}
        return {
            f"{base}/": {"get": operation("list_accounts", _("Accounts"), tag, listed("accounts"), parameters=asked, errors=(400,))},
            f"{base}/{{pk}}": {"get": operation("get_account", _("Accounts"), tag, one("accounts"), parameters=[PK], errors=(404,))},
        } | {
            f"{base}/{{pk}}/{path}": {
                "post": operation(name, words, tag, one("accounts"), parameters=[PK], body=REASON, errors=(404, 409, 422))
            }
            for path, (name, words) in switches.items()
        }

    @route("/")
    def get_list(self) -> Response:
        """Accounts by user name: `?q=`, `?role=`, `?state=active|off`, `?after=<user name>` for the next ones."""
        if unknown := set(request.args) - set(ASKED):
            raise BadRequest(_("Unknown parameters: %(names)s.", names=", ".join(sorted(unknown))[:200]))
        found, following, _preceding = _search(_conditions())
        return answer({"count": len(found), "ids": [a.id for a in found], "result": [_json(a) for a in found], "next": following})

    @route("/<int:pk>")
    def get(self, pk: int) -> Response:
        """One account."""
        return self._one(pk)

    @route("/<int:pk>/switch-off", methods=("POST",), verb="switch")
    def switch_off(self, pk: int) -> Response:
        """`{"reason": "…"}`: nobody signs in with it any more, its sessions end."""
        return self._switch(pk, False)

    @route("/<int:pk>/switch-on", methods=("POST",), verb="switch")
    def switch_on(self, pk: int) -> Response:
        """`{"reason": "…"}`: in use again."""
        return self._switch(pk, True)

    def _switch(self, pk: int, active: bool) -> Response:
        given = object_body()
        if set(given) - {"reason"}:
            raise Invalid({str(k)[:60]: _("There is no such field.") for k in given if k != "reason"})
        reason = given.get("reason")
        accountstore.switch(pk, active, reason if isinstance(reason, str) else "")
        return self._one(pk)

    @staticmethod
    def _one(pk: int) -> Response:
        return answer({"id": pk, "result": _json(accountstore.one(pk)) | {"open_sessions": accountstore.open_sessions(pk)}})


def _json(a: AccountView) -> dict[str, Any]:
    return {
        "id": a.id,
        "username": a.username,
        "name": a.name,
        "kind": a.kind,
        "active": a.active,
        "linked": a.linked,
        "last_login": a.last_login,
        "roles": list(a.roles),
    }


# -------------------------------------------------------------------- for the OpenAPI document
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "format": "int64"},
        "username": {"type": "string"},
        "name": {"type": "string"},
        "kind": {"type": "string", "enum": [*KINDS]},
        "active": {"type": "boolean"},
        "linked": {"type": "boolean"},
        "last_login": {"type": "string", "format": "date-time", "nullable": True},
        "roles": {"type": "array", "items": {"type": "string"}},
        "open_sessions": {"type": "integer"},
    },
}
REASON: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["reason"],
    "properties": {"reason": {"type": "string", "minLength": 1, "maxLength": accountstore.MAX_REASON}},
}
