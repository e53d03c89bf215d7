"""People are hired by two: an import that hires is approved by somebody else, sees no private data, and stores what was looked at."""

from datetime import date

import pytest

from tests.modules.test_hr_import import IMPORTS, SMALL, act, checked, commit, department, employee, rows_of, sql, today, workbook

__all__ = ["act", "checked", "commit", "department", "employee", "rows_of", "sql", "today"]
pytestmark = pytest.mark.req("HRM-09", part="xlsx, second person")


def code(got):
    return got.get_json()["error"]["code"]


def notices(sql, kind, user):
    return sql("select count(*) from notify_notice where kind = :k and receiver_id = :u", k=kind, u=user)[0][0]


@pytest.mark.req("HRM-02", part="nobody hires alone")
def test_nobody_hires_alone_by_an_import(fresh_db, checked, act, sql, client_as, user_id):
    found = checked(SMALL)
    assert found["needs_approval"] and code(act(found, "commit")) == "needs_approval"
    assert code(act(found, "approve", "leader")) in ("forbidden", "not_found")  # nobody asked yet: not to be seen
    asked = act(found, "submit")
    assert asked["state"] == "submitted"
    assert notices(sql, "lowcode.import_submitted", user_id("leader")) == 1 and not notices(sql, "lowcode.import_submitted", user_id("hr"))
    assert code(act(asked, "approve")) == "forbidden" and code(act(asked, "reject", note="x")) == "forbidden"
    for stranger in ("member.zhao", "head.rd", "admin"):
        assert act(asked, "approve", stranger).status_code in (403, 404)
    assert sql("select count(*) from hr_employee where number like 'N00%'") == [(0,)]
    done = act(asked, "approve", "leader")
    assert done["state"] == "done" and sql("select count(*) from hr_employee where number like 'N00%'") == [(3,)]
    assert notices(sql, "lowcode.import_done", user_id("hr")) == 1


def test_a_rejected_import_stores_nothing_and_says_why(fresh_db, checked, act, sql, client_as, user_id):
    asked = act(checked(SMALL), "submit")
    assert act(asked, "reject", "leader").status_code == 422  # a reason is needed
    done = act(asked, "reject", "leader", note="白三不来了")
    assert (done["state"], done["decision_note"], done["decided_by"]) == ("rejected", "白三不来了", user_id("leader"))
    assert sql("select count(*) from hr_employee where number like 'N00%'") == [(0,)]
    assert (
        "白三不来了" in client_as("hr").get(f"/imports/{done['id']}").text and notices(sql, "lowcode.import_rejected", user_id("hr")) == 1
    )
    assert code(act(done, "approve", "leader")) == "wrong_state"


def test_what_hires_nobody_needs_nobody_else(fresh_db, checked, act):
    found = checked(workbook([("NEW", "新业务部", "HQ", None, None)]))
    assert not found["needs_approval"] and code(act(found, "submit")) == "needs_nobody"
    assert act(found, "commit")["state"] == "done"


def test_alone_it_is_said_who_is_missing(fresh_db, checked, act, superuser, sql):
    superuser.execute("delete from security_role_scope where scope = 'staff_approval'"
                      " and role_id <> (select id from ab_role where name = 'hr')")  # fmt: skip
    superuser.execute("delete from ab_user_role where role_id = (select id from ab_role where name = 'hr')"
                      " and user_id <> (select id from ab_user where username = 'hr')")  # fmt: skip
    superuser.execute("update security_epoch set n = n + 1")
    got = act(checked(SMALL), "submit")
    assert code(got) == "no_approver" and "管理员" in got.text


@pytest.mark.req("HRM-09", part="first set-up")
def test_a_company_without_employees_is_set_up_by_two_accounts(fresh_db, checked, act, sql, superuser):
    """Nobody stands in the list of employees yet: two accounts with the roles are enough."""
    superuser.execute("update hr_employee set active = false")
    superuser.execute("update hr_employee set archived_at = now()")
    done = act(act(checked(SMALL), "submit"), "approve", "leader")
    assert done["state"] == "done", done
    assert sql("select count(*) from hr_employee where active and archived_at is null") == [(3,)]


