"""Reads of sensitive data, noted once by the kernel: who read what of whom, when, from where and in which way (VIS-13).

A column is sensitive by its declaration `info={"secret": True}`. Every statement of a person's session that reads or compares such a
column is noticed here, whatever page, list, export or module sends it; so is every export, every look at the history of such columns and
every look of an auditor into the trail. What one request reads of one table becomes one entry of the history (`op` = read), written
before the answer leaves: an answer without its entry does not leave. The entry stands in the same sealed chain as all others. A person's
look at the own data is no entry. docs/adr/0024-sensitive-reads.md
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import orjson
from flask import g, has_request_context, request
from sqlalchemy import Connection, Engine, Row, event, text
from sqlalchemy.orm import ORMExecuteState

from portal.kernel.db import Session, db, session
from portal.kernel.document import Record, records
from security import visibility as visibility  # its hook restricts the statement before this one runs it

READ = "read"
"""`op` of a history entry that says what was read."""
TRAIL = "audit_entry"
"""What a look into the auditors' trail is noted as having read."""


@cache
def secrets() -> dict[str, frozenset[str]]:
    """Table → its sensitive columns."""
    found = {m.__tablename__: frozenset(c.name for c in m.__table__.columns if c.info.get("secret")) for m in records()}
    return {table: names for table, names in found.items() if names}


@dataclass
class Seen:
    """What a request read of one table. *more*: what an export or a look into the trail was asked for."""

    fields: set[str] = field(default_factory=set)
    ids: set[int] = field(default_factory=set)
    way: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def _pending() -> dict[str, Seen]:
    if "sensitive_reads" not in g:
        g.sensitive_reads = {}
    return cast(dict[str, Seen], g.sensitive_reads)


def note(table: str, fields: Iterable[str] = (), ids: Iterable[int] = (), way: str = "", **more: Any) -> None:
    """The request at hand reads *fields* of the rows *ids* of *table* (unknown ones: none). Outside of a request nobody reads."""
    if not has_request_context() or session() is not db.session() or session().info.get("acting"):
        return  # what an action needs for its work is not what somebody gets to see
    seen = _pending().setdefault(table, Seen())
    seen.fields.update(fields)
    seen.ids.update(ids)
    seen.way = way or seen.way
    seen.more |= more


# ------------------------------------------------------------------ noticing
@cache
def _in_sql() -> dict[str, re.Pattern[str]]:
    return {table: re.compile(rf"\b({'|'.join(sorted(names))})\b") for table, names in secrets().items()}


@cache
def _any_table() -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(sorted(secrets()))})\b")


_READS = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with|table|values)\b", re.I | re.S)
_RETURNING = re.compile(r"\breturning\b(.*)$", re.I | re.S)
_WHOLE = re.compile(r"\bselect\s+(?:distinct\s+)?\*|\.\*|^\s*\*|\b(?:row_to_json|to_jsonb?|json_agg|jsonb_agg)\s*\(|^\s*table\b", re.I)
"""Whole rows, which name no column: then every sensitive one of the table counts as read."""


def _read_part(statement: str) -> str:
    """What of *statement* gives values back: all of a query, of a change what it returns."""
    if _READS.match(statement):
        return statement
    found = _RETURNING.search(statement)
    return found[1] if found else ""


