"""The services of one profile together: what has to be fetched, what runs after what, what the portal must know of them."""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from portal.embedded.assets import Node, build_assets
from portal.embedded.broker import Broker
from portal.embedded.browser import Browser
from portal.embedded.home import Home, Profile
from portal.embedded.keycloak import ADMIN, Keycloak, KeycloakFiles
from portal.embedded.postgres import Postgres
from portal.embedded.process import Processes, answers, free_port
from portal.embedded.steps import Steps, in_ci
from portal.embedded.supervisor import Supervisor
from portal.embedded.tools import Tools


@dataclass(frozen=True)
class Ports:
    """Ports of one profile, all on 127.0.0.1."""

    portal: int
    keycloak: int
    postgres: int
    redis: int
    management: int

    @classmethod
    def from_first(cls, first: int) -> "Ports":
        """The portal at *first*, Keycloak, PostgreSQL, Redis and Keycloak's management on the next four."""
        return cls(first, first + 1, first + 2, first + 3, first + 4)

    @classmethod
    def kept_free(cls, profile: Profile) -> "Ports":
        """Free ports, the same as last time if they are still free, so that the realm need not be made anew for others."""
        path = profile.path / "ports.json"
        if path.is_file():
            ports = cls(**json.loads(path.read_text(encoding="utf-8")))
            if not any(answers(port) for port in vars(ports).values()):
                return ports
        ports = cls(*(free_port() for _ in range(5)))
        path.write_text(json.dumps(vars(ports)), encoding="utf-8")
        return ports


class Stack:
    """PostgreSQL, Redis and Keycloak of one profile, with the environment and the assets the portal needs."""

    def __init__(self, home: Home, name: str, ports: Ports, *, durable: bool) -> None:
        self.home = home
        self.profile = home.profile(name)
        self.ports = ports
        self.processes = Processes()
        self.tools = Tools(home, self.processes)
        self.node = Node(home, self.tools, self.processes)
        self.postgres = Postgres(self.profile, self.tools, self.processes, ports.postgres, durable=durable)
        self.broker = Broker(self.profile, self.tools, self.processes, ports.redis)
        self.keycloak_files = KeycloakFiles(home, self.tools, self.processes)
        self.keycloak = Keycloak(
            self.profile, self.keycloak_files, self.processes, ports.keycloak, ports.management, f"http://127.0.0.1:{ports.portal}"
        )
        self.browser = Browser(home, self.node, self.processes)
        self.supervisor = Supervisor(self.processes, lambda name, text: None)
        self._supervised = False

    def steps(self, *, keycloak: bool, browser: bool, assets: bool = True, external_database: bool = False) -> Steps:
        """All set-up as steps; Redis, Keycloak and the browser may be missing, except in an automatic run."""
        steps = Steps(optional=() if in_ci() else ("redis", "keycloak", "sign-on", "browser"))
        self.supervisor.say = steps.say
        self.profile.secrets()
        steps.add("uv", self.tools.fetch_uv)
        steps.add("python", self.tools.make_environment, "uv")
        if not external_database:
            steps.add("postgres", self.postgres.up, "uv")
        steps.add("redis", self.broker.up, "uv")
        if assets:
            steps.add("assets", lambda: build_assets(self.node), "uv")
        if browser:
            steps.add("browser", self.browser.find, "uv")
        if keycloak:
            steps.add("keycloak", self.keycloak_files.make, "uv")
            steps.add("sign-on", lambda: self.keycloak.up(forget=not self.postgres.durable), "keycloak")
        return steps

    def supervise(self, patience: float = 60) -> None:
        """From now on a service that ends is started again; at the end each gets *patience* seconds."""
        self._supervised = True
        keep = self.supervisor.keep
        if self.postgres.process:
            keep("postgres", self.postgres.start, self.postgres.log, self.postgres.process, signal.SIGINT, patience)
        if self.broker.process:
            keep("redis", self.broker.start, self.broker.log, self.broker.process)
        if self.keycloak.process:
            keep("sign-on", self.keycloak.start, self.keycloak.log, self.keycloak.process, signal.SIGTERM, patience)

    def stop(self) -> None:
        """End all services; also those of a set-up that did not get to the end."""
        if not self._supervised:
            self.supervise(patience=5)
        self.supervisor.stop()
        self.processes.abort()

    def portal_environment(self, *, local_accounts: bool) -> dict[str, str]:
        """Settings of a portal that uses these services, as environment variables."""
        keys = self.profile.secrets()
        settings = {
            "SECRET_KEY": keys["secret_key"],
            "PUBLIC_URL": self.keycloak.portal,
            "HOST": "127.0.0.1",
            "PORT": str(self.ports.portal),
            "OIDC_ISSUER": self.keycloak.issuer,
            "OIDC_CLIENT_SECRET": keys["oidc_client"],
            "LOCAL_ACCOUNTS": str(local_accounts).lower(),
            "DEMO": "true",
            "DATA_DIR": str(self.profile.path / "files"),
        }
        if self.postgres.process:
            settings["DATABASE_URL"] = self.postgres.url("app_login")
            settings["WORKER_DATABASE_URL"] = self.postgres.url("worker_login")
            settings["OWNER_DATABASE_URL"] = self.postgres.url("shuniu_owner")
        if self.broker.process:
            settings["REDIS_URL"] = self.broker.url()
        return {f"SHUNIU_{key}": value for key, value in settings.items()}

    def test_environment(self) -> dict[str, str]:
        """What the tests are told, see the documentation of this package."""
        keys = self.profile.secrets()
        found = {
            "PG_SUPER_URL": self.postgres.url("postgres", "postgres"),
            "PG_OWNER_URL": self.postgres.url("shuniu_owner"),
            "PG_APP_URL": self.postgres.url("app_login"),
            "PG_WORKER_URL": self.postgres.url("worker_login"),
            "PG_BIN": str(self.postgres.bin),
            "PORTAL_URL": self.keycloak.portal,
        }
        if self.broker.process:
            found |= {"REDIS_URL": self.broker.url(), "REDIS_SERVER": str(self.broker.program)}
        if self.keycloak.process and self.keycloak.is_ready():
            found |= {
                "OIDC_ISSUER": self.keycloak.issuer,
                "OIDC_CLIENT_SECRET": keys["oidc_client"],
                "OIDC_ADMIN_USER": ADMIN,
                "OIDC_ADMIN_PASSWORD": keys["keycloak_admin"],
                "KEYCLOAK_PID": str(self.keycloak.process.pid),
            }
        if self.browser.program:
            found |= {"CHROMIUM": str(self.browser.program), "CHROMIUM_ENV": json.dumps(self.browser.env)}
        return {f"SHUNIU_TEST_{key}": value for key, value in found.items()}


def child_environment(extra: Mapping[str, str], home: Home | None = None) -> dict[str, str]:
    """Our environment plus *extra*; what was set from outside for the portal wins, except the names *extra* must fix.

    Where Python is told to leave no compiled files beside the sources they are kept below *home*: without any, every process compiles
    some two thousand modules each time it starts.
    """
    compiled = {}
    if home is not None and os.environ.get("PYTHONDONTWRITEBYTECODE"):
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(home.cache / "python")}
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **compiled, **extra}
