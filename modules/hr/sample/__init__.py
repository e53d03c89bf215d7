"""The people of the sample company: 70 employees in five levels of departments. Every name is invented."""

import uuid
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import select

from modules.hr import rules
from modules.hr.models import (
    Assignment,
    Department,
    DepartmentHead,
    DepartmentPeriod,
    Employee,
    EmployeePrivate,
    Employment,
    Grade,
    GradeRate,
    Leave,
    Post,
)
from modules.hr.sample.announcements import announce
from modules.hr.sample.changes import changes
from modules.hr.sample.roster import ACCOUNTS, CITIES, DEPARTMENTS, GRADES, HEADS, OTHERS, POSTS
from portal.kernel import identifiers
from portal.kernel.calendar import WorkingCalendar, moment
from portal.kernel.db import session
from portal.kernel.document import LegalEntity, User
from portal.kernel.numbering import next_number
from security.roles import grant
from security.sessions import Account

T = TypeVar("T")


def load(anchor: date) -> None:
    """Fills an empty portal with the organisation as it is on *anchor*, with what led to it and what is planned."""
    company = _Company(anchor)
    company.departments_and_posts()
    company.rates()
    company.people()
    company.heads()
    company.history()
    company.leaves()
    changes(anchor, company.users, company.grades["P7"])
    announce(anchor, company.users["hr"])


