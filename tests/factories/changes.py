"""Changes of employees through REST, as people bring them about: HR prepares and submits, somebody else approves."""

from typing import Any

EVENTS = "/api/v1/employee-events/"


def act(client: Any, url: str, version: str | None = None, **arguments: Any) -> Any:
    """POST of an action with the version read just before."""
    if version is None:
        version = client.get(url.rsplit("/", 1)[0]).headers["ETag"]
    return client.post(url, json=arguments, headers={"If-Match": version})


def prepare(client: Any, kind: str, employee: int | None = None, **values: Any) -> Any:
    """The answer to a new draft; days may be dates."""
    body = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in values.items()}
    if employee is not None:
        body["employee_id"] = employee
    return client.post(EVENTS, json={"kind": kind, **body})


def submitted(client: Any, kind: str, employee: int | None = None, **values: Any) -> int:
    """The id of a change that waits for its approval."""
    made = prepare(client, kind, employee, **values)
    assert made.status_code == 201, made.text
    pk = int(made.get_json()["id"])
    sent = act(client, f"{EVENTS}{pk}/submit")
    assert sent.status_code == 200, sent.text
    return pk


def approved(client_as: Any, kind: str, employee: int | None = None, *, by: str = "leader", **values: Any) -> dict[str, Any]:
    """A change that hr prepared and *by* approved, as the approver reads it."""
    pk = submitted(client_as("hr"), kind, employee, **values)
    done = act(client_as(by), f"{EVENTS}{pk}/approve")
    assert done.status_code == 200, done.text
    return dict(done.get_json()["result"], id=pk)


MERGERS = "/api/v1/department-mergers/"


def asked_to_merge(client: Any, department: int, into: int, day: Any, **more: Any) -> int:
    """The id of a merger that waits for its approval."""
    asked = act(client, f"/api/v1/departments/{department}/merge", into_id=into, from_day=str(day), **more)
    assert asked.status_code == 200, asked.text
    found = client.get(
        f"{MERGERS}?q=(filters:!((col:department_id,opr:eq,value:{department}),(col:state,opr:eq,value:submitted)))"
    ).get_json()
    (pk,) = found["ids"]
    return int(pk)


def merged(client_as: Any, department: int, into: int, day: Any, *, by: str = "leader", **more: Any) -> int:
    """A merger that hr asked for and *by* approved; its id."""
    pk = asked_to_merge(client_as("hr"), department, into, day, **more)
    done = act(client_as(by), f"{MERGERS}{pk}/approve")
    assert done.status_code == 200, done.text
    return pk
