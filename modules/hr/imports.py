"""Taking over the organisation from a workbook: departments with their heads, and people (HRM-09).

New departments and people are stored; departments may get another name, place or head from today on, by the dated actions.  What
people who work here are and where they belong changes by their own actions only, never by an import.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select

from modules.hr.actions import Newcomer, found, hire, hire_many
from modules.hr.actions.organisation import covers
from modules.hr.models import Assignment, Department, DepartmentHead, DepartmentPeriod, Employee, EmployeePrivate, Employment, Grade, Post
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.i18n import _, _l
from portal.lowcode.importing import Sheet, Stored, by_column, column, importer
from portal.web import records
from security.manager import allowed
from security.transitions import perform
from security.visibility import context

TRANSFER = _l("Where people who work here belong changes from a day on: transfer the person instead.")
TERMS = _l("The terms of people who work here change by an employee change, which a second person approves.")

_department = by_column(Department, "code", words="name", sheet="departments", missing=_l("There is no department with the code %(key)s."))
_person = by_column(
    Employee,
    "number",
    value="user_id",
    where=Employee.active,
    sheet="people",
    missing=_l("Nobody who works here has the number %(key)s."),
)
_post = by_column(Post, "code", words="name", missing=_l("There is no post with the code %(key)s."))
_grade = by_column(Grade, "code", words="name", missing=_l("There is no grade with the code %(key)s."))


def _private() -> bool:
    return "staff_admin" in context().scopes and allowed("edit", EmployeePrivate.permission_name())


# ------------------------------------------------------------------ departments
def _departments(keys: Collection[str] | None) -> Mapping[str, Stored]:
    head = select(DepartmentHead.department_id, DepartmentHead.user_id).where(
        DepartmentHead.kind == "head", covers(DepartmentHead, today())
    )
    heads = dict(session().execute(head).tuples().all())
    begun = select(DepartmentPeriod.department_id, func.min(DepartmentPeriod.from_day)).group_by(DepartmentPeriod.department_id)
    since = dict(session().execute(begun).tuples().all())
    rows = select(Department.id, Department.code, Department.name, Department.parent_id).order_by(Department.code)
    if keys is not None:
        rows = rows.where(Department.code.in_(list(keys)))
    return {
        code: Stored(pk, {"code": code, "name": name, "parent_id": parent, "from_day": since.get(pk), "head": heads.get(pk)})
        for pk, code, name, parent in session().execute(rows)
    }


def _found(values: dict[str, Any]) -> int:
    return found(values["code"], values["name"], values.get("parent_id"), values.get("from_day"))


def _rearrange(stored: Stored, values: dict[str, Any]) -> None:
    """From today on: what was before stays readable."""
    dated = {"from_day": today().isoformat(), "reason": _("Import")}
    if "parent_id" in values:
        perform(Department, "move", stored.id, arguments={"parent_id": values["parent_id"], **dated})
    if "name" in values:
        perform(Department, "rename", stored.id, arguments={"name": values["name"], **dated})


def _appoint(pk: int, values: dict[str, Any]) -> None:
    given = {"user_id": values["head"], "kind": "head", "from_day": today().isoformat()}
    perform(Department, "appoint", pk, arguments=given)


_head = column(DepartmentHead, "user_id", required=False, reference=_person, late=True, example="P0001")
_head = replace(_head, name="head", field=replace(_head.field, label=_l("Number of the head")))
_parent = column(Department, "parent_id", reference=_department, example="D00")
_parent = replace(_parent, field=replace(_parent.field, label=_l("Code of the department above")))
_since = column(
    DepartmentPeriod, "from_day", required=False, fixed=_l("The day a department began is not changed by an import."), example="2020-01-01"
)
_since = replace(_since, field=replace(_since.field, label=_l("Exists since")))

departments = Sheet(
    "departments",
    _l("Departments"),
    (column(Department, "code", example="D01"), column(Department, "name", example="研发部"), _parent, _since, _head),
    key="code",
    current=_departments,
    create=_found,
    change=_rearrange,
    late=_appoint,
    url="/departments/{id}",
)


# ------------------------------------------------------------------ people
def _people(keys: Collection[str] | None) -> Mapping[str, Stored]:
    rows = (
        select(
            Employee.id,
            Employee.number,
            Employee.name,
            User.username,
            Employee.work_email,
            Employee.work_phone,
            Employee.department_id,
            Employee.post_id,
            Employment.grade_id,
            Employment.manager_id,
            Employment.employment_type,
            Employment.joined_on,
            Employment.regular_on,
            EmployeePrivate.identity_number,
            EmployeePrivate.bank_account,
            Employee.active,
            Employment.left_on,
            Employee.user_id,
        )
        .join(User, User.id == Employee.user_id)
        .outerjoin(Employment, Employment.employee_id == Employee.id)
        .outerjoin(EmployeePrivate, EmployeePrivate.employee_id == Employee.id)
        .order_by(Employee.number)
    )
    rows = rows.where(Employee.number.in_(list(keys))) if keys is not None else rows.where(Employee.active)
    return {row.number: Stored(row.id, dict(row._mapping)) for row in session().execute(rows)}


def _left(values: Mapping[str, Any], stored: Stored | None) -> Mapping[str, Any]:
    if stored is None or stored.values["active"]:
        return {}
    if stored.values["left_on"] is None:
        return {"number": _("This person has not begun yet; change the record instead.")}
    return {"number": _("This person left the company; rehire the person instead.")}


def _hire(values: dict[str, Any]) -> int:
    return hire(**values)


def _hire_many(rows: Sequence[dict[str, Any]]) -> list[int]:
    return hire_many([Newcomer(**values) for values in rows])


_TABLES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (Employee, ("name", "work_email", "work_phone")),
    (EmployeePrivate, ("identity_number", "bank_account")),
)


def _change(stored: Stored, values: dict[str, Any]) -> None:
    """As on the person's page: the same tables, rules and history."""
    for model, names in _TABLES:
        mine = {n: values[n] for n in names if n in values}
        if mine:
            pk = stored.id if model is Employee else session().scalars(select(model.id).where(model.employee_id == stored.id)).one()
            records.change(model, pk, mine, None)


