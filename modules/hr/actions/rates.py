"""What a grade costs over time: a new rate closes the one before, a past one is never touched (HRM-03)."""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from modules.hr import rules
from modules.hr.models import Grade, GradeRate
from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.errors import Invalid, Refusal
from portal.kernel.i18n import _, _l
from portal.kernel.money import cents
from security.transitions import Argument, operation


def _sees_rates(c: Any, v: Any) -> Any:
    return v.holds("staff_admin") & v.holds("rates")


def rate_of(grade_id: int, day: date) -> GradeRate | None:
    """The rate of a grade on *day*, as far as the person at hand may see rates."""
    return rules.rate_on(session().scalars(select(GradeRate).where(GradeRate.grade_id == grade_id)).all(), day)


AMOUNTS = {
    "base_salary": Argument("decimal", _l("Base salary per month (yuan)"), required=True),
    "performance_pay": Argument("decimal", _l("Performance pay per month (yuan)"), required=True),
    "project_performance": Argument("decimal", _l("Project performance per month (yuan)"), required=True),
    "daily_cost": Argument("decimal", _l("Average cost per person-day (yuan)"), required=True),
}


@operation(
    by=_sees_rates, label=_l("New rate"), icon="coin", arguments={"from_day": Argument("date", _l("From"), required=True), **AMOUNTS}
)
def set_rate(grade: Grade, from_day: date, **amounts: Decimal) -> None:
    """The grade has these amounts from a day on; the rate before ends there."""
    s = session()
    problems = {k: _("Not below zero and with at most two decimal places.") for k, v in amounts.items() if v < 0 or v != cents(v)}
    if problems:
        raise Invalid(problems)
    rates = list(s.scalars(select(GradeRate).where(GradeRate.grade_id == grade.id).order_by(GradeRate.from_day)))
    latest = rates[-1] if rates else None
    match rules.may_begin(from_day, latest.from_day if latest else None, today()):
        case "past":
            raise Invalid({"from_day": _("Figures of the past do not change: a new rate begins today or later.")})
        case "order":
            raise Invalid({"from_day": _("A later rate is already there; withdraw it first.")})
    if latest is not None and (latest.to_day is None or latest.to_day > from_day):
        latest.to_day = from_day
        s.flush()
    s.add(GradeRate(grade_id=grade.id, from_day=from_day, **amounts))


@operation(by=_sees_rates, label=_l("Withdraw"), icon="arrow-back-up", name="withdraw")
def withdraw_rate(rate: GradeRate) -> None:
    """A rate that has not begun disappears and the one before goes on."""
    s = session()
    if rate.from_day <= today():
        raise Refusal(_("This rate has begun; it can only be followed by a new one."), code="in_effect")
    before = s.scalar(select(GradeRate).where(GradeRate.grade_id == rate.grade_id, GradeRate.to_day == rate.from_day))
    rate.archived_at = func.now()
    s.flush()
    if before is not None:
        before.to_day = rate.to_day
