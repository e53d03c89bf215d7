"""Lists and record pages of reports, lines and closed months."""

from typing import Any

from modules.dailyreport.models import ClosedMonth, DailyReport, ReportLine
from modules.dailyreport.reports.period import day_words
from modules.dailyreport.reports.remarks import remarks_of
from modules.dailyreport.resources import LINE_TEXTS
from portal.kernel.i18n import _, _l
from portal.web import words
from portal.web.rows import Row
from portal.web.screen import Related, Screen
from security.visibility import Context, context


class DailyReportScreen(Screen, model=DailyReport):
    """Reports the reader may see; they are written on the page of one's own report."""

    route_base = "/daily-reports"
    title = _l("Daily reports")
    icon = "report"
    menu = "Work"
    menu_order = 30
    verbs = ("view", "export")
    list_columns = ("day", "author", "hours", "overtime_hours", "late", "state", "submitted_at")
    show_columns = ("day", "author", "hours", "overtime_hours", "late", "submitted_at", "plan", "problems")
    filters = ("author", "day", "state", "late", "overtime", "hours")
    search_columns = ("plan", "problems")
    order = ("day", "desc")
    totals = ("hours", "overtime_hours")
    related = (
        Related(ReportLine, "report_id", _l("Lines"), ("project", "category", "hours", "done", "state"), add=False, inside=True),
    )  # fmt: skip
    tabs = ((_l("Submitted"), "f.state=submitted"), (_l("Late"), "f.late=1"))
    empty = {
        "icon": "message-report",
        "title": _l("No reports yet"),
        "text": _l("Write the first one; it takes a minute."),
        "actions": [{"label": _l("Write my report"), "url": "/my-report/", "primary": True}],
    }

    def list_extras(self) -> dict[str, Any]:
        return {"page_actions": [{"label": _("Write my report"), "url": "/my-report/", "icon": "pencil", "primary": True}]}

    def heading(self, record: Any, row: Row) -> str:
        return f"{row.labels['author_id']} · {day_words(record.day)}"

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        said = remarks_of(record.id)
        items = [{"id": r.id, "who": r.who, "at": words.moment(r.at), "text": r.text, "mine": r.mine} for r in said.comments]
        out: dict[str, Any] = {
            "comments": {"items": items, "url": f"{self.route_base}/{record.id}/comment", "mention_url": None},
            "figures": [
                {"label": _("Hours"), "display": f"{words.hours(record.hours)} h", "hint": "", "tone": ""},
                {"label": _("Likes"), "display": str(said.likes), "hint": "", "tone": ""},
            ],
        }
        if record.author_id == context().me:
            out["edit_url"] = f"/my-report/?day={record.day.isoformat()}"
        return out


class ReportLineScreen(Screen, model=ReportLine):
    """Lines the reader may see: own ones, those of the staff, those on managed projects."""

    route_base = "/daily-report-lines"
    title = _l("Report lines")
    icon = "list-details"
    menu = "Work"
    menu_order = 40
    verbs = ("view", "export")
    list_columns = ("day", "author", "project", "category", "hours", "done", "state")
    show_columns = (
        "day", "author", "report", "project", "category", "hours", "done", "return_reason", "decider", "decided_by", "decided_at",
        "reversal_of", "corrects",
    )  # fmt: skip
    filters = ("author", "project", "category", "day", "state", "hours", "decider", "report")
    search_columns = ("project_label",)
    order = ("day", "desc")
    totals = ("hours",)
    computed = LINE_TEXTS
    track = ("open", "submitted", "confirmed")
    tabs = ((_l("To be confirmed"), "f.state=submitted"), (_l("Returned"), "f.state=returned"), (_l("Confirmed"), "f.state=confirmed"))

    def heading(self, record: Any, row: Row) -> str:
        return f"{row.labels['author_id']} · {day_words(record.day)}"


def _closes(ctx: Context) -> bool:
    return "staff_admin" in ctx.scopes


class ClosedMonthScreen(Screen, model=ClosedMonth):
    """Months in which nothing changes any more."""

    route_base = "/closed-months"
    title = _l("Closed months")
    icon = "lock"
    menu = "People"
    menu_order = 90
    visible = _closes
    order = ("month", "desc")
