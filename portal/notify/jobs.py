"""What happens by the clock: digests, warning scans, warnings about the calendar."""

from datetime import datetime, timedelta

from portal.kernel.jobs import job
from portal.notify import deliveries, warnings


@job("0 9 * * *", workdays_only=True, name="notify.digests")
def send_digests(due: datetime) -> None:
    """Send everybody who wants one a digest of what was held since the last."""
    deliveries.queue_digests(due)


@job("30 1 * * *", catch_up=timedelta(hours=20), name="notify.scan")
def scan_warnings() -> None:
    """Run every risk rule over the whole company."""
    warnings.scan_all()


@job("0 18 * * *", workdays_only=True, name="notify.scan_evening")
def scan_warnings_in_the_evening() -> None:
    """Once more after the working day, so that nobody learns in the morning what was plain in the evening."""
    warnings.scan_all()
