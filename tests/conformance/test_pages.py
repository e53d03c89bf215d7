"""Pages and resources: statements and bytes within their budget, every page renders, in one language, without inline script."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from portal.kernel import i18n
from portal.kernel.db import db
from portal.web import registry
from tests.conformance import clean

KEPT = Path(__file__).with_name("query_budget.json")
WRITE = os.environ.get("SHUNIU_WRITE_BUDGET") == "1"
MOST = {"rest": 4, "list": 8}
"""Statements of a list at most, that at the begin of the transaction included."""
MAX_BYTES = 60_000
READERS = ("pm.chen", "ceo", "hr", "member.wang", "admin", "auditor")
MANY = ",".join(map(str, range(1, 101)))
MORE = (
    "/team-board/?by=day",
    "/team-board/?by=month",
    "/my-report/week",
    *(
        f"/administration/roles/matrix?module={m}"
        for m in ("hr", "project", "dailyreport", "notify", "web", "security", "kernel", "applications")
    ),
    "/administration/roles/employee",
    f"/daily-reports/?f.author_id={MANY}&f.state=submitted&f.late=0&f.day.from=2026-01-01&f.day.to=2026-12-31",
    f"/daily-report-lines/?f.author_id={MANY}&f.state=submitted&f.state=confirmed&f.day.from=2026-01-01&f.day.to=2026-12-31",
    f"/people/?f.department_id={MANY}",
)
"""Addresses beside the first page of each: the heaviest ones people reach by links."""


@pytest.fixture(scope="module")
def statements(app: Any) -> Callable[[], Any]:
    """`with statements() as sent:` what is sent to the database by any session, savepoints and settings left out."""

    @contextmanager
    def counted() -> Iterator[list[str]]:
        sent: list[str] = []

        def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if not re.match(r"(?i)\s*(savepoint|release|rollback|set local)", statement):
                sent.append(statement)

        with app.app_context():
            engines = list(db.engines.values())
        for engine in engines:
            event.listen(engine, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            for engine in engines:
                event.remove(engine, "before_cursor_execute", note)

    return counted


def urls() -> dict[str, dict[str, str]]:
    """Kind → key → address."""
    found: dict[str, dict[str, str]] = {"rest": {}, "list": {}, "page": {}, "more": {url.replace(MANY, "*"): url for url in MORE}}
    for name, resource in registry.resources.items():
        found["rest"][name] = f"{resource.route_base}/"
    for screen in registry.screens.values():
        found["list"][screen.route_base] = f"{screen.route_base}/"
    for page in registry.pages.values():
        found["page"][page.route_base or "/"] = f"{page.route_base}/"
    return found


@pytest.mark.req("VIS-14", part="statements")
def test_lists_keep_their_budget(app: Any, client_as: Any, statements: Any) -> None:
    """The most statements and bytes any reader's list takes; numbers that grow are a decision, noted in query_budget.json."""
    kept: dict[str, dict[str, int]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    measured: dict[str, dict[str, int]] = {}
    wrong = []
    for kind, addresses in urls().items():
        measured[kind] = {}
        for key, url in sorted(addresses.items()):
            most = 0
            for username in READERS:
                client = client_as(username)
                if client.get(url).status_code != 200:  # warm, and whether it is theirs
                    continue
                with statements() as sent:
                    answer = client.get(url)
                if any("last_seen_at" in one for one in sent):  # noted once in a while, whatever the page
                    with statements() as sent:
                        answer = client.get(url)
                most = max(most, len(sent))
                if kind in MOST and len(sent) > MOST[kind]:
                    wrong.append(
                        f"{url} as {username}: {len(sent)} statements, at most {MOST[kind]}:\n  "
                        + "\n  ".join(" ".join(s.split())[:150] for s in sent)
                    )
                if len(answer.get_data()) > MAX_BYTES:
                    wrong.append(f"{url} as {username}: {len(answer.get_data())} bytes")
            measured[kind][key] = most
            if most and not WRITE and most > kept.get(kind, {}).get(key, 0):
                wrong.append(f"{url}: {most} statements, {kept.get(kind, {}).get(key)} are budgeted")
    if WRITE:
        KEPT.write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n")
    clean(wrong)


class Reader(HTMLParser):
    """Text nodes people read, and what must not be in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.inline: list[str] = []
        self._skip = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag in ("script", "style", "template", "code"):
            self._skip += 1
        if tag == "script" and "src" not in names and names.get("type") != "application/json" and "nonce" not in names:
            self.inline.append("<script> without nonce")
        self.inline += [f"{tag} {n}" for n in names if n.startswith("on")]
        if (names.get("href") or "").startswith("javascript:"):
            self.inline.append(f"{tag} javascript:")
        self.texts += [v for n, v in attrs if n in ("title", "placeholder", "aria-label") and v]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template", "code"):
            self._skip -= 1

    def handle_data(self, data: str) -> None:
        if not self._skip and data.strip():
            self.texts.append(" ".join(data.split()))


def pages_of(client: Any) -> Iterator[tuple[str, Any]]:
    """Lists, forms, the first record of each list, hand-made pages, an error page."""
    for screen in registry.screens.values():
        listed = client.get(f"{screen.route_base}/")
        yield f"{screen.route_base}/", listed
        if listed.status_code != 200:
            continue
        yield f"{screen.route_base}/add", client.get(f"{screen.route_base}/add")
        first = re.search(rf'"({re.escape(screen.route_base)}/\d+)"', listed.get_data(as_text=True))
        if first:
            for path in ("", "/edit", "/history"):
                yield first[1] + path, client.get(first[1] + path)
    for page in registry.pages.values():
        yield f"{page.route_base}/", client.get(f"{page.route_base}/")
    yield "/no-such-page", client.get("/no-such-page")


@pytest.mark.req("ALL-11", part="pages")
@pytest.mark.parametrize("username", ["pm.chen", "ceo", "hr", "admin", "outsider", "auditor"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_renders_in_one_language(username: str, language: str, client_as: Any, superuser: Any, user_id: Any) -> None:
    superuser.execute(
        "insert into security_account (user_id, locale) values (%s, %s) on conflict (user_id) do update set locale = excluded.locale",
        [user_id(username), language],
    )
    client = client_as(username)
    pairs = {m.id: m.string for m in i18n.merged() if isinstance(m.id, str) and isinstance(m.string, str) and m.id and m.string != m.id}
    # a text of the other language, whole; words that are also data or names are no proof
    foreign = {(k if language == "zh" else v) for k, v in pairs.items()} - {(v if language == "zh" else k) for k, v in pairs.items()}
    foreign -= {"Alpha", "中文", "English", "Shuniu", "枢纽"}
    wrong = []
    for url, answer in pages_of(client):
        if answer.status_code not in (200, 302, 303, 403, 404, 405, 409):
            wrong.append(f"{url}: {answer.status_code}")
        if answer.mimetype != "text/html" or answer.status_code in (302, 303):
            continue
        reader = Reader()
        reader.feed(answer.get_data(as_text=True))
        wrong += [f"{url}: {text!r} in the page in {language}" for text in dict.fromkeys(reader.texts) if text in foreign]
        wrong += [f"{url}: {what}" for what in reader.inline]
        if len(answer.get_data()) > 3 * MAX_BYTES:
            wrong.append(f"{url}: {len(answer.get_data())} bytes")
    clean(wrong)


def test_every_address_of_the_portal_asks_who_is_there(app: Any, client: Any) -> None:
    """Whatever a nobody calls: the door, the health pages, files of the interface; never a page, never 500."""
    open_to_all = {
        "/login/",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/logout/",
        "/logout/done",
        "/oidc/callback",
        "/oidc/login",
        "/oidc/backchannel-logout",
        "/preferences/locale",
        "/preferences/theme",
        "/back",
        "/favicon.ico",
        "/api/v1/_openapi",
    }
    wrong = []
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or set()) or rule.rule in open_to_all or rule.rule.startswith(("/static", "/login", "/oidc")):
            continue
        url = re.sub(r"<(?:int:)?\w+>", "1", rule.rule)
        url = re.sub(r"<path:\w+>", "x", url)
        answer = client.get(url)
        if answer.status_code not in (302, 401, 404) or (answer.status_code == 302 and "/login/" not in answer.headers["Location"]):
            wrong.append(f"{rule.rule}: {answer.status_code}")
    clean(wrong)


def test_every_change_with_a_cookie_needs_the_token(app: Any, client_as: Any) -> None:
    client = client_as("admin")
    client.csrf = False
    wrong = []
    for rule in app.url_map.iter_rules():
        for method in {"POST", "PUT", "PATCH", "DELETE"} & (rule.methods or set()):
            url = re.sub(r"<[^>]+>", "1", rule.rule)
            answer = client.open(url, method=method)
            if answer.status_code != 400 and rule.rule not in ("/oidc/backchannel-logout", "/login/"):
                wrong.append(f"{method} {rule.rule}: {answer.status_code}")
    clean(wrong)
