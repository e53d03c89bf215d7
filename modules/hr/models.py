"""Tables of the organisation and its people.

Periods are half-open, ``[from_day, to_day)``, and ``to_day`` NULL means open. `Assignment` and `DepartmentPeriod` are the truth over
time; `Employee`, `Employment` and `Department` hold the copy of today, which a daily job keeps.
"""

from datetime import date
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import CheckConstraint, FetchedValue, ForeignKey, Numeric, Text, false, inspect, text, update
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modules.hr import rules
from portal.kernel.calendar import today
from portal.kernel.db import Label, Money
from portal.kernel.document import ME, Document, LegalEntity, Record, User, live_unique
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.i18n import _, _l, tr
from security.visibility import acting

BY_ACTION: dict[str, Any] = {"readonly": True, "protected": True}
"""Columns that only named actions write: no form shows them for writing and the application role has no grant."""


def checked(name: str, condition: str, message: Any, field: str = "") -> CheckConstraint:
    """Constraint with what to tell the person who breaks it, at *field*."""
    return CheckConstraint(condition, name=name, info={"message": message, "field": field})


def never_overlapping(name: str, *keys: str, where: str = "archived_at IS NULL") -> ExcludeConstraint:
    """Constraint: the periods of rows with equal *keys* (bigint columns) do not overlap."""
    # int8range instead of the plain column: GiST has no equality for bigint without an extra extension.
    same = [(text(f"int8range({key}, {key}, '[]')"), "&&") for key in keys]
    return ExcludeConstraint(*same, (text("daterange(from_day, to_day)"), "&&"), using="gist", where=text(where), name=name)


def ordered_period(name: str) -> CheckConstraint:
    """Constraint: a period ends after it begins."""
    return checked(name, "to_day IS NULL OR to_day > from_day", _l("The end must be after the beginning."), "to_day")


class Department(Record):
    """A unit of the organisation as it stands today; its history is in `DepartmentPeriod`."""

    __tablename__ = "hr_department"
    __label__ = _l("Department")
    __label_plural__ = _l("Departments")
    code: Mapped[str] = mapped_column(Text, info={"label": _l("Code")})
    name: Mapped[str] = mapped_column(Text, info={"label": _l("Name")})
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("hr_department.id"), index=True, info={"label": _l("Part of")})

    parent: Mapped["Department | None"] = relationship(remote_side="Department.id")

    __table_args__ = (live_unique("hr_department_code_live", "code"),)

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def before_update(self, ctx: Any) -> None:
        """Name and place change by dated actions, which keep the history."""
        for column in ("name", "parent_id"):
            if cast(Any, inspect(self)).attrs[column].history.has_changes():
                raise Refusal(_("Rename or move the department from a day on instead."), code="dated_change")

    def before_archive(self, ctx: Any) -> None:
        """A department ends by being merged into another."""
        raise Refusal(_("Merge the department into another one instead; its history stays readable."), code="dated_change")

    def __str__(self) -> str:
        return self.name


class DepartmentPeriod(Record):
    """Where a department hung and what it was called from a day until another; no period covers a day on which it did not exist."""

    __tablename__ = "hr_department_period"
    __label__ = _l("Department period")
    __label_plural__ = _l("Department periods")
    __root__ = "department_id"
    department_id: Mapped[int] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Department")})
    parent_id: Mapped[int | None] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Part of")})
    name: Mapped[str] = mapped_column(Text, info={"label": _l("Name")})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(info={"label": _l("Until (not included)")})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason")})

    department: Mapped[Department] = relationship(foreign_keys=department_id)
    parent: Mapped[Department | None] = relationship(foreign_keys=parent_id)

    __table_args__ = (ordered_period("hr_department_period_ordered"), never_overlapping("hr_department_period_apart", "department_id"))

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions only: they keep the periods in order

    def __str__(self) -> str:
        return self.name


class DepartmentHead(Record):
    """A person who answers for a department during a period, as its head, as a deputy or acting for the head."""

    __tablename__ = "hr_department_head"
    __label__ = _l("Department head")
    __label_plural__ = _l("Department heads")
    __root__ = "department_id"
    KINDS = {"head": _l("Head"), "deputy": _l("Deputy head"), "acting": _l("Acting head")}
    department_id: Mapped[int] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Department")})
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person"), "lookup": "employees"})
    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Kind"), "choices": KINDS})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(info={"label": _l("Until (not included)")})

    department: Mapped[Department] = relationship()

    __table_args__ = (
        CheckConstraint("kind IN ('head', 'deputy', 'acting')", name="hr_department_head_kind_known"),
        ordered_period("hr_department_head_ordered"),
        never_overlapping("hr_department_head_apart", "department_id", "user_id"),
        # One head at a time; deputies and acting heads may be several.
        never_overlapping("hr_department_head_single", "department_id", where="kind = 'head' AND archived_at IS NULL"),
    )

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions only: they keep the periods in order

    def __str__(self) -> str:
        return str(DepartmentHead.KINDS.get(self.kind, ""))


