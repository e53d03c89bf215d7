"""Accounts compared with Keycloak: the dry run, the repair, and what people answer, as pages and for programs (POR-02, HRM-09)."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, flash, redirect, request
from sqlalchemy import select

from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import Invalid
from portal.kernel.i18n import _, _l
from portal.web import registry, rows
from portal.web.access import route
from portal.web.describing import operation
from portal.web.page import Page
from portal.web.resource import API, Resource, answer, object_body
from portal.web.rows import Row
from portal.web.screen import Screen
from portal.web.sessions import _number
from security import differences, signins
from security import reconciliation as reconciliation
from security.differences import ABOUT, CHANGES, KINDS, Comparison, Difference
from security.manager import allowed
from security.visibility import Context

NAME = "security.Comparison"
LINES, RUNS, OPEN = 100, 10, 8
PROBLEMS = {
    "too_many": _l("More accounts differ than a program may change by itself. Nothing was repaired: look at the list, then repair."),
    "partly": _l("Some of it could not be repaired; see below. The next comparison tries again."),
    "unreachable": _l("The sign-in service could not be asked, or did not allow it. Nothing was changed here; try again later."),
    "too_large": _l("Not compared: single sign-on is switched off, or the realm holds more than the portal reads."),
}
TONES = {"created": "info", "enabled": "info", "disabled": "warn", "removed": "warn", "waits": "warn"}


def _watches(ctx: Context) -> bool:
    return signins.SCOPE in ctx.scopes


class Comparisons(Page):
    """What differs between people here and accounts at Keycloak; repairing it; the way to what has to be answered."""

    name = NAME
    route_base = "/administration/comparison"
    title = _l("Accounts: comparison with Keycloak")
    menu = "Administration"
    menu_order = 6
    icon = "arrows-exchange"

    @classmethod
    def menu_label(cls) -> Any:
        """Short enough for the menu."""
        return _l("Comparison with Keycloak")

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who look after accounts."""
        return _watches

    @route("/")
    def show(self) -> str:
        """The latest comparison, or `?run=`."""
        s, pk = session(), _number("run")
        latest = list(s.scalars(select(Comparison).order_by(Comparison.id.desc()).limit(RUNS)))
        run = s.get(Comparison, pk) if pk is not None else next(iter(latest), None)
        waiting = select(Difference).where(Difference.state == "open").order_by(Difference.kind, Difference.title).limit(OPEN + 1)
        findings = list(s.scalars(waiting))
        names = rows.labels(User, [r.created_by for r in latest if r.created_by])
        return self.render(
            "administration/comparison.html",
            run=run,
            problem=str(PROBLEMS.get(run.problem or "", run.problem or "")) if run else "",
            lines=[self._line(c) for c in run.details.get("changes", ())[:LINES]] if run else [],
            failures=run.details.get("problems", ()) if run else (),
            findings=findings[:OPEN],
            kinds=KINDS,
            more_findings=len(findings) > OPEN,
            runs=[(r, names.get(r.created_by or 0) or _("At night")) for r in latest],
            can_compare=allowed("compare", NAME),
        )

    @staticmethod
    def _line(change: dict[str, str]) -> dict[str, Any]:
        person = change["about"] == "person"
        return change | {
            "kind": ABOUT.get(change["about"], change["about"]),
            "done": CHANGES.get(change["what"], change["what"]),
            "tone": TONES.get(change["what"], "line"),
            "url": registry.person_url(int(change["key"])) if person else None,
        }

    @route("/compare", methods=("POST",), verb="compare")
    def compare(self) -> Any:
        """Asks for a comparison, with repair if wanted."""
        pk = differences.ask(repair=request.form.get("repair") == "1")
        flash(_("The comparison is under way; its result appears here."), "success")
        return redirect(f"{self.route_base}/?run={pk}", 303)


class Differences(Screen, model=Difference):
    """What is at Keycloak and not the portal's: each waits for somebody's answer."""

    route_base = "/account-differences"
    title = _l("Accounts to be answered")
    icon = "user-question"
    verbs = ("view", "export")
    list_columns = ("title", "kind", "detail", "user", "state", "reason", "created_at")
    show_columns = ("kind", "title", "detail", "user", "reason", "key")
    filters = ("kind", "state", "user")
    search_columns = ("title", "detail")
    order = ("created_at", "desc")
    tabs = (
        (_l("To be answered"), "f.state=open"),
        (_l("Answered"), "f.state=linked&f.state=enabled&f.state=ignored&f.state=disabled"),
    )

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool]:
        """In the menu of those who look after accounts."""
        return _watches

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """Where it comes from."""
        words = {
            "account": _(
                "Nobody here is behind this account. Link it if the employee proposed is the right one: the address alone proves nothing."
            ),
            "double": _("An employee's number stands in more than one account; only one can be the employee's."),
            "group": _("The portal leaves this group alone. Linked to a department, it follows the department."),
            "off": _(
                "The person works here, but somebody switched the account off at the sign-in service. The portal does not switch it on "
                "by itself: enable it when you know why it was off."
            ),
            "left": _("The department is closed; its group still holds others, or gives roles. Clear it at Keycloak, or leave it alone."),
            "role": _("A client role the portal has no role for gives nobody anything here."),
        }
        return {"side": [{"title": str(KINDS[record.kind]), "rows": [{"label": _("What this means"), "value": words[record.kind]}]}]}


class ComparisonResource(Resource, model=Comparison):
    """Comparisons with Keycloak; POST asks for another one: `{"repair": false}` is the dry run."""

    resource_name = "account-comparisons"
    verbs = ("view",)
    order = ("created_at", "desc")

    @classmethod
    def described(cls) -> Mapping[str, Mapping[str, Any]]:
        """Asking for another one."""
        body = {"type": "object", "additionalProperties": False, "properties": {"repair": {"type": "boolean", "default": False}}}
        accepted = {"type": "object", "properties": {"id": {"type": "integer"}, "state": {"type": "string"}}}
        asking = operation("compare_accounts", _("Compare"), [cls.resource_name], accepted, status="202", body=body, errors=(422,))
        return {f"{cls.route_base}/": {"post": asking}}

    @route("/", methods=("POST",), verb="compare")
    def compare(self) -> Response:
        """Asks for a comparison: 202 with its id; `GET …/<id>` tells when it is done."""
        given = object_body()
        if set(given) - {"repair"} or type(given.get("repair", False)) is not bool:
            raise Invalid({"repair": _("Must be true or false")})
        pk = differences.ask(repair=given.get("repair", False))
        response = answer({"id": pk, "state": "waiting"}, 202)
        response.headers["Location"] = f"{API}/account-comparisons/{pk}"
        return response


class DifferenceResource(Resource, model=Difference):
    """Accounts, groups and roles at Keycloak that are not the portal's, and their answers."""

    resource_name = "account-differences"
    verbs = ("view", "export")
    filters = ("kind", "state", "user")
    search_columns = ("title", "detail")
    order = ("created_at", "desc")
