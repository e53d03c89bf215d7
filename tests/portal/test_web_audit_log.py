"""The audit log for auditors: the trail of everything, secrets left out; for nobody else, and without the records themselves."""

import re
from datetime import timedelta
from typing import Any

import orjson
import pytest

from portal.kernel import calendar, jobs
from portal.kernel.document import records
from portal.kernel.settings import settings as active
from security import trail

API = "/api/v1/audit-log/"
OTHERS = ("admin", "security.admin", "leader", "ceo", "hr", "pm.chen", "member.wang", "outsider", "finance", "qa")


@pytest.fixture
def ask(client_as: Any) -> Any:
    """`ask(page_size=5, filters=[("table", "eq", "hr_leave")])`: the answer of the REST list."""

    def get(username: str = "auditor", filters: Any = (), **q: Any) -> Any:
        q["filters"] = [{"col": c, "opr": o, "value": v} for c, o, v in filters]
        return client_as(username).get(API, query_string={"q": orjson.dumps(q).decode()})

    return get


@pytest.fixture
def project(superuser: Any) -> int:
    return int(superuser.execute("select id from project_project where name = 'Project Alpha'").fetchone()[0])


# ------------------------------------------------------------------ for auditors only
@pytest.mark.req("VIS-05", part="trail")
@pytest.mark.parametrize("username", OTHERS)
def test_nobody_else_reads_the_trail(username: str, client_as: Any) -> None:
    client = client_as(username)
    for url in ("/audit-log/", API, f"{API}1", f"{API}verification"):
        answer = client.get(url)
        assert answer.status_code == 403, url
        assert "Alpha" not in answer.text
    assert client.post("/audit-log/verify").status_code == 403
    assert client.post(f"{API}verify").status_code == 403
    assert "/audit-log/" not in client.get("/").text


@pytest.mark.req("VIS-05", part="trail")
def test_the_auditor_reads_what_became_of_a_record_but_not_the_record(client_as: Any, ask: Any, project: int, superuser: Any) -> None:
    auditor = client_as("auditor")
    assert '"/audit-log/"' in auditor.get("/").text
    assert auditor.get(f"/api/v1/projects/{project}").status_code == 404
    assert auditor.get("/api/v1/projects/").get_json()["count"] == 0
    superuser.execute("update project_project set summary = 'no longer the same' where id = %s", [project])
    found = ask(filters=[("table", "eq", "project_project"), ("row", "eq", project)]).get_json()
    newest = found["result"][0]
    assert (newest["operation"], newest["new"], newest["table"], newest["row"]) == (
        "update",
        {"summary": "no longer the same"},
        "project_project",
        project,
    )
    assert {"project_project", "project_member"} <= {e["table"] for e in found["result"]}  # with its parts
    page = auditor.get(f"/audit-log/?type=project_project&record={project}")
    assert page.status_code == 200 and "no longer the same" in page.text


@pytest.mark.req("VIS-13", part="trail")
def test_deleted_and_archived_records_keep_their_trail(client_as: Any, ask: Any, superuser: Any) -> None:
    table = "web_announcement"
    pk = superuser.execute(
        "insert into web_announcement (title, body, from_day) values ('soon gone', 'b', '2026-01-01') returning id"
    ).fetchone()[0]
    superuser.execute("update web_announcement set archived_at = now() where id = %s", [pk])
    superuser.execute("delete from web_announcement where id = %s", [pk])
    found = ask(filters=[("table", "eq", table), ("row", "eq", pk)]).get_json()
    assert [e["operation"] for e in found["result"]] == ["delete", "update", "insert"] and found["count"] == 3
    assert found["result"][0]["old"]["title"] == "soon gone" and found["result"][0]["new"] is None
    page = client_as("auditor").get(f"/audit-log/?type={table}&record={pk}").text
    assert "deleted" in page and "archived" in page and "soon gone" in page


