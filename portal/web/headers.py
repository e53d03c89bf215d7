"""What browsers are told: content security policy with nonces, no framing, no sniffing; who may call with a cookie."""

import secrets
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from config import Settings
from security import bearer

csrf = CSRFProtect()
SAFE = ("GET", "HEAD", "OPTIONS")
OPEN = ("/oidc/backchannel-logout", "/login/")
"""POST addresses that check by themselves: a signed token, the form's own token."""


def install(app: Flask, settings: Settings) -> None:
    """Sets headers, trusted hosts and the CSRF check of *app*."""
    hosts = settings.trusted_hosts or [urlsplit(settings.public_url).hostname or "localhost"]
    app.config.setdefault("TRUSTED_HOSTS", None)
    if app.config["TRUSTED_HOSTS"] is None:
        app.config["TRUSTED_HOSTS"] = hosts
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)  # as long as the session lives
    app.config.setdefault("WTF_CSRF_SSL_STRICT", True)
    csrf.init_app(app)
    if settings.proxies:
        n = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=n, x_proto=n, x_host=n)  # type: ignore[method-assign]
    issuer = urlsplit(settings.oidc_issuer)
    provider = f"{issuer.scheme}://{issuer.netloc}"
    secure = settings.public_url.startswith("https:")

    def begin() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if given.isalnum() and 8 <= len(given) <= 64 else secrets.token_hex(8)

    # first of all: whatever follows may log
    app.before_request_funcs.setdefault(None, []).insert(0, begin)

    @app.after_request
    def harden(response: Response) -> Response:
        return _harden(response, provider, secure)


def check_csrf() -> None:
    """Before every change with a cookie. Raises CSRFError."""
    if request.method in SAFE or bearer.is_bearer() or request.path in OPEN:
        return
    csrf.protect()


def nonce() -> str:
    """This answer's nonce for scripts."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def _harden(response: Response, provider: str, secure: bool) -> Response:
    h = response.headers
    h.setdefault(
        "Content-Security-Policy",
        "; ".join(
            [
                "default-src 'self'",
                f"script-src 'self' 'nonce-{nonce()}'",
                "style-src 'self'",
                "style-src-attr 'unsafe-inline'",
                "img-src 'self' data: blob:",
                "font-src 'self'",
                "connect-src 'self'",
                "object-src 'none'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
                f"form-action 'self' {provider}",
            ]
        ),
    )
    h.setdefault("X-Content-Type-Options", "nosniff")
    h.setdefault("X-Frame-Options", "DENY")
    h.setdefault("Referrer-Policy", "same-origin")
    h.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
    h.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    h.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if secure:
        h.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    if not request.path.startswith("/static/"):
        h.setdefault("Cache-Control", "private, no-cache")
        h["Vary"] = ", ".join(dict.fromkeys([*(v.strip() for v in h.get("Vary", "").split(",") if v.strip()), "Cookie", "HX-Request"]))
    h["X-Request-ID"] = g.get("request_id", "")
    return response
