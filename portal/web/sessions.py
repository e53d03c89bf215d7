"""Open sessions: the administrators' list, one's own on the page of the own account, and the same for programs (POR-12).

What is shown never holds a token or its hash: the person's database role cannot read them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flask import Response, flash, redirect, request
from sqlalchemy import select

from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import BadRequest, Forbidden, Invalid, NotFound, Refusal
from portal.kernel.i18n import _, _l
from portal.kernel.settings import settings
from portal.web import registry, rows
from portal.web.access import MAX_ID, route, signed_in
from portal.web.describing import PK, Schema, listed, operation, query
from portal.web.page import Page
from portal.web.resource import MAX_BULK, Endpoints, answer, object_body
from security import keycloak, sessions, signins
from security.manager import allowed
from security.sessions import ServerSession
from security.signins import SignIn
from security.visibility import Context, context

NAME = "security.Session"
SIZE = 50
OWN_SIGNINS = 15
KINDS = {"browser": _l("Browser"), "bearer": _l("Program"), "job": _l("Job")}

_BROWSERS = (("Edge", "Edg"), ("Opera", "OPR"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Version"))
_SYSTEMS = (
    ("HarmonyOS", "HarmonyOS"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("macOS", "Mac OS X"),
    ("Linux", "Linux"),
)


def device(user_agent: str | None) -> str:
    """`Firefox 128 · Windows` for what a browser calls itself; a program's own name and version; empty when nothing is known."""
    text = user_agent or ""
    if not text.startswith("Mozilla/"):
        return " ".join(text.split(" ")[0].split("/")[:2])[:60]
    version = ((name, re.search(rf"\b{word}/(\d+)", text)) for name, word in _BROWSERS)
    browser = next((f"{name} {found[1]}" for name, found in version if found), "")
    system = next((name for name, word in _SYSTEMS if word in text), "")
    return " · ".join(part for part in (browser, system) if part) or text[:60]


# -------------------------------------------------------------------- reading and ending
def _mine() -> int:
    return signed_in().me or 0


def opened(user_id: int | None = None, after: int | None = None, size: int = SIZE) -> list[dict[str, Any]]:
    """Living sessions that the viewer may see, the newest first, *size* at most, those begun before the one with row id *after*.

    Those of *user_id*, or of everybody; without the permission to see others', the own ones.
    """
    me, x = _mine(), ServerSession
    asked = select(
        x.id, x.user_id, x.kind, x.created_at, x.expires_at, x.last_seen_at, x.ip, x.user_agent, User.first_name, User.last_name,
        User.username,
    ).join(User, User.id == x.user_id).where(*sessions.LIVING)  # fmt: skip
    if not allowed("view", NAME):
        asked = asked.where(x.user_id == me)
    if user_id is not None:
        asked = asked.where(x.user_id == user_id)
    if after is not None:
        asked = asked.where(x.id < after)
    here = context().session_id
    return [
        {
            "id": r.id,
            "user_id": r.user_id,
            "user": rows.person_name(r.first_name, r.last_name) or r.username,
            "username": r.username,
            "kind": r.kind,
            "ip": r.ip,
            "device": device(r.user_agent),
            "begun_at": r.created_at,
            "last_seen_at": r.last_seen_at or r.created_at,
            "expires_at": r.expires_at,
            "current": r.id == here,
        }
        for r in session().execute(asked.order_by(x.id.desc()).limit(size))
    ]


def end(ids: Iterable[int]) -> int:
    """End the living sessions *ids*: own ones, or anybody's with the permission.  Raises NotFound for one not seen, Forbidden."""
    wanted, me = set(ids), _mine()
    found = session().execute(select(ServerSession.id, ServerSession.user_id).where(ServerSession.id.in_(wanted), *sessions.LIVING))
    owners = dict(found.tuples().all())
    if not allowed("view", NAME):
        owners = {pk: owner for pk, owner in owners.items() if owner == me}
    if wanted - owners.keys():
        raise NotFound(_("This session does not exist or is over."))
    if any(owner != me for owner in owners.values()):
        _may_end()
    return sessions.end_chosen(list(owners), by=me, keep=context().session_id)


def end_all(user_id: int) -> int:
    """End every session of *user_id*; the own ones but the one at hand.  Raises Forbidden."""
    me = _mine()
    if user_id != me:
        _may_end()
    return sessions.end_of_person(user_id, by=me, keep=context().session_id if user_id == me else None)


def demand_password(user_id: int) -> int:
    """Have *user_id* choose a new password; every session ends at once.  Raises Forbidden, Refusal.  The number ended."""
    me = _mine()
    if not allowed("reset", NAME):
        raise Forbidden(_("Your roles do not include this."))
    return keycloak.demand_password(user_id, by=me)


