"""Lines that wait for somebody follow the project or the headship; what was written and decided stays (VIS-11)."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import select

from modules.dailyreport.models import ReportLine
from modules.project.models import Project
from portal.kernel.handover import follows, stay
from portal.kernel.i18n import _l

stay("dailyreport_report", "the author's own report", "author_id")
stay("dailyreport_draft", "the author's own draft", "author_id")
stay("dailyreport_line", "the author's own work, and decisions of the past", "author_id", "decided_by")
stay("dailyreport_line_text", "the author's own words", "author_id")
stay("dailyreport_comment", "what was said", "report_author_id", "author_id")
stay("dailyreport_like", "what was liked", "report_author_id", "author_id")


def _waiting(c: Any, people: Sequence[int], day: date) -> list[Any]:
    managed = select(Project.id).where(Project.pm_id.in_(people))
    return [c.state == "submitted", c.archived_at.is_(None), c.project_id.in_(managed), c.author_id.not_in(people)]


follows(
    "dailyreport.lines", ReportLine, "author_id", _l("Report lines waiting to be confirmed on these projects"),
    _l("goes with the projects"), open=_waiting, order=31,
)  # fmt: skip
