"""Roles for programs: what the pages of administrators do, through the same functions."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from sqlalchemy import func, select

from portal.kernel.errors import Conflict, Invalid
from portal.kernel.i18n import LANGUAGES, _
from portal.web import rolestore, rows
from portal.web.access import route
from portal.web.describing import MATCH, Schema, one, operation
from portal.web.resource import Endpoints, answer, if_match, object_body
from security.roles import Epoch
from security.visibility import acting, context

MAX_CHANGES = 2000


class RoleEndpoints(Endpoints, at="roles", name="security.Role"):
    """`/api/v1/roles/`: roles by key; If-Match is the count of changes of all roles, which every answer gives as ETag."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """One row."""
        return {cls.resource_name: SCHEMA}

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """Roles, their permissions and their people."""
        base, tag = cls.route_base, [cls.resource_name]
        key: Schema = {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}
        role = one("roles", "string")
        anything = {"type": "object"}
        paths: dict[str, dict[str, Schema]] = {
            f"{base}/": {"get": operation("list_roles", _("Roles and permissions"), tag, anything)},
            f"{base}/permissions": {"get": operation("list_permissions", _("Permissions"), tag, anything)},
            f"{base}/differences": {"get": operation("list_role_differences", _("Differences from the standard"), tag, anything)},
            f"{base}/{{key}}": {
                "get": operation("get_role", _("Role"), tag, role, parameters=[key], errors=(404,)),
                "delete": operation("remove_role", _("Remove this role"), tag, anything, parameters=[key, MATCH], errors=(404, 409, 428)),
            },
        }
        for name, (method, path, properties) in WRITES.items():
            paths.setdefault(f"{base}{path}", {})[method] = operation(
                name,
                _("Role"),
                tag,
                role,
                status="201" if name == "create_role" else "200",
                body={"type": "object", "additionalProperties": False, "properties": properties},
                parameters=[key, MATCH] if method == "put" else [key] if "{key}" in path else [],
                errors=(404, 409, 422, 428),
            )
        return paths

    @route("/")
    def get_list(self) -> Response:
        """All roles."""
        found = [_shown(r) for r in rolestore.all_roles()]
        return _answer({"count": len(found), "ids": [r["key"] for r in found], "result": found})

    @route("/permissions")
    def get_permissions(self) -> Response:
        """Every permission there is, as `verb:view`."""
        return _answer({"result": list(rolestore.permissions())})

    @route("/differences")
    def get_differences(self) -> Response:
        """Where roles of the product differ from how they came."""
        return _answer({"result": rolestore.differences()})

    @route("/<key>")
    def get(self, key: str) -> Response:
        """One role with its permissions and people."""
        return self._one(key)

    @route("/", methods=("POST",), verb="edit")
    def create(self) -> Response:
        """A new role."""
        given = self._given({"key", "label", "description", "scopes"})
        key = given.get("key")
        if not isinstance(key, str):
            raise Invalid({"key": _("This is required.")})
        rolestore.save(key, _texts(given, "label"), _texts(given, "description"), _scopes(given), new=True)
        response = self._one(key, 201)
        response.headers["Location"] = f"{self.route_base}/{key}"
        return response

    @route("/<key>", methods=("PUT",), verb="edit")
    def update(self, key: str) -> Response:
        """Sets label, description and scopes; what is not given stays."""
        found = rolestore.role(key)
        _current()
        given = self._given({"label", "description", "scopes"})
        label = _texts(given, "label") if "label" in given else found.label
        description = _texts(given, "description") if "description" in given else found.description
        rolestore.save(key, label, description, _scopes(given) if "scopes" in given else list(found.scopes), new=False)
        return self._one(key)

    @route("/<key>", methods=("DELETE",), verb="edit")
    def remove(self, key: str) -> Response:
        """Removes a role nobody has."""
        rolestore.role(key)
        _current()
        rolestore.remove(key)
        return answer({"id": key, "removed": True})

    @route("/<key>/permissions", methods=("PUT",), verb="edit")
    def change_permissions(self, key: str) -> Response:
        """`{"permissions": {"view:hr.Employee": true, …}}`: gives and takes; those not named stay."""
        rolestore.role(key)
        _current()
        wanted = self._given({"permissions"}).get("permissions")
        if not isinstance(wanted, dict) or len(wanted) > MAX_CHANGES or not all(isinstance(on, bool) for on in wanted.values()):
            raise Invalid({"permissions": _("Must be an object or a list")})
        rolestore.change_permissions([(key, str(p), on) for p, on in wanted.items()])
        return self._one(key)

    @route("/<key>/people", methods=("POST",), verb="edit")
    def assign(self, key: str) -> Response:
        """`{"user_id": 7, "given": true}`: gives the role to a person, or takes it."""
        rolestore.role(key)
        given = self._given({"user_id", "given"})
        user_id, on = given.get("user_id"), given.get("given", True)
        if type(user_id) is not int or not 0 < user_id < 2**31:
            raise Invalid({"user_id": _("There is no such record.")})
        if not isinstance(on, bool):
            raise Invalid({"given": _("Must be true or false")})
        rolestore.assign(key, user_id, given=on)
        return self._one(key)

    @staticmethod
    def _given(known: set[str]) -> dict[str, Any]:
        given = object_body()
        unknown = {str(k)[:60]: _("There is no such field.") for k in given if k not in known}
        if unknown:
            raise Invalid(unknown)
        return given

    @staticmethod
    def _one(key: str, status: int = 200) -> Response:
        found = rolestore.role(key)
        people = [{"id": p.id, "name": rows.person_name(p.first_name, p.last_name), "username": p.username} for p in rolestore.holders(key)]
        permissions = sorted(rolestore.granted_by_role().get(key, ()))
        return _answer({"id": key, "result": _shown(found) | {"permissions": permissions, "holders": people}}, status)


def _shown(r: rolestore.RoleView) -> dict[str, Any]:
    return {
        "key": r.key,
        "label": r.label,
        "description": r.description,
        "built_in": r.built_in,
        "people": r.people,
        "scopes": list(r.scopes),
    }


def _answer(value: Any, status: int = 200) -> Response:
    response = answer(value, status)
    response.headers["ETag"] = f'"{_revision()}"'
    return response


def _revision() -> int:
    """How often roles and permissions changed so far, this request's change included."""
    if request.method == "GET":
        return context().epoch
    with acting("revision of roles") as s:
        return int(s.execute(select(func.max(Epoch.n))).scalar_one())


