"""Writing a report: keeping what is typed, saving lines, handing in, correcting what was confirmed."""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm.attributes import flag_modified

from modules.dailyreport import rules
from modules.dailyreport.actions.admission import WORDS, Day, LineEntry, ReportEntry, check_report, day_of, targets
from modules.dailyreport.events import LinesHandedIn, ReportSubmitted
from modules.dailyreport.models import DailyReport, LineText, ReportDraft, ReportLine, hold_months
from modules.hr.actions import heads_of
from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.errors import Conflict, Forbidden, Invalid, Refusal
from portal.kernel.events import publish
from portal.kernel.i18n import _, _l
from security.transitions import Argument, operation, transition
from security.transitions import text as text_argument
from security.visibility import acting, context

EDITABLE = ("open", "returned")


def me() -> int:
    """The person at hand."""
    person = context().me
    if person is None:
        raise Forbidden(_("Please sign in."))
    return person


# ------------------------------------------------------------------ what is typed and not yet handed in
def keep_draft(day: date, content: dict[str, Any], version: int | None = None) -> ReportDraft:
    """Keeps *content* as typed for *day*, whatever it breaks. *version* 0 or None: none was there when typing began.

    Raises Conflict with the stored content when another window saved meanwhile.
    """
    person = me()
    known = session().scalar(select(ReportDraft).where(ReportDraft.author_id == person, ReportDraft.day == day))
    if known is not None and version is not None and known.version != version and known.content != content:
        raise _elsewhere(known, content)
    with acting() as s:
        fresh = {"author_id": person, "day": day, "content": content, "saved_at": calendar.now()}
        # two at once: the second one waits here until the first is stored
        made = s.scalar(
            insert(ReportDraft)
            .values(fresh)
            .on_conflict_do_nothing(index_elements=["author_id", "day"], index_where=text("archived_at is null"))
            .returning(ReportDraft.id)
        )
        mine = select(ReportDraft).where(ReportDraft.author_id == person, ReportDraft.day == day)
        draft = s.scalars(mine.with_for_update().execution_options(populate_existing=True)).one()
        if made is None:
            if version is not None and draft.version != version and draft.content != content:
                raise _elsewhere(draft, content)
            draft.content, draft.saved_at = content, calendar.now()
            s.flush()
        pk = draft.id
    return session().get_one(ReportDraft, pk)


def _elsewhere(stored: ReportDraft, content: dict[str, Any]) -> Conflict:
    return Conflict(_("This report was edited in another window."), theirs=stored.content, yours=content, version=stored.version)


def drop_draft(person: int, day: date) -> None:
    """Forgets what *person* typed for *day*: it is in the report now. Inside an action."""
    session().execute(delete(ReportDraft).where(ReportDraft.author_id == person, ReportDraft.day == day))


# ------------------------------------------------------------------ saving and handing in
def write_report(entry: ReportEntry, submitting: bool, version: int | None = None) -> int:
    """Saves the person's report of a day as *entry* and, when *submitting*, hands it in. Returns its id.

    Lines that are confirmed or wait for confirmation stay as they are and are not part of *entry*; open and returned ones that
    *entry* leaves out are taken away. *version*: that of the report the person saw, 0 when there was none; a form sent twice must not
    count twice. Raises Invalid by field, Refusal, NotFound, Conflict.
    """
    person = me()
    mine = select(DailyReport.version).where(DailyReport.author_id == person, DailyReport.day == entry.day)
    _same(version, session().scalar(mine) or 0)  # first of all: the hours of a repetition would only seem too many
    hold_months()
    facts, allowed = day_of(person, entry.day), targets(person, entry.day)
    check_report(entry, facts, allowed, _locked_hours(person, entry.day), submitting)
    with acting():
        report, seen = _report(person, entry.day)
        _same(version, seen)
        lines = {line.id: line for line in _lines(report.id)}
        editable = {pk: line for pk, line in lines.items() if line.state in EDITABLE and line.reversal_of_id is None}
        locked = [line for pk, line in lines.items() if pk not in editable]
        check_report(entry, facts, allowed, [line.hours for line in locked], submitting)  # again, now under the lock
        for wanted in entry.lines:
            if wanted.id is not None and wanted.id not in editable:
                raise Refusal(_("This line no longer changes.") if wanted.id in lines else _("There is no such line in this report."))
        _store_lines(report, entry, editable, allowed)
        report.plan = entry.plan.strip() or None
        report.problems = entry.problems.strip() or None
        report.overtime = entry.overtime
        flag_modified(report, "overtime")  # each saving is a version, also when only lines differ
        session().flush()
        if submitting:
            hand_in(report, facts)
        else:
            _refresh_totals(report, facts.workday)
        drop_draft(person, entry.day)
        pk = report.id
    return pk


def _same(version: int | None, stored: int) -> None:
    if version is not None and version != stored:
        problem = _("This report was changed meanwhile, perhaps sent twice. Look at it and send again what is missing.")
        raise Conflict(problem, version=stored)