_username = column(User, "username", required=True, fixed=_l("The account name is changed where accounts are kept."), example="li.ming")
_username = replace(_username, field=replace(_username.field, label=_l("Account name"), max_length=64))
_place = column(Employee, "department_id", reference=_department, fixed=TRANSFER, example="D01")
_place = replace(_place, field=replace(_place.field, label=_l("Code of the department")))
_at_post = column(Employee, "post_id", reference=_post, fixed=TRANSFER)
_at_post = replace(_at_post, field=replace(_at_post.field, label=_l("Code of the post")))
_in_grade = column(Employment, "grade_id", reference=_grade, fixed=TRANSFER)
_in_grade = replace(_in_grade, field=replace(_in_grade.field, label=_l("Code of the grade")))
_manager = column(Assignment, "manager_id", reference=_person, fixed=TRANSFER, example="P0001")
_manager = replace(_manager, field=replace(_manager.field, label=_l("Number of the manager")))

people = Sheet(
    "people",
    _l("People"),
    (
        column(Employee, "number", example="P0002"),
        column(Employee, "name", example="李明"),
        _username,
        _place,
        _at_post,
        _in_grade,
        _manager,
        column(Employment, "employment_type", required=False, fixed=TERMS),
        column(Employment, "joined_on", fixed=TERMS, example="2024-03-01"),
        column(Employment, "regular_on", required=False, fixed=TERMS, example="2024-06-01"),
        column(Employee, "work_email", example="li.ming@company.example"),
        column(Employee, "work_phone", example="010-1234 5678"),
        column(EmployeePrivate, "identity_number", offered=_private, private=True),
        column(EmployeePrivate, "bank_account", offered=_private, private=True),
    ),
    key="number",
    current=_people,
    create=_hire,
    create_many=_hire_many,
    change=_change,
    check=_left,
    url="/people/{id}",
    by_two=True,
)

importer(
    "hr.organisation",
    title=_l("Departments and people"),
    sheets=(departments, people),
    permission="hr.Import",
    scope="staff_admin",
    approval="staff_approval",
    url="/organisation/",
    told=("leader",),
    notes=(
        _l("Departments: a department may stand above the one it belongs to. A new name, place or head holds from today on."),
        _l(
            "People: new ones are entered with account, place and terms, and a second person approves the import that hires them."
            " Those who work here keep their place, manager, grade and terms: transfer them instead."
        ),
        _l("The company's leaders are told of every import."),
    ),
)
