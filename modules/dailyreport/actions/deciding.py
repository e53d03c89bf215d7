"""Confirming and returning lines: by the project's manager, the department head, or after some days by themselves."""

from datetime import date
from typing import Any

from sqlalchemy import Date, and_, cast, func, or_, select, update
from sqlalchemy.orm import aliased

from modules.dailyreport.actions.admission import auto_confirm_days, refuse_closed
from modules.dailyreport.events import LineConfirmed, LineReopened, LineReturned
from modules.dailyreport.models import ClosedMonth, LineText, ReportLine, hold_months
from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import session
from portal.kernel.errors import Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from security.transitions import text as text_argument
from security.transitions import transition
from security.visibility import context


def decides(c: Any, v: Any) -> Any:
    """Lines *v* may confirm or return: those on the projects managed, the others of the staff; never the own ones.

    The line itself says whose turn it is (`decider`), set when it was handed in: a PM's own lines go to the domain manager or the
    head, and only somebody with nobody above decides on the own lines.
    """
    manager = and_(c.decider.in_(("manager", "either")), v.has("managed_projects", c.project_id))
    head = and_(c.decider.in_(("head", "either")), v.has("answered_staff", c.author_id))
    return or_(and_(c.author_id != v.me, or_(manager, head)), and_(c.decider == "author", c.author_id == v.me))


def in_open_month(c: Any) -> Any:
    """Lines whose month is not closed: in a closed one nothing is decided any more."""
    closed = select(ClosedMonth.month).where(ClosedMonth.archived_at.is_(None))
    return cast(func.date_trunc("month", c.day), Date).not_in(closed)


def waits_for(c: Any, v: Any) -> Any:
    """Lines that wait for *v* and that *v* can decide on now."""
    return and_(c.state == "submitted", decides(c, v), in_open_month(c))


@transition("submitted", "confirmed", by=decides, label=_l("Confirm"), tone="primary", icon="check", bulk=True)
def confirm(line: ReportLine) -> None:
    """From now on the line is fixed and its hours count as workload."""
    refuse_closed(line.day)
    if line.corrects_id is not None:
        reversal = session().get(ReportLine, line.corrects_id)
        if reversal is None or reversal.state != "confirmed":
            raise Refusal(_("Please confirm the reversal entry of the old hours first."), code="reversal_first")
    line.decided_by, line.decided_at = context().me, calendar.now()
    publish(LineConfirmed(line.id, line.author_id, line.project_id, line.day, line.hours))


@transition(
    "submitted",
    "returned",
    by=decides,
    name="return",
    label=_l("Return"),
    icon="arrow-back-up",
    arguments={"reason": text_argument(_l("Reason"), required=True, max_length=500)},
    bulk=True,
)
def return_line(line: ReportLine, reason: str) -> None:
    """The author gets the line back with the *reason*, corrects it and hands it in again."""
    refuse_closed(line.day)
    line.decided_by, line.decided_at = context().me, calendar.now()
    note = session().scalar(select(LineText).where(LineText.line_id == line.id).with_for_update())
    if note is None:
        session().add(LineText(line_id=line.id, author_id=line.author_id, project_id=line.project_id, return_reason=reason))
    else:
        note.return_reason = reason
    publish(LineReturned(line.id, line.report_id, line.author_id, line.day, line.decided_by))


@transition("confirmed", "submitted", by=lambda c, v: and_(c.decided_by == v.me, decides(c, v)), label=_l("Undo"), icon="arrow-back-up")
def undo(line: ReportLine) -> None:
    """Takes a confirmation back, while nothing could have built on it yet: within a minute, by who gave it."""
    refuse_closed(line.day)
    if line.decided_at is None or (calendar.now() - line.decided_at).total_seconds() > UNDO_SECONDS:
        raise Refusal(_("It is too late to undo this; the author can have it corrected."), code="too_late")
    publish(LineReopened(line.id, line.author_id, line.project_id, line.day, line.hours))
    line.decided_by, line.decided_at = None, None


UNDO_SECONDS = 60
"""Seconds in which a confirmation can be taken back."""


def confirm_old(today: date) -> int:
    """Confirms what has waited for the configured number of working days, outside of closed months.

    Returns how many lines. Inside `unrestricted`.
    """
    days = auto_confirm_days.get()
    if days == 0:
        return 0
    waiting_since = WorkingCalendar.load().previous_workday(today, days)
    hold_months()
    old = aliased(ReportLine)
    # right hours count only beside the reversal of the wrong ones
    taken_back = select(old.id).where(
        old.id == ReportLine.corrects_id,
        old.archived_at.is_(None),
        or_(old.state == "confirmed", and_(old.state == "submitted", old.submitted_on <= waiting_since)),
    )
    due = session().execute(
        update(ReportLine)
        .where(ReportLine.state == "submitted", ReportLine.submitted_on <= waiting_since, ReportLine.archived_at.is_(None))
        .where(or_(ReportLine.corrects_id.is_(None), taken_back.exists()), in_open_month(ReportLine))
        .values(state="confirmed", decided_at=calendar.now(), decided_by=None, version=ReportLine.version + 1)
        .returning(ReportLine.id, ReportLine.author_id, ReportLine.project_id, ReportLine.day, ReportLine.hours)
        .execution_options(synchronize_session=False)
    )
    rows = due.all()
    for row in rows:
        publish(LineConfirmed(row.id, row.author_id, row.project_id, row.day, row.hours))
    return len(rows)
