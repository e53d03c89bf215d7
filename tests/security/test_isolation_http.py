"""Every resource and page × people: lists, counts, exports and pickers hold exactly what one sees, bulk actions tell of nothing else.

That hidden answers like nonexistent on every route: tests/security/test_isolation_crawler.py.
"""

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from portal.kernel.document import records
from portal.web import registry
from security.transitions import actions_of
from tests.security.oracle import Oracle

PEOPLE = ["leader", "domain.manager", "pm.chen", "pm.li", "head.rd", "member.wang", "member.zhao", "outsider", "admin", "hr", "ceo"]
NOWHERE = 987654321


@pytest.fixture(scope="module")
def oracle(app: Any, database: Any) -> Oracle:
    with psycopg.connect(database.super_dsn()) as conn:
        return Oracle(conn, [m.__tablename__ for m in records()])


@pytest.fixture(scope="module")
def live(oracle: Oracle) -> Callable[[str, type[Any]], set[int]]:
    """Ids of a model's rows that are not archived and that the person sees."""

    def ids(username: str, model: type[Any]) -> set[int]:
        gone = {r["id"] for r in oracle.rows[model.__tablename__] if r["archived_at"] is not None}
        return oracle.visible(username, model.__tablename__) - gone

    return ids


def everything(client: Any, url: str) -> tuple[int, set[int], int]:
    """Status, ids of all pages and the count of a REST list."""
    found: set[int] = set()
    after, count = None, 0
    while True:
        q = "(page_size:100" + (f",after:'{after}'" if after else "") + ")"
        answer = client.get(url, query_string={"q": q})
        if answer.status_code != 200:
            return answer.status_code, found, 0
        body = answer.get_json()
        assert not found & set(body["ids"]) and [r["id"] for r in body["result"]] == body["ids"]
        found |= set(body["ids"])
        count = max(count, body["count"] or 0)
        after = body["next"]
        if not after:
            return 200, found, count


@pytest.mark.req("VIS-01")
@pytest.mark.req("VIS-02")
@pytest.mark.req("VIS-06", part="REST")
@pytest.mark.parametrize("username", PEOPLE)
def test_rest_lists_counts_exports_and_lookups(username: str, client_as: Any, live: Any) -> None:
    client, wrong = client_as(username), {}
    for name, resource in registry.resources.items():
        expected = live(username, resource.model)
        status, ids, count = everything(client, f"{resource.route_base}/")
        if status == 403:
            assert client.get(f"{resource.route_base}/{NOWHERE}").status_code == 403
            assert client.get(f"/lookup/{name}").status_code == 403
            continue
        own_condition = "condition" in vars(resource) or "get_list" in vars(resource)
        if not (ids <= expected if own_condition else ids == expected) or (count != len(ids) and not own_condition):
            wrong[name] = (status, count, sorted(ids - expected)[:5], sorted(expected - ids)[:5])
        items = client.get(f"/lookup/{name}").get_json()["items"]
        if not {i["id"] for i in items} <= expected:
            wrong[f"lookup {name}"] = sorted({i["id"] for i in items} - expected)
        answer = client.get(f"{resource.route_base}/export.csv")
        if answer.status_code == 200 and not own_condition:
            rows = list(csv.reader(io.StringIO(answer.get_data(as_text=True).lstrip("\ufeff"))))
            if len(rows) - 1 != len(expected):
                wrong[f"export {name}"] = (len(rows) - 1, len(expected))
        else:
            assert answer.status_code in (200, 403, 404, 405), (name, answer.status_code)
    assert wrong == {}


def hidden_and_shown(oracle: Oracle, username: str, model: type[Any]) -> tuple[list[int], list[int]]:
    everyone = [r["id"] for r in oracle.rows[model.__tablename__] if r["archived_at"] is None]
    seen = oracle.visible(username, model.__tablename__)
    hidden = [i for i in everyone if i not in seen]
    shown = [i for i in everyone if i in seen]
    return [*hidden[:1], *hidden[-1:]], shown[:1]


@pytest.mark.req("VIS-09", part="bulk")
@pytest.mark.parametrize("username", ["pm.chen", "outsider", "head.rd"])
def test_bulk_actions_tell_hidden_and_nonexistent_alike(username: str, client_as: Any, oracle: Oracle) -> None:
    client = client_as(username)
    for resource in registry.resources.values():
        hidden, _shown = hidden_and_shown(oracle, username, resource.model)
        for a in actions_of(resource.model):
            if not a.bulk or not hidden:
                continue
            arguments = {k: "x" for k, v in a.arguments.items() if v.kind == "text"}
            body = {"ids": [hidden[0], NOWHERE], "arguments": arguments}
            answer = client.post(f"{resource.route_base}/actions/{a.name.replace('_', '-')}", json=body)
            if answer.status_code == 200:
                refused = answer.get_json()["refused"]
                assert answer.get_json()["done"] == [] and refused[str(hidden[0])] == refused[str(NOWHERE)], a.name


@pytest.mark.req("VIS-06", part="pages")
@pytest.mark.parametrize("username", ["domain.manager", "pm.chen", "head.rd", "member.wang", "outsider", "admin", "hr"])
def test_pages(username: str, client_as: Any, oracle: Oracle, live: Any) -> None:
    client, wrong = client_as(username), []
    for model, screen in registry.screens.items():
        base = screen.route_base
        listed = client.get(f"{base}/", query_string={"size": "100"})
        if listed.status_code == 403:
            assert client.get(f"{base}/{NOWHERE}").status_code == 403
            continue
        assert listed.status_code == 200, (base, listed.status_code)
        linked = {int(m) for m in re.findall(rf'"{re.escape(base)}/(\d+)"', listed.get_data(as_text=True))}
        if linked - live(username, model):
            wrong.append(f"{base} links to {sorted(linked - live(username, model))[:5]}")
        _hidden, shown = hidden_and_shown(oracle, username, model)
        if screen.has_record_page:
            for pk in shown:
                answer = client.get(f"{base}/{pk}")
                assert answer.status_code == 200, (base, pk, answer.status_code)
    assert wrong == []


@pytest.mark.req("VIS-09")
def test_nobody_is_sent_to_the_door_whatever_exists(client: Any, oracle: Oracle) -> None:
    for resource in registry.resources.values():
        pk = next((r["id"] for r in oracle.rows[resource.model.__tablename__]), NOWHERE)
        answers = [client.get(f"{resource.route_base}/{i}") for i in (pk, NOWHERE)]
        assert [a.status_code for a in answers] == [401, 401] and answers[0].get_data() == answers[1].get_data()
        assert client.get(f"{resource.route_base}/").status_code == 401
        assert client.post(f"{resource.route_base}/", json={}).status_code in (400, 401, 405)
    for screen in registry.screens.values():
        assert client.get(f"{screen.route_base}/").status_code == 302
        assert client.get(f"{screen.route_base}/1").status_code == 302
    for name in registry.resources:
        assert client.get(f"/lookup/{name}").status_code == 401
