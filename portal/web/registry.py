"""Which screens, resources and pages there are: filled when the classes are declared, read when the application is made."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portal.web.page import Page
    from portal.web.resource import Resource
    from portal.web.screen import Screen

screens: dict[type[Any], "type[Screen]"] = {}
resources: dict[str, "type[Resource]"] = {}
pages: dict[str, "type[Page]"] = {}


def resource_of(model: type[Any]) -> "type[Resource] | None":
    """The resource over *model*, if any."""
    return next((r for r in resources.values() if r.model is model), None)


def url_of(model: type[Any], pk: Any) -> str | None:
    """Address of the page of record *pk*; None when the model has no screen. No statement, no check."""
    screen = screens.get(model)
    return f"{screen.route_base}/{pk}" if screen is not None and screen.has_record_page and pk is not None else None
