"""Statistics of reports: fill rate, timeliness, distribution, utilisation, over-allocation; every figure opens its rows (DAY-08)."""

from typing import Any
from urllib.parse import urlencode

from modules.dailyreport import rules
from modules.dailyreport.reports.period import Period, period_of
from modules.dailyreport.reports.statistics import Statistics, statistics, trend
from modules.dailyreport.reports.team import people_of
from modules.dailyreport.screens.board_parts import heads_people, percent
from modules.dailyreport.screens.unit_page import OfUnit
from portal.kernel import calendar
from portal.kernel.i18n import _, _l
from portal.web import words
from portal.web.page import Page, route
from portal.web.query import asked_day

TABLE = 40
"""People in the table at once; the figures are of all of them."""


class ReportStatistics(OfUnit, Page):
    """Figures of a department subtree over a week or a month."""

    name = "dailyreport.Statistics"
    route_base = "/report-statistics"
    menu = "Work"
    menu_order = 50
    icon = "chart-bar"
    title = _l("Report statistics")
    visible = heads_people

    @route("/")
    def show(self) -> str:
        """The figures."""
        period, known, unit = self.asked("month")
        people = people_of(unit.ids, period)
        found = statistics(people, period)
        rows = sorted(found.people, key=lambda p: (p.fill_rate if p.fill_rate is not None else 2, p.person.name))
        return self.render(
            "dailyreport/statistics.html",
            subtitle=f"{unit.name} · {period.words}",
            period=period,
            stats=found,
            rows=rows[:TABLE],
            more=max(0, len(rows) - TABLE),
            figures=self._figures(found, period),
            seg=[
                {"label": label, "url": self.address(period_of(kind, asked_day()), unit), "current": kind == period.kind}
                for kind, label in (("week", _("Weekly")), ("month", _("Monthly")))
            ],
            previous=self.address(period.before, unit),
            following=self.address(period.after, unit) if period.end <= calendar.today() else None,
            subs=[{"label": s.name, "url": self.address(period, s)} for s in self.below(known, unit)],
            all_url=self.address(period, self.top(known)) if unit.id and unit.id != self.top(known).id else None,
            chart=_trend_chart(people, period),
            shares=found.shares[:12],
            opened=lambda base, **more: opened(base, period, **more),
            percent=percent,
            wanted=rules.FILL_WANTED,
            words=words,
        )

    @staticmethod
    def _figures(found: Statistics, period: Period) -> list[dict[str, Any]]:
        ids = [p.person.id for p in found.people]
        many = {"f.author_id": ",".join(map(str, ids))} if len(ids) <= 100 else None

        def link(base: str, **more: Any) -> str | None:
            return opened(base, period, **more, **many) if many is not None else None

        missing = found.total("due") - found.total("submitted")
        return [
            {
                "label": _("Fill rate"),
                "value": percent(found.fill_rate),
                "hint": _(
                    "%(done)s of %(due)s due, %(missing)s missing", done=found.total("submitted"), due=found.total("due"), missing=missing
                ),
                "tone": "risk" if found.fill_rate is not None and found.fill_rate < rules.FILL_WANTED else "",
                "url": link("/daily-reports/", **{"f.state": "submitted"}),
            },
            {
                "label": _("On time"),
                "value": percent(found.timeliness),
                "hint": _("%(n)s reports by the deadline", n=found.total("on_time")),
                "url": link("/daily-reports/", **{"f.late": "0", "f.state": "submitted"}),
            },
            {
                "label": _("Hours"),
                "value": words.hours(found.total("hours")),
                "hint": _("h, overtime %(hours)s h", hours=words.hours(found.total("overtime"))),
                "url": link("/daily-report-lines/", **{"f.state": ["submitted", "confirmed", "returned"]}),
            },
            {
                "label": _("Utilisation"),
                "value": percent(found.utilisation),
                "hint": _("%(hours)s h on projects", hours=words.hours(found.total("project_hours"))),
                "url": "#projects",
            },
            {
                "label": _("Over-allocated"),
                "value": str(len(found.over_allocated)),
                "hint": _("people above 8 h a day due"),
                "tone": "warn" if found.over_allocated else "",
                "url": "#people",
            },
        ]


def opened(base: str, period: Period, **more: Any) -> str:
    """Address of the rows behind a figure of *period*."""
    pairs: list[tuple[str, Any]] = [("f.day.from", period.start.isoformat()), ("f.day.to", period.last.isoformat())]
    for name, value in more.items():
        key = name.replace("__", ".")
        pairs += [(key, v) for v in value] if isinstance(value, list) else [(key, value)]
    return f"{base}?{urlencode(pairs, safe=',')}"


def _trend_chart(people: Any, period: Period) -> dict[str, Any] | None:
    rates = {w.period: w.rate for w in trend(people, period) if w.rate is not None}
    if len(rates) < 2:
        return None
    first, *_between, last = rates.values()
    return {
        "sentence": _(
            "The fill rate went from %(first)s to %(last)s in %(n)s weeks (%(difference)s points).",
            first=percent(first),
            last=percent(last),
            n=len(rates),
            difference=f"{rules.percentage(last - first):+}",
        ),
        "data": {
            "unit": "%",
            "labels": [f"{week.start.month}-{week.start.day}" for week in rates],
            "series": [{"name": _("Fill rate"), "values": [rules.percentage(rate) for rate in rates.values()]}],
        },
    }
