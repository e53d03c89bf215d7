"""Pages for administrators: jobs and queues, system parameters, working calendar, number series."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from portal.kernel import calendar, jobs, outbox
from portal.kernel.calendar import WorkingCalendar, freeze
from portal.kernel.db import unrestricted
from portal.kernel.settings import forget_values, parameter
from portal.notify.jobs import tell_of_unknown_years

days = parameter("notify.test_days", 3, label="Days", check=lambda n: n > 0)
secret = parameter("notify.test_secret", "", label="Key", secret=True)
fails: list[bool] = []


@outbox.handler("test.fragile")
def fragile(**_payload: Any) -> None:
    if fails:
        raise RuntimeError("out of order")


_portal: list[Flask] = []


@pytest.fixture(autouse=True)
def clean(app: Flask) -> Iterator[None]:
    _portal[:] = [app]
    fails.clear()
    with system() as s:
        for table in ("kernel_outbox", "kernel_parameter", "kernel_job_run", "kernel_working_day", "kernel_number_series"):
            s.execute(text(f"delete from {table}"))
    forget_values()
    yield


@contextmanager
def system() -> Iterator[Any]:
    """As the system, committed at the end."""
    with _portal[0].app_context(), unrestricted("test") as s:
        yield s


def work() -> None:
    with _portal[0].app_context():
        outbox.drain()


@pytest.mark.req("POR-12", part="jobs, queues")
@pytest.mark.req("ALR-06", part="dead letters")
def test_dead_letters_are_seen_and_sent_again(client_as: Callable[..., Any]) -> None:
    admin = client_as("admin")
    fails.append(True)
    with system():
        outbox.enqueue("test.fragile", {"salary": "12345"}, key="fragile:1")
    for _ in range(outbox.MAX_ATTEMPTS):
        with system() as s:
            s.execute(text("update kernel_outbox set available_at = now()"))
        work()
    page = admin.get("/jobs/")
    assert page.status_code == 200 and "fragile:1" in page.text and "out of order" in page.text
    assert "12345" not in page.text, "the payload is nobody's business"
    with system() as s:
        pk = s.scalar(text("select id from kernel_outbox"))
    assert client_as("pm.chen").get("/jobs/").status_code == 403
    assert client_as("pm.chen").post("/jobs/resend", data={"ids": pk}).status_code == 403
    assert admin.post("/jobs/resend", data={"ids": "x"}).status_code == 422
    fails.clear()
    assert admin.post("/jobs/resend", data={"ids": pk}).status_code == 303
    work()
    with system() as s:
        assert s.scalar(text("select done_at is not null and dead_at is null from kernel_outbox"))


@pytest.mark.req("POR-12", part="jobs, queues")
def test_a_job_is_started_by_hand(client_as: Callable[..., Any]) -> None:
    name = jobs.all_jobs()[0].name
    assert client_as("admin").post("/jobs/run", data={"job": name}).status_code == 303
    assert client_as("admin").post("/jobs/run", data={"job": "no.such"}).status_code == 404
    assert client_as("pm.chen").post("/jobs/run", data={"job": name}).status_code == 403
    with system() as s:
        assert s.scalar(text("select job from kernel_job_run")) == name
    work()


@pytest.mark.req("POR-12", part="parameters")
def test_parameters_are_changed_in_the_browser(client_as: Callable[..., Any]) -> None:
    admin = client_as("admin")
    page = admin.get("/parameters/")
    assert page.status_code == 200 and 'name="notify.test_days"' in page.text
    wrong = admin.post("/parameters/", data={"notify.test_days": "0", "notify.test_secret": "json://x"})
    assert wrong.status_code == 422
    assert admin.post("/parameters/", data={"notify.test_days": "7", "notify.test_secret": "s3cr3t"}).status_code == 303
    with system():
        assert days.get() == 7 and secret.get() == "s3cr3t"
    assert "s3cr3t" not in admin.get("/parameters/").text
    assert admin.post("/parameters/", data={"notify.test_days": "7", "notify.test_secret": ""}).status_code == 303
    with system():
        assert secret.get() == "s3cr3t", "an empty secret keeps the stored one"
    assert client_as("pm.chen").get("/parameters/").status_code == 403
    assert client_as("pm.chen").post("/parameters/", data={"notify.test_days": "9"}).status_code == 403


@pytest.mark.req("ALL-02", part="override table")
def test_the_working_calendar_is_kept_in_browser_and_rest(client_as: Callable[..., Any]) -> None:
    hr, wang = client_as("hr"), client_as("member.wang")
    admin = client_as("admin")
    made = admin.post("/api/v1/working-days/", json={"day": "2027-02-08", "working": False, "name": "春节"})
    assert made.status_code == 201
    assert admin.post("/api/v1/working-days/", json={"day": "2027-02-08", "working": True}).status_code == 409
    assert admin.post("/working-days/add", data={"day": "2027-02-06", "working": "1", "name": "调休"}).status_code == 303
    assert wang.get("/api/v1/working-days/").json["count"] == 2
    assert wang.post("/api/v1/working-days/", json={"day": "2027-02-09", "working": False}).status_code == 403
    assert hr.get("/working-days/").status_code == 200
    with system():
        worked = WorkingCalendar.load()
    assert worked.is_workday(date(2027, 2, 6)) and not worked.is_workday(date(2027, 2, 8))


@pytest.mark.req("ALL-02", part="unknown year")
def test_administrators_are_warned_of_a_year_nobody_keeps(client_as: Callable[..., Any]) -> None:
    unknown = max(calendar.known_years()) + 1
    with freeze(date(unknown - 1, 12, 15)):
        for _ in range(2):
            with system():
                tell_of_unknown_years()
        assert str(unknown) in client_as("admin").get("/working-days/").text
    with system() as s:
        told = s.execute(
            text("select u.username from notify_notice n join ab_user u on u.id = n.receiver_id where kind = 'kernel.unknown_year'")
        )
        assert [row.username for row in told] == ["admin"]
    assert str(unknown) in client_as("admin").get("/notices/poll").json["items"][0]["title"]


@pytest.mark.req("ALL-03", part="pattern")
def test_a_number_pattern_that_cannot_work_is_refused(client_as: Callable[..., Any]) -> None:
    admin = client_as("admin")
    assert admin.post("/api/v1/number-series/", json={"code": "PRJ", "pattern": "XM-{yyyy}"}).status_code == 422
    made = admin.post("/api/v1/number-series/", json={"code": "PRJ", "pattern": "P{yy}-{seq:3}"})
    assert made.status_code == 201
    changed = admin.put(
        f"/api/v1/number-series/{made.json['id']}", json={"pattern": "{seq}{seq}"}, headers={"If-Match": made.headers["ETag"]}
    )
    assert changed.status_code == 422
    assert client_as("pm.chen").post("/api/v1/number-series/", json={"code": "X", "pattern": "{seq}"}).status_code == 403


@pytest.mark.req("HRM-04")
@pytest.mark.req("ALL-16")
def test_legal_entities_have_a_credit_code_with_its_check_character(client_as: Callable[..., Any]) -> None:
    admin, entities = client_as("admin"), "/api/v1/legal-entities/"
    company = {"code": "SH", "name": {"zh": "示例分公司", "en": "Sample branch"}}
    for wrong in ("91350100M000100Y4Z", "91350100M000100Y4", "9135-0100M000100Y43"):
        got = admin.post(entities, json=company | {"credit_code": wrong})
        assert got.status_code == 422 and "末位校验码" in got.json["error"]["fields"]["credit_code"], got.text
    made = admin.post(entities, json=company | {"credit_code": " 91350100m000100y43 "})
    assert made.status_code == 201, made.text
    assert made.json["result"]["credit_code"] == "91350100M000100Y43"
    again = admin.post(entities, json=company | {"code": "SZ", "credit_code": "91350100M000100Y43"})
    assert again.status_code == 409, again.text
    pk = made.json["id"]
    assert "91350100M000100Y43" in admin.get("/legal-entities/").text
    page = admin.get(f"/legal-entities/{pk}/edit")
    assert page.status_code == 200 and 'name="credit_code"' in page.text
    refused = admin.post(
        f"/legal-entities/{pk}/edit",
        data={"version": "1", "code": "SH", "name.zh": "示例分公司", "name.en": "Sample branch", "credit_code": "91350100M000100Y4Z"},
    )
    assert refused.status_code == 422 and "末位校验码" in refused.text
    cleared = admin.put(f"{entities}{pk}", json={"credit_code": ""}, headers={"If-Match": made.headers["ETag"]})
    assert cleared.status_code == 200 and cleared.json["result"]["credit_code"] is None
    wang = client_as("member.wang")
    assert wang.get(f"{entities}{pk}").status_code == 200
    assert wang.post(entities, json=company | {"code": "X"}).status_code == 403
    assert wang.get("/legal-entities/add").status_code == 403
    assert 'href="/legal-entities/"' in admin.get("/").text and 'href="/legal-entities/"' not in wang.get("/").text


@pytest.mark.req("POR-12", part="parameters")
def test_a_parameter_has_type_default_help_and_history(client_as: Callable[..., Any]) -> None:
    admin, rest = client_as("admin"), "/api/v1/parameters/"
    shown = admin.get(f"{rest}notify.test_days").get_json()["result"]
    assert (shown["type"], shown["default"], shown["value"], shown["stored"]) == ("integer", 3, 3, False)
    assert admin.put(f"{rest}notify.test_days", json={"value": 7}).get_json()["result"]["value"] == 7
    assert admin.put(f"{rest}notify.test_days", json={"value": 12}).status_code == 200
    assert admin.put(f"{rest}notify.test_days", json={"value": 0}).status_code == 422
    assert admin.put(f"{rest}notify.test_days", json={}).status_code == 422
    assert admin.put(f"{rest}notify.test_secret", json={"value": "s3cr3t"}).get_json()["result"]["value"] is None
    back = admin.delete(f"{rest}notify.test_days").get_json()["result"]
    assert (back["value"], back["stored"]) == (3, False)
    with system():
        assert days.get() == 3

    done = [c for c in admin.get(f"{rest}changes").get_json()["result"] if c["name"] == "notify.test_days"]
    assert [(c["before"], c["after"], c["reset"]) for c in done] == [(12, 3, True), (7, 12, False), (3, 7, False)]
    assert {c["by_name"] for c in done} == {admin.get("/api/v1/me").get_json()["name"]}
    for body in (admin.get(rest).text, admin.get(f"{rest}changes").text, admin.get("/parameters/").text):
        assert "s3cr3t" not in body
    assert ">12<" in admin.get("/parameters/").text

    chen = client_as("pm.chen")
    assert {chen.get(rest).status_code, chen.get(f"{rest}changes").status_code, chen.delete(f"{rest}notify.test_days").status_code} == {403}
    assert admin.get(f"{rest}no.such").status_code == 404


@pytest.mark.req("POR-12", part="parameters")
def test_the_page_lets_the_default_be_in_force_again_and_stores_the_rest(client_as: Callable[..., Any]) -> None:
    admin = client_as("admin")
    assert "notify.test_secret" not in admin.post("/parameters/", data={"notify.test_days": "7", "notify.test_secret": "x"}).text
    assert 'value="notify.test_secret"' in admin.get("/parameters/").text, "a stored secret can be removed"
    sent = {"notify.test_days": "9", "notify.test_secret": "", "reset": "notify.test_secret"}
    assert admin.post("/parameters/", data=sent).status_code == 303
    with system():
        assert (days.get(), secret.get()) == (9, "")
    assert 'value="notify.test_secret"' not in admin.get("/parameters/").text


@pytest.mark.req("POR-12", part="jobs, queues")
def test_jobs_and_queue_by_rest(client_as: Callable[..., Any]) -> None:
    admin, rest = client_as("admin"), "/api/v1/jobs/"
    listed = admin.get(rest).get_json()["result"]
    one = next(j for j in listed if j["name"] == "kernel.forget_old_work")
    assert one["cron"] and one["next_due"] and one["last_due"] is None
    assert admin.post(f"{rest}{one['name']}/run").status_code == 202
    work()
    assert next(j for j in admin.get(rest).get_json()["result"] if j["name"] == one["name"])["last_finished"]

    fails.append(True)
    with system():
        outbox.enqueue("test.fragile", {"who": "secret"}, key="broken")
    with system() as s:
        s.execute(text("update kernel_outbox set attempts = 100 where key = 'broken'"))
    work()
    queue = admin.get(f"{rest}queue").get_json()
    assert queue["backlog"]["dead"] == 1 and [r["key"] for r in queue["result"]] == ["broken"] and "secret" not in str(queue)
    fails.clear()
    assert admin.post(f"{rest}queue/resend", json={"ids": queue["ids"]}).get_json() == {"count": 1}
    work()
    assert admin.get(f"{rest}queue").get_json()["backlog"]["dead"] == 0

    assert admin.post(f"{rest}queue/resend", json={"ids": ["x"]}).status_code == 422
    assert admin.post(f"{rest}no.such/run").status_code == 404
    for call in (lambda c: c.get(rest), lambda c: c.get(f"{rest}queue"), lambda c: c.post(f"{rest}{one['name']}/run")):
        assert call(client_as("pm.chen")).status_code == 403


def test_looking_at_parameters_is_no_read_of_secrets(client_as: Callable[..., Any]) -> None:
    admin, noted = client_as("admin"), "select count(*) from audit_entry where op = 'read' and tbl = 'kernel_parameter'"
    admin.put("/api/v1/parameters/notify.test_secret", json={"value": "s3cr3t"})
    with system() as s:
        before = s.scalar(text(noted))
    for address in ("/parameters/", "/api/v1/parameters/", "/api/v1/parameters/changes"):
        assert admin.get(address).status_code == 200
    with system() as s:
        assert s.scalar(text(noted)) == before


@pytest.mark.req("ALL-03")
def test_number_series_tell_the_patterns_in_force(client_as: Callable[..., Any]) -> None:
    from portal.kernel.numbering import standards

    page = client_as("admin").get("/number-series/").text
    assert standards() and all(f"{code} {pattern}" in page for code, pattern in standards().items())
