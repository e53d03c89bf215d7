"""The audit log, page and REST: the trail of any record, by record, person and period, and how its seal stands. For auditors."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Response, flash, redirect, request

from portal.kernel import calendar, jobs
from portal.kernel.document import User
from portal.kernel.errors import NotFound
from portal.kernel.i18n import _, _l
from portal.web import history, rows, words
from portal.web.access import route
from portal.web.describing import PK, Schema, listed, one, operation, query
from portal.web.page import Page
from portal.web.resource import Endpoints, answer
from portal.web.trailquery import PAGE, Filters, day, given, moment, table, tables, whole
from security import trail, verification
from security.manager import allowed
from security.sealing import AuditCheck
from security.trail import Wanted

VERIFY = "security.verify_history"


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
        from_day, to_day = day("from"), day("to")
        wanted = Wanted(
            table=table(args["type"], "type") if args["type"] else None,
            row=whole(args["record"], "record") if args["record"] else None,
            actor=whole(args["person"], "person") if args["person"] else None,
            since=calendar.moment(from_day) if from_day else None,
            until=calendar.moment(to_day + timedelta(days=1)) if to_day else None,
        )
        found = trail.trail(wanted, PAGE + 1, whole(args["before"], "before") if args["before"] else None)
        asked = {k: v for k, v in args.items() if v and k != "before"}
        entries = history.of_trail(found[:PAGE])
        for e in entries:
            e["url"] = f"{self.route_base}/?" + urlencode({"type": e["table"], "record": e["row"]}) if e["table"] in tables() else None
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
    types = [{"value": table, "label": label} for table, label in tables().items()]
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
FILTERS: Filters = {
    ("table", "eq"): ("table", table),
    ("row", "eq"): ("row", whole),
    ("actor", "eq"): ("actor", whole),
    ("at", "ge"): ("since", moment),
    ("at", "lt"): ("until", moment),
}
"""(column, operator) → what of `Wanted` it sets."""


class AuditLogEndpoints(Endpoints, at="audit-log", name=trail.NAME):
    """`/api/v1/audit-log/`: entries by record (with its parts), person and period; read only."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """One row."""
        return {cls.resource_name: SCHEMA}

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """The entries, one of them, and how the seal stands."""
        base, tag, anything = cls.route_base, [cls.resource_name], {"type": "object"}
        possible = "; ".join(f"{column} ({operator})" for column, operator in FILTERS)
        q = query("q", description=f"filters: {possible}; page_size; after")
        words = _("Audit log")
        return {
            f"{base}/": {"get": operation("list_audit_log", words, tag, listed("audit-log", capped=True), parameters=[q], errors=(400,))},
            f"{base}/{{pk}}": {"get": operation("get_audit_log", words, tag, one("audit-log"), parameters=[PK], errors=(404,))},
            f"{base}/verification": {"get": operation("get_audit_verification", _("How the seal stands"), tag, anything)},
            f"{base}/verify": {"post": operation("verify_audit_log", _("Verify now"), tag, anything, status="202")},
        }

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
    values, size, after = given(FILTERS)
    return Wanted(**values), size, after


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
