"""Which people and departments there should be at Keycloak: told by the module that keeps them, asked for whenever something is written.

Whoever changes a person or a department calls `person_changed` or `departments_changed` in the same transaction.  What is written later is
what holds then, never what held when the change was made: so the order of two changes is kept and a repetition does nothing.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, TypeVar

from flask_appbuilder.security.sqla.models import Role
from sqlalchemy import Text, select, update
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import Base, session
from portal.kernel.outbox import enqueue
from portal.kernel.settings import settings
from security.accounts import NOT_MANAGED
from security.roles import RoleInfo
from security.visibility import acting

PERSON, DEPARTMENTS, ROLE = "security.directory_person", "security.directory_departments", "security.directory_role"


class GroupLink(Base):
    """Keycloak's group of a department, by its code; stays until the group of a closed department is gone."""

    __tablename__ = "security_group"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    group_id: Mapped[str] = mapped_column(Text, unique=True)


@dataclass(frozen=True)
class Person:
    """An employee as the account at Keycloak should show them; *email* None: not known here, so Keycloak's stays."""

    user_id: int
    number: str
    username: str
    first_name: str
    last_name: str
    email: str | None
    department: str | None
    """Code of the department; None for those who do not work here any more."""
    active: bool

    @property
    def name(self) -> str:
        """The full name, family name first."""
        return f"{self.last_name}{self.first_name}"


@dataclass(frozen=True)
class Department:
    """A living department; *parent* is the code of the one above."""

    code: str
    name: str
    parent: str | None


class Source(Protocol):
    """Who keeps people and departments; called inside `unrestricted`."""

    def people(self, user_ids: Collection[int] | None = None) -> list[Person]:
        """Employees present and past, those of *user_ids* or all."""
        ...

    def departments(self) -> list[Department]:
        """Every living department."""
        ...


S = TypeVar("S", bound=type[Source])
_sources: list[Source] = []


def directory_source(kept: S) -> S:
    """Register the class that tells who should be at Keycloak.  One per installation."""
    if any(type(known).__qualname__ != kept.__qualname__ for known in _sources):
        raise ValueError("two sources of people")
    _sources[:] = [kept()]
    return kept


def people(user_ids: Collection[int] | None = None) -> list[Person]:
    """Employees, those of *user_ids* or all; none where no module keeps people."""
    return [person for source in _sources for person in source.people(user_ids)]


def departments() -> list[Department]:
    """Every living department."""
    return [department for source in _sources for department in source.departments()]


def roles() -> dict[str, str]:
    """Keys of the roles that Keycloak should know, with what they are called there."""
    rows = session().execute(select(Role.name, RoleInfo.label).outerjoin(RoleInfo).where(Role.name.not_in(NOT_MANAGED)))
    return {key: " ".join(dict.fromkeys(filter(None, ((label or {}).get("zh"), (label or {}).get("en"))))) for key, label in rows}


# ------------------------------------------------------------------ telling of changes
def person_changed(user_id: int, *, opens: bool = False) -> None:
    """Have the account of *user_id* at Keycloak brought to what holds, queued with this transaction.

    *opens*: the change lets the person in (again): only then is an account that is switched off at Keycloak switched on.
    """
    _queue(PERSON, {"user_id": user_id} | ({"opens": True} if opens else {}))


def departments_changed() -> None:
    """Have the groups at Keycloak brought to what holds, queued with this transaction."""
    _queue(DEPARTMENTS, {})


def department_recoded(before: str, after: str) -> None:
    """The department *before* has the code *after* from now on; its group stays the same."""
    with acting() as s:
        change = update(GroupLink).where(GroupLink.code == before).values(code=after)
        s.execute(change.execution_options(synchronize_session=False))
    departments_changed()


def role_changed(key: str) -> None:
    """Have the client role *key* made or removed at Keycloak, as the portal has it by then; queued with this transaction."""
    _queue(ROLE, {"key": key})


def _queue(handler: str, payload: dict[str, int | str] | dict[str, int] | dict[str, str]) -> None:
    if not settings().local_accounts:
        enqueue(handler, dict(payload), key=f"{handler}:{uuid.uuid4().hex}")