def _may_end() -> None:
    if not allowed("end", NAME):
        raise Forbidden(_("Your roles do not include this."))


def _ids(given: Sequence[Any]) -> list[int]:
    if not given or len(given) > MAX_BULK or not all(re.fullmatch(r"[0-9]{1,18}", str(i)) for i in given):
        raise Invalid({"ids": _("This is not a valid value.")})
    return [int(i) for i in given]


def _number(name: str) -> int | None:
    text = request.args.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) > MAX_ID:
        raise BadRequest(_("This is not a valid value."))
    return int(text)


# -------------------------------------------------------------------- pages
class Sessions(Page):
    """Who is signed in now, for administrators: end one session or all of a person."""

    name = NAME
    route_base = "/administration/sessions"
    title = _l("Open sessions")
    menu = "Administration"
    menu_order = 20
    icon = "device-desktop"

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who read everybody's."""
        return lambda ctx: signins.SCOPE in ctx.scopes

    @route("/")
    def show(self) -> str:
        """The list, of one person if wanted."""
        user_id, after = _number("person"), _number("after")
        found = opened(user_id, after, SIZE + 1)
        person = rows.labels(User, [user_id]).get(user_id) if user_id is not None else None
        more = f"{self.route_base}/?after={found[SIZE - 1]['id']}{f'&person={user_id}' if user_id else ''}" if len(found) > SIZE else None
        for one in found:
            one["url"] = registry.person_url(one["user_id"])
        return self.render(
            "administration/sessions.html",
            sessions=found[:SIZE],
            kinds=KINDS,
            person={"id": user_id, "name": person} if person else None,
            more_url=more,
            newest_url=f"{self.route_base}/{f'?person={user_id}' if user_id else ''}" if after else None,
            can_end=allowed("end", NAME),
            can_reset=allowed("reset", NAME) and not settings().local_accounts,
        )

    @route("/end", methods=("POST",), verb="end")
    def end(self) -> Any:
        """Ends one session; its next request is signed out."""
        end(_ids(request.form.getlist("ids")))
        return self._back(_("The session is ended."))

    @route("/end-all", methods=("POST",), verb="end")
    def end_all(self) -> Any:
        """Ends every session of a person."""
        count = end_all(_ids(request.form.getlist("user_id"))[0])
        return self._back(_("%(n)s sessions ended.", n=count))

    @route("/demand-password", methods=("POST",), verb="reset")
    def demand_password(self) -> Any:
        """Ends every session of a person, who then has to choose a new password."""
        try:
            count = demand_password(_ids(request.form.getlist("user_id"))[0])
        except Refusal as problem:
            return self._back(str(problem), "danger")
        return self._back(_("A new password has to be chosen at the next sign-in. Sessions ended: %(n)s.", n=count))

    def _back(self, said: str, tone: str = "success") -> Any:
        flash(said, tone)
        person = request.form.get("person", "")
        return redirect(f"{self.route_base}/{f'?person={person}' if person.isdecimal() else ''}", 303)


class Account(Page):
    """The own account: where one is signed in, and the latest sign-ins."""

    name = "web.Account"
    route_base = "/my-account"
    title = _l("My account")
    icon = "user-circle"

    @route("/", verb="")
    def show(self) -> str:
        """Own sessions and sign-ins."""
        me = _mine()
        asked = select(SignIn.id, SignIn.at, SignIn.outcome, SignIn.way, SignIn.reason, SignIn.ip, SignIn.user_agent, SignIn.by_id)
        latest = session().execute(asked.where(SignIn.user_id == me).order_by(SignIn.at.desc(), SignIn.id.desc()).limit(OWN_SIGNINS))
        lines = [
            {
                "at": r.at,
                "what": str(signins.OUTCOMES.get(r.outcome, r.outcome)),
                "tone": signins.OUTCOME_TONES.get(r.outcome, "idle"),
                "why": str(signins.REASONS.get(r.reason) or signins.WAYS.get(r.way) or ""),
                "ip": r.ip,
                "device": device(r.user_agent),
            }
            for r in latest
        ]
        return self.render(
            "portal/account.html",
            sessions=opened(me),
            kinds=KINDS,
            signins=lines,
            signins_url=f"/sign-ins/?f.user_id={me}" if allowed("view", SignIn.permission_name()) else None,
            me_name=context().name,
        )

    @route("/sessions/end", methods=("POST",), verb="")
    def end(self) -> Any:
        """Ends one of the own sessions."""
        ids, me = _ids(request.form.getlist("ids")), _mine()
        if {one["id"] for one in opened(me, size=MAX_BULK)}.isdisjoint(ids):
            raise NotFound(_("This session does not exist or is over."))
        end(ids)
        return self._back(_("The session is ended."), context().session_id in ids)

    @route("/sessions/end-others", methods=("POST",), verb="")
    def end_others(self) -> Any:
        """Ends every own session but this one."""
        return self._back(_("%(n)s sessions ended.", n=end_all(_mine())), False)

    @route("/sessions/end-everywhere", methods=("POST",), verb="")
    def end_everywhere(self) -> Any:
        """Ends every own session, this one too, here and at the sign-in service."""
        end_all(_mine())
        return redirect("/logout/", 307)  # still a form that was sent: this one ends there, without being asked again

    def _back(self, said: str, signed_out: bool) -> Any:
        if signed_out:
            return redirect("/logout/", 303)
        flash(said, "success")
        return redirect(f"{self.route_base}/", 303)


