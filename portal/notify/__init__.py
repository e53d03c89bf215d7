"""Notices to people, the channels they go out by, and warnings about conditions that should not last.

    notify([user_id], "dailyreport.missing", record=report, params={"day": "2026-03-31"}, key="dailyreport.missing:2026-03-31")

writes a notice in the transaction at hand; mails and other messages follow from the outbox.  What a notice says is worked out for
each receiver under what that person may see, when it is shown or sent.
"""

from portal.kernel.i18n import _l
from portal.kernel.module import Module
from portal.notify.notices import Message, notice_kind, notify, notify_each
from portal.notify.rules import Scan, warning_rule

__all__ = ["Message", "Scan", "module", "notice_kind", "notify", "notify_each", "warning_rule"]

module = Module("notify", depends=(), label=_l("Notices and warnings"), group="Administration", order=0)
