"""Who read sensitive data, page and REST: everything for auditors, what concerns oneself for everybody (VIS-13)."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from portal.kernel import calendar
from portal.kernel.document import User, records
from portal.kernel.errors import BadRequest
from portal.kernel.i18n import _, _l
from portal.web import history, rows, words
from portal.web.access import route, signed_in
from portal.web.describing import Schema, listed, operation, query
from portal.web.page import Page
from portal.web.resource import Endpoints, answer
from portal.web.trailquery import PAGE, Filters, day, given, moment, whole
from security import reads, trail
from security.trail import READS, WantedRead

SHOWN = 3
"""People named in a line; of more there is the number."""


def of_kinds() -> dict[str, str]:
    """Table → words of what reads are noted of, by words: sensitive tables, then the others."""
    known = {m.__tablename__: str(m.__label__ or m.__name__) for m in records()}
    return dict(sorted(known.items(), key=lambda item: (item[0] not in reads.secrets(), item[1]))) | {
        t: str(label) for t, label in history.TABLES.items()
    }


def entries(found: Sequence[Any]) -> list[dict[str, Any]]:
    """Lines for people. One statement for the names of those concerned."""
    models = {m.__tablename__: m for m in records()}
    about = {pk for e in found for pk in (e.new or {}).get("people", ())[:SHOWN]}
    names = rows.labels(User, about)
    return [_entry(e, models.get(e.tbl), names) for e in found]


def _entry(e: Any, model: type[Any] | None, names: Mapping[int, str]) -> dict[str, Any]:
    new = e.new or {}
    people = new.get("people", ())
    more = len(people) - SHOWN
    return {
        "at": words.moment(e.at),
        "who": e.actor_name or words.NONE,
        "what": str(model.__label__ or model.__name__) if model is not None else str(history.TABLES.get(e.tbl, e.tbl)),
        "row": e.row_id or None,
        "people": [names[p] for p in people[:SHOWN] if p in names] + ([_("and %(n)s others", n=more)] if more > 0 else []),
        "text": history.read_words(new, model),
        "via": e.ip or "",
        "seq": e.seq,
    }


# -------------------------------------------------------------------- the page
class SensitiveReads(Page):
    """Who looked at whose salary, bank or identity data, and who exported what."""

    name = READS
    route_base = "/sensitive-reads"
    title = _l("Sensitive reads")
    menu = "Administration"
    menu_order = 16
    icon = "eye"
    default_view = "show"

    @route("/")
    def show(self) -> str:
        """The reads asked for, newest first."""
        args = {k: request.args.get(k, "").strip() for k in ("person", "about", "type", "way", "from", "to", "before")}
        from_day, to_day = day("from"), day("to")
        wanted = WantedRead(
            actor=whole(args["person"], "person") if args["person"] else None,
            person=whole(args["about"], "about") if args["about"] else None,
            table=_kind(args["type"], "type") if args["type"] else None,
            way=_way(args["way"], "way") if args["way"] else None,
            since=calendar.moment(from_day) if from_day else None,
            until=calendar.moment(to_day + timedelta(days=1)) if to_day else None,
        )
        found = trail.sensitive_reads(wanted, PAGE + 1, whole(args["before"], "before") if args["before"] else None)
        asked = {k: v for k, v in args.items() if v and k != "before"}
        return self.render(
            "administration/sensitive_reads.html",
            entries=entries(found[:PAGE]),
            fields=_form(args, rows.labels(User, {pk for pk in (wanted.actor, wanted.person) if pk is not None})),
            more_url=f"{self.route_base}/?" + urlencode({**asked, "before": found[PAGE - 1].id}) if len(found) > PAGE else None,
            first_url=f"{self.route_base}/?" + urlencode(asked) if args["before"] else None,
            clear_url=f"{self.route_base}/" if asked else None,
        )


def _kind(value: Any, name: str) -> str:
    return _choice(value, name, of_kinds())


def _way(value: Any, name: str) -> str:
    return _choice(value, name, history.WAYS)


def _choice(value: Any, name: str, known: Mapping[str, Any]) -> str:
    if not isinstance(value, str) or value not in known:
        raise BadRequest(_("Is not one of the choices"), code="bad_filter_value", fields={name: _("Is not one of the choices")})
    return value


def _form(args: Mapping[str, str], names: Mapping[int, str]) -> list[dict[str, Any]]:
    def person(name: str, label: str) -> dict[str, Any]:
        value = args[name]
        display = names.get(int(value), value) if value else ""
        return {"name": name, "label": label, "kind": "person", "value": value, "display": display, "lookup_url": "/lookup/people"}

    def choice(name: str, label: str, known: Mapping[str, Any]) -> dict[str, Any]:
        choices = [{"value": k, "label": str(v)} for k, v in known.items()]
        return {"name": name, "label": label, "kind": "choice", "value": args[name], "choices": choices, "placeholder": _("All")}

    return [
        person("person", _("Read by")),
        person("about", _("Person concerned")),
        choice("type", _("Kind of record"), of_kinds()),
        choice("way", _("How"), history.WAYS),
        {"name": "from", "label": _("From"), "kind": "date", "value": args["from"]},
        {"name": "to", "label": _("To (included)"), "kind": "date", "value": args["to"]},
    ]


# -------------------------------------------------------------------- REST
FILTERS: Filters = {
    ("actor", "eq"): ("actor", whole),
    ("person", "eq"): ("person", whole),
    ("table", "eq"): ("table", _kind),
    ("way", "eq"): ("way", _way),
    ("at", "ge"): ("since", moment),
    ("at", "lt"): ("until", moment),
}
"""(column, operator) → what of `WantedRead` it sets."""


class SensitiveReadEndpoints(Endpoints, at="sensitive-reads", name=READS):
    """`/api/v1/sensitive-reads/`: who read what of whom; `mine`: who read one's own data."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """One row."""
        return {cls.resource_name: SCHEMA}

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """Everybody's reads, and those of one's own data."""
        tag, found = [cls.resource_name], listed("sensitive-reads", capped=True)
        return {
            f"{cls.route_base}{path}": {"get": operation(name, str(words), tag, found, parameters=[q], errors=(400,))}
            for name, (path, words, q) in READS_OF.items()
        }

    @route("/")
    def get_list(self) -> Response:
        """Reads, newest first; `next` goes into `after`."""
        values, size, after = given(FILTERS)
        return _list(WantedRead(**values), size, after)

    @route("/mine", verb="")
    def get_mine(self) -> Response:
        """Who read the caller's sensitive data, newest first."""
        me = signed_in().me
        _values, size, after = given({})
        return _list(WantedRead(person=me), size, after, only=me)


