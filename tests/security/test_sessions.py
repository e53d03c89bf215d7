"""Open sessions are seen and ended, and every coming and going is written down (POR-12, POR-18)."""

import re
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings
from portal.kernel import settings as active
from portal.kernel.db import unrestricted
from portal.kernel.settings import forget_values
from portal.web.sessions import device
from portal.web.signins import SignIns
from security import accounts, oidc, sessions, signins
from tests.factories import databases
from tests.factories.changes import approved

Clients = Callable[[str | None], Any]
LIST = "/administration/sessions/"
API = "/api/v1/sessions/"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture
def begin(app: Flask, user_id: Callable[[str], int], client_as: Clients) -> Callable[..., Any]:
    """`begin("pm.chen")`: a browser with a session of its own; `.token` and `.pk` of the session."""

    def start(username: str, **more: Any) -> Any:
        with app.test_request_context("/", headers={"User-Agent": FIREFOX}, environ_base={"REMOTE_ADDR": "10.1.2.3"}):
            token = sessions.start(user_id(username), **more)
            with unrestricted("test") as s:
                pk = s.scalar(text("select id from security_session where token_hash = :h"), {"h": sessions.hash_of(token)})
        client = client_as(None)
        with client.session_transaction() as cookie:
            cookie["sid"] = token
        client.token, client.pk = token, pk
        return client

    return start


@pytest.fixture
def elsewhere(database: Any) -> Callable[[str], bool]:
    """`elsewhere(token)`: whether another process, over a connection of its own, lets the holder of the token in."""
    from sqlalchemy.engine import make_url

    address = databases.dsn(make_url(database.url("SHUNIU_TEST_PG_APP_URL")))

    def ask(token: str) -> bool:
        with psycopg.connect(address) as conn:
            return conn.execute("select app_begin(%s, '', '')", [token]).fetchone()[0]["me"] is not None

    return ask


def written(superuser: Any, username: str) -> list[tuple[Any, ...]]:
    """The person's lines, the newest first: outcome, reason, by whom."""
    found = superuser.execute(
        """select h.outcome, h.reason, b.username from security_signin h left join ab_user b on b.id = h.by_id
           where h.username = %s order by h.id desc""",
        [username],
    )
    return list(found.fetchall())


def signed_in(client: Any) -> bool:
    status: int = client.get("/api/v1/me").status_code
    assert status in (200, 401)
    return status == 200


@pytest.mark.req("POR-12", part="sessions")
class TestList:
    def test_an_administrator_sees_who_is_signed_in(self, begin: Any, client_as: Clients, user_id: Any) -> None:
        wang, chen = begin("member.wang"), begin("pm.chen")
        page = client_as("admin").get(LIST)
        assert page.status_code == 200 and "王一诺" in page.text and "陈嘉树" in page.text
        assert "10.1.2.3" in page.text and "Firefox 128 · Windows" in page.text
        assert f"/people/of/{user_id('pm.chen')}" in page.text
        one = client_as("admin").get(f"{LIST}?person={user_id('pm.chen')}")
        assert "王一诺" not in one.text.split("<main")[1] and "陈嘉树" in one.text
        for answer in (page, one, client_as("admin").get(API), wang.get("/my-account/")):
            for client in (wang, chen):
                assert client.token not in answer.text and sessions.hash_of(client.token) not in answer.text
        assert client_as("admin").get(f"/people/of/{user_id('pm.chen')}").status_code == 302

    def test_who_may_see_it(self, client_as: Clients) -> None:
        for who in ("member.wang", "hr", "leader"):
            assert client_as(who).get(LIST).status_code == 403
            assert LIST not in client_as(who).get("/").text
        for who in ("admin", "security.admin", "auditor"):
            assert client_as(who).get(LIST).status_code == 200
            assert LIST in client_as(who).get("/").text
        assert 'action="/administration/sessions/end"' not in client_as("auditor").get(LIST).text

    @pytest.mark.parametrize("query", ["person=x", "person=-1", "after=1.5", "person=99999999999999999999"])
    def test_what_is_no_number(self, client_as: Clients, query: str) -> None:
        assert client_as("admin").get(f"{LIST}?{query}").status_code == 400

    def test_many_sessions_come_page_by_page(self, begin: Any, client_as: Clients, user_id: Any) -> None:
        made = {begin("buyer").pk for _ in range(53)}
        admin, found, after = client_as("admin"), set(), ""
        while True:
            body = admin.get(f"{API}?user_id={user_id('buyer')}{after}").get_json()
            assert not found & set(body["ids"])
            found |= set(body["ids"])
            if body["next"] is None:
                break
            after = f"&after={body['next']}"
        assert found >= made
        page = admin.get(f"{LIST}?person={user_id('buyer')}").text
        older = re.search(r'href="(/administration/sessions/\?after=[^"]+)"', page)
        assert older and admin.get(older[1].replace("&amp;", "&")).status_code == 200

    def test_over_is_over(self, app: Flask, begin: Any, client_as: Clients, superuser: Any, user_id: Any) -> None:
        old = begin("legal")
        superuser.execute("update security_session set expires_at = now() - interval '1 second' where id = %s", [old.pk])
        assert client_as("admin").get(f"{API}?user_id={user_id('legal')}").get_json()["ids"] == []
        assert client_as("admin").post(f"{LIST}end", data={"ids": old.pk}).status_code == 404


