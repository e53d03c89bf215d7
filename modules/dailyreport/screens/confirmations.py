"""What waits for one's confirmation: lines on managed projects and other work of the staff (DAY-03)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import orjson
from flask import flash, make_response, redirect, request
from sqlalchemy import func, literal, select
from sqlalchemy.orm import aliased
from werkzeug.wrappers import Response as AnyResponse

from modules.dailyreport.actions.deciding import UNDO_SECONDS, waits_for
from modules.dailyreport.models import CATEGORIES, LineText, ReportLine
from modules.dailyreport.reports.period import day_words
from modules.dailyreport.reports.team import visible_projects
from modules.hr.models import Employee
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.errors import PortalError
from portal.kernel.i18n import _, _l, ngettext
from portal.web.frame import fragment
from portal.web.page import Page, route
from security.transitions import perform_many
from security.visibility import Context, context, viewer

LIMIT = 30
"""Lines on the page at once; the oldest first, so nothing waits for ever."""


@dataclass
class Item:
    """A waiting line. *done* is None when its content is not for the reader."""

    id: int
    who: str
    day: date
    hours: Decimal
    what: str
    done: str | None
    reversal: bool


@dataclass
class Group:
    """Waiting lines of one project, or the other work of one person."""

    key: str
    label: str
    url: str | None
    items: list[Item] = field(default_factory=list)

    @property
    def hours(self) -> Decimal:
        return sum((i.hours for i in self.items), Decimal(0))


def waiting(limit: int = LIMIT) -> list[Group]:
    """The lines that wait, by project, other work by person; not those of closed months, which would wait for ever. Two statements."""
    return _grouped(_lines(limit, 0), links=True)


def waiting_and_count(limit: int) -> tuple[list[Group], int]:
    """The same without links, and how many lines wait in all. One statement."""
    x = aliased(ReportLine)
    found = _lines(limit, select(func.count()).select_from(x).where(waits_for(x, viewer())).scalar_subquery())
    return _grouped(found, links=False), found[0][-1] if found else 0


def _lines(limit: int, count: Any) -> Sequence[Any]:
    x, t = ReportLine, LineText
    return (
        session()
        .execute(
            select(x, Employee.name, t.id, t.done, literal(count) if isinstance(count, int) else count)
            .join(Employee, Employee.user_id == x.author_id)
            .outerjoin(t, t.line_id == x.id)
            .where(waits_for(x, viewer()))
            .order_by(x.day, x.id)
            .limit(limit)
        )
        .all()
    )


def _grouped(rows: Sequence[Any], links: bool) -> list[Group]:
    seen = visible_projects({line.project_id for line, *_rest in rows if line.project_id}) if links else set()
    groups: dict[str, Group] = {}
    for line, who, text_id, done, _count in rows:
        key = f"p{line.project_id}" if line.project_id else f"u{line.author_id}"
        if key not in groups:
            label = line.project_label if line.project_id else _("%(who)s: other work", who=who)
            groups[key] = Group(key, label or "", f"/projects/{line.project_id}" if line.project_id in seen else None)
        what = str(CATEGORIES[line.category]) if line.category else ""
        item = Item(line.id, who, line.day, line.hours, what, done if text_id else None, line.reversal_of_id is not None)
        groups[key].items.append(item)
    return sorted(groups.values(), key=lambda g: (g.key[0] == "u", g.label))


def decides_at_all(ctx: Context) -> bool:
    """Whether the person ever has anything to confirm: manages a project or heads a department."""
    return bool(ctx.ids("managed_projects") or ctx.ids("headed_departments"))


class Confirmations(Page):
    """Confirm or return with one thumb; a confirmation can be taken back for a minute."""

    name = "dailyreport.Confirmations"
    route_base = "/confirmations"
    menu = "Work"
    menu_order = 15
    icon = "clipboard-check"
    title = _l("To confirm")
    visible = decides_at_all

    @route("/")
    def show(self) -> str:
        """Everything that waits."""
        return self.render("dailyreport/confirmations.html", **self._values())

    def _values(self) -> dict[str, Any]:
        groups = waiting()
        return {
            "groups": groups,
            "count": sum(len(g.items) for g in groups),
            "limit": LIMIT,
            "recent": self._recent(),
            "day_words": day_words,
        }

    @staticmethod
    def _recent() -> list[int]:
        """Lines the person confirmed so lately that it can be taken back."""
        x = ReportLine
        since = calendar.now() - timedelta(seconds=UNDO_SECONDS)
        found = select(x.id).where(x.decided_by == context().me, x.decided_at > since, x.state == "confirmed").order_by(x.decided_at.desc())
        return list(session().scalars(found.limit(LIMIT)))

    @route("/", methods=["POST"])
    def decide(self) -> AnyResponse | str:
        """Confirms the chosen lines, or returns one with its reason."""
        form = request.form
        if form.get("return"):
            pk = _whole(form["return"])
            done, failed = perform_many(ReportLine, "return", [pk], {"reason": form.get(f"reason-{pk}", "")})
            text = _("The line is returned; its author is told.")
            return self._answer(text, done, failed, undo=False)
        if form.get("one"):
            ids = [_whole(form["one"])]
        elif form.get("group"):
            ids = [i.id for g in waiting() if g.key == form["group"] for i in g.items]
        else:
            ids = [_whole(i) for i in form.getlist("ids")][:LIMIT]
        done, failed = perform_many(ReportLine, "confirm", ids)
        return self._answer(ngettext("%(num)s line confirmed.", "%(num)s lines confirmed.", len(done)), done, failed, undo=True)

    @route("/undo", methods=["POST"])
    def undo(self) -> AnyResponse | str:
        """Takes confirmations of the last minute back."""
        asked = [_whole(i) for i in request.args.get("ids", "").split(",") if i]
        done, failed = perform_many(ReportLine, "undo", asked or self._recent())
        text = ngettext("%(num)s confirmation taken back.", "%(num)s confirmations taken back.", len(done))
        return self._answer(text, done, failed, undo=False)

    def _answer(self, text: str, done: Sequence[int], failed: dict[int, PortalError], undo: bool) -> AnyResponse | str:
        first = next(iter(failed.values()), None)
        problem = _("Please say what should be corrected.") if first and "reason" in first.fields else str(first or "")
        if not done and not failed:
            problem = _("Please choose at least one line.")
        if not request.headers.get("HX-Request"):
            if done:
                flash(text, "success")
            if problem:
                flash(problem, "danger")
            return redirect(f"{self.route_base}/", 303)
        toast: dict[str, Any] = {"text": f"{text if done else ''} {problem}".strip(), "tone": "risk" if problem else "ok"}
        if undo and done:
            toast["undo_url"] = f"{self.route_base}/undo?ids={','.join(map(str, done))}"
        response = make_response(fragment("dailyreport/_confirmations.html", again=True, **self._values()))
        response.headers["HX-Trigger"] = (
            orjson.dumps({"sn:toast": toast}, option=orjson.OPT_NON_STR_KEYS).decode().encode("ascii", "backslashreplace").decode()
        )
        return response


def _whole(value: str) -> int:
    return int(value) if value.isdecimal() and len(value) < 19 else 0
