"""Daily reports: what each person did, on which project, and for how long."""

from portal.kernel.i18n import _l
from portal.kernel.module import Module

module = Module("dailyreport", depends=("hr", "project"), label=_l("Daily reports"), group="Work")
