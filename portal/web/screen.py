"""The pages of one model: list, record, forms, archive, actions, history."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from flask import flash, make_response, redirect, request

from portal.kernel.db import session
from portal.kernel.document import Record
from portal.kernel.errors import BadRequest, Conflict, Invalid, NotFound, PortalError, Refusal
from portal.kernel.i18n import _
from portal.web import drafts, forms, frame, history, printing, recordpage, records, registry, rows
from portal.web.access import may, require, route
from portal.web.fields import NONE, fields_of
from portal.web.listpages import ListPages
from portal.web.preferences import local_path
from portal.web.recordpage import Related as Related
from portal.web.resource import answer
from portal.web.rows import Row
from security.transitions import action_of, perform
from security.visibility import Context, context


class Screen(ListPages):
    """`class DailyReports(Screen, model=DailyReport): route_base = "/daily-reports"; menu = "Work"`."""

    sections: ClassVar[Sequence[tuple[Any, Sequence[str]]]] = ()
    track: ClassVar[Sequence[str]] = ()
    related: ClassVar[Sequence[Related]] = ()
    signatures: ClassVar[Sequence[Any]] = ()
    """Who signs the printed form, in words."""
    default_view = "show_list"

    def __init_subclass__(cls, model: type[Any] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if model is None:
            return
        cls.model = model
        if not cls.route_base:
            raise TypeError(f"{cls.__name__} declares no route_base")
        registry.screens[model] = cls

    def __init__(self) -> None:
        self.class_permission_name = self.permission()
        self.previous_class_permission_name = self.class_permission_name
        super().__init__()
        self.base_permissions = self.all_permissions()
        self.exclude_route_methods = {
            name
            for name, verb in (
                ("add", "add"),
                ("store", "add"),
                ("draft_new", "add"),
                ("discard_new", "add"),
                ("edit", "edit"),
                ("save", "edit"),
                ("draft", "edit"),
                ("discard", "edit"),
                ("archive", "archive"),
                ("restore", "archive"),
                ("export", "export"),
            )
            if verb not in self.verbs
        }
        if not self.has_record_page:
            self.exclude_route_methods.add("printed")

    # ---------------------------------------------------------------- hooks for modules
    def heading(self, record: Any, row: Row) -> str:
        """What the page of a record is called, where the record's own text says too little."""
        return rows.text_of(record)

    def extras(self, record: Any, row: Row) -> dict[str, Any]:
        """Further values for the record page: figures, side, extra_tabs, comments…"""
        return {}

    def perform_create(self, values: Mapping[str, Any]) -> int:
        """Stores a new record and returns its id."""
        return int(records.create(self.model, values).id)

    def perform_update(self, pk: int, values: Mapping[str, Any], version: int) -> None:
        """Stores a change."""
        records.change(self.model, pk, values, version)

    # ---------------------------------------------------------------- record
    @route("/<int:pk>")
    def show(self, pk: int) -> Any:
        """One record."""
        return self._record_page(pk)

    def _record_page(self, pk: int, *, error: PortalError | None = None) -> Any:
        record, may_change = records.get(self.model, pk, archived=True)
        names = [
            *dict.fromkeys([*self.shown(), *(n for n in ("number", "state", "created_at", "created_by") if n in fields_of(self.model))])
        ]
        found = self.read(names, [pk], archived=True)
        if not found:
            raise records.not_found()
        row, gone = found[0], record.archived_at is not None
        base, title = f"{self.route_base}/{pk}", self.heading(record, row)
        can_archive = may_change and "archive" in self.verbs and may("archive", self.model)
        values: dict[str, Any] = {
            "title": title,
            "crumbs": [{"label": str(self.menu_label()), "url": f"{self.route_base}/"}],
            "record": recordpage.head(self.model, row, record, title),
            "actions": [] if gone else recordpage.actions(record, self.route_base),
            "edit_url": f"{base}/edit"
            if may_change and not gone and "edit" in self.verbs and self.editable() and may("edit", self.model)
            else None,
            "archive_url": f"{base}/archive" if can_archive and not gone else None,
            "restore_url": f"{base}/restore" if can_archive and gone else None,
            "track": recordpage.track(self.model, self.track, row.values.get("state")),
            "sections": recordpage.sections(type(self), self.sections, row),
            "related": [b for b in (r.build(record) for r in self.related) if b is not None],
            "history_url": f"{base}/history",
            "print_url": f"{base}/print.pdf",
            "who_url": recordpage.who_sees(self.model, pk),
        }
        values |= self.extras(record, row)
        values["tab"] = recordpage.open_tab(request.args.get("tab"), values)
        if error is not None:
            flash(recordpage.refusal(error), "danger")
        response = make_response(frame.render("portal/record.html", **values))
        if error is not None:
            response.status_code = error.http
        return response

    @route("/<int:pk>/print.pdf")
    def printed(self, pk: int) -> Any:
        """It on paper."""
        return printing.respond(self, pk)

    @route("/<int:pk>/history")
    def history(self, pk: int) -> Any:
        """Its changes, for the tab."""
        record, _may = records.get(self.model, pk, archived=True)
        found, before = history.entries(record, request.args.get("before", type=int))
        more = f"{self.route_base}/{pk}/history?before={before}" if before else None
        return frame.fragment("portal/_history.html", entries=found, more_url=more)

    # ---------------------------------------------------------------- forms
    @route("/add", verb="add")
    def add(self) -> Any:
        """An empty form, prefilled from the model's defaults and the address."""
        values = dict(self._defaults(context()))
        given, _errors = forms.parse(self.model, self.addable(), request.args, partial=True)
        values |= {k: v for k, v in given.items() if v is not None}
        return self._form(None, row=self._unsaved(values), draft=drafts.find(self.model, 0))

    def _defaults(self, ctx: Context) -> Mapping[str, Any]:
        hook = getattr(self.model, "defaults", None)
        return hook(ctx) if hook is not None else {}

    def _unsaved(self, values: Mapping[str, Any]) -> Row:
        fields = fields_of(self.model)
        row = Row(0, {k: v for k, v in values.items() if k in self.addable()})
        for name, value in row.values.items():
            target = fields[name].target
            if target is not None and value is not None:
                row.labels[name] = rows.labels(target, [value]).get(value)
        return row

    @route("/add", methods=("POST",), verb="add")
    def store(self) -> Any:
        """A new record; what cannot be accepted is shown again with the reasons."""
        values, errors = forms.parse(self.model, self.addable(), request.form, partial=False)
        if errors:
            return self._form(None, errors=errors)
        try:
            pk = self.perform_create(values)
        except (Invalid, Refusal, Conflict) as e:
            session().rollback()
            return self._form(None, errors=e.fields, error=e)
        drafts.forget(self.model, 0)
        flash(_("Saved."), "success")
        return redirect(self._after(pk), 303)

    @route("/<int:pk>/edit", verb="edit")
    def edit(self, pk: int) -> Any:
        """The form of a record."""
        record, may_change = records.get(self.model, pk)
        if not may_change:
            raise records.read_only(record)
        return self._form(record, row=self._stored(pk), draft=drafts.find(self.model, pk))

    @route("/<int:pk>/edit", methods=("POST",), verb="edit")
    def save(self, pk: int) -> Any:
        """Stores the change; a version saved by somebody else meanwhile is shown beside one's own."""
        record, may_change = records.get(self.model, pk)
        if not may_change:
            raise records.read_only(record)
        version = posted_version()
        values, errors = forms.parse(self.model, self.editable(), request.form, partial=True)
        for name in [k[5:] for k, v in request.form.items() if k.startswith("keep.") and v == "theirs"]:
            values.pop(name, None)
            errors.pop(name, None)
        if errors:
            return self._form(record, row=self._stored(pk), errors=errors, version=version)
        try:
            self.perform_update(pk, values, version)
        except Conflict as e:
            session().rollback()
            fresh, _may = records.get(self.model, pk)
            return self._form(fresh, row=self._stored(pk), error=e, conflict=self._conflict(fresh, values))
        except (Invalid, Refusal) as e:
            session().rollback()
            fresh, _may = records.get(self.model, pk)
            return self._form(fresh, row=self._stored(pk), errors=e.fields, error=e, version=version)
        drafts.forget(self.model, pk)
        flash(_("Saved."), "success")
        return redirect(self._after(pk), 303)

    @route("/add/draft", methods=("POST",), verb="add")
    def draft_new(self) -> Any:
        """Keeps what is typed into the form of a new record."""
        return answer(drafts.keep(self.model, 0, self.addable(), None))

    @route("/<int:pk>/edit/draft", methods=("POST",), verb="edit")
    def draft(self, pk: int) -> Any:
        """Keeps what is typed into the form of a record."""
        records.get(self.model, pk)
        return answer(drafts.keep(self.model, pk, self.editable(), posted_version()))

    @route("/add/draft/discard", methods=("POST",), verb="add")
    def discard_new(self) -> Any:
        """Throws the draft of a new record away."""
        drafts.forget(self.model, 0)
        return redirect(f"{self.route_base}/add", 303)

    @route("/<int:pk>/edit/draft/discard", methods=("POST",), verb="edit")
    def discard(self, pk: int) -> Any:
        """Throws the draft of a record away."""
        records.get(self.model, pk)
        drafts.forget(self.model, pk)
        return redirect(f"{self.route_base}/{pk}/edit", 303)

    def _stored(self, pk: int) -> Row:
        found = rows.read(self.model, self.stored(self.editable()), [pk])
        if not found:
            raise records.not_found()
        return found[0]

    def _after(self, pk: int) -> str:
        target = request.form.get("next")
        return local_path(target) if target else f"{self.route_base}/{pk}" if self.has_record_page else f"{self.route_base}/"

    def _form(
        self,
        record: Record | None,
        *,
        row: Row | None = None,
        errors: Mapping[str, Any] | None = None,
        error: PortalError | None = None,
        version: int | None = None,
        conflict: dict[str, Any] | None = None,
        draft: drafts.FormDraft | None = None,
    ) -> Any:
        names = self.editable() if record is not None else self.addable()
        base = f"{self.route_base}/{record.id}/edit" if record is not None else f"{self.route_base}/add"
        typed: Any = request.form if request.method == "POST" else None
        if draft is not None and request.args.get("draft") == "1":
            typed, version, draft = drafts.values(draft), draft.base_version, None
        built = forms.controls(self.model, names, row, typed=typed, errors={k: str(v) for k, v in (errors or {}).items()})
        if typed is not None:
            self._name_choices(built, typed)
        label = str(self.model.__label__ or self.menu_label())
        text = rows.text_of(record) if record is not None else ""
        crumbs = [{"label": str(self.menu_label()), "url": f"{self.route_base}/"}]
        if record is not None:
            crumbs.append({"label": text, "url": f"{self.route_base}/{record.id}"})
        message = str(error) if error is not None else self._stray(errors or {}, names)
        page = frame.render(
            "portal/form.html",
            title=_("Edit %(what)s", what=text) if record is not None else _("New: %(what)s", what=label),
            crumbs=crumbs,
            action_url=base,
            autosave_url=f"{base}/draft" if drafts.possible(self.model) else None,
            draft=drafts.offered(draft, base),
            version=None if record is None else version or record.version,
            sections=forms.sections([(t, [n for n in self.resolve(ns) if n in names]) for t, ns in self.sections], built),
            error=message,
            conflict=conflict,
            submit_label=None,
            cancel_url=f"{self.route_base}/{record.id}" if record is not None else f"{self.route_base}/",
        )
        return page, error.http if error is not None else 422 if errors else 200

    def _stray(self, errors: Mapping[str, Any], names: Sequence[str]) -> str:
        stray = [f"{k}: {v}" for k, v in errors.items() if k not in names]
        return "; ".join(stray)

    def _name_choices(self, built: Sequence[dict[str, Any]], typed: Mapping[str, Any]) -> None:
        """The text of references that were chosen but not stored."""
        fields = fields_of(self.model)
        for one in built:
            f = fields.get(one["name"])
            if f is not None and f.target is not None and one["display"] == "":
                raw = str(typed.get(f.name, ""))
                one["display"] = rows.labels(f.target, [int(raw)]).get(int(raw), NONE) if raw.isdecimal() and len(raw) < 19 else NONE

    def _conflict(self, record: Record, values: Mapping[str, Any]) -> dict[str, Any]:
        fields, differing = fields_of(self.model), []
        stored = self._stored(record.id)
        for name, mine in values.items():
            f = fields[name]
            theirs = f.of(record)
            if mine == theirs:
                continue
            label = rows.labels(f.target, [mine]).get(mine) if f.target is not None and mine is not None else None
            differing.append(
                {
                    "name": name,
                    "label": str(f.label),
                    "mine": f.display(mine, label),
                    "theirs": stored.display(f),
                    "theirs_value": forms.plain(f, theirs) if f.kind != "label" else theirs,
                    "differs": True,
                }
            )
        who, at = history.last_change(record)
        return {"by": who, "at": at, "version": record.version, "fields": differing}

    # ---------------------------------------------------------------- archive and actions
    @route("/<int:pk>/archive", methods=("POST",), verb="archive")
    def archive(self, pk: int) -> Any:
        """Puts the record away."""
        return self._do(pk, lambda: records.archive(self.model, pk, posted_version()), _("Archived."), f"{self.route_base}/")

    @route("/<int:pk>/restore", methods=("POST",), verb="archive")
    def restore(self, pk: int) -> Any:
        """Takes the record back."""
        return self._do(pk, lambda: records.restore(self.model, pk, posted_version()), _("Restored."))

    @route("/<int:pk>/<action>", methods=("POST",))
    def act(self, pk: int, action: str) -> Any:
        """Does a declared action with the record."""
        known = action_of(self.model, action)
        records.get(self.model, pk)
        require(*known.permission)
        arguments = {
            k: v for k, v in request.form.items() if k not in forms.CONTROLS and not k.startswith("_") and not k.endswith("__present")
        }
        done = _("%(action)s: done.", action=known.label)
        return self._do(pk, lambda: perform(self.model, known.name, pk, posted_version(), arguments), done)

    def _do(self, pk: int, work: Callable[[], Any], done: str, target: str | None = None) -> Any:
        try:
            work()
        except NotFound:
            raise
        except PortalError as e:
            if request.headers.get("HX-Request"):
                raise
            session().rollback()
            return self._record_page(pk, error=e)
        flash(done, "success")
        visible = target is None and bool(rows.read(self.model, ["id"], [pk]))
        where = request.form.get("next")
        return redirect(local_path(where) if where else target or (f"{self.route_base}/{pk}" if visible else f"{self.route_base}/"), 303)


def posted_version() -> int:
    """The version the form was made from. Raises BadRequest when it is missing."""
    given = request.form.get("version", "")
    if not given.isdecimal() or len(given) > 9:
        raise BadRequest(_("The form does not say which version it is based on. Open the page again."), code="no_version")
    return int(given)
