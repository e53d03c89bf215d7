"""Which tests prove which requirement (marker ``req``)."""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "docs" / "requirements.txt"
OUTPUT = "SHUNIU_TRACE_OUTPUT"
ID = r"[A-Z]{3}-\d\d"


@dataclass
class Requirement:
    """One requirement of the list, and the tests that claim to prove it, by part ("" is the whole)."""

    id: str
    title: str
    tests: dict[str, list[str]] = field(default_factory=dict)


def pytest_collection_finish(session: pytest.Session) -> None:
    """As a pytest plugin: write the collected markers as JSON."""
    claims = [
        [mark.args[0], mark.kwargs.get("part") or (mark.args[1] if len(mark.args) > 1 else "") or "", item.nodeid.partition("[")[0]]
        for item in session.items
        for mark in item.iter_markers("req")
    ]
    Path(os.environ[OUTPUT]).write_text(json.dumps(claims), encoding="utf-8")


def requirements() -> dict[str, Requirement]:
    """The committed list: a line each, ID and title."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    rows = (line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#"))
    return {id_: Requirement(id_, title) for id_, title in rows}


def collect() -> dict[str, Requirement]:
    """The list with the tests of this checkout. ``ValueError`` for a marker that is no ID."""
    known = requirements()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "claims.json"
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "portal.commands.trace"]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, OUTPUT: str(output)}, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 5) or not output.is_file():
            raise ValueError(f"the tests cannot be collected:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        claims = json.loads(output.read_text(encoding="utf-8"))
    for id_, part, test in claims:
        if not re.fullmatch(ID, id_):
            raise ValueError(f"{test} names {id_!r}, which is no requirement ID")
        tests = known.setdefault(id_, Requirement(id_, "(not in the list)")).tests.setdefault(part, [])
        if test not in tests:
            tests.append(test)
    return known


def trace(*, as_json: bool) -> int:
    """Print the requirements with their tests, the open ones last; 1 when the markers are wrong."""
    try:
        found = collect()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    open_ = [row for row in found.values() if not row.tests]
    if as_json:
        whole = {"requirements": [vars(row) for row in found.values()], "open": [row.id for row in open_]}
        print(json.dumps(whole, ensure_ascii=False, indent=1))
        return 0
    for row in found.values():
        if row.tests:
            print(f"{row.id}  {row.title}")
            for part, tests in sorted(row.tests.items()):
                for test in tests:
                    print(f"    {f'{part}: ' if part else ''}{test}")
    print(f"\nopen: {len(open_)} of {len(found)}")
    for row in open_:
        print(f"    {row.id}  {row.title}")
    return 0
