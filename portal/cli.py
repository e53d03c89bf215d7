"""The command line inside the prepared environment: ``run.py`` hands over to it."""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    from portal.commands import admin

    top = argparse.ArgumentParser(prog="run.py")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    serve = add("serve", "the web server; settings web_workers, web_threads, host, port")
    serve.add_argument("--prepare-demo", action="store_true", help="migrate and load the sample company first")
    worker = add("worker", "background worker, keeps its processes running")
    worker.add_argument("--processes", type=int, default=1, help="number of worker processes")
    worker.add_argument("--with-scheduler", action="store_true", help="one process fewer to look after in a small installation")
    add("scheduler", "starts what is due by the clock; any number may run, one of them works")
    add("migrate", "bring tables, rules, roles and permissions of the database to the state of the code")
    trace = add("trace", "requirement IDs with the tests that prove each")
    trace.add_argument("--json", action="store_true", help="machine-readable")
    check = add("check", "format, lint, types, import tiers, security lint, translations")
    check.add_argument("names", nargs="*", help="only these checks")
    add("bench", "measure; see bench --help").add_argument("arguments", nargs=argparse.REMAINDER)
    admin.add_commands(add("admin", "administration").add_subparsers(dest="admin", required=True, metavar="command"))
    return top


def main(arguments: Sequence[str]) -> int:
    """Run the command line *arguments*; exit code."""
    if arguments and arguments[0] == "bench":  # has its own command line
        from portal.bench import main as bench

        return int(bench(list(arguments[1:])))
    options = parser().parse_args(arguments)
    match options.command:
        case "serve":
            from portal.commands import server

            server.serve(prepare=options.prepare_demo)
        case "worker":
            from portal.kernel import worker

            return worker.run_worker(options.processes, scheduler=options.with_scheduler)
        case "scheduler":
            from portal.kernel import worker

            return worker.run_scheduler()
        case "migrate":
            from portal.commands import database
            from portal.kernel.settings import settings
            from portal.web import logs

            logs.configure(settings().log_level)
            database.migrate()
        case "trace":
            from portal.commands import trace

            return trace.trace(as_json=options.json)
        case "check":
            from portal.commands import checks

            return checks.check(options.names)
        case "admin":
            from portal.commands import admin
            from portal.web import logs

            logs.configure("WARNING")
            return admin.run(options)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ValidationError as error:
        sys.exit("the settings are not usable (see config.py for what each means):\n" + str(error))
