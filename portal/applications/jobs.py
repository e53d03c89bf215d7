"""By the clock: compare with Keycloak's clients, forget old openings."""

from datetime import timedelta

from sqlalchemy import delete

from portal.applications import clients
from portal.applications.models import Launch
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.i18n import _l
from portal.kernel.jobs import job
from portal.kernel.settings import parameter, settings

KEPT_DAYS = parameter(
    "applications.launch_days",
    90,
    label=_l("Days for which opened applications are kept"),
    help=_l("Who opened which application is deleted every night when it is older."),
    check=lambda n: 31 <= n <= 3650,
)


@job("*/10 * * * *", catch_up=timedelta(minutes=10), name="applications.compare", label=_l("Compare applications with Keycloak"))
def compare_clients() -> None:
    """Read Keycloak's clients, unless there is no Keycloak by choice."""
    if not settings().local_accounts:
        clients.compare()


@job("45 3 * * *", name="applications.forget", label=_l("Forget old openings of applications"))
def forget_openings() -> None:
    """Delete who opened what when it is older than the system parameter says."""
    gone = delete(Launch).where(Launch.at < calendar.now() - timedelta(days=KEPT_DAYS.get()))
    session().execute(gone.execution_options(synchronize_session=False, include_archived=True))
