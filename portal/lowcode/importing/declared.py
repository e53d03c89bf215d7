"""What a module declares so that its lists can be imported: sheets, their columns, how rows are found and stored.

    importer("hr.organisation", title=_l("Departments and people"), sheets=(departments, people), url="/organisation/")

Kinds, words and checks of a column come from the model's field.  `current`, `create`, `change` and `late` run as the person who
imports, under their rules; what they refuse becomes the error of the row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from portal.kernel.db import session
from portal.web.fields import Field, fields_of
from security.manager import allowed
from security.visibility import context


@dataclass(frozen=True)
class Reference:
    """A cell that names another record by its key.

    *find*: keys → ids of those that the person sees, in one statement; *keys*: the way back.  *missing*: what to say when there is
    none, with `%(key)s`.  *sheet*: rows of this sheet of the same file count as well.  *listed*: keys with their words for the sheet
    of allowed values.
    """

    find: Callable[[Collection[str]], Mapping[str, int]]
    keys: Callable[[Collection[int]], Mapping[int, str]]
    missing: Any
    sheet: str = ""
    listed: Callable[[], Sequence[tuple[str, str]]] | None = None


@dataclass(frozen=True)
class Column:
    """One column of a sheet.  An empty cell leaves what is stored as it is.

    *required*: a new row needs it.  *late*: stored after every row of every sheet, because it refers to rows further down.
    *fixed*: why an import may not change the stored value, in words; empty: it may.  *offered*: whether the person gets the column.
    *private*: its values are shown to nobody but who sent the file, in the file.
    """

    name: str
    field: Field
    required: bool = False
    reference: Reference | None = None
    late: bool = False
    fixed: Any = ""
    example: str = ""
    offered: Callable[[], bool] | None = None
    private: bool = False


def column(model: type[Any], name: str, **options: Any) -> Column:
    """The column *name* of *model*; required when the model says so."""
    found = fields_of(model)[name]
    options.setdefault("required", found.required)
    return Column(name, found, **options)


@dataclass(frozen=True)
class Stored:
    """A record as it is: its values by column, references as ids."""

    id: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Sheet:
    """A list that is filled in: rows found by *key*, stored by the module's own functions.

    *current*: the stored records with these keys, all of them for None, as the person sees them; few statements for any number.
    *create* gets the values of a new row and returns its id; *change* a stored record and the values that differ; *late* an id and
    the values of its late columns that differ.  *create_many*: as *create* for many rows at once; when it raises anything, each is created
    by itself.  *check* says what is wrong with a row beyond its cells, by column.
    *url*: address of a record, with `{id}`.  *by_two*: new rows need the approval of a second person.
    """

    name: str
    title: Any
    columns: tuple[Column, ...]
    key: str
    current: Callable[[Collection[str] | None], Mapping[str, Stored]]
    create: Callable[[dict[str, Any]], int]
    change: Callable[[Stored, dict[str, Any]], None]
    late: Callable[[int, dict[str, Any]], None] | None = None
    create_many: Callable[[Sequence[dict[str, Any]]], Sequence[int]] | None = None
    check: Callable[[Mapping[str, Any], Stored | None], Mapping[str, Any]] | None = None
    url: str = ""
    by_two: bool = False

    def offered(self) -> list[Column]:
        """The columns the person may fill."""
        return [c for c in self.columns if c.offered is None or c.offered()]


@dataclass(frozen=True)
class Importer:
    """What can be imported with one file.  *permission*: the view name whose verb `add` a person's role needs.

    *scope*: what the roles of who imports carry; without it nobody reads the own imports of earlier times either.  *approval*: the scope
    of those who approve what needs a second person, and who see what was stored.  *told*: keys of the roles that hear of every import.
    *notes*: what to know before one fills the file.
    """

    name: str
    title: Any
    sheets: tuple[Sheet, ...]
    permission: str
    scope: str
    approval: str
    url: str
    told: tuple[str, ...] = ()
    notes: tuple[Any, ...] = ()

    def allowed(self) -> bool:
        """Whether the person at hand may import this."""
        return allowed("add", self.permission) and self.scope in context().scopes

    @property
    def slug(self) -> str:
        """The name within addresses."""
        return self.name.replace(".", "-").replace("_", "-")


importers: dict[str, Importer] = {}
titles: dict[str, Any] = {}
"""Words of every importer by name."""


def importer(name: str, **options: Any) -> Importer:
    """Declares an import and its page; see `Importer`."""
    from portal.lowcode.importing.pages import upload_page

    made = Importer(name, **options)
    importers[name] = made
    titles[name] = made.title
    upload_page(made)
    return made


def by_column(model: type[Any], key: str, value: str = "id", words: str = "", where: Any = None, **options: Any) -> Reference:
    """A reference to the records of *model* by their column *key*; the id is their column *value*.

    *where*: which of them count.  *words*: the column whose text the sheet of allowed values shows beside the key.
    """

    def find(keys: Collection[str]) -> Mapping[str, int]:
        k = getattr(model, key)
        found = select(k, getattr(model, value)).where(k.in_(list(keys)))
        return dict(session().execute(found if where is None else found.where(where)).tuples().all())

    def keys(ids: Collection[int]) -> Mapping[int, str]:
        pk = getattr(model, value)
        return dict(session().execute(select(pk, getattr(model, key)).where(pk.in_(list(ids)))).tuples().all())

    def listed() -> Sequence[tuple[str, str]]:
        k, f = getattr(model, key), fields_of(model)[words]
        rows = session().execute(select(k, getattr(model, words)).order_by(k).limit(2000))
        return [(one, f.display(text)) for one, text in rows]

    return Reference(find, keys, listed=listed if words else None, **options)
