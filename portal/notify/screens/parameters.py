"""System parameters, page and REST: type, default, help, value in force, who changed it from what to what (POR-12)."""

from collections.abc import Mapping
from typing import Any

from flask import Response, flash, redirect, request
from sqlalchemy import select

from portal.kernel import settings
from portal.kernel.company import Parameter as Stored
from portal.kernel.db import session
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.i18n import _, _l
from portal.kernel.module import all_modules
from portal.kernel.settings import Parameter
from portal.web import words
from portal.web.access import route
from portal.web.administration import LAYERS
from portal.web.describing import Schema, listed, one, operation
from portal.web.page import Page
from portal.web.resource import Endpoints, answer, object_body
from security.audit import changes_of

NAME = "kernel.Parameter"
SHOWN = 50
"""Changes on the page, and in one answer of REST."""


def titles() -> dict[str, str]:
    """First word of a parameter's name → the part of the portal it belongs to."""
    return {name: str(label) for name, label in LAYERS.items()} | {module.name: str(module.label) for module in all_modules()}


def changes(names: set[str] | None = None) -> list[dict[str, Any]]:
    """What became of the parameters *names* (of all), newest first; of secrets only that they changed."""
    rows = {r.id: r for r in session().execute(select(Stored.id, Stored.name, Stored.secret)) if names is None or r.name in names}
    out = []
    for e in changes_of(Stored, rows, SHOWN):
        row, known = rows[e.row_id], settings.declared.get(rows[e.row_id].name)
        default = None if known is None else _plain(known.default)
        old, new = e.old or {}, e.new or {}
        if "value" not in new:
            continue
        reset = new["value"] is None
        out.append(
            {
                "at": e.at,
                "by": e.actor,
                "by_name": e.actor_name or _("The system"),
                "name": row.name,
                "label": str(known.label) if known else row.name,
                "reset": reset,
                "before": None if row.secret else default if old.get("value") is None else old["value"],
                "after": None if row.secret else default if reset else new["value"],
                "secret": row.secret,
            }
        )
    return out


def _plain(value: Any) -> Any:
    """A value as it is stored."""
    return value if isinstance(value, bool | int | str) else str(value)


class Parameters(Page):
    """Every declared parameter by the part it belongs to, and what was changed lately."""

    name = NAME
    route_base = "/parameters"
    title = _l("System parameters")
    menu = "Administration"
    menu_order = 45
    icon = "settings"

    @route("/")
    def show(self) -> str:
        """Every declared parameter."""
        return self._page({})

    @route("/", methods=("POST",), verb="edit")
    def save(self) -> Any:
        """Stores what differs, and lets the default of `reset` be in force; what cannot be accepted is shown again with the reasons."""
        problems: dict[str, str] = {}
        back = request.form.get("reset")
        for name, known in settings.declared.items():
            raw = request.form.get(name)
            if name == back:
                known.reset()
                continue
            if raw is None and not (known.kind == "bool" and f"{name}__present" in request.form):
                continue
            if known.secret and raw == "":
                continue  # an empty secret keeps the stored one
            value = bool(raw) if known.kind == "bool" else (raw or "").strip()
            try:
                if known.secret or known.parse(value) != known.get():
                    known.set(value)
            except Invalid as wrong:
                problems |= {k: str(v) for k, v in wrong.fields.items()}
        if problems:
            session().rollback()
            return self._page(problems), 422
        session().flush()
        flash(_("Saved."), "success")
        return redirect("/parameters/", 303)

    def _page(self, problems: dict[str, str]) -> str:
        stored, done = settings.stored_names(), changes()
        latest: dict[str, dict[str, Any]] = {}
        for change in done:
            latest.setdefault(change["name"], change)
        groups: dict[str, list[dict[str, Any]]] = {}
        for name, known in sorted(settings.declared.items()):
            groups.setdefault(name.partition(".")[0], []).append(_field(known, problems, name in stored, latest.get(name)))
        named = titles()
        return self.render(
            "notify/parameters.html",
            sections=[{"title": named.get(name, name), "fields": fields} for name, fields in groups.items()],
            bad=[f for fields in groups.values() for f in fields if f["error"]],
            changes=[c | {"at": words.moment(c["at"]), "before": _words(c, "before"), "after": _words(c, "after")} for c in done],
        )


def _field(known: Parameter[Any], problems: dict[str, str], stored: bool, latest: dict[str, Any] | None) -> dict[str, Any]:
    """A parameter for the form."""
    kept = "" if known.secret else known.get()
    value = request.form.get(known.name, "") if problems and known.kind != "bool" else kept
    hint = str(known.help) if known.help else ""
    if not known.secret:
        hint = " ".join(part for part in (hint, _("Default: %(value)s.", value=_worded(known.default))) if part)
    elif not stored:
        hint = " ".join(part for part in (hint, _("Not set.")) if part)
    return {
        "name": known.name,
        "label": str(known.label),
        "kind": "text" if known.kind == "time" else known.kind,
        "value": value,
        "display": str(value),
        "help": hint,
        "error": problems.get(known.name, ""),
        "placeholder": _("Stored; type to replace it") if known.secret and stored else "",
        "autocomplete": "off",
        "choices": [],
        "span": 1,
        "stored": stored,
        "changed": _("Changed by %(who)s, %(at)s", who=latest["by_name"], at=words.moment(latest["at"])) if stored and latest else "",
    }


