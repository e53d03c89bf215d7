"""The shape of plans on the small generated company: what noise cannot move. Times are measured by `run.py bench`."""

from collections.abc import Iterator
from typing import Any

import pytest

from portal.bench import parser
from portal.bench.data import PERSONS, SMALL, Database
from portal.bench.measure import client_as, lists, watching
from tests.factories.servers import needed

pytestmark = pytest.mark.req("VIS-14", part="plans")


@pytest.fixture(scope="module")
def company() -> Iterator[tuple[Any, Database]]:
    from portal.kernel import settings as active
    from security import manager

    needed("SHUNIU_TEST_PG_SUPER_URL", "PostgreSQL")
    before = active._active
    database = Database(SMALL, keep=False)
    manager._permissions.clear()
    with database.ready() as app:
        yield app, database
    manager._permissions.clear()
    if before is not None:
        active.use(before)


@pytest.mark.parametrize("person", PERSONS)
def test_a_page_of_lines_is_cheap_for_everybody(person: str, company: tuple[Any, Database]) -> None:
    app, database = company
    with watching(app) as watch:
        results = lists(client_as(app, database, person), watch, person, rounds=1)
    for r in results:
        assert "status" not in r.fault and "scan" not in r.fault, r
        assert r.statements <= (8 if "HTML" in r.page else 4), r
    if person in ("sees nothing", "member"):
        assert watch.read == 0, "nothing is read for whoever sees nothing"
    elif person == "one project":
        assert watch.read <= 6 * 2 * results[0].rows, "each page reads the project's lines, and counts them"


def test_the_table_shows_who_sees_what(company: tuple[Any, Database]) -> None:
    app, database = company
    with watching(app) as watch:
        counts = {p: lists(client_as(app, database, p), watch, p, rounds=1)[0].rows for p in PERSONS}
    assert counts["sees nothing"] == counts["member"] == 0 < counts["one project"] < 1000
    assert all(counts[p] == 1000 for p in ("team head", "division head", "heads all", "leader", "HR"))


def test_the_command_line() -> None:
    options = parser().parse_args(["--scale", "--rounds", "3"])
    assert options.scale and options.rounds == 3 and not options.keep
