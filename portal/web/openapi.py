"""OpenAPI 3.0 document of the REST API, written from the same declarations that check the requests."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response

from portal import __version__
from portal.kernel.errors import Invalid
from portal.kernel.i18n import LANGUAGES, _
from portal.web import filters, paging, preferences, registry
from portal.web.access import signed_in
from portal.web.describing import MATCH, PK, Schema, json_content, listed, one, operation, query
from portal.web.fields import fields_of
from portal.web.resource import API, Resource, answer, object_body
from security.manager import allowed, granted
from security.reads import secrets
from security.transitions import Action, Argument, actions_of

blueprint = Blueprint("rest", __name__, url_prefix=API)

_ARGUMENT: dict[str, Schema] = {
    "text": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "integer": {"type": "integer"},
    "person": {"type": "integer", "format": "int64"},
    "decimal": {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"},
}


@blueprint.get("/_openapi")
def document_answer() -> Response:
    """The document."""
    signed_in()
    return answer(document())


@blueprint.get("/me")
def me() -> Response:
    """Who is calling, and what their roles include."""
    ctx = signed_in()
    permissions: dict[str, list[str]] = {}
    for verb, view in sorted(granted()):
        permissions.setdefault(view, []).append(verb)
    return answer(
        {
            "id": ctx.me,
            "username": ctx.username,
            "name": ctx.name,
            "locale": ctx.locale,
            "theme": ctx.theme,
            "entity_id": ctx.entity_id,
            "roles": sorted(ctx.roles),
            "scopes": sorted(ctx.scopes),
            "permissions": permissions,
        }
    )


@blueprint.patch("/me")
def change_me() -> Response:
    """Sets the caller's own language or theme."""
    signed_in()
    given = object_body()
    choices = {"locale": tuple(LANGUAGES), "theme": preferences.THEMES}
    wrong = {str(k)[:60]: _("There is no such field.") for k in given if k not in choices}
    wrong |= {k: _("Is not one of the choices") for k, known in choices.items() if k in given and given[k] not in known}
    if wrong:
        raise Invalid(wrong)
    for name, value in given.items():
        preferences.keep(name, value)
    return answer(given)


def document() -> Schema:
    """The whole API, without resources of sensitive data the caller may not use."""
    own = {
        "type": "object",
        "properties": {"locale": {"enum": [*LANGUAGES]}, "theme": {"enum": [*preferences.THEMES]}},
        "additionalProperties": False,
    }
    paths: Schema = {
        f"{API}/me": {
            "get": operation("me", _("Who is calling"), ["portal"], {"type": "object"}),
            "patch": operation("change_me", _("Who is calling"), ["portal"], {"type": "object"}, body=own, errors=(422,)),
        }
    }
    schemas: Schema = {"Error": _error()}
    for _name, r in sorted(registry.resources.items()):
        if r.model.__tablename__ in secrets() and not allowed("view", r.permission()):
            continue  # nor how sensitive columns are called, for whom they are not there
        paths |= _paths(r, schemas)
        for address, described in r.described().items():
            paths[address] = {**paths.get(address, {}), **described}
    for endpoints in registry.endpoints.values():
        schemas |= endpoints.schemas()
        paths |= endpoints.described()
    return {
        "openapi": "3.0.3",
        "info": {"title": "Shuniu", "version": __version__, "description": _intro()},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "shuniu"},
            },
            "responses": {
                "Error": {
                    "description": _("What is wrong, where, and what to do"),
                    "content": json_content({"$ref": "#/components/schemas/Error"}),
                }
            },
        },
        "security": [{"bearer": []}, {"cookie": []}],
    }


def _intro() -> Any:
    return _(
        "q is rison (or JSON): columns, filters [{col, opr, value}], order_column, order_direction, page, page_size (at most %(n)s), after,"
        " search."
        " Changes need If-Match with the version read; calls with a cookie need X-CSRFToken.",
        n=paging.MAX_SIZE,
    )


