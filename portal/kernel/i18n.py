"""Two languages (ALL-11): msgids are English, every package brings `locale/zh.po`; they are merged into one compiled catalogue."""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask_babel import get_locale, gettext, lazy_gettext, ngettext

ROOT = Path(__file__).resolve().parents[2]
COMPILED = ROOT / "portal" / "translations"
LANGUAGES = {"zh": "中文", "en": "English"}
DEFAULT = "zh"

_ = gettext
_l = lazy_gettext
__all__ = ["_", "_l", "ngettext", "tr", "language", "listed", "sources", "compile_catalogues"]

_lock = threading.Lock()


def language() -> str:
    """The language of this request or job: `zh` or `en`."""
    locale = get_locale()
    return locale.language if locale is not None and locale.language in LANGUAGES else DEFAULT


def tr(label: Any) -> str:
    """The text of a data label `{"zh": …, "en": …}` in the reader's language, the other one when it is missing."""
    if not isinstance(label, dict):
        return "" if label is None else str(label)
    return label.get(language()) or label.get(DEFAULT) or next(iter(label.values()), "")


def listed(texts: Iterable[Any]) -> str:
    """Several texts as one, as the reader's language separates them."""
    return ("、" if language() == "zh" else ", ").join(str(t) for t in texts)


def sources(lang: str = "zh") -> list[Path]:
    """Every package's catalogue, the order fixed so that a merge is reproducible."""
    found = [p for pattern in ("portal/*/locale", "security/locale", "modules/*/locale") for p in ROOT.glob(f"{pattern}/{lang}.po")]
    return sorted(found)


def merged(lang: str = "zh") -> Catalog:
    """One catalogue of all packages. Raises ValueError when two packages translate one msgid differently."""
    whole = Catalog(locale=lang, charset="utf-8")
    for path in sources(lang):
        with path.open("rb") as f:
            part = read_po(f, locale=lang)
        for message in part:
            if not message.id or not message.string:
                continue
            known = whole.get(message.id, message.context)
            if known is not None and known.string != message.string:
                raise ValueError(f"{path}: {message.id!r} is {message.string!r} here and {known.string!r} elsewhere")
            whole.add(message.id, message.string, context=message.context, flags=message.flags)
    return whole


def compile_catalogues(force: bool = False) -> Path:
    """Writes `portal/translations/zh/LC_MESSAGES/messages.mo` when a source is newer; returns the folder."""
    target = COMPILED / "zh" / "LC_MESSAGES" / "messages.mo"
    with _lock:
        newest = max((p.stat().st_mtime for p in sources()), default=0.0)
        if force or not target.exists() or target.stat().st_mtime < newest:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(f".{os.getpid()}.part")  # several processes may find it old at once
            with part.open("wb") as f:
                write_mo(f, merged())
            part.replace(target)
    return COMPILED
