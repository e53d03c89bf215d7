"""The data folder: where things lie, what is finished (stamps), who works in it (locks), and the generated secrets."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


class SetupError(Exception):
    """A step cannot work; the text says what is missing and what to do about it."""


class Home:
    """The shared part of the data folder: Python environment, downloads, stamps, logs."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "log"
        self.cache = self.path / "cache"

    def create(self) -> None:
        """Make the folder. It stays readable for others, since PostgreSQL may have to run as another user; secrets are 0600."""
        for folder in (self.path, self.logs, self.cache, self.path / "stamp", self.path / "tool"):
            folder.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o755)

    def profile(self, name: str) -> "Profile":
        return Profile(self, name)

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def done(self, key: str, spec: str) -> bool:
        """Whether step *key* was finished for exactly this *spec*."""
        stamp = self.path / "stamp" / key
        return stamp.is_file() and stamp.read_text(encoding="utf-8") == spec

    def stamp(self, key: str, spec: str) -> None:
        """Remember that step *key* is finished for *spec*; written last, so an interrupted step runs again."""
        write_atomically(self.path / "stamp" / key, spec)

    @contextlib.contextmanager
    def setting_up(self) -> Iterator[None]:
        """Only one process prepares the shared part at a time; a second one waits."""
        with locked(self.path / "setup.lock", wait="waiting for another set-up in this data folder …"):
            yield


class Profile:
    """The part of the data folder that one set of running services owns."""

    def __init__(self, home: Home, name: str) -> None:
        self.home = home
        self.name = name
        self.path = home.path / name

    def create(self) -> None:
        for folder in (self.path, self.path / "log"):
            folder.mkdir(parents=True, exist_ok=True)

    def log(self, part: str) -> Path:
        return self.path / "log" / f"{part}.log"

    def done(self, key: str, spec: str) -> bool:
        return self.home.done(f"{self.name}-{key}", spec)

    def stamp(self, key: str, spec: str) -> None:
        self.home.stamp(f"{self.name}-{key}", spec)

    def secrets(self) -> dict[str, str]:
        """Passwords and keys of this profile, generated once, readable by the owner of the folder only."""
        path = self.path / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        names = ("super", "owner", "app", "worker", "redis", "keycloak_admin", "oidc_client", "secret_key")
        missing = [name for name in names if name not in known]
        if missing:
            known.update({name: secrets.token_urlsafe(32) for name in missing})
            write_atomically(path, json.dumps(known, indent=1), mode=0o600)
        return known

    def state(self) -> dict[str, object]:
        """What the running process of this profile wrote about itself; empty when none runs."""
        path = self.path / "running.json"
        if not path.is_file():
            return {}
        try:
            state: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return {}
        return state if self.is_locked() else {}

    def is_locked(self) -> bool:
        """Whether a living process runs this profile."""
        path = self.path / "lock"
        if not path.exists():
            return False
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


@contextlib.contextmanager
def locked(path: Path, wait: str = "") -> Iterator[None]:
    """Hold the lock file *path*. Another holder: print *wait* and wait, or without that text raise ``SetupError``.

    The kernel lets go of the lock when the process dies, however it dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise SetupError(f"{path.parent} is in use by another process") from None
            print(wait, file=sys.stderr, flush=True)
            while True:  # not one blocking call: Ctrl-C must work
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.3)
        yield


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write *text* so that *path* is never half a file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    part.chmod(mode)
    part.rename(path)


def fresh(path: Path) -> Path:
    """*path*, with whatever an interrupted run left there removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def digest(*paths: Path) -> str:
    """Hash over names and contents of files and folders, to see whether something changed."""
    total = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "node_modules" not in file.parts:
                total.update(str(file.relative_to(path.parent)).encode() + b"\0")
                total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def sha256_of(path: Path) -> str:
    """Checksum of a download."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
