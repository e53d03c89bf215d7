"""The one way an import goes, dry or real: rows compared with what is stored, then stored one by one in the transaction at hand.

Every row has a savepoint, so that one that is refused does not hide what is wrong with the others.  Whether anything is kept is
the caller's: nothing when a row has an error, nothing when it was a dry run.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import orjson
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError

from portal.kernel.db import session
from portal.kernel.errors import PortalError, Unavailable
from portal.kernel.i18n import _
from portal.lowcode.importing.declared import Column, Importer
from portal.lowcode.importing.lines import Line, lines
from portal.lowcode.importing.reading import Grid
from portal.web import records, rows

Progress = Callable[[int, int], None]
"""Called with the rows done and all of them; may raise to stop the import."""
TOGETHER = 200
"""Rows that are stored at once where the module can."""
HIDDEN = "•••"
"""In the place of private values."""


@dataclass
class Result:
    """What an import did, or would do."""

    lines: list[Line]

    def count(self, outcome: str) -> int:
        """How many rows came out as *outcome*."""
        return sum(line.outcome == outcome for line in self.lines)

    @property
    def by_two(self) -> bool:
        """Whether a second person has to approve what it does."""
        return any(x.outcome == "create" and x.sheet.by_two for x in self.lines)

    def fingerprint(self) -> str:
        """Equal for two runs over the same file that did the same to the same records, which were alike before."""
        said = [
            (
                *(x.sheet.name, x.number, x.outcome, sorted(x.cells.items()), sorted(x.problems.items()), sorted(x.refers.items())),
                (x.stored.id, sorted(x.stored.values.items())) if x.stored is not None else None,
            )
            for x in self.lines
        ]
        return hashlib.sha256(orjson.dumps(said, default=str)).hexdigest()


def run(importer: Importer, grids: Sequence[Grid], progress: Progress) -> Result:
    """Stores every row of *grids* as far as it can be, in the transaction at hand. Raises Invalid when the file does not fit."""
    found = lines(importer, grids)
    _compare(importer, found)
    turns, late = _turns(found), [x for x in found if _late(x)]
    done, total = 0, len(found) + len(late)
    for turn in turns:
        for start in range(0, len(turn), TOGETHER):
            part = turn[start : start + TOGETHER]
            progress(done, total)
            for line in _created(part):
                progress(done, total)
                _store(line)
            done += len(part)
    for n, line in enumerate(late, len(found)):
        progress(n, total)
        _store_late(line)
    progress(total, total)
    for line in found:
        if line.problems:
            line.outcome, line.record_id = "error", line.stored.id if line.stored else None
    return Result(found)


# ------------------------------------------------------------------ comparing
def _compare(importer: Importer, found: Sequence[Line]) -> None:
    by_key = {(x.sheet.name, x.key): x for x in reversed(found)}
    for sheet in importer.sheets:
        mine = [x for x in found if x.sheet is sheet]
        if not mine:
            continue
        stored = sheet.current([x.key for x in mine if x.key])
        for line in mine:
            line.stored = stored.get(line.key)
        for column in sheet.offered():
            if column.reference is not None:
                _refer(column, mine, by_key)
        for line in mine:
            _judge(line)
        _describe(sheet.offered(), mine)


def _refer(column: Column, mine: Iterable[Line], by_key: dict[tuple[str, str], Line]) -> None:
    reference = column.reference
    assert reference is not None
    named = {x.cells[column.name] for x in mine if column.name in x.cells and column.name not in x.problems}
    there = reference.find(named) if named else {}
    for line in mine:
        text = line.cells.get(column.name)
        if text is None or column.name in line.problems:
            continue
        other = by_key.get((reference.sheet, text)) if reference.sheet else None
        if other is line:
            line.problems[column.name] = _("Refers to the row itself.")
        elif text in there:
            line.values[column.name] = there[text]
            if other is not None:
                line.waits[column.name] = other  # what it refers to is changed first
        elif other is not None:
            line.waits[column.name] = other
        else:
            line.problems[column.name] = str(reference.missing) % {"key": text}


def _judge(line: Line) -> None:
    """Sets the outcome, and what is wrong with the row as a whole."""
    columns = {c.name: c for c in line.sheet.offered()}
    given = {n for n in (*line.values, *line.waits) if n not in line.problems}
    if line.stored is None:
        line.outcome = "create"
        for c in columns.values():
            if c.required and c.name not in line.cells and c.name not in line.problems:
                line.problems[c.name] = _("This is required.")
    else:
        was = line.stored.values
        differ = [n for n in given if n != line.sheet.key and (n not in line.values or line.values[n] != was.get(n))]
        line.outcome = "change" if differ else "same"
        for name in differ:
            if columns[name].fixed:
                line.problems[name] = str(columns[name].fixed)
    if line.sheet.check is not None and not line.problems:
        line.problems |= {k: str(v) for k, v in line.sheet.check(line.values, line.stored).items()}


def _describe(columns: Sequence[Column], mine: Sequence[Line]) -> None:
    """What each change is in words, the texts of references read at once."""
    for c in columns:
        f = c.field
        names: dict[int, str] = {}
        if f.target is not None:
            ids = {pk for x in mine if x.stored is not None and (pk := x.stored.values.get(c.name)) is not None}
            ids |= {pk for x in mine if c.reference is not None and (pk := x.values.get(c.name)) is not None}
            names = rows.labels(f.target, ids) if ids else {}
        for line in mine:
            if c.name not in line.cells or c.name == line.sheet.key:
                continue
            new = (
                _referred(line, c, names) if c.reference is not None else f.display(line.values[c.name]) if c.name in line.values else None
            )
            if new is None:
                continue
            was = line.stored.values.get(c.name) if line.stored is not None else None
            if line.stored is not None and c.name in line.values and line.values[c.name] == was:
                continue
            old = (names.get(was, "") if f.target is not None else f.display(was)) if was is not None else ""
            line.changes[c.name] = [HIDDEN if old else "", HIDDEN] if c.private else [old, new]


def _referred(line: Line, c: Column, names: Mapping[int, str]) -> str:
    """The key with the name of what it refers to; which record that is, and what it is called, counts for what was agreed on."""
    key, pk = line.cells[c.name], line.values.get(c.name)
    name = names.get(pk, "") if pk is not None else line.waits[c.name].cells.get("name", "") if c.name in line.waits else ""
    if pk is not None:
        line.refers[c.name] = [pk, name]
    return f"{name} · {key}" if name and name != key else key


# ------------------------------------------------------------------ storing
def _turns(found: Sequence[Line]) -> list[list[Line]]:
    """Rows after those they refer to, those of one turn in any order; rows that refer to each other in a circle get their error."""
    late = {(x.sheet.name, c.name) for x in found for c in x.sheet.columns if c.late}
    position = {id(x): n for n, x in enumerate(found)}
    while True:
        graph: TopologicalSorter[int] = TopologicalSorter()
        for n, line in enumerate(found):
            graph.add(n, *(position[id(o)] for name, o in line.waits.items() if (line.sheet.name, name) not in late))
        try:
            graph.prepare()
        except CycleError as e:
            ring = [found[n] for n in e.args[1]]
            words = _("These rows refer to each other in a circle: %(rows)s", rows=" → ".join(x.key for x in ring))
            for line in ring:
                for name in [name for name, other in line.waits.items() if other in ring]:
                    line.problems[name] = words
                    del line.waits[name]
            continue
        turns = []
        while graph.is_active():
            ready = sorted(graph.get_ready())
            graph.done(*ready)
            turns += [
                mine
                for s in dict.fromkeys(found[n].sheet.name for n in ready)
                if (mine := [found[n] for n in ready if found[n].sheet.name == s])
            ]
        return turns


def _late(line: Line) -> bool:
    return any(c.late and c.name in line.cells for c in line.sheet.columns)


def _created(part: Sequence[Line]) -> list[Line]:
    """Creates the new rows of *part*, of one sheet, at once; returns those that remain to be stored one by one."""
    together = part[0].sheet.create_many
    for line in part:
        _settle(line, late=False)
    new = [x for x in part if x.outcome == "create" and not x.problems]
    if together is None or len(new) < 2:
        return list(part)
    s = session()
    point = s.begin_nested()
    try:
        ids = together([_pick(x, late=False) for x in new])
        s.flush()
        point.commit()
    except (PortalError, DBAPIError, StaleDataError):  # one by one shows which, and why
        if point.is_active:
            point.rollback()
        return list(part)
    for line, pk in zip(new, ids, strict=True):
        line.record_id = pk
    return [x for x in part if x.outcome != "create" or x.record_id is None]


def _store(line: Line) -> None:
    _settle(line, late=False)
    if line.stored is not None:
        line.record_id = line.stored.id
    if line.problems or line.outcome == "same":
        return
    values = _pick(line, late=False)
    stored = line.stored
    if stored is None:
        line.record_id = _safely(line, lambda: line.sheet.create(values))
    elif values:
        _safely(line, lambda: line.sheet.change(stored, values))


def _store_late(line: Line) -> None:
    if line.problems:
        return
    _settle(line, late=True)
    pk, do = line.record_id, line.sheet.late
    if line.problems or pk is None or do is None:
        return
    values = _pick(line, late=True)
    if values:
        _safely(line, lambda: do(pk, values))


def _settle(line: Line, late: bool) -> None:
    """Puts the ids of rows stored meanwhile in."""
    of_phase = {c.name for c in line.sheet.columns if c.late == late}
    for name, other in line.waits.items():
        if name not in of_phase or name in line.problems or name in line.values:
            continue
        reference = next(c.reference for c in line.sheet.columns if c.name == name)
        assert reference is not None
        if id(reference) not in other.ids:
            found = reference.find([other.key]) if other.record_id is not None and not other.problems else {}
            other.ids[id(reference)] = found.get(other.key)
        pk = other.ids[id(reference)]
        if pk is not None:
            line.values[name] = pk
        else:
            line.problems[name] = _("The row it refers to has an error: %(place)s", place=other.place)


def _pick(line: Line, late: bool) -> dict[str, Any]:
    was = line.stored.values if line.stored is not None else {}
    wanted = {c.name for c in line.sheet.columns if c.late == late}
    return {k: v for k, v in line.values.items() if k in wanted and v is not None and (line.stored is None or was.get(k) != v)}


def _safely(line: Line, store: Callable[[], Any]) -> Any:
    """What *store* returns; a refusal takes its own work back and becomes the row's error."""
    s = session()
    point = s.begin_nested()
    try:
        got = store()
        s.flush()
        point.commit()
        return got
    except (PortalError, DBAPIError, StaleDataError) as e:
        if point.is_active:
            point.rollback()
        problem = records.answer(e)
        if problem is None or isinstance(problem, Unavailable):
            raise
        names = {c.name for c in line.sheet.columns}
        fields = {k if k in names else line.sheet.key: str(v) for k, v in problem.fields.items()}
        line.problems |= fields or {line.sheet.key: str(problem)}
        return None
