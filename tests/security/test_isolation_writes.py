"""What is forged: columns nobody may set, authors, another's id, references to what one does not see."""

import re
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from portal.kernel.document import SYSTEM_COLUMNS, records
from portal.web import registry
from portal.web.fields import fields_of
from tests.security.oracle import Oracle

NOWHERE = 987654321
SAMPLES: dict[str, Any] = {
    "text": "stolen",
    "longtext": "stolen",
    "email": "stolen@shuniu.example",
    "integer": 7,
    "decimal": "7",
    "money": "7.00",
    "hours": "1.00",
    "date": "2031-01-01",
    "datetime": "2031-01-01T00:00:00Z",
    "bool": True,
    "label": {"zh": "偷", "en": "stolen"},
    "json": {},
    "multichoice": [],
}


@pytest.fixture(scope="module")
def oracle(app: Any, database: Any) -> Oracle:
    with psycopg.connect(database.super_dsn()) as conn:
        return Oracle(conn, [m.__tablename__ for m in records()])


def sample(model: type[Any], name: str) -> Any:
    f = fields_of(model)[name]
    if f.kind in ("choice", "state"):
        return next(iter(f.choices), "stolen")
    return 1 if f.kind in ("ref", "person") else SAMPLES[f.kind]


def everything(superuser: Any) -> dict[str, int]:
    """A number per table that any change of a row changes."""
    out = {}
    for m in records():
        t = m.__tablename__
        out[t] = superuser.execute(f"select count(*)::text || coalesce(sum(hashtext({t}::text))::text, '') from {t}").fetchone()[0]
    return out


# ------------------------------------------------------------------ seen, not changeable
@pytest.mark.req("VIS-06", part="writes")
@pytest.mark.parametrize("username", ["pm.chen", "head.rd", "member.wang", "leader", "hr", "admin", "qa", "outsider", "ceo"])
def test_what_one_only_sees_stays_as_it_is(username: str, client_as: Any, oracle: Oracle, superuser: Any) -> None:
    client, wrong, before = client_as(username), [], everything(superuser)
    me = oracle.people[username]
    for resource in registry.resources.values():
        model = resource.model
        table = model.__tablename__
        shown = [
            r for r in oracle.rows[table]
            if oracle.sees(me, table, r) and not oracle.changes(me, table, r) and r["archived_at"] is None and r.get("author_id") != me
        ][:2]  # fmt: skip
        screen = registry.screens.get(model)
        for row in shown:
            match, url = {"If-Match": str(row["version"])}, f"{resource.route_base}/{row['id']}"
            columns = [c for c in resource.editable() if c in fields_of(model)][:1] or ["name"]
            body = {columns[0]: sample(model, columns[0])} if columns[0] in fields_of(model) else {}
            for method, kwargs in (("PATCH", {"json": body}), ("DELETE", {})):
                status = client.open(url, method=method, headers=match, **kwargs).status_code
                if status not in (403, 405, 409, 422):
                    wrong.append(f"{method} {url} {body}: {status}")
            if screen is not None:
                for path, form in (
                    ("edit", {**dict.fromkeys(body, "stolen"), "version": row["version"]}),
                    ("archive", {"version": row["version"]}),
                ):
                    answer = client.post(f"{screen.route_base}/{row['id']}/{path}", data=form)
                    if answer.status_code not in (403, 404, 405, 409, 422):
                        wrong.append(f"POST {screen.route_base}/{row['id']}/{path}: {answer.status_code}")
    assert wrong == []
    after = everything(superuser)
    assert {t for t in after if after[t] != before[t]} - {"notify_notice"} == set()


# ------------------------------------------------------------------ columns nobody sets
# a new employee is an action of its own: these are its arguments
HIRING = {("employees", "department_id"), ("employees", "post_id"), ("employees", "number")}
# begun with arguments of their own, no row of columns: a file, whether to repair
OWN_BODY = {"imports", "account-comparisons"}


