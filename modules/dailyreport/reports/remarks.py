"""Comments and likes of a report, as its reader sees them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from modules.dailyreport.models import ReportComment, ReportLike
from modules.hr.models import Employee
from portal.kernel.db import session
from security.visibility import context


@dataclass(frozen=True)
class Remark:
    """A comment with its author's name."""

    id: int
    who: str
    at: datetime
    text: str
    mine: bool


@dataclass(frozen=True)
class Remarks:
    """What people say about a report. *liked*: the reader is among the likes."""

    comments: list[Remark]
    likes: int
    liked: bool


def remarks_of(report_id: int) -> Remarks:
    """Comments, oldest first, and likes. Two statements."""
    me, s = context().me, session()
    c = ReportComment
    rows = s.execute(
        select(c.id, Employee.name, c.created_at, c.body, c.author_id)
        .outerjoin(Employee, Employee.user_id == c.author_id)
        .where(c.report_id == report_id)
        .order_by(c.id)
    )
    found = [Remark(pk, name or "", at, body, author == me) for pk, name, at, body, author in rows]
    likes = s.execute(select(func.count(), func.count().filter(ReportLike.author_id == me)).where(ReportLike.report_id == report_id)).one()
    return Remarks(found, likes[0], bool(likes[1]))