@pytest.mark.req("VIS-08", part="trail")
def test_secrets_are_in_no_answer(client_as: Any, ask: Any, superuser: Any) -> None:
    """Values of secret columns never; that they changed, yes."""
    row = superuser.execute("select min(id) from hr_employee_private").fetchone()[0]
    superuser.execute("update hr_employee_private set bank_account = 'SECRET-9', home_address = 'SECRET-8' where id = %s", [row])
    superuser.execute("update hr_grade_rate set daily_cost = 98765.43 where id = (select min(id) from hr_grade_rate)")
    superuser.execute("update kernel_parameter set value = '\"value SECRET-7\"'")
    superuser.execute("insert into audit_entry (tbl, row_id, op, new) values ('table_of_the_past', 1, 'insert', '{\"pin\": \"SECRET-6\"}')")
    newest = ask(filters=[("table", "eq", "hr_employee_private"), ("row", "eq", row)]).get_json()["result"][0]
    assert newest["hidden"] == ["bank_account", "home_address"] and newest["new"] == {}
    auditor, said, after = client_as("auditor"), "", None
    while True:
        answer = ask(page_size=200, **({"after": after} if after else {}))
        said, after = said + answer.text, answer.get_json()["next"]
        if after is None:
            break
    url: str | None = "/audit-log/"
    while url:
        page = auditor.get(url).text
        said += page
        more = re.search(r'href="(/audit-log/\?[^"]*before=\d+)"', page)
        url = more[1].replace("&amp;", "&") if more else None
    assert "table_of_the_past" in said and "98765" not in said and "98,765" not in said
    secrets = superuser.execute("select identity_number, bank_account, home_address from hr_employee_private").fetchall()
    for value in {str(v) for r in secrets for v in r if v} | {"SECRET-", "value of test."}:
        assert value not in said, value


def test_columns_that_sound_secret_say_whether_they_are(app: Any) -> None:
    """What the trail shows of a new column is decided, not forgotten."""
    sounds = re.compile(r"salary|bank|identity|_pay$|_performance$|cost$|secret|password|token|address$|iban|wage|bonus")
    undecided = [
        f"{m.__tablename__}.{c.name}" for m in records() for c in m.__table__.columns if sounds.search(c.name) and "secret" not in c.info
    ]
    assert undecided == []
    assert trail.hidden_in("hr_grade_rate", ["daily_cost", "from_day"]) == ("daily_cost",)
    assert trail.hidden_in("no_such_table", ["anything"]) == ("anything",)


# ------------------------------------------------------------------ searching
@pytest.mark.req("VIS-13", part="trail")
def test_search_by_person_and_period(client_as: Any, ask: Any, request_as: Any, user_id: Any, superuser: Any) -> None:
    from modules.hr.models import Leave

    with request_as("member.wang", keep=True, environ_base={"REMOTE_ADDR": "10.1.2.3"}) as s:
        day = calendar.today() + timedelta(days=90)
        s.add(Leave(kind="annual", from_day=day, to_day=day, reason="holiday of the search"))
        s.flush()
    me, today = user_id("member.wang"), calendar.today()
    superuser.execute("update audit_entry set at = at - interval '40 days' where actor is null")
    found = ask(filters=[("actor", "eq", me), ("at", "ge", today.isoformat())]).get_json()
    assert found["count"] == len(found["result"]) == 1
    e = found["result"][0]
    assert (e["table"], e["address"], e["actor"], e["operation"]) == ("hr_leave", "10.1.2.3", me, "insert")
    one = client_as("auditor").get(f"{API}{e['id']}").get_json()
    assert one == {"id": e["id"], "result": e}
    assert ask(filters=[("actor", "eq", me), ("at", "lt", today.isoformat())]).get_json()["count"] == 0
    assert ask(filters=[("at", "lt", today.isoformat())]).get_json()["count"] > 100
    page = client_as("auditor").get(f"/audit-log/?person={me}&from={today}&to={today}").text
    assert "holiday of the search" in page and "10.1.2.3" in page
    assert "holiday of the search" not in client_as("auditor").get(f"/audit-log/?person={me}&to={today - timedelta(days=1)}").text


