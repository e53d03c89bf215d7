"""Passwords kept in the portal: by flag only, behind a lock (POR-14)."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings
from portal.kernel import settings as active
from portal.kernel.db import unrestricted
from security import accounts

pytestmark = pytest.mark.req("POR-14", part="local accounts")


@pytest.fixture
def local(app: Flask, settings: Settings, user_id: Callable[[str], int]) -> Iterator[None]:
    before = active.settings()
    active.use(settings.model_copy(update={"local_accounts": True}))
    with app.app_context(), unrestricted("test") as s:
        accounts.set_password(user_id("pm.chen"), "a good long password")
        s.execute(text("delete from security_signin"))
    yield
    active.use(before)


Clients = Callable[[str | None], Any]


def sign_in(client: Any, username: str, password: str, token: str | None = "", **form: str) -> Any:
    page = client.get("/login/").get_data(as_text=True)
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    data = {"username": username, "password": password, "csrf_token": found[1] if found and token == "" else token or ""} | form
    client.csrf = False
    return client.post("/login/", data=data)


def test_the_right_password_lets_in(app: Flask, local: None, client_as: Clients) -> None:
    client = client_as(None)
    assert "单点登录已关闭" in client.get("/login/").get_data(as_text=True), "a banner says so"
    answer = sign_in(client, "pm.chen", "a good long password", next="/projects/")
    assert (answer.status_code, answer.location) == (303, "/projects/")
    assert client.get("/login/?next=/x").location == "/x"
    assert "单点登录已关闭" in client.get("/").get_data(as_text=True)
    client.csrf = True
    assert client.post("/logout/").location == "/logout/done"
    assert client.get("/login/").status_code == 200


@pytest.mark.parametrize(
    ("username", "password"),
    [("pm.chen", "wrong"), ("pm.chen", ""), ("pm.li", ""), ("pm.li", "x"), ("nobody", "x"), ("", ""), ("pm.chen'--", "x")],
)
def test_a_wrong_one_does_not(app: Flask, local: None, client_as: Clients, username: str, password: str) -> None:
    client = client_as(None)
    answer = sign_in(client, username, password)
    assert answer.status_code == 401
    assert client.get("/login/").status_code == 200


def test_five_wrong_ones_lock(app: Flask, local: None, client_as: Clients) -> None:
    client = client_as(None)
    for _ in range(accounts.LOCK_AFTER):
        assert sign_in(client, "pm.chen", "wrong").status_code == 401
    assert sign_in(client, "pm.chen", "a good long password").status_code == 429
    with app.app_context(), unrestricted("test") as s:
        s.execute(text("update security_signin set at = at - interval '16 minutes'"))
    assert sign_in(client, "pm.chen", "a good long password").status_code == 303


def test_another_spelling_of_the_name_is_the_same_person(app: Flask, local: None, client_as: Clients) -> None:
    client = client_as(None)
    for name in ("pm.chen", "PM.chen", "pm.Chen", "Pm.cheN", "PM.CHEN"):
        assert sign_in(client, name, "wrong").status_code == 401
    assert sign_in(client, "pM.chen", "a good long password").status_code == 429


def test_many_names_from_one_address_lock_too(app: Flask, local: None, client_as: Clients) -> None:
    with app.app_context(), unrestricted("test") as s:
        s.execute(
            text(
                """insert into security_signin (outcome, username, way, ip)
                   select 'wrong_password', 'guess' || n, 'password', '127.0.0.1' from generate_series(1, 30) n"""
            )
        )
    assert sign_in(client_as(None), "pm.chen", "a good long password").status_code == 429


def test_the_form_of_another_site_is_refused(app: Flask, local: None, client_as: Clients) -> None:
    client = client_as(None)
    for token in (None, "forged"):
        assert sign_in(client, "pm.chen", "a good long password", token).status_code == 400


def test_keycloaks_doors_are_shut(app: Flask, local: None, client_as: Clients) -> None:
    client = client_as(None)
    client.csrf = False
    assert client.get("/oidc/callback?code=x&state=y").status_code == 404
    assert client.post("/oidc/backchannel-logout", data={"logout_token": "x"}).status_code == 400
    assert client.get("/login/", headers={"Authorization": "Bearer a.b.c"}).status_code == 401


def test_sample_accounts_are_shown_in_a_demonstration_only(local: None, client_as: Clients) -> None:
    assert "shuniu-demo" not in client_as(None).get("/login/").get_data(as_text=True)
    active.use(active.settings().model_copy(update={"demo": True}))
    assert "member.wang" in client_as(None).get("/login/").get_data(as_text=True)


def test_without_the_flag_no_password_is_taken(app: Flask, local: None, settings: Settings, client_as: Clients) -> None:
    active.use(settings.model_copy(update={"local_accounts": False, "oidc_issuer": "http://127.0.0.1:9/realms/shuniu"}))
    client = client_as(None)
    answer = client.post("/login/", data={"username": "pm.chen", "password": "a good long password"})
    assert answer.status_code in (303, 400)
    assert "password" not in client.get("/login/").get_data(as_text=True).lower()