@pytest.mark.req("POR-12", part="sessions")
@pytest.mark.req("POR-18", part="ended by an administrator")
class TestEnding:
    def test_one_at_once_in_every_process(self, begin: Any, elsewhere: Any, client_as: Clients, superuser: Any) -> None:
        wang, other = begin("member.wang"), begin("member.wang")
        assert signed_in(wang) and elsewhere(wang.token)
        begun = time.monotonic()
        assert client_as("admin").post(f"{LIST}end", data={"ids": wang.pk}).status_code == 303
        assert not elsewhere(wang.token) and not signed_in(wang)
        assert time.monotonic() - begun < 1.0
        assert wang.get("/").location.startswith("/login/"), "the next page leads to the sign-in"
        assert signed_in(other), "the other one goes on"
        assert written(superuser, "member.wang")[0] == ("ended", "administrator", "admin")
        assert client_as("admin").post(f"{LIST}end", data={"ids": wang.pk}).status_code == 404

    def test_all_of_a_person(self, begin: Any, elsewhere: Any, client_as: Clients, user_id: Any) -> None:
        both, other = [begin("member.zhao"), begin("member.zhao")], begin("pm.li")
        begun = time.monotonic()
        done = client_as("security.admin").post(f"{LIST}end-all", data={"user_id": user_id("member.zhao")})
        assert done.status_code == 303
        assert not any(elsewhere(c.token) or signed_in(c) for c in both) and elsewhere(other.token)
        assert time.monotonic() - begun < 1.0

    def test_not_by_anybody(self, begin: Any, client_as: Clients, user_id: Any) -> None:
        victim = begin("pm.li")
        for who in ("member.wang", "hr", "leader", "auditor"):
            client = client_as(who)
            assert client.post(f"{LIST}end", data={"ids": victim.pk}).status_code == 403
            assert client.post(f"{LIST}end-all", data={"user_id": user_id("pm.li")}).status_code == 403
            assert client.post("/my-account/sessions/end", data={"ids": victim.pk}).status_code == 404
            assert client.post(f"{API}{victim.pk}/end").status_code == (403 if who == "auditor" else 404)
            assert client.post(f"{API}actions/end", json={"user_id": user_id("pm.li")}).status_code == 403
            assert client.post(f"{API}actions/end", json={"ids": [victim.pk]}).status_code in (403, 404)
        assert client_as(None).post(f"{API}{victim.pk}/end").status_code == 401
        assert signed_in(victim)

    @pytest.mark.parametrize("ids", [[], ["x"], ["-1"], ["1.0"], ["9" * 20]])
    def test_what_is_no_session(self, client_as: Clients, ids: list[str]) -> None:
        assert client_as("admin").post(f"{LIST}end", data={"ids": ids}).status_code == 422
        assert client_as("admin").post(f"{LIST}end-all", data={"user_id": ids}).status_code == 422

    def test_keycloak_is_to_end_its_session_too(self, begin: Any, client_as: Clients, superuser: Any, app: Flask) -> None:
        victim = begin("qa", sid="kc-1", subject="s-qa")
        client_as("admin").post(f"{LIST}end", data={"ids": victim.pk})
        sent = superuser.execute("select payload from kernel_outbox where handler = 'security.keycloak_session'").fetchall()
        assert {"sid": "kc-1"} in [row[0] for row in sent]
        with app.app_context():
            assert sessions.logged_out("kc-1"), "single sign-on of that session lets nobody in any more"


