"""What HR does by itself."""

from modules.hr.actions import apply_due_assignments, move_late, take_effect
from portal.kernel.calendar import today
from portal.kernel.i18n import _l
from portal.kernel.jobs import job


@job(cron="5 0 * * *", label=_l("Changes of people and departments take effect"))
def apply_due() -> None:
    """Approved changes of employees and reorganisations that are due take effect at the start of their day."""
    move_late(today())
    apply_due_assignments(today())
    take_effect(today())
