"""Risk rules: what modules declare, with the settings administrators give them.

    @warning_rule("dailyreport.project_silent", title=_l("%(subject)s: no report since %(since)s"), parameters={"days": 3})
    def project_silent(scan: Scan) -> tuple[str, dict[str, Any]]:
        return "select 'project_project' as record_type, p.id as record_id, p.id as project_id, … where …", {"since": …}

The function gives one SQL query over all records at once.  Its columns: record_type (table), record_id; optional key (default
both), project_id, domain_id, department_id, user_id (whose staff data it is), subject (text of the record), receivers
(bigint[], the `owner`), severity, params (jsonb).  Bind names: the rule's parameters, `:today`, `:now`.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from portal.kernel import calendar
from portal.kernel.calendar import WorkingCalendar
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _

MAX_COUNT = 10_000
"""No rule counts further: days are looked up one by one."""


@dataclass(frozen=True)
class Scan:
    """What a rule knows while it runs."""

    parameters: dict[str, Any]
    today: date
    now: datetime
    calendar: WorkingCalendar

    def workdays_ago(self, count: int) -> date:
        """The *count*-th working day before today."""
        return self.calendar.previous_workday(self.today, count)


Query = Callable[..., str | tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Declared:
    """A rule as its module declares it."""

    code: str
    title: Any
    label: Any
    query: Query
    body: Any = ""
    url: str = ""
    severity: str = "warn"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    receivers: tuple[str, ...] = ("owner",)
    channels: tuple[str, ...] = ("mail",)
    workdays_only: bool = True

    def parse(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters in force: defaults with *given* over them, typed like the defaults.  Raises `Invalid` naming the wrong ones."""
        problems = {name: _("This rule has no such parameter.") for name in given if name not in self.parameters}
        values = dict(self.parameters)
        for name, value in given.items():
            if name in problems:
                continue
            try:
                values[name] = _typed(self.parameters[name], value)
            except (ValueError, TypeError, InvalidOperation):
                problems[name] = _("This is not a valid value.")
        if problems:
            raise Invalid(problems)
        return values

    def sql(self, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The query with its bind values for today."""
        values = self.parse(parameters)
        scan = Scan(values, calendar.today(), calendar.now(), WorkingCalendar.load())
        answer = self.query(scan) if inspect.signature(self.query).parameters else self.query()
        query, more = answer if isinstance(answer, tuple) else (answer, {})
        return query, {**values, "today": scan.today, "now": scan.now, **more}


def _typed(default: Any, value: Any) -> Any:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError
        return value
    if isinstance(default, int | Decimal):
        number = type(default)(str(value))
        if not Decimal(number).is_finite() or number < 0 or (isinstance(number, int) and number > MAX_COUNT):
            raise ValueError
        return number
    return type(default)(value)


declared: dict[str, Declared] = {}


class _Labels(Mapping[str, Any]):
    """The names of the rules by code, also of those declared after the models were."""

    def __getitem__(self, code: str) -> Any:
        return declared[code].label

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(declared))

    def __len__(self) -> int:
        return len(declared)

    def __bool__(self) -> bool:
        return True


labels = _Labels()


class _ParameterLabels(Mapping[str, Any]):
    """The names of the parameters of all rules; one name means the same in every rule."""

    def _all(self) -> dict[str, Any]:
        return {name: label for d in declared.values() for name, label in d.labels.items()}

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return True


parameter_labels = _ParameterLabels()


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON values."""
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def warning_rule(
    code: str,
    *,
    title: Any,
    label: Any = "",
    body: Any = "",
    url: str = "",
    severity: str = "warn",
    parameters: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
    receivers: tuple[str, ...] = ("owner",),
    channels: tuple[str, ...] = ("mail",),
    workdays_only: bool = True,
) -> Callable[[Query], Query]:
    """Declare the rule *code* with its defaults.

    *title*, *body*, *url*: texts with `%(name)s` for the condition's params, `subject` and the parameters; *label* names the rule.
    *labels* name the parameters.  *receivers*: `owner`, `role:<key>`, `user:<id>`.
    """

    def register(query: Query) -> Query:
        declared[code] = Declared(
            code,
            title,
            label or title,
            query,
            body,
            url,
            severity,
            dict(parameters or {}),
            dict(labels or {}),
            receivers,
            channels,
            workdays_only,
        )
        return query

    return register


_MISSING = text(
    """insert into notify_warning_rule (code, severity, parameters, receivers, channels, workdays_only, quiet_from, quiet_to)
       select r.code, r.severity, r.parameters, r.receivers, r.channels, r.workdays_only, 20, 8
         from jsonb_to_recordset(cast(:rules as jsonb))
              as r(code text, severity text, parameters jsonb, receivers text[], channels text[], workdays_only boolean)
        where not exists (select from notify_warning_rule w where w.code = r.code)"""
)


def ensure_rules(conn: Connection | Session) -> None:
    """Give every declared rule its row with the defaults, once: what administrators archive or change stays so."""
    rules = [
        {
            "code": rule.code,
            "severity": rule.severity,
            "parameters": plain(rule.parameters),
            "receivers": list(rule.receivers),
            "channels": list(rule.channels),
            "workdays_only": rule.workdays_only,
        }
        for rule in declared.values()
    ]
    conn.execute(_MISSING, {"rules": orjson.dumps(rules).decode()})