def _list(wanted: WantedRead, size: int, after: int | None, only: int | None = None) -> Response:
    found = trail.sensitive_reads(wanted, size + 1, after)
    count = trail.count_reads(wanted)
    return answer(
        {
            "count": min(count, trail.CAP),
            "count_capped": count > trail.CAP,
            "ids": [e.id for e in found[:size]],
            "result": [_json(e, only) for e in found[:size]],
            "next": str(found[size - 1].id) if len(found) > size else None,
        }
    )


def _json(e: Any, only: int | None) -> dict[str, Any]:
    """*only*: the person concerned, who learns nothing of the others in the same list."""
    new = e.new or {}
    out = {
        "id": e.id,
        "at": e.at.isoformat(),
        "actor": e.actor,
        "actor_name": e.actor_name,
        "table": e.tbl,
        "fields": new.get("fields", []),
        "way": new.get("way"),
        "sequence": e.seq,
    }
    if only is not None:
        return out
    return out | {
        "address": e.ip,
        "request": e.request_id,
        "path": new.get("path"),
        "ids": new.get("ids", []),
        "people": new.get("people", []),
        "rows": new.get("rows"),
        "format": new.get("format"),
        "filters": new.get("filters", []),
        "asked": new.get("asked"),
    }


# -------------------------------------------------------------------- for the OpenAPI document
_TEXT: dict[str, Any] = {"type": "string", "nullable": True}
_IDS: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{n: {"type": "integer", "nullable": True} for n in ("id", "actor", "sequence", "rows")},
        **dict.fromkeys(("actor_name", "table", "way", "address", "request", "path", "format"), _TEXT),
        "at": {"type": "string", "format": "date-time"},
        "fields": {"type": "array", "items": {"type": "string"}},
        "filters": {"type": "array", "items": {"type": "string"}},
        "ids": _IDS,
        "people": _IDS,
        "asked": {"type": "object", "nullable": True},
    },
}


def _q(known: str) -> Schema:
    return query("q", description=f"{known}page_size; after")


READS_OF: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "list_sensitive_reads": ("/", _l("Sensitive reads"), _q(f"filters: {'; '.join(f'{c} ({o})' for c, o in FILTERS)}; ")),
    "list_my_readers": ("/mine", _l("Who read my data"), _q("")),
}
"""Operation → address, words and parameter."""


def looked(user_id: int) -> list[dict[str, Any]]:
    """Who read the sensitive data of *user_id* lately, for the person's own page."""
    found = trail.sensitive_reads(WantedRead(person=user_id), PAGE)
    models = {m.__tablename__: m for m in records()}
    return [
        {"at": words.moment(e.at), "who": e.actor_name or words.NONE, "text": history.read_words(_own(e.new), models.get(e.tbl))}
        for e in found
    ]


def _own(new: Mapping[str, Any]) -> dict[str, Any]:
    """What of a read the person concerned learns: not of whom else, nor what was looked for."""
    return {k: v for k, v in new.items() if k in ("fields", "way", "format")}
