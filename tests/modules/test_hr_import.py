"""Taking the organisation over from a workbook: template, dry run, all or nothing, corrections, everybody's rights."""

import io
from datetime import date, timedelta

import pytest
from openpyxl import Workbook, load_workbook

from tests.modules.test_hr_people import department, employee, sql, today

__all__ = ["department", "employee", "sql", "today"]
IMPORTS = "/api/v1/imports/"
pytestmark = pytest.mark.req("HRM-09", part="xlsx")


def workbook(departments=(), people=(), heads=None):
    """A file as somebody fills it in, Chinese or English heads."""
    book = Workbook()
    book.remove(book.worksheets[0])
    for title, head, rows in (("departments", heads or ("code", "name", "parent_id", "from_day", "head"), departments),
                              ("people", ("number", "name", "username", "department_id", "manager_id", "joined_on"), people)):  # fmt: skip
        if rows:
            sheet = book.create_sheet(title)
            sheet.append(head)
            for row in rows:
                sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def send(client, data, name="组织.xlsx"):
    return client.post(IMPORTS, data={"importer": "hr.organisation", "file": (io.BytesIO(data), name)})


@pytest.fixture
def checked(client_as, worker):
    """Sends a file and has it checked; the import over REST."""

    def run(data, username="hr"):
        client = client_as(username)
        got = send(client, data)
        assert got.status_code == 201, got.text
        worker()
        return client.get(got.headers["Location"]).get_json()["result"]

    return run


@pytest.fixture
def rows_of(client_as):
    def run(pk, **args):
        got = client_as("hr").get(f"{IMPORTS}{pk}/rows", query_string=args)
        assert got.status_code == 200, got.text
        return got.get_json()["result"]

    return run


@pytest.fixture
def act(client_as, worker):
    """Does *action* to an import as somebody; the import afterwards, or the refusal."""

    def run(found, action, username="hr", **arguments):
        client = client_as(username)
        got = client.post(f"{IMPORTS}{found['id']}/{action}", json=arguments, headers={"If-Match": str(found["version"])})
        if got.status_code == 200:
            worker()
            return client.get(f"{IMPORTS}{found['id']}").get_json()["result"]
        return got

    return run


@pytest.fixture
def commit(act):
    """Has a checked import stored: by who sent it, or by the leader when it hires people."""

    def run(found):
        if not found["needs_approval"]:
            return act(found, "commit")
        asked = act(found, "submit")
        return act(asked, "approve", "leader") if isinstance(asked, dict) else asked

    return run


SMALL = workbook(
    # children before their parents, heads who come further down
    [("NEW1", "新业务一组", "NEW", None, "N002"), ("NEW", "新业务部", "HQ", date(2024, 1, 1), "N001")],
    [
        ("N002", "白二", "bai.er", "NEW1", "N001", date(2024, 3, 1)),
        ("N001", "白一", "bai.yi", "NEW", None, "2024/2/1"),
        ("N003", "白三", "bai.san", "PLT", "N002", "2024年3月5日"),
    ],
)


def test_the_dry_run_keeps_nothing_and_the_real_one_everything(checked, commit, rows_of, sql, fresh_db, client_as, user_id):
    before = sql("select (select count(*) from hr_employee), (select count(*) from hr_department), (select count(*) from ab_user)")
    found = checked(SMALL)
    assert (found["state"], found["to_create"], found["errors"]) == ("checked", 5, 0), rows_of(found["id"])
    assert sql("select (select count(*) from hr_employee), (select count(*) from hr_department), (select count(*) from ab_user)") == before
    done = commit(found)
    assert done["state"] == "done"
    assert sql(
        "select e.name, d.code, m.username from hr_employee e join hr_department d on d.id = e.department_id"
        " join hr_employment t on t.employee_id = e.id left join ab_user m on m.id = t.manager_id"
        " where e.number like 'N00%' order by e.number"
    ) == [("白一", "NEW", None), ("白二", "NEW1", "bai.yi"), ("白三", "PLT", "bai.er")]
    assert sql(
        "select d.code, p.code, u.username from hr_department d join hr_department p on p.id = d.parent_id"
        " join hr_department_head h on h.department_id = d.id join ab_user u on u.id = h.user_id where d.code like 'NEW%' order by 1"
    ) == [("NEW", "HQ", "bai.yi"), ("NEW1", "NEW", "bai.er")]
    # the history names the person who imported, and the import
    pk = sql("select id from hr_employee where number = 'N001'")[0][0]
    assert sql("select actor, request_id from audit_entry where tbl = 'hr_employee' and row_id = :pk", pk=pk) == [
        (user_id("hr"), f"import:{done['id']}")
    ]
    assert f"导入 {done['id']}" in client_as("hr").get(f"/people/{pk}/history").text
    # who approved it stands there, and sees what it stored
    assert (done["owner_id"], done["decided_by"]) == (user_id("hr"), user_id("leader"))
    assert client_as("leader").get(f"/imports/{done['id']}").status_code == 200
    assert len(client_as("leader").get(f"{IMPORTS}{done['id']}/rows").get_json()["result"]) == 5
    assert client_as("pm.chen").get(f"{IMPORTS}{done['id']}").status_code in (403, 404)
    page = client_as("hr").get(f"/imports/{done['id']}?rows=create").text
    assert f"/people/{pk}" in page


