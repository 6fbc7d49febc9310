"""Is what came back what was asked for? A certificate compared with its order (RULES D3). Pure: plain facts in, findings out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from models.orders import Certificate

NEVER: Final = "never"
HOLD: Final = "hold"
FLAG: Final = "flag"

TERM_TOLERANCE = timedelta(days=2)
"""CAs round terms, and SCM's date-only values are uncertain by a day (contract 3)."""

_NAMES_SHOWN = 10
_USAGES = {"serverAuth": "server authentication (serverAuth)", "clientAuth": "client authentication (clientAuth)"}


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedFacts:
    """What a certificate says of itself. Names lower-case, moments aware UTC, the hash lower-case hex, the issuer as RFC 4514 text."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    public_key_sha256: str
    issuer: str
    extended_key_usages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the order asked for.

    `public_key_sha256` is that of our key or of the customer's CSR, None where neither is known (imported orders).
    `term_days` is the term of the order's own record, `ends_with` the end of the old certificate and given for a reissue only.
    `predecessor` is the certificate that this one follows, after a renewal or a reissue.
    """

    names: tuple[str, ...]
    public_key_sha256: str | None = None
    term_days: int | None = None
    ends_with: datetime | None = None
    predecessor: IssuedFacts | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """`never`: must not be delivered. `hold`: the old one stays live until a person accepts. `flag`: delivered, and said."""

    kind: Literal["never", "hold", "flag"]
    text: str


def findings(*, certificate: IssuedFacts, asked: Asked, now: datetime) -> tuple[Finding, ...]:
    """All that sets the certificate apart from its order, the gravest first; empty when it is as asked (RULES D3).

    A signature in the chain that does not verify is found earlier, when the chain is put together.
    """
    return (
        *(Finding(kind=NEVER, text=text) for text in _forbids(certificate, asked, now)),
        *(Finding(kind=HOLD, text=text) for text in _holds(certificate, asked, now)),
        *(Finding(kind=FLAG, text=text) for text in _flags(certificate, asked)),
    )


def differences(new: Certificate, old: Certificate) -> tuple[tuple[str, str], ...]:
    """How a certificate differs from the one that it follows: what, and how it is now (names, issuer, usage, key, term)."""
    gained, lost = [name for name in new.names if name not in old.names], [name for name in old.names if name not in new.names]
    key = f"{new.key_algorithm} {new.key_size}"
    return (
        ("names", "; ".join([*([f"with {_list(gained)}"] if gained else []), *([f"without {_list(lost)}"] if lost else [])]) or "the same"),
        ("issuer", "the same" if new.issuer == old.issuer else f"{new.issuer}, before {old.issuer}"),
        ("usage", "the same" if set(new.extended_key_usage) == set(old.extended_key_usage)
         else f"{_usages(new.extended_key_usage) or 'any'}, before {_usages(old.extended_key_usage) or 'any'}"),
        ("key", f"the same {key}" if new.public_key_sha256 == old.public_key_sha256 else f"a new {key}" + (
            "" if (new.key_algorithm, new.key_size) == (old.key_algorithm, old.key_size) else f", before {old.key_algorithm} {old.key_size}")),
        ("term", f"{_days(new)} days until {new.not_after:%Y-%m-%d}, before {_days(old)} days until {old.not_after:%Y-%m-%d}"),
    )


def _days(certificate: Certificate) -> int:
    return round((certificate.not_after - certificate.not_before) / timedelta(days=1))


def _forbids(certificate: IssuedFacts, asked: Asked, now: datetime) -> Iterable[str]:
    if asked.public_key_sha256 is not None and certificate.public_key_sha256 != asked.public_key_sha256:
        yield "The certificate is for another public key than the one that was sent."
    if now < certificate.not_before:
        yield f"The certificate is not valid before {_moment(certificate.not_before)}."


def _holds(certificate: IssuedFacts, asked: Asked, now: datetime) -> Iterable[str]:
    held = _lower(certificate.names)
    if missing := [name for name in _lower(asked.names) if name not in held]:
        yield f"The certificate lacks {_list(missing)}."
    if certificate.not_after <= now:    # nothing to gain by putting a dead certificate in the place of a living one
        yield f"The certificate ended on {_moment(certificate.not_after)}."


def _flags(certificate: IssuedFacts, asked: Asked) -> Iterable[str]:
    yield from _term(certificate, asked)
    wanted = _lower(asked.names)
    if extra := [name for name in _lower(certificate.names) if name not in wanted]:
        yield f"The certificate also has {_list(extra)}, not asked for."
    if asked.predecessor is not None:
        yield from _changes(certificate, asked.predecessor)


def _term(certificate: IssuedFacts, asked: Asked) -> Iterable[str]:
    """A renewal keeps the new record's own term, a reissue the end of the old certificate (contract 6.4)."""
    if asked.ends_with is not None:
        if abs(certificate.not_after - asked.ends_with) > TERM_TOLERANCE:
            yield (
                f"The certificate ends on {_moment(certificate.not_after)}, "
                f"the one that it replaces ends on {_moment(asked.ends_with)}."
            )
    elif asked.term_days is not None:
        lasts = certificate.not_after - certificate.not_before
        if abs(lasts - timedelta(days=asked.term_days)) > TERM_TOLERANCE:
            yield (
                f"The certificate lasts {round(lasts / timedelta(days=1))} days "
                f"(until {_moment(certificate.not_after)}), ordered were {asked.term_days}."
            )


def _changes(certificate: IssuedFacts, predecessor: IssuedFacts) -> Iterable[str]:
    before, after = predecessor.extended_key_usages, certificate.extended_key_usages
    if lost := [usage for usage in before if usage not in after]:
        yield f"The certificate no longer allows {_usages(lost)}; its predecessor did."
    if gained := [usage for usage in after if usage not in before]:
        yield f"The certificate now allows {_usages(gained)}; its predecessor did not."
    if certificate.issuer != predecessor.issuer:
        yield f"The issuer changed from {predecessor.issuer} to {certificate.issuer}: servers need the new chain."


def _lower(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.lower() for name in names))


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more names"


def _usages(words: list[str]) -> str:
    return ", ".join(_USAGES.get(word, word) for word in words)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
