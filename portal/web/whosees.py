"""Who sees what, and why: asked by a person, a record, or both. The page shows how records are called, never what is in them (VIS-10)."""

import re
from typing import Any
from urllib.parse import urlsplit

from flask import request

from portal.kernel.document import Record, records
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.i18n import _, _l
from portal.kernel.module import all_modules, memberships, module_of
from portal.kernel.module import scopes as scopes_declared
from portal.web import reasons, registry, words
from portal.web.access import MAX_ID
from portal.web.administration import LAYERS
from portal.web.page import Page, route
from security import explain, questions
from security.arms import Arm
from security.explain import Found, Person

PERMISSION = "security.Visibility"
SIZE = explain.LISTED


# -------------------------------------------------------------------- what is asked about
def models() -> dict[str, type[Record]]:
    """Every type of record by its name."""
    return {m.permission_name(): m for m in records()}


def asked_person(given: str) -> Person | None:
    """The person with that id; nobody was named when it is empty. Raises NotFound."""
    if not given.strip():
        return None
    found = explain.person_of(int(given)) if given.strip().isdecimal() and len(given) < 11 and int(given) < 2**31 else None
    if found is None:
        raise NotFound(_("There is no such person."))
    return found


def asked_record(kind: str, given: str) -> Found | None:
    """The record with that id or number of type *kind*, or at that address. Raises Invalid, NotFound."""
    given = given.replace("\x00", "").strip()[:500]
    if not given:
        return None
    at = _at(given) if "/" in given else None
    if at is not None:
        return at
    known = models()
    if kind and kind not in known:
        raise Invalid({"type": _("There is no such type of record.")})
    found: list[Found] = []
    plain = given.removeprefix("#")
    if kind and plain.isdecimal() and len(plain) < 20 and int(plain) <= MAX_ID:
        found = explain.find(known[kind], pk=int(plain))
    if not found or plain == given:  # what is no `#id` may be both: the id of one record and the number of another
        for model in [known[kind]] if kind else known.values():
            if "number" in model.__table__.c:
                found += [f for f in explain.find(model, number=given) if f not in found]
    if len(found) > 1:
        raise Invalid({"record": _("Several records have this number. Choose the type, or give the id as #id.")})
    if not found:
        if "/" in given:
            raise Invalid({"record": _("This is not the address of a record.")})
        if not kind and plain.isdecimal():
            raise Invalid({"type": _("Choose the type of the record, too.")})
        raise NotFound(_("There is no such record, not even an archived one."))
    return found[0]


def _at(address: str) -> Found | None:
    """The record at *address*; None when it is no address of records (numbers may have slashes, too)."""
    try:
        path = urlsplit(address).path
    except ValueError:
        return None
    bases = {s.route_base: m for m, s in registry.screens.items()} | {r.route_base: r.model for r in registry.resources.values()}
    for base, model in bases.items():
        at = re.match(rf"{re.escape(base)}/(\d{{1,18}})(?:/|$)", path)
        if at:
            found = explain.find(model, pk=int(at[1]))
            if not found:
                raise NotFound(_("There is no such record, not even an archived one."))
            return found[0]
    return None


# -------------------------------------------------------------------- answers, as JSON; the page shows the same
def check(person: Person, record: Found) -> dict[str, Any]:
    """Whether and why a person sees a record."""
    got = explain.verdict(person, record)
    questions.keep(person, record)
    return {
        "person": reasons.person(person),
        "record": reasons.record(record),
        "visible": got.visible,
        "page": got.view if _has_page(record.model) else None,
        "arms": reasons.ways(record.model, got.ways),
    }


def people(record: Found, page: int = 1, size: int = SIZE) -> dict[str, Any]:
    """Everybody who sees a record, *size* on a page."""
    total, found = explain.seers(record, size, (page - 1) * size)
    questions.keep(None, record)
    shown = [
        reasons.person(s.person) | {"arms": [w for w in reasons.ways(record.model, s.ways) if w["holds"]]} for s in found
    ]  # fmt: skip
    return {"record": reasons.record(record), "count": total, "result": shown}


