"""Keeps long-running processes alive: one that ends is started again, after a pause that grows while it keeps ending."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portal.embedded.process import Processes, tail

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STEADY = 60.0


@dataclass
class Child:
    """A process to keep alive: how to start it, how to end it, where it logs."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    log: Path
    process: subprocess.Popen[bytes]
    end_signal: int = signal.SIGTERM
    patience: float = 20.0
    pause: float = FIRST_PAUSE
    began: float = 0.0
    again_at: float | None = None
    service: bool = False


class Supervisor:
    """Watches its children until ``stop``; ends them in the opposite order of their start."""

    def __init__(self, processes: Processes, say: Callable[[str, str], None]) -> None:
        self.processes = processes
        self.say = say
        self.children: list[Child] = []
        self.stopped = threading.Event()

    def keep(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        log: Path,
        process: subprocess.Popen[bytes] | None = None,
        end_signal: int = signal.SIGTERM,
        patience: float = 20.0,
    ) -> Child:
        """Keep the process that *start* starts alive; *process* is a service already running."""
        child = Child(name, start, log, process or start(), end_signal, patience, began=time.monotonic(), service=process is not None)
        self.children.append(child)
        return child

    def drop(self, name: str) -> None:
        """End the child *name* and forget it."""
        for child in [child for child in self.children if child.name == name]:
            self.children.remove(child)
            self.processes.end(child.process, child.end_signal, child.patience)

    def watch(self, while_true: Callable[[], bool] = lambda: True) -> None:
        """Look after the children until ``stop`` is called or *while_true* says no."""
        while not self.stopped.wait(0.2) and while_true():
            for child in self.children:
                self.look(child, time.monotonic())

    def look(self, child: Child, now: float) -> None:
        """One look at *child* at the monotonic time *now*: note that it ended, or start it again when its pause is over."""
        if child.again_at is None:
            code = child.process.poll()
            if code is None:
                return
            self.processes.forget(child.process)
            steady = now - child.began >= STEADY
            child.pause = FIRST_PAUSE if steady else child.pause
            child.again_at = now + child.pause
            self.say(child.name, f"ended (exit {code}), starts again in {child.pause:.1f} s; end of {child.log}:\n{tail(child.log, 6)}")
            child.pause = min(LONGEST_PAUSE, child.pause * 2)
        elif now >= child.again_at:
            child.process = child.start()
            child.began, child.again_at = now, None

    def stop(self) -> None:
        """End all children, the portal's before the services they need; returns when they are gone."""
        self.stopped.set()
        for service in (False, True):
            ending = [child for child in self.children if child.service is service and child.again_at is None]
            for child in ending:  # all at once: each may take a while to finish what it holds
                with contextlib.suppress(ProcessLookupError):
                    child.process.send_signal(child.end_signal)
            for child in ending:
                self.processes.end(child.process, 0, child.patience)
        self.children.clear()
