"""Code: imports as declared, no way around the session, every unrestricted place with its reason, files one can read."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import clean

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 450

# the places where code sees every row, and why that is right (VIS-06)
UNRESTRICTED = {
    "portal/kernel/jobs.py": "the scheduler works for nobody in particular; run_now is called by the administration page after its check",
    "portal/kernel/settings.py": "values of parameters that are not secret, kept for all processes",
    "portal/kernel/outbox.py": "letters are handled by the system",
    "portal/commands/admin.py": "an operator on the server's command line",
    "portal/commands/database.py": "loading the sample company",
    "portal/web/preferences.py": "the person's own account row, which the person's role may not read",
    "portal/web/health.py": "whether migrations and outbox are well; counts only",
    "portal/notify/warnings.py": "scanning is set-based over all rows; preview gives counts to administrators of rules",
    "portal/notify/screens/notices.py": "which channels are set up: a parameter that is a secret",
    "portal/notify/screens/operation.py": "jobs and queues, for administrators; no business rows",
    "portal/notify/deliveries.py": "sending what was decided; the words are rendered as the receiver",
    "portal/lowcode/importing/work.py": "how far an import is, whether it was cancelled; the import itself has the person's rights",
    "portal/notify/notices.py": "notices are written for others; the words are rendered as the receiver",
    "portal/applications/clients.py": "Keycloak's clients, compared by a job; no business rows",
    "portal/applications/screens.py": "how often applications are opened, without by whom",
    "security/trail.py": "auditors read what became of records and who read secrets, secrets left out; a person who read the own",
    "security/verification.py": "verifying the whole history; the auditor's page gets counts and places",
    "security/accounts.py": "signing in: nobody is known yet",
    "security/sessions.py": "beginning and ending sessions, committed whatever becomes of the request",
    "security/emergency.py": "opening and closing the emergency access from the command line, and signing in with it",
    "security/signins.py": "the sign-in history, written whatever becomes of the request; old lines deleted",
    "security/keycloak.py": "role changes on their way to Keycloak",
    "security/following.py": "role changes made at Keycloak",
    "security/synchronisation.py": "people, departments and roles on their way to Keycloak",
    "security/reconciliation.py": "the comparison with Keycloak, made by a worker; its pages are for those who look after accounts",
    "security/explain.py": "who sees what, and why: how records are called and who belongs where, nothing of what is in them",
    "security/keys.py": "public signing keys",
    "security/handover.py": "how much somebody answers for: ids and numbers only; the rows are read as the viewer",
    "modules/hr/actions/organisation.py": "department names of a past day, which everybody may know",
    "modules/project/actions.py": "number and name of the projects a person may report on, whose role need not open them",
}
# statements written as SQL text in modules: set-based work of jobs, sample data, actions; read as the role in force
SQL_TEXT = {
    "modules/dailyreport/sample.py": "sample data in bulk",
    "modules/dailyreport/actions/writing.py": "who decides on lines, inside an action: the author need not see the project",
    "modules/hr/sample.py": "sample data in bulk",
    "modules/project/sample.py": "sample data in bulk",
}


def sources(*folders: str) -> Iterator[tuple[str, ast.Module, str]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            yield str(path.relative_to(ROOT)), ast.parse(text), text


def names_called(tree: ast.Module, name: str) -> list[ast.Call]:
    return [
        n for n in ast.walk(tree)
        if isinstance(n, ast.Call) and (getattr(n.func, "id", None) == name or getattr(n.func, "attr", None) == name)
    ]  # fmt: skip


@pytest.mark.req("VIS-06", part="unrestricted")
def test_every_unrestricted_place_is_known() -> None:
    found: dict[str, int] = {}
    for name, tree, _text in sources("portal", "security", "modules"):
        if name in ("portal/kernel/db.py",) or name.startswith("portal/bench"):
            continue
        for call in names_called(tree, "unrestricted"):
            found[name] = found.get(name, 0) + 1
            reason = call.args[0] if call.args else None
            assert isinstance(reason, ast.Constant | ast.JoinedStr), f"{name}:{call.lineno} says no reason"
            assert not isinstance(reason, ast.Constant) or len(str(reason.value)) > 8, f"{name}:{call.lineno} says no reason"
    clean(set(found) - set(UNRESTRICTED), "new places that see every row: add them with the reason, or do without")


@pytest.mark.req("VIS-06", part="lint")
def test_modules_go_through_the_mapped_classes() -> None:
    """No SQL text, no `__table__`, no engine or connection of their own: the rules would be missing."""
    wrong = []
    for name, tree, _text in sources("modules"):
        from_sqlalchemy = {
            a.asname or a.name
            for n in ast.walk(tree)
            if isinstance(n, ast.ImportFrom) and n.module == "sqlalchemy"
            for a in n.names
            if a.name == "text"
        }
        for n in ast.walk(tree):
            if isinstance(n, ast.Attribute) and n.attr in ("__table__", "exec_driver_sql", "get_bind", "engines", "connection"):
                wrong.append(f"{name}:{n.lineno} {n.attr}")
            if isinstance(n, ast.ImportFrom) and n.module and n.module.split(".")[0] in ("psycopg",):
                wrong.append(f"{name}:{n.lineno} {n.module}")
            text_called = isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in from_sqlalchemy
            if text_called and "/models" not in name and name not in SQL_TEXT:
                wrong.append(f"{name}:{n.lineno} text(…)")
    clean(wrong)


def test_no_sql_is_built_from_strings_with_values() -> None:
    """f-strings and % in SQL only where the values are names of our own tables: the kernel and the policies."""
    allowed = {"security/policies.py", "portal/schema.py", "security/visibility.py", "portal/kernel/document.py"}
    wrong = []
    for name, tree, _text in sources("portal", "security", "modules"):
        if name in allowed or name.startswith(("portal/embedded", "portal/bench")):
            continue
        for call in [*names_called(tree, "text"), *names_called(tree, "execute"), *names_called(tree, "exec_driver_sql")]:
            first = call.args[0] if call.args else None
            if (
                isinstance(first, ast.JoinedStr)
                and not name.endswith(("models.py", "sample.py"))
                and "select" in ast.unparse(first).lower()
            ):
                wrong.append(f"{name}:{call.lineno} {ast.unparse(first)[:80]}")
    clean(wrong)


def test_modules_depend_on_what_they_import(app: object) -> None:
    from portal.kernel.module import all_modules

    declared = {m.name: set(m.depends) for m in all_modules()}
    imported: dict[str, set[str]] = {name: set() for name in declared}
    for name, tree, _text in sources("modules"):
        module = name.split("/")[1]
        for n in ast.walk(tree):
            targets = (
                [n.module] if isinstance(n, ast.ImportFrom) and n.module else [a.name for a in n.names] if isinstance(n, ast.Import) else []
            )
            for t in targets:
                parts = t.split(".")
                if parts[0] == "modules" and len(parts) > 1 and parts[1] != module:
                    imported.setdefault(module, set()).add(parts[1])
    assert imported == declared


def test_below_the_modules_nothing_knows_one() -> None:
    wrong = []
    for name, tree, _text in sources("portal", "security"):
        if name.startswith(("portal/bench", "portal/embedded")):
            continue
        for n in ast.walk(tree):
            if (isinstance(n, ast.ImportFrom) and (n.module or "").startswith("modules")) or (
                isinstance(n, ast.Import) and any(a.name.startswith("modules") for a in n.names)
            ):
                wrong.append(f"{name}:{n.lineno}")
    clean(wrong)


def test_import_tiers() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_rules_are_pure() -> None:
    for name, tree, _text in sources("modules"):
        if name.endswith("/rules.py"):
            tops = {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            tops |= {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            assert not tops & {"sqlalchemy", "flask", "security"}, name


def test_files_are_of_a_length_one_reads() -> None:
    long = [
        f"{name}: {text.count(chr(10))}"
        for name, _tree, text in sources("portal", "security", "modules", "tests")
        if text.count("\n") > MAX_LINES
    ]
    clean(long)
    vague = [
        name
        for name, _t, _x in sources("portal", "security", "modules")
        if Path(name).stem in ("utils", "helpers", "services", "misc", "common")
    ]
    clean(vague)


def test_public_things_say_what_they_mean() -> None:
    silent = []
    for name, tree, _text in sources("portal", "security", "modules"):
        if not ast.get_docstring(tree) and Path(name).name != "__init__.py":
            silent.append(name)
        for n in tree.body:
            if (
                isinstance(n, ast.FunctionDef | ast.ClassDef)
                and not n.name.startswith("_")
                and not ast.get_docstring(n)
                and not _command(n)
            ):
                silent.append(f"{name}:{n.lineno} {n.name}")
    clean(silent)


def _command(n: ast.FunctionDef | ast.ClassDef) -> bool:
    """A command of the command line: its help text says what it does."""
    return isinstance(n, ast.FunctionDef) and [a.arg for a in n.args.args] == ["options"]


def test_the_page_of_the_whole_policy_is_up_to_date(app: object) -> None:
    from security.policy_page import page

    kept = ROOT / "docs" / "visibility.md"
    assert kept.exists() and kept.read_text() == page(), "write it anew: python3 run.py admin visibility-page"
