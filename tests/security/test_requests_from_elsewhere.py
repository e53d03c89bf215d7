"""Requests that another site or a stranger on the way makes: no change without the CSRF token, no host but ours (POR-15)."""

import re
from typing import Any

import pytest

from portal.web.headers import OPEN
from tests.security.crawler import rules

pytestmark = pytest.mark.req("POR-15", part="requests from elsewhere")


@pytest.mark.parametrize("username", ["admin", "pm.chen"])
def test_every_change_with_a_cookie_needs_the_token(username: str, app: Any, client_as: Any) -> None:
    """Pages and REST, every route of the URL map that is not only read."""
    let_in, asked = [], 0
    for rule, method in rules(app):
        if method == "GET" or rule.rule in OPEN:
            continue
        path = re.sub(r"<(?:int:)?\w+>", "1", rule.rule)
        for headers in ({}, {"X-CSRFToken": "x"}, {"Origin": "https://evil.example", "Referer": "https://evil.example/"}):
            client = client_as(username)
            client.csrf = False
            answer = client.open(path, method=method, headers={"Accept": "application/json", **headers}, json={})
            asked += 1
            if answer.status_code != 400 or answer.get_json()["error"]["code"] != "csrf":
                let_in.append(f"{method} {path} {headers}: {answer.status_code}")
    assert asked > 300
    assert let_in == []


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "127.0.0.1@evil.example", "", "localhost:80@evil", "[::1]", "10.0.0.1"],
)
def test_no_other_host(host: str, client_as: Any) -> None:
    for path in ("/", "/login/", "/api/v1/me", "/health/live"):
        answer = client_as("hr").get(path, headers={"Host": host}, base_url="http://127.0.0.1")
        assert answer.status_code == 400 and "evil" not in answer.get_data(as_text=True), path


def test_forwarded_headers_count_for_nothing_without_a_proxy(client_as: Any) -> None:
    """Where no proxy is configured, whoever sends them learns and changes nothing."""
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "10.9.8.7",
        "X-Forwarded-Prefix": "/evil",
        "X-Original-URL": "/administration/roles/",
        "X-HTTP-Method-Override": "DELETE",
        "Forwarded": "host=evil.example",
    }
    for path in ("/", "/login/?next=/x", "/projects/", "/api/v1/me"):
        plain, bent = (client_as("pm.chen").get(path, headers=h) for h in ({}, forged))
        assert bent.status_code == plain.status_code, path
        assert "evil" not in bent.get_data(as_text=True) + str(bent.headers), path
