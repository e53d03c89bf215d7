"""The history of a record in words: who changed what from what to what, when and from where."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from portal.kernel.document import Record, records
from portal.kernel.i18n import _, _l, listed, ngettext
from portal.web import rows, words
from portal.web.fields import NONE, Field, FieldError, fields_of
from security import handover, reads
from security.audit import erased_in, timeline
from security.trail import TrailEntry

QUIET = frozenset({"id", "version", "created_at", "created_by", "custom", "archived_at"})
PAGE = 30
WAYS = {
    "page": _l("Page or list"),
    "api": _l("REST"),
    "search": _l("Search"),
    "export": _l("Export"),
    "history": _l("History"),
    "trail": _l("Audit log"),
}
"""The ways sensitive data is read in."""
ASKED = {
    "table": _l("Kind of record"),
    "row": _l("Number of the record (ID)"),
    "actor": _l("Changed by"),
    "since": _l("From"),
    "until": _l("Until (not included)"),
    "entry": _l("Entry"),
}
"""What a look into the trail was for, in words."""
TABLES = {"audit_entry": _l("Audit log"), "security_role": _l("Roles and permissions")}
"""What else is read, beside records."""


def as_json(record: Record, before: int | None = None) -> list[dict[str, Any]]:
    """Entries for REST, values as stored."""
    return [
        {
            "id": e.id,
            "at": e.at.isoformat(),
            "actor": e.actor,
            "actor_name": e.actor_name,
            "operation": e.op,
            "table": e.tbl,
            "row": e.row_id,
            "reason": e.reason,
            "old": e.old,
            "new": e.new,
        }
        for e in timeline(record, PAGE, before)
    ]


def entries(record: Record, before: int | None = None) -> tuple[list[dict[str, Any]], int | None]:
    """Entries for the timeline, and the id to go on from. Two statements and one per kind of reference."""
    found = timeline(record, PAGE, before)
    models = {c.__tablename__: c for c in records()}
    texts = _references(found, models)
    shown = [_entry(e, models.get(e.tbl), type(record), texts) for e in found]
    # what changed only for the program is no news to people
    out = [one for one, e in zip(shown, found, strict=True) if one["changes"] or e.op != "update" or _action(e)[0] != _("changed")]
    return out, found[-1].id if len(found) == PAGE else None


def of_trail(found: Sequence[TrailEntry]) -> list[dict[str, Any]]:
    """Entries of the auditor's trail. A reference whose record the auditor does not see is a bare number."""
    models = {c.__tablename__: c for c in records()}
    texts = _references(found, models)
    return [_trail_entry(e, models.get(e.tbl), texts) for e in found]


def _trail_entry(e: TrailEntry, model: type[Any] | None, texts: dict[tuple[type[Any], int], str]) -> dict[str, Any]:
    fields = fields_of(model) if model is not None else {}
    action, tone = _action(e)
    if e.op == reads.READ:
        return _read_entry(e, model)
    hidden = [str(fields[name].label) if name in fields else name for name in e.hidden if name not in QUIET]
    changes = [*_changes(e, fields, texts, _numbered), *({"label": label, "before": "", "after": _("not shown")} for label in hidden)]
    return {
        "id": e.id,
        "at": words.moment(e.at),
        "who": e.actor_name or _("The system"),
        "what": str(model.__label__ or model.__name__) if model is not None else e.tbl,
        "table": e.tbl,
        "row": e.row_id,
        "action": action,
        "tone": tone,
        "via": e.ip or "",
        "changes": changes,
        "text": _reason(e.reason),
        "seq": e.seq,
    }


def read_words(new: dict[str, Any], model: type[Any] | None) -> str:
    """What a read was of and how: `Identity number, Bank account · List or page · 12 records`."""
    fields = fields_of(model) if model is not None else {}
    names = [str(fields[n].label) if n in fields else str(n) for n in new.get("fields", ())]
    parts = [listed(names)] if names else []
    parts.append(str(WAYS.get(new.get("way", ""), new.get("way", ""))))
    count = new.get("rows") if new.get("rows") is not None else len(new.get("ids", ()))
    if count:
        parts.append(ngettext("%(num)s record", "%(num)s records", count))
    if new.get("format"):
        parts.append(str(new["format"]).upper())
    parts += [str(f) for f in new.get("filters", ())]
    known = {m.__tablename__: str(m.__label__ or m.__name__) for m in records()}
    parts += [f"{ASKED.get(k, k)}: {known.get(v, v)}" for k, v in new.get("asked", {}).items()]
    return " · ".join(parts)


