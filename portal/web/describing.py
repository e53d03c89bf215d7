"""Parts of the OpenAPI document, for resources and endpoints to describe their operations with."""

from collections.abc import Sequence
from typing import Any

Schema = dict[str, Any]

PK: Schema = {"name": "pk", "in": "path", "required": True, "schema": {"type": "integer", "format": "int64"}}
MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "ETag of the version read",
}


def json_content(schema: Schema) -> Schema:
    """A body or an answer in JSON."""
    return {"application/json": {"schema": schema}}


def operation(
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
    """One method of one address; *errors* beside 400 for what cannot be read at all, 401 and 403."""
    out: Schema = {
        "operationId": name.replace("-", "_"),
        "summary": summary,
        "tags": list(tags),
        "parameters": list(parameters),
        "responses": {status: {"description": "OK", **({"content": json_content(result)} if result else {})}},
    }
    for code in sorted({400, 401, 403, *errors}):
        out["responses"][str(code)] = {"$ref": "#/components/responses/Error"}
    if body is not None:
        out["requestBody"] = {"required": True, "content": json_content(body)}
    return out


def query(name: str, schema: Schema | None = None, *, required: bool = False, description: str = "") -> Schema:
    """A parameter behind the question mark; a text unless *schema* says otherwise."""
    told = {"description": description} if description else {}
    return {"name": name, "in": "query", "required": required, "schema": schema or {"type": "string"}, **told}


def ref(name: str) -> Schema:
    """The schema of that name in the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def one(name: str, key: str = "integer") -> Schema:
    """The answer with one record."""
    return {"type": "object", "properties": {"id": {"type": key}, "result": ref(name)}}


def listed(name: str, after: str = "string", *, capped: bool = False) -> Schema:
    """The answer with a list whose `next` goes into `after`; *capped*: it does not count beyond a limit."""
    return {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            **({"count_capped": {"type": "boolean"}} if capped else {}),
            "ids": {"type": "array", "items": {"type": "integer"}},
            "result": {"type": "array", "items": ref(name)},
            "next": {"type": after, "nullable": True},
        },
    }
