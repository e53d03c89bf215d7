"""The organisation over time: what it looked like on a day, who headed what, and how it is changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask_appbuilder.security.sqla.models import User, assoc_user_role
from sqlalchemy import Select, exists, func, or_, select

from modules.hr import rules
from modules.hr.events import DepartmentChanged, HeadAppointed
from modules.hr.models import Assignment, Department, DepartmentHead, DepartmentPeriod, Employee
from portal.kernel.calendar import today
from portal.kernel.db import PlainTable, session, unrestricted
from portal.kernel.errors import Forbidden, Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from portal.kernel.module import assignee
from security.manager import allowed
from security.roles import RoleScope
from security.transitions import Argument, operation, text
from security.visibility import acting, context


def covers(model: type[DepartmentPeriod] | type[DepartmentHead] | type[Assignment] | PlainTable, day: date):  # type: ignore[no-untyped-def]
    """SQL: the period of *model* holds on *day*."""
    return (model.from_day <= day) & or_(model.to_day.is_(None), model.to_day > day)


# ------------------------------------------------------------------ as of a day
@dataclass(frozen=True)
class Place:
    """A department as it was on the day asked for."""

    id: int
    code: str
    name: str
    parent_id: int | None


@dataclass(frozen=True)
class Head:
    """Somebody who answered for a department on the day asked for; kind head, deputy or acting."""

    department_id: int
    user_id: int
    name: str
    kind: str


def departments_on(day: date) -> list[Place]:
    """Every department that existed on *day*, with that day's name and place, in order of code. Two statements at most."""
    if day == today():
        now = select(Department.id, Department.code, Department.name, Department.parent_id).order_by(Department.code)
        return [Place(*row) for row in session().execute(now)]
    then = (
        select(Department.id, Department.code, DepartmentPeriod.name, DepartmentPeriod.parent_id)
        .join(DepartmentPeriod, DepartmentPeriod.department_id == Department.id)
        .where(covers(DepartmentPeriod, day))
        .order_by(Department.code)
        .execution_options(include_archived=True)
    )
    return [Place(*row) for row in session().execute(then.where(DepartmentPeriod.archived_at.is_(None)))]


def heads_on(day: date) -> dict[int, list[Head]]:
    """The people answering for each department on *day*: the head first, then acting heads, then deputies."""
    rank = {"head": 0, "acting": 1, "deputy": 2}
    rows = session().execute(
        select(DepartmentHead.department_id, DepartmentHead.user_id, Employee.name, DepartmentHead.kind)
        .join(Employee, Employee.user_id == DepartmentHead.user_id)
        .where(covers(DepartmentHead, day))
    )
    found: dict[int, list[Head]] = {}
    for head in sorted((Head(*row) for row in rows), key=lambda h: (rank[h.kind], h.name)):
        found.setdefault(head.department_id, []).append(head)
    return found


def people_on(day: date) -> dict[int, int]:
    """Department of each person (user id) who worked here on *day*.

    Where a colleague works or worked is in the directory for everybody. A future day is planned, not known: there a person gets
    today's places and the future ones of those whose assignments the person may see.
    """
    if day < today():
        with unrestricted("departments of a past day for the organisation chart") as s:
            return dict(s.execute(select(Assignment.user_id, Assignment.department_id).where(covers(Assignment, day))).tuples().all())
    places = dict(session().execute(select(Employee.user_id, Employee.department_id).where(Employee.active)).tuples().all())
    if day > today():
        seen = session().execute(
            select(Assignment.user_id, Assignment.department_id, covers(Assignment, day).label("then")).where(
                or_(Assignment.to_day.is_(None), Assignment.to_day > today())
            )
        )
        rows = seen.all()
        for user_id, _department, _then in rows:
            places.pop(user_id, None)
        places.update({user_id: department for user_id, department, then in rows if then})
    return places


