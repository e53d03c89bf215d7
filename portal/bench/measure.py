"""Asking for pages as different people, and for the same rows by hand-written SQL."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
from flask import Flask
from sqlalchemy import event

from portal.bench.data import PERSONS, Database

PAGE_MS = 20.0
"""Most time in the database for a list page, for whomever."""
RATIO = 3.0
"""Most times the hand-written statement's time."""

LINES = "/api/v1/daily-report-lines/"


@dataclass
class Result:
    """One page as one person: the median of the requests, the fastest in the database (what it takes when nothing else runs).

    *ratio* compares with hand-written SQL, the begin of the transaction left out. *fault* says which limit is broken.
    """

    page: str
    person: str
    rows: int
    request_ms: float
    database_ms: float
    begin_ms: float
    statements: int
    hand_ms: float | None = None
    ratio: float | None = None
    fault: str = ""


@dataclass
class Watch:
    """What goes to the database while it looks."""

    seconds: float = 0.0
    begin: float = 0.0
    statements: int = 0
    scanned: int = 0
    read: int = 0
    explain: bool = False

    def reset(self) -> None:
        """Start counting anew."""
        self.seconds = self.begin = 0.0
        self.statements = 0


def measure(app: Flask, database: Database, rounds: int) -> list[Result]:
    """Every page for everybody, then the comparisons."""
    with watching(app) as watch, database.connect() as conn:
        results = []
        for person in PERSONS:
            client = client_as(app, database, person)
            pages = lists(client, watch, person, rounds)
            hand = by_hand(conn, database, person)
            compare(pages[0], *side_by_side(partial(inside, client, watch, LINES), partial(timed, conn, hand), 2 * rounds))
            results += pages
        results.append(create(app, database, conn, watch, rounds))
        results.append(board(app, database, conn, watch, rounds))
    return results


def client_as(app: Flask, database: Database, person: str) -> Any:
    """A test client that holds a session of the person."""
    from security import sessions

    with app.app_context():
        token = sessions.start(database.user(person))
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie["sid"] = token
    return client


@contextmanager
def watching(app: Flask) -> Iterator[Watch]:
    """Counts and times every statement of every engine; with `explain` also looks for sequential scans of the lines."""
    from portal.kernel.db import db

    watch = Watch()
    began: dict[int, float] = {}

    def before(_conn: Any, cursor: Any, *_rest: Any) -> None:
        began[id(cursor)] = time.perf_counter()

    def after(_conn: Any, cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        took = time.perf_counter() - began.pop(id(cursor))
        watch.seconds += took
        watch.statements += 1
        if "app_begin" in statement:
            watch.begin += took
        if watch.explain and "dailyreport_line" in statement and statement.lstrip().lower().startswith(("select", "with")):
            with cursor.connection.cursor() as c:
                c.execute("explain (analyze, format json) " + statement, parameters)
                plan = c.fetchone()[0][0]["Plan"]
                watch.scanned += scanned(plan)
                watch.read += read(plan)

    with app.app_context():
        engines = list(db.engines.values())
    for engine in engines:
        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)
    yield watch
    for engine in engines:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)


def scanned(plan: dict[str, Any]) -> int:
    """How often a plan reads the table of the lines one after the other, however early a limit stops it."""
    own = plan.get("Node Type", "").endswith("Seq Scan") and plan.get("Relation Name") == "dailyreport_line"
    return int(own) + sum(scanned(p) for p in plan.get("Plans", ()))


def read(plan: dict[str, Any]) -> int:
    """How many lines a plan reads, those it throws away included."""
    own = 0
    if plan.get("Relation Name") == "dailyreport_line":
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return int(own) + sum(read(p) for p in plan.get("Plans", ()))


# ------------------------------------------------------------------ pages
def lists(client: Any, watch: Watch, person: str, rounds: int) -> list[Result]:
    """First page, a page further on, a page narrowed to what is common and one to what is rare, and the page for people."""
    answer = client.get(LINES)
    cursor = answer.get_json()["next"]
    further = f"{LINES}?q=(after:'{cursor}')" if cursor else LINES
    for _ in range(3):
        following = client.get(further).get_json()["next"]
        further = f"{LINES}?q=(after:'{following}')" if following else further
    common = f"{LINES}?q=(filters:!((col:day,opr:ge,value:'2020-01-01'),(col:state,opr:eq,value:confirmed)))"
    rare = f"{LINES}?q=(filters:!((col:state,opr:eq,value:returned)))"
    pages = {
        "lines, first page": LINES,
        "lines, further page": further,
        "lines, common filter": common,
        "lines, rare filter": rare,
        "lines, HTML": "/daily-report-lines/",
    }
    return [ask(client, watch, name, person, url, rounds) for name, url in pages.items()]


def ask(client: Any, watch: Watch, name: str, person: str, url: str, rounds: int, limit: float = PAGE_MS) -> Result:
    """The page *url*, *rounds* times, after two for warming up."""
    watch.explain, watch.scanned = True, 0
    answer = client.get(url)
    watch.explain = False
    client.get(url)
    requests, spent, begins = [], [], []
    for _ in range(rounds):
        watch.reset()
        start = time.perf_counter()
        answer = client.get(url)
        requests.append(1000 * (time.perf_counter() - start))
        spent.append(1000 * watch.seconds)
        begins.append(1000 * watch.begin)
    rows = answer.get_json()["count"] if answer.is_json else 0
    result = Result(name, person, rows, statistics.median(requests), min(spent), min(begins), watch.statements)
    faults = []
    if answer.status_code != 200:
        faults.append(f"status {answer.status_code}")
    if result.database_ms > limit:
        faults.append(f"over {limit:.0f} ms")
    if watch.scanned:
        faults.append(f"{watch.scanned} sequential scans of the lines")
    result.fault = ", ".join(faults)
    return result


