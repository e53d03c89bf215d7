"""What differs between the portal's people and departments and Keycloak's: pure comparing, nothing is read or written here.

Two kinds of results: a `Change` is what the portal will do to what is its own; a `Finding` is something not its own that a person answers.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from security.directory import TheirGroup, TheirUser
from security.expected import Department, Person

About = Literal["person", "department", "role"]


@dataclass(frozen=True)
class Change:
    """One thing to do.  *key*: user id, department code or role key; *what*: see `differences.CHANGES`."""

    about: About
    what: str
    key: str
    label: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Finding:
    """Something at Keycloak that is not the portal's.  *kind*: see `differences.KINDS`; *key*: Keycloak's id, or the role's key."""

    kind: str
    key: str
    label: str
    detail: str = ""
    user_id: int | None = None
    """The employee it may belong to."""


@dataclass(frozen=True)
class Known:
    """What the portal has noted about Keycloak."""

    subjects: Mapping[int, str] = field(default_factory=dict)
    """Account by user id, of employees."""
    others: Collection[str] = ()
    """Accounts linked to somebody here who is no employee."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Group by department code, closed departments too as long as the group is there."""
    roles: Mapping[str, str] = field(default_factory=dict)
    ignored: Collection[tuple[str, str]] = ()
    """Findings (kind, key) a person said to leave alone."""
    disabled: Collection[str] = ()
    """Foreign accounts a person had disabled."""

    @cached_property
    def owners(self) -> Mapping[str, int]:
        """User id by account; 0 for somebody who is no employee."""
        return dict.fromkeys(self.others, 0) | {subject: user_id for user_id, subject in self.subjects.items()}


@dataclass
class Plan:
    """What a comparison found."""

    people: int = 0
    accounts: int = 0
    changes: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


# ------------------------------------------------------------------ departments
@dataclass(frozen=True)
class Wanted:
    """A department's group: the one there is (None: to be made), what it should be called, and the department above."""

    department: Department
    group: TheirGroup | None
    name: str


def from_the_top(departments: Iterable[Department]) -> list[Department]:
    """Every department after the one above it; what hangs below an unknown one hangs at the top."""
    rest = {d.code: d for d in departments}
    known, out = set(rest), list[Department]()
    while rest:
        ready = [d for d in rest.values() if d.parent not in rest]
        if not ready:  # a circle, which the portal refuses: at least an end
            ready = list(rest.values())
        for d in sorted(ready, key=lambda d: d.code):
            out.append(d if d.parent in known else Department(d.code, d.name, None))
            del rest[d.code]
    return out


def ours(departments: Iterable[Department], groups: Mapping[str, TheirGroup], noted: Mapping[str, str]) -> dict[str, str]:
    """Group by department code: the one noted, or the only one that bears the code."""
    found = {code: gid for code, gid in noted.items() if gid in groups}
    taken = set(found.values())
    bearing = defaultdict(list)
    for group in groups.values():
        if group.code and group.id not in taken:
            bearing[group.code].append(group.id)
    for d in departments:
        if d.code not in found and len(bearing[d.code]) == 1:
            found[d.code] = bearing[d.code][0]
    return found


def wanted_groups(departments: list[Department], groups: Mapping[str, TheirGroup], held: Mapping[str, str]) -> list[Wanted]:
    """What each department's group should be, from the top; names told apart where Keycloak allows no two alike."""
    own = set(held.values())
    foreign = {(g.parent, g.name) for g in groups.values() if g.id not in own}
    alike: dict[tuple[str | None, str], int] = defaultdict(int)
    for d in departments:
        alike[d.parent, d.name] += 1
    out = []
    for d in departments:
        above = held.get(d.parent) if d.parent else None
        taken = alike[d.parent, d.name] > 1 or ((above is not None or d.parent is None) and (above, d.name) in foreign)
        group = groups.get(held[d.code]) if d.code in held else None
        out.append(Wanted(d, group, f"{d.name} ({d.code})" if taken else d.name))
    return out


