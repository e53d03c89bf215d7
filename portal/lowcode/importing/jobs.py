"""What happens to imports by the clock: files and rows hold personal data and go when nobody corrects them any more."""

from datetime import timedelta

from sqlalchemy import delete, func, or_, select, update

from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.i18n import _l
from portal.kernel.jobs import job
from portal.kernel.settings import parameter
from portal.lowcode.importing import work as work  # its handler registers itself
from portal.lowcode.importing.models import ImportFile, ImportRow, ImportRun

KEEP = parameter(
    "lowcode.import_days",
    7,
    label=_l("Imported files are kept for (days)"),
    help=_l(
        "Then the file and its rows are deleted; who imported what and how many rows stays. An import nobody goes on with is cancelled."
    ),
    check=lambda days: 1 <= days <= 90,
)


@job("40 3 * * *", catch_up=timedelta(days=2), name="lowcode.forget_imports", label=_l("Delete imported files"))
def forget_imports() -> None:
    """Deletes files and rows of imports that are over or were given up."""
    s, before = session(), calendar.now() - timedelta(days=KEEP.get())
    waits = ImportRun.state.in_(("waiting", "checked", "submitted"))
    over = or_(ImportRun.ended_at < before, waits & (func.coalesce(ImportRun.submitted_at, ImportRun.created_at) < before))
    old = list(s.scalars(select(ImportRun.id).join(ImportFile, ImportFile.run_id == ImportRun.id).where(over)))
    for model in (ImportRow, ImportFile):
        s.execute(delete(model).where(model.run_id.in_(old)).execution_options(synchronize_session=False))
    left = update(ImportRun).where(ImportRun.id.in_(old), waits)
    s.execute(
        left.values(state="cancelled", ended_at=func.now(), version=ImportRun.version + 1).execution_options(synchronize_session=False)
    )
