"""How SCM is called: with the login, at a pace, and again where a repeat does no harm. Sentences instead of exceptions of requests."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

from models.errors import AmbiguousError, CertflowError, LoginError, NotReadyError, SetupError, ThrottledError, TransientError
from tasks.adapters.scm.connections import ON_THE_WAY, trouble
from tasks.adapters.scm.credentials import ClientCertificate, Credentials, HeaderLogin, OAuth2Client
from tasks.adapters.scm.failures import TRY_AGAIN, failure
from tasks.adapters.scm.pace import Pace, Turns, pause
from tasks.adapters.scm.tokens import Tokens
from tasks.adapters.scm.values import Row, Unreadable, number, text
from tasks.adapters.scm.wire import Address, Answer, chunks, session, whole

LONGEST_DESCRIPTION = 300
STOPPED = "correct the account's login in Vault; no further call is made with this one"

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Repeat(Enum):
    """What may be done when a call got no good answer (contract 5.19)."""

    HERE = auto()
    """Again until the deadline: it only reads."""
    LATER = auto()
    """Sent once here; the caller may send it again, which does no harm."""
    NEVER = auto()
    """It makes something new each time: no layer repeats it (RULES E1)."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request; `what` names it in messages, for example "the order of www.example.com"."""

    method: str
    path: str
    what: str
    repeat: Repeat = Repeat.HERE
    query: Mapping[str, str | int] | None = None
    body: Mapping[str, Any] | None = None
    accept: str = "application/json"
    deadline: float = inf
    """Seconds after which it is not waited for or sent again, when the client's own are more. Pauses that SCM asks for are kept all the same."""


