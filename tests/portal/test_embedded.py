"""The parts of the one-command set-up that need no server."""

import ast
import json
import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import portal.embedded
from portal.embedded import demo, keycloak, postgres, tools
from portal.embedded.home import PROJECT, Home, SetupError, digest, locked, write_atomically
from portal.embedded.process import Processes, answers, free_port, tail, wait_until
from portal.embedded.stack import Ports, Stack, child_environment
from portal.embedded.steps import Steps
from portal.embedded.supervisor import FIRST_PAUSE, Supervisor

PACKAGE = Path(portal.embedded.__file__).parent


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def processes():
    made = Processes()
    yield made
    made.abort()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def eventually(check, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# --- a bare machine


@pytest.mark.req("POR-14", part="Python only")
@pytest.mark.parametrize("path", [PROJECT / "run.py", *PACKAGE.glob("*.py")], ids=lambda path: path.name)
def test_set_up_needs_only_the_standard_library(path: Path) -> None:
    """It runs before anything is installed."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    foreign = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("portal.embedded")}
    assert not foreign


@pytest.mark.req("POR-14", part="Python only")
def test_set_up_imports_without_any_installed_package() -> None:
    code = "import sys; sys.path.insert(0, '.'); import run, portal.embedded.demo, portal.embedded.testing; print('fine')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


@pytest.mark.req("POR-14", part="pinned and checksummed")
def test_everything_fetched_is_pinned_by_checksum() -> None:
    for lock in (PROJECT / "requirements.txt", *(PACKAGE / "tools").glob("*.txt")):
        packages = re.findall(r"^[a-zA-Z0-9_.\-\[\],]+(==)?.*(?:\n    .*)*", lock.read_text(encoding="utf-8"), re.MULTILINE)
        assert packages and all(pin == "==" for pin in packages), lock
        blocks = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8").strip())
        assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#")), lock
    assert re.fullmatch(r"[0-9a-f]{64}", keycloak.SHA256)


def test_wanted_packages_are_those_of_the_lock() -> None:
    wanted = {re.split(r"[\[<>=; ]", line)[0].lower() for line in (PROJECT / "requirements.in").read_text().splitlines() if line.strip()}
    lock = (PROJECT / "requirements.txt").read_text().lower()
    assert not {name for name in wanted if not re.search(rf"^{re.escape(name)}(\[.*\])?==", lock, re.MULTILINE)}


@pytest.mark.req("POR-14", part="clear refusal")
def test_old_python_is_told_what_is_needed() -> None:
    source = (PROJECT / "run.py").read_text(encoding="utf-8")
    assert source.index("sys.version_info < (3, 11)") < source.index("from portal.embedded")


# --- data folder


@pytest.mark.req("POR-14", part="resumed")
def test_a_stamp_counts_only_for_what_it_was_written_for(home: Home) -> None:
    assert not home.done("part", "1")
    home.stamp("part", "1")
    assert home.done("part", "1") and not home.done("part", "2")


def test_secrets_are_made_once_long_and_private(home: Home) -> None:
    profile = home.profile("demo")
    profile.create()
    first = profile.secrets()
    assert profile.secrets() == first
    assert len(set(first.values())) == len(first) and all(len(value) >= 40 for value in first.values())
    assert stat.S_IMODE((profile.path / "secrets.json").stat().st_mode) == 0o600


def test_a_new_kind_of_secret_is_added_to_the_old_ones(home: Home) -> None:
    profile = home.profile("demo")
    profile.create()
    write_atomically(profile.path / "secrets.json", json.dumps({"owner": "kept"}), mode=0o600)
    assert profile.secrets()["owner"] == "kept" and profile.secrets()["app"]


def test_files_are_written_whole_and_leave_nothing_behind(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "x", mode=0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_digest_sees_names_and_contents_but_not_installed_packages(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = digest(folder)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "b").write_text("2")
    assert digest(folder) == before
    (folder / "a").rename(folder / "c")
    assert digest(folder) != before


def test_a_locked_folder_is_refused_or_waited_for(tmp_path: Path) -> None:
    code = "import sys,time\nfrom pathlib import Path\nfrom portal.embedded.home import locked\n"
    code += f"with locked(Path({str(tmp_path / 'lock')!r})):\n  print('held', flush=True)\n  time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(SetupError, match="in use"), locked(tmp_path / "lock"):
            pass
        holder.kill()  # however it dies, the lock goes with it
        holder.wait()
        with locked(tmp_path / "lock"):
            pass


def test_a_state_without_a_living_process_is_no_state(home: Home) -> None:
    profile = home.profile("demo")
    profile.create()
    write_atomically(profile.path / "running.json", json.dumps({"pid": 1, "url": "http://127.0.0.1:1"}))
    assert profile.state() == {}
    assert demo.stop(demo.Options(home.path)) == 0


# --- steps


@pytest.mark.req("POR-14", part="parallel")
def test_steps_run_side_by_side_after_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    steps, both, order = Steps(), threading.Barrier(2, timeout=10), []
    for name in ("one", "two"):
        steps.add(name, lambda name=name: f"{name} {both.wait() >= 0}")
    steps.add("three", lambda: order.append("three") or "fine", "one", "two")
    steps.run()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "three" in lines[-1] and order == ["three"]


@pytest.mark.req("POR-14", part="clear refusal")
def test_a_failed_step_is_named_and_stops_what_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> str:
        raise SetupError("no network; connect and run again")

    steps = Steps()
    steps.add("fetch", fail)
    steps.add("start", lambda: pytest.fail("must not run"), "fetch")
    with pytest.raises(SetupError, match="fetch"):
        steps.run()
    assert "no network; connect and run again" in capsys.readouterr().err


@pytest.mark.req("POR-14", part="local accounts in need")
def test_an_optional_step_may_fail() -> None:
    def fail() -> str:
        raise SetupError("not to be had")

    steps = Steps(optional=("keycloak",), quiet=True)
    steps.add("keycloak", fail)
    steps.add("postgres", lambda: "fine")
    steps.run()
    assert set(steps.failed) == {"keycloak"}


@pytest.mark.parametrize(("ci", "optional"), [("true", False), ("", True)])
def test_in_an_automatic_run_nothing_may_be_missing(home: Home, monkeypatch: pytest.MonkeyPatch, ci: str, optional: bool) -> None:
    monkeypatch.setenv("CI", ci)
    stack = Stack(home, "test", Ports.from_first(1), durable=False)
    stack.profile.create()
    assert ("redis" in stack.steps(keycloak=True, browser=True).optional) is optional


# --- processes


@pytest.mark.req("POR-14", part="clear refusal")
def test_a_failing_command_shows_the_end_of_its_log(processes: Processes, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"(?s)exit 3.*line 99"):
        processes.run(["sh", "-c", "for i in $(seq 99); do echo line $i; done; exit 3"], tmp_path / "log")
    assert "line 50\n" not in tail(tmp_path / "log")


def test_a_missing_program_is_named(processes: Processes, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no-such-program"):
        processes.run(["no-such-program"], tmp_path / "log")


def test_fed_text_does_not_stand_in_the_command_line(processes: Processes, tmp_path: Path) -> None:
    processes.run(["sh", "-c", f"cat > {tmp_path}/out"], tmp_path / "log", feed="secret")
    assert (tmp_path / "out").read_text() == "secret"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux")
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    code = """
        import threading, time
        from pathlib import Path
        from portal.embedded.process import Processes
        processes = Processes()
        def begin():
            print(processes.start(["sleep", "300"], Path("/dev/null")).pid, flush=True)
        thread = threading.Thread(target=begin)
        thread.start(); thread.join()
        time.sleep(0.5)
        print("thread ended", flush=True)
        time.sleep(300)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "thread ended\n"
        assert is_alive(child), "it must outlive the thread that asked for it"
        parent.kill()
        parent.wait()
    assert eventually(lambda: not is_alive(child))


def test_waiting_ends_when_the_process_ends(processes: Processes, tmp_path: Path) -> None:
    process = processes.start(["sh", "-c", "echo cannot bind; exit 1"], tmp_path / "log")
    with pytest.raises(SetupError, match=r"(?s)the server stopped at its start.*cannot bind"):
        wait_until(lambda: False, process, tmp_path / "log", "the server", 20)


def test_a_process_that_does_not_end_is_killed(processes: Processes, tmp_path: Path) -> None:
    process = processes.start(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], tmp_path / "log")
    assert eventually(lambda: "up" in tail(tmp_path / "log"))
    processes.end(process, signal.SIGTERM, patience=0.3)
    assert process.returncode == -signal.SIGKILL


