"""Rules of projects as pure functions: when work is admitted, and how healthy a project is by its dates."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

SOON = timedelta(days=14)
"""A planned end this near is worth a look."""
RANK = {"ok": 0, "warn": 1, "risk": 2}


def accepts_work(state: str, after_completion: bool = False) -> bool:
    """Whether hours may be reported on a project in *state*.

    Active: always. Completed: only by those whose role on it serves it afterwards (DAY-09). Draft, paused, closed, cancelled: no.
    """
    return state == "active" or (state == "completed" and after_completion)


def states_on(changes: Iterable[tuple[date, str, str]], day: date) -> set[str]:
    """States a project was in at some time of *day*, from its changes (day, state before, state after) in order of time.

    A project is a draft until its first change.
    """
    state, found = "draft", set[str]()
    for changed_on, before, after in changes:
        if changed_on > day:
            break
        if changed_on == day:
            found.add(before)
        state = after
    return found | {state}


def accepts_work_on(changes: Sequence[tuple[date, str, str]], day: date, after_completion: bool = False) -> bool:
    """Whether work done on *day* is admitted: the day counts, not when it is written down. *changes* as in `states_on`."""
    return any(accepts_work(state, after_completion) for state in states_on(changes, day))


@dataclass(frozen=True)
class Health:
    """A light and its reasons: level ok, warn or risk, shown as circle, triangle, diamond; the worst dimension decides."""

    level: str
    reasons: tuple[Any, ...] = ()


def worst(parts: Iterable[Health]) -> Health:
    """The worst level of *parts* with the reasons of that level first."""
    ordered = sorted(parts, key=lambda h: -RANK[h.level])
    level = ordered[0].level if ordered else "ok"
    return Health(level, tuple(reason for part in ordered for reason in part.reasons))


def date_health(state: str, starts_on: date, ends_on: date, today: date) -> tuple[str, str, int]:
    """What the dates alone say: (level, word, days).

    Words: `overdue` (days past the planned end), `late_start` (days past the planned start, still a draft), `ends_soon` (days left),
    `paused`, `fine`.
    """
    if state in ("completed", "closed", "cancelled"):
        return "ok", "fine", 0
    if state == "paused":
        return "warn", "paused", 0
    if ends_on < today:
        return "risk", "overdue", (today - ends_on).days
    if state == "draft":
        return ("warn", "late_start", (today - starts_on).days) if starts_on < today else ("ok", "fine", 0)
    if ends_on - today <= SOON:
        return "warn", "ends_soon", (ends_on - today).days
    return "ok", "fine", 0


def elapsed(starts_on: date, ends_on: date, today: date) -> int:
    """Percentage of the planned time that is over, 0 to 100."""
    whole = (ends_on - starts_on).days + 1
    return max(0, min(100, round(100 * ((today - starts_on).days + 1) / whole)))