class Calls:
    """Sends calls for one login. Thread-safe; after one refused login it sends nothing more (RULES S1)."""

    def __init__(
        self, credentials: Credentials, *, concurrency: int, rate: float | None, turns: Turns | None, timeout: tuple[float, float],
        deadline: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.credentials = credentials
        self.host = urlsplit(credentials.base_url).netloc
        self.count = 0
        self._timeout, self._deadline, self._clock, self._sleep = timeout, deadline, clock, sleep
        self._pace = Pace(rate, turns, clock=clock, sleep=sleep)
        self._lock = Lock()
        self._first_call = Lock()
        self._let_in = False
        self._stopped: str | None = None
        certificate = credentials if isinstance(credentials, ClientCertificate) else None
        kept = session(concurrency + 1, certificate)    # one more: a report may stay open beside the others
        self._scm = Address(credentials.base_url, kept)
        self._scm_once = Address(credentials.base_url, session(concurrency, certificate))
        self._tokens = Tokens(credentials, kept, timeout=timeout, clock=clock) if isinstance(credentials, OAuth2Client) else None

    def close(self) -> None:
        """Close all connections."""
        self._scm.close()
        self._scm_once.close()

    def send(self, call: Call) -> Answer:
        """The good answer to a call. Raises: the class that contract 4 and RULES E2 say."""
        return self._repeated(call, lambda response: self._read(call, response))

    @contextmanager
    def opened(self, call: Call) -> Iterator[requests.Response]:
        """The good answer to a call, its body unread. Raises: as `send`."""
        with self._repeated(call, lambda response: response) as response:
            yield response

    def unreadable(self, call: Call, reason: object) -> CertflowError:
        """The error for a good answer that cannot be read."""
        told = TransientError(f"SCM's answer to {call.what} cannot be read: {reason}; look whether base_url leads to SCM's API")
        return self._in_doubt(call, told) if call.repeat is Repeat.NEVER else told

    def refused(self, call: Call, status: int, given: Row, *, retry_after: float | None = None) -> CertflowError:
        """The error for what SCM says: its status and its JSON with code and description."""
        error = failure(
            call.what, status, number(given, "code"), self._shown(text(given, "description")),
            sent_once=call.repeat is Repeat.NEVER, retry_after=retry_after,
        )
        if isinstance(error, LoginError):
            self._stopped = str(error)
        return error

    def pieces(self, response: requests.Response) -> Iterator[bytes]:
        """The body of an opened call as it arrives. Raises: TransientError."""
        return chunks(response, self.host, clock=self._clock, seconds=self._deadline)

    def _repeated(self, call: Call, take: Callable[[requests.Response], T]) -> T:
        """What `take` makes of a good response; a call that only reads is sent again until the deadline."""
        began = self._clock()
        ends, attempt = began + self._deadline, 0
        while True:
            try:
                response = self._in_turn(call, ends)
                if 200 <= response.status_code < 300:
                    self._pace.fine()
                    return take(response)
                error, wait = self._failure(call, response, ends)
                if response.status_code == 429:
                    held = self._pace.slow_down(wait)
                    wait = held if wait is None else wait
            except (TransientError, SetupError) as raised:
                error, wait = raised, raised.retry_after if isinstance(raised, ThrottledError) else None
            seconds = wait if wait is not None else pause(attempt)
            last = ends if isinstance(error, ThrottledError) else min(ends, began + call.deadline)
            if call.repeat is not Repeat.HERE or not _worth_repeating(error) or self._clock() + seconds > last:
                raise error from None
            logger.info("%s; next try in %.1f s", error, seconds)
            self._sleep(seconds)
            attempt += 1

    def _read(self, call: Call, response: requests.Response) -> Answer:
        try:
            with response:
                return whole(response, self.host, clock=self._clock, seconds=self._deadline)
        except TransientError as error:
            raise (self._in_doubt(call, error) if call.repeat is Repeat.NEVER else error) from None

    def _in_turn(self, call: Call, ends: float) -> requests.Response:
        if self._let_in:
            return self._authorized(call, ends)
        with self._first_call:    # a wrong password is sent once, not by all threads at the same time
            return self._authorized(call, ends)

    def _authorized(self, call: Call, ends: float) -> requests.Response:
        """The response to one request; with OAuth2 a 401 is answered by one new token, unless the call must not be repeated."""
        if self._stopped:
            raise LoginError(self._stopped)
        token = self._token(call)
        response = self._exchange(call, self._headers(token), ends)
        if response.status_code == 401 and self._tokens and token:
            self._tokens.drop(token)
            if call.repeat is not Repeat.NEVER:
                response.close()
                token = self._token(call)
                response = self._exchange(call, self._headers(token), ends)
            elif self._let_in:
                response.close()
                raise TransientError(f"SCM refused {call.what} since its token is no longer good (HTTP 401): nothing was taken", status=401)
        if response.status_code == 401:
            self._stopped = f"SCM refused the login (HTTP 401); {STOPPED}"
        elif response.status_code < 500:
            self._let_in = True
        return response

    def _token(self, call: Call) -> str | None:
        if self._tokens is None:
            return None
        try:
            return self._tokens.current()
        except LoginError as error:
            self._stopped = str(error)
            raise
        except CertflowError as error:
            if call.repeat is Repeat.NEVER:
                raise TransientError(f"{call.what} was not sent: {error}", status=error.status) from None
            raise

    def _headers(self, token: str | None) -> dict[str, str]:
        match self.credentials:
            case HeaderLogin(login=login, password=password, customer_uri=uri):
                return {"login": login, "password": password, "customerUri": uri}
            case ClientCertificate(login=login, customer_uri=uri):
                return {"login": login, "customerUri": uri}
        return {"Authorization": f"Bearer {token}"}

    def _exchange(self, call: Call, login: Mapping[str, str], ends: float) -> requests.Response:
        """Send one request and read the head of its answer. Raises: TransientError, SetupError, or AmbiguousError for what is sent once."""
        self._pace.wait(ends)
        headers = {**login, "Accept": call.accept}
        if call.body is not None:
            headers["Content-Type"] = "application/json;charset=UTF-8"
        if call.repeat is Repeat.NEVER:
            # A fresh connection each: one that SCM just closed would leave the order in doubt.
            headers["Connection"] = "close"
        connect, read = self._timeout
        left = max(min(ends - self._clock(), call.deadline), 1.0)
        with self._lock:
            self.count += 1
        try:
            return (self._scm_once if call.repeat is Repeat.NEVER else self._scm).send(
                call.method, call.path, query=call.query, headers=headers, body=None if call.body is None else json.dumps(call.body).encode(),
                timeout=(min(connect, left), min(read, left)),
            )
        except ON_THE_WAY as error:
            told = trouble(error, self.host)
            raise (self._in_doubt(call, told) if call.repeat is Repeat.NEVER else told) from None

    def _failure(self, call: Call, response: requests.Response, ends: float) -> tuple[CertflowError, float | None]:
        """The error for an answer that is no success, and the seconds that SCM asked to wait."""
        try:
            with response:
                answer = whole(response, self.host, clock=self._clock, seconds=max(ends - self._clock(), 1.0))
            given = answer.object()
        except (TransientError, Unreadable):    # the status alone decides
            answer, given = Answer(response.status_code, response.headers, b""), {}
        return self.refused(call, answer.status, given, retry_after=answer.retry_after()), answer.retry_after()

    def _shown(self, description: str | None) -> str | None:
        """SCM's words, fit to be shown: no control characters, no secrets, not too long."""
        if not description:
            return None
        shown = "".join(letter if letter.isprintable() else " " for letter in description)
        for secret in (*self.credentials.secrets(), *(self._tokens.known() if self._tokens else ())):
            if len(secret) >= 4:    # a shorter one would black out ordinary words
                shown = shown.replace(secret, "***")
        return shown[:LONGEST_DESCRIPTION]

    def _in_doubt(self, call: Call, error: CertflowError) -> AmbiguousError:
        return AmbiguousError(f"it is not known whether SCM took {call.what}: {error}", status=error.status)


def _worth_repeating(error: CertflowError) -> bool:
    """Statuses that pass, and broken connections; what a code of SCM calls temporary is left to the caller's longer pauses."""
    return isinstance(error, TransientError) and not isinstance(error, NotReadyError) and (error.status is None or error.status in TRY_AGAIN)
