"""Warnings: raising, keeping up to date and closing them, one set-based statement per rule; what people do with them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select, text

from portal.kernel import calendar, outbox
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import session, unrestricted
from portal.kernel.errors import Invalid
from portal.kernel.handover import handover, stay
from portal.kernel.i18n import _, _l
from portal.notify import rules
from portal.notify.models import SEVERITIES, Warning_, WarningRule
from portal.notify.notices import Message, notice_kind, notify_each
from security.transitions import Argument, operation, transition

log = structlog.get_logger(__name__)
_AXES = ("project", "domain", "department")
SEVERITY_ORDER = tuple(SEVERITIES)

# jsonb_to_record lets a rule leave out the columns it has no use for
_FOUND = """
select distinct on (1) coalesce(r.key, r.record_type || ':' || r.record_id) as key, r.record_type, r.record_id,
       coalesce(r.subject, '') as subject, r.project_id, r.department_id, r.user_id, coalesce(r.severity, :w_severity) as severity,
       coalesce(r.params, '{}'::jsonb) as params,
       array(select distinct x
               from unnest(case when :w_owner then coalesce(r.receivers, '{}') else '{}' end || cast(:w_fixed as bigint[])) x
              where x is not null order by x) as receivers
  from (%(query)s) c cross join lateral jsonb_to_record(to_jsonb(c))
       as r(key text, record_type text, record_id bigint, subject text, project_id bigint, domain_id bigint, department_id bigint,
            user_id bigint, severity text, params jsonb, receivers bigint[])
 where :w_axis = 'company' or case :w_axis when 'project' then r.project_id when 'domain' then r.domain_id else r.department_id end
       = any(cast(:w_ids as bigint[]))
 order by 1, r.record_id
"""
# "not in" is a hashed sub-plan whatever the planner believes about sizes; joins and "not exists" became nested loops here
_APPLY = """
with found as materialized (%(found)s),
cleared as (
  update notify_warning w set state = 'closed', closed_at = :w_now, changed_at = :w_now, version = w.version + 1
   where w.rule_id = :w_rule and w.state <> 'closed' and w.key not in (select key from found) returning w.id),
stale as materialized (
  select w.id, w.key, w.severity as was, w.state as state_was from notify_warning w
   where w.rule_id = :w_rule and w.state <> 'closed' and (w.state = 'snoozed' and w.snoozed_until <= :w_now
     or (w.key, md5(row(w.params, w.severity, w.subject, w.project_id, w.department_id, w.user_id, w.receivers)::text)) not in
        (select key, md5(row(params, severity, subject, project_id, department_id, user_id, receivers)::text) from found))),
changed as (
  update notify_warning w set params = f.params, severity = f.severity, subject = f.subject, project_id = f.project_id,
         department_id = f.department_id, user_id = f.user_id, receivers = f.receivers, changed_at = :w_now, version = w.version + 1,
         state = case when w.state = 'snoozed' and w.snoozed_until <= :w_now then 'open' else w.state end,
         snoozed_until = case when w.snoozed_until > :w_now then w.snoozed_until end
    from found f, stale o where o.key = f.key and w.id = o.id
     and (:w_raise or array_position(cast(:w_order as text[]), f.severity) <= array_position(cast(:w_order as text[]), o.was))
   returning w.id, w.receivers, w.severity, o.was, o.state_was),
raised as (
  insert into notify_warning (rule_id, code, key, record_type, record_id, subject, project_id, department_id, user_id, receivers,
                              severity, params, raised_at, changed_at)
  select :w_rule, :w_code, f.key, f.record_type, f.record_id, f.subject, f.project_id, f.department_id, f.user_id, f.receivers,
         f.severity, f.params, :w_now, :w_now
    from found f where :w_raise and f.key not in (select key from notify_warning where rule_id = :w_rule and state <> 'closed')
  on conflict (rule_id, key) where state <> 'closed' do nothing returning id, receivers, severity)
select 'cleared' as what, id, '{}'::bigint[] as receivers, '' as severity, '' as was from cleared
union all select case when state_was = 'snoozed' then 'woken' else 'changed' end, id, receivers, severity, was from changed
union all select 'raised', id, receivers, severity, '' from raised
"""


@dataclass(frozen=True)
class Outcome:
    """What one scan did."""

    raised: int
    changed: int
    closed: int
    seconds: float


def _values(rule: WarningRule, declared: rules.Declared) -> tuple[str, dict[str, Any]]:
    """The rule's query of conditions and all its bind values."""
    query, values = declared.sql(rule.parameters)
    return _FOUND % {"query": query}, {
        **values,
        "w_severity": rule.severity,
        "w_owner": "owner" in rule.receivers,
        "w_fixed": _fixed_receivers(rule.receivers),
        "w_axis": rule.scope_axis,
        "w_ids": list(rule.scope_ids),
    }


def _fixed_receivers(words: list[str]) -> list[int]:
    """People named by `user:<id>` and holders of `role:<key>`."""
    ids = {int(w.removeprefix("user:")) for w in words if w.startswith("user:") and w[5:].isdigit()}
    keys = [w.removeprefix("role:") for w in words if w.startswith("role:")]
    if keys:
        held = text("select ur.user_id from ab_user_role ur join ab_role r on r.id = ur.role_id where r.name = any(:keys)")
        ids |= set(session().scalars(held, {"keys": keys}))
    return sorted(ids)


