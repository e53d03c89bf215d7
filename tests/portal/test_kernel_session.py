"""The session: one transaction per request, one commit, answers that are errors leave nothing."""

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import select, text
from sqlalchemy.orm.exc import StaleDataError

from modules.hr.models import Leave
from modules.project.models import Domain, Project
from portal.app import Portal
from portal.kernel import db as kernel
from portal.kernel.db import after_commit, db, session, unrestricted
from portal.kernel.document import humanise, records
from portal.kernel.errors import PortalError, Refusal
from portal.kernel.module import Module, _modules, all_modules, module_of

ROOT = Path(__file__).resolve().parents[2]


def codes(superuser: Any, *wanted: str) -> list[str]:
    return [r[0] for r in superuser.execute("select code from project_domain where code = any(%s) order by 1", [list(wanted)]).fetchall()]


# ------------------------------------------------------------------ commit
def test_commit_only_flushes(app: Any, superuser: Any) -> None:
    with app.app_context(), unrestricted("test") as s:
        s.add(Domain(code="C1", name="x"))
        s.commit()  # as Flask-AppBuilder does in many places
        assert codes(superuser, "C1") == []
        s.rollback()
    with app.app_context(), unrestricted("test") as s:
        s.add(Domain(code="C2", name="x"))
        s.commit()
        s.finish()
        assert codes(superuser, "C1", "C2") == ["C2"]


def test_what_waits_for_the_commit(app: Any) -> None:
    told: list[str] = []
    with app.app_context():
        with unrestricted("test") as s:
            after_commit(lambda: told.append("after"))
            s.commit()
            assert told == []
        assert told == ["after"]
        with pytest.raises(Refusal), unrestricted("test"):
            after_commit(lambda: told.append("never"))
            raise Refusal("no")
        with unrestricted("test") as s:
            after_commit(lambda: told.append("never"))
            s.rollback()
    assert told == ["after"]


@pytest.fixture
def routed(app: Flask, token_of: Any) -> Any:
    """A request whose view is the given function; its own little application in front of the portal's database."""

    def call(view: Any, username: str | None = "leader") -> int:
        with app.test_request_context("/"):
            g.credential = token_of(username) if username else ""
            original = Flask.dispatch_request
            Flask.dispatch_request = lambda self: view()  # type: ignore[method-assign, assignment]
            try:
                return int(Portal.dispatch_request(app).status_code)  # type: ignore[arg-type]
            finally:
                Flask.dispatch_request = original  # type: ignore[method-assign]
                db.session.remove()

    return call


def add(code: str) -> None:
    session().add(Domain(code=code, name="x"))
    session().flush()


def test_a_good_answer_commits(routed: Any, superuser: Any) -> None:
    assert routed(lambda: (add("G1"), "fine")[1]) == 200
    assert codes(superuser, "G1") == ["G1"]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500, 503])
def test_an_answer_that_is_an_error_leaves_nothing(status: int, routed: Any, superuser: Any) -> None:
    assert routed(lambda: (add(f"E{status}"), ("no", status))[1]) == status
    assert codes(superuser, f"E{status}") == []


def test_an_exception_leaves_nothing(routed: Any, superuser: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        routed(lambda: (add("X1"), 1 / 0))
    assert codes(superuser, "X1") == []


def test_what_must_stay_stays(routed: Any, superuser: Any) -> None:
    def view() -> Any:
        add("K1")
        g.keep = True
        return "counted", 401

    assert routed(view) == 401
    assert codes(superuser, "K1") == ["K1"]


# ------------------------------------------------------------------ records
@pytest.mark.req("ALL-07")
def test_the_second_of_two_who_save_is_refused(request_as: Any, superuser: Any) -> None:
    with request_as("pm.chen") as one:
        first = one.scalar(select(Project).where(Project.name == "Project Alpha"))
        superuser.execute("update project_project set version = version + 1 where id = %s", [first.id])
        first.summary = "mine"
        with pytest.raises(StaleDataError):
            one.flush()


def test_a_new_record_has_its_defaults_from_the_database(request_as: Any, user_id: Any) -> None:
    with request_as("member.wang") as s:
        from portal.kernel import calendar

        row = Leave(kind="sick", from_day=calendar.today(), to_day=calendar.today())
        s.add(row)
        s.flush()
        assert (row.version, row.state, row.number, row.archived_at, row.custom) == (1, "draft", None, None, {})
        assert row.created_by == row.user_id == user_id("member.wang") and row.created_at.tzinfo is not None and row.entity_id


def test_a_state_nobody_declared_is_refused_by_the_database(app: Any) -> None:
    for m in records():
        if m.STATES:
            with app.app_context(), pytest.raises(Exception, match="_state_known"), unrestricted("test") as s:
                s.execute(text(f"update {m.__tablename__} set state = 'invented' where true"))
                raise AssertionError(f"{m.__tablename__} took an invented state")


def test_column_names_become_words() -> None:
    assert [humanise(n) for n in ("project_id", "work_email", "id", "name")] == ["Project", "Work email", "Id", "Name"]


# ------------------------------------------------------------------ modules, errors
def test_modules_come_after_what_they_depend_on(app: Any) -> None:
    names = [m.name for m in all_modules()]
    assert len(names) == len(set(names)) >= 3
    for m in all_modules():
        assert all(names.index(d) < names.index(m.name) for d in m.depends), m


def test_the_order_of_modules_does_not_depend_on_their_names() -> None:
    before = dict(_modules)
    try:
        _modules.clear()
        Module("a", depends=("c",))
        Module("b", depends=("a",))
        Module("c")
        assert [m.name for m in all_modules()] == ["c", "a", "b"]
    finally:
        _modules.clear()
        _modules.update(before)


def test_the_module_of_a_class() -> None:
    def made(where: str) -> type:
        return type("X", (), {"__module__": where})

    assert [module_of(made(w)) for w in ("modules.hr.models", "portal.notify.warnings", "security.audit")] == ["hr", "notify", "security"]


def test_every_error_has_a_status_and_a_word() -> None:
    def kinds(cls: type[PortalError]) -> list[type[PortalError]]:
        return [c for sub in cls.__subclasses__() for c in (sub, *kinds(sub))]

    for kind in kinds(PortalError):
        assert 400 <= kind.http < 600 and kind.code and kind.code == kind.code.lower(), kind
        assert (kind.__doc__ or "").strip(), kind


def test_only_the_kernel_commits() -> None:
    """`finish` is the one commit: nothing outside the kernel and the factory calls it, and nothing opens connections of its own."""
    allowed = {"portal/kernel/db.py", "portal/app.py", "portal/lowcode/importing/work.py"}  # an import's own transaction, all rows or none
    found = []
    for path in [*ROOT.glob("portal/**/*.py"), *ROOT.glob("security/*.py"), *ROOT.glob("modules/**/*.py")]:
        name = str(path.relative_to(ROOT))
        if name in allowed or name.startswith(("portal/embedded/", "portal/bench")):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("finish", "commit")
            if called and ast.unparse(node.func.value) not in ("point", "self"):  # savepoints
                found.append(f"{name}:{node.lineno} {ast.unparse(node)}")
    assert found == []


def test_the_current_session_is_the_blocks_own(app: Any) -> None:
    with app.app_context():
        outer = SimpleNamespace(session=session())
        with unrestricted("test") as s:
            assert session() is s is not outer.session
        assert kernel._current.get() is None