# -------------------------------------------------------------------- for programs
class SessionEndpoints(Endpoints, at="sessions", name=NAME):
    """`/api/v1/sessions/`: the caller's open sessions, everybody's for those who may see them; ending acts at once."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """One row."""
        return {cls.resource_name: SCHEMA}

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """Listing sessions, ending them, demanding a new password."""
        base, tag, anything = cls.route_base, [cls.resource_name], {"type": "object"}
        asked = [query(n, _ID) for n in ("user_id", "after")]
        end = _("End session")
        return {
            f"{base}/": {
                "get": operation("list_sessions", _("Open sessions"), tag, listed("sessions", "integer"), parameters=asked, errors=(400,))
            },
            f"{base}/{{pk}}/end": {"post": operation("end_session", end, tag, anything, parameters=[PK], errors=(404,))},
            f"{base}/actions/end": {"post": operation("end_sessions", end, tag, anything, body=MANY, errors=(404, 422))},
            f"{base}/actions/demand-password": {
                "post": operation("demand_password", _("Demand a new password"), tag, anything, body=ONE, errors=(409, 422))
            },
        }

    @route("/", verb="")
    def get_list(self) -> Response:
        """Open sessions, the newest first: `?user_id=7`, `?after=<id>` for the next ones."""
        if set(request.args) - {"user_id", "after"}:
            raise BadRequest(_("Unknown parameters: %(names)s.", names=", ".join(sorted(set(request.args) - {"user_id", "after"}))[:200]))
        found = opened(_number("user_id"), _number("after"), SIZE + 1)
        following = found[SIZE - 1]["id"] if len(found) > SIZE else None
        found = found[:SIZE]
        return answer({"count": len(found), "ids": [one["id"] for one in found], "result": found, "next": following})

    @route("/<int:pk>/end", methods=("POST",), verb="")
    def end(self, pk: int) -> Response:
        """Ends one session."""
        end([pk])
        return answer({"id": pk, "ended": True})

    @route("/actions/end", methods=("POST",), verb="")
    def end_many(self) -> Response:
        """`{"ids": [1, 2]}`, or `{"user_id": 7}`: all of a person, of the own ones all but the caller's."""
        given = object_body()
        if set(given) == {"ids"} and isinstance(given["ids"], list):
            return answer({"ended": end(_ids(given["ids"]))})
        if set(given) == {"user_id"} and type(given["user_id"]) is int and 0 < given["user_id"] < 2**31:
            return answer({"ended": end_all(given["user_id"])})
        raise Invalid({"ids": _("Give either ids or user_id.")})

    @route("/actions/demand-password", methods=("POST",), verb="reset")
    def demand_password(self) -> Response:
        """`{"user_id": 7}`: every session of the person ends, and a new password has to be chosen at the next sign-in."""
        given = object_body()
        if set(given) != {"user_id"} or type(given["user_id"]) is not int or not 0 < given["user_id"] < 2**31:
            raise Invalid({"user_id": _("This is not a valid value.")})
        return answer({"user_id": given["user_id"], "ended": demand_password(given["user_id"])})


# -------------------------------------------------------------------- for the OpenAPI document
_ID = {"type": "integer", "format": "int64"}
_AT = {"type": "string", "format": "date-time"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": _ID,
        "user_id": _ID,
        "user": {"type": "string"},
        "username": {"type": "string"},
        "kind": {"type": "string", "enum": [*KINDS]},
        "ip": {"type": "string", "nullable": True},
        "device": {"type": "string"},
        "begun_at": _AT,
        "last_seen_at": _AT,
        "expires_at": _AT,
        "current": {"type": "boolean"},
    },
}
MANY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"ids": {"type": "array", "items": _ID}, "user_id": _ID},
}
ONE: dict[str, Any] = {"type": "object", "additionalProperties": False, "required": ["user_id"], "properties": {"user_id": _ID}}
