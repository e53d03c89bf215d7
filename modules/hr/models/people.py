"""Employees: directory, terms, places over time, private data."""

from datetime import date
from typing import Any, cast

from sqlalchemy import CheckConstraint, FetchedValue, ForeignKey, Text, false, inspect, select, text, update
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modules.hr import rules
from modules.hr.events import EmployeeChanged
from modules.hr.models.organisation import Department
from modules.hr.models.posts import Grade, Post
from portal.kernel import identifiers
from portal.kernel.calendar import today
from portal.kernel.columns import BY_ACTION, never_overlapping, ordered_period
from portal.kernel.db import session
from portal.kernel.document import LegalEntity, Record, User, live_unique
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from security.erasure import personal_data
from security.visibility import acting


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
    work_email: Mapped[str | None] = mapped_column(Text, info={"label": _l("Work e-mail"), "personal": "hr.contact"})
    work_phone: Mapped[str | None] = mapped_column(Text, info={"label": _l("Work phone"), "personal": "hr.contact"})
    active: Mapped[bool] = mapped_column(server_default=text("true"), info={"label": _l("Works here"), **BY_ACTION})

    department: Mapped[Department] = relationship()
    post: Mapped[Post | None] = relationship()

    __table_args__ = (live_unique("hr_employee_number_live", "number"),)

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def before_update(self, ctx: Any) -> None:
        """The account keeps the name of its person; others hear of what they keep a copy of."""
        changed = {c for c in ("name", "number", "work_email") if cast(Any, inspect(self)).attrs[c].history.has_changes()}
        if changed:
            publish(EmployeeChanged(self.id, self.user_id))
        if "name" in changed:
            first, last = rules.split_name(self.name)
            user_id = self.user_id
            with acting() as s:
                s.execute(update(User).where(User.id == user_id).values(first_name=first, last_name=last))

    def before_archive(self, ctx: Any) -> None:
        """People leave; their entry stays."""
        raise Refusal(_("An employee leaves the company instead; what the person did stays."), code="dated_change")

    def before_restore(self, ctx: Any) -> None:
        """Only a hiring that was taken back is put away: account name, number and terms are gone with it."""
        raise Refusal(_("The hiring of this person was taken back; whoever comes after all is hired again."), code="dated_change")

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
    employment_type: Mapped[str] = mapped_column(
        Text, server_default="regular", info={"label": _l("Employment type"), "choices": TYPES, **BY_ACTION}
    )
    joined_on: Mapped[date] = mapped_column(info={"label": _l("Joined on"), **BY_ACTION})
    regular_on: Mapped[date | None] = mapped_column(server_default=FetchedValue(), info={"label": _l("Regular from"), **BY_ACTION})
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
        return false()  # by approved changes only

    def __str__(self) -> str:
        return str(Employment.__label__)


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
    plan: Mapped[str | None] = mapped_column(
        Text, index=True, server_default=FetchedValue(), info={"label": _l("Planned by"), "internal": True, **BY_ACTION}
    )
    """What planned it for many people at once: `handover:<person>:<day>` or `merger:<id>`; only taken back as a whole."""
    replaces_id: Mapped[int | None] = mapped_column(
        ForeignKey("hr_assignment.id"),
        index=True,
        server_default=FetchedValue(),
        info={"label": _l("Follows"), "internal": True, **BY_ACTION},
    )
    """The place that *plan* ended or put away for this one."""

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


def _without_address(user_id: int) -> int:
    """The account's e-mail is the work e-mail; an account needs one, so it gets one that leads nowhere."""
    nowhere = f"erased-{user_id}@example.invalid"
    found = update(User).where(User.id == user_id, User.email != nowhere).values(email=nowhere).returning(User.id)
    return len(session().execute(found.execution_options(synchronize_session=False)).all())


# what a labour contract is about is kept for two years after its end; who may be called at work is nobody's business any more after one
personal_data("hr.private", _l("Identity, bank and address"), years=2)
personal_data("hr.contact", _l("Contact at work"), years=1, also=_without_address)

PRIVATE: dict[str, Any] = {"secret": True, "personal": "hr.private"}

IDENTITY_PROBLEMS = {
    "format": _l("An identity number has 17 digits and a check character."),
    "date": _l("The birth date in the identity number is not possible."),
    "check": _l("The check character of the identity number is wrong; please compare it with the card."),
}


IDENTITY_TAKEN = _l("Another employee has this identity number. Somebody who comes back is hired again instead.")


def identity_problem(number: str, employee_id: int | None) -> Any:
    """What is wrong with *number* as the identity number of *employee_id* (None: somebody new), in words that name nobody; empty when
    nothing is."""
    if problem := identifiers.identity_number_problem(number, today()):
        return IDENTITY_PROBLEMS[problem]
    same = select(EmployeePrivate.id).where(EmployeePrivate.identity_number == number.strip().upper())
    if employee_id is not None:
        same = same.where(EmployeePrivate.employee_id != employee_id)
    with session().no_autoflush:
        taken = session().scalar(same.limit(1)) is not None
    return IDENTITY_TAKEN if taken else ""


class EmployeePrivate(Record):
    """Identity and bank fields, for the person and HR only."""

    __tablename__ = "hr_employee_private"
    __label__ = _l("Private data")
    __label_plural__ = _l("Private data")
    __root__ = "employee_id"
    employee_id: Mapped[int] = mapped_column(ForeignKey(Employee.id), unique=True, info={"label": _l("Employee"), **BY_ACTION})
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True, info={"label": _l("Account"), **BY_ACTION})
    identity_number: Mapped[str | None] = mapped_column(Text, info={"label": _l("Identity number"), **PRIVATE})
    bank_account: Mapped[str | None] = mapped_column(Text, info={"label": _l("Bank account"), **PRIVATE})
    home_address: Mapped[str | None] = mapped_column(Text, info={"label": _l("Home address"), "multiline": True, **PRIVATE})

    employee: Mapped[Employee] = relationship()

    def see(c: Any, v: Any) -> Any:
        return (c.user_id == v.me) | v.holds("staff_admin")

    def change(c: Any, v: Any) -> Any:
        return v.holds("staff_admin")

    def before_create(self, ctx: Any) -> None:
        """Numbers have their check characters (HRM-04) and belong to one person."""
        if not self.identity_number:
            self.identity_number = None
            return
        if problem := identity_problem(self.identity_number, self.employee_id):
            raise Invalid({"identity_number": problem})
        self.identity_number = self.identity_number.strip().upper()

    before_update = before_create

    def __str__(self) -> str:
        return str(EmployeePrivate.__label__)
