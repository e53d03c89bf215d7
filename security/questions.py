"""What was asked about who sees what: kept with the history, for those who watch over the watchers."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Text, false, or_
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.document import Record, User
from portal.kernel.i18n import _l
from portal.kernel.module import scope
from security.explain import Found, Person
from security.visibility import acting

scope("explain", label=_l("Watches over access"), help=_l("Reads who asked about whose access; no business data."))


class Question(Record):
    """One question who sees what: about a person, a record, or both."""

    __tablename__ = "security_question"
    __label__ = _l("Question about access")
    __label_plural__ = _l("Questions about access")
    person_id: Mapped[int | None] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person")})
    record_type: Mapped[str | None] = mapped_column(Text, info={"label": _l("Type of record")})
    record_id: Mapped[int | None] = mapped_column(BigInteger, info={"label": _l("Record")})

    __table_args__ = (Index("security_question_record", "record_type", "record_id"),)

    def see(c: Any, v: Any) -> Any:
        return or_(c.created_by == v.me, v.holds("explain"))

    def change(c: Any, v: Any) -> Any:
        return false()  # a log: written with the answer, never edited

    def __str__(self) -> str:
        return f"{self.record_type or ''} {self.record_id or ''}".strip()


def keep(person: Person | None, record: Found | None) -> None:
    """Notes the question, in the history with the question as its reason. It stays when the request succeeds."""
    about = [person.username] if person else []
    about += [f"{record.model.permission_name()} {record.id}"] if record else []
    with acting(f"who sees what: {', '.join(about)}") as s:
        s.add(
            Question(
                person_id=person.id if person else None,
                record_type=record.model.permission_name() if record else None,
                record_id=record.id if record else None,
            )
        )
