"""The audit log, page and REST: the trail of any record, by record, person and period, and how its seal stands. For auditors."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Response, flash, redirect, request

from portal.kernel import calendar, jobs
from portal.kernel.document import User, records
from portal.kernel.errors import BadRequest, NotFound
from portal.kernel.i18n import _, _l
from portal.web import history, query, rows, words
from portal.web.access import MAX_ID, route
from portal.web.page import Page
from portal.web.resource import Endpoints, answer
from security import trail, verification
from security.manager import allowed
from security.sealing import AuditCheck
from security.trail import Wanted

PAGE = 30
VERIFY = "security.verify_history"


# -------------------------------------------------------------------- reading what was asked
def _whole(value: Any, name: str) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or int(text) > MAX_ID:
        raise BadRequest(_("Must be a whole number"), code="bad_filter_value", fields={name: _("Must be a whole number")})
    return int(text)


def _table(value: Any, name: str) -> str:
    if not isinstance(value, str) or value not in _tables():
        raise BadRequest(_("Is not one of the choices"), code="bad_filter_value", fields={name: _("Is not one of the choices")})
    return value


def _moment(value: Any, name: str) -> datetime:
    """A moment, or the beginning of a day at the company."""
    try:
        if isinstance(value, str) and len(value) == 10:
            return calendar.moment(calendar.parse_day(value))
        found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=calendar.zone())).astimezone(calendar.zone())
    except (ValueError, OverflowError):
        problem = _("Must be a time like 2026-03-31T09:30")
        raise BadRequest(problem, code="bad_filter_value", fields={name: problem}) from None


def _tables() -> dict[str, str]:
    """Table → words of every kind of record, the newest names of the code; by words."""
    found = {m.__tablename__: str(m.__label__ or m.__name__) for m in records()}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def _day(name: str) -> date | None:
    return query.asked_day(name) if request.args.get(name) else None


# -------------------------------------------------------------------- the page
class AuditLog(Page):
    """Search of the trail, and the state of its seal."""

    name = trail.NAME
    route_base = "/audit-log"
    title = _l("Audit log")
    menu = "Administration"
    menu_order = 15
    icon = "history"
    default_view = "show"

    @route("/")
    def show(self) -> str:
        """The entries asked for, newest first."""
        args = {k: request.args.get(k, "").strip() for k in ("type", "record", "person", "from", "to", "before")}
        from_day, to_day = _day("from"), _day("to")
        wanted = Wanted(
            table=_table(args["type"], "type") if args["type"] else None,
            row=_whole(args["record"], "record") if args["record"] else None,
            actor=_whole(args["person"], "person") if args["person"] else None,
            since=calendar.moment(from_day) if from_day else None,
            until=calendar.moment(to_day + timedelta(days=1)) if to_day else None,
        )
        found = trail.trail(wanted, PAGE + 1, _whole(args["before"], "before") if args["before"] else None)
        asked = {k: v for k, v in args.items() if v and k != "before"}
        entries = history.of_trail(found[:PAGE])
        for e in entries:
            e["url"] = f"{self.route_base}/?" + urlencode({"type": e["table"], "record": e["row"]}) if e["table"] in _tables() else None
        person = rows.labels(User, [wanted.actor]).get(wanted.actor) if wanted.actor is not None else None
        return self.render(
            "administration/audit_log.html",
            entries=entries,
            more_url=f"{self.route_base}/?" + urlencode({**asked, "before": found[PAGE - 1].id}) if len(found) > PAGE else None,
            first_url=f"{self.route_base}/?" + urlencode(asked) if args["before"] else None,
            clear_url=f"{self.route_base}/" if asked else None,
            fields=_form(args, person),
            seal=_seal_words(),
            can_verify=allowed("verify", self.name),
        )

    @route("/verify", methods=("POST",), verb="verify")
    def verify(self) -> Any:
        """Has a worker verify the whole history now."""
        jobs.run_now(VERIFY)
        flash(_("Started. The result appears here."), "success")
        return redirect(f"{self.route_base}/", 303)


def _form(args: Mapping[str, str], person: str | None) -> list[dict[str, Any]]:
    types = [{"value": table, "label": label} for table, label in _tables().items()]
    return [
        {"name": "type", "label": _("Kind of record"), "kind": "choice", "value": args["type"], "choices": types, "placeholder": _("All")},
        {"name": "record", "label": _("Number of the record (ID)"), "kind": "integer", "value": args["record"]},
        {
            "name": "person",
            "label": _("Changed by"),
            "kind": "person",
            "value": args["person"],
            "display": person or args["person"],
            "lookup_url": "/lookup/people",
        },
        {"name": "from", "label": _("From"), "kind": "date", "value": args["from"]},
        {"name": "to", "label": _("To (included)"), "kind": "date", "value": args["to"]},
    ]


def _seal_words() -> dict[str, Any]:
    state = trail.seal_state()
    v = state.verified
    problem = None
    if v is not None and not v.sound:
        kind = verification.KINDS.get(v.first_kind, v.first_kind)
        problem = _("Problems: %(n)s. The first: %(what)s (place %(seq)s, entry %(entry)s).", n=v.problems, what=kind,
                    seq=_or_dash(v.first_seq), entry=_or_dash(v.first_entry))  # fmt: skip
    return {
        "sealed": state.sealed,
        "hash": state.hash,
        "unsealed": state.unsealed,
        "verified": words.moment(v.at) if v else None,
        "verified_seq": v.seq if v else None,
        "sound": v.sound if v else None,
        "problem": problem,
        "anchored": words.moment(state.anchored.at) if state.anchored else None,
        "anchored_seq": state.anchored.seq if state.anchored else None,
    }


def _or_dash(value: int | None) -> str:
    return words.NONE if value is None else str(value)


# -------------------------------------------------------------------- REST
Parse = Callable[[Any, str], Any]
FILTERS: dict[tuple[str, str], tuple[str, Parse]] = {
    ("table", "eq"): ("table", _table),
    ("row", "eq"): ("row", _whole),
    ("actor", "eq"): ("actor", _whole),
    ("at", "ge"): ("since", _moment),
    ("at", "lt"): ("until", _moment),
}
"""(column, operator) → what of `Wanted` it sets."""
MAX_SIZE = 200


class AuditLogEndpoints(Endpoints, at="audit-log", name=trail.NAME):
    """`/api/v1/audit-log/`: entries by record (with its parts), person and period; read only."""

    @route("/")
    def get_list(self) -> Response:
        """Entries, newest first; `next` goes into `after`."""
        wanted, size, after = _asked()
        found = trail.trail(wanted, size + 1, after)
        count = trail.count(wanted)
        shown = found[:size]
        return answer(
            {
                "count": min(count, trail.CAP),
                "count_capped": count > trail.CAP,
                "ids": [e.id for e in shown],
                "result": [_json(e) for e in shown],
                "next": str(shown[-1].id) if len(found) > size else None,
            }
        )

    @route("/<int:pk>")
    def get(self, pk: int) -> Response:
        """One entry."""
        found = trail.trail(Wanted(entry=pk), 1)
        if not found:
            raise NotFound(_("This record does not exist."))
        return answer({"id": pk, "result": _json(found[0])})

    @route("/verification")
    def get_verification(self) -> Response:
        """How far the history is sealed, verified and anchored."""
        state = trail.seal_state()
        return answer(
            {
                "result": {
                    "sealed": state.sealed,
                    "hash": state.hash,
                    "unsealed": state.unsealed,
                    "verified": _check_json(state.verified),
                    "anchored": _check_json(state.anchored),
                }
            }
        )

    @route("/verify", methods=("POST",), verb="verify")
    def verify(self) -> Response:
        """Has a worker verify the whole history now; `/verification` has the result."""
        return answer({"due": jobs.run_now(VERIFY).isoformat()}, 202)


def _asked() -> tuple[Wanted, int, int | None]:
    unknown = set(request.args) - {"q"}
    given = query.load(request.args.get("q", ""))
    unknown |= set(given) - {"filters", "page_size", "after"}
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))[:200]
        raise BadRequest(_("Unknown in q: %(names)s.", names=names), code="unknown_parameter")
    items = given.get("filters") or []
    if not isinstance(items, list):
        raise BadRequest(_("A filter has col, opr and value."), code="bad_filters")
    values: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, dict) or set(item) != {"col", "opr", "value"}:
            raise BadRequest(_("A filter has col, opr and value."), code="bad_filters")
        name, parse = FILTERS.get((str(item["col"]), str(item["opr"])), ("", None))
        if parse is None:
            raise BadRequest(_("There is no filter “%(name)s”.", name=str(item["col"])[:60]), code="unknown_filter")
        if name in values:
            raise BadRequest(_("The filter “%(name)s” takes one value.", name=str(item["col"])[:60]), code="one_value")
        values[name] = parse(item["value"], str(item["col"]))
    size = _whole(given.get("page_size", PAGE), "page_size")
    if not 0 < size <= MAX_SIZE:
        problem = _("%(name)s must be a whole number from %(low)s to %(high)s.", name="page_size", low=1, high=MAX_SIZE)
        raise BadRequest(problem, code="bad_page", fields={"page_size": "range"})
    return Wanted(**values), size, _whole(given["after"], "after") if given.get("after") is not None else None


def _json(e: trail.TrailEntry) -> dict[str, Any]:
    return {
        "id": e.id,
        "at": e.at.isoformat(),
        "actor": e.actor,
        "actor_name": e.actor_name,
        "role": e.db_role,
        "request": e.request_id,
        "address": e.ip,
        "reason": e.reason,
        "operation": e.op,
        "table": e.tbl,
        "row": e.row_id,
        "root_table": e.root_tbl,
        "root_row": e.root_id,
        "old": e.old,
        "new": e.new,
        "hidden": list(e.hidden),
        "erased": sorted(e.erased),
        "sequence": e.seq,
    }


def _check_json(c: AuditCheck | None) -> dict[str, Any] | None:
    if c is None:
        return None
    first = {"kind": c.first_kind, "sequence": c.first_seq, "entry": c.first_entry} if not c.sound else None
    return {"at": c.at.isoformat(), "sequence": c.seq, "hash": c.hash, "sound": c.sound, "problems": c.problems, "first": first}


# -------------------------------------------------------------------- for the OpenAPI document
_ANY: dict[str, Any] = {"type": "object", "nullable": True}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{n: {"type": "integer", "nullable": True} for n in ("id", "actor", "row", "root_row", "sequence")},
        **{n: {"type": "string", "nullable": True} for n in ("actor_name", "role", "request", "address", "reason", "operation", "table",
                                                             "root_table")},
        "at": {"type": "string", "format": "date-time"},
        "old": _ANY,
        "new": _ANY,
        "hidden": {"type": "array", "items": {"type": "string"}},
        "erased": {"type": "array", "items": {"type": "string"}},
    },
}  # fmt: skip