@pytest.mark.parametrize(
    "change",
    [
        "update hr_department set name = '改名部' where code = 'PLT'",
        "update hr_department set code = 'OLD', version = version + 1 where code = 'PLT';"
        " update hr_department set code = 'PLT' where code = 'SAL'",
        "update hr_employee set work_phone = '010-9' where number = (select number from hr_employee where active order by id limit 1)",
    ],
    ids=["renamed", "another one under the code", "somebody changed meanwhile"],
)
def test_what_was_agreed_on_is_about_these_records_as_they_were(change, fresh_db, checked, act, sql, superuser, user_id):
    number = sql("select number from hr_employee where active order by id limit 1")[0][0]
    found = checked(workbook(people=[("N003", "白三", "bai.san", "PLT", None, date(2024, 3, 5)), (number, None, None, None, None, None)]))
    assert (found["to_create"], found["errors"]) == (1, 0), found
    asked = act(found, "submit")
    for one in change.split(";"):
        superuser.execute(one)
    after = act(asked, "approve", "leader")
    assert after["state"] == "checked" and after["decided_by"] is None, after
    assert sql("select count(*) from hr_employee where number = 'N003'") == [(0,)]
    assert notices(sql, "lowcode.import_back", user_id("hr")) == notices(sql, "lowcode.import_back", user_id("leader")) == 1
    # checked again already: agreed on anew, it goes through
    assert act(act(after, "submit"), "approve", "leader")["state"] == "done"


PRIVATE = ("number", "name", "username", "department_id", "joined_on", "identity_number", "bank_account")
NUMBER, ACCOUNT = "11010519491231002X", "6222020200112233445"


def private_book(*rows):
    import io

    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "people"
    for row in (PRIVATE, *rows):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_private_data_stays_with_who_sent_it(fresh_db, checked, act, client_as, sql):
    found = checked(private_book(("N1", "白一", "bai.yi", "PLT", date(2024, 2, 1), NUMBER, ACCOUNT)))
    asked = act(found, "submit")
    for username in ("leader", "hr"):
        client = client_as(username)
        seen = client.get(f"/imports/{found['id']}").text + client.get(f"{IMPORTS}{found['id']}/rows").text
        assert "白一" in seen and "•••" in seen and NUMBER not in seen and ACCOUNT not in seen
    assert client_as("leader").get(f"/imports/{found['id']}/errors.xlsx").status_code == 200
    assert act(asked, "approve", "leader")["state"] == "done"
    assert sql("select identity_number, bank_account from hr_employee_private where identity_number = :n", n=NUMBER) == [(NUMBER, ACCOUNT)]


def test_an_identity_number_belongs_to_one_person(fresh_db, checked, act, rows_of, sql):
    first, other = (
        private_book(("N1", "白一", "bai.yi", "PLT", date(2024, 2, 1), NUMBER, None)),
        ("N2", "白二", "bai.er", "PLT", date(2024, 2, 1)),
    )
    twice = checked(private_book(("N1", "白一", "bai.yi", "PLT", date(2024, 2, 1), NUMBER, None), (*other, NUMBER.lower(), None)))
    wrong = rows_of(twice["id"], outcome="error")
    assert [(r["key"], list(r["problems"])) for r in wrong] == [("N2", ["identity_number"])]
    assert act(act(checked(first), "submit"), "approve", "leader")["state"] == "done"
    wrong = rows_of(checked(private_book((*other, NUMBER, None)))["id"], outcome="error")
    assert list(wrong[0]["problems"]) == ["identity_number"] and "白一" not in str(wrong) and "N1" not in str(wrong)
    # the own number again is no other's
    assert checked(private_book(("N1", None, None, None, None, NUMBER, ACCOUNT)))["errors"] == 0


@pytest.mark.req("HRM-09", part="xlsx, rights lost")
def test_whoever_lost_the_role_reads_no_earlier_import(fresh_db, checked, client_as, superuser, sql, session_as):
    from sqlalchemy import text

    found = checked(SMALL)
    assert client_as("hr").get(f"{IMPORTS}{found['id']}/rows").get_json()["result"]
    superuser.execute("delete from ab_user_role where user_id = (select id from ab_user where username = 'hr')"
                      " and role_id = (select id from ab_role where name = 'hr')")  # fmt: skip
    superuser.execute("insert into ab_user_role (id, user_id, role_id) select nextval('ab_user_role_id_seq'), u.id, r.id"
                      " from ab_user u, ab_role r where u.username = 'hr' and r.name = 'system_admin'")  # fmt: skip
    superuser.execute("update security_epoch set n = n + 1")
    for path in ("", "/rows"):
        assert client_as("hr").get(f"{IMPORTS}{found['id']}{path}").status_code in (403, 404)
    for path in ("", "/errors.xlsx", "/state"):
        assert client_as("hr").get(f"/imports/{found['id']}{path}").status_code in (403, 404)
    with session_as("hr") as s:  # the database by itself
        for table in ("run", "row", "file"):
            assert s.execute(text(f"select count(*) from lowcode_import_{table}")).scalar() == 0
