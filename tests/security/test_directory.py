"""People, departments and roles at a real Keycloak follow the portal; what differs is shown, repaired or asked (POR-02, HRM-09)."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from modules.hr.actions import found
from modules.hr.actions.organisation import move, rename
from portal.kernel import calendar
from portal.kernel.db import session
from security import comparison, expected, reconciliation, synchronisation
from tests.security.hr_steps import back, hired, left, moved, person, plan, repaired, unit, whats
from tests.security.realms import OwnRealm

pytestmark = [pytest.mark.keycloak]
Do = Callable[..., Any]


@pytest.mark.req("POR-02")
def test_from_hiring_to_coming_back(equal: Do, theirs: OwnRealm, worker: Callable[[], int], caplog: pytest.LogCaptureFixture) -> None:
    equal(hired, "liu.suifeng", "E9001", "BE1")
    assert theirs.user("liu.suifeng") is None, "written by the worker, not by the person's request"
    worker()
    made = theirs.user("liu.suifeng")
    assert made is not None
    assert (made.last_name, made.first_name, made.email, made.number, made.enabled) == (
        "柳",
        "随风",
        "liu.suifeng@mail.example",
        "E9001",
        True,
    )
    at_keycloak = theirs.admin.get_user(made.subject)
    assert at_keycloak["requiredActions"] == ["UPDATE_PASSWORD"]
    assert at_keycloak["emailVerified"] is False, "HR typed it, nobody showed that it is theirs"
    assert theirs.codes("liu.suifeng") == {"BE1"}
    subject = text("select subject from security_account a join ab_user u on u.id = a.user_id where username = 'liu.suifeng'")
    assert equal(lambda: session().execute(subject).scalar()) == made.subject
    client = str(theirs.admin.get_client_id("portal"))
    assert {r["name"] for r in theirs.admin.get_client_roles_of_user(made.subject, client)} == {"employee"}
    theirs.change("liu.suifeng", attributes={"employee_number": ["E9001"], "locale": ["en"]})

    equal(moved, "liu.suifeng", "SAL")
    worker()
    assert theirs.codes("liu.suifeng") == {"SAL"}

    def renamed() -> None:
        who = person("liu.suifeng")
        who.name, who.work_email = "柳如是", "ru.shi@mail.example"
        who.before_update(None)

    equal(renamed)
    worker()
    changed = theirs.user("liu.suifeng")
    assert changed is not None
    assert (changed.name, changed.email, changed.number) == ("柳如是", "ru.shi@mail.example", "E9001")
    assert theirs.admin.get_user(made.subject)["attributes"]["locale"] == ["en"], "what others keep there stays"

    def address(to: str) -> None:
        who = person("liu.suifeng")
        who.work_email = to
        who.before_update(None)

    theirs.change("liu.suifeng", emailVerified=True)
    equal(address, "hr.herself@mail.example")
    worker()
    kept = theirs.user("liu.suifeng")
    assert kept is not None and kept.email == "ru.shi@mail.example", "an address shown to be the person's is not HR's to change"
    theirs.change("liu.suifeng", emailVerified=False)
    signed_in = "update ab_user set last_login = now() where username = 'liu.suifeng'"
    equal(lambda: session().execute(text(signed_in)))
    equal(address, "hr.once.more@mail.example")
    worker()
    kept = theirs.user("liu.suifeng")
    assert kept is not None and kept.email == "ru.shi@mail.example", "nor is it after the first sign-in"

    theirs.admin.set_user_password(made.subject, "a-long-password", temporary=False)
    theirs.change("liu.suifeng", requiredActions=[])
    assert theirs.sign_in("liu.suifeng", "a-long-password").status_code == 200
    assert theirs.admin.get_sessions(made.subject)
    equal(left, "liu.suifeng")
    worker()
    gone = theirs.user("liu.suifeng")
    assert gone is not None
    assert (gone.enabled, gone.groups) == (False, frozenset())
    assert theirs.admin.get_sessions(made.subject) == []
    assert theirs.sign_in("liu.suifeng", "a-long-password").status_code == 400

    equal(back, "liu.suifeng", "RD")
    worker()
    again = theirs.user("liu.suifeng")
    assert again is not None
    assert (again.subject, again.enabled) == (made.subject, True)
    assert theirs.codes("liu.suifeng") == {"RD"}
    assert "password" not in caplog.text.lower()


@pytest.mark.req("POR-02", part="repetition")
def test_letters_repeated_or_in_another_order_change_nothing(equal: Do, app: Flask, theirs: OwnRealm, worker: Callable[[], int]) -> None:
    equal(moved, "member.wang", "SAL")
    equal(moved, "member.wang", "ADM")
    user_id = equal(lambda: person("member.wang").user_id)
    # the later letter first, then both again
    with app.app_context():
        for _again in range(2):
            synchronisation.sync_person(user_id)
    worker()
    equal(expected.person_changed, user_id)
    equal(expected.departments_changed)
    before = theirs.user("member.wang"), theirs.portal.groups(), len(theirs.portal.users())
    assert theirs.codes("member.wang") == {"ADM"}
    worker()
    assert (theirs.user("member.wang"), theirs.portal.groups(), len(theirs.portal.users())) == before


def test_at_night_nobody_is_shut_out_by_the_dozen(app: Flask) -> None:
    def disabled(n: int) -> Any:
        return comparison.Plan(changes=[comparison.Change("person", "disabled", str(i), "x") for i in range(n)])

    with app.app_context():
        assert not reconciliation.too_many(disabled(reconciliation.MOST_DISABLED))
        assert reconciliation.too_many(disabled(reconciliation.MOST_DISABLED + 1))


@pytest.mark.req("POR-02", part="drift")
def test_drift_is_shown_then_repaired_and_what_is_not_ours_stays(equal: Do, app: Flask, theirs: OwnRealm) -> None:
    admin = theirs.admin
    foreign = admin.create_user({"username": "contractor", "enabled": True, "email": "contractor@else.example"})
    other = admin.create_group({"name": "football"})
    admin.group_user_add(foreign, other)
    wang = theirs.user("member.wang")
    assert wang is not None
    theirs.change("member.wang", lastName="汪", enabled=False, attributes={"employee_number": ["X1"]})
    admin.group_user_add(wang.subject, other)
    li = theirs.user("pm.li")
    assert li is not None
    theirs.change("pm.li", attributes={})
    plt, sal = theirs.group("PLT"), theirs.group("SAL")
    assert plt is not None
    assert sal is not None
    admin.group_user_remove(wang.subject, next(iter(wang.groups)))
    admin.group_user_add(wang.subject, sal.id)
    admin.connection.raw_put(
        f"/admin/realms/{admin.connection.realm_name}/groups/{plt.id}",
        data='{"name": "drifted", "description": "of theirs", "attributes": {}}',
    )
    zhao = theirs.user("member.zhao")
    assert zhao is not None
    admin.delete_user(zhao.subject)
    client = str(admin.get_client_id("portal"))
    admin.create_client_role(client, {"name": "who_knows"})
    admin.delete_client_role(client, "qa")
    try:
        seen = plan(app)
        assert whats(seen.changes) == {
            ("role", "created", "质量保证 Quality assurance"),
            ("department", "renamed", "部门 PLT"),
            ("department", "marked", "部门 PLT"),
            ("person", "renamed", "王一诺"),
            ("person", "number", "王一诺"),
            ("person", "moved", "王一诺"),
            ("person", "number", li.name),
            ("person", "created", "赵青禾"),
        }
        assert {(f.kind, f.label) for f in seen.findings} == {
            ("account", "contractor"),
            ("group", "football"),
            ("role", "who_knows"),
            ("off", "member.wang"),
        }
        assert theirs.user("member.wang").enabled is False, "a dry run writes nothing"  # type: ignore[union-attr]
        assert repaired(app) == []
        again = theirs.user("member.wang")
        assert again is not None
        assert (again.name, again.enabled, again.number) == ("王一诺", False, theirs.user("member.wang").number)  # type: ignore[union-attr]
        assert theirs.user("pm.li") == li, "the number alone is written, too"
        assert other in again.groups, "a group of others is left alone"
        assert theirs.admin.get_group(plt.id)["description"] == "of theirs", "and what others wrote on ours"
        assert theirs.user("contractor") is not None
        assert plan(app).changes == []
    finally:
        admin.delete_client_role(client, "who_knows")


@pytest.mark.req("POR-02", part="switched off at Keycloak")
def test_what_an_administrator_switched_off_stays_off(equal: Do, app: Flask, theirs: OwnRealm, worker: Callable[[], int]) -> None:
    theirs.change("member.wang", enabled=False)

    def named(name: str) -> None:
        who = person("member.wang")
        who.name = name
        who.before_update(None)

    equal(named, "王一言")
    worker()
    wang = theirs.user("member.wang")
    assert wang is not None
    assert (wang.name, wang.enabled) == ("王一言", False), "the letter brings the name and leaves the door shut"
    with app.app_context():
        reconciliation.reconcile()
    worker()
    assert theirs.user("member.wang").enabled is False  # type: ignore[union-attr]
    assert {(f.kind, f.user_id) for f in plan(app).findings} == {("off", equal(lambda: person("member.wang").user_id))}
    # whoever comes back by HR's word comes in
    equal(left, "member.wang")
    worker()
    equal(back, "member.wang", "BE1")
    worker()
    assert theirs.user("member.wang").enabled is True  # type: ignore[union-attr]
    assert plan(app).findings == []


@pytest.mark.req("POR-02", part="random sequences")
def test_whatever_happened_reconciliation_makes_both_sides_equal(
    equal: Do, app: Flask, theirs: OwnRealm, worker: Callable[[], int], depth: Callable[[int, int], int]
) -> None:
    dice = random.Random(20261125)
    codes = ["HQ", "RD", "PLT", "BE", "BE1", "SAL", "ADM"]
    people = ["member.wang", "member.zhao", "pm.li", "outsider"]
    counter = iter(range(9100, 9999))
    gone: set[str] = set()

    def at_hr() -> None:
        what = dice.choice(["hire", "move", "rename", "leave", "back", "department", "name", "found"])
        here = [p for p in people if p not in gone]
        if what == "hire":
            n = next(counter)
            equal(hired, f"new.{n}", f"E{n}", dice.choice(codes))
            people.append(f"new.{n}")
        elif what == "move" and here:
            who = dice.choice(here)
            target = dice.choice([c for c in codes if c != equal(lambda: person(who).department.code)])
            equal(moved, who, target)
        elif what == "leave" and len(here) > 1:
            who = dice.choice(here)
            equal(left, who)
            gone.add(who)
        elif what == "back" and gone:
            who = min(gone)
            gone.remove(who)
            equal(back, who, dice.choice(codes))
            people.remove(who)  # cannot leave before today
        elif what == "found":
            n = next(counter)
            equal(lambda: found(f"D{n}", f"部门{n % 3}", unit(dice.choice(codes)).id))
            codes.append(f"D{n}")
        elif what == "department":
            child, parent = dice.choice(codes[1:]), dice.choice(codes)
            above = equal(lambda: {d.code: d.parent for d in expected.departments()})
            up: str | None = parent
            while up is not None and up != child:
                up = above[up]
            if up is None:
                equal(lambda: move(unit(child), unit(parent).id, calendar.today(), None))
        elif what == "rename":
            code = dice.choice(codes)
            equal(lambda: rename(unit(code), f"名称{dice.randint(1, 4)}", calendar.today(), None))
        elif what == "name" and here:

            def named() -> None:
                who = person(dice.choice(here))
                who.name = f"柳{dice.choice('春夏秋冬')}"
                who.before_update(None)

            equal(named)

    def by_hand() -> None:
        users, groups = theirs.portal.users(), list(theirs.portal.groups().values())
        user, group = dice.choice(users), dice.choice(groups)
        what = dice.choice(["name", "switch", "number", "join", "quit", "delete", "group name", "group place", "group code"])
        theirs_admin = theirs.admin
        if what == "name":
            theirs.change(user.username, lastName="错", firstName="误")
        elif what == "switch":
            theirs.change(user.username, enabled=not user.enabled)
        elif what == "number":
            theirs.change(user.username, attributes={})
        elif what == "join":
            theirs_admin.group_user_add(user.subject, group.id)
        elif what == "quit":
            for g in theirs.portal.user(user.subject).groups:  # type: ignore[union-attr]
                theirs_admin.group_user_remove(user.subject, g)
        elif what == "delete":
            theirs_admin.delete_user(user.subject)
        elif what == "group name":
            theirs.portal.change_group(group.id, f"drift {dice.randint(1, 99)}")
        elif what == "group code":
            theirs.portal.change_group(group.id, group.name, "")
        elif group.parent is not None and group.name not in {g.name for g in groups if g.parent is None}:
            theirs.portal.move_group(group.id, group.name, None)

    for _round in range(depth(3, 25)):
        for _step in range(6):
            at_hr()
        if dice.random() < 0.6:
            worker()
        for _step in range(4):
            by_hand()
        worker()
        assert repaired(app) == []
        for asked in plan(app).findings:
            if asked.kind == "off":  # somebody's switching off is not taken back without an answer
                equal(lambda who=asked.user_id: expected.person_changed(who, opens=True))
        worker()
        second = plan(app)
        assert (second.changes, second.findings) == ([], [])
