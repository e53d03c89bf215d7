"""How each person likes a list: the columns, and conditions kept under a name, private or shared (ALL-10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import Boolean, ForeignKey, Index, Text, and_, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import session
from portal.kernel.document import Record, User, live_unique
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.i18n import _, _l
from security.visibility import acting, context

MAX_VIEWS = 30


class ListSetting(Record):
    """Columns of one list as one person wants them (no name), or conditions kept under a name."""

    __tablename__ = "web_list_setting"
    __label__ = _l("List setting")
    __label_plural__ = _l("List settings")
    DISPOSABLE = True
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Person"), "readonly": True})
    key: Mapped[str] = mapped_column(Text, info={"label": _l("List")})
    name: Mapped[str | None] = mapped_column(Text, info={"label": _l("Name")})
    query: Mapped[str] = mapped_column(Text, server_default="", info={"label": _l("Conditions")})
    shared: Mapped[bool] = mapped_column(Boolean, server_default=text("false"), info={"label": _l("Shared")})
    columns: Mapped[list[str] | None] = mapped_column(JSONB, info={"label": _l("Columns")})
    __table_args__ = (
        live_unique("web_list_setting_own_live", "user_id", "key", text("coalesce(name, '')")),
        Index("ix_web_list_setting_key", "key"),
    )

    def see(c, v):  # type: ignore[no-untyped-def]
        return or_(c.user_id == v.me, and_(c.shared, v.person))  # type: ignore[arg-type]

    def change(c, v):  # type: ignore[no-untyped-def]
        return c.user_id == v.me

    def __str__(self) -> str:
        return self.name or self.key


@dataclass(frozen=True)
class Settings:
    """What is kept for one list and the person at hand."""

    columns: list[str] = field(default_factory=list)
    views: list[Any] = field(default_factory=list)

    def tabs(self, base: str, fixed: Sequence[tuple[Any, str]], query: str, current: str) -> list[dict[str, Any]]:
        """The tabs above the list: all, those that come with the page, the kept ones."""
        me = context().me
        if not self.views and not fixed:
            return []
        now = sorted(parse_qsl(query))
        out = [_tab(_("All"), base, not now and not current)]
        out += [_tab(str(label), f"{base}?{q}", not current and bool(now) and now == sorted(parse_qsl(q))) for label, q in fixed]
        for v in self.views:
            url = f"{base}?{v.query}{'&' if v.query else ''}view={v.id}"
            out.append(_tab(v.name, url, current == str(v.id)) | {"id": v.id, "own": v.user_id == me})
        return out


def _tab(label: str, url: str, current: bool) -> dict[str, Any]:
    return {"label": label, "url": url, "count": None, "current": current, "hot": False, "id": None, "own": False}


def load(key: str) -> Settings:
    """The person's columns and views of the list *key*. One statement."""
    s = ListSetting
    rows = session().execute(select(s.id, s.user_id, s.name, s.query, s.columns).where(s.key == key).order_by(s.name, s.id)).all()
    me = context().me
    mine = next((r.columns for r in rows if r.name is None and r.user_id == me), None)
    return Settings(list(mine or []), [r for r in rows if r.name is not None])


def choose_columns(key: str, columns: Sequence[str]) -> None:
    """Keeps the person's columns of the list *key*; none: back to the standard."""
    own = _own(key, None)
    if own is None:
        session().add(ListSetting(user_id=context().me, key=key, columns=list(columns)))
    else:
        own.columns = list(columns)
    session().flush()


def save(key: str, name: str, query: str, shared: bool) -> int:
    """Keeps conditions under *name*, replacing the person's own view of that name. Raises Invalid."""
    name, query = name.strip(), query.strip().lstrip("?")
    if not name or len(name) > 60 or len(query) > 2000 or any(ord(c) < 32 for c in name + query):
        raise Invalid({"name": _("A name of up to %(n)s characters is needed.", n=60)})
    kept = "&".join(f"{k}" for k in query.split("&") if k.partition("=")[0] not in ("after", "before", "view", "count"))
    own = _own(key, name)
    if own is None:
        if sum(v.user_id == context().me for v in load(key).views) >= MAX_VIEWS:
            raise Invalid({"name": _("At most %(n)s views.", n=MAX_VIEWS)})
        own = ListSetting(user_id=context().me, key=key, name=name, query=kept, shared=shared)
        session().add(own)
    else:
        own.query, own.shared = kept, shared
    session().flush()
    return own.id


def delete(key: str, pk: int | None) -> None:
    """Removes one of the person's own views. Raises NotFound."""
    me = context().me
    with acting() as s:
        found = s.get(ListSetting, pk) if pk is not None else None
        if found is None or found.user_id != me or found.key != key or found.name is None:
            raise NotFound(_("This record does not exist."))
        s.delete(found)


def _own(key: str, name: str | None) -> ListSetting | None:
    s = ListSetting
    named: Mapping[bool, Any] = {True: s.name.is_(None), False: s.name == name}
    return session().scalars(select(s).where(s.user_id == context().me, s.key == key, named[name is None])).one_or_none()
