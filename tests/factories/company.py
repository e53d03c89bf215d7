"""A small invented company with every kind of person the rules tell apart. Written as the system, straight into the tables.

`build()` fills an empty, migrated database; `PEOPLE` and `PROJECTS` are what the oracle and the tests refer to by name.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import text

from portal.kernel import calendar
from portal.kernel.db import unrestricted
from security import roles
from tests.factories.mergers import mergers

# username: (family name, given name, department, keys of the roles beside employee)
PEOPLE: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "admin": ("钱", "管理", "ADM", ("system_admin",)),
    "leader": ("周", "立行", "HQ", ("leader",)),
    "domain.manager": ("吴", "思远", "RD", ()),
    "domain.two": ("郑", "可", "SAL", ()),
    "pm.chen": ("陈", "嘉树", "PLT", ()),
    "pm.li": ("李", "闻溪", "PLT", ()),
    "head.rd": ("孙", "望舒", "RD", ()),
    "head.sales": ("冯", "若谷", "SAL", ("sales_manager",)),
    "member.wang": ("王", "一诺", "BE1", ()),
    "member.zhao": ("赵", "青禾", "PLT", ()),
    "sales.liu": ("刘", "长风", "SAL", ("sales",)),
    "sales.manager": ("林", "晚舟", "SAL", ("sales_manager",)),
    "buyer": ("何", "采", "ADM", ("buyer",)),
    "legal": ("罗", "法", "ADM", ("legal",)),
    "finance": ("高", "算", "ADM", ("finance",)),
    "hr": ("梁", "人和", "ADM", ("hr",)),
    "qa": ("宋", "质", "RD", ("qa",)),
    "service": ("唐", "服", "SAL", ("service",)),
    "security.admin": ("许", "安", "ADM", ("security_admin",)),
    "auditor": ("韩", "审", "ADM", ("auditor",)),
    "archivist": ("曹", "档", "ADM", ("archivist",)),
    "outsider": ("邓", "外", "SAL", ()),
    # beyond the sample accounts: the corners of the rules
    "ceo": ("袁", "总", "HQ", ()),  # heads the whole company
    "deputy.plt": ("蒋", "副", "SAL", ()),  # deputises for a department that is not the own one
    "acting.old": ("蔡", "往", "SAL", ()),  # was acting head; the period is over
    "acting.soon": ("贾", "来", "SAL", ()),  # will be acting head
    "ex.member": ("丁", "昨", "SAL", ()),  # membership ended yesterday
    "future.member": ("魏", "明", "SAL", ()),  # membership begins tomorrow
    "blind.member": ("薛", "暗", "SAL", ()),  # a role on the project that does not open it
    "deputy.one": ("苗", "代", "ADM", ()),  # sees for pm.chen by projects and for head.rd by people
    "deputy.late": ("章", "岸", "ADM", ()),  # every period over, ended early or not begun
    "deputy.two": ("鲍", "链", "ADM", ()),  # deputy of deputy.one, who has nothing of the own to show
    "leaver": ("叶", "去", "PLT", ()),  # account no longer active
}
DEPARTMENTS = {"HQ": None, "RD": "HQ", "PLT": "RD", "BE": "PLT", "BE1": "BE", "SAL": "HQ", "ADM": "HQ"}
# name: (state, domain, PM)
PROJECTS = {
    "Alpha": ("active", "D1", "pm.chen"),
    "Beta": ("active", "D1", "pm.li"),
    "Gamma": ("paused", "D2", "pm.li"),
    "Delta": ("draft", "D2", "pm.chen"),
    "Epsilon": ("completed", "D1", "pm.chen"),
    "Zeta": ("closed", "D2", "pm.li"),
    "Eta": ("cancelled", "D1", "pm.li"),
    "Theta": ("active", "D2", "domain.two"),  # archived below
}
PASSWORD = "shuniu-demo"


def subject_of(username: str) -> str:
    """The identifier that the sample realm gives a person."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "https://shuniu.example/people/" + username))


