"""What `connect` asks a person on the terminal, one question after the other. Secrets are typed without an echo."""

import getpass
import sys
from pathlib import Path
from typing import Any

from deployments import account_data
from models.errors import InputError

ADMIN_API = "https://admin.enterprise.sectigo.com/api"
TOKEN_URL = "https://auth.sso.sectigo.com/auth/realms/apiclients/protocol/openid-connect/token"  # noqa: S105 - an address (contract 1)

WAYS = {"1": "login and password", "2": "client certificate", "3": "OAuth2 client"}


def ask() -> dict[str, Any]:
    """An account's data from a person. Raises: InputError when nobody is there to answer, or an answer cannot be used."""
    if not sys.stdin.isatty():
        raise InputError("nobody is there to answer: give the account's data by --from FILE, or --from - for standard input")
    try:
        return account_data.prepared(_answers())
    except EOFError:
        raise InputError("the answers ended early; nothing was written") from None


def yes(question: str) -> bool:
    """Whether the person says yes; no is the default."""
    try:
        return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _answers() -> dict[str, Any]:
    print("How does Certflow log in to SCM?")
    for key, way in WAYS.items():
        print(f"  {key}  {way}")
    way = _one_of("Way", tuple(WAYS), default="1")
    found = _oauth2() if way == "3" else _login(by_certificate=way == "2")
    return {**found, "defaults": _defaults()}


def _login(*, by_certificate: bool) -> dict[str, str]:
    base_url, customer_uri = account_data.portal(_text("Address of SCM, for example https://cert-manager.com/customer/acme"))
    found = {"base_url": base_url, "customer_uri": customer_uri or _text("Customer URI, the last part of the portal's address")}
    found["login"] = _text("Login of the API administrator")
    if not by_certificate:
        return {**found, "password": _hidden("Password")}
    for name, what in (("client_certificate", "Client certificate"), ("client_key", "Private key of the client certificate")):
        found[name] = account_data.pem(Path(_text(f"{what}, path of a PEM file")), name)
    return found


def _oauth2() -> dict[str, str]:
    return {
        "base_url": _text("Address of SCM's API", default=ADMIN_API), "token_url": _text("Address of the token server", default=TOKEN_URL),
        "client_id": _text("Client id"), "client_secret": _hidden("Client secret"),
    }


def _defaults() -> dict[str, Any]:
    """What every order of the account gets unless it says otherwise (RULES C4)."""
    emails = _text("External requesters of every order, e-mail addresses with commas between (Enter for none)", default="")
    fields: dict[str, str] = {}
    while name := _text("Custom field that every order gets, by name or id (Enter for no more)", default=""):
        fields[name] = _text(f"Value of {name}")
    return {
        "external_requester_emails": [one.strip() for one in emails.split(",") if one.strip()], "custom_fields": fields,
    }


def _text(question: str, *, default: str | None = None) -> str:
    while True:
        answer = input(f"{question}{f' [{default}]' if default else ''}: ").strip()
        if answer or default is not None:
            return answer or default or ""


def _hidden(question: str) -> str:
    while True:
        if answer := getpass.getpass(f"{question} (not shown): "):
            return answer


def _one_of(question: str, choices: tuple[str, ...], *, default: str) -> str:
    while (answer := _text(question, default=default)) not in choices:
        print(f"Say one of {', '.join(choices)}.")
    return answer
