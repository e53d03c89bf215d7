"""Named actions: who, when, on what version, with which arguments; all of it or nothing."""

import threading
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import select, text

from modules.project.models import Domain, Project, ProjectStateChange
from portal.kernel.db import session
from portal.kernel.errors import Conflict, Forbidden, Invalid, NotFound, NotSignedIn, Refusal
from security import manager, transitions
from security.transitions import Argument, available, operation, parse_arguments, perform, perform_many, transition
from security.visibility import context

pytestmark = pytest.mark.req("ALL-04")


@pytest.fixture
def project_id(superuser: Any) -> Callable[[str], int]:
    return lambda name: superuser.execute("select id from project_project where name = %s", [f"Project {name}"]).fetchone()[0]


@pytest.fixture
def permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles stand aside: only the action's own rule counts."""
    monkeypatch.setattr(manager, "allowed", lambda verb, view: True)


@pytest.fixture
def declared() -> Iterator[None]:
    """Actions the test declares are forgotten after it."""
    before = {m: dict(a) for m, a in transitions._actions.items()}
    yield
    transitions._actions.clear()
    transitions._actions.update(before)


def state_of(superuser: Any, pk: int) -> str:
    return str(superuser.execute("select state from project_project where id = %s", [pk]).fetchone()[0])


# ------------------------------------------------------------------ who
def test_unseen_and_nonexistent_are_the_same_answer(request_as: Any, project_id: Any) -> None:
    with request_as("outsider"):
        answers = []
        for pk in (project_id("Alpha"), 10**12, -1):
            with pytest.raises(NotFound) as e:
                perform(Project, "pause", pk, arguments={"reason": "x"})
            answers.append((str(e.value), e.value.code, e.value.fields))
        assert len(set(map(str, answers))) == 1


def test_whoever_sees_but_may_not_is_told_so(request_as: Any, project_id: Any, superuser: Any, permitted: None) -> None:
    for username in ("member.wang", "qa"):
        with request_as(username), pytest.raises(Forbidden):
            perform(Project, "pause", project_id("Alpha"), arguments={"reason": "x"})
    with request_as("pm.chen"), pytest.raises(Forbidden):
        perform(Project, "cancel", project_id("Alpha"), arguments={"reason": "the PM's superiors only"})
    assert state_of(superuser, project_id("Alpha")) == "active"


def test_a_role_without_the_permission_may_not(request_as: Any, project_id: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "granted", lambda: frozenset())
    with request_as("pm.chen"), pytest.raises(Forbidden):
        perform(Project, "pause", project_id("Alpha"), arguments={"reason": "x"})


def test_nobody_may(request_as: Any, project_id: Any) -> None:
    with request_as(None), pytest.raises(NotSignedIn):
        perform(Project, "pause", project_id("Alpha"), arguments={"reason": "x"})


def test_an_unknown_action_is_not_found(request_as: Any, project_id: Any) -> None:
    with request_as("pm.chen"):
        for name in ("explode", "", "__init__", "pause; drop table"):
            with pytest.raises(NotFound):
                perform(Project, name, project_id("Alpha"))


# ------------------------------------------------------------------ when
def test_the_wrong_state_is_refused_with_the_state(request_as: Any, project_id: Any, permitted: None, superuser: Any) -> None:
    with request_as("pm.chen"):
        for name in ("Alpha", "Epsilon"):  # active, completed: neither is paused
            with pytest.raises(Refusal) as e:
                perform(Project, "resume", project_id(name))
            assert e.value.code == "wrong_state"
    assert (state_of(superuser, project_id("Alpha")), state_of(superuser, project_id("Epsilon"))) == ("active", "completed")


@pytest.mark.req("ALL-07")
def test_an_old_version_is_a_conflict(request_as: Any, project_id: Any, permitted: None) -> None:
    with request_as("pm.chen"):
        with pytest.raises(Conflict) as e:
            perform(Project, "pause", project_id("Alpha"), version=99, arguments={"reason": "x"})
        assert e.value.version == 1


def test_the_state_changes_with_its_history(
    fresh_db: None, request_as: Any, project_id: Any, permitted: None, superuser: Any, user_id: Any
) -> None:
    pk = project_id("Alpha")
    with request_as("pm.chen", keep=True):
        perform(Project, "pause", pk, version=1, arguments={"reason": "waiting for the customer"})
        assert session().get(Project, pk).state == "paused"
        assert session().scalar(text("select current_user")) == "app"
    entry = superuser.execute(
        "select actor, db_role, op, old, new from audit_entry where tbl = 'project_project' and row_id = %s order by id desc limit 1", [pk]
    ).fetchone()
    assert entry[:3] == (user_id("pm.chen"), "app_act", "update")
    assert (entry[3]["state"], entry[4]["state"]) == ("active", "paused")


