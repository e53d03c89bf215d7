"""Steps of people administration, and what the comparison with Keycloak says after them."""

from datetime import timedelta
from typing import Any

from flask import Flask
from sqlalchemy import select, text

from modules.hr.actions import hire
from modules.hr.actions.employment import correct_assignment, leave_company, rehire
from modules.hr.models import Assignment, Department, Employee
from portal.kernel import calendar
from portal.kernel.db import session
from security import reconciliation


def plan(app: Flask) -> Any:
    with app.app_context():
        return reconciliation.compare()


def repaired(app: Flask) -> list[Any]:
    """Repairs; what differs afterwards."""
    with app.app_context():
        assert reconciliation.repair(reconciliation.compare()) == []
        left = reconciliation.compare()
        reconciliation.keep(left.findings)
        return left.changes


def whats(changes: list[Any]) -> set[tuple[str, str, str]]:
    return {(c.about, c.what, c.label) for c in changes}


def person(username: str) -> Employee:
    chosen = text("select e.id from hr_employee e join ab_user u on u.id = e.user_id where u.username = :u")
    return session().get_one(Employee, session().execute(chosen, {"u": username}).scalar_one())


def unit(code: str) -> Department:
    return session().get_one(Department, session().execute(text("select id from hr_department where code = :c"), {"c": code}).scalar_one())


def hired(username: str, number: str, code: str, name: str = "柳随风") -> int:
    day = calendar.today() - timedelta(days=30)
    return hire(
        number=number, name=name, username=username, department_id=unit(code).id, joined_on=day, work_email=f"{username}@mail.example"
    )


def moved(username: str, code: str) -> None:
    who = person(username)
    current = session().scalars(select(Assignment).where(Assignment.employee_id == who.id, Assignment.to_day.is_(None))).one()
    place = {"department_id": unit(code).id, "post_id": current.post_id, "grade_id": current.grade_id, "manager_id": current.manager_id}
    correct_assignment(current, "test", **place)


def left(username: str) -> None:
    leave_company(person(username), calendar.today() - timedelta(days=1), "")


def back(username: str, code: str) -> None:
    place = {"department_id": unit(code).id, "post_id": None, "grade_id": None, "manager_id": None}
    rehire(person(username), calendar.today(), "", **place)
