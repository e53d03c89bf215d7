"""Handing over as JSON, for programs and for the page that modules make of it (VIS-11)."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from flask import Response, request

from portal.kernel import calendar
from portal.kernel.errors import BadRequest, Invalid
from portal.kernel.handover import giving
from portal.kernel.i18n import _
from portal.web import registry, rows
from portal.web.access import route
from portal.web.accountstore import MAX_USER
from portal.web.describing import PK, Schema, operation, query, ref
from portal.web.resource import Endpoints, answer, object_body
from security import handover
from security.handover import NAME, Part, Preview


def as_json(found: Preview) -> dict[str, Any]:
    """What somebody answers for. Records the viewer may not see are in the counts only."""
    return {
        "person_id": found.person_id,
        "day": found.day,
        "seen": found.seen,
        "open": found.open,
        "refusal": found.refusal,
        "result": [_part(p) for p in found.parts],
    }


def _part(p: Part) -> dict[str, Any]:
    return {
        "kind": p.kind.key,
        "label": str(p.kind.label),
        "count": p.count,
        "dated": p.kind.dated,
        "follows": str(p.kind.follows) or None,
        "records": [
            {"id": r.id, "label": p.kind.names(r) if p.kind.names else rows.text_of(r), "url": registry.url_of(type(r), r.id)}
            for r in p.visible
        ],
        "hidden": p.hidden,
    }


def asked_day(given: str | None, default: date) -> date:
    """The day in an address or body. Raises BadRequest."""
    if not given:
        return default
    try:
        return calendar.parse_day(given)
    except ValueError:
        raise BadRequest(_("Not a date.")) from None


def receivers(given: Any) -> dict[str, int]:
    """`receiver_id` for everything, `receivers` by kind (null: leave it). Raises Invalid."""
    one, several = given.get("receiver_id"), given.get("receivers") or {}
    if not isinstance(several, dict) or set(several) - set(giving()):
        raise Invalid({"receivers": _("There is no such kind.")})
    wanted = dict.fromkeys(giving(), one) | several
    wrong = {
        f"receiver.{k}": _("Has the wrong type.") for k, v in wanted.items() if v is not None and (type(v) is not int or not 0 < v < 2**31)
    }
    if wrong:
        raise Invalid(wrong)
    return {k: v for k, v in wanted.items() if v is not None}


class HandoverEndpoints(Endpoints, at="handovers", name=NAME):
    """`/api/v1/handovers/<user id>`: what somebody answers for, and handing it over in one transaction."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """What somebody answers for."""
        return {cls.resource_name: SCHEMA}

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """Looking at what would be handed over, and doing it."""
        tag, words, day = [cls.resource_name], _("Hand over work"), query("day", {"type": "string", "format": "date"})
        return {
            f"{cls.route_base}/{{pk}}": {
                "get": operation("get_handover", words, tag, ref("handovers"), parameters=[PK, day], errors=(404,)),
                "post": operation("run_handover", words, tag, {"type": "object"}, parameters=[PK], body=BODY, errors=(404, 409, 422)),
            }
        }

    @route("/<int:pk>")
    def get(self, pk: int) -> Response:
        """What the person answers for; `?day=` from which somebody else does; `refusal` says why it may not be handed over."""
        return answer(as_json(handover.preview(min(pk, MAX_USER), asked_day(request.args.get("day"), calendar.today()))))

    @route("/<int:pk>", methods=("POST",), verb="run")
    def run(self, pk: int) -> Response:
        """Hands over: `{"day", "reason", "seen", "receiver_id", "receivers": {kind: id or null}}`; `seen` is what `GET` gave."""
        given = object_body()
        unknown = set(given) - {"day", "reason", "seen", "receiver_id", "receivers"}
        if unknown:
            raise Invalid({k: _("Unknown argument.") for k in unknown})
        day = asked_day(str(given.get("day") or ""), calendar.today())
        done = handover.execute(
            min(pk, MAX_USER), receivers(given), day, str(given.get("reason") or "")[:500], str(given.get("seen") or "")
        )
        return answer({"person_id": pk, "done": done})


# -------------------------------------------------------------------- for the OpenAPI document
_ID = {"type": "integer", "format": "int64"}
_TEXT = {"type": "string"}
_RECORD = {"type": "object", "properties": {"id": _ID, "label": _TEXT, "url": _TEXT | {"nullable": True}}}
_PART = {
    "kind": _TEXT, "label": _TEXT, "count": {"type": "integer"}, "dated": {"type": "boolean"}, "follows": _TEXT | {"nullable": True},
    "records": {"type": "array", "items": _RECORD}, "hidden": {"type": "integer"},
}  # fmt: skip
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "person_id": _ID,
        "day": {"type": "string", "format": "date"},
        "seen": _TEXT,
        "open": {"type": "integer"},
        "refusal": _TEXT | {"nullable": True},
        "result": {"type": "array", "items": {"type": "object", "properties": _PART}},
    },
}
BODY: dict[str, Any] = {
    "type": "object",
    "required": ["reason", "seen"],
    "additionalProperties": False,
    "properties": {
        "day": {"type": "string", "format": "date"},
        "reason": _TEXT,
        "seen": _TEXT,
        "receiver_id": _ID,
        "receivers": {"type": "object", "additionalProperties": _ID | {"nullable": True}},
    },
}
