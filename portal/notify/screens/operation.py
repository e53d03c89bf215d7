"""Jobs and queues, for administrators, page and REST: what waits, what failed for good, what runs when (POR-12)."""

from collections.abc import Mapping
from typing import Any

from flask import Response, flash, redirect, request
from sqlalchemy import text

from portal.kernel import jobs, outbox
from portal.kernel.db import session, unrestricted
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.i18n import _, _l
from portal.web.access import route
from portal.web.describing import Schema, listed, operation
from portal.web.page import Page
from portal.web.resource import Endpoints, answer, object_body

NAME = "notify.OutboxEntry"
SHOWN = 100


def _troubled() -> list[Any]:
    """Work that failed at least once, given up first; inside `unrestricted`."""
    return list(
        session().execute(
            text(
                """select id, handler, key, attempts, created_at, available_at, dead_at, last_error from kernel_outbox
                   where done_at is null and (dead_at is not null or last_error is not null)
                   order by dead_at desc nulls last, available_at limit :n"""
            ),
            {"n": SHOWN},
        )
    )


def _run(name: str) -> None:
    try:
        jobs.run_now(name)
    except KeyError:
        raise NotFound(_("There is no such job.")) from None


class Operation(Page):
    """The outbox and the jobs.  Payloads are not shown: they may hold what an administrator may not see."""

    name = NAME
    route_base = "/jobs"
    title = _l("Jobs and queues")
    menu = "Administration"
    menu_order = 60
    icon = "activity"

    @route("/")
    def show(self) -> str:
        """Counts, dead letters, rows that fail, jobs."""
        with unrestricted("administration: jobs and queues"):
            backlog, states, failing = outbox.backlog(), jobs.states(), _troubled()
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
        _run(request.form.get("job", ""))
        flash(_("Started."), "success")
        return redirect("/jobs/", 303)


# -------------------------------------------------------------------- REST
class JobEndpoints(Endpoints, at="jobs", name=NAME):
    """`/api/v1/jobs/`: what runs when, how the queue stands, and what was given up. Payloads are not shown."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """A job, and a piece of work in trouble."""
        return {cls.resource_name: JOB, "queue": WORK}

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """Jobs and running one; the queue and sending again."""
        base, tag, done = cls.route_base, [cls.resource_name], {"type": "object"}
        key: Schema = {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}
        queue = listed("queue")
        queue["properties"]["backlog"] = BACKLOG
        return {
            f"{base}/": {"get": operation("list_jobs", _("Jobs"), tag, listed(cls.resource_name))},
            f"{base}/{{key}}/run": {"post": operation("run_job", _("Run now"), tag, done, status="202", parameters=[key], errors=(404,))},
            f"{base}/queue": {"get": operation("list_queue", _("Queue"), tag, queue)},
            f"{base}/queue/resend": {"post": operation("resend", _("Send again"), tag, done, body=IDS, errors=(400, 422))},
        }

    @route("/")
    def get_list(self) -> Response:
        """Every job with its times; `label` in the reader's language."""
        with unrestricted("administration: jobs and queues"):
            found = [
                {
                    "name": s.job.name,
                    "label": str(s.job.label or s.job.name),
                    "cron": s.job.cron,
                    "workdays_only": s.job.workdays_only,
                    "last_due": s.last_due,
                    "last_finished": s.last_finished,
                    "next_due": s.next_due,
                }
                for s in jobs.states()
            ]
        return answer({"count": len(found), "result": found, "next": None})

    @route("/<key>/run", methods=("POST",), verb="run")
    def run(self, key: str) -> Response:
        """Starts the job outside of its times: 202."""
        _run(key)
        return answer({"name": key}, 202)

    @route("/queue")
    def get_queue(self) -> Response:
        """Counts of what waits, and the work that failed: at most 100, given up first."""
        with unrestricted("administration: jobs and queues"):
            backlog, found = outbox.backlog(), _troubled()
        return answer(
            {
                "backlog": {name: getattr(backlog, name) for name in BACKLOG["properties"]},
                "count": len(found),
                "ids": [r.id for r in found],
                "result": [dict(r._mapping) for r in found],
                "next": None,
            }
        )

    @route("/queue/resend", methods=("POST",), verb="resend")
    def resend(self) -> Response:
        """`{"ids": [1, 2]}`: tries given-up work again; `count` says how much of it there was."""
        ids = object_body().get("ids")
        if not isinstance(ids, list) or len(ids) > SHOWN or not all(type(i) is int and 0 < i < 2**63 for i in ids):
            raise Invalid({"ids": _("This is not a valid value.")})
        return answer({"count": outbox.resend(ids)})


_AT: Schema = {"type": "string", "format": "date-time", "nullable": True}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer"}
JOB: Schema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "label", "cron"), _TEXT),
        "workdays_only": {"type": "boolean"},
        **dict.fromkeys(("last_due", "last_finished", "next_due"), _AT),
    },
}
WORK: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        **dict.fromkeys(("handler", "key"), _TEXT),
        "attempts": {"type": "integer"},
        **dict.fromkeys(("created_at", "available_at", "dead_at"), _AT),
        "last_error": _TEXT | {"nullable": True},
    },
}
BACKLOG: Schema = {
    "type": "object",
    "properties": {**dict.fromkeys(("waiting", "failing", "dead"), _COUNT), "oldest_seconds": {"type": "number"}},
}
IDS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["ids"],
    "properties": {"ids": {"type": "array", "items": {"type": "integer", "format": "int64"}}},
}
