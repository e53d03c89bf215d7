"""A new employee: account, directory entry, terms, first assignment and private data at once."""

import re
from datetime import date
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import func, select

from modules.hr import rules
from modules.hr.events import EmployeeJoined
from modules.hr.models import Assignment, Department, Employee, EmployeePrivate, Employment
from modules.hr.models.people import identity_problem
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.document import LegalEntity
from portal.kernel.errors import Forbidden, Invalid
from portal.kernel.events import publish
from portal.kernel.i18n import _
from security.roles import grant
from security.sessions import Account
from security.visibility import acting, context

EMPLOYED = "employee"
"""Key of the role everybody has who works here."""
ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")
"""As Keycloak keeps them: in small letters, often an e-mail address."""


def hire(
    *,
    number: str,
    name: str,
    username: str,
    department_id: int,
    joined_on: date,
    entity_id: int | None = None,
    post_id: int | None = None,
    grade_id: int | None = None,
    manager_id: int | None = None,
    employment_type: str = "regular",
    regular_on: date | None = None,
    work_email: str | None = None,
    work_phone: str | None = None,
    identity_number: str | None = None,
    bank_account: str | None = None,
    home_address: str | None = None,
    subject: str | None = None,
) -> int:
    """A new employee with account, directory entry, terms and first assignment; returns the employee's id.

    The account can be used from *joined_on* on. People hire by an approved `EmployeeEvent`; this is what puts it into effect, and what a
    first take-over of data calls. Raises Forbidden for whoever neither changes staff data nor acts for an approved change, and Invalid
    naming the fields.
    """
    ctx = context()
    if not (ctx.system or session().info.get("acting") or "staff_admin" in ctx.scopes):
        raise Forbidden(_("You may not add employees."))
    number, name, username = number.strip(), name.strip(), username.strip().lower()
    with acting() as s:
        problems = problems_of(
            number, name, username, department_id, employment_type, identity_number, joined_on, regular_on, work_email=work_email
        )
        if problems:
            raise Invalid(problems)
        begun = joined_on <= today()
        email = work_email or f"{username.replace('@', '+')}@example.invalid"
        first, last = rules.split_name(name)
        user = User(username=username, first_name=first, last_name=last, email=email, active=begun)
        s.add(user)
        s.flush()
        s.add(Account(user_id=user.id, subject=subject))
        grant(s, user.id, EMPLOYED)
        state = "regular" if regular_on is None or regular_on <= today() else "probation"
        employee = Employee(
            user_id=user.id,
            number=number,
            name=name,
            department_id=department_id,
            post_id=post_id,
            entity_id=entity_id or ctx.entity_id or s.scalar(select(func.min(LegalEntity.id))),
            work_email=work_email,
            work_phone=work_phone,
            active=begun,
        )
        s.add(employee)
        s.flush()
        terms = {"employee_id": employee.id, "user_id": user.id, "grade_id": grade_id, "manager_id": manager_id}
        s.add(Employment(**terms, employment_type=employment_type, joined_on=joined_on, regular_on=regular_on, state=state))
        s.add(Assignment(**terms, department_id=department_id, post_id=post_id, from_day=joined_on, reason=_("Joined")))
        s.add(
            EmployeePrivate(
                employee_id=employee.id,
                user_id=user.id,
                identity_number=identity_number.strip().upper() if identity_number else None,
                bank_account=bank_account,
                home_address=home_address,
            )
        )
        s.flush()
        if begun:
            publish(EmployeeJoined(employee.id, user.id, department_id, joined_on))
        return employee.id


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
    s = session()
    found: dict[str, Any] = {}
    for field, value in (("number", number), ("name", name), ("username", username)):
        if not value:
            found[field] = _("This is required.")
    if username and not ACCOUNT_NAME.fullmatch(username):
        found["username"] = _("Small letters, figures and . _ - @, 2 to 64 of them.")
    if s.scalar(select(func.count()).select_from(Employee).where(Employee.number == number)):
        found["number"] = _("Another employee has this number.")
    if s.scalar(select(func.count()).select_from(User).where(func.lower(User.username) == username)):
        found["username"] = _("Another account has this name.")
    if work_email and s.scalar(select(func.count()).select_from(User).where(User.email == work_email)):
        found["work_email"] = _("Another account has this e-mail address.")
    if s.get(Department, department_id) is None:
        found["department_id"] = _("There is no such department.")
    if employment_type not in Employment.TYPES:
        found["employment_type"] = _("Choose one of the employment types.")
    if identity_number and (problem := identity_problem(identity_number, None)):
        found["identity_number"] = problem
    if regular_on is not None and regular_on < joined_on:
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
