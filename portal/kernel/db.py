"""The database session: one transaction per request and per job, committed by the kernel alone."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Annotated, Any

from flask_appbuilder import Model
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import ARRAY, BigInteger, Connection, Dialect, Engine, Numeric, TypeDecorator, inspect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

Money = Annotated[Decimal, mapped_column(Numeric(18, 2))]
"""Yuan to the cent."""
UnitPrice = Annotated[Decimal, mapped_column(Numeric(18, 4))]
Hours = Annotated[Decimal, mapped_column(Numeric(5, 2))]
Label = Annotated[dict[str, str], mapped_column(JSONB)]
"""A text of the data in both languages: `{"zh": …, "en": …}`."""
bigint = Annotated[int, mapped_column(BigInteger)]

Begin = Callable[["Session", Connection], None]
on_begin: list[Begin] = []
"""Called at the start of every transaction; security sets the viewer here."""


class Base(DeclarativeBase):
    """Shares Flask-AppBuilder's registry, else its tables and ours have two metadatas."""

    registry = Model.registry


class Ids(TypeDecorator[list[int]]):
    """`bigint[]` whose values are written as one text: the driver adapts a list number by number, 0.6 ms for 500 of them."""

    impl = ARRAY(BigInteger)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Sequence[int] | None], str | None]:
        return lambda ids: None if ids is None else f"{{{','.join(map(str, ids))}}}"


class PlainTable:
    """An alias of the table of *model*, by its attributes' names: unlike the entity it gets no visibility criterion from the session."""

    def __init__(self, model: type[Any]) -> None:
        self._columns = {a.key: a.columns[0].name for a in inspect(model).column_attrs}
        self._table = model.__table__.alias()

    def __getattr__(self, name: str) -> Any:
        return self._table.c[self._columns[name]]


class Session(FlaskSession):
    """`commit` only flushes: Flask-AppBuilder commits by itself in many places; `finish` is the one real commit."""

    def commit(self) -> None:
        if self.info.get("committing"):
            super().commit()
        else:
            self.flush()

    def finish(self) -> None:
        """Commits the transaction and then runs what waited for it (`after_commit`)."""
        self.info["committing"] = True
        try:
            super().commit()
        finally:
            self.info["committing"] = False
        for call in self.info.pop("after_commit", []):
            call()

    def rollback(self) -> None:
        for waiting in ("after_commit", "doorbell"):
            self.info.pop(waiting, None)
        super().rollback()

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        key = self.info.get("bind")
        return db.engines[key] if key else super().get_bind(*args, **kwargs)


db = SQLAlchemy(model_class=Base, session_options={"class_": Session, "expire_on_commit": False})

_current: ContextVar[Session | None] = ContextVar("session", default=None)


def session() -> Session:
    """The session of the work at hand: the person's own, or the one of the enclosing `unrestricted` / `as_person` block."""
    return _current.get() or db.session()  # type: ignore[return-value]


def after_commit(call: Callable[[], None]) -> None:
    """Runs *call* once the current transaction is committed; never when it is rolled back. It must not raise."""
    session().info.setdefault("after_commit", []).append(call)


@contextmanager
def unrestricted(reason: str) -> Iterator[Session]:
    """A separate session that sees every row (role `worker`), committed at the end of the block.

    *reason* is recorded in the history. Every use is listed by a test (VIS-06); never read for a person through it.
    """
    with _separate({"bind": "worker", "principal": "worker", "reason": reason}) as s:
        yield s
        s.finish()


@contextmanager
def as_person(user_id: int) -> Iterator[Session]:
    """A separate session that sees what *user_id* sees; used to render for a receiver. Nothing in it is kept."""
    with _separate({"bind": "worker", "principal": "person", "person": user_id}) as s:
        yield s


@contextmanager
def on_behalf(user_id: int, request: str) -> Iterator[Session]:
    """A separate session with the rights of *user_id*, for work that goes on after their request, such as an import in a worker.

    The history names the person and *request*. Kept only when the block calls `finish`.
    """
    with _separate({"bind": "worker", "principal": "person", "person": user_id, "request": request}) as s:
        yield s


@contextmanager
def _separate(info: dict[str, Any]) -> Iterator[Session]:
    s = Session(db, info=info, expire_on_commit=False)
    token = _current.set(s)
    try:
        yield s
    finally:
        _current.reset(token)
        s.rollback()
        s.close()
