"""Reasons for seeing a record in words: conditions, memberships, roles. Pages and REST give the same."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from portal.kernel.document import Record, humanise, records
from portal.kernel.i18n import _, listed, tr
from portal.kernel.module import memberships, scopes
from portal.web import rows, words
from portal.web.fields import fields_of
from security.arms import Arm, Formula, Leaf
from security.explain import Found, Judged, Membership, Person, Way


@cache
def _types() -> dict[str, str]:
    return {m.__tablename__: m.permission_name() for m in records()}


def label(model: type[Record]) -> str:
    """The type of a record."""
    return str(model.__label__ or model.__name__)


def name(record: Found) -> str:
    """A record by type and number; nothing of what is in it."""
    return f"{label(record.model)} {record.number or f'#{record.id}'}"


def person(p: Person) -> dict[str, Any]:
    """Somebody, as JSON."""
    return {"id": p.id, "username": p.username, "name": rows.person_name(p.first_name, p.last_name) or p.username, "active": p.active}


def record(r: Found) -> dict[str, Any]:
    """A record, as JSON: how it is called and whether it is archived."""
    return {
        "type": r.model.permission_name(),
        "label": label(r.model),
        "id": r.id,
        "number": r.number,
        "archived": r.archived_at is not None,
    }


def _columns(model: type[Record], leaf: Leaf) -> str:
    return listed(_column(model, n) for n in leaf.columns)


def _column(model: type[Record], name: str) -> str:
    fields = fields_of(model)
    return label(model) if name == "id" else str(fields[name].label) if name in fields else str(_(humanise(name)))


def condition(model: type[Record], leaf: Leaf) -> str:
    """What a condition asks, in words."""
    return str(_condition(model, leaf))


def _condition(model: type[Record], leaf: Leaf) -> Any:
    column = _columns(model, leaf)
    match leaf.kind, leaf.name:
        case "own", "unlike":
            return _("%(column)s is not this person", column=column)
        case "own", _name:
            return _("%(column)s is this person", column=column)
        case "context", context:
            return _("%(column)s is among the %(of)s", column=column, of=memberships[context].of if context in memberships else context)
        case "scope", scope:
            return _("A role carries the scope “%(scope)s”", scope=scopes[scope].label if scope in scopes else scope)
        case "parent" | "record", _name:
            return _("The record it belongs to is visible: %(what)s", what=label(leaf.parent) if leaf.parent else column)
        case "person", _name:
            return _("Everybody who is signed in")
        case "condition", "empty":
            return _("%(column)s is empty", column=column)
        case "condition", "given":
            return _("%(column)s is given", column=column)
        case "condition", "unlike":
            return _("%(column)s is not “%(value)s”", column=column, value=_value(model, leaf))
        case "condition", "like":
            return _("%(column)s is “%(value)s”", column=column, value=_value(model, leaf))
        case "condition", "yes":
            return _("%(column)s: yes", column=column)
        case "condition", "no":
            return _("%(column)s: no", column=column)
    return _("A condition on %(column)s", column=column)


def _value(model: type[Record], leaf: Leaf) -> str:
    """What the condition compares with, as people read it."""
    compared = leaf.test.right.value
    f = fields_of(model).get(leaf.columns[0])
    return f.display(compared) if f is not None and f.kind == "choice" else words.state(compared)


def arm(model: type[Record], a: Arm) -> str:
    """An arm in words."""
    return _formula(model, a.formula)


def _formula(model: type[Record], formula: Formula) -> str:
    joint, parts = formula
    said = [condition(model, p) if isinstance(p, Leaf) else f"({_formula(model, p)})" for p in parts]
    return str(_(" and ") if joint == "and" else _(" or ")).join(said)


def _said(context: str, via: str, named: dict[str, Any]) -> str:
    return str(memberships[context].words[via]) % {k: tr(v) for k, v in named.items()}


def membership_text(m: Membership) -> str:
    """`Head of 研发部, since 2025-03-01`."""
    if m.via == "deputy":
        own = _said(m.context, m.named["via"], m.named["named"])
        end = words.day(m.to_day) if m.to_day else ""
        begin = words.day(m.from_day) if m.from_day else ""
        who = m.named["giver"]
        said = _("Through %(giver)s (%(own)s), who lets this person see it", giver=who, own=own)
        return str(_("%(what)s, from %(begin)s until %(end)s (not included)", what=said, begin=begin, end=end))
    said = _said(m.context, m.via, m.named)
    if m.from_day is None:
        return said
    if m.to_day is None:
        return str(_("%(what)s, since %(begin)s", what=said, begin=words.day(m.from_day)))
    return str(_("%(what)s, from %(begin)s until %(end)s (not included)", what=said, begin=words.day(m.from_day), end=words.day(m.to_day)))


def membership(m: Membership) -> dict[str, Any]:
    """A membership as JSON: words, and the row that makes it."""
    return {
        "text": membership_text(m),
        "context": m.context,
        "via": m.via,
        "from": m.from_day,
        "to": m.to_day,
        "counts": m.counts,
        "source": {"type": _types().get(m.source, m.source), "id": m.source_id},
        "ids": m.ids,
    }


def role(key: str, text: Any) -> dict[str, Any]:
    """A role as JSON."""
    return {"key": key, "label": tr(text) or key}


def judged(model: type[Record], j: Judged) -> dict[str, Any]:
    """A condition with what is behind it."""
    return {
        "kind": j.leaf.kind,
        "name": j.leaf.name,
        "text": condition(model, j.leaf),
        "holds": j.holds,
        "memberships": [membership(m) for m in j.memberships],
        "roles": [role(*r) for r in j.roles],
        "arms": ways(j.leaf.parent, j.arms) if j.leaf.parent is not None else [],
    }


def ways(model: type[Record], found: Sequence[Way]) -> list[dict[str, Any]]:
    """Arms with their conditions."""
    return [{"text": arm(model, w.arm), "holds": w.holds, "conditions": [judged(model, j) for j in w.conditions]} for w in found]
