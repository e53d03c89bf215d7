"""Pages of records: keyset paging with a capped count, fast for everybody from those who see nothing to those who see all.

A plain `ORDER BY day DESC LIMIT 25` walks the whole day index for a person who sees few rows. A model may name the columns its
rule compares with the viewer's ids: `__axes__ = (("author_id", "staff"), ("project_id", "managed_projects"))`, with an index
`(axis, day desc, id desc)` on each. Then the newest rows of every visible key are taken from the index and merged.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from sqlalchemy import ColumnElement, and_, bindparam, false, func, literal, or_, select, true, tuple_, union

from portal.kernel.db import Ids, PlainTable, session
from portal.kernel.errors import BadRequest
from portal.kernel.i18n import _, language
from portal.web.fields import Field, FieldError, fields_of
from security.visibility import Context, context

CAP = 1000
MAX_KEYS = 400
MAX_SIZE = 200
DEFAULT_SIZE = 25
MAX_OFFSET = 10_000

Where = Callable[[Any], Sequence[ColumnElement[bool]]]
"""Conditions over an entity: the model or an alias of it."""


@dataclass(frozen=True)
class Order:
    """One column of the order."""

    name: str
    desc: bool = False


@dataclass(frozen=True)
class Slice:
    """One page: its ids in order, how many there are in all (at most `CAP`, then *capped*), and where the neighbours start."""

    ids: list[int]
    count: int
    capped: bool
    next: str | None = None
    prev: str | None = None


def no_condition(entity: Any) -> Sequence[ColumnElement[bool]]:
    """Every visible row."""
    return ()


def page(
    model: type[Any],
    where: Where = no_condition,
    order: Sequence[Order] = (),
    limit: int = DEFAULT_SIZE,
    *,
    after: str | None = None,
    before: str | None = None,
    offset: int = 0,
    keys_fixed: bool = False,
    archived: bool = False,
    exact: bool = False,
) -> Slice:
    """The page of visible records of *model* that match *where*. One statement.

    *after* / *before* are cursors of a neighbouring page. *keys_fixed* says that the conditions already pin an axis column.
    Raises BadRequest for a cursor of another order.
    """
    keys = complete(order)
    start = after or before
    cursor = decode(model, keys, start) if start else None
    back = before is not None and not after
    options: dict[str, Any] = {"include_archived": True} if archived else {}

    def conditions(entity: Any) -> list[ColumnElement[bool]]:
        extra = [entity.archived_at.is_not(None)] if archived else []
        return [*where(entity), *extra]

    def window(entity: Any) -> list[ColumnElement[bool]]:
        tail = [_beyond(model, entity, keys, cursor, back)] if cursor is not None else []
        return [*conditions(entity), *tail]

    axes = None if keys_fixed or archived else _sparse_axes(model, keys, context())
    counted = _count(model, conditions, keys, axes, exact).scalar_subquery()
    columns = [model.id.label("_id"), counted.label("_count"), *(_expression(model, model, k).label(f"k{i}") for i, k in enumerate(keys))]
    if axes is not None and not offset:
        top = _merged(model, keys, axes, window, limit + 1, back)
        statement = select(*columns).where(false()) if top is None else select(*columns).join(top, model.id == top.c.id)
    else:
        statement = select(*columns).where(*window(model))
    found = session().execute(
        statement.order_by(*_order_by(model, model, keys, back)).limit(limit + 1).offset(offset or None), execution_options=options
    )
    rows = list(found)
    more = len(rows) > limit
    rows = rows[:limit]
    count = rows[0]._count if rows else (0 if cursor is None and not offset else _recount(counted, model, options))
    if back:
        rows.reverse()
    capped = not exact and count > CAP
    has_next = more if not back else True
    has_prev = more if back else cursor is not None or offset > 0
    return Slice(
        ids=[r._id for r in rows],
        count=CAP if capped else count,
        capped=capped,
        next=encode(model, keys, rows[-1]) if rows and has_next else None,
        prev=encode(model, keys, rows[0]) if rows and has_prev else None,
    )


def _recount(counted: Any, model: type[Any], options: dict[str, Any]) -> int:
    # past the last row no row carries the count
    entity = select(model.id, counted.label("n")).limit(1)
    row = session().execute(entity, execution_options=options).first()
    return cast(int, row.n) if row else 0


def complete(order: Sequence[Order]) -> list[Order]:
    """*order* ended by the id, so that no two rows tie."""
    keys = [o for o in order if o.name != "id"]
    ids = [o for o in order if o.name == "id"]
    return [*keys, ids[0] if ids else Order("id", keys[-1].desc if keys else True)]


# -------------------------------------------------------------------- order and cursor
def _expression(model: type[Any], entity: Any, key: Order) -> Any:
    f = fields_of(model)[key.name]
    column = f.expression(entity)
    if f.kind == "label":
        return func.coalesce(column[language()].astext, column["zh"].astext, "")
    return column


def _nullable(f: Field) -> bool:
    return f.nullable and f.kind != "label"


def _order_by(model: type[Any], entity: Any, keys: Sequence[Order], back: bool) -> list[Any]:
    out = []
    for k in keys:
        e = _expression(model, entity, k)
        e = e.desc() if k.desc != back else e.asc()
        if _nullable(fields_of(model)[k.name]):  # empty ones last, in both directions
            e = e.nulls_first() if back else e.nulls_last()
        out.append(e)
    return out


def _beyond(model: type[Any], entity: Any, keys: Sequence[Order], values: Sequence[Any], back: bool) -> ColumnElement[bool]:
    fields = fields_of(model)
    if len({k.desc for k in keys}) == 1 and not any(_nullable(fields[k.name]) for k in keys):
        columns = [_expression(model, entity, k) for k in keys]
        row, bound = tuple_(*columns), tuple_(*(literal(v, c.type) for v, c in zip(values, columns, strict=True)))
        return row < bound if keys[0].desc != back else row > bound
    result: ColumnElement[bool] = false()
    for k, v in reversed(list(zip(keys, values, strict=True))):
        e = _expression(model, entity, k)
        if v is None:
            past, same = (e.is_not(None) if back else false()), e.is_(None)
        else:
            past = e < v if k.desc != back else e > v
            if _nullable(fields[k.name]) and not back:
                past = or_(past, e.is_(None))
            same = e == v
        result = or_(past, and_(same, result))
    return result


def encode(model: type[Any], keys: Sequence[Order], row: Any) -> str:
    """The cursor of *row*: the values of its order columns."""
    fields = fields_of(model)
    values = [fields[k.name].to_json(getattr(row, f"k{i}")) for i, k in enumerate(keys)]
    return base64.urlsafe_b64encode(orjson.dumps([_signature(keys), *values])).decode().rstrip("=")


def decode(model: type[Any], keys: Sequence[Order], cursor: str) -> list[Any]:
    """The values in *cursor*. Raises BadRequest when it is not one of this order."""
    fields = fields_of(model)
    try:
        got = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(got, list) or len(got) != len(keys) + 1 or got[0] != _signature(keys):
            raise ValueError(cursor)
        return [_value(fields[k.name], v) for k, v in zip(keys, got[1:], strict=True)]
    except (ValueError, binascii.Error, FieldError):
        raise BadRequest(_("This page address is no longer valid; start from the first page."), code="bad_cursor") from None


def _value(f: Field, raw: Any) -> Any:
    if raw is None:
        if not f.nullable:
            raise FieldError(f.name)
        return None
    if f.kind in ("label", "text", "longtext", "choice", "state", "email"):
        if not isinstance(raw, str) or "\x00" in raw:
            raise FieldError(f.name)
        return raw
    return f.from_json(raw)


def _signature(keys: Sequence[Order]) -> str:
    return ",".join(("-" if k.desc else "") + k.name for k in keys)


# -------------------------------------------------------------------- few visible keys: newest rows of each
def _sparse_axes(model: type[Any], keys: Sequence[Order], ctx: Context) -> list[tuple[str, list[int]]] | None:
    axes = getattr(model, "__axes__", None)
    if not axes or ctx.system or [(k.name, k.desc) for k in keys] != [("day", True), ("id", True)]:
        return None
    if any(scope in ctx.scopes for scope in getattr(model, "wide", {})):
        return None
    arrays = [(column, ctx.seen_ids(name)) for column, name in axes]
    return arrays if sum(len(ids) for _column, ids in arrays) <= MAX_KEYS else None


def _along(model: type[Any], column: str, key: Any, conditions: Where) -> tuple[Any, list[Any]]:
    # The axis keys are the viewer's own ids, so the criterion says nothing new here, and it spoils the planner's estimates: a bitmap
    # of everything visible instead of the first rows of an index. The rows found are joined to the model, where all rules hold.
    m = PlainTable(model)
    return m, [getattr(m, column) == key.c.v, m.archived_at.is_(None), *conditions(m)]


def _keys(ids: Sequence[int]) -> Any:
    return func.unnest(bindparam(None, list(ids), Ids(), unique=True)).table_valued("v").render_derived()


def _count(model: type[Any], conditions: Where, keys: Sequence[Order], axes: Sequence[tuple[str, list[int]]] | None, exact: bool) -> Any:
    """How many rows there are, counted only as far as the cap and never by reading the whole table."""
    if axes is not None and not exact:
        parts = []
        for column, ids in axes:
            if ids:
                key = _keys(ids)
                m, mine_only = _along(model, column, key, conditions)
                # its own limit keeps the planner from joining, which would read the table in sequence
                mine = select(m.id.label("id")).where(*mine_only).limit(CAP + 1).lateral()
                parts.append(select(mine.c.id).select_from(key.join(mine, true())).limit(CAP + 1).subquery())
        if not parts:
            return select(literal(0))
        some = union(*(select(p.c.id) for p in parts)).subquery() if len(parts) > 1 else parts[0]
        return select(func.least(func.count(), CAP + 1)).select_from(some)
    total: Any = select(literal(1)).select_from(model).where(*conditions(model))
    if not exact:
        if keys[0].name == "day":
            total = total.order_by(*_order_by(model, model, keys, False))  # along the index, not the table from its beginning
        total = total.limit(CAP + 1)
    return select(func.count()).select_from(total.subquery())


def _merged(
    model: type[Any], keys: Sequence[Order], axes: Sequence[tuple[str, list[int]]], window: Where, limit: int, back: bool
) -> Any | None:
    parts = []
    for column, ids in axes:
        if not ids:
            continue
        visible_key = _keys(ids) if len(ids) <= limit else _newest_keys(model, keys, column, ids, window, limit, back)
        m, mine_only = _along(model, column, visible_key, window)
        newest = (
            select(m.id.label("id"), m.day.label("day")).where(*mine_only).order_by(*_order_by(model, m, keys, back)).limit(limit).lateral()
        )
        parts.append(select(newest.c.id, newest.c.day).select_from(visible_key.join(newest, true())))
    if not parts:
        return None
    merged = (union(*parts) if len(parts) > 1 else parts[0]).subquery()
    by = [merged.c.day, merged.c.id]
    return select(merged.c.id).order_by(*(c.asc() if back else c.desc() for c in by)).limit(limit).subquery()


def _newest_keys(model: type[Any], keys: Sequence[Order], column: str, ids: Sequence[int], window: Where, limit: int, back: bool) -> Any:
    """The keys whose first row is among the first *limit*: no other key can have a row on the page."""
    key = _keys(ids)
    m, mine_only = _along(model, column, key, window)
    first = select(m.id.label("id"), m.day.label("day")).where(*mine_only).order_by(*_order_by(model, m, keys, back)).limit(1).lateral()
    by = [first.c.day, first.c.id]
    return (
        select(key.c.v).select_from(key.join(first, true())).order_by(*(c.asc() if back else c.desc() for c in by)).limit(limit).subquery()
    )