def test_what_is_stored_comes_out_and_in_again_without_a_change(client_as, checked, commit, rows_of, superuser):
    for language in ("zh", "en"):
        superuser.execute(
            "update security_account set locale = %s where user_id = (select id from ab_user where username = 'hr')", [language]
        )
        got = client_as("hr").get("/imports/hr-organisation/filled.xlsx")
        assert got.status_code == 200
        found = checked(got.data)
        assert (found["to_create"], found["to_change"], found["errors"]) == (0, 0, 0), rows_of(found["id"], outcome="error")[:3]
        assert found["unchanged"] > 30
        assert commit(found).get_json()["error"]["code"] == "no_change"
    superuser.execute("update security_account set locale = null where user_id = (select id from ab_user where username = 'hr')")


def test_the_template_speaks_the_readers_language_and_imports_nothing_by_itself(client_as, checked):
    book = load_workbook(io.BytesIO(client_as("hr").get("/imports/hr-organisation/template.xlsx").data))
    assert book.sheetnames == ["部门", "人员", "可选值", "填写说明"]
    assert [c.value for c in book["部门"][1]] == ["代码 *", "名称 *", "上级部门代码", "设立日期", "负责人工号"]
    assert book["人员"].data_validations.dataValidation, "choices are offered"
    out = io.BytesIO()
    book.save(out)
    found = checked(out.getvalue())
    assert (found["state"], found["message"]) == ("refused", "文件中没有数据行。")


def one_problem(found, rows_of):
    assert found["state"] == "checked" and found["errors"] == 1, (found, rows_of(found["id"]))
    return rows_of(found["id"], outcome="error")[0]["problems"]


def who(sql, username):
    return sql(
        "select e.number, e.name, u.username, d.code, t.joined_on from hr_employee e join ab_user u on u.id = e.user_id"
        " join hr_department d on d.id = e.department_id join hr_employment t on t.employee_id = e.id where u.username = :u",
        u=username,
    )[0]


def test_people_who_work_here_are_not_moved_past_the_second_person(checked, commit, rows_of, sql, client_as):
    number, name, username, code, joined = who(sql, "member.zhao")
    for column, row in (
        ("department_id", (number, name, username, "SAL", None, joined)),
        ("manager_id", (number, name, username, code, who(sql, "hr")[0], joined)),
        ("joined_on", (number, name, username, code, None, joined - timedelta(days=1))),
        ("username", (number, name, "somebody.else", code, None, joined)),
    ):
        found = checked(workbook(people=[row]))
        assert list(one_problem(found, rows_of)) == [column]
        assert commit(found).get_json()["error"]["code"] == "has_errors"
    left = sql("select number, name from hr_employee where not active limit 1")
    for number, name in left:
        assert list(one_problem(checked(workbook(people=[(number, name, None, None, None, None)])), rows_of)) == ["number"]