@dataclass
class Ids:
    """Row ids by name, handed from step to step."""

    users: dict[str, int]
    departments: dict[str, int]
    employees: dict[str, int]
    projects: dict[str, int]
    entity: int
    today: date

    def day(self, days: int) -> date:
        return self.today + timedelta(days=days)


def build() -> None:
    """Fill the database of the current application."""
    with unrestricted("tests: the invented company") as s:
        entity = int(s.execute(text("select min(id) from kernel_entity")).scalar_one())
        ids = Ids({}, {}, {}, {}, entity, calendar.today())
        _people(s, ids)
        _hr(s, ids)
        _projects(s, ids)
        _reports(s, ids)
        _notices(s, ids)
        _web(s, ids)
        _security(s, ids)
        _imports(s, ids)
        _applications(s, ids)
        roles.bump(s)


def _add(s: Any, row: Any) -> Any:
    s.add(row)
    s.flush()
    return row


def _people(s: Any, ids: Ids) -> None:
    from security.sessions import Account

    for username, (family, given, _department, _roles) in PEOPLE.items():
        user = User(username=username, first_name=given, last_name=family, email=f"{username}@shuniu.example", active=username != "leaver")
        ids.users[username] = _add(s, user).id
        s.add(Account(user_id=user.id, subject=subject_of(username), locale="en" if username == "auditor" else None))
    s.flush()
    for username, (_family, _given, _department, keys) in PEOPLE.items():
        for key in ("employee", *keys):
            roles.grant(s, ids.users[username], key)


def _hr(s: Any, ids: Ids) -> None:
    from modules.hr import models as hr

    start = ids.day(-900)
    for code, parent in DEPARTMENTS.items():
        above = ids.departments.get(parent) if parent else None
        department = _add(s, hr.Department(code=code, name=f"部门 {code}", parent_id=above))
        ids.departments[code] = department.id
        s.add(hr.DepartmentPeriod(department_id=department.id, parent_id=above, name=department.name, from_day=start))
    head = [
        ("HQ", "ceo", "head", -800, None),
        ("RD", "head.rd", "head", -800, None),
        ("SAL", "head.sales", "head", -800, None),
        ("PLT", "deputy.plt", "deputy", -10, 10),
        ("PLT", "acting.old", "acting", -100, 0),  # ends today: half-open, so it is over
        ("PLT", "acting.soon", "acting", 1, 50),
    ]
    for code, username, kind, begins, ends in head:
        row = hr.DepartmentHead(department_id=ids.departments[code], user_id=ids.users[username], kind=kind, from_day=ids.day(begins))
        row.to_day = None if ends is None else ids.day(ends)
        s.add(row)
    post = _add(s, hr.Post(code="ENG", name={"zh": "工程师", "en": "Engineer"}))
    grade = _add(s, hr.Grade(code="P5", name={"zh": "五级", "en": "Grade 5"}))
    money = {"base_salary": Decimal(9000), "performance_pay": Decimal(1000), "project_performance": Decimal(500)}
    s.add(hr.GradeRate(grade_id=grade.id, from_day=start, to_day=ids.day(-100), daily_cost=Decimal("700.00"), **money))
    s.add(hr.GradeRate(grade_id=grade.id, from_day=ids.day(-100), daily_cost=Decimal("800.00"), **money))
    for n, (username, (family, given, code, _roles)) in enumerate(PEOPLE.items(), start=1):
        user, department = ids.users[username], ids.departments[code]
        employee = _add(
            s,
            hr.Employee(
                user_id=user, number=f"E{n:04}", name=family + given, department_id=department, post_id=post.id, entity_id=ids.entity,
                work_email=f"{username}@shuniu.example", active=username != "leaver",
            ),
        )  # fmt: skip
        ids.employees[username] = employee.id
        s.add(hr.Employment(employee_id=employee.id, user_id=user, grade_id=grade.id, joined_on=start))
        s.add(
            hr.Assignment(
                employee_id=employee.id, user_id=user, department_id=department, post_id=post.id, grade_id=grade.id, from_day=start
            )
        )
        s.add(hr.EmployeePrivate(employee_id=employee.id, user_id=user, identity_number=f"SECRET-{n:04}", bank_account=f"6222-{n:04}"))
    mergers(s, ids)
    _changes(s, ids, post.id, grade.id)
    for username, state in (("member.wang", "draft"), ("member.zhao", "submitted"), ("outsider", "approved"), ("pm.chen", "rejected")):
        s.add(
            hr.Leave(
                user_id=ids.users[username],
                kind="annual",
                from_day=ids.day(20),
                to_day=ids.day(21),
                state=state,
                reason=f"leave of {username}",
                entity_id=ids.entity,
            )
        )
    s.flush()


