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
    EmployeePrivate,
    Employment,
    Grade,
    GradeRate,
    Leave,
    Post,
)
from modules.hr.screens import hiring
from modules.hr.screens.organisation import chart
from portal.web.access import route
from portal.web.query import asked_day
from portal.web.resource import Resource, answer, body

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


class DepartmentPeriodResource(Resource, model=DepartmentPeriod):
    """Names and places of departments over time."""

    resource_name = "department-periods"
    verbs = READ


class DepartmentHeadResource(Resource, model=DepartmentHead):
    """Heads, deputies and acting heads by period."""

    resource_name = "department-heads"
    verbs = READ


class EmployeeResource(Resource, model=Employee):
    """The directory. Adding takes the fields of the hiring form."""

    resource_name = "employees"
    edit_columns = ("name", "number", "work_email", "work_phone")
    search_columns = ("name", "number", "work_email", "work_phone")
    verbs = ("view", "add", "edit", "export")
    order = ("number", "asc")

    @route("/", methods=("POST",), verb="add")
    def create(self) -> Response:
        """A new employee: 201 with the directory entry and its address."""
        return self.made(hiring.from_json(body()))


class EmploymentResource(Resource, model=Employment):
    """Terms of employment, for the person, the heads and HR."""

    resource_name = "employments"
    edit_columns = ("employment_type", "regular_on")
    verbs = ("view", "edit", "export")


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
