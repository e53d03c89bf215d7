"""Comparisons with Keycloak and what people answer to what they find: kept with its history (POR-02, HRM-09)."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, FetchedValue, ForeignKey, Index, Integer, Numeric, Text, and_, false, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.columns import BY_ACTION
from portal.kernel.db import session
from portal.kernel.document import Record, User
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from portal.kernel.outbox import enqueue
from security import expected
from security.accounts import AccountLinked, tell_roles
from security.expected import GroupLink
from security.sessions import Account
from security.signins import SCOPE
from security.transitions import Argument, transition
from security.transitions import text as words
from security.visibility import acting, context

RUN, DISABLE = "security.directory_comparison", "security.directory_disable"

CHANGES = {
    "created": _l("Created"),
    "linked": _l("Linked by its number"),
    "renamed": _l("Renamed"),
    "mail": _l("E-mail address"),
    "number": _l("Employee number"),
    "enabled": _l("Enabled"),
    "disabled": _l("Disabled"),
    "moved": _l("Moved"),
    "marked": _l("Marked with its code"),
    "removed": _l("Removed"),
    "waits": _l("Waits for an answer"),
}
"""What a comparison would do, or did."""
ABOUT = {"person": _l("Person"), "department": _l("Department"), "role": _l("Role")}
KINDS = {
    "account": _l("Account with no employee"),
    "double": _l("Second account with an employee's number"),
    "group": _l("Group that is no department"),
    "off": _l("Account of an employee switched off at Keycloak"),
    "left": _l("Group of a closed department, with others in it or with roles"),
    "role": _l("Role the portal does not know"),
}
OF_ACCOUNTS = ("account", "double")
STATE_WORDS = {
    "open": _l("To be answered"),
    "linked": _l("Linked"),
    "ignored": _l("Left alone"),
    "disabled": _l("Disabled"),
    "enabled": _l("Enabled"),
    "gone": _l("No longer there"),
}


def _reads(c: Any, v: Any) -> Any:
    return v.holds(SCOPE)


class Comparison(Record):
    """One comparison with Keycloak: what it found, and whether it repaired what is the portal's own."""

    __tablename__ = "security_comparison"
    __label__ = _l("Comparison with Keycloak")
    __label_plural__ = _l("Comparisons with Keycloak")
    LOG = True
    STATES = ("waiting", "done", "failed")

    repair: Mapped[bool] = mapped_column(info={"label": _l("Repairs"), **BY_ACTION})
    state: Mapped[str] = mapped_column(
        Text,
        server_default="waiting",
        info={
            "label": _l("State"),
            "readonly": True,
            "choices": {"waiting": _l("Under way"), "done": _l("Done"), "failed": _l("Not done")},
            "tone": {"waiting": "info", "done": "ok", "failed": "risk"},
        },
    )
    finished_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue(), info={"label": _l("Finished"), **BY_ACTION}
    )
    seconds: Mapped[Decimal | None] = mapped_column(
        Numeric(8, 1), server_default=FetchedValue(), info={"label": _l("Seconds"), **BY_ACTION}
    )
    people: Mapped[int] = mapped_column(Integer, server_default=text("0"), info={"label": _l("Employees"), **BY_ACTION})
    accounts: Mapped[int] = mapped_column(Integer, server_default=text("0"), info={"label": _l("Accounts"), **BY_ACTION})
    changed: Mapped[int] = mapped_column(Integer, server_default=text("0"), info={"label": _l("Differences"), **BY_ACTION})
    found: Mapped[int] = mapped_column(Integer, server_default=text("0"), info={"label": _l("To be answered"), **BY_ACTION})
    problem: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Problem"), **BY_ACTION})
    details: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb"), info={"label": _l("Details"), "internal": True, **BY_ACTION}
    )
    """`changes`: what differs, `counts`: how many of each, `problems`: what could not be repaired."""

    see = _reads

    def change(c: Any, v: Any) -> Any:
        return false()  # written by the program that compares

    def __str__(self) -> str:
        return str(Comparison.__label__)


class Difference(Record):
    """Something at Keycloak that is not the portal's own, and what a person decided about it."""

    __tablename__ = "security_difference"
    __label__ = _l("Difference to be answered")
    __label_plural__ = _l("Differences to be answered")
    STATES = tuple(STATE_WORDS)

    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Kind"), "choices": KINDS, **BY_ACTION})
    key: Mapped[str] = mapped_column(Text, info={"label": _l("Id at Keycloak"), **BY_ACTION})
    title: Mapped[str] = mapped_column(Text, info={"label": _l("Name"), **BY_ACTION})
    detail: Mapped[str] = mapped_column(Text, server_default="", info={"label": _l("Details"), **BY_ACTION})
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, server_default=FetchedValue(), info={"label": _l("Employee"), "lookup": "people", **BY_ACTION}
    )
    """Open: whom it may belong to; linked: whose it is."""
    state: Mapped[str] = mapped_column(
        Text,
        server_default="open",
        info={
            "label": _l("State"),
            "readonly": True,
            "choices": STATE_WORDS,
            "tone": {"open": "warn", "linked": "ok", "ignored": "idle", "disabled": "idle", "enabled": "ok", "gone": "idle"},
        },
    )
    reason: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Reason"), **BY_ACTION})

    __table_args__ = (
        Index("security_difference_key", "kind", "key", unique=True),
        CheckConstraint(f"kind in ({', '.join(repr(k) for k in KINDS)})", name="security_difference_kind_known"),
    )

    see = _reads

    def change(c: Any, v: Any) -> Any:
        return false()  # by answers only

    def __str__(self) -> str:
        return self.title


