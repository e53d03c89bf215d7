"""Who read sensitive data is noted, whichever way it was read; auditors and the person concerned read the notes (VIS-13)."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import g
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import aliased

from modules.hr.models import GradeRate
from portal.kernel.db import db, session
from portal.kernel.document import Record, records
from security import reads

pytestmark = pytest.mark.req("VIS-13", part="sensitive reads")
API = "/api/v1/sensitive-reads/"


@pytest.fixture
def noted(superuser: Any) -> Callable[[], list[Any]]:
    """The notes since the last call, as (actor, table, new)."""
    last = [superuser.execute("select coalesce(max(id), 0) from audit_entry").fetchone()[0]]

    def fresh() -> list[Any]:
        rows = superuser.execute(
            """select a.id, u.username, a.tbl, a.new, a.row_id, a.ip from audit_entry a left join ab_user u on u.id = a.actor
                where a.op = 'read' and a.id > %s order by a.id""",
            [last[0]],
        ).fetchall()
        last[0] = superuser.execute("select max(id) from audit_entry").fetchone()[0]
        return [(r[1], r[2], r[3], r[4], r[5]) for r in rows]

    return fresh


@pytest.fixture
def wang(superuser: Any) -> Any:
    """(private row, account, employee) of member.wang."""
    return superuser.execute(
        """select p.id, p.user_id, p.employee_id from hr_employee_private p join ab_user u on u.id = p.user_id
            where u.username = 'member.wang'"""
    ).fetchone()


def asked(**q: Any) -> dict[str, str]:
    return {"q": orjson.dumps(q).decode()}


# ------------------------------------------------------------------ every way in
WAYS = (
    ("page of the person", "/people/{employee}", "page"),
    ("form", "/employee-private/{private}/edit", "page"),
    ("record", "/api/v1/employee-private/{private}", "api"),
    ("list", "/api/v1/employee-private/", "api"),
    ("history page", "/employee-private/{private}/history", "history"),
    ("history of the record above", "/people/{employee}/history", "history"),
    ("history over REST", "/api/v1/employee-private/{private}/history", "history"),
    ("export", "/api/v1/employee-private/export.csv", "export"),
)


@pytest.mark.parametrize(("what", "url", "way"), WAYS, ids=[w[0] for w in WAYS])
def test_every_way_to_read_private_data_is_noted(
    what: str, url: str, way: str, client_as: Any, noted: Any, wang: Any, superuser: Any
) -> None:
    private, user, employee = wang
    superuser.execute("update hr_employee_private set bank_account = bank_account || '1' where id = %s", [private])
    noted()
    answer = client_as("hr").get(url.format(private=private, employee=employee))
    assert answer.status_code in (200, 404) and (answer.status_code == 200 or what == "export"), answer.text[:300]
    found = [n for n in noted() if n[1] == "hr_employee_private"]
    if answer.status_code == 404:  # no export of private data is offered at all
        assert found == [] and what == "export"
        return
    assert len(found) == 1, "one note for one request"
    who, _table, new, row, ip = found[0]
    assert who == "hr" and new["way"] == way and user in new["people"] and private in new["ids"] and ip
    assert "bank_account" in new["fields"] and (row == private or len(new["ids"]) > 1)
    assert "SECRET" not in str(new)


def test_rates_are_noted_on_pages_lists_and_files(client_as: Any, noted: Any, superuser: Any) -> None:
    grade, rate = superuser.execute("select grade_id, id from hr_grade_rate order by id limit 1").fetchone()
    count = superuser.execute("select count(*) from hr_grade_rate").fetchone()[0]
    finance = client_as("finance")
    noted()
    for url in (f"/grades/{grade}", "/grade-rates/", f"/grade-rates/{rate}", "/api/v1/grade-rates/", f"/api/v1/grade-rates/{rate}"):
        assert finance.get(url).status_code == 200, url
        found = [n for n in noted() if n[1] == "hr_grade_rate"]
        assert len(found) == 1 and found[0][0] == "finance" and "daily_cost" in found[0][2]["fields"] and found[0][2]["ids"], url
    answer = client_as("hr").get("/grade-rates/export.xlsx")
    assert answer.status_code == 200
    [note] = [n for n in noted() if n[1] == "hr_grade_rate"]
    assert note[2]["way"] == "export" and note[2]["rows"] == count == len(note[2]["ids"]) and note[2]["format"] == "xlsx"


def test_ordering_and_filtering_by_a_sensitive_column_reads_it(client_as: Any, noted: Any) -> None:
    """Whoever asks for rows dearer than a figure learns something, whatever columns come back."""
    hr = client_as("hr")
    noted()
    filters = [{"col": "daily_cost", "opr": "gt", "value": "1"}]
    assert hr.get("/api/v1/grade-rates/", query_string=asked(columns=["from_day"], filters=filters)).status_code == 200
    [note] = [n for n in noted() if n[1] == "hr_grade_rate"]
    assert note[2]["fields"] == ["daily_cost"]
    assert hr.get("/api/v1/grade-rates/", query_string=asked(columns=["from_day"])).status_code == 200
    assert [n for n in noted() if n[1] == "hr_grade_rate"] == []


def test_the_own_look_is_no_note_and_others_without_the_right_leave_none(client_as: Any, noted: Any, wang: Any) -> None:
    private, _user, employee = wang
    noted()
    for username in ("member.wang", "member.zhao", "outsider", "auditor", "admin", "pm.chen"):
        client = client_as(username)
        client.get(f"/people/{employee}")
        client.get(f"/api/v1/employee-private/{private}")
        client.get("/api/v1/employee-private/")
    assert [n for n in noted() if n[2]["ids"]] == []


def test_every_export_is_noted_with_what_was_asked_for(client_as: Any, noted: Any) -> None:
    noted()
    answer = client_as("hr").get("/people/export.csv?f.active=1")
    assert answer.status_code == 200
    [note] = noted()
    assert (note[0], note[1], note[2]["way"], note[2]["format"]) == ("hr", "hr_employee", "export", "csv")
    assert note[2]["rows"] == len(answer.text.strip().splitlines()) - 1 and "name" in note[2]["columns"]
    assert any("active" in f for f in note[2]["filters"])
    assert client_as("admin").get("/administration/roles/export.csv").status_code == 200
    assert [n[1] for n in noted()] == ["security_role"]
    head = client_as("head.rd").get("/team-board/export.xlsx")
    assert head.status_code == 200
    assert [(n[0], n[1]) for n in noted() if n[0] == "head.rd"] == [("head.rd", "dailyreport_report")]


def test_auditors_are_watched_too(client_as: Any, noted: Any, wang: Any) -> None:
    noted()
    auditor = client_as("auditor")
    auditor.get(f"/audit-log/?type=hr_employee_private&record={wang[0]}")
    auditor.get("/api/v1/audit-log/")
    found = [n for n in noted() if n[1] == "audit_entry"]
    assert [n[2]["asked"] for n in found] == [{"table": "hr_employee_private", "row": wang[0]}, {}]


# ------------------------------------------------------------------ no answer without its note
def test_an_answer_whose_note_cannot_be_written_does_not_leave(
    client_as: Any, noted: Any, wang: Any, superuser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = superuser.execute("select bank_account from hr_employee_private where id = %s", [wang[0]]).fetchone()[0]
    hr = client_as("hr")
    url = f"/api/v1/employee-private/{wang[0]}"
    assert bank in hr.get(url).text
    monkeypatch.setattr(reads, "_WRITE", text("select audit_read_that_is_not_there(:tbl, :ids, :what)"))
    answer = hr.get(url)
    assert answer.status_code == 500 and bank not in answer.text


def test_both_versions_in_a_conflict_are_a_read(client_as: Any, noted: Any, wang: Any, superuser: Any) -> None:
    """The refusal shows what is stored now; it is noted although the request keeps nothing."""
    hr = client_as("hr")
    version = hr.get(f"/api/v1/employee-private/{wang[0]}").headers["ETag"].strip('"')
    superuser.execute("update hr_employee_private set bank_account = '1234 9', version = version + 1 where id = %s", [wang[0]])
    noted()
    answer = hr.patch(f"/api/v1/employee-private/{wang[0]}", json={"bank_account": "77"}, headers={"If-Match": version})
    assert answer.status_code == 409 and "1234 9" in answer.text
    [note] = noted()
    assert note[2]["ids"] == [wang[0]]


def test_a_note_names_who_is_signed_in_and_nobody_else_can_write_one(app: Any, token_of: Any, superuser: Any) -> None:
    before = superuser.execute("select coalesce(max(id), 0) from audit_entry").fetchone()[0]
    for token in (token_of("finance"), ""):
        with app.test_request_context("/"):
            g.credential = token
            call = text("select audit_read('hr_grade_rate', '{1}', '{}')")
            if token:
                session().execute(call)
                session().finish()
            else:
                with pytest.raises(DBAPIError):
                    session().execute(call)
    found = superuser.execute(
        "select u.username from audit_entry a join ab_user u on u.id = a.actor where a.op = 'read' and a.id > %s", [before]
    ).fetchall()
    assert found == [("finance",)]


def test_nothing_leads_around_the_notice(app: Any) -> None:
    """No model loads a sensitive one along: whoever wants its rows asks for them in a statement of their own."""
    secret = {m for m in records() if m.__tablename__ in reads.secrets()}
    assert len(secret) >= 2
    for m in records():
        for r in m.__mapper__.relationships:
            assert r.mapper.class_ not in secret, f"{m.__name__}.{r.key}"


SHAPES = ("entity", "column", "sum", "alias", "where", "subquery", "text", "union", "comment", "rows", "json", "table")


@pytest.mark.parametrize("how", SHAPES)
def test_every_shape_of_statement_is_noticed(how: str, app: Any, token_of: Any) -> None:
    a = aliased(GradeRate)
    statements: dict[str, Any] = {
        "entity": select(GradeRate),
        "column": select(GradeRate.daily_cost),
        "sum": select(func.sum(GradeRate.daily_cost)),
        "alias": select(a.base_salary),
        "where": select(GradeRate.id).where(GradeRate.daily_cost > 5),
        "subquery": select(func.count()).select_from(select(GradeRate.daily_cost).subquery()),
        "text": text("select daily_cost from hr_grade_rate"),
        "union": text("(select daily_cost from hr_grade_rate) union (select base_salary from hr_grade_rate)"),
        "comment": text("/* board */ select daily_cost from hr_grade_rate"),
        "rows": text("select r.* from hr_grade_rate r"),
        "json": text("select to_jsonb(r) from hr_grade_rate r"),
        "table": text("table hr_grade_rate"),
    }
    with app.test_request_context("/"):
        g.credential = token_of("finance")
        session().execute(statements[how]).all()
        assert set(g.get("sensitive_reads", {})) == {"hr_grade_rate"}


def test_what_a_change_returns_is_read_and_what_it_writes_is_not(app: Any, token_of: Any) -> None:
    change = "update hr_employee_private set bank_account = bank_account where false"
    with app.test_request_context("/"):
        g.credential = token_of("hr")
        session().execute(text(change))
        assert "hr_employee_private" not in g.get("sensitive_reads", {})
        session().execute(text(f"{change} returning identity_number"))
        assert g.sensitive_reads["hr_employee_private"].fields == {"identity_number"}


# ------------------------------------------------------------------ who reads the notes
def test_auditors_find_them_and_nobody_else(client_as: Any, wang: Any) -> None:
    _private, user, employee = wang
    client_as("hr").get(f"/people/{employee}")
    auditor = client_as("auditor")
    assert '"/sensitive-reads/"' in auditor.get("/").text
    filters = [{"col": "person", "opr": "eq", "value": user}, {"col": "table", "opr": "eq", "value": "hr_employee_private"}]
    found = auditor.get(API, query_string=asked(filters=filters)).get_json()
    assert found["count"] >= 1 and all(user in r["people"] for r in found["result"])
    newest = found["result"][0]
    assert newest["actor_name"] and newest["way"] == "page" and newest["address"] and newest["path"] == f"/people/{employee}"
    page = auditor.get(f"/sensitive-reads/?about={user}&type=hr_employee_private&way=page").text
    assert "Bank account" in page or "银行账号" in page
    trail = auditor.get(f"/audit-log/?type=hr_employee&record={employee}").text
    assert "Bank account" in trail or "银行账号" in trail
    assert auditor.get("/sensitive-reads/?way=nonsense").status_code == 400
    for username in ("admin", "security.admin", "hr", "leader", "member.wang", "outsider"):
        client = client_as(username)
        assert client.get("/sensitive-reads/").status_code == 403 and client.get(API).status_code == 403, username
        assert '"/sensitive-reads/"' not in client.get("/").text


def test_the_person_concerned_sees_who_looked(client_as: Any, wang: Any) -> None:
    _private, _user, employee = wang
    assert client_as("hr").get("/api/v1/employee-private/").status_code == 200
    client_as("hr").get(f"/people/{employee}")
    mine = client_as("member.wang").get(f"{API}mine").get_json()
    assert mine["count"] >= 2 and {r["table"] for r in mine["result"]} == {"hr_employee_private"}
    assert all("people" not in r and "ids" not in r and "path" not in r for r in mine["result"])
    page = client_as("member.wang").get(f"/people/{employee}?tab=readers").text
    assert "Who looked" in page or "谁看过" in page
    assert "readers" not in client_as("hr").get(f"/people/{employee}").text
    others = client_as("member.zhao").get(f"{API}mine").get_json()
    assert all(r["id"] not in {m["id"] for m in mine["result"] if m["way"] == "page"} for r in others["result"])


@pytest.mark.req("VIS-13", part="statements")
def test_a_note_costs_one_statement(app: Any, client_as: Any) -> None:
    sent: list[str] = []

    def counted(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    client = client_as("finance")
    client.get("/api/v1/grade-rates/")
    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", counted)
    try:
        client.get("/api/v1/grade-rates/")
    finally:
        event.remove(engine, "before_cursor_execute", counted)
    assert sum("audit_read" in s for s in sent) == 1 and len(sent) <= 5


def test_the_kinds_of_records_are_those_declared(app: Any) -> None:
    assert {"hr_employee_private", "hr_grade_rate"} <= set(reads.secrets())
    assert all(issubclass(m, Record) for m in records())
