"""A certificate that SCM handed out, beside what was asked for: whose key, which names, what it follows (RULES D3, E5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.delivery import HOLD, NEVER, Asked, Finding, IssuedFacts, findings
from models.errors import BadCertificateError, InputError
from models.names import live_name
from models.orders import ORDERED, REISSUE, Certificate, CertificateOrder, NewCertificate, Submission
from models.status import SubmissionStatus
from tasks.adapters import pki


@dataclass(frozen=True)
class Asking:
    """An order, its submissions (oldest first), and the certificate that the next one follows, if there is one."""

    order: CertificateOrder
    sent: Sequence[Submission]
    before: Certificate | None = None

    @property
    def ours(self) -> list[Submission]:
        """Those whose key is known, newest first."""
        return [one for one in reversed(self.sent) if one.public_key_sha256]

    @property
    def reissue(self) -> Submission | None:
        """The reissue that SCM took and whose certificate is awaited."""
        return next((one for one in reversed(self.sent) if one.kind == REISSUE and one.status == SubmissionStatus.SUBMITTED), None)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A certificate as it will be stored, whose it is, and how it differs from what was asked. `old`: a reissue is awaited, and this is not it."""

    order: CertificateOrder
    new: NewCertificate
    owner: Submission | None = None
    found: tuple[Finding, ...] = ()
    old: bool = False


def compared_with_order(asking: Asking, answer: bytes, *, now: datetime) -> Checked:
    """The certificate as we store it, compared with what was asked (RULES D3). Raises: BadCertificateError."""
    order, ours = asking.order, asking.ours
    issued, owner = _with_our_key(answer, ours)
    wanted = ours[0].public_key_sha256 if ours else None
    old = _is_old(asking, issued, owner)
    ordered_here = (order.origin == ORDERED or owner is not None) and not old
    found = findings(certificate=_facts(issued), asked=_asked(asking, issued, owner, wanted), now=now) if ordered_here else ()
    never = owner is None and wanted is not None and not old
    held = "; ".join(one.text for one in found if one.kind == HOLD or (one.kind == NEVER and never))
    new = _row(
        order, owner, issued, held_because=held or None, never_deliver=never, flags=[one.text for one in found if one.kind not in {HOLD, NEVER}],
        now=now,
    )
    return Checked(order=order, new=new, owner=owner, found=found, old=old)


def _asked(asking: Asking, issued: pki.IssuedCertificate, owner: Submission | None, wanted: str | None) -> Asked:
    order, reissued = asking.order, owner is not None and owner.kind == REISSUE
    before = asking.before if asking.before is not None and asking.before.sha256 != issued.sha256 else None
    return Asked(
        names=tuple(owner.names) if owner and owner.names else tuple(order.subject_alternative_names),
        public_key_sha256=owner.public_key_sha256 if owner else wanted, term_days=None if reissued else order.term_days,
        ends_with=before.not_after if reissued and before else None, predecessor=_facts_of(before) if before else None,
    )


def unusable(asking: Asking, answer: bytes, why: BadCertificateError, *, now: datetime) -> Checked:
    """A certificate whose chain does not verify, as we store it: its serial is needed to revoke it (RULES D3). Raises: BadCertificateError."""
    owner = next(iter(asking.ours), None)
    issued = pki.leaf_alone(answer, owner.public_key_sha256 if owner else None)
    return Checked(
        order=asking.order, new=_row(asking.order, owner, issued, held_because=str(why), never_deliver=True, now=now), owner=owner,
        old=_is_old(asking, issued, owner),
    )


def take_over(order: CertificateOrder, checked: Checked) -> None:
    """After a reissue the order has the names that it asked for; one that was imported is ours from here on, with a live name (RULES D2)."""
    owner = checked.owner
    if owner is None or owner.kind != REISSUE:
        return
    if owner.names:
        order.common_name, order.subject_alternative_names = owner.names[0], list(owner.names)
    order.key_algorithm, order.key_size = checked.new.key_algorithm, checked.new.key_size
    if order.live_name is None:
        try:
            order.live_name = live_name(order.common_name.lower())
        except InputError:
            return
        order.origin = ORDERED


def _is_old(asking: Asking, issued: pki.IssuedCertificate, owner: Submission | None) -> bool:
    """Whether SCM still hands out the certificate from before a reissue that it took (contract 6.4)."""
    reissue = asking.reissue
    if reissue is None or (owner is not None and owner.id == reissue.id):
        return False
    return owner is not None or issued.serial_number == reissue.known_serial_number


def _with_our_key(answer: bytes, ours: list[Submission]) -> tuple[pki.IssuedCertificate, Submission | None]:
    """The certificate for the newest of our keys that it fits; for nobody's key of ours, the leaf that SCM sent, so that its serial is known.

    A customer may reissue with the key of before: then the serial number tells the old certificate (RULES E5).
    """
    wrong: BadCertificateError | None = None
    for one in ours:
        try:
            issued = pki.assemble(answer, one.public_key_sha256)
        except BadCertificateError as error:
            wrong = wrong or error
            continue
        if one.kind != REISSUE or issued.serial_number != one.known_serial_number:
            return issued, one
    try:
        return pki.assemble(answer, None), None
    except BadCertificateError as error:
        raise wrong or error from None


def _facts(issued: pki.IssuedCertificate) -> IssuedFacts:
    return IssuedFacts(
        names=issued.names, not_before=issued.not_before, not_after=issued.not_after, public_key_sha256=issued.public_key_sha256,
        issuer=issued.issuer, extended_key_usages=issued.extended_key_usages,
    )


def _facts_of(stored: Certificate) -> IssuedFacts:
    return IssuedFacts(
        names=tuple(stored.names), not_before=stored.not_before, not_after=stored.not_after, public_key_sha256=stored.public_key_sha256,
        issuer=stored.issuer, extended_key_usages=tuple(stored.extended_key_usage),
    )


def _row(
    order: CertificateOrder, owner: Submission | None, issued: pki.IssuedCertificate, *, held_because: str | None, never_deliver: bool,
    now: datetime, flags: Sequence[str] = (),
) -> NewCertificate:
    return NewCertificate(
        order_id=order.id, submission_id=owner.id if owner else None, serial_number=issued.serial_number, sha256=issued.sha256,
        public_key_sha256=issued.public_key_sha256, names=list(issued.names), issuer=issued.issuer, key_algorithm=issued.key_algorithm,
        key_size=str(issued.key_size), extended_key_usage=list(issued.extended_key_usages), not_before=issued.not_before,
        not_after=issued.not_after, pem=issued.pem, chain_pem=issued.chain_pem, fetched_at=now, held_because=held_because,
        never_deliver=never_deliver, flags=list(flags),
    )
