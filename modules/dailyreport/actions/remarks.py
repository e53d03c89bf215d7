"""Comments and likes on reports."""

from typing import Any

from sqlalchemy import or_, select

from modules.dailyreport.events import CommentAdded
from modules.dailyreport.models import DailyReport, ReportComment, ReportLike
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.events import publish
from portal.kernel.i18n import _l
from security.transitions import operation
from security.transitions import text as text_argument
from security.visibility import context


def _reads(c: Any, v: Any) -> Any:
    return or_(v.has("staff", c.author_id), v.holds("staff"))


@operation(
    by=_reads,
    label=_l("Comment"),
    icon="message",
    arguments={"text": text_argument(_l("Comment"), required=True, max_length=2000)},
)
def comment(report: DailyReport, text: str) -> None:
    """Adds a remark everybody who sees the report can read; its author is told."""
    author = context().me
    if author is None:
        return
    remark = ReportComment(report_id=report.id, report_author_id=report.author_id, author_id=author, body=text)
    session().add(remark)
    session().flush()
    publish(CommentAdded(remark.id, report.id, report.author_id, author, report.day))


@operation(by=_reads, label=_l("Like"), icon="thumb-up")
def like(report: DailyReport) -> None:
    """Gives a thumb up, or takes one's own back."""
    person = context().me
    mine = session().scalar(select(ReportLike).where(ReportLike.report_id == report.id, ReportLike.author_id == person))
    if mine is not None:
        mine.archived_at = calendar.now()
    elif person is not None:
        session().add(ReportLike(report_id=report.id, report_author_id=report.author_id, author_id=person))
    session().flush()
