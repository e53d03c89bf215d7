"""Hand-made pages: a Flask-AppBuilder view with our routes, permissions, menu entry and frame."""

from collections.abc import Callable
from typing import Any, ClassVar

from flask_appbuilder import BaseView

from portal.web import frame, registry
from portal.web.access import route as route
from security.visibility import Context


class Page(BaseView):  # type: ignore[misc]
    """`class TeamBoard(Page): name = "dailyreport.TeamBoard"; route_base = "/team-board"; menu = "Work"; title = _l("Team reports")`.

    Its methods carry `@route("/")`; the verb they need (`view` unless given) is a permission on *name*.
    """

    name: ClassVar[str] = ""
    title: ClassVar[Any] = ""
    menu: ClassVar[str | None] = None
    menu_order: ClassVar[int] = 100
    menu_url: ClassVar[str | None] = None
    menu_verb: ClassVar[str] = "view"
    icon: ClassVar[str] = "file-text"
    visible: ClassVar[Callable[[Context], bool] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.name or cls.route_base is None:
            raise TypeError(f"{cls.__name__} declares no name or no route_base")
        cls.class_permission_name = cls.name
        cls.previous_class_permission_name = cls.name
        registry.pages[cls.name] = cls

    @classmethod
    def permission(cls) -> str:
        """The view name of its permissions."""
        return cls.name

    @classmethod
    def menu_label(cls) -> Any:
        """Words in the menu."""
        return cls.title or cls.name

    @classmethod
    def visible_in_menu(cls) -> Callable[[Context], bool] | None:
        """A further condition for the menu entry, beside the permission."""
        return cls.visible

    def render(self, template: str, **values: Any) -> str:
        """*template* in the frame, with the page's title."""
        values.setdefault("title", str(self.title))
        values.setdefault("crumbs", [])
        return frame.render(template, **values)
