#!/usr/bin/env python3
"""The one command of 枢纽 Shuniu. Needs Python 3.11 or newer and nothing else; prepares what is missing, then does what is asked.

python3 run.py demo       everything on this machine, with a sample company
python3 run.py test       all set-up, then every test
python3 run.py --help     all commands
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (this file must say so by itself)
    sys.exit("Python 3.11 or newer is needed; this is %d.%d. Try: python3.11 run.py, python3.12 run.py, …" % sys.version_info[:2])  # noqa: UP031
if sys.platform == "win32":
    sys.exit("Linux or macOS is needed. On Windows use the Linux subsystem: wsl --install, then run this command there.")

import argparse
from pathlib import Path

from portal.embedded import demo as demonstration
from portal.embedded import testing
from portal.embedded.home import PROJECT, SetupError

PASSED_ON = {
    "serve": "the web server",
    "worker": "the background worker",
    "scheduler": "starts what is due by the clock; one per installation",
    "migrate": "bring the database to the state of the code",
    "admin": "administration, see admin --help",
    "trace": "requirement IDs with the tests that prove each; --json",
}


def parser() -> argparse.ArgumentParser:
    """The command line; commands in PASSED_ON have their own arguments."""
    top = argparse.ArgumentParser(prog="run.py", description="枢纽 Shuniu", formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        default = PROJECT / ".shuniu"
        command.add_argument("--data", type=Path, default=default, help="folder for everything fetched and stored (default: .shuniu)")
        return command

    demo = add("demo", "set everything up and run it with a sample company")
    demo.add_argument("--port", type=int, default=8000, help="port of the portal; Keycloak, PostgreSQL and Redis use the next ones")
    demo.add_argument("--detach", action="store_true", help="run in the background once ready")
    demo.add_argument("--local-accounts", action="store_true", help="no Keycloak: sample accounts kept in the portal")
    add("stop", "stop a demonstration running in the background")
    test = add("test", "set everything up, then run the tests; further arguments go to pytest")
    test.add_argument("--soak", action="store_true", help="long tests at full depth")
    check = add("check", "format, lint, types, import tiers, translations, migrations, then the tests")
    check.add_argument("--fast", action="store_true", help="leave out what needs servers or a browser")
    bench = add("bench", "measure on a generated company; --scale for the large one, --help")
    bench.set_defaults(add_help=False)
    add("lock", "compile requirements.txt and the pins of the tools anew")
    for name, text in PASSED_ON.items():
        add(name, text)
    return top


def main(arguments: list[str]) -> int:
    """Run the command line *arguments*; exit code."""
    passed_on = arguments and arguments[0] in {*PASSED_ON, "bench"}
    own = [word for word in arguments if word not in ("-h", "--help")] if passed_on else arguments
    options, rest = parser().parse_known_args(own)
    if passed_on and len(own) < len(arguments):
        rest.append("--help")
    if rest and not passed_on and options.command != "test":
        parser().error(f"unknown arguments: {' '.join(rest)}")
    data: Path = options.data.resolve()
    match options.command:
        case "demo":
            wanted = demonstration.Options(data, options.port, options.local_accounts)
            if options.detach:
                return demonstration.detach(wanted, [word for word in arguments if word != "--detach"])
            return demonstration.demo(wanted)
        case "stop":
            return demonstration.stop(demonstration.Options(data))
        case "test":
            return testing.with_services(data, testing.pytest(*rest, soak=options.soak))
        case "check":
            return testing.check(data, fast=options.fast)
        case "bench":
            return testing.with_services(data, lambda python: [python, "-m", "portal.cli", "bench", *rest], keycloak=False, browser=False)
        case "lock":
            return testing.lock(data)
        case passed:
            testing.hand_over(data, [passed, *rest])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; run the command again to go on")
