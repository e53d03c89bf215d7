"""What was typed into a form or sent as JSON, checked by the same rules, and the fields a form shows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from portal.kernel.errors import BadRequest, Invalid
from portal.kernel.i18n import LANGUAGES, _
from portal.web import registry
from portal.web.fields import NONE, Field, FieldError, fields_of
from portal.web.rows import Row

CONTROLS = frozenset({"csrf_token", "version", "next", "go", "query"})
"""Names a form posts beside its fields."""


class Typed(Protocol):
    """A posted form."""

    def keys(self) -> Iterable[str]: ...
    def get(self, key: str) -> Any: ...
    def getlist(self, key: str) -> list[str]: ...


def parse(model: type[Any], names: Sequence[str], form: Typed, *, partial: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and errors of a posted form whose fields are *names*. *partial*: what is not posted stays as it is."""
    fields = fields_of(model)
    values: dict[str, Any] = {}
    errors = {k: _("This may not be set here.") for k in form.keys() if not _known(k, names)}  # noqa: SIM118
    for name in names:
        f = fields[name]
        if not _posted(f, form):
            continue
        try:
            values[name] = _typed(f, form)
        except FieldError as e:
            errors[name] = str(e)
    _complete(fields, names, values, errors, partial)
    return values, errors


def _known(key: str, names: Sequence[str]) -> bool:
    if key in CONTROLS or key.startswith(("_", "keep.")):
        return True
    base = key.removesuffix("__present").removesuffix(".zh").removesuffix(".en")
    return base in names


def _posted(f: Field, form: Typed) -> bool:
    keys = set(form.keys())
    if f.kind in ("bool", "multichoice"):
        return f.name in keys or f"{f.name}__present" in keys
    if f.kind == "label":
        return f.name in keys or any(f"{f.name}.{lang}" in keys for lang in LANGUAGES)
    return f.name in keys


def _typed(f: Field, form: Typed) -> Any:
    if f.kind == "bool":
        return f.parse(form.get(f.name)) or False
    if f.kind == "multichoice":
        return f.check([v for v in form.getlist(f.name) if v])
    if f.kind == "label":
        given = {lang: form.get(f"{f.name}.{lang}") or (form.get(f.name) if lang == "zh" else None) or "" for lang in LANGUAGES}
        return f.from_json(given) if any(v.strip() for v in given.values()) else None
    return f.parse(form.get(f.name))


def parse_json(model: type[Any], names: Sequence[str], body: Any, *, partial: bool) -> dict[str, Any]:
    """Values of a JSON object. Raises Invalid naming every unknown, forbidden, missing or wrong field; BadRequest when it is no object."""
    if not isinstance(body, dict):
        raise BadRequest(_("The body must be a JSON object."), code="bad_json")
    fields = fields_of(model)
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, raw in body.items():
        if name not in names:
            errors[str(name)[:60]] = _("This may not be set here.") if name in fields else _("There is no such field.")
            continue
        try:
            values[name] = fields[name].from_json(raw)
        except FieldError as e:
            errors[name] = str(e)
    _complete(fields, names, values, errors, partial)
    if errors:
        raise Invalid(errors)
    return values


def _complete(fields: Mapping[str, Field], names: Sequence[str], values: dict[str, Any], errors: dict[str, str], partial: bool) -> None:
    for name in names:
        f = fields[name]
        empty = values.get(name) is None or values.get(name) == ""
        if name in errors or not empty:
            continue
        if name in values and not f.nullable and not f.required:
            del values[name]  # the column's own default applies
        elif (f.required or not f.nullable) and (name in values or (f.required and not partial)):
            errors[name] = _("This is required.")


# -------------------------------------------------------------------- what a form shows
def control(
    f: Field, *, value: Any = None, text: str | None = None, display: str = NONE, error: str = "", readonly: bool = False
) -> dict[str, Any]:
    """One field for the templates. *text*: what was typed, shown again as it was."""
    return {
        "name": f.name,
        "label": str(f.label),
        "kind": f.kind,
        "value": text if text is not None else plain(f, value),
        "display": display,
        "required": f.required and not f.readonly and not readonly,
        "readonly": readonly,
        "choices": [{"value": k, "label": str(v)} for k, v in f.choices.items()],
        "error": error,
        "help": str(f.help) if f.help else "",
        "lookup_url": lookup_url(f),
        "multiline": f.kind == "longtext",
        "unit": str(f.unit) if f.unit else "",
        "href": None,
        "multiple": False,
        "min": _plain_number(f.minimum),
        "max": _plain_number(f.maximum),
        "step": _step(f),
        "placeholder": "",
        "tone": f.tone(value) if f.kind in ("state", "choice") and value is not None else None,
        "span": f.span,
    } | _suggested(f)