@pytest.mark.req("ALL-04", part="REST")
@pytest.mark.parametrize("username", ["hr", "leader", "admin", "pm.chen"])
def test_rest_refuses_columns_that_are_not_for_setting(username: str, client_as: Any, superuser: Any, oracle: Oracle) -> None:
    """State, number, author, audit columns: named in the answer, whatever else is right; nothing is stored."""
    client, wrong, before = client_as(username), [], everything(superuser)
    me = oracle.people[username]
    for resource in registry.resources.values():
        model = resource.model
        closed = [
            c.name
            for c in model.__table__.columns
            if c.name in SYSTEM_COLUMNS | {"version", "custom"} or c.info.get("protected") or c.info.get("readonly")
        ]
        row = next(
            (r for r in oracle.rows[model.__tablename__] if oracle.changes(me, model.__tablename__, r) and r["archived_at"] is None), None
        )
        for column in closed:
            if (resource.resource_name, column) in HIRING:
                continue
            value = 1 if column.endswith("_id") or column in ("id", "version", "created_by") else "approved"
            body = {c: sample(model, c) for c in resource.addable() if c in fields_of(model)} | {column: value}
            calls = [] if resource.resource_name in OWN_BODY else [client.post(f"{resource.route_base}/", json=body)]
            if row is not None:
                calls.append(
                    client.patch(f"{resource.route_base}/{row['id']}", json={column: value}, headers={"If-Match": str(row["version"])})
                )
            for answer in calls:
                if answer.status_code in (403, 405):
                    continue
                named = answer.status_code == 422 and column in answer.get_json()["error"]["fields"]
                if not named:
                    wrong.append(
                        f"{answer.request.method} {resource.resource_name} {column}: {answer.status_code} {answer.get_data()[:80]!r}"
                    )
    assert wrong == []
    after = everything(superuser)
    assert {t for t in after if after[t] != before[t]} == set()


@pytest.mark.req("ALL-04", part="forms")
def test_forms_refuse_columns_that_are_not_on_them(fresh_db: None, client_as: Any, superuser: Any, user_id: Any) -> None:
    """A form with additional fields stores nothing of them and says which they are."""
    domain = superuser.execute("select id from project_domain where code = 'D1'").fetchone()[0]
    client = client_as("leader")
    form = {
        "name": "forged",
        "domain_id": domain,
        "pm_id": user_id("pm.chen"),
        "starts_on": "2030-01-01",
        "ends_on": "2030-12-31",
        "planned_hours": "0",
    }
    closed = {
        "state": "closed", "number": "XM-2030-0001", "created_by": user_id("outsider"), "id": 4242, "archived_at": "2030-01-01",
        "started_on": "2020-01-01", "custom": '{"a": 1}', "entity_id": "99", "no_such_column": "1",
    }  # fmt: skip
    assert client.post("/projects/add", data=form).status_code == 303
    pk = superuser.execute("select id from project_project where name = 'forged'").fetchone()[0]
    look = "select name, state, number, created_by, version, archived_at, started_on, custom, entity_id from project_project where id = %s"
    before = superuser.execute(look, [pk]).fetchone()
    assert before[1:8] == ("draft", None, user_id("leader"), 1, None, None, {})
    for column, value in closed.items():
        for url in ("/projects/add", f"/projects/{pk}/edit"):
            answer = client.post(url, data=form | {"name": "forged again", "version": 1, column: value})
            if column != "no_such_column" or answer.status_code != 303:
                assert answer.status_code == 422, (url, column, answer.status_code)
    assert superuser.execute(look, [pk]).fetchone()[1:4] == before[1:4]
    assert superuser.execute(
        "select count(*) from project_project where state = 'closed' and name like 'forged%%' or id = 4242"
    ).fetchone() == (0,)


def test_a_leave_is_always_ones_own(fresh_db: None, client_as: Any, superuser: Any, user_id: Any) -> None:
    day = (date.today() + timedelta(days=200)).isoformat()
    body = {"kind": "annual", "from_day": day, "to_day": day}
    answer = client_as("member.wang").post("/api/v1/leaves/", json=body | {"user_id": user_id("member.zhao")})
    assert answer.status_code == 422 and "user_id" in answer.get_json()["error"]["fields"]
    answer = client_as("member.wang").post("/leaves/add", data=body | {"user_id": user_id("member.zhao")})
    assert superuser.execute(
        "select count(*) from hr_leave where user_id = %s and from_day = %s", [user_id("member.zhao"), day]
    ).fetchone() == (0,)


