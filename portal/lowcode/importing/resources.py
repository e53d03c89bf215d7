"""Imports over REST: send a file, read how it stands and what it does with each row, have it stored or stop it."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from sqlalchemy import select

from portal.kernel.db import session
from portal.kernel.errors import BadRequest, Invalid
from portal.kernel.i18n import _, listed
from portal.lowcode.importing.actions import upload
from portal.lowcode.importing.declared import importers
from portal.lowcode.importing.models import ImportRow, ImportRun
from portal.lowcode.importing.pages import sent
from portal.web.access import route
from portal.web.resource import Resource, answer, visible

PAGE = 500


class ImportResource(Resource, model=ImportRun):
    """Imports; POST takes a multipart form with `importer` and `file`. `commit` stores what was checked, `cancel` stops it."""

    resource_name = "imports"
    verbs = ("view",)
    order = ("id", "desc")

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Any]]:
        """Sending a file, and the rows."""
        form = {"importer": {"type": "string", "enum": sorted(importers)}, "file": {"type": "string", "format": "binary"}}
        body = {"type": "object", "required": sorted(form), "properties": form}
        refused = {str(code): {"$ref": "#/components/responses/Error"} for code in (400, 401, 403, 409, 422, 429)}
        queries = [
            {"name": "outcome", "in": "query", "schema": {"type": "string", "enum": [*ImportRow.OUTCOMES]}},
            {"name": "after", "in": "query", "schema": {"type": "integer"}},
        ]
        pk = {"name": "pk", "in": "path", "required": True, "schema": {"type": "integer", "format": "int64"}}
        return {
            f"{cls.route_base}/": {
                "post": {
                    "operationId": "send_import",
                    "summary": _("Send the file"),
                    "parameters": [],
                    "tags": [cls.resource_name],
                    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}},
                    "responses": {"201": {"description": "OK"}, **refused},
                }
            },
            f"{cls.route_base}/{{pk}}/rows": {
                "get": {
                    "operationId": "rows_of_import",
                    "summary": _("Imported rows"),
                    "tags": [cls.resource_name],
                    "parameters": [pk, *queries],
                    "responses": {"200": {"description": "OK"}, "404": {"$ref": "#/components/responses/Error"}, **refused},
                }
            },
        }

    @route("/", methods=("POST",))
    def send(self) -> Response:
        """Takes a file in: 201 with the import, which is checked from now on."""
        importer = importers.get(request.form.get("importer", ""))
        if importer is None:
            raise Invalid({"importer": _("Is not one of the choices: %(choices)s", choices=listed(importers))})
        return self.made(upload(importer, *sent()))

    @route("/<int:pk>/rows")
    def rows(self, pk: int) -> Response:
        """What the import does with each row, by sheet and row; `?outcome=` error, create, change, same; `?after=` an id to go on from."""
        visible(ImportRun, pk)
        outcome, after = request.args.get("outcome", ""), request.args.get("after", "0")
        if outcome and outcome not in ImportRow.OUTCOMES:
            raise BadRequest(_("Unknown outcome."), code="unknown_parameter")
        if not after.isdecimal() or len(after) > 18:
            raise BadRequest(_("Must be a whole number"), code="unknown_parameter")
        found = select(ImportRow).where(ImportRow.run_id == pk, ImportRow.id > int(after)).order_by(ImportRow.id).limit(PAGE)
        if outcome:
            found = found.where(ImportRow.outcome == outcome)
        got = session().scalars(found).all()
        return answer({"result": [_plain(r) for r in got], "next": got[-1].id if len(got) == PAGE else None})


def _plain(row: ImportRow) -> dict[str, Any]:
    names = ("sheet", "row", "key", "outcome", "changes", "problems", "record_id")
    return {n: getattr(row, n) for n in names}
