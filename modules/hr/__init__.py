"""People: the organisation, who works where and since when, grades and their rates, leave."""

from portal.kernel.i18n import _l
from portal.kernel.module import Module, context, scope

module = Module("hr", depends=(), label=_l("People"), group="People")

scope("staff", label=_l("Sees all staff data"), wide=True)
scope("staff_admin", label=_l("Changes staff data and the organisation"), wide=False)
scope("rates", label=_l("Sees what a grade costs"), wide=True)

# Departments a person answers for today: the ones headed (as head, deputy or acting head) and everything below them, dissolved ones
# too: people who left stay in the department they left from, and their reports with them.
_HEADED = """
with recursive headed(id) as (
    select h.department_id from hr_department_head h
     where h.user_id = me and h.archived_at is null and h.from_day <= today and (h.to_day is null or h.to_day > today)
    union
    select d.id from hr_department d join headed on d.parent_id = headed.id
)"""


@context("headed_departments")
def headed_departments() -> str:
    """Ids of the departments *me* heads today, with their subtrees."""
    return f"{_HEADED} select id from headed"  # noqa: S608 - constant text


@context("staff")
def staff() -> str:
    """User ids of the people *me* answers for today, *me* included."""
    return f"{_HEADED} select e.user_id from hr_employee e join headed on e.department_id = headed.id union select me"  # noqa: S608 - constant text


@context("entities")
def entities() -> str:
    """The legal entity *me* is employed by: documents begun by *me* belong to it."""
    return "select e.entity_id from hr_employee e where e.user_id = me"
