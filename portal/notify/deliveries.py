"""Sending notices by the channels outside: one outbox row per delivery, a digest for those who want one."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog
from flask_babel import force_locale
from sqlalchemy import select, text

from portal.kernel import calendar, outbox
from portal.kernel.db import as_person, session
from portal.kernel.document import User
from portal.kernel.i18n import DEFAULT, _
from portal.notify import channels
from portal.notify.channels import Person, Undeliverable
from portal.notify.models import Delivery, Notice
from portal.notify.notices import Message, render_all
from security.visibility import context

log = structlog.get_logger(__name__)


def receiver(user_id: int) -> Person | None:
    """The person as one who may get mail now; None when the account is disabled or has no address."""
    row = (
        session()
        .execute(select(User.id, User.username, User.first_name, User.last_name, User.email, User.active).where(User.id == user_id))
        .one_or_none()
    )
    if row is None or not row.active or not row.email:
        return None
    return Person(row.id, row.username, f"{row.last_name or ''}{row.first_name or ''}".strip() or row.username, row.email)


@contextmanager
def seen_by(user_id: int) -> Iterator[None]:
    """What *user_id* sees, in that person's language."""
    with as_person(user_id), force_locale(context().locale or DEFAULT):
        yield


def _failed(payload: dict[str, Any], error: str, dead: bool) -> None:
    delivery = session().get(Delivery, payload["delivery"])
    if delivery is not None:
        delivery.attempts += 1
        delivery.last_error = error
        if dead:
            delivery.state = "failed"


@outbox.handler("notify.deliver", failed=_failed)
def deliver(delivery: int) -> None:
    """Send one delivery.  The receiver is checked now, not when the notice was written."""
    row = (
        session()
        .execute(select(Delivery, Notice).join(Notice, Notice.id == Delivery.notice_id).where(Delivery.id == delivery))
        .one_or_none()
    )
    if row is None or row.Delivery.state not in ("waiting", "failed"):
        return
    _send([row.Delivery], [row.Notice], f"notice-{row.Notice.id}")


def _send(deliveries: list[Delivery], notices: list[Notice], message_id: str) -> None:
    """Send *notices* of one receiver by one channel as one message."""
    first = deliveries[0]
    person = receiver(first.receiver_id)
    problem = ""
    if person is None:
        problem = "receiver is disabled or has no address"
    elif not channels.personal(first.channel):
        problem = "channel is not set up"
    else:
        with seen_by(person.id):
            messages = render_all(notices)
            subject = messages[0].title if len(messages) == 1 else _("%(count)s notices", count=len(messages))
        try:
            channels.send(first.channel, person, messages, subject, f"{first.channel}-{message_id}")
        except Undeliverable as refused:
            problem = f"refused: {refused}"
    for one in deliveries:
        one.attempts += 1
        one.last_error = problem or None
        one.state = "sent" if not problem else "failed" if problem.startswith("refused") else "skipped"
        one.sent_at = None if problem else calendar.now()
    if problem:
        log.info("notify.not_sent", receiver=first.receiver_id, channel=first.channel, reason=problem)


# ------------------------------------------------------------------ digest
def queue_digests(due: datetime) -> int:
    """One outbox row per person and channel with something held; returns how many."""
    rows = session().execute(text("select receiver_id, channel from notify_delivery where state = 'held' group by 1, 2")).all()
    for who, channel in rows:
        outbox.enqueue("notify.digest", {"receiver": who, "channel": channel}, key=f"digest:{channel}:{who}:{due.isoformat()}")
    return len(rows)


@outbox.handler("notify.digest")
def digest(receiver: int, channel: str) -> None:
    """Send everything held for *receiver* by *channel* as one message."""
    rows = (
        session()
        .execute(
            select(Delivery, Notice)
            .join(Notice, Notice.id == Delivery.notice_id)
            .where(Delivery.state == "held", Delivery.receiver_id == receiver, Delivery.channel == channel)
            .order_by(Delivery.id)
            .limit(200)
        )
        .all()
    )
    if rows:
        _send([r.Delivery for r in rows], [r.Notice for r in rows], f"digest-{rows[0].Delivery.id}")


def wording(notices: list[Notice], user_id: int) -> list[Message]:
    """How *user_id* reads *notices*; for previews and tests."""
    with seen_by(user_id):
        return render_all(notices)
