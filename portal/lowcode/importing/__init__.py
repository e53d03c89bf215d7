"""Import of lists from XLSX: a dry run by the same code as the real one, then everything or nothing, in a worker.

A module declares what can be imported with `importer` (modules/hr/imports.py shows how); pages, REST, template and checks follow.
"""

from portal.kernel.i18n import _l
from portal.kernel.module import Module
from portal.lowcode.importing.declared import Column, Reference, Sheet, Stored, by_column, column, importer

__all__ = ["Column", "Reference", "Sheet", "Stored", "by_column", "column", "importer", "module"]

module = Module("lowcode", depends=(), label=_l("Imports"), group="Administration", order=0)
