"""Requests made up from the OpenAPI document, good and bad: no fault, and answers are as the document says (POR-06, ALL-13)."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from portal.kernel.db import Session
from security import rates

CHECKS = (schemathesis.checks.not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance)
ENDING = {"end_session", "end_sessions"}
"""They may end the session that asks; tests/security/test_sessions.py."""


@pytest.mark.req("POR-06", part="the document")
@pytest.mark.req("ALL-13", part="REST")
@pytest.mark.parametrize("username", ["admin", "hr", "member.wang"])
def test_answers_are_as_the_document_says(
    username: str, app: Any, client_as: Any, depth: Callable[[int, int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples for every operation, from a fixed seed; nothing they do is kept."""
    client = client_as(username)
    document = client.get("/api/v1/_openapi").get_json()
    schema = schemathesis.openapi.from_dict(document)
    monkeypatch.setattr(Session, "finish", _undone)
    wrong: dict[str, str] = {}
    tried, statuses = 0, Counter[int]()

    def ask(case: Any) -> None:
        nonlocal tried
        rates.forget()
        tried += 1
        client = client_as(username)
        sent = case.as_transport_kwargs(base_url="http://localhost")
        headers = {k: v for k, v in (sent.pop("headers") or {}).items() if k.lower() not in ("cookie", "authorization", "user-agent")}
        sent.pop("cookies", None)
        answer = client.open(
            urlsplit(sent["url"]).path, method=sent["method"], headers=headers, query_string=sent.get("params"), json=sent.get("json"),
            data=sent.get("data"),
        )  # fmt: skip
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=list(CHECKS))

    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.definition.raw["operationId"] in ENDING:
            continue
        name = f"{operation.method.upper()} {operation.path}"

        for mode in schemathesis.GenerationMode:

            @seed(20_261)
            @settings(
                max_examples=depth(2, 100), deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def one(case: Any) -> None:
                ask(case)

            try:
                one()
            except Unsatisfiable:  # nothing can be wrong with a request that takes nothing
                assert mode is schemathesis.GenerationMode.NEGATIVE, name
            except (Exception, BaseExceptionGroup) as error:  # every operation is tried, whatever the ones before did
                wrong[f"{name}, {mode.name}"] = str(error)[:1500]
    assert tried > len(document["paths"]) and {200, 201} & statuses.keys() and {404, 422} <= statuses.keys(), statuses
    assert wrong == {}, json.dumps(wrong, indent=1, ensure_ascii=False)


def _undone(self: Session) -> None:
    self.flush()
    self.rollback()
