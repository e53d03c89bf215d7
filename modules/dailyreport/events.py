"""What happens to daily reports, told to whoever wants to know."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class ReportSubmitted:
    """A person handed in the report of a day; its open lines now wait for confirmation."""

    report_id: int
    author_id: int
    day: date
    late: bool


@dataclass(frozen=True)
class LinesHandedIn:
    """Lines of a report wait for confirmation from now on: with the report's first handing in, or later."""

    report_id: int
    author_id: int
    day: date


@dataclass(frozen=True)
class LineConfirmed:
    """The hours of a line are final. Negative hours take back an earlier line."""

    line_id: int
    author_id: int
    project_id: int | None
    day: date
    hours: Decimal


@dataclass(frozen=True)
class LineReopened:
    """A confirmation was taken back within its minute: the hours are not final any more."""

    line_id: int
    author_id: int
    project_id: int | None
    day: date
    hours: Decimal


@dataclass(frozen=True)
class LineReturned:
    """A line went back to its author, who corrects and submits it again."""

    line_id: int
    report_id: int
    author_id: int
    day: date
    decided_by: int | None


@dataclass(frozen=True)
class CommentAdded:
    """Somebody remarked on a report."""

    comment_id: int
    report_id: int
    report_author_id: int
    author_id: int
    day: date
