"""What the page of one record shows, for the templates: sections, actions, life track, rows that belong to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from markupsafe import Markup

from portal.kernel.document import Record
from portal.kernel.errors import PortalError
from portal.web import forms, listing, paging, registry, words
from portal.web.access import may
from portal.web.declared import Declared
from portal.web.fields import NONE, Field, fields_of
from portal.web.paging import Order
from portal.web.rows import Row
from security.manager import allowed
from security.transitions import Action, Argument, actions_of, available

RELATED_ROWS = 50


@dataclass(frozen=True)
class Related:
    """Rows of *model* whose column *key* points to the record: a tab of its page, or part of its details with *inside*."""

    model: type[Record]
    key: str
    title: Any = ""
    columns: Sequence[str] = ()
    order: Any = ()
    add: bool = True
    inside: bool = False

    def build(self, record: Record, limit: int = RELATED_ROWS) -> dict[str, Any] | None:
        """The tab, with at most *limit* rows; None for people whose roles do not include the model. Two statements."""
        if not may("view", self.model):
            return None
        screen = registry.screens.get(self.model)
        what = cast(type[Declared], type("_Related", (Declared,), {"model": self.model, "list_columns": self.columns, "order": self.order}))
        if screen is not None:
            what = cast(
                type[Declared],
                type("_Related", (screen,), {"list_columns": self.columns or screen.list_columns, "order": self.order or screen.order}),
            )
        names = [n for n in what.listed() if n != self.key]
        page = paging.page(
            self.model,
            lambda e: [getattr(e, self.key) == record.id],
            what.ordered() if self.order or screen else [Order("id", True)],
            limit,
            keys_fixed=True,
        )
        found = what.read(names, page.ids)
        fields = fields_of(self.model)
        shown = [
            {
                "name": n,
                "label": str(what.computed[n].label if n in what.computed else fields[n].label),
                "kind": what.computed[n].kind if n in what.computed else fields[n].kind,
            }
            for n in names
        ]
        addable = self.add and screen is not None and "add" in screen.verbs and may("add", self.model) and self.key in screen.addable()
        return {
            "key": f"{self.model.__tablename__}-{self.key}".replace("_", "-"),
            "title": str(self.title or self.model.__label_plural__ or self.model.__name__),
            "count": f"{words.number(paging.CAP)}+" if page.capped else words.number(page.count),
            "columns": shown,
            "rows": listing.table(what, names, found, lambda r: registry.url_of(self.model, r.id)),
            "add_url": f"{screen.route_base}/add?{self.key}={record.id}" if addable and screen is not None else None,
            "more_url": f"{screen.route_base}/?f.{self.key}={record.id}"
            if screen is not None and self.key in screen.filterable()
            else None,
            "empty": None,
            "inside": self.inside,
        }


def open_tab(asked: str | None, values: Mapping[str, Any]) -> str:
    """The tab that is open at first: the one asked for if the page has it."""
    parts = [*(r for r in values["related"] if not r["inside"]), *values.get("extra_tabs", ())]
    known = {p["key"] for p in parts} | {"history"} | ({"comments"} if values.get("comments") else set())
    return asked if asked is not None and asked in known else "details"


def shown(f: Field, row: Row) -> dict[str, Any]:
    """A field of the page, read only."""
    value = row.values.get(f.name)
    out = forms.control(f, value=value, display=row.display(f), readonly=True)
    out["href"] = registry.url_of(f.target, value) if f.target is not None and row.linked(f) else None
    return out


def sections(what: type[Declared], given: Sequence[tuple[Any, Sequence[str]]], row: Row) -> list[dict[str, Any]]:
    """The fields of the page in their sections."""
    fields = fields_of(what.model)
    built = []
    for name in what.shown():
        if name in what.computed:
            c = what.computed[name]
            built.append(
                {
                    "name": name,
                    "label": str(c.label),
                    "kind": c.kind,
                    "value": row.values.get(name),
                    "display": c.display(row.values.get(name)),
                    "span": 1,
                    "href": None,
                }
            )
        else:
            built.append(shown(fields[name], row))
    resolved = [(title, what.resolve(names)) for title, names in given]
    return forms.sections(resolved, built)


# -------------------------------------------------------------------- actions
def actions(record: Record, base: str) -> list[dict[str, Any]]:
    """What the person may do with it. One statement."""
    return [button(a, f"{base}/{record.id}/{a.name.replace('_', '-')}", ok, why) for a, ok, why in available(record)]


def button(a: Action, url: str, allowed: bool = True, reason: str = "") -> dict[str, Any]:
    """One action for the templates."""
    return {
        "name": a.name,
        "label": str(a.label),
        "icon": a.icon or None,
        "tone": a.tone or None,
        "url": url,
        "allowed": allowed,
        "reason": reason,
        "arguments": [argument(k, v) for k, v in a.arguments.items()],
        "confirm": str(a.confirm) if a.confirm else None,
    }


def argument(name: str, a: Argument) -> dict[str, Any]:
    """A field for what the person gives with an action."""
    kind = "longtext" if a.kind == "text" and a.max_length > 200 else a.kind
    return {
        "name": name,
        "label": str(a.label),
        "kind": kind,
        "value": None,
        "display": NONE,
        "required": a.required,
        "readonly": False,
        "choices": [{"value": k, "label": str(v)} for k, v in a.choices.items()],
        "error": "",
        "help": "",
        "lookup_url": "/lookup/people" if kind == "person" else f"/lookup/{a.lookup}" if a.lookup else None,
        "multiline": kind == "longtext",
        "unit": "",
        "href": None,
        "multiple": False,
        "min": None,
        "max": None,
        "step": None,
        "placeholder": "",
        "tone": None,
        "span": 2,
    }


def bulk(model: type[Record], base: str) -> list[dict[str, Any]]:
    """Actions for several rows at once that the person's roles include."""
    return [button(a, f"{base}/actions/{a.name.replace('_', '-')}") for a in actions_of(model) if a.bulk and may(a.name, model)]


