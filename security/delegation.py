"""Deputies: somebody lets another see what they see through projects or people, for a period (VIS-11).

Only seeing passes on. What a role sees (`wide` scopes), the own rows and what one decides never do, and nothing that came from another:
a giver's ids are worked out from the giver's own positions. All of this stands in one place, `app_context` (security.policies).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, FetchedValue, ForeignKey, Index, Text, and_, false, func, or_, select, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.calendar import today
from portal.kernel.columns import BY_ACTION, checked
from portal.kernel.db import session
from portal.kernel.document import ME, Record, User
from portal.kernel.errors import Forbidden, Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from portal.kernel.people import works_here
from portal.kernel.settings import parameter
from security import roles
from security.transitions import Argument, operation
from security.visibility import acting, context

SCOPE = "security"
MAX_DAYS = parameter(
    "security.delegation_days",
    92,
    label=_l("Days a deputy may see for another, at most"),
    help=_l("Longest period of one delegation of visibility."),
    check=lambda n: 1 <= n <= 366,
)

IN_FORCE = """select d.giver_id as id, bool_or(d.projects) as projects, bool_or(d.people) as people
      from security_delegation d join ab_user u on u.id = d.giver_id and u.active
     where d.deputy_id = who and d.ended_at is null and d.archived_at is null and d.from_day <= today and d.to_day > today
     group by d.giver_id order by d.giver_id"""
"""SQL: who lets *who* see today, and by what; variables as in a context. A closed account lets nobody see any more."""

STANDINGS = {"planned": _l("To come"), "in_force": _l("In force"), "over": _l("Over"), "ended": _l("Ended early")}
STANDING_TONES = {"planned": "info", "in_force": "ok", "over": "idle", "ended": "idle"}


# ------------------------------------------------------------------ what others hear
@dataclass(frozen=True)
class DelegationGiven:
    """Somebody lets another see; *by* is another person when an administrator entered it."""

    id: int
    giver_id: int
    deputy_id: int
    by: int


@dataclass(frozen=True)
class DelegationEnded:
    """A delegation was ended before its time; *by* None: with the account of one of the two."""

    id: int
    giver_id: int
    deputy_id: int
    by: int | None


class Delegation(Record):
    """Somebody lets a deputy see, for a period, what they see through projects, through the people they head, or both."""

    __tablename__ = "security_delegation"
    __label__ = _l("Delegation")
    __label_plural__ = _l("Delegations")
    giver_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, server_default=ME, info={"label": _l("Lets see")})
    deputy_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Deputy")})
    from_day: Mapped[date] = mapped_column(info={"label": _l("From")})
    to_day: Mapped[date] = mapped_column(info={"label": _l("Until (not included)")})
    projects: Mapped[bool] = mapped_column(server_default=text("false"), info={"label": _l("What I see through projects")})
    people: Mapped[bool] = mapped_column(server_default=text("false"), info={"label": _l("What I see through the people I head")})
    todos: Mapped[bool] = mapped_column(
        server_default=text("false"),
        info={"label": _l("My to-dos"), "help": _l("Noted for when to-dos can be passed on; by itself it opens nothing.")},
    )
    reason: Mapped[str] = mapped_column(Text, info={"label": _l("Reason"), "max_length": 500})
    ended_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue(), info={"label": _l("Ended"), **BY_ACTION}
    )
    ended_by_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, server_default=FetchedValue(), info={"label": _l("Ended by"), **BY_ACTION}
    )
    end_reason: Mapped[str | None] = mapped_column(Text, server_default=FetchedValue(), info={"label": _l("Why it was ended"), **BY_ACTION})

    __table_args__ = (
        checked("security_delegation_ordered", "to_day > from_day", _l("The end must be after the beginning."), "to_day"),
        checked("security_delegation_other", "giver_id <> deputy_id", _l("Nobody is the own deputy."), "deputy_id"),
        checked("security_delegation_something", "projects or people or todos", _l("Choose at least one."), "projects"),
        # read at the begin of every transaction of the deputy
        Index("security_delegation_deputy", "deputy_id", postgresql_where=text("ended_at is null and archived_at is null")),
    )

    def see(c: Any, v: Any) -> Any:
        return or_(c.giver_id == v.me, c.deputy_id == v.me, v.holds(SCOPE))

    def change(c: Any, v: Any) -> Any:
        return false()  # given and ended by actions only: both people hear of it

    @classmethod
    def defaults(cls, ctx: Any) -> dict[str, Any]:
        """Two weeks from today, by everything one sees through work."""
        return {"giver_id": ctx.me, "from_day": today(), "to_day": today() + timedelta(days=14), "projects": True, "people": True}

    def __str__(self) -> str:
        return f"{self.from_day} – {self.to_day}"


def standing(begins: date, ends: date, ended: datetime | None) -> str:
    """planned, in_force, over or ended."""
    if ended is not None:
        return "ended"
    return "planned" if begins > today() else "over" if ends <= today() else "in_force"


# ------------------------------------------------------------------ giving
def administers() -> bool:
    """Whether the person at hand may enter and end others' delegations."""
    from security.manager import allowed

    return SCOPE in context().scopes and allowed("revoke", Delegation.permission_name())


