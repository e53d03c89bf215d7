"""Personal data: how long each kind is kept, and its erasure when somebody asks or its time is over, approved by a second person (ALL-17).

A column says that it is personal by `info={"personal": "<kind>"}`; a kind is declared with the years it is kept after somebody left. A
nightly job proposes what is due; a person asks for the own data, those who look after personal data for anybody's. Whoever decides is
neither the one who asked nor the person concerned, and nothing is erased of somebody under a legal hold or while it is still needed. The
worker then takes the values away, in the rows and in their history; the sealed chain holds (`audit_erase`). What was done at work, under
which name, stays: that is business data. docs/adr/0025-erasure.md
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    DateTime,
    FetchedValue,
    ForeignKey,
    Integer,
    Text,
    and_,
    bindparam,
    false,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel import calendar, outbox
from portal.kernel.columns import BY_ACTION
from portal.kernel.db import session
from portal.kernel.document import Record, User, records
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.i18n import _, _l
from portal.kernel.jobs import handler, job
from portal.kernel.module import scope
from portal.kernel.settings import Parameter, parameter
from security.transitions import text as text_argument
from security.transitions import transition
from security.visibility import acting, context

SCOPE = "personal_data"
scope(
    SCOPE,
    label=_l("Looks after personal data"),
    help=_l("Erasure of anybody's data and legal holds; not the values themselves."),
)


# ------------------------------------------------------------------ kinds of personal data
@dataclass(frozen=True)
class Kind:
    """A kind of personal data: *years* it is kept after somebody left, *also* what else is erased of a person besides marked columns."""

    name: str
    label: Any
    years: Parameter[int]
    also: Callable[[int], int] | None = None


KINDS: dict[str, Kind] = {}
LABELS: dict[str, Any] = {}
"""Kind → words, for the choices of a request."""
Leavers = Callable[[], Iterable[tuple[int, date]]]
Needed = Callable[[int, str], str | None]
_leavers: list[Leavers] = []
_needed: list[Needed] = []


def personal_data(name: str, label: Any, years: int, also: Callable[[int], int] | None = None) -> None:
    """Declare the kind *name* (`<module>.<word>`), kept for *years* after somebody left unless administrators say otherwise."""
    kept = parameter(
        f"{name}_kept_years", years, label=_l("Years kept after leaving: %(kind)s", kind=label), check=lambda n: 0 <= n <= 100
    )  # fmt: skip
    KINDS[name], LABELS[name] = Kind(name, label, kept, also), label


def leavers(function: Leavers) -> Leavers:
    """Register what gives (account, last day) of everybody who left; called inside `unrestricted`."""
    _leavers.append(function)
    return function


def needed(function: Needed) -> Needed:
    """Register what says in words why the data of (account, kind) is still needed; None when it is not."""
    _needed.append(function)
    return function


@cache
def columns_of(kind: str) -> dict[type[Record], tuple[str, ...]]:
    """Model → its personal columns of *kind*. Their rows belong to the account in `user_id`."""
    found = {m: tuple(c.name for c in m.__table__.columns if c.info.get("personal") == kind) for m in records()}
    return {m: names for m, names in found.items() if names}


# ------------------------------------------------------------------ requests and holds
class Erasure(Record):
    """Personal data of one kind that is due, or asked, to be erased."""

    __tablename__ = "security_erasure"
    __label__ = _l("Erasure of personal data")
    __label_plural__ = _l("Erasures of personal data")
    STATES = ("proposed", "approved", "refused", "withdrawn", "erased")
    EDITABLE = ()
    person_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person"), "lookup": "people"})
    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Data"), "choices": LABELS})
    reason: Mapped[str] = mapped_column(Text, info={"label": _l("Reason"), "multiline": True, "max_length": 1000})
    due_on: Mapped[date | None] = mapped_column(server_default=FetchedValue(), info={"label": _l("Kept until"), **BY_ACTION})
    decided_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, server_default=FetchedValue(), info={"label": _l("Decided by"), "lookup": "people", **BY_ACTION}
    )
    decision_note: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Answer"), **BY_ACTION})
    erased_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue(), info={"label": _l("Erased at"), **BY_ACTION}
    )
    values_erased: Mapped[int | None] = mapped_column(
        Integer, server_default=FetchedValue(), info={"label": _l("Values erased"), **BY_ACTION}
    )
    state: Mapped[str] = mapped_column(
        Text,
        server_default="proposed",
        info={
            "label": _l("State"),
            "readonly": True,
            "choices": {
                "proposed": _l("Waits for a decision"),
                "approved": _l("Approved, being erased"),
                "refused": _l("Turned down"),
                "withdrawn": _l("Withdrawn"),
                "erased": _l("Erased"),
            },
            "tone": {"proposed": "warn", "approved": "info", "refused": "idle", "withdrawn": "idle", "erased": "ok"},
        },
    )

    def see(c: Any, v: Any) -> Any:
        return or_(c.person_id == v.me, c.created_by == v.me, v.holds(SCOPE))

    def change(c: Any, v: Any) -> Any:
        return false()  # asked for and decided on by actions

    def before_archive(self, ctx: Any) -> None:
        """What was asked and decided stays."""
        raise Refusal(_("Requests and decisions about personal data are kept."), code="kept")

    def __str__(self) -> str:
        return str(LABELS.get(self.kind, self.kind))


class LegalHold(Record):
    """Nothing personal of somebody is erased while it lasts: a law suit, an audit, an inspection."""

    __tablename__ = "security_legal_hold"
    __label__ = _l("Legal hold")
    __label_plural__ = _l("Legal holds")
    STATES = ("held", "lifted")
    EDITABLE = ()
    person_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person"), "lookup": "people"})
    reason: Mapped[str] = mapped_column(Text, info={"label": _l("Reason"), "multiline": True, "max_length": 1000})
    lifted_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, server_default=FetchedValue(), info={"label": _l("Lifted by"), "lookup": "people", **BY_ACTION}
    )
    lift_note: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Why lifted"), **BY_ACTION})
    state: Mapped[str] = mapped_column(
        Text,
        server_default="held",
        info={
            "label": _l("State"),
            "readonly": True,
            "choices": {"held": _l("In force"), "lifted": _l("Lifted")},
            "tone": {"held": "warn", "lifted": "idle"},
        },
    )

    def see(c: Any, v: Any) -> Any:
        return v.holds(SCOPE)

    def change(c: Any, v: Any) -> Any:
        return false()

    def before_archive(self, ctx: Any) -> None:
        """A hold is lifted, with a reason."""
        raise Refusal(_("Lift the hold instead; that it was there stays on record."), code="kept")

    def __str__(self) -> str:
        return str(LegalHold.__label__)


# ------------------------------------------------------------------ asking and deciding
def _alone(person_id: int) -> Any:
    """Whoever asks for, holds back or makes an erasure of the same person waits for the others."""
    return select(User.id).where(User.id == person_id).with_for_update()


def _known(person_id: int) -> None:
    if session().scalar(select(User.id).where(User.id == person_id)) is None:
        raise Invalid({"person_id": _("There is no such record.")})


def ask(person_id: int, kind: str, reason: str) -> int:
    """A request to erase; its id. Raises Invalid for another's data without the right to look after it, Refusal when one waits already."""
    ctx = context()
    _known(person_id)
    if person_id != ctx.me and SCOPE not in ctx.scopes:
        raise Invalid({"person_id": _("You may ask for your own data only.")})
    with acting("erasure asked for") as s:
        s.execute(_alone(person_id))
        waiting = (Erasure.person_id == person_id, Erasure.kind == kind, Erasure.state.in_(("proposed", "approved")))
        if s.scalar(select(Erasure.id).where(*waiting).limit(1)) is not None:
            raise Refusal(_("This has been asked for already and waits for a decision."), code="duplicate")
        found = Erasure(person_id=person_id, kind=kind, reason=reason)
        s.add(found)
        s.flush()
        return int(found.id)