def _read_entry(e: TrailEntry, model: type[Any] | None) -> dict[str, Any]:
    return {
        "id": e.id,
        "at": words.moment(e.at),
        "who": e.actor_name or _("The system"),
        "what": str(model.__label__ or model.__name__) if model is not None else str(TABLES.get(e.tbl, e.tbl)),
        "table": e.tbl,
        "row": e.row_id or "…",
        "action": _("read"),
        "tone": "idle",
        "via": e.ip or "",
        "changes": [],
        "text": read_words(e.new or {}, model),
        "seq": e.seq,
    }


def _numbered(value: Any) -> str:
    return f"#{value}"


def _entry(e: Any, model: type[Any] | None, own: type[Any], texts: dict[tuple[type[Any], int], str]) -> dict[str, Any]:
    changes = [] if model is None or e.op == "delete" else list(_changes(e, fields_of(model), texts))
    action, tone = _action(e)
    if model is not None and model is not own:
        action = f"{model.__label__ or model.__name__}: {action}"
    return {
        "at": words.moment(e.at),
        "who": e.actor_name or _("The system"),
        "action": action,
        "tone": tone,
        "via": _via(e),
        "changes": changes,
    }


def _reason(reason: str | None) -> str:
    """The reason in words people read."""
    parts = (reason or "").split("|", 3)
    if len(parts) == 4 and parts[0] == handover.MARK:
        return str(_("handed over from %(giver)s to %(receiver)s: %(reason)s", giver=parts[1], receiver=parts[2], reason=parts[3]))
    return reason or ""


def _via(e: Any) -> str:
    """Where a change came from: an import by its number, else the address."""
    kind, _colon, number = (e.request_id or "").partition(":")
    return _("Import %(n)s", n=number) if kind == "import" and number.isdigit() else e.ip or ""


def _action(e: Any) -> tuple[str, str]:
    old, new = e.old or {}, e.new or {}
    if (e.reason or "").startswith(f"{handover.MARK}|"):
        return _reason(e.reason), "info"
    if e.op == "insert":
        return _("created"), "info"
    if e.op == "delete":
        return _("deleted"), "risk"
    if e.op == "erase":
        return _("erased values"), "risk"
    if new.get("archived_at") and not old.get("archived_at"):
        return _("archived"), "idle"
    if "archived_at" in old and not new.get("archived_at"):
        return _("restored"), "info"
    if "state" in new and new["state"] != old.get("state"):
        return _("changed the state to “%(state)s”", state=words.state(new["state"])), words.STATE_TONES.get(new["state"], "info")
    return _("changed"), "idle"


def _changes(
    e: Any, fields: Any, texts: dict[tuple[type[Any], int], str], unseen: Callable[[Any], str] = lambda _value: NONE
) -> Iterable[dict[str, str]]:
    old, new = e.old or {}, e.new or {}
    erased = e.erased if isinstance(e, TrailEntry) else erased_in(e.residue)
    values = old if e.op == "delete" else new
    for name in values:
        f = fields.get(name)
        if f is None or f.internal or name in QUIET or (e.op == "insert" and new[name] in (None, "", False) and name not in erased):
            continue
        if name in erased or e.op == "erase":
            yield {"label": str(f.label), "before": "", "after": _("erased")}
            continue
        yield {
            "label": str(f.label),
            "before": _text(f, old.get(name), texts, unseen) if e.op != "insert" else "",
            "after": _text(f, new[name], texts, unseen) if e.op != "delete" else "",
        }


def _text(f: Field, value: Any, texts: dict[tuple[type[Any], int], str], unseen: Callable[[Any], str]) -> str:
    if value is None:
        return NONE
    if f.target is not None:
        return texts.get((f.target, value)) or unseen(value)
    try:
        return f.display(f.from_json(value) if f.kind not in ("bool", "label", "json", "multichoice", "choice", "state") else value)
    except FieldError:
        return str(value)


def _references(found: Iterable[Any], models: dict[str, type[Any]]) -> dict[tuple[type[Any], int], str]:
    wanted: dict[type[Any], set[int]] = {}
    for e in found:
        model = models.get(e.tbl)
        if model is None:
            continue
        for name, f in fields_of(model).items():
            if f.target is not None:
                wanted.setdefault(f.target, set()).update(
                    v for v in ((e.old or {}).get(name), (e.new or {}).get(name)) if isinstance(v, int)
                )
    return {(model, pk): text for model, ids in wanted.items() for pk, text in rows.labels(model, ids).items()}


def last_change(record: Record) -> tuple[str, str]:
    """Who changed the record last, and when."""
    latest = timeline(record, 1)
    if not latest:
        return _("Somebody"), NONE
    return latest[0].actor_name or _("The system"), words.moment(latest[0].at)
