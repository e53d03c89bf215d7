"""Transitions and operations: what may be done to a record, by whom, in which state.

A transition is at once a button on the page, `POST /api/v1/<resource>/<id>/<action>`, a service task and a history entry.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar, cast

from sqlalchemy import select

from portal.kernel import calendar
from portal.kernel.db import session
from portal.kernel.document import Record
from portal.kernel.errors import Conflict, Forbidden, Invalid, NotFound, PortalError, Refusal
from portal.kernel.i18n import _, _l
from security.visibility import Bound, acting, context

R = TypeVar("R", bound=Record)
Rule = Callable[[Any, Bound], Any]


# ------------------------------------------------------------------ arguments of an action
@dataclass(frozen=True)
class Argument:
    """A value the person gives with the action. kind: text, date, integer, decimal, person, choice or ref.

    *choices*: value → words of a choice. *lookup*: the resource whose ids a ref takes.
    """

    kind: str
    label: Any
    required: bool = False
    max_length: int = 2000
    choices: Mapping[str, Any] = field(default_factory=dict)
    lookup: str = ""

    def parse(self, value: Any) -> Any:
        """The Python value. Raises ValueError with a message for the person."""
        if value is None or (isinstance(value, str) and not value.strip()):
            if self.required:
                raise ValueError(_("This is required."))
            return None
        if isinstance(value, date) and self.kind == "date":
            return value
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise ValueError(_("Has the wrong type."))
        match self.kind:
            case "text":
                return self._text(value)
            case "choice":
                if value not in self.choices:
                    raise ValueError(_("Choose one of: %(what)s.", what="、".join(str(c) for c in self.choices.values())))
                return value
            case "date":
                return self._date(value)
            case _:
                return self._number(value)

    def _text(self, value: Any) -> str:
        text = str(value).strip()
        if len(text) > self.max_length:
            raise ValueError(_("At most %(n)s characters.", n=self.max_length))
        if "\x00" in text:
            raise ValueError(_("Contains a character that cannot be stored."))
        return text

    @staticmethod
    def _date(value: Any) -> date:
        try:
            if isinstance(value, str):
                return calendar.parse_day(value)
        except ValueError:
            pass
        raise ValueError(_("Not a date."))

    def _number(self, value: Any) -> Decimal | int:
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            raise ValueError(_("Not a number.")) from None
        if not number.is_finite():
            raise ValueError(_("Not a number."))
        if abs(number) >= 2**63:
            raise ValueError(_("Is too large."))
        if self.kind == "decimal":
            return number
        if number != int(number):
            raise ValueError(_("Not a whole number."))
        return int(number)


def text(label: Any = _l("Reason"), required: bool = False, max_length: int = 2000) -> Argument:
    """A text argument of an action."""
    return Argument("text", label, required, max_length)


@dataclass(frozen=True)
class Action:
    """A declared transition (`to` set) or operation (`to` None)."""

    model: type[Record]
    name: str
    sources: tuple[str, ...]
    to: str | None
    by: Rule
    body: Callable[..., Any]
    label: Any
    tone: str = ""
    icon: str = ""
    arguments: dict[str, Argument] = field(default_factory=dict)
    bulk: bool = False
    confirm: Any = ""
    help: str = ""

    @property
    def permission(self) -> tuple[str, str]:
        """Verb and view name of the permission a role needs."""
        return self.name, self.model.permission_name()


_actions: dict[type[Record], dict[str, Action]] = {}


def actions_of(model: type[Record]) -> list[Action]:
    """Every declared action of *model*, in order of declaration."""
    return list(_actions.get(model, {}).values())


def action_of(model: type[Record], name: str) -> Action:
    """The action *name*, kebab-case or snake_case. Raises NotFound."""
    found = _actions.get(model, {}).get(name.replace("-", "_"))
    if found is None:
        raise NotFound(_("There is no such action."))
    return found


def _model_of(f: Callable[..., Any]) -> type[Record]:
    first = next(iter(inspect.signature(f, eval_str=True).parameters.values()))
    if not (isinstance(first.annotation, type) and issubclass(first.annotation, Record)):
        raise TypeError(f"{f.__qualname__}: annotate the first argument with its model")
    return first.annotation


def transition(
    sources: str | tuple[str, ...],
    to: str | None,
    *,
    by: Rule,
    label: Any = "",
    name: str = "",
    tone: str = "",
    icon: str = "",
    arguments: dict[str, Argument] | None = None,
    bulk: bool = False,
    confirm: Any = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declares the decorated function as the action that leads from *sources* to *to* (None: the state stays).

    The model is the annotation of the function's first argument, the name its own. *by* tells which persons may, row by row.
    Calling the function directly runs the body alone: `perform` is the way for people.
    """

    def declare(f: Callable[..., Any]) -> Callable[..., Any]:
        model = _model_of(f)
        action = Action(
            model,
            name or f.__name__,
            (sources,) if isinstance(sources, str) else tuple(sources),
            to,
            by,
            f,
            label or _l((name or f.__name__).replace("_", " ").capitalize()),
            tone,
            icon,
            arguments or {},
            bulk,
            confirm,
            inspect.getdoc(f) or "",
        )
        unknown = {*action.sources, *([to] if to else [])} - set(model.STATES)
        if unknown and action.sources != ("*",):
            raise TypeError(f"{model.__name__}.{action.name}: unknown states {sorted(unknown)}")
        _actions.setdefault(model, {})[action.name] = action
        return f

    return declare


