"""Two languages: every text has its Chinese, nothing translated is unused, no page mixes the two (ALL-11)."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from babel.messages.pofile import read_po
from flask_babel import force_locale

from portal.commands.texts import used_texts
from portal.kernel import i18n
from portal.kernel.document import humanise, records
from portal.kernel.module import all_modules, assignees, scopes
from portal.kernel.settings import declared as parameters
from portal.web import home, registry
from portal.web.fields import fields_of
from security.transitions import actions_of
from tests.conformance import clean

pytestmark = pytest.mark.req("ALL-11")
HAN = re.compile(r"[\u4e00-\u9fff]")
# the same in both languages
SAME = {"IP", "PDF", "CSV", "XLSX", "ID", "Id", "API", "REST", "WBS", "Webhook", "OK", "中文", "English"}


def labels() -> Iterator[tuple[str, Any]]:
    """Every text that is declared rather than written in a template, with where it stands."""
    from portal.notify import notices, rules

    for m in records():
        yield m.__name__, m.__label__
        yield m.__name__, m.__label_plural__
        for f in fields_of(m).values():
            yield f"{m.__name__}.{f.name}", f.label
            yield f"{m.__name__}.{f.name}", f.help
            yield f"{m.__name__}.{f.name}", f.unit
            yield from ((f"{m.__name__}.{f.name}={k}", v) for k, v in f.choices.items())
        for a in actions_of(m):
            yield f"{m.__name__}.{a.name}", a.label
            yield f"{m.__name__}.{a.name}", a.confirm
            for name, argument in a.arguments.items():
                yield f"{m.__name__}.{a.name}({name})", argument.label
                yield from ((f"{m.__name__}.{a.name}({name}={k})", v) for k, v in argument.choices.items())
    for module in all_modules():
        yield module.name, module.label
    for scope in scopes.values():
        yield scope.name, scope.label
        yield scope.name, scope.help
    yield from ((a.name, a.label) for a in assignees.values())
    for p in parameters.values():
        yield p.name, p.label
        yield p.name, p.help
    for screen in registry.screens.values():
        yield screen.__name__, screen.menu_label()
        yield screen.__name__, screen.add_label
        yield from ((screen.__name__, v) for k, v in screen.empty.items() if k in ("title", "text"))
        yield from ((screen.__name__, title) for title, _names in screen.sections)
        yield from ((screen.__name__, title) for title, _query in screen.tabs)
        yield from ((f"{screen.__name__}.{k}", c.label) for k, c in screen.computed.items())
    for page in registry.pages.values():
        yield page.__name__, page.menu_label()
    yield from ((f"card {c.key}", c.title) for c in home.cards.values())
    for kind in notices.kinds():
        yield kind.name, kind.label
        yield kind.name, kind.title
        yield kind.name, kind.body
    for rule in rules.declared.values():
        yield from ((rule.code, t) for t in (rule.title, rule.label, rule.body, *rule.labels.values()))


def msgids(catalogue: Any) -> set[str]:
    return {m.id if isinstance(m.id, str) else m.id[0] for m in catalogue if m.id and m.string}


def test_every_text_in_code_and_templates_has_its_chinese() -> None:
    known = msgids(i18n.merged())
    clean({f"{place}: {text!r}" for text, place in used_texts().items() if text not in known})


def test_every_declared_label_has_both_languages(app: Any) -> None:
    """Also the labels that columns have by their name only, which no extraction finds."""
    wrong = set()
    with app.test_request_context("/"):
        for where, label in labels():
            if not label:
                continue
            with force_locale("zh"):
                zh = str(label)
            with force_locale("en"):
                en = str(label)
            if HAN.search(en) and en not in SAME:
                wrong.add(f"{where}: {en!r} in English")
            if not HAN.search(zh) and zh not in SAME and re.search(r"[A-Za-z]{2}", zh):
                wrong.add(f"{where}: {zh!r} in Chinese")
    clean(wrong)


def test_nothing_translated_is_unused(app: Any) -> None:
    dynamic = set()
    with app.test_request_context("/"), force_locale("en"):
        dynamic = {str(label) for _where, label in labels() if label}
    dynamic |= {humanise(c.name) for m in records() for c in m.__table__.columns}
    used = set(used_texts()) | dynamic
    unused = {}
    for path in i18n.sources():
        with path.open("rb") as f:
            mine = msgids(read_po(f, locale="zh"))
        if mine - used:
            unused[str(path.relative_to(i18n.ROOT))] = sorted(mine - used)
    clean(unused)


def test_placeholders_are_the_same_in_both_languages() -> None:
    wrong = []
    for message in i18n.merged():
        if not message.id or not message.string:
            continue
        ids = [message.id] if isinstance(message.id, str) else list(message.id)
        strings = [message.string] if isinstance(message.string, str) else list(message.string)
        wanted = set(re.findall(r"%\((\w+)\)[sd]|\{(\w+)\}", " ".join(ids)))
        for s in strings:
            if set(re.findall(r"%\((\w+)\)[sd]|\{(\w+)\}", s)) - wanted:
                wrong.append(f"{ids[0]!r}: {s!r}")
        if len(ids) == 1 and set(re.findall(r"%\((\w+)\)[sd]|\{(\w+)\}", strings[0])) != wanted:
            wrong.append(f"{ids[0]!r}: {strings[0]!r}")
    clean(wrong)


def test_chinese_texts_are_chinese() -> None:
    wrong = []
    for message in i18n.merged():
        strings = [message.string] if isinstance(message.string, str) else list(message.string or [])
        for s in strings:
            if (
                message.id
                and s
                and not HAN.search(s)
                and s not in SAME
                and re.search(r"[A-Za-z]{3}", re.sub(r"%\(\w+\)[sd]|\{\w+\}", "", s))
            ):
                wrong.append(f"{message.id!r}: {s!r}")
    clean(wrong)
