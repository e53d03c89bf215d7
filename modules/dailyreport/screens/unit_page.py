"""What the pages of a department subtree over a period have in common: the choice of both, and addresses with it."""

from typing import Any
from urllib.parse import urlencode

from flask import request

from modules.dailyreport.reports.period import KINDS, Period, period_of
from modules.dailyreport.reports.team import Unit, units
from portal.kernel.errors import BadRequest, NotFound
from portal.kernel.i18n import _
from portal.web.query import asked_day


class OfUnit:
    """Beside `Page`: `by`, `day` and `unit` of the request are period and department."""

    route_base: str

    def asked(self, kind: str) -> tuple[Period, dict[int, Unit], Unit]:
        """The period (of *kind* unless asked otherwise), the departments the person answers for, and the one shown."""
        by = request.args.get("by", kind)
        if by not in KINDS:
            raise BadRequest(_("There is no such period."))
        day = asked_day()
        known = units()
        if not known:
            raise NotFound(_("You do not answer for a department."))
        wanted = request.args.get("unit", "")
        if wanted and not (wanted.isdecimal() and len(wanted) < 19 and int(wanted) in known):
            raise NotFound(_("There is no such department."))
        unit = known[int(wanted)] if wanted else self.top(known)
        return period_of(by, day), known, unit

    @staticmethod
    def top(known: dict[int, Unit]) -> Unit:
        """What is shown first: the subtree of the only department on top, or all of them together."""
        roots = [u for u in known.values() if u.parent_id not in known]
        if len(roots) == 1:
            return roots[0]
        return Unit(0, _("All departments"), None, frozenset().union(*(u.ids for u in roots)))

    @staticmethod
    def below(known: dict[int, Unit], unit: Unit) -> list[Unit]:
        """The departments right below *unit*."""
        return [u for u in known.values() if (u.parent_id == unit.id if unit.id else u.parent_id not in known)]

    def address(self, period: Period, unit: Unit, **more: Any) -> str:
        """This page for *period* and *unit*."""
        values = {"by": period.kind, "day": period.start.isoformat(), **({"unit": unit.id} if unit.id else {}), **more}
        return f"{self.route_base}/?{urlencode(values)}"