def _current() -> None:
    if if_match() != context().epoch:
        raise Conflict(_("Somebody changed roles meanwhile. Load the page again."), version=context().epoch)


def _texts(given: dict[str, Any], name: str) -> dict[str, str]:
    value = given.get(name) or {}
    if (
        not isinstance(value, dict)
        or set(value) - set(LANGUAGES)
        or not all(isinstance(v, str) and "\x00" not in v for v in value.values())
    ):
        raise Invalid({name: _("Must be an object with the texts zh and en")})
    return {k: v.strip()[:500] for k, v in value.items()}


def _scopes(given: dict[str, Any]) -> list[str]:
    value = given.get("scopes") or []
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise Invalid({"scopes": _("Must be a list of texts")})
    return value


# -------------------------------------------------------------------- for the OpenAPI document
_TEXTS = {"type": "object", "properties": {lang: {"type": "string"} for lang in LANGUAGES}, "additionalProperties": False}
_NAMES = {"type": "array", "items": {"type": "string"}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "key": {"type": "string"},
        "label": _TEXTS,
        "description": _TEXTS,
        "built_in": {"type": "boolean", "readOnly": True},
        "people": {"type": "integer", "readOnly": True},
        "scopes": _NAMES,
        "permissions": _NAMES,
        "holders": {"type": "array", "items": {"type": "object"}, "readOnly": True},
    },
}
WRITES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create_role": ("post", "/", {"key": {"type": "string"}, "label": _TEXTS, "description": _TEXTS, "scopes": _NAMES}),
    "update_role": ("put", "/{key}", {"label": _TEXTS, "description": _TEXTS, "scopes": _NAMES}),
    "change_role_permissions": (
        "put",
        "/{key}/permissions",
        {"permissions": {"type": "object", "additionalProperties": {"type": "boolean"}}},
    ),
    "assign_role": ("post", "/{key}/people", {"user_id": {"type": "integer"}, "given": {"type": "boolean"}}),
}
