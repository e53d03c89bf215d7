"""What a list page shows, for the templates: columns, cells, filters, tabs, pager."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from portal.kernel.i18n import _
from portal.web import forms, registry, rows, words
from portal.web.declared import Declared
from portal.web.fields import NONE, Field, fields_of
from portal.web.filters import CHOSEN, Condition, several, together
from portal.web.paging import CAP, Slice
from portal.web.query import Query, orderable
from portal.web.rows import Row

PAGE_ARGS = ("after", "before", "count")
NAMED = 5
"""Values of a condition that are named; the rest is counted."""

Args = Mapping[str, list[str]]


def address(base: str, args: Args, **changed: Any) -> str:
    """*base* with *args*, of which *changed* are replaced (None: left out)."""
    merged: dict[str, Any] = {k: v for k, v in args.items() if k not in changed}
    merged |= {k: v for k, v in changed.items() if v is not None}
    pairs = [(k, v) for k, vs in merged.items() for v in (together(several(vs)) if isinstance(vs, list) else [vs]) if v != ""]
    text = urlencode(pairs, safe=",")
    return f"{base}?{text}" if text else base


def without(args: Args, *names: str) -> dict[str, list[str]]:
    """*args* without *names* and without the place in the list."""
    return {k: v for k, v in args.items() if k not in names and k not in PAGE_ARGS}


# -------------------------------------------------------------------- cells
def cell(f: Field, row: Row) -> dict[str, Any]:
    """One cell."""
    value = row.values.get(f.name)
    shown = row.display(f)
    if f.kind == "money" and value is not None and not value:
        shown = NONE
    href = registry.url_of(f.target, value) if f.target is not None and row.linked(f) else None
    return {
        "kind": f.kind,
        "display": shown,
        "value": forms.plain(f, value),
        "href": href,
        "tone": f.tone(value) if f.kind in ("state", "choice") and value is not None else None,
        "hint": None,
    }


def cells(what: type[Declared], names: Sequence[str], row: Row) -> dict[str, dict[str, Any]]:
    """All cells of a row, by column."""
    fields, out = fields_of(what.model), {}
    for name in names:
        if name in what.computed:
            c, value = what.computed[name], row.values.get(name)
            out[name] = {
                "kind": c.kind,
                "display": c.display(value),
                "value": value,
                "href": None,
                "tone": getattr(value, "level", None),
                "hint": None,
            }
        else:
            out[name] = cell(fields[name], row)
    return out


def title(what: type[Declared], names: Sequence[str], row: Row) -> str:
    """How a row is called: the texts of the record's label columns, else of its first column."""
    known = [n for n in rows.label_columns(what.model) if n in row.values]
    if known and len(known) == len(rows.label_columns(what.model)):
        return rows.label_of(what.model, [row.values[n] for n in known])
    first = next(iter(names), "id")
    return row.display(fields_of(what.model)[first]) if first not in what.computed else str(row.id)


def table(what: type[Declared], names: Sequence[str], found: Sequence[Row], url: Callable[[Row], str | None]) -> list[dict[str, Any]]:
    """Rows for the templates."""
    return [
        {
            "id": r.id,
            "url": url(r),
            "label": title(what, names, r),
            "version": r.values.get("version"),
            "cells": cells(what, names, r),
            "tone": None,
            "actions": [],
        }
        for r in found
    ]


# -------------------------------------------------------------------- columns
def columns(what: type[Declared], shown: Sequence[str], q: Query, base: str, args: Args) -> list[dict[str, Any]]:
    """All columns that may be shown, those *shown* first and in that order."""
    fields = fields_of(what.model)
    able = orderable(what.model)
    out: list[dict[str, Any]] = []
    first = next(iter(q.order), None)
    for name in [*shown, *(n for n in [*what.listed(), *what.shown()] if n not in shown)]:
        if any(c["name"] == name for c in out):
            continue
        kind = what.computed[name].kind if name in what.computed else fields[name].kind
        label = what.computed[name].label if name in what.computed else fields[name].label
        is_sorted = first is not None and first.name == name
        turned = f"-{name}" if is_sorted and first is not None and not first.desc else name
        out.append(
            {
                "name": name,
                "label": str(label),
                "kind": kind,
                "sort_url": address(base, without(args, "sort"), sort=turned) if name in able else None,
                "sorted": ("desc" if first.desc else "asc") if is_sorted and first is not None else None,
                "shown": name in shown,
                "locked": bool(shown) and name == shown[0],
                "total": None,
                "phone": None,
            }
        )
    return out


