"""Tables of notices, their deliveries and people's preferences, warning rules and warnings."""

from datetime import datetime
from typing import Any

from flask_babel.speaklater import LazyString
from sqlalchemy import ARRAY, BigInteger, DateTime, FetchedValue, ForeignKey, Index, Text, UniqueConstraint, and_, any_, false, or_, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.columns import BY_ACTION
from portal.kernel.document import Record, User, live_unique
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _, _l, tr
from portal.notify import rules
from security.roles import BUILT_IN

SEVERITIES = {"info": _l("Hint"), "warn": _l("Warning"), "risk": _l("Risk")}
SEVERITY_TONES = {"info": "info", "warn": "warn", "risk": "risk"}
RECEIVERS = {"owner": _l("Whoever answers for it")} | {
    f"role:{role.key}": LazyString(tr, {"zh": role.zh, "en": role.en}) for role in BUILT_IN if role.key != "employee"
}
CHANNELS = {"mail": _l("E-mail"), "wecom": _l("WeCom"), "dingtalk": _l("DingTalk"), "feishu": _l("Feishu"), "webhook": _l("Webhook")}
"""Ways out of the portal; in the portal itself every notice is shown."""


class Notice(Record):
    """Something one person is told, once per key.  *params* hold ids and plain values; the words come when it is read."""

    __tablename__ = "notify_notice"
    __label__ = _l("Notice")
    __label_plural__ = _l("Notices")

    receiver_id: Mapped[int] = mapped_column(ForeignKey(User.id), info={"label": _l("Receiver"), "lookup": "employees", **BY_ACTION})
    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Kind"), **BY_ACTION})
    record_type: Mapped[str | None] = mapped_column(Text, info={"label": _l("Kind of record"), **BY_ACTION})
    record_id: Mapped[int | None] = mapped_column(BigInteger, info={"label": _l("Record"), **BY_ACTION})
    params: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"), info={"label": _l("Details"), **BY_ACTION})
    key: Mapped[str] = mapped_column(Text, info={"label": _l("Key"), **BY_ACTION})
    read_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), info={"label": _l("Read")})

    __table_args__ = (
        UniqueConstraint("receiver_id", "key", name="notify_notice_once"),
        Index("notify_notice_newest", "receiver_id", text("id desc")),
        Index("notify_notice_unread", "receiver_id", postgresql_where=text("read_at is null and archived_at is null")),
    )

    def see(c: Any, v: Any) -> Any:
        return c.receiver_id == v.me

    def change(c: Any, v: Any) -> Any:
        return c.receiver_id == v.me

    def __str__(self) -> str:
        return self.kind


class Delivery(Record):
    """One notice on its way out by one channel.  held: waits for the digest; sent at least once, with one message id."""

    __tablename__ = "notify_delivery"
    __label__ = _l("Delivery")
    __label_plural__ = _l("Deliveries")
    STATES = ("waiting", "held", "sent", "skipped", "failed")

    notice_id: Mapped[int] = mapped_column(ForeignKey(Notice.id), info={"label": _l("Notice"), **BY_ACTION})
    receiver_id: Mapped[int] = mapped_column(
        ForeignKey(User.id), index=True, info={"label": _l("Receiver"), "lookup": "employees", **BY_ACTION}
    )
    channel: Mapped[str] = mapped_column(Text, info={"label": _l("Channel"), "choices": CHANNELS, **BY_ACTION})
    state: Mapped[str] = mapped_column(
        Text,
        server_default="waiting",
        info={
            "label": _l("State"),
            "choices": {
                "waiting": _l("Waiting"),
                "held": _l("Held for the digest"),
                "sent": _l("Sent"),
                "skipped": _l("Not sent"),
                "failed": _l("Failed"),
            },
            "tone": {"waiting": "info", "held": "idle", "sent": "ok", "skipped": "idle", "failed": "risk"},
        },
    )
    attempts: Mapped[int] = mapped_column(server_default="0", info={"label": _l("Attempts"), **BY_ACTION})
    last_error: Mapped[str | None] = mapped_column(Text, info={"label": _l("Last error"), **BY_ACTION})
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), info={"label": _l("Sent"), **BY_ACTION})

    __table_args__ = (
        UniqueConstraint("notice_id", "channel", name="notify_delivery_once"),
        Index("notify_delivery_held", "channel", "receiver_id", postgresql_where=text("state = 'held'")),
    )

    def see(c: Any, v: Any) -> Any:
        return c.receiver_id == v.me

    def change(c: Any, v: Any) -> Any:
        return v.holds("system")

    def __str__(self) -> str:
        return f"{self.channel} {self.state}"


