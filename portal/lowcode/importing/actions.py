"""What people do with an import: send the file, let it be stored after the check, have a second person approve it, stop it."""

from typing import Any

from sqlalchemy import func, select

from portal.kernel import outbox, uploads
from portal.kernel.errors import Forbidden, Refusal
from portal.kernel.i18n import _, _l, language
from portal.lowcode.importing.declared import Importer, importers
from portal.lowcode.importing.models import OPEN, ImportFile, ImportRun, answers_for, sends
from portal.notify import notice_kind, notify
from security import rates
from security.roles import people_who
from security.transitions import text, transition
from security.visibility import acting, context

MAX_OPEN = 3

notice_kind(
    "lowcode.import_submitted",
    label=_l("Import to approve"),
    title=_l("An import waits for your approval: %(file)s, %(new)s new, %(changed)s changed"),
    url="/imports/%(id)s",
    tone="warn",
)
notice_kind(
    "lowcode.import_rejected", label=_l("Your import was rejected"), title=_l("Your import of %(file)s was rejected"), url="/imports/%(id)s"
)


def upload(importer: Importer, name: str | None, data: bytes) -> int:
    """Takes a file in and has it checked; returns the number of the import.

    Raises Forbidden without the right, Invalid for a file that is no plain workbook, Refusal when the person has too many under way.
    """
    if not importer.allowed():
        raise Forbidden(_("Your roles do not include this."))
    rates.count("import", context().me)
    uploads.workbook(data)
    with acting() as s:
        mine = (ImportRun.owner_id == context().me, ImportRun.state.in_(("waiting", "running")))
        if (s.scalar(select(func.count()).select_from(ImportRun).where(*mine)) or 0) >= MAX_OPEN:
            raise Refusal(_("%(n)s imports of yours are still under way. Wait for them or cancel one.", n=MAX_OPEN), code="too_many_open")
        run = ImportRun(importer=importer.name, file_name=uploads.file_name(name), locale=language())
        s.add(run)
        s.flush()
        s.add(ImportFile(run_id=run.id, content=data))
        s.flush()
        pk = run.id
        begin(pk, "check")
    return pk


def begin(pk: int, step: str, again: int = 0) -> None:
    """Has a worker do *step* of import *pk* once this transaction is committed."""
    outbox.enqueue("lowcode.import", {"run_id": pk, "step": step}, key=f"lowcode.import:{pk}:{step}:{again}")


def decides(c: Any, v: Any) -> Any:
    """Who approves or rejects an import: never who sent it."""
    return answers_for(c, v) & (c.owner_id != v.me)


def deciders(run: ImportRun) -> list[int]:
    """User ids of those who may approve *run*."""
    importer = importers.get(run.importer)
    able = people_who("approve", ImportRun.permission_name(), scope=importer.approval) if importer is not None else []
    return [p for p in able if p != run.owner_id]


def _ready(run: ImportRun) -> None:
    importer = importers.get(run.importer)
    if importer is None or not importer.allowed():
        raise Forbidden(_("Your roles do not include this."))
    if run.errors:
        raise Refusal(_("Rows have errors. Correct them in the file and send it again; nothing was stored."), code="has_errors")
    if not run.to_create + run.to_change:
        raise Refusal(_("Nothing would change."), code="no_change")


@transition("checked", "running", by=sends, label=_l("Import now"), icon="database", tone="primary")
def commit(run: ImportRun) -> None:
    """Stores every row, or none when one has an error or the data changed since the check."""
    _ready(run)
    if run.needs_approval:
        raise Refusal(_("This import hires people, which a second person approves. Submit it for approval."), code="needs_approval")
    begin(run.id, "commit", run.version)


@transition("checked", "submitted", by=sends, label=_l("Submit for approval"), icon="send", tone="primary")
def submit(run: ImportRun) -> None:
    """A second person is asked to approve everything the import would do."""
    _ready(run)
    if not run.needs_approval:
        raise Refusal(_("Nothing in it needs a second person; import it now."), code="needs_nobody")
    asked = deciders(run)
    if not asked:
        raise Refusal(
            _("Nobody else may approve this. An administrator gives a second person a role that approves changes of employees."),
            code="no_approver",
        )
    run.submitted_at, run.message, run.decided_by, run.decision_note = func.now(), None, None, None
    values = {"id": run.id, "file": run.file_name, "new": run.to_create, "changed": run.to_change}
    notify(asked, "lowcode.import_submitted", params=values, key=f"lowcode.import_submitted:{run.id}:{run.version}")


@transition(
    "submitted",
    "running",
    by=decides,
    label=_l("Approve and import"),
    icon="check",
    tone="primary",
    arguments={"note": text(_l("Answer"), max_length=500)},
)
def approve(run: ImportRun, note: str | None) -> None:
    """Has every row stored with the rights of who sent the file, or none when the data changed since the check."""
    run.decided_by, run.decision_note = context().me, note
    begin(run.id, "commit", run.version)


@transition(
    "submitted",
    "rejected",
    by=decides,
    label=_l("Reject"),
    icon="x",
    tone="danger",
    arguments={"note": text(_l("Reason"), required=True, max_length=500)},
)
def reject(run: ImportRun, note: str) -> None:
    """Nothing is stored; who sent the file is told why."""
    run.decided_by, run.decision_note, run.ended_at = context().me, note, func.now()
    notify([run.owner_id], "lowcode.import_rejected", params={"id": run.id, "file": run.file_name}, key=f"lowcode.import_rejected:{run.id}")


@transition(OPEN, "cancelled", by=sends, label=_l("Cancel the import"), icon="ban")
def cancel(run: ImportRun) -> None:
    """Stops an import; nothing of it was stored."""
    run.ended_at = func.now()
