"""Who gets which page of HR in the menu."""

from security.manager import allowed
from security.visibility import Context, context


def administers(ctx: Context) -> bool:
    """Whether the reader changes staff data and the organisation."""
    return "staff_admin" in ctx.scopes


def may_import() -> bool:
    """Whether the reader may take the organisation over from a workbook."""
    return allowed("add", "hr.Import") and administers(context())


def approves(ctx: Context) -> bool:
    """Whether the reader asks for or approves what two people of HR or the leaders do together."""
    return administers(ctx) or "staff_approval" in ctx.scopes
