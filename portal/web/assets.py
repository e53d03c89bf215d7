"""Built files of the pages: name → address with a hash in it, kept by browsers for a year."""

import json
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, current_app, send_from_directory

FOLDER = Path(__file__).parent / "static" / "dist"
blueprint = Blueprint("static", __name__)
YEAR = 31_536_000


@cache
def _manifest(_changed: float) -> dict[str, str]:
    path = FOLDER / "manifest.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    return {str(k): str(v) for k, v in found.items()}


def manifest() -> dict[str, str]:
    """Names and files as built; read again when a new build appears. Empty before the first one."""
    path = FOLDER / "manifest.json"
    return _manifest(path.stat().st_mtime) if path.exists() else {}


def asset(name: str) -> str:
    """Address of the built file *name*."""
    return f"/static/{manifest().get(name, name)}"


@blueprint.get("/static/<path:name>", endpoint="file")
def static_file(name: str) -> Response:
    """A built file. Those with a hash in their name never change."""
    response = send_from_directory(FOLDER, name, conditional=True)
    hashed = name in manifest().values()
    response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable" if hashed and not current_app.debug else "no-cache"
    return response