def rows(person: Person) -> dict[str, Any]:
    """What a person sees of each type of record, and the memberships and roles behind it."""
    every = sorted(records(), key=lambda m: (_place(m), reasons.label(m)))
    found = explain.accesses(person, every)
    scopes = sorted({leaf.name for a in found for arm, _n in a.arms for leaf in arm.leaves if leaf.kind == "scope"})
    names = sorted(explain.contexts_needed(every))
    standing = explain.standing(person, names, scopes)
    questions.keep(person, None)
    return {
        "person": reasons.person(person),
        "result": [
            {
                "type": a.model.permission_name(),
                "label": str(a.model.__label_plural__ or reasons.label(a.model)),
                "count": min(a.rows, explain.CAP),
                "count_capped": a.rows > explain.CAP,
                "arms": [
                    {"text": reasons.arm(a.model, arm), "count": min(n, explain.CAP), "count_capped": n > explain.CAP, "needs": _needs(arm)}
                    for arm, n in a.arms
                ],
            }
            for a in found
        ],
        "memberships": {
            name: {
                "of": str(memberships[name].of),
                "result": [reasons.membership(m) for m in standing.memberships[name]],
                "more": standing.more[name],
            }
            for name in names
        },
        "roles": [{"scope": s, "text": str(scopes_declared[s].label)} | reasons.role(key, label) for s, key, label in standing.roles],
    }


def _needs(arm: Arm) -> list[str]:
    return sorted({leaf.name for leaf in arm.leaves if leaf.kind in ("context", "scope")})


def _has_page(model: type[Record]) -> bool:
    return model in registry.screens or registry.resource_of(model) is not None


def _place(model: type[Record]) -> str:
    """The words of the module."""
    name = module_of(model)
    found = next((m for m in all_modules() if m.name == name), None)
    return str(found.label if found is not None and found.label else LAYERS.get(name, name))


# -------------------------------------------------------------------- the page
class WhoSeesWhat(Page):
    """Who sees what, and why."""

    name = PERMISSION
    route_base = "/administration/who-sees-what"
    title = _l("Who sees what")
    menu = "Administration"
    menu_order = 12
    icon = "eye"
    default_view = "ask"

    @route("/")
    def ask(self) -> Any:
        """The question in the address, and its answer."""
        given = {k: request.args.get(k, "") for k in ("person", "type", "record")}
        page = max(1, min(request.args.get("page", 1, type=int) or 1, 10_000))
        values: dict[str, Any] = {"answer": None, "kind": "", "errors": {}, "problem": ""}
        status = 200
        person: Person | None = None
        record: Found | None = None
        try:
            person = asked_person(given["person"])
            record = asked_record(given["type"], given["record"])
        except Invalid as e:
            values["errors"], status = {k: str(v) for k, v in e.fields.items()}, 422
        except NotFound as e:
            values["problem"], status = str(e), 404
        else:
            values |= self._answered(person, record, page)
        types: dict[str, list[dict[str, str]]] = {}
        for key, model in sorted(models().items(), key=lambda kv: (_place(kv[1]), reasons.label(kv[1]))):
            types.setdefault(_place(model), []).append({"value": key, "label": reasons.label(model)})
        chosen = record.model.permission_name() if record else given["type"]
        rendered = self.render(
            "administration/who_sees_what.html",
            given=given | {"type": chosen},
            person=reasons.person(person) if person else None,
            record=reasons.record(record) | {"name": reasons.name(record)} if record else None,
            types=types,
            **values,
        )
        return rendered, status

    def _answered(self, person: Person | None, record: Found | None, page: int) -> dict[str, Any]:
        if person is not None and record is not None:
            return {"kind": "check", "answer": check(person, record)}
        if record is not None:
            got = people(record, page)
            last = max(1, -(-got["count"] // SIZE))
            if page > last:
                page, got = last, people(record, last)
            here = f"{self.route_base}/?type={record.model.permission_name()}&record=%23{record.id}&page="
            pager = {
                "first": (page - 1) * SIZE + 1,
                "last": (page - 1) * SIZE + len(got["result"]),
                "count": words.number(got["count"]),
                "prev_url": f"{here}{page - 1}" if page > 1 else None,
                "next_url": f"{here}{page + 1}" if page * SIZE < got["count"] else None,
            }
            return {"kind": "people", "answer": got, "pager": pager}
        if person is not None:
            got = rows(person)
            for r in got["result"]:
                r["shown"] = _capped(r)
                r["arms"] = [a | {"shown": _capped(a)} for a in r["arms"] if a["count"]]
            return {"kind": "rows", "answer": got}
        return {}


def _capped(counted: dict[str, Any]) -> str:
    return words.number(counted["count"]) + ("+" if counted["count_capped"] else "")
