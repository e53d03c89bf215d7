"""Handing over the open work of somebody who leaves: who still has some, what it is, and to whom it goes (VIS-11)."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from flask import flash, redirect, request
from sqlalchemy import or_, select

from modules.hr.models import Employee, Employment
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import Conflict, Invalid, NotFound, PortalError
from portal.kernel.handover import giving
from portal.kernel.i18n import _, _l, ngettext
from portal.web import rows, words
from portal.web.handover import as_json, asked_day
from portal.web.home import card
from portal.web.page import Page, route
from security import handover
from security.handover import NAME
from security.manager import allowed
from security.visibility import Context, context

SINCE = 365
"""Days after somebody has left for which open work is still listed."""


class Handover(Page):
    """Open work of people who leave, and handing it over."""

    name = NAME
    route_base = "/hand-over"
    title = _l("Hand over work")
    menu = "People"
    menu_order = 65
    icon = "arrows-exchange"

    @route("/")
    def overview(self) -> Any:
        """Everybody who leaves or has left and still answers for something."""
        person = request.args.get("person", "")
        if person.isdecimal() and len(person) < 10:
            return redirect(f"{self.route_base}/{person}", 303)
        return self.render("hr/handover_list.html", people=leaving())

    @route("/<int:user_id>")
    def show(self, user_id: int) -> Any:
        """What the person answers for, with the form."""
        return self._page(user_id, asked_day(request.args.get("day"), _first_day(user_id)), {}, None)

    @route("/<int:user_id>", methods=("POST",), verb="run")
    def run(self, user_id: int) -> Any:
        """Hands everything chosen over; what changed meanwhile is shown anew and nothing is done."""
        form = request.form
        day = asked_day(form.get("day"), _first_day(user_id))
        try:
            done = handover.execute(user_id, _receivers(form), day, form.get("reason", "")[:500], form.get("seen", ""))
        except (PortalError, NotFound) as e:
            if isinstance(e, NotFound):
                raise
            session().rollback()
            return self._page(user_id, day, form, e)
        flash(_("Handed over: %(n)s.", n=words.number(sum(done.values()))), "success")
        return redirect(f"{self.route_base}/{user_id}", 303)

    def _page(self, user_id: int, day: date, typed: Mapping[str, str], error: PortalError | None) -> Any:
        found = handover.preview(user_id, day)
        name = rows.labels(User, [user_id]).get(user_id, "")
        errors = {k: str(v) for k, v in error.fields.items()} if error is not None else {}
        chosen = {k: typed.get(k, "") for k in ("receiver", *(f"receiver.{k}" for k in giving()))}
        ids = {int(v) for v in chosen.values() if v.isdecimal() and len(v) < 10}
        page = self.render(
            "hr/handover.html",
            title=_("Hand over work of %(name)s", name=name),
            crumbs=[{"label": str(self.title), "url": f"{self.route_base}/"}],
            person={"id": user_id, "name": name},
            found=as_json(found),
            chosen=chosen,
            names={str(k): v for k, v in rows.labels(User, ids).items()} if ids else {},
            left_out={k for k in giving() if typed and not typed.get(f"take.{k}")},
            reason=typed.get("reason", ""),
            errors=errors,
            problem="" if error is None or (isinstance(error, Invalid) and errors) else str(error),
            changed=isinstance(error, Conflict),
            first=today(),
            refusal=found.refusal if allowed("run", NAME) else None,
            may_run=allowed("run", NAME) and not found.refusal,
        )
        return page, error.http if error is not None else 200


def _receivers(form: Mapping[str, str]) -> dict[str, int]:
    """Per kind the one chosen for it, else the one for everything; kinds not ticked are left."""
    out = {}
    for key in giving():
        given = form.get(f"receiver.{key}") or form.get("receiver") or ""
        if form.get(f"take.{key}") and given.isdecimal() and len(given) < 10:
            out[key] = int(given)
    return out


def _first_day(user_id: int) -> date:
    """The day after the last one, if that is known to the reader; else today."""
    last = session().scalar(select(Employment.left_on).where(Employment.user_id == user_id))
    return max(today(), last + timedelta(days=1)) if last is not None else today()


def leaving() -> list[dict[str, Any]]:
    """Who leaves or has left, as far as the reader knows of it, and still answers for something. Two statements."""
    last = Employment.left_on
    # the last day is known to HR only; to others whoever does not work here may also be yet to come
    known = last.is_not(None) if "staff" in context().scopes else ~Employee.active
    asked = (
        select(Employee.id, Employee.user_id, Employee.name, Employee.active, last.label("last_day"))
        .outerjoin(Employment, Employment.employee_id == Employee.id)
        .where(known, or_(last.is_(None), last >= today() - timedelta(days=SINCE)))
        .order_by(last.desc().nulls_last(), Employee.number)
        .limit(500)
    )
    people = session().execute(asked).all()
    open_ = handover.counts([p.user_id for p in people])
    labels = {k.key: str(k.label) for k in giving().values()}
    return [
        {
            "id": p.user_id,
            "name": p.name,
            "last_day": words.day(p.last_day) if p.last_day else None,
            "gone": not p.active,
            "count": sum(open_[p.user_id].values()),
            "what": [{"label": labels[k], "count": n} for k, n in open_[p.user_id].items()],
        }
        for p in people
        if p.user_id in open_
    ]


def box(record: Employee) -> dict[str, Any] | None:
    """The side of a person's page: what is open, and the way to hand it over; for those who may. One statement."""
    if not allowed("view", NAME):
        return None
    found = handover.counts([record.user_id]).get(record.user_id, {})
    labels = {k.key: str(k.label) for k in giving().values()}
    shown = [{"label": labels[k], "value": words.number(n)} for k, n in found.items()]
    text = _("Hand over work") if found else _("Nothing is open")
    return {
        "title": _("Answers for in all"),
        "rows": [*shown, {"label": _("Open work"), "value": text, "url": f"/hand-over/{record.user_id}"}],
    }


@card(
    "open_work", title=_l("Open work of people who leave"), permission=("view", NAME), order=35,
    visible=lambda ctx: "staff_admin" in ctx.scopes,
)  # fmt: skip
def open_work(ctx: Context) -> tuple[str, Mapping[str, Any]] | None:
    """People who leave or have left and still answer for something."""
    people = leaving()
    if not people:
        return None
    gone = any(p["gone"] for p in people)
    hint = str(ngettext("%(num)s person", "%(num)s people", len(people)))
    return "hr/card_open_work.html", {"people": people[:5], "count": len(people), "hot": gone, "hint": hint, "more_url": "/hand-over/"}
