"""Roles: what each may do by default, and the scopes it carries. Who has a role is Keycloak's word; what a role may do is the portal's.

Project manager, domain manager, department head and member are data, never roles.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from flask_appbuilder.security.sqla.models import Role
from sqlalchemy import BigInteger, Boolean, Connection, DateTime, ForeignKey, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import Base, Label, session
from portal.kernel.i18n import _l
from portal.kernel.module import scope


class RoleInfo(Base):
    """What the portal keeps about a role beside Flask-AppBuilder's row: names, purpose, whether it came with the product."""

    __tablename__ = "security_role"
    __table_args__ = {"info": {"grants": {"app": "select"}}}

    role_id: Mapped[int] = mapped_column(ForeignKey(Role.id, ondelete="CASCADE"), primary_key=True)
    label: Mapped[Label]
    description: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    built_in: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))


class RoleScope(Base):
    """A functional scope a role carries (VIS-04)."""

    __tablename__ = "security_role_scope"
    __table_args__ = {"info": {"grants": {"app": "select"}}}

    role_id: Mapped[int] = mapped_column(ForeignKey(Role.id, ondelete="CASCADE"), primary_key=True)
    scope: Mapped[str] = mapped_column(Text, primary_key=True)


class KnownPermission(Base):
    """Permissions whose defaults were given once: what an administrator takes away afterwards stays away."""

    __tablename__ = "security_known_permission"

    verb: Mapped[str] = mapped_column(Text, primary_key=True)
    view: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[Any] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Epoch(Base):
    """Grows with every change of roles or permissions; all processes notice with their next transaction (VIS-12)."""

    __tablename__ = "security_epoch"

    n: Mapped[int] = mapped_column(BigInteger, primary_key=True)


@dataclass(frozen=True)
class BuiltInRole:
    """A role that comes with the product. *grants*: `verbs:Module.Model` patterns; *scopes*: functional scopes."""

    key: str
    zh: str
    en: str
    grants: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


# who sees what, and why, is asked by those who watch, not by those who give access (VIS-05)
ADMINISTRATION = (
    "*:security.*",
    "!*:security.Visibility",
    "!*:security.AuditLog",  # the trail of business records is business data
    "!*:security.SensitiveRead",
    "!*:security.Erasure",  # decided on by those who look after personal data
    "!*:security.LegalHold",
    "*:kernel.*",
    "view,add,edit,archive:web.Announcement",
    "*:notify.WarningRule",
    "*:notify.OutboxEntry",
    "*:applications.*",
)

scope("security", _l("Reads sign-ins and open sessions"), help=_l("Everybody's sign-ins, refused ones too, and who is signed in now."))
scope("system", _l("Administers the system"), help=_l("Accounts, roles and configuration; no business data."))

# everybody's own work; which rows, the visibility rules say
EMPLOYEE = (
    "view:hr.*",
    "!view:hr.GradeRate",
    "add,edit,archive,submit,cancel,approve,reject:hr.Leave",
    "change_contact:hr.Employee",
    "*:project.*",
    "*:dailyreport.*",
    "view,acknowledge,assign,snooze,reopen,close:notify.Warning*",
    "*:notify.Notice",
    "*:notify.Preference*",
    "view:notify.*",
    "!view:notify.WarningRule",
    "!view:notify.OutboxEntry",
    "!view:notify.Delivery",
    "view:web.*",
    "view:applications.*",
    "view:kernel.LegalEntity",
    "view:kernel.WorkingDay",
    "view:security.SignIn",
    "view,add,end:security.Delegation",
    "view,add,withdraw:security.Erasure",
)

OPENINGS = "view,export:applications.Launch"