def _suggested(f: Field) -> dict[str, Any]:
    if f.suggest is None:
        return {"suggestions": []}
    offered, note = f.suggest()
    help_ = " ".join(str(part) for part in (f.help, note) if part)
    return {"suggestions": [{"value": k, "label": str(v)} for k, v in offered.items()], "help": help_}


def controls(
    model: type[Any], names: Sequence[str], row: Row | None, *, typed: Any = None, errors: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The fields of a form: from *row* (labels included), or from what was *typed*, shown again with its *errors*."""
    fields, errors, out = fields_of(model), errors or {}, []
    for name in names:
        f = fields[name]
        value = row.values.get(name) if row is not None else None
        display = row.display(f) if row is not None else NONE
        error = errors.get(name, "")
        if f.kind == "label":
            out += _label_controls(f, value, typed, error)
            continue
        text = None
        if typed is not None and _posted(f, typed):
            text = _shown_again(f, typed)
            display = "" if f.kind in ("ref", "person") and str(text or "") != str(value or "") else display
        out.append(control(f, value=value, text=text, display=display, error=error))
    return out


def _shown_again(f: Field, typed: Any) -> Any:
    if f.kind == "bool":
        return bool(typed.get(f.name))
    if f.kind == "multichoice":
        return typed.getlist(f.name)
    return typed.get(f.name) or ""


def _label_controls(f: Field, value: Any, typed: Any, error: str) -> list[dict[str, Any]]:
    out = []
    for lang, language in LANGUAGES.items():
        one = control(f, value=None, error=error if lang == "zh" else "")
        key = f"{f.name}.{lang}"
        text = typed.get(key) if typed is not None else None
        shown = text if text is not None else (value or {}).get(lang, "")
        label = f"{f.label} ({language})"
        out.append(
            one
            | {
                "name": key,
                "kind": "text",
                "label": label,
                "value": shown,
                "display": shown or NONE,
                "required": f.required and lang == "zh",
            }
        )
    return out


def plain(f: Field, value: Any) -> Any:
    """*value* as an input holds it."""
    if value is None:
        return [] if f.kind == "multichoice" else None
    if f.kind == "datetime":
        from portal.kernel import calendar

        return calendar.local(value).strftime("%Y-%m-%dT%H:%M")
    if f.kind in ("money", "decimal", "hours"):
        return f"{value:.{f.scale}f}"
    if f.kind == "date":
        return value.isoformat()
    return value


def _plain_number(value: Any) -> Any:
    return None if value is None else str(value)


def _step(f: Field) -> str | None:
    if f.kind == "hours":
        return "0.5"
    if f.kind in ("money", "decimal"):
        return "0." + "0" * (f.scale - 1) + "1" if f.scale else "1"
    return "1" if f.kind == "integer" else None


def lookup_url(f: Field) -> str | None:
    """Where a picker for the field finds its choices; None when it has none."""
    if f.kind == "person":
        return "/lookup/people"
    if f.kind != "ref" or f.target is None:
        return None
    resource = registry.resources.get(f.lookup or "") or registry.resource_of(f.target)
    return f"/lookup/{resource.resource_name}" if resource is not None else None


def sections(given: Sequence[tuple[Any, Sequence[str]]], built: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fields *built* in the *given* sections; what no section names comes last."""
    left = list(built)
    out = []
    for title, names in given:
        mine = [b for b in left if b["name"].split(".")[0] in names]
        mine.sort(key=lambda b: list(names).index(b["name"].split(".")[0]))
        left = [b for b in left if b not in mine]
        if mine:
            out.append({"title": str(title), "fields": mine})
    if left or not out:
        out.append({"title": _("More") if out else "", "fields": left})
    return out