@pytest.mark.req("POR-12", part="own sessions")
class TestOwn:
    def test_one_and_all_others(self, begin: Any, elsewhere: Any, superuser: Any) -> None:
        here, phone, tablet = begin("sales.liu", sid="kc-2"), begin("sales.liu", sid="kc-3"), begin("sales.liu", sid="kc-2")
        page = here.get("/my-account/").text
        assert page.count("Firefox 128 · Windows") >= 3 and "本次会话" in page
        assert here.post("/my-account/sessions/end", data={"ids": phone.pk}).status_code == 303
        assert not elsewhere(phone.token) and elsewhere(tablet.token)
        assert written(superuser, "sales.liu")[0] == ("ended", "person", "sales.liu")
        assert here.post("/my-account/sessions/end-others").status_code == 303
        assert not elsewhere(tablet.token) and signed_in(here)
        sids = {row[0]["sid"] for row in superuser.execute("select payload from kernel_outbox where handler = 'security.keycloak_session'")}
        assert "kc-3" in sids and "kc-2" not in sids, "the session that stays keeps its Keycloak session"

    @pytest.mark.req("POR-18", part="everywhere")
    def test_everywhere(self, begin: Any, elsewhere: Any) -> None:
        here, phone, program = begin("sales.manager"), begin("sales.manager"), begin("sales.manager", kind="bearer")
        begun = time.monotonic()
        sent = here.post("/my-account/sessions/end-everywhere")
        assert (sent.status_code, sent.location) == (307, "/logout/")
        here.post("/logout/")
        assert not any(elsewhere(c.token) for c in (here, phone, program))
        assert time.monotonic() - begun < 1.0

    def test_ending_this_one_is_signing_out(self, begin: Any, elsewhere: Any) -> None:
        here = begin("finance")
        assert here.post("/my-account/sessions/end", data={"ids": here.pk}).location == "/logout/"
        assert not elsewhere(here.token)

    def test_the_frame_leads_there(self, client_as: Clients) -> None:
        assert 'href="/my-account/"' in client_as("outsider").get("/").text


@pytest.mark.req("POR-12", part="sessions by REST")
class TestRest:
    def test_own_ones_and_everybodys(self, begin: Any, client_as: Clients, user_id: Any) -> None:
        here = begin("archivist")
        mine = here.get(API).get_json()
        assert {one["user_id"] for one in mine["result"]} == {user_id("archivist")} and here.pk in mine["ids"]
        assert [one["id"] for one in mine["result"] if one["current"]] == [here.pk]
        shown = {"id", "user_id", "user", "username", "kind", "ip", "device", "begun_at", "last_seen_at", "expires_at", "current"}
        assert set(mine["result"][0]) == shown
        assert here.get(f"{API}?user_id={user_id('admin')}").get_json()["ids"] == []
        assert here.pk in client_as("auditor").get(f"{API}?user_id={user_id('archivist')}").get_json()["ids"]
        assert client_as(None).get(API).status_code == 401
        assert here.get(f"{API}?name=x").status_code == 400

    def test_the_document_knows_it(self, begin: Any) -> None:
        here = begin("archivist")
        document = here.get("/api/v1/_openapi").get_json()
        assert {f"{API}", f"{API}{{pk}}/end", f"{API}actions/end", "/api/v1/sign-ins/"} <= set(document["paths"])
        assert set(document["components"]["schemas"]["sessions"]["properties"]) == set(here.get(API).get_json()["result"][0])

    def test_ending(self, begin: Any, client_as: Clients, user_id: Any) -> None:
        one, two, here = (begin("service") for _ in range(3))
        assert here.post(f"{API}{one.pk}/end").get_json() == {"id": one.pk, "ended": True}
        assert not signed_in(one)
        assert here.post(f"{API}actions/end", json={"user_id": user_id("service")}).get_json()["ended"] >= 1
        assert not signed_in(two) and signed_in(here)
        assert client_as("admin").post(f"{API}actions/end", json={"ids": [here.pk]}).get_json() == {"ended": 1}
        assert not signed_in(here)

    @pytest.mark.parametrize(
        "body", [{}, {"ids": "1"}, {"ids": []}, {"ids": [True]}, {"user_id": "1"}, {"user_id": 0}, {"ids": [1], "user_id": 2}]
    )
    def test_wrong_input(self, client_as: Clients, body: dict[str, Any]) -> None:
        assert client_as("admin").post(f"{API}actions/end", json=body).status_code == 422