class Post(Record):
    """What somebody is employed as, such as software engineer."""

    __tablename__ = "hr_post"
    __label__ = _l("Post")
    __label_plural__ = _l("Posts")
    code: Mapped[str] = mapped_column(Text, info={"label": _l("Code")})
    name: Mapped[Label] = mapped_column(info={"label": _l("Name")})

    __table_args__ = (live_unique("hr_post_code_live", "code"),)

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def __str__(self) -> str:
        return tr(self.name)


class Grade(Record):
    """A post grade; what it costs over time is in `GradeRate`."""

    __tablename__ = "hr_grade"
    __label__ = _l("Grade")
    __label_plural__ = _l("Grades")
    code: Mapped[str] = mapped_column(Text, info={"label": _l("Code")})
    name: Mapped[Label] = mapped_column(info={"label": _l("Name")})
    post_family: Mapped[str | None] = mapped_column(Text, info={"label": _l("Post family")})

    __table_args__ = (live_unique("hr_grade_code_live", "code"),)

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def __str__(self) -> str:
        return tr(self.name)


class GradeRate(Record):
    """What a grade earns in a month and costs in a day during a period; a past rate is never changed, a new period closes it."""

    __tablename__ = "hr_grade_rate"
    __label__ = _l("Grade rate")
    __label_plural__ = _l("Grade rates")
    __root__ = "grade_id"
    wide = {"rates": None}
    grade_id: Mapped[int] = mapped_column(ForeignKey(Grade.id), index=True, info={"label": _l("Grade")})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(info={"label": _l("Until (not included)"), "readonly": True})
    base_salary: Mapped[Money] = mapped_column(info={"label": _l("Base salary per month (yuan)")})
    performance_pay: Mapped[Money] = mapped_column(info={"label": _l("Performance pay per month (yuan)")})
    project_performance: Mapped[Money] = mapped_column(info={"label": _l("Project performance per month (yuan)")})
    daily_cost: Mapped[Money] = mapped_column(info={"label": _l("Average cost per person-day (yuan)")})

    grade: Mapped[Grade] = relationship()

    __table_args__ = (
        ordered_period("hr_grade_rate_ordered"),
        checked(
            "hr_grade_rate_not_negative",
            "base_salary >= 0 AND performance_pay >= 0 AND project_performance >= 0 AND daily_cost >= 0",
            _l("Not below zero."),
        ),
        never_overlapping("hr_grade_rate_apart", "grade_id"),
    )

    def see(c: Any, v: Any) -> Any:
        return v.holds("rates")

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions only: they keep the periods in order

    def __str__(self) -> str:
        return f"{self.from_day}"


class Employee(Record):
    """The directory entry of a person who works or worked here: what every colleague may see."""

    __tablename__ = "hr_employee"
    __label__ = _l("Employee")
    __label_plural__ = _l("Employees")
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True, info={"label": _l("Account"), **BY_ACTION})
    number: Mapped[str] = mapped_column(Text, info={"label": _l("Employee number")})
    name: Mapped[str] = mapped_column(Text, info={"label": _l("Full name")})
    department_id: Mapped[int] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Department"), **BY_ACTION})
    post_id: Mapped[int | None] = mapped_column(
        ForeignKey(Post.id), index=True, server_default=FetchedValue(), info={"label": _l("Post"), **BY_ACTION}
    )
    entity_id: Mapped[int] = mapped_column(ForeignKey(LegalEntity.id), index=True, info={"label": _l("Legal entity")})
    work_email: Mapped[str | None] = mapped_column(Text, info={"label": _l("Work e-mail")})
    work_phone: Mapped[str | None] = mapped_column(Text, info={"label": _l("Work phone")})
    active: Mapped[bool] = mapped_column(server_default=text("true"), info={"label": _l("Works here"), **BY_ACTION})

    department: Mapped[Department] = relationship()
    post: Mapped[Post | None] = relationship()

    __table_args__ = (live_unique("hr_employee_number_live", "number"),)

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def before_update(self, ctx: Any) -> None:
        """The account keeps the name of its person."""
        if cast(Any, inspect(self)).attrs["name"].history.has_changes():
            first, last = rules.split_name(self.name)
            user_id = self.user_id
            with acting() as s:
                s.execute(update(User).where(User.id == user_id).values(first_name=first, last_name=last))

    def before_archive(self, ctx: Any) -> None:
        """People leave; their entry stays."""
        raise Refusal(_("An employee leaves the company instead; what the person did stays."), code="dated_change")

    def __str__(self) -> str:
        return self.name


