"""What a person answers for and somebody else can take over: declared by the modules, one kind per column (VIS-11).

Every column that names a person is declared here or said to stay (a test lists them all), so a new module has to answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

Conditions = Callable[[Any, Sequence[int], date], Sequence[Any]]
Give = Callable[[Any, int, date], None]


@dataclass(frozen=True)
class Kind:
    """Something people answer for.

    *open*: SQL conditions over the model, the people and the day from which somebody else answers, for what is still theirs.
    *give*: hands one locked record to a person from a day; may raise Refusal or Invalid. None: it follows another kind by itself.
    *dated*: it changes hands on the day; else at once. *names*: how a record is called for those who see it.
    """

    key: str
    model: type[Any]
    column: str
    label: Any
    open: Conditions
    give: Give | None = None
    dated: bool = False
    follows: Any = ""
    order: int = 100
    names: Callable[[Any], str] | None = None


Objection = Callable[[int, Any], Any]

kinds: dict[str, Kind] = {}
_objections: list[Objection] = []
stays: dict[tuple[str, str], str] = {}
"""Table and column of the persons nobody takes over from, with the reason."""


def handover(
    key: str,
    model: type[Any],
    column: str,
    label: Any,
    *,
    open: Conditions,  # noqa: A002
    dated: bool = False,
    order: int = 100,
    names: Callable[[Any], str] | None = None,
) -> Callable[[Give], Give]:
    """Declares the decorated function as the way to hand over the records of *model* whose *column* names a person."""

    def register(f: Give) -> Give:
        kinds[key] = Kind(key, model, column, label, open, f, dated, "", order, names)
        return f

    return register


def follows(key: str, model: type[Any], column: str, label: Any, what: Any, *, open: Conditions, order: int = 100) -> None:  # noqa: A002
    """Declares open work that changes hands with another kind; the preview counts it. *what* says with which."""
    kinds[key] = Kind(key, model, column, label, open, None, False, what, order)


def stay(table: str, reason: str, *columns: str) -> None:
    """Declares person columns of *table* that are never handed over, and why."""
    stays.update({(table, column): reason for column in columns})


def objection(f: Objection) -> Objection:
    """Registers a rule about whose work may be handed over: words why the viewer (a `security.visibility.Context`) may not, or None.

    It reads as the system, so its words must not tell what the viewer may not know.
    """
    _objections.append(f)
    return f


def why_not(user_id: int, viewer: Any) -> str | None:
    """Why *viewer* may not hand over the work of *user_id*; None when nothing is said against it. Reads as the system or in an action."""
    return next((str(words) for words in (f(user_id, viewer) for f in _objections) if words), None)


def in_order() -> list[Kind]:
    """Every kind as people read them."""
    return sorted(kinds.values(), key=lambda k: (k.order, k.key))


def giving() -> Mapping[str, Kind]:
    """The kinds one chooses a receiver for."""
    return {k.key: k for k in in_order() if k.give is not None}
