"""REST: the catalogue, its categories, and who opened what."""

from portal.applications.models import Application, Category, Launch
from portal.applications.screens import Applications, client_states
from portal.kernel.i18n import _l
from portal.web.declared import Computed
from portal.web.resource import Resource


class ApplicationResource(Resource, model=Application):
    """The applications the caller finds; for administrators the whole catalogue."""

    resource_name = "applications"
    computed = {"client_state": Computed(_l("Client in Keycloak"), "text", client_states)}
    add_columns = edit_columns = Applications.edit_columns
    search_columns = Applications.search_columns
    order = ("position", "asc")


class CategoryResource(Resource, model=Category):
    """Headings of the launcher."""

    resource_name = "application-categories"
    order = ("position", "asc")


class LaunchResource(Resource, model=Launch):
    """The caller's openings; for auditors everybody's."""

    resource_name = "application-launches"
    verbs = ("view", "export")
    order = ("at", "desc")
