"""What daily reports do when something happens elsewhere, the words of their notices, and their risk rules."""

from datetime import date
from typing import Any

from sqlalchemy import select

from modules.dailyreport import rules
from modules.dailyreport.actions.admission import deadline_time
from modules.dailyreport.actions.writing import relabel
from modules.dailyreport.events import CommentAdded, LineReturned, LinesHandedIn
from modules.dailyreport.models import LineText, ReportComment, ReportLine
from modules.dailyreport.reports.period import day_words
from modules.hr.models import Employee
from modules.project.events import ProjectRenamed
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.events import after, on
from portal.kernel.i18n import _, _l, listed
from portal.notify.notices import Message, notice_kind, notify
from portal.notify.rules import Scan, warning_rule
from portal.notify.warnings import scan_soon
from security.visibility import context


# ------------------------------------------------------------------ words of notices
@notice_kind("dailyreport.missing", title=_l("Daily report not written yet"), mail="now")
def _missing(record: Any, day: str) -> Message:
    text = day_words(date.fromisoformat(day))
    return Message(_("Please write your report of %(day)s", day=text), _("It takes a minute."), f"/my-report/?day={day}", "warn")


@notice_kind("dailyreport.due", title=_l("Daily report due soon"), mail="now")
def _due(record: Any, day: str, time: str) -> Message:
    text = day_words(date.fromisoformat(day))
    body = _("After that it counts as late.")
    return Message(_("The report of %(day)s is due at %(time)s", day=text, time=time), body, f"/my-report/?day={day}", "warn")


@notice_kind("dailyreport.urged", title=_l("Your head waits for your daily report"), mail="now")
def _urged(record: Any, day: str) -> Message:
    text = day_words(date.fromisoformat(day))
    return Message(_("Your head waits for your report of %(day)s", day=text), "", f"/my-report/?day={day}", "warn")


@notice_kind("dailyreport.team_missing", title=_l("Reports missing in your team"), mail="now")
def _team_missing(record: Any, day: str, people: list[int]) -> Message:
    # only those the receiver answers for today: somebody may have moved since
    staff = set(context().ids("staff"))
    names = (
        session()
        .scalars(select(Employee.name).where(Employee.user_id.in_([p for p in people if p in staff])).order_by(Employee.name))
        .all()
    )
    text = day_words(date.fromisoformat(day))
    title = _("%(n)s reports of %(day)s are missing in your team", n=len(names), day=text)
    return Message(title, listed(names), f"/team-board/?by=day&day={day}", "warn")


@notice_kind("dailyreport.returned", title=_l("A line of your report was returned"), mail="now")
def _returned(record: Any, day: str) -> Message:
    line: ReportLine = record
    reason = session().scalar(select(LineText.return_reason).where(LineText.line_id == line.id)) or ""
    title = _("Returned: %(label)s on %(day)s", label=line.project_label or _("other work"), day=day_words(line.day))
    return Message(title, reason, f"/my-report/?day={day}", "warn")


@notice_kind("dailyreport.commented", title=_l("A comment on a daily report"), mail="digest")
def _commented(record: Any, day: str) -> Message:
    remark: ReportComment = record
    who = session().scalar(select(Employee.name).where(Employee.user_id == remark.author_id)) or ""
    title = _("%(who)s commented on the report of %(day)s", who=who, day=day_words(date.fromisoformat(day)))
    return Message(title, remark.body[:200], f"/daily-reports/{remark.report_id}")


# ------------------------------------------------------------------ events
@on(LineReturned)
def tell_author(event: LineReturned) -> None:
    """The author learns that a line came back."""
    line = session().get(ReportLine, event.line_id)
    if line is not None and event.decided_by != event.author_id:
        key = f"dailyreport.returned:{event.line_id}:{line.version}"
        notify([event.author_id], "dailyreport.returned", line, {"day": event.day.isoformat()}, key=key)


@on(CommentAdded)
def tell_commented(event: CommentAdded) -> None:
    """The report's author hears of a comment; when the author answers, those who commented before do."""
    remark = session().get(ReportComment, event.comment_id)
    if remark is None:
        return
    if event.author_id != event.report_author_id:
        receivers = {event.report_author_id}
    else:
        receivers = set(session().scalars(select(ReportComment.author_id).where(ReportComment.report_id == event.report_id)))
    notify(
        sorted(receivers - {event.author_id}), "dailyreport.commented", remark, {"day": event.day.isoformat()},
        key=f"dailyreport.commented:{event.comment_id}",
    )  # fmt: skip


