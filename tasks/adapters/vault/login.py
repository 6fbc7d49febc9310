"""Login by AppRole: at first use, before the token ends, and when Vault refuses it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol

from models.errors import SetupError
from tasks.adapters.vault.parts import Answer, is_number
from tasks.adapters.vault.settings import VaultSettings

LONGEST_MARGIN = timedelta(seconds=60)
"""A token is not used in the last third of its life, at most in this last part of it."""


class Send(Protocol):
    """Sends one call without a token."""

    def __call__(self, method: str, path: str, *, json: dict[str, str]) -> Answer: ...


class AppRole:
    """The token of an AppRole login. Thread-safe: of many threads that find it refused, one logs in again."""

    def __init__(self, settings: VaultSettings, send: Send, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._send = send
        self._clock = clock
        self._lock = Lock()
        self._token = ""
        self._good_until: datetime | None = None

    def token(self, *, refused: str = "") -> str:
        """A token that is good for a while and is not `refused`.

        Raises: SetupError when Vault refuses the role; TransientError when Vault is away.
        """
        with self._lock:
            ended = self._good_until is not None and self._clock() >= self._good_until
            if not self._token or ended or self._token == refused:
                self._log_in()
            return self._token

    def _log_in(self) -> None:
        answer = self._send(
            "post", "auth/approle/login", json={"role_id": self._settings.role_id or "", "secret_id": self._settings.secret_id or ""})
        if answer.status in {400, 403}:
            raise SetupError(
                "Vault refused the AppRole login: make a new secret id for the role (`vault write -f auth/approle/role/ROLE/secret-id`), "
                "without a limit of uses, and set VAULT_ROLE_ID and VAULT_SECRET_ID", status=answer.status,
            )
        token, seconds = answer.part("auth", "client_token"), answer.part("auth", "lease_duration")
        if not isinstance(token, str) or not token or not is_number(seconds):
            raise SetupError(
                "Vault did not answer the AppRole login with a token: is the auth method `approle` enabled in this namespace, and needs it "
                "no second factor?", status=answer.status,
            )
        lease = timedelta(seconds=seconds)
        self._token = token
        self._good_until = self._clock() + lease - min(LONGEST_MARGIN, lease / 3) if lease else None