def _words(change: dict[str, Any], side: str) -> str:
    if change["secret"]:
        return str(_("secret")) if side == "after" and not change["reset"] else words.NONE
    return _worded(change[side])


def _worded(value: Any) -> str:
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    return words.NONE if value is None or value == "" else str(value)


# -------------------------------------------------------------------- REST
class ParameterEndpoints(Endpoints, at="parameters", name=NAME):
    """`/api/v1/parameters/`: every parameter with its value in force; values of secrets never."""

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """One parameter, and one change."""
        return {cls.resource_name: SCHEMA, "parameter-changes": CHANGE}

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Schema]]:
        """Reading, changing, resetting, and what was changed."""
        base, tag, shown = cls.route_base, [cls.resource_name], one(cls.resource_name, "string")
        key: Schema = {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}
        words_, body = (
            _("System parameters"),
            {"type": "object", "required": ["value"], "additionalProperties": False, "properties": {"value": {}}},
        )
        return {
            f"{base}/": {"get": operation("list_parameters", words_, tag, listed(cls.resource_name))},
            f"{base}/changes": {"get": operation("list_parameter_changes", _("History"), tag, listed("parameter-changes"))},
            f"{base}/{{key}}": {
                "get": operation("get_parameter", words_, tag, shown, parameters=[key], errors=(404,)),
                "put": operation("change_parameter", words_, tag, shown, parameters=[key], body=body, errors=(400, 404, 422)),
                "delete": operation("reset_parameter", _("Back to the default"), tag, shown, parameters=[key], errors=(404,)),
            },
        }

    @route("/")
    def get_list(self) -> Response:
        """Every parameter, by name."""
        stored = settings.stored_names()
        found = [_json(known, known.name in stored) for _name, known in sorted(settings.declared.items())]
        return answer({"count": len(found), "result": found, "next": None})

    @route("/changes")
    def get_changes(self) -> Response:
        """The latest changes of all parameters, newest first."""
        found = changes()
        return answer({"count": len(found), "result": [{k: v for k, v in c.items() if k != "label"} for c in found], "next": None})

    @route("/<key>")
    def get(self, key: str) -> Response:
        """One parameter."""
        known = _known(key)
        return self._one(known, key in settings.stored_names())

    @route("/<key>", methods=("PUT",), verb="edit")
    def update(self, key: str) -> Response:
        """`{"value": …}`: in force everywhere within 10 seconds."""
        known, given = _known(key), object_body()
        if set(given) != {"value"}:
            raise Invalid({"value": _("This is required.")})
        known.set(given["value"])
        session().flush()
        return self._one(known, True, known.parse(given["value"]))

    @route("/<key>", methods=("DELETE",), verb="edit")
    def reset(self, key: str) -> Response:
        """The default is in force again."""
        known = _known(key)
        known.reset()
        session().flush()
        return self._one(known, False, known.default)

    def _one(self, known: Parameter[Any], stored: bool, value: Any = None) -> Response:
        return answer({"id": known.name, "result": _json(known, stored, value)})


def _known(key: str) -> Parameter[Any]:
    known = settings.declared.get(key)
    if known is None:
        raise NotFound(_("There is no such parameter."))
    return known


def _json(known: Parameter[Any], stored: bool, value: Any = None) -> dict[str, Any]:
    """*value*: what this transaction put in force, which others see only after it."""
    return {
        "name": known.name,
        "label": str(known.label),
        "help": str(known.help),
        "type": known.kind,
        "secret": known.secret,
        "default": None if known.secret else _plain(known.default),
        "value": None if known.secret else _plain(known.get() if value is None else value),
        "stored": stored,
    }


_TEXT: Schema = {"type": "string"}
SCHEMA: Schema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "label", "help"), _TEXT),
        "type": {"type": "string", "enum": ["bool", "integer", "decimal", "time", "text"]},
        "secret": {"type": "boolean"},
        "default": {"nullable": True},
        "value": {"nullable": True},
        "stored": {"type": "boolean"},
    },
}
CHANGE: Schema = {
    "type": "object",
    "properties": {
        "at": {"type": "string", "format": "date-time"},
        "by": {"type": "integer", "nullable": True},
        "by_name": _TEXT,
        "name": _TEXT,
        "reset": {"type": "boolean"},
        "before": {"nullable": True},
        "after": {"nullable": True},
        "secret": {"type": "boolean"},
    },
}
