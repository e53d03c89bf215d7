"""People and the organisation over REST."""

from collections.abc import Mapping
from typing import Any

from flask import Response

from modules.hr.actions import found
from modules.hr.models import (
    Assignment,
    Department,
    DepartmentHead,
    DepartmentPeriod,
    Employee,
    EmployeeEvent,
    EmployeeEventGrade,
    EmployeePrivate,
    Employment,
    Grade,
    GradeRate,
    Leave,
    Merger,
    Post,
)
from modules.hr.screens import proposing
from modules.hr.screens.organisation import chart
from portal.kernel.i18n import _l
from portal.web import records, rows
from portal.web.access import route
from portal.web.declared import Computed
from portal.web.query import asked_day
from portal.web.resource import Resource, answer, body, if_match, visible

READ = ("view", "export")


class DepartmentResource(Resource, model=Department):
    """Departments; `tree?day=` is the organisation as of a day."""

    resource_name = "departments"
    edit_columns = ("code",)
    verbs = ("view", "add", "edit", "export")
    order = ("code", "asc")

    def perform_create(self, values: Mapping[str, Any]) -> int:
        return found(values["code"], values["name"], values.get("parent_id"))

    @route("/tree")
    def tree(self) -> Response:
        """The nested departments with heads and headcounts on `?day=` (default today)."""
        day = asked_day()
        return answer({"day": day.isoformat(), "result": chart(day)})


class MergerResource(Resource, model=Merger):
    """Mergers of departments: asked for by `departments/<id>/merge`, approved, rejected and cancelled here."""

    resource_name = "department-mergers"
    verbs = READ
    order = ("from_day", "desc")
    search_columns = ("name", "reason")


class DepartmentPeriodResource(Resource, model=DepartmentPeriod):
    """Names and places of departments over time."""

    resource_name = "department-periods"
    verbs = READ


class DepartmentHeadResource(Resource, model=DepartmentHead):
    """Heads, deputies and acting heads by period."""

    resource_name = "department-heads"
    verbs = READ


class EmployeeResource(Resource, model=Employee):
    """The directory. Somebody new, another place, leaving and coming back are `employee-events`."""

    resource_name = "employees"
    edit_columns = ("name", "number", "work_email", "work_phone")
    search_columns = ("name", "number", "work_email", "work_phone")
    verbs = ("view", "edit", "export")
    order = ("number", "asc")


def _grade(column: str) -> Any:
    """A grade of the change, as far as the reader may see it, read with the change itself."""
    return lambda _model: rows.Through(EmployeeEventGrade, "event_id", column)


class EmployeeEventResource(Resource, model=EmployeeEvent):
    """Changes of employees: HR adds and submits, a second person approves or rejects.

    `kind` decides which fields there are; what a transfer does not name stays as it is. `grade_id` and `from_grade_id` are null for
    readers who may not see the person's grade.
    """

    resource_name = "employee-events"
    verbs = ("view", "add", "edit", "archive", "export")
    order = ("effective_on", "desc")
    search_columns = ("name", "number", "reason")
    computed = {
        "grade_id": Computed(_l("Grade"), "integer", column=_grade("grade_id")),
        "from_grade_id": Computed(_l("Grade before"), "integer", column=_grade("from_grade_id")),
    }

    @route("/", methods=("POST",), verb="add")
    def create(self) -> Response:
        """A new draft: 201 with it and its address."""
        return self.made(proposing.create(body()))

    @route("/<int:pk>", methods=("PUT", "PATCH"), verb="edit")
    def update(self, pk: int) -> Response:
        """Other values for a draft, by who prepared it."""
        visible(self.model, pk)
        version = if_match()
        event, may_change = records.get(EmployeeEvent, pk)
        if not may_change:
            raise records.read_only(event)
        proposing.change(event, body(), version)
        return self.one(pk)


class EmployeeEventGradeResource(Resource, model=EmployeeEventGrade):
    """The grades of changes, for those who may see the person's grade or decide."""

    resource_name = "employee-event-grades"
    verbs = READ


class EmploymentResource(Resource, model=Employment):
    """Terms of employment, for the person, the heads and HR."""

    resource_name = "employments"
    verbs = READ


class AssignmentResource(Resource, model=Assignment):
    """Places over time; a planned one may be withdrawn."""

    resource_name = "assignments"
    verbs = READ
    order = ("from_day", "desc")


class EmployeePrivateResource(Resource, model=EmployeePrivate):
    """Identity and bank fields, for the person and HR."""

    resource_name = "employee-private"
    verbs = ("view", "edit")


class PostResource(Resource, model=Post):
    """Posts."""

    resource_name = "posts"
    order = ("code", "asc")


class GradeResource(Resource, model=Grade):
    """Grades; `set-rate` begins a new rate."""

    resource_name = "grades"
    order = ("code", "asc")


class GradeRateResource(Resource, model=GradeRate):
    """Rates of grades by period, for those who may see them."""

    resource_name = "grade-rates"
    verbs = READ
    order = ("from_day", "desc")


class LeaveResource(Resource, model=Leave):
    """Leave and business trips."""

    resource_name = "leaves"
    order = ("from_day", "desc")