def compare_groups(
    departments: Iterable[Department], groups: Mapping[str, TheirGroup], known: Known, visited: Collection[str] = ()
) -> tuple[list[Change], list[Finding]]:
    """What has to be done to groups of departments, and the groups that are not ours.

    *visited*: groups that have members who are not ours; such a group is not removed with its department, nor one that gives roles.
    """
    ordered = from_the_top(departments)
    held = ours(ordered, groups, known.groups)
    changes: list[Change] = []
    code_of = {gid: code for code, gid in held.items()}
    for w in wanted_groups(ordered, groups, held):
        d, group = w.department, w.group
        if group is None:
            changes.append(Change("department", "created", d.code, d.name, after=d.parent or ""))
            continue
        above = held.get(d.parent) if d.parent else None
        if group.parent != above or (d.parent and above is None):
            before = code_of.get(group.parent or "", groups[group.parent].name if group.parent and group.parent in groups else "")
            changes.append(Change("department", "moved", d.code, d.name, before, d.parent or ""))
        if group.name != w.name:
            changes.append(Change("department", "renamed", d.code, d.name, group.name, w.name))
        if group.code != d.code:
            changes.append(Change("department", "marked", d.code, d.name, group.code, d.code))
        elif known.groups.get(d.code) != group.id:
            changes.append(Change("department", "linked", d.code, d.name))
    findings: list[Finding] = []
    living, own = {d.code for d in ordered}, set(held.values())
    below = defaultdict(list)
    for group in groups.values():
        below[group.parent].append(group.id)
        if group.id not in own:
            findings.append(Finding("group", group.id, group.name, _path(group, groups)))
    for code, gid in held.items():
        if code not in living:
            if gid in visited or groups[gid].roles or any(child not in own for child in _everything_below(gid, below)):
                findings.append(Finding("left", gid, groups[gid].name, _path(groups[gid], groups)))
            else:
                changes.append(Change("department", "removed", code, groups[gid].name))
    return changes, [f for f in findings if (f.kind, f.key) not in known.ignored]


def _everything_below(gid: str, below: Mapping[str | None, list[str]]) -> Iterable[str]:
    for child in below.get(gid, ()):
        yield child
        yield from _everything_below(child, below)


def _path(group: TheirGroup, groups: Mapping[str, TheirGroup]) -> str:
    names = [group.name]
    while group.parent and group.parent in groups:
        group = groups[group.parent]
        names.append(group.name)
    return "/".join(reversed(names))


# ------------------------------------------------------------------ people
Match = tuple[Literal["account", "link", "double", "waits", "none"], TheirUser | None]


def match(person: Person, users: Iterable[TheirUser], known: Known) -> Match:
    """Which account is *person*'s: the one linked (`account`), the only one that bears the number (`link`), or none that may be taken.

    `double`: several bear the number.  `waits`: an account has the person's user name or e-mail address, which only a person may decide on.
    """
    users = list(users)
    linked = known.subjects.get(person.user_id)
    for user in users:
        if user.subject == linked:
            return "account", user
    free = [u for u in users if known.owners.get(u.subject, person.user_id) == person.user_id]
    bearing = [u for u in free if u.number and u.number == person.number and not _ignored(u, known)]
    if len(bearing) == 1:
        return "link", bearing[0]
    if bearing:
        return "double", bearing[0]
    for user in free:
        if _alike(user, person):
            return "waits", user
    return "none", None


def _ignored(user: TheirUser, known: Known) -> bool:
    return ("account", user.subject) in known.ignored or ("double", user.subject) in known.ignored


def _alike(user: TheirUser, person: Person) -> bool:
    same_mail = bool(person.email) and user.email.lower() == (person.email or "").lower()
    return same_mail or user.username.lower() == person.username.lower()


def masked(address: str) -> str:
    """Enough of an e-mail address to tell two apart: what is kept about comparisons holds no address that would have to be erased."""
    name, at, host = address.partition("@")
    return f"{name[:1]}…{at}{host}" if address else ""