def scan(rule_id: int, *, any_day: bool = False, raising: bool = True) -> Outcome | None:
    """Raise, update and close the warnings of one rule, and tell the receivers of new ones: one transaction.

    Without *raising* nobody is told anything: warnings close or are updated, new and worse ones are left to the next scan on schedule.
    Runs inside `unrestricted`.  None when the rule is switched off, unknown, or rests today.
    """
    s = session()
    rule = s.scalars(select(WarningRule).where(WarningRule.id == rule_id).with_for_update()).one_or_none()
    declared = rules.declared.get(rule.code) if rule is not None else None
    if rule is None or declared is None or not rule.enabled:
        return None
    if rule.workdays_only and not any_day and not WorkingCalendar.load().is_workday(calendar.today()):
        return None
    begun, now = time.perf_counter(), calendar.now()
    found, values = _values(rule, declared)
    values |= {"w_rule": rule.id, "w_code": rule.code, "w_now": now, "w_raise": raising, "w_order": list(SEVERITY_ORDER)}
    rows = s.execute(text(_APPLY % {"found": found}), values).all()
    told = [
        {
            "receiver": who,
            "key": f"warning:{row.id}" + (f":{row.severity}" if row.was else ""),
            "record_type": "notify_warning",
            "record_id": row.id,
        }
        for row in rows
        if row.what == "raised" or (row.was and SEVERITY_ORDER.index(row.severity) > SEVERITY_ORDER.index(row.was))
        for who in row.receivers
    ]
    notify_each("warning", told, at=after_quiet(rule, now), channels=rule.channels)
    seconds = time.perf_counter() - begun
    s.execute(
        text("update notify_warning_rule set scanned_at = :now, scan_seconds = :seconds where id = :id"),
        {"now": now, "seconds": round(seconds, 3), "id": rule.id},
    )
    kinds = [row.what for row in rows]
    outcome = Outcome(kinds.count("raised"), kinds.count("changed") + kinds.count("woken"), kinds.count("cleared"), seconds)
    log.info(
        "warnings.scanned", rule=rule.code, raised=outcome.raised, changed=outcome.changed, closed=outcome.closed, seconds=round(seconds, 3)
    )
    return outcome


def after_quiet(rule: WarningRule, now: datetime) -> datetime | None:
    """The end of the quiet hours *now* falls into; None outside of them."""
    start, end = rule.quiet_from, rule.quiet_to
    if start is None or end is None or start == end:
        return None
    hour = calendar.local(now).hour
    quiet = start <= hour < end if start < end else hour >= start or hour < end
    if not quiet:
        return None
    day = calendar.local(now).date()
    return calendar.moment(day + timedelta(days=1) if start > end and hour >= start else day, end)


@dataclass(frozen=True)
class Condition:
    """Something a rule finds now."""

    record_type: str
    record_id: int
    subject: str
    severity: str
    project_id: int | None
    user_id: int | None
    message: Message


def preview(code: str, parameters: Mapping[str, Any], scope_axis: str = "company", scope_ids: list[int] | None = None) -> list[Condition]:
    """What the rule would raise now with these settings; nothing is stored.  Raises `Invalid` for wrong parameters.

    It reads without regard to persons: whoever shows it must leave out what the viewer may not see.
    """
    declared = rules.declared.get(code)
    if declared is None:
        raise Invalid({"code": _("There is no such rule.")})
    if scope_axis not in ("company", *_AXES):
        raise Invalid({"scope_axis": _("There is no such scope.")})
    with unrestricted("administration: preview of a warning rule") as s:
        rule = WarningRule(
            code=code,
            parameters=dict(parameters),
            severity=declared.severity,
            receivers=[],
            scope_axis=scope_axis,
            scope_ids=scope_ids or [],
        )
        found, values = _values(rule, declared)
        rows = s.execute(text(found), values).all()
    return [
        Condition(
            row.record_type,
            row.record_id,
            row.subject,
            row.severity,
            row.project_id,
            row.user_id,
            _words(declared, row.subject, row.params),
        )
        for row in rows
    ]


# ------------------------------------------------------------------ wording
def _words(declared: rules.Declared, subject: str, params: Mapping[str, Any], severity: str = "warn") -> Message:
    words = {**declared.parameters, **params, "subject": subject}
    try:
        title, body = str(declared.title) % words, str(declared.body) % words
    except (KeyError, TypeError, ValueError):
        title, body = f"{declared.label} {subject}".strip(), ""
    return Message(title, body, "", severity)


def message(warning: Warning_) -> Message:
    """The words of *warning* in the reader's language."""
    declared = rules.declared.get(warning.code)
    url = f"/warnings/{warning.id}"
    if declared is None:
        return Message(warning.subject or warning.code, "", url, warning.severity)
    words = _words(declared, warning.subject, warning.params, warning.severity)
    return Message(words.title, words.body, url, words.tone)


