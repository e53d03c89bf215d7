"""Departments, posts, grades and people of the sample company. Every name is invented."""

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