class Preference(Record):
    """How one person wants one kind of notice by one channel; without a row the kind's default holds."""

    __tablename__ = "notify_preference"
    __label__ = _l("Notice preference")
    __label_plural__ = _l("Notice preferences")
    MODES = {"now": _l("At once"), "digest": _l("Daily digest"), "off": _l("Off")}

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), info={"label": _l("Person"), "lookup": "employees", "readonly": True})
    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Kind")})
    channel: Mapped[str] = mapped_column(Text, info={"label": _l("Channel"), "choices": CHANNELS})
    mode: Mapped[str] = mapped_column(Text, info={"label": _l("When"), "choices": MODES})

    __table_args__ = (live_unique("notify_preference_live", "user_id", "kind", "channel"), Index("notify_preference_user", "user_id"))

    def see(c: Any, v: Any) -> Any:
        return c.user_id == v.me

    def change(c: Any, v: Any) -> Any:
        return c.user_id == v.me

    def __str__(self) -> str:
        return f"{self.kind} {self.channel}"


class WarningRule(Record):
    """A risk rule as administrators set it; what it looks for is declared by a module under *code* (ALR-03)."""

    __tablename__ = "notify_warning_rule"
    __label__ = _l("Warning rule")
    __label_plural__ = _l("Warning rules")

    code: Mapped[str] = mapped_column(Text, info={"label": _l("Rule"), "choices": rules.labels})
    name: Mapped[str] = mapped_column(Text, server_default="", info={"label": _l("Name"), "help": _l("Empty: the name of the rule.")})
    enabled: Mapped[bool] = mapped_column(server_default=text("true"), info={"label": _l("On")})
    severity: Mapped[str] = mapped_column(Text, info={"label": _l("Severity"), "choices": SEVERITIES, "tone": SEVERITY_TONES})
    parameters: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb"), info={"label": _l("Parameters"), "keys": rules.parameter_labels}
    )
    scope_axis: Mapped[str] = mapped_column(
        Text,
        server_default="company",
        info={
            "label": _l("Scope"),
            "choices": {
                "company": _l("Whole company"),
                "domain": _l("Business domains"),
                "project": _l("Projects"),
                "department": _l("Departments"),
            },
        },
    )
    scope_ids: Mapped[list[int]] = mapped_column(
        ARRAY(BigInteger), server_default=text("'{}'"), info={"label": _l("Only these"), "kind": "json"}
    )
    receivers: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=text("'{owner}'"), info={"label": _l("Receivers"), "choices": RECEIVERS}
    )
    channels: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=text("'{mail}'"), info={"label": _l("Channels"), "choices": CHANNELS}
    )
    workdays_only: Mapped[bool] = mapped_column(server_default=text("true"), info={"label": _l("On working days only")})
    quiet_from: Mapped[int | None] = mapped_column(info={"label": _l("Quiet from (hour)"), "min": 0, "max": 23})
    quiet_to: Mapped[int | None] = mapped_column(info={"label": _l("Quiet until (hour)"), "min": 0, "max": 23})
    # FetchedValue: else the ORM sends NULL for columns people may not write
    scanned_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue(), info={"label": _l("Last scan"), "internal": True, **BY_ACTION}
    )
    scan_seconds: Mapped[float | None] = mapped_column(
        server_default=FetchedValue(), info={"label": _l("Scan took (seconds)"), "internal": True, **BY_ACTION}
    )

    __table_args__ = (Index("notify_warning_rule_code", "code"),)

    def see(c: Any, v: Any) -> Any:
        return v.person

    def change(c: Any, v: Any) -> Any:
        return v.holds("system")

    def before_create(self, _ctx: Any) -> None:
        """Only rules that a module declares; what is not given is as declared."""
        declared = rules.declared.get(self.code)
        if declared is None:
            raise Invalid({"code": _("There is no such rule.")})
        self.parameters = self.parameters or rules.plain(declared.parameters)
        self._check(declared)

    def before_update(self, _ctx: Any) -> None:
        """Refuses parameters and scopes that cannot work."""
        declared = rules.declared.get(self.code)
        if declared is not None:
            self._check(declared)

    def _check(self, declared: rules.Declared) -> None:
        given: Any = self.parameters
        if not isinstance(given, dict):
            raise Invalid({"parameters": _("This is not a valid value.")})
        try:
            self.parameters = rules.plain(declared.parse(given))
        except Invalid as problem:
            raise Invalid({"parameters": "; ".join(f"{name}: {words}" for name, words in problem.fields.items())}) from None
        ids: Any = self.scope_ids or []
        if not isinstance(ids, list) or not all(type(i) is int and 0 < i < 2**63 for i in ids):
            raise Invalid({"scope_ids": _("This is not a valid value.")})
        if self.scope_axis not in (None, "company") and not ids:
            raise Invalid({"scope_ids": _("Choose at least one.")})
        if self.scope_axis == "company":
            self.scope_ids = []

    def __str__(self) -> str:
        return self.name or str(rules.labels.get(self.code, self.code))


