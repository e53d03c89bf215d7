"""The imports of a person: which there were, how one stands, what it does with each row."""

from collections.abc import Sequence
from typing import Any

from flask import Response, redirect, render_template, request, send_file
from sqlalchemy import case, func, select

from portal.kernel import uploads
from portal.kernel.db import session
from portal.kernel.document import User
from portal.kernel.errors import BadRequest, NotFound
from portal.kernel.i18n import _, _l
from portal.lowcode.importing import template
from portal.lowcode.importing.actions import deciders, decides
from portal.lowcode.importing.declared import Importer, importers
from portal.lowcode.importing.models import OPEN, ImportFile, ImportRow, ImportRun
from portal.web import rows
from portal.web.fields import fields_of
from portal.web.page import Page, route
from portal.web.records import not_found
from security.manager import allowed
from security.transitions import perform
from security.visibility import context, viewer

SHOWN = 100
MINE = 50
STORING = ("running", "done", "failed")


class Imports(Page):
    """The imports of the person at hand, with the way to new ones."""

    name = "lowcode.ImportRun"
    route_base = "/imports"
    title = _l("Imports")
    icon = "file-import"
    menu = "People"
    menu_order = 60

    @route("/")
    def show(self) -> str:
        """What waits for the reader's approval, own imports, newest first, and what may be imported."""
        fields = fields_of(ImportRun)
        names = ("importer", "file_name", "owner_id", "state", "to_create", "to_change", "unchanged", "errors", "created_at")
        ids = (
            session()
            .scalars(select(ImportRun.id).where(ImportRun.owner_id == context().me).order_by(ImportRun.id.desc()).limit(MINE))
            .all()
        )

        offered = [{"title": str(i.title), "url": f"/imports/{i.slug}/"} for i in importers.values() if i.allowed()]
        waiting = self._waiting()
        shown = {
            r.id: {"id": r.id, "tone": fields["state"].tone(r.values["state"]), **{n: r.display(fields[n]) for n in names}}
            for r in rows.read(ImportRun, list(names), [*waiting, *ids])
        }
        lists = {"waiting": [shown[pk] for pk in waiting], "imports": [shown[pk] for pk in ids]}
        return self.render("importing/list.html", **lists, offered=offered)

    @staticmethod
    def _waiting() -> Sequence[int]:
        if not allowed("approve", "lowcode.ImportRun"):
            return ()
        asked = select(ImportRun.id).where(ImportRun.state == "submitted", decides(ImportRun, viewer()))
        return session().scalars(asked.order_by(ImportRun.id).limit(MINE)).all()

    @route("/<int:pk>")
    def one(self, pk: int) -> str:
        """How the import stands, and its rows."""
        run = _run(pk)
        crumbs = [{"label": str(self.title), "url": "/imports/"}]
        return self.render("importing/run.html", title=run.file_name, crumbs=crumbs, body=_body(run))

    @route("/<int:pk>/state")
    def state(self, pk: int) -> Response:
        """The part of the page that changes, for the page to ask for."""
        return Response(_body(_run(pk)), headers={"Cache-Control": "no-store"})

    @route("/<int:pk>/errors.xlsx")
    def errors(self, pk: int) -> Any:
        """The rows as sent, with what is wrong, to correct and send again."""
        run = _run(pk)
        importer = importers.get(run.importer)
        found = session().scalars(select(ImportRow).where(ImportRow.run_id == pk).order_by(ImportRow.sheet, ImportRow.row)).all()
        if importer is None or not found:
            raise NotFound(_("The rows of this import are not kept any more."))
        private = session().scalar(select(ImportFile.private).where(ImportFile.run_id == pk))
        out = template.corrections(importer, found, private or {})
        name = f"{run.file_name.rsplit('.', 1)[0]}-{_('errors')}.xlsx"
        response = send_file(out, mimetype=uploads.XLSX, as_attachment=True, download_name=name, max_age=0)
        response.headers["Cache-Control"] = "no-store"
        return response

    @route("/<int:pk>/<any(commit, submit, approve, reject, cancel):action>", methods=("POST",))
    def act(self, pk: int, action: str) -> Any:
        """Has the checked import stored or approved, answers it, or stops it."""
        _run(pk)
        given = request.form.get("version", "")
        if not given.isdecimal() or len(given) > 9:
            raise BadRequest(_("If-Match is not a version."), code="bad_if_match")
        note = {"note": request.form.get("note", "")} if action in ("approve", "reject") else {}
        perform(ImportRun, action, pk, int(given), note)
        return redirect(f"/imports/{pk}", 303)


