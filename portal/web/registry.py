"""Which screens, resources, endpoints and pages there are: filled when the classes are declared, read when the application is made."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portal.web.page import Page
    from portal.web.resource import Endpoints, Resource
    from portal.web.screen import Screen

screens: dict[type[Any], "type[Screen]"] = {}
resources: dict[str, "type[Resource]"] = {}
endpoints: dict[str, "type[Endpoints]"] = {}
pages: dict[str, "type[Page]"] = {}
_person_page = ""


def person_page(address: str) -> None:
    """Declares where a person's record is: *address* with `{id}` for the `ab_user.id`; a module keeps people, this layer does not."""
    global _person_page
    _person_page = address


def person_url(user_id: int) -> str | None:
    """Address of the record of a person; None when no module keeps people. No statement, no check."""
    return _person_page.format(id=user_id) or None


def resource_of(model: type[Any]) -> "type[Resource] | None":
    """The resource over *model*, if any."""
    return next((r for r in resources.values() if r.model is model), None)


def url_of(model: type[Any], pk: Any) -> str | None:
    """Address of the page of record *pk*; None when the model has no screen. No statement, no check."""
    screen = screens.get(model)
    return f"{screen.route_base}/{pk}" if screen is not None and screen.has_record_page and pk is not None else None
