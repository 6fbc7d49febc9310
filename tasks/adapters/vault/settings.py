"""Where Vault is and how to log in, checked before the first call."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from models.errors import InputError, SetupError
from tasks.adapters.vault.paths import segments


@dataclass(frozen=True)
class VaultSettings:
    """Address, login, mount and prefix. With a token given, the AppRole is not used. Secrets are not in its repr.

    Raises: SetupError with a sentence for each thing that cannot work.
    """

    address: str
    token: str | None = field(default=None, repr=False)
    role_id: str | None = field(default=None, repr=False)
    secret_id: str | None = field(default=None, repr=False)
    namespace: str | None = None
    ca_cert: str | None = None
    mount: str = "secret"
    prefix: str = "certflow"

    def __post_init__(self) -> None:
        _check_address(self.address)
        if not self.token and not (self.role_id and self.secret_id):
            raise SetupError("no login for Vault: set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID")
        for name, value in (("VAULT_TOKEN", self.token), ("VAULT_NAMESPACE", self.namespace)):
            if value and not (value.isascii() and value.isprintable() and " " not in value):
                raise SetupError(f"{name} holds a blank or a character that no HTTP header may hold: copy it again, without line ends")
        if self.ca_cert and not Path(self.ca_cert).exists():
            raise SetupError(f"VAULT_CACERT names {self.ca_cert}, which does not exist")
        for name, value in (("CERTFLOW_VAULT_MOUNT", self.mount), ("CERTFLOW_VAULT_PREFIX", self.prefix)):
            try:
                segments(value.strip("/"))
            except InputError as error:
                raise SetupError(f"{name} cannot be used: {error}") from None

    def __reduce__(self) -> NoReturn:
        raise TypeError("VaultSettings hold secrets and are not pickled")

    @property
    def url(self) -> str:
        """The address without a final slash."""
        return self.address.strip().rstrip("/")

    @property
    def stays_on_this_host(self) -> bool:
        """Plain http, which only the loopback may use."""
        return self.url.lower().startswith("http:")


def _check_address(address: str) -> None:
    parts = _split(address)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SetupError("VAULT_ADDR is not an address such as https://vault.example.com:8200")
    if parts.username is not None or parts.password is not None:
        raise SetupError("VAULT_ADDR holds a user name or a password: give the address alone")
    if parts.query or parts.fragment:
        raise SetupError("VAULT_ADDR holds a query or a fragment: give scheme, host and port")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise SetupError(f"VAULT_ADDR is plain http to {parts.hostname}: use https, since keys and passwords go over this connection")


def _split(address: Any) -> SplitResult | None:
    text = str(address).strip()
    if not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port    # a port that is no number shows only here
    except ValueError:
        return None
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
