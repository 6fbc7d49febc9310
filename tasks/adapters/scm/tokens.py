"""OAuth2 tokens for the admin host (contract 1). One token for all threads, renewed before it ends."""

from collections.abc import Callable
from threading import Lock
from urllib.parse import urlsplit

import requests

from models.errors import LoginError, RightsError, SetupError, ThrottledError, TransientError
from tasks.adapters.scm.connections import ON_THE_WAY, trouble
from tasks.adapters.scm.credentials import OAuth2Client
from tasks.adapters.scm.failures import TRY_AGAIN
from tasks.adapters.scm.values import Unreadable, integer, text
from tasks.adapters.scm.wire import Answer, NoAuth, whole

RENEWED_BEFORE_END = 60.0
LIFETIME_WHEN_UNSAID = 300.0
_REFUSED = frozenset({"invalid_client", "unauthorized_client", "invalid_grant"})


class Tokens:
    """The current token of one OAuth2 client."""

    def __init__(
        self, client: OAuth2Client, session: requests.Session, *, timeout: tuple[float, float], clock: Callable[[], float]
    ) -> None:
        self._client, self._session, self._timeout, self._clock = client, session, timeout, clock
        self._lock = Lock()
        self._token: str | None = None
        self._renew_at = 0.0

    def current(self) -> str:
        """A token that will last a while. Raises: LoginError, SetupError, RightsError, TransientError."""
        with self._lock:
            if self._token is None or self._clock() >= self._renew_at:
                self._token = None
                self._token, lifetime = self._fetch()
                self._renew_at = self._clock() + lifetime - min(RENEWED_BEFORE_END, lifetime / 2)
            return self._token

    def drop(self, refused: str) -> None:
        """Forget a token that SCM refused, unless another thread has replaced it already."""
        with self._lock:
            if self._token == refused:
                self._token = None

    def known(self) -> tuple[str, ...]:
        """What must never be shown."""
        token = self._token
        return (token,) if token else ()

    def _fetch(self) -> tuple[str, float]:
        host = urlsplit(self._client.token_url).netloc
        form = {"grant_type": "client_credentials", "client_id": self._client.client_id, "client_secret": self._client.client_secret}
        try:
            with self._session.request(
                "POST", self._client.token_url, data=form, headers={"Accept": "application/json"}, auth=NoAuth(),
                timeout=self._timeout, allow_redirects=False, stream=True,
            ) as response:
                answer = whole(response, host, clock=self._clock, seconds=sum(self._timeout))
        except ON_THE_WAY as error:
            raise trouble(error, host) from None
        if answer.status != 200:
            raise _refusal(answer, host)
        try:
            given = answer.object()
        except Unreadable as reason:
            raise SetupError(f"the token server {host} gave no token, {reason}: look at the account's token_url") from None
        token = given.get("access_token")
        if not isinstance(token, str) or not token or any(not "!" <= letter <= "~" for letter in token):
            raise SetupError(f"the token server {host} gave no access_token: look at the account's token_url")
        lifetime = integer(given.get("expires_in"))
        return token, float(lifetime) if lifetime and lifetime > 0 else LIFETIME_WHEN_UNSAID


def _refusal(answer: Answer, host: str) -> LoginError | SetupError | RightsError | TransientError:
    status = answer.status
    try:
        word = text(answer.object(), "error", most=64)
    except Unreadable:
        word = None
    if status == 401 or word in _REFUSED:
        return LoginError(
            f"the token server {host} refused the client (HTTP {status}): correct client_id and client_secret in Vault; "
            "no further call is made with these", status=status,
        )
    if status == 403:
        return RightsError(f"the token server {host} does not let this client in (HTTP 403): allow it there", status=status)
    if status == 429:
        return ThrottledError(f"the token server {host} has too many requests (HTTP 429); it is tried again later", retry_after=answer.retry_after())
    if status in TRY_AGAIN:
        return TransientError(f"the token server {host} could not answer (HTTP {status}); it is tried again later", status=status)
    return SetupError(f"the token server {host} gave no token (HTTP {status}): look at the account's token_url", status=status)