class Employment(Record):
    """Terms of a person's employment as they stand today: for the person, the heads above and HR."""

    __tablename__ = "hr_employment"
    __label__ = _l("Employment")
    __label_plural__ = _l("Employments")
    __root__ = "employee_id"
    wide = {"staff": None}
    STATES = ("probation", "regular", "left")
    TYPES = {
        "regular": _l("Permanent"),
        "fixed_term": _l("Fixed term"),
        "intern": _l("Intern"),
        "dispatched": _l("Dispatched"),
        "retired": _l("Re-employed after retirement"),
    }
    employee_id: Mapped[int] = mapped_column(ForeignKey(Employee.id), unique=True, info={"label": _l("Employee"), **BY_ACTION})
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True, info={"label": _l("Account"), **BY_ACTION})
    grade_id: Mapped[int | None] = mapped_column(
        ForeignKey(Grade.id), index=True, server_default=FetchedValue(), info={"label": _l("Grade"), **BY_ACTION}
    )
    manager_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, server_default=FetchedValue(), info={"label": _l("Manager"), "lookup": "employees", **BY_ACTION}
    )
    employment_type: Mapped[str] = mapped_column(Text, server_default="regular", info={"label": _l("Employment type"), "choices": TYPES})
    joined_on: Mapped[date] = mapped_column(info={"label": _l("Joined on"), **BY_ACTION})
    regular_on: Mapped[date | None] = mapped_column(info={"label": _l("Regular from")})
    left_on: Mapped[date | None] = mapped_column(server_default=FetchedValue(), info={"label": _l("Last day at work"), **BY_ACTION})
    state: Mapped[str] = mapped_column(
        Text,
        server_default="probation",
        info={
            "label": _l("State"),
            "readonly": True,
            "choices": {"probation": _l("Probation"), "regular": _l("Regular"), "left": _l("Left")},
            "tone": {"probation": "info", "regular": "ok", "left": "idle"},
        },
    )

    employee: Mapped[Employee] = relationship()
    grade: Mapped[Grade | None] = relationship()

    __table_args__ = (
        CheckConstraint("employment_type IN ('regular', 'fixed_term', 'intern', 'dispatched', 'retired')", name="hr_employment_type_known"),
        CheckConstraint("left_on IS NULL OR left_on >= joined_on", name="hr_employment_leaves_after_joining"),
    )

    def see(c: Any, v: Any) -> Any:
        return v.has("staff", c.user_id)

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def __str__(self) -> str:
        return str(Employment.TYPES.get(self.employment_type, ""))


class Assignment(Record):
    """Where a person worked, as what and for whom, during a period: the truth as-of queries read. Rows with a future start wait."""

    __tablename__ = "hr_assignment"
    __label__ = _l("Assignment")
    __label_plural__ = _l("Assignments")
    __root__ = "employee_id"
    wide = {"staff": None}
    employee_id: Mapped[int] = mapped_column(ForeignKey(Employee.id), index=True, info={"label": _l("Employee")})
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Account"), **BY_ACTION})
    department_id: Mapped[int] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Department")})
    post_id: Mapped[int | None] = mapped_column(ForeignKey(Post.id), index=True, info={"label": _l("Post")})
    grade_id: Mapped[int | None] = mapped_column(ForeignKey(Grade.id), index=True, info={"label": _l("Grade")})
    manager_id: Mapped[int | None] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Manager"), "lookup": "employees"})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date | None] = mapped_column(info={"label": _l("Until (not included)"), "readonly": True})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason")})

    employee: Mapped[Employee] = relationship()
    department: Mapped[Department] = relationship()
    post: Mapped[Post | None] = relationship()
    grade: Mapped[Grade | None] = relationship()

    __table_args__ = (ordered_period("hr_assignment_ordered"), never_overlapping("hr_assignment_apart", "employee_id"))

    def see(c: Any, v: Any) -> Any:
        return v.has("staff", c.user_id)

    def change(c: Any, v: Any) -> Any:
        return false()  # by actions only: they keep the periods in order

    def __str__(self) -> str:
        return f"{self.from_day}"


IDENTITY_PROBLEMS = {
    "format": _l("An identity number has 17 digits and a check character."),
    "date": _l("The birth date in the identity number is not possible."),
    "check": _l("The check character of the identity number is wrong; please compare it with the card."),
}


