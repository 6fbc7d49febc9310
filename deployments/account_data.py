"""An account's data as they go to Vault (DESIGN 4): read from JSON, a portal's address understood, PEM files read in."""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from models.errors import InputError

FIELDS = frozenset({
    "base_url", "customer_uri", "login", "password", "client_certificate", "client_key", "client_id", "client_secret", "token_url", "defaults",
})
DEFAULTS = frozenset({"external_requester_emails", "custom_fields"})
PEM_FIELDS = ("client_certificate", "client_key")
PORTAL = "/customer/"


def read(source: str) -> dict[str, Any]:
    """An account's data from a JSON file, or from standard input for `-`. Certificate and key may be given as paths of PEM files.

    Raises: InputError that names fields, never values.
    """
    text = sys.stdin.read() if source == "-" else _text_of(Path(source), "the file of --from")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("the account's data are no JSON: give an object such as {\"base_url\": ..., \"login\": ...}") from None
    if not isinstance(found, dict):
        raise InputError("the account's data must be one JSON object")
    return prepared(found)


def prepared(found: Mapping[str, Any]) -> dict[str, Any]:
    """The data as they go to Vault: a portal's address understood, PEM files read, nothing that Certflow does not know.

    Raises: InputError.
    """
    unknown = sorted(str(name)[:40] for name in found.keys() - FIELDS)
    if unknown:
        raise InputError(f"the account's data hold unknown fields ({', '.join(unknown)}); known are {', '.join(sorted(FIELDS))}")
    secret = {name: value for name, value in found.items() if value not in (None, "", {})}
    if isinstance(secret.get("base_url"), str):
        base_url, customer_uri = portal(secret["base_url"])
        secret["base_url"] = base_url
        if customer_uri:
            secret.setdefault("customer_uri", customer_uri)
    for name in PEM_FIELDS:
        value = secret.get(name)
        if isinstance(value, str) and "-----BEGIN" not in value:
            secret[name] = pem(Path(value), name)
    if "defaults" in secret:
        secret["defaults"] = _defaults(secret["defaults"])
    return secret


def pem(path: Path, name: str) -> str:
    """The text of a PEM file. Raises: InputError when it is none, or a key that is encrypted: nobody could type its pass phrase later."""
    text = _text_of(path.expanduser(), name)
    if "-----BEGIN" not in text:
        raise InputError(f"{name}: {path} holds no PEM text (-----BEGIN ...-----)")
    if "ENCRYPTED" in text:
        raise InputError(f"{name}: {path} is encrypted; decrypt it first (openssl pkey), Vault keeps it safe")
    return text


def portal(address: str) -> tuple[str, str]:
    """Base address and customer URI of an address as people paste it; the customer URI is empty where the address names none.

    `https://cert-manager.com/customer/acme`, the page one logs in at, holds both (contract 1).
    """
    text = address.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    before, found, after = parts.path.partition(PORTAL)
    if not found:
        return text if "://" in text else f"https://{text}", ""
    customer_uri = after.split("/", 1)[0]
    return urlunsplit((parts.scheme, parts.netloc, f"{before}/api", "", "")), customer_uri


def _defaults(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or given.keys() - DEFAULTS:
        raise InputError(f"defaults must be an object with {' and '.join(sorted(DEFAULTS))}, or one of them")
    emails, fields = given.get("external_requester_emails", []), given.get("custom_fields", {})
    if not isinstance(emails, list) or not all(isinstance(one, str) and "@" in one for one in emails):
        raise InputError("defaults.external_requester_emails must be a list of e-mail addresses")
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise InputError("defaults.custom_fields must be an object of texts by name")
    return {name: value for name, value in given.items() if value}


def _text_of(path: Path, name: str) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    raise InputError(f"{name}: {path} cannot be read as a text file")
