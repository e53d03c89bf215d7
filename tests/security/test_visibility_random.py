"""A company that changes at random: after every change everybody still sees and changes exactly what the oracle says."""

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from portal.kernel import calendar
from portal.kernel.document import records
from security.transitions import action_of
from security.visibility import Bound, changeable, context, visible
from tests.factories.company import PEOPLE
from tests.factories.databases import dsn
from tests.security.oracle import Oracle

PERSONS = sorted(PEOPLE)
KEYS = ("leader", "qa", "hr", "finance", "system_admin")


class Chaos:
    """Random changes, written as the superuser past triggers; what a constraint refuses is left out."""

    def __init__(self, conn: psycopg.Connection[Any], dice: random.Random) -> None:
        self.conn, self.dice = conn, dice
        conn.execute("set session_replication_role = replica")

    def ids(self, table: str) -> list[int]:
        return [r[0] for r in self.conn.execute(f"select id from {table} order by id").fetchall()]

    def any(self, table: str) -> int:
        return self.dice.choice(self.ids(table))

    def period(self) -> tuple[date, date | None]:
        """A period mostly around today, where mistakes are."""
        begins = self.dice.choice((-50, -1, 0, 0, 1, 30))
        ends = self.dice.choice((None, begins + 1, max(begins + 1, 0), max(begins + 1, 1), begins + 60))
        return calendar.today() + timedelta(begins), None if ends is None else calendar.today() + timedelta(ends)

    def change(self) -> None:
        kind = self.dice.choice([n for n in dir(self) if n.startswith("to_")])
        try:
            with self.conn.transaction():
                getattr(self, kind)()
        except psycopg.errors.IntegrityError:
            pass

    def to_move_department(self) -> None:
        child, parent = sorted((self.any("hr_department"), self.any("hr_department")), reverse=True)
        if child != parent:  # the larger hangs on the smaller: no circle
            self.conn.execute("update hr_department set parent_id = %s where id = %s", [parent, child])

    def to_cut_department(self) -> None:
        self.conn.execute("update hr_department set parent_id = null where id = %s", [self.any("hr_department")])

    def to_appoint(self) -> None:
        begins, ends = self.period()
        self.conn.execute(
            "insert into hr_department_head (department_id, user_id, kind, from_day, to_day) values (%s, %s, %s, %s, %s)",
            [self.any("hr_department"), self.any("ab_user"), self.dice.choice(("head", "deputy", "acting")), begins, ends],
        )

    def to_transfer(self) -> None:
        self.conn.execute("update hr_employee set department_id = %s where id = %s", [self.any("hr_department"), self.any("hr_employee")])

    def to_change_manager(self) -> None:
        self.conn.execute("update project_project set pm_id = %s where id = %s", [self.any("ab_user"), self.any("project_project")])

    def to_change_domain(self) -> None:
        manager = self.dice.choice((None, self.any("ab_user")))
        self.conn.execute("update project_domain set manager_id = %s where id = %s", [manager, self.any("project_domain")])
        self.conn.execute(
            "update project_project set domain_id = %s where id = %s", [self.any("project_domain"), self.any("project_project")]
        )

    def to_join(self) -> None:
        begins, ends = self.period()
        self.conn.execute(
            "insert into project_member (project_id, user_id, role_id, from_day, to_day) values (%s, %s, %s, %s, %s)",
            [self.any("project_project"), self.any("ab_user"), self.any("project_role"), begins, ends],
        )

    def to_open_role(self) -> None:
        self.conn.execute("update project_role set grants_view = not grants_view where id = %s", [self.any("project_role")])

    def to_grant(self) -> None:
        self.conn.execute(
            """insert into ab_user_role (id, user_id, role_id) select nextval('ab_user_role_id_seq'), %s, id from ab_role where name = %s
               on conflict do nothing""",
            [self.any("ab_user"), self.dice.choice(KEYS)],
        )

    def to_revoke(self) -> None:
        self.conn.execute("delete from ab_user_role where role_id = (select id from ab_role where name = %s)", [self.dice.choice(KEYS)])

    def to_change_state(self) -> None:
        for m in self.dice.sample([m for m in records() if m.EDITABLE], 1):
            self.conn.execute(
                f"update {m.__tablename__} set state = %s where id = %s", [self.dice.choice(m.STATES), self.any(m.__tablename__)]
            )

    def to_archive(self) -> None:
        table = self.dice.choice([m.__tablename__ for m in records()])
        if self.ids(table):
            self.conn.execute(
                f"update {table} set archived_at = case when archived_at is null then now() end where id = %s", [self.any(table)]
            )

    def to_name_a_deputy(self) -> None:
        giver, deputy = self.any("ab_user"), self.any("ab_user")
        begins = self.dice.choice((-50, -1, 0, 0, 1))
        ends = self.dice.choice((begins + 1, max(begins + 1, 0), max(begins + 1, 1), begins + 60))
        projects, people = self.dice.choice(((True, True), (True, False), (False, True)))
        self.conn.execute(
            "insert into security_delegation (giver_id, deputy_id, from_day, to_day, projects, people, reason)"
            " values (%s, %s, %s, %s, %s, %s, 'x')",
            [giver, deputy, calendar.today() + timedelta(begins), calendar.today() + timedelta(ends), projects, people],
        )

    def to_end_a_deputy(self) -> None:
        self.conn.execute("update security_delegation set ended_at = now() where id = %s", [self.any("security_delegation")])

    def to_give_away(self) -> None:
        table, column = self.dice.choice(
            [("dailyreport_line", "project_id"), ("dailyreport_line_text", "project_id"), ("notify_warning", "project_id")]
        )
        project = self.any("project_project")
        self.conn.execute(f"update {table} set {column} = %s where id = %s and {column} is not null", [project, self.any(table)])


