"""``run.py admin …``: what an operator does from the command line."""

import argparse
import getpass
import re
import secrets
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from config import Settings

Runs = Callable[[argparse.Namespace], int]


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommands; each sets ``run``."""

    def add(name: str, run: Runs, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    demo = add("load-demo", load_demo, "load the invented sample company into a migrated, empty portal")
    demo.add_argument("--anchor", type=date.fromisoformat, help="day on which its story ends (default: today)")
    glass = add("break-glass", break_glass, "open the emergency access for a while, close it, or tell whether it is open")
    choice = glass.add_mutually_exclusive_group()
    choice.add_argument("--enable", action="store_true", help="open it and print a new password, which is shown here only")
    choice.add_argument("--disable", action="store_true", help="close it: its password and sessions end at once")
    glass.add_argument(
        "--for", dest="lasting", type=duration, default=timedelta(hours=1), help="how long, for example 60m or 2h (24h at most)"
    )
    account = add("create-admin", create_admin, "create or reset an administrator who signs in by password where single sign-on is off")
    account.add_argument("username", nargs="?", default="local.admin")
    account.add_argument("--password-from-stdin", action="store_true", help="read the password from standard input instead of asking")
    migration = add("make-migration", make_migration, "write the next migration: what the models have and the migrated database has not")
    migration.add_argument("message")
    add("difference", difference, "what models and the migrated database do not have in common; exit code 1 if anything")
    add("compile-translations", compile_translations, "merge and compile the translations of all packages")
    page = add("visibility-page", visibility_page, "print who sees and changes what, generated from the models")
    page.add_argument("--write", action="store_true", help="write docs/visibility.md instead")
    technical = add(
        "machine", bind_machine, "let the service account of a Keycloak client use the REST API as a technical user with these roles"
    )
    technical.add_argument("client", help="client id in Keycloak")
    technical.add_argument("username", help="name of the technical user, who is made if need be")
    technical.add_argument("--role", action="append", default=[], help="key of a role; may be repeated; the user has exactly these")
    reset = add("reset-password", reset_password, "set a local password anew, shown once; every session of the person ends")
    reset.add_argument("username")
    jobs = add("jobs", run_job, "list the jobs that run by the clock, or run one now")
    jobs.add_argument("name", nargs="?")
    verify = add("verify-audit", verify_audit, "verify the sealed history against itself and its anchors; exit code 1 when it was altered")
    verify.add_argument("--anchors", type=Path, help="file of anchors to compare with (default: the setting audit_anchors)")
    again = add("reconcile", reconcile, "compare people, departments and roles with Keycloak and repair; exit code 1 if it cannot be done")
    again.add_argument("--dry-run", action="store_true", help="only show what would be done")
    add("settings", show_settings, "list all settings with their meaning and value in force; secrets are not shown")


def run(options: argparse.Namespace) -> int:
    """Run the chosen subcommand; exit code."""
    chosen: Runs = options.run
    return chosen(options)


def load_demo(options: argparse.Namespace) -> int:
    from portal.app import create_app
    from portal.commands.database import load_sample

    print("sample company loaded" if load_sample(create_app(), options.anchor) else "the sample company is there already")
    return 0


def reconcile(options: argparse.Namespace) -> int:
    from portal.app import create_app
    from portal.kernel.settings import settings
    from security import reconciliation

    with create_app().app_context():
        if settings().local_accounts:
            print("single sign-on is switched off: there is nothing to compare with")
            return 1
        try:
            plan = reconciliation.compare()
            for c in plan.changes:
                print(f"{c.about:10} {c.what:9} {c.label}", f"  {c.before} → {c.after}" if c.before or c.after else "")
            for f in plan.findings:
                print(f"to answer  {f.kind:9} {f.label}  {f.detail}")
            reconciliation.keep(plan.findings)
            problems = [] if options.dry_run else reconciliation.repair(plan)
        except reconciliation.UNDONE as error:
            print(f"not compared: {error}", file=sys.stderr)
            return 1
        print(f"{plan.people} employees, {plan.accounts} accounts: {len(plan.changes)} differences, {len(plan.findings)} to be answered")
        print("\n".join(problems), end="\n" if problems else "")
        return 1 if problems else 0


def duration(text: str) -> timedelta:
    """`60m` or `2h`.  Raises ArgumentTypeError."""
    found = re.fullmatch(r"([0-9]{1,4})([mh])", text)
    if found is None:
        raise argparse.ArgumentTypeError("minutes or hours, for example 60m or 2h")
    return timedelta(minutes=int(found[1])) if found[2] == "m" else timedelta(hours=int(found[1]))


def break_glass(options: argparse.Namespace) -> int:
    from portal.app import create_app
    from portal.kernel.settings import settings
    from portal.web import words
    from security import emergency

    with create_app().app_context():
        if options.disable:
            print("emergency access closed" if emergency.disable() else "emergency access was not open")
            return 0
        if not options.enable:
            until = emergency.opened_until()
            print(f"emergency access is open until {words.moment(until)}" if until else "emergency access is not open")
            return 0
        try:
            password, until = emergency.enable(options.lasting, getpass.getuser())
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"emergency access is open until {words.moment(until)}: {settings().public_url}/emergency")
        print(f"password, shown this once: {password}")
        print("leaders and security administrators are told; close it with: run.py admin break-glass --disable")
    return 0


def create_admin(options: argparse.Namespace) -> int:
    from sqlalchemy import select

    from portal.app import create_app
    from portal.kernel.db import unrestricted
    from portal.kernel.document import User
    from portal.kernel.settings import settings
    from security import accounts, roles

    password = sys.stdin.readline().rstrip("\n") if options.password_from_stdin else getpass.getpass("password (12 characters or more): ")
    if len(password) < 12:
        print("the password needs 12 characters or more", file=sys.stderr)
        return 1
    with create_app().app_context(), unrestricted("local administrator created from the command line") as s:
        user = s.scalar(select(User).where(User.username == options.username))
        if user is None:
            mail = f"{options.username}@shuniu.invalid"
            user = User(username=options.username, first_name="", last_name=options.username, email=mail, active=True)
            s.add(user)
        user.active = True
        s.flush()
        accounts.set_password(user.id, password)
        roles.grant(s, user.id, "system_admin")
    print(f"{options.username} can administrate the portal")
    if not settings().local_accounts:
        print("sign-in with a password is off: set SHUNIU_LOCAL_ACCOUNTS=true and restart the portal while it is needed")
    return 0


def reset_password(options: argparse.Namespace) -> int:
    from sqlalchemy import func, select

    from portal.app import create_app
    from portal.kernel.db import unrestricted
    from portal.kernel.document import User
    from security import accounts, emergency, signins

    if options.username == emergency.USERNAME:
        print("the emergency access has a command of its own: break-glass", file=sys.stderr)
        return 1
    with create_app().app_context(), unrestricted("local password set anew from the command line") as s:
        found = s.execute(select(User.id, User.username).where(func.lower(User.username) == options.username.lower())).one_or_none()
        if found is None:
            print(f"nobody is called {options.username}", file=sys.stderr)
            return 1
        password = secrets.token_urlsafe(15)
        accounts.set_password(found.id, password)
        signins.record(s, "reset", found.id, found.username, way="password")
    print(f"password of {found.username}, shown this once: {password}")
    return 0


def make_migration(options: argparse.Namespace) -> int:
    from portal import schema
    from portal.app import create_app
    from portal.kernel.settings import settings

    create_app()
    schema.make_migration(settings(), options.message)
    return 0


def difference(options: argparse.Namespace) -> int:
    from sqlalchemy import create_engine

    from portal import schema
    from portal.app import create_app
    from portal.kernel.settings import settings

    create_app()
    with create_engine(settings().owner_database_url).connect() as conn:
        found = schema.difference(conn)
    for item in found:
        print(item)
    return 1 if found else 0


def compile_translations(options: argparse.Namespace) -> int:
    from portal.kernel import i18n

    print(i18n.compile_catalogues(force=True))
    return 0


def visibility_page(options: argparse.Namespace) -> int:
    from portal.app import create_app
    from portal.kernel.i18n import ROOT
    from security import policy_page

    with create_app().app_context():
        page = policy_page.page()
    if options.write:
        (ROOT / "docs" / "visibility.md").write_text(page, encoding="utf-8")
    else:
        print(page, end="")
    return 0


def bind_machine(options: argparse.Namespace) -> int:
    from flask_appbuilder.security.sqla.models import Role
    from sqlalchemy import select

    from portal.app import create_app
    from portal.kernel.db import unrestricted
    from security import accounts

    with create_app().app_context():
        with unrestricted("roles known") as s:
            unknown = set(options.role) - set(s.scalars(select(Role.name)))
        if unknown:
            print(f"no such role: {', '.join(sorted(unknown))}", file=sys.stderr)
            return 1
        try:
            accounts.bind_machine(options.client, options.username, tuple(options.role))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"{options.client} acts as {options.username} with the roles: {', '.join(options.role) or 'none'}")
    return 0


def run_job(options: argparse.Namespace) -> int:
    from portal.app import create_app
    from portal.kernel import jobs

    with create_app().app_context():
        if options.name:
            print(f"{options.name} is due now ({jobs.run_now(options.name)}); a worker takes it")
            return 0
        for job in jobs.all_jobs():
            print(f"{job.name:<45} {job.cron}")
    return 0


def verify_audit(options: argparse.Namespace) -> int:
    from flask_babel import force_locale

    from portal.app import create_app
    from security import verification

    with create_app().app_context(), force_locale("en"):
        file = options.anchors or verification.anchor_file()
        report = verification.check(file)
        print(f"sealed entries: {report.sealed}, head {report.head[:16] or 'none'}")
        waits = f", the oldest since {report.oldest:%Y-%m-%d %H:%M} UTC" if report.oldest else ""
        print(f"not sealed yet: {report.unsealed}{waits}")
        print(f"entries with erased values: {report.erased}")
        print(f"anchors: {report.anchors} in {file}, fitting up to sequence {report.anchored}")
        for problem in report.problems:
            print(f"BROKEN {problem.kind}: {verification.KINDS[problem.kind]} ({problem.place()})", file=sys.stderr)
    if not report.sound:
        print(f"the history was altered: {report.count} problems, the first: {report.problems[0].place()}", file=sys.stderr)
        return 1
    print("the history is as it was written")
    return 0


def show_settings(options: argparse.Namespace) -> int:
    from portal.kernel.settings import settings

    values = settings()
    for name, field in Settings.model_fields.items():
        value = getattr(values, name)
        shown = ("set, not shown" if value else "empty") if not field.repr else value
        print(f"SHUNIU_{name.upper()} = {shown}\n    {field.description}")
    return 0