def hold(person_id: int, reason: str) -> int:
    """Places a hold on *person_id*; its id. The caller has the permission to add one."""
    _known(person_id)
    with acting("legal hold") as s:
        s.execute(_alone(person_id))  # an erasure under way ends first, or sees the hold
        found = LegalHold(person_id=person_id, reason=reason)
        s.add(found)
        s.flush()
        return int(found.id)


def _decides(c: Any, v: Any) -> Any:
    """Never who asked, never the person concerned."""
    return and_(v.holds(SCOPE), c.created_by.is_distinct_from(v.me), c.person_id != v.me)


def _why_not(person_id: int, kind: str) -> str | None:
    """In words why *kind* of *person_id* may not be erased now."""
    held: str | None = session().scalar(
        select(LegalHold.reason).where(LegalHold.person_id == person_id, LegalHold.state == "held").limit(1)
    )
    if held is not None:
        return str(_("There is a legal hold on this person: %(reason)s", reason=held))
    return next((why for why in (f(person_id, kind) for f in _needed) if why), None)


@transition(
    "proposed",
    "approved",
    by=_decides,
    label=_l("Approve the erasure"),
    tone="danger",
    icon="trash",
    arguments={"note": text_argument(_l("Answer"), max_length=500)},
    confirm=_l("Erase this data for good, in the history too? It cannot be brought back."),
)
def approve(erasure: Erasure, note: str | None) -> None:
    """The worker erases it at once. Raises Refusal while there is a hold or the data is still needed."""
    if why := _why_not(erasure.person_id, erasure.kind):
        raise Refusal(why, code="still_needed")
    me = context().me
    lifted = (LegalHold.person_id == erasure.person_id, LegalHold.lifted_by == me)
    if me is not None and session().scalar(select(LegalHold.id).where(*lifted).limit(1)) is not None:
        raise Refusal(_("You lifted a legal hold on this person; somebody else decides on the erasure."), code="lifted_hold")
    erasure.decided_by, erasure.decision_note = me, note
    outbox.enqueue("security.erase", {"erasure_id": erasure.id}, key=f"security.erase:{erasure.id}:{erasure.version}")