def test_two_at_once_one_wins(fresh_db: None, request_as: Any, project_id: Any, permitted: None, superuser: Any) -> None:
    """Eight people press the button on the same version: it happens once."""
    pk, results, ready = project_id("Alpha"), [], threading.Barrier(8)

    def press() -> None:
        with request_as("pm.chen", keep=False) as s:
            context()
            ready.wait(10)
            try:
                perform(Project, "pause", pk, version=1, arguments={"reason": "x"})
                s.finish()
                results.append("done")
            except (Conflict, Refusal) as e:
                results.append(e.code)

    threads = [threading.Thread(target=press) for _ in range(8)]
    [t.start() for t in threads]
    [t.join(30) for t in threads]
    assert sorted(results) == ["changed_meanwhile"] * 7 + ["done"]
    count = superuser.execute("select count(*) from project_state_change where project_id = %s and to_state = 'paused'", [pk]).fetchone()
    assert count == (1,)


# ------------------------------------------------------------------ all or nothing
def test_a_refusal_in_the_body_leaves_nothing(request_as: Any, project_id: Any, permitted: None, declared: None, superuser: Any) -> None:
    @operation(by=lambda c, v: c.pm_id == v.me)
    def spoil(project: Project) -> None:
        project.name = "spoilt"
        session().add(Domain(code="SPOILT", name="spoilt"))
        session().flush()
        raise Refusal("no")

    pk = project_id("Alpha")
    with request_as("pm.chen", keep=True) as s:  # even when the request goes on and commits
        with pytest.raises(Refusal):
            perform(Project, "spoil", pk)
        assert s.scalar(text("select current_user")) == "app"
        assert s.get(Project, pk).name == "Project Alpha"
    assert superuser.execute("select count(*) from project_domain where code = 'SPOILT'").fetchone() == (0,)
    assert superuser.execute("select name from project_project where id = %s", [pk]).fetchone() == ("Project Alpha",)


def test_one_may_give_away_what_one_then_no_longer_sees(
    request_as: Any, project_id: Any, permitted: None, declared: None, user_id: Any
) -> None:
    @operation(by=lambda c, v: c.pm_id == v.me, name="hand_over")
    def hand_over(project: Project) -> None:
        project.pm_id = user_id("pm.li")

    pk = project_id("Alpha")
    with request_as("pm.chen") as s:
        perform(Project, "hand-over", pk)
        s.connection()
        assert (
            s.scalar(text("select pm_id from project_project where id = :i"), {"i": pk}) is not None
        )  # in this transaction's arrays still
    with request_as("pm.chen"), pytest.raises(TypeError):

        @transition("nowhere", "draft", by=lambda c, v: c.pm_id == v.me)
        def impossible(project: Project) -> None: ...


def test_the_body_sees_everything_and_the_answer_does_not(request_as: Any, project_id: Any, permitted: None, declared: None) -> None:
    seen = {}

    @operation(by=lambda c, v: c.pm_id == v.me)
    def look(project: Project) -> None:
        seen["inside"] = len(session().scalars(select(Project.id)).all())
        seen["role"] = session().scalar(text("select current_user"))

    with request_as("pm.chen") as s:
        outside = len(s.scalars(select(Project.id)).all())
        perform(Project, "look", project_id("Alpha"))
        assert len(s.scalars(select(Project.id)).all()) == outside < seen["inside"]
        assert seen["role"] == "app_act"


def test_of_many_the_refused_ones_do_not_stop_the_others(request_as: Any, project_id: Any, permitted: None) -> None:
    pks = [project_id(n) for n in ("Epsilon", "Alpha", "Beta")]  # completed, active, another PM's
    with request_as("pm.chen") as s:
        done, failed = perform_many(Project, "pause", [*pks, 10**12], {"reason": "x"})
        assert done == [project_id("Alpha")]
        assert {pk: type(e) for pk, e in failed.items()} == {pks[0]: Refusal, pks[2]: NotFound, 10**12: NotFound}
        assert s.scalar(text("select current_user")) == "app"
        assert s.scalar(text("select state from project_project where id = :i"), {"i": pks[1]}) == "paused"


def test_buttons_tell_what_is_possible_now(request_as: Any, project_id: Any, permitted: None) -> None:
    def buttons(username: str, name: str) -> dict[str, bool]:
        with request_as(username) as s:
            return {a.name: fits for a, fits, _reason in available(s.get(Project, project_id(name)))}

    pm = buttons("pm.chen", "Alpha")
    assert pm["pause"] and pm["complete"] and not pm["start"] and "cancel" not in pm and "close" not in pm
    assert buttons("domain.manager", "Alpha")["cancel"]
    assert buttons("member.wang", "Alpha") == {} == buttons("qa", "Alpha")
    assert buttons("pm.chen", "Epsilon")["complete"] is False


