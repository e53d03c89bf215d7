"""Many people at once on one process: nobody ever gets another's rows, name or rights, also while requests fail in between."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.req("VIS-06", part="threads")
PEOPLE = ["leader", "pm.chen", "pm.li", "member.wang", "member.zhao", "outsider", "hr", "ceo", "admin", "head.rd"]


def test_people_at_the_same_time(app: Any, server: str, token_of: Any, user_id: Any, depth: Callable[[int, int], int]) -> None:
    serializer = app.session_interface.get_signing_serializer(app)
    name = app.config["SESSION_COOKIE_NAME"]

    def visitor(username: str) -> requests.Session:
        http = requests.Session()
        http.cookies.set(name, serializer.dumps({"sid": token_of(username)}))
        return http

    addresses = [
        "/api/v1/daily-reports/",
        "/api/v1/daily-report-lines/",
        "/api/v1/projects/",
        "/api/v1/employee-private/",
        "/api/v1/grade-rates/",
    ]
    expected = {}
    for username in PEOPLE:
        http = visitor(username)
        expected[username] = [(a.status_code, a.content) for a in (http.get(server + url, timeout=60) for url in addresses)]
    assert len({e[0][1] for e in expected.values()}) > 4

    wrong: list[str] = []
    start = threading.Barrier(len(PEOPLE))

    def work(username: str) -> None:
        http = visitor(username)
        start.wait(60)
        for n in range(depth(8, 200)):
            for url, (status, content) in zip(addresses, expected[username], strict=True):
                answer = http.get(server + url, timeout=120)
                if (answer.status_code, answer.content) != (status, content):
                    wrong.append(f"{username} {url}: {answer.status_code} {answer.content[:80]!r}")
            me = http.get(f"{server}/api/v1/me", timeout=120).json()
            if user_id(username) not in (me.get("id"), me.get("result", {}).get("id")) and username not in str(me):
                wrong.append(f"{username} is {me}")
            if n % 3 == 0:  # requests that fail, on whatever connection comes next
                http.get(f"{server}/api/v1/projects/999999", timeout=120)
                http.get(f"{server}/api/v1/projects/?q=(((", timeout=120)
                http.patch(f"{server}/api/v1/projects/1", json={"name": "x"}, timeout=120)

    threads = [threading.Thread(target=work, args=(u,)) for u in PEOPLE]
    for t in threads:
        t.start()
    for t in threads:
        t.join(600)
    assert wrong == []
