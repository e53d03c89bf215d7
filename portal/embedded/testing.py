"""The tests with all services: set up once, handed to pytest through the environment, stopped afterwards."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from portal.embedded.home import PROJECT, Home, SetupError, locked
from portal.embedded.process import Processes
from portal.embedded.stack import Ports, Stack, child_environment
from portal.embedded.tools import Tools

Command = Callable[[Path], list[str | Path]]


@contextlib.contextmanager
def services(data: Path, *, keycloak: bool = True, browser: bool = True) -> Iterator[tuple[Stack, dict[str, str]]]:
    """All services of the profile ``test``; gives them and the environment that tells of them."""
    home = Home(data)
    home.create()
    profile = home.profile("test")
    profile.create()
    signal.signal(signal.SIGTERM, _terminated)
    with locked(profile.path / "lock", wait="waiting for another test run in this data folder …"):
        stack = Stack(home, "test", Ports.kept_free(profile), durable=False)
        try:
            steps = stack.steps(keycloak=keycloak, browser=browser)
            with home.setting_up():
                steps.run()
            yield stack, child_environment(stack.test_environment(), stack.home)
        finally:
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            stack.stop()
            signal.signal(signal.SIGINT, before)


def with_services(data: Path, *commands: Command, keycloak: bool = True, browser: bool = True) -> int:
    """Run *commands* (made from the path of Python) one after the other with all services; the first exit code that is not 0."""
    with services(data, keycloak=keycloak, browser=browser) as (stack, env):
        return run_all(commands, stack.tools.python, env)


def without_services(data: Path, *commands: Command) -> int:
    """Run *commands* with nothing but the Python environment; the first exit code that is not 0."""
    return run_all(commands, environment(data), child_environment({"SHUNIU_TEST_FAST": "1"}))


def pytest(*arguments: str, soak: bool = False) -> Command:
    """The tests: all of them side by side in as many processes as there are processors, named ones and soaks one after the other."""
    named = any(not a.startswith("-") for a in arguments)
    side_by_side = [] if soak or named or "-n" in arguments else ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile"]
    return lambda python: [python, "-m", "pytest", "-q", *side_by_side, *(["--soak"] if soak else []), *arguments]


def check(data: Path, *, fast: bool) -> int:
    """All checks of the code, then the tests; with *fast* only those tests that need no service."""
    static = run_all((lambda python: [python, "-m", "portal.cli", "check"],), environment(data), child_environment({}))
    if static:
        return static
    tests = pytest()
    return without_services(data, tests) if fast else with_services(data, tests)


def lock(data: Path) -> int:
    """Compile the lock and the pins of the tools anew."""
    environment(data)
    home = Home(data)
    Tools(home, Processes()).lock()
    return 0


def run_all(commands: tuple[Command, ...], python: Path, env: dict[str, str]) -> int:
    """Run *commands* in the foreground until one fails."""
    processes = Processes()
    signal.signal(signal.SIGTERM, _terminated)
    for command in commands:
        with open(0, "rb", closefd=False) as terminal:
            process = processes.start(command(python), None, env=env, cwd=PROJECT, stdin=terminal)
        try:
            code = process.wait()
        except KeyboardInterrupt as why:
            if isinstance(why, Terminated):  # Ctrl-C reaches the child by itself
                process.send_signal(signal.SIGINT)
            with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                process.wait(30)
            processes.end(process, patience=5)
            return 130
        processes.forget(process)
        if code:
            return code
    return 0


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a run as Ctrl-C does."""


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated


def environment(data: Path) -> Path:
    """The Python of an environment that holds exactly the pinned packages; made when it is not there."""
    home = Home(data)
    home.create()
    processes = Processes()
    tools = Tools(home, processes)
    if not tools.is_environment_ready():
        with home.setting_up():
            try:
                print("preparing the Python environment …", file=sys.stderr, flush=True)
                tools.fetch_uv()
                tools.make_environment()
            except (KeyboardInterrupt, SetupError):
                processes.abort()
                raise
    return tools.python


def hand_over(data: Path, arguments: list[str]) -> None:
    """Become ``portal.cli`` with *arguments*. Without a configured database, the running demonstration's settings are used."""
    python = environment(data)
    env = child_environment({})
    settings = data / "demo" / "settings.env"
    configured = any(env.get(name) for name in ("DATABASE_URL", "SHUNIU_DATABASE_URL", "SHUNIU_ENV_FILE", "SHUNIU_CONFIG"))
    if not configured and not Path("shuniu.toml").is_file() and settings.is_file():
        env["SHUNIU_ENV_FILE"] = str(settings)
    os.chdir(PROJECT)
    os.execve(str(python), [str(python), "-m", "portal.cli", *arguments], env)  # noqa: S606