# -------------------------------------------------------------------- sessions end with what happens to the account
@pytest.mark.req("POR-18", part="disabling")
def test_switching_an_account_off_ends_its_sessions(app: Flask, begin: Any, elsewhere: Any, superuser: Any, user_id: Any) -> None:
    here = begin("deputy.plt")
    begun = time.monotonic()
    with app.app_context(), unrestricted("test"):
        accounts.set_active(user_id("deputy.plt"), False)
    assert not elsewhere(here.token) and not signed_in(here)
    assert time.monotonic() - begun < 1.0
    assert written(superuser, "deputy.plt")[0][:2] == ("ended", "switched_off")
    with app.app_context(), unrestricted("test"):
        accounts.set_active(user_id("deputy.plt"), True)
    assert not elsewhere(here.token), "coming back does not bring the old session back"


@pytest.mark.req("POR-18", part="leaving the company")
def test_leaving_ends_the_sessions(begin: Any, elsewhere: Any, client_as: Clients, user_id: Any, superuser: Any) -> None:
    here = begin("ex.member")
    pk = superuser.execute("select id from hr_employee where user_id = %s", [user_id("ex.member")]).fetchone()[0]
    approved(client_as, "leave", pk, effective_on=date.today() - timedelta(days=2))
    assert not elsewhere(here.token)
    ended = superuser.execute("select end_reason from security_session where id = %s", [here.pk]).fetchone()
    assert ended == ("switched off",)


@pytest.mark.req("POR-18", part="password reset")
def test_a_new_password_ends_the_sessions(app: Flask, begin: Any, elsewhere: Any, superuser: Any, user_id: Any) -> None:
    here = begin("acting.old")
    with app.app_context(), unrestricted("test"):
        accounts.set_password(user_id("acting.old"), "another long password")
    assert not elsewhere(here.token)
    assert written(superuser, "acting.old")[0][:2] == ("ended", "password")


@pytest.mark.req("POR-05", part="session fixation")
def test_the_session_is_a_new_one_after_the_sign_in(
    app: Flask, settings: Settings, begin: Any, elsewhere: Any, client_as: Clients, user_id: Any
) -> None:
    before = active.settings()
    active.use(settings.model_copy(update={"local_accounts": True}))
    try:
        with app.app_context(), unrestricted("test"):
            accounts.set_password(user_id("future.member"), "a good long password")
        planted = begin("outsider")
        with app.app_context():
            sessions.end(planted.token)  # it lives no longer, but the browser still holds it
        tokens = [planted.token]
        for _ in range(2):
            client = client_as(None)
            with client.session_transaction() as cookie:
                cookie["sid"] = tokens[-1] if len(tokens) == 1 else "made up by somebody"
            page = client.get("/login/").text
            token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
            client.csrf = False
            data = {"username": "future.member", "password": "a good long password", "csrf_token": token[1] if token else ""}
            assert client.post("/login/", data=data).status_code == 303
            with client.session_transaction() as cookie:
                tokens.append(cookie["sid"])
        assert len(set(tokens)) == 3 and "made up by somebody" not in tokens
        assert not elsewhere(tokens[0]) and elsewhere(tokens[2])
    finally:
        active.use(before)


