"""Records on paper: PDF with the Chinese font embedded, amounts in capital characters on Chinese forms (ALL-11, ALL-12).

A form is data for the template `record.typ`: what people typed never becomes markup.  Typst compiles it without system files,
packages or a network.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson
import typst
from flask import Response, send_file

from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.document import LegalEntity
from portal.kernel.i18n import _, language
from portal.kernel.money import capital_amount
from portal.web import recordpage, records, words
from portal.web.fields import NONE, fields_of
from security.visibility import context

if TYPE_CHECKING:
    from portal.web.screen import Screen

TEMPLATE = Path(__file__).parent / "templates" / "portal" / "record.typ"
LINES = 2_000
"""Lines of a table that are printed; the others are counted."""
_FIGURES = ("money", "decimal", "hours", "integer")
_NOWHERE = "/nonexistent"


def respond(screen: "Screen", pk: int) -> Response:
    """The page of record *pk* as PDF, for the browser to show. Raises NotFound."""
    made = form(screen, pk)
    return send_file(BytesIO(pdf(made)), mimetype="application/pdf", download_name=f"{made['reference']}.pdf", max_age=0)


def pdf(form: Mapping[str, Any]) -> bytes:
    """*form* (see `form`) as PDF/A-2b; as plain PDF with the fonts of the machine when it holds characters that our font lacks."""
    given = {"data": orjson.dumps(form, default=str).decode()}
    try:
        return _compiled(given, _fonts(False), ["a-2b"])
    except typst.TypstError as e:
        if "could not be displayed" not in str(e):
            raise
        return _compiled(given, _fonts(True), [])


def _compiled(given: dict[str, str], fonts: Any, standards: list[Literal["a-2b"]]) -> bytes:
    out = typst.compile(
        str(TEMPLATE),
        root=str(TEMPLATE.parent),
        font_paths=fonts,
        sys_inputs=given,
        pdf_standards=standards,  # type: ignore[arg-type]
        package_path=_NOWHERE,
        package_cache_path=_NOWHERE,
    )
    return bytes(out)


@cache
def _fonts(system: bool) -> Any:
    folder = distribution("pylopdf-fonts-zh-cn").locate_file("pylopdf_fonts_zh_cn")
    return typst.Fonts(include_system_fonts=system, include_embedded_fonts=False, font_paths=[str(folder)])


def form(screen: "Screen", pk: int) -> dict[str, Any]:
    """What the page of record *pk* shows, as data for the template: facts by section, the tables within it, places to sign.

    Raises NotFound for whoever does not see it.
    """
    record, _may = records.get(screen.model, pk, archived=True)
    names = [*screen.shown(), *(n for n in ("number", "state") if n in fields_of(screen.model))]
    found = screen.read(list(dict.fromkeys(names)), [pk], archived=True)
    if not found:
        raise records.not_found()
    row, ctx = found[0], context()
    kind, number = str(screen.model.__label__ or screen.menu_label()), str(row.values.get("number") or "")
    state = recordpage.state(screen.model, row)
    related = [r.build(record, LINES) for r in screen.related if r.inside]
    return {
        "lang": language(),
        "company": _company(getattr(record, "entity_id", None) or ctx.entity_id),
        "reference": f"{kind} {number or f'#{record.id}'}",
        "printed": _("Printed by %(who)s, %(at)s", who=ctx.name or ctx.username, at=words.moment(calendar.now())),
        "title": kind,
        "heading": screen.heading(record, row),
        "number": f"{_('Number')} {number}" if number else "",
        "state": " · ".join([*([f"{_('State')} {state['label']}"] if state else []), *([_("Archived")] if record.archived_at else [])]),
        "sections": [
            {"title": s["title"], "fields": [_fact(f) for f in s["fields"]]}
            for s in recordpage.sections(type(screen), screen.sections, row)
            if s["fields"]
        ],
        "tables": [_table(r) for r in related if r is not None and r["rows"]],
        "signatures": [str(s) for s in screen.signatures],
        "words": {"page": _("Page {n} of {of}")},
    }


def _company(entity_id: int | None) -> str:
    entity = session().get(LegalEntity, entity_id) if entity_id else None
    return str(entity) if entity is not None else _("Shuniu")


def _fact(f: Mapping[str, Any]) -> dict[str, Any]:
    shown, money = f["display"], f["kind"] == "money" and f["value"] is not None
    return {
        "label": f["label"],
        "value": "" if shown == NONE else str(shown),
        "wide": f.get("span") == 2 or f["kind"] == "longtext",
        "capital": capital_amount(Decimal(str(f["value"]))) if money and language() == "zh" else "",
    }


def _table(related: Mapping[str, Any]) -> dict[str, Any]:
    columns = related["columns"]
    lines = [[str(one["cells"][c["name"]]["display"]) for c in columns] for one in related["rows"]]
    more = len(lines) == LINES
    return {
        "title": related["title"],
        "columns": [{"label": c["label"], "right": c["kind"] in _FIGURES} for c in columns],
        "rows": lines,
        "note": _("Only the first %(n)s lines are printed.", n=words.number(LINES)) if more else "",
    }
