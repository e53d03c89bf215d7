"""The bell, the list of notices, and how each person wants to hear of them."""

from datetime import datetime
from typing import Any, cast

from flask import Response, flash, jsonify, redirect, request
from sqlalchemy import func, select, update

from portal.kernel import calendar
from portal.kernel.db import session, unrestricted
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.i18n import _, _l, language
from portal.notify import channels
from portal.notify.models import CHANNELS, Notice, Preference
from portal.notify.notices import Message, kind_of, kinds, render_all
from portal.web import words
from portal.web.access import route
from portal.web.frame import frame_part
from portal.web.page import Page
from security.visibility import Context, context

SHOWN = 12
PAGE = 50
_MANY = 100


def unread_of(me: int) -> tuple[int, int]:
    """Unread notices (at most 100) and the newest id, from two indexes, in one statement."""
    mine = (Notice.receiver_id == me, Notice.archived_at.is_(None))
    unread = select(func.count()).select_from(select(Notice.id).where(*mine, Notice.read_at.is_(None)).limit(_MANY).subquery())
    newest = select(func.max(Notice.id)).where(*mine)
    row = session().execute(select(unread.scalar_subquery(), newest.scalar_subquery())).one()
    return int(row[0]), int(row[1] or 0)


@frame_part("notices")
def bell(ctx: Context) -> dict[str, Any] | None:
    """The number at the bell."""
    return {"unread": unread_of(ctx.me)[0], "url": "/notices/"} if ctx.me is not None else None


def _item(notice: Notice, said: Message) -> dict[str, Any]:
    return {
        "id": notice.id,
        "title": said.title,
        "text": said.body,
        "kind": str(kind_of(notice.kind).label),
        "url": f"/notices/{notice.id}",
        "tone": said.tone,
        "at": words.moment(notice.created_at),
        "time": notice.created_at.isoformat(),
        "read": notice.read_at is not None,
    }


def _page(before: int | None, size: int, unread: bool = False) -> list[dict[str, Any]]:
    query = select(Notice).where(Notice.receiver_id == context().me).order_by(Notice.id.desc()).limit(size)
    if unread:
        query = query.where(Notice.read_at.is_(None))
    if before is not None:
        query = query.where(Notice.id < before)
    found = list(session().scalars(query))
    return [_item(notice, said) for notice, said in zip(found, render_all(found), strict=True)]


def _ids(body: Any) -> list[int]:
    ids = body.get("ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or len(ids) > 1000 or not all(type(i) is int and 0 < i < 2**63 for i in ids):
        raise Invalid({"ids": _("This is not a valid value.")})
    return ids


def mark_read(ids: list[int] | None, at: datetime | None = None) -> None:
    """Mark the viewer's own notices *ids* (None: all) as read."""
    change = update(Notice).where(Notice.receiver_id == context().me, Notice.read_at.is_(None))
    if ids is not None:
        change = change.where(Notice.id.in_(ids))
    session().execute(change.values(read_at=at or calendar.now(), version=Notice.version + 1).execution_options(synchronize_session=False))


class Notices(Page):
    """What one was told."""

    name = "notify.Notice"
    route_base = "/notices"
    title = _l("Notices")
    icon = "bell"

    @route("/", verb="")
    def show(self) -> str:
        """The newest first."""
        unread = request.args.get("unread") == "1"
        before = request.args.get("before", type=int)
        items = _page(before if before is not None and 0 < before < 2**63 else None, PAGE, unread)
        address = "/notices/?unread=1&" if unread else "/notices/?"
        older = f"{address}before={items[-1]['id']}" if len(items) == PAGE else None
        return self.render(
            "portal/notices.html",
            items=items,
            pager={"next_url": older, "prev_url": address.rstrip("?&") if before else None} if older or before else None,
            tabs=[
                {"label": _("All"), "url": "/notices/", "current": not unread},
                {"label": _("Unread"), "url": "/notices/?unread=1", "current": unread},
            ],
            read_url="/notices/read",
            preferences_url="/notice-preferences/",
        )

    @route("/poll", verb="")
    def poll(self) -> Response:
        """`{"unread", "items"}` for the bell; 304 while nothing happened, at the price of one statement."""
        unread, newest = unread_of(context().me or 0)
        tag = f'"{unread}-{newest}-{language()}"'
        if request.headers.get("If-None-Match") == tag:
            response = Response(status=304)
        else:
            response = jsonify(unread=unread, items=_page(None, SHOWN))
        response.headers["ETag"] = tag
        return response

    @route("/read", methods=("POST",), verb="")
    def read(self) -> Response:
        """Marks the notices of a JSON body `{"ids": [...]}` as read; without a body, or from the page's form, all of them."""
        ids = _ids(request.get_json(silent=True)) if request.is_json else None
        mark_read(ids)
        if "csrf_token" in request.form:
            return cast(Response, redirect("/notices/", 303))
        return jsonify(unread=unread_of(context().me or 0)[0])

    @route("/<int:pk>", verb="")
    def open(self, pk: int) -> Any:
        """Marks a notice as read and leads to what it is about."""
        notice = session().scalars(select(Notice).where(Notice.id == pk, Notice.receiver_id == context().me)).one_or_none()
        if notice is None:
            raise NotFound(_("This record does not exist."))
        said = render_all([notice])[0]
        mark_read([pk])
        return redirect(said.url or "/notices/", 303)


def offered_channels() -> dict[str, Any]:
    """Channels that are set up and reach single people."""
    with unrestricted("which channels are set up"):
        return {name: label for name, label in CHANNELS.items() if channels.personal(name)}


class Preferences(Page):
    """For every kind of notice and channel: at once, in the daily digest, or not."""

    name = "notify.Preference"
    route_base = "/notice-preferences"
    title = _l("Notice preferences")
    icon = "bell"

    def _stored(self) -> dict[tuple[str, str], Preference]:
        rows = session().scalars(select(Preference).where(Preference.user_id == context().me))
        return {(row.kind, row.channel): row for row in rows}

    @route("/", verb="")
    def show(self) -> str:
        """The table of choices."""
        stored, offered = self._stored(), offered_channels()
        lines = [
            {
                "label": str(kind.label),
                "cells": [
                    {
                        "name": f"{kind.name}:{channel}",
                        "label": f"{kind.label}, {label}",
                        "value": stored[kind.name, channel].mode if (kind.name, channel) in stored else kind.mode(channel),
                    }
                    for channel, label in offered.items()
                ],
            }
            for kind in kinds()
        ]
        modes = [{"value": value, "label": str(label)} for value, label in Preference.MODES.items()]
        return self.render("notify/preferences.html", lines=lines, channels=[str(c) for c in offered.values()], modes=modes)

    @route("/", methods=("POST",), verb="")
    def save(self) -> Any:
        """Keeps what differs from before."""
        stored, offered = self._stored(), offered_channels()
        for kind in kinds():
            for channel in offered:
                mode = request.form.get(f"{kind.name}:{channel}")
                if mode is None:
                    continue
                if mode not in Preference.MODES:
                    raise Invalid({f"{kind.name}:{channel}": _("Is not one of the choices")})
                row = stored.get((kind.name, channel))
                if row is not None:
                    row.mode = mode
                elif mode != kind.mode(channel):
                    session().add(Preference(user_id=context().me, kind=kind.name, channel=channel, mode=mode))
        session().flush()
        flash(_("Saved."), "success")
        return redirect("/notice-preferences/", 303)
