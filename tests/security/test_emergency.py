"""The emergency administrator: off by default, opened from the command line only, ends by itself, seen by others (POR-13)."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

from config import Settings
from portal import cli
from portal.kernel import settings as active
from security import accounts, emergency, following

pytestmark = pytest.mark.req("POR-13")

Clients = Callable[[str | None], Any]
PAGE = "/emergency"
SHOWN = re.compile(r"password, shown this once: (\S+)")


@pytest.fixture(autouse=True)
def _closed(app: Flask, superuser: Any) -> Iterator[None]:
    yield
    with app.app_context():
        emergency.disable()
    superuser.execute("delete from security_signin where way = 'emergency'")


@pytest.fixture
def command(app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., str]:
    """`command("--enable")`: what `run.py admin break-glass --enable` prints; the exit code must be 0."""
    monkeypatch.setattr("portal.app.create_app", lambda *_args: app)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert cli.main(["admin", "break-glass", *arguments]) == 0
        return str(capsys.readouterr().out)

    return run


@pytest.fixture
def password(command: Callable[..., str]) -> str:
    found = SHOWN.search(command("--enable", "--for", "60m"))
    assert found
    return found[1]


def sign_in(client: Any, password: str) -> Any:
    return client.post(PAGE, data={"password": password})


def history(superuser: Any) -> list[str]:
    rows = superuser.execute("select outcome from security_signin where way = 'emergency' order by id").fetchall()
    return [row[0] for row in rows]


def me(client: Any) -> dict[str, Any] | None:
    answer = client.get("/api/v1/me")
    return dict(answer.get_json()) if answer.status_code == 200 else None


def test_there_is_no_such_page_unless_it_was_opened(client_as: Clients, command: Callable[..., str], superuser: Any) -> None:
    client = client_as(None)
    assert client.get(PAGE).status_code == 404
    assert sign_in(client, "anything").status_code == 404
    assert command() == "emergency access is not open\n"
    assert command("--disable") == "emergency access was not open\n"
    assert history(superuser) == []


def test_what_it_opens(client_as: Clients, password: str, superuser: Any, app: Flask) -> None:
    assert len(password) >= 24
    client = client_as(None)
    assert client.get(PAGE).status_code == 200
    assert sign_in(client, "wrong").status_code == 401 and me(client) is None
    done = sign_in(client, password)
    assert (done.status_code, done.location) == (303, "/")
    seen = me(client)
    assert seen and (seen["username"], seen["roles"], seen["scopes"]) == ("emergency", ["system_admin"], ["security", "system"])
    assert client.get("/").status_code == 200 and "应急访问" in client.get("/administration/roles/").text
    for url in ("/projects/", "/api/v1/daily-reports/", "/api/v1/employee-private/"):
        assert client.get(url).status_code == 403, "administration, no business data"
    assert history(superuser) == ["opened", "wrong_password", "ok"]
    until, expires = superuser.execute(
        "select e.until, s.expires_at from security_emergency e join security_session s using (user_id) where s.ended_at is null"
    ).fetchone()
    assert expires == until, "the session is over with the access"
    assert client.post("/logout/").location == "/logout/done", "Keycloak knows nothing of it"
    assert me(client) is None


def test_only_a_slow_hash_is_kept(password: str, superuser: Any, raw_as: Any) -> None:
    kept = superuser.execute("select password_hash from security_emergency where closed_at is null").fetchone()[0]
    assert kept.startswith("scrypt:") and password not in kept
    assert superuser.execute("select password from ab_user where username = 'emergency'").fetchone()[0] is None
    with raw_as("admin") as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("select password_hash from security_emergency")


def test_nowhere_else_does_the_password_work(app: Flask, settings: Settings, password: str) -> None:
    active.use(settings.model_copy(update={"local_accounts": True}))
    try:
        with app.test_request_context("/"):
            assert accounts.check_password("emergency", password).outcome == "wrong_password"
    finally:
        active.use(settings)


def test_it_ends_by_itself(client_as: Clients, password: str, superuser: Any, app: Flask) -> None:
    client = client_as(None)
    sign_in(client, password)
    assert me(client)
    superuser.execute("update security_emergency set until = now() where closed_at is null")
    superuser.execute("update security_session set expires_at = now() where ended_at is null and user_id = (%s)", [account(superuser)])
    assert me(client) is None, "at its time, whether or not anything clears up"
    assert client.get(PAGE).status_code == 404 and sign_in(client_as(None), password).status_code == 404
    with app.app_context():
        assert emergency.check(password)[0].outcome == "wrong_password"
        following.follow_keycloak()
    row = superuser.execute("select active from ab_user where username = 'emergency'").fetchone()
    roles = superuser.execute("select count(*) from ab_user_role where user_id = %s", [account(superuser)]).fetchone()
    assert (row, roles) == ((False,), (0,))
    assert history(superuser)[-1] == "closed"


def account(superuser: Any) -> int:
    return int(superuser.execute("select id from ab_user where username = 'emergency'").fetchone()[0])


def test_closing_ends_its_sessions_at_once(client_as: Clients, password: str, command: Callable[..., str], superuser: Any) -> None:
    client = client_as(None)
    sign_in(client, password)
    assert command() and command("--disable") == "emergency access closed\n"
    assert me(client) is None
    assert sign_in(client_as(None), password).status_code == 404
    assert superuser.execute("select count(*) from security_emergency where password_hash <> ''").fetchone()[0] == 0
    ended = superuser.execute("select outcome from security_signin where reason = 'emergency'").fetchall()
    assert ended == [("ended",)]
    superuser.execute("delete from security_signin where reason = 'emergency'")


def test_a_new_opening_has_a_new_password(client_as: Clients, password: str, command: Callable[..., str]) -> None:
    old = client_as(None)
    sign_in(old, password)
    again = SHOWN.search(command("--enable"))
    assert again and again[1] != password
    assert me(old) is None
    assert sign_in(client_as(None), password).status_code == 401
    assert sign_in(client_as(None), again[1]).status_code == 303


@pytest.mark.parametrize("wrong", ["0m", "1m", "25h", "60", "x", "-5m"])
def test_how_long(app: Flask, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setattr("portal.app.create_app", lambda *_args: app)
    try:
        code = cli.main(["admin", "break-glass", "--enable", f"--for={wrong}"])
    except SystemExit as refused:
        code = int(str(refused.code))
    assert code != 0
    with app.app_context():
        assert emergency.opened_until() is None


@pytest.mark.req("POR-13", part="rate limit")
def test_five_wrong_passwords_lock(client_as: Clients, password: str, superuser: Any) -> None:
    client = client_as(None)
    for _ in range(accounts.LOCK_AFTER):
        assert sign_in(client, "wrong").status_code == 401
    refused = sign_in(client, password)
    assert refused.status_code == 429 and refused.headers["Retry-After"] == "900" and "15 分钟" in refused.text
    elsewhere = client.post(PAGE, data={"password": password}, environ_base={"REMOTE_ADDR": "10.9.9.9"})
    assert elsewhere.status_code == 303, "another address is not locked out by this one"
    superuser.execute("update security_signin set at = at - interval '16 minutes' where way = 'emergency'")
    assert sign_in(client_as(None), password).status_code == 303


def test_opened_anew_it_is_not_locked_by_what_was_tried_before(
    client_as: Clients, password: str, command: Callable[..., str], superuser: Any
) -> None:
    for _ in range(accounts.LOCK_AFTER + 2):
        sign_in(client_as(None), "wrong")
    assert history(superuser)[-2:] == ["wrong_password", "locked"], "trying on while it is locked leaves one line"
    again = SHOWN.search(command("--enable"))
    assert again and sign_in(client_as(None), again[1]).status_code == 303


def test_leaders_and_security_administrators_are_told(
    client_as: Clients, password: str, command: Callable[..., str], superuser: Any
) -> None:
    superuser.execute("delete from notify_delivery; delete from notify_notice where kind like 'security.emergency%'")
    sign_in(client_as(None), password)
    command("--disable")
    told = superuser.execute(
        """select u.username, n.kind from notify_notice n join ab_user u on u.id = n.receiver_id
           where n.kind like 'security.emergency%' order by n.id"""
    ).fetchall()
    for who in ("leader", "security.admin"):
        assert [kind for name, kind in told if name == who] == ["security.emergency_ok", "security.emergency_closed"]
    assert {name for name, _kind in told} == {"leader", "security.admin"}
    page = client_as("leader").get("/notices/").text
    assert "有人使用应急访问登录" in page and "127.0.0.1" in page


def test_it_is_no_way_around_the_last_administrator(client_as: Clients, password: str, user_id: Any, superuser: Any) -> None:
    admin, base = client_as("admin"), "/administration/roles"
    taken = admin.post(f"{base}/system_admin/people", data={"user_id": user_id("admin"), "given": "0"})
    assert taken.status_code == 409, "the emergency account is no administrator to rely on"
    given = admin.post(f"{base}/leader/people", data={"user_id": account(superuser), "given": "1"})
    assert given.status_code == 409


def test_the_form_of_another_site_is_refused(client_as: Clients, password: str) -> None:
    client = client_as(None)
    client.csrf = False
    assert sign_in(client, password).status_code == 400
