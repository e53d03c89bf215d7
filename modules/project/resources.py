"""Projects and their teams over REST."""

from modules.project.models import Domain, Project, ProjectMember, ProjectRole, ProjectStateChange
from portal.web.resource import Resource


class ProjectResource(Resource, model=Project):
    """Projects the caller may see."""

    resource_name = "projects"
    add_columns = ("name", "domain", "pm", "customer_name", "starts_on", "ends_on", "planned_hours", "summary")
    edit_columns = ("name", "customer_name", "starts_on", "ends_on", "planned_hours", "summary")
    search_columns = ("number", "name", "customer_name")
    order = ("starts_on", "desc")


class ProjectMemberResource(Resource, model=ProjectMember):
    """Members of teams by period; `leave-team` ends a membership."""

    resource_name = "project-members"
    edit_columns = ("role", "from_day", "to_day", "planned_hours")
    order = ("from_day", "desc")


class DomainResource(Resource, model=Domain):
    """Business domains."""

    resource_name = "project-domains"
    order = ("code", "asc")


class ProjectRoleResource(Resource, model=ProjectRole):
    """Roles people can have on a project."""

    resource_name = "project-roles"
    order = ("code", "asc")


class ProjectStateChangeResource(Resource, model=ProjectStateChange):
    """The days on which projects changed their state."""

    resource_name = "project-state-changes"
    verbs = ("view", "export")
