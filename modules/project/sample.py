"""The projects of the sample company: twelve in every state, in three business domains. Every name and figure is invented."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import select

from modules.project.models import Domain, Project, ProjectMember, ProjectRole, ProjectStateChange
from portal.kernel.db import session
from portal.kernel.document import LegalEntity, User
from portal.kernel.numbering import next_number

# code: (name, username of its manager)
DOMAINS = {"WAT": ("智慧水务", "domain.manager"), "PRK": ("智慧园区", "u.duchengye"), "DAT": ("数据服务", "u.hanqiming")}
# code: (name, English, opens the project, reports after completion)
ROLES = {
    "TECH": ("技术负责人", "Technical lead", True, False),
    "DEV": ("开发", "Developer", True, False),
    "DATA": ("数据", "Data", True, False),
    "TEST": ("测试", "Tester", True, False),
    "IMPL": ("实施", "Implementation", True, False),
    "SALE": ("销售支持", "Sales support", True, False),
    "QA": ("质量保证", "Quality assurance", True, True),
    "SVC": ("售后服务", "After-sales service", True, True),
    "EXP": ("外部专家", "External expert", False, False),
}


@dataclass(frozen=True)
class Sample:
    """One project: its life as (days from the anchor, state reached, reason) and its team as (username, role, from, until, hours)."""

    name: str
    domain: str
    customer: str
    pm: str
    starts: int
    ends: int
    hours: int
    life: tuple[tuple[int, str, str], ...]
    team: tuple[tuple[str, str, int, int | None, int], ...]
    summary: str = ""


PROJECTS = (
    Sample(
        "临江新城供排水智慧调度系统", "WAT", "临江水务集团有限公司", "pm.chen", -260, 130, 14000, ((-255, "active", ""),),
        (
            ("u.mojingchuan", "TECH", -255, None, 1320), ("member.wang", "DEV", -255, None, 1980), ("u.yinruohan", "DEV", -255, None, 1980),
            ("u.qiumingyu", "DEV", -240, None, 1540), ("u.panyuelin", "IMPL", -120, None, 1100), ("u.kongfanyin", "TEST", -150, None, 880),
            ("qa", "QA", -255, None, 260), ("sales.liu", "SALE", -255, -60, 140),
        ),
        "供水管网监测、泵站调度与应急指挥。",
    ),
    Sample(
        "青湖产业园能耗监测平台", "PRK", "青湖产业园管理有限公司", "pm.li", -200, 75, 7600, ((-196, "active", ""),),
        (
            ("u.taojunxi", "TECH", -196, None, 920), ("member.zhao", "DATA", -196, None, 1540), ("u.hexinyan", "DATA", -196, None, 1540),
            ("u.tianhaoran", "DEV", -160, None, 1100), ("u.zhuyingjie", "IMPL", -100, None, 1100), ("u.caoyanting", "TEST", -90, None, 660),
            ("qa", "QA", -196, None, 220),
        ),
        "园区水电气热计量、能耗分析与碳排核算。",
    ),
    Sample(
        "城东污水厂数字孪生（一期）", "WAT", "城东净水有限公司", "pm.chen", -150, 8, 2600, ((-148, "active", ""),),
        (
            ("u.shangzimo", "DEV", -148, None, 1320), ("u.yuexiaotong", "DEV", -148, None, 1100), ("u.lvshaohua", "IMPL", -80, None, 880),
            ("u.kongfanyin", "TEST", -60, None, 440),
        ),
        "工艺段三维建模与运行仿真。",
    ),
    Sample(
        "市民卡数据治理", "DAT", "澄江市大数据中心", "u.wuyuanheng", -180, -20, 3300, ((-175, "active", ""),),
        (
            ("u.gongzhenyu", "DATA", -175, None, 1320), ("u.luyunfei", "DATA", -175, None, 1100), ("u.maoshiqi", "DEV", -120, None, 660),
            ("service", "SVC", -30, None, 80),
        ),
        "主数据梳理与质量规则建设，已过计划完工日。",
    ),
    Sample(
        "云栖园区一卡通升级", "PRK", "云栖园区运营有限公司", "u.yaozhihan", -90, 110, 4200, ((-85, "active", ""),),
        (
            ("u.yankairui", "DEV", -85, None, 880), ("u.shijinyao", "DEV", -85, None, 880), ("u.jiangmengyao", "IMPL", -40, None, 660),
            ("u.lvshaohua", "EXP", -40, None, 80),
        ),
    ),
    Sample(
        "长虹水库大坝监测", "WAT", "长虹水利管理处", "u.wuyuanheng", -60, 200, 3600, ((-55, "active", ""),),
        (("u.baiyichen", "DEV", -55, None, 1100), ("u.jianglinxi", "DEV", -55, None, 1100), ("u.xuchenguang", "IMPL", -20, None, 660)),
    ),
    Sample(
        "滨河商圈客流分析", "DAT", "滨河商业管理有限公司", "pm.li", -220, 60, 2600,
        ((-215, "active", ""), (-25, "paused", "客户场地改造，数据采集中断")),
        (("u.hexinyan", "DATA", -215, None, 880), ("u.tianhaoran", "DEV", -215, None, 880)),
    ),
    Sample(
        "南郊水厂自控改造", "WAT", "南郊供水有限公司", "pm.chen", -420, -70, 3400,
        ((-415, "active", ""), (-300, "paused", "设备到货延期"), (-260, "active", ""), (-65, "completed", "")),
        (
            ("member.wang", "DEV", -415, -255, 1320), ("u.panyuelin", "IMPL", -415, -65, 1760), ("service", "SVC", -65, None, 260),
            ("qa", "QA", -415, None, 180),
        ),
        "已完工，转入售后。",
    ),
    Sample(
        "高新园区访客系统", "PRK", "高新园区物业有限公司", "u.yaozhihan", -380, -120, 4200, ((-375, "active", ""), (-118, "completed", "")),
        (("u.weiyinuo", "DEV", -375, -118, 880), ("u.hujiaming", "IMPL", -375, -118, 660), ("u.liaosihan", "SVC", -118, None, 180)),
    ),
    Sample(
        "澄江公交线网评估", "DAT", "澄江公共交通有限公司", "pm.li", -600, -330, 900,
        ((-595, "active", ""), (-335, "completed", ""), (-150, "closed", "")),
        (("u.gongzhenyu", "DATA", -595, -335, 880), ("u.taojunxi", "TECH", -595, -335, 440)),
    ),
    Sample(
        "旧城管网普查", "WAT", "旧城更新建设有限公司", "u.wuyuanheng", -300, 40, 2400,
        ((-295, "active", ""), (-210, "cancelled", "客户取消立项资金")),
        (("u.xuchenguang", "IMPL", -295, -210, 660), ("u.jianglinxi", "DEV", -295, -210, 440)),
    ),
    Sample(
        "碧溪智慧灌区（筹备）", "WAT", "碧溪灌区管理局", "pm.chen", 20, 300, 6000, (),
        (("u.mojingchuan", "TECH", 20, None, 660), ("sales.manager", "SALE", -10, None, 140)),
        "合同洽谈中，尚未启动。",
    ),
)  # fmt: skip


def load(anchor: date) -> None:
    """Fills an empty portal with domains, roles and projects as they are on *anchor*. The people must be there."""
    s = session()
    users = dict(s.execute(select(User.username, User.id)).tuples().all())
    entity = s.scalars(select(LegalEntity.id).order_by(LegalEntity.id).limit(1)).one()
    domains = {code: Domain(code=code, name=name, manager_id=users[manager]) for code, (name, manager) in DOMAINS.items()}
    roles = {
        code: ProjectRole(code=code, name={"zh": zh, "en": en}, grants_view=opens, after_completion=after)
        for code, (zh, en, opens, after) in ROLES.items()
    }
    s.add_all([*domains.values(), *roles.values()])
    s.flush()

    def day(days: int) -> date:
        return anchor + timedelta(days=days)

    for sample in sorted(PROJECTS, key=lambda p: p.life[0][0] if p.life else 0):  # numbers follow the order of starting
        project = Project(
            name=sample.name,
            domain_id=domains[sample.domain].id,
            customer_name=sample.customer,
            pm_id=users[sample.pm],
            starts_on=day(sample.starts),
            ends_on=day(sample.ends),
            planned_hours=Decimal(sample.hours),
            summary=sample.summary or None,
            entity_id=entity,
            state="draft",
        )
        s.add(project)
        s.flush()
        for when, state, reason in sample.life:
            s.add(ProjectStateChange(project_id=project.id, day=day(when), from_state=project.state, to_state=state, reason=reason or None))
            s.flush()
            if state == "active" and project.number is None:
                project.number, project.started_on = next_number("project.Project", entity, day(when)), day(when)
            if state in ("completed", "cancelled"):
                project.finished_on = day(when)
            project.state, project.state_reason = state, reason or None
        for username, role, begins, ends, hours in sample.team:
            s.add(
                ProjectMember(
                    project_id=project.id,
                    user_id=users[username],
                    role_id=roles[role].id,
                    from_day=day(begins),
                    to_day=None if ends is None else day(ends),
                    planned_hours=Decimal(hours),
                )
            )
        s.flush()
