"""What HR does by itself."""

from modules.hr.actions import apply_due_assignments
from portal.kernel.calendar import today
from portal.kernel.db import unrestricted
from portal.kernel.jobs import job


@job(cron="5 0 * * *")
def apply_due() -> None:
    """Transfers, reorganisations, ends of probation and departures that are due take effect at the start of their day."""
    with unrestricted("changes of people and departments that became due"):
        apply_due_assignments(today())
