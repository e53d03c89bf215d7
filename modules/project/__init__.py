"""Projects: the header, the team and its roles, and the state that says whether work counts."""

from portal.kernel.i18n import _l
from portal.kernel.module import Module, context, scope

module = Module("project", depends=("hr",), label=_l("Projects"), group="Projects")

scope("projects", label=_l("Sees all projects"), wide=True)
scope("projects_admin", label=_l("Creates projects and domains, appoints project managers"), wide=True)

_MANAGED = """
select p.id from project_project p where p.pm_id = me
union
select p.id from project_project p join project_domain d on d.id = p.domain_id where d.manager_id = me"""


@context("managed_domains")
def managed_domains() -> str:
    """Ids of the business domains *me* manages."""
    return "select d.id from project_domain d where d.manager_id = me and d.archived_at is null"


@context("managed_projects")
def managed_projects() -> str:
    """Ids of the projects *me* answers for, as project manager or through the domain."""
    return _MANAGED


@context("projects")
def projects() -> str:
    """Ids of the projects *me* may see: the managed ones and those where a role held today grants it."""
    return f"""{_MANAGED}
union
select m.project_id from project_member m join project_role r on r.id = m.role_id
 where m.user_id = me and r.grants_view and m.archived_at is null and m.from_day <= today and (m.to_day is null or m.to_day > today)"""  # noqa: S608 - constant text
