"""Whoever administers access and gives some to themself is noted and told to leaders, whichever way; and sees no business row (VIS-05)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from portal.kernel.db import unrestricted
from portal.kernel.document import records
from security import accounts, emergency

pytestmark = pytest.mark.req("VIS-05", part="own access")
NOTICES = "/api/v1/notices/"


@pytest.fixture
def told(superuser: Any, user_id: Any) -> Callable[[str], int]:
    """How many notices of a kind the leader has."""

    def count(kind: str) -> int:
        found = superuser.execute("select count(*) from notify_notice where receiver_id = %s and kind = %s", [user_id("leader"), kind])
        return int(found.fetchone()[0])

    return count


def changes(superuser: Any) -> list[Any]:
    return superuser.execute("select role, what, detail from web_role_change order by id").fetchall()  # type: ignore[no-any-return]


def by_keycloak(app: Any, person: int, *roles: str) -> None:
    with app.app_context(), unrestricted("test of roles at sign-in") as s:
        accounts.sync_roles(s, person, list(roles))


def test_keycloak_gives_an_administrator_more(fresh_db: None, app: Any, superuser: Any, user_id: Any, told: Any) -> None:
    superuser.execute("delete from web_role_change")
    by_keycloak(app, user_id("admin"), "employee", "system_admin")
    assert told("security.own_access") == 0 and changes(superuser) == []  # what was held before
    by_keycloak(app, user_id("admin"), "employee", "system_admin", "hr")
    assert told("security.own_access") == 1 and changes(superuser) == [("hr", "given", "admin (Keycloak)")]
    by_keycloak(app, user_id("member.wang"), "employee", "qa")
    assert told("security.own_access") == 1  # noted, but nobody who administers anything
    assert changes(superuser)[-1] == ("qa", "given", "member.wang (Keycloak)")
    by_keycloak(app, user_id("member.zhao"), "employee", "security_admin")
    assert told("security.own_access") == 2  # becomes one


def test_a_sign_in_account_linked_to_somebody_with_wide_access(fresh_db: None, app: Any, superuser: Any, user_id: Any, told: Any) -> None:
    numbers = dict(superuser.execute("select u.username, e.number from hr_employee e join ab_user u on u.id = e.user_id").fetchall())
    superuser.execute("update security_account set subject = null")
    for username, expected in (("member.wang", 0), ("finance", 1)):
        with app.app_context(), unrestricted("test of linking") as s:
            assert accounts.find(s, {"sub": f"subject of {username}", "employee_number": numbers[username]}) == user_id(username)
        assert told("security.account_linked") == expected, username


def test_the_emergency_access_is_told(fresh_db: None, app: Any, told: Any) -> None:
    with app.app_context():
        emergency.enable(timedelta(minutes=5), "operator")
        assert told("security.emergency_opened") == 1
        emergency.disable()
    assert told("security.emergency_closed") == 1


@pytest.mark.req("VIS-05", part="nothing of the business")
@pytest.mark.parametrize("username", ["admin", "security.admin", "auditor"])
def test_who_administers_or_watches_sees_no_business_row(username: str, session_as: Any, user_id: Any, app: Any, superuser: Any) -> None:
    """Exactly: master data everybody reads, what the role is for, and the own rows of an employee."""
    everybody = {
        *("hr_department", "hr_department_period", "hr_department_head", "hr_post", "hr_grade", "hr_employee"),
        *("project_domain", "project_role", "kernel_entity", "kernel_working_day", "kernel_number_series", "kernel_parameter"),
        *(
            "applications_application",
            "applications_category",
            "dailyreport_closed_month",
            "notify_warning_rule",
            "web_announcement",
            "web_list_setting",
        ),
    }
    access = {"security_signin", "security_delegation", "security_difference", "security_comparison"}
    watching = access | {"security_question", "security_erasure", "security_legal_hold", "applications_launch"}
    of_the_role = {
        "admin": access | {"web_role_change"},
        "security.admin": watching,
        "auditor": watching,
    }[username]
    own_by = ("user_id", "author_id", "receiver_id", "report_author_id", "created_by")
    wrong = []
    for m in records():
        if m.__tablename__ in everybody | of_the_role:
            continue
        with session_as(username) as s:
            ids = list(s.scalars(select(m.id), execution_options={"include_archived": True}))
        for pk in ids:
            row = superuser.execute(f"select to_jsonb(t) from {m.__tablename__} t where id = %s", [pk]).fetchone()[0]
            if not any(row.get(c) == user_id(username) for c in own_by):
                wrong.append(f"{m.__tablename__} {pk}")
    assert wrong == []
    with session_as(username) as s:
        assert s.scalar(select(func.count()).select_from(next(m for m in records() if m.__tablename__ == "project_project"))) == 0
