"""Handing over what somebody answers for, in one action: counted first, then done in one transaction or not at all (VIS-11)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from sqlalchemy import Text, func, literal, select, union_all
from sqlalchemy import cast as sql_cast
from sqlalchemy.exc import DBAPIError

from portal.kernel.calendar import today
from portal.kernel.db import session, unrestricted
from portal.kernel.document import Record, User
from portal.kernel.errors import Conflict, Forbidden, Invalid, NotFound, PortalError, Refusal
from portal.kernel.events import publish
from portal.kernel.handover import Kind, giving, in_order, stay, why_not
from portal.kernel.i18n import _
from portal.kernel.people import works_here
from security.manager import allowed
from security.visibility import acting, context

NAME = "security.Handover"
SHOWN = 20
MARK = "handover"
"""First word of the reason in the history, before the two names and why; `portal.web.history` puts it into words."""

stay("security_account", "the account itself", "user_id")
stay("security_session", "the person's own; ends with the account", "user_id")
stay("security_emergency", "the account itself", "user_id")
stay("security_role_write", "the account's roles", "user_id")
stay("security_signin", "what happened", "user_id", "by_id")
stay("security_question", "what was asked", "person_id")
stay("security_delegation", "ends with the account", "giver_id", "deputy_id", "ended_by_id")
stay("security_difference", "whom an account at Keycloak may belong to", "user_id")
stay("security_erasure", "whose data, and decisions of the past", "person_id", "decided_by")
stay("security_legal_hold", "whose data, and decisions of the past", "person_id", "lifted_by")
stay("web_form_draft", "the person's own", "user_id")
stay("web_home_layout", "the person's own", "user_id")
stay("web_list_setting", "the person's own; shared ones stay readable", "user_id")


@dataclass(frozen=True)
class HandedOver:
    """Somebody's open work went to others. *receivers*: kind → user id; *counts*: kind → how many."""

    person_id: int
    receivers: dict[str, int]
    counts: dict[str, int]
    day: date
    reason: str
    by: int


@dataclass(frozen=True)
class Part:
    """One kind of what somebody answers for: how many, and those the viewer may see."""

    kind: Kind
    count: int
    visible: tuple[Record, ...]

    @property
    def hidden(self) -> int:
        """Those the viewer may not see, or that are not shown for their number."""
        return self.count - len(self.visible)


@dataclass(frozen=True)
class Preview:
    """What somebody answers for on *day*. *seen* stands for exactly this state: what is done must be what was shown.

    *refusal*: why the viewer may look, but not hand it over; None when it is possible.
    """

    person_id: int
    day: date
    parts: tuple[Part, ...]
    seen: str
    refusal: str | None = None

    @property
    def open(self) -> int:
        """How many records can be handed over."""
        return sum(p.count for p in self.parts if p.kind.give is not None)


def require(verb: str) -> None:
    """The person's roles include *verb* on handing over. Raises Forbidden."""
    if not allowed(verb, NAME):
        raise Forbidden(_("Your roles do not include this."))


def preview(person_id: int, day: date) -> Preview:
    """What *person_id* answers for from *day* on. Whoever may not see a record gets it in the number only. Raises NotFound."""
    viewer = context()
    with unrestricted("handing over: what somebody answers for, as ids; the rows are read as the viewer") as s:
        if s.get(User, person_id) is None:
            raise NotFound(_("There is no such person."))
        found, refusal = _found(person_id, day), why_not(person_id, viewer)
    parts = []
    for kind, versions in found:
        seen: Sequence[Any] = ()
        if versions and kind.give is not None and allowed("view", kind.model.permission_name()):
            model = cast(Any, kind.model)
            seen = session().scalars(select(model).where(model.id.in_(list(versions))).order_by(model.id).limit(SHOWN)).all()
        parts.append(Part(kind, len(versions), tuple(seen)))
    return Preview(person_id, day, tuple(parts), _fingerprint(day, found), refusal)


Found = list[tuple[Kind, dict[int, int]]]


def _found(person_id: int, day: date, lock: bool = False) -> Found:
    """Ids and versions of each kind. *lock*: nobody changes them before the transaction ends."""
    out: Found = []
    for kind in in_order():
        model = cast(Any, kind.model)
        asked = select(model.id, model.version).where(*kind.open(model, [person_id], day)).order_by(model.id)
        rows = session().execute(asked.with_for_update() if lock and kind.give is not None else asked)
        out.append((kind, dict(rows.tuples().all())))
    return out


