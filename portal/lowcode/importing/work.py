"""The work on an import in a worker: reading the file, the dry run, the real run; stopped, failed or done, it always ends."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import structlog
from flask_appbuilder.security.sqla.models import Role, User, assoc_user_role
from flask_babel import force_locale
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from portal.kernel import outbox
from portal.kernel.db import Session, on_behalf, session, unrestricted
from portal.kernel.errors import Forbidden, Invalid, PortalError, Refusal, Unavailable
from portal.kernel.i18n import _, _l
from portal.lowcode.importing import engine, reading
from portal.lowcode.importing.declared import Importer, importers
from portal.lowcode.importing.engine import Result
from portal.lowcode.importing.models import ImportFile, ImportRow, ImportRun
from portal.notify import notice_kind, notify
from portal.web import records
from security.visibility import acting

log = structlog.get_logger(__name__)
EVERY = 0.7
"""Seconds between two notes of how far an import is."""

notice_kind(
    "lowcode.imported",
    label=_l("Somebody imported data"),
    title=_l("%(who)s imported %(file)s: %(new)s new, %(changed)s changed"),
    url="/imports/%(id)s",
    tone="warn",
)
notice_kind(
    "lowcode.import_done", label=_l("Your import"), title=_l("Your import of %(file)s is stored"), url="/imports/%(id)s", mail="off"
)


notice_kind(
    "lowcode.import_back",
    label=_l("Import not stored"),
    title=_l("The approved import of %(file)s could not be stored; look at it again"),
    url="/imports/%(id)s",
    tone="warn",
)


class Stopped(Exception):
    """The person cancelled the import."""


def _given_up(payload: dict[str, Any], _problem: str, last: bool) -> None:
    if last:
        session().execute(
            update(ImportRun)
            .where(ImportRun.id == payload["run_id"], ImportRun.state.in_(("waiting", "running")))
            .values(state="failed", ended_at=func.now(), version=ImportRun.version + 1)
        )


@outbox.handler("lowcode.import", failed=_given_up)
def work(run_id: int, step: str) -> None:
    """The check or the real run of import *run_id*, when it still waits for it. May be done again: what is done is not repeated."""
    s = session()
    found = s.execute(
        select(ImportRun, ImportFile.content).join(ImportFile, ImportFile.run_id == ImportRun.id).where(ImportRun.id == run_id)
    )
    row = found.one_or_none()
    expected = {"check": "waiting", "commit": "running"}[step]
    if row is None or row[0].state != expected:
        return
    run, content = row
    with force_locale(run.locale), contextlib.suppress(Stopped):
        state, message = _attempt(run, content, step == "commit")
        if state:
            _end(s, run, expected, {"state": state, "message": message, "ended_at": func.now()})
            _came_back(run)


def _attempt(run: ImportRun, content: bytes, keep: bool) -> tuple[str, str]:
    """Does the step; the state and the words when it came to nothing. Raises what is worth another attempt."""
    try:
        _do(run, content, keep)
    except Invalid as e:
        return "refused", str(e)
    except (PortalError, DBAPIError) as e:
        problem = records.answer(e)
        if isinstance(problem, Unavailable):
            raise
        if isinstance(e, PortalError):
            return "failed", str(problem)
        log.exception("import.failed", run=run.id)
    except (Stopped, OSError):
        raise
    except Exception:  # a fault of ours would fail again: the person is told at once
        log.exception("import.failed", run=run.id)
    else:
        return "", ""
    return "failed", _("Something went wrong that is not the file's fault. Nothing was stored.")


def _do(run: ImportRun, content: bytes, keep: bool) -> None:
    importer = importers.get(run.importer)
    if importer is None:
        raise Refusal(_("This cannot be imported any more."))
    if not session().scalar(select(User.active).where(User.id == run.owner_id)):
        raise Forbidden(_("The account that sent the file is closed."))
    grids = reading.read(content)
    with on_behalf(run.owner_id, f"import:{run.id}") as own:
        if not importer.allowed():
            raise Forbidden(_("Your roles do not include this."))
        if keep:  # two imports of the same lists one after the other
            own.execute(text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": f"lowcode.import:{importer.name}"})
        result = engine.run(importer, grids, _Watch(run.id))
        if keep and result.by_two and run.decided_by in (None, run.owner_id):
            raise Forbidden(_("This import hires people, which a second person approves. Submit it for approval."))
        if keep and result.fingerprint() == run.fingerprint and not result.count("error"):
            with acting():
                _end(own, run, "running", {"state": "done", "ended_at": func.now(), "message": None, **_counts(result)})
                _keep_rows(own, run, result)
                _report(own, importer, run, result)
            own.finish()
            return
    # everything the run did is taken back; what it found out is kept
    s = session()
    changed = _("Data changed since the check, so nothing was stored. Look at the rows again.") if keep else None
    values = {"state": "checked", "message": changed, "fingerprint": result.fingerprint(), "decided_by": None, "decision_note": None}
    _end(s, run, "running" if keep else "waiting", values | _counts(result))
    _keep_rows(s, run, result)
    _came_back(run)


def _counts(result: Result) -> dict[str, Any]:
    names = {"to_create": "create", "to_change": "change", "unchanged": "same", "errors": "error"}
    return {"needs_approval": result.by_two, **{column: result.count(outcome) for column, outcome in names.items()}}


def _came_back(run: ImportRun) -> None:
    """Both people hear that what one approved was not stored."""
    if run.decided_by is not None:
        key = f"lowcode.import_back:{run.id}:{run.version}"
        notify([run.owner_id, run.decided_by], "lowcode.import_back", params={"id": run.id, "file": run.file_name}, key=key)


def _end(s: Session, run: ImportRun, expected: str, values: Mapping[str, Any]) -> None:
    """Sets what became of the import, unless it was cancelled meanwhile. Raises Stopped then."""
    done = s.execute(
        update(ImportRun)
        .where(ImportRun.id == run.id, ImportRun.state == expected)
        .values(**values, version=ImportRun.version + 1)
        .returning(ImportRun.id)
        .execution_options(synchronize_session=False)
    )
    if done.scalar() is None:
        raise Stopped


def _keep_rows(s: Session, run: ImportRun, result: Result) -> None:
    s.execute(delete(ImportRow).where(ImportRow.run_id == run.id).execution_options(synchronize_session=False))
    private: dict[str, dict[str, dict[str, str]]] = {}
    for x in result.lines:
        apart = {c.name: x.cells[c.name] for c in x.sheet.columns if c.private and c.name in x.cells}
        if apart:
            private.setdefault(x.sheet.name, {})[str(x.number)] = apart
    file = update(ImportFile).where(ImportFile.run_id == run.id)
    s.execute(file.values(private=private).execution_options(synchronize_session=False))
    rows = [
        {
            "run_id": run.id,
            "owner_id": run.owner_id,
            "sheet": x.sheet.name,
            "row": x.number,
            "key": x.key[:200],
            "outcome": x.outcome,
            "values": {k: v for k, v in x.cells.items() if k not in private.get(x.sheet.name, {}).get(str(x.number), {})},
            "changes": x.changes,
            "problems": x.problems,
            "record_id": x.record_id if x.stored is not None or run.state == "running" else None,
        }
        for x in result.lines
    ]
    for start in range(0, len(rows), 500):
        s.execute(insert(ImportRow), rows[start : start + 500])


def _report(s: Session, importer: Importer, run: ImportRun, result: Result) -> None:
    """Those who answer for the company hear of what one person stored at once."""
    held = assoc_user_role
    told = select(User.id).join(held, held.c.user_id == User.id).join(Role, Role.id == held.c.role_id)
    people = sorted(
        set(s.scalars(told.where(Role.name.in_(importer.told), User.active, User.id.not_in((run.owner_id, run.decided_by or 0)))))
    )
    who = s.execute(select(User.last_name, User.first_name).where(User.id == run.owner_id)).one()
    values = {
        "id": run.id,
        "who": f"{who[0]}{who[1]}",
        "file": run.file_name,
        "new": result.count("create"),
        "changed": result.count("change"),
    }
    notify(people, "lowcode.imported", params=values, key=f"lowcode.imported:{run.id}")
    notify([run.owner_id], "lowcode.import_done", params=values, key=f"lowcode.import_done:{run.id}")


class _Watch:
    """Notes now and then, in a transaction of its own, how far the import is; raises Stopped once it is cancelled."""

    def __init__(self, run_id: int) -> None:
        self._run, self._next = run_id, 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        with unrestricted("import: how far it is") as s:
            file = update(ImportFile).where(ImportFile.run_id == self._run)
            s.execute(file.values(done=done, total=total).execution_options(synchronize_session=False))
            if s.scalar(select(ImportRun.state).where(ImportRun.id == self._run)) == "cancelled":
                raise Stopped