def _changes(s: Any, ids: Ids, post: int, grade: int) -> None:
    """Changes of employees in every state, about everybody the rules tell apart. None plans anything: the tables stay as they are."""
    from modules.hr import models as hr

    def change(kind: str, person: str | None, state: str, by: str, old: str | None, new: str | None, **more: Any) -> None:
        user = ids.users[person] if person else None
        event = hr.EmployeeEvent(
            kind=kind,
            name=f"{PEOPLE[person][0]}{PEOPLE[person][1]}" if person else "新人",
            employee_id=ids.employees[person] if person else None,
            user_id=user,
            effective_on=ids.day(more.pop("day", 40)),
            state=state,
            created_by=ids.users[by],
            from_department_id=ids.departments[old] if old else None,
            department_id=ids.departments[new] if new else None,
            post_id=post if new else None,
            entity_id=ids.entity,
            reason=f"{kind} {person}",
            **more,
        )
        if state != "draft":
            event.submitted_by = ids.users[by]
        if state in ("approved", "effective"):
            event.approved_on, event.decided_by = event.approved_on or ids.day(-2), ids.users["leader"]
        _add(s, event)
        s.add(hr.EmployeeEventGrade(event_id=event.id, user_id=user, grade_id=grade if new else None, from_grade_id=grade if old else None))

    change("transfer", "member.zhao", "draft", "hr", "PLT", "SAL")
    change("leave", "hr", "draft", "leader", "ADM", None)  # about the only person of HR, prepared by somebody who is not
    change("leave", "hr", "submitted", "leader", "ADM", None)
    change("promotion", "hr", "draft", "hr", "ADM", "ADM")  # HR about themselves
    change("transfer", "leader", "submitted", "hr", "HQ", "SAL")
    change("transfer", "member.wang", "submitted", "hr", "BE1", "SAL")
    change("regularise", "member.wang", "rejected", "hr", "BE1", None)
    change("transfer", "pm.li", "approved", "hr", "PLT", "SAL")
    change("transfer", "outsider", "effective", "hr", "PLT", "SAL", day=-30)
    change("promotion", "head.rd", "approved", "hr", "RD", "RD")  # about somebody who heads the department it names
    change("transfer", "member.wang", "effective", "hr", "SAL", "BE1", day=-29, approved_on=ids.day(-40))
    change("transfer", "pm.chen", "effective", "hr", "SAL", "PLT", day=-300, approved_on=ids.day(-301))  # gone from there long ago
    change("rehire", "leaver", "cancelled", "hr", None, "PLT")
    change("transfer", "deputy.plt", "cancelled", "hr", "SAL", "BE", approved_on=ids.day(-5), decided_by=ids.users["leader"])
    who = {"employee_number": "E8001", "username": "new.person"}
    change("hire", None, "submitted", "hr", None, "PLT", **who)
    change("hire", None, "rejected", "hr", None, "SAL", **who)