def compare_person(person: Person, user: TheirUser, code_of: Mapping[str, str], *, opens: bool = False) -> list[Change]:
    """What has to be done to the account of *person*; *code_of*: department by id of each group that is ours.

    An account that somebody switched off at Keycloak is switched on only when the change at hand *opens* it.
    """
    key, out = str(person.user_id), list[Change]()

    def differs(what: str, before: str, after: str) -> None:
        out.append(Change("person", what, key, person.name, before, after))

    if (user.enabled and not person.active) or (opens and person.active and not user.enabled):
        differs("enabled" if person.active else "disabled", user.username, "")
    if (user.last_name, user.first_name) != (person.last_name, person.first_name):
        differs("renamed", user.name, person.name)
    # an address somebody has shown to be theirs gets the letters about lost passwords: whoever changes it has the account
    if person.email and not user.verified and user.email.lower() != person.email.lower():
        differs("mail", masked(user.email), masked(person.email))
    if user.number != person.number:
        differs("number", user.number, person.number)
    have = {code_of[g] for g in user.groups if g in code_of}
    want = {person.department} if person.active and person.department else set()
    if have != want:
        differs("moved", ", ".join(sorted(have)), ", ".join(sorted(want)))
    return out


def compare_people(people: Iterable[Person], users: Collection[TheirUser], known: Known, code_of: Mapping[str, str]) -> Plan:
    """What has to be done to accounts, and the accounts with nobody behind them."""
    plan, index, seen = Plan(accounts=len(users)), _Index(users), set(known.owners)
    proposed: dict[str, int] = {}
    double: dict[str, int] = {}
    for person in people:
        plan.people += 1
        how, user = match(person, index.near(person, known.subjects.get(person.user_id)), known)
        key = str(person.user_id)
        if how in ("account", "link") and user is not None:
            if how == "link":
                plan.changes.append(Change("person", "linked", key, person.name, user.username, person.number))
                seen.add(user.subject)
            plan.changes += compare_person(person, user, code_of)
            if person.active and not user.enabled and ("off", user.subject) not in known.ignored:
                plan.findings.append(Finding("off", user.subject, user.username, person.name, person.user_id))
        elif how == "double":
            plan.changes.append(Change("person", "waits", key, person.name, after=person.number))
        elif how == "waits" and user is not None:
            proposed.setdefault(user.subject, person.user_id)
            if person.active:
                plan.changes.append(Change("person", "waits", key, person.name, after=user.username))
        elif person.active:
            plan.changes.append(Change("person", "created", key, person.name, after=person.username))
        for bearer in index.bearing(person.number):
            double[bearer.subject] = person.user_id
    for user in users:
        if user.subject in seen or _ignored(user, known) or (user.subject in known.disabled and not user.enabled):
            continue
        detail = " · ".join(filter(None, (user.name, masked(user.email), user.number)))
        kind = "double" if user.subject in double else "account"
        plan.findings.append(Finding(kind, user.subject, user.username, detail, double.get(user.subject, proposed.get(user.subject))))
    return plan


class _Index:
    """Accounts by what a person may be found by."""

    def __init__(self, users: Iterable[TheirUser]) -> None:
        self._by: dict[tuple[str, str], list[TheirUser]] = defaultdict(list)
        for user in users:
            keys = (("subject", user.subject), ("number", user.number), ("name", user.username.lower()), ("mail", user.email.lower()))
            for key in keys:
                self._by[key].append(user)

    def near(self, person: Person, subject: str | None) -> list[TheirUser]:
        keys = [("subject", subject or ""), ("number", person.number), ("name", person.username.lower())]
        keys += [("mail", person.email.lower())] if person.email else []
        return list({u.subject: u for key in keys for u in self._by.get(key, ())}.values())

    def bearing(self, number: str) -> list[TheirUser]:
        return self._by.get(("number", number), [])


# ------------------------------------------------------------------ roles
def compare_roles(theirs: Collection[str], known: Known) -> tuple[list[Change], list[Finding]]:
    """Client roles that Keycloak lacks, and those the portal does not know."""
    changes = [Change("role", "created", key, known.roles[key] or key) for key in sorted(set(known.roles) - set(theirs))]
    unknown = sorted(set(theirs) - set(known.roles) - {"uma_protection"})
    return changes, [Finding("role", key, key) for key in unknown if ("role", key) not in known.ignored]
