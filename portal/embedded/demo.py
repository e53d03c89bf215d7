"""The demonstration: all services, the portal, worker and scheduler under one supervising process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from portal.embedded.home import PROJECT, Home, Profile, SetupError, locked, write_atomically
from portal.embedded.process import answers, tail, wait_until
from portal.embedded.stack import Ports, Stack, child_environment
from portal.embedded.steps import Steps, in_ci
from portal.embedded.supervisor import Child

PASSWORD = "shuniu-demo"
ACCOUNTS = (
    ("admin", "system administrator"), ("leader", "company leader"), ("domain.manager", "domain manager"), ("pm.chen", "project manager"),
    ("pm.li", "project manager"), ("head.rd", "department head"), ("head.sales", "department head"), ("member.wang", "project member"),
    ("member.zhao", "project member"), ("hr", "human resources"), ("qa", "quality"), ("finance", "finance"), ("outsider", "on no project"),
)  # fmt: skip
OTHERS = "sales.liu, sales.manager, buyer, legal, service, archivist, security.admin, auditor"


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    data: Path
    port: int = 8000
    local_accounts: bool = False


def demo(options: Options) -> int:
    """Run the demonstration until Ctrl-C or SIGTERM; exit code."""
    home = Home(options.data)
    home.create()
    profile = home.profile("demo")
    profile.create()
    if state := profile.state():
        print(f"already running: {state['url']} (process {state['pid']}); stop it with: python3 run.py stop{_data(options)}", flush=True)
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    with locked(profile.path / "lock"):
        stack = Stack(home, "demo", Ports.from_first(options.port), durable=True)
        try:
            if answers(options.port):
                raise SetupError(f"port {options.port} is in use; choose another with --port")
            _run(options, stack)
        except KeyboardInterrupt:
            print("\nstopping …", flush=True)
        except SetupError as error:
            print(f"\n{error}", file=sys.stderr, flush=True)
            return 1
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            (profile.path / "running.json").unlink(missing_ok=True)
            stack.stop()
    print("stopped", flush=True)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _data(options: Options) -> str:
    return "" if options.data == PROJECT / ".shuniu" else f" --data {options.data}"


def _run(options: Options, stack: Stack) -> None:
    keycloak = not options.local_accounts
    external = bool(os.environ.get("DATABASE_URL") or os.environ.get("SHUNIU_DATABASE_URL"))
    steps = stack.steps(keycloak=keycloak, browser=False, external_database=external)
    # The portal starts beside Keycloak as if that will come up, which it nearly always does.
    needs = ("python", "assets") if external else ("python", "assets", "postgres")
    steps.add("portal", lambda: _serve(stack, local_accounts=not keycloak), *needs, whatever=("redis",))
    with stack.home.setting_up():
        steps.run()
    signed_on = keycloak and not steps.failed.keys() & {"keycloak", "sign-on"}
    stack.supervise()
    if keycloak and not signed_on:
        stack.supervisor.drop("portal")
        _serve(stack, local_accounts=True)
    for name in ("worker", "scheduler"):
        _keep(stack, name, [stack.tools.python, "-m", "portal.kernel.worker", name], patience=25)
    state = {"pid": os.getpid(), "url": stack.keycloak.portal, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    write_atomically(stack.profile.path / "running.json", json.dumps(state))
    _announce(stack, signed_on, steps)
    if signed_on and not in_ci() and not stack.keycloak_files.has_aot():
        threading.Thread(target=_train, args=(stack, steps), daemon=True).start()
    stack.supervisor.watch()


def _serve(stack: Stack, *, local_accounts: bool) -> str:
    """Start the portal, which first migrates and loads the sample company once; wait until it answers."""
    settings = stack.portal_environment(local_accounts=local_accounts)
    write_atomically(stack.profile.path / "settings.env", "".join(f"{key}={value}\n" for key, value in settings.items()), mode=0o600)
    child = _keep(stack, "portal", [stack.tools.python, "-m", "portal.cli", "serve", "--prepare-demo"], patience=15)
    wait_until(lambda: _is_ready(stack.keycloak.portal), child.process, child.log, "the portal", 600)
    return f"database migrated, sample company there, on port {stack.ports.portal}"


def _keep(stack: Stack, name: str, command: list[str | Path], patience: float) -> Child:
    env = child_environment(_settings(stack), stack.home)
    log = stack.profile.log(name)
    return stack.supervisor.keep(name, lambda: stack.processes.start(command, log, env=env, cwd=PROJECT), log, patience=patience)


def _settings(stack: Stack) -> dict[str, str]:
    lines = (stack.profile.path / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=15) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _train(stack: Stack, steps: Steps) -> None:
    """Make later starts faster; the demonstration runs meanwhile and does not need it."""
    try:
        steps.say("sign-on", stack.keycloak.train() + ": the next start is faster")
    except SetupError as error:
        steps.say("sign-on", f"no start cache, later starts are slower: {error}")


def _announce(stack: Stack, signed_on: bool, steps: Steps) -> None:
    if not signed_on:
        reason = steps.failed.get("keycloak") or steps.failed.get("sign-on")
        steps.say("sign-on", f"single sign-on is OFF, local accounts instead{f', because: {reason}' if reason else ''}")
    width = max(len(name) for name, _ in ACCOUNTS)
    lines = [f"    {name:<{width}}  {role}" for name, role in ACCOUNTS]
    print(
        f"\nready  {stack.keycloak.portal}  ({time.monotonic() - steps.started:.0f} s)\n"
        + (f"single sign-on: http://127.0.0.1:{stack.ports.keycloak}\n" if signed_on else "")
        + f"\nsign in with one of these names, password {PASSWORD}:\n"
        + "\n".join(lines)
        + f"\n    also: {OTHERS}\n\nlogs: {stack.profile.path / 'log'}; Ctrl-C stops everything\n",
        flush=True,
    )


def detach(options: Options, arguments: list[str]) -> int:
    """Start the demonstration in the background, show its progress until it is ready; exit code."""
    home = Home(options.data)
    home.create()
    profile = home.profile("demo")
    profile.create()
    if state := profile.state():
        print(f"already running: {state['url']} (process {state['pid']})", flush=True)
        return 0
    log = profile.log("demo")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(PROJECT / "run.py"), *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    with log.open(encoding="utf-8", errors="replace") as progress:
        try:
            while True:
                text = progress.read()
                print(text, end="", flush=True)
                if process.poll() is not None:
                    print(progress.read(), end="", flush=True)
                    return process.returncode or 1
                if profile.state() and "Ctrl-C stops everything" in log.read_text(encoding="utf-8", errors="replace"):
                    print(progress.read(), end="")
                    print(f"running in the background; stop it with: python3 run.py stop{_data(options)}", flush=True)
                    return 0
                time.sleep(0.2)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            return 130


def stop(options: Options) -> int:
    """Stop the demonstration that uses this data folder; exit code."""
    profile: Profile = Home(options.data).profile("demo")
    state = profile.state()
    if not state:
        print("no demonstration runs with this data folder", flush=True)
        return 0
    pid = int(str(state["pid"]))
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 120
    while profile.is_locked():
        if time.monotonic() > end:
            print(f"process {pid} does not stop; end of its log:\n{tail(profile.log('demo'))}", file=sys.stderr, flush=True)
            return 1
        time.sleep(0.1)
    print("stopped", flush=True)
    return 0
