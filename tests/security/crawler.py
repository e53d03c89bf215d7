"""Every route × verb × person: what is asked, from the URL map and the rows; what the answers gave away is for the test to judge.

A new route needs nothing here as long as its arguments are ids, actions, kinds of files, lookups or roles. What else it takes stands in
`ARGUMENTS`; what is not asked at all in `UNTESTED`, with the reason.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy import event
from werkzeug.routing import Rule

from portal.web import lookup, registry
from portal.web.fields import fields_of
from security import rates
from security.transitions import actions_of
from tests.security.canaries import Canaries, Mark, texts_of
from tests.security.oracle import Oracle

NOWHERE = 987654321
UNTESTED = {
    "static.file": "files of the release, the same for everybody",
    "appbuilder.static": "closed; tests/portal/test_web_http.py",
    "UtilView.back": "closed; tests/portal/test_web_http.py",
    "LocaleView.index": "closed; tests/portal/test_web_http.py",
}
UNGRANTED = {"WarningResource.export": "in no built-in role; a company may put it into one of its own"}
"""Routes whose permission nobody of the invented company holds."""
NOBODY_GETS = {"LoginView.callback", "LoginView.emergency"}
"""GET routes that answer an error to everybody who was not sent there."""
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "kind": ("csv", "xlsx", "json"),
    "key": ("leader", "employee", "nothing", "notify.scan", "security.reconcile_most"),
}
"""Values of path arguments by name. Integers are ids: of the view's model, else of `TABLES`, else of people and small numbers."""
TABLES = {
    "Notices.open": "notify_notice", "TeamBoard.comment": "dailyreport_report", "TeamBoard.confirm": "dailyreport_report",
    "TeamBoard.like": "dailyreport_report", "MyReport.correct": "dailyreport_line", "Organisation.people": "hr_department",
    "Imports.one": "lowcode_import_run", "Imports.state": "lowcode_import_run", "Imports.errors": "lowcode_import_run",
    "Imports.act": "lowcode_import_run",
}  # fmt: skip
"""Whose rows an id in the path of a page without a model means."""
QUERIES = {
    "VisibilityEndpoints.check": "person_id={person}&type=project.Project&record={project}",
    "VisibilityEndpoints.people": "type=project.Project&record={project}",
    "VisibilityEndpoints.records": "person_id={person}",
}
"""What addresses need in their query to answer at all."""
DEARER = {"TeamBoard.confirm": "a manager sees lines of a report that is hidden: they are looked at, nothing is told of the report"}
"""Where what is hidden may cost more statements than what does not exist, and why."""