def organisation(day: date | None = None) -> list[rules.Node]:
    """The nested departments of *day* with their headcounts."""
    day = day or today()
    counts: dict[int, int] = {}
    for department in people_on(day).values():
        counts[department] = counts.get(department, 0) + 1
    return rules.tree(((p.id, p.name, p.parent_id) for p in departments_on(day)), counts)


def parents_today() -> dict[int, int | None]:
    """The department above each one."""
    # dissolved ones too, as for `answered_staff`: whoever is still in one is answered for by the heads above it
    every = select(Department.id, Department.parent_id).execution_options(include_archived=True)
    return dict(session().execute(every).tuples().all())


def employed_in(departments: Iterable[int], subtree: bool = True) -> list[int]:
    """User ids of the people who work in *departments* today, by default with everything below them."""
    wanted = set(departments)
    if subtree:
        parents = parents_today()
        wanted = set().union(*(rules.below(parents, d) for d in wanted)) if wanted else set()
    return list(session().scalars(select(Employee.user_id).where(Employee.active, Employee.department_id.in_(wanted))))


def heads_of(user_id: int, day: date | None = None) -> list[int]:
    """User ids of those who answer for *user_id* on *day*: the heads of the nearest department upwards that has another one."""
    department = session().scalar(select(Employee.department_id).where(Employee.user_id == user_id))
    return _nearest_heads(department, heads_on(day or today()), parents_today(), exclude=user_id)


def heads_of_many(user_ids: Iterable[int], day: date | None = None) -> dict[int, list[int]]:
    """`heads_of` for many people at once: three statements."""
    heads, parents = heads_on(day or today()), parents_today()
    rows = session().execute(select(Employee.user_id, Employee.department_id).where(Employee.user_id.in_(list(user_ids))))
    return {user_id: _nearest_heads(department, heads, parents, exclude=user_id) for user_id, department in rows}


def nearest_heads(department_id: int | None, exclude: int | None = None) -> list[int]:
    """User ids of those who answer today for the people of *department_id*, without *exclude*."""
    return _nearest_heads(department_id, heads_on(today()), parents_today(), exclude=exclude)


def _nearest_heads(
    department: int | None, heads: Mapping[int, list[Head]], parents: Mapping[int, int | None], exclude: int | None
) -> list[int]:
    seen: set[int] = set()
    while department is not None and department not in seen:
        seen.add(department)
        found = [h.user_id for h in heads.get(department, ()) if h.user_id != exclude]
        # whoever heads the department is not answered for by the own deputies
        own = any(h.user_id == exclude and h.kind == "head" for h in heads.get(department, ()))
        if found and not own:
            return found
        department = parents.get(department)
    return []


def have_heads() -> Select[tuple[int]]:
    """SQL: user ids of the people somebody answers for today; of all others `heads_of` is empty."""
    person, department, other, own = (PlainTable(m) for m in (Employee, Department, DepartmentHead, DepartmentHead))
    up = select(person.user_id, person.department_id).cte(recursive=True)
    up = up.union(select(up.c.user_id, department.parent_id).where(department.id == up.c.department_id, department.parent_id.is_not(None)))
    there = [(h.department_id == up.c.department_id) & h.archived_at.is_(None) & covers(h, today()) for h in (other, own)]
    leads = exists().where(there[1], own.user_id == up.c.user_id, own.kind == "head")
    return select(up.c.user_id).where(there[0], other.user_id != up.c.user_id, ~leads)


def with_scope(scope: str) -> list[int]:
    """User ids of the people one of whose roles carries *scope*."""
    held = assoc_user_role
    rows = (
        select(User.id)
        .join(held, held.c.user_id == User.id)
        .join(RoleScope, RoleScope.role_id == held.c.role_id)
        .where(RoleScope.scope == scope, User.active)
    )
    return sorted(set(session().scalars(rows)))


def human_resources() -> list[int]:
    """User ids of the people who change staff data and the organisation: they answer where no head does."""
    return with_scope("staff_admin")


