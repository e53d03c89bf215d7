"""Salary, rates, bank, identity and address are absent wherever somebody may not see them (VIS-08): every sensitive column, every way."""

import re
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.types.json import Jsonb

from portal.kernel.document import records
from portal.web import registry
from portal.web.fields import fields_of
from security import reads

pytestmark = pytest.mark.req("VIS-08", part="fields")
BLIND = ("member.wang", "pm.chen", "ceo", "leader", "legal", "admin", "auditor", "outsider")
"""Who sees neither rates nor anybody else's private data."""
SOUNDS = re.compile(
    r"salary|wage|bonus|_pay$|^pay_|_performance$|cost|rate$|margin|profit|bank|iban|account_no|identity|id_card|passport|address$|birth|"
    r"secret|password|token|private|personal_(mail|email|phone)|home_"
)


@pytest.fixture(scope="module")
def canaries(app: Any, database: Any) -> dict[str, dict[str, str]]:
    """Table → column → a value that is nowhere else, in every row but member.wang's own."""
    made: dict[str, dict[str, str]] = {}
    with psycopg.connect(database.super_dsn(), autocommit=True) as conn:
        for n, (table, names) in enumerate(sorted(reads.secrets().items())):
            if table == "kernel_parameter":  # most are no secret; tests/portal/test_web_audit_log.py looks after those that are
                continue
            made[table] = {}
            kinds = dict(
                conn.execute(
                    "select column_name, data_type from information_schema.columns where table_name = %s and table_schema = 'public'",
                    [table],
                ).fetchall()
            )
            for m, name in enumerate(sorted(names)):
                value = f"{771100 + n * 100 + m}.{11 + m}" if kinds[name] == "numeric" else f"CANARY-{n}-{m}-X"
                made[table][name] = value
                stored = {"jsonb": Jsonb({"canary": value}), "bytea": value.encode()}.get(kinds[name], value)
                conn.execute(f'update "{table}" set "{name}" = %s', [stored])
    return made


def said(canaries: dict[str, dict[str, str]]) -> re.Pattern[str]:
    found = [v for names in canaries.values() for v in names.values()]
    return re.compile("|".join(re.escape(v) for v in found) + "|" + "|".join(f"{v[:3]},{v[3:]}" for v in found if v[:3].isdigit()))


def test_there_is_something_to_find(client_as: Any, canaries: Any) -> None:
    assert said(canaries).search(client_as("hr").get("/api/v1/grade-rates/").text)
    assert said(canaries).search(client_as("hr").get("/grade-rates/").text)
    assert said(canaries).search(client_as("hr").get("/api/v1/employee-private/").text)


@pytest.mark.parametrize("username", BLIND)
def test_values_are_in_no_answer(username: str, client_as: Any, canaries: Any, superuser: Any, user_id: Any) -> None:
    superuser.execute(  # the own row shows the own values
        "update hr_employee_private set identity_number = 'mine', bank_account = 'mine', home_address = 'mine' where user_id = %s",
        [user_id(username)],
    )
    client, pattern = client_as(username), said(canaries)
    grade, rate = superuser.execute("select grade_id, id from hr_grade_rate order by id limit 1").fetchone()
    private, employee = superuser.execute(
        "select id, employee_id from hr_employee_private where user_id <> %s order by id limit 1", [user_id(username)]
    ).fetchone()
    urls = [f"{r.route_base}/" for r in registry.resources.values()]
    urls += [f"{s.route_base}/" for s in registry.screens.values()]
    urls += [f"{p.route_base}/" for p in registry.pages.values()]
    urls += [f"{w.route_base}/export.csv" for w in (registry.resources["grade-rates"], registry.resources["employees"])]
    for base, pk in (("grade-rates", rate), ("employee-private", private), ("grades", grade), ("employees", employee)):
        urls += [f"/api/v1/{base}/{pk}", f"/api/v1/{base}/{pk}/history", f"/api/v1/{base}/{pk}/actions"]
    for base, pk in (("grade-rates", rate), ("employee-private", private), ("grades", grade), ("people", employee)):
        urls += [f"/{base}/{pk}", f"/{base}/{pk}/history", f"/{base}/{pk}/edit"]
    urls += ["/api/v1/_openapi", "/api/v1/audit-log/", "/audit-log/?type=hr_grade_rate", "/api/v1/sensitive-reads/", "/sensitive-reads/"]
    urls += [
        f"/api/v1/visibility/people?type=hr.GradeRate&record=%23{rate}",
        f"/administration/who-sees-what/?type=hr.GradeRate&record=%23{rate}",
    ]
    for table, names in canaries.items():
        urls += [f"/search?q={v}" for v in names.values()] + [f"/people/?q={v}" for v in names.values()]
        assert table
    wrong = []
    for url in urls:
        text = client.get(url).text
        asked = url.partition("q=")[2]
        if pattern.search(text.replace(asked, "") if asked else text):
            wrong.append(url)
    echoes = [
        client.patch(f"/api/v1/employee-private/{private}", json={"bank_account": "1"}, headers={"If-Match": "1"}),
        client.patch(f"/api/v1/grade-rates/{rate}", json={"daily_cost": "1"}, headers={"If-Match": "1"}),
        client.post(f"/api/v1/grades/{grade}/set-rate", json={"from_day": "2020-01-01"}, headers={"If-Match": "1"}),
    ]
    wrong += [str(e.status_code) for e in echoes if e.status_code < 400 or pattern.search(e.text)]
    assert wrong == []


