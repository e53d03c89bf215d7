"""Pickers: a few visible records whose text matches what is typed, never a whole table."""

from collections.abc import Callable
from typing import Any, cast

from flask import Blueprint, Response, request
from sqlalchemy import or_, select

from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import BadRequest, NotFound
from portal.kernel.i18n import _
from portal.web import registry, rows
from portal.web.access import require, signed_in
from portal.web.fields import fields_of
from portal.web.filters import quick_search
from portal.web.resource import Resource, answer

blueprint = Blueprint("lookup", __name__, url_prefix="/lookup")
LIMIT = 20

Item = dict[str, Any]
Finder = Callable[[str, list[int]], list[Item]]
_finders: dict[str, Finder] = {}


def finder(name: str) -> Callable[[Finder], Finder]:
    """Registers a function (typed text, ids) → items for `/lookup/<name>`; with ids it gives those, as far as the viewer sees them."""

    def register(f: Finder) -> Finder:
        _finders[name] = f
        return f

    return register


@blueprint.get("/<name>")
def find(name: str) -> Response:
    """`{"items": [{"id", "text", "hint"}]}` for `?q=…` or `?id=…`."""
    text = request.args.get("q", "").replace("\x00", "").strip()[:100]
    ids = request.args.getlist("id", type=int)[:LIMIT]
    if any(abs(i) > 2**62 for i in ids):
        raise BadRequest(_("Is too large"))
    signed_in()
    if name in _finders:
        return answer({"items": _finders[name](text, ids)})
    resource = registry.resources.get(name)
    if resource is None:
        raise NotFound(_("This record does not exist."))
    require("view", resource.permission())
    return answer({"items": items(resource, text, ids)})


def items(resource: type[Resource], text: str, ids: list[int]) -> list[Item]:
    """Records of *resource* whose text contains *text*, or those with *ids*. One statement."""
    model = cast(type[Any], resource.model)
    names = rows.label_columns(model)
    statement = select(model.id, *(getattr(model, n) for n in names))
    if ids:
        statement = statement.where(model.id.in_(ids))
    else:
        search = list(dict.fromkeys([*(n for n in names if fields_of(model)[n].kind in ("text", "label")), *resource.searched()]))
        conditions = quick_search(model, search, text)
        if conditions:
            statement = statement.where(or_(*(c.on(model) for c in conditions)))
        condition = getattr(model, "lookup_condition", None)
        if condition is not None:
            statement = statement.where(condition())
    found = session().execute(
        statement.order_by(*(getattr(model, n) for n in names if fields_of(model)[n].kind != "json"), model.id).limit(LIMIT)
    )
    return [{"id": row[0], "text": rows.label_of(model, row[1:]), "hint": ""} for row in found]


@finder("people")
def people(text: str, ids: list[int]) -> list[Item]:
    """Active people by name or user name: the directory everybody sees."""
    statement = select(User.id, User.first_name, User.last_name, User.username)
    if ids:
        statement = statement.where(User.id.in_(ids))
    else:
        statement = statement.where(User.active)
        if text:
            whole = User.last_name + User.first_name
            statement = statement.where(or_(whole.icontains(text, autoescape=True), User.username.icontains(text, autoescape=True)))
    found = session().execute(statement.order_by(User.last_name, User.first_name, User.id).limit(LIMIT))
    return [{"id": r.id, "text": rows.person_name(r.first_name, r.last_name) or r.username, "hint": r.username} for r in found]
