"""The errors the portal answers with. Each says what is wrong, where, and what to do (ALL-13)."""

from typing import Any


class PortalError(Exception):
    """An answer the user gets. *http* is the status, *code* a stable word for programs, *fields* messages by field name."""

    http = 500
    code = "error"

    def __init__(self, message: Any = "", *, code: str | None = None, fields: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.fields = fields or {}

    def __str__(self) -> str:
        return str(self.message)


class BadRequest(PortalError):
    """The request itself cannot be understood (unknown filter, order, page, malformed JSON)."""

    http, code = 400, "bad_request"


class NotSignedIn(PortalError):
    """Nobody, or nobody any more, is behind this request."""

    http, code = 401, "not_signed_in"


class Forbidden(PortalError):
    """The record may be seen, but this may not be done to it by this person."""

    http, code = 403, "forbidden"


class NotFound(PortalError):
    """There is no such record, or the person may not see it: both answer alike (VIS-09)."""

    http, code = 404, "not_found"


class Refusal(PortalError):
    """A business rule or the record's state does not allow it."""

    http, code = 409, "refused"


class Conflict(PortalError):
    """Somebody saved the record meanwhile. *theirs* and *yours* hold both versions by field (ALL-07)."""

    http, code = 409, "changed_meanwhile"

    def __init__(
        self, message: Any = "", *, theirs: dict[str, Any] | None = None, yours: dict[str, Any] | None = None, version: int | None = None
    ) -> None:
        super().__init__(message)
        self.theirs, self.yours, self.version = theirs or {}, yours or {}, version


class Invalid(PortalError):
    """What was typed cannot be accepted; *fields* tells why, field by field."""

    http, code = 422, "invalid"

    def __init__(self, fields: dict[str, Any] | str, message: Any = "", *, code: str | None = None) -> None:
        if isinstance(fields, str):
            message, fields = fields, {}
        super().__init__(message or next(iter(fields.values()), ""), code=code, fields=fields)


class PreconditionRequired(PortalError):
    """A change by the REST API needs If-Match with the version it is based on."""

    http, code = 428, "if_match_required"


class TooMany(PortalError):
    """Too many requests; *retry_after* in seconds."""

    http, code = 429, "too_many_requests"

    def __init__(self, message: Any = "", *, retry_after: int = 30) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(PortalError):
    """A service the portal needs is away; *retry_after* in seconds."""

    http, code = 503, "unavailable"

    def __init__(self, message: Any = "", *, code: str | None = None, retry_after: int = 5) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