def _projects(s: Any, ids: Ids) -> None:
    from modules.project import models as project

    domains = {}
    for code, manager in (("D1", "domain.manager"), ("D2", "domain.two"), ("D3", None)):
        domains[code] = _add(s, project.Domain(code=code, name=f"域 {code}", manager_id=ids.users[manager] if manager else None)).id
    opens = _add(s, project.ProjectRole(code="DEV", name={"zh": "开发", "en": "Developer"}, grants_view=True))
    blind = _add(s, project.ProjectRole(code="EXT", name={"zh": "外援", "en": "External"}, grants_view=False))
    for n, (name, (state, domain, pm)) in enumerate(PROJECTS.items(), start=1):
        row = project.Project(
            name=f"Project {name}",
            domain_id=domains[domain],
            pm_id=ids.users[pm],
            state=state,
            starts_on=ids.day(-400),
            ends_on=ids.day(200),
            entity_id=ids.entity,
            customer_name=f"Customer of {name}",
            summary=f"summary of {name}",
            planned_hours=Decimal(1000),
        )
        if state != "draft":
            row.number, row.started_on = f"XM-TEST-{n:04}", ids.day(-390)
        ids.projects[name] = _add(s, row).id
        if state != "draft":
            s.add(project.ProjectStateChange(project_id=row.id, day=ids.day(-390), from_state="draft", to_state="active"))
    s.flush()
    teams = [
        ("Alpha", "member.wang", opens, -300, None),
        ("Alpha", "blind.member", blind, -300, None),
        ("Alpha", "ex.member", opens, -300, 0),  # ends today: half-open, so it is over
        ("Alpha", "future.member", opens, 1, None),
        ("Beta", "member.zhao", opens, -300, None),
        ("Gamma", "member.wang", opens, -300, 30),
        ("Epsilon", "member.zhao", opens, -300, None),
        ("Theta", "member.wang", opens, -300, None),
    ]
    for name, username, role, begins, ends in teams:
        s.add(
            project.ProjectMember(
                project_id=ids.projects[name], user_id=ids.users[username], role_id=role.id, from_day=ids.day(begins),
                to_day=None if ends is None else ids.day(ends), planned_hours=Decimal(100),
            )
        )  # fmt: skip
    s.flush()
    archived = s.get(project.Project, ids.projects["Theta"])
    archived.archived_at = datetime.now(UTC)
    s.flush()


def _reports(s: Any, ids: Ids) -> None:
    from modules.dailyreport import models as daily
    from modules.project import models as project

    labels = {row.id: str(row) for row in s.query(project.Project).execution_options(include_archived=True)}
    # per author: the projects, None for work on no project; one report a day
    wrote: dict[str, tuple[str | None, ...]] = {
        "member.wang": ("Alpha", "Gamma", None),
        "member.zhao": ("Beta", None),
        "pm.chen": ("Alpha", "Epsilon"),
        "pm.li": ("Beta", "Gamma"),
        "head.rd": (None,),
        "outsider": (None,),
        "sales.liu": ("Alpha", None),  # hours on a project without being on its team
        "blind.member": ("Alpha",),
        "leaver": ("Eta", "Zeta"),
    }
    states = ("submitted", "confirmed", "returned")
    count = 0
    for username, targets in wrote.items():
        author = ids.users[username]
        for back in range(1, 4):
            day = ids.day(-back - 3)
            hours = Decimal("2.50")
            report = _add(
                s,
                daily.DailyReport(
                    author_id=author, day=day, state="submitted", submitted_at=datetime.now(UTC), hours=hours * len(targets),
                    plan=f"plan of {username}", problems=f"problems of {username}" if back == 1 else None,
                ),
            )  # fmt: skip
            for target in targets:
                count += 1
                place = ids.projects[target] if target else None
                line = daily.ReportLine(
                    report_id=report.id, author_id=author, day=day, project_id=place, project_label=labels[place] if place else None,
                    category=None if target else "department", hours=hours, state=states[count % 3], submitted_on=day,
                    decider="head" if target is None else "either" if PROJECTS[target][2] == username else "manager",
                )  # fmt: skip
                _add(s, line)
                s.add(daily.LineText(line_id=line.id, author_id=author, project_id=place, done=f"done by {username} on {target}"))
            s.add(
                daily.ReportComment(report_id=report.id, report_author_id=author, author_id=ids.users["ceo"], body=f"remark for {username}")
            )
            s.add(daily.ReportLike(report_id=report.id, report_author_id=author, author_id=ids.users["ceo"]))
    s.add(daily.DailyReport(author_id=ids.users["member.wang"], day=ids.day(-1)))
    s.add(daily.ReportDraft(author_id=ids.users["member.zhao"], day=ids.today, content={"lines": []}, saved_at=datetime.now(UTC)))
    s.add(daily.ClosedMonth(month=ids.day(-200).replace(day=1)))
    s.flush()