@pytest.mark.parametrize(
    ("departments", "people", "expected"),
    [
        ([("A", "甲", "B", None, None), ("B", "乙", "A", None, None)], [], {"A": "parent_id", "B": "parent_id"}),
        ([("A", "甲", "A", None, None)], [], {"A": "parent_id"}),
        ([("A", "甲", "NOWHERE", None, None)], [], {"A": "parent_id"}),
        ([("A", "甲", "HQ", None, "NOBODY")], [], {"A": "head"}),
        ([("A", None, "HQ", None, None)], [], {"A": "name"}),
        ([("A", "甲" * 2001, "HQ", None, None)], [], {"A": "name"}),
        ([("A", "甲", "HQ", date(2999, 1, 1), None)], [], {"A": "from_day"}),
        ([("A", "甲", "HQ", None, None), ("A", "乙", "HQ", None, None)], [], {"A": "code"}),
        ([("RD", "研发", "BE1", None, None)], [], {"RD": "parent_id"}),
        ([], [("N1", "白一", "a b", "PLT", None, date(2024, 1, 1))], {"N1": "username"}),
        ([], [("N1", "白一", "bai.yi", "PLT", None, "soon")], {"N1": "joined_on"}),
        ([], [("N1", "=1+1", "bai.yi", "PLT", None, date(2024, 1, 1))], {"N1": "name"}),
        (
            [],
            [("N1", "白一", "bai", "PLT", None, date(2024, 1, 1)), ("N2", "白二", "bai", "PLT", None, date(2024, 1, 1))],
            {"N2": "username"},
        ),
        (
            [("A", "甲", "NOWHERE", None, "N1")],
            [("N1", "白一", "bai.yi", "A", "N2", date(2024, 1, 1)), ("N2", "白二", "bai.er", "PLT", "N1", date(2024, 1, 1))],
            {"A": "parent_id", "N1": "manager_id", "N2": "manager_id"},
        ),
    ],
)
def test_everything_wrong_is_said_by_row_and_column(departments, people, expected, checked, rows_of, sql):
    before = sql("select (select count(*) from hr_employee), (select count(*) from hr_department)")
    found = checked(workbook(departments, people))
    wrong = rows_of(found["id"], outcome="error")
    assert {r["key"]: column for r in wrong for column in r["problems"] if column == expected.get(r["key"])} == expected, wrong
    assert len(wrong) == len(expected) and all(any("\u4e00" <= c <= "\u9fff" for c in w) for r in wrong for w in r["problems"].values())
    assert sql("select (select count(*) from hr_employee), (select count(*) from hr_department)") == before


def test_errors_come_back_as_a_file_that_is_corrected_and_sent_again(client_as, checked, commit, fresh_db):
    found = checked(workbook([("NEW", "=danger", "NOWHERE", None, None), ("NEW1", "二组", "HQ", None, None)]))
    assert found["errors"] == 1
    got = client_as("hr").get(f"/imports/{found['id']}/errors.xlsx")
    book = load_workbook(io.BytesIO(got.data))
    rows = list(book["部门"].iter_rows(values_only=True))
    assert rows[0][-1] == "错误" and "NOWHERE" in rows[1][-1] and rows[2][-1] is None
    book["部门"]["B2"], book["部门"]["C2"] = "新部门", "HQ"
    out = io.BytesIO()
    book.save(out)
    assert commit(checked(out.getvalue()))["state"] == "done"


def test_departments_move_and_get_names_and_heads_from_today_on(checked, commit, sql, today, fresh_db):
    head = who(sql, "member.wang")[0]
    found = checked(workbook([("PLT", "平台中心", "SAL", None, head), ("BE", None, "PLT", None, None)]))
    assert (found["to_change"], found["unchanged"]) == (1, 1)
    assert commit(found)["state"] == "done"
    assert sql("select name, parent_id = (select id from hr_department where code = 'SAL') from hr_department where code = 'PLT'") == [
        ("平台中心", True)
    ]
    periods = sql(
        "select from_day from hr_department_period p join hr_department d on d.id = p.department_id where d.code = 'PLT' order by 1"
    )
    assert len(periods) == 2 and periods[-1][0] == today


def test_data_that_changed_since_the_check_stops_the_import_whole(checked, commit, rows_of, sql, fresh_db):
    found = checked(SMALL)
    sql("update ab_user set username = 'bai.er' where username = 'outsider'")
    after = commit(found)
    assert after["decided_by"] is None and after["submitted_at"]
    # whom it hits, and those who refer to that person
    assert (after["state"], after["errors"]) == ("checked", 3) and "变" in after["message"]
    assert sql("select count(*) from hr_department where code like 'NEW%'") == [(0,)]
    wrong = {r["key"]: list(r["problems"]) for r in rows_of(found["id"], outcome="error")}
    assert wrong == {"NEW1": ["head"], "N002": ["username"], "N003": ["manager_id"]}


def test_a_cancelled_import_keeps_nothing_and_a_worker_that_dies_repeats_nothing(app, client_as, checked, worker, sql, fresh_db):
    from portal.kernel.db import unrestricted
    from portal.lowcode.importing import work

    client, found = client_as("hr"), checked(SMALL)
    address = f"{IMPORTS}{found['id']}"

    def begin():
        asked = client.post(f"{IMPORTS}{found['id']}/submit", headers={"If-Match": str(found["version"])})
        return client_as("leader").post(f"{IMPORTS}{found['id']}/approve", json={}, headers={"If-Match": asked.headers["ETag"]})

    begun = begin()
    assert client.post(f"{address}/cancel", headers={"If-Match": begun.headers["ETag"]}).status_code == 200
    worker()
    assert client.get(address).get_json()["result"]["state"] == "cancelled"
    assert sql("select count(*) from hr_employee where number like 'N00%'") == [(0,)]
    # stored, but the worker died before it noted so: begun again, nothing happens twice
    found = checked(SMALL)
    assert begin().status_code == 200
    with app.app_context():
        for _time in range(2):
            with unrestricted("test of an import"):
                work.work(found["id"], "commit")
    worker()
    assert sql("select count(*), count(distinct number) from hr_employee where number like 'N00%'") == [(3, 3)]
    # while it runs it looks whether it was cancelled
    with app.app_context(), pytest.raises(work.Stopped):
        sql("update lowcode_import_run set state = 'cancelled' where id = :id", id=found["id"])
        work._Watch(found["id"])(1, 2)


