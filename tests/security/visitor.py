"""A scripted browser that signs in at a real Keycloak: follows redirects one by one and keeps cookies per host like a browser."""

import html
import re
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin

import requests

FORM = re.compile(r'<form[^>]*id="kc-form-login"[^>]*action="([^"]+)"')


def _session() -> requests.Session:
    s = requests.Session()
    # Keycloak marks its cookies Secure on loopback too, where browsers send them all the same
    s.cookies.set_policy(DefaultCookiePolicy(secure_protocols=("https", "http")))
    s.headers["Accept-Language"] = "en"
    return s


@dataclass
class Visitor:
    """One browser. *trail* holds every address visited."""

    http: requests.Session = field(default_factory=_session)
    trail: list[str] = field(default_factory=list)

    def get(self, url: str, follow: bool = True, **kwargs: object) -> requests.Response:
        """Load *url*, following redirects."""
        return self._follow(self.http.get(url, allow_redirects=False, timeout=20, **kwargs), follow)  # type: ignore[arg-type]

    def post(self, url: str, data: dict[str, str], follow: bool = True) -> requests.Response:
        """Send a form."""
        return self._follow(self.http.post(url, data=data, allow_redirects=False, timeout=20), follow)

    def _follow(self, answer: requests.Response, follow: bool) -> requests.Response:
        self.trail.append(answer.url)
        for _hop in range(12):
            if not follow or not answer.is_redirect:
                return answer
            answer = self.http.get(urljoin(answer.url, answer.headers["Location"]), allow_redirects=False, timeout=20)
            self.trail.append(answer.url)
        raise AssertionError(f"redirect loop: {self.trail[-6:]}")

    def sign_in(self, url: str, username: str, password: str = "shuniu-demo", follow: bool = True) -> requests.Response:
        """Open *url*, fill in Keycloak's form it leads to, and return what comes after."""
        answer = self.get(url)
        return self.fill_in(answer, username, password, follow)

    def fill_in(self, answer: requests.Response, username: str, password: str = "shuniu-demo", follow: bool = True) -> requests.Response:
        """Fill in Keycloak's form on the page *answer*."""
        form = FORM.search(answer.text)
        assert form, f"no sign-in form at {answer.url}: {answer.status_code} {answer.text[:300]}"
        return self.post(html.unescape(form[1]), {"username": username, "password": password, "credentialId": ""}, follow)