def test_a_free_port_answers_nothing() -> None:
    assert not answers(free_port())


@pytest.mark.req("POR-14", part="supervised")
def test_a_process_that_ends_is_started_again_slower_each_time(processes: Processes, tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(processes, lambda name, text: said.append(text))
    child = supervisor.keep("worker", lambda: processes.start(["sh", "-c", "exit 7"], tmp_path / "log"), tmp_path / "log")
    first = child.process
    first.wait()
    supervisor.look(child, child.began + 1)
    assert "exit 7" in said[0]
    supervisor.look(child, child.began + 1 + FIRST_PAUSE / 2)
    assert child.process is first, "not before its pause is over"
    supervisor.look(child, child.began + 1 + FIRST_PAUSE)
    assert child.process is not first
    child.process.wait()
    supervisor.look(child, child.began + 1)
    assert child.again_at == child.began + 1 + 2 * FIRST_PAUSE
    supervisor.stop()


# --- services


def test_ports_follow_the_first_one() -> None:
    ports = Ports.from_first(9000)
    assert (ports.portal, ports.keycloak, ports.postgres) == (9000, 9001, 9002)


def test_free_ports_are_kept_while_they_are_free(home: Home) -> None:
    profile = home.profile("test")
    profile.create()
    assert Ports.kept_free(profile) == Ports.kept_free(profile)


@pytest.mark.req("POR-14", part="sample realm")
def test_the_sample_realm_gets_the_addresses_and_secret_of_this_portal() -> None:
    text = keycloak.REALM_FILE.read_text(encoding="utf-8")
    realm = json.loads(keycloak.realm_text(text, "http://127.0.0.1:8123", {"portal": "s3cret"}))
    portal_client = next(client for client in realm["clients"] if client["clientId"] == "portal")
    assert portal_client["secret"] == "s3cret"
    assert portal_client["redirectUris"] and all(uri.startswith("http://127.0.0.1:8123/") for uri in portal_client["redirectUris"])
    whole = json.dumps(realm)
    assert "${PORTAL_URL}" not in whole and ":8000" not in whole


@pytest.mark.req("POR-14", part="sample realm")
def test_every_announced_account_is_in_the_sample_realm() -> None:
    realm = json.loads(keycloak.REALM_FILE.read_text(encoding="utf-8"))
    announced = {name for name, _ in demo.ACCOUNTS} | set(demo.OTHERS.split(", "))
    assert len(announced) == 21 and announced <= {user["username"] for user in realm["users"]}


def test_keycloak_is_not_configured_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KC_HOSTNAME", "elsewhere")
    monkeypatch.setenv("JAVA_OPTS", "-Xmx1m")
    assert not {"KC_HOSTNAME", "JAVA_OPTS"} & keycloak.server_env().keys()


def test_the_portal_is_told_its_own_login_roles(home: Home) -> None:
    stack = Stack(home, "demo", Ports.from_first(9100), durable=True)
    stack.profile.create()
    stack.postgres.process = stack.broker.process = subprocess.Popen(["true"])
    stack.postgres.process.wait()
    told = stack.portal_environment(local_accounts=False)
    assert told["SHUNIU_DATABASE_URL"].startswith("postgresql+psycopg://app_login:")
    assert told["SHUNIU_WORKER_DATABASE_URL"].startswith("postgresql+psycopg://worker_login:")
    assert told["SHUNIU_OWNER_DATABASE_URL"].startswith("postgresql+psycopg://shuniu_owner:")
    assert told["SHUNIU_OIDC_ISSUER"] == "http://127.0.0.1:9101/realms/shuniu"
    assert "@127.0.0.1:9103" in told["SHUNIU_REDIS_URL"]
    assert stack.profile.secrets()["super"] not in str(told)


def test_the_database_superuser_is_no_login_of_the_portal() -> None:
    assert "postgres" not in postgres.LOGINS


def test_the_environment_is_made_anew_when_the_lock_changes(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = tools.Tools(home, Processes())
    before = made.environment_spec()
    lock = tmp_path / "requirements.txt"
    lock.write_text("other")
    monkeypatch.setattr(tools, "LOCK", lock)
    assert made.environment_spec() != before


def test_processes_keep_compiled_files_where_python_may_not_leave_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)  # the run itself may be kept this way
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    env = child_environment({}, home)
    assert env["PYTHONDONTWRITEBYTECODE"] == "" and Path(env["PYTHONPYCACHEPREFIX"]).is_relative_to(tmp_path)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE")
    assert "PYTHONPYCACHEPREFIX" not in child_environment({}, home)