def totals(built: Sequence[dict[str, Any]], found: Sequence[Row], what: type[Declared], wanted: Sequence[str]) -> None:
    """The sums of this page under the columns *wanted*."""
    for c in built:
        if c["name"] in wanted and c["shown"] and found:
            values = [r.values.get(c["name"]) for r in found]
            total = sum((v for v in values if v is not None), start=0)
            c["total"] = (
                words.hours(total)
                if c["kind"] == "hours"
                else words.decimal(total)
                if c["kind"] in ("money", "decimal")
                else words.number(total)
            )


# -------------------------------------------------------------------- filters
def filters(what: type[Declared], q: Query, base: str, args: Args) -> list[dict[str, Any]]:
    """Every possible filter, the active ones with their value in words. One statement per reference that is filtered by."""
    fields = fields_of(what.model)
    out = []
    for name in what.filterable():
        f = fields[name]
        if name == "id":
            continue
        mine = [c for c in q.conditions if c.field.name == name]
        texts = _texts(f, mine)
        key = f"f.{name}"
        out.append(
            {
                "name": name,
                "label": str(f.label),
                "kind": f.kind,
                "value": _chosen(f, several(args.get(key, [])), texts) if f.kind in CHOSEN else args.get(key, [None])[-1],
                "value_from": args.get(f"{key}.from", [None])[-1],
                "value_to": args.get(f"{key}.to", [None])[-1],
                "display": ", ".join(_words(c, texts) for c in mine),
                "active": bool(mine),
                "remove_url": address(base, without(args, key, f"{key}.from", f"{key}.to")) if mine else None,
                "choices": [{"value": k, "label": str(v)} for k, v in f.choices.items()],
                "lookup_url": forms.lookup_url(f),
            }
        )
    return [f for f in out if f["kind"] not in ("ref", "person") or f["lookup_url"] or f["active"]]


def _texts(f: Field, mine: Sequence[Condition]) -> Mapping[int, str]:
    """Words of the records the conditions of a reference name, as far as the reader may see them."""
    asked = {v for c in mine for v in (c.value if isinstance(c.value, list) else [c.value]) if isinstance(v, int)}
    return rows.labels(f.target, sorted(asked)) if f.target is not None and asked else {}


def _chosen(f: Field, values: Sequence[str], texts: Mapping[int, str]) -> list[Any]:
    """The values a condition holds: those of a reference with their words."""
    if f.target is None:
        return list(values)
    return [{"value": v, "label": texts.get(int(v), NONE) if v.isdecimal() else NONE} for v in values]


def _words(c: Condition, texts: Mapping[int, str]) -> str:
    values = c.value if isinstance(c.value, list) else [c.value]
    if c.field.target is not None:
        shown = [texts.get(v, NONE) for v in values]
    else:
        shown = [c.field.display(v) if c.operator != "ct" else str(v) for v in values]
    text = str(_(", ")).join(shown[:NAMED])
    if len(shown) > NAMED:
        text = str(_("%(names)s and %(n)s more", names=text, n=len(shown) - NAMED))
    match c.operator:
        case "ge":
            return str(_("from %(value)s", value=text))
        case "le":
            return str(_("until %(value)s", value=text))
        case "lt":
            return str(_("before %(value)s", value=text))
        case "ct":
            return str(_("contains “%(value)s”", value=text))
    return text


# -------------------------------------------------------------------- pager
def pager(page: Slice, q: Query, base: str, args: Args) -> dict[str, Any]:
    """Where the neighbours are, and how many rows there are in all."""
    rest = without(args)
    on_first = page.prev is None
    return {
        "first": 1 if on_first and page.ids else None,
        "last": len(page.ids) if on_first else None,
        "count": _("%(n)s+", n=words.number(CAP)) if page.capped else words.number(page.count),
        "prev_url": address(base, rest, before=page.prev) if page.prev else None,
        "next_url": address(base, rest, after=page.next) if page.next else None,
        "exact_url": address(base, rest, count="exact") if page.capped else None,
    }
