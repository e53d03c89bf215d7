"""People: the organisation, who works where and since when, grades and their rates, leave."""

from portal.kernel.i18n import _l
from portal.kernel.module import Module, context, explains, scope

module = Module("hr", depends=(), label=_l("People"), group="People")

scope("staff", label=_l("Sees all staff data"), wide=True)
scope("staff_admin", label=_l("Changes staff data and the organisation"), wide=False)
scope(
    "staff_approval",
    label=_l("Approves changes of employees"),
    help=_l("What another person prepared and submitted; never the own matters."),
    wide=False,
)
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


@context("headed_departments", lend="people")
def headed_departments() -> str:
    """Ids of the departments *me* heads today, with their subtrees."""
    return f"{_HEADED} select id from headed"  # noqa: S608 - constant text


@context("staff", lend="people", people=True)
def staff() -> str:
    """User ids of the people *me* answers for today, *me* included."""
    return f"{_HEADED} select e.user_id from hr_employee e join headed on e.department_id = headed.id union select me"  # noqa: S608 - constant text


HEARD_OF = 30
"""Days for which the heads of both departments read an approved change, counted from its day or its approval, whichever is later."""
_HEARD_OF = f"ev.approved_on is not null and greatest(ev.effective_on, ev.approved_on) > {{today}} - {HEARD_OF}"


@context("headed_changes", lend="people")
def headed_changes() -> str:
    """Ids of the employee changes to come, and of some time ago, from or to a department *me* heads today; never one about *me*."""
    heard = f"{_HEARD_OF.format(today='today')} and ev.user_id is distinct from me"
    return f"""{_HEADED}
select ev.id from headed join hr_employee_event ev on ev.department_id = headed.id where {heard}
union
select ev.id from headed join hr_employee_event ev on ev.from_department_id = headed.id where {heard}"""  # noqa: S608 - constant text


# Every headship, past and coming ones too, with the departments it reaches.
_HEADSHIPS = """
with recursive below(head, id) as (
    select h.id, h.department_id from hr_department_head h where h.archived_at is null
    union
    select b.head, d.id from hr_department d join below b on d.parent_id = b.id
), headship as (
    select h.user_id as person, b.id as department_id, h.kind as via, jsonb_build_object('department', t.name) as named,
           h.from_day, h.to_day, 'hr_department_head' as source, h.id as source_id,
           h.from_day <= :today and (h.to_day is null or h.to_day > :today) as counts
      from below b join hr_department_head h on h.id = b.head join hr_department t on t.id = h.department_id
)"""
_HEADS = {
    "head": _l("Head of %(department)s"),
    "deputy": _l("Deputy head of %(department)s"),
    "acting": _l("Acting head of %(department)s"),
}


@explains("headed_departments", _l("departments one heads"), **_HEADS)
def why_headed_departments() -> str:
    """The headships, each with its subtree."""
    return f"""{_HEADSHIPS}
select person, department_id as id, via, named, from_day, to_day, source, source_id, counts from headship"""  # noqa: S608 - constant text


@explains("headed_changes", _l("changes of employees from or to departments one heads"), **_HEADS)
def why_headed_changes() -> str:
    """The headships, each with the changes from and to its subtree."""
    return f"""{_HEADSHIPS}
select x.person, ev.id, x.via, x.named, x.from_day, x.to_day, x.source, x.source_id,
       x.counts and {_HEARD_OF.format(today="cast(:today as date)")} as counts
  from headship x join hr_employee_event ev on x.department_id in (ev.department_id, ev.from_department_id)
 where ev.user_id is distinct from x.person"""  # noqa: S608 - constant text


@explains("staff", _l("people one answers for"), self=_l("The person's own"), **_HEADS)
def why_staff() -> str:
    """The headships, each with the people of its subtree, and everybody's own matters."""
    return f"""{_HEADSHIPS}
select x.person, e.user_id as id, x.via, x.named, x.from_day, x.to_day, x.source, x.source_id, x.counts
  from headship x join hr_employee e on e.department_id = x.department_id
union all
select u.id, u.id, 'self', '{{}}'::jsonb, null::date, null::date, 'ab_user', u.id, true from ab_user u"""  # noqa: S608 - constant text


# Per headship: its department and everything below. Whoever only deputises or acts for a department does not answer for its head.
_ANSWERS = """
with recursive mine(root, as_head) as (
    select h.department_id, h.kind = 'head' from hr_department_head h
     where h.user_id = me and h.archived_at is null and h.from_day <= today and (h.to_day is null or h.to_day > today)
), below(root, as_head, id) as (
    select m.root, m.as_head, m.root from mine m
    union
    select b.root, b.as_head, d.id from hr_department d join below b on d.parent_id = b.id
)
select distinct e.user_id from hr_employee e join below b on b.id = e.department_id
 where e.user_id <> me and (b.as_head or not exists (
    select from hr_department_head x where x.department_id = b.root and x.user_id = e.user_id and x.kind = 'head'
       and x.archived_at is null and x.from_day <= today and (x.to_day is null or x.to_day > today)))"""


@context("answered_staff")
def answered_staff() -> str:
    """User ids of the people whose matters *me* decides on today: never the own ones, nor those of a head *me* only stands in for."""
    return _ANSWERS


@context("entities")
def entities() -> str:
    """The legal entity *me* is employed by: documents begun by *me* belong to it."""
    return "select e.entity_id from hr_employee e where e.user_id = me"
