"""REST over one model: list, read, create, change, archive, actions, export. The rules are those of the pages."""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, NoReturn

import orjson
from flask import Response, request
from flask_appbuilder.api import BaseApi

from portal.kernel.errors import BadRequest, Invalid, PreconditionRequired
from portal.kernel.i18n import _
from portal.web import exporting, forms, history, printing, query, records, registry, rows
from portal.web.access import require, route
from portal.web.declared import Declared
from portal.web.fields import Field, fields_of
from portal.web.query import Query
from security.transitions import Action, action_of, available, perform, perform_many

MAX_BULK = 200
API = "/api/v1"


class Api(BaseApi):  # type: ignore[misc]
    """What all of REST has in common."""

    csrf_exempt: ClassVar[bool] = False
    """Cookie callers need X-CSRFToken like every page (FAB would exempt them)."""
    allow_browser_login = True


class Endpoints(Api):
    """REST that is no list of one model: `class SessionEndpoints(Endpoints, at="sessions", name="security.Session")`.

    *at* is the address behind `/api/v1/`; its routes ask for permissions on *name*, as those of a `Page` of that name do.
    """

    def __init_subclass__(cls, *, at: str, name: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.resource_name, cls.route_base = at, f"{API}/{at}"
        cls.class_permission_name = cls.previous_class_permission_name = name
        registry.endpoints[at] = cls

    @classmethod
    def schemas(cls) -> Mapping[str, Any]:
        """What its operations refer to by name in the OpenAPI document."""
        raise NotImplementedError

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Any]]:
        """Address → method → operation, for the OpenAPI document."""
        raise NotImplementedError


