"""Notices: written with their cause, worded for each receiver when they are shown or sent."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import orjson
from sqlalchemy import select, text

from portal.kernel import outbox
from portal.kernel.db import session
from portal.kernel.document import Record, records
from portal.kernel.i18n import _
from portal.kernel.settings import settings
from portal.notify.models import CHANNELS, Notice
from security.visibility import Context

MODES = ("now", "digest", "off")


@dataclass(frozen=True)
class Message:
    """What a receiver reads.  *url* is a path within the portal; *tone*: info, ok, warn or risk."""

    title: str
    body: str = ""
    url: str = ""
    tone: str = "info"


@dataclass(frozen=True)
class Kind:
    """A kind of notice, with its words and how it goes out by default."""

    name: str
    label: Any
    title: Any
    body: Any = ""
    url: str = ""
    tone: str = "info"
    defaults: Mapping[str, str] = field(default_factory=dict)

    def mode(self, channel: str) -> str:
        """now, digest or off, when the person has said nothing."""
        return self.defaults.get(channel, "now" if channel == "mail" else "off")


Renderer = Callable[..., Message]
_kinds: dict[str, Kind] = {}
_renderers: dict[str, Renderer] = {}


def notice_kind(
    name: str,
    *,
    title: Any,
    label: Any = "",
    body: Any = "",
    url: str = "",
    tone: str = "info",
    mail: str = "now",
    defaults: Mapping[str, str] | None = None,
) -> Callable[[Renderer], Renderer]:
    """Declare a kind of notice.  *title* and *body* are lazy texts with `%(name)s` for the notice's params; *url* too.

    *label* names the kind in preferences (needed when the title has placeholders).  *mail* is the default: now, digest or off.
    As a decorator on `def f(record, **params) -> Message` the function finds the words instead; it runs as the receiver, and
    *record* is None for a notice about none.  A receiver who may not see the record gets the label only.
    """
    if {mail, *(defaults or {}).values()} - set(MODES):
        raise ValueError(f"{name}: a mode is one of {MODES}")
    _kinds[name] = Kind(name, label or title, title, body, url, tone, {"mail": mail, **(defaults or {})})

    def register(function: Renderer) -> Renderer:
        _renderers[name] = function
        return function

    return register


def kinds() -> list[Kind]:
    """Every declared kind, by name."""
    return [_kinds[name] for name in sorted(_kinds)]


def kind_of(name: str) -> Kind:
    """The kind *name*; one nobody declares any more is called by its name."""
    return _kinds.get(name) or Kind(name, name, name)


# ------------------------------------------------------------------ writing
_WRITE = text(
    """with told as (
         insert into notify_notice (receiver_id, kind, record_type, record_id, params, key)
         select r.receiver, :kind, r.record_type, r.record_id, coalesce(r.params, '{}'), r.key
           from jsonb_to_recordset(cast(:rows as jsonb)) as r(receiver bigint, record_type text, record_id bigint, params jsonb, key text)
           join ab_user u on u.id = r.receiver and u.active
         on conflict (receiver_id, key) do nothing returning id, receiver_id),
       going as (
         insert into notify_delivery (notice_id, receiver_id, channel, state)
         select told.id, told.receiver_id, c.channel, case m.mode when 'digest' then 'held' else 'waiting' end
           from told cross join jsonb_each_text(cast(:channels as jsonb)) as c(channel, mode)
           left join notify_preference p
             on p.user_id = told.receiver_id and p.kind = :kind and p.channel = c.channel and p.archived_at is null
           cross join lateral (select coalesce(p.mode, c.mode) as mode) m
          where m.mode <> 'off' returning id, state),
       queued as (
         insert into kernel_outbox (key, handler, payload, available_at)
         select 'delivery:' || id, 'notify.deliver', jsonb_build_object('delivery', id), coalesce(cast(:at as timestamptz), now())
           from going where state = 'waiting' returning id)
       select (select count(*) from told) as told, (select count(*) from queued) as queued"""
)


def notify(
    receiver_ids: Iterable[int],
    kind: str,
    record: Record | None = None,
    params: Mapping[str, Any] | None = None,
    key: str = "",
    at: datetime | None = None,
    channels: Sequence[str] | None = None,
) -> int:
    """Tell *receiver_ids* something, in this transaction; each hears it once per *key*.  Returns how many were told now.

    *at*: mails and messages do not go out before (quiet hours).  *channels*: at most these.  Without *key* a record is told
    about once per kind; a notice about no record is always new.
    """
    table, pk = (record.__tablename__, record.id) if record is not None else (None, None)
    word = key or (f"{kind}:{table}:{pk}" if record is not None else f"{kind}:{uuid.uuid4().hex}")
    rows = [
        {"receiver": who, "record_type": table, "record_id": pk, "params": dict(params or {}), "key": word}
        for who in dict.fromkeys(receiver_ids)
    ]
    return notify_each(kind, rows, at=at, channels=channels)


def notify_each(kind: str, rows: list[dict[str, Any]], at: datetime | None = None, channels: Sequence[str] | None = None) -> int:
    """The same for many at once, each row with its own `receiver`, `key`, `params`, `record_type` (table) and `record_id`.

    One statement for any number of rows.  In a person's transaction outside of an action the outbox writes them, since people may
    not write to others; then 0 is returned.
    """
    if not rows:
        return 0
    s = session()
    s.connection()
    if not (cast(Context, s.info["ctx"]).system or s.info.get("acting")):
        payload = {
            "kind": kind,
            "rows": rows,
            "at": at.isoformat() if at else None,
            "channels": list(channels) if channels is not None else None,
        }
        outbox.enqueue("notify.write", payload, key=f"notify.write:{uuid.uuid4().hex}")
        return 0
    known = kind_of(kind)
    out = {name: known.mode(name) for name in CHANNELS if channels is None or name in channels}
    if not settings().smtp_host:
        out.pop("mail", None)
    done = s.execute(_WRITE, {"kind": kind, "rows": orjson.dumps(rows).decode(), "channels": orjson.dumps(out).decode(), "at": at}).one()
    if done.queued:
        outbox.ring_after_commit()
    return int(done.told)


@outbox.handler("notify.write")
def _write(kind: str, rows: list[dict[str, Any]], at: str | None, channels: list[str] | None) -> None:
    notify_each(kind, rows, datetime.fromisoformat(at) if at else None, channels)


# ------------------------------------------------------------------ wording
def model_of(record_type: str | None) -> type[Record] | None:
    """The model whose table is *record_type*."""
    return next((c for c in records() if c.__tablename__ == record_type), None) if record_type else None


def visible_records(about: Iterable[tuple[str | None, int | None]]) -> dict[tuple[str, int], Record]:
    """Those of the (table, id) pairs that the viewer of the current session sees: one statement per table."""
    wanted: dict[str, set[int]] = {}
    for table, pk in about:
        if table and pk is not None:
            wanted.setdefault(table, set()).add(pk)
    found: dict[tuple[str, int], Record] = {}
    for table, pks in wanted.items():
        model = model_of(table)
        if model is not None:
            rows = session().scalars(select(model).where(model.id.in_(pks)))
            found.update({(table, row.id): row for row in rows})
    return found


def render(notice: Notice) -> Message:
    """*notice* in the language and under the visibility of the current session's viewer."""
    return render_all([notice])[0]


def render_all(notices: Sequence[Notice]) -> list[Message]:
    """`render` for many: one statement per kind of record."""
    seen = visible_records((n.record_type, n.record_id) for n in notices)
    return [_words(n, seen.get((n.record_type or "", n.record_id or 0))) for n in notices]


def _words(notice: Notice, record: Record | None) -> Message:
    kind = kind_of(notice.kind)
    if notice.record_type and record is None:
        return Message(str(kind.label), _("You may not see any more what this was about."), tone="info")
    words = {**notice.params, "record": str(record) if record is not None else "", "id": notice.record_id}
    if notice.kind in _renderers:
        return _renderers[notice.kind](record, **notice.params)
    try:
        title, body, url = str(kind.title) % words, str(kind.body) % words, kind.url % words
    except (KeyError, TypeError, ValueError):
        # params of an older version of the kind
        title, body, url = str(kind.label), "", ""
    return Message(title, body, url, kind.tone)
