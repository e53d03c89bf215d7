"""What happens to people and departments, as others hear of it."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class EmployeeJoined:
    """Somebody works here from *day* on (published on that day, or later when it was entered late)."""

    employee_id: int
    user_id: int
    department_id: int
    day: date


@dataclass(frozen=True)
class EmployeeMoved:
    """From *day* on somebody has another department, post, grade or manager; published when it takes effect."""

    employee_id: int
    user_id: int
    from_department_id: int
    to_department_id: int
    day: date


@dataclass(frozen=True)
class EmployeeLeft:
    """*last_day* was somebody's last day here; published when it is over."""

    employee_id: int
    user_id: int
    last_day: date


@dataclass(frozen=True)
class EmployeeChanged:
    """Name, number or work e-mail of an employee are different now."""

    employee_id: int
    user_id: int


@dataclass(frozen=True)
class DepartmentChanged:
    """A department is new, has another name or place from *day* on, or does not exist any more (*closed*)."""

    department_id: int
    name: str
    day: date
    closed: bool


@dataclass(frozen=True)
class DepartmentRecoded:
    """The department has the code *after* instead of *before*."""

    department_id: int
    before: str
    after: str


@dataclass(frozen=True)
class MergerSubmitted:
    """A merger of departments waits for its approval by one of *deciders* (user ids)."""

    merger_id: int
    deciders: list[int]


@dataclass(frozen=True)
class MergerDecided:
    """A merger is approved, rejected or cancelled (*state*); *concerned* (user ids) hear of what was approved."""

    merger_id: int
    state: str
    decided_by: int | None
    concerned: list[int]


@dataclass(frozen=True)
class HeadAppointed:
    """Somebody answers for a department from *from_day* until *to_day* (not included, None: open)."""

    department_id: int
    user_id: int
    kind: str
    from_day: date
    to_day: date | None


@dataclass(frozen=True)
class LeaveSubmitted:
    """Somebody asks for leave; *deciders* are the user ids of those who may answer."""

    leave_id: int
    user_id: int
    deciders: list[int]


@dataclass(frozen=True)
class LeaveDecided:
    """A leave is approved, rejected or cancelled (*state*)."""

    leave_id: int
    user_id: int
    state: str
    decided_by: int | None


@dataclass(frozen=True)
class EmployeeEventSubmitted:
    """A change of an employee waits for its approval by one of *deciders* (user ids)."""

    event_id: int
    deciders: list[int]


@dataclass(frozen=True)
class EmployeeEventDecided:
    """A change of an employee is approved, rejected or cancelled (*state*); *concerned* (user ids) hear of what was approved."""

    event_id: int
    state: str
    decided_by: int | None
    concerned: list[int]
