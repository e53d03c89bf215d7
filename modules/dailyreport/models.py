"""Reports, their lines, and what people say about them.

Who sees what (VIS-03), in one place:

* a report: its author and the department heads above;
* a line's hours, project label and state: the same people, and the project's PM and domain manager (leaders and QA see every project line);
* what was done on a line and why it was returned: the author, the PM and domain manager, those who see every project; a department head
  only when the head may see that project too, or when the line is on no project. It is therefore a table of its own;
* comments and likes: whoever sees the report; an unfinished draft: its author alone.

Rows are written by actions only (actions.py), which check the day, the hours and the project; the person's own database role writes none.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Date, DateTime, ForeignKey, Index, SmallInteger, Text, and_, false, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modules.dailyreport.rules import month_span
from modules.project.models import Project
from portal.kernel.db import Hours, session
from portal.kernel.document import Record, User, live_unique
from portal.kernel.errors import Refusal
from portal.kernel.i18n import _l, ngettext
from security.visibility import acting

CATEGORIES = {
    "department": _l("Department work"),
    "meeting": _l("Meeting"),
    "training": _l("Training"),
    "presales": _l("Pre-sales"),
    "other": _l("Other work"),
}
TONES = {"draft": "idle", "open": "idle", "submitted": "info", "confirmed": "ok", "returned": "warn"}


class DailyReport(Record):
    """What one person did on one day, with the plan for the next and the problems met."""

    __tablename__ = "dailyreport_report"
    __label__ = _l("Daily report")
    __label_plural__ = _l("Daily reports")
    __axes__ = (("author_id", "staff"),)
    STATES = ("draft", "submitted")
    STATE_LABELS = {"draft": _l("Draft"), "submitted": _l("Submitted")}

    author_id: Mapped[int] = mapped_column(ForeignKey(User.id), info={"label": _l("Author"), "readonly": True, "lookup": "employees"})
    day: Mapped[date] = mapped_column(Date, info={"label": _l("Day")})
    state: Mapped[str] = mapped_column(
        Text, server_default="draft", info={"label": _l("State"), "readonly": True, "choices": STATE_LABELS, "tone": TONES}
    )
    hours: Mapped[Hours] = mapped_column(server_default="0", info={"label": _l("Hours"), "readonly": True})
    overtime: Mapped[bool] = mapped_column(server_default=text("false"), info={"label": _l("Overtime")})
    overtime_hours: Mapped[Hours] = mapped_column(server_default="0", info={"label": _l("Overtime hours"), "readonly": True})
    plan: Mapped[str | None] = mapped_column(Text, info={"label": _l("Plan for tomorrow"), "multiline": True})
    problems: Mapped[str | None] = mapped_column(Text, info={"label": _l("Problems and risks"), "multiline": True})
    submitted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), info={"label": _l("Submitted at"), "readonly": True})
    late: Mapped[bool] = mapped_column(server_default=text("false"), info={"label": _l("Late"), "readonly": True})

    lines: Mapped[list["ReportLine"]] = relationship(back_populates="report", order_by="ReportLine.id", viewonly=True)

    __table_args__ = (
        live_unique("dailyreport_report_author_day", "author_id", "day"),
        Index("dailyreport_report_author_day_id", "author_id", text("day desc"), text("id desc")),
        Index("dailyreport_report_day_id", text("day desc"), text("id desc")),
        Index("dailyreport_report_problems", text("day desc"), text("id desc"), postgresql_where=text("problems is not null")),
        CheckConstraint("(state = 'submitted') = (submitted_at is not null)", name="dailyreport_report_submitted"),
    )
    wide = {"staff": None}

    def see(c: Any, v: Any) -> Any:
        return v.has("staff", c.author_id)

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"


class ReportLine(Record):
    """Hours one person worked on one project or non-project matter on one day."""

    __tablename__ = "dailyreport_line"
    __label__ = _l("Report line")
    __label_plural__ = _l("Report lines")
    __axes__ = (("author_id", "staff"), ("project_id", "managed_projects"))
    STATES = ("open", "submitted", "confirmed", "returned")
    STATE_LABELS = {
        "open": _l("Not submitted"),
        "submitted": _l("To be confirmed"),
        "confirmed": _l("Confirmed"),
        "returned": _l("Returned"),
    }
    DECIDERS = {
        "manager": _l("Project manager"),
        "head": _l("Department head"),
        "either": _l("Domain manager or department head"),
        "author": _l("Author (nobody above)"),
    }

    report_id: Mapped[int] = mapped_column(ForeignKey("dailyreport_report.id"), index=True, info={"label": _l("Report")})
    author_id: Mapped[int] = mapped_column(ForeignKey(User.id), info={"label": _l("Author"), "readonly": True, "lookup": "employees"})
    day: Mapped[date] = mapped_column(Date, info={"label": _l("Day"), "readonly": True})
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey(Project.id), info={"label": _l("Project"), "lookup": "projects", "stored_label": "project_label"}
    )
    # A reader who may not see the project still reads its code and name here; a subscriber keeps it right on rename.
    project_label: Mapped[str | None] = mapped_column(Text, info={"label": _l("Project label"), "readonly": True})
    category: Mapped[str | None] = mapped_column(Text, info={"label": _l("Category"), "choices": CATEGORIES})
    hours: Mapped[Hours] = mapped_column(info={"label": _l("Hours")})
    position: Mapped[int] = mapped_column(SmallInteger, server_default="0", info={"label": _l("Position"), "readonly": True})
    state: Mapped[str] = mapped_column(
        Text, server_default="open", info={"label": _l("State"), "readonly": True, "choices": STATE_LABELS, "tone": TONES}
    )
    decider: Mapped[str] = mapped_column(
        Text, server_default="manager", info={"label": _l("Confirmed by"), "readonly": True, "choices": DECIDERS}
    )
    submitted_on: Mapped[date | None] = mapped_column(Date, info={"label": _l("Submitted on"), "readonly": True})
    decided_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, info={"label": _l("Decided by"), "readonly": True, "lookup": "employees"}
    )
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), info={"label": _l("Decided at"), "readonly": True})
    # A confirmed line never changes: a reversal takes its hours back, the corrected line names the reversal.
    reversal_of_id: Mapped[int | None] = mapped_column(
        ForeignKey("dailyreport_line.id"), index=True, info={"label": _l("Reverses"), "readonly": True}
    )
    corrects_id: Mapped[int | None] = mapped_column(
        ForeignKey("dailyreport_line.id"), index=True, info={"label": _l("Replaces after reversal"), "readonly": True}
    )

    report: Mapped[DailyReport] = relationship(back_populates="lines", viewonly=True)
    note: Mapped["LineText | None"] = relationship(back_populates="line", viewonly=True, uselist=False)

    __table_args__ = (
        Index("dailyreport_line_project_day_id", "project_id", text("day desc"), text("id desc")),
        Index("dailyreport_line_author_day_id", "author_id", text("day desc"), text("id desc")),
        Index("dailyreport_line_day_id", text("day desc"), text("id desc")),
        # What waits: few rows at any time, so lists of things to confirm and the automatic confirmation stay cheap.
        Index("dailyreport_line_waiting", "submitted_on", "id", postgresql_where=text("state = 'submitted'")),
        # The rare ones of lists narrowed by state or category, newest first.
        Index("dailyreport_line_unconfirmed", "state", text("day desc"), text("id desc"), postgresql_where=text("state <> 'confirmed'")),
        Index(
            "dailyreport_line_category_day_id", "category", text("day desc"), text("id desc"), postgresql_where=text("category is not null")
        ),
        Index(
            "dailyreport_line_reversed_once",
            "reversal_of_id",
            unique=True,
            postgresql_where=text("archived_at is null and reversal_of_id is not null"),
        ),
        CheckConstraint("(project_id is null) <> (category is null)", name="dailyreport_line_project_or_category"),
        CheckConstraint("category in ('department', 'meeting', 'training', 'presales', 'other')", name="dailyreport_line_category"),
        CheckConstraint(
            "case when reversal_of_id is null then hours > 0 and hours <= 24 else hours < 0 and hours >= -24 end",
            name="dailyreport_line_hours",
        ),
        CheckConstraint("decider in ('manager', 'head', 'either', 'author')", name="dailyreport_line_decider"),
    )
    wide = {"staff": None, "projects": lambda c: c.project_id.is_not(None)}

    def see(c: Any, v: Any) -> Any:
        return or_(v.has("staff", c.author_id), v.has("managed_projects", c.project_id))

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.project_label or CATEGORIES.get(self.category or '', '')} {self.hours} h"


class LineText(Record):
    """What was done on a line, and why it was returned: hidden from a head who may not see the project."""

    __tablename__ = "dailyreport_line_text"
    __label__ = _l("What was done")
    __label_plural__ = _l("What was done")

    line_id: Mapped[int] = mapped_column(ForeignKey("dailyreport_line.id"), unique=True, info={"label": _l("Report line")})
    author_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Author"), "readonly": True})
    project_id: Mapped[int | None] = mapped_column(ForeignKey(Project.id), index=True, info={"label": _l("Project"), "readonly": True})
    done: Mapped[str] = mapped_column(Text, server_default="", info={"label": _l("What was done"), "multiline": True})
    return_reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason for the return"), "readonly": True})

    line: Mapped[ReportLine] = relationship(back_populates="note", viewonly=True)

    wide = {"projects": lambda c: c.project_id.is_not(None), "staff": lambda c: c.project_id.is_(None)}

    def see(c: Any, v: Any) -> Any:
        may_see_project = or_(c.project_id.is_(None), v.has("projects", c.project_id))
        return or_(c.author_id == v.me, v.has("managed_projects", c.project_id), and_(v.has("staff", c.author_id), may_see_project))

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return self.done[:40]


class ReportDraft(Record):
    """What a person has typed and not yet submitted, kept exactly as typed, even when it breaks a rule."""

    __tablename__ = "dailyreport_draft"
    __label__ = _l("Unfinished report")
    __label_plural__ = _l("Unfinished reports")
    DISPOSABLE = True

    author_id: Mapped[int] = mapped_column(ForeignKey(User.id), info={"label": _l("Author"), "readonly": True})
    day: Mapped[date] = mapped_column(Date, info={"label": _l("Day")})
    content: Mapped[dict[str, Any]] = mapped_column(JSONB, info={"label": _l("Content")})
    saved_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), info={"label": _l("Saved at"), "readonly": True})

    __table_args__ = (live_unique("dailyreport_draft_author_day", "author_id", "day"),)

    def see(c: Any, v: Any) -> Any:
        return c.author_id == v.me

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"


class ReportComment(Record):
    """A remark on a report by somebody who sees it."""

    __tablename__ = "dailyreport_comment"
    __label__ = _l("Comment on a report")
    __label_plural__ = _l("Comments on reports")
    __axes__ = (("report_author_id", "staff"),)

    report_id: Mapped[int] = mapped_column(ForeignKey("dailyreport_report.id"), index=True, info={"label": _l("Report")})
    report_author_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Author"), "readonly": True})
    author_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Written by"), "readonly": True})
    body: Mapped[str] = mapped_column(Text, info={"label": _l("Comment"), "multiline": True})

    __table_args__ = (CheckConstraint("length(trim(body)) > 0", name="dailyreport_comment_body"),)
    wide = {"staff": None}

    def see(c: Any, v: Any) -> Any:
        return v.has("staff", c.report_author_id)

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return self.body[:40]


class ReportLike(Record):
    """One person's thumb up for a report."""

    __tablename__ = "dailyreport_like"
    __label__ = _l("Like")
    __label_plural__ = _l("Likes")
    __axes__ = (("report_author_id", "staff"),)

    report_id: Mapped[int] = mapped_column(ForeignKey("dailyreport_report.id"), index=True, info={"label": _l("Report")})
    report_author_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Author"), "readonly": True})
    author_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Given by"), "readonly": True})

    __table_args__ = (live_unique("dailyreport_like_once", "report_id", "author_id"),)
    wide = {"staff": None}

    def see(c: Any, v: Any) -> Any:
        return v.has("staff", c.report_author_id)

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return f"#{self.report_id}"


