"""What modules above add to a project's page and to its light, without being known here.

@project_tab("hours", _l("Hours"), order=20)
def hours(project_id: int) -> Tab: …
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modules.project.rules import Health


@dataclass(frozen=True)
class Tab:
    """Content of a tab: ready *html* (Markup), or the *url* it is fetched from when opened. *count* stands beside its title."""

    html: Any = None
    url: str | None = None
    count: Any = None


@dataclass(frozen=True)
class Figure:
    """A figure in the strip at the head of the page; *url* leads to the rows it sums."""

    label: Any
    display: str
    hint: str = ""
    tone: str = ""
    url: str = ""


TabBuilder = Callable[[int], Tab | None]
FigureBuilder = Callable[[int], Iterable[Figure]]
HealthBuilder = Callable[[list[int]], Mapping[int, Iterable[Health]]]

_tabs: dict[str, tuple[int, Any, TabBuilder]] = {}
_figures: list[FigureBuilder] = []
_health: list[HealthBuilder] = []


def project_tab(key: str, label: Any, order: int = 100) -> Callable[[TabBuilder], TabBuilder]:
    """Registers a function (project id) → Tab for the project's page, or None for readers who get none."""

    def register(f: TabBuilder) -> TabBuilder:
        _tabs[key] = (order, label, f)
        return f

    return register


def project_figures(f: FigureBuilder) -> FigureBuilder:
    """Registers a function (project id) → figures for the head of the project's page."""
    _figures.append(f)
    return f


def project_health(f: HealthBuilder) -> HealthBuilder:
    """Registers a function (project ids) → reasons by project that make the light worse; one statement for all of them."""
    _health.append(f)
    return f


def tabs(project_id: int) -> list[dict[str, Any]]:
    """The registered tabs of a project, for the record page."""
    built = []
    for key, (_order, label, f) in sorted(_tabs.items(), key=lambda item: (item[1][0], item[0])):
        tab = f(project_id)
        if tab is not None:
            built.append({"key": key, "label": str(label), "count": tab.count, "html": tab.html, "url": tab.url})
    return built


def figures(project_id: int) -> list[dict[str, Any]]:
    """The registered figures of a project, for the record page."""
    found = (figure for f in _figures for figure in f(project_id))
    return [{"label": str(x.label), "display": x.display, "hint": x.hint, "tone": x.tone, "url": x.url or None} for x in found]


def health_parts(project_ids: list[int]) -> dict[int, list[Health]]:
    """The registered reasons of several projects."""
    found: dict[int, list[Health]] = {}
    for f in _health:
        for project_id, parts in f(project_ids).items():
            found.setdefault(project_id, []).extend(parts)
    return found