@on(LinesHandedIn)
def look_again(event: LinesHandedIn) -> None:
    """What was missing came in: warnings about it close soon, not only at night (ALR-02). A report in hand never raises one."""
    for code in ("dailyreport.project_silent", "dailyreport.fill_rate_low"):
        scan_soon(code)


@after(ProjectRenamed)
def refresh_labels(event: ProjectRenamed) -> None:
    """Lines show the project's present number and name, also to those who may not see it."""
    relabel(event.id, event.label)


# ------------------------------------------------------------------ risk rules (ALR-02)
def last_due_day(scan: Scan) -> date:
    """The last working day whose reports are due: until the deadline yesterday's may still come."""
    day = scan.workdays_ago(1)
    due = rules.report_deadline(day, scan.calendar.next_workday, deadline_time.get(), calendar.zone())
    return day if scan.now > due else scan.workdays_ago(2)


def _since(scan: Scan, days: int) -> date:
    """First of the last *days* working days whose reports are due."""
    last = last_due_day(scan)
    return scan.calendar.previous_workday(last, days - 1) if days > 1 else last


@warning_rule(
    "dailyreport.project_silent",
    label=_l("Active project without daily reports"),
    title=_l("%(subject)s: no daily report for %(days)s working days"),
    body=_l("Last report: %(last)s. Is anybody working on it, or should it be paused?"),
    parameters={"days": 3},
    labels={"days": _l("Working days")},
)
def project_silent(scan: Scan) -> tuple[str, dict[str, Any]]:
    """Active projects without a line in the last n working days; one index look-up per project."""
    return (
        """select 'project_project' as record_type, p.id as record_id, p.id as project_id, p.domain_id,
                  coalesce(p.number || ' ', '') || p.name as subject,
                  array_remove(array[p.pm_id, d.manager_id], null)::bigint[] as receivers,
                  jsonb_build_object('last', coalesce(last.day::text, '—')) as params
             from project_project p join project_domain d on d.id = p.domain_id
             left join lateral (select l.day from dailyreport_line l
                                 where l.project_id = p.id and l.archived_at is null and l.state <> 'open'
                                 order by l.day desc, l.id desc limit 1) last on true
            where p.state = 'active' and p.archived_at is null and coalesce(last.day, p.started_on, p.starts_on) < :since""",
        {"since": _since(scan, int(scan.parameters["days"]))},
    )


@warning_rule(
    "dailyreport.fill_rate_low",
    label=_l("Low fill rate of a team"),
    title=_l("%(subject)s: %(rate)s %% of the reports of the last %(days)s working days are there"),
    body=_l("%(missing)s of %(due)s reports are missing; the limit is %(percent)s %%."),
    parameters={"percent": 80, "days": 5},
    labels={"percent": _l("Lowest fill rate in per cent"), "days": _l("Working days")},
)
def fill_rate_low(scan: Scan) -> tuple[str, dict[str, Any]]:
    """Departments whose own people reported less than the limit over the last n working days; leave is not due."""
    last = last_due_day(scan)
    days = scan.calendar.workdays(_since(scan, int(scan.parameters["days"])), date.fromordinal(last.toordinal() + 1))
    return (
        """with due as (
             select e.department_id, e.user_id, d.day
               from hr_employee e join hr_employment m on m.employee_id = e.id cross join unnest(cast(:workdays as date[])) as d(day)
              where e.active and e.archived_at is null and m.joined_on <= d.day and (m.left_on is null or m.left_on >= d.day)
                and not exists (select from hr_leave v
                                 where v.user_id = e.user_id and v.state = 'approved' and v.kind <> 'trip' and v.archived_at is null
                                   and (v.from_day < d.day or v.from_day = d.day and v.from_half = 'am')
                                   and (v.to_day > d.day or v.to_day = d.day and v.to_half = 'pm'))),
           rates as (
             select due.department_id, count(*) as due, count(r.id) as done
               from due left join dailyreport_report r on r.author_id = due.user_id and r.day = due.day and r.state = 'submitted'
                and r.archived_at is null
              group by due.department_id)
           select 'hr_department' as record_type, t.id as record_id, t.id as department_id, t.name as subject,
                  case when x.done * 2 < x.due then 'risk' else 'warn' end as severity,
                  array(select h.user_id from hr_department_head h
                         where h.department_id = t.id and h.archived_at is null and h.from_day <= :today
                           and (h.to_day is null or h.to_day > :today))::bigint[] as receivers,
                  jsonb_build_object('rate', round(100.0 * x.done / x.due, 1), 'missing', x.due - x.done, 'due', x.due) as params
             from rates x join hr_department t on t.id = x.department_id
            where x.done * 100 < cast(:percent as numeric) * x.due""",
        {"workdays": days},
    )
