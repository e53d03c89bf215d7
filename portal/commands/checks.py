"""Checks that need no server: format, lint, types, import tiers, security lint, secrets, translations."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from portal.kernel import i18n

SECRETS = i18n.ROOT / "tests" / "conformance" / "known_secrets.json"
"""What looks like a secret and is none: SHA-1 of the text, and why."""
CODE = ("run.py", "config.py", "portal", "security", "modules")


def check(names: Sequence[str] = ()) -> int:
    """Run all checks, or those named; every check runs even if one before failed. 1 if any failed."""
    unknown = set(names) - CHECKS.keys()
    if unknown:
        print(f"no such check: {', '.join(sorted(unknown))}; there are: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    failed = []
    for name, run in CHECKS.items():
        if names and name not in names:
            continue
        began = time.monotonic()
        print(f"== {name}", flush=True)
        if not run():
            failed.append(name)
        print(f"   {'FAILED' if name in failed else 'ok'} ({time.monotonic() - began:.1f} s)", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def _tool(*command: str) -> Callable[[], bool]:
    return lambda: subprocess.run([sys.executable, "-m", *command], check=False).returncode == 0


def _import_tiers() -> bool:
    """import-linter has no ``-m`` form."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def translations() -> list[str]:
    """What is wrong with the translations: texts in the code without Chinese, and texts nobody uses."""
    from portal.commands.texts import used_texts

    used = used_texts()
    known = {message.id if isinstance(message.id, str) else message.id[0] for message in i18n.merged() if message.id and message.string}
    found = [f"{place}: no Chinese for {text!r}" for text, place in sorted(used.items()) if text not in known]
    return found


def _translations() -> bool:
    try:
        found = translations()
    except ValueError as error:
        found = [str(error)]
    for line in found:
        print(f"   {line}")
    return not found


def secrets() -> list[str]:
    """What looks like a secret in a committed file and is not in the list of those that are none; and entries that are gone."""
    from detect_secrets.core.secrets_collection import SecretsCollection
    from detect_secrets.settings import default_settings

    listed = subprocess.run(["git", "ls-files", "-z"], cwd=i18n.ROOT, capture_output=True, text=True, check=False)
    names = [n for n in listed.stdout.split("\0") if n and not n.endswith((".txt", "package-lock.json"))]
    if not names:
        return ["this is no checkout: git lists no files"]
    known: dict[str, str] = json.loads(SECRETS.read_text(encoding="utf-8"))
    found = SecretsCollection(root=str(i18n.ROOT))
    with default_settings():
        for name in names:
            if i18n.ROOT / name != SECRETS:
                found.scan_file(name)
    seen = {one.secret_hash: f"{Path(one.filename).relative_to(i18n.ROOT)}:{one.line_number}: {one.type}" for _name, one in found}
    new = [f"{place} ({hash_})" for hash_, place in seen.items() if hash_ not in known]
    return sorted(new) + [f"{hash_} is not there any more: {known[hash_]}" for hash_ in sorted(known.keys() - seen.keys())]


def _secrets() -> bool:
    found = secrets()
    for line in found:
        print(f"   {line}")
    return not found


CHECKS: dict[str, Callable[[], bool]] = {
    "format": _tool("ruff", "format", "--check", "."),
    "lint": _tool("ruff", "check", "."),
    "types": _tool("mypy"),
    "tiers": _import_tiers,
    "bandit": _tool("bandit", "-q", "-r", "--severity-level", "medium", "--confidence-level", "medium", "-c", "pyproject.toml", *CODE),
    "secrets": _secrets,
    "translations": _translations,
}