@assignee("department_head", label=_l("Head of the person's department"))
def department_head(user_id: int) -> list[int]:
    """Those who answer for *user_id* today."""
    return heads_of(user_id)


# ------------------------------------------------------------------ changing it
def administers(_c: Any, v: Any) -> Any:
    """By whom people and departments are changed."""
    return v.holds("staff_admin")


def found(code: str, name: str, parent_id: int | None, from_day: date | None = None) -> int:
    """A new department from *from_day* (today or earlier) on; returns its id.

    Raises Forbidden without the right, Invalid for a bad day or a code in use.
    """
    ctx = context()
    if not ctx.system and not (allowed("add", "hr.Department") and "staff_admin" in ctx.scopes):
        raise Forbidden(_("You may not change the organisation."))
    day = from_day or today()
    if day > today():
        raise Invalid({"from_day": _("A new department cannot begin in the future; found it when the day has come.")})
    with acting() as s:
        if s.scalar(select(func.count()).select_from(Department).where(Department.code == code)):
            raise Invalid({"code": _("Another department has this code.")})
        if parent_id is not None and s.get(Department, parent_id) is None:
            raise Invalid({"parent_id": _("There is no such department.")})
        department = Department(code=code.strip(), name=name.strip(), parent_id=parent_id)
        s.add(department)
        s.flush()
        s.add(DepartmentPeriod(department_id=department.id, parent_id=parent_id, name=department.name, from_day=day))
        publish(DepartmentChanged(department.id, department.name, day, closed=False))
        return department.id


def place_from(department: Department, day: date, parent_id: int | None, name: str, reason: str | None) -> None:
    """From *day* on *department* is called *name* and hangs under *parent_id*: ends the period in force and begins another."""
    s = session()
    periods = list(s.scalars(select(DepartmentPeriod).where(DepartmentPeriod.department_id == department.id)))
    if any(p.from_day > day for p in periods):
        raise Refusal(_("A later change of this department is already planned; it has to go first."))
    current = rules.in_force(periods, day)
    if current is None:
        raise Invalid({"from_day": _("The department does not exist on that day.")})
    if current.from_day == day:
        current.parent_id, current.name, current.reason = parent_id, name, reason
    else:
        current.to_day = day
        s.flush()
        s.add(DepartmentPeriod(department_id=department.id, parent_id=parent_id, name=name, from_day=day, reason=reason))
    if day <= today():
        department.parent_id, department.name = parent_id, name
        publish(DepartmentChanged(department.id, name, day, closed=False))


def _check_parent(department: Department, parent_id: int | None) -> None:
    if parent_id is not None and session().get(Department, parent_id) is None:
        raise Invalid({"parent_id": _("There is no such department.")})
    if rules.makes_cycle(parents_today(), department.id, parent_id):
        raise Invalid({"parent_id": _("A department cannot be part of itself or of what is below it.")})


@operation(
    by=administers,
    label=_l("Move"),
    icon="arrows-move",
    arguments={
        "parent_id": Argument("ref", _l("Part of"), lookup="departments"),
        "from_day": Argument("date", _l("From"), required=True),
        "reason": text(_l("Reason")),
    },
)
def move(department: Department, parent_id: int | None, from_day: date, reason: str | None) -> None:
    """The department with everything below it hangs elsewhere from a day on; what was before stays readable."""
    _check_parent(department, parent_id)
    place_from(department, from_day, parent_id, department.name, reason)


@operation(
    by=administers,
    label=_l("Rename"),
    icon="pencil",
    arguments={
        "name": text(_l("New name"), required=True, max_length=200),
        "from_day": Argument("date", _l("From"), required=True),
        "reason": text(_l("Reason")),
    },
)
def rename(department: Department, name: str, from_day: date, reason: str | None) -> None:
    """The department has another name from a day on."""
    place_from(department, from_day, department.parent_id, name, reason)


