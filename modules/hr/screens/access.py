"""Who gets which page of HR in the menu."""

from security.visibility import Context


def administers(ctx: Context) -> bool:
    """Whether the reader changes staff data and the organisation."""
    return "staff_admin" in ctx.scopes
