"""PostgreSQL: the machine's own (15 or newer), else the pinned package; as an unprivileged user when we are root."""

import glob
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from portal.embedded.home import Profile, SetupError, fresh, write_atomically
from portal.embedded.process import Processes, RunAs, answers, tail, wait_until
from portal.embedded.tools import Tools

OLDEST = 15
PROGRAMS = ("initdb", "postgres", "psql", "pg_dump", "pg_isready")
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")
DATABASE = "shuniu"
LOGINS = {"shuniu_owner": "owner", "app_login": "app", "worker_login": "worker"}


@dataclass(frozen=True)
class Programs:
    """Folder of the PostgreSQL programs, their major version, and where they come from."""

    folder: Path
    version: int
    origin: str


def version_of(folder: Path) -> int:
    """Major version of the programs in *folder*; 0 when they are incomplete or do not run."""
    if not all((folder / program).exists() for program in PROGRAMS):
        return 0
    try:
        text = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    found = re.search(r"\) (\d+)", text)
    return int(found[1]) if found else 0


def system_programs() -> Programs | None:
    """The newest usable PostgreSQL of this machine."""
    folders = {Path(match) for place in PLACES for match in glob.glob(place)}  # noqa: PTH207  (absolute patterns)
    if on_path := shutil.which("postgres"):
        folders.add(Path(on_path).resolve().parent)
    usable = [Programs(folder, version, "of this machine") for folder in folders if (version := version_of(folder)) >= OLDEST]
    return max(usable, key=lambda programs: programs.version, default=None)


