"""The list of one model: rows, conditions, columns, kept views, export, actions for several rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from flask import flash, redirect, request
from flask_appbuilder import BaseView
from werkzeug.wrappers import Response

from portal.kernel.errors import BadRequest, Invalid, NotFound
from portal.kernel.i18n import _, listed
from portal.web import exporting, forms, frame, listing, query, recordpage, rows, views
from portal.web.access import may, require, route
from portal.web.declared import Declared
from portal.web.fields import fields_of
from portal.web.preferences import local_path
from portal.web.rows import Row
from security.transitions import action_of, perform_many
from security.visibility import Context

MAX_BULK = 200


class ListPages(Declared, BaseView):  # type: ignore[misc]
    """What a Screen shows and does for many records at once."""

    route_base: ClassVar[str] = ""
    title: ClassVar[Any] = ""
    icon: ClassVar[str] = "list"
    menu: ClassVar[str | None] = None
    menu_order: ClassVar[int] = 100
    menu_url: ClassVar[str | None] = None
    menu_verb: ClassVar[str] = "view"
    visible: ClassVar[Callable[[Context], bool] | None] = None
    tabs: ClassVar[Sequence[tuple[Any, str]]] = ()
    """Views that come with the page: words and the query string of each."""
    totals: ClassVar[Sequence[str]] = ()
    has_record_page: ClassVar[bool] = True
    add_label: ClassVar[Any] = ""
    empty: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def menu_label(cls) -> Any:
        """Words in the menu and above the list."""
        return cls.title or cls.model.__label_plural__ or cls.__name__

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool] | None:
        """A further condition for the menu entry, beside the permission."""
        return cls.visible

    def condition(self, entity: Any) -> Sequence[Any]:
        """Further conditions of the list; for modules."""
        return ()

    def list_extras(self) -> dict[str, Any]:
        """Further values for the list page (page_actions, subtitle…); for modules."""
        return {}

    def _args(self) -> dict[str, list[str]]:
        return {k: v for k, v in request.args.lists() if k != "_"}

    def _asked(self, args: Mapping[str, list[str]]) -> query.Query:
        known = {"q", "sort", "size", "after", "before", "view", "archived", "count"}
        unknown = [k for k in args if k not in known and not k.startswith("f.")]
        if unknown:
            raise BadRequest(_("This list does not know “%(name)s”.", name=unknown[0][:60]), code="unknown_parameter")
        return query.from_page(self.model, args, filterable=self.filterable(), search=self.searched(), order=self.ordered())

    @route("/")
    def show_list(self) -> Any:
        """The visible records."""
        args, base = self._args(), f"{self.route_base}/"
        q = self._asked(args)
        settings = views.load(self.permission())
        shown = [
            n for n in settings.columns or self.listed() if n in self.stored([*self.listed(), *self.shown()]) or n in self.computed
        ] or self.listed()
        page = q.page(self.condition)
        found = self.read([*dict.fromkeys([*shown, *rows.label_columns(self.model), "version"])], page.ids, archived=q.archived)
        columns = listing.columns(type(self), shown, q, base, args)
        listing.totals(columns, found, type(self), self.resolve(self.totals))
        values = {
            "title": str(self.menu_label()),
            "crumbs": [],
            "url": base,
            "key": self.permission(),
            "columns": columns,
            "columns_url": f"{self.route_base}/columns",
            "rows": listing.table(type(self), shown, found, self._row_url),
            "pager": listing.pager(page, q, base, args),
            "q": q.text,
            "q_placeholder": self._placeholder(),
            "filters": listing.filters(type(self), q, base, args),
            "clear_url": base,
            "sort": args.get("sort", [None])[-1],
            "view": args.get("view", [None])[-1],
            "bulk": recordpage.bulk(self.model, self.route_base),
            "empty": {k: str(v) if not isinstance(v, list) else v for k, v in self.empty.items()} or None,
        }
        if request.headers.get("HX-Request") and request.headers.get("HX-Target") == "list-body":
            return frame.fragment("portal/_list_body.html", partial=True, **values)
        values |= self._around(settings, args)
        return frame.render("portal/list.html", **(values | self.list_extras()))

    def _row_url(self, row: Row) -> str | None:
        return f"{self.route_base}/{row.id}" if self.has_record_page else None

    def _placeholder(self) -> str | None:
        if not self.searched():
            return None
        fields = fields_of(self.model)
        return listed(fields[n].label for n in self.searched())

    def _around(self, settings: views.Settings, args: Mapping[str, list[str]]) -> dict[str, Any]:
        query_string = listing.address("", {k: v for k, v in args.items() if k not in ("after", "before", "count", "view")}).lstrip("?")
        file_args = {k: v for k, v in args.items() if k not in listing.PAGE_ARGS and k != "view"}
        exports = [{"label": k.upper(), "url": listing.address(f"{self.route_base}/export.{k}", file_args)} for k in exporting.FORMATS]
        return {
            "tabs": settings.tabs(f"{self.route_base}/", self._tabs(), query_string, args.get("view", [""])[-1]),
            "save_view_url": f"{self.route_base}/views",
            "delete_view_url": f"{self.route_base}/views/delete",
            "exports": exports if "export" in self.verbs and may("export", self.model) else [],
            "add_url": f"{self.route_base}/add" if "add" in self.verbs and may("add", self.model) else None,
            "add_label": str(self.add_label) or _("New"),
        }

    def _tabs(self) -> Sequence[tuple[Any, str]]:
        """The declared ones, and what was put away for those who may take it back."""
        away = ((_("Archived"), "archived=1"),) if "archive" in self.verbs and may("archive", self.model) else ()
        return (*self.tabs, *away)

    @route("/export.<kind>", verb="export")
    def export(self, kind: str) -> Any:
        """The list as a file."""
        q = self._asked(self._args())
        settings = views.load(self.permission())
        names = [n for n in settings.columns or self.listed() if n in fields_of(self.model) or n in self.computed] or self.listed()
        return exporting.respond(type(self), names, q, kind, str(self.menu_label()), self.condition)

    @route("/columns", methods=("POST",))
    def choose_columns(self) -> tuple[str, int]:
        """Keeps which columns the person wants."""
        wanted = [n for n in request.form.get("columns", "").split(",") if n]
        known = {*self.listed(), *self.shown(), *self.computed}
        if any(n not in known for n in wanted):
            raise Invalid({"columns": _("There is no column “%(name)s”.", name=",".join(wanted)[:100])})
        views.choose_columns(self.permission(), wanted)
        return "", 204

    @route("/views", methods=("POST",))
    def save_view(self) -> Response:
        """Keeps the conditions under a name."""
        pk = views.save(self.permission(), request.form.get("name", ""), request.form.get("query", ""), request.form.get("shared") == "1")
        kept = request.form.get("query", "").lstrip("?")
        return redirect(f"{self.route_base}/?{kept}{'&' if kept else ''}view={pk}", 303)

    @route("/views/delete", methods=("POST",))
    def delete_view(self) -> Response:
        """Removes one of the person's own views."""
        views.delete(self.permission(), request.form.get("id", type=int))
        return redirect(f"{self.route_base}/", 303)

    @route("/actions/<action>", methods=("POST",))
    def act_many(self, action: str) -> Any:
        """Does an action with the chosen records; says which were refused and why."""
        known = action_of(self.model, action)
        if not known.bulk:
            raise NotFound(_("There is no such action."))
        require(*known.permission)
        ids = [int(i) for i in request.form.getlist("ids") if i.isdecimal() and len(i) < 19][:MAX_BULK]
        arguments = {k: v for k, v in request.form.items() if k not in forms.CONTROLS and k != "ids" and not k.startswith("_")}
        done, failed = perform_many(self.model, known.name, ids, arguments)
        if done:
            flash(_("%(action)s: %(n)s done.", action=known.label, n=len(done)), "success")
        texts = rows.labels(self.model, list(failed)[:5])
        for pk, e in list(failed.items())[:5]:
            flash(f"{texts.get(pk, pk)}: {e}", "warning")
        if len(failed) > 5:
            flash(_("%(n)s more were refused.", n=len(failed) - 5), "warning")
        return redirect(
            local_path(request.form.get("next") or request.headers.get("Referer", "").partition(request.host)[2] or f"{self.route_base}/"),
            303,
        )
