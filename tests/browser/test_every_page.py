"""Every page of everybody, in both languages and themes, on a desk and on a phone: readable, usable, without an error."""

import os
import random
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from playwright.sync_api import Page

from portal.commands.database import SAMPLE_ACCOUNTS
from tests.browser.crawling import Visit, data_of, judge, pattern, reach
from tests.browser.portal import RESULTS, Portal

SOME = ("pm.chen", "head.rd", "hr", "admin", "outsider", "leader")


@pytest.mark.req("POR-16", part="every page: 360 px, light and dark, accessible")
@pytest.mark.req("ALL-11", part="no page mixes the languages")
def test_every_page_in_every_way(browser: Any, portal: Portal, depth: Callable[[int, int], int]) -> None:
    """Ordinarily some pages, each in one of the ways, drawn with SHUNIU_TEST_SEED; with --soak every kind of page in all ways."""
    everything = depth(0, 1) == 1
    dice = random.Random(os.environ.get("SHUNIU_TEST_SEED", "1"))
    visits: list[Visit] = []
    problems: list[str] = []
    for username in SAMPLE_ACCOUNTS if everything else SOME:
        context = browser.new_context(base_url=portal.url)
        context.add_cookies([portal.cookie(username)])
        paths, dead = reach(context.new_page())
        problems += [f"{username}: {link}" for link in dead]
        context.close()
        assert len(paths) > 10
        visits += [Visit(username, path, *way) for path in paths for way in product(("zh", "en"), ("light", "dark"), (1440, 390))]
    visits = _chosen(visits, everything, dice)
    folder = RESULTS / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    data = data_of(portal)
    for (username, locale, theme, width), group in _grouped(visits).items():
        portal.sql("update security_account set locale = %s, theme = %s where user_id = %s", locale, theme, portal.user_id(username))
        context = browser.new_context(
            base_url=portal.url, viewport={"width": width, "height": 900},
            reduced_motion="reduce",
        )  # fmt: skip
        context.add_cookies([portal.cookie(username)])
        page: Page = context.new_page()
        said: list[str] = []
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("console", lambda message, said=said: said.append(message.text) if message.type == "error" else None)
        for visit in group:
            problems += [f"{visit}: {problem}" for problem in judge(page, visit, data)]
            problems += [f"{visit}: console: {text}" for text in said]
            said.clear()
            page.screenshot(path=folder / visit.slug, full_page=True)
        context.close()
    assert not problems, "\n".join(problems)


def _chosen(visits: list[Visit], everything: bool, dice: random.Random) -> list[Visit]:
    """Ordinarily some kinds of pages, each once. Everything: each kind of page in all ways, and everybody's every page in one."""
    kinds: dict[str, list[Visit]] = {}
    for visit in visits:
        kinds.setdefault(pattern(visit.path), []).append(visit)
    if not everything:
        once = [dice.choice(ways) for ways in kinds.values()]
        return dice.sample(once, min(len(once), 24))
    chosen: dict[Visit, None] = {}
    for ways in kinds.values():
        people: dict[str, list[Visit]] = {}
        for visit in ways:
            people.setdefault(visit.username, []).append(visit)
        chosen |= dict.fromkeys(people[dice.choice(list(people))])
        chosen |= dict.fromkeys(dice.choice(own) for own in people.values())
    return list(chosen)


def _grouped(visits: list[Visit]) -> dict[tuple[str, str, str, int], list[Visit]]:
    groups: dict[tuple[str, str, str, int], list[Visit]] = {}
    for visit in visits:
        groups.setdefault((visit.username, visit.locale, visit.theme, visit.width), []).append(visit)
    return groups