BUILT_IN = (
    BuiltInRole("employee", "员工", "Employee", EMPLOYEE),
    BuiltInRole(
        "leader",
        "公司领导",
        "Company leader",
        (
            "*:project.*",
            "view:web.*",
            "view,approve,reject:lowcode.ImportRun",
            "view,export,approve,reject,cancel:hr.EmployeeEvent",
            "view,export,approve,reject,cancel:hr.Merger",
        ),
        ("projects", "projects_admin", "staff_approval"),
    ),
    BuiltInRole(
        "hr",
        "人力资源",
        "Human resources",
        (
            "*:hr.*",
            "*:kernel.WorkingDay",
            "*:web.Announcement",
            "*:security.Handover",
            "*:lowcode.ImportRun",
            "view,export:security.LegalHold",
        ),
        ("staff", "staff_admin", "staff_approval", "rates", "personal_data"),
    ),
    BuiltInRole("qa", "质量保证", "Quality assurance", (), ("projects",)),
    BuiltInRole("finance", "财务", "Finance", ("view:hr.GradeRate",), ("rates",)),
    BuiltInRole("sales", "销售", "Sales"),
    BuiltInRole("sales_manager", "销售经理", "Sales manager"),
    BuiltInRole("buyer", "采购", "Buyer"),
    BuiltInRole("legal", "法务", "Legal", ("view,add,lift,export:security.LegalHold",), ("personal_data",)),
    BuiltInRole("service", "服务", "Service"),
    BuiltInRole("archivist", "档案管理", "Archivist"),
    BuiltInRole("system_admin", "系统管理员", "System administrator", ADMINISTRATION, ("security", "system")),
    BuiltInRole(
        "security_admin",
        "安全管理员",
        "Security administrator",
        (
            "*:security.*",
            "!*:security.AuditLog",
            "!*:security.SensitiveRead",
            "!*:security.Handover",
            "!add,lift:security.LegalHold",  # who approves an erasure does not clear the way for it
            OPENINGS,
        ),
        ("explain", "security", "personal_data"),
    ),
    BuiltInRole(
        "auditor",
        "审计员",
        "Auditor",
        ("view,export:security.*", "!*:security.Handover", "verify:security.AuditLog", OPENINGS),
        ("explain", "security", "personal_data"),
    ),
)


def matches(grants: tuple[str, ...], verb: str, view: str) -> bool:
    """Whether a list of `verbs:view` patterns grants *verb* on *view*; a pattern with `!` takes away again."""
    granted = False
    for pattern in grants:
        verbs, _, views = pattern.lstrip("!").partition(":")
        if fnmatchcase(view, views) and any(fnmatchcase(verb, v) for v in verbs.split(",")):
            granted = not pattern.startswith("!")
    return granted


def bump(conn: Any) -> None:
    """Tells every process that roles or permissions changed. *conn*: a session or connection that may write."""
    conn.execute(text("update security_epoch set n = n + 1"))


def grant(conn: Any, user_id: int, key: str) -> None:
    """Gives *user_id* the role *key* here and now (idempotent). *conn*: a session or connection that may write."""
    grant_many(conn, [user_id], key)


def grant_many(conn: Any, user_ids: list[int], key: str) -> None:
    """The same for many."""
    conn.execute(
        text("""insert into ab_user_role (id, user_id, role_id)
                select nextval('ab_user_role_id_seq'), u, r.id from unnest(cast(:u as bigint[])) u, ab_role r where r.name = :k
                on conflict (user_id, role_id) do nothing"""),
        {"u": user_ids, "k": key},
    )
    bump(conn)


def revoke(conn: Any, user_id: int, key: str) -> None:
    """Takes the role *key* from *user_id*."""
    conn.execute(
        text("delete from ab_user_role where user_id = :u and role_id = (select id from ab_role where name = :k)"), {"u": user_id, "k": key}
    )
    bump(conn)