def close(department: Department, day: date) -> None:
    """The department exists no more; its history stays."""
    department.archived_at = func.now()
    publish(DepartmentChanged(department.id, department.name, day, closed=True))


def apply_due_departments(day: date) -> int:
    """Brings the copies in `Department` to what the periods say about *day*; returns how many changed. Idempotent."""
    s = session()
    changed = 0
    periods: dict[int, list[DepartmentPeriod]] = {}
    for period in s.scalars(select(DepartmentPeriod).where(DepartmentPeriod.from_day <= day)):
        periods.setdefault(period.department_id, []).append(period)
    for department in s.scalars(select(Department)).all():
        held = periods.get(department.id, [])
        current = rules.in_force(held, day)
        if current is not None and (current.parent_id, current.name) != (department.parent_id, department.name):
            department.parent_id, department.name = current.parent_id, current.name
            publish(DepartmentChanged(department.id, department.name, day, closed=False))
            changed += 1
        elif current is None and held:
            close(department, day)
            changed += 1
    return changed


# ------------------------------------------------------------------ heads
@operation(
    by=administers,
    label=_l("Appoint a head"),
    icon="user-star",
    arguments={
        "user_id": Argument("person", _l("Person"), required=True),
        "kind": Argument("choice", _l("Kind"), required=True, choices=DepartmentHead.KINDS),
        "from_day": Argument("date", _l("From"), required=True),
        "to_day": Argument("date", _l("Until (not included)")),
    },
)
def appoint(department: Department, user_id: int, kind: str, from_day: date, to_day: date | None) -> None:
    """Somebody becomes head, deputy or acting head for a period. A new head ends the period of the one before.

    A head sees and decides for people: nobody gives that to the own account.
    """
    s = session()
    if user_id == context().me:
        raise Invalid({"user_id": _("Nobody appoints themselves; another person of HR does this.")})
    if to_day is not None and to_day <= from_day:
        raise Invalid({"to_day": _("The end must be after the beginning.")})
    if s.scalar(select(Employee.id).where(Employee.user_id == user_id, Employee.active)) is None:
        raise Invalid({"user_id": _("This person does not work here.")})
    rows = list(s.scalars(select(DepartmentHead).where(DepartmentHead.department_id == department.id)))
    if kind == "head":
        before = next((r for r in rows if r.kind == "head" and r.from_day < from_day and (r.to_day is None or r.to_day > from_day)), None)
        if before is not None:
            before.to_day = from_day
            s.flush()
    for row in rows:
        clash = row.user_id == user_id or (kind == "head" and row.kind == "head")
        if clash and rules.overlap(row.from_day, row.to_day, from_day, to_day):
            raise Refusal(_("This overlaps another appointment from %(day)s on.", day=f"{row.from_day:%Y-%m-%d}"), code="overlap")
    s.add(DepartmentHead(department_id=department.id, user_id=user_id, kind=kind, from_day=from_day, to_day=to_day))
    publish(HeadAppointed(department.id, user_id, kind, from_day, to_day))


def end_headships(user_id: int, day: date) -> None:
    """Whoever leaves answers for no department from *day* on."""
    s = session()
    for head in s.scalars(select(DepartmentHead).where(DepartmentHead.user_id == user_id)):
        if head.from_day >= day:
            head.archived_at = func.now()
        elif head.to_day is None or head.to_day > day:
            head.to_day = day


@operation(
    by=administers, label=_l("End"), icon="calendar-off", name="end", arguments={"day": Argument("date", _l("Until (not included)"))}
)
def end_headship(head: DepartmentHead, day: date | None) -> None:
    """The person no longer answers for the department from *day* (default today) on; one that has not begun disappears."""
    day = day or today()
    if head.from_day >= day:
        head.archived_at = func.now()
    elif head.to_day is not None and head.to_day <= day:
        raise Refusal(_("This appointment has already ended."))
    else:
        head.to_day = day
