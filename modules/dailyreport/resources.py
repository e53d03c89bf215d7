"""Daily reports for programs: the same rules as the page, through the same actions."""

from collections.abc import Mapping
from typing import Any

from flask import Response

from modules.dailyreport.actions.admission import LineEntry, ReportEntry
from modules.dailyreport.actions.programs import add_line, as_entry, change_line, change_report, create_report
from modules.dailyreport.models import ClosedMonth, DailyReport, LineText, ReportComment, ReportLike, ReportLine
from portal.kernel.db import session
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.i18n import _, _l
from portal.web import forms, rows
from portal.web.access import route
from portal.web.declared import Computed
from portal.web.resource import Resource, answer, if_match, object_body, visible

MAX_DONE = 2000


def text(column: str) -> Any:
    """A text column of the line, as far as the reader may see it, read with the line itself."""
    return lambda _model: rows.Through(LineText, "line_id", column)


LINE_TEXTS = {
    "done": Computed(_l("What was done"), "text", column=text("done")),
    "return_reason": Computed(_l("Reason for the return"), "text", column=text("return_reason")),
}


class DailyReports(Resource, model=DailyReport):
    """Reports: written by their author, `submit` hands one in, `comment` and `like` are for those who see it."""

    resource_name = "daily-reports"
    verbs = ("view", "add", "edit", "export")
    add_columns = ("day", "overtime", "plan", "problems")
    edit_columns = ("overtime", "plan", "problems")
    order = ("day", "desc")

    def perform_create(self, values: Mapping[str, Any]) -> int:
        entry = ReportEntry(values["day"], [], bool(values.get("overtime")), values.get("plan") or "", values.get("problems") or "")
        return create_report(entry)

    def perform_update(self, pk: int, values: Mapping[str, Any], version: int) -> None:
        change_report(current(DailyReport, pk, version), **values)


class ReportLines(Resource, model=ReportLine):
    """Lines: `done` is a field of its own here; a reader who may not see the project gets null for it."""

    resource_name = "daily-report-lines"
    add_columns = ("report_id", "project_id", "category", "hours")
    edit_columns = ("project_id", "category", "hours")
    order = ("day", "desc")
    computed = LINE_TEXTS

    @route("/", methods=("POST",), verb="add")
    def create(self) -> Response:
        """A new open line of one's own report: 201 with it and its address."""
        values, done = self._given(partial=False)
        entry = LineEntry(values["hours"], done or "", values.get("project_id"), values.get("category"))
        return self.made(add_line(values["report_id"], entry))

    @route("/<int:pk>", methods=("PUT", "PATCH"), verb="edit")
    def update(self, pk: int) -> Response:
        """Sets the given fields of an open or returned line; on another project it is another line, whose id the answer has."""
        visible(ReportLine, pk)
        line = current(ReportLine, pk, if_match())
        values, done = self._given(partial=True)
        old = as_entry(line)
        moved = "project_id" in values or "category" in values
        entry = LineEntry(
            values.get("hours", old.hours),
            old.done if done is None else done,
            values.get("project_id") if moved else old.project_id,
            values.get("category") if moved else old.category,
            pk,
        )
        return self.one(change_line(line, entry))

    @route("/<int:pk>", methods=("DELETE",), verb="archive")
    def remove(self, pk: int) -> Response:
        """Takes an open or returned line out of one's own report."""
        visible(ReportLine, pk)
        change_line(current(ReportLine, pk, if_match()), None)
        return answer({"id": pk, "archived": True})

    def _given(self, partial: bool) -> tuple[dict[str, Any], str | None]:
        given = object_body()
        done = given.pop("done", None)
        if done is not None and (not isinstance(done, str) or len(done) > MAX_DONE or "\x00" in done):
            raise Invalid({"done": _("At most %(n)s characters.", n=MAX_DONE)})
        names = self.editable() if partial else self.addable()
        return forms.parse_json(ReportLine, names, given, partial=partial), done


def current(model: type[Any], pk: int, version: int) -> Any:
    """Record *pk* in *version*. Raises Conflict when another one is stored."""
    found = session().get_one(model, pk, populate_existing=True)
    if found.version != version:
        raise Conflict(_("Somebody changed this record meanwhile. Look at the new version and try again."), version=found.version)
    return found


class ReportComments(Resource, model=ReportComment):
    """Comments, written with the action `comment` of a report."""

    resource_name = "daily-report-comments"
    verbs = ("view",)
    order = ("id", "desc")


class ReportLikes(Resource, model=ReportLike):
    """Likes, given with the action `like` of a report."""

    resource_name = "daily-report-likes"
    verbs = ("view",)
    order = ("id", "desc")


class ClosedMonths(Resource, model=ClosedMonth):
    """Months in which nothing changes any more."""

    resource_name = "closed-months"
    order = ("month", "desc")
