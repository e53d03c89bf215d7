"""Bringing one person, the departments or a role at Keycloak to what the portal says, after a change and for the comparison (POR-02).

Handlers write what holds when they run, not what held when they were asked: a repetition changes nothing, and two changes of one person
end as the later one left it, in whatever order their letters arrive.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog
from flask_appbuilder.security.sqla.models import User
from keycloak.exceptions import KeycloakError
from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert

from portal.kernel.db import Session, unrestricted
from portal.kernel.events import publish
from portal.kernel.outbox import handler
from portal.kernel.settings import settings
from security import comparison, differences, expected, sessions
from security.accounts import AccountLinked, tell_roles
from security.comparison import Known
from security.differences import Difference
from security.directory import Directory, TheirUser
from security.expected import GroupLink, Person
from security.keycloak import administration, away
from security.sessions import Account

log = structlog.get_logger(__name__)

PASSES = 5
MOST_REMOVED = 5
"""Groups of closed departments that are removed at once without anybody having looked."""


def there_now() -> Directory:
    """People and departments at the Keycloak of the active settings."""
    return Directory(administration())


def lock(s: Session, what: str) -> None:
    """One writer at a time; released with the transaction."""
    s.execute(text("select pg_advisory_xact_lock(hashtext(:what))"), {"what": f"directory:{what}"})


def noted(s: Session, subjects: Iterable[str] | None = None) -> Known:
    """What is noted here; *subjects* limits only the answers, for one person's account."""
    rows = s.execute(select(Account.user_id, Account.subject).where(Account.subject.is_not(None))).tuples().all()
    staff = {p.user_id for p in expected.people()} if subjects is None else {user_id for user_id, _subject in rows}
    answers = select(Difference.kind, Difference.key, Difference.state).where(Difference.state.in_(("ignored", "disabled")))
    if subjects is not None:
        answers = answers.where(Difference.key.in_(list(subjects)))
    given = s.execute(answers).all()
    return Known(
        subjects={user_id: str(subject) for user_id, subject in rows if user_id in staff},
        others={str(subject) for user_id, subject in rows if user_id not in staff},
        groups=dict(s.execute(select(GroupLink.code, GroupLink.group_id)).tuples().all()),
        roles=expected.roles(),
        ignored={(r.kind, r.key) for r in given if r.state == "ignored"},
        disabled={r.key for r in given if r.state == "disabled"},
    )


# ------------------------------------------------------------------ one person
@handler(expected.PERSON, away=away)
def sync_person(user_id: int, opens: bool = False) -> None:
    """Bring the account of an employee to what holds now.  Nothing for somebody unknown or whose account waits for an answer.

    *opens*: see `expected.person_changed`.
    """
    if settings().local_accounts:
        return
    there = there_now()
    with unrestricted("account of a person at Keycloak") as s:
        lock(s, f"person:{user_id}")
        person = next(iter(expected.people([user_id])), None)
        if person is not None:
            _bring(s, there, person, opens)
        else:
            _switch(s, there, user_id)


def _bring(s: Session, there: Directory, person: Person, opens: bool) -> None:
    linked = s.scalar(select(Account.subject).where(Account.user_id == person.user_id))
    user = there.user(linked) if linked else None
    if user is None:
        user = _find(s, there, person)
    if user is None:
        return
    code_of = {gid: code for code, gid in s.execute(select(GroupLink.code, GroupLink.group_id)).tuples()}
    if person.active and person.department and person.department not in code_of.values():
        sync_departments()
        code_of = {gid: code for code, gid in s.execute(select(GroupLink.code, GroupLink.group_id)).tuples()}
    whats = {change.what for change in comparison.compare_person(person, user, code_of, opens=opens)}
    if (values := _values(person, user, whats)) or "number" in whats:
        _write(there, user.subject, values, person.number if "number" in whats else None)
    if "moved" in whats:
        want = {gid for gid, code in code_of.items() if person.active and code == person.department}
        for gid in sorted(want - user.groups):
            there.join(user.subject, gid)
        for gid in sorted((user.groups & code_of.keys()) - want):
            there.quit(user.subject, gid)
    if not person.active:
        there.log_out(user.subject)


