"""Every route × verb × person, with a mark in every row: no answer tells of a row one does not see (VIS-01 … 09)."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from portal.kernel.db import Session
from portal.kernel.document import records
from security import visibility
from tests.factories.company import PEOPLE
from tests.security.canaries import LONG, Canaries, Mark, plant, texts_of
from tests.security.crawler import UNTESTED, Crawl, Crawler, untested
from tests.security.oracle import Oracle

# on which routes; who else there is tries what none of these got through to; with --soak everybody on all of them
SECURITY = "audit|sensitive|erasure|legal|visibility|who-sees|sign-ins|sessions|roles|accounts"
PERSONS: dict[str | None, str] = {
    "outsider": "",
    "pm.chen": "",
    "head.rd": "^/$|report|board|statistics|leave|people|employee|organisation|hours|lookup|warning|notice",
    "hr": "employ|people|depart|leave|grade|post|assign|report|month|organ|import|announce|head|term|record",
    "admin": "",
    "leader": "project|report|warning",
    "auditor": SECURITY,
    None: "",
}
OTHERS = ("security.admin", "legal", "auditor", "member.wang", "finance", "qa", "sales.liu", "head.sales")
SUMS_OF = ("pm.chen", "domain.manager", "leader", "member.wang")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def company(app: Any, database: Any) -> tuple[Oracle, Canaries]:
    """The company with a mark in every value, and the oracle over it."""
    with psycopg.connect(database.super_dsn(), autocommit=True) as conn:
        marks = plant(conn, records())
    with psycopg.connect(database.super_dsn()) as conn:
        return Oracle(conn, marks.tables), marks


@pytest.fixture(scope="module")
def persons(pytestconfig: pytest.Config) -> dict[str | None, str]:
    """People and the pattern of the routes they are sent to."""
    soak = bool(pytestconfig.getoption("--soak"))
    return dict.fromkeys((*sorted(PEOPLE.keys() - {"leaver"}), None), "") if soak else PERSONS


@pytest.fixture(scope="module")
def crawler(app: Any, company: Any, client_as: Any, token_of: Any, persons: Any, pytestconfig: pytest.Config) -> Iterator[Crawler]:
    """A crawler whose requests leave no trace: everything is rolled back where it would be committed."""
    for username in {*persons, *SUMS_OF, *OTHERS} - {None}:
        token_of(username)
    found = Crawler(app, *company, client_as, whole=bool(pytestconfig.getoption("--soak")))
    stop = found.count_statements()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "finish", _undone)
        yield found
    stop()


def _undone(self: Session) -> None:
    self.flush()
    self.rollback()


@pytest.fixture(scope="module")
def may(company: Any) -> Callable[[str | None, Mark, str], bool]:
    """Whether a person may read a marked value at an address, by the oracle alone."""
    oracle, _marks = company
    rows = {table: {r["id"]: r for r in found} for table, found in oracle.rows.items()}
    known: dict[tuple[str | None, str, int], bool] = {}

    def judge(username: str | None, mark: Mark, path: str) -> bool:
        me = oracle.people.get(username) if username else None
        key = (username, mark.table, mark.row)
        if key not in known:
            row = rows[mark.table].get(mark.row)
            known[key] = row is not None and oracle.sees(me, mark.table, row)
        return known[key] or oracle.reads_beside(me, mark.table, mark.column, path, mark.row)

    return judge


@pytest.fixture(scope="module")
def whole(app: Any, crawler: Crawler, may: Any, persons: Any, pytestconfig: pytest.Config) -> Crawl:
    """The crawl under the rules as they are."""
    found = Crawl()
    for username, only in persons.items():
        crawler.crawl(found, username, may, METHODS, 400 if pytestconfig.getoption("--soak") else 40, only)
    for username in OTHERS:
        crawler.crawl(found, username, may, METHODS, 0, among=set(untested(app, found)))
    return found


@pytest.mark.req("VIS-01", part="every route")
@pytest.mark.req("VIS-02", part="every route")
@pytest.mark.req("VIS-03", part="every route")
@pytest.mark.req("VIS-06", part="every route")
@pytest.mark.req("VIS-08", part="every route")
def test_no_answer_shows_a_mark_of_a_hidden_row(whole: Crawl) -> None:
    assert whole.leaks == [], "\n".join(whole.leaks[:50])


@pytest.mark.req("VIS-09", part="every route")
def test_hidden_answers_as_nonexistent_word_for_word_and_at_the_same_cost(whole: Crawl) -> None:
    assert whole.told_apart == [], "\n".join(whole.told_apart[:20])


@pytest.mark.req("ALL-13", part="no fault at any route")
def test_nothing_is_a_fault(whole: Crawl) -> None:
    assert whole.faults == [], "\n".join(whole.faults[:50])


@pytest.mark.req("VIS-06", part="no route is left out")
def test_no_route_is_untested(app: Any, whole: Crawl) -> None:
    """Somebody got past the permissions of every route, and an answer from every GET route."""
    left = untested(app, whole)
    assert left == {}, "\n".join(f"{method} {rule}: {statuses}" for (rule, method), statuses in left.items())
    assert UNTESTED.keys() <= {r.endpoint for r in app.url_map.iter_rules()}, "an exception for a route that is gone"


def test_every_table_is_marked_and_most_are_read(company: Any, whole: Crawl) -> None:
    _oracle, marks = company
    bare = [t for t in marks.tables if t not in {m.table for m in marks.planted}]
    assert bare == []
    assert len(whole.marks) > len(marks.tables) * 2 // 3, sorted(set(marks.tables) - whole.marks.keys())


@pytest.mark.req("VIS-01", part="sums")
@pytest.mark.parametrize("username", SUMS_OF)
def test_a_sum_holds_exactly_the_rows_one_sees(username: str, crawler: Crawler, company: Any, client_as: Any) -> None:
    """A project's hours: the whole for those who answer for it, the own lines for a member, taken apart into the rows behind them."""
    oracle, marks = company
    me = oracle.people[username]
    project = next(p for p in oracle.rows["project_project"] if p["pm_id"] == oracle.people["pm.chen"] and p["state"] == "active")
    lines = [r for r in oracle.rows["dailyreport_line"] if r["project_id"] == project["id"] and r["state"] != "open"]
    seen = {Mark("dailyreport_line", r["id"], "hours") for r in lines if oracle.sees(me, "dailyreport_line", r)}
    assert seen and (username == "member.wang") == (len(seen) < len(lines))
    answer = client_as(username).get(f"/project-hours/?project={project['id']}")
    assert answer.status_code == 200
    sums = [marks.summed(int(digits)) for text in texts_of(answer) for digits in LONG.findall(text)]
    assert seen in sums
    assert max(map(len, sums)) == len(seen)


@pytest.mark.req("VIS-07", part="every route")
def test_row_level_security_alone_holds(crawler: Crawler, may: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with the ORM's rules taken out: the database gives nothing away either."""
    from portal.web import records as stored
    from portal.web import rows

    for place in (visibility, rows, stored):
        monkeypatch.setattr(place, "visible", lambda model, c, ctx: None)
    monkeypatch.setattr(visibility, "_options", lambda ctx, model, kind: [])
    found = Crawl()
    for username in ("outsider", "pm.chen"):
        crawler.crawl(found, username, may, ("GET",), 20)
    assert (found.leaks, found.faults) == ([], [])
    assert found.requests > 300


def test_the_crawler_would_find_a_leak(crawler: Crawler, may: Any) -> None:
    """A manager's pages judged with the eyes of an outsider: what is forbidden there is found."""
    found = Crawl()
    crawler.crawl(found, "pm.chen", lambda _who, mark, path: may("outsider", mark, path), ("GET",), 0, only="(projects|lines)/$")
    assert {m.partition("table='")[2].partition("'")[0] for m in found.leaks} >= {"project_project", "dailyreport_line"}
    assert any("shows Mark(table='dailyreport_line'" in m and "column='hours'" in m for m in found.leaks), "sums are taken apart"