@transition(
    "proposed",
    "refused",
    by=_decides,
    label=_l("Turn down"),
    icon="x",
    arguments={"note": text_argument(_l("Reason"), required=True, max_length=500)},
)
def refuse(erasure: Erasure, note: str) -> None:
    """The reason is kept with the request."""
    erasure.decided_by, erasure.decision_note = context().me, note


@transition("proposed", "withdrawn", by=lambda c, v: c.created_by == v.me, label=_l("Withdraw"), icon="arrow-back-up")
def withdraw(erasure: Erasure) -> None:
    """Whoever asked no longer does."""


@transition(
    "held",
    "lifted",
    by=lambda c, v: and_(v.holds(SCOPE), c.person_id != v.me),
    label=_l("Lift the hold"),
    icon="lock-open",
    arguments={"note": text_argument(_l("Reason"), required=True, max_length=500)},
)
def lift(held: LegalHold, note: str) -> None:
    """From now on the person's data may be erased again.  Nobody lifts the hold on themself."""
    held.lifted_by, held.lift_note = context().me, note


# ------------------------------------------------------------------ erasing
_ERASE = text("select audit_erase(:tbl, :row, :columns, :why)").bindparams(bindparam("columns", type_=ARRAY(Text)))


def _rows(kind: str, people: Iterable[int]) -> Iterator[tuple[type[Record], tuple[str, ...], Any]]:
    for model, names in columns_of(kind).items():
        owner: Any = getattr(model, "user_id")  # noqa: B009 - every model with personal columns has it, a test looks
        columns = (model.id, owner.label("owner"), *(getattr(model, n) for n in names))
        found = select(*columns).where(owner.in_(list(people)))
        yield from ((model, names, r) for r in session().execute(found, execution_options={"include_archived": True}))


def holders_of(kind: str, people: Iterable[int]) -> set[int]:
    """Those of *people* of whom values of *kind* are still there; inside `unrestricted`."""
    return {r.owner for _model, names, r in _rows(kind, people) if any(getattr(r, n) is not None for n in names)}


@handler("security.erase")
def erase(erasure_id: int) -> None:
    """What was approved: values go from the rows, then from the history, this change included. Not when a hold came meanwhile."""
    s = session()
    erasure = s.scalar(select(Erasure).where(Erasure.id == erasure_id).with_for_update())
    if erasure is None or erasure.state != "approved":
        return
    s.execute(_alone(erasure.person_id))
    if why := _why_not(erasure.person_id, erasure.kind):
        erasure.state, erasure.decision_note = "proposed", why
        erasure.decided_by = None
        return
    reason, done = f"erasure {erasure.id}", 0
    for model, names, row in list(_rows(erasure.kind, [erasure.person_id])):
        done += sum(getattr(row, n) is not None for n in names)
        empty: dict[str, Any] = {n: model.__table__.c[n].info.get("erased") for n in names}
        change = update(model).where(model.id == row.id).values(**empty, version=model.version + 1)
        s.execute(change.execution_options(synchronize_session=False, include_archived=True))
        s.execute(_ERASE, {"tbl": model.__tablename__, "row": row.id, "columns": list(names), "why": reason})
    also = KINDS[erasure.kind].also
    done += also(erasure.person_id) if also is not None else 0
    erasure.state, erasure.erased_at, erasure.values_erased = "erased", calendar.now(), done


# ------------------------------------------------------------------ what is due
def propose(today: date) -> int:
    """Proposes what has been kept for its time; the number of proposals. Inside `unrestricted`."""
    s, made = session(), 0
    left = {user_id: day for function in _leavers for user_id, day in function()}
    held = set(s.scalars(select(LegalHold.person_id).where(LegalHold.state == "held")))
    for kind in KINDS.values():
        due = {user_id: _later(day, kind.years.get()) for user_id, day in left.items()}
        people = {user_id for user_id, day in due.items() if day <= today} - held
        asked = select(Erasure.person_id).where(Erasure.kind == kind.name, Erasure.state.in_(("proposed", "approved", "refused")))
        for user_id in sorted(holders_of(kind.name, people - set(s.scalars(asked)))):
            s.add(Erasure(person_id=user_id, kind=kind.name, reason=_("Kept for its time after leaving."), due_on=due[user_id]))
            made += 1
    s.flush()
    return made


def _later(day: date, years: int) -> date:
    """The same day *years* later; 29 February becomes 1 March."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


@job("20 4 * * *", name="security.propose_erasure", label=_l("Propose personal data for erasure"))
def propose_erasure() -> None:
    """Every night."""
    propose(calendar.today())
