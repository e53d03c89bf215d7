"""Steps that run side by side, each in a thread, each with its line of progress."""

import os
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from portal.embedded.home import SetupError

Step = Callable[[], str]


@dataclass
class Steps:
    """A set of steps with their dependencies; the first failure that matters ends the whole.

    A step returns one line that says what now stands. A step whose dependency failed does not run. Steps named in *optional* may
    fail without failing the whole; what they raised is in ``failed``.
    """

    optional: Collection[str] = ()
    quiet: bool = False
    started: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    failed: dict[str, Exception] = field(default_factory=dict)
    _steps: dict[str, tuple[Step, tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    _done: dict[str, threading.Event] = field(default_factory=dict)
    _printing: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, step: Step, *after: str, whatever: tuple[str, ...] = ()) -> None:
        """Add *step*, which runs when the steps *after* are done, and those of *whatever* done or failed."""
        self._steps[name] = (step, after, whatever)
        self._done[name] = threading.Event()

    def say(self, name: str, text: str) -> None:
        """Print a line of progress, with the seconds since the start."""
        if not self.quiet and not self.cancelled:
            with self._printing:
                print(f"[{time.monotonic() - self.started:6.1f} s] {name:<10} {text}", flush=True)

    def run(self) -> None:
        """Run all steps. ``SetupError`` names those that failed; Ctrl-C comes through as ``KeyboardInterrupt``."""
        threads = [threading.Thread(target=self._one, args=(name,), name=name, daemon=True) for name in self._steps]
        for thread in threads:
            thread.start()
        fatal: list[str] = []
        try:
            while not fatal and any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(0.05)
                fatal = self._fatal()
        finally:
            self.cancelled = any(thread.is_alive() for thread in threads)
        if fatal := self._fatal():
            raise SetupError("set-up stopped at: " + ", ".join(fatal) + ". What is finished is kept; run the command again to go on.")

    def _fatal(self) -> list[str]:
        return [name for name in self.failed if name not in self.optional]

    def _one(self, name: str) -> None:
        step, after, whatever = self._steps[name]
        try:
            for earlier in whatever:
                self._done[earlier].wait()
            for earlier in after:
                self._done[earlier].wait()
                if earlier in self.failed:
                    raise SetupError(f"not started: {earlier} failed")
            began = time.monotonic()
            result = step()
            self.say(name, f"{result} ({time.monotonic() - began:.1f} s)")
        except Exception as error:  # the step's thread ends here; `run` tells what failed
            if self.cancelled:  # ended by us, not by a fault of its own
                return
            self.failed[name] = error
            with self._printing:
                print(f"[{time.monotonic() - self.started:6.1f} s] {name:<10} FAILED: {error}", file=sys.stderr, flush=True)
        finally:
            self._done[name].set()


def in_ci() -> bool:
    """Whether this is an automatic run, in which nothing may be missing."""
    return os.environ.get("CI", "").lower() in ("1", "true")
