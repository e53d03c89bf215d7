"""What happens by the clock: digests, warning scans, warnings about the calendar."""

from datetime import datetime, timedelta

from sqlalchemy import text

from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.i18n import _l
from portal.kernel.jobs import job
from portal.notify import deliveries, warnings
from portal.notify.notices import notice_kind, notify

notice_kind(
    "kernel.unknown_year",
    title=_l("The statutory calendar of %(year)s is not known"),
    label=_l("The statutory calendar is not known"),
    body=_l("Monday to Friday count as worked. Enter holidays and make-up days in the working calendar."),
    url="/working-days/",
    tone="warn",
)


@job("0 9 * * *", workdays_only=True, name="notify.digests", label=_l("Send daily digests"))
def send_digests(due: datetime) -> None:
    """Send everybody who wants one a digest of what was held since the last."""
    deliveries.queue_digests(due)


@job("30 1 * * *", catch_up=timedelta(hours=20), name="notify.scan", label=_l("Scan for risks"))
def scan_warnings() -> None:
    """Run every risk rule over the whole company."""
    warnings.scan_all()


@job("0 18 * * *", workdays_only=True, name="notify.scan_evening", label=_l("Scan for risks in the evening"))
def scan_warnings_in_the_evening() -> None:
    """Once more after the working day, so that nobody learns in the morning what was plain in the evening."""
    warnings.scan_all()


@job("0 8 * * *", name="notify.unknown_years", label=_l("Check the statutory calendar"))
def tell_of_unknown_years() -> None:
    """Tell administrators, once a year, that the statutory calendar of a year in use soon is not known."""
    admins = text("select ur.user_id from ab_user_role ur join ab_role r on r.id = ur.role_id where r.name = 'system_admin'")
    for year in calendar.unknown_years():
        notify(session().scalars(admins).all(), "kernel.unknown_year", params={"year": year}, key=f"kernel.unknown_year:{year}")
