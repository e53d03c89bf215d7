"""The catalogue of the company's other applications: who finds which of them in the portal, and the way into them (POR-08).

An application signs people in at the same Keycloak by a client of its own, so a tile is a plain link: whoever is signed in here is
signed in there without a second password.
"""

from portal.kernel.i18n import _l
from portal.kernel.module import Module, context, explains

module = Module("applications", depends=(), label=_l("Applications"), group="Work", order=0)


@context("own_applications")
def own_applications() -> str:
    """Ids of the applications that name one of the roles of *me*; the catalogue is short."""
    return """select a.id from applications_application a where exists (select from ab_user_role x join ab_role r on r.id = x.role_id
       where x.user_id = me and r.name = any(a.roles))"""


@explains("own_applications", _l("applications that name one of one's roles"), role=_l("Role %(role)s"))
def why_own_applications() -> str:
    """The role a person has and the application names."""
    return """select x.user_id as person, a.id, 'role' as via, jsonb_build_object('role', coalesce(i.label, to_jsonb(r.name))) as named,
       null::date as from_day, null::date as to_day, 'ab_user_role' as source, x.id as source_id, true as counts
  from applications_application a join ab_role r on r.name = any(a.roles) join ab_user_role x on x.role_id = r.id
       left join security_role i on i.role_id = r.id"""
