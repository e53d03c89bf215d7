"""A year of daily reports of the sample company, set-based and the same for the same day. Everything in it is invented."""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import text

from modules.dailyreport import rules
from modules.dailyreport.models import ClosedMonth
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.db import session
from portal.notify.notices import notify_each

# what people of a kind of post write; %(n)s stands for a number
DONE: dict[str, tuple[str, ...]] = {
    "build": (
        "完成告警规则模块的接口开发与自测",
        "修复 3 个联调问题，补充单元测试",
        "重构数据接入服务，压测通过",
        "泵站远程控制界面开发",
        "代码评审 4 个合并请求，修改 2 处",
        "梳理第三方平台接口文档，编写对接程序",
        "排查夜间任务超时，优化慢查询",
        "完成权限模块联调，更新接口说明",
        "移动端页面适配与回归",
    ),
    "data": (
        "清洗计量数据，补齐缺失时段",
        "能耗模型训练与误差分析",
        "数据质量规则 12 条上线",
        "搭建指标口径字典",
        "编写报表取数脚本并核对",
        "与客户确认主数据编码方案",
        "历史数据迁移第二批，抽样核对一致",
    ),
    "test": (
        "执行回归用例 46 条，提交缺陷 5 个",
        "编写性能测试脚本",
        "复测上周缺陷，关闭 7 个",
        "过程检查：需求评审记录",
        "搭建验收测试环境",
        "用例评审，补充边界场景",
    ),
    "site": (
        "现场安装采集终端 6 台并调试",
        "配合客户机房上架布线",
        "现场培训操作人员 8 人",
        "巡检 4 个站点，更换 1 台网关",
        "处理客户报修 3 起",
        "验收资料整理与签字",
        "割接演练，记录问题 2 项",
    ),
    "sales": (
        "拜访客户，沟通二期需求",
        "编写投标技术方案",
        "跟进合同付款条款",
        "整理本周商机进展",
        "组织方案汇报会",
        "市场活动物料准备",
    ),
    "manage": (
        "项目例会，更新里程碑计划",
        "协调人员与资源，处理风险 2 项",
        "审核交付物与周报",
        "与客户对齐下阶段范围",
        "部门工作安排与评审",
        "预算执行情况核对",
    ),
    "office": (
        "票据审核与凭证整理",
        "供应商比价与询价",
        "合同条款审阅",
        "员工入职手续办理",
        "档案整理归档",
        "系统巡检与备份检查",
        "制度修订意见收集",
    ),
}
POSTS = {
    "ARC": "build",
    "DEV": "build",
    "DAT": "data",
    "TST": "test",
    "QA": "test",
    "IMP": "site",
    "SVC": "site",
    "OPS": "office",
    "SAL": "sales",
    "MKT": "sales",
    "PM": "manage",
    "DM": "manage",
    "DIR": "manage",
    "MGR": "manage",
    "GM": "manage",
}
OTHER = {
    "department": ("部门例会与任务安排", "整理部门周报", "新人带教", "部门资料整理"),
    "meeting": ("周例会，评审接口规范", "跨部门协调会", "月度复盘会议"),
    "training": ("安全规范培训", "新框架学习与分享", "质量体系内训"),
    "presales": ("支持售前方案编写", "陪同客户参观演示"),
    "other": ("资产盘点", "消防演练", "体检"),
}
PLANS = (
    "继续联调剩余接口；复测不通过的用例",
    "完成设计文档并提交评审",
    "现场调试第二批终端",
    "跟进客户确认意见",
    "修复遗留缺陷，准备提测",
    "整理验收资料",
    "推进下一里程碑的准备工作",
    "编写周报，参加例会",
)
PROBLEMS = (
    "第三方厂商接口文档与实际不一致，影响联调 1 天",
    "客户现场网络不稳定，数据偶有中断",
    "测试环境缺少 2 台采集网关",
    "割接窗口与客户月结冲突，需要改期",
    "需求变更尚未确认，存在返工风险",
    "设备到货比计划晚一周",
)
REASONS = ("工时与会议记录不符，请核对", "请写明完成的具体内容", "这部分应记在另一个项目上")
COMMENTS = (
    "做得扎实，辛苦了。",
    "接口问题请拉上厂商当面确认。",
    "注意控制加班，明天站会说一下安排。",
    "问题已转给项目经理跟进。",
    "收到，资源我来协调。",
)
SILENT = "长虹水库大坝监测"
"""An active project nobody reports on lately, so that its warning can be seen."""
SLACK = ("IMP2", "RD2B")
"""Teams that report too little lately."""