class Postgres:
    """One server with the roles and the database of the portal."""

    def __init__(self, profile: Profile, tools: Tools, processes: Processes, port: int, *, durable: bool) -> None:
        self.profile = profile
        self.tools = tools
        self.processes = processes
        self.port = port
        self.durable = durable
        self.log = profile.log("postgres")
        self.programs: Programs | None = None
        self.run_as: RunAs = {}
        self.base = profile.path / "postgres"
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> str:
        """Find or fetch the programs, create the cluster once, start it, make sure of roles and database."""
        programs = None if os.environ.get("SHUNIU_EMBEDDED") == "packages" else system_programs()
        if programs is None:
            folder = next(self.tools.tool("postgres").glob("*/pginstall/bin"))
            programs = Programs(folder, version_of(folder), "embedded")
            if not programs.version:
                raise SetupError(f"the PostgreSQL programs in {folder} do not run here; install PostgreSQL {OLDEST} or newer")
        self.programs = self._reachable(programs)
        self._create()
        if answers(self.port):
            raise SetupError(f"port {self.port} for PostgreSQL is in use; choose another with --port")
        self.process = self.start()
        wait_until(self._is_ready, self.process, self.log, "PostgreSQL", 60)
        self._prepare()
        return f"PostgreSQL {programs.version} ({programs.origin}) on port {self.port}"

    # programs and folders another user can reach

    def _reachable(self, programs: Programs) -> Programs:
        """PostgreSQL refuses to run as root: choose a user, and places below which that user gets everywhere."""
        if os.geteuid() != 0:
            self.base.mkdir(parents=True, exist_ok=True, mode=0o755)
            return programs
        users = self._users()
        self.base.mkdir(parents=True, exist_ok=True, mode=0o755)
        for run_as in users:
            if _reaches(run_as, programs.folder) and _reaches(run_as, self.base):
                self.run_as = run_as
                return programs
        # the data folder lies below something like /root (0700): move programs and data to a place of their own
        key = hashlib.sha256(str(self.profile.path).encode()).hexdigest()[:10]
        place = Path("/var/lib") / f"shuniu-{key}"
        place.mkdir(mode=0o755, exist_ok=True)
        self.run_as, self.base = users[0], place
        write_atomically(self.profile.path / "postgres.elsewhere", f"{place}\n")
        if programs.origin == "embedded":
            source = self.tools.tool("postgres")  # the whole package: its libraries lie beside the programs
            copy = place / f"programs-{programs.version}"
            if not copy.exists():
                part = fresh(copy.with_suffix(".part"))
                shutil.copytree(source, part, symlinks=True)
                part.rename(copy)
            programs = Programs(copy / programs.folder.relative_to(source), programs.version, programs.origin)
        for run_as in users:
            if _reaches(run_as, programs.folder) and _reaches(run_as, place):
                self.run_as = run_as
                return programs
        raise SetupError(f"no unprivileged user reaches {programs.folder} and {place}; use --data with a folder such as /srv/shuniu")

    @staticmethod
    def _users() -> list[RunAs]:
        """Users the server may run as: who called sudo, then postgres, then nobody."""
        found: list[RunAs] = []
        for name in (os.environ.get("SUDO_USER"), "postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name or "")
            except KeyError:
                continue
            if entry.pw_uid:
                found.append(RunAs(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[]))
        if not found:
            raise SetupError("PostgreSQL does not run as root and there is no user postgres or nobody; run this as an ordinary user")
        return found

    def _own(self, path: Path) -> None:
        if self.run_as:
            os.chown(path, self.run_as["user"], self.run_as["group"])

    # cluster

    @property
    def data(self) -> Path:
        assert self.programs is not None
        return self.base / f"data-{self.programs.version}"

    @property
    def bin(self) -> Path:
        """Folder with psql, pg_dump and the others."""
        assert self.programs is not None
        return self.programs.folder

    def _env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
        return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", "PGPASSWORD": self.profile.secrets()["super"]}

    def _create(self) -> None:
        assert self.programs is not None
        spec = f"{self.programs.version} {self.data}"
        if self.profile.done("cluster", spec) and (self.data / "PG_VERSION").exists():
            return
        older = [folder for folder in self.base.glob("data-*") if folder.is_dir() and folder.suffix != ".part"]
        if self.durable and self.data not in older and older:
            raise SetupError(
                f"{older[0]} holds data of another PostgreSQL version than {self.programs.version}. Move it with pg_dump and pg_restore"
                " of the old version (docs/operating.md), or remove the folder to begin with an empty portal."
            )
        part = fresh(self.base / f"data-{self.programs.version}.part")
        part.mkdir(mode=0o700)
        self._own(part)
        password = self.base / ".password"
        write_atomically(password, self.profile.secrets()["super"], mode=0o600)
        self._own(password)
        # The built-in C.UTF-8 exists from 17 on; before, the one of the C library. Both sort by code point on every machine.
        if self.programs.version >= 17:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            locale = ["--locale=C.UTF-8"]
        options = ["-U", "postgres", "-E", "UTF8", "-A", "scram-sha-256", f"--pwfile={password}", *locale]
        try:
            self.processes.run(
                [self.bin / "initdb", "-D", part, *options, *([] if self.durable else ["--no-sync"])],
                self.log, env=self._env(), cwd=Path("/"), run_as=self.run_as,
            )  # fmt: skip
        finally:
            password.unlink(missing_ok=True)
        fresh(self.data)
        part.rename(self.data)
        self.profile.stamp("cluster", spec)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server process; also how it is started again if it ends."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB"}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return self.processes.start(
            [self.bin / "postgres", "-D", self.data, *options],
            self.log, env=self._env(), cwd=Path("/"), run_as=self.run_as, death_signal=signal.SIGINT,
        )  # fmt: skip

    def _is_ready(self) -> bool:
        check = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres"]
        return subprocess.run(check, env=self._env(), check=False).returncode == 0

    def _psql(self, database: str, sql: str) -> str:
        """Run *sql* as superuser; it goes through standard input, since it holds passwords."""
        server = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]
        command = [str(self.bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *server]
        done = subprocess.run(command, env=self._env(), input=sql, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(f"PostgreSQL refused the set-up of {database}: {done.stderr.strip()}\n{tail(self.log)}")
        return done.stdout

    def _prepare(self) -> None:
        """Login roles, the database and its extension; the owner makes all other roles when it migrates."""
        keys = self.profile.secrets()
        powers = {"shuniu_owner": "CREATEROLE CREATEDB", "app_login": "NOINHERIT", "worker_login": "NOINHERIT"}
        sql = ["SET log_statement = 'none';", "SET log_min_error_statement = 'panic';"]
        for role, secret in LOGINS.items():
            sql.append(
                f"DO $$BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role}; END IF; END$$;\n"
                f"ALTER ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS {powers[role]} PASSWORD '{keys[secret]}';"
            )
        # from 16 on a role with CREATEROLE changes only roles it administers
        sql.append("GRANT app_login, worker_login TO shuniu_owner WITH ADMIN OPTION;")
        sql.append(f"SELECT 'there' FROM pg_database WHERE datname = '{DATABASE}';")
        if "there" not in self._psql("postgres", "\n".join(sql)):
            self._psql("postgres", f"CREATE DATABASE {DATABASE} OWNER shuniu_owner TEMPLATE template0 ENCODING 'UTF8';")
            self._psql(DATABASE, f"REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC;")
            self._psql(DATABASE, f"GRANT CONNECT ON DATABASE {DATABASE} TO app_login, worker_login;")
        self._psql(DATABASE, "CREATE EXTENSION IF NOT EXISTS pg_trgm; REVOKE CREATE ON SCHEMA public FROM PUBLIC;")

    def url(self, role: str, database: str = DATABASE) -> str:
        """SQLAlchemy URL for *role*: postgres, shuniu_owner, app_login or worker_login."""
        password = self.profile.secrets()["super" if role == "postgres" else LOGINS[role]]
        return f"postgresql+psycopg://{role}:{password}@127.0.0.1:{self.port}/{database}"


def _reaches(run_as: RunAs, folder: Path) -> bool:
    done = subprocess.run(["test", "-x", str(folder)], check=False, cwd="/", **run_as)
    return done.returncode == 0
