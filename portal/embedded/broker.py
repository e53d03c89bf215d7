"""Redis: the machine's own, else the pinned package, else none: the portal then works its outbox without a doorbell."""

import shutil
import subprocess
from pathlib import Path

from portal.embedded.home import Profile, SetupError, write_atomically
from portal.embedded.process import Processes, answers, wait_until
from portal.embedded.tools import Tools


class Broker:
    """One Redis server that keeps its data in the profile."""

    def __init__(self, profile: Profile, tools: Tools, processes: Processes, port: int) -> None:
        self.profile = profile
        self.tools = tools
        self.processes = processes
        self.port = port
        self.log = profile.log("redis")
        self.program: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> str:
        """Find or fetch the server and start it."""
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found:
            self.program, origin = Path(found), "of this machine"
        else:
            self.program, origin = next(self.tools.tool("broker").glob("*/bin/valkey-server")), "embedded"
        if answers(self.port):
            raise SetupError(f"port {self.port} for Redis is in use; choose another with --port")
        self.process = self.start()
        wait_until(lambda: answers(self.port), self.process, self.log, "Redis", 20)
        return f"{self.program.name} ({origin}) on port {self.port}"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server process; also how it is started again if it ends."""
        assert self.program is not None
        folder = self.profile.path / "redis"
        folder.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(folder),
            "requirepass": self.profile.secrets()["redis"],
            "appendonly": "yes",
            "save": '""',
            "maxmemory": "128mb",
            "maxmemory-policy": "noeviction",
        }
        config = folder / "redis.conf"
        write_atomically(config, "".join(f"{key} {value}\n" for key, value in settings.items()), mode=0o600)
        return self.processes.start([self.program, config], self.log)

    def url(self) -> str:
        return f"redis://:{self.profile.secrets()['redis']}@127.0.0.1:{self.port}/0"
