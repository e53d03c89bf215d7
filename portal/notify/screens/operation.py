"""Jobs and queues, for administrators: what waits, what failed for good, what runs when."""

from typing import Any

from flask import flash, redirect, request
from sqlalchemy import text

from portal.kernel import jobs, outbox
from portal.kernel.db import unrestricted
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.i18n import _, _l
from portal.web.access import route
from portal.web.page import Page

SHOWN = 100


class Operation(Page):
    """The outbox and the jobs.  Payloads are not shown: they may hold what an administrator may not see."""

    name = "notify.OutboxEntry"
    route_base = "/jobs"
    title = _l("Jobs and queues")
    menu = "Administration"
    menu_order = 60
    icon = "activity"

    @route("/")
    def show(self) -> str:
        """Counts, dead letters, rows that fail, jobs."""
        with unrestricted("administration: jobs and queues") as s:
            backlog, states = outbox.backlog(), jobs.states()
            failing = s.execute(
                text(
                    """select id, handler, key, attempts, created_at, available_at, dead_at, last_error from kernel_outbox
                       where done_at is null and (dead_at is not null or last_error is not null)
                       order by dead_at desc nulls last, available_at limit :n"""
                ),
                {"n": SHOWN},
            ).all()
        dead = [row for row in failing if row.dead_at is not None]
        return self.render(
            "notify/jobs.html", backlog=backlog, dead=dead, failing=[row for row in failing if row.dead_at is None], states=states
        )

    @route("/resend", methods=("POST",), verb="resend")
    def resend(self) -> Any:
        """Tries the chosen dead letters again."""
        try:
            ids = [int(i) for i in request.form.getlist("ids")]
        except ValueError:
            raise Invalid({"ids": _("This is not a valid value.")}) from None
        done = outbox.resend(ids)
        flash(_("%(count)s sent again.", count=done), "success" if done else "warning")
        return redirect("/jobs/", 303)

    @route("/run", methods=("POST",), verb="run")
    def run(self) -> Any:
        """Starts a job outside of its times."""
        try:
            jobs.run_now(request.form.get("job", ""))
        except KeyError:
            raise NotFound(_("There is no such job.")) from None
        flash(_("Started."), "success")
        return redirect("/jobs/", 303)
