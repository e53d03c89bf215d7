"""OpenAPI 3.0 document of the REST API, written from the same declarations that check the requests."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response

from portal import __version__
from portal.kernel.errors import Invalid
from portal.kernel.i18n import LANGUAGES, _
from portal.web import (
    accounts,
    auditlog,
    comparing,
    filters,
    handover,
    paging,
    preferences,
    registry,
    rolesapi,
    sensitivereads,
    sessions,
    whoseesapi,
)
from portal.web.access import signed_in
from portal.web.fields import fields_of
from portal.web.resource import API, Resource, answer, object_body
from security.manager import allowed, granted
from security.reads import secrets
from security.transitions import Action, Argument, actions_of

blueprint = Blueprint("rest", __name__, url_prefix=API)

Schema = dict[str, Any]
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
            "get": _operation("me", _("Who is calling"), ["portal"], {"type": "object"}),
            "patch": _operation("change_me", _("Who is calling"), ["portal"], {"type": "object"}, body=own, errors=(422,)),
        }
    }
    schemas: Schema = {"Error": _error()}
    for _name, r in sorted(registry.resources.items()):
        if r.model.__tablename__ in secrets() and not allowed("view", r.permission()):
            continue  # nor how sensitive columns are called, for whom they are not there
        paths |= _paths(r, schemas)
        for address, described in r.described().items():
            paths[address] = {**paths.get(address, {}), **described}
    asked_for = _operation(
        "compare_accounts", _("Compare"), ["account-comparisons"], comparing.ASKED_FOR, status="202", body=comparing.BODY, errors=(422,)
    )
    paths[f"{API}/account-comparisons/"]["post"] = asked_for
    paths |= _roles(schemas)
    paths |= _visibility(schemas)
    paths |= _audit_log(schemas)
    paths |= _sensitive_reads(schemas)
    paths |= _sessions(schemas)
    paths |= _accounts(schemas)
    paths |= _handovers(schemas)
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
                    "content": _json({"$ref": "#/components/schemas/Error"}),
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


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _operation(
    name: str,
    summary: str,
    tags: Sequence[str],
    result: Schema | None,
    *,
    status: str = "200",
    body: Schema | None = None,
    parameters: Sequence[Schema] = (),
    errors: Sequence[int] = (),
) -> Schema:
    out: Schema = {
        "operationId": name.replace("-", "_"),
        "summary": summary,
        "tags": list(tags),
        "parameters": list(parameters),
        "responses": {status: {"description": "OK", **({"content": _json(result)} if result else {})}},
    }
    for code in (401, 403, *errors):
        out["responses"][str(code)] = {"$ref": "#/components/responses/Error"}
    if body is not None:
        out["requestBody"] = {"required": True, "content": _json(body)}
    return out


_PK: Schema = {"name": "pk", "in": "path", "required": True, "schema": {"type": "integer", "format": "int64"}}
_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "ETag of the version read",
}


def _paths(r: type[Resource], schemas: Schema) -> Schema:
    name, base, tag = r.resource_name, f"{API}/{r.resource_name}", [r.resource_name]
    label = str(r.model.__label__ or r.model.__name__)
    schemas[name] = {"type": "object", "title": label, "properties": _properties(r)}
    record = {"type": "object", "properties": {"id": {"type": "integer"}, "result": {"$ref": f"#/components/schemas/{name}"}}}
    listed = {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            "count_capped": {"type": "boolean"},
            "ids": {"type": "array", "items": {"type": "integer"}},
            "result": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            "next": {"type": "string", "nullable": True},
            "previous": {"type": "string", "nullable": True},
        },
    }
    q = {"name": "q", "in": "query", "required": False, "schema": {"type": "string"}, "description": _filters(r)}
    collection: Schema = {"get": _operation(f"list_{name}", _("List: %(what)s", what=label), tag, listed, parameters=[q], errors=(400,))}
    item: Schema = {"get": _operation(f"get_{name}", _("Read: %(what)s", what=label), tag, record, parameters=[_PK], errors=(404,))}
    if "add" in r.verbs:
        collection["post"] = _operation(
            f"create_{name}",
            _("New: %(what)s", what=label),
            tag,
            record,
            status="201",
            body=_input(r, r.addable(), partial=False),
            errors=(400, 409, 422),
        )
    if "edit" in r.verbs:
        item["put"] = _operation(
            f"update_{name}",
            _("Edit %(what)s", what=label),
            tag,
            record,
            body=_input(r, r.editable(), partial=True),
            parameters=[_PK, _MATCH],
            errors=(400, 404, 409, 422, 428),
        )
    if "archive" in r.verbs:
        item["delete"] = _operation(
            f"archive_{name}", _("Archive: %(what)s", what=label), tag, {"type": "object"}, parameters=[_PK, _MATCH], errors=(404, 409, 428)
        )
    paths: Schema = {f"{base}/": collection, f"{base}/{{pk}}": item}
    for a in actions_of(r.model):
        kebab = a.name.replace("_", "-")
        paths[f"{base}/{{pk}}/{kebab}"] = {
            "post": _operation(
                f"{name}_{a.name}", str(a.label), tag, record, body=_arguments(a), parameters=[_PK, _MATCH], errors=(404, 409, 422, 428)
            )
        }
        if a.bulk:
            many = {
                "type": "object",
                "required": ["ids"],
                "properties": {"ids": {"type": "array", "items": {"type": "integer"}}, "arguments": _arguments(a)},
            }
            paths[f"{base}/actions/{kebab}"] = {
                "post": _operation(f"{name}_{a.name}_many", str(a.label), tag, {"type": "object"}, body=many, errors=(400, 422))
            }
    return paths


def _roles(schemas: Schema) -> Schema:
    base, tag = f"{API}/roles", ["roles"]
    key: Schema = {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}
    schemas["roles"] = rolesapi.SCHEMA
    one = {"type": "object", "properties": {"id": {"type": "string"}, "result": {"$ref": "#/components/schemas/roles"}}}
    paths: Schema = {
        f"{base}/": {"get": _operation("list_roles", _("Roles and permissions"), tag, {"type": "object"})},
        f"{base}/permissions": {"get": _operation("list_permissions", _("Permissions"), tag, {"type": "object"})},
        f"{base}/differences": {"get": _operation("list_role_differences", _("Differences from the standard"), tag, {"type": "object"})},
        f"{base}/{{key}}": {
            "get": _operation("get_role", _("Role"), tag, one, parameters=[key], errors=(404,)),
            "delete": _operation(
                "remove_role", _("Remove this role"), tag, {"type": "object"}, parameters=[key, _MATCH], errors=(404, 409, 428)
            ),
        },
    }
    for name, (method, path, properties) in rolesapi.WRITES.items():
        body = {"type": "object", "additionalProperties": False, "properties": properties}
        parameters = [key, _MATCH] if method == "put" else [key] if "{key}" in path else []
        status = "201" if name == "create_role" else "200"
        operation = _operation(name, _("Role"), tag, one, status=status, body=body, parameters=parameters, errors=(404, 409, 422, 428))
        paths.setdefault(f"{base}{path}", {})[method] = operation
    return paths


def _sessions(schemas: Schema) -> Schema:
    base, tag = f"{API}/sessions", ["sessions"]
    schemas["sessions"] = sessions.SCHEMA
    listed = {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            "ids": {"type": "array", "items": {"type": "integer"}},
            "result": {"type": "array", "items": {"$ref": "#/components/schemas/sessions"}},
            "next": {"type": "integer", "nullable": True},
        },
    }
    asked = [{"name": n, "in": "query", "required": False, "schema": {"type": "integer", "format": "int64"}} for n in ("user_id", "after")]
    return {
        f"{base}/": {"get": _operation("list_sessions", _("Open sessions"), tag, listed, parameters=asked, errors=(400,))},
        f"{base}/{{pk}}/end": {
            "post": _operation("end_session", _("End session"), tag, {"type": "object"}, parameters=[_PK], errors=(404,))
        },
        f"{base}/actions/end": {
            "post": _operation("end_sessions", _("End session"), tag, {"type": "object"}, body=sessions.MANY, errors=(404, 422))
        },
        f"{base}/actions/demand-password": {
            "post": _operation("demand_password", _("Demand a new password"), tag, {"type": "object"}, body=sessions.ONE, errors=(409, 422))
        },
    }


def _accounts(schemas: Schema) -> Schema:
    base, tag = f"{API}/accounts", ["accounts"]
    schemas["accounts"] = accounts.SCHEMA
    ref = {"$ref": "#/components/schemas/accounts"}
    one = {"type": "object", "properties": {"id": {"type": "integer"}, "result": ref}}
    listed = {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            "ids": {"type": "array", "items": {"type": "integer"}},
            "result": {"type": "array", "items": ref},
            "next": {"type": "string", "nullable": True},
        },
    }
    asked = [{"name": n, "in": "query", "required": False, "schema": {"type": "string"}} for n in accounts.ASKED]
    switches = {"switch-off": ("switch_account_off", _("Switch off")), "switch-on": ("switch_account_on", _("Switch on"))}
    return {
        f"{base}/": {"get": _operation("list_accounts", _("Accounts"), tag, listed, parameters=asked, errors=(400,))},
        f"{base}/{{pk}}": {"get": _operation("get_account", _("Accounts"), tag, one, parameters=[_PK], errors=(404,))},
    } | {
        f"{base}/{{pk}}/{path}": {
            "post": _operation(name, summary, tag, one, parameters=[_PK], body=accounts.REASON, errors=(404, 409, 422))
        }
        for path, (name, summary) in switches.items()
    }


def _handovers(schemas: Schema) -> Schema:
    schemas["handovers"] = handover.SCHEMA
    shown = {"$ref": "#/components/schemas/handovers"}
    day = {"name": "day", "in": "query", "required": False, "schema": {"type": "string", "format": "date"}}
    tag, words = ["handovers"], _("Hand over work")
    return {
        f"{API}/handovers/{{pk}}": {
            "get": _operation("get_handover", words, tag, shown, parameters=[_PK, day], errors=(404,)),
            "post": _operation(
                "run_handover", words, tag, {"type": "object"}, parameters=[_PK], body=handover.BODY, errors=(404, 409, 422)
            ),
        }
    }


def _visibility(schemas: Schema) -> Schema:
    schemas |= whoseesapi.SCHEMAS
    return {
        f"{API}/visibility{path}": {"get": _operation(name, str(summary), ["visibility"], result, parameters=parameters, errors=(404, 422))}
        for name, (path, summary, parameters, result) in whoseesapi.READS.items()
    }


def _sensitive_reads(schemas: Schema) -> Schema:
    schemas["sensitive-reads"] = sensitivereads.SCHEMA
    listed = _listed_of("sensitive-reads")
    return {
        f"{API}/sensitive-reads{path}": {"get": _operation(name, str(words), ["sensitive-reads"], listed, parameters=[q], errors=(400,))}
        for name, (path, words, q) in sensitivereads.READS_OF.items()
    }


def _listed_of(name: str) -> Schema:
    """The answer of a list of the trail."""
    ref = {"$ref": f"#/components/schemas/{name}"}
    return {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            "count_capped": {"type": "boolean"},
            "ids": {"type": "array", "items": {"type": "integer"}},
            "result": {"type": "array", "items": ref},
            "next": {"type": "string", "nullable": True},
        },
    }


def _audit_log(schemas: Schema) -> Schema:
    base, tag = f"{API}/audit-log", ["audit-log"]
    schemas["audit-log"] = auditlog.SCHEMA
    one = {"type": "object", "properties": {"id": {"type": "integer"}, "result": {"$ref": "#/components/schemas/audit-log"}}}
    listed = _listed_of("audit-log")
    possible = "; ".join(f"{column} ({operator})" for column, operator in auditlog.FILTERS)
    q = {
        "name": "q",
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": f"filters: {possible}; page_size; after",
    }
    return {
        f"{base}/": {"get": _operation("list_audit_log", _("Audit log"), tag, listed, parameters=[q], errors=(400,))},
        f"{base}/{{pk}}": {"get": _operation("get_audit_log", _("Audit log"), tag, one, parameters=[_PK], errors=(404,))},
        f"{base}/verification": {"get": _operation("get_audit_verification", _("How the seal stands"), tag, {"type": "object"})},
        f"{base}/verify": {"post": _operation("verify_audit_log", _("Verify now"), tag, {"type": "object"}, status="202")},
    }


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
    def one(x: Argument) -> Schema:
        return _ARGUMENT.get(x.kind, {"type": "string"}) | {"title": str(x.label)}

    required = [k for k, x in a.arguments.items() if x.required]
    out: Schema = {"type": "object", "additionalProperties": False, "properties": {k: one(x) for k, x in a.arguments.items()}}
    return out | ({"required": required} if required else {})


def _filters(r: type[Resource]) -> str:
    fields = fields_of(r.model)
    return "filters: " + "; ".join(f"{n} ({', '.join(filters.BY_KIND[fields[n].kind])})" for n in r.filterable())