def _notices(s: Any, ids: Ids) -> None:
    from portal.notify import models as notify

    for username in ("member.wang", "member.zhao", "pm.chen", "outsider"):
        notice = notify.Notice(receiver_id=ids.users[username], kind="test.notice", params={"about": username}, key=f"test:{username}")
        _add(s, notice)
        s.add(notify.Delivery(notice_id=notice.id, receiver_id=ids.users[username], channel="mail"))
        s.add(notify.Preference(user_id=ids.users[username], kind="test.notice", channel="mail", mode="off"))
    rule = s.query(notify.WarningRule).first() or _add(s, notify.WarningRule(code="test.rule", name="规则", severity="warn"))
    places = [
        {"project_id": ids.projects["Alpha"], "record_type": "project_project", "record_id": ids.projects["Alpha"]},
        {"project_id": ids.projects["Gamma"], "record_type": "project_project", "record_id": ids.projects["Gamma"]},
        {"user_id": ids.users["member.wang"], "record_type": "ab_user", "record_id": ids.users["member.wang"]},
        {"department_id": ids.departments["PLT"], "record_type": "hr_department", "record_id": ids.departments["PLT"]},
        {"receivers": [ids.users["outsider"]], "record_type": "test", "record_id": 1},
        {"assignee_id": ids.users["sales.liu"], "record_type": "test", "record_id": 2},
    ]
    for n, place in enumerate(places):
        s.add(notify.Warning_(rule_id=rule.id, code=rule.code, key=f"test:{n}", subject=f"warning {n}", severity="warn", **place))
    s.flush()


def _web(s: Any, ids: Ids) -> None:
    from portal.kernel import company
    from portal.web import announcements, drafts, home, rolestore, views
    from security import questions

    s.add(announcements.Announcement(title="第一则公告", body="for everybody", from_day=ids.today))
    for username in ("member.wang", "outsider", "hr"):
        s.add(home.HomeLayout(user_id=ids.users[username], layout=[]))
        s.add(drafts.FormDraft(user_id=ids.users[username], of="test.Form", typed={"name": [f"draft of {username}"]}))
        for shared in (False, True):
            name = f"{'shared' if shared else 'own'} view of {username}"
            s.add(views.ListSetting(user_id=ids.users[username], key="test.List", name=name, query="q=1", shared=shared))
    s.add(rolestore.RoleChange(role="leader", what="given", detail="outsider", created_by=ids.users["security.admin"]))
    s.add(questions.Question(person_id=ids.users["member.wang"], created_by=ids.users["security.admin"]))
    s.add(company.WorkingDay(day=ids.day(300), working=True, name="make-up day"))
    s.add(company.NumberSeries(code="test.Series", pattern="T-{yyyy}-{seq}"))
    for name, secret in (("test.open", False), ("test.secret", True)):
        s.add(company.Parameter(name=name, value="value of " + name, secret=secret))
    s.flush()


