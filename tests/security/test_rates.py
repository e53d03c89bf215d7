"""Limits on sign-ins, refused access tokens and exports: named, fixed, said in words with the time to wait."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from config import Settings
from portal.kernel import settings as active
from portal.kernel.errors import TooMany
from security import rates
from security.rates import LIMITS, Limit
from tests.factories.servers import needed

Clients = Callable[[str | None], Any]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of each in 30 seconds, so that the tests need not try a hundred times."""
    for name, limit in LIMITS.items():
        monkeypatch.setitem(LIMITS, name, Limit(3, 30, limit.words))


@pytest.fixture
def in_redis(app: Flask, settings: Settings) -> Iterator[str]:
    """The counters are kept in the real Redis."""
    url = needed("SHUNIU_TEST_REDIS_URL", "Redis")
    active.use(settings.model_copy(update={"redis_url": url}))
    yield url
    active.use(settings)


def refused(answer: Any) -> None:
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 30


def test_sign_ins_from_one_address(app: Flask, client_as: Clients) -> None:
    def begin(address: str, **headers: str) -> Any:
        return client_as(None).get("/login/", environ_base={"REMOTE_ADDR": address}, headers=headers)

    asked = (302, 503)  # on to Keycloak, or the page that says Keycloak is away
    assert all(begin("10.0.0.1").status_code in asked for _ in range(3))
    answer = begin("10.0.0.1")
    refused(answer)
    assert "登录过于频繁" in answer.text and "秒后重试" in answer.text
    english = begin("10.0.0.1", **{"Accept-Language": "en"})
    assert "Too many sign-ins from your network address. Please try again in" in english.text
    assert begin("10.0.0.2").status_code in asked, "another address is free"
    assert client_as("hr").get("/login/", environ_base={"REMOTE_ADDR": "10.0.0.1"}).status_code == 302, "signed in already: no attempt"


def test_refused_access_tokens(app: Flask, client_as: Clients) -> None:
    def call(token: str, address: str = "10.0.1.1", language: str = "zh") -> Any:
        headers = {"Authorization": f"Bearer {token}", "Accept-Language": language}
        return client_as(None).get("/api/v1/me", headers=headers, environ_base={"REMOTE_ADDR": address})

    assert [call("a.b.c").status_code for _ in range(3)] == [401] * 3
    answer = call("a.b.c", language="en")
    refused(answer)
    assert answer.get_json()["error"]["code"] == "too_many_requests"
    assert answer.get_json()["error"]["message"].startswith("Too many refused access tokens from your network address.")
    assert "访问令牌" in call("a.b.c").get_json()["error"]["message"]
    assert call("a.b.c", "10.0.1.2").status_code == 401
    page = client_as("pm.chen").get("/api/v1/me", environ_base={"REMOTE_ADDR": "10.0.1.1"})
    assert page.status_code == 200, "who is signed in there goes on"


def test_exports_of_one_person(client_as: Clients) -> None:
    auditor, admin = client_as("auditor"), client_as("admin")
    for url in ("/sign-ins/export.csv", "/api/v1/sign-ins/export.csv", "/administration/roles/export.json"):
        assert auditor.get(url).status_code == 200, url
    for url in ("/sign-ins/export.xlsx", "/api/v1/sign-ins/export.xlsx", "/administration/roles/export.csv"):
        answer = auditor.get(url)
        refused(answer)
        assert "Too many exports in a short time." in answer.text
    assert auditor.get("/sign-ins/").status_code == 200, "the list itself goes on"
    assert admin.get("/sign-ins/export.csv").status_code == 200, "another person is free"


def test_the_time_to_wait_is_true(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "export", Limit(2, 1, LIMITS["export"].words))
    with app.test_request_context("/"):
        who = uuid.uuid4().hex
        rates.count("export", who)
        rates.count("export", who)
        with pytest.raises(TooMany) as refusal:
            rates.count("export", who)
        assert refusal.value.retry_after == 1
        time.sleep(2.1)
        rates.count("export", who)


def test_one_count_for_all_processes(app: Flask, in_redis: str) -> None:
    who = uuid.uuid4().hex
    with app.test_request_context("/"):
        for _ in range(3):
            assert rates.exceeded("export", who) is None
            rates.forget()  # as another process, which knows nothing but what stands in Redis
        wait = rates.exceeded("export", who)
        assert wait is not None and 1 <= wait <= 30


def test_without_redis_it_is_counted_here(app: Flask, settings: Settings) -> None:
    active.use(settings.model_copy(update={"redis_url": "redis://127.0.0.1:9/0"}))
    try:
        with app.test_request_context("/"):
            begun = time.monotonic()
            assert [rates.exceeded("export", "somebody") for _ in range(3)] == [None] * 3
            assert rates.exceeded("export", "somebody") is not None
            assert time.monotonic() - begun < 3.0, "a Redis that is away is not asked every time"
    finally:
        active.use(settings)


def test_the_limits_of_the_product_leave_room_for_an_office() -> None:
    assert set(LIMITS) == {"login", "token", "export", "import"}
    assert all(str(limit.words) for limit in LIMITS.values())


def test_a_redis_that_hangs_holds_nobody_up_for_long(app: Flask, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls and never answers
        active.use(settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{silent.getsockname()[1]}/0"}))
        rates.forget()
        try:
            begun = time.monotonic()
            assert [rates.exceeded("export", "somebody else") for _ in range(3)] == [None] * 3
            assert rates.exceeded("export", "somebody else") is not None
            assert time.monotonic() - begun < 2.5
        finally:
            active.use(settings)
            rates.forget()


@pytest.mark.parametrize(
    ("given", "counted"),
    [("10.0.0.1", "10.0.0.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::ffff:10.0.0.1", "10.0.0.1"), ("", ""), ("unix", "unix")],
)
def test_an_ipv6_network_counts_as_one(app: Flask, given: str, counted: str) -> None:
    with app.test_request_context("/", environ_base={"REMOTE_ADDR": given}):
        assert rates.address() == counted


def test_whoever_writes_another_address_into_the_request_is_counted_by_the_own_one(client_as: Clients) -> None:
    for n in range(3):
        client_as(None).get("/login/", environ_base={"REMOTE_ADDR": "10.0.5.1"}, headers={"X-Forwarded-For": f"10.7.7.{n}"})
    refused(client_as(None).get("/login/", environ_base={"REMOTE_ADDR": "10.0.5.1"}, headers={"X-Forwarded-For": "10.8.8.8"}))