def _fingerprint(day: date, found: Found) -> str:
    said = ";".join(f"{kind.key}:{sorted(versions.items())}" for kind, versions in found if kind.give is not None)
    return hashlib.sha256(f"{day}|{said}".encode()).hexdigest()[:32]


def counts(people: Sequence[int], day: date | None = None) -> dict[int, dict[str, int]]:
    """How much each of *people* still answers for, by kind. One statement."""
    if not people:
        return {}
    parts = []
    for kind in giving().values():
        model = cast(Any, kind.model)
        column = getattr(model, kind.column)
        asked = select(sql_cast(literal(kind.key), Text), column, func.count()).where(*kind.open(model, people, day or today()))
        parts.append(asked.group_by(column))
    out: dict[int, dict[str, int]] = {}
    with unrestricted("handing over: how much people who leave still answer for, numbers only") as s:
        for key, person, count in s.execute(union_all(*parts)):
            out.setdefault(person, {})[key] = count
    return out


# ------------------------------------------------------------------ doing it
def execute(person_id: int, receivers: Mapping[str, int], day: date, reason: str, seen: str) -> dict[str, int]:
    """Hands everything of the kinds in *receivers* over, from *day* where it has a day and at once elsewhere; how many of each.

    Only of people who leave or have left, see `portal.kernel.handover.objection`: nobody strips colleagues of what is theirs alone.
    All or nothing. Raises Conflict when it is not any more what the preview showed (*seen*), Invalid by `receiver.<kind>`, Refusal.
    """
    require("run")
    viewer = context()
    me, reason = viewer.me or 0, (reason or "").strip()
    problems: dict[str, Any] = {}
    if not reason:
        problems["reason"] = _("This is required.")
    if day < today():
        problems["day"] = _("Not before today.")
    unknown = set(receivers) - set(giving())
    if unknown or not receivers:
        problems["receivers"] = _("Choose somebody for at least one kind.") if not unknown else _("There is no such kind.")
    here = works_here(receivers.values())
    for key, receiver in receivers.items():
        if receiver == person_id:
            problems[f"receiver.{key}"] = _("This person hands over.")
        elif receiver == me:
            problems[f"receiver.{key}"] = _("Nobody hands other people's work to the own account.")
        elif receiver not in here:
            problems[f"receiver.{key}"] = _("This person does not work here.")
    if problems:
        raise Invalid(problems)
    names = _names([person_id, *receivers.values()])
    if person_id not in names:
        raise NotFound(_("There is no such person."))
    done: dict[str, int] = {}
    try:
        with acting():
            if refused := why_not(person_id, viewer):
                raise Refusal(refused, code="not_leaving")
            found = _found(person_id, day, lock=True)
            if _fingerprint(day, found) != seen:
                raise Conflict(_("Meanwhile something changed. Look at it again: nothing was handed over."))
            for kind, versions in found:
                if kind.give is None or kind.key not in receivers or not versions:
                    continue
                done[kind.key] = _give(kind, sorted(versions), receivers[kind.key], day, names, person_id, reason)
            if not done:
                raise Refusal(_("There is nothing to hand over."), code="nothing")
            publish(HandedOver(person_id, {k: receivers[k] for k in done}, done, day, reason, me))
    except DBAPIError as e:
        if getattr(e.orig, "sqlstate", "") in ("23P01", "23505"):  # periods that overlap, natural keys
            raise Refusal(_("The receiver holds one of these already at that time. Choose somebody else for it."), code="overlap") from None
        raise
    return done


def _give(kind: Kind, ids: Sequence[int], receiver: int, day: date, names: Mapping[int, str], person_id: int, reason: str) -> int:
    s = session()
    s.execute(select(func.set_config("app.reason", f"{MARK}|{names[person_id]}|{names[receiver]}|{reason}", True)))
    for pk in ids:
        record = s.get(kind.model, pk, populate_existing=True)
        if record is None:
            raise Conflict(_("Meanwhile something changed. Look at it again: nothing was handed over."))
        try:
            cast(Any, kind.give)(record, receiver, day)
            s.flush()
        except PortalError as e:
            raise Refusal(f"{kind.label}: {e}", code="not_possible", fields={f"receiver.{kind.key}": str(e)}) from e
    return len(ids)


def _names(ids: Sequence[int]) -> dict[int, str]:
    rows = session().execute(select(User.id, User.last_name, User.first_name, User.username).where(User.id.in_(set(ids))))
    return {r.id: f"{r.last_name}{r.first_name}" or r.username for r in rows}
