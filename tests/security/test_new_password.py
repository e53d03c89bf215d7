"""An administrator demands a new password; what strangers type into the sign-in history; what is kept of tokens (POR-12, POR-18)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from config import Settings
from portal import cli
from portal.kernel import settings as active
from security import accounts, sessions
from tests.security import test_sessions
from tests.security.test_sessions import API, LIST, signed_in, written

Clients = Callable[[str | None], Any]
begin = test_sessions.begin


@pytest.mark.req("POR-18", part="password reset")
class TestDemandingAPassword:
    URL = f"{API}actions/demand-password"

    def test_who_may(self, client_as: Clients, begin: Any, user_id: Any, superuser: Any) -> None:
        who = user_id("archivist")
        known = superuser.execute("select subject from security_account where user_id = %s", [who]).fetchone()
        superuser.execute(
            "insert into security_account (user_id, subject) values (%s, 'sub-archivist')"
            " on conflict (user_id) do update set subject = 'sub-archivist'",
            [who],
        )
        for name in ("member.wang", "hr", "leader", "auditor"):
            assert client_as(name).post(self.URL, json={"user_id": who}).status_code == 403, name
        for n, name in enumerate(("admin", "security.admin")):
            here = begin("archivist", sid=f"kc-{n}", subject="sub-archivist")
            page = client_as(name).get(f"{LIST}?person={who}").text
            assert "/administration/sessions/demand-password" in page
            if n:
                answer = client_as(name).post(self.URL, json={"user_id": who})
                assert answer.status_code == 200 and answer.get_json()["ended"] >= 1
            else:
                sent = client_as(name).post(f"{LIST}demand-password", data={"user_id": who, "person": who}, follow_redirects=True)
                assert "下次登录时须设置新密码" in sent.text
            assert not signed_in(here)
            assert ("reset", None, name) in written(superuser, "archivist")[:5]
        assert "demand-password" not in client_as("auditor").get(f"{LIST}?person={who}").text
        waiting = superuser.execute("select count(*) from kernel_outbox where handler = 'security.demand_password'").fetchone()[0]
        assert waiting == 2
        superuser.execute("update security_account set subject = %s where user_id = %s", [known and known[0], who])

    def test_what_cannot_be(self, client_as: Clients, app: Flask, settings: Settings, user_id: Any) -> None:
        admin = client_as("admin")
        for body in ({}, {"user_id": "1"}, {"user_id": True}, {"user_id": 0}, {"user_id": 1, "ids": []}):
            assert admin.post(self.URL, json=body).status_code == 422
        assert admin.post(self.URL, json={"user_id": 2**31 - 1}).status_code == 409
        active.use(settings.model_copy(update={"local_accounts": True}))
        try:
            refused = admin.post(self.URL, json={"user_id": user_id("member.wang")})
            assert refused.status_code == 409 and refused.get_json()["error"]["code"] == "local_accounts"
            assert "demand-password" not in admin.get(f"{LIST}?person={user_id('member.wang')}").text
        finally:
            active.use(settings)

    def test_a_local_password_on_the_command_line(
        self, app: Flask, begin: Any, superuser: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("portal.app.create_app", lambda *_args: app)
        here = begin("future.member")
        assert cli.main(["admin", "reset-password", "Future.Member"]) == 0
        password = capsys.readouterr().out.split()[-1]
        assert len(password) == 20 and not signed_in(here)
        with app.test_request_context("/"):
            assert accounts.check_password("future.member", password).outcome == "ok"
        assert [w[0] for w in written(superuser, "future.member")[:3]] == ["ok", "reset", "ended"]
        for nobody in ("no.such.person", "emergency"):
            assert cli.main(["admin", "reset-password", nobody]) == 1


@pytest.mark.req("POR-12", part="login history")
def test_what_is_typed_as_a_user_name_is_kept_as_one_short_line(app: Flask, superuser: Any) -> None:
    typed = "\x00evil\r\n2026-01-01 admin\u202e signed in <b>" + "x" * 5000
    with app.test_request_context("/", headers={"User-Agent": "a" * 5000}, environ_base={"REMOTE_ADDR": "10.66.0.1"}):
        for _ in range(accounts.LOCK_AFTER + 4):
            accounts.check_password(typed, "wrong")
    rows = superuser.execute("select outcome, username, user_agent from security_signin where ip = '10.66.0.1' order by id").fetchall()
    assert [r[0] for r in rows] == ["wrong_password"] * accounts.LOCK_AFTER + ["locked"], "one line while it is locked"
    assert {r[1] for r in rows} == {("evil 2026-01-01 admin signed in <b>" + "x" * 5000)[:64]}
    assert {len(r[2]) for r in rows} == {300}


@pytest.mark.req("POR-12", part="ending")
def test_an_ended_access_token_is_not_forgotten_while_it_lives(app: Flask, user_id: Any, superuser: Any) -> None:
    until = datetime.now(UTC) + timedelta(days=3)
    with app.test_request_context("/"):
        sessions.adopt("long.lived.token", user_id("buyer"), expires=until, sid=None, subject=None)
        sessions.end("long.lived.token")
        superuser.execute(
            "update security_session set ended_at = now() - interval '2 days' where kind = 'bearer' and expires_at = %s", [until]
        )
        sessions.prune()
        sessions.adopt("long.lived.token", user_id("buyer"), expires=until, sid=None, subject=None)
    row = superuser.execute(
        "select ended_at from security_session where token_hash = %s", [sessions.hash_of("long.lived.token")]
    ).fetchone()
    assert row and row[0] is not None
