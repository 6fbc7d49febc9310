"""Certflow's commands: `python -m deployments COMMAND`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from models.errors import CertflowError

# Each command imports what it needs when it runs: Prefect alone takes two seconds.


def main(arguments: list[str] | None = None) -> int:
    """Run one command: 0 done, 1 refused with a sentence on standard error, 2 not understood."""
    parser = _parser()
    given = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] | None = getattr(given, "command", None)
    if command is None:
        parser.print_help()
        return 0
    try:
        return command(given)
    except CertflowError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployments", description="Certflow keeps the certificates of an SCM account alive.")
    commands = parser.add_subparsers(metavar="COMMAND")

    def add(name: str, does: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=does, description=does[0].upper() + does[1:] + ".")
        made.set_defaults(command=run)
        return made

    add("up", "serve all flows with a Prefect server and its UI; with a sandbox unless VAULT_ADDR is set", _up)
    add("demo", "show the whole life of a certificate on a sandbox, from an order whose answer is lost to the end", _demo)
    connect = add("connect", "put the login of an SCM account into Vault, proved by one read call", _connect)
    connect.add_argument("account", metavar="ACCOUNT", help="the name by which flows know it, for example default")
    connect.add_argument("--from", dest="source", metavar="FILE", help="read the data as JSON from a file, or from standard input with -")
    connect.add_argument("--replace", action="store_true", help="replace an account that is connected already, without asking")
    connect.add_argument("--no-proof", action="store_true", help="store the data without trying them")
    add("migrate", "bring the database to the newest migration", _migrate)
    fetch = add("fetch", "write what a live name serves in Vault to files that change all at once, for programs that cannot read Vault", _fetch)
    fetch.add_argument("name", metavar="NAME", help="the live name, for example www.example.com or _wildcard.example.com")
    fetch.add_argument("folder", metavar="FOLDER", type=Path, help="where the files are; it is made when it is missing")
    fetch.add_argument("--after", metavar="COMMAND", help="run this by /bin/sh after a change; if it fails, the next fetch runs it again")
    settle = add("settle", "decide what became of an order that no program can settle", _settle)
    settle.add_argument("order", metavar="ORDER", help="an order's id, its SCM id, or its common name")
    settle.add_argument("--account", metavar="ACCOUNT", help="only look for the order in this account")
    decision = settle.add_mutually_exclusive_group(required=True)
    decision.add_argument("--adopt", type=int, metavar="SSL_ID", help="this order at SCM is the one")
    decision.add_argument("--send-again", action="store_true", help="SCM surely has no such order: send it again")
    decision.add_argument("--withdraw", action="store_true", help="give the order up")
    decision.add_argument("--accept", action="store_true", help="deliver a certificate that was held back")
    return parser


def _up(_given: argparse.Namespace) -> int:
    from deployments.up import up

    return up()


def _demo(_given: argparse.Namespace) -> int:
    from deployments.demo import demo

    return demo()


def _connect(given: argparse.Namespace) -> int:
    from deployments.connect import connect

    print(connect(given.account, source=given.source, replace=given.replace, proof=not given.no_proof))
    return 0


def _migrate(_given: argparse.Namespace) -> int:
    from tasks.services import migrate

    print(migrate())
    return 0


def _fetch(given: argparse.Namespace) -> int:
    from deployments.fetch import fetch

    fetch(given.name, given.folder, after=given.after)
    return 0


def _settle(given: argparse.Namespace) -> int:
    from tasks.settling import decide

    print(decide(
        given.order, adopt=given.adopt, send_again=given.send_again, withdraw=given.withdraw, accept=given.accept, account=given.account,
    ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