@dataclass(frozen=True)
class Ask:
    """One request. *kind* says what its id is to the person: shown, hidden, nowhere, or "" without one."""

    endpoint: str
    rule: str
    method: str
    path: str
    kind: str = ""
    pk: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    json: Any = None
    form: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Crawl:
    """What a crawl found. *reached*: statuses by (rule, method)."""

    reached: dict[tuple[str, str], Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    leaks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    told_apart: list[str] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    requests: int = 0


def untested(app: Flask, found: Crawl) -> dict[tuple[str, str], str]:
    """Routes whose permissions nobody got past, and GET routes without an answer; with the statuses there were."""
    left = {}
    for rule, method in rules(app):
        statuses = found.reached[rule.rule, method]
        model = getattr(getattr(app.view_functions[rule.endpoint], "__self__", None), "model", None)
        no_action = "action" in rule.arguments and model is not None and not actions_of(model)
        if no_action or (rule.endpoint in UNGRANTED and method == "GET"):
            if not statuses.keys() <= {302, 401, 403, 404}:
                left[rule.rule, method] = f"answers {dict(statuses)}, though there is no action or nobody may"
            continue
        past = statuses.keys() - ({401, 403, 404, 405} if rule.arguments else {401, 403, 405})
        answered = {s for s in statuses if s < 400} or rule.endpoint in NOBODY_GETS
        if not past or (method == "GET" and not answered):
            left[rule.rule, method] = str(dict(statuses))
    return left


def rules(app: Flask) -> list[tuple[Rule, str]]:
    """Every route and method to be tested."""
    found = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in UNTESTED:
            found += [(rule, m) for m in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return sorted(found, key=lambda pair: (pair[0].rule, pair[1]))


class Crawler:
    """Asks everything as one person after the other and notes what comes back."""

    def __init__(self, app: Flask, oracle: Oracle, canaries: Canaries, client_as: Callable[[str | None], Any], whole: bool = False) -> None:
        self.app, self.oracle, self.canaries, self.client_as = app, oracle, canaries, client_as

        self.whole = whole
        self._statements = 0

    # ---------------------------------------------------------------- what is asked
    def asks(self, username: str | None, methods: tuple[str, ...]) -> Iterator[Ask]:
        """All requests of a person."""
        for rule, method in rules(self.app):
            if method in methods:
                yield from self.of_rule(rule, method, username)

    def of_rule(self, rule: Rule, method: str, username: str | None) -> Iterator[Ask]:
        """The requests of one route."""
        view = getattr(self.app.view_functions[rule.endpoint], "__self__", None)
        model = getattr(view, "model", None)
        for values, kind, pk in self._values(rule, model, username):
            path = self._path(rule, values)
            if rule.rule.startswith("/api/"):
                yield from self._api(rule, method, path, kind, pk, model, values, username, view)
            else:
                yield from self._page(rule, method, path, kind, pk, model, username)

    def _path(self, rule: Rule, values: dict[str, Any]) -> str:
        return re.sub(r"<(?:[^:<>]+:)?(\w+)>", lambda m: str(values[m[1]]), rule.rule)

    def _values(self, rule: Rule, model: Any, username: str | None) -> Iterator[tuple[dict[str, Any], str, int | None]]:
        """Arguments of the path, and what the id among them is to the person."""
        others: dict[str, tuple[Any, ...]] = {}
        ids: list[tuple[str, int | None]] = [("", None)]
        number = ""
        for name in sorted(rule.arguments):
            if type(rule._converters[name]).__name__ == "IntegerConverter":
                number, ids = name, list(self._ids(rule.endpoint, model, username, name))
            elif items := getattr(rule._converters[name], "items", ()):  # <any(this, that):name>
                others[name] = tuple(sorted(items))
            elif name == "action":
                others[name] = tuple(a.name.replace("_", "-") for a in actions_of(model)) or ("nonsense",)
            elif rule.endpoint == "lookup.find":
                others[name] = (*sorted(registry.resources), *sorted(lookup._finders))
            elif name in ARGUMENTS:
                others[name] = ARGUMENTS[name]
            else:
                raise AssertionError(f"{rule.rule}: what may {name!r} be? Say so in tests/security/crawler.py ARGUMENTS")
        combinations: list[dict[str, Any]] = [{}]
        for name, choices in others.items():
            combinations = [c | {name: value} for c in combinations for value in choices]
        for c in combinations:
            for kind, pk in ids:
                yield (c | {number: pk} if number else c), kind, pk

    def _ids(self, endpoint: str, model: Any, username: str | None, name: str) -> Iterator[tuple[str, int | None]]:
        table = TABLES.get(endpoint) or (model.__tablename__ if model is not None else None)
        if table is None:
            people = sorted(self.oracle.people.values())
            yield from (("shown", pk) for pk in dict.fromkeys([*people[:2], *people[-1:], *(() if name == "user_id" else (1, 2))]))
            return
        live = [r["id"] for r in self.oracle.rows[table] if r["archived_at"] is None]
        seen = self.oracle.visible(username, table)
        hidden, shown = [i for i in live if i not in seen], [i for i in live if i in seen]
        yield "nowhere", NOWHERE
        yield from (("hidden", pk) for pk in dict.fromkeys([*hidden[:1], *(hidden[-1:] if self.whole else [])]))
        yield from (("shown", pk) for pk in shown[:1])

    def _version(self, model: Any, pk: int | None) -> str:
        if model is None or pk is None:
            return "1"
        return str(next((r["version"] for r in self.oracle.rows[model.__tablename__] if r["id"] == pk), 1))

    def _api(
        self,
        rule: Rule,
        method: str,
        path: str,
        kind: str,
        pk: int | None,
        model: Any,
        values: dict[str, Any],
        username: str | None,
        view: Any,
    ) -> Iterator[Ask]:
        ask = (rule.endpoint, rule.rule, method)
        if method == "GET":
            yield Ask(*ask, path, kind, pk)
            if rule.endpoint in QUERIES:
                project, person = next(iter(self.oracle.projects)), min(self.oracle.people.values())
                yield Ask(*ask, f"{path}?{QUERIES[rule.endpoint].format(project=project, person=person)}")
            if rule.rule.endswith("/") and model is not None:
                yield Ask(*ask, f"{path}?q=(page_size:100)&archived=1")
                yield from (Ask(*ask, f"{path}?q={q}") for q in self._queries(view, username))
            return
        match = (("If-Match", self._version(model, pk)),)
        if "action" in values and pk is None:
            ids = [i for _kind, i in self._ids(rule.endpoint, model, username, "pk")]
            yield Ask(*ask, path, json={"ids": ids, "arguments": {}})
            return
        yield Ask(*ask, path, kind, pk, match, json={})
        if model is not None and method in ("POST", "PATCH") and "action" not in values and not rule.rule.endswith("restore"):
            names = view.addable() if method == "POST" else view.editable()
            yield Ask(*ask, path, kind, pk, match, json=self._body(model, names, username))
        if kind in ("hidden", "nowhere") and (self.whole or method != "PUT"):
            yield Ask(*ask, path, kind, pk, JSON_HEADERS)  # neither a version nor a body

    def _queries(self, view: Any, username: str | None) -> Iterator[str]:
        """Filters with ids that the person does not see, and the order by every column."""
        fields = fields_of(view.model)
        for name in view.filterable():
            if (target := fields[name].target) is not None and (pk := self._foreign(target, username)) is not None:
                yield f"(filters:!((col:{name},opr:eq,value:{pk})),page_size:100)"
        yield from (
            f"(order_column:{name},order_direction:desc,page_size:100)" for name in fields if fields[name].kind in ("text", "hours")
        )

    def _foreign(self, target: Any, username: str | None) -> int | None:
        """A row of *target* that the person does not see, else any."""
        table = target.__tablename__
        if table not in self.oracle.rows:
            return min(self.oracle.people.values()) if table == "ab_user" else None
        seen = self.oracle.visible(username, table)
        every = [r["id"] for r in self.oracle.rows[table]]
        return next((i for i in every if i not in seen), every[0] if every else None)

    def _body(self, model: Any, names: Any, username: str | None) -> dict[str, Any]:
        samples: dict[str, Any] = {
            "date": "2031-01-01", "datetime": "2031-01-01T00:00:00Z", "bool": True, "label": {"zh": "偷", "en": "stolen"}, "json": {},
            "multichoice": [], "integer": 7, "decimal": "7", "money": "7.00", "hours": "1.00", "email": "stolen@shuniu.example",
        }  # fmt: skip
        out: dict[str, Any] = {}
        for name in names:
            f = fields_of(model).get(name)
            if f is None:
                continue
            if f.kind in ("ref", "person"):
                out[name] = self._foreign(f.target, username)
            elif f.kind in ("choice", "state"):
                out[name] = next(iter(f.choices), "stolen")
            else:
                out[name] = samples.get(f.kind, "stolen")
        return out

    def _page(self, rule: Rule, method: str, path: str, kind: str, pk: int | None, model: Any, username: str | None) -> Iterator[Ask]:
        ask = (rule.endpoint, rule.rule, method)
        if method != "GET":
            form = (("version", self._version(model, pk)), ("text", "x"), ("reason", "x"), ("role", "qa"))
            yield Ask(*ask, path, kind, pk, form=form)
            return
        yield Ask(*ask, path, kind, pk)
        if rule.endpoint == "lookup.find":
            yield Ask(*ask, f"{path}?q=zq")
            resource = registry.resources.get(path.rpartition("/")[2])
            if resource is not None:
                yield from (Ask(*ask, f"{path}?id={i}") for _kind, i in self._ids(rule.endpoint, resource.model, username, "id"))
        elif not kind or self.whole:
            yield Ask(*ask, path, kind, pk, (("HX-Request", "true"),))
            if not rule.arguments and model is None:
                yield from self._forged(ask, path, username)
            elif not rule.arguments and path.endswith("/"):
                yield Ask(*ask, f"{path}?size=100&archived=1")
                yield Ask(*ask, f"{path}?q=zq&size=100", headers=(("HX-Request", "true"),))

    def _forged(self, ask: tuple[str, str, str], path: str, username: str | None) -> Iterator[Ask]:
        """A page asked for things of others."""
        reports = [r for r in self.oracle.rows["dailyreport_report"] if r["id"] not in self.oracle.visible(username, "dailyreport_report")]
        projects = self.oracle.visible(username, "project_project")
        project = next((p for p in self.oracle.projects if p not in projects), NOWHERE)
        person, day = (reports[0]["author_id"], reports[0]["day"]) if reports else (NOWHERE, self.oracle.today)
        department = max(d["id"] for d in self.oracle.rows["hr_department"])
        values = {"person": person, "user_id": person, "unit": department, "project": project, "project_id": project, "id": project,
                  "pk": project, "table": "project_project", "record_id": project}  # fmt: skip
        yield Ask(*ask, path + "?" + "&".join(f"{k}={v}" for k, v in values.items()))
        yield Ask(*ask, f"{path}?person={person}&day={day}")
        yield Ask(*ask, f"{path}?project={project}&until={day}")
        yield Ask(*ask, f"{path}?by=month&unit={department}&day={day}")

    # ---------------------------------------------------------------- asking
    def crawl(
        self,
        into: Crawl,
        username: str | None,
        may: Callable[[str | None, Mark, str], bool],
        methods: tuple[str, ...],
        links: int,
        only: str = "",
        among: set[tuple[str, str]] | None = None,
    ) -> None:
        """Everything as one person; then up to *links* pages that links lead to.

        Of the routes in whose rule the pattern *only* is found, and with *among* of these (rule, method).
        A route that refuses the person whatever the id, or asks to sign in, is asked once (with --soak to the end).
        """
        closed: set[tuple[str, str]] = set()
        compared: dict[tuple[str, ...], tuple[int, str, int]] = {}
        nowhere: dict[tuple[str, ...], Ask] = {}
        seen, queue = set(), []
        for ask in self.asks(username, methods):
            place = (ask.rule, ask.method)
            if place in closed or not re.search(only, ask.rule) or (among is not None and place not in among):
                continue
            status, texts, count = self._answer(into, ask, username, may)
            if not self.whole and (status == 401 or (status == 403 and ask.kind in ("", "nowhere"))):
                closed.add(place)
            if ask.kind in ("hidden", "nowhere"):
                key = (ask.method, _kindred(ask.path, ask.pk), str(ask.headers), str(ask.json), str(_unversioned(ask.form)))
                found = (status, _same(texts[-1], ask.pk), count)
                if ask.kind == "nowhere":
                    compared[key], nowhere[key] = found, ask
                elif key in compared and found[:2] == compared[key][:2] and found[2] != compared[key][2]:
                    # now and then a request notes that the session is in use: only a difference that stays is one
                    costs = [min(self._answer(into, a, username, may)[2] for _n in range(2)) for a in (ask, nowhere[key])]
                    if costs[0] != costs[1] and ask.endpoint not in DEARER:
                        into.told_apart.append(f"{username}: {ask}: costs {costs[0]} statements, what does not exist {costs[1]}")
                elif key in compared and (why := _difference(found, compared[key])):
                    into.told_apart.append(f"{username}: {ask}: {why}")
            if ask.method == "GET" and status == 200:
                queue += LINKS.findall(texts[-1])
            seen.add(ask.path)
        kinds: Counter[str] = Counter()
        while queue and links:
            path = queue.pop(0).replace("&amp;", "&").partition("#")[0]
            kind = re.sub(r"\d+", "0", path)
            if path in seen or kinds[kind] > 1 or path.startswith(("/static/", "/logout")) or "?" not in path:
                continue
            seen.add(path)
            kinds[kind] += 1
            links -= 1
            status, texts, _count = self._answer(into, Ask("", "", "GET", path), username, may)
            queue += LINKS.findall(texts[-1]) if status == 200 else []

    def _answer(
        self, into: Crawl, ask: Ask, username: str | None, may: Callable[[str | None, Mark, str], bool]
    ) -> tuple[int, list[str], int]:
        rates.forget()
        client = self.client_as(username)
        arguments: dict[str, Any] = {"method": ask.method, "headers": dict(ask.headers)}
        if ask.form:
            arguments["data"] = dict(ask.form)
        elif ask.json is not None:
            arguments["json"] = ask.json
        elif ask.headers == JSON_HEADERS:
            arguments["data"] = "no json"
        before = self._statements
        answer = client.open(ask.path, **arguments)
        count = self._statements - before
        into.requests += 1
        into.reached[ask.rule, ask.method][answer.status_code] += 1
        if answer.status_code >= 500:
            into.faults.append(f"{username}: {ask}: {answer.status_code} {ask.json or dict(ask.form)}")
        texts = texts_of(answer)
        if "Set-Cookie" in answer.headers:
            with client.session_transaction() as cookie:
                texts.insert(0, str(dict(cookie)))
        for mark in self.canaries.of(texts):
            into.marks[mark.table] += 1
            if not may(username, mark, urlsplit(ask.path).path):
                into.leaks.append(f"{username}: {ask}: {answer.status_code} shows {mark}")
        return answer.status_code, texts, count

    def count_statements(self) -> Callable[[], None]:
        """Counts what is sent to the database from now on; returns how to stop."""
        from portal.kernel.db import db

        def note(*_arguments: Any) -> None:
            self._statements += 1

        with self.app.app_context():
            engines = list(db.engines.values())
        for engine in engines:
            event.listen(engine, "before_cursor_execute", note)
        return lambda: [event.remove(engine, "before_cursor_execute", note) for engine in engines] and None


JSON_HEADERS = (("Content-Type", "application/json"),)
LINKS = re.compile(r'(?:href|hx-get|data-url)="(/[^"/][^"]*)"')


def _kindred(path: str, pk: int | None) -> str:
    return re.sub(rf"\b{pk}\b", "#", path)


def _unversioned(form: tuple[tuple[str, str], ...]) -> list[str]:
    return [name for name, _value in form]


def _same(body: str, pk: int | None) -> str:
    """A body without what differs from request to request: nonce, request id, the id that was asked for."""
    for pattern in (r'nonce="[^"]*"', r'name="csrf-token" content="[^"]*"', r'name="csrf_token" value="[^"]*"', r"[0-9a-f]{16,}"):
        body = re.sub(pattern, "~", body)
    return re.sub(rf"/{pk}\b", "/#", body)


def _difference(hidden: tuple[int, str, int], nowhere: tuple[int, str, int]) -> str:
    if hidden[0] != nowhere[0]:
        return f"answers {hidden[0]}, what does not exist {nowhere[0]}"
    if hidden[1] != nowhere[1]:
        return f"reads differently: {hidden[1][-300:]!r} {nowhere[1][-300:]!r}"
    return ""
