"""open_services(): from settings to live clients and a clock. Made once per process, shared by its steps.

The SCM client of an account is made from its secret in Vault and made anew when that secret has a new version. A refused login
stops the account here, for this process and all others (RULES S1).
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from functools import cache, lru_cache
from threading import Lock
from typing import Any

from models.errors import LoginError, SetupError
from models.orders import AccountState
from tasks.adapters import store as database
from tasks.adapters.scm import ScmClient, credentials_from
from tasks.adapters.store import Store
from tasks.adapters.store.reference import account_state
from tasks.adapters.vault import Entry, Vault, VaultSettings
from tasks.settings import Settings, settings
from tasks.turns import SharedTurns


class Services:
    """What a step works with. Thread-safe; never crosses a task line."""

    def __init__(self, given: Settings, *, clock: Callable[[], datetime]) -> None:
        self.settings = given
        self.clock = clock
        self.store: Store = database.open_store(given.database)
        self._vault: Vault | None = None
        self._clients: dict[str, tuple[int, ScmClient]] = {}
        self._earlier_calls: dict[str, int] = {}
        self._lock = Lock()

    @property
    def vault(self) -> Vault:
        """Vault, as the settings name it. Raises: SetupError when they do not."""
        if self._vault is None:
            self._vault = _vault(self.settings)
        return self._vault

    @contextmanager
    def scm(self, account: str, *, despite_stop: bool = False) -> Iterator[ScmClient]:
        """The client of an account.

        Raises: SetupError when Vault holds no such account; LoginError without a call while the account is stopped, unless
        `despite_stop` (check_account by hand), which lifts the stop when the login works. A LoginError inside stops the account.
        """
        entry = self.account_entry(account)
        stopped = self._stop_of(account, entry.version)
        if stopped and not despite_stop:
            raise LoginError(stopped)
        client = self._client(account, entry, anew=despite_stop)
        try:
            yield client
        except LoginError as error:
            if not stopped:
                self._stop(account, entry.version, str(error))
            raise
        if stopped and client.calls:
            self._lift(account)

    def account_entry(self, account: str) -> Entry:
        """The account's entry in Vault. Raises: SetupError when there is none."""
        entry = self.vault.read(f"accounts/{account}")
        if entry is None:
            raise SetupError(f"Vault holds no account {account!r}: run `python -m deployments connect {account}`")
        return entry

    def calls(self, account: str) -> int:
        """HTTP requests sent to SCM for the account by this process so far."""
        known = self._clients.get(account)
        return self._earlier_calls.get(account, 0) + (known[1].calls if known else 0)

    def _client(self, account: str, entry: Entry, *, anew: bool) -> ScmClient:
        with self._lock:
            known = self._clients.get(account)
            if known and known[0] == entry.version and not anew:
                return known[1]
            if known:
                self._earlier_calls[account] = self._earlier_calls.get(account, 0) + known[1].calls
            rate = self.settings.scm_rate
            client = ScmClient(
                credentials_from(entry.data), concurrency=self.settings.scm_concurrency, rate=rate,
                turns=SharedTurns(self.store, account, rate=rate, clock=self.clock),
            )
            self._clients[account] = (entry.version, client)
            return client

    def _stop_of(self, account: str, version: int) -> str | None:
        with self.store.reading() as session:
            state = session.get(AccountState, account)
        if state is None or state.stopped_at is None or state.stopped_version != version:
            return None
        return (
            f"account {account} is stopped since {state.stopped_at:%Y-%m-%d %H:%M} UTC, since SCM refused its login ({state.stopped_because}); "
            f"no call is made until its secret in Vault changes (`python -m deployments connect {account}`) or check-account is run by hand"
        )

    def _stop(self, account: str, version: int, because: str) -> None:
        with self.store.transaction() as session:
            state = account_state(session, account)
            state.stopped_at, state.stopped_version, state.stopped_because = self.clock(), version, because
        with self._lock:    # whoever lifts the stop, maybe in another process, finds a new client here
            if known := self._clients.pop(account, None):
                self._earlier_calls[account] = self._earlier_calls.get(account, 0) + known[1].calls

    def _lift(self, account: str) -> None:
        with self.store.transaction() as session:
            state = account_state(session, account)
            state.stopped_at = state.stopped_version = state.stopped_because = None


def _vault(given: Settings) -> Vault:
    if not given.vault_addr:
        raise SetupError("VAULT_ADDR is not set: Certflow keeps keys and credentials in Vault and does nothing without it")
    secrets: dict[str, Any] = {
        "token": given.vault_token.get_secret_value() or None, "role_id": given.vault_role_id or None,
        "secret_id": given.vault_secret_id.get_secret_value() or None,
    }
    if not (secrets["token"] or (secrets["role_id"] and secrets["secret_id"])):
        raise SetupError("no login for Vault: set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID")
    return Vault(VaultSettings(
        address=given.vault_addr, namespace=given.vault_namespace or None, ca_cert=given.vault_cacert or None, mount=given.vault_mount,
        prefix=given.vault_prefix, **secrets,
    ))


@cache
def _keep_what_is_loaded() -> None:
    """Take what is loaded by now, Prefect above all, out of Python's search for garbage: it stays as long as the process, and each look
    through all of it takes longer than 1,000 orders."""
    gc.freeze()


@lru_cache(maxsize=1)
def _services() -> Services:
    _keep_what_is_loaded()
    return Services(settings(), clock=lambda: datetime.now(UTC))


@contextmanager
def open_services() -> Iterator[Services]:
    """The services of this process."""
    yield _services()


def open_vault() -> AbstractContextManager[Vault]:
    """Vault alone, for a host that has none of our databases. Raises: SetupError when the settings do not name it."""
    return closing(_vault(settings()))


def forget_services() -> None:
    """The next step reads the settings again (tests, and commands that set up an environment of their own)."""
    _services.cache_clear()
    settings.cache_clear()


def migrate() -> str:
    """Bring the database to the newest migration; a sentence that says from where to where."""
    before, after = database.migrate(settings().database)
    return f"the database is at migration {after}" if before == after else f"the database went from migration {before or 'none'} to {after}"
