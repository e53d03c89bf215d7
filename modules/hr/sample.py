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
from portal.kernel.calendar import WorkingCalendar, moment
from portal.kernel.db import session
from portal.kernel.document import LegalEntity, User
from portal.kernel.numbering import next_number
from security.roles import grant
from security.sessions import Account

T = TypeVar("T")
# code: (name, code of the department it is part of)
DEPARTMENTS: dict[str, tuple[str, str | None]] = {
    "HQ": ("云岭数智科技有限公司", None),
    "C1": ("研发中心", "HQ"),
    "RD": ("研发部", "C1"),
    "RD1": ("平台组", "RD"),
    "RD1A": ("后端小组", "RD1"),
    "RD1B": ("前端小组", "RD1"),
    "RD2": ("应用组", "RD"),
    "RD2A": ("数据小组", "RD2"),
    "RD2B": ("移动小组", "RD2"),
    "QA": ("质量部", "C1"),
    "C2": ("营销中心", "HQ"),
    "SAL": ("销售部", "C2"),
    "SAL1": ("华东组", "SAL"),
    "SAL2": ("华北组", "SAL"),
    "MKT": ("市场部", "C2"),
    "C3": ("交付中心", "HQ"),
    "PMO": ("项目管理部", "C3"),
    "IMP": ("实施部", "C3"),
    "IMP1": ("水务组", "IMP"),
    "IMP2": ("园区组", "IMP"),
    "SVC": ("服务部", "C3"),
    "C4": ("职能中心", "HQ"),
    "FIN": ("财务部", "C4"),
    "HR": ("人力资源部", "C4"),
    "PUR": ("采购部", "C4"),
    "LAW": ("法务审计部", "C4"),
    "ADM": ("综合管理部", "C4"),
    "C5": ("信息中心", "HQ"),
    "OPS": ("运维组", "C5"),
    "SEC": ("安全组", "C5"),
}
POSTS = {
    "GM": ("总经理", "General manager"),
    "DIR": ("中心主任", "Centre director"),
    "MGR": ("部门经理", "Department manager"),
    "PM": ("项目经理", "Project manager"),
    "DM": ("域经理", "Domain manager"),
    "ARC": ("架构师", "Architect"),
    "DEV": ("软件工程师", "Software engineer"),
    "DAT": ("数据工程师", "Data engineer"),
    "TST": ("测试工程师", "Test engineer"),
    "QA": ("质量工程师", "Quality engineer"),
    "IMP": ("实施工程师", "Implementation engineer"),
    "SVC": ("服务工程师", "Service engineer"),
    "SAL": ("销售经理", "Sales executive"),
    "MKT": ("市场专员", "Marketing specialist"),
    "FIN": ("会计", "Accountant"),
    "HR": ("人事专员", "HR specialist"),
    "ADM": ("职能专员", "Administration specialist"),
    "OPS": ("系统工程师", "Systems engineer"),
}
# code: (name, English, family, (base, performance, project performance, cost per day) now)
GRADES = {
    "P4": ("初级", "Junior", "P", (8000, 1500, 1000, 620)),
    "P5": ("中级", "Intermediate", "P", (11000, 2500, 2000, 880)),
    "P6": ("高级", "Senior", "P", (15000, 4000, 3000, 1240)),
    "P7": ("资深", "Principal", "P", (20000, 6000, 4500, 1680)),
    "M1": ("主管", "Supervisor", "M", (16000, 5000, 3000, 1380)),
    "M2": ("经理", "Manager", "M", (21000, 8000, 4000, 1860)),
    "M3": ("总监", "Director", "M", (30000, 14000, 5000, 2780)),
}
# the accounts people sign in with, in the order of their employee numbers: username, name, department, post, grade, roles
ACCOUNTS: tuple[tuple[str, str, str, str, str, tuple[str, ...]], ...] = (
    ("admin", "韦安宁", "OPS", "OPS", "P7", ("system_admin",)),
    ("leader", "周远山", "HQ", "GM", "M3", ("leader",)),
    ("domain.manager", "顾明德", "PMO", "DM", "M2", ()),
    ("pm.chen", "陈嘉树", "PMO", "PM", "P7", ()),
    ("pm.li", "李慕白", "PMO", "PM", "P7", ()),
    ("head.rd", "周明远", "RD", "MGR", "M2", ()),
    ("head.sales", "苏晴", "SAL", "MGR", "M2", ()),
    ("member.wang", "王知夏", "RD1A", "DEV", "P6", ()),
    ("member.zhao", "赵思源", "RD2A", "DAT", "P5", ()),
    ("sales.liu", "刘佳怡", "SAL1", "SAL", "P5", ("sales",)),
    ("sales.manager", "许文静", "SAL1", "SAL", "M1", ("sales", "sales_manager")),
    ("buyer", "邓若彤", "PUR", "ADM", "P5", ("buyer",)),
    ("legal", "沈清和", "LAW", "ADM", "P6", ("legal",)),
    ("finance", "钱立群", "FIN", "FIN", "P6", ("finance",)),
    ("hr", "何雨桐", "HR", "HR", "P6", ("hr",)),
    ("qa", "罗俊杰", "QA", "QA", "P6", ("qa",)),
    ("service", "唐一鸣", "SVC", "SVC", "P6", ("service",)),
    ("security.admin", "卫国安", "SEC", "OPS", "P7", ("security_admin",)),
    ("auditor", "梁晓敏", "LAW", "ADM", "P7", ("auditor",)),
    ("archivist", "宋文博", "ADM", "ADM", "P5", ("archivist",)),
    ("outsider", "郭子昂", "MKT", "MKT", "P5", ()),
)
# everybody else: username without "u.", name, department, post, grade
OTHERS = """
hanqiming 韩启明 C1 DIR M3|fangwanqing 方婉清 C2 DIR M3|duchengye 杜承业 C3 DIR M3
xiaoyaqin 萧雅琴 C4 DIR M3|rongzhixing 荣知行 C5 DIR M3
mojingchuan 莫景川 RD1 ARC M1|yinruohan 尹若寒 RD1A DEV P6|shangzimo 尚子墨 RD1A DEV P5
baiyichen 白逸尘 RD1A DEV P5|jianglinxi 江霖溪 RD1A DEV P4
qiumingyu 邱明玉 RD1B DEV P6|yuexiaotong 岳晓彤 RD1B DEV P5|yankairui 颜凯瑞 RD1B DEV P5
weiyinuo 魏一诺 RD1B DEV P4
taojunxi 陶君熙 RD2 ARC M1|hexinyan 贺欣妍 RD2A DAT P6|gongzhenyu 龚振宇 RD2A DAT P5
luyunfei 陆云飞 RD2A DAT P4
maoshiqi 毛诗琪 RD2B DEV P5|tianhaoran 田浩然 RD2B DEV P5|shijinyao 石锦瑶 RD2B DEV P4
ouyangrui 欧阳睿 QA MGR M1|kongfanyin 孔梵音 QA TST P5|caoyanting 曹砚亭 QA TST P4
linfengming 林凤鸣 SAL1 SAL P5|peichuyao 裴楚瑶 SAL1 SAL P4|fuxiangnan 傅向南 SAL2 SAL M1
dingruolin 丁若琳 SAL2 SAL P5|zhanghewei 章鹤薇 SAL2 SAL P4
xiejingshu 谢静姝 MKT MGR M1|leiyuqi 雷雨琦 MKT MKT P4
jinzhaoyang 金朝阳 PMO MGR M2|wuyuanheng 吴远恒 PMO PM P6|yaozhihan 姚之涵 PMO PM P6
huangbaichuan 黄百川 IMP MGR M2|panyuelin 潘悦霖 IMP1 IMP P6|lvshaohua 吕韶华 IMP1 IMP P5
xuchenguang 徐晨光 IMP1 IMP P4
zhuyingjie 朱英杰 IMP2 IMP P6|jiangmengyao 蒋梦瑶 IMP2 IMP P5|hujiaming 胡嘉铭 IMP2 IMP P4
chengyifan 程一帆 SVC MGR M1|liaosihan 廖思涵 SVC SVC P4
houmingzhe 侯明哲 FIN MGR M2|quxinlan 曲心岚 FIN FIN P4|zouwenhui 邹文慧 HR MGR M1
shaolijun 邵立军 PUR MGR M1
wanqingyun 万清芸 ADM MGR M1|mengchuran 孟楚然 OPS OPS P5
"""
HEADS = {
    "HQ": "leader",
    "C1": "u.hanqiming",
    "C2": "u.fangwanqing",
    "C3": "u.duchengye",
    "C4": "u.xiaoyaqin",
    "C5": "u.rongzhixing",
    "RD": "head.rd",
    "RD1": "u.mojingchuan",
    "RD2": "u.taojunxi",
    "QA": "u.ouyangrui",
    "SAL": "head.sales",
    "SAL1": "sales.manager",
    "SAL2": "u.fuxiangnan",
    "MKT": "u.xiejingshu",
    "PMO": "u.jinzhaoyang",
    "IMP": "u.huangbaichuan",
    "SVC": "u.chengyifan",
    "FIN": "u.houmingzhe",
    "HR": "u.zouwenhui",
    "PUR": "u.shaolijun",
    "ADM": "u.wanqingyun",
}
CITIES = ("杭州", "南京", "武汉", "成都", "合肥")


def load(anchor: date) -> None:
    """Fills an empty portal with the organisation as it is on *anchor*, with what led to it and what is planned."""
    company = _Company(anchor)
    company.departments_and_posts()
    company.rates()
    company.people()
    company.heads()
    company.history()
    company.leaves()


def subject_of(username: str) -> str:
    """Keycloak's identifier of a sample person, the same in the sample realm."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "https://shuniu.example/people/" + username))


def identity_number(birth: date, sequence: int) -> str:
    """A number with the right check character in a county that does not exist."""
    digits = f"990{sequence % 900 + 100}{birth:%Y%m%d}{sequence % 1000:03d}"
    return digits + rules.identity_check_character(digits)


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
