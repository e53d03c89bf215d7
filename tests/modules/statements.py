"""Counting what is sent to the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event


@contextmanager
def counted(app) -> Iterator[list[str]]:
    """The statements of the application within the block, without begin, commit and set."""
    from portal.kernel.db import db

    sent: list[str] = []

    def note(_conn, _cursor, statement, *_rest):
        if not statement.lower().startswith(("begin", "commit", "rollback", "set ", "savepoint", "release")):
            sent.append(" ".join(statement.split())[:200])

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
