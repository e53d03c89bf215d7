"""The running portal, and browsers of signed-in people."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.portal import RESULTS, Portal, SampleDatabase, running

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
expect.set_options(timeout=15_000)  # slow machines are not wrong


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def sample_database(worker_id: str) -> SampleDatabase:
    """The database of the running portals of this process."""
    return SampleDatabase(worker_id)


@pytest.fixture(scope="module")
def portal(sample_database: SampleDatabase) -> Iterator[Portal]:
    """A portal process with the sample company as it is at the start, for one test module."""
    sample_database.renew()
    with running(sample_database) as made:
        yield made


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Any, portal: Portal, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """`open_page("pm.chen", phone=True)`: a page of a browser in which the person is signed in; None: nobody is.

    At the end of the test no page may have reported an error on its console; pictures of failed tests are kept.
    """
    pages: list[Page] = []
    problems: list[str] = []

    def opened(username: str | None, phone: bool = False, **options: Any) -> Page:
        size = PHONE if phone else DESK
        context = browser.new_context(**{"viewport": size, "locale": "zh-CN", "base_url": portal.url, "has_touch": phone} | options)
        context.set_default_timeout(20_000)
        if username is not None:
            context.add_cookies([portal.cookie(username)])
        page: Page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
        page.on("console", lambda said: problems.append(f"{page.url}: {said.text}") if said.type == "error" else None)
        pages.append(page)
        return page

    opened.problems = problems  # type: ignore[attr-defined]
    yield opened
    failed = getattr(request.node, "failed", False)
    for n, page in enumerate(pages):
        if failed:
            RESULTS.mkdir(exist_ok=True)
            page.screenshot(path=RESULTS / f"failed-{request.node.name}-{n}.png")
        page.context.close()
    assert failed or not problems, problems


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    report = yield
    if report.failed:
        item.failed = True  # type: ignore[attr-defined]
    return report


@pytest.fixture
def refused(open_page: Opener) -> Callable[[str], None]:
    """`refused("404")`: the test meant the browser to report an answer of that kind."""

    def forget(part: str) -> None:
        open_page.problems[:] = [p for p in open_page.problems if part not in p]  # type: ignore[attr-defined]

    return forget
