"""What people of the organisation answer for, and who takes it over (VIS-11)."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import aliased

from modules.hr.actions.employment import apply_due_assignments
from modules.hr.actions.plans import follow
from modules.hr.events import HeadAppointed
from modules.hr.models import Assignment, DepartmentHead, Employee, Employment, Leave
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import Refusal
from portal.kernel.events import publish
from portal.kernel.handover import follows, handover, objection, stay
from portal.kernel.i18n import _, _l
from portal.web.rolestore import RoleChange

stay("hr_employee", "the person's own record", "user_id")
stay("hr_employment", "the person's own terms; whose manager somebody is stands in the assignments", "user_id", "manager_id")
stay("hr_assignment", "the person's own places", "user_id")
stay("hr_employee_private", "the person's own data", "user_id")
stay("hr_employee_event", "what was proposed and by whom; HR puts an open one right", "user_id", "manager_id", "from_manager_id",
     "submitted_by", "decided_by")  # fmt: skip
stay("hr_employee_event_grade", "the person's own grade", "user_id")
stay("hr_leave", "the person's own leave, and decisions of the past", "user_id", "decided_by")


# ------------------------------------------------------------------ of whom
@objection
def only_of_who_leaves(user_id: int, viewer: Any) -> Any:
    """Of somebody who still works here only HR, and only with a last day, which two people agreed on, or after the account was closed."""
    asked = (
        select(User.username, User.active.label("open"), Employee.active.label("works"), Employment.left_on)
        .outerjoin(Employee, Employee.user_id == User.id)
        .outerjoin(Employment, Employment.employee_id == Employee.id)
        .where(User.id == user_id)
    )
    found = session().execute(asked).one()
    if not found.works and (not found.open or (found.left_on is not None and found.left_on < today())):
        return None
    if "staff_admin" not in viewer.scopes:
        # the same words with and without a last day, which only HR knows before it is over
        return _("This person works here: only HR hands work over, once the last day at work is known.")
    if found.left_on is not None:
        return None
    if found.open:
        return _(
            "No last day at work is known for this person, so nothing is handed over. For an absence the person names a deputy; "
            "another place or manager is a change of the employee; heads are appointed on the page of the department, managers on that "
            "of the project."
        )
    if _closed_by(found.username) == viewer.me:
        return _("You switched this account off yourself, so somebody else hands the work over.")
    return None


def _closed_by(username: str) -> int | None:
    c = RoleChange
    off = select(c.created_by).where(c.what == "switched_off", c.detail.startswith(f"{username}: ", autoescape=True))
    return session().scalar(off.order_by(c.id.desc()).limit(1))


def _lasts(c: Any, day: date) -> Any:
    return or_(c.to_day.is_(None), c.to_day > day)


def _headships(c: Any, people: Sequence[int], day: date) -> list[Any]:
    """Those that go on, and those of heads who have left and after whom nobody came."""
    left = select(Employee.user_id).where(Employee.user_id.in_(people), ~Employee.active)
    after = aliased(DepartmentHead)
    taken = (
        select(after.id)
        .where(
            after.department_id == c.department_id, after.kind == "head", after.archived_at.is_(None), after.id != c.id,
            or_(after.to_day.is_(None), after.to_day > c.to_day),
        )
        .exists()
    )  # fmt: skip
    ended = (Employment.user_id == c.user_id) & (Employment.left_on + 1 == c.to_day)
    vacant = c.user_id.in_(left) & (c.kind == "head") & select(Employment.id).where(ended).exists() & ~taken
    return [c.user_id.in_(people), c.archived_at.is_(None), or_(_lasts(c, day), vacant)]


@handover(
    "hr.headships",
    DepartmentHead,
    "user_id",
    _l("Department headships"),
    open=_headships,
    dated=True,
    order=10,
    names=lambda r: f"{r.department} · {r}",
)
def take_headship(head: DepartmentHead, receiver: int, day: date) -> None:
    """The receiver answers for the department from *day* on, in the same kind; an own smaller part of it ends that day."""
    s = session()
    begins = max(day, head.from_day)
    ends = head.to_day if head.to_day is None or head.to_day > begins else None
    if head.from_day >= day:
        head.archived_at = func.now()
    elif head.to_day is None or head.to_day > day:
        head.to_day = day
    s.flush()
    d = DepartmentHead
    own = s.scalars(select(d).where(d.department_id == head.department_id, d.user_id == receiver, _lasts(d, begins))).all()
    for row in own:
        if row.kind == "head":
            raise Refusal(_("The receiver heads this department already."), code="overlap")
        if row.from_day >= begins:
            row.archived_at = func.now()
        else:
            row.to_day = begins
    s.flush()
    s.add(d(department_id=head.department_id, user_id=receiver, kind=head.kind, from_day=begins, to_day=ends))
    publish(HeadAppointed(head.department_id, receiver, head.kind, begins, ends))


def _managed(c: Any, people: Sequence[int], day: date) -> list[Any]:
    return [c.manager_id.in_(people), c.archived_at.is_(None), _lasts(c, day), c.user_id.not_in(people)]


@handover(
    "hr.reports",
    Assignment,
    "manager_id",
    _l("People whose manager one is"),
    open=_managed,
    dated=True,
    order=20,
    names=lambda r: str(r.employee),
)
def take_person(place: Assignment, receiver: int, day: date) -> None:
    """The person has the receiver as manager from *day* on; the receiver themself gets the leaving manager's manager."""
    manager: int | None = receiver
    if place.user_id == receiver:
        above = session().scalar(select(Employment.manager_id).where(Employment.user_id == place.manager_id))
        manager = above if above != receiver else None
    follow(place, day, f"handover:{place.manager_id}:{day}", manager_id=manager)
    if day <= today():
        apply_due_assignments(today(), [place.employee_id])


def _answered(c: Any, people: Sequence[int], day: date) -> list[Any]:
    head, employee = aliased(DepartmentHead), aliased(Employee)
    own = select(employee.user_id).join(head, head.department_id == employee.department_id)
    own = own.where(head.user_id.in_(people), head.archived_at.is_(None), _lasts(head, today()), head.from_day <= today())
    return [c.state == "submitted", c.archived_at.is_(None), c.user_id.in_(own), c.user_id.not_in(people)]


follows(
    "hr.leaves", Leave, "user_id", _l("Leave waiting for an answer in these departments"), _l("goes with the headships"),
    open=_answered, order=11,
)  # fmt: skip