class EmployeePrivate(Record):
    """Identity and bank fields, for the person and HR only."""

    __tablename__ = "hr_employee_private"
    __label__ = _l("Private data")
    __label_plural__ = _l("Private data")
    __root__ = "employee_id"
    employee_id: Mapped[int] = mapped_column(ForeignKey(Employee.id), unique=True, info={"label": _l("Employee"), **BY_ACTION})
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True, info={"label": _l("Account"), **BY_ACTION})
    identity_number: Mapped[str | None] = mapped_column(Text, info={"label": _l("Identity number")})
    bank_account: Mapped[str | None] = mapped_column(Text, info={"label": _l("Bank account")})
    home_address: Mapped[str | None] = mapped_column(Text, info={"label": _l("Home address"), "multiline": True})

    employee: Mapped[Employee] = relationship()

    def see(c: Any, v: Any) -> Any:
        return (c.user_id == v.me) | v.holds("staff_admin")

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def before_create(self, ctx: Any) -> None:
        """Numbers have their check characters (HRM-04)."""
        if not self.identity_number:
            self.identity_number = None
            return
        if problem := rules.identity_number_problem(self.identity_number, today()):
            raise Invalid({"identity_number": IDENTITY_PROBLEMS[problem]})
        self.identity_number = self.identity_number.strip().upper()

    before_update = before_create

    def __str__(self) -> str:
        return str(EmployeePrivate.__label__)


class Leave(Document):
    """Time off or away, in half days. Both ends are included, as people say them: `from_day` to `to_day`."""

    __tablename__ = "hr_leave"
    __label__ = _l("Leave")
    __label_plural__ = _l("Leaves")
    wide = {"staff": None}
    KINDS = {
        "annual": _l("Annual leave"),
        "sick": _l("Sick leave"),
        "personal": _l("Personal leave"),
        "trip": _l("Business trip"),
        "marriage": _l("Marriage leave"),
        "parental": _l("Parental leave"),
        "other": _l("Other leave"),
    }
    HALVES = {"am": _l("Morning"), "pm": _l("Afternoon")}
    user_id: Mapped[int] = mapped_column(
        ForeignKey(User.id), index=True, server_default=ME, info={"label": _l("Person"), "lookup": "employees", **BY_ACTION}
    )
    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Kind"), "choices": KINDS})
    from_day: Mapped[date] = mapped_column(info={"label": _l("First day")})
    from_half: Mapped[str] = mapped_column(Text, server_default="am", info={"label": _l("Starts in the"), "choices": HALVES})
    to_day: Mapped[date] = mapped_column(info={"label": _l("Last day")})
    to_half: Mapped[str] = mapped_column(Text, server_default="pm", info={"label": _l("Ends with the"), "choices": HALVES})
    days: Mapped[Decimal | None] = mapped_column(
        Numeric(5, 1), server_default=FetchedValue(), info={"label": _l("Working days"), **BY_ACTION}
    )
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason"), "multiline": True})
    decided_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, server_default=FetchedValue(), info={"label": _l("Decided by"), "lookup": "employees", **BY_ACTION}
    )
    decision_note: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Answer"), **BY_ACTION})

    __table_args__ = (
        CheckConstraint("kind IN ('annual', 'sick', 'personal', 'trip', 'marriage', 'parental', 'other')", name="hr_leave_kind_known"),
        CheckConstraint("from_half IN ('am', 'pm') AND to_half IN ('am', 'pm')", name="hr_leave_halves_known"),
        checked(
            "hr_leave_ordered",
            "from_day < to_day OR (from_day = to_day AND from_half <= to_half)",
            _l("The leave ends before it starts."),
            "to_day",
        ),
        # Half days counted from a fixed day: the afternoon of a day is one more than its morning.
        ExcludeConstraint(
            (text("int8range(user_id, user_id, '[]')"), "&&"),
            (
                text(
                    "int4range((from_day - date '2000-01-01') * 2 + (from_half = 'pm')::int,"
                    " (to_day - date '2000-01-01') * 2 + (to_half = 'pm')::int, '[]')"
                ),
                "&&",
            ),
            using="gist",
            where=text("state IN ('submitted', 'approved') AND archived_at IS NULL"),
            name="hr_leave_apart",
        ),
    )

    def see(c: Any, v: Any) -> Any:
        return v.has("staff", c.user_id)

    def change(c: Any, v: Any) -> Any:
        return c.user_id == v.me

    def before_update(self, ctx: Any) -> None:
        """What was asked for is not changed any more: cancel it and ask again."""
        if self.state != "draft":
            raise Refusal(_("Only a draft can be changed; cancel the leave and ask again."), code="wrong_state")

    def before_archive(self, ctx: Any) -> None:
        """A leave that counts stays."""
        if self.state in ("submitted", "approved"):
            raise Refusal(_("Cancel the leave first."), code="wrong_state")

    def __str__(self) -> str:
        return f"{Leave.KINDS.get(self.kind, '')} {self.from_day} – {self.to_day}"