# ------------------------------------------------------------------ references to what one does not see
def same_answer(client: Any, hidden: int, call: Any) -> None:
    """*call* with the hidden and with a nonexistent id: the same status and words."""
    one, none = call(client, hidden), call(client, NOWHERE)
    assert one.status_code == none.status_code >= 400, (one.status_code, none.status_code, one.get_data(as_text=True)[:200])
    strip = [
        re.sub(rf"\b({hidden}|{NOWHERE})\b", "#", re.sub(r"[0-9a-f]{32}|nonce=\"[^\"]*\"", "~", a.get_data(as_text=True)))
        for a in (one, none)
    ]
    if one.mimetype == "application/json":
        assert strip[0] == strip[1]


@pytest.mark.req("VIS-09", part="references")
@pytest.mark.parametrize("username", ["outsider", "pm.chen", "member.wang", "head.rd"])
def test_referring_to_a_hidden_row_is_like_referring_to_none(
    fresh_db: None, username: str, client_as: Any, superuser: Any, oracle: Oracle, user_id: Any
) -> None:
    client = client_as(username)
    name = {"outsider": "Alpha", "pm.chen": "Beta", "member.wang": "Beta", "head.rd": "Alpha"}[username]
    project = superuser.execute("select id from project_project where name = %s", [f"Project {name}"]).fetchone()[0]
    assert project not in oracle.visible(username, "project_project")
    report = next(r["id"] for r in oracle.rows["dailyreport_report"] if not oracle.sees(oracle.people[username], "dailyreport_report", r))
    role = superuser.execute("select id from project_role limit 1").fetchone()[0]
    yesterday = (date.today() - timedelta(days=1)).isoformat()
    mine = client.post("/api/v1/daily-reports/", json={"day": yesterday})
    own = mine.get_json()["id"] if mine.status_code == 201 else next(iter(oracle.visible(username, "dailyreport_report")))

    same_answer(
        client,
        project,
        lambda c, i: c.post(
            "/api/v1/project-members/", json={"project_id": i, "user_id": user_id("outsider"), "role_id": role, "from_day": "2030-01-01"}
        ),
    )
    same_answer(
        client,
        project,
        lambda c, i: c.post("/api/v1/daily-report-lines/", json={"report_id": own, "project_id": i, "hours": "1", "done": "x"}),
    )
    same_answer(
        client,
        report,
        lambda c, i: c.post("/api/v1/daily-report-lines/", json={"report_id": i, "category": "meeting", "hours": "1", "done": "x"}),
    )
    same_answer(
        client,
        project,
        lambda c, i: c.post(
            f"/my-report/?day={yesterday}",
            data={"lines-0-target": f"p:{i}", "lines-0-hours": "1", "lines-0-done": "x"},
            headers={"Accept": "application/json"},
        ),
    )
    same_answer(client, report, lambda c, i: c.post(f"/api/v1/daily-reports/{i}/comment", json={"text": "x"}, headers={"If-Match": "1"}))


@pytest.mark.req("VIS-06", part="filters")
@pytest.mark.parametrize("username", ["outsider", "member.wang", "member.zhao"])
def test_filters_orders_and_searches_tell_nothing_of_hidden_rows(username: str, client_as: Any, oracle: Oracle) -> None:
    client = client_as(username)
    for resource in registry.resources.values():
        base = f"{resource.route_base}/"
        if client.get(base).status_code != 200:
            continue
        seen = oracle.visible(username, resource.model.__tablename__)
        for column in resource.filterable():
            f = fields_of(resource.model)[column]
            if f.kind in ("ref", "person", "integer"):
                values = {r[column] for r in oracle.rows[resource.model.__tablename__] if r.get(column) is not None}
                for value in sorted(values)[:3]:
                    answer = client.get(base, query_string={"q": f"(filters:!((col:{column},opr:eq,value:{value})),page_size:100)"})
                    assert answer.status_code == 200, (base, column, answer.get_data(as_text=True)[:200])
                    expected = {
                        r["id"]
                        for r in oracle.rows[resource.model.__tablename__]
                        if r[column] == value and r["id"] in seen and r["archived_at"] is None
                    }
                    assert set(answer.get_json()["ids"]) <= expected and answer.get_json()["count"] <= len(expected), (base, column)
        for word in ("Beta", "XM-TEST", "SECRET", "member.zhao", "赵"):
            answer = client.get(base, query_string={"q": f"(search:'{word}',page_size:100)"})
            assert answer.status_code == 200 and set(answer.get_json()["ids"]) <= seen