def subject_of(username: str) -> str:
    """Keycloak's identifier of a sample person, the same in the sample realm."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "https://shuniu.example/people/" + username))


def identity_number(birth: date, sequence: int) -> str:
    """A number with the right check character in a county that does not exist."""
    digits = f"990{sequence % 900 + 100}{birth:%Y%m%d}{sequence % 1000:03d}"
    return digits + identifiers.identity_check_character(digits)


class _Company:
    """The rows made so far, by code and username."""

    def __init__(self, anchor: date) -> None:
        self.anchor = anchor
        self.entity = session().scalars(select(LegalEntity).order_by(LegalEntity.id).limit(1)).one()
        self.entity.name = {"zh": "云岭数智科技有限公司", "en": "Yunling Digital Intelligence Ltd."}
        self.departments: dict[str, int] = {}
        self.posts: dict[str, int] = {}
        self.grades: dict[str, int] = {}
        self.users: dict[str, int] = {}
        self.employees: dict[str, int] = {}
        self.places: dict[int, str] = {}  # department code by user id

    def day(self, days: int) -> date:
        return self.anchor + timedelta(days=days)

    def add(self, row: T) -> T:
        session().add(row)
        session().flush()
        return row

    # -------------------------------------------------------------- the frame
    def departments_and_posts(self) -> None:
        for code, (name, above) in DEPARTMENTS.items():
            parent = self.departments.get(above) if above else None
            department = self.add(Department(code=code, name=name, parent_id=parent))
            self.departments[code] = department.id
            if code not in ("RD2", "RD2A", "RD2B", "SVC"):  # these have a past of their own, see history()
                session().add(DepartmentPeriod(department_id=department.id, parent_id=parent, name=name, from_day=self.day(-1500)))
        for code, (zh, en) in POSTS.items():
            self.posts[code] = self.add(Post(code=code, name={"zh": zh, "en": en})).id
        for code, (zh, en, family, _amounts) in GRADES.items():
            self.grades[code] = self.add(Grade(code=code, name={"zh": f"{code} {zh}", "en": f"{code} {en}"}, post_family=family)).id

    def rates(self) -> None:
        """Two periods: the year of the anchor, and all before at nine tenths."""
        this_year = date(self.anchor.year, 1, 1)
        for code, (_zh, _en, _family, amounts) in GRADES.items():
            names = ("base_salary", "performance_pay", "project_performance", "daily_cost")
            now = dict(zip(names, (Decimal(a) for a in amounts), strict=True))
            before = {k: (v * 9 / 10).quantize(Decimal("0.01")) for k, v in now.items()}
            session().add(GradeRate(grade_id=self.grades[code], from_day=date(this_year.year - 4, 1, 1), to_day=this_year, **before))
            session().add(GradeRate(grade_id=self.grades[code], from_day=this_year, **now))

    # -------------------------------------------------------------- people
    def people(self) -> None:
        rows = list(ACCOUNTS)
        for entry in OTHERS.replace("\n", "|").split("|"):
            if entry.strip():
                username, name, department, post, grade = entry.split()
                rows.append((f"u.{username}", name, department, post, grade, ()))
        for username, name, department, post, grade, roles in rows:
            self.person(username, name, department, post, grade, roles)
        self.managers()

    def person(
        self, username: str, name: str, department: str, post: str, grade: str, roles: tuple[str, ...] = (), joined: int | None = None
    ) -> int:
        """One employee with account, terms, first assignment and private data; returns the user id."""
        n = len(self.users) + 1
        joined_on = self.day(-400 - n * 37 % 900 if joined is None else joined)
        begun = joined_on <= self.anchor
        regular_on = joined_on + timedelta(days=90)
        first, last = rules.split_name(name)
        mail = f"{username}@shuniu.example"
        user = self.add(User(username=username, first_name=first, last_name=last, email=mail, active=begun))
        user_id = int(user.id)
        self.users[username], self.places[user_id] = user_id, department
        s = session()
        s.add(Account(user_id=user.id, subject=subject_of(username), locale="zh"))
        for key in ("employee", *roles):
            grant(s, user.id, key)
        employee = self.add(
            Employee(
                user_id=user.id,
                number=f"E{n:04d}",
                name=name,
                department_id=self.departments[department],
                post_id=self.posts[post],
                entity_id=self.entity.id,
                work_email=mail,
                work_phone=f"0571-5550-{1000 + n}",
                active=begun,
            )
        )
        self.employees[username] = employee.id
        who: dict[str, Any] = {"employee_id": employee.id, "user_id": user.id}
        state = "regular" if regular_on <= self.anchor else "probation"
        terms = {"grade_id": self.grades[grade]}
        s.add(Employment(**who, **terms, joined_on=joined_on, regular_on=regular_on, state=state, employment_type="regular"))
        place = {"department_id": self.departments[department], "post_id": self.posts[post]}
        s.add(Assignment(**who, **terms, **place, from_day=joined_on, reason="入职"))
        birth = date(1972 + n % 26, n % 12 + 1, n % 28 + 1)
        home = f"{CITIES[n % 5]}市样例路 {n} 号"
        s.add(
            EmployeePrivate(**who, identity_number=identity_number(birth, n), bank_account=f"6222 0000 0000 {n:04d} 000", home_address=home)
        )
        s.flush()
        return user_id

    def managers(self) -> None:
        """Everybody's manager is the head of the own department, or the nearest one above."""
        s = session()
        for model in (Assignment, Employment):
            for row in s.scalars(select(model)):
                row.manager_id = self._above(self.places[row.user_id], row.user_id)
        s.flush()

    def _above(self, code: str | None, user_id: int) -> int | None:
        while code is not None:
            head = self.users.get(HEADS.get(code, ""))
            if head is not None and head != user_id:
                return head
            code = DEPARTMENTS[code][1]
        return None

    def heads(self) -> None:
        def head(code: str, username: str, kind: str, begins: int, ends: int | None = None) -> None:
            row = DepartmentHead(department_id=self.departments[code], user_id=self.users[username], kind=kind, from_day=self.day(begins))
            row.to_day = None if ends is None else self.day(ends)
            session().add(row)

        for code, username in HEADS.items():
            head(code, username, "head", -380 if code not in ("SAL", "RD") else -200)
        head("SAL", "u.fangwanqing", "head", -380, -200)
        head("RD", "u.hanqiming", "head", -380, -200)
        head("RD", "u.mojingchuan", "deputy", -120)
        head("FIN", "u.quxinlan", "acting", -5, 16)  # the head of finance is away
        head("MKT", "u.leiyuqi", "acting", -90, -60)  # was acting head once
        head("PMO", "u.wuyuanheng", "acting", 10, 40)  # will be
        head("LAW", "auditor", "acting", -30, 60)
        session().flush()

    # -------------------------------------------------------------- what was and what will be
    def history(self) -> None:
        s = session()

        def period(code: str, name: str, parent: str | None, begins: int, ends: int | None = None, why: str | None = None) -> None:
            parent_id = self.departments[parent] if parent else None
            to_day = None if ends is None else self.day(ends)
            who = self.departments[code]
            s.add(DepartmentPeriod(department_id=who, parent_id=parent_id, name=name, from_day=self.day(begins), to_day=to_day, reason=why))

        # a mobile department that was merged into the application group
        old = self.add(Department(code="MOB", name="移动开发部", parent_id=self.departments["C1"]))
        self.departments["MOB"] = old.id
        period("MOB", "移动开发部", "C1", -1500, -180, "并入研发部应用组")
        period("RD2", "应用开发组", "RD", -1500, -180)
        period("RD2", "应用组", "RD", -180, None, "与移动开发部合并后更名")
        period("RD2A", "数据小组", "RD2", -1500)
        period("RD2B", "移动小组", "RD2", -180, None, "由移动开发部并入")
        period("SVC", "服务部", "C2", -1500, -240)
        period("SVC", "服务部", "C3", -240, None, "售后归口交付中心")
        s.flush()
        old.archived_at = moment(self.day(-180))
        for username in ("u.maoshiqi", "u.tianhaoran", "u.shijinyao"):
            self._earlier(username, "MOB", -180, "部门合并")
        self._earlier("member.zhao", "RD1A", -150, "调岗")
        self._earlier("pm.li", "IMP2", -300, "任项目经理", post="IMP", grade="P6")

        # planned: a transfer from next month, somebody joining, and somebody who left
        next_month = (self.anchor.replace(day=1) + timedelta(days=32)).replace(day=1)
        self._planned("u.shangzimo", "RD2A", next_month, "支援数据小组")
        self.person("u.kejiarong", "柯嘉荣", "RD1B", "DEV", "P4", joined=12)
        self.person("u.zhenglinfeng", "郑临风", "SAL2", "SAL", "P5", joined=-600)
        self._left("u.zhenglinfeng", -40)

    def _assignment(self, username: str) -> Assignment:
        found = select(Assignment).where(Assignment.user_id == self.users[username], Assignment.to_day.is_(None))
        return session().scalars(found).one()

    def _earlier(self, username: str, department: str, until: int, why: str, post: str = "", grade: str = "") -> None:
        """Until that day the person worked elsewhere."""
        now = self._assignment(username)
        if now.from_day >= self.day(until):  # joined after that day
            return
        begun, now.from_day, now.reason = now.from_day, self.day(until), why
        session().flush()
        place = {
            "department_id": self.departments[department],
            "post_id": self.posts.get(post, now.post_id),
            "grade_id": self.grades.get(grade, now.grade_id),
        }
        who = {"employee_id": now.employee_id, "user_id": now.user_id, "manager_id": now.manager_id}
        session().add(Assignment(**who, **place, from_day=begun, to_day=self.day(until), reason="入职"))

    def _planned(self, username: str, department: str, day: date, why: str) -> None:
        now = self._assignment(username)
        now.to_day = day
        session().flush()
        who = {k: getattr(now, k) for k in ("employee_id", "user_id", "post_id", "grade_id", "manager_id")}
        session().add(Assignment(**who, department_id=self.departments[department], from_day=day, reason=why))
        session().flush()

    def _left(self, username: str, last: int) -> None:
        s = session()
        self._assignment(username).to_day = self.day(last + 1)
        terms = s.scalars(select(Employment).where(Employment.user_id == self.users[username])).one()
        terms.left_on, terms.state = self.day(last), "left"
        s.get_one(Employee, terms.employee_id).active = False
        s.get_one(User, self.users[username]).active = False
        s.flush()

    # -------------------------------------------------------------- leave
    def leaves(self) -> None:
        calendar = WorkingCalendar.load()
        today = self.anchor
        soon = calendar.next_workday(today, 6)
        head = self.users["head.rd"]
        wanted = (
            # username, kind, first day, half, last day, half, state, reason
            ("u.baiyichen", "annual", today, "am", calendar.next_workday(today), "pm", "approved", "探亲"),
            ("u.yuexiaotong", "sick", today, "am", today, "am", "approved", "上午就诊"),
            (
                "u.lvshaohua",
                "trip",
                calendar.previous_workday(today),
                "am",
                calendar.next_workday(today, 2),
                "pm",
                "approved",
                "临江水务现场",
            ),
            (
                "u.gongzhenyu",
                "annual",
                calendar.previous_workday(today, 9),
                "am",
                calendar.previous_workday(today, 8),
                "pm",
                "approved",
                "家事",
            ),
            (
                "u.dingruolin",
                "annual",
                calendar.previous_workday(today, 20),
                "am",
                calendar.previous_workday(today, 18),
                "pm",
                "approved",
                "年假",
            ),
            ("member.wang", "annual", soon, "pm", calendar.next_workday(soon), "pm", "submitted", "陪家人体检"),
            ("u.hexinyan", "personal", soon, "am", soon, "pm", "submitted", "办理证件"),
            ("sales.liu", "trip", calendar.next_workday(today, 3), "am", calendar.next_workday(today, 4), "pm", "submitted", "客户拜访"),
            (
                "u.weiyinuo",
                "annual",
                calendar.next_workday(today, 2),
                "am",
                calendar.next_workday(today, 5),
                "pm",
                "rejected",
                "版本发布周",
            ),
            ("member.zhao", "annual", calendar.next_workday(today, 15), "am", calendar.next_workday(today, 17), "pm", "draft", "年假"),
        )
        for username, kind, first, first_half, last, last_half, state, reason in wanted:
            leave = Leave(
                user_id=self.users[username],
                kind=kind,
                from_day=first,
                from_half=first_half,
                to_day=last,
                to_half=last_half,
                reason=reason,
                entity_id=self.entity.id,
                state=state,
            )
            if state != "draft":
                leave.number = next_number("hr.Leave", self.entity.id, first)
                leave.days = rules.leave_days(rules.Span(first, first_half, last, last_half), calendar.is_workday)
            if state in ("approved", "rejected"):
                leave.decided_by = head
                leave.decision_note = "请改到发布之后" if state == "rejected" else None
            session().add(leave)
        session().flush()