@pytest.mark.parametrize("username", ["member.wang", "leader", "auditor", "admin"])
def test_nobody_probes_by_filter_order_or_search(username: str, client_as: Any, canaries: Any) -> None:
    """A hidden column is refused like one that does not exist; where rows are one's own only, no other row answers."""
    client = client_as(username)
    for resource in registry.resources.values():
        known = set(fields_of(resource.model))
        for table, names in canaries.items():
            for name in set(names) - known:
                for q in (
                    {"filters": [{"col": name, "opr": "eq", "value": "1"}]},
                    {"order_column": name, "order_direction": "asc"},
                    {"columns": [name]},
                ):
                    there = client.get(f"{resource.route_base}/", query_string={"q": orjson.dumps(q).decode()})
                    unknown = client.get(
                        f"{resource.route_base}/", query_string={"q": orjson.dumps(q).decode().replace(name, "no_such_column")}
                    )
                    assert there.status_code == unknown.status_code in (400, 403), (table, name, there.text)
                    assert there.text.replace(name, "no_such_column") == unknown.text
    value = canaries["hr_employee_private"]["bank_account"]
    q = {"filters": [{"col": "bank_account", "opr": "eq", "value": value}]}
    got = client.get("/api/v1/employee-private/", query_string={"q": orjson.dumps(q).decode()}).get_json()
    own = {"member.wang"}  # only where the test before left the own value
    assert got["count"] <= 1 and (got["count"] == 0 or username in own | {"leader", "auditor", "admin"})
    assert client.get("/api/v1/grade-rates/", query_string={"q": orjson.dumps({"order_column": "daily_cost"}).decode()}).status_code == 403


def test_the_description_leaves_out_what_the_role_may_not_use(client_as: Any) -> None:
    for username, there in (("member.wang", False), ("admin", False), ("auditor", False), ("finance", True), ("hr", True)):
        text = client_as(username).get("/api/v1/_openapi").text
        assert ("/api/v1/grade-rates/" in text) == there, username


def test_new_columns_say_whether_they_are_sensitive(app: Any) -> None:
    """A name that sounds like pay, bank, identity or a secret is decided: `"secret": True` or `"secret": False`."""
    undecided = [
        f"{m.__tablename__}.{c.name}" for m in records() for c in m.__table__.columns if SOUNDS.search(c.name) and "secret" not in c.info
    ]
    assert undecided == []
    for m in records():
        if m.__tablename__ in reads.secrets() and not m.LOG:  # hidden by row: whoever sees the row may see the column
            rest = {c.name for c in m.__table__.columns} - reads.secrets()[m.__tablename__]
            assert rest <= {
                *("id", "version", "created_at", "created_by", "archived_at", "custom"),
                *("employee_id", "user_id", "grade_id", "from_day", "to_day", "name", "secret", "project_id"),
            }, f"{m.__tablename__}: a table of sensitive columns holds nothing else"