def test_pages_follow_one_another_without_gap_or_repetition(ask: Any, superuser: Any) -> None:
    ids: list[int] = []
    after = None
    while True:
        got = ask(page_size=37, **({"after": after} if after else {})).get_json()
        ids += got["ids"]
        after = got["next"]
        if after is None:
            break
    # the auditor's looks are entries themselves, newer than the first page
    known = superuser.execute("select id from audit_entry where id <= %s order by id desc", [ids[0]]).fetchall()
    assert ids == [r[0] for r in known]


@pytest.mark.parametrize(
    "query",
    ["type=pg_authid", "record=abc", "record=-1", "record=99999999999999999999", "person=1%27", "from=yesterday", "to=2026-13-01",
     "before=x"],
)  # fmt: skip
def test_the_page_refuses_what_it_does_not_understand(client_as: Any, query: str) -> None:
    assert client_as("auditor").get(f"/audit-log/?{query}").status_code == 400


@pytest.mark.parametrize(
    "q",
    [{"filters": 5}, {"filters": [5]}, {"filters": [{"col": "old", "opr": "eq", "value": 1}]}, {"page_size": 0}, {"page_size": 201},
     {"filters": [{"col": "table", "opr": "ct", "value": "x"}]}, {"filters": [{"col": "table", "opr": "eq", "value": ["x"]}]},
     {"filters": [{"col": "row", "opr": "eq", "value": True}]},
     {"filters": [{"col": "at", "opr": "ge", "value": "0001-01-01T00:00+14:00"}]},
     {"filters": [{"col": "row", "opr": "eq", "value": 1}] * 2}, {"after": "x"}, {"order_column": "id"}, {"page_size": [1]},
     {"filters": [{"col": [], "opr": {}, "value": 1}]}],
)  # fmt: skip
def test_rest_refuses_what_it_does_not_understand(client_as: Any, q: dict[str, Any]) -> None:
    answer = client_as("auditor").get(API, query_string={"q": orjson.dumps(q).decode()})
    assert answer.status_code == 400 and answer.get_json()["error"]["code"]
    assert client_as("auditor").get(API, query_string={"sort": "1"}).status_code == 400
    assert client_as("auditor").get(f"{API}999999999").status_code == 404


# ------------------------------------------------------------------ the seal
@pytest.mark.req("VIS-13", part="verification state")
def test_sealing_verifying_and_an_alteration_reach_the_page(
    fresh_db: None, client_as: Any, worker: Any, superuser: Any, user_id: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active(), "audit_anchors", tmp_path / "anchors.txt")
    auditor = client_as("auditor")
    state = auditor.get(f"{API}verification").get_json()["result"]
    assert (state["sealed"], state["verified"], state["anchored"]) == (0, None, None) and state["unsealed"] > 100

    app = auditor.application
    for _ in range(60):  # transactions of other databases of the server make the sealer wait
        with app.app_context():
            jobs.run_now("security.seal_history")
        worker()
        if auditor.get(f"{API}verification").get_json()["result"]["unsealed"] == 0:
            break
    assert auditor.post(f"{API}verify").status_code == 202
    worker()
    state = auditor.get(f"{API}verification").get_json()["result"]
    assert state["unsealed"] == 0 and state["verified"]["sound"] and state["verified"]["sequence"] == state["sealed"]
    assert state["anchored"]["sequence"] == state["sealed"]
    assert (tmp_path / "anchors.txt").read_text().split()[1:] == [str(state["sealed"]), state["hash"]]

    superuser.execute("update audit_entry set actor = 7 where id = (select entry_id from security_audit_seal where seq = 9)")
    assert auditor.post("/audit-log/verify").status_code == 303
    worker()
    verified = auditor.get(f"{API}verification").get_json()["result"]["verified"]
    assert not verified["sound"] and verified["problems"] == 1
    assert (verified["first"]["kind"], verified["first"]["sequence"]) == ("changed", 9)
    page = auditor.get("/audit-log/").text
    assert "The history was altered." in page and "the entry was changed (place 9" in page
    told = superuser.execute("select receiver_id from notify_notice where kind = 'security.history_altered'").fetchall()
    assert {user_id("auditor"), user_id("leader"), user_id("admin")} <= {r[0] for r in told}
