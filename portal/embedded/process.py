"""Child processes: each with its own log, none outlives the process that started it."""

import concurrent.futures
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypedDict

from portal.embedded.home import SetupError

PR_SET_PDEATHSIG = 1
TAIL_LINES = 25


class RunAs(TypedDict, total=False):
    """Arguments for ``Popen`` that start a program as another user."""

    user: int
    group: int
    extra_groups: list[int]


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


LIBC = _libc()


class Processes:
    """Starts children and ends them all; children also get a signal from the kernel if this process is killed."""

    def __init__(self) -> None:
        # That signal is bound to the thread which started the child, so one thread that never ends starts them all.
        self._starter = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._guard = threading.Lock()
        self.stopping = threading.Event()

    def start(
        self,
        command: Sequence[str | Path],
        log: Path | None,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        run_as: RunAs | None = None,
        death_signal: int = signal.SIGTERM,
        stdin: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start *command*, output to *log* (None: to ours). *death_signal* is sent to it when we die."""

        def at_start() -> None:
            if LIBC is not None:
                LIBC.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)

        def spawn() -> subprocess.Popen[bytes]:
            if self.stopping.is_set():
                raise SetupError("stopping")
            with contextlib.ExitStack() as stack:
                output: IO[bytes] | None = None
                if log is not None:
                    log.parent.mkdir(parents=True, exist_ok=True)
                    output = stack.enter_context(log.open("ab"))
                process = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=stdin or subprocess.DEVNULL,
                    stdout=output,
                    stderr=output and subprocess.STDOUT,
                    env=dict(env) if env is not None else None,
                    cwd=cwd,
                    start_new_session=log is not None,
                    preexec_fn=at_start,  # noqa: PLW1509  (one call into a library already loaded, no lock)
                    **(run_as or {}),
                )
            with self._guard:
                self._running[process.pid] = process
            return process

        try:
            return self._starter.submit(spawn).result()
        except FileNotFoundError as error:
            raise SetupError(f"cannot start {command[0]}: {error}") from error

    def run(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        run_as: RunAs | None = None,
        feed: str | None = None,
    ) -> None:
        """Run *command* to its end, with *feed* as input; if it fails, raise ``SetupError`` with the end of its log."""
        before = log.stat().st_size if log.is_file() else 0
        with contextlib.ExitStack() as stack:
            stdin: IO[bytes] | None = None
            if feed is not None:  # a pipe, not a file: what is fed are passwords
                read, write = os.pipe()
                stdin = stack.enter_context(os.fdopen(read, "rb"))
                with os.fdopen(write, "wb") as pipe:
                    pipe.write(feed.encode())  # always far less than a pipe holds
            process = self.start(command, log, env=env, cwd=cwd, run_as=run_as, death_signal=signal.SIGKILL, stdin=stdin)
        code = process.wait()
        self.forget(process)
        if code:
            raise SetupError(f"{Path(str(command[0])).name} failed (exit {code}); end of {log}:\n{tail(log, skip=before)}")

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """*process* ended by itself."""
        with self._guard:
            self._running.pop(process.pid, None)

    def end(self, process: subprocess.Popen[bytes], how: int = signal.SIGTERM, patience: float = 30) -> None:
        """Ask *process* to end with the signal *how* (0: it was asked already), wait *patience* seconds, then kill it and its group."""
        self.forget(process)
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def abort(self) -> None:
        """Kill everything that still runs: what is interrupted half-way resumes at the next start."""
        self.stopping.set()
        with self._guard:
            processes = list(self._running.values())
        for process in processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            self.end(process, patience=5)


def tail(log: Path, lines: int = TAIL_LINES, skip: int = 0) -> str:
    """The last *lines* of a log without its first *skip* bytes, which an earlier run wrote; indented."""
    if not log.is_file():
        return "    (no log)"
    text = log.read_bytes()[skip:].decode(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in text)


def answers(port: int) -> bool:
    """Whether something listens on *port* of this machine."""
    with socket.socket() as probe:
        probe.settimeout(0.3)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, what: str, patience: float, pause: float = 0.1
) -> None:
    """Wait until *ready* says so; ``SetupError`` with the end of *log* if *process* exits or *patience* seconds pass."""
    end = time.monotonic() + patience
    while not ready():
        if process.poll() is not None:
            raise SetupError(f"{what} stopped at its start (exit {process.returncode}); end of {log}:\n{tail(log)}")
        if time.monotonic() > end:
            raise SetupError(f"{what} did not answer within {patience:.0f} s; end of {log}:\n{tail(log)}")
        time.sleep(pause)
