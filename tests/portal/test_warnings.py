"""Risk warnings: raised once per condition, kept up to date, closed when it clears; seen and handled by those it concerns."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from portal.kernel import calendar, outbox
from portal.kernel.calendar import freeze
from portal.kernel.db import unrestricted
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _l
from portal.notify import rules, warning_rule, warnings
from portal.notify.models import WarningRule
from portal.notify.rules import Scan, ensure_rules

Person = Callable[[str], int]
found: dict[str, dict[str, Any]] = {}
"""What the test rule finds: project name → params, plus `_severity` and `_receivers`."""


@warning_rule("test.rule", title=_l("%(subject)s"), label=_l("Project"), parameters={"days": 3, "grace": True}, labels={"days": _l("Day")})
def bad_projects(scan: Scan) -> tuple[str, Mapping[str, Any]]:
    """The projects named in `found`, with their PM as the owner; none when the parameter is above 10."""
    import orjson

    query = """
        select 'project_project' as record_type, p.id as record_id, p.name as subject, p.id as project_id, p.domain_id,
               coalesce(f.value->'_receivers', to_jsonb(array[p.pm_id])) as receivers, f.value->>'_severity' as severity,
               f.value - '_severity' - '_receivers' as params
          from project_project p join jsonb_each(cast(:found as jsonb)) f on f.key = p.name where :days <= 10"""
    return query, {"found": orjson.dumps(found).decode()}


_portal: list[Flask] = []
WORKDAY = date(2026, 3, 18)


@pytest.fixture(autouse=True)
def clean(app: Flask) -> Iterator[None]:
    _portal[:] = [app]
    found.clear()
    with system() as s:
        for table in ("kernel_outbox", "notify_delivery", "notify_notice", "notify_warning", "notify_warning_rule"):
            s.execute(text(f"delete from {table}"))
        ensure_rules(s)
    yield


@contextmanager
def system() -> Iterator[Any]:
    """As the system, committed at the end."""
    with _portal[0].app_context(), unrestricted("test") as s:
        yield s


def rows(sql: str, **values: Any) -> list[Any]:
    with system() as s:
        result = s.execute(text(sql), values)
        return list(result.all()) if result.returns_rows else []


def rule_id() -> int:
    return int(rows("select id from notify_warning_rule where code = 'test.rule'")[0][0])


def scan(at: Any = WORKDAY) -> tuple[int, int, int] | None:
    pk = rule_id()
    with freeze(at), system():
        done = warnings.scan(pk)
    return (done.raised, done.changed, done.closed) if done else None


def alpha() -> int:
    return int(rows("select id from project_project where name = 'Project Alpha'")[0][0])


def one() -> Any:
    return rows("select * from notify_warning order by id desc limit 1")[0]


# ------------------------------------------------------------------ raising
@pytest.mark.req("ALR-04", part="raise, close")
def test_raised_once_updated_while_it_lasts_closed_when_it_clears(user_id: Person) -> None:
    found["Project Alpha"] = {"days": 3}
    assert scan() == (1, 0, 0) and scan() == (0, 0, 0), "the same condition is not raised again, nor written again"
    first = one()
    assert (first.state, first.params, first.project_id, first.receivers) == ("open", {"days": 3}, alpha(), [user_id("pm.chen")])
    found["Project Alpha"] = {"days": 4}
    assert scan() == (0, 1, 0) and one().params == {"days": 4} and one().id == first.id
    found.clear()
    assert scan() == (0, 0, 1) and one().state == "closed" and one().closed_at is not None
    found["Project Alpha"] = {}
    assert scan() == (1, 0, 0) and one().id != first.id, "after it cleared it is a new warning"
    assert len(rows("select 1 from notify_warning where project_id = :p", p=alpha())) == 2, "the history stays"


@pytest.mark.req("ALR-04")
def test_receivers_are_told_once_and_again_when_it_gets_worse(user_id: Person) -> None:
    found["Project Alpha"] = {}
    scan()
    scan()
    found["Project Alpha"] = {"_severity": "risk"}
    scan()
    found["Project Alpha"] = {"_severity": "info"}
    scan()
    told = rows("select receiver_id, key from notify_notice order by id")
    pk = one().id
    assert [tuple(row) for row in told] == [(user_id("pm.chen"), f"warning:{pk}"), (user_id("pm.chen"), f"warning:{pk}:risk")]


@pytest.mark.req("ALR-03", part="scope")
def test_scope_receivers_and_switch() -> None:
    found.update({"Project Alpha": {}, "Project Gamma": {}})
    (domain,) = rows("select domain_id from project_project where name = 'Project Gamma'")[0]
    rows("update notify_warning_rule set scope_axis = 'domain', scope_ids = array[cast(:d as bigint)]", d=domain)
    rows("update notify_warning_rule set receivers = '{role:leader,role:nobody}'")
    assert scan() == (1, 0, 0) and one().subject == "Project Gamma"
    assert one().receivers == [r[0] for r in rows("select id from ab_user where username = 'leader'")]
    rows("update notify_warning_rule set scope_axis = 'project', scope_ids = array[cast(:p as bigint)]", p=alpha())
    assert scan() == (1, 0, 1) and one().subject == "Project Alpha", "out of scope is cleared"
    rows("update notify_warning_rule set enabled = false")
    assert scan() is None


@pytest.mark.req("ALR-03", part="working days")
def test_on_working_days_only() -> None:
    found["Project Alpha"] = {}
    assert scan(date(2026, 3, 21)) is None and scan(date(2026, 2, 14)) == (1, 0, 0)


@pytest.mark.req("ALR-03", part="quiet hours")
@pytest.mark.parametrize(
    ("hour", "after"),
    [(7, date(2026, 3, 18)), (8, None), (19, None), (20, date(2026, 3, 19)), (23, date(2026, 3, 19)), (1, date(2026, 3, 18))],
)
def test_mail_of_the_night_waits_for_the_morning(hour: int, after: date | None) -> None:
    rule = WarningRule(quiet_from=20, quiet_to=8)
    with _portal[0].app_context():
        end = warnings.after_quiet(rule, calendar.moment(WORKDAY, hour, 30))
        assert end == (calendar.moment(after, 8) if after else None)
        assert warnings.after_quiet(WarningRule(quiet_from=None, quiet_to=None), calendar.moment(WORKDAY, 2)) is None
        assert warnings.after_quiet(WarningRule(quiet_from=12, quiet_to=14), calendar.moment(WORKDAY, 13)) == calendar.moment(WORKDAY, 14)


@pytest.mark.req("ALR-02", part="on event")
def test_many_events_are_one_scan() -> None:
    found["Project Alpha"] = {"days": 3}
    assert scan() == (1, 0, 0)
    found["Project Alpha"] = {"days": 4}
    for _ in range(5):
        with freeze(WORKDAY), system():
            warnings.scan_soon("test.rule")
    assert len(rows("select 1 from kernel_outbox where handler = 'notify.scan_code'")) == 1
    with freeze(WORKDAY), _portal[0].app_context():
        outbox.drain()
    assert one().params == {"days": 4}


@pytest.mark.req("ALR-02", part="on event")
def test_an_event_closes_and_updates_but_raises_nothing_and_tells_nobody() -> None:
    found.update({"Project Alpha": {"days": 3}, "Project Gamma": {}, "Project Beta": {}})
    assert scan() == (3, 0, 0)
    rows("delete from notify_notice")
    rows("update notify_warning set state = 'closed', closed_at = now() where subject = 'Project Beta'")
    found["Project Alpha"] = {"days": 4}
    found["Project Gamma"] = {"_severity": "risk"}
    with freeze(WORKDAY), system():
        warnings.scan_soon("test.rule")
    with freeze(WORKDAY), _portal[0].app_context():
        outbox.drain()
    now = "select subject, state, severity, params from notify_warning order by subject"
    assert [tuple(row) for row in rows(now)] == [
        ("Project Alpha", "open", "warn", {"days": 4}),
        ("Project Beta", "closed", "warn", {}),
        ("Project Gamma", "open", "warn", {}),
    ]
    assert rows("select 1 from notify_notice") == []
    del found["Project Alpha"]
    rows("delete from kernel_outbox")
    with freeze(WORKDAY), system():
        warnings.scan_soon("test.rule")
    with freeze(WORKDAY), _portal[0].app_context():
        outbox.drain()
    assert scan() == (1, 1, 0), "Beta again, Gamma worse: what was left to the schedule; Alpha is closed already"
    assert len(rows("select 1 from notify_notice")) == 2


def test_the_nightly_job_scans_every_rule() -> None:
    found["Project Alpha"] = {}
    with freeze(WORKDAY):
        with system():
            warnings.scan_all()
        with _portal[0].app_context():
            outbox.drain()
    assert one().state == "open"


def test_a_rule_whose_module_is_gone_raises_nothing() -> None:
    rows("update notify_warning_rule set code = 'test.gone' where code = 'test.rule'")
    with system() as s:
        pk = s.scalar(text("select id from notify_warning_rule where code = 'test.gone'"))
        assert warnings.scan(pk) is None


# ------------------------------------------------------------------ seeing and handling
@pytest.mark.req("ALR-07", part="warnings")
def test_who_sees_a_projects_warning(client_as: Callable[..., Any]) -> None:
    found["Project Alpha"] = {}
    scan()
    pk = one().id
    for person, sees in {
        "pm.chen": True,
        "domain.manager": True,
        "leader": True,
        "pm.li": False,
        "outsider": False,
        "admin": False,
    }.items():
        answer = client_as(person).get(f"/api/v1/warnings/{pk}")
        assert answer.status_code == (200 if sees else 404), person
        listed = client_as(person).get("/api/v1/warnings/").json["ids"]
        assert (pk in listed) is sees, person
        page = client_as(person).get("/warnings/?f.state=open")
        assert page.status_code == 200 and ("Project Alpha" in page.text) is sees, person
        home = client_as(person).get("/")
        assert home.status_code == 200 and ("Project Alpha" in home.text) is sees, person


def act(client: Any, pk: int, action: str, **arguments: Any) -> Any:
    version = client.get(f"/api/v1/warnings/{pk}").json["result"]["version"]
    return client.post(f"/api/v1/warnings/{pk}/{action}", json=arguments, headers={"If-Match": f'"{version}"'})


@pytest.mark.req("ALR-04", part="acknowledge")
def test_acknowledge_reopen_and_snooze(client_as: Callable[..., Any]) -> None:
    found["Project Alpha"] = {}
    scan()
    pk, chen = one().id, client_as("pm.chen")
    assert act(chen, pk, "acknowledge").status_code == 200 and one().state == "acknowledged"
    assert act(chen, pk, "acknowledge").status_code == 409
    assert scan() == (0, 0, 0) and one().state == "acknowledged", "a scan does not take the acknowledgement back"
    assert act(chen, pk, "reopen").status_code == 200
    today = _today()
    assert act(chen, pk, "snooze", until=str(today)).status_code == 422
    assert act(chen, pk, "snooze", until=str(today + timedelta(days=91))).status_code == 422
    assert act(chen, pk, "snooze").status_code == 422
    assert act(chen, pk, "snooze", until=str(today + timedelta(days=2))).status_code == 200 and one().state == "snoozed"
    rows("update notify_warning_rule set workdays_only = false")
    assert scan(today + timedelta(days=1)) == (0, 0, 0)
    assert scan(today + timedelta(days=2)) == (0, 1, 0) and one().state == "open" and one().snoozed_until is None
    found.clear()
    assert scan(today) == (0, 0, 1)
    assert act(chen, pk, "acknowledge").status_code == 409


def _today() -> date:
    with _portal[0].app_context():
        return calendar.today()


@pytest.mark.req("ALR-04", part="assign")
def test_whoever_is_assigned_is_told_and_sees_it(client_as: Callable[..., Any], user_id: Person) -> None:
    found["Project Alpha"] = {}
    scan()
    pk, liu = one().id, user_id("sales.liu")
    assert client_as("sales.liu").get(f"/api/v1/warnings/{pk}").status_code == 404
    assert act(client_as("pm.chen"), pk, "assign", person=user_id("leaver")).status_code == 422
    assert act(client_as("pm.chen"), pk, "assign", person=liu).status_code == 200
    assert client_as("sales.liu").get(f"/api/v1/warnings/{pk}").status_code == 200
    bell = client_as("sales.liu").get("/notices/poll").json
    assert bell["items"][0]["title"].startswith("指派给您") and "Alpha" in bell["items"][0]["title"]
    assert client_as("outsider").post(f"/api/v1/warnings/{pk}/assign", json={"person": liu}, headers={"If-Match": '"1"'}).status_code == 404
    assert client_as("leader").get(f"/warnings/{pk}").status_code == 200


@pytest.mark.req("ALR-04")
def test_nobody_edits_a_warning_by_hand(client_as: Callable[..., Any], request_as: Callable[..., Any]) -> None:
    found["Project Alpha"] = {}
    scan()
    pk = one().id
    assert client_as("pm.chen").put(f"/api/v1/warnings/{pk}", json={"state": "closed"}).status_code in (404, 405)
    assert client_as("pm.chen").post("/api/v1/warnings/", json={"code": "x"}).status_code in (404, 405)


# ------------------------------------------------------------------ rules
@pytest.mark.req("ALR-03", part="edit")
def test_administrators_change_rules_in_the_browser(client_as: Callable[..., Any]) -> None:
    admin, pk = client_as("admin"), rule_id()
    page = admin.get(f"/warning-rules/{pk}/edit")
    assert page.status_code == 200 and 'name="p.days"' in page.text and 'value="3"' in page.text
    version = rows("select version from notify_warning_rule where id = :i", i=pk)[0][0]
    form = {
        "version": version,
        "name": "我的规则",
        "severity": "risk",
        "enabled": "1",
        "p.days": "5",
        "p.grace": "1",
        "scope_axis": "company",
        "receivers": ["owner", "role:leader"],
        "channels": ["mail"],
        "quiet_from": "22",
        "quiet_to": "",
    }
    for wrong in ({"p.days": "x"}, {"severity": "huge"}, {"quiet_from": "24"}, {"receivers": ["role:nobody"]}, {"scope_axis": "domain"}):
        answer = admin.post(f"/warning-rules/{pk}/edit", data=form | wrong)
        assert answer.status_code == 422 and "我的规则" in answer.text, wrong
    assert admin.post(f"/warning-rules/{pk}/edit", data=form).status_code == 303
    stored = rows("select * from notify_warning_rule where id = :i", i=pk)[0]
    assert stored.parameters == {"days": 5, "grace": True} and stored.receivers == ["owner", "role:leader"] and not stored.workdays_only
    assert (stored.severity, stored.quiet_from, stored.quiet_to) == ("risk", 22, None)
    assert admin.post(f"/warning-rules/{pk}/edit", data=form).status_code == 409, "somebody saved meanwhile"
    assert client_as("pm.chen").get(f"/warning-rules/{pk}/edit").status_code == 403
    assert client_as("pm.chen").post(f"/warning-rules/{pk}/edit", data=form).status_code == 403


@pytest.mark.req("ALR-03", part="REST")
def test_rules_over_rest(client_as: Callable[..., Any]) -> None:
    admin = client_as("admin")
    made = admin.post("/api/v1/warning-rules/", json={"code": "test.rule", "severity": "info", "parameters": {"days": 7}, "name": "second"})
    assert made.status_code == 201 and made.json["result"]["parameters"] == {"days": 7, "grace": True}
    pk, tag = made.json["id"], {"If-Match": made.headers["ETag"]}
    for wrong in (
        {"parameters": {"weeks": 1}},
        {"parameters": {"days": -1}},
        {"scope_axis": "project"},
        {"scope_ids": ["x"]},
        {"severity": "x"},
    ):
        assert admin.put(f"/api/v1/warning-rules/{pk}", json=wrong, headers=tag).status_code == 422, wrong
    assert admin.post("/api/v1/warning-rules/", json={"code": "no.such", "severity": "info"}).status_code == 422
    assert client_as("pm.chen").post("/api/v1/warning-rules/", json={"code": "test.rule", "severity": "info"}).status_code == 403


@pytest.mark.req("ALR-03", part="preview")
def test_a_preview_shows_what_it_would_raise_and_stores_nothing(client_as: Callable[..., Any]) -> None:
    found.update({"Project Alpha": {}, "Project Beta": {}})
    pk = rule_id()
    page = client_as("admin").post(f"/warning-rules/{pk}/preview", data={"severity": "warn", "p.days": "3", "scope_axis": "company"})
    assert page.status_code == 200 and "2" in page.text
    assert "Alpha" not in page.text, "an administrator sees no business data"
    assert rows("select 1 from notify_warning") == []
    none = client_as("admin").post(f"/warning-rules/{pk}/preview", data={"severity": "warn", "p.days": "11", "scope_axis": "company"})
    assert none.status_code == 200 and "0" in none.text
    assert client_as("admin").post(f"/warning-rules/{pk}/preview", data={"severity": "warn", "p.days": "x"}).status_code == 422
    assert client_as("pm.chen").post(f"/warning-rules/{pk}/preview", data={"severity": "warn", "p.days": "3"}).status_code == 403


def test_parameters_keep_their_types() -> None:
    from decimal import Decimal

    declared = rules.Declared("x", "x", "x", lambda: "", parameters={"n": 1, "d": Decimal("0.8"), "b": True, "t": "a"})
    with _portal[0].app_context():
        assert declared.parse({"n": "2", "d": "0.90", "b": False}) == {"n": 2, "d": Decimal("0.90"), "b": False, "t": "a"}
        for wrong in ({"n": "x"}, {"n": "1.5"}, {"d": "NaN"}, {"b": "yes"}, {"z": 1}, {"n": -1}):
            with pytest.raises(Invalid):
                declared.parse(wrong)


@pytest.mark.req("ALR-03")
def test_defaults_are_given_once() -> None:
    rows("update notify_warning_rule set archived_at = now(), severity = 'info' where code = 'test.rule'")
    with system() as s:
        ensure_rules(s)
    assert [r.severity for r in rows("select severity from notify_warning_rule where code = 'test.rule'")] == ["info"]


# ------------------------------------------------------------------ cost
@warning_rule("test.many", title="%(subject)s", label="many", workdays_only=False)
def many() -> str:
    """Every seventh of 10 000 invented projects, found by a sum over their reports."""
    return """
        select 'test' as record_type, p.id as record_id, 'project ' || p.id as subject, jsonb_build_object('hours', p.hours) as params,
               array[]::bigint[] as receivers
          from (select p.id, sum(r.hours) as hours from test_project p left join test_report r on r.project_id = p.id group by p.id) p
         where p.id % 7 = 0"""


@pytest.mark.req("ALR-08")
def test_a_scan_of_10_000_projects_costs_little_more_than_its_query(superuser: Any) -> None:
    superuser.execute("create table test_project as select g as id from generate_series(1, 10000) g")
    reports = "select 1 + g % 10000 as project_id, 8::numeric as hours from generate_series(1, 400000) g"
    superuser.execute(f"create table test_report as {reports}")
    superuser.execute("analyze test_project, test_report; grant select on test_project, test_report to worker")
    try:
        with system() as s:
            ensure_rules(s)
            pk = s.scalar(text("select id from notify_warning_rule where code = 'test.many'"))

        def timed(work: Callable[[Any], Any]) -> float:
            with system() as s:
                begun = time.perf_counter()
                work(s)
                return time.perf_counter() - begun

        first = timed(lambda s: warnings.scan(pk))
        assert len(rows("select 1 from notify_warning where code = 'test.many'")) == 1428
        bare = min(timed(lambda s: s.execute(text(many())).all()) for _ in range(5))
        nightly = min(timed(lambda s: warnings.scan(pk)) for _ in range(5))
        print(f"bare {bare:.3f} s, nightly scan {nightly:.3f} s, first scan raising 1 428 {first:.3f} s")
        assert nightly <= 2 * bare + 0.02
    finally:
        superuser.execute("drop table test_project, test_report")