@event.listens_for(Engine, "before_cursor_execute")
def _sent(conn: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
    """Whatever a person's session asks the database for: the text of the statement names what it reads, compares or orders by."""
    if not has_request_context() or not _any_table().search(statement) or conn.engine is not db.engine:
        return
    read = _read_part(statement)
    for table in set(_any_table().findall(statement)):
        names = set(secrets()[table]) if read and _WHOLE.search(read) else set(_in_sql()[table].findall(read))
        if names:
            note(table, names)
            g.setdefault("sensitive_sent", set()).add(table)


@event.listens_for(Session, "do_orm_execute")
def _received(state: ORMExecuteState) -> Any:
    """Which rows a statement over a sensitive model gave; that it reads sensitive columns at all, `_sent` knows."""
    s = cast(Session, state.session)
    if not state.is_select or s.info.get("principal") or s.info.get("acting") or not has_request_context():
        return None
    tables = {m.class_.__tablename__ for m in state.all_mappers if getattr(m.class_, "__tablename__", None) in secrets()}
    if not tables:
        return None
    g.sensitive_sent = set()
    frozen = state.invoke_statement().freeze()
    rows = frozen().all()
    for table in tables & g.sensitive_sent:
        note(table, (), _ids(rows, table))
    return frozen()


def _ids(rows: Iterable[Any], table: str) -> Iterator[int]:
    """The ids of the rows of *table* in a result: of objects, and of rows read by column, which carry theirs as `_id`."""
    for row in rows:
        for part in row if isinstance(row, Row) else (row,):
            if isinstance(part, Record) and part.__tablename__ == table:
                yield part.id
        found = row._mapping.get("_id") if isinstance(row, Row) else None
        if found is not None:
            yield found


def of_history(entries: Iterable[Any]) -> None:
    """Notes the sensitive values among history *entries* (with tbl, row_id, old, new) that somebody reads."""
    for e in entries:
        names = secrets().get(e.tbl, frozenset()) & {*(e.old or {}), *(e.new or {})}
        if names:
            note(e.tbl, names, [e.row_id], "history")


# ------------------------------------------------------------------ writing
_WRITE = text("select audit_read(:tbl, cast(:ids as bigint[]), cast(:what as jsonb))")


def write() -> None:
    """Writes what the request read so far into the history, in the current transaction: one statement per table, rarely more than one.

    Called before the answer leaves; when it fails the answer is an error without what was read.
    """
    pending = g.pop("sensitive_reads", None) if has_request_context() else None
    for table, seen in (pending or {}).items():
        what = {"way": seen.way or _way(), "path": request.path[:200], "fields": sorted(seen.fields), **seen.more}
        ids = "{" + ",".join(map(str, sorted(seen.ids))) + "}"
        session().execute(_WRITE, {"tbl": table, "ids": ids, "what": orjson.dumps(what, default=str).decode()})


def _way() -> str:
    if request.path.startswith("/api/"):
        return "api"
    return "search" if request.path.startswith("/lookup/") else "page"


def _cases() -> Iterator[str]:
    """Per table: what is left of the ids without the reader's own, whom they concern, and the record on whose page they stand."""
    for m in records():
        if m.__tablename__ not in secrets():
            continue
        t = m.__table__
        person = "user_id" if "user_id" in t.c else None
        root = next(iter(t.c[m.__root__].foreign_keys)).column.table.name if m.__root__ else None
        people = f"array_agg(distinct {person} order by {person})" if person else "null::bigint[]"
        roots = f"array_agg(distinct {m.__root__})" if m.__root__ else "null::bigint[]"
        own = f" and {person} is distinct from me" if person else ""
        yield f"""when '{t.name}' then
      select array_agg(id order by id), {people}, {roots} into found, people, roots from {t.name} where id = any(ids){own};
      if found is null and cardinality(ids) > 0 then return; end if;
      root_of := {f"'{root}'" if root else "null"};"""  # noqa: S608 - constants


def function_statements() -> Iterator[str]:
    """The function that writes what was read: a person's role may add such entries about itself and nothing else."""
    cases = "\n    ".join(_cases())
    yield f"""
create or replace function audit_read(of_table text, ids bigint[], what jsonb) returns void
language plpgsql security definer set search_path = public, pg_temp as $fn$
declare
  me bigint := nullif(current_setting('app.me', true), '')::bigint;
  found bigint[]; people bigint[]; roots bigint[]; root_of text; one bigint; above bigint;
begin
  if me is null then return; end if;
  case of_table
    {cases}
    else found := ids;
  end case;
  one := case when cardinality(found) = 1 then found[1] else 0 end;
  above := case when cardinality(roots) = 1 then roots[1] end;
  insert into audit_entry (actor, db_role, request_id, ip, tbl, row_id, root_tbl, root_id, op, new)
  values (me, current_setting('role', true), nullif(current_setting('app.request', true), ''), nullif(current_setting('app.ip', true), ''),
    of_table, one, case when above is not null then root_of end, above, '{READ}',
    what || jsonb_build_object('ids', coalesce(to_jsonb(found), '[]'), 'people', coalesce(to_jsonb(people), '[]')));
end $fn$
"""  # noqa: S608 - constants
    yield "revoke all on function audit_read(text, bigint[], jsonb) from public"
    yield "grant execute on function audit_read(text, bigint[], jsonb) to app"
