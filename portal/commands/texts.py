"""The texts of the user interface that stand in Python code and templates."""

from pathlib import Path

from babel.messages.extract import extract_from_dir

from portal.kernel.i18n import ROOT

KEYWORDS: dict[str, tuple[int, ...] | None] = {"_": None, "_l": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2), "N_": None}
METHODS = [("**/node_modules/**", "ignore"), ("**.py", "python"), ("**/templates/**.html", "jinja2"), ("**/templates/**.txt", "jinja2")]
FOLDERS = ("portal", "security", "modules")


def used_texts() -> dict[str, str]:
    """Each text (the singular of a plural one) with the first place that uses it."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        options = {"**/templates/**.html": {"encoding": "utf-8"}, "**/templates/**.txt": {"encoding": "utf-8"}}
        for name, line, message, _comments, _context in extract_from_dir(ROOT / folder, METHODS, options, keywords=KEYWORDS):
            text = message if isinstance(message, str) else message[0]
            if text:
                found.setdefault(text, f"{Path(folder) / name}:{line}")
    return found
