"""Personal data: its time, requests, a second person's approval, and an erasure after which the values are nowhere (ALL-17)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from portal.kernel import calendar, outbox
from portal.kernel.db import unrestricted
from portal.kernel.document import records
from portal.kernel.settings import forget_values
from portal.kernel.settings import settings as active
from security import erasure, roles, sealing, verification

pytestmark = pytest.mark.req("ALL-17", part="erasure")
API = "/api/v1/erasures/"
HOLDS = "/api/v1/legal-holds/"
CANARY = {"identity_number": "CANARY-ID-7781", "bank_account": "CANARY-BANK-7782", "home_address": "CANARY-HOME-7783"}
CONTACT = {"work_email": "canary-mail-7784@example.invalid", "work_phone": "CANARY-PHONE-7785"}


@pytest.fixture
def leaver(superuser: Any) -> int:
    """The account of somebody who left three years ago, with values that are nowhere else, changed once."""
    user = int(superuser.execute("select id from ab_user where username = 'leaver'").fetchone()[0])
    employee = superuser.execute("select id from hr_employee where user_id = %s", [user]).fetchone()[0]
    day = calendar.today() - timedelta(days=3 * 366)
    superuser.execute("update hr_employee set active = false where id = %s", [employee])
    superuser.execute(
        "update hr_employment set state = 'left', joined_on = least(joined_on, %s), left_on = %s where user_id = %s", [day, day, user]
    )
    superuser.execute(
        "insert into hr_employee_private (employee_id, user_id) values (%s, %s) on conflict (user_id) do nothing", [employee, user]
    )
    for before in ("EARLIER-", ""):
        sets = ", ".join(f"{c} = %s" for c in CANARY)
        superuser.execute(f"update hr_employee_private set {sets} where user_id = %s", [*(before + v for v in CANARY.values()), user])
    superuser.execute("update hr_employee set work_email = %s, work_phone = %s where id = %s", [*CONTACT.values(), employee])
    superuser.execute("update ab_user set email = %s where id = %s", [CONTACT["work_email"], user])
    return user


@pytest.fixture
def work(app: Any) -> Callable[[], None]:
    """What waits for the worker is done."""

    def run() -> None:
        with app.app_context():
            outbox.drain()

    return run


def ask(client: Any, person: int, kind: str = "hr.private", reason: str = "asked by letter") -> Any:
    return client.post(API, json={"person_id": person, "kind": kind, "reason": reason})


def act(client: Any, pk: int, action: str, base: str = API, **arguments: Any) -> Any:
    version = client.get(f"{base}{pk}").headers["ETag"]
    return client.post(f"{base}{pk}/{action}", json=arguments, headers={"If-Match": version})


def found_in(superuser: Any, *values: str) -> list[str]:
    """Tables and columns of the whole database in which one of *values* stands, whatever the type."""
    columns = superuser.execute(
        """select c.table_name, c.column_name from information_schema.columns c
             join information_schema.tables t using (table_schema, table_name)
            where c.table_schema = 'public' and t.table_type = 'BASE TABLE'
              and (c.data_type in ('text', 'character varying', 'json', 'jsonb', 'ARRAY', 'bytea', 'USER-DEFINED') )"""
    ).fetchall()
    assert len(columns) > 200
    out = []
    for table, column in columns:
        for value in values:
            if superuser.execute(f'select exists (select from "{table}" where "{column}"::text ilike %s)', [f"%{value}%"]).fetchone()[0]:
                out.append(f"{table}.{column}: {value}")
    return out


def settled(app: Any, superuser: Any) -> None:
    with app.app_context(), unrestricted("test of erasure"):
        sealing.seal()


# ------------------------------------------------------------------ the whole way
def test_after_an_approved_erasure_the_values_are_nowhere_and_the_chain_holds(
    fresh_db: None, app: Any, superuser: Any, leaver: int, client_as: Any, work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active(), "audit_anchors", tmp_path / "anchors.txt")
    settled(app, superuser)
    hr, security = client_as("hr"), client_as("security.admin")
    every = [*CANARY.values(), *CONTACT.values()]
    superuser.execute(
        """insert into hr_employee_event (entity_id, number, kind, name, user_id, effective_on, state, work_email, work_phone)
           select entity_id, 'RS-1', 'hire', 'x', user_id, '2020-01-01', 'effective', %s, %s from hr_employee where user_id = %s""",
        [CONTACT["work_email"], CONTACT["work_phone"], leaver],
    )
    assert len(found_in(superuser, *every)) >= 10
    for kind in ("hr.private", "hr.contact"):
        made = ask(hr, leaver, kind)
        assert made.status_code == 201, made.text
        pk = made.get_json()["id"]
        assert act(hr, pk, "approve").status_code == 403  # who asks does not decide
        assert act(security, pk, "approve", note="period over").status_code == 200
    assert found_in(superuser, *every), "not before the worker does it"
    work()
    assert found_in(superuser, *every) == []
    state = superuser.execute(
        "select kind, state, values_erased from security_erasure where person_id = %s order by id", [leaver]
    ).fetchall()
    assert state == [("hr.private", "erased", 3), ("hr.contact", "erased", 5)]
    # business facts stay: the name and what the person did
    assert superuser.execute("select name from hr_employee where user_id = %s", [leaver]).fetchone()[0] == "叶去"
    employee = superuser.execute("select id from hr_employee where user_id = %s", [leaver]).fetchone()[0]
    for url in (f"/people/{employee}", f"/people/{employee}/history", "/api/v1/employee-private/", f"/api/v1/employees/{employee}/history"):
        text = hr.get(url).text
        assert not any(v in text for v in every), url
    history = superuser.execute(
        "select op, actor, reason, new from audit_entry where tbl = 'hr_employee_private' and op = 'erase'"
    ).fetchall()
    assert len(history) == 1 and history[0][2].startswith("erasure ") and set(history[0][3]) == set(CANARY)
    with app.app_context(), unrestricted("test of erasure"):
        sealing.seal()
    with app.app_context(), unrestricted("test of erasure"):
        report = verification.verify(tmp_path / "anchors.txt")
    assert report.sound and report.erased >= 3, report.problems


def test_what_is_due_is_proposed_once_and_only_then(
    fresh_db: None, app: Any, superuser: Any, leaver: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def propose(day: date) -> list[Any]:
        with app.app_context(), unrestricted("test of erasure"):
            erasure.propose(day)
        rows = superuser.execute(
            "select person_id, kind, state, created_by from security_erasure where person_id = %s order by kind", [leaver]
        )
        return rows.fetchall()  # type: ignore[no-any-return]

    left = superuser.execute("select left_on from hr_employment where user_id = %s", [leaver]).fetchone()[0]
    superuser.execute("insert into kernel_parameter (name, value) values ('hr.private_kept_years', '2')")
    forget_values()
    assert propose(left + timedelta(days=300)) == []
    assert propose(left + timedelta(days=370)) == [(leaver, "hr.contact", "proposed", None)]
    assert len(propose(left + timedelta(days=370))) == 1  # once
    assert propose(left + timedelta(days=740)) == [(leaver, "hr.contact", "proposed", None), (leaver, "hr.private", "proposed", None)]
    forget_values()


def test_a_hold_is_stronger(fresh_db: None, app: Any, superuser: Any, leaver: int, client_as: Any, work: Any) -> None:
    legal, security, hr = client_as("legal"), client_as("security.admin"), client_as("hr")
    placed = legal.post(HOLDS, json={"person_id": leaver, "reason": "case 7 before the labour court"})
    assert placed.status_code == 201, placed.text
    assert hr.post(HOLDS, json={"person_id": leaver, "reason": "x"}).status_code == 403
    with app.app_context(), unrestricted("test of erasure"):
        assert erasure.propose(calendar.today()) == 0
    pk = ask(hr, leaver).get_json()["id"]
    refused = act(security, pk, "approve")
    assert refused.status_code == 409 and "case 7" in refused.get_json()["error"]["message"]
    assert act(legal, placed.get_json()["id"], "lift", HOLDS, note="settled").status_code == 200
    assert act(security, pk, "approve").status_code == 200
    # one that comes between approval and erasure holds it back
    legal.post(HOLDS, json={"person_id": leaver, "reason": "appeal"})
    work()
    assert superuser.execute("select state, decision_note from security_erasure where id = %s", [pk]).fetchone()[0] == "proposed"
    assert found_in(superuser, CANARY["bank_account"])


def test_who_approves_does_not_clear_the_way(fresh_db: None, app: Any, superuser: Any, leaver: int, client_as: Any, user_id: Any) -> None:
    legal, security = client_as("legal"), client_as("security.admin")
    placed = legal.post(HOLDS, json={"person_id": leaver, "reason": "case 8"}).get_json()["id"]
    assert act(security, placed, "lift", HOLDS, note="x").status_code == 403
    assert security.post(HOLDS, json={"person_id": leaver, "reason": "x"}).status_code == 403
    on_legal = legal.post(HOLDS, json={"person_id": user_id("legal"), "reason": "case 9"}).get_json()["id"]
    assert act(legal, on_legal, "lift", HOLDS, note="x").status_code == 403, "nobody lifts the hold on themself"
    # somebody with both roles does one of the two
    with app.app_context(), unrestricted("test of erasure") as s:
        roles.grant(s, user_id("legal"), "security_admin")
    both = client_as("legal")
    assert act(both, placed, "lift", HOLDS, note="settled").status_code == 200
    pk = ask(client_as("hr"), leaver).get_json()["id"]
    refused = act(both, pk, "approve")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "lifted_hold")
    assert act(security, pk, "approve").status_code == 200


def test_a_hold_waits_for_an_erasure_under_way(fresh_db: None, app: Any, superuser: Any, leaver: int, client_as: Any) -> None:
    pk = ask(client_as("hr"), leaver).get_json()["id"]
    assert act(client_as("security.admin"), pk, "approve").status_code == 200
    with ThreadPoolExecutor(1) as pool:
        with app.app_context(), unrestricted("test of erasure"):
            erasure.erase(pk)
            placing = pool.submit(client_as("legal").post, HOLDS, json={"person_id": leaver, "reason": "case 10"})
            with pytest.raises(TimeoutError):
                placing.result(timeout=1.0)  # else the hold would stand before an erasure that it should have stopped
        assert placing.result(timeout=20).status_code == 201
    erased, held = superuser.execute(
        "select e.erased_at, h.created_at from security_erasure e, security_legal_hold h where e.id = %s and h.person_id = e.person_id",
        [pk],
    ).fetchone()
    assert erased is not None and held is not None


def test_nobody_decides_alone_or_on_the_own_data(fresh_db: None, superuser: Any, leaver: int, client_as: Any, user_id: Any) -> None:
    security = client_as("security.admin")
    own = ask(security, leaver).get_json()["id"]
    assert act(security, own, "approve").status_code == 403
    mine = ask(client_as("hr"), user_id("security.admin")).get_json()["id"]
    assert act(security, mine, "approve").status_code == 403
    assert act(client_as("hr"), mine, "withdraw").status_code == 200
    for username in ("admin", "legal", "auditor", "leader", "hr"):
        client = client_as(username)
        version = security.get(f"{API}{own}").headers["ETag"]
        assert client.post(f"{API}{own}/approve", json={}, headers={"If-Match": version}).status_code in (403, 404), username
    assert client_as("admin").get(API).get_json()["count"] == 0 and client_as("admin").get(HOLDS).status_code == 403


def test_people_ask_for_their_own_data_and_nobody_elses(fresh_db: None, superuser: Any, client_as: Any, user_id: Any, leaver: int) -> None:
    wang = client_as("member.wang")
    assert ask(wang, leaver).status_code == 422
    mine = ask(wang, user_id("member.wang"))
    assert mine.status_code == 201
    assert ask(wang, user_id("member.wang")).status_code == 409  # one waits already
    pk = mine.get_json()["id"]
    assert client_as("member.zhao").get(f"{API}{pk}").status_code == 404
    still = act(client_as("security.admin"), pk, "approve")
    assert still.status_code == 409 and still.get_json()["error"]["code"] == "still_needed"
    assert act(client_as("security.admin"), pk, "refuse", note="needed for pay").status_code == 200
    assert "needed for pay" in wang.get(f"/erasures/{pk}").text
    assert wang.delete(f"{API}{pk}", headers={"If-Match": "1"}).status_code in (403, 405)


def test_only_the_worker_may_erase_history(superuser: Any) -> None:
    for role in ("app", "app_act", "app_read", "app_anon", "app_login"):
        allowed = superuser.execute(
            "select has_function_privilege(%s, 'audit_erase(text, bigint, text[], text)', 'execute')", [role]
        ).fetchone()[0]
        assert not allowed, role


def test_personal_columns_are_declared_and_belong_to_an_account(app: Any) -> None:
    for m in records():
        for c in m.__table__.columns:
            kind = c.info.get("personal")
            if kind is not None:
                assert kind in erasure.KINDS and "user_id" in m.__table__.c and (c.nullable or "erased" in c.info), (
                    f"{m.__tablename__}.{c.name}"
                )
    assert {"hr.private", "hr.contact"} <= set(erasure.KINDS)
    private = {c.name for m in erasure.columns_of("hr.private") for c in m.__table__.columns if c.info.get("personal")}
    assert private == set(CANARY)