def _switch(s: Session, there: Directory, user_id: int) -> None:
    """Somebody who is no employee: of a linked account only whether it may sign in is the portal's."""
    asked = select(Account.subject, User.active).join(User, User.id == Account.user_id).where(Account.user_id == user_id)
    row = s.execute(asked).one_or_none()
    user = there.user(row.subject) if row is not None and row.subject else None
    if row is None or user is None:
        return
    if user.enabled != row.active:
        there.change(user.subject, {"enabled": row.active})
    if not row.active:
        there.log_out(user.subject)


def _values(person: Person, user: TheirUser, whats: set[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if whats & {"enabled", "disabled"}:
        values["enabled"] = person.active
    if "renamed" in whats:
        values |= {"firstName": person.first_name, "lastName": person.last_name}
    if "mail" in whats:
        values |= {"email": person.email, "emailVerified": False}
    return values


def _write(there: Directory, subject: str, values: dict[str, Any], number: str | None) -> None:
    try:
        there.change(subject, values, number)
    except KeycloakError as error:
        if error.response_code != 409 or "email" not in values:
            raise
        # another account holds the address: the rest must not wait for it, the nightly comparison shows it again
        log.warning("directory.mail_taken", subject=subject)
        there.change(subject, {k: v for k, v in values.items() if k not in ("email", "emailVerified")}, number)


def _find(s: Session, there: Directory, person: Person) -> TheirUser | None:
    """The account of somebody who has none linked, or whose linked one is gone: found by the number, or made."""
    candidates = there.candidates(person)
    how, user = comparison.match(person, candidates, noted(s, [u.subject for u in candidates]))
    if how == "link" and user is not None:
        subject = user.subject
    elif how == "none" and person.active:
        subject = there.create(person, person.username, person.email)
        log.info("directory.account_made", user_id=person.user_id, subject=subject)
    else:
        return None
    before = s.scalar(select(Account.subject).where(Account.user_id == person.user_id))
    kept = insert(Account).values(user_id=person.user_id, subject=subject)
    s.execute(kept.on_conflict_do_update(index_elements=["user_id"], set_={"subject": subject}))
    if before is not None:
        sessions.end_by_subject(before, "switched off at Keycloak")
    tell_roles(person.user_id)
    if how == "link" and user is not None:
        publish(AccountLinked(person.user_id, subject, user.username))
    if how == "none" and person.email:
        there.invite(subject)
    return there.user(subject)


# ------------------------------------------------------------------ departments
@handler(expected.DEPARTMENTS, away=away)
def _departments_changed() -> None:
    if not settings().local_accounts:
        sync_departments()


def sync_departments(bounded: bool = True) -> None:
    """Bring the groups of departments to the organisation as it is now; *bounded*: remove `MOST_REMOVED` groups at most, else none."""
    there = there_now()
    with unrestricted("groups of departments at Keycloak") as s:
        lock(s, "departments")
        for _pass in range(PASSES):
            if not _regroup(s, there, bounded):
                return
        log.warning("directory.groups_unsettled")


def _regroup(s: Session, there: Directory, bounded: bool) -> bool:
    """One pass over the groups from the top; whether something was done, so that another has to look.

    Two departments that change names at once are in each other's way: one gets its code into the name and is named at the next pass.
    """
    groups, departments = there.groups(), comparison.from_the_top(expected.departments())
    kept = dict(s.execute(select(GroupLink.code, GroupLink.group_id)).tuples().all())
    held = comparison.ours(departments, groups, kept)
    changed = _note(s, held, kept)
    names = {g.id: g.name for g in groups.values()}
    for wanted in comparison.wanted_groups(departments, groups, held):
        d, group = wanted.department, wanted.group
        above = held.get(d.parent) if d.parent else None
        spare = f"{d.name} ({d.code})"
        if group is None:
            held[d.code] = _make(there, d.code, above, wanted.name, spare)
            _note(s, held, kept)
            changed = True
            continue
        if group.name != wanted.name or group.code != d.code:
            _unless_taken(partial(_call_it, there, d.code, group.id), wanted.name, spare)
            names[group.id] = wanted.name
            changed = True
        if group.parent != above:
            try:
                there.move_group(group.id, names[group.id], above)
            except KeycloakError as error:
                if error.response_code != 409:
                    raise
                there.change_group(group.id, spare, d.code)
                there.move_group(group.id, spare, above)
            changed = True
    return _close(s, there, departments, bounded) or changed


def _make(there: Directory, code: str, parent: str | None, name: str, spare: str) -> str:
    try:
        return there.create_group(code, name, parent)
    except KeycloakError as error:
        if error.response_code != 409:
            raise
    # the client asks again when an answer comes late: then the group is there already, and a second one would be nobody's
    made = next((g.id for g in there.groups().values() if (g.code, g.parent, g.name) == (code, parent, name)), None)
    return made or there.create_group(code, spare, parent)


def _call_it(there: Directory, code: str, group: str, name: str) -> None:
    there.change_group(group, name, code)


def _unless_taken(write: Callable[[str], Any], name: str, spare: str) -> Any:
    try:
        return write(name)
    except KeycloakError as error:
        if error.response_code != 409 or name == spare:
            raise
        return write(spare)


def _note(s: Session, held: dict[str, str], kept: dict[str, str]) -> bool:
    fresh = {code: gid for code, gid in held.items() if kept.get(code) != gid}
    for code, gid in fresh.items():
        row = insert(GroupLink).values(code=code, group_id=gid)
        s.execute(row.on_conflict_do_update(index_elements=["code"], set_={"group_id": gid}))
        kept[code] = gid
    return bool(fresh)


def _close(s: Session, there: Directory, departments: Iterable[expected.Department], bounded: bool) -> bool:
    """Remove the groups of closed departments that hold nobody and nothing of others, and give nobody a role.

    Many at once are more likely a mistake than a reorganisation: they wait until an administrator has the comparison repair them.
    """
    living, done = {d.code for d in departments}, False
    closed = [row for row in s.execute(select(GroupLink.code, GroupLink.group_id)).tuples() if row[0] not in living]
    if not closed:
        return False
    groups = there.groups()
    known = noted(s, [])
    changes, _findings = comparison.compare_groups(departments, groups, known, _visited(there, known, [gid for _c, gid in closed], groups))
    removable = {change.key for change in changes if change.what == "removed"}
    if bounded and len(removable) > MOST_REMOVED:
        log.warning("directory.many_groups_closed", groups=len(removable))
        removable = set()
    for code, gid in closed:
        if code in removable:
            there.remove_group(gid)
            done = True
        if code in removable or gid not in groups:
            s.execute(delete(GroupLink).where(GroupLink.code == code))
    return done


def _visited(there: Directory, known: Known, groups: Iterable[str], living: Iterable[str]) -> set[str]:
    return {gid for gid in groups if gid in living and not there.members(gid) <= set(known.subjects.values())}


# ------------------------------------------------------------------ roles, foreign accounts
@handler(expected.ROLE, away=away)
def sync_role(key: str) -> None:
    """Make the client role *key* exist at Keycloak, or no longer, as the portal has it."""
    if settings().local_accounts:
        return
    there = there_now()
    with unrestricted("role at Keycloak"):
        known = expected.roles()
    try:
        if key in known:
            there.create_role(key, known[key])
        else:
            there.remove_role(key)
    except KeycloakError as error:
        if error.response_code != 403:
            raise
        log.warning("directory.role_not_allowed", role=key)  # the comparison goes on showing it


@handler(differences.DISABLE, away=away)
def disable_foreign(subject: str) -> None:
    """Disable an account with no employee, as a person decided; one that was linked meanwhile is let be."""
    if settings().local_accounts:
        return
    there = there_now()
    with unrestricted("account with no employee") as s:
        said = (Difference.key == subject, Difference.kind.in_(differences.OF_ACCOUNTS), Difference.state == "disabled")
        linked = s.scalar(select(Account.user_id).where(Account.subject == subject)) is not None
        if linked or s.scalar(select(Difference.id).where(*said)) is None or there.user(subject) is None:
            return  # linked, or the answer was taken back
    there.change(subject, {"enabled": False})
    there.log_out(subject)
