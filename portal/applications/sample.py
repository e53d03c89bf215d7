"""Applications of the sample company.  Their addresses lead nowhere, but for Keycloak's own page, which everybody can try."""

from datetime import date

from portal.applications.models import Application, Category
from portal.kernel.db import session
from portal.kernel.settings import settings

CATEGORIES = (
    ("everyday", "日常办公", "Everyday work"),
    ("development", "研发", "Development"),
    ("business", "经营", "Business"),
    ("account", "账号", "Account"),
)
ALL = ("employee",)
# category, icon, name and words in both languages, address, roles
APPLICATIONS = (
    ("everyday", "notes", "知识库", "Knowledge base", "制度、方案与经验", "Rules, solutions, lessons learnt", "wiki", ALL),
    ("everyday", "mail", "企业邮箱", "Mail", "收发邮件与通讯录", "Letters and addresses", "mail", ALL),
    ("everyday", "building", "会议室预订", "Meeting rooms", "查看空闲并预订", "See what is free, and book", "rooms", ALL),
    ("development", "git-branch", "代码托管", "Code hosting", "代码仓库与评审", "Repositories and reviews", "git", ALL),
    ("development", "certificate", "测试平台", "Test platform", "用例与缺陷", "Test cases and defects", "tests", ("qa",)),
    ("business", "chart-bar", "经营驾驶舱", "Business cockpit", "公司级指标", "The company's figures", "cockpit", ("leader", "finance")),
    ("business", "coin", "财务核算", "Accounting", "凭证与报表", "Vouchers and reports", "ledger", ("finance",)),
    ("business", "users", "招聘管理", "Recruiting", "职位与候选人", "Openings and applicants", "jobs", ("hr",)),
    ("business", "shopping-cart", "供应商门户", "Supplier portal", "询价与订单", "Inquiries and orders", "suppliers", ("buyer",)),
)


def load(anchor: date) -> None:
    """The catalogue; nothing in it depends on *anchor*."""
    s = session()
    categories = {}
    for place, (code, zh, en) in enumerate(CATEGORIES, 1):
        categories[code] = Category(code=code, name={"zh": zh, "en": en}, position=place * 10)
    s.add_all(categories.values())
    s.flush()
    for place, (category, icon, zh, en, words_zh, words_en, host, roles) in enumerate(APPLICATIONS, 1):
        made = Application(
            name={"zh": zh, "en": en}, description={"zh": f"{words_zh}（示例）", "en": f"{words_en} (sample)"}, roles=list(roles)
        )
        made.category_id, made.icon, made.url, made.position = categories[category].id, icon, f"https://{host}.shuniu.invalid/", place * 10
        s.add(made)
    if not settings().local_accounts:
        account = Application(
            name={"zh": "我的账号", "en": "My account"},
            description={"zh": "密码、登录设备与个人信息", "en": "Password, devices and personal data"},
            category_id=categories["account"].id,
            icon="user-circle",
            url=f"{settings().oidc_issuer}/account/",
            client_id="account-console",
            roles=list(ALL),
        )
        s.add(account)
    s.flush()