def give(
    deputy_id: int,
    from_day: date,
    to_day: date,
    reason: str,
    giver_id: int | None = None,
    projects: bool = False,
    people: bool = False,
    todos: bool = False,
) -> int:
    """Lets *deputy_id* see for the person at hand, or for an absent *giver_id* as an administrator; returns the new id.

    Raises Invalid by field, Forbidden for somebody else's sight.
    """
    me = context().me or 0
    giver = giver_id or me
    if giver != me and not administers():
        raise Forbidden(_("Only administrators of access may name a deputy for somebody else."))
    problems: dict[str, Any] = {}
    if deputy_id == giver:
        problems["deputy_id"] = _("Nobody is the own deputy.")
    elif giver != me and deputy_id == me:
        problems["deputy_id"] = _("Nobody gives the own account what another person sees.")
    if from_day < today():
        problems["from_day"] = _("Not before today.")
    if to_day <= from_day:
        problems["to_day"] = _("The end must be after the beginning.")
    elif (to_day - from_day).days > MAX_DAYS.get():
        problems["to_day"] = _("At most %(n)s days.", n=MAX_DAYS.get())
    if not (projects or people or todos):
        problems["projects"] = _("Choose at least one.")
    if not (reason or "").strip():
        problems["reason"] = _("This is required.")
    with acting((reason or "").strip()[:200]) as s:
        here = works_here([giver, deputy_id])
        if deputy_id not in here:
            problems.setdefault("deputy_id", _("This person does not work here."))
        if giver not in here:
            problems["giver_id"] = _("This person does not work here.")
        if problems:
            raise Invalid(problems)
        row = Delegation(
            giver_id=giver, deputy_id=deputy_id, from_day=from_day, to_day=to_day, projects=projects, people=people, todos=todos,
            reason=reason.strip(),
        )  # fmt: skip
        s.add(row)
        s.flush()
        roles.bump(s)
        publish(DelegationGiven(row.id, giver, deputy_id, me))
        return row.id


# ------------------------------------------------------------------ ending
def _over(row: Delegation) -> None:
    if standing(row.from_day, row.to_day, row.ended_at) in ("over", "ended"):
        raise Refusal(_("This delegation is over already."), code="over")


def _end(row: Delegation, by: int | None, reason: str | None) -> None:
    row.ended_at, row.ended_by_id, row.end_reason = func.now(), by, reason
    roles.bump(session())
    publish(DelegationEnded(row.id, row.giver_id, row.deputy_id, by))


@operation(
    by=lambda c, v: and_(or_(c.giver_id == v.me, c.deputy_id == v.me), c.ended_at.is_(None)),
    label=_l("End now"),
    name="end",
    icon="user-off",
    confirm=_l("End this delegation? The deputy sees nothing by it from the next click on."),
)
def end(row: Delegation) -> None:
    """The deputy sees nothing by it any more, from the next click on."""
    _over(row)
    _end(row, context().me, None)


@operation(
    by=lambda c, v: and_(v.holds(SCOPE), c.ended_at.is_(None)),
    label=_l("End as administrator"),
    name="revoke",
    tone="danger",
    icon="user-off",
    arguments={"reason": Argument("text", _l("Reason"), required=True, max_length=500)},
)
def revoke(row: Delegation, reason: str) -> None:
    """An administrator of access ends a delegation between others; both hear of it with the reason."""
    _over(row)
    _end(row, context().me, reason)


def end_with_account(user_id: int, why: str) -> int:
    """Everything *user_id* lets see or sees for others ends, in the transaction at hand (an action or system work). How many."""
    mine = or_(Delegation.giver_id == user_id, Delegation.deputy_id == user_id)
    found = session().scalars(select(Delegation).where(mine, Delegation.ended_at.is_(None), Delegation.to_day > today())).all()
    for row in found:
        _end(row, None, why)
    return len(found)


# ------------------------------------------------------------------ who lets whom see, for the explanation
RELATION = """
union all
select d.deputy_id, o.id, 'deputy', jsonb_build_object('giver', g.last_name || g.first_name, 'via', o.via, 'named', o.named),
       d.from_day, d.to_day, 'security_delegation', d.id,
       o.counts and g.active and d.ended_at is null and d.archived_at is null and d.from_day <= :today and d.to_day > :today
  from own o join security_delegation d on d.giver_id = o.person and {axis} join ab_user g on g.id = d.giver_id{people}"""
"""SQL: what a giver's own memberships (`own`) give deputies, in the columns of `@explains`."""


def relation_sql(own: str, axis: str, people: bool) -> str:
    """The memberships of a context, *own* and those that others let the person see by."""
    more = RELATION.format(axis=f"d.{axis}", people="\n where o.id <> d.giver_id" if people else "")
    return f"with own as materialized ({own})\nselect * from own{more}"


def of_deputies(ids: Iterable[int]) -> dict[int, str]:
    """Standing of each of the delegations *ids*, as a key of `STANDINGS`. One statement."""
    c = Delegation
    found = session().execute(select(c.id, c.from_day, c.to_day, c.ended_at).where(c.id.in_(list(ids))))
    return {r.id: standing(r.from_day, r.to_day, r.ended_at) for r in found}
