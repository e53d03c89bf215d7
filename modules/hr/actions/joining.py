"""A new employee: account, directory entry, terms, first assignment and private data at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import func, select

from modules.hr import rules
from modules.hr.events import EmployeeJoined
from modules.hr.models import Assignment, Department, Employee, EmployeePrivate, Employment
from modules.hr.models.people import IDENTITY_TAKEN, identity_problem
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.document import LegalEntity
from portal.kernel.errors import Forbidden, Invalid
from portal.kernel.events import publish
from portal.kernel.i18n import _
from security.roles import grant_many
from security.sessions import Account
from security.visibility import acting, context

EMPLOYED = "employee"
"""Key of the role everybody has who works here."""
ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")
"""As Keycloak keeps them: in small letters, often an e-mail address."""


@dataclass(frozen=True)
class Newcomer:
    """Somebody who is hired: place and terms from *joined_on* on, private data where it is known already."""

    number: str
    name: str
    username: str
    department_id: int
    joined_on: date
    entity_id: int | None = None
    post_id: int | None = None
    grade_id: int | None = None
    manager_id: int | None = None
    employment_type: str = "regular"
    regular_on: date | None = None
    work_email: str | None = None
    work_phone: str | None = None
    identity_number: str | None = None
    bank_account: str | None = None
    home_address: str | None = None
    subject: str | None = None

    def trimmed(self) -> "Newcomer":
        """Numbers, name and account name as they are stored."""
        identity = self.identity_number.strip().upper() if self.identity_number else None
        username = self.username.strip().lower()
        return replace(self, number=self.number.strip(), name=self.name.strip(), username=username, identity_number=identity)


def hire(**values: Any) -> int:
    """A new employee with account, directory entry, terms and first assignment; returns the employee's id.

    *values* are those of `Newcomer`. The account can be used from the day of joining on. People hire by an approved `EmployeeEvent` or
    import; this is what puts it into effect. Raises Forbidden for whoever neither changes staff data nor acts for an approved change, and
    Invalid naming the fields.
    """
    return hire_many([Newcomer(**values)])[0]


def hire_many(people: Sequence[Newcomer]) -> list[int]:
    """The same for many at once, with few statements for any number of them; the employees' ids in the same order.

    Raises Invalid when one of them cannot be hired: hired one by one, it shows which.
    """
    ctx = context()
    if not (ctx.system or session().info.get("acting") or "staff_admin" in ctx.scopes):
        raise Forbidden(_("You may not add employees."))
    people = [p.trimmed() for p in people]
    with acting() as s:
        known = _known(people)
        for p in people:
            if problems := _problems(p, known):
                raise Invalid(problems)
            known.add(p)
        users = [_user(p) for p in people]
        s.add_all(users)
        s.flush()
        s.add_all(Account(user_id=user.id, subject=p.subject) for p, user in zip(people, users, strict=True))
        grant_many(s, [user.id for user in users], EMPLOYED)
        entity_id = ctx.entity_id or s.scalar(select(func.min(LegalEntity.id)))
        employees = [_employee(p, user.id, entity_id) for p, user in zip(people, users, strict=True)]
        s.add_all(employees)
        s.flush()
        for p, employee in zip(people, employees, strict=True):
            s.add_all(_records(p, employee))
        s.flush()
        for p, employee in zip(people, employees, strict=True):
            if employee.active:
                publish(EmployeeJoined(employee.id, employee.user_id, p.department_id, p.joined_on))
        return [employee.id for employee in employees]


def _user(p: Newcomer) -> User:
    first, last = rules.split_name(p.name)
    email = p.work_email or f"{p.username.replace('@', '+')}@example.invalid"
    return User(username=p.username, first_name=first, last_name=last, email=email, active=p.joined_on <= today())


def _employee(p: Newcomer, user_id: int, entity_id: int | None) -> Employee:
    return Employee(
        user_id=user_id,
        number=p.number,
        name=p.name,
        department_id=p.department_id,
        post_id=p.post_id,
        entity_id=p.entity_id or entity_id,
        work_email=p.work_email,
        work_phone=p.work_phone,
        active=p.joined_on <= today(),
    )


def _records(p: Newcomer, employee: Employee) -> tuple[Employment, Assignment, EmployeePrivate]:
    """Terms, first place and private data."""
    state = "regular" if p.regular_on is None or p.regular_on <= today() else "probation"
    who = {"employee_id": employee.id, "user_id": employee.user_id}
    terms = {**who, "grade_id": p.grade_id, "manager_id": p.manager_id}
    return (
        Employment(**terms, employment_type=p.employment_type, joined_on=p.joined_on, regular_on=p.regular_on, state=state),
        Assignment(**terms, department_id=p.department_id, post_id=p.post_id, from_day=p.joined_on, reason=_("Joined")),
        EmployeePrivate(
            **who,
            identity_number=p.identity_number or None,
            bank_account=p.bank_account,
            home_address=p.home_address,
        ),
    )


@dataclass
class _Known:
    """What of the people to be hired is there already."""

    numbers: set[str]
    usernames: set[str]
    emails: set[str | None]
    departments: set[int]
    identities: set[str]

    def add(self, p: Newcomer) -> None:
        self.numbers.add(p.number)
        self.usernames.add(p.username)
        self.emails |= {p.work_email} if p.work_email else set()
        self.identities |= {p.identity_number} if p.identity_number else set()


def _known(people: Sequence[Newcomer]) -> _Known:
    s = session()
    emails = [p.work_email for p in people if p.work_email]
    return _Known(
        set(s.scalars(select(Employee.number).where(Employee.number.in_([p.number for p in people])))),
        set(s.scalars(select(func.lower(User.username)).where(func.lower(User.username).in_([p.username for p in people])))),
        set(s.scalars(select(User.email).where(User.email.in_(emails)))) if emails else set(),
        set(s.scalars(select(Department.id).where(Department.id.in_({p.department_id for p in people})))),
        set(),
    )


def problems_of(
    number: str,
    name: str,
    username: str,
    department_id: int,
    employment_type: str,
    identity_number: str | None,
    joined_on: date,
    regular_on: date | None,
    *,
    work_email: str | None = None,
) -> dict[str, Any]:
    """What stands in the way of hiring somebody, by field; empty when nothing does."""
    person = Newcomer(
        number,
        name,
        username,
        department_id,
        joined_on,
        employment_type=employment_type,
        identity_number=identity_number,
        regular_on=regular_on,
        work_email=work_email,
    )
    return _problems(person, _known([person]))


def _problems(p: Newcomer, known: _Known) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, value in (("number", p.number), ("name", p.name), ("username", p.username)):
        if not value:
            found[field] = _("This is required.")
    if p.username and not ACCOUNT_NAME.fullmatch(p.username):
        found["username"] = _("Small letters, figures and . _ - @, 2 to 64 of them.")
    if p.number in known.numbers:
        found["number"] = _("Another employee has this number.")
    if p.username in known.usernames:
        found["username"] = _("Another account has this name.")
    if p.work_email and p.work_email in known.emails:
        found["work_email"] = _("Another account has this e-mail address.")
    if p.department_id not in known.departments:
        found["department_id"] = _("There is no such department.")
    if p.employment_type not in Employment.TYPES:
        found["employment_type"] = _("Choose one of the employment types.")
    if p.identity_number in known.identities:
        found["identity_number"] = IDENTITY_TAKEN
    elif p.identity_number and (problem := identity_problem(p.identity_number, None)):
        found["identity_number"] = problem
    if p.regular_on is not None and p.regular_on < p.joined_on:
        found["regular_on"] = _("This is before the day of joining.")
    return found


def unhire(employee: Employee) -> None:
    """Somebody approved who has not begun does not come: the entry is put away, number and account name are free again."""
    s = session()
    for model in (Assignment, Employment, EmployeePrivate):
        for row in s.scalars(select(model).where(model.employee_id == employee.id)):
            row.archived_at = func.now()
    employee.archived_at = func.now()
    user = s.get_one(User, employee.user_id)
    user.username = f"withdrawn.{user.id}"
    user.email = f"{user.username}@example.invalid"
    s.flush()
