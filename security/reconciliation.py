"""Everything compared with Keycloak, every night and when asked: what is the portal's own is repaired, the rest is listed (POR-02)."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any

import requests
import structlog
from keycloak.exceptions import KeycloakError
from sqlalchemy import delete, func, select, update

from portal.kernel.db import session, unrestricted
from portal.kernel.errors import Unavailable
from portal.kernel.i18n import _l
from portal.kernel.jobs import job
from portal.kernel.outbox import handler
from portal.kernel.settings import parameter, settings
from security import comparison, differences, expected
from security.comparison import Change, Finding, Plan
from security.differences import Comparison, Difference
from security.directory import TooMany
from security.keycloak import unreachable
from security.synchronisation import MOST_REMOVED, lock, noted, sync_departments, sync_person, sync_role, there_now

log = structlog.get_logger(__name__)

MOST_AT_NIGHT = parameter(
    "security.reconcile_most",
    50,
    label=_l("Accounts the nightly comparison may change"),
    help=_l("If more differ, for example because another realm is connected, nothing is repaired until an administrator says so."),
    check=lambda n: 0 <= n <= 100_000,
)
MOST_DISABLED = 10
"""Accounts the nightly comparison may disable; in a small company fifty would be everybody."""
KEPT_FOR = timedelta(days=400)
KEPT_CHANGES = 1000
"""Lines of a comparison that are kept; beyond them only the counts."""
AWAY = (KeycloakError, requests.RequestException, Unavailable)
UNDONE = (*AWAY, TooMany)
"""Why a comparison was not made."""


def compare() -> Plan:
    """What differs now; nothing is written.  Raises `KeycloakError`, `Unavailable`, `TooMany`."""
    there = there_now()
    with unrestricted("comparison with Keycloak") as s:
        people, departments, known = expected.people(), expected.departments(), noted(s)
    users, groups = there.users(), there.groups()
    held = comparison.ours(departments, groups, known.groups)
    code_of = {gid: code for code, gid in held.items()}
    inside: dict[str, set[str]] = {}
    for gid in code_of:
        for subject in there.members(gid):
            inside.setdefault(subject, set()).add(gid)
    users = [replace(user, groups=frozenset(inside.get(user.subject, ()))) for user in users]
    plan = comparison.compare_people(people, users, known, code_of)
    strangers = set(inside) - set(known.subjects.values())
    visited = {gid for subject in strangers for gid in inside[subject]}
    of_groups, of_roles = comparison.compare_groups(departments, groups, known, visited), comparison.compare_roles(there.roles(), known)
    plan.changes = [*of_groups[0], *of_roles[0], *plan.changes]
    plan.findings += [*of_groups[1], *of_roles[1]]
    return plan


def repair(plan: Plan, bounded: bool = False) -> list[str]:
    """Do what *plan* found, each person by itself.  Returns what could not be done.  *bounded*: see `sync_departments`."""
    problems: list[str] = []

    def attempt(what: str, do: Callable[[], None]) -> None:
        try:
            do()
        except AWAY as error:
            if isinstance(error, Unavailable) or unreachable(error):
                raise
            log.warning("directory.not_repaired", what=what, error=f"{type(error).__name__}: {error}"[:300])
            problems.append(f"{what}: {error}"[:300])

    if any(change.about == "department" for change in plan.changes):
        attempt("departments", partial(sync_departments, bounded))
    for change in plan.changes:
        if change.about == "role":
            attempt(change.label, partial(sync_role, change.key))
    for user_id, label in {c.key: c.label for c in plan.changes if c.about == "person"}.items():
        attempt(label, partial(sync_person, int(user_id)))
    return problems


def too_many(plan: Plan) -> bool:
    """More accounts differ than a program may change by itself, or more would be shut out than leave unnoticed: letters do that at once."""
    changed = {c.key for c in plan.changes if c.about == "person" and c.what != "waits"}
    disabled = sum(c.what == "disabled" for c in plan.changes)
    removed = sum((c.about, c.what) == ("department", "removed") for c in plan.changes)
    return len(changed) > MOST_AT_NIGHT.get() or disabled > MOST_DISABLED or removed > MOST_REMOVED


def keep(findings: list[Finding]) -> int:
    """Put *findings* on the list of what people answer; those no longer found are marked gone.  Returns how many are open."""
    with unrestricted("differences from Keycloak") as s:
        lock(s, "findings")
        held = {(d.kind, d.key): d for d in s.scalars(select(Difference).with_for_update())}
        for f in findings:
            row = held.pop((f.kind, f.key), None)
            if row is None:
                s.add(Difference(kind=f.kind, key=f.key, title=f.label[:200], detail=f.detail[:500], user_id=f.user_id))
            elif row.state != "open":
                row.state, row.reason, row.detail, row.user_id = "open", None, f.detail[:500], f.user_id
            elif (row.title, row.detail, row.user_id) != (f.label[:200], f.detail[:500], f.user_id):
                row.title, row.detail, row.user_id = f.label[:200], f.detail[:500], f.user_id
        for row in held.values():
            if row.state == "open":
                row.state = "gone"
        s.flush()
        return s.scalar(select(func.count()).select_from(Difference).where(Difference.state == "open")) or 0


def _given_up(payload: dict[str, Any], _error: str, dead: bool) -> None:
    if dead:
        change = update(Comparison).where(Comparison.id == payload["pk"]).values(state="failed", problem="unreachable")
        session().execute(change.execution_options(synchronize_session=False))


@handler(differences.RUN, failed=_given_up)
def run(pk: int, bounded: bool, patient: bool) -> None:
    """Do the comparison *pk* that was asked for.  Done already: nothing.

    *bounded*: repair only a few accounts.  *patient*: nobody waits for it, so it is tried again while Keycloak is away.
    """
    with unrestricted("comparison with Keycloak") as s:
        asked = s.execute(select(Comparison.repair, Comparison.state).where(Comparison.id == pk)).one_or_none()
    if asked is None or asked.state != "waiting":
        return
    begun, values = time.monotonic(), dict[str, Any]()
    try:
        if settings().local_accounts:
            raise TooMany("single sign-on is switched off")
        plan = compare()
        problems = [] if not asked.repair or (bounded and too_many(plan)) else repair(plan, bounded)
        if asked.repair and bounded and too_many(plan):
            values["problem"] = "too_many"
        elif problems:
            values["problem"] = "partly"
        values |= {
            "state": "done",
            "people": plan.people,
            "accounts": plan.accounts,
            "changed": len(plan.changes),
            "found": keep(plan.findings),
            "details": _details(plan.changes, problems),
        }
    except UNDONE as error:
        if patient and not isinstance(error, TooMany):
            raise
        log.warning("directory.not_compared", error=f"{type(error).__name__}: {error}"[:300])
        values = {"state": "failed", "problem": "too_large" if isinstance(error, TooMany) else "unreachable"}
    with unrestricted("comparison with Keycloak") as s:
        row = s.get_one(Comparison, pk)
        for column, value in (values | {"finished_at": func.now(), "seconds": round(time.monotonic() - begun, 1)}).items():
            setattr(row, column, value)


def _details(changes: list[Change], problems: list[str]) -> dict[str, Any]:
    counts = Counter(f"{change.about}.{change.what}" for change in changes)
    return {"changes": [asdict(c) for c in changes[:KEPT_CHANGES]], "counts": dict(counts), "problems": problems[:100]}


@job("10 2 * * *", name="security.reconcile", label=_l("Compare accounts with Keycloak and repair"))
def reconcile() -> None:
    """Every night: repairs what is the portal's own, unless that is too much, and lists the rest."""
    if settings().local_accounts:
        return
    with unrestricted("nightly comparison with Keycloak") as s:
        old = delete(Comparison).where(Comparison.created_at < func.now() - KEPT_FOR)
        s.execute(old.execution_options(synchronize_session=False))
        if s.scalar(select(Comparison.id).where(Comparison.state == "waiting", Comparison.repair).limit(1)) is not None:
            return  # somebody asked for the same already
        row = Comparison(repair=True)
        s.add(row)
        s.flush()
        differences.queue(row.id, bounded=True, patient=True)