class Warning_(Record):
    """A condition a rule found: raised once, kept up to date while it lasts, closed when it clears (ALR-04)."""

    __tablename__ = "notify_warning"
    __label__ = _l("Risk warning")
    __label_plural__ = _l("Risk warnings")
    STATES = ("open", "acknowledged", "snoozed", "closed")
    wide = {"projects": lambda c: c.project_id.is_not(None), "staff": lambda c: c.user_id.is_not(None)}

    rule_id: Mapped[int] = mapped_column(ForeignKey(WarningRule.id), index=True, info={"label": _l("Rule"), **BY_ACTION})
    code: Mapped[str] = mapped_column(Text, info={"label": _l("Kind"), "choices": rules.labels, **BY_ACTION})
    key: Mapped[str] = mapped_column(Text, info={"label": _l("Key"), "internal": True, **BY_ACTION})
    record_type: Mapped[str] = mapped_column(Text, info={"label": _l("Kind of record"), "internal": True, **BY_ACTION})
    record_id: Mapped[int] = mapped_column(BigInteger, info={"label": _l("Record"), "internal": True, **BY_ACTION})
    subject: Mapped[str] = mapped_column(Text, server_default="", info={"label": _l("About"), **BY_ACTION})
    project_id: Mapped[int | None] = mapped_column(BigInteger, info={"label": _l("Project"), **BY_ACTION})
    department_id: Mapped[int | None] = mapped_column(BigInteger, info={"label": _l("Department"), **BY_ACTION})
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, info={"label": _l("Person"), "lookup": "employees", **BY_ACTION}
    )
    receivers: Mapped[list[int]] = mapped_column(
        ARRAY(BigInteger), server_default=text("'{}'"), info={"label": _l("Receivers"), **BY_ACTION}
    )
    severity: Mapped[str] = mapped_column(Text, info={"label": _l("Severity"), "choices": SEVERITIES, "tone": SEVERITY_TONES, **BY_ACTION})
    params: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb"), info={"label": _l("Details"), "internal": True, **BY_ACTION}
    )
    state: Mapped[str] = mapped_column(
        Text,
        server_default="open",
        info={
            "label": _l("State"),
            "choices": {"open": _l("Open"), "acknowledged": _l("Acknowledged"), "snoozed": _l("Snoozed"), "closed": _l("Closed")},
            "tone": {"open": "risk", "acknowledged": "info", "snoozed": "idle", "closed": "ok"},
        },
    )
    raised_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now()"), info={"label": _l("Raised"), **BY_ACTION}
    )
    changed_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now()"), info={"label": _l("Last change"), **BY_ACTION}
    )
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), info={"label": _l("Cleared"), **BY_ACTION})
    assignee_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, info={"label": _l("Assigned to"), "lookup": "employees", **BY_ACTION}
    )
    snoozed_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), info={"label": _l("Snoozed until"), **BY_ACTION})

    __table_args__ = (
        Index("notify_warning_live", "rule_id", "key", unique=True, postgresql_where=text("state <> 'closed'")),
        Index("notify_warning_project", "project_id", text("raised_at desc")),
        Index("notify_warning_newest", text("raised_at desc"), text("id desc")),
        Index("notify_warning_department", "department_id"),
    )

    def see(c: Any, v: Any) -> Any:
        return or_(
            v.has("managed_projects", c.project_id),
            v.has("staff", c.user_id),
            and_(c.user_id.is_(None), v.has("headed_departments", c.department_id)),  # about people: those who answer for them
            v.me == any_(c.receivers),
            c.assignee_id == v.me,
        )

    def change(c: Any, v: Any) -> Any:
        return false()

    def __str__(self) -> str:
        return self.subject or self.code
