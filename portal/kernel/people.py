"""Who works here: the module that keeps people says it, the layers below only ask."""

from collections.abc import Callable, Iterable

from sqlalchemy import select

from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.module import assignees

Employed = Callable[[Iterable[int]], set[int]]
_employed: list[Employed] = []


def employment(f: Employed) -> Employed:
    """Registers the function that tells which of some user ids are people who work here today."""
    _employed[:] = [f]
    return f


def works_here(user_ids: Iterable[int]) -> set[int]:
    """Those of *user_ids* who work here today and whose account is active."""
    wanted = set(user_ids)
    active = set(session().scalars(select(User.id).where(User.id.in_(wanted), User.active)))
    return _employed[0](active) if _employed and active else active


def heads_of(user_id: int) -> list[int]:
    """Those who answer for *user_id* today, as the module that keeps people says; nobody without one."""
    found = assignees.get("department_head")
    return found.find(user_id) if found is not None else []
