"""What an order and a submission can be, and which steps are allowed."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class SubmissionStatus(StrEnum):
    """One thing we send to SCM, from the wish to the certificate (RULES E1, E2)."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    DONE = "done"


STEPS: Mapping[SubmissionStatus, frozenset[SubmissionStatus]] = MappingProxyType({
    SubmissionStatus.PLANNED: frozenset({SubmissionStatus.SUBMITTING, SubmissionStatus.WITHDRAWN}),
    SubmissionStatus.SUBMITTING: frozenset({
        SubmissionStatus.PLANNED,     # surely not taken (RULES E2, E4)
        SubmissionStatus.SUBMITTED,
        SubmissionStatus.REFUSED,
        SubmissionStatus.WITHDRAWN,   # only by hand (RULES E7)
    }),
    SubmissionStatus.SUBMITTED: frozenset({SubmissionStatus.DONE, SubmissionStatus.WITHDRAWN}),
    SubmissionStatus.REFUSED: frozenset(),
    SubmissionStatus.WITHDRAWN: frozenset(),
    SubmissionStatus.DONE: frozenset(),
})
"""From a status to the statuses that may follow it."""


class OrderStatus(StrEnum):
    """Of an order: ours until SCM's word is known, then SCM's word in snake case (contract 6.1)."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    DONE = "done"
    INIT = "init"
    REQUESTED = "requested"
    SA_APPROVED = "sa_approved"
    APPROVED = "approved"
    APPLIED = "applied"
    ISSUED = "issued"
    DECLINED = "declined"
    INVALID = "invalid"
    REJECTED = "rejected"
    REVOKED = "revoked"
    EXPIRED = "expired"
    REPLACED = "replaced"


OPEN_AT_SCM = frozenset({
    OrderStatus.SUBMITTED, OrderStatus.INIT, OrderStatus.REQUESTED, OrderStatus.SA_APPROVED, OrderStatus.APPROVED,
    OrderStatus.APPLIED,
})
"""SCM knows the order and has not decided it."""

UNSETTLED_HERE = frozenset({OrderStatus.PLANNED, OrderStatus.SUBMITTING})
"""SCM does not know the order, or we do not know whether it does."""

OPEN = OPEN_AT_SCM | UNSETTLED_HERE

WAITS_FOR_APPROVAL = frozenset({OrderStatus.REQUESTED, OrderStatus.SA_APPROVED})

DECLINABLE = WAITS_FOR_APPROVAL | {OrderStatus.INIT}
"""An administrator, or cancel_orders, may decline it (contract 6.3)."""

LIVING = OPEN | {OrderStatus.ISSUED}
"""Holds its live name (RULES D2)."""

REFUSED_AT_SCM = frozenset({OrderStatus.DECLINED, OrderStatus.INVALID, OrderStatus.REJECTED})

_SCM_WORDS: Mapping[str, OrderStatus] = MappingProxyType({
    status.value.replace("_", ""): status
    for status in OrderStatus
    if status not in {
        OrderStatus.PLANNED, OrderStatus.SUBMITTING, OrderStatus.SUBMITTED, OrderStatus.REFUSED, OrderStatus.WITHDRAWN,
        OrderStatus.DONE,
    }
})


_NO_SEPARATORS = str.maketrans("", "", " _-\t")


def order_status(word: str) -> OrderStatus | None:
    """SCM's word as our status, compared without case, blanks, `_` and `-` (contract 2); None for a word we do not know."""
    return _SCM_WORDS.get(word.lower().translate(_NO_SEPARATORS))