# -------------------------------------------------------------------- state and life
def state(model: type[Record], row: Row) -> dict[str, Any] | None:
    """The state badge."""
    f = fields_of(model).get("state")
    value = row.values.get("state")
    return None if f is None or value is None else {"value": value, "label": row.display(f), "tone": f.tone(value)}


def track(model: type[Record], steps: Sequence[str], value: str | None) -> list[dict[str, Any]]:
    """The steps of its life: done, current, to come; a state off the track stands at its end."""
    if not steps or value is None:
        return []
    f = fields_of(model)["state"]
    names = list(steps) if value in steps else [*steps, value]
    at = names.index(value)
    out: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        kind = "current" if i == at else "done" if i < at and value in steps else "off" if value not in steps else "todo"
        out.append({"label": str(f.choices.get(name, name)), "state": kind, "at": None, "by": None})
    return out


def who_sees(model: type[Record], pk: int) -> str | None:
    """Where those who watch over access read who sees the record, and why."""
    url = f"/administration/who-sees-what/?type={model.permission_name()}&record=%23{pk}"
    return url if allowed("view", "security.Visibility") else None


def head(model: type[Record], row: Row, record: Record, title: str) -> dict[str, Any]:
    """The record for the head of its page."""
    values: Mapping[str, Any] = row.values
    return {
        "id": record.id,
        "number": values.get("number"),
        "title": title,
        "state": state(model, row),
        "version": record.version,
        "archived": record.archived_at is not None,
        "resource": getattr(registry.resource_of(model), "resource_name", None),
        "subtitle": None,
    }


def refusal(error: PortalError) -> Markup | str:
    """What the error says; the records it names as links."""
    links = [x for used in error.fields.get("used_by", ()) for x in used["records"] if x["url"]] if error.code == "in_use" else []
    if not links:
        return str(error)
    return Markup("{} {}").format(error, Markup(" ").join(Markup('<a href="{}">{}</a>').format(x["url"], x["text"]) for x in links))
