"""Who sees and changes which row, worked out in plain Python from the words of the requirements (VIS-01 … 05).

Deliberately knows nothing of the portal's rules: it reads the tables as the superuser, walks the objects one by one, and is slow.
A model it does not know is an error: whoever adds one writes here, in other words, who may see it.
"""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

# which columns of which table say what the row hangs on; the rest follows from the kind
OPEN_TO_EVERYBODY = {
    "hr_department", "hr_department_period", "hr_department_head", "hr_post", "hr_grade", "hr_employee",
    "project_domain", "project_role", "kernel_entity", "kernel_working_day", "kernel_number_series",
    "dailyreport_closed_month", "notify_warning_rule", "web_announcement", "applications_category",
}  # fmt: skip
STAFF = {"hr_employment": "user_id", "hr_assignment": "user_id", "hr_leave": "user_id", "dailyreport_report": "author_id",
         "dailyreport_comment": "report_author_id", "dailyreport_like": "report_author_id"}  # fmt: skip
PROJECT = {"project_project": "id", "project_state_change": "project_id", "project_member": "project_id"}
OWN = {"notify_notice": "receiver_id", "notify_delivery": "receiver_id", "notify_preference": "user_id", "dailyreport_draft": "author_id",
       "web_home_layout": "user_id", "web_form_draft": "user_id"}  # fmt: skip

EDITED_BY_ROLE = {
    "hr": {
        "hr_department",
        "hr_post",
        "hr_grade",
        "hr_employee",
        "hr_employee_private",
        "dailyreport_closed_month",
        "web_announcement",
    },
    "leader": {"project_domain", "project_role", "project_project"},
    "system_admin": {
        "kernel_entity",
        "kernel_working_day",
        "kernel_number_series",
        "kernel_parameter",
        "notify_warning_rule",
        "notify_delivery",
        "web_announcement",
        "applications_category",
        "applications_application",
    },
}
EDITED_BY_OWNER = {"hr_leave": "user_id", "notify_notice": "receiver_id", "notify_preference": "user_id",
                   "web_home_layout": "user_id", "web_list_setting": "user_id", "web_form_draft": "user_id"}  # fmt: skip
# what not even an auditor reads: pay, identity, bank, parameters
SECRETS = {("hr_employee_private", c) for c in ("identity_number", "bank_account", "home_address")} | {
    ("hr_grade_rate", c) for c in ("base_salary", "performance_pay", "project_performance", "daily_cost")
} | {("kernel_parameter", "value")}  # fmt: skip
# fields of documents may be edited in these states only (ALL-04)
EDITABLE_IN = {
    "hr_leave": {"draft", "rejected"},
    "hr_employee_event": {"draft", "rejected"},
    "project_project": {"draft", "active", "paused"},
}