def queue(pk: int, *, bounded: bool, patient: bool) -> None:
    """Have the comparison *pk* made once this transaction is committed; see `reconciliation.run`."""
    enqueue(RUN, {"pk": pk, "bounded": bounded, "patient": patient}, key=f"{RUN}:{pk}")


def ask(repair: bool, patient: bool = False) -> int:
    """Have Keycloak compared, soon, and repaired if wanted; one that is under way already is not asked for again.  Returns its id."""
    with acting("comparison with Keycloak") as s:
        s.execute(text("select pg_advisory_xact_lock(hashtext('security.comparison'))"))
        waiting = s.scalar(select(Comparison.id).where(Comparison.state == "waiting", Comparison.repair == repair).limit(1))
        if waiting is not None:
            return int(waiting)
        row = Comparison(repair=repair)
        s.add(row)
        s.flush()
        queue(int(row.id), bounded=False, patient=patient)
        return int(row.id)


# ------------------------------------------------------------------ answers
def _of_account(c: Any, v: Any) -> Any:
    return and_(c.kind.in_(OF_ACCOUNTS), v.holds(SCOPE))


@transition(
    "open",
    "linked",
    by=_of_account,
    label=_l("Link to an employee"),
    icon="link",
    tone="primary",
    arguments={"user_id": Argument("person", _l("Employee"), required=True)},
)
def link(difference: Difference, user_id: int) -> None:
    """The account is this employee's from now on: who signs in with it is this person, and it follows people administration."""
    s = session()
    person = next(iter(expected.people([user_id])), None)
    if person is None:
        raise Invalid({"user_id": _("This person is no employee.")})
    account = s.scalar(select(Account).where(Account.user_id == user_id).with_for_update())
    if account is not None and account.subject not in (None, difference.key):
        raise Refusal(_("%(name)s has an account already; disable one of the two.", name=person.name), code="has_account")
    if s.scalar(select(Account.user_id).where(Account.subject == difference.key, Account.user_id != user_id)) is not None:
        raise Refusal(_("This account is linked to somebody else."), code="linked")
    if account is None:
        s.add(Account(user_id=user_id, subject=difference.key))
    else:
        account.subject = difference.key
    s.flush()
    difference.user_id = user_id
    tell_roles(user_id)
    publish(AccountLinked(user_id, difference.key, difference.title, context().me))
    expected.person_changed(user_id, opens=True)


@transition(
    "open",
    "linked",
    by=lambda c, v: and_(c.kind == "group", v.holds(SCOPE)),
    label=_l("Link to a department"),
    icon="link",
    tone="primary",
    arguments={"code": words(_l("Department code"), required=True, max_length=100)},
)
def adopt(difference: Difference, code: str) -> None:
    """The group is this department's from now on: name, place and members follow the organisation."""
    if code not in {d.code for d in expected.departments()}:
        raise Invalid({"code": _("There is no such department.")})
    s = session()
    held = s.scalar(select(GroupLink).where(GroupLink.code == code).with_for_update())
    if held is not None and held.group_id != difference.key:
        held.code = f"{code}~{held.group_id}"  # no department's any more: removed like that of a closed one
        s.flush()
    if held is None or held.group_id != difference.key:
        s.add(GroupLink(code=code, group_id=difference.key))
    difference.detail = code
    expected.departments_changed()
    for person in expected.people():
        if person.department == code:
            expected.person_changed(person.user_id)


@transition(
    "open",
    "ignored",
    by=_reads,
    label=_l("Leave alone"),
    icon="eye-off",
    bulk=True,
    arguments={"reason": words(_l("Reason"), required=True, max_length=500)},
)
def ignore(difference: Difference, reason: str) -> None:
    """It stays as it is at Keycloak and is not reported again."""
    difference.reason = reason


@transition(
    "open",
    "disabled",
    by=_of_account,
    label=_l("Disable"),
    icon="user-off",
    tone="danger",
    confirm=_l("Nobody can sign in with this account any more, to any application."),
    arguments={"reason": words(_l("Reason"), max_length=500)},
)
def disable(difference: Difference, reason: str | None) -> None:
    """The account is disabled at Keycloak and its sessions end."""
    if session().scalar(select(Account.user_id).where(Account.subject == difference.key)) is not None:
        raise Refusal(_("This account is linked to somebody; it is disabled when the person leaves."), code="linked")
    difference.reason = reason
    enqueue(DISABLE, {"subject": difference.key}, key=f"{DISABLE}:{difference.id}:{difference.version}")


@transition(
    "open",
    "enabled",
    by=lambda c, v: and_(c.kind == "off", v.holds(SCOPE)),
    label=_l("Enable"),
    icon="user-check",
    confirm=_l("Somebody switched this account off at the sign-in service. Do you know why, and that it may be used again?"),
    arguments={"reason": words(_l("Reason"), required=True, max_length=500)},
)
def enable(difference: Difference, reason: str) -> None:
    """The account is switched on at Keycloak again."""
    difference.reason = reason
    if difference.user_id is not None:
        expected.person_changed(difference.user_id, opens=True)


@transition(("ignored", "disabled"), "open", by=_reads, label=_l("Ask again"), icon="arrow-back-up")
def reopen(difference: Difference) -> None:
    """The answer is taken back; what was disabled stays so until it is linked or enabled at Keycloak."""
    difference.reason = None
