"""What a Screen and a Resource declare about their model, with defaults from the model itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from portal.kernel.document import Record
from portal.kernel.i18n import _l
from portal.web import filters, paging, rows, words
from portal.web.access import VERBS
from portal.web.fields import NONE, fields_of, writable
from portal.web.paging import Order
from portal.web.rows import Row
from security.transitions import actions_of


@dataclass(frozen=True)
class Computed:
    """A column that is no column of the table.

    *values* gives it for the ids of a page, in one statement; or *column* makes an expression over the model, read with the row itself
    (`rows.Through`: from another table, under the viewer's rules).
    """

    label: Any
    kind: str
    values: Callable[[list[int]], Mapping[int, Any]] | None = None
    column: Callable[[type[Any]], Any] | None = None

    def display(self, value: Any) -> str:
        """The text people read."""
        match self.kind:
            case "money":
                return words.decimal(value)
            case "hours":
                return words.hours(value)
            case "integer":
                return words.number(value)
            case "date":
                return words.day(value)
            case "datetime":
                return words.moment(value)
            case "bool":
                return NONE if value is None else str(_l("Yes") if value else _l("No"))
        return NONE if value in (None, "") else str(value)


class Declared:
    """Shared by Screen and Resource. Column names may leave out `_id`: `author` means `author_id`."""

    model: ClassVar[type[Record]]
    list_columns: ClassVar[Sequence[str]] = ()
    show_columns: ClassVar[Sequence[str]] = ()
    add_columns: ClassVar[Sequence[str] | None] = None
    edit_columns: ClassVar[Sequence[str] | None] = None
    search_columns: ClassVar[Sequence[str]] = ()
    filters: ClassVar[Sequence[str]] = ()
    order: ClassVar[Any] = ()
    verbs: ClassVar[Sequence[str]] = VERBS
    computed: ClassVar[Mapping[str, Computed]] = {}

    @classmethod
    def permission(cls) -> str:
        """The view name of the permissions: `dailyreport.DailyReport`."""
        return cls.model.permission_name()

    @classmethod
    def all_permissions(cls) -> list[str]:
        """`can_<verb>` of every verb and action."""
        return [f"can_{v}" for v in (*cls.verbs, *(a.name for a in actions_of(cls.model)))]

    @classmethod
    def resolve(cls, names: Sequence[str]) -> list[str]:
        """Column names as declared → as they are. Raises LookupError at start-up for a wrong one."""
        fields, out = fields_of(cls.model), []
        for name in names:
            found = name if name in fields or name in cls.computed else f"{name}_id"
            if found not in fields and found not in cls.computed:
                raise LookupError(f"{cls.__name__}: {cls.model.__name__} has no column {name!r}")
            out.append(found)
        return out

    @classmethod
    @cache
    def listed(cls) -> list[str]:
        """Columns of the list."""
        if cls.list_columns:
            return cls.resolve(cls.list_columns)
        hidden = {"id", "version", "custom", "archived_at", "created_at", "created_by", "entity_id"}
        return [n for n, f in fields_of(cls.model).items() if n not in hidden and f.kind not in ("longtext", "json")][:8]

    @classmethod
    @cache
    def shown(cls) -> list[str]:
        """Columns of the record page."""
        if cls.show_columns:
            return cls.resolve(cls.show_columns)
        hidden = {"id", "version", "custom", "archived_at"}
        return [n for n, f in fields_of(cls.model).items() if n not in hidden and f.kind != "json"]

    @classmethod
    @cache
    def addable(cls) -> list[str]:
        """Columns a new record may be given."""
        return cls._written(cls.add_columns)

    @classmethod
    @cache
    def editable(cls) -> list[str]:
        """Columns a change may set."""
        return cls._written(cls.edit_columns)

    @classmethod
    def _written(cls, names: Sequence[str] | None) -> list[str]:
        able = writable(cls.model)
        if names is None:
            return able
        wanted = cls.resolve(names)
        wrong = [n for n in wanted if n not in fields_of(cls.model) or fields_of(cls.model)[n].readonly]
        if wrong:
            raise LookupError(f"{cls.__name__}: {', '.join(wrong)} may not be set by forms or REST")
        return wanted

    @classmethod
    @cache
    def searched(cls) -> list[str]:
        """Columns of the quick search."""
        if cls.search_columns:
            return cls.resolve(cls.search_columns)
        return [n for n, f in fields_of(cls.model).items() if n in ("number", "code", "name", "title") and f.kind in ("text", "label")]

    @classmethod
    @cache
    def filterable(cls) -> list[str]:
        """Columns that may be filtered by."""
        if cls.filters:
            return cls.resolve(cls.filters)
        hidden = {"version", "custom", "archived_at"}
        return [n for n, f in fields_of(cls.model).items() if n not in hidden and f.kind in filters.BY_KIND and f.kind != "longtext"]

    @classmethod
    @cache
    def ordered(cls) -> list[Order]:
        """The order when none is asked for."""
        given = cls.order
        if not given:
            return paging.complete([Order("day", True)] if "day" in fields_of(cls.model) else [Order("id", True)])
        if isinstance(given, str):
            given = [(given.lstrip("-"), "desc" if given.startswith("-") else "asc")]
        elif isinstance(given[0], str) and len(given) == 2 and given[1] in ("asc", "desc"):
            given = [given]
        items = [(g.lstrip("-"), "desc" if g.startswith("-") else "asc") if isinstance(g, str) else g for g in given]
        return paging.complete([Order(cls.resolve([name])[0], direction == "desc") for name, direction in items])

    @classmethod
    def stored(cls, names: Sequence[str]) -> list[str]:
        """Those of *names* that the table has."""
        return [n for n in names if n not in cls.computed]

    @classmethod
    def read(cls, names: Sequence[str], ids: Sequence[int], *, archived: bool = False) -> list[Row]:
        """The records *ids* with the columns *names*, computed ones included. One statement, and one per computed column with `values`."""
        asked = {n: cls.computed[n] for n in names if n in cls.computed}
        extra = {n: c.column(cls.model) for n, c in asked.items() if c.column is not None}
        found = rows.read(cls.model, cls.stored(names), ids, archived=archived, extra=extra)
        for name, c in asked.items():
            if c.values is not None and found:
                values = c.values([r.id for r in found])
                for r in found:
                    r.values[name] = values.get(r.id)
        return found

    @classmethod
    def check_declaration(cls) -> None:
        """Looks every declared column up, so that a wrong name stops the start and not a user."""
        for declared in (cls.listed, cls.shown, cls.addable, cls.editable, cls.searched, cls.filterable, cls.ordered):
            declared()
