"""The groups of departments at a real Keycloak follow the organisation (POR-02)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from modules.hr.actions import found, merging
from modules.hr.actions.organisation import move, rename
from modules.hr.models import Merger
from portal.kernel import calendar
from portal.kernel.db import session
from security import expected, reconciliation, synchronisation
from security.directory import Directory
from tests.security.hr_steps import hired, plan, repaired, unit
from tests.security.realms import OwnRealm

pytestmark = [pytest.mark.keycloak]
Do = Callable[..., Any]


@pytest.mark.req("POR-02", part="departments")
def test_the_group_tree_follows(equal: Do, theirs: OwnRealm, worker: Callable[[], int]) -> None:
    day = calendar.today
    equal(lambda: found("NEW", "新部门", unit("RD").id))
    worker()
    new, above = theirs.group("NEW"), theirs.group("RD")
    assert new is not None
    assert above is not None
    assert (new.name, new.parent) == ("新部门", above.id)
    equal(lambda: move(unit("NEW"), unit("SAL").id, day(), None))
    equal(lambda: rename(unit("NEW"), "更名部门", day(), None))
    worker()
    again, sales = theirs.group("NEW"), theirs.group("SAL")
    assert again is not None
    assert sales is not None
    assert (again.id, again.name, again.parent) == (new.id, "更名部门", sales.id)
    # two change their names with each other, and one hangs below what was below it
    names = equal(lambda: (unit("BE").name, unit("BE1").name))
    equal(lambda: (move(unit("BE1"), unit("PLT").id, day(), None), rename(unit("BE"), names[1], day(), None)))
    equal(lambda: rename(unit("BE1"), names[0], day(), None))
    equal(lambda: move(unit("BE"), unit("BE1").id, day(), None))
    worker()
    upper, lower = theirs.group("BE1"), theirs.group("BE")
    assert upper is not None
    assert lower is not None
    assert (upper.name, lower.name, lower.parent) == (names[0], names[1], upper.id)
    # merged: the group goes, its people are in the other one
    equal(lambda: found("OLD", "旧部门", unit("RD").id, day() - timedelta(days=30)))
    equal(hired, "liu.suifeng", "E9001", "OLD")
    worker()
    assert theirs.codes("liu.suifeng") == {"OLD"}

    def merged() -> None:
        merging.merge(unit("OLD"), unit("ADM").id, day(), None)
        merging.approve(session().scalars(select(Merger).where(Merger.department_id == unit("OLD").id)).one(), None)

    equal(merged)
    worker()
    assert theirs.group("OLD") is None
    assert theirs.codes("liu.suifeng") == {"ADM"}
    # another code is the same department
    kept = theirs.group("SAL")

    def recode() -> None:
        department = unit("SAL")
        department.code = "S1"
        department.before_update(None)

    equal(recode)
    worker()
    coded = theirs.group("S1")
    assert coded is not None
    assert kept is not None
    assert coded.id == kept.id


@pytest.mark.req("POR-02", part="too much at once")
def test_groups_are_not_removed_by_the_dozen_nor_with_roles(
    equal: Do, app: Flask, theirs: OwnRealm, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(theirs.portal.groups())
    with monkeypatch.context() as patched:
        # what a mistake of the source would say
        patched.setattr(expected, "departments", lambda: [expected.Department("HQ", "总部", None)])
        with app.app_context():
            synchronisation.sync_departments()
            assert reconciliation.too_many(reconciliation.compare())
    assert set(theirs.portal.groups()) == before
    assert repaired(app) == []
    equal(lambda: found("CLUB", "俱乐部", unit("SAL").id))
    assert repaired(app) == []
    club = theirs.group("CLUB")
    assert club is not None
    role = theirs.admin.get_realm_role("offline_access")
    theirs.admin.assign_group_realm_roles(club.id, [role])
    equal(lambda: session().execute(text("update hr_department set archived_at = now() where code = 'CLUB'")))
    with app.app_context():
        synchronisation.sync_departments()
    assert theirs.group("CLUB") is not None, "another application's rights hang on it"
    assert {(f.kind, f.label) for f in plan(app).findings} == {("left", "俱乐部")}
    theirs.admin.delete_group_realm_roles(club.id, [role])
    assert repaired(app) == []
    assert theirs.group("CLUB") is None


def test_a_late_answer_makes_no_second_group(equal: Do, app: Flask, theirs: OwnRealm, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Directory.create_group

    def twice(self: Directory, code: str, name: str, parent: str | None) -> str:
        make(self, code, name, parent)  # the answer came too late, so the client asked again
        return make(self, code, name, parent)

    equal(lambda: found("LATE", "迟部", unit("SAL").id))
    with monkeypatch.context() as slow:
        slow.setattr(Directory, "create_group", twice)
        with app.app_context():
            synchronisation.sync_departments()
    assert [g.name for g in theirs.portal.groups().values() if g.code == "LATE"] == ["迟部"]
    assert plan(app).findings == []
