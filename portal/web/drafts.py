"""Drafts of forms: what somebody typed and did not save yet is kept while they type, on every machine they sign in from (ALL-13)."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from flask import request
from sqlalchemy import BigInteger, DateTime, ForeignKey, Integer, Text, delete, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.datastructures import MultiDict

from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.document import Record, User, live_unique
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _, _l
from portal.kernel.jobs import job
from portal.kernel.settings import parameter
from portal.web import words
from security.reads import secrets
from security.visibility import acting, context

MAX_SIZE = 100_000
"""Characters of one draft."""
KEEP = parameter(
    "web.draft_days",
    30,
    label=_l("Unsaved input is kept for (days)"),
    help=_l("What somebody typed into a form and did not save; afterwards it is deleted."),
    check=lambda days: 1 <= days <= 365,
)


class FormDraft(Record):
    """What one person typed into the form of a record, or of a new one (*record_id* 0), based on *base_version*."""

    __tablename__ = "web_form_draft"
    __label__ = _l("Unsaved input")
    __label_plural__ = _l("Unsaved input")
    LOG = True
    DISPOSABLE = True
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person"), "readonly": True})
    of: Mapped[str] = mapped_column(Text, info={"label": _l("Form")})
    record_id: Mapped[int] = mapped_column(BigInteger, server_default="0", info={"label": _l("Record")})
    base_version: Mapped[int | None] = mapped_column(Integer, info={"label": _l("Version")})
    typed: Mapped[dict[str, list[str]]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"), info={"label": _l("Values")})
    saved_at: Mapped[Any] = mapped_column(DateTime(timezone=True), server_default=func.now(), info={"label": _l("Saved at")})
    __table_args__ = (live_unique("web_form_draft_live", "user_id", "of", "record_id"),)

    def see(c, v):  # type: ignore[no-untyped-def]
        return c.user_id == v.me

    def change(c, v):  # type: ignore[no-untyped-def]
        return c.user_id == v.me

    def __str__(self) -> str:
        return f"{self.of} #{self.record_id}"


def possible(model: type[Record]) -> bool:
    """Whether input for *model* may be kept: never of tables with sensitive or personal columns; erasure would not look into drafts."""
    return model.__tablename__ not in secrets() and not any(c.info.get("personal") for c in model.__table__.columns)


def find(model: type[Record], pk: int) -> FormDraft | None:
    """The draft of the person at hand for record *pk* of *model*, 0 for a new one. One statement."""
    if not possible(model):
        return None
    mine = (FormDraft.user_id == context().me, FormDraft.of == model.permission_name(), FormDraft.record_id == pk)
    return session().scalars(select(FormDraft).where(*mine)).one_or_none()


def values(draft: FormDraft) -> MultiDict[str, str]:
    """What was typed, as if it were posted."""
    return MultiDict([(k, v) for k, vs in draft.typed.items() for v in vs])


def keep(model: type[Record], pk: int, names: Sequence[str], version: int | None) -> dict[str, Any]:
    """Keeps what the posted form holds of the fields *names*. Returns when, in words. Raises Invalid when it is too much."""
    given = {k: request.form.getlist(k) for k in request.form if k.removesuffix("__present").partition(".")[0] in names}
    if sum(len(k) + sum(map(len, vs)) for k, vs in given.items()) > MAX_SIZE:
        raise Invalid({"draft": _("This is too much to keep as a draft; save it.")})
    if not possible(model):
        return {"saved_at": None}
    draft = find(model, pk)
    if draft is None:
        draft = FormDraft(user_id=context().me, of=model.permission_name(), record_id=pk)
        session().add(draft)
    draft.typed, draft.base_version, draft.saved_at = given, version, calendar.now()
    session().flush()
    return {"saved_at": f"{calendar.local(draft.saved_at):%H:%M}"}


def forget(model: type[Record], pk: int) -> None:
    """The person saved the form, or wants the draft no longer."""
    draft = find(model, pk)
    if draft is not None:
        with acting() as s:
            s.execute(delete(FormDraft).where(FormDraft.id == draft.id).execution_options(synchronize_session=False))


def offered(draft: FormDraft | None, base: str) -> Mapping[str, Any] | None:
    """What the form says of a draft that is there: since when, and where it is taken up or thrown away."""
    if draft is None:
        return None
    return {"at": words.moment(draft.saved_at), "take_url": f"{base}?draft=1", "discard_url": f"{base}/draft/discard"}


@job("30 3 * * *", catch_up=timedelta(days=2), name="web.forget_drafts", label=_l("Delete old unsaved input"))
def forget_old() -> None:
    """Deletes drafts nobody went on with."""
    old = FormDraft.saved_at < calendar.now() - timedelta(days=KEEP.get())
    session().execute(delete(FormDraft).where(old).execution_options(synchronize_session=False, include_archived=True))
