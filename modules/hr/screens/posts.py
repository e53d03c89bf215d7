"""Posts, grades and what grades cost over time."""

from typing import Any

from modules.hr.models import Employment, Grade, GradeRate, Post
from modules.hr.screens.access import administers
from portal.kernel.calendar import today
from portal.kernel.i18n import _l
from portal.web import recordpage
from portal.web.rows import Row
from portal.web.screen import Related, Screen
from security.visibility import Context


def sees_rates(ctx: Context) -> bool:
    """Whether the reader's roles open the rates of grades."""
    return "rates" in ctx.scopes


class Posts(Screen, model=Post):
    """What people are employed as."""

    route_base = "/posts"
    menu = "People"
    menu_order = 70
    icon = "briefcase"
    title = _l("Posts")
    order = ("code", "asc")
    visible = administers


class Grades(Screen, model=Grade):
    """Post grades; their page shows the rates to those who may see them."""

    route_base = "/grades"
    menu = "People"
    menu_order = 71
    icon = "stairs"
    title = _l("Grades")
    order = ("code", "asc")
    visible = sees_rates
    related = (
        Related(
            GradeRate,
            "grade_id",
            title=_l("Rates"),
            columns=("from_day", "to_day", "base_salary", "performance_pay", "project_performance", "daily_cost"),
            order=("from_day", "desc"),
        ),
        Related(Employment, "grade_id", title=_l("People"), columns=("employee", "state", "joined_on")),
    )

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """A new rate begins today unless another day is given."""
        actions = recordpage.actions(record, self.route_base)
        for action in actions:
            for argument in action["arguments"]:
                if argument["name"] == "from_day":
                    argument["value"] = today().isoformat()
        return {"actions": actions}


class Rates(Screen, model=GradeRate):
    """Rates by grade and period; read only, a new one is set on the grade."""

    route_base = "/grade-rates"
    menu = "People"
    menu_order = 72
    icon = "coin"
    title = _l("Grade rates")
    list_columns = ("grade", "from_day", "to_day", "base_salary", "performance_pay", "project_performance", "daily_cost")
    order = ("from_day", "desc")
    verbs = ("view", "export")
    visible = sees_rates