def operation(sources: str | tuple[str, ...] = "*", **kwargs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An action that does not change the state. `*`: in every state, or for models without one."""
    return transition(sources, None, **kwargs)


# ------------------------------------------------------------------ performing
def parse_arguments(action: Action, given: dict[str, Any]) -> dict[str, Any]:
    """The action's arguments from text or JSON. Raises Invalid naming unknown, missing and wrong ones."""
    problems: dict[str, Any] = {k: _("Unknown argument.") for k in given if k not in action.arguments}
    values: dict[str, Any] = {}
    for key, argument in action.arguments.items():
        try:
            values[key] = argument.parse(given.get(key))
        except ValueError as e:
            problems[key] = str(e)
    if problems:
        raise Invalid(problems)
    return values


def perform(model: type[R], name: str, pk: int, version: int | None = None, arguments: dict[str, Any] | None = None) -> None:
    """Does *name* to record *pk* as the person at hand.

    Raises NotFound (not there or not visible), Forbidden (role or rule), Conflict (*version* is not the present one),
    Refusal (wrong state, or a business rule), Invalid (arguments).
    """
    from security.manager import allowed

    action = action_of(model, name)
    values = parse_arguments(action, arguments or {})
    s, ctx = session(), context()
    state = cast(Any, model).state if "state" in model.__table__.c else cast(Any, model).id
    # the rule's arrays of ids (whom I answer for, …) are those of the transaction's begin, also when it is asked again below
    rule = action.by(model, Bound(ctx))
    row = s.execute(select(model.version, state.label("state"), rule.label("ok")).where(model.id == pk)).one_or_none()  # no lock yet
    if row is None:
        raise NotFound(_("This record does not exist."))
    if not ctx.system and not (row.ok and allowed(*action.permission)):
        raise Forbidden(_("You may not do this: %(action)s.", action=action.label))
    if version is not None and version != row.version:
        raise Conflict(_("Somebody changed this record meanwhile. Look at the new version and try again."), version=row.version)
    with acting() as inner:
        record = inner.get(model, pk, with_for_update=True, populate_existing=True)
        if record is None:
            raise NotFound(_("This record does not exist."))
        if version is not None and version != record.version:
            raise Conflict(_("Somebody changed this record meanwhile. Look at the new version and try again."), version=record.version)
        if action.sources != ("*",) and cast(Any, record).state not in action.sources:
            raise Refusal(
                _("%(action)s is not possible in state “%(state)s”.", action=action.label, state=state_label(record)), code="wrong_state"
            )
        if record.version != row.version and not ctx.system and not inner.scalar(select(rule).where(model.id == pk)):
            raise Forbidden(_("You may not do this: %(action)s.", action=action.label))  # somebody changed whose turn it is
        before = cast(Any, record).state if action.to is not None else None
        action.body(record, **values)
        if action.to is not None and cast(Any, record).state == before:  # the body may lead further: approved, and in effect at once
            cast(Any, record).state = action.to


def perform_many(
    model: type[R], name: str, pks: Iterable[int], arguments: dict[str, Any] | None = None
) -> tuple[list[int], dict[int, PortalError]]:
    """Does *name* to each of *pks*; one that is refused does not stop the others. Returns the done and the refused ones."""
    done: list[int] = []
    failed: dict[int, PortalError] = {}
    s = session()
    for pk in pks:
        point = s.begin_nested()
        try:
            perform(model, name, pk, arguments=arguments)
            point.commit()
            done.append(pk)
        except PortalError as e:
            if point.is_active:
                point.rollback()
            failed[pk] = e
    return done, failed


def available(record: Record) -> list[tuple[Action, bool, str]]:
    """The record's actions that the person's roles include: whether each is possible now and, if not, why. One statement."""
    from security.manager import allowed

    model, ctx = type(record), context()
    mine = [a for a in actions_of(model) if allowed(*a.permission)]
    if not mine:
        return []
    columns = [a.by(model, Bound(ctx)).label(a.name) for a in mine]
    row = session().execute(select(*columns).where(model.id == record.id)).one_or_none()
    out = []
    for a in mine:
        if row is None or not getattr(row, a.name):
            continue
        fits = a.sources == ("*",) or cast(Any, record).state in a.sources
        reason = "" if fits else _("Not possible in state “%(state)s”.", state=state_label(record))
        out.append((a, fits, reason))
    return out


def state_label(record: Any) -> str:
    """The record's state in the reader's language."""
    choices = record.__table__.c.state.info.get("choices", {})
    return str(choices.get(record.state, record.state))