# ------------------------------------------------------------------ by hand
def inside(client: Any, watch: Watch, url: str) -> float:
    """Milliseconds of one request in the database, its begin left out."""
    watch.reset()
    client.get(url)
    return 1000 * (watch.seconds - watch.begin)


def timed(conn: psycopg.Connection[Any], statements: Sequence[tuple[str, Any]]) -> float:
    """Milliseconds of the statements, one after the other."""
    start = time.perf_counter()
    for statement, values in statements:
        cursor = conn.execute(statement, values)
        if cursor.description:
            cursor.fetchall()
    return 1000 * (time.perf_counter() - start)


def side_by_side(ours: Callable[[], float], hand: Callable[[], float], rounds: int) -> tuple[float, float]:
    """The fastest of each, measured in turns so that a busy machine is busy for both; after one round for warming up."""
    pairs = [(ours(), hand()) for _ in range(rounds + 1)][1:]
    return min(o for o, _h in pairs), min(h for _o, h in pairs)


def by_hand(conn: psycopg.Connection[Any], database: Database, person: str) -> list[tuple[str, Any]]:
    """The same page as somebody would write it without any rules: who and which projects are known, two statements."""
    me = database.user(person)
    with conn.transaction(force_rollback=True):
        row = conn.execute("select app_context(%s, null, 'bench')", [me]).fetchone()
    assert row is not None
    arrays, scopes = row[0]["arrays"], set(row[0]["scopes"])
    if scopes & {"projects", "staff"}:
        where, values = "project_id is not null" if "staff" not in scopes else "true", {}
    else:
        where, values = "(author_id = any(%(staff)s) or project_id = any(%(managed)s))", {
            "staff": arrays["staff"], "managed": arrays["managed_projects"],
        }  # fmt: skip
    count = f"select count(*) from (select 1 from dailyreport_line where {where} and archived_at is null limit 1001) x"
    # the same columns and texts as our page gives
    page = f"""select l.*, u.last_name || u.first_name, p.number, p.name, r.day,
                      d.last_name || d.first_name, v.day, v.project_label, v.hours,
                      c.day, c.project_label, c.hours, t.done, t.return_reason
               from (select * from dailyreport_line where {where} and archived_at is null
                      order by day desc, id desc limit 25) l
               join ab_user u on u.id = l.author_id join dailyreport_report r on r.id = l.report_id
               left join project_project p on p.id = l.project_id left join ab_user d on d.id = l.decided_by
               left join dailyreport_line v on v.id = l.reversal_of_id left join dailyreport_line c on c.id = l.corrects_id
               left join dailyreport_line_text t on t.line_id = l.id
               order by l.day desc, l.id desc"""
    return [(count, values), (page, values)]


def compare(result: Result, ours_ms: float, hand_ms: float) -> None:
    """Sets the ratio, and the fault when it is too large."""
    result.hand_ms, result.ratio = hand_ms, ours_ms / hand_ms
    if result.ratio > RATIO:
        result.fault = ", ".join(f for f in (result.fault, f"over {RATIO:.0f} times by hand") if f)


def create(app: Flask, database: Database, conn: psycopg.Connection[Any], watch: Watch, rounds: int) -> Result:
    """A new leave, with its rules, checks and history, beside one bare insert."""
    client = client_as(app, database, "member")
    page = client.get("/").get_data(as_text=True)
    token = page.split('name="csrf-token" content="', 1)[1].split('"', 1)[0]
    requests, spent, begins, status = [], [], [], 0
    for n in range(rounds + 2):
        watch.reset()
        start = time.perf_counter()
        body = {"kind": "annual", "from_day": f"2031-01-{n % 28 + 1:02}", "to_day": f"2031-01-{n % 28 + 1:02}"}
        answer = client.post("/api/v1/leaves/", json=body, headers={"X-CSRFToken": token})
        status = answer.status_code
        requests.append(1000 * (time.perf_counter() - start))
        spent.append(1000 * watch.seconds)
        begins.append(1000 * watch.begin)
    result = Result("create a leave", "member", 1, statistics.median(requests[2:]), min(spent), min(begins), watch.statements)
    result.fault = "" if status == 201 else f"status {status}"
    insert = """insert into hr_leave (user_id, kind, from_day, to_day, entity_id) values (%s, 'annual', '2032-01-01', '2032-01-01', 1)"""
    conn.execute("set session_replication_role = replica")
    hand = min(timed(conn, [(insert, [database.user("member")])]) for _ in range(rounds))
    conn.execute("reset session_replication_role")
    result.hand_ms, result.ratio = hand, (result.database_ms - result.begin_ms) / hand
    return result


def board(app: Flask, database: Database, conn: psycopg.Connection[Any], watch: Watch, rounds: int) -> Result:
    """The team board of a division, beside the one statement that sums a week of its hours."""
    client = client_as(app, database, "division head")
    result = ask(client, watch, "team board", "division head", "/team-board/", rounds, limit=5 * PAGE_MS)
    hours = """
        with recursive sub(id) as (select 2::bigint union select d.id from hr_department d join sub on d.parent_id = sub.id)
        select l.author_id, l.day, l.project_id, l.state, sum(l.hours) from dailyreport_line l
        where l.author_id = any(array(select e.user_id from hr_employee e join sub on e.department_id = sub.id))
          and l.day >= current_date - 7 and l.archived_at is null group by 1, 2, 3, 4"""
    ours, hand = side_by_side(partial(inside, client, watch, "/team-board/"), partial(timed, conn, [(hours, None)]), rounds)
    result.hand_ms, result.ratio = hand, ours / hand
    return result