@notice_kind("warning", title=_l("Risk warning"), tone="warn")
def _notice(record: Warning_ | None, **_params: Any) -> Message:
    assert record is not None
    return message(record)


def rule_label(code: str) -> str:
    """The name of the rule *code* in the reader's language."""
    declared = rules.declared.get(code)
    return str(declared.label) if declared is not None else code


# ------------------------------------------------------------------ when
def scan_all() -> None:
    """Queue a scan of every enabled rule, each in a transaction of its own.  Runs inside `unrestricted`."""
    rules.ensure_rules(session())
    stamp = calendar.now().isoformat()
    for rule_id in session().scalars(select(WarningRule.id).where(WarningRule.enabled)):
        outbox.enqueue("notify.scan", {"rule": rule_id}, key=f"scan:{rule_id}:{stamp}")


COMMITTED = 5
"""Seconds in which a transaction that asked for a scan is expected to be committed."""


def scan_soon(code: str, seconds: int = 20) -> None:
    """Scan the rules of *code* after this transaction; many calls within *seconds* become one scan.

    It closes and updates warnings, and raises none: one person's report would have everybody told of what has nothing to do with it.
    The scan begins some seconds after its slot, so that transactions which called at the end of it are committed by then.
    """
    now = calendar.now()
    slot = int(now.timestamp()) // seconds + 1
    at = datetime.fromtimestamp(slot * seconds + COMMITTED, now.tzinfo)
    outbox.enqueue("notify.scan_code", {"code": code}, key=f"scan:{code}:{slot * seconds}", at=at)


@outbox.handler("notify.scan")
def _scan(rule: int) -> None:
    scan(rule)


@outbox.handler("notify.scan_code")
def _scan_code(code: str) -> None:
    for rule_id in session().scalars(select(WarningRule.id).where(WarningRule.code == code, WarningRule.enabled)).all():
        scan(rule_id, raising=False)


# ------------------------------------------------------------------ what people do
def _concerned(c: Any, v: Any) -> Any:
    """Whoever it concerns may act on it; seeing everything alone does not suffice."""
    return Warning_.see.__func__(c, v)  # type: ignore[attr-defined]


@transition("open", "acknowledged", by=_concerned, label=_l("Acknowledge"), tone="primary", icon="check", bulk=True)
def acknowledge(warning: Warning_) -> None:
    """I know about it; no need to tell me again."""
    warning.changed_at = calendar.now()


@transition(("acknowledged", "snoozed"), "open", by=_concerned, label=_l("Reopen"), icon="arrow-back-up")
def reopen(warning: Warning_) -> None:
    """Put it back among the open ones."""
    warning.snoozed_until = None
    warning.changed_at = calendar.now()


@transition(
    ("open", "acknowledged"),
    "snoozed",
    by=_concerned,
    label=_l("Snooze"),
    icon="clock",
    arguments={"until": Argument("date", _l("Until"), required=True)},
    bulk=True,
)
def snooze(warning: Warning_, until: date) -> None:
    """Out of the way until a day; it comes back then if it still holds."""
    if not calendar.today() < until <= calendar.today() + timedelta(days=90):
        raise Invalid({"until": _("Choose a day from tomorrow on, at most 90 days ahead.")})
    warning.snoozed_until = calendar.moment(until, 8)
    warning.changed_at = calendar.now()


@operation(
    ("open", "acknowledged", "snoozed"),
    by=_concerned,
    label=_l("Assign"),
    icon="user-share",
    arguments={"person": Argument("person", _l("Person"), required=True)},
)
def assign(warning: Warning_, person: int) -> None:
    """Have somebody look after it; the person is told and sees the warning."""
    active = session().scalar(text("select active from ab_user where id = :id"), {"id": person})
    if not active:
        raise Invalid({"person": _("This person has no active account.")})
    warning.assignee_id = person
    warning.changed_at = calendar.now()
    session().flush()
    notify_each(
        "warning.assigned",
        [
            {
                "receiver": person,
                "key": f"warning:{warning.id}:assigned:{warning.version}",
                "record_type": "notify_warning",
                "record_id": warning.id,
            }
        ],
    )


@notice_kind("warning.assigned", title=_l("A warning was assigned to you"), tone="warn")
def _assigned(record: Warning_ | None, **_params: Any) -> Message:
    assert record is not None
    said = message(record)
    return Message(_("Assigned to you: %(title)s", title=said.title), said.body, said.url, said.tone)


# ------------------------------------------------------------------ handing over
stay("notify_notice", "the person's own", "receiver_id")
stay("notify_delivery", "what was sent", "receiver_id")
stay("notify_preference", "the person's own", "user_id")
stay("notify_warning", "whom it is about", "user_id")


@handover(
    "notify.warnings", Warning_, "assignee_id", _l("Warnings one looks after"), order=60,
    open=lambda c, people, day: [c.assignee_id.in_(people), c.archived_at.is_(None), c.state != "closed"],
)  # fmt: skip
def take_warning(warning: Warning_, receiver: int, day: date) -> None:
    """The receiver looks after the warning at once."""
    assign(warning, receiver)