@pytest.mark.req("VIS-07", part="random companies")
def test_everybody_sees_what_the_oracle_says_after_every_change(
    fresh_db: None, app: Any, database: Any, superuser: Any, session_as: Any, depth: Callable[[int, int], int]
) -> None:
    seed = random.randrange(10**9)
    dice = random.Random(seed)
    tables = [m.__tablename__ for m in records()]
    worker = dsn(make_url(database.url("SHUNIU_TEST_PG_WORKER_URL")))
    with psycopg.connect(worker) as conn:
        chaos = Chaos(superuser, dice)
        for round_ in range(depth(6, 200)):
            for _ in range(dice.choice((1, 3, 10))):
                chaos.change()
            oracle = Oracle(superuser, tables)
            for username in PERSONS if round_ % 3 == 0 else dice.sample(PERSONS, 8):
                me = superuser.execute("select id from ab_user where username = %s", [username]).fetchone()[0]
                if username not in oracle.people:
                    continue
                begun = conn.execute("select app_begin_as(%s)", [me]).fetchone()[0]
                want = {e["user_id"] for e in oracle.rows["hr_employee"] if me in oracle.answer_for(e["user_id"])}
                assert set(begun["arrays"]["answered_staff"]) == want, f"seed {seed}, round {round_}: {username} answers for others"
                for t in tables:
                    got = {r[0] for r in conn.execute(f"select id from {t}").fetchall()}
                    want = oracle.visible(username, t)
                    assert got == want, f"seed {seed}, round {round_}: {username} sees of {t} {got - want} too many, misses {want - got}"
                    got = {r[0] for r in conn.execute(f"update {t} set custom = custom returning id").fetchall()}
                    want = oracle.changeable(username, t)
                    assert got == want, f"seed {seed}, round {round_}: {username} changes of {t} {got - want} too many, misses {want - got}"
                conn.rollback()
            username = dice.choice([p for p in PERSONS if p in oracle.people])
            criteria_agree(superuser, session_as, oracle, username, f"seed {seed}, round {round_}")
            staff = [p for p in PERSONS if p in oracle.people and "hr" in oracle.held[oracle.people[p]]]
            if staff:  # they stand in where no head is
                criteria_agree(superuser, session_as, oracle, dice.choice(staff), f"seed {seed}, round {round_}")


def criteria_agree(superuser: Any, session_as: Any, oracle: Oracle, username: str, where: str) -> None:
    """The same rules as criteria of ORM statements, without row-level security below them."""
    from sqlalchemy.dialects import postgresql

    from modules.hr.models import Employee, Leave

    with session_as(username):
        ctx = context()
        rules = [(m, visible(m, m, ctx), changeable(m, m, ctx)) for m in records()]
        answers = action_of(Leave, "approve").by(Employee, Bound(ctx))  # as if everybody had asked for leave
    asked = select(Employee.user_id).where(answers).compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    got = {r[0] for r in superuser.execute(str(asked)).fetchall()}
    expected = {e["user_id"] for e in oracle.rows["hr_employee"] if oracle.answers_leave(oracle.people[username], e["user_id"])}
    assert got == expected, f"{where}: {username} answers the leave of {got - expected} too many, misses {expected - got}"
    for m, see, change in rules:
        for rule, want in ((see, oracle.visible(username, m.__tablename__)), (change, None)):
            conditions = [r for r in ((see, change) if want is None else (rule,)) if r is not None]
            compiled = select(m.id).where(*conditions).compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
            got = {r[0] for r in superuser.execute(str(compiled).replace("%", "%%") if "%" in str(compiled) else str(compiled)).fetchall()}
            expected = oracle.changeable(username, m.__tablename__) if want is None else want
            assert got == expected, f"{where}: {username} {m.__tablename__} by criteria alone: {got ^ expected}"