class ClosedMonth(Record):
    """A month whose reports are final: nothing is written or corrected in it any more."""

    __tablename__ = "dailyreport_closed_month"
    __label__ = _l("Closed month")
    __label_plural__ = _l("Closed months")

    month: Mapped[date] = mapped_column(Date, info={"label": _l("Month (its first day)")})

    __table_args__ = (
        live_unique("dailyreport_closed_month_once", "month"),
        CheckConstraint("extract(day from month) = 1", name="dailyreport_closed_month_first"),
    )

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def before_create(self, _ctx: Any) -> None:
        """Waits for whoever writes at this moment; whoever writes later finds the month closed.

        Raises Refusal while lines of the month wait: nobody could decide on them any more.
        """
        hold_months(closing=True)
        x, (start, end) = ReportLine, month_span(self.month)
        with acting() as s:  # all lines count, also those the person does not see
            waiting = s.scalar(select(func.count()).select_from(x).where(x.state == "submitted", x.day >= start, x.day < end)) or 0
        if waiting:
            said = ngettext(
                "%(num)s line of this month still waits for confirmation. Have it confirmed or returned, then close the month:"
                " it is in the list of report lines under “To be confirmed”.",
                "%(num)s lines of this month still wait for confirmation. Have them confirmed or returned, then close the month:"
                " they are in the list of report lines under “To be confirmed”.",
                waiting,
            )
            raise Refusal(said, code="lines_waiting")

    before_restore = before_create

    def before_update(self, ctx: Any) -> None:
        """The other month is closed now, as if it were new."""
        s = session()
        s.expunge(self)  # else the check would store the change already
        self.before_create(ctx)
        s.add(self)

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


_MONTHS = 7_201_604_002
"""Key of the advisory lock between closing a month and writing in it; any number nobody else uses."""


def hold_months(closing: bool = False) -> None:
    """Until the transaction ends no month is closed, or with *closing* nobody writes. Read what is closed only after it."""
    session().execute(text(f"select pg_advisory_xact_lock{'' if closing else '_shared'}(:key)"), {"key": _MONTHS})