# hours and choices come from hashes of person and day: the same every time, different from day to day
_PEOPLE = """
create temporary table sample_day on commit drop as
select e.user_id, e.department_id, d.code as department, p.code as post, w.day, w.ago, w.following,
       abs(hashtextextended(e.user_id || ':' || w.day, 7)) % 1000 as h, abs(hashtextextended(w.day || '/' || e.user_id,
         11)) % 1000 as g
  from hr_employee e join hr_employment m on m.employee_id = e.id join hr_department d on d.id = e.department_id
  left join hr_post p on p.id = e.post_id
  cross join (select day, row_number() over (order by day desc) - 1 as ago, coalesce(lead(day) over (order by day),
    cast(:after as date)) as following
                from unnest(cast(:workdays as date[])) as x(day)) w
 where m.joined_on <= w.day and (m.left_on is null or m.left_on >= w.day) and e.archived_at is null
   and not exists (select from hr_leave v where v.user_id = e.user_id and v.state = 'approved' and v.kind <> 'trip'
     and v.archived_at is null
                      and (v.from_day < w.day or v.from_day = w.day and v.from_half = 'am')
                      and (v.to_day > w.day or v.to_day = w.day and v.to_half = 'pm'))
"""
# today only some have reported; slack teams forget often; one in fifty is missing otherwise
_ABSENT = """
delete from sample_day
 where case when ago = 0 then h >= 560 when department = any(:slack) and ago <= 6 then h < 420 when ago <= 2 then h < 45 else h < 16 end
   and not (ago = 0 and h >= 985)
"""
_OPEN = """
create temporary table sample_open on commit drop as
select project_id, to_state, day as from_day, lead(day) over (partition by project_id order by id) as to_day from project_state_change
"""
# a member works on a project as much as was planned for the membership, now a little more, now less; a PM an hour or two
_PROJECTS = """
create temporary table sample_project on commit drop as
select * from (select *, row_number() over w as n, sum(hours) over w as running
  from (
    select d.user_id, d.day, p.id as project_id, coalesce(p.number || ' ', '') || p.name as label, p.pm_id, x.manager_id,
           greatest(1.0, least(8.0, round(2 * t.rate * (1.15 + 0.5 * (abs(hashtextextended(d.user_id || ':' || p.id,
             3)) % 100) / 100.0)) / 2.0))
             as hours
      from sample_day d
      join (select m.user_id, m.project_id, m.from_day, m.to_day, r.after_completion,
                   m.planned_hours * 7 / 5 / greatest(1, coalesce(m.to_day, p.ends_on) - m.from_day) as rate
              from project_member m join project_role r on r.id = m.role_id join project_project p on p.id = m.project_id
             where m.archived_at is null
            union all select pm_id, id, date '2000-01-01', null, false, 1.5 from project_project) t
        on t.user_id = d.user_id and t.from_day <= d.day and (t.to_day is null or t.to_day > d.day)
      join project_project p on p.id = t.project_id and p.archived_at is null
      join project_domain x on x.id = p.domain_id
      join sample_open o on o.project_id = p.id and o.from_day <= d.day and (o.to_day is null or o.to_day > d.day)
       and (o.to_state = 'active' or o.to_state = 'completed' and t.after_completion and d.g < 300)
     where not (p.name = :silent and d.ago between 0 and 7)
       and abs(hashtextextended(d.user_id || ':' || p.id || ':' || d.day, 13)) % 100 < 88) found
window w as (partition by user_id, day order by hours desc, project_id)) counted
where n <= 3 and running <= 9
"""
# what the projects leave of the day is other work, in one line or two
_LINES = """
create temporary table sample_line on commit drop as
with done as (select user_id, day, sum(hours) as hours from sample_project group by user_id, day),
     wanted as (
       select d.*, case when h between 905 and 945 then 2.0 when h between 946 and 955 then 3.5 when h % 29 = 0 then -0.5
         else 0 end as extra,
              coalesce(done.hours, 0) as taken
         from sample_day d left join done using (user_id, day)),
     rest as (select *, 8.0 + extra - taken as left_over from wanted),
     parts as (
       select w.user_id, w.day, w.ago, w.post, w.g, p.project_id, p.label, null as category, p.n as position,
         p.pm_id = w.user_id as own, p.hours
         from rest w join sample_project p on p.user_id = w.user_id and p.day = w.day
       union all
       select user_id, day, ago, post, g, null, null,
              (array['department', 'department', 'presales', 'department', 'other'])[1 + g % 5], 9, false,
              left_over - case when left_over > 3 and h % 3 = 0 then 1.5 else 0 end
         from rest where left_over >= 0.5
       union all
       select user_id, day, ago, post, g, null, null, (array['meeting', 'training', 'meeting', 'other'])[1 + g % 4], 10, false, 1.5
         from rest where left_over > 3 and h % 3 = 0)
select *, abs(hashtextextended(user_id || ':' || day || ':' || position, 5)) % 1000 as k from parts
"""
_HEADS = """
create temporary table sample_head on commit drop as
with recursive up(author, department, depth) as (
  select user_id, department_id, 0 from hr_employee
  union all select up.author, t.parent_id, up.depth + 1
    from hr_department t join up on t.id = up.department where t.parent_id is not null)
select distinct on (up.author) up.author, x.user_id
  from up join hr_department_head x on x.department_id = up.department
 where x.user_id <> up.author and x.kind = 'head' and x.archived_at is null and x.to_day is null
 order by up.author, up.depth
"""
_REPORTS = """
insert into dailyreport_report (author_id, day, state, hours, overtime, overtime_hours, plan, problems, submitted_at, late,
  created_at, created_by)
select d.user_id, d.day, x.state, l.hours, l.hours > 8, greatest(l.hours - 8, 0),
       (cast(:plans as text[]))[1 + d.g % cardinality(cast(:plans as text[]))],
       case when d.g % case when d.ago < 5 then 11 else 31 end = 0
         then (cast(:problems as text[]))[1 + d.h % cardinality(cast(:problems as text[]))] end,
       case when x.state = 'submitted' then t.at end, x.state = 'submitted' and x.late, t.at, d.user_id
  from sample_day d join (select user_id, day, sum(hours) as hours from sample_line group by user_id, day) l using (user_id, day)
  cross join lateral (select case when d.ago = 0 and d.h >= 985 then 'draft' else 'submitted' end as state,
                        d.ago > 1 and d.h between 20 and 62 as late) x
  cross join lateral (
    select least(now(), case when x.late then d.following + time '12:20' + d.g * interval '20 seconds'
                             else d.day + time '17:05' + d.g * interval '9 seconds' end at time zone :zone) as at) t
"""
_LINE_ROWS = """
insert into dailyreport_line (report_id, author_id, day, project_id, project_label, category, hours, position, state, decider,
                              submitted_on, decided_by, decided_at, created_at, created_by)
select r.id, l.user_id, l.day, l.project_id, l.label, l.category, l.hours, l.position, s.state, s.decider,
       (r.submitted_at at time zone :zone)::date,
       case when s.decided and l.k % 9 > 0
            then case when l.project_id is null or l.own then h.user_id else p.pm_id end end,
       case when s.decided then least(now(), r.submitted_at + interval '17 hours') end,
       r.created_at, l.user_id
  from sample_line l join dailyreport_report r on r.author_id = l.user_id and r.day = l.day
  left join sample_head h on h.author = l.user_id
  left join project_project p on p.id = l.project_id
  cross join lateral (
    select case when r.state = 'draft' then 'open'
                when l.ago > 5 then 'confirmed'
                when l.ago >= 1 and l.k < case when l.project_id is null then 12 else 90 end then 'returned'
                when l.ago >= 2 and l.k < 700 or l.ago = 1 and l.k < 260 then 'confirmed'
                else 'submitted' end as state) x
  cross join lateral (
    select x.state, x.state in ('confirmed', 'returned') as decided,
           case when l.own then 'either' when l.project_id is not null then 'manager'
                when h.user_id is null then 'author' else 'head' end as decider) s
"""
_TEXTS = """
insert into dailyreport_line_text (line_id, author_id, project_id, done, return_reason, created_at, created_by)
select x.id, x.author_id, x.project_id,
       case when x.project_id is null then (select o.texts->>cast(l.k % jsonb_array_length(o.texts) as int)
         from (select cast(:other as jsonb)->x.category as texts) o)
            else (select d.texts->>cast(l.k % jsonb_array_length(d.texts) as int)
                    from (select cast(:done as jsonb)->coalesce(cast(:posts as jsonb)->>l.post, 'office') as texts) d) end,
       case when x.state = 'returned' then (cast(:reasons as text[]))[1 + l.k % cardinality(cast(:reasons as text[]))] end,
         x.created_at, x.author_id
  from dailyreport_line x join sample_line l on l.user_id = x.author_id and l.day = x.day and l.position = x.position
"""
_COMMENTS = """
insert into dailyreport_comment (report_id, report_author_id, author_id, body, created_at, created_by)
select r.id, r.author_id, h.user_id, (cast(:comments as text[]))[1 + r.id % cardinality(cast(:comments as text[]))],
       least(now(), r.submitted_at + interval '2 hours'), h.user_id
  from dailyreport_report r join hr_employee e on e.user_id = r.author_id
  join hr_department_head h on h.department_id = e.department_id and h.user_id <> r.author_id and h.archived_at is null
    and h.to_day is null
 where r.state = 'submitted' and r.day >= :since and (r.problems is not null or r.id % 37 = 0)
"""
_LIKES = """
insert into dailyreport_like (report_id, report_author_id, author_id, created_at, created_by)
select r.id, r.author_id, h.user_id, least(now(), r.submitted_at + interval '3 hours'), h.user_id
  from dailyreport_report r join hr_employee e on e.user_id = r.author_id
  join (select distinct department_id, user_id from hr_department_head where archived_at is null and to_day is null) h
    on h.department_id = e.department_id and h.user_id <> r.author_id
 where r.state = 'submitted' and r.day >= :since and r.id % 11 = 0
"""

