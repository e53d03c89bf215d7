"""What happens below and concerns administrators."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import text

from portal.kernel import people
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.events import on
from portal.kernel.handover import kinds
from portal.kernel.i18n import _, _l, listed
from portal.notify.notices import Message, notice_kind, notify
from portal.web import rolestore, words
from portal.web.rolestore import OwnAccessWidened
from security.accounts import AccountLinked, RolesGained, on_unlinked_login
from security.delegation import Delegation, DelegationEnded, DelegationGiven
from security.emergency import Event, on_emergency
from security.handover import HandedOver
from security.verification import AuditBroken

notice_kind(
    "security.unlinked_login",
    label=_l("Sign-in with no employee behind it"),
    title=_l("%(username)s signed in, but no employee is behind the account"),
    body=_l("Name: %(name)s. Mail: %(email)s. Employee number: %(employee_number)s. Account: %(subject)s."),
    tone="warn",
)

notice_kind(
    "security.own_access",
    label=_l("Somebody widened the own access"),
    title=_l("%(name)s widened the own access: role “%(role)s”"),
    body=_l("Added: %(added)s. The record of role changes has the details."),
    tone="risk",
)

notice_kind(
    "security.history_altered",
    label=_l("The history was altered"),
    title=_l("The history was altered; problems found: %(problems)s"),
    body=_l("The first: place %(seq)s, entry %(entry)s. Keep the database as it is and compare with a backup."),
    tone="risk",
)
notice_kind(
    "security.emergency_opened",
    label=_l("Emergency access opened"),
    title=_l("The emergency access was opened on the server by %(operator)s"),
    body=_l("Until %(until)s. It is the account of a system administrator; every sign-in with it is told to you."),
    url="/sign-ins/?f.way=emergency",
    tone="risk",
)
notice_kind(
    "security.emergency_ok",
    label=_l("Emergency access used"),
    title=_l("Somebody signed in with the emergency access"),
    body=_l("From the address %(address)s. It was opened on the server by %(operator)s and ends at %(until)s."),
    url="/sign-ins/?f.way=emergency",
    tone="risk",
)
notice_kind(
    "security.emergency_closed",
    label=_l("Emergency access closed"),
    title=_l("The emergency access is closed"),
    body=_l("It had been opened on the server by %(operator)s."),
    url="/sign-ins/?f.way=emergency",
    tone="info",
)

notice_kind(
    "security.account_linked",
    label=_l("Sign-in account of somebody with wide access linked"),
    title=_l("A sign-in account was linked to %(name)s for the first time"),
    body=_l("Roles: %(roles)s. Whoever sets employee numbers at the sign-in service can link accounts: ask %(name)s whether it was them."),
    url="/sign-ins/?f.user_id=%(id)s",
    tone="warn",
)

notice_kind(
    "security.account_linked_by",
    label=_l("Sign-in account linked by an administrator"),
    title=_l("%(by)s linked the sign-in account %(account)s to %(name)s"),
    body=_l("Whoever signs in with it is %(name)s here. Ask %(name)s whether it is theirs."),
    url="/sign-ins/?f.user_id=%(id)s",
    tone="warn",
)
notice_kind(
    "security.account_linked_to_you",
    label=_l("Sign-in account linked to you"),
    title=_l("The sign-in account %(account)s is yours from now on"),
    body=_l("Linked by %(by)s. Whoever signs in with it is you here: if it is not yours, tell a security administrator at once."),
    url="/my-account/",
    tone="warn",
)

_WATCHERS = text(
    """select distinct x.user_id from ab_user_role x join ab_role r on r.id = x.role_id
       where r.name in ('leader', 'security_admin') order by x.user_id"""
)
_LEADERS = text(
    """select x.user_id from ab_user_role x join ab_role r on r.id = x.role_id
       where r.name = 'leader' and x.user_id <> :by order by x.user_id"""
)
_SCOPED = text(
    """select distinct r.name, s.scope in ('system', 'security', 'explain') as watches
         from ab_user_role x join ab_role r on r.id = x.role_id
         join security_role_scope s on s.role_id = r.id where x.user_id = :id order by r.name"""
)
_ADMINISTRATORS = text(
    """select distinct x.user_id from ab_user_role x join ab_role r on r.id = x.role_id
       where r.name in ('hr', 'system_admin') order by x.user_id"""
)


_OVERSEERS = text(
    """select distinct x.user_id from ab_user_role x join ab_role r on r.id = x.role_id
       where r.name in ('hr', 'leader') and x.user_id <> :by order by x.user_id"""
)
_GUARDIANS = text(
    """select distinct x.user_id from ab_user_role x join ab_role r on r.id = x.role_id
       where r.name in ('auditor', 'leader', 'system_admin') order by x.user_id"""
)


@on_unlinked_login
def tell_administrators(account: dict[str, Any]) -> None:
    """People administration and system administrators hear of it, once a day per account."""
    day: date = today()
    params = {name: value or "–" for name, value in account.items()}
    key = f"security.unlinked_login:{account['subject']}:{day}"
    notify(session().scalars(_ADMINISTRATORS), "security.unlinked_login", params=params, key=key)


@on_emergency
def tell_of_emergency(event: Event, told: dict[str, Any]) -> None:
    """Leaders and security administrators hear of every opening, use and closing (POR-13)."""
    until = words.moment(datetime.fromisoformat(told["until"]))
    watchers = session().scalars(_WATCHERS).all()
    params = {name: str(value) for name, value in told.items()} | {"until": until}
    notify(watchers, f"security.emergency_{event}", params=params, key=f"security.emergency:{uuid.uuid4().hex}")


@on(OwnAccessWidened)
def tell_leaders(event: OwnAccessWidened) -> None:
    """Whoever administers access and gives some to themself is seen doing it (VIS-05)."""
    params = {"name": _name(event.by), "role": event.role, "added": ", ".join(event.added[:10]) or event.role}
    leaders = session().scalars(_LEADERS, {"by": event.by}).all()
    notify(leaders, "security.own_access", params=params, key=f"security.own_access:{uuid.uuid4().hex}")


@on(RolesGained)
def note_gained(event: RolesGained) -> None:
    """What Keycloak gives is in the record of role changes; leaders hear of it when it is somebody who administers access (VIS-05)."""
    username = session().scalar(text("select username from ab_user where id = :id"), {"id": event.user_id})
    rolestore.keep((key, "given", f"{username} (Keycloak)") for key in event.roles)
    if any(watches for _name, watches in session().execute(_SCOPED, {"id": event.user_id})):
        for key in event.roles:
            tell_leaders(OwnAccessWidened(event.user_id, key, []))


def _name(user_id: int) -> str:
    return session().scalar(text("select last_name || first_name from ab_user where id = :id"), {"id": user_id}) or ""


@on(AccountLinked)
def tell_of_linking(event: AccountLinked) -> None:
    """No account comes to somebody unseen: not by an administrator, and one with wide access not by its number either (VIS-05)."""
    key = f"security.account_linked:{event.user_id}:{event.subject}"
    if event.by is not None:
        linked = {"name": _name(event.user_id), "by": _name(event.by), "account": event.username, "id": event.user_id}
        watchers = set(session().scalars(_WATCHERS)) - {event.by, event.user_id}
        notify(watchers, "security.account_linked_by", params=linked, key=key)
        notify([event.user_id], "security.account_linked_to_you", params=linked, key=key)
        return
    roles = sorted({name for name, _watches in session().execute(_SCOPED, {"id": event.user_id})})
    if roles:
        params = {"name": _name(event.user_id), "roles": ", ".join(roles), "id": event.user_id}
        notify(session().scalars(_WATCHERS).all(), "security.account_linked", params=params, key=key)


@on(AuditBroken)
def tell_guardians(event: AuditBroken) -> None:
    """Whoever could have done it is not the only one to hear of it; once a day, however often it is verified (VIS-13)."""
    params = {name: "–" if value is None else str(value) for name, value in vars(event).items()}
    notify(session().scalars(_GUARDIANS).all(), "security.history_altered", params=params, key=f"security.history_altered:{today()}")


# ------------------------------------------------------------------ deputies
notice_kind(
    "security.delegation_given",
    label=_l("Deputy named"),
    title=_l("From %(from_day)s until %(to_day)s (not included) %(deputy)s sees for %(giver)s"),
    body=_l("Entered by %(by)s. Reason: %(reason)s"),
    url="/delegations/%(id)s",
)
notice_kind(
    "security.delegation_for_absent",
    label=_l("An administrator named a deputy for somebody"),
    title=_l("%(by)s made %(deputy)s the deputy of %(giver)s, from %(from_day)s until %(to_day)s (not included)"),
    body=_l("Reason: %(reason)s"),
    tone="warn",
)
notice_kind(
    "security.delegation_ended",
    label=_l("Deputy's time ended early"),
    title=_l("%(deputy)s no longer sees for %(giver)s"),
    body=_l("Ended by %(by)s. %(reason)s"),
    url="/delegations/%(id)s",
)


@on(DelegationGiven)
def tell_deputy(event: DelegationGiven) -> None:
    """Both hear of it. When an administrator entered it, those who answer for the absent person do too, else the company's leaders."""
    params = _deputies(event)
    notify([event.giver_id, event.deputy_id], "security.delegation_given", None, params, key=f"security.delegation_given:{event.id}")
    if event.by != event.giver_id:
        own = {event.by, event.deputy_id, event.giver_id}
        above = [u for u in people.heads_of(event.giver_id) if u not in own]
        above = above or [u for u in session().scalars(_LEADERS, {"by": event.by}) if u not in own]
        notify(above, "security.delegation_for_absent", None, params, key=f"security.delegation_for_absent:{event.id}")


