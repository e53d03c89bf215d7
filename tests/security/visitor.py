"""A scripted browser that signs in at a real Keycloak: follows redirects one by one and keeps cookies per host like a browser."""

import html
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import requests

FORM = re.compile(r'<form[^>]*id="kc-form-login"[^>]*action="([^"]+)"')


def _session() -> requests.Session:
    s = requests.Session()
    s.headers["Accept-Language"] = "en"
    return s


@dataclass
class Visitor:
    """One browser. *trail* holds every address visited."""

    http: requests.Session = field(default_factory=_session)
    trail: list[str] = field(default_factory=list)

    def get(self, url: str, follow: bool = True, **kwargs: Any) -> requests.Response:
        """Load *url*, following redirects."""
        return self._follow(self._send("GET", url, **kwargs), follow)

    def post(self, url: str, data: dict[str, str], follow: bool = True) -> requests.Response:
        """Send a form."""
        return self._follow(self._send("POST", url, data=data), follow)

    def _send(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        answer = self.http.request(method, url, allow_redirects=False, timeout=30, **kwargs)
        for cookie in self.http.cookies:
            cookie.secure = False  # Keycloak says Secure on loopback too, where browsers send them all the same
        self.trail.append(answer.url)
        return answer

    def _follow(self, answer: requests.Response, follow: bool) -> requests.Response:
        for _hop in range(12):
            if not follow or not answer.is_redirect:
                return answer
            answer = self._send("GET", urljoin(answer.url, answer.headers["Location"]))
        raise AssertionError(f"redirect loop: {self.trail[-6:]}")

    def sign_in(self, url: str, username: str, password: str = "shuniu-demo", follow: bool = True) -> requests.Response:
        """Open *url*, fill in Keycloak's form it leads to, and return what comes after."""
        answer = self.get(url)
        return self.fill_in(answer, username, password, follow)

    def sign_out(self, portal: str, follow: bool = True) -> requests.Response:
        """Sign out of the portal at the address *portal* by its form."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(f"{portal}/logout/").text)
        assert token, "no form to sign out"
        return self.post(f"{portal}/logout/", {"csrf_token": token[1]}, follow)

    def fill_in(self, answer: requests.Response, username: str, password: str = "shuniu-demo", follow: bool = True) -> requests.Response:
        """Fill in Keycloak's form on the page *answer*."""
        form = FORM.search(answer.text)
        assert form, f"no sign-in form at {answer.url}: {answer.status_code} {answer.text[:300]}"
        return self.post(html.unescape(form[1]), {"username": username, "password": password, "credentialId": ""}, follow)


def until(true: Callable[[], bool], seconds: float = 5.0) -> float:
    """Seconds until *true* was."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds
        time.sleep(0.02)
    return time.monotonic() - begun
