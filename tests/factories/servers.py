"""The servers and programs a test run finds in its environment; `python3 run.py test` starts them."""

import os

import pytest

from portal.embedded.steps import in_ci

FAST = os.environ.get("SHUNIU_TEST_FAST") == "1"
ALWAYS = ("SHUNIU_TEST_PG_SUPER_URL",)
"""What no run can do without."""


def needed(name: str, what: str) -> str:
    """Environment variable *name*, which tells of *what*. Without it the test fails, always in CI.

    The two runs in which it is left out say so: `check --fast`, and a machine that cannot have an optional part (no Java, no browser).
    """
    value = os.environ.get(name, "")
    if value:
        return value
    if FAST:
        pytest.skip(f"needs {what}; left out by --fast")
    if name in ALWAYS or in_ci():
        pytest.fail(f"{what} is missing ({name} is not set): run the tests with `python3 run.py test`", pytrace=False)
    pytest.skip(f"{what} is missing ({name} is not set)")