def _locked_hours(person: int, day: date) -> list[Decimal]:
    fixed = or_(ReportLine.state.not_in(EDITABLE), ReportLine.reversal_of_id.is_not(None))
    return list(session().scalars(select(ReportLine.hours).where(ReportLine.author_id == person, ReportLine.day == day, fixed)))


def _report(person: int, day: date) -> tuple[DailyReport, int]:
    """The person's report of *day*, locked, and its version; a new draft (version 0) when there is none."""
    s = session()
    # two windows at once: the second one waits here until the first is done
    made = s.scalar(
        insert(DailyReport)
        .values(author_id=person, day=day)
        .on_conflict_do_nothing(index_elements=["author_id", "day"], index_where=text("archived_at is null"))
        .returning(DailyReport.id)
    )
    mine = select(DailyReport).where(DailyReport.author_id == person, DailyReport.day == day)
    report = s.scalars(mine.with_for_update().execution_options(populate_existing=True)).one()
    return report, 0 if made is not None else report.version


def _lines(report_id: int) -> list[ReportLine]:
    found = select(ReportLine).where(ReportLine.report_id == report_id).order_by(ReportLine.position, ReportLine.id)
    return list(session().scalars(found.with_for_update().execution_options(populate_existing=True)))


def _store_lines(report: DailyReport, entry: ReportEntry, editable: dict[int, ReportLine], allowed: dict[int, str]) -> None:
    s = session()
    # a line that goes to another project becomes another line: its history is not for the other project's manager
    kept = {w.id for w in entry.lines if w.id in editable and (w.project_id, w.category) == target_of(editable[w.id])}
    for pk, line in editable.items():
        if pk not in kept:
            line.archived_at = calendar.now()
    texts = {t.line_id: t for t in s.scalars(select(LineText).where(LineText.line_id.in_(kept)))} if kept else {}
    fresh: list[tuple[ReportLine, str]] = []
    for position, wanted in enumerate(entry.lines):
        stored = editable[wanted.id] if wanted.id in kept else None
        line = stored or ReportLine(report_id=report.id, author_id=report.author_id, day=report.day)
        s.add(line)
        line.project_id, line.category = wanted.project_id, wanted.category
        line.project_label = allowed.get(wanted.project_id) if wanted.project_id is not None else None
        line.hours = wanted.hours
        line.position = position
        if wanted.id in texts:
            texts[wanted.id].done, texts[wanted.id].project_id = wanted.done.strip(), wanted.project_id
        else:
            fresh.append((line, wanted.done.strip()))
    s.flush()
    s.add_all(LineText(line_id=x.id, author_id=x.author_id, project_id=x.project_id, done=done) for x, done in fresh)


def target_of(line: ReportLine) -> tuple[int | None, str | None]:
    """Project and kind of work of *line*; with another target it is another line."""
    return line.project_id, line.category


def _refresh_totals(report: DailyReport, workday: bool) -> None:
    total = session().scalar(
        select(func.coalesce(func.sum(ReportLine.hours), 0)).where(ReportLine.report_id == report.id, ReportLine.archived_at.is_(None))
    )
    report.hours = Decimal(total or 0)
    report.overtime_hours = rules.overtime_hours(report.hours, workday)


def hand_in(report: DailyReport, facts: Day) -> None:
    """The report counts as handed in from now on and its open and returned lines wait for confirmation. Inside an action."""
    s = session()
    deciders = _deciders(report.author_id, report.id)
    first = report.state == "draft"
    for line in _lines(report.id):
        if line.state in EDITABLE:
            line.decider = deciders.get(line.project_id, "head")
            line.state, line.submitted_on, line.decided_by, line.decided_at = "submitted", calendar.today(), None, None
    if first:
        report.state, report.submitted_at = "submitted", calendar.now()
        report.late = rules.is_late(report.submitted_at, facts.deadline)
    _refresh_totals(report, facts.workday)
    s.flush()
    if first:
        publish(ReportSubmitted(report.id, report.author_id, report.day, report.late))
    publish(LinesHandedIn(report.id, report.author_id, report.day))


_PROJECTS = text(
    """select distinct l.project_id, p.pm_id = :author as own, d.manager_id is not null and d.manager_id <> :author as managed
         from dailyreport_line l join project_project p on p.id = l.project_id join project_domain d on d.id = p.domain_id
        where l.report_id = :report and l.archived_at is null"""
)


def _deciders(author: int, report_id: int) -> dict[int | None, str]:
    """Who decides on the lines of a report, by project (None: the lines on no project).

    The PM's own lines go to the domain manager or the head; somebody with nobody above decides alone.
    """
    s = session()
    head = bool(heads_of(author))
    found: dict[int | None, str] = {None: "head" if head else "author"}
    for project_id, own, managed in s.execute(_PROJECTS, {"author": author, "report": report_id}):
        found[project_id] = "manager" if not own else "either" if head or managed else "author"
    return found


