"""The page first asked for, and nowhere else: no open redirects (POR-01)."""

import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from security.oidc import HOME, local_path

ORIGIN = "https://portal.example"
PIECES = st.sampled_from(
    ["/", "\\", "//", ":", "@", "?", "#", "%2f", "%5c", "%2e", ".", "..", "https:", "javascript:", "evil.example", "portal.example", "a",
     "项目", "\t", "\n", "\r", "\0", "\x7f", "\u2028", "\u200b", "\u3002", "\uff0f", " ", "login", "logout", ORIGIN]
)  # fmt: skip


def as_a_browser_reads(location: str) -> str:
    """The host a browser goes to for the header `Location: …`, by the rules of the URL standard that differ from Python's."""
    cleaned = re.sub(r"[\t\n\r]", "", location.strip("".join(map(chr, range(33)))))
    head, mark, rest = cleaned.partition("?")
    cleaned = re.sub(r"^(https?):/*", r"\1://", head.replace("\\", "/"), flags=re.IGNORECASE) + mark + rest
    if cleaned.startswith("//"):
        cleaned = "//" + cleaned.lstrip("/")
    return urlsplit(urljoin(ORIGIN + "/login/", cleaned)).netloc


@pytest.mark.req("POR-01", part="open redirect")
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map("".join)))
@example("//evil.example")
@example("///evil.example")
@example("/\\evil.example")
@example("https:evil.example")
@example("/\t/evil.example")
def test_no_spelling_leads_anywhere_else(wanted: str) -> None:
    path = local_path(wanted, ORIGIN)
    assert as_a_browser_reads(path) == "portal.example"
    assert path.startswith("/")
    assert not re.search(r"[\x00-\x20\x7f\\]", path)


@pytest.mark.req("POR-01", part="open redirect")
@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example", "https://evil.example/x",
     "http:/evil", "evil", "javascript:alert(1)", "/x\r\nSet-Cookie: a=b", "/x\0", "/\t/evil.example", " /x", "/x y", "/a//b", "/../x",
     "/a/%2e%2e/b", "/.//evil.example", "https://portal.example.evil.example/", "https://portal.example@evil.example/",
     "https://portal.example", "/login/", "/login", "/logout/", "/oidc/callback?code=1", "", None, "/" + "x" * 600]
)  # fmt: skip
def test_refused_paths_lead_home(wanted: str | None) -> None:
    assert local_path(wanted, ORIGIN) == HOME


@pytest.mark.req("POR-01", part="returns to the page first asked for")
@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/projects/7?tab=team", "/projects/7?tab=team"),
        ("https://portal.example/projects/?q=%E9%A1%B9&page=2", "/projects/?q=%E9%A1%B9&page=2"),
        ("/daily-reports/", "/daily-reports/"),
        ("/login-history/", "/login-history/"),
        ("/x#part", "/x#part"),
    ],
)
def test_pages_of_the_portal_are_kept(wanted: str, path: str) -> None:
    assert local_path(wanted, ORIGIN) == path
