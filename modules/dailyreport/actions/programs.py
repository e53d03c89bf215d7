"""Reports and single lines as programs write them: each call is one saving of the whole report, with its checks."""

from typing import Any

from sqlalchemy import func, select

from modules.dailyreport.actions.admission import LineEntry, ReportEntry
from modules.dailyreport.actions.writing import EDITABLE, me, target_of, write_report
from modules.dailyreport.models import DailyReport, ReportLine
from portal.kernel.db import session
from portal.kernel.errors import Forbidden, Invalid, NotFound, Refusal
from portal.kernel.i18n import _


def create_report(entry: ReportEntry) -> int:
    """A new draft of the person at hand. Raises Refusal when there is one for the day."""
    if session().scalar(select(DailyReport.id).where(DailyReport.author_id == me(), DailyReport.day == entry.day)) is not None:
        raise Refusal(_("There is already a report of this day."), code="duplicate")
    return write_report(entry, submitting=False, version=0)


def change_report(report: DailyReport, **values: Any) -> None:
    """Sets overtime, plan or problems of the person's own draft."""
    if report.author_id != me():
        raise Forbidden(_("This report is not yours."))
    if report.state != "draft":
        raise Refusal(_("A report that was handed in changes by its lines only."), code="wrong_state")
    kept = {"overtime": report.overtime, "plan": report.plan or "", "problems": report.problems or ""}
    entries = [as_entry(line) for line in _own_open(report.id)]
    changed: dict[str, Any] = {**kept, **{name: value if name == "overtime" else value or "" for name, value in values.items()}}
    write_report(ReportEntry(report.day, entries, **changed), submitting=False, version=report.version)


def add_line(report_id: int, entry: LineEntry) -> int:
    """Adds one open line to the person's own report; handing the report in submits it. Returns its id."""
    report = session().scalar(select(DailyReport).where(DailyReport.id == report_id))
    if report is None or report.author_id != me():
        raise Invalid({"report_id": _("There is no such report of yours.")})
    before = [as_entry(line) for line in _own_open(report_id)]
    _write_again(report, [*before, entry])
    return _newest(report_id)


def _newest(report_id: int) -> int:
    pk = session().scalar(select(func.max(ReportLine.id)).where(ReportLine.report_id == report_id))
    if pk is None:
        raise NotFound(_("This record does not exist."))
    return pk


def change_line(line: ReportLine, entry: LineEntry | None) -> int:
    """Replaces an open or returned line of the person by *entry*; None takes it away. Returns the line's id: one on another
    project or kind of work is another line."""
    if line.author_id != me():
        raise Forbidden(_("This line is not yours."))
    if line.state not in EDITABLE:
        raise Refusal(_("This line no longer changes."), code="wrong_state")
    report, pk, moved = session().get_one(DailyReport, line.report_id), line.id, False
    if entry is not None:
        moved = (entry.project_id, entry.category) != target_of(line)
    entries = [as_entry(other) if other.id != line.id else entry for other in _own_open(line.report_id)]
    _write_again(report, [e for e in entries if e is not None])
    return _newest(report.id) if moved else pk


def _write_again(report: DailyReport, entries: list[LineEntry]) -> None:
    """Saves *report* with *entries* as its open lines; a report already handed in stays so, its new lines open."""
    entry = ReportEntry(report.day, entries, report.overtime, report.plan or "", report.problems or "")
    # what somebody else's call added meanwhile is not among the entries and must not be taken away
    write_report(entry, submitting=False, version=report.version)


def _own_open(report_id: int) -> list[ReportLine]:
    found = select(ReportLine).where(ReportLine.report_id == report_id, ReportLine.state.in_(EDITABLE), ReportLine.reversal_of_id.is_(None))
    return list(session().scalars(found.order_by(ReportLine.position, ReportLine.id)))


def as_entry(line: ReportLine) -> LineEntry:
    """A stored line as typed."""
    return LineEntry(line.hours, line.note.done if line.note else "", line.project_id, line.category, line.id)
