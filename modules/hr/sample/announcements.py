"""What the sample company announces to everybody. All of it is invented."""

from datetime import date, timedelta

from portal.kernel.db import session
from portal.web.announcements import Announcement

# days before the anchor, days shown (None: until archived), pinned, title, text
TEXTS = (
    (
        1, 14, True, "月结：本月工时请在月末最后一个工作日 18:00 前补齐",
        "月结后当月日报不再开放填写与更正。请各部门负责人在团队日报中核对缺交人员，项目经理完成工时确认。",
    ),
    (
        2, 20, False, "信息安全月：请核对个人账号与权限",
        "如发现不再需要的系统权限，请联系系统管理员收回。离岗请锁屏，不在公共网络处理客户数据。",
    ),
    (5, 30, False, "下年度预算编制启动", "各部门、各业务域请于月底前提交人力与费用预算初稿，模板见档案系统。"),
    (9, None, False, "差旅报销标准调整", "自下月起执行新的住宿与市内交通标准，按城市分三档。出差申请在“请假”中选择“出差”提交。"),
    (16, None, False, "新员工入职培训安排", "每月第二个周三下午 14:00，三楼培训室；部门负责人请提前一天确认名单。"),
)  # fmt: skip


def announce(anchor: date, author: int) -> None:
    """Adds the announcements that stand on *anchor*, written by the person *author*."""
    for ago, shown, pinned, title, body in TEXTS:
        begins = anchor - timedelta(days=ago)
        ends = None if shown is None else begins + timedelta(days=shown)
        session().add(Announcement(title=title, body=body, from_day=begins, to_day=ends, pinned=pinned, created_by=author))
    session().flush()
