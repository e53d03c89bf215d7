"""What people do with an import: send the file, let it be stored after the check, stop it."""

from typing import Any

from sqlalchemy import func, select

from portal.kernel import outbox, uploads
from portal.kernel.errors import Forbidden, Refusal
from portal.kernel.i18n import _, _l, language
from portal.lowcode.importing.declared import Importer, importers
from portal.lowcode.importing.models import OPEN, ImportFile, ImportRun
from security import rates
from security.transitions import transition
from security.visibility import acting, context

MAX_OPEN = 3


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


def owns(c: Any, v: Any) -> Any:
    """By whom an import is stored or stopped."""
    return c.owner_id == v.me


@transition("checked", "running", by=owns, label=_l("Import now"), icon="database", tone="primary")
def commit(run: ImportRun) -> None:
    """Stores every row, or none when one has an error or the data changed since the check."""
    importer = importers.get(run.importer)
    if importer is None or not importer.allowed():
        raise Forbidden(_("Your roles do not include this."))
    if run.errors:
        raise Refusal(_("Rows have errors. Correct them in the file and send it again; nothing was stored."), code="has_errors")
    if not run.to_create + run.to_change:
        raise Refusal(_("Nothing would change."), code="no_change")
    begin(run.id, "commit", run.version)


@transition(OPEN, "cancelled", by=owns, label=_l("Cancel the import"), icon="ban")
def cancel(run: ImportRun) -> None:
    """Stops an import; nothing of it was stored."""
    run.ended_at = func.now()
