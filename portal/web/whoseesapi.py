"""Who sees what, and why, for programs: the answers of the page."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from portal.kernel.errors import Invalid
from portal.kernel.i18n import _, _l
from portal.web import whosees
from portal.web.access import route
from portal.web.describing import Schema, operation
from portal.web.paging import MAX_SIZE
from portal.web.resource import Endpoints, answer
from security.explain import Found, Person


class VisibilityEndpoints(Endpoints, at="visibility", name=whosees.PERMISSION):
    """`/api/v1/visibility/`: the person by `person_id`, the record by `type` (`project.Project`) and `record` (id or number)."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """Why somebody sees something."""
        return SCHEMAS

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """The three questions."""
        return {
            f"{cls.route_base}{path}": {
                "get": operation(name, str(words), [cls.resource_name], result, parameters=parameters, errors=(404, 422))
            }
            for name, (path, words, parameters, result) in READS.items()
        }

    @route("/check")
    def check(self) -> Response:
        """Whether and why a person sees a record."""
        return answer(whosees.check(_person(), _record()))

    @route("/people")
    def people(self) -> Response:
        """Everybody who sees a record."""
        page, size = _number("page", 1, 10_000), _number("page_size", whosees.SIZE, MAX_SIZE)
        return answer(whosees.people(_record(), page, size))

    @route("/records")
    def records(self) -> Response:
        """What a person sees."""
        return answer(whosees.rows(_person()))


def _person() -> Person:
    found = whosees.asked_person(request.args.get("person_id", ""))
    if found is None:
        raise Invalid({"person_id": _("This is required.")})
    return found


def _record() -> Found:
    found = whosees.asked_record(request.args.get("type", ""), request.args.get("record", ""))
    if found is None:
        raise Invalid({"record": _("This is required.")})
    return found


def _number(name: str, default: int, most: int) -> int:
    given = request.args.get(name, str(default))
    if not given.isdecimal() or len(given) > 9 or not 0 < int(given) <= most:
        raise Invalid({name: _("Must be a number from 1 to %(n)s", n=most)})
    return int(given)


# -------------------------------------------------------------------- for the OpenAPI document
def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _many(of: Schema) -> Schema:
    return {"type": "array", "items": of}


_INTEGER: Schema = {"type": "integer", "format": "int64"}
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_DAY: Schema = {"type": "string", "format": "date", "nullable": True}
_PERSON = {"id": _INTEGER, "username": _TEXT, "name": _TEXT, "active": _FLAG}
_RECORD = _object(type=_TEXT, label=_TEXT, id=_INTEGER, number=_TEXT | {"nullable": True}, archived=_FLAG)
_MEMBERSHIP = _object(
    text=_TEXT, context=_TEXT, via=_TEXT, counts=_FLAG, ids=_INTEGER, source=_object(type=_TEXT, id=_INTEGER), **{"from": _DAY, "to": _DAY}
)
_ROLE = {"key": _TEXT, "label": _TEXT}
_ARMS: Schema = {"$ref": "#/components/schemas/visibility-arms"}
_COUNTED = {"count": _INTEGER, "count_capped": _FLAG}
SCHEMAS: dict[str, Schema] = {
    "visibility-arms": _many(
        _object(
            text=_TEXT,
            holds=_FLAG,
            conditions=_many(
                _object(
                    kind=_TEXT,
                    name=_TEXT,
                    text=_TEXT,
                    holds=_FLAG,
                    memberships=_many(_MEMBERSHIP),
                    roles=_many(_object(**_ROLE)),
                    arms=_ARMS,
                )
            ),
        )
    ),
}
_WHO: Schema = {"name": "person_id", "in": "query", "required": True, "schema": _INTEGER}
_TYPE: Schema = {"name": "type", "in": "query", "required": False, "schema": _TEXT, "description": "project.Project"}
_WHAT: Schema = {"name": "record", "in": "query", "required": True, "schema": _TEXT}
_PAGES: list[Schema] = [{"name": n, "in": "query", "required": False, "schema": {"type": "integer"}} for n in ("page", "page_size")]
READS: dict[str, tuple[str, Any, list[Schema], Schema]] = {
    "check_visibility": (
        "/check",
        _l("Whether and why a person sees a record"),
        [_WHO, _TYPE, _WHAT],
        _object(person=_object(**_PERSON), record=_RECORD, visible=_FLAG, page=_FLAG | {"nullable": True}, arms=_ARMS),
    ),
    "list_people_who_see": (
        "/people",
        _l("Who sees a record, and why"),
        [_TYPE, _WHAT, *_PAGES],
        _object(record=_RECORD, count=_INTEGER, result=_many(_object(**_PERSON, arms=_ARMS))),
    ),
    "list_what_a_person_sees": (
        "/records",
        _l("What a person sees, and why"),
        [_WHO],
        _object(
            person=_object(**_PERSON),
            result=_many(_object(type=_TEXT, label=_TEXT, **_COUNTED, arms=_many(_object(text=_TEXT, needs=_many(_TEXT), **_COUNTED)))),
            memberships={"type": "object", "additionalProperties": _object(of=_TEXT, result=_many(_MEMBERSHIP), more=_INTEGER)},
            roles=_many(_object(scope=_TEXT, text=_TEXT, **_ROLE)),
        ),
    ),
}