_NOTICES = {
    "dailyreport.returned": """
select author_id as receiver, 'dailyreport_line' as record_type, id as record_id, jsonb_build_object('day', day) as params,
       :kind || ':' || id || ':' || version as key
  from dailyreport_line where state = 'returned' and day >= :since order by day
""",
    "dailyreport.commented": """
select r.author_id as receiver, 'dailyreport_comment' as record_type, c.id as record_id, jsonb_build_object('day', r.day) as params,
       :kind || ':' || c.id as key
  from dailyreport_comment c join dailyreport_report r on r.id = c.report_id
 where r.day >= :since and c.author_id <> r.author_id order by c.id
""",
    "hr.leave_submitted": """
select h.user_id as receiver, 'hr_leave' as record_type, l.id as record_id, :kind || ':' || l.id || ':' || l.version as key,
       jsonb_build_object('name', e.name, 'days', trim_scale(l.days)::text, 'from_day', l.from_day, 'id', l.id) as params
  from hr_leave l join hr_employee e on e.user_id = l.user_id
  join hr_department d on d.id = e.department_id
  join hr_department_head h on h.department_id in (d.id, d.parent_id) and h.to_day is null and h.user_id <> l.user_id
 where l.state = 'submitted' and l.from_day >= :since
""",
}


def load(anchor: date) -> None:
    """Fills an empty portal with the reports of the year before *anchor* and part of that day's. People
    and projects must be there."""
    s = session()
    working = WorkingCalendar.load()
    workdays = working.workdays(anchor - timedelta(days=365), anchor + timedelta(days=1))
    values: dict[str, Any] = {
        "workdays": workdays,
        "after": working.next_workday(anchor),
        "zone": "Asia/Shanghai",
        "silent": SILENT,
        "slack": list(SLACK),
        "plans": list(PLANS),
        "problems": list(PROBLEMS),
        "reasons": list(REASONS),
        "comments": list(COMMENTS),
        "since": anchor - timedelta(days=21),
        "done": _json(DONE),
        "other": _json(OTHER),
        "posts": _json(POSTS),
    }
    s.execute(text("set local jit = off"))  # compiling costs more than it saves here
    for statement in (
        _PEOPLE,
        _ABSENT,
        _OPEN,
        _PROJECTS,
        _LINES,
        _HEADS,
        "analyze sample_day",
        "analyze sample_line",
        _REPORTS,
        _LINE_ROWS,
        _TEXTS,
        _COMMENTS,
        _LIKES,
    ):
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        s.execute(text(statement), used)
    first = rules.month_of(anchor - timedelta(days=365))
    last = rules.month_of(rules.month_of(anchor) - timedelta(days=1))
    while first < last:
        s.add(ClosedMonth(month=first))
        first = rules.month_span(first)[1]
    s.flush()
    for kind, statement in _NOTICES.items():  # in the portal alone: nobody has a mailbox here
        found = s.execute(text(statement), {"since": anchor - timedelta(days=10), "kind": kind})
        notify_each(kind, [dict(row) for row in found.mappings()], channels=())


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()
