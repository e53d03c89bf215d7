"""Leave and trips: one's own, and those of the people one answers for."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from modules.hr.actions.leave import answers
from modules.hr.models import Employee, Leave
from portal.kernel.calendar import WorkingCalendar, today
from portal.kernel.db import session
from portal.kernel.i18n import _, _l
from portal.web import words
from portal.web.home import card
from portal.web.rows import Row
from portal.web.screen import Screen
from security.visibility import Context, context, viewer


class Leaves(Screen, model=Leave):
    """Leave of the reader and of the reader's people."""

    route_base = "/leaves"
    menu = "Work"
    menu_order = 60
    icon = "beach"
    title = _l("Leave")
    list_columns = ("user", "kind", "from_day", "to_day", "days", "state", "number")
    show_columns = ("user", "kind", "from_day", "from_half", "to_day", "to_half", "days", "reason", "decided_by", "decision_note", "number")
    add_columns = ("kind", "from_day", "from_half", "to_day", "to_half", "reason")
    edit_columns = ("kind", "from_day", "from_half", "to_day", "to_half", "reason")
    search_columns = ("number", "reason")
    filters = ("user", "kind", "state", "from_day", "to_day")
    order = ("from_day", "desc")
    track = ("draft", "submitted", "approved")
    tabs = ((_l("To answer"), "f.state=submitted"), (_l("Approved"), "f.state=approved"))
    sections = (
        (_l("When"), ("kind", "days", "from_day", "from_half", "to_day", "to_half")),
        (_l("Why"), ("user", "reason")),
        (_l("Answer"), ("decided_by", "decision_note", "number")),
    )
    add_label = _l("Ask for leave")
    empty = {"icon": "beach", "title": _l("No leave yet"), "text": _l("Ask for leave or enter a business trip; your head is told at once.")}

    def _defaults(self, ctx: Context) -> Mapping[str, Any]:
        day = WorkingCalendar.load().next_workday(today())
        return {"kind": "annual", "from_day": day, "to_day": day, "from_half": "am", "to_half": "pm"}

    def heading(self, record: Any, row: Row) -> str:
        text = super().heading(record, row)
        return text if record.user_id == context().me else f"{row.labels.get('user_id') or ''} · {text}"

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """For whoever answers: who else is away then."""
        if record.user_id == context().me or not (context().seen_ids("headed_departments") or "staff" in context().scopes):
            return {}
        return {"side": [{"title": _("Also away then"), "rows": also_away(record) or [{"label": _("Nobody"), "value": ""}]}]}


def also_away(leave: Leave) -> list[dict[str, str]]:
    """Others of the same department with leave that shares a day, as far as the reader may see it."""
    department = select(Employee.department_id).where(Employee.user_id == leave.user_id).scalar_subquery()
    found = session().execute(
        select(Leave.id, Employee.name, Leave.kind, Leave.from_day, Leave.to_day, Leave.state)
        .join(Employee, Employee.user_id == Leave.user_id)
        .where(
            Employee.department_id == department,
            Leave.user_id != leave.user_id,
            Leave.state.in_(("submitted", "approved")),
            Leave.from_day <= leave.to_day,
            Leave.to_day >= leave.from_day,
        )
        .order_by(Leave.from_day)
        .limit(10)
    )
    return [
        {
            "label": f"{r.name} · {Leave.KINDS[r.kind]}",
            "value": f"{words.day(r.from_day)} – {words.day(r.to_day)}",
            "url": f"/leaves/{r.id}",
        }
        for r in found
    ]


def _to_answer(limit: int) -> Sequence[Any]:
    return (
        session()
        .execute(
            select(Leave.id, Leave.version, Employee.name, Leave.kind, Leave.from_day, Leave.to_day, Leave.days, Leave.reason)
            .join(Employee, Employee.user_id == Leave.user_id)
            .where(Leave.state == "submitted", answers(Leave, viewer()))
            .order_by(Leave.from_day, Leave.id)
            .limit(limit)
        )
        .all()
    )


@card(
    "leaves",
    title=_l("Leave to answer"),
    permission=("approve", "hr.Leave"),
    visible=lambda ctx: bool(ctx.ids("headed_departments")) or "staff_admin" in ctx.scopes,
    order=30,
)
def leaves_to_answer() -> tuple[str, Mapping[str, Any]] | None:
    """Leave that waits for the reader, to be approved with one click."""
    waiting = _to_answer(6)
    if not waiting:
        return None
    rows = [
        {
            "id": r.id,
            "version": r.version,
            "name": r.name,
            "kind": str(Leave.KINDS[r.kind]),
            "from_day": words.day(r.from_day),
            "to_day": words.day(r.to_day),
            "days": f"{r.days:f}".rstrip("0").rstrip(".") if r.days is not None else "",
            "reason": r.reason or "",
            "soon": (r.from_day - today()).days <= 2,
        }
        for r in waiting[:5]
    ]
    return "hr/card_leaves.html", {
        "rows": rows,
        "count": len(rows) if len(waiting) < 6 else "5+",
        "hot": any(r["soon"] for r in rows),
        "more_url": "/leaves/?f.state=submitted",
    }
