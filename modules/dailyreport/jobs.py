"""What daily reports do by the clock (DAY-03, DAY-07)."""

from datetime import datetime

from modules.dailyreport.actions.deciding import confirm_old
from modules.dailyreport.actions.reminding import around_deadline
from modules.dailyreport.actions.reminding import remind_today as nudge
from portal.kernel import calendar
from portal.kernel.i18n import _l
from portal.kernel.jobs import job


@job("30 17 * * *", workdays_only=True, name="dailyreport.remind_missing", label=_l("Remind of today's missing reports"))
def remind_missing() -> None:
    """Towards the end of the working day: who has not reported, is not on leave and works here."""
    nudge(calendar.today())


@job("*/15 * * * *", workdays_only=True, name="dailyreport.deadline", label=_l("Reminders around the deadline of daily reports"))
def watch_deadline(due: datetime) -> None:
    """An hour before the deadline people are reminded, after it their heads learn who is missing; the deadline is a parameter."""
    around_deadline(due)


@job("10 2 * * *", name="dailyreport.auto_confirm", label=_l("Confirm lines nobody decided on"))
def auto_confirm() -> None:
    """Lines that waited long enough are confirmed by themselves."""
    confirm_old(calendar.today())