@transition("draft", "submitted", by=lambda c, v: c.author_id == v.me, label=_l("Submit report"), tone="primary", icon="send")
def submit(report: DailyReport) -> None:
    """Hands a draft in: its lines wait for confirmation from now on."""
    hold_months()
    facts = day_of(report.author_id, report.day)
    lines = _lines(report.id)
    texts = {t.line_id: t.done for t in session().scalars(select(LineText).where(LineText.line_id.in_([x.id for x in lines])))}
    entries = [LineEntry(x.hours, texts.get(x.id, ""), x.project_id, x.category, x.id) for x in lines]
    check_report(ReportEntry(report.day, entries, report.overtime), facts, targets(report.author_id, report.day))
    hand_in(report, facts)


@transition(
    ("open", "returned"),
    "submitted",
    by=lambda c, v: c.author_id == v.me,
    label=_l("Submit again"),
    tone="primary",
    icon="send",
    name="submit",
)
def submit_line(line: ReportLine) -> None:
    """Hands a returned line in again, or one that was added after the report was handed in."""
    facts, report = _open_month(line.author_id, line.day), session().get_one(DailyReport, line.report_id)
    if report.state != "submitted":
        raise Refusal(_("Hand in the report; its lines go with it."), code="wrong_state")
    if rules.needs_overtime_mark(report.hours, facts.workday) and not report.overtime:
        raise Refusal(WORDS[rules.Fault.OVERTIME_MARK], code=rules.Fault.OVERTIME_MARK.value)
    line.decider = _deciders(line.author_id, line.report_id).get(line.project_id, "head")
    line.submitted_on, line.decided_by, line.decided_at = calendar.today(), None, None
    publish(LinesHandedIn(line.report_id, line.author_id, line.day))


def _open_month(person: int, day: date) -> Day:
    hold_months()
    facts = day_of(person, day)
    if facts.fault:
        raise Refusal(facts.reason, code=facts.fault.value)
    return facts


@operation(
    "confirmed",
    by=lambda c, v: c.author_id == v.me,
    label=_l("Correct"),
    icon="arrow-back-up",
    arguments={
        "hours": Argument("decimal", _l("Correct hours (0 takes them back)"), required=True),
        "done": text_argument(_l("What was done"), max_length=2000),
    },
)
def correct(line: ReportLine, hours: Decimal, done: str | None) -> None:
    """Takes a confirmed line back by a reversal entry and puts the right hours beside it; both wait for confirmation."""
    s = session()
    facts = _open_month(line.author_id, line.day)
    if line.reversal_of_id is not None:
        raise Refusal(_("A reversal entry is not corrected; correct the line that replaced it."), code="reversal")
    if s.scalar(select(ReportLine.id).where(ReportLine.reversal_of_id == line.id)):
        raise Refusal(_("This line has already been taken back."), code="reversed")
    if hours != 0 and (fault := rules.hours_fault(hours)):
        raise Invalid({"hours": str(WORDS[fault])})
    report = s.get_one(DailyReport, line.report_id, with_for_update=True)
    before = s.scalar(select(LineText).where(LineText.line_id == line.id))
    others = sum((x.hours for x in _lines(report.id)), Decimal(0)) - line.hours
    if others + hours > rules.DAY_HOURS:
        raise Invalid({"hours": _("The lines add up to %(total)s hours; a day has 24.", total=others + hours)})
    decider = _deciders(line.author_id, line.report_id).get(line.project_id, "head")
    common = {
        "report_id": line.report_id,
        "author_id": line.author_id,
        "day": line.day,
        "project_id": line.project_id,
        "project_label": line.project_label,
        "category": line.category,
        "state": "submitted",
        "decider": decider,
        "submitted_on": calendar.today(),
        "position": line.position,
    }
    reversal = ReportLine(**common, hours=-line.hours, reversal_of_id=line.id)
    s.add(reversal)
    s.flush()
    old = before.done if before else ""
    texts = [LineText(line_id=reversal.id, author_id=line.author_id, project_id=line.project_id, done=old)]
    if hours:
        replacement = ReportLine(**common, hours=hours, corrects_id=reversal.id)
        s.add(replacement)
        s.flush()
        texts.append(LineText(line_id=replacement.id, author_id=line.author_id, project_id=line.project_id, done=done or old))
    s.add_all(texts)
    s.flush()
    _refresh_totals(report, facts.workday)


@operation(
    "returned", by=lambda c, v: and_(c.author_id == v.me, c.reversal_of_id.is_not(None)), label=_l("Give up the correction"), icon="x"
)
def withdraw(line: ReportLine) -> None:
    """Takes a returned reversal entry away with what was to replace it: the confirmed line stands as it was."""
    s = session()
    facts = _open_month(line.author_id, line.day)
    line.archived_at = calendar.now()
    for other in s.scalars(select(ReportLine).where(ReportLine.corrects_id == line.id).with_for_update()):
        other.archived_at = calendar.now()
    s.flush()
    _refresh_totals(s.get_one(DailyReport, line.report_id, with_for_update=True), facts.workday)


def relabel(project_id: int, label: str) -> None:
    """Lines keep the label of the project they are on. Inside `unrestricted` or an action."""
    session().execute(
        update(ReportLine)
        .where(ReportLine.project_id == project_id, ReportLine.project_label.is_distinct_from(label))
        .values(project_label=label, version=ReportLine.version + 1)
        .execution_options(synchronize_session=False)
    )
