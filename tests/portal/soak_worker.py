"""Entry of the worker processes of the soak test: the portal with one handler more.  `python -m tests.portal.soak_worker supervise N`"""

import os
import sys
import time
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from portal.kernel import outbox, worker
from portal.kernel.db import session
from portal.kernel.i18n import _l
from portal.notify import notice_kind, notify

notice_kind("soak.reminder", title=_l("Notices"))


@outbox.handler("soak.remind")
def remind(n: int, receiver: int) -> None:
    """Leaves a trace that nothing de-duplicates, and tells somebody, who gets a mail."""
    session().execute(text("insert into soak_effect (n) values (:n)"), {"n": n})
    time.sleep(0.004)
    notify([receiver], "soak.reminder", key=f"soak:{n}")


@outbox.handler("soak.trace")
def trace(n: int) -> None:
    """Leaves a trace, nothing else."""
    session().execute(text("insert into soak_effect (n) values (:n)"), {"n": n})


@outbox.handler("soak.deadly")
def deadly(n: int) -> None:
    """Takes its worker along: no exception, no clean-up, nothing committed."""
    trace(n)
    os._exit(9)


def main(arguments: list[str]) -> Any:
    """`supervise N`: keep N workers running; anything else is the child's role."""
    if os.environ.get("SOAK_QUICK"):  # the same in seconds instead of hours
        outbox.LEASE, outbox.MAX_STARTS = timedelta(seconds=2), 3
        outbox.pause_after = lambda attempts: timedelta(seconds=0.5)
    if arguments[0] == "supervise":
        command = [sys.executable, "-m", "tests.portal.soak_worker"]
        return worker.Supervisor(["worker"] * int(arguments[1]), lambda role: [*command, role]).run()
    return worker.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
