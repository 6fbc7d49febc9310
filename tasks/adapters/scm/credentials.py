"""The three ways to log in to SCM (contract 1), as they lie in Vault below `accounts/` (DESIGN 4)."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from models.errors import SetupError


@dataclass(frozen=True, kw_only=True)
class HeaderLogin:
    """Login and password in the headers of every request."""

    base_url: str
    customer_uri: str
    login: str
    password: str = field(repr=False)

    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.password,)


@dataclass(frozen=True, kw_only=True)
class ClientCertificate:
    """A TLS client certificate registered with the administrator; certificate and key are PEM texts."""

    base_url: str
    customer_uri: str
    login: str
    certificate: str = field(repr=False)
    key: str = field(repr=False)

    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.key,)


@dataclass(frozen=True, kw_only=True)
class OAuth2Client:
    """OAuth2 client credentials for the admin host. There is no administrator behind them whose record could be read."""

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    token_url: str
    login: None = None

    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.client_secret,)


Credentials = HeaderLogin | ClientCertificate | OAuth2Client

_HEADER_FIELDS = ("base_url", "customer_uri", "login", "password")
_CERTIFICATE_FIELDS = ("base_url", "customer_uri", "login", "client_certificate", "client_key")
_OAUTH2_FIELDS = ("base_url", "client_id", "client_secret", "token_url")


def credentials_from(secret: Mapping[str, object]) -> Credentials:
    """The login that an account's entry in Vault describes; other fields, like `defaults`, are left alone.

    Raises: SetupError that names the fields which are missing or wrong, never their values.
    """
    fields = _fields_of(secret)
    values = {name: _text(secret, name, several_lines=name in {"client_certificate", "client_key"}) for name in fields}
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise SetupError(f"the account in Vault lacks {', '.join(missing)}: this way to log in needs {', '.join(fields)}")
    if fields is _OAUTH2_FIELDS:
        return OAuth2Client(
            base_url=_api(values["base_url"]), client_id=values["client_id"], client_secret=values["client_secret"],
            token_url=_address(values["token_url"], "token_url"),
        )
    if fields is _CERTIFICATE_FIELDS:
        return ClientCertificate(
            base_url=_private_api(values["base_url"]), customer_uri=values["customer_uri"], login=values["login"],
            certificate=values["client_certificate"], key=values["client_key"],
        )
    return HeaderLogin(
        base_url=_api(values["base_url"]), customer_uri=values["customer_uri"], login=values["login"], password=values["password"],
    )


def _fields_of(secret: Mapping[str, object]) -> tuple[str, ...]:
    ways = {
        _OAUTH2_FIELDS: ("client_id", "client_secret", "token_url"),
        _CERTIFICATE_FIELDS: ("client_certificate", "client_key"),
        _HEADER_FIELDS: ("password",),
    }
    begun = [fields for fields, marks in ways.items() if any(secret.get(mark) for mark in marks)]
    if len(begun) > 1:
        raise SetupError(
            "the account in Vault mixes several ways to log in: keep either password, or client_certificate and client_key, "
            "or client_id, client_secret and token_url"
        )
    return begun[0] if begun else _HEADER_FIELDS


def _text(secret: Mapping[str, object], name: str, *, several_lines: bool) -> str:
    value = secret.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SetupError(f"the account's field {name} in Vault must be a text")
    # A password may begin or end with a blank; an address or a PEM text copied by hand often does by mistake.
    kept = value if name in {"password", "client_secret"} else value.strip()
    if not several_lines and any(ord(letter) < 32 or ord(letter) == 127 for letter in kept):
        raise SetupError(f"the account's field {name} in Vault holds a line end or a control character: store it without")
    return kept


def _api(base_url: str) -> str:
    address = _address(base_url, "base_url")
    return address if address.endswith("/api") else f"{address}/api"


def _private_api(base_url: str) -> str:
    stem = _api(base_url).removesuffix("/api")
    return f"{stem}/api" if stem.endswith("/private") else f"{stem}/private/api"


def _address(value: str, name: str) -> str:
    wanted = f"the account's {name} in Vault must be an address like https://cert-manager.com/api"
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise SetupError(f"{wanted}: it cannot be read as an address") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise SetupError(wanted)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SetupError(f"{wanted}: without user, query and fragment")
    if parts.scheme == "http" and not _is_loopback(host):
        raise SetupError(f"the account's {name} in Vault must begin with https: only a server on this machine may do without")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
