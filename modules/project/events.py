"""What happens to projects, as others hear of it."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class ProjectRenamed:
    """A project is called otherwise, or has got its number: those who keep its label refresh it."""

    id: int
    number: str | None
    name: str

    @property
    def label(self) -> str:
        """Number and name as children store them."""
        return f"{self.number} {self.name}" if self.number else self.name


@dataclass(frozen=True)
class ProjectStateChanged:
    """A project went from one state to another on *day*."""

    id: int
    from_state: str
    to_state: str
    day: date
    reason: str | None


@dataclass(frozen=True)
class ManagerAppointed:
    """Somebody else answers for a project."""

    id: int
    from_user_id: int
    to_user_id: int
    day: date


@dataclass(frozen=True)
class MemberJoined:
    """Somebody is on the team from *from_day* until *to_day* (not included, None: open)."""

    project_id: int
    user_id: int
    role_id: int
    from_day: date
    to_day: date | None


@dataclass(frozen=True)
class MemberLeft:
    """Somebody is not on the team any more from *day* on."""

    project_id: int
    user_id: int
    day: date