def _run(pk: int) -> ImportRun:
    run = session().get(ImportRun, pk)
    if run is None:
        raise not_found()
    return run


def _body(run: ImportRun) -> str:
    """The state with its figures, the steps, the rows of the chosen outcome."""
    fields, importer = fields_of(ImportRun), importers.get(run.importer)
    wanted = request.args.get("rows", "")
    wanted = wanted if wanted in ImportRow.OUTCOMES else _first(run)
    working = run.state in ("waiting", "running")
    file = session().execute(select(ImportFile.done, ImportFile.total).where(ImportFile.run_id == run.id)).one_or_none()
    shown = [] if working or importer is None else _rows(run, importer, wanted)
    counts = {"error": run.errors, "create": run.to_create, "change": run.to_change, "same": run.unchanged}
    people = rows.labels(User, {p for p in (run.owner_id, run.decided_by) if p is not None})
    return render_template(
        "importing/_state.html",
        run=run,
        importer=importer,
        title=str(fields["importer"].display(run.importer)),
        state={"label": fields["state"].display(run.state), "tone": fields["state"].tone(run.state)},
        working=working,
        open=run.state in OPEN,
        done=file.done if file else 0,
        total=file.total if file else 0,
        own=run.owner_id == context().me,
        may_decide=run.state == "submitted" and run.owner_id != context().me and _decides(run),
        sender=people.get(run.owner_id, ""),
        decider=people.get(run.decided_by, "") if run.decided_by is not None else "",
        asked=[] if run.state != "submitted" else sorted(rows.labels(User, set(deciders(run))).values()),
        kept=bool(shown) or file is not None,
        counts=[
            {"name": name, "label": str(label), "n": counts[name], "tone": fields_of(ImportRow)["outcome"].tone(name)}
            for name, label in ImportRow.OUTCOMES.items()
        ],
        wanted=wanted,
        rows=shown,
        left=max(0, counts[wanted] - len(shown)) if shown else 0,
        step={"waiting": 2, "checked": 2, "refused": 2, "cancelled": 2}.get(run.state, 3) + (run.needs_approval and run.state in STORING),
    )


def _decides(run: ImportRun) -> bool:
    rule = decides(ImportRun, viewer())
    return (
        allowed("approve", "lowcode.ImportRun") and session().scalar(select(ImportRun.id).where(ImportRun.id == run.id, rule)) is not None
    )


def _first(run: ImportRun) -> str:
    counts = (("error", run.errors), ("create", run.to_create), ("change", run.to_change))
    return next((name for name, n in counts if n), "same")


def _rows(run: ImportRun, importer: Importer, outcome: str) -> list[dict[str, Any]]:
    sheets = {s.name: s for s in importer.sheets}
    order = case({name: n for n, name in enumerate(sheets)}, value=ImportRow.sheet, else_=len(sheets))
    found: Sequence[ImportRow] = (
        session()
        .scalars(
            select(ImportRow)
            .where(ImportRow.run_id == run.id, ImportRow.outcome == outcome)
            .order_by(order, func.length(ImportRow.sheet), ImportRow.row)
            .limit(SHOWN)
        )
        .all()
    )
    out = []
    for row in found:
        sheet = sheets.get(row.sheet)
        if sheet is None:
            continue
        labels = {c.name: str(c.field.label) for c in sheet.columns}
        out.append(
            {
                "sheet": str(sheet.title),
                "row": row.row,
                "key": row.key,
                "name": row.values.get("name", ""),
                "url": sheet.url.format(id=row.record_id) if row.record_id is not None and sheet.url else None,
                "problems": [(labels[k], row.problems[k]) for k in labels if k in row.problems],
                "changes": [
                    {"label": labels[k], "before": row.changes[k][0], "after": row.changes[k][1]} for k in labels if k in row.changes
                ],
            }
        )
    return out
