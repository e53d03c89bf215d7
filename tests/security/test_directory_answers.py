"""What at Keycloak is not the portal's waits for a person's answer; an existing Keycloak's people are taken over (POR-02, HRM-09)."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings
from portal.kernel import settings as active
from portal.kernel.db import session
from portal.kernel.settings import declared
from security import expected, reconciliation
from tests.security.realms import OwnRealm

pytestmark = [pytest.mark.keycloak]
Do = Callable[..., Any]
REVIEW, RUNS = "/api/v1/account-differences/", "/api/v1/account-comparisons/"


def compared(client: Any, worker: Callable[[], int], repair: bool = False) -> dict[str, Any]:
    """Asks for a comparison over REST and waits for its end; what it says."""
    asked = client.post(RUNS, json={"repair": repair})
    assert asked.status_code == 202, asked.text
    worker()
    return dict(client.get(asked.headers["Location"]).get_json()["result"])


def findings(client: Any) -> dict[str, Any]:
    return {d["title"]: d for d in client.get(REVIEW).get_json()["result"] if not d["key"].endswith("-at-keycloak")}


def answered(client: Any, pk: int, action: str, **arguments: Any) -> Any:
    return client.post(f"{REVIEW}{pk}/{action}", json=arguments, headers={"If-Match": client.get(f"{REVIEW}{pk}").headers["ETag"]})


@pytest.mark.req("HRM-09", part="existing accounts of Keycloak")
@pytest.mark.req("POR-02", part="answers")
def test_people_of_an_existing_keycloak_are_taken_over(
    fresh_db: None, here: Do, app: Flask, theirs: OwnRealm, client_as: Callable[..., Any], worker: Callable[[], int]
) -> None:
    theirs.empty()
    admin, hr_names = theirs.admin, {"username": "wang", "firstName": "一诺", "lastName": "王", "enabled": True}
    number, _mail = here(
        lambda: session().execute(
            text("select number, work_email from hr_employee e join ab_user u on u.id = e.user_id where u.username = 'member.wang'")
        )
    ).one()
    here(lambda: session().execute(text("update security_account set subject = null where client_id is null")))
    here(lambda: session().execute(text("update hr_employee set work_email = 'zhao@mail.example' where name = '赵青禾'")))
    by_number = admin.create_user(hr_names | {"attributes": {"employee_number": [number]}})
    by_mail = admin.create_user({"username": "zhaoqh", "email": "zhao@mail.example", "enabled": True, "attributes": {"locale": ["en"]}})
    robot = admin.create_user({"username": "backup.robot", "enabled": True})
    left = admin.create_user({"username": "old.colleague", "enabled": True})
    twice = admin.create_user({"username": "wang.second", "enabled": True})
    club = admin.create_group({"name": "部门 SAL"})
    watch = client_as("security.admin")

    seen = compared(watch, worker)
    assert (seen["state"], seen["repair"], seen["problem"]) == ("done", False, None)
    assert {u.username for u in theirs.portal.users()} == {"wang", "zhaoqh", "backup.robot", "old.colleague", "wang.second"}
    assert here(lambda: session().execute(text("select count(*) from security_account where subject is not null")).scalar()) == 0
    page = watch.get("/administration/comparison/")
    assert page.status_code == 200
    assert "王一诺" in page.text
    waiting = findings(watch)
    assert set(waiting) == {"zhaoqh", "backup.robot", "old.colleague", "wang.second", "部门 SAL"}
    zhao = here(lambda: session().execute(text("select id from ab_user where username = 'member.zhao'")).scalar())
    assert waiting["zhaoqh"]["user_id"] == zhao, "the same address is a proposal"

    after = compared(watch, worker, repair=True)
    assert after["problem"] is None, after
    linked = dict(
        here(
            lambda: (
                session()
                .execute(text("select u.username, subject from security_account a join ab_user u on u.id = a.user_id"))
                .tuples()
                .all()
            )
        )
    )
    assert linked["member.wang"] == by_number, "the number, which administrators set, is enough"
    assert linked["member.zhao"] is None, "an address never is"
    client = str(admin.get_client_id("portal"))
    worker()
    assert {r["name"] for r in admin.get_client_roles_of_user(by_number, client)} >= {"employee"}

    assert waiting["zhaoqh"]["detail"] == "z…@mail.example", "no address that an erasure would have to find"
    assert answered(watch, waiting["zhaoqh"]["id"], "link", user_id=zhao).status_code == 200
    ids = "select username, id from ab_user where username in ('leader', 'security.admin')"
    known = dict(here(lambda: session().execute(text(ids)).tuples().all()))
    notices = "select kind, receiver_id from notify_notice where kind like 'security.account_linked_%'"
    told = here(lambda: session().execute(text(notices)).tuples().all())
    assert ("security.account_linked_to_you", zhao) in told
    assert ("security.account_linked_by", known["leader"]) in told
    assert ("security.account_linked_by", known["security.admin"]) not in told, "who did it knows"
    assert answered(watch, waiting["backup.robot"]["id"], "ignore", reason="备份程序").status_code == 200
    assert answered(watch, waiting["old.colleague"]["id"], "disable", reason="前同事").status_code == 200
    assert answered(watch, waiting["old.colleague"]["id"], "reopen").status_code == 200
    worker()
    assert admin.get_user(left)["enabled"] is True, "the answer was taken back before it was carried out"
    assert answered(watch, waiting["old.colleague"]["id"], "disable", reason="前同事").status_code == 200
    assert answered(watch, waiting["部门 SAL"]["id"], "adopt", code="SAL").status_code == 200
    wang = here(lambda: session().execute(text("select id from ab_user where username = 'member.wang'")).scalar())
    refused = answered(watch, waiting["wang.second"]["id"], "link", user_id=wang)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "has_account")
    worker()
    taken = theirs.portal.user(by_mail)
    assert taken is not None
    assert (taken.name, taken.enabled, theirs.codes("zhaoqh")) == ("赵青禾", True, {"PLT"})
    assert admin.get_user(by_mail)["attributes"]["locale"] == ["en"]
    assert admin.get_user(left)["enabled"] is False
    assert admin.get_user(robot)["enabled"] is True
    assert theirs.group("SAL").id == club  # type: ignore[union-attr]
    again = compared(watch, worker, repair=True)
    assert again["found"] == 1, "only the second account of somebody waits still"
    last = compared(watch, worker)
    assert last["changed"] == 0, last
    history = watch.get(f"/account-differences/{waiting['backup.robot']['id']}/history").text
    assert "备份程序" in history
    # an employee's account that somebody switches off waits for an answer
    theirs.change("zhaoqh", enabled=False)
    assert compared(watch, worker, repair=True)["found"] == 2
    off = next(d for d in watch.get(REVIEW).get_json()["result"] if d["kind"] == "off")
    assert (off["kind"], off["user_id"], theirs.portal.user(by_mail).enabled) == ("off", zhao, False)  # type: ignore[union-attr]
    assert answered(watch, off["id"], "enable", reason="查清了").status_code == 200
    worker()
    assert theirs.portal.user(by_mail).enabled is True  # type: ignore[union-attr]
    # enabled again by hand: asked again
    theirs.change("old.colleague", enabled=True)
    assert compared(watch, worker)["found"] == 2
    admin.delete_user(twice)
    compared(watch, worker)
    assert findings(watch)["wang.second"]["state"] == "gone"


@pytest.mark.req("POR-02", part="who may")
def test_only_those_who_look_after_accounts_see_and_answer(
    here: Do, app: Flask, theirs: OwnRealm, client_as: Callable[..., Any], superuser: Any
) -> None:
    insert = "insert into security_difference (kind, key, title) values ('account', 'some-subject', 'somebody') returning id"
    pk = superuser.execute(insert).fetchone()[0]
    for username in ("outsider", "hr", "leader"):
        client = client_as(username)
        assert client.get("/administration/comparison/").status_code == 403
        assert client.get(REVIEW).get_json().get("count", 0) == 0
        assert client.post(RUNS, json={"repair": True}).status_code == 403
        assert answered_blind(client, pk).status_code in (403, 404)
    auditor = client_as("auditor")
    assert auditor.get("/administration/comparison/").status_code == 200
    assert auditor.post(RUNS, json={"repair": False}).status_code == 403
    assert answered(auditor, pk, "ignore", reason="x").status_code == 403
    assert client_as("admin").post(RUNS, json={"repair": "yes"}).status_code == 422


def answered_blind(client: Any, pk: int) -> Any:
    return client.post(f"{REVIEW}{pk}/ignore", json={"reason": "x"}, headers={"If-Match": '"1"'})


@pytest.mark.req("POR-02", part="too much at once")
@pytest.mark.req("POR-07", part="account changes queue")
def test_at_night_little_is_repaired_and_changes_wait_while_keycloak_is_away(
    fresh_db: None, here: Do, app: Flask, theirs: OwnRealm, client_as: Callable[..., Any], worker: Callable[[], int]
) -> None:
    theirs.empty()
    here(lambda: declared["security.reconcile_most"].set(3))
    with app.app_context():
        reconciliation.reconcile()
    worker()
    night = client_as("admin").get(RUNS).get_json()["result"][0]
    assert (night["state"], night["problem"], night["repair"]) == ("done", "too_many", True)
    assert theirs.portal.users() == []
    user_id = here(lambda: session().execute(text("select id from ab_user where username = 'member.wang'")).scalar())
    right = active.settings()
    active.use(right.model_copy(update={"oidc_issuer": "http://127.0.0.1:9/realms/nowhere"}))
    here(expected.person_changed, user_id)
    worker()
    failed = compared(client_as("admin"), worker)
    assert (failed["state"], failed["problem"]) == ("failed", "unreachable")
    active.use(right)
    assert theirs.user("member.wang") is None
    here(lambda: session().execute(text("update kernel_outbox set available_at = now() where done_at is null")))
    worker()
    assert theirs.codes("member.wang") == {"BE1"}


def test_asking_twice_compares_once(app: Flask, settings: Settings, client_as: Callable[..., Any]) -> None:
    client = client_as("admin")
    first, second = (client.post(RUNS, json={}).get_json()["id"] for _ in range(2))
    assert first == second
    wanted = client.post(RUNS, json={"repair": True}).get_json()["id"]
    with app.app_context():
        reconciliation.reconcile()
    assert client.get(RUNS).get_json()["result"][0]["id"] == wanted, "the night adds nothing to a repair somebody waits for"