def test_only_human_resources_import_and_only_the_own_file_is_gone_after_its_time(app, client_as, checked, sql, fresh_db):
    for username in ("admin", "leader", "head.rd", "outsider"):
        assert send(client_as(username), SMALL).status_code == 403
        assert client_as(username).get("/imports/hr-organisation/").status_code == 403
        assert client_as(username).get("/imports/hr-organisation/filled.xlsx").status_code == 403
        assert client_as(username).post("/imports/hr-organisation/", data={"file": (io.BytesIO(SMALL), "a.xlsx")}).status_code == 403
    assert "hr-organisation" in client_as("hr").get("/organisation/").text
    assert "hr-organisation" not in client_as("outsider").get("/organisation/").text
    found = checked(SMALL)
    assert client_as("admin").get(f"/imports/{found['id']}").status_code in (403, 404)
    from portal.kernel.db import unrestricted
    from portal.lowcode.importing.jobs import forget_imports

    sql("update lowcode_import_run set created_at = now() - interval '8 days' where id = :id", id=found["id"])
    with app.app_context(), unrestricted("test of an import"):
        forget_imports()
    assert sql("select count(*) from lowcode_import_file where run_id = :id", id=found["id"]) == [(0,)]
    assert sql("select count(*) from lowcode_import_row where run_id = :id", id=found["id"]) == [(0,)]
    assert sql("select state from lowcode_import_run where id = :id", id=found["id"]) == [("cancelled",)]
    assert client_as("hr").get(f"/imports/{found['id']}").status_code == 200


def test_the_page_refuses_in_words_and_leads_through(client_as, worker, fresh_db):
    hr, leader = client_as("hr"), client_as("leader")
    got = hr.post("/imports/hr-organisation/", data={"file": (io.BytesIO(b"MZ" + bytes(500)), "组织.xlsx")})
    assert got.status_code == 422 and "不是工作簿" in got.text
    got = hr.post("/imports/hr-organisation/", data={"file": (io.BytesIO(SMALL), "组织.xlsx")})
    assert got.status_code == 303
    page = got.headers["Location"]
    assert "hx-trigger" in hr.get(page).text
    worker()
    checked_page = hr.get(f"{page}/state").text
    assert "hx-trigger" not in checked_page and "立即导入" not in checked_page and "提交审批" in checked_page

    def version(client):
        return client.get(page).text.split('name="version" value="')[1].split('"')[0]

    assert hr.post(f"{page}/commit", data={"version": version(hr)}).status_code == 409
    assert hr.post(f"{page}/submit", data={"version": version(hr)}).status_code == 303
    assert "批准并导入" not in hr.get(page).text
    assert page in leader.get("/imports/").text and "批准并导入" in leader.get(page).text
    assert leader.post(f"{page}/approve", data={"version": version(leader)}).status_code == 303
    worker()
    assert "已导入" in hr.get(page).text and "组织.xlsx" in hr.get("/imports/").text


def test_the_work_of_a_row_is_bounded(app, client_as, worker, fresh_db):
    """Keys are looked up for all rows at once; new people are stored together."""
    from sqlalchemy import event

    from portal.kernel.db import db

    def statements(n):
        people = [(f"X{i:04}", f"张{i}", f"zhang{n}.{i}", "PLT", None, date(2021, 1, 4)) for i in range(n)]
        client = client_as("hr")
        got = send(client, workbook(people=people))
        seen = []

        def note(_conn, _cursor, statement, *_rest):
            seen.append(statement)

        with app.app_context():
            engines = list(db.engines.values())
        for engine in engines:
            event.listen(engine, "before_cursor_execute", note)
        try:
            worker()
        finally:
            for engine in engines:
                event.remove(engine, "before_cursor_execute", note)
        assert client.get(got.headers["Location"]).get_json()["result"]["to_create"] == n
        return len([s for s in seen if "lowcode_import" not in s])

    few, many = statements(5), statements(45)
    assert (many - few) / 40 < 3