def people_who(verb: str, view: str, scope: str) -> list[int]:
    """User ids of the people whose roles include *verb* on *view* and carry *scope*; closed accounts are none."""
    rows = session().execute(
        text("""select u.id from ab_user u where u.active
                   and exists (select from ab_user_role h join security_role_scope s on s.role_id = h.role_id
                                where h.user_id = u.id and s.scope = :scope)
                   and exists (select from ab_user_role h join ab_permission_view_role r on r.role_id = h.role_id
                                 join ab_permission_view x on x.id = r.permission_view_id
                                 join ab_permission p on p.id = x.permission_id join ab_view_menu v on v.id = x.view_menu_id
                                where h.user_id = u.id and p.name = :verb and v.name = :view)
                 order by u.id"""),
        {"scope": scope, "verb": f"can_{verb}", "view": view},
    )
    return [int(r[0]) for r in rows]


def sync(conn: Connection, permissions: set[tuple[str, str]]) -> None:
    """Makes the built-in roles and the permissions (verb, view) of all screens and resources exist.

    Defaults are given once per permission; permissions nothing declares any more are removed. As the tables' owner, when migrating.
    """
    fresh = set()
    for r in BUILT_IN:
        role = conn.execute(text("select id from ab_role where name = :k"), {"k": r.key}).scalar()
        if role is None:
            role = conn.execute(
                text("insert into ab_role (id, name) values (nextval('ab_role_id_seq'), :k) returning id"), {"k": r.key}
            ).scalar_one()
            fresh.add(r.key)
            for s in r.scopes:
                conn.execute(text("insert into security_role_scope (role_id, scope) values (:r, :s)"), {"r": role, "s": s})
        conn.execute(
            text("""insert into security_role (role_id, label, built_in)
                    values (:r, jsonb_build_object('zh', cast(:zh as text), 'en', cast(:en as text)), true)
                    on conflict (role_id) do nothing"""),
            {"r": role, "zh": r.zh, "en": r.en},
        )
    known = {tuple(k) for k in conn.execute(text("select verb, view from security_known_permission"))}
    for verb, view in sorted(permissions):
        conn.execute(
            text("insert into ab_permission (id, name) values (nextval('ab_permission_id_seq'), :n) on conflict (name) do nothing"),
            {"n": f"can_{verb}"},
        )
        conn.execute(
            text("insert into ab_view_menu (id, name) values (nextval('ab_view_menu_id_seq'), :n) on conflict (name) do nothing"),
            {"n": view},
        )
        conn.execute(
            text("""insert into ab_permission_view (id, permission_id, view_menu_id)
                    select nextval('ab_permission_view_id_seq'), p.id, v.id from ab_permission p, ab_view_menu v
                     where p.name = :p and v.name = :v
                    on conflict (permission_id, view_menu_id) do nothing"""),
            {"p": f"can_{verb}", "v": view},
        )
        for r in BUILT_IN:
            if ((verb, view) not in known or r.key in fresh) and matches(r.grants, verb, view):
                conn.execute(
                    text("""insert into ab_permission_view_role (id, permission_view_id, role_id)
                            select nextval('ab_permission_view_role_id_seq'), x.id, r.id from ab_permission_view x
                              join ab_permission p on p.id = x.permission_id join ab_view_menu v on v.id = x.view_menu_id, ab_role r
                             where p.name = :p and v.name = :v and r.name = :k on conflict (permission_view_id, role_id) do nothing"""),
                    {"p": f"can_{verb}", "v": view, "k": r.key},
                )
        if (verb, view) not in known:
            conn.execute(text("insert into security_known_permission (verb, view) values (:p, :v)"), {"p": verb, "v": view})
    for verb, view in known - permissions:
        conn.execute(
            text("""delete from ab_permission_view x using ab_permission p, ab_view_menu v
                     where p.id = x.permission_id and v.id = x.view_menu_id and p.name = :p and v.name = :v"""),
            {"p": f"can_{verb}", "v": view},
        )
        conn.execute(text("delete from security_known_permission where verb = :p and view = :v"), {"p": verb, "v": view})
    bump(conn)
