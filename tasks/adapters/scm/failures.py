"""What a failed answer of SCM means (contract 4, RULES E2): HTTP status first, then SCM's code. Codes are not unique, so the call decides too."""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

from models.errors import (
    AmbiguousError,
    CertflowError,
    LoginError,
    NotFoundError,
    NotReadyError,
    RejectedError,
    RightsError,
    SetupError,
    ThrottledError,
    TransientError,
)


class Meaning(Enum):
    """The rows of contract 4."""

    LOGIN = auto()
    RIGHTS = auto()
    ACCOUNT = auto()
    REQUEST = auto()
    KEY = auto()
    DOMAIN = auto()
    NOT_READY = auto()
    NOT_FOUND = auto()
    STATE = auto()
    FOUR_EYES = auto()
    TEMPORARY = auto()
    FORMAT = auto()


BEING_PROCESSED = 0
"""The not-ready code that real servers send (contract 9.1)."""

_ROWS: Mapping[Meaning, tuple[int, ...]] = MappingProxyType({
    Meaning.LOGIN: (-16, -970, -410),
    Meaning.RIGHTS: (-3, -25, -37, -226, -738, -1021, -1032),
    Meaning.ACCOUNT: (-429, -993, -7306),
    Meaning.REQUEST: (-7, -36, -39, -111, -62, -64, -135, -639, -1023, -1601, -1002, -306),
    Meaning.KEY: (-9, -10, -138, -11, -13, -141, -194, -78, -170, -1138),
    Meaning.DOMAIN: (-107, -737, -1137, -724, -1603, -715, -727, -1010, -732, -843, -164, -1608),
    Meaning.NOT_READY: (BEING_PROCESSED, -183, -1400, -103, -109, -1113, -169),
    Meaning.NOT_FOUND: (-124, -5101, -123, -1117),
    Meaning.STATE: (-102, -159, -110, -130, -1112, -180, -1148, -1144, -3114, -3115, -700, -740),
    Meaning.FOUR_EYES: (-1140,),
    Meaning.TEMPORARY: (-1, -2, -14, -65, -129, -140, -195, -196, -618, -105),
    Meaning.FORMAT: (-126, -1450),
})

MEANINGS: Mapping[int, Meaning] = MappingProxyType({code: meaning for meaning, codes in _ROWS.items() for code in codes})
"""From SCM's code to its row. -727 and -1023 also stand for "not found", but only an HTTP 404 says which was meant."""

_BY_MEANING: Mapping[Meaning, type[CertflowError]] = MappingProxyType({
    Meaning.LOGIN: LoginError,
    Meaning.RIGHTS: RightsError,
    Meaning.NOT_READY: NotReadyError,
    Meaning.NOT_FOUND: NotFoundError,
    Meaning.TEMPORARY: TransientError,
})
"""What is not here is a plain RejectedError: a person must change something first."""

TEMPORARY_STATUSES = frozenset({408, 425, 500, 502, 503, 504})
TRY_AGAIN = TEMPORARY_STATUSES | {429}

_ADVICE: Mapping[type[CertflowError], str] = MappingProxyType({
    LoginError: "correct the account's login in Vault; no further call is made with this one",
    RightsError: "give this login the right in SCM, or use another account",
    SetupError: "a proxy on the way wants a login: set it in HTTPS_PROXY, or name SCM's host in NO_PROXY",
})

_ADVICE_BY_ROW: Mapping[Meaning, str] = MappingProxyType({
    Meaning.ACCOUNT: "ask the SCM administrator to mend the account",
    Meaning.REQUEST: "correct it, or run sync-reference-data",
    Meaning.KEY: "use another key or CSR",
    Meaning.DOMAIN: "see that domain and organization are validated in SCM, then try again",
    Meaning.STATE: "look at the order in SCM: its state decides",
    Meaning.FOUR_EYES: "another administrator must do it in SCM",
})
"""What a person does about a row of contract 4, column "Client"."""

LOOK = "look at it in SCM before you try again"
LATER = "it is tried again later"

REDIRECTED = "a redirect is never followed: the account's base_url leads to a portal or a proxy, not to SCM's API; correct it in Vault"


def failure(
    what: str, status: int, code: int | None, description: str | None, *, sent_once: bool, retry_after: float | None = None
) -> CertflowError:
    """The error for an answer that is no success.

    `what` names the call, for example "the order"; `description` is SCM's own text, fit to be shown. `sent_once` marks a call that
    makes something new: whether it was taken follows RULES E2.
    """
    words = _words(code, description)
    kind = _once(status, code) if sent_once else _repeatable(status, code)
    if kind is AmbiguousError:
        return AmbiguousError(
            f"SCM answered {what} with {words} (HTTP {status}), which does not tell whether it was taken: look before sending it again",
            status=status, code=code,
        )
    if kind is ThrottledError:
        pause = f" and asked for a pause of {retry_after:.0f} s" if retry_after is not None else ""
        return ThrottledError(f"SCM has too many requests for {what}{pause}: {words} (HTTP {status}); {LATER}", code=code, retry_after=retry_after)
    if kind is NotReadyError:
        return NotReadyError(f"SCM is not ready with {what}: {words} (HTTP {status}); {LATER}", status=status, code=code)
    if kind is TransientError:
        return TransientError(f"SCM could not answer {what}: {words} (HTTP {status}); {LATER}", status=status, code=code)
    meaning = MEANINGS.get(code) if code is not None and status < 500 else None
    advice = REDIRECTED if 300 <= status < 400 else _ADVICE.get(kind) or (_ADVICE_BY_ROW.get(meaning, LOOK) if meaning else LOOK)
    return kind(f"SCM refused {what}: {words} (HTTP {status}); {advice}", status=status, code=code)


def _once(status: int, code: int | None) -> type[CertflowError]:
    """RULES E2, to the letter: what is not surely refused is in doubt."""
    by_status: dict[int, type[CertflowError]] = {401: LoginError, 403: RightsError, 404: NotFoundError, 429: ThrottledError}
    if status in by_status:
        return by_status[status]
    meaning = MEANINGS.get(code) if code is not None else None
    if not 400 <= status < 500 or meaning is None or meaning in {Meaning.TEMPORARY, Meaning.NOT_READY}:
        return AmbiguousError
    return _BY_MEANING.get(meaning, RejectedError)


def _repeatable(status: int, code: int | None) -> type[CertflowError]:
    by_status: dict[int, type[CertflowError]] = {
        401: LoginError, 403: RightsError, 404: NotFoundError, 407: SetupError, 429: ThrottledError,
    }
    if status in by_status:
        return by_status[status]
    if status >= 500 or status in TEMPORARY_STATUSES:
        return TransientError
    if 300 <= status < 400 or code is None:
        return RejectedError
    meaning = MEANINGS.get(code)
    return _BY_MEANING.get(meaning, RejectedError) if meaning else RejectedError


def _words(code: int | None, description: str | None) -> str:
    if code is None and not description:
        return "no readable body"
    return " ".join(str(part) for part in (code, description) if part is not None and part != "")
