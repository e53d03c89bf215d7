"""Who has not reported yet, and telling them, later their heads (DAY-07)."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from sqlalchemy import select

from modules.dailyreport import rules
from modules.dailyreport.actions.admission import deadline_time
from modules.dailyreport.models import DailyReport
from modules.hr.actions import heads_of_many, on_leave
from modules.hr.models import Employee, Employment
from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import session
from portal.notify.notices import notify, notify_each
from security.visibility import acting, context

BEFORE = timedelta(hours=1)
"""How long before the deadline people are reminded."""
AFTER = timedelta(hours=2)
"""How long after the deadline heads may still be told: a scheduler that was away catches up."""


def missing_on(day: date) -> list[int]:
    """User ids of people whose report of *day* is due and not handed in: employed on it, not on leave. Three statements."""
    s = session()
    employed = s.scalars(
        select(Employment.user_id)
        .join(Employee, Employee.id == Employment.employee_id)
        .where(Employee.active, Employment.joined_on <= day, Employment.left_on.is_(None) | (Employment.left_on >= day))
        .order_by(Employment.user_id)
    ).all()
    done = set(s.scalars(select(DailyReport.author_id).where(DailyReport.day == day, DailyReport.state == "submitted")))
    away = {person for person, leave in on_leave(employed, day).items() if leave.whole_day}
    return [person for person in employed if person not in done and person not in away]


def remind(people: Iterable[int], day: date) -> int:
    """Tells *people* that the person at hand waits for their report of *day*, once. Returns how many were told."""
    with acting():
        return notify(list(people), "dailyreport.urged", params={"day": day.isoformat()}, key=f"dailyreport.urged:{day}:{context().me}")


def remind_today(today: date) -> int:
    """Towards the end of the working day: the report of *today* is not there yet. Inside `unrestricted`."""
    return notify(missing_on(today), "dailyreport.missing", params={"day": today.isoformat()}, key=f"dailyreport.missing:{today}")


def around_deadline(now: datetime) -> tuple[int, int]:
    """Before the deadline of the last working day reminds people, after it tells their heads. Returns how many of each.

    Run as often as one likes: everybody hears it once a day. Inside `unrestricted`.
    """
    working = WorkingCalendar.load()
    today = calendar.local(now).date()
    day = working.previous_workday(today)
    for one in (day, today) if working.is_workday(today) else (day,):
        due = _due(one, working)
        if due - BEFORE <= now <= due:
            missing = missing_on(one)
            at_work = [person for person in missing if person not in on_leave(missing, today)]
            params = {"day": one.isoformat(), "time": deadline_time.get().strftime("%H:%M")}
            return notify(at_work, "dailyreport.due", params=params, key=f"dailyreport.due:{one}"), 0
    for one in (day, working.previous_workday(today, 2)):
        due = _due(one, working)
        if due < now <= _told_until(due, working):
            return 0, tell_heads(one)
    return 0, 0


def _due(day: date, working: WorkingCalendar) -> datetime:
    return rules.report_deadline(day, working.next_workday, deadline_time.get(), calendar.zone())


def _told_until(due: datetime, working: WorkingCalendar) -> datetime:
    """When telling the heads ends; after a deadline shortly before midnight they still hear of it early on the next working day."""
    day = calendar.local(due).date()
    same_day = calendar.local(due + AFTER).date() == day
    return due + AFTER if same_day else calendar.moment(working.next_workday(day), 0) + AFTER


def tell_heads(day: date) -> int:
    """Tells the nearest head of everybody missing on *day*, one notice each. Returns how many heads. Inside `unrestricted`."""
    teams: dict[int, list[int]] = defaultdict(list)
    for person, heads in heads_of_many(missing_on(day)).items():
        for head in heads:
            teams[head].append(person)
    rows = [
        {
            "receiver": head,
            "record_type": None,
            "record_id": None,
            "params": {"day": day.isoformat(), "people": sorted(people)},
            "key": f"dailyreport.team_missing:{day}",
        }
        for head, people in sorted(teams.items())
    ]
    return notify_each("dailyreport.team_missing", rows)