@on(DelegationEnded)
def tell_ended(event: DelegationEnded) -> None:
    """Both hear that it is over before its time."""
    params = _deputies(event)
    notify([event.giver_id, event.deputy_id], "security.delegation_ended", None, params, key=f"security.delegation_ended:{event.id}")


def _deputies(event: DelegationGiven | DelegationEnded) -> dict[str, Any]:
    row = session().get_one(Delegation, event.id)
    whole = text("select id, last_name || first_name from ab_user where id = any(:ids)")
    names = dict(session().execute(whole, {"ids": [event.giver_id, event.deputy_id, event.by or 0]}).tuples().all())
    reason = row.reason if isinstance(event, DelegationGiven) else row.end_reason if event.by is not None else None
    return {
        "giver": names.get(event.giver_id, ""),
        "deputy": names.get(event.deputy_id, ""),
        "by": names.get(event.by or 0, "–"),
        "from_day": row.from_day.isoformat(),
        "to_day": row.to_day.isoformat(),
        "reason": reason or "",
        "id": event.id,
    }


# ------------------------------------------------------------------ handing over
@notice_kind("security.handed_over", title=_l("Work handed over"))
def _handed_over(_record: Any, person: str, by: str, parts: list[list[Any]], day: str, reason: str) -> Message:
    lines = [f"{kinds[key].label if key in kinds else key}: {count} → {receiver}" for key, count, receiver in parts]
    title = _("%(by)s handed over work of %(person)s", by=by, person=person)
    body = _("%(what)s. What has a day changes hands on %(day)s. Reason: %(reason)s", what=listed(lines), day=day, reason=reason)
    return Message(title, body)


@on(HandedOver)
def tell_handed_over(event: HandedOver) -> None:
    """Both sides, those who head them, leaders and all of HR hear how much of what went where; which records, they see where they may."""
    each = {event.person_id, *event.receivers.values()}
    told = {*each, *(h for one in each for h in people.heads_of(one)), *session().scalars(_OVERSEERS, {"by": event.by})}
    whole = text("select id, last_name || first_name from ab_user where id = any(:ids)")
    names = dict(session().execute(whole, {"ids": [*each, event.by]}).tuples().all())
    parts = [[key, event.counts[key], names.get(to, "")] for key, to in event.receivers.items()]
    notify(
        sorted(told),
        "security.handed_over",
        params={
            "person": names.get(event.person_id, ""),
            "by": names.get(event.by, ""),
            "parts": parts,
            "day": event.day.isoformat(),
            "reason": event.reason,
        },
    )