# -------------------------------------------------------------------- the history
@pytest.mark.req("POR-12", part="login history")
class TestHistory:
    def test_everybody_reads_the_own_lines_and_those_who_may_all(self, client_as: Clients, user_id: Any) -> None:
        mine = client_as("member.wang").get("/api/v1/sign-ins/").get_json()
        assert mine["count"] >= 1 and {r["user_id"] for r in mine["result"]} == {user_id("member.wang")}
        for who in ("admin", "security.admin", "auditor"):
            seen = client_as(who).get("/api/v1/sign-ins/").get_json()["result"]
            assert {"stranger", "member.wang", "pm.chen"} <= {r["username"] for r in seen}, who
            page = client_as(who).get("/sign-ins/")
            assert page.status_code == 200 and "stranger" in page.text
            assert "/sign-ins/" in client_as(who).get("/").text
        assert "stranger" not in client_as("hr").get("/sign-ins/").text
        assert 'href="/sign-ins/"' not in client_as("member.wang").get("/").text
        assert "登录成功" in client_as("member.wang").get("/my-account/").text

    def test_filters_and_export(self, client_as: Clients, user_id: Any) -> None:
        auditor = client_as("auditor")
        asked = f"/sign-ins/export.csv?f.user_id={user_id('pm.chen')}&f.outcome=wrong_password"
        table = auditor.get(asked)
        assert table.status_code == 200
        lines = table.data.decode("utf-8-sig").splitlines()
        assert len(lines) >= 2 and all("Wrong password" in line for line in lines[1:])
        assert client_as("member.wang").get("/sign-ins/export.csv").status_code == 403
        assert auditor.get("/sign-ins/?f.ip=10.0.0.8").text.count("stranger") >= 1
        assert "stranger" in auditor.get(f"/sign-ins/?{SignIns.tabs[0][1]}").text

    def test_a_line_leads_to_the_person(self, client_as: Clients, user_id: Any, superuser: Any) -> None:
        pk = superuser.execute("select id from security_signin where user_id = %s limit 1", [user_id("hr")]).fetchone()[0]
        page = client_as("admin").get(f"/sign-ins/{pk}")
        assert page.status_code == 200 and f"/people/of/{user_id('hr')}" in page.text
        employee = client_as("admin").get(f"/people/of/{user_id('hr')}").location
        assert f"/sign-ins/?f.user_id={user_id('hr')}" in client_as("admin").get(employee).text
        assert "/sign-ins/" not in client_as("leader").get(employee).text
        assert client_as("leader").get(f"/sign-ins/{pk}").status_code == 404

    def test_nobody_writes_or_deletes_it(self, client_as: Clients, superuser: Any, raw_as: Any) -> None:
        admin = client_as("admin")
        pk = superuser.execute("select min(id) from security_signin").fetchone()[0]
        assert admin.post("/api/v1/sign-ins/", json={"outcome": "ok"}).status_code == 405
        assert admin.put(f"/api/v1/sign-ins/{pk}", json={"ip": "x"}, headers={"If-Match": "1"}).status_code == 405
        assert admin.delete(f"/api/v1/sign-ins/{pk}", headers={"If-Match": "1"}).status_code == 405
        with raw_as("admin") as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("delete from security_signin")

    def test_a_refusal_stays_written_though_its_request_is_undone(self, app: Flask, client_as: Clients, superuser: Any) -> None:
        client = client_as(None)
        with client.session_transaction() as cookie:
            attempt = oidc.Attempt.begin(cookie, "/")
        answer = client.get(f"/oidc/callback?state={attempt.state}&error=access_denied")
        assert answer.status_code == 400
        last = superuser.execute("select outcome, reason, way from security_signin order by id desc limit 1").fetchone()
        assert last == ("refused", "provider", "keycloak")

    def test_the_same_refusal_again_and_again_is_one_line(self, app: Flask, superuser: Any) -> None:
        for _ in range(3):
            with app.test_request_context("/"):
                signins.refused("token_refused", "client", way="token", subject="s-1", username="robot")
        assert len(written(superuser, "robot")) == 1
        superuser.execute("update security_signin set at = at - interval '11 minutes' where username = 'robot'")
        with app.test_request_context("/"):
            signins.refused("token_refused", "client", way="token", subject="s-1", username="robot")
        assert len(written(superuser, "robot")) == 2

    def test_signing_out_is_written(self, begin: Any, superuser: Any) -> None:
        here = begin("acting.soon")
        here.post("/logout/")
        here.post("/logout/")
        assert written(superuser, "acting.soon") == [("signed_out", None, None)]

    def test_old_lines_are_deleted_without_a_copy(self, app: Flask, superuser: Any, client_as: Clients) -> None:
        superuser.execute("insert into security_signin (outcome, username, at) values ('ok', 'old', now() - interval '91 days')")
        superuser.execute("insert into security_signin (outcome, username, at) values ('ok', 'young', now() - interval '89 days')")
        with app.app_context():
            assert signins.prune() == 0, "a year unless said otherwise"
        assert client_as("admin").post("/parameters/", data={"security.signin_days": "1"}).status_code == 422
        assert client_as("admin").post("/parameters/", data={"security.signin_days": "90"}).status_code == 303
        forget_values()
        with app.app_context():
            assert signins.prune() == 1
        assert not written(superuser, "old") and written(superuser, "young")
        assert superuser.execute("select count(*) from audit_entry where tbl = 'security_signin' and op <> 'read'").fetchone()[0] == 0


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox 128 · Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15", "Safari 17 · macOS"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36", "Chrome 126 · Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0", "Edge 126 · Windows"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36", "Chrome 126 · Android"),
        ("python-requests/2.32", "python-requests 2.32"),
        ("Mozilla/5.0 (nothing known)", "Mozilla/5.0 (nothing known)"),
        ("", ""),
        (None, ""),
    ],
)  # fmt: skip
def test_browsers_in_short(agent: str | None, words: str) -> None:
    assert device(agent) == words
