"""The Python environment and tools that come as packages, all pinned by checksum."""

import hashlib
import importlib.util
import os
import sys
from pathlib import Path

from portal.embedded.home import PROJECT, Home, SetupError, fresh, sha256_of
from portal.embedded.process import Processes

PINS = Path(__file__).parent / "tools"
LOCK = PROJECT / "requirements.txt"


class Tools:
    """Fetches uv, with it the environment of the portal (``venv``) and tools into folders of their own."""

    def __init__(self, home: Home, processes: Processes) -> None:
        self.home = home
        self.processes = processes
        self.python = home.path / "venv" / "bin" / "python"

    def _uv(self, log: str, *arguments: str | Path) -> None:
        fixed = {"UV_CACHE_DIR": str(self.home.cache / "uv"), "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1"}
        fixed["UV_SYSTEM_CERTS"] = os.environ.get("UV_SYSTEM_CERTS", "true")  # companies sign with authorities of their own
        env = {**os.environ, **fixed}
        env.pop("VIRTUAL_ENV", None)
        self.processes.run([self.home.path / "tool" / "uv" / "bin" / "uv", *arguments], self.home.log(log), env=env)

    def fetch_uv(self) -> str:
        """Fetch uv with the pip of this Python, or with that of a throw-away environment."""
        spec = sha256_of(PINS / "uv.txt")
        target = self.home.path / "tool" / "uv"
        if self.home.done("uv", spec):
            return "there"
        part, boot = fresh(self.home.path / "tool" / "uv.part"), fresh(self.home.path / "tool" / "boot.part")
        log = self.home.log("uv")
        if importlib.util.find_spec("pip"):
            pip = [sys.executable, "-m", "pip"]
        else:
            try:
                self.processes.run([sys.executable, "-m", "venv", boot], log)
            except SetupError as error:
                version = f"{sys.version_info.major}.{sys.version_info.minor}"
                raise SetupError(
                    f"this Python has neither pip nor venv. On Debian or Ubuntu: apt-get install python{version}-venv,"
                    f" then run again.\n{error}"
                ) from error
            pip = [str(boot / "bin" / "python"), "-m", "pip"]
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        self.processes.run([*pip, "install", *options, "--target", part, "--requirement", PINS / "uv.txt"], log)
        fresh(target)
        part.rename(target)
        fresh(boot)
        self.home.stamp("uv", spec)
        return "installed"

    def environment_spec(self) -> str:
        """What the environment was made of: the lock and this Python."""
        return hashlib.sha256(LOCK.read_bytes() + sys.version.encode() + str(self.home.path).encode()).hexdigest()

    def is_environment_ready(self) -> bool:
        return self.home.done("python", self.environment_spec()) and self.python.exists()

    def make_environment(self) -> str:
        """Bring the environment to exactly what requirements.txt names."""
        if self.is_environment_ready():
            return "there"
        if not self.home.done("venv", sys.version) or not self.python.exists():
            self._uv("python", "venv", "--quiet", "--python", sys.executable, fresh(self.home.path / "venv"))
            self.home.stamp("venv", sys.version)
        self._uv("python", "pip", "sync", "--quiet", "--python", self.python, "--require-hashes", LOCK)
        self.home.stamp("python", self.environment_spec())
        return "packages installed"

    def tool(self, name: str) -> Path:
        """Folder of the pinned tool *name* (``tools/<name>.txt``), fetched at the first call."""
        pins = PINS / f"{name}.txt"
        folder, spec = self.home.path / "tool" / name, sha256_of(pins)
        if not self.home.done(f"tool-{name}", spec) or not folder.is_dir():
            part = fresh(folder.with_name(f"{name}.part"))
            options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--python", sys.executable]
            self._uv(name, "pip", "install", *options, "--target", part, "--requirements", pins)
            fresh(folder)
            part.rename(folder)
            self.home.stamp(f"tool-{name}", spec)
        return folder

    def lock(self) -> None:
        """Compile requirements.in and the pins of the tools anew, with hashes, for every platform."""
        common = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
        head = ["--custom-compile-command", "python3 run.py lock"]
        self._uv("lock", "pip", "compile", *common, *head, PROJECT / "requirements.in", "-o", LOCK)
        for source in PINS.glob("*.in"):
            alone = [] if source.stem == "java" else ["--no-deps"]
            self._uv("lock", "pip", "compile", *common, *alone, "--no-header", "--no-annotate", source, "-o", source.with_suffix(".txt"))
