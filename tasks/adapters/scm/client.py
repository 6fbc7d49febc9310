"""The SCM client of one account: all calls that Certflow makes, over pooled keep-alive connections."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tasks.adapters.scm.account import AccountCalls
from tasks.adapters.scm.calls import Calls
from tasks.adapters.scm.credentials import Credentials
from tasks.adapters.scm.orders import OrderCalls
from tasks.adapters.scm.pace import Turns


class ScmClient(AccountCalls, OrderCalls):
    """Speaks to SCM for one login; many threads may use it.

    `concurrency` sizes the pool of connections; `rate` bounds the requests per second, together with all who share `turns`; `timeout` is for
    connecting and for each read, in seconds; `deadline` ends the repeating of a call and the reading of one answer, in seconds. A refused
    login ends all further calls with LoginError before anything is sent (RULES S1). Raises: SetupError when a client certificate cannot be
    used.
    """

    def __init__(
        self, credentials: Credentials, *, concurrency: int = 8, rate: float | None = None, turns: Turns | None = None,
        timeout: tuple[float, float] = (10, 60), deadline: float = 300, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        calls = Calls(
            credentials, concurrency=concurrency, rate=rate, turns=turns, timeout=timeout, deadline=deadline, clock=clock, sleep=sleep,
        )
        AccountCalls.__init__(self, calls)
        OrderCalls.__init__(self, calls)

    @property
    def calls(self) -> int:
        """HTTP requests sent to SCM so far, repeated ones too; requests for tokens not counted."""
        return self._calls.count

    def close(self) -> None:
        """Close all connections."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
