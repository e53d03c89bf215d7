"""Finding every page a person can reach by links, and judging one page."""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from portal.kernel.i18n import merged
from tests.browser.portal import Portal

HAN = re.compile(r"[\u4e00-\u9fff]+")
WORDS = re.compile(r"[A-Za-z]{3,}(?: [A-Za-z]{2,})+")
# the same in both languages; people, places and things that are not ours
SAME = {"XLSX", "CSV", "JSON", "PDF", "English", "中文", "Ctrl K", "切换到中文", "Switch to English"}
NO_PAGES = re.compile(
    r"^/(logout|login|static|api|lookup|health|preferences)\b|/export\b|\.(xlsx|csv|json|pdf)$|^/(notices|launcher)/\d|/$^"
)
MAX_BYTES = 60 * 1024
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
# every piece of text a person reads or hears, one per entry
TEXTS = """() => {
  const out = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (parent.closest('script, style, template, noscript, [lang]:not(html)')) continue;
    out.push(walk.currentNode.textContent);
  }
  for (const e of document.querySelectorAll('[title], [aria-label], [placeholder], [alt], img[alt]')) {
    if (e.closest('[lang]:not(html)')) continue;
    for (const a of ['title', 'aria-label', 'placeholder', 'alt']) if (e.hasAttribute(a)) out.push(e.getAttribute(a));
  }
  out.push(document.title);
  return out.map(t => t.replace(/\\s+/g, ' ').trim()).filter(Boolean);
}"""


@dataclass(frozen=True)
class Visit:
    """One page as one person sees it in one way."""

    username: str
    path: str
    locale: str
    theme: str
    width: int

    def __str__(self) -> str:
        return f"{self.username} {self.path} {self.locale} {self.theme} {self.width}"

    @property
    def slug(self) -> str:
        """File name of its picture."""
        place = re.sub(r"[^a-z0-9]+", "-", self.path.lower()).strip("-")[:60] or "home"
        return f"{self.username}-{place}-{self.locale}-{self.theme}-{self.width}.png"


@dataclass
class Data:
    """Everything that stands in the database as text: what is no word of ours."""

    whole: str
    values: frozenset[str] = field(default_factory=frozenset)


def data_of(portal: Portal) -> Data:
    """All texts of all tables."""
    tables = portal.sql("select tablename from pg_tables where schemaname = 'public' and tablename not like 'security_%%'")
    parts, values = [], set()
    for (table,) in tables:
        columns = portal.sql(
            "select column_name from information_schema.columns"
            " where table_name = %s and data_type in ('text', 'character varying', 'jsonb')", table
        )  # fmt: skip
        for (column,) in columns:
            for (value,) in portal.sql(f'select distinct "{column}"::text from "{table}" where "{column}" is not null'):
                parts.append(value)
                values.add(value.strip())
    return Data("\n".join(parts), frozenset(values))


def pattern(path: str) -> str:
    """The kind of page: numbers, days and search conditions do not make another one."""
    parts = urlsplit(path)
    names = sorted(
        {re.sub(r"\..*", "", pair.partition("=")[0]) for pair in parts.query.split("&") if pair} - {"f", "q", "sort", "day", "unit"}
    )
    tab = re.search(r"(?:tab|by|module)=(\w+)", parts.query)
    return re.sub(r"(?<=/)\d+(?=/|$)", "#", parts.path) + ("?" + ",".join(names) if names else "") + (f"={tab[1]}" if tab else "")


def reach(page: Page, start: str = "/") -> tuple[list[str], list[str]]:
    """One address of every kind of page the signed-in person can reach by links, the start first; and the links that lead nowhere."""
    found, dead, seen, queue = [], [], {pattern(start)}, [(start, "")]
    while queue:
        here, source = queue.pop(0)
        answer = page.request.get(here)
        if answer.status != 200:
            dead.append(f"{source} leads to {here}, which answers {answer.status}")
            continue
        found.append(here)
        for link in re.findall(r'<a [^>]*?href="([^"]+)"', answer.text()):
            path = urljoin(here, link.replace("&amp;", "&")).partition("#")[0]
            if path.startswith("/") and not NO_PAGES.search(path) and pattern(path) not in seen:
                seen.add(pattern(path))
                queue.append((path, here))
    return found, dead


@cache
def _catalogue() -> tuple[dict[str, str], list[tuple[str, re.Pattern[str]]], frozenset[str]]:
    """English texts that read differently in Chinese, those with gaps as patterns, and all Chinese texts without gaps."""
    plain, gaps, chinese = {}, [], set()
    for message in merged():
        for english, zh in zip(_strings(message.id), _strings(message.string) * 2, strict=False):
            if english == zh or not re.search("[A-Za-z]{3}", english):
                continue
            if "%(" in english:
                fixed = re.sub(r"%\(\w+\)s", "", english)
                if len(re.findall("[A-Za-z]", fixed)) > 5:
                    gaps.append((english, re.compile(".+".join(map(re.escape, re.split(r"%\(\w+\)s", english))).replace("%%", "%"))))
            else:
                plain[english] = zh
                chinese.add(zh)
    return plain, gaps, frozenset(chinese)


def _strings(text: Any) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def mixed(texts: list[str], locale: str, data: Data) -> list[str]:
    """Texts that stand in the wrong language."""
    plain, gaps, chinese = _catalogue()
    wrong = []
    for text in {t for t in texts if t not in SAME and t not in data.values}:
        if locale == "zh":
            loose = any(words not in data.whole and words not in SAME for words in WORDS.findall(text)) and "@" not in text
            if text in plain or loose or any(p.fullmatch(text) for _e, p in gaps):
                wrong.append(text)
        elif (text in chinese) or any(run not in data.whole for run in HAN.findall(text) if run not in ("枢", "中文")):
            wrong.append(text)
    return wrong


def judge(page: Page, visit: Visit, data: Data) -> list[str]:
    """What is wrong with the page when it is opened so; the picture of it is the caller's."""
    problems: list[str] = []
    answer = page.goto(visit.path, wait_until="load")
    assert answer is not None
    page.wait_for_timeout(150)
    if answer.status != 200:
        problems.append(f"answers {answer.status}")
    size = len(answer.body())
    if size > MAX_BYTES:
        problems.append(f"{size / 1024:.0f} KB of HTML")
    widths = [visit.width, 360] if visit.width < 500 else [visit.width]
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            problems.append(f"{wide} px wide at {width}")
    page.set_viewport_size({"width": visit.width, "height": 900})
    if texts := mixed(page.evaluate(TEXTS), visit.locale, data):
        problems.append(f"wrong language: {sorted(texts)[:8]}")
    found = Axe().run(page, options=AXE).response["violations"]
    for violation in found:
        if violation["impact"] in ("serious", "critical"):
            nodes = "; ".join(n["html"][:160] for n in violation["nodes"][:2])
            problems.append(f"{violation['id']} ({len(violation['nodes'])}): {nodes}")
    return problems
