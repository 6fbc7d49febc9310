"""The error tree, classed by what the caller may do next.

    CertflowError
    ├── TransientError          try again: nothing happened, or nothing that a repeat could double
    │   ├── NotReadyError         SCM has the order, but no certificate yet
    │   └── ThrottledError        429: come back after `retry_after` seconds
    ├── AmbiguousError          look first: the call may have taken effect
    ├── RejectedError           do not repeat: the same call gets the same answer
    │   ├── InputError            a parameter is refused; nothing was sent
    │   ├── SetupError            the installation is not complete or not reachable: a person must act
    │   ├── LoginError            401: stop all calls of the account (RULES S1)
    │   ├── RightsError           403 or a permission code: this login may not do that
    │   ├── NotFoundError         the thing does not exist
    │   └── BadCertificateError   what SCM delivered, or Vault holds, must not be used (RULES D3)
    ├── ConflictError           somebody was faster: read again, then decide
    └── BatchError              part of a batch failed; everything else is stored

Messages hold ids, codes and SCM's own words; never payloads, never secrets. Every error survives pickling, since Prefect
stores the exception of a failed run.
"""

from collections.abc import Iterable
from typing import Any

MOST_TOLD = 20
"""Problems that one message tells."""


class CertflowError(Exception):
    """Whatever Certflow raises on purpose.

    `status` is the HTTP status and `code` SCM's own number (contract 4), where there were any. `summary` is what the flow
    would have returned, for callers from Python.
    """

    def __init__(self, message: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.summary: Any = None


class TransientError(CertflowError):
    """Try again: nothing happened, or nothing that a repeat could double."""


class NotReadyError(TransientError):
    """SCM knows the order and has no certificate for it yet (contract 4, row "Not ready yet")."""


class ThrottledError(TransientError):
    """SCM answered 429; `retry_after` seconds were asked for, if it said so."""

    def __init__(
        self, message: str, *, status: int | None = 429, code: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.retry_after = retry_after


class AmbiguousError(CertflowError):
    """The call may have taken effect: look before repeating."""


class RejectedError(CertflowError):
    """Do not repeat: the same call would get the same answer."""


class InputError(RejectedError):
    """A parameter is refused; nothing was sent. `problems` holds every finding, one sentence each."""

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (message,)

    @classmethod
    def of(cls, problems: Iterable[str], *, nothing: str = "sent") -> "InputError":
        """One refusal for many problems: each once, and so many in words that a person reads them; `problems` holds all."""
        different = tuple(dict.fromkeys(problems))
        more = f"; and {len(different) - MOST_TOLD:,} more" if len(different) > MOST_TOLD else ""
        return cls(f"refused, nothing was {nothing}: " + "; ".join(different[:MOST_TOLD]) + more, problems=different)


class SetupError(RejectedError):
    """The installation is incomplete, misconfigured or not reachable; the message says what to do."""


class LoginError(RejectedError):
    """SCM refused the login (401): no further call of this account (RULES S1)."""


class RightsError(RejectedError):
    """The login is good but may not do this (403, or a permission code of contract 4)."""


class NotFoundError(RejectedError):
    """What was asked for does not exist."""


class BadCertificateError(RejectedError):
    """What SCM delivered, or a live entry holds, must not be used: wrong key, a signature that does not verify (RULES D3), revoked."""


class ConflictError(CertflowError):
    """Somebody was faster: read again, then decide."""


class BatchError(CertflowError):
    """Part of a batch failed; the message names what and why, everything else is stored."""
