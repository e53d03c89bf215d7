"""Modules and what they register with the layers below them: contexts, scopes, assignees."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_modules: dict[str, "Module"] = {}


@dataclass(frozen=True)
class Module:
    """A unit of the product. *depends* names the modules it may import and nothing else (a test compares)."""

    name: str
    depends: tuple[str, ...] = ()
    label: Any = ""
    group: str = ""
    order: int = 100

    def __post_init__(self) -> None:
        _modules[self.name] = self


def all_modules() -> list[Module]:
    """Every registered module, those others depend on first."""
    done: list[Module] = []

    def visit(m: Module) -> None:
        for d in m.depends:
            if d in _modules:
                visit(_modules[d])
        if m not in done:
            done.append(m)

    for m in sorted(_modules.values(), key=lambda m: (m.order, m.name)):
        visit(m)
    return done


def module_of(cls: type) -> str:
    """`modules.hr.models` → `hr`, `portal.notify.warnings` → `notify`, `security.audit` → `security`."""
    parts = cls.__module__.split(".")
    return parts[1] if parts[0] in ("modules", "portal") and len(parts) > 1 else parts[0]


# ------------------------------------------------------------------ viewer contexts (axis ids of the person at hand)
contexts: dict[str, Callable[[], str]] = {}


@dataclass(frozen=True)
class Lent:
    """A context whose ids somebody may let a deputy see by. *axis*: projects or people; *people*: the ids are user ids."""

    axis: str
    people: bool = False


lent: dict[str, Lent] = {}


def context(name: str, lend: str = "", people: bool = False) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Registers the ids behind `v.has(name, column)`.

    The function returns SQL selecting one bigint column; `me` (bigint) and `today` (company date) are variables in it. It is
    assembled into the definer function `app_context` at migration, which reads as the tables' owner.

    *lend*: what of it passes to a deputy, for seeing only (VIS-11): with `projects` or with `people`; without it nothing ever does.
    *people*: the ids are user ids, of which the own one never passes on.
    """

    def register(f: Callable[[], str]) -> Callable[[], str]:
        contexts[name] = f
        if lend:
            lent[name] = Lent(lend, people)
        return f

    return register


@dataclass(frozen=True)
class Memberships:
    """Why ids are in a context. *of*: what the ids are, in words; *words*: text per `via` over what the row names."""

    of: Any
    sql: Callable[[], str]
    words: Mapping[str, Any]


memberships: dict[str, Memberships] = {}


def explains(name: str, of: Any, **words: Any) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Registers why somebody has the ids of context *name*, for everybody at once (VIS-10).

    The function returns SQL over `:today` selecting `person, id, via, named, from_day, to_day, source, source_id, counts`: *via* is one
    of *words*, whose text *named* (jsonb) fills; *source, source_id* name the row that makes the membership; *counts* says whether it
    holds today. Those that count give exactly the context's ids (a test compares); the others tell why somebody does not see any more.
    """

    def register(f: Callable[[], str]) -> Callable[[], str]:
        memberships[name] = Memberships(of, f, words)
        return f

    return register


# ------------------------------------------------------------------ scopes (what a role adds)
@dataclass(frozen=True)
class Scope:
    """A functional scope roles carry. *wide*: holders see every row of the models that list it in `wide`."""

    name: str
    label: Any
    wide: bool = False
    help: Any = ""


scopes: dict[str, Scope] = {}


def scope(name: str, label: Any, wide: bool = False, help: Any = "") -> Scope:  # noqa: A002
    """Declares a functional scope (VIS-04)."""
    scopes[name] = Scope(name, label, wide, help)
    return scopes[name]


# ------------------------------------------------------------------ assignees (people found by a rule)
@dataclass(frozen=True)
class Assignee:
    """A named way to find people, used by workflow and notices."""

    name: str
    label: Any
    find: Callable[..., list[int]] = field(compare=False)


assignees: dict[str, Assignee] = {}


def assignee(name: str, label: Any = "") -> Callable[[Callable[..., list[int]]], Callable[..., list[int]]]:
    """Registers a function giving user ids under *name*, e.g. `department_head`."""

    def register(f: Callable[..., list[int]]) -> Callable[..., list[int]]:
        assignees[name] = Assignee(name, label or name, f)
        return f

    return register
