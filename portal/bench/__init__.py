"""Measurements on a generated company: what lists cost people who see nothing, little and everything, beside hand-written SQL.

``run.py bench`` builds a small company in a database of its own, ``run.py bench --scale`` one of 500 people, 2 000 projects and two
million report lines. The exit code is 1 when a limit is broken: a list page over 20 ms in the database for anybody, a sequential scan
of the lines, or a list that takes more than three times the hand-written statement.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from portal.bench.data import LARGE, SMALL, Database
from portal.bench.measure import Result, measure

__all__ = ["main"]


def parser() -> argparse.ArgumentParser:
    """The command line of ``bench``."""
    top = argparse.ArgumentParser(prog="run.py bench", description="measure on a generated company")
    top.add_argument("--scale", action="store_true", help="500 people, 2 000 projects, 2 million report lines (minutes to build)")
    top.add_argument("--rounds", type=int, default=15, help="how often each page is asked for; the median counts")
    top.add_argument("--keep", action="store_true", help="keep the database, and use it again the next time")
    top.add_argument("--json", action="store_true", help="machine-readable")
    return top


def main(arguments: Sequence[str]) -> int:
    """Build, measure, print; exit code."""
    options = parser().parse_args(list(arguments))
    if not os.environ.get("SHUNIU_TEST_PG_SUPER_URL"):
        print("no database server is known: run it as `python3 run.py bench`", file=sys.stderr)
        return 2
    size = LARGE if options.scale else SMALL
    database = Database(size, keep=options.keep)
    with database.ready() as app:
        results = measure(app, database, options.rounds)
    if options.json:
        print(json.dumps([vars(r) for r in results], ensure_ascii=False, indent=1))
    else:
        show(size.lines, results)
    return 1 if any(r.fault for r in results) else 0


def show(lines: int, results: Sequence[Result]) -> None:
    """Print the table."""
    print(f"\n{lines:,} report lines; requests: median, database: fastest, its begin included; ratio: without the begin")
    words = f"{'request ms':>12}{'database ms':>13}{'begin ms':>10}{'statements':>12}{'by hand ms':>12}{'ratio':>8}  fault"
    print(f"{'page':<28}{'person':<16}{'rows':>7}{words}")
    for r in results:
        ratio = f"{r.ratio:.2f}" if r.ratio is not None else "–"
        hand = f"{r.hand_ms:.2f}" if r.hand_ms is not None else "–"
        head = f"{r.page:<28}{r.person:<16}{r.rows:>7}{r.request_ms:>12.1f}{r.database_ms:>13.2f}{r.begin_ms:>10.2f}{r.statements:>12}"
        print(f"{head}{hand:>12}{ratio:>8}  {r.fault}")
