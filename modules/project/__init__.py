"""Projects: the header, the team and its roles, and the state that says whether work counts."""

from portal.kernel.i18n import _l
from portal.kernel.module import Module, context, explains, scope

module = Module("project", depends=("hr",), label=_l("Projects"), group="Projects")

scope("projects", label=_l("Sees all projects"), wide=True)
scope("projects_admin", label=_l("Creates projects and domains, appoints project managers"), wide=True)

_MANAGED = """
select p.id from project_project p where p.pm_id = me
union
select p.id from project_project p join project_domain d on d.id = p.domain_id where d.manager_id = me"""


@context("managed_domains", lend="projects")
def managed_domains() -> str:
    """Ids of the business domains *me* manages."""
    return "select d.id from project_domain d where d.manager_id = me and d.archived_at is null"


@context("managed_projects", lend="projects")
def managed_projects() -> str:
    """Ids of the projects *me* answers for, as project manager or through the domain."""
    return _MANAGED


@context("projects", lend="projects")
def projects() -> str:
    """Ids of the projects *me* may see: the managed ones and those where a role held today grants it."""
    return f"""{_MANAGED}
union
select m.project_id from project_member m join project_role r on r.id = m.role_id
 where m.user_id = me and r.grants_view and m.archived_at is null and m.from_day <= today and (m.to_day is null or m.to_day > today)"""  # noqa: S608 - constant text


_NONE = "null::date as from_day, null::date as to_day"
_MANAGERS = f"""
select p.pm_id as person, p.id, 'manager' as via, jsonb_build_object('project', coalesce(p.number, '#' || p.id)) as named, {_NONE},
       'project_project' as source, p.id as source_id, true as counts from project_project p
union all
select d.manager_id, p.id, 'domain', jsonb_build_object('domain', d.name), {_NONE}, 'project_domain', d.id, true
  from project_project p join project_domain d on d.id = p.domain_id where d.manager_id is not null"""  # noqa: S608 - constant text
_DOMAIN = _l("Manager of the business domain %(domain)s")
_MANAGER = _l("Project manager of %(project)s")


@explains("managed_domains", _l("business domains one manages"), domain=_DOMAIN)
def why_managed_domains() -> str:
    """The manager a domain names."""
    return f"""select d.manager_id as person, d.id, 'domain' as via, jsonb_build_object('domain', d.name) as named, {_NONE},
       'project_domain' as source, d.id as source_id, d.archived_at is null as counts
  from project_domain d where d.manager_id is not null"""  # noqa: S608 - constant text


@explains("managed_projects", _l("projects one answers for"), manager=_MANAGER, domain=_DOMAIN)
def why_managed_projects() -> str:
    """The project manager, and the manager of the domain."""
    return _MANAGERS


@explains(
    "projects",
    _l("projects one may see"),
    manager=_MANAGER,
    domain=_DOMAIN,
    member=_l("%(role)s on the team of %(project)s"),
    closed=_l("%(role)s on the team of %(project)s, a role that does not open the project"),
)
def why_projects() -> str:
    """Who manages the project, and the places on its team, past and coming ones too."""
    return f"""{_MANAGERS}
union all
select m.user_id, m.project_id, case when r.grants_view then 'member' else 'closed' end,
       jsonb_build_object('role', r.name, 'project', coalesce(p.number, '#' || p.id)), m.from_day, m.to_day, 'project_member', m.id,
       r.grants_view and m.from_day <= :today and (m.to_day is null or m.to_day > :today)
  from project_member m join project_role r on r.id = m.role_id join project_project p on p.id = m.project_id
 where m.archived_at is null"""  # noqa: S608 - constant text