def test_a_button_that_is_not_possible_says_why(request_as: Any, project_id: Any, permitted: None) -> None:
    with request_as("pm.chen") as s:
        for _action, fits, reason in available(s.get(Project, project_id("Epsilon"))):
            assert fits is not bool(reason)


# ------------------------------------------------------------------ arguments
ARGUMENTS = {
    "reason": Argument("text", "Reason", required=True, max_length=10),
    "day": Argument("date", "Day"),
    "amount": Argument("decimal", "Amount"),
    "who": Argument("person", "Who"),
    "n": Argument("integer", "Number"),
    "kind": Argument("choice", "Kind", choices={"a": "A", "b": "B"}),
}


@pytest.fixture
def parse(app: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    action = transitions.Action(Project, "x", ("*",), None, lambda c, v: None, lambda r: None, "x", arguments=ARGUMENTS)

    def parsed(given: dict[str, Any]) -> dict[str, Any]:
        with app.test_request_context("/"):
            return parse_arguments(action, given)

    return parsed


def test_arguments_are_read(parse: Any) -> None:
    got = parse({"reason": "  why ", "day": "2026-03-31", "amount": "1.50", "who": "7", "n": 3, "kind": "b"})
    assert got == {"reason": "why", "day": date(2026, 3, 31), "amount": Decimal("1.50"), "who": 7, "n": 3, "kind": "b"}
    assert parse({"reason": "why", "day": "", "amount": None}) == {
        "reason": "why",
        "day": None,
        "amount": None,
        "who": None,
        "n": None,
        "kind": None,
    }


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, {"reason"}),
        ({"reason": "   "}, {"reason"}),
        ({"reason": "x" * 11}, {"reason"}),
        ({"reason": "x", "id": 1, "state": "approved"}, {"id", "state"}),
        ({"reason": "x", "day": "31.03.2026"}, {"day"}),
        ({"reason": "x", "day": "2026-02-30"}, {"day"}),
        ({"reason": "x", "day": 20260331}, {"day"}),
        ({"reason": "x", "amount": "NaN"}, {"amount"}),
        ({"reason": "x", "amount": "Infinity"}, {"amount"}),
        ({"reason": "x", "amount": "1,5"}, {"amount"}),
        ({"reason": "x", "amount": [1]}, {"amount"}),
        ({"reason": "x", "amount": {}}, {"amount"}),
        ({"reason": "x", "who": "me"}, {"who"}),
        ({"reason": "x", "who": []}, {"who"}),
        ({"reason": "x", "who": 1.5}, {"who"}),
        ({"reason": "x", "who": True}, {"who"}),
        ({"reason": "x", "n": 2**70}, {"n"}),
        ({"reason": "x", "kind": "c"}, {"kind"}),
        ({"reason": "x", "kind": ["a"]}, {"kind"}),
        ({"reason": ["x"]}, {"reason"}),
        ({"reason": {"a": 1}}, {"reason"}),
        ({"reason": "a\x00b"}, {"reason"}),
    ],
    ids=lambda v: str(sorted(v)) if isinstance(v, set) else str(v),
)
def test_wrong_arguments_are_named(parse: Any, given: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(Invalid) as e:
        parse(given)
    assert set(e.value.fields) == wrong


def test_every_declared_state_is_reachable_history_included(app: Any) -> None:
    """The history of a project's states and its own state are written together."""
    for action in transitions.actions_of(Project):
        if action.to:
            assert action.to in Project.STATES
    assert ProjectStateChange.change.__func__(ProjectStateChange, None) is not None


def test_whose_turn_it_is_counts_under_the_lock(
    request_as: Any, project_id: Any, superuser: Any, user_id: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project is handed to somebody else between the first look and the lock."""
    pk, acting = project_id("Alpha"), transitions.acting

    def late(reason: str = "") -> Any:
        superuser.execute("update project_project set pm_id = %s, version = version + 1 where id = %s", [user_id("pm.li"), pk])
        return acting(reason)

    monkeypatch.setattr(transitions, "acting", late)
    before = state_of(superuser, pk)
    with request_as("pm.chen"), pytest.raises(Forbidden):
        perform(Project, "pause", pk, arguments={"reason": "x"})
    assert state_of(superuser, pk) == before
    superuser.execute("update project_project set pm_id = %s, version = version + 1 where id = %s", [user_id("pm.chen"), pk])


@pytest.mark.req("ALL-03")
def test_a_number_is_never_given_twice(superuser: Any, project_id: Any) -> None:
    numbered = superuser.execute("select id, entity_id, number from project_project where number is not null limit 1").fetchone()
    with pytest.raises(UniqueViolation):
        superuser.execute(
            "update project_project set number = %s, entity_id = %s"
            " where id <> %s and id = (select min(id) from project_project where id <> %s)",
            [numbered[2], numbered[1], numbered[0], numbered[0]],
        )