def _imports(s: Any, ids: Ids) -> None:
    from portal.lowcode.importing.models import ImportFile, ImportRow, ImportRun

    for username, states in (
        ("hr", ("checked", "submitted", "done")),
        # sent when they were in HR
        ("buyer", ("waiting", "submitted", "rejected", "running", "done", "refused", "failed", "cancelled")),
    ):
        owner = ids.users[username]
        for state in states:
            sent = datetime.now(UTC) if state in ("submitted", "rejected", "running") else None
            run = ImportRun(owner_id=owner, importer="hr.organisation", file_name=f"{state}.xlsx", state=state, submitted_at=sent)
            pk = _add(s, run).id
            s.add(ImportFile(run_id=pk, owner_id=owner, content=b"PK"))
            s.add(ImportRow(run_id=pk, owner_id=owner, sheet="departments", row=2, key="X", outcome="same"))
    s.flush()


def _security(s: Any, ids: Ids) -> None:
    from security.delegation import Delegation
    from security.differences import Comparison, Difference
    from security.erasure import Erasure, LegalHold
    from security.signins import SignIn

    lent = [
        ("pm.chen", "deputy.one", -3, 4, True, False),
        ("head.rd", "deputy.one", 0, 1, False, True),
        ("head.rd", "deputy.late", -9, 0, True, True),  # until today: half-open, so it is over
        ("ceo", "deputy.late", 1, 9, True, True),
        ("pm.li", "deputy.late", -9, 9, True, True),  # ended early below
        ("deputy.one", "deputy.two", -3, 4, True, True),
        ("leaver", "deputy.two", -3, 4, True, True),
    ]
    for giver, deputy, begins, ends, projects, people in lent:
        row = Delegation(
            giver_id=ids.users[giver], deputy_id=ids.users[deputy], from_day=ids.day(begins), to_day=ids.day(ends),
            projects=projects, people=people, reason=f"{giver} is away",
        )  # fmt: skip
        row.ended_at = datetime.now(UTC) if giver == "pm.li" else None
        s.add(row)
    for username, outcome in (("member.wang", "ok"), ("pm.chen", "wrong_password"), ("hr", "ok"), ("leaver", "inactive")):
        s.add(SignIn(user_id=ids.users[username], username=username, outcome=outcome, way="keycloak", ip="10.0.0.7"))
    s.add(SignIn(outcome="unlinked", username="stranger", way="keycloak", ip="10.0.0.8"))
    s.add(Comparison(repair=False, state="done", people=30, accounts=31, changed=1, found=1, seconds=1))
    s.add(Difference(kind="account", key="stranger-at-keycloak", title="stranger", user_id=ids.users["outsider"]))
    s.add(Difference(kind="group", key="choir-at-keycloak", title="choir"))
    for person, by in (("pm.chen", "hr"), ("buyer", "buyer"), ("hr", "security.admin")):
        s.add(Erasure(person_id=ids.users[person], kind="hr.contact", reason="asked for", created_by=ids.users[by]))
    s.add(LegalHold(person_id=ids.users["buyer"], reason="a case at court", created_by=ids.users["legal"]))
    s.flush()


def _applications(s: Any, ids: Ids) -> None:
    """For everybody, for some, for nobody; closed ones are for the same people as before."""
    from portal.applications.models import Application, Category, Launch

    everyday = _add(s, Category(code="everyday", name={"zh": "日常", "en": "Everyday"})).id
    made = {}
    for name, state, wanted in (
        ("wiki", "active", ["employee"]),
        ("ledger", "active", ["finance", "leader"]),
        ("attic", "closed", ["qa"]),
        ("draft", "active", []),
    ):
        app = Application(
            name={"zh": f"应用 {name}", "en": name}, category_id=everyday, url=f"https://{name}.example.invalid/", roles=wanted
        )
        app.state = state
        made[name] = _add(s, app).id
    for username, name in (("finance", "ledger"), ("member.wang", "wiki"), ("hr", "wiki")):
        s.add(Launch(application_id=made[name], user_id=ids.users[username]))