class Resource(Declared, Api):
    """`class ReportLines(Resource, model=ReportLine): resource_name = "daily-report-lines"`."""

    resource_name: ClassVar[str] = ""

    def __init_subclass__(cls, model: type[Any] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if model is None:
            return
        cls.model = model
        if not cls.resource_name:
            raise TypeError(f"{cls.__name__} declares no resource_name")
        cls.route_base = f"{API}/{cls.resource_name}"
        registry.resources[cls.resource_name] = cls

    def __init__(self) -> None:
        self.class_permission_name = self.permission()
        self.previous_class_permission_name = self.class_permission_name
        super().__init__()
        self.base_permissions = self.all_permissions()
        self.exclude_route_methods = {
            name
            for name, verb in (("create", "add"), ("update", "edit"), ("remove", "archive"), ("restore", "archive"), ("export", "export"))
            if verb not in self.verbs
        }
        screen = registry.screens.get(self.model)
        if screen is None or not screen.has_record_page:
            self.exclude_route_methods.add("get_printed")

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Any]]:
        """Addresses beyond the usual ones for the OpenAPI document, with their operations; to be overridden."""
        return {}

    # ---------------------------------------------------------------- reading
    @classmethod
    def names(cls) -> list[str]:
        """Every column REST shows, references as id and text."""
        out = []
        for name, f in cls.json_fields().items():
            out.append(name)
            if f.target is not None:
                out.append(f.attribute)
        return [*out, *cls.computed]

    @classmethod
    def json_fields(cls) -> Mapping[str, Field]:
        """The columns REST shows."""
        return {n: f for n, f in fields_of(cls.model).items() if n not in ("custom", "archived_at")}

    def condition(self, entity: Any) -> Sequence[Any]:
        """Further conditions of every list of this resource; to be overridden."""
        return ()

    def asked(self) -> Query:
        """The list asked for in `q`. Raises BadRequest."""
        unknown = set(request.args) - {"q", "archived"}
        if unknown:
            raise BadRequest(
                _("Unknown parameters: %(names)s. Filters, order and page belong into q.", names=", ".join(sorted(unknown))[:200]),
                code="unknown_parameter",
            )
        q = query.from_rest(
            self.model,
            request.args.get("q", ""),
            filterable=self.filterable(),
            search=self.searched(),
            order=self.ordered(),
            columns=self.names(),
            default_columns=self.names(),
        )
        q.archived = request.args.get("archived") == "1"
        return q

    @route("/")
    def get_list(self) -> Response:
        """Visible records: ids, rows and the count, capped."""
        q = self.asked()
        page = q.page(self.condition)
        body = {
            "count": page.count,
            "count_capped": page.capped,
            "ids": page.ids,
            "result": self.json_rows(page.ids, q.columns, archived=q.archived),
            "next": page.next,
            "previous": page.prev,
        }
        return answer(body)

    def json_rows(self, ids: Sequence[int], columns: Sequence[str], *, archived: bool = False) -> list[dict[str, Any]]:
        """The records *ids* with *columns*, as JSON values."""
        fields = self.json_fields()
        texts = {f.attribute: n for n, f in fields.items() if f.target is not None}
        stored = list(dict.fromkeys([n for n in columns if n in fields] + [texts[n] for n in columns if n in texts and n not in fields]))
        found = self.read([*stored, *(n for n in columns if n in self.computed)], ids, archived=archived)
        return [self._json_row(r, columns, fields, texts) for r in found]

    def _json_row(self, row: rows.Row, columns: Sequence[str], fields: Mapping[str, Field], texts: Mapping[str, str]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name in columns:
            if name in fields:
                out[name] = fields[name].to_json(row.values[name])
            elif name in self.computed:
                out[name] = computed_json(row.values.get(name))
            else:
                out[name] = row.labels.get(texts[name])
        return out

    def one(self, pk: int, status: int = 200) -> Response:
        """Record *pk* with its ETag. Raises NotFound."""
        chosen = (
            query.chosen(query.load(request.args.get("q", "")).get("columns"), self.names(), self.names())
            if request.method == "GET"
            else self.names()
        )
        found = self.json_rows([pk], list(dict.fromkeys([*chosen, "version"])))
        if not found:
            raise records.not_found()
        version = found[0]["version"]
        if request.method == "GET" and request.headers.get("If-None-Match") == f'"{version}"':
            response = Response(status=304)
        else:
            response = answer({"id": pk, "result": found[0]}, status)
        response.headers["ETag"] = f'"{version}"'
        return response

    def made(self, pk: int) -> Response:
        """201 with the new record *pk* and its address."""
        response = self.one(pk, 201)
        response.headers["Location"] = f"{self.route_base}/{pk}"
        return response

    @route("/<int:pk>")
    def get(self, pk: int) -> Response:
        """One record."""
        return self.one(pk)

    @route("/<int:pk>/history")
    def get_history(self, pk: int) -> Response:
        """Its changes, newest first."""
        record, _may = records.get(self.model, pk)
        before = request.args.get("before", type=int)
        return answer({"id": pk, "result": history.as_json(record, before)})

    @route("/<int:pk>/print.pdf")
    def get_printed(self, pk: int) -> Response:
        """It on paper, as its page prints it."""
        return printing.respond(registry.screens[self.model](), pk)

    @route("/<int:pk>/actions")
    def get_actions(self, pk: int) -> Response:
        """What the caller may do with it, and why not now."""
        record, _may = records.get(self.model, pk)
        return answer(
            {
                "id": pk,
                "result": [
                    {"name": a.name.replace("_", "-"), "label": str(a.label), "allowed": ok, "reason": why}
                    for a, ok, why in available(record)
                ],
            }
        )

    @route("/export.<kind>", verb="export")
    def export(self, kind: str) -> Response:
        """The list as a file."""
        q = self.asked()
        return exporting.respond(
            type(self),
            [n for n in q.columns if n in self.json_fields() or n in self.computed],
            q,
            kind,
            self.resource_name,
            self.condition,
        )

    # ---------------------------------------------------------------- changing
    @route("/", methods=("POST",), verb="add")
    def create(self) -> Response:
        """A new record: 201 with it and its address."""
        values = forms.parse_json(self.model, self.addable(), body(), partial=False)
        return self.made(self.perform_create(values))

    @route("/<int:pk>", methods=("PUT", "PATCH"), verb="edit")
    def update(self, pk: int) -> Response:
        """Sets the given fields; If-Match names the version this is based on."""
        visible(self.model, pk)
        version = if_match()
        values = forms.parse_json(self.model, self.editable(), body(), partial=True)
        self.perform_update(pk, values, version)
        return self.one(pk)

    @route("/<int:pk>", methods=("DELETE",), verb="archive")
    def remove(self, pk: int) -> Response:
        """Archives: nothing is destroyed."""
        visible(self.model, pk)
        records.archive(self.model, pk, if_match())
        return answer({"id": pk, "archived": True})

    @route("/<int:pk>/restore", methods=("POST",), verb="archive")
    def restore(self, pk: int) -> Response:
        """Takes an archived record back."""
        records.restore(self.model, pk, if_match())
        return self.one(pk)

    def perform_create(self, values: Mapping[str, Any]) -> int:
        """Stores a new record and returns its id; to be overridden where an action does it."""
        return int(records.create(self.model, values).id)

    def perform_update(self, pk: int, values: Mapping[str, Any], version: int) -> None:
        """Stores a change; to be overridden where an action does it."""
        records.change(self.model, pk, values, version)

    # ---------------------------------------------------------------- actions
    @route("/<int:pk>/<action>", methods=("POST",))
    def act(self, pk: int, action: str) -> Response:
        """Does a declared action; the body holds its arguments."""
        known = self._action(action)
        visible(self.model, pk)
        require(*known.permission)
        perform(self.model, known.name, pk, if_match(), object_body())
        return self.one(pk) if self._still_visible(pk) else answer({"id": pk, "result": None})

    def _still_visible(self, pk: int) -> bool:
        # handing over may take the record out of the caller's sight
        return bool(rows.read(self.model, ["id"], [pk]))

    @route("/actions/<action>", methods=("POST",))
    def act_many(self, action: str) -> Response:
        """Does an action to several records: {"ids": […], "arguments": {…}}; says for each what became of it."""
        known = self._action(action)
        if not known.bulk:
            raise BadRequest(_("This action is for one record at a time."), code="not_bulk")
        require(*known.permission)
        given = object_body()
        ids = given.get("ids")
        if (
            set(given) - {"ids", "arguments"}
            or not isinstance(ids, list)
            or not all(type(i) is int for i in ids)
            or not 0 < len(ids) <= MAX_BULK
        ):
            raise Invalid({"ids": _("A list of up to %(n)s ids is needed.", n=MAX_BULK)})
        arguments = given.get("arguments") or {}
        if not isinstance(arguments, dict):
            raise Invalid({"arguments": _("Must be an object or a list")})
        done, failed = perform_many(self.model, known.name, list(dict.fromkeys(ids)), arguments)
        refused = {str(pk): {"code": e.code, "message": str(e), "fields": jsonable(e.fields)} for pk, e in failed.items()}
        return answer({"done": done, "refused": refused})

    def _action(self, name: str) -> Action:
        return action_of(self.model, name)


# -------------------------------------------------------------------- requests and answers
def visible(model: type[Any], pk: int) -> None:
    """Whoever does not see the record learns nothing else about the request. Raises NotFound."""
    if not rows.read(model, ["id"], [pk]):
        raise records.not_found()


def if_match() -> int:
    """The version in If-Match. Raises PreconditionRequired when it is missing, BadRequest when it is none."""
    given = request.headers.get("If-Match", "").strip()
    if not given or given == "*":
        raise PreconditionRequired(_("Send If-Match with the version you have read (its ETag)."))
    found = re.fullmatch(r'(?:W/)?"?(\d{1,9})"?', given)
    if not found:
        raise BadRequest(_("If-Match is not a version."), code="bad_if_match")
    return int(found[1])


def body() -> Any:
    """The JSON body, decimals exact. Raises BadRequest."""
    raw = request.get_data(cache=True)
    try:
        return json.loads(raw or b"null", parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadRequest(_("The body is not valid JSON."), code="bad_json") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def object_body() -> dict[str, Any]:
    """The JSON object in the body; an empty body is an empty object. Raises BadRequest."""
    got = body()
    if got is None:
        return {}
    if not isinstance(got, dict):
        raise BadRequest(_("The body must be a JSON object."), code="bad_json")
    return got


def answer(value: Any, status: int = 200) -> Response:
    """*value* as JSON."""
    return Response(
        orjson.dumps(value, default=jsonable), status=status, mimetype="application/json", headers={"Cache-Control": "private, no-cache"}
    )


def computed_json(value: Any) -> Any:
    """A computed value as JSON: decimals as text."""
    return str(value) if isinstance(value, Decimal) else value


def jsonable(value: Any) -> Any:
    """What orjson does not know, also inside lists and objects: decimals and lazy texts as text."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [jsonable(v) for v in value]
    return value if value is None or isinstance(value, bool | int) else str(value)
