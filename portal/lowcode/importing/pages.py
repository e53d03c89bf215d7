"""The page of each importer: its template, what is stored as a template, and the form for the file."""

from typing import Any

from flask import redirect, request, send_file

from portal.kernel import uploads
from portal.kernel.calendar import today
from portal.kernel.errors import Forbidden, Invalid
from portal.kernel.i18n import _
from portal.lowcode.importing import template
from portal.lowcode.importing.declared import Importer
from portal.web import exporting
from portal.web.access import route
from portal.web.page import Page


class _Upload:
    """The routes; `upload_page` makes a page of them for one importer."""

    importer: Importer

    def _check(self) -> Importer:
        if not self.importer.allowed():
            raise Forbidden(_("Your roles do not include this."))
        return self.importer

    @route("/", verb="add")
    def show(self) -> Any:
        """What the file may hold, and the form to send it."""
        return self._form()

    def _form(self, error: str = "") -> Any:
        it = self._check()
        sheets = [{"title": str(s.title), "columns": [(str(c.field.label), c.required) for c in s.offered()]} for s in it.sheets]
        return self.render(  # type: ignore[attr-defined]
            "importing/upload.html",
            importer=it,
            base=f"/imports/{it.slug}",
            sheets=sheets,
            notes=list(template.notes(it)),
            error=error,
            limit=uploads.MAX_WORKBOOK // 1024 // 1024,
            crumbs=[{"label": _("Imports"), "url": "/imports/"}],
        )

    @route("/template.xlsx", verb="add")
    def template(self) -> Any:
        """The empty template in the reader's language."""
        return _file(template.empty(self._check()), f"{self.importer.slug}-template")

    @route("/filled.xlsx", verb="add")
    def filled(self) -> Any:
        """The template with what is stored."""
        exporting.count_export()
        return _file(template.filled(self._check()), f"{self.importer.slug}-{today()}")

    @route("/", methods=("POST",), verb="add")
    def send(self) -> Any:
        """Takes the file in and leads to its import; what cannot be taken is said on the form."""
        from portal.lowcode.importing.actions import upload

        name, data = sent()
        try:
            pk = upload(self._check(), name, data)
        except Invalid as e:
            return self._form(str(e)), 422
        return redirect(f"/imports/{pk}", 303)


def sent() -> tuple[str | None, bytes]:
    """Name and content of the file in the request; empty when there is none."""
    file = request.files.get("file")
    if file is None or not file.filename:
        return None, b""
    return file.filename, file.stream.read(uploads.MAX_WORKBOOK + 1)


def _file(content: Any, name: str) -> Any:
    response = send_file(content, mimetype=uploads.XLSX, as_attachment=True, download_name=f"{name}.xlsx", max_age=0)
    response.headers["Cache-Control"] = "no-store"
    return response


def upload_page(importer: Importer) -> None:
    """Declares the page of *importer*."""
    values = {
        "importer": importer,
        "name": importer.permission,
        "route_base": f"/imports/{importer.slug}",
        "title": importer.title,
        "icon": "file-import",
        "menu_verb": "add",
        "__doc__": f"Import: {importer.name}.",
        "__module__": __name__,
    }
    type(f"Upload_{importer.slug.replace('-', '_')}", (_Upload, Page), values)