class Oracle:
    """What everybody may see, of the rows as they are now. Everything is read at once, as the superuser."""

    def __init__(self, conn: psycopg.Connection[Any], tables: list[str], zone: str = "Asia/Shanghai") -> None:
        self.today = datetime.now(ZoneInfo(zone)).date()
        cursor = conn.cursor(row_factory=dict_row)
        self.rows: dict[str, list[Row]] = {t: cursor.execute(f'select * from "{t}"').fetchall() for t in tables}
        # who is whose deputy today, by axis: what the giver sees of it, the deputy sees too (VIS-11)
        self.lent: dict[str, set[tuple[int, int]]] = {"projects": set(), "people": set()}
        people = cursor.execute("select id, username from ab_user where active").fetchall()
        working = {p["id"] for p in people}
        for d in self.rows["security_delegation"]:
            if d["ended_at"] is None and self.today_in(d) and d["giver_id"] in working:
                for axis in self.lent:
                    if d[axis]:
                        self.lent[axis].add((d["giver_id"], d["deputy_id"]))
        self.people: dict[str, int] = {p["username"]: p["id"] for p in people}
        self.held: dict[int, set[str]] = {p["id"]: set() for p in people}
        for r in cursor.execute("select x.user_id, r.name from ab_user_role x join ab_role r on r.id = x.role_id").fetchall():
            self.held.setdefault(r["user_id"], set()).add(r["name"])
        unknown = [t for t in tables if not hasattr(self, "_" + t) and t not in {*OPEN_TO_EVERYBODY, *STAFF, *PROJECT, *OWN}]
        assert not unknown, f"write down who may see {unknown}"
        self.projects = {p["id"]: p for p in self.rows["project_project"]}

    # -------------------------------------------------------------- the two axes
    def today_in(self, row: Row) -> bool:
        return row["archived_at"] is None and row["from_day"] <= self.today and (row["to_day"] is None or self.today < row["to_day"])

    def heads_above(self, person: int) -> set[int]:
        """The people who head, deputise or act for the department of *person* or one above it, today."""
        parents = {d["id"]: d["parent_id"] for d in self.rows["hr_department"]}
        place = next((e["department_id"] for e in self.rows["hr_employee"] if e["user_id"] == person), None)
        above: set[int] = set()
        while place is not None:
            above |= {h["user_id"] for h in self.rows["hr_department_head"] if h["department_id"] == place and self.today_in(h)}
            place = parents[place]
        return above

    def answer_for(self, person: int) -> set[int]:
        """Those who decide on what *person* asks for, never the person.

        As `heads_above`, but whoever stands in for a head decides for the department, not on the head's own matters.
        """
        parents = {d["id"]: d["parent_id"] for d in self.rows["hr_department"]}
        place = next((e["department_id"] for e in self.rows["hr_employee"] if e["user_id"] == person), None)
        found: set[int] = set()
        while place is not None:
            here = [h for h in self.rows["hr_department_head"] if h["department_id"] == place and self.today_in(h)]
            leads = any(h["user_id"] == person and h["kind"] == "head" for h in here)
            found |= {h["user_id"] for h in here if h["kind"] == "head" or not leads}
            place = parents[place]
        return found - {person}

    def answers_leave(self, me: int, person: int) -> bool:
        """Every leave has somebody who can answer it (HRM-07), and it is never the person.

        Those who decide for the person; where nobody does, whichever place above is vacant and however it is filled, HR.
        """
        return me != person and me in (self.answer_for(person) or {who for who, roles in self.held.items() if "hr" in roles})

    def departments_of(self, me: int) -> set[int]:
        """The departments *me* answers for, with everything below."""
        found = {h["department_id"] for h in self.rows["hr_department_head"] if h["user_id"] == me and self.today_in(h)}
        while True:
            more = {d["id"] for d in self.rows["hr_department"] if d["parent_id"] in found} - found
            if not more:
                return found
            found |= more

    def answers_for(self, me: int, project: int | None) -> bool:
        """*me* is the project's manager or the manager of its domain."""
        p = self.projects.get(project) if project is not None else None
        if p is None:
            return False
        manager = next(d["manager_id"] for d in self.rows["project_domain"] if d["id"] == p["domain_id"])
        return me in (p["pm_id"], manager)

    # -------------------------------------------------------------- the two axes, with what others let one see
    def lend_to(self, me: int, axis: str) -> set[int]:
        """Those as whose deputy *me* sees; only what is their own passes on, so nobody sees through two."""
        return {giver for giver, deputy in self.lent[axis] if deputy == me}

    def sees_as_manager(self, me: int, project: int | None) -> bool:
        return any(self.answers_for(who, project) for who in {me} | self.lend_to(me, "projects"))

    def sees_as_head(self, me: int, person: int | None) -> bool:
        """Heads the person, or is the deputy of one who does; nobody's own matters pass on."""
        if person is None:
            return False
        above = self.heads_above(person)
        return me in above or bool((self.lend_to(me, "people") - {person}) & above)

    def sees_staff(self, me: int, person: int | None) -> bool:
        return self.staff(me, person) or self.sees_as_head(me, person)

    def sees_departments(self, me: int) -> set[int]:
        return set().union(*(self.departments_of(who) for who in {me} | self.lend_to(me, "people")))

    def sees_project(self, me: int, project: int | None) -> bool:
        return self.on_project(me, project) or any(
            self.on_project(who, project, as_role=False) for who in self.lend_to(me, "projects")
        )  # fmt: skip

    def on_project(self, me: int, project: int | None, as_role: bool = True) -> bool:
        """On the team in a role that opens it, answering for it or, by role, seeing all of them."""
        if project is None:
            return False
        opens = {r["id"] for r in self.rows["project_role"] if r["grants_view"]}
        on_team = any(
            m["project_id"] == project and m["user_id"] == me and m["role_id"] in opens and self.today_in(m)
            for m in self.rows["project_member"]
        )
        return on_team or self.answers_for(me, project) or (as_role and self.all_projects(me))

    def all_projects(self, me: int) -> bool:
        return bool(self.held[me] & {"leader", "qa"})

    def all_staff(self, me: int) -> bool:
        return "hr" in self.held[me]

    def staff(self, me: int, person: int | None) -> bool:
        """*me* may see what *person* does at work: the person, whoever heads above, HR."""
        return person is not None and (me == person or me in self.heads_above(person) or self.all_staff(me))

    # -------------------------------------------------------------- seeing
    def sees(self, me: int | None, table: str, row: Row) -> bool:
        """Whether the person *me* may see *row* of *table*; nobody (None) sees nothing."""
        if me is None:
            return False
        if table in OPEN_TO_EVERYBODY:
            return True
        if table in STAFF:
            return self.sees_staff(me, row[STAFF[table]])
        if table in PROJECT:
            return self.sees_project(me, row[PROJECT[table]])
        if table in OWN:
            return bool(row[OWN[table]] == me)
        return bool(getattr(self, "_" + table)(me, row))

    def _hr_grade_rate(self, me: int, row: Row) -> bool:
        return bool(self.held[me] & {"hr", "finance"})

    def _hr_employee_private(self, me: int, row: Row) -> bool:
        return bool(row["user_id"] == me or "hr" in self.held[me])

    def _security_delegation(self, me: int, row: Row) -> bool:
        """Both people, and those who look after access or audit it."""
        return me in (row["giver_id"], row["deputy_id"]) or bool(self.held[me] & {"system_admin", "security_admin", "auditor"})

    def _hr_employee_event(self, me: int, row: Row) -> bool:
        """HR prepares and sees them all, but matters of their own only when they prepared them; whoever approves, from the submission on,
        not their own either; once it is approved the person concerned and the heads above the person today, and those above both
        departments until thirty days after it was approved and took effect. Nobody's deputy reads what it says about them."""
        concerned = row["user_id"] == me
        if "hr" in self.held[me] and (not concerned or row["created_by"] == me):
            return True
        if "leader" in self.held[me] and not concerned and row["state"] != "draft":
            return True
        if row["approved_on"] is None:
            return False
        if concerned or self.sees_as_head(me, row["user_id"]):
            return True
        heard_of = (self.today - max(row["effective_on"], row["approved_on"])).days < 30
        places = {row["department_id"], row["from_department_id"]}
        return heard_of and any(places & self.departments_of(who) for who in {me} | self.lend_to(me, "people") - {row["user_id"]})

    def _hr_merger(self, me: int, row: Row) -> bool:
        """HR and who approves; the heads above both departments what was approved, also when it was taken back."""
        if self.held[me] & {"hr", "leader"}:
            return True
        agreed = row["decided_by"] is not None and row["state"] != "rejected"
        return agreed and bool({row["department_id"], row["into_id"]} & self.sees_departments(me))

    def _hr_employee_event_grade(self, me: int, row: Row) -> bool:
        """As the grade of the person: the person, heads above today, HR; and who decides on it."""
        event = next(e for e in self.rows["hr_employee_event"] if e["id"] == row["event_id"])
        return self._hr_employee_event(me, event) and (self.sees_staff(me, row["user_id"]) or bool(self.held[me] & {"hr", "leader"}))

    def _kernel_parameter(self, me: int, row: Row) -> bool:
        return not row["secret"] or "system_admin" in self.held[me]

    def _web_list_setting(self, me: int, row: Row) -> bool:
        return bool(row["user_id"] == me or row["shared"])

    def _web_role_change(self, me: int, row: Row) -> bool:
        return row["created_by"] == me or "system_admin" in self.held[me]

    def _security_question(self, me: int, row: Row) -> bool:
        return row["created_by"] == me or bool(self.held[me] & {"security_admin", "auditor"})

    def _security_difference(self, me: int, row: Row) -> bool:
        """Accounts at Keycloak are for those who look after the system, its security, or audit it."""
        return bool(self.held[me] & {"system_admin", "security_admin", "auditor"})

    _security_comparison = _security_difference

    def looks_after_personal_data(self, me: int) -> bool:
        return bool(self.held[me] & {"hr", "legal", "security_admin", "auditor"})

    def _security_erasure(self, me: int, row: Row) -> bool:
        return me in (row["person_id"], row["created_by"]) or self.looks_after_personal_data(me)

    def _security_legal_hold(self, me: int, row: Row) -> bool:
        return self.looks_after_personal_data(me)

    def _security_signin(self, me: int, row: Row) -> bool:
        """The own ones; everybody's for those who look after the system, its security, or audit it."""
        return row["user_id"] == me or bool(self.held[me] & {"system_admin", "security_admin", "auditor"})

    def _lowcode_import_run(self, me: int, row: Row) -> bool:
        """Whoever of HR sent the file; HR and leaders what was ever submitted, and what is stored."""
        if row["owner_id"] == me and "hr" in self.held[me]:
            return True
        return (row["submitted_at"] is not None or row["state"] == "done") and bool(self.held[me] & {"hr", "leader"})

    def _lowcode_import_row(self, me: int, row: Row) -> bool:
        """With its import."""
        return self._lowcode_import_run(me, self._import(row))

    def _lowcode_import_file(self, me: int, row: Row) -> bool:
        """Whoever of HR sent it, nobody else."""
        return row["owner_id"] == me and self._lowcode_import_run(me, self._import(row))

    def _import(self, row: Row) -> Row:
        return next(r for r in self.rows["lowcode_import_run"] if r["id"] == row["run_id"])

    def _applications_application(self, me: int, row: Row) -> bool:
        """Those who have one of the roles it names; administrators the whole catalogue."""
        return bool(self.held[me] & set(row["roles"])) or "system_admin" in self.held[me]

    def _applications_launch(self, me: int, row: Row) -> bool:
        """The own ones; everybody's for those who watch over access, never for administrators."""
        return row["user_id"] == me or bool(self.held[me] & {"security_admin", "auditor"})

    def _dailyreport_line(self, me: int, row: Row) -> bool:
        project = row["project_id"]
        if project is not None and (self.sees_as_manager(me, project) or self.all_projects(me)):
            return True
        return self.sees_staff(me, row["author_id"])

    def _dailyreport_line_text(self, me: int, row: Row) -> bool:
        project = row["project_id"]
        if me == row["author_id"]:
            return True
        if project is None:
            return self.sees_staff(me, row["author_id"])
        if self.sees_as_manager(me, project) or self.all_projects(me):
            return True
        # a head who cannot see the project sees its name on the line, nothing else
        return self.sees_as_head(me, row["author_id"]) and self.sees_project(me, project)

    def _notify_warning(self, me: int, row: Row) -> bool:
        if me in row["receivers"] or row["assignee_id"] == me:
            return True
        if row["user_id"] is None and row["department_id"] in self.sees_departments(me):
            return True
        project = row["project_id"]
        if project is not None and (self.sees_as_manager(me, project) or self.all_projects(me)):
            return True
        return self.sees_staff(me, row["user_id"])

    def reads_beside(self, me: int | None, table: str, column: str, path: str, row: int) -> bool:
        """What pages made for it tell of rows one does not see.

        Who is or was on a team reports the hours of those days: the own report names the project, and nothing else of it (DAY-01).
        An auditor reads the trail of every record, secrets left out (VIS-08). Who may ask who sees what is told memberships with the
        numbers of records, and nothing else that stands in them (VIS-10).
        """
        held = self.held.get(me, set()) if me is not None else set()
        trail = "auditor" in held and "/audit-log/" in path and (table, column) not in SECRETS
        asked = bool(held & {"auditor", "security_admin"}) and ("/who-sees-what/" in path or "/visibility/" in path)
        mine = any((m["user_id"], m["project_id"]) == (me, row) for m in self.rows["project_member"])
        reported = "/my-report/" in path and (table, column) in (("project_project", "name"), ("project_project", "number")) and mine
        return trail or reported or (asked and column in ("number", "code"))

    # -------------------------------------------------------------- changing fields
    def changes(self, me: int | None, table: str, row: Row) -> bool:
        """Whether the person may edit the fields of *row* (as the person, outside of named actions)."""
        if me is None or not self.sees(me, table, row):
            return False
        if table in EDITABLE_IN and row["state"] not in EDITABLE_IN[table]:
            return False
        if any(table in EDITED_BY_ROLE.get(role, ()) for role in self.held[me]):
            return True
        if table in EDITED_BY_OWNER:
            return bool(row[EDITED_BY_OWNER[table]] == me)
        if table == "hr_employee_event":
            return row["created_by"] == me and "hr" in self.held[me]
        if table == "project_project":
            return self.answers_for(me, row["id"])
        if table == "project_member":
            return self.answers_for(me, row["project_id"])
        return False

    def visible(self, username: str | None, table: str) -> set[int]:
        me = self.people.get(username) if username else None
        return {r["id"] for r in self.rows[table] if self.sees(me, table, r)}

    def changeable(self, username: str | None, table: str) -> set[int]:
        me = self.people.get(username) if username else None
        return {r["id"] for r in self.rows[table] if self.changes(me, table, r)}
