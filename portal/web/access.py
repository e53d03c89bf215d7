"""Who may call what: routes that name the verb they need, checked from the cached permission set before anything else runs."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from portal.kernel.document import Record
from portal.kernel.errors import Forbidden, NotFound, NotSignedIn
from portal.kernel.i18n import _
from security.manager import allowed
from security.visibility import Context, context

F = TypeVar("F", bound=Callable[..., Any])
MAX_ID = 2**63 - 1
VERBS = ("view", "add", "edit", "archive", "export")


def require(verb: str, name: str) -> Context:
    """The viewer, when a person is signed in whose roles include *verb* on *name*. Raises NotSignedIn or Forbidden."""
    ctx = signed_in()
    if not allowed(verb, name):
        raise Forbidden(_("Your roles do not include this."))
    return ctx


def signed_in() -> Context:
    """The viewer, when a person is signed in. Raises NotSignedIn."""
    ctx = context()
    if ctx.me is None:
        raise NotSignedIn(_("Please sign in."))
    return ctx


def route(url: str = "/", methods: Sequence[str] = ("GET",), verb: str = "view") -> Callable[[F], F]:
    """Makes a method of a Page, Screen or Resource answer *url*, for people whose roles include *verb* (empty: everybody signed in)."""

    def declare(f: F) -> F:
        @functools.wraps(f)
        def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
            if verb:
                require(verb, self.class_permission_name)
            else:
                signed_in()
            if any(type(value) is int and value > MAX_ID for value in kwargs.values()):
                raise NotFound(_("This record does not exist."))
            return f(self, *args, **kwargs)

        routed = cast(Any, guarded)
        routed._urls = [*getattr(f, "_urls", ()), (url, list(methods))]  # where Flask-AppBuilder looks for routes
        if verb:
            routed._permission_name = verb
        return cast(F, guarded)

    return declare


def may(verb: str, model: type[Record]) -> bool:
    """Whether the person's roles include *verb* on *model*."""
    return allowed(verb, model.permission_name())