def _error() -> Schema:
    return {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "fields"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "fields": {"type": "object", "additionalProperties": True},
                },
            }
        },
    }


def _paths(r: type[Resource], schemas: Schema) -> Schema:
    name, base, tag = r.resource_name, f"{API}/{r.resource_name}", [r.resource_name]
    label = str(r.model.__label__ or r.model.__name__)
    schemas[name] = {"type": "object", "title": label, "properties": _properties(r)}
    record = one(name)
    found = listed(name, capped=True)
    found["properties"]["previous"] = found["properties"]["next"]
    q = query("q", description=_filters(r))
    collection: Schema = {"get": operation(f"list_{name}", _("List: %(what)s", what=label), tag, found, parameters=[q], errors=(400,))}
    item: Schema = {"get": operation(f"get_{name}", _("Read: %(what)s", what=label), tag, record, parameters=[PK], errors=(404,))}
    if "add" in r.verbs:
        collection["post"] = operation(
            f"create_{name}",
            _("New: %(what)s", what=label),
            tag,
            record,
            status="201",
            body=_input(r, r.addable(), partial=False),
            errors=(400, 409, 422),
        )
    if "edit" in r.verbs:
        item["put"] = operation(
            f"update_{name}",
            _("Edit %(what)s", what=label),
            tag,
            record,
            body=_input(r, r.editable(), partial=True),
            parameters=[PK, MATCH],
            errors=(400, 404, 409, 422, 428),
        )
    if "archive" in r.verbs:
        item["delete"] = operation(
            f"archive_{name}", _("Archive: %(what)s", what=label), tag, {"type": "object"}, parameters=[PK, MATCH], errors=(404, 409, 428)
        )
    paths: Schema = {f"{base}/": collection, f"{base}/{{pk}}": item}
    for a in actions_of(r.model):
        kebab = a.name.replace("_", "-")
        paths[f"{base}/{{pk}}/{kebab}"] = {
            "post": operation(
                f"{name}_{a.name}", str(a.label), tag, record, body=_arguments(a), parameters=[PK, MATCH], errors=(404, 409, 422, 428)
            )
        }
        if a.bulk:
            many = {
                "type": "object",
                "required": ["ids"],
                "properties": {"ids": {"type": "array", "items": {"type": "integer"}}, "arguments": _arguments(a)},
            }
            paths[f"{base}/actions/{kebab}"] = {
                "post": operation(f"{name}_{a.name}_many", str(a.label), tag, {"type": "object"}, body=many, errors=(400, 422))
            }
    return paths


def _properties(r: type[Resource]) -> Schema:
    out: Schema = {}
    for name, f in r.json_fields().items():
        out[name] = f.schema() | ({"readOnly": True} if name not in r.addable() and name not in r.editable() else {})
        if f.target is not None:
            out[f.attribute] = {"type": "string", "nullable": True, "readOnly": True, "title": str(f.label)}
    for name, c in r.computed.items():
        out[name] = {"readOnly": True, "nullable": True, "title": str(c.label)}
    return out


def _input(r: type[Resource], names: Sequence[str], *, partial: bool) -> Schema:
    fields = fields_of(r.model)
    required = [n for n in names if fields[n].required] if not partial else []
    out: Schema = {"type": "object", "additionalProperties": False, "properties": {n: fields[n].schema() for n in names}}
    return out | ({"required": required} if required else {})


def _arguments(a: Action) -> Schema:
    def typed(x: Argument) -> Schema:
        return _ARGUMENT.get(x.kind, {"type": "string"}) | {"title": str(x.label)}

    required = [k for k, x in a.arguments.items() if x.required]
    out: Schema = {"type": "object", "additionalProperties": False, "properties": {k: typed(x) for k, x in a.arguments.items()}}
    return out | ({"required": required} if required else {})


def _filters(r: type[Resource]) -> str:
    fields = fields_of(r.model)
    return "filters: " + "; ".join(f"{n} ({', '.join(filters.BY_KIND[fields[n].kind])})" for n in r.filterable())
