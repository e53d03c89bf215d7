"""Reading and changing one record: the same for forms and REST.

A model may have hooks: `before_create(self, ctx)` fills what the person may not choose (author, labels), `before_update(self, ctx)`
runs before a change is stored, `before_archive` and `before_restore` before a record is put away and taken back; each may raise
`Invalid` or `Refusal`. `defaults(cls, ctx) -> dict` prefills the form for a new one.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from sqlalchemy import func, literal, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import aliased
from sqlalchemy.orm.exc import StaleDataError

from portal.kernel.db import session
from portal.kernel.document import Record, User, records
from portal.kernel.errors import Conflict, Forbidden, Invalid, NotFound, PortalError, Refusal
from portal.kernel.i18n import _, listed
from portal.web import dberrors, registry, rows
from portal.web.access import may
from portal.web.fields import fields_of
from security.transitions import state_label
from security.visibility import acting, changeable, context, visible

R = TypeVar("R", bound=Record)


def not_found() -> NotFound:
    """The one answer for what does not exist and what may not be seen."""
    return NotFound(_("This record does not exist."))


def get(model: type[R], pk: int, *, archived: bool = False) -> tuple[R, bool]:
    """The record and whether the person may change it. One statement. Raises NotFound."""
    statement = select(model, changeable(model, model, context()).label("may_change")).where(model.id == pk)
    options: dict[str, Any] = {"populate_existing": True, "include_archived": archived}
    row = session().execute(statement, execution_options=options).one_or_none()
    if row is None:
        raise not_found()
    return row[0], bool(row[1])


def create(model: type[R], values: Mapping[str, Any]) -> R:
    """A new record from checked *values*. Raises Invalid, Forbidden, Refusal."""
    check_references(model, values)
    fields, record = fields_of(model), model()
    for name, value in values.items():
        fields[name].put(record, value)
    hook = getattr(record, "before_create", None)
    if hook is not None:
        hook(context())
    session().add(record)
    flush()
    return record


def change(model: type[R], pk: int, values: Mapping[str, Any], version: int | None) -> R:
    """Record *pk* with *values* set. Raises NotFound, Forbidden, Conflict (another *version* is stored), Invalid, Refusal."""
    record, may_change = get(model, pk)
    if not may_change:
        raise read_only(record)
    if version is not None and version != record.version:
        raise conflict(record, values)
    fields = fields_of(model)
    changed = {k: v for k, v in values.items() if fields[k].of(record) != v}
    if not changed:
        return record
    check_references(model, changed)
    for name, value in changed.items():
        fields[name].put(record, value)
    hook = getattr(record, "before_update", None)
    if hook is not None:
        hook(context())
    seen = record.version
    try:
        flush()
    except StaleDataError:  # a policy that forbids looks like a stale row
        _take_back()
        fresh, _may = get(model, pk)
        if fresh.version == seen:
            raise read_only(fresh) from None
        raise conflict(fresh, values) from None
    return record


def read_only(record: Record) -> PortalError:
    """Why the person may not change a record they see: its state, or it is not theirs to change."""
    editable = type(record).EDITABLE
    if editable is not None and cast(Any, record).state not in editable:
        return Refusal(_("In state “%(state)s” this record is read-only.", state=state_label(record)), code="wrong_state")
    return Forbidden(_("You may see this record, but not change it."))


def conflict(record: Record, values: Mapping[str, Any]) -> Conflict:
    """Both versions of what differs."""
    fields = fields_of(type(record))
    theirs = {k: fields[k].to_json(fields[k].of(record)) for k, v in values.items() if fields[k].of(record) != v}
    yours = {k: fields[k].to_json(values[k]) for k in theirs}
    return Conflict(
        _("Somebody saved this record meanwhile. Compare both versions and save again."), theirs=theirs, yours=yours, version=record.version
    )


def flush() -> None:
    """Sends the changes to the database. What it refuses is rolled back and raised in words."""
    try:
        session().flush()
    except DBAPIError as e:
        _take_back()
        answer = dberrors.explain(e)
        if answer is None:
            raise
        raise answer from None


def _take_back() -> None:
    """Rolls back to the innermost savepoint, if there is one: of several records in one transaction only this one is lost."""
    s = session()
    (s.get_nested_transaction() or s).rollback()


def check_references(model: type[Any], values: Mapping[str, Any]) -> None:
    """Every reference in *values* must point to a record the person sees. One statement. Raises Invalid naming them."""
    fields, ctx = fields_of(model), context()
    checks = []
    for name, value in values.items():
        target = fields[name].target if name in fields else None
        if target is None or value is None:
            continue
        t = aliased(target)
        found = select(literal(1)).where(t.id == value)
        if target is User:
            found = found.where(t.active)
        elif issubclass(target, Record):
            found = found.where(t.archived_at.is_(None))
            rule = None if ctx.system else visible(target, t, ctx)
            if rule is not None:
                found = found.where(rule)
        checks.append(found.exists().label(name))
    if not checks:
        return
    row = session().execute(select(*checks)).one()
    missing = {name: _("There is no such record.") for name, there in row._mapping.items() if not there}
    if missing:
        raise Invalid(missing, code="no_such_reference")


# -------------------------------------------------------------------- archiving
def archive(model: type[R], pk: int, version: int | None) -> None:
    """Puts record *pk* and the rows that are part of it away. Raises Refusal naming what still refers to it."""
    record, may_change = get(model, pk)
    _allowed_now(record, may_change, version)
    hook = getattr(record, "before_archive", None)
    if hook is not None:
        hook(context())
    with acting() as s:
        own, others = _children(model)
        used = [(c, key, n) for c, key, n in ((c, key, _count(s, c, key, pk)) for c, key in others) if n]
        if not used:
            _put_away(s, model, pk, version, own)
    if used:
        raise in_use(pk, used)


NAMED = 5
"""Records named of each kind that stand in the way of archiving."""
MANY = 100
"""More than these are not counted."""


def in_use(pk: int, used: list[tuple[Any, str, int]]) -> Refusal:
    """What still refers to record *pk*: those the person may see by name and address, of the others only how many there are."""
    parts, found = [], []
    for c, key, n in used:
        label = str(c.__label_plural__ or c.__name__)
        theirs = select(c.id).where(getattr(c, key) == pk).order_by(c.id).limit(NAMED)
        ids = list(session().scalars(theirs)) if may("view", c) else []
        named = [{"id": i, "text": text, "url": registry.url_of(c, i)} for i, text in sorted(rows.labels(c, ids).items())]
        count = f"{MANY - 1}+" if n >= MANY else str(n)
        parts.append(f"{label} ({count}{': ' + listed(x['text'] for x in named) if named else ''})")
        found.append({"kind": label, "count": n, "records": named, "others": max(n - len(named), 0)})
    return Refusal(_("Still in use by: %(what)s.", what=listed(parts)), code="in_use", fields={"used_by": found})


def _put_away(s: Any, model: type[Record], pk: int, version: int | None, own: list[tuple[Any, str]]) -> None:
    """Archives the record and the rows that are part of it, with one moment by which they come back together."""
    at = s.scalar(select(func.now()))
    for c, key in own:
        s.execute(
            update(c)
            .where(getattr(c, key) == pk, c.archived_at.is_(None))
            .values(archived_at=at)
            .execution_options(synchronize_session=False)
        )
    stored = s.get(model, pk, with_for_update=True, populate_existing=True)
    _same(stored, version)
    cast(Any, stored).archived_at = at


def restore(model: type[R], pk: int, version: int | None) -> None:
    """Takes record *pk* and what was put away with it back. Raises Refusal (`duplicate`) when its key is taken meanwhile."""
    record, may_change = get(model, pk, archived=True)
    if record.archived_at is None:
        raise Refusal(_("This record is not archived."), code="wrong_state")
    _allowed_now(record, may_change, version)
    at = record.archived_at
    hook = getattr(record, "before_restore", None)
    if hook is not None:
        hook(context())
    try:
        with acting() as s:
            for c, key in _children(model)[0]:
                s.execute(
                    update(c)
                    .where(getattr(c, key) == pk, c.archived_at == at)
                    .values(archived_at=None)
                    .execution_options(synchronize_session=False, include_archived=True)
                )
            back = s.execute(
                update(model)
                .where(model.id == pk, model.version == record.version)
                .values(archived_at=None, version=model.version + 1)
                .returning(model.id)
                .execution_options(synchronize_session=False, include_archived=True)
            )
            if back.scalar() is None:
                raise conflict(record, {})
    except DBAPIError as e:
        session().rollback()
        answer = dberrors.explain(e)
        if answer is None:
            raise
        raise answer from None


def _allowed_now(record: Record, may_change: bool, version: int | None) -> None:
    if not may_change:
        raise read_only(record)
    _same(record, version)


def _same(record: Record | None, version: int | None) -> None:
    if record is None:
        raise not_found()
    if version is not None and version != record.version:
        raise conflict(record, {})


def _children(model: type[Record]) -> tuple[list[tuple[Any, str]], list[tuple[Any, str]]]:
    """Models that refer to *model*: those whose rows are part of it, and the others."""
    own: list[tuple[Any, str]] = []
    others: list[tuple[Any, str]] = []
    for c in records():
        for fk in cast(Any, c).__table__.foreign_keys:
            if fk.column.table is cast(Any, model).__table__:
                (own if c.__root__ == fk.parent.name else others).append((c, fk.parent.name))
    return own, others


def _count(s: Any, c: Any, key: str, pk: int) -> int:
    return cast(int, s.scalar(select(func.count()).select_from(select(c.id).where(getattr(c, key) == pk).limit(MANY).subquery())))


def answer(e: Exception) -> PortalError | None:
    """The portal's error for *e*, when it is one people should read."""
    if isinstance(e, PortalError):
        return e
    if isinstance(e, StaleDataError):
        return Conflict(_("Somebody saved this record meanwhile. Compare both versions and save again."))
    return dberrors.explain(e) if isinstance(e, DBAPIError) else None
