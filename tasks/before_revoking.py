"""Look at everything before a certificate is revoked: what stands against it, and what else its key serves (RULES V2, V3, K5)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from models.errors import BadCertificateError, CertflowError, InputError
from models.orders import Certificate, CertificateOrder
from models.parameters import KEY_COMPROMISE, RevokeParameters
from models.status import DECLINABLE, OPEN_AT_SCM, OrderStatus
from models.summaries import OrderResult, RevokeSummary
from tasks import asking
from tasks.adapters import pki
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import certificates, orders, submissions
from tasks.batches import stop_in, together
from tasks.meaning import Meant
from tasks.removal import REVOKED
from tasks.retry import step
from tasks.runs import demand_requester, log
from tasks.services import Services, open_services


@dataclass(frozen=True, kw_only=True)
class Target:
    """A certificate that shall be revoked: the order's own, or, with `serial_number`, that one.

    `known_serial` is its serial number as far as we know it. `served_as` is the live name that serves it. `key_serves` names what else its
    key serves. `against` says why it must not be revoked.
    """

    order_id: UUID
    ssl_id: int | None
    name: str
    serial_number: str | None = None
    known_serial: str | None = None
    public_key_sha256: str | None = None
    served_as: str = ""
    key_serves: tuple[str, ...] = ()
    against: str = ""


@dataclass(frozen=True)
class Served:
    """What a live entry says of the certificate that it serves."""

    sha256: str
    order: str


@step
def look(wish: RevokeParameters, meant: Sequence[Meant]) -> tuple[Target, ...]:
    """Each certificate that is meant, with what stands against its revocation. What SCM says of orders that are not issued is read first,
    since our status may be old. Raises: InputError when nothing may be revoked; LoginError; SetupError.
    """
    with open_services() as svc:
        demand_requester(wish.requested_by)
        rows = _refreshed(svc, wish.account, meant)
        with svc.store.reading() as session:
            known = {one: certificates.with_serial_number(session, one.order_id, _serial_of(one, rows[one.order_id])) for one in meant}
            replaced = certificates.with_live_successor(session, rows)
            sent = submissions.of_orders(session, rows)
        keys = {one: _key(one, certificate, [each.public_key_sha256 for each in sent.get(one.order_id, [])]) for one, certificate in known.items()}
        if wish.code == KEY_COMPROMISE:
            keys |= _keys_at_scm(svc, wish.account, {one: rows[one.order_id] for one, key in keys.items() if key is None})
        with svc.store.reading() as session:
            kin = certificates.living_with_keys(session, {key for key in keys.values() if key}, now=svc.clock())
        served = _served(svc, [*rows.values(), *(order for order, _ in kin)])
        targets = tuple(
            _target(wish, one, rows[one.order_id], known[one], keys[one], kin=kin, served=served, replaced=one.order_id in replaced)
            for one in meant
        )
    if not wish.dry_run and all(one.against for one in targets):
        against = tuple(f"{one.name} ({one.ssl_id or one.order_id}): {one.against}" for one in targets)
        error = InputError.of(against)
        error.summary = RevokeSummary(failed=refused(targets))
        raise error
    return targets


def refused(targets: Iterable[Target]) -> tuple[OrderResult, ...]:
    """Those that must not be revoked, and why."""
    return tuple(OrderResult(order_id=one.order_id, ssl_id=one.ssl_id, reason=one.against) for one in targets if one.against)


def _serial_of(one: Meant, order: CertificateOrder) -> str | None:
    """After a reissue that is not fetched yet our newest certificate is not the one that SCM revokes."""
    return one.serial_number or order.serial_number


def _refreshed(svc: Services, account: str, meant: Iterable[Meant]) -> dict[UUID, CertificateOrder]:
    with svc.store.reading() as session:
        rows = orders.by_ids(session, [one.order_id for one in meant])
    old = [row for row in rows.values() if row.ssl_id is not None and row.status not in {OrderStatus.ISSUED, OrderStatus.REVOKED}]
    if old:
        with svc.scm(account) as scm:
            found = together(lambda row: scm.details(row.ssl_id or 0), old, at_once=svc.settings.scm_concurrency)
            if stop := stop_in(found):
                raise stop
        with svc.store.transaction() as session:
            for record in found:
                if isinstance(record, CertflowError):
                    log().warning("our last word of SCM counts: %s", record)
                else:
                    asking.keep(session, svc, account, record)
            rows = orders.by_ids(session, rows)
    return rows


def _key(one: Meant, certificate: Certificate | None, sent: Sequence[str | None]) -> str | None:
    if certificate is not None:
        return certificate.public_key_sha256
    return next((key for key in reversed(sent) if key and one.serial_number is None), None)


def _keys_at_scm(svc: Services, account: str, missing: Mapping[Meant, CertificateOrder]) -> dict[Meant, str | None]:
    """The public keys of certificates that are not in the repository: whose key is compromised must be known before it is revoked (K5)."""
    wanted = [one for one, order in missing.items() if order.status == OrderStatus.ISSUED and one.serial_number in {None, order.serial_number}]
    if not wanted:
        return {}
    with svc.scm(account) as scm:
        found = together(lambda one: _key_at_scm(scm, missing[one]), wanted, at_once=svc.settings.scm_concurrency)
        if stop := stop_in(found):
            raise stop
    keys: dict[Meant, str | None] = {}
    for one, answer in zip(wanted, found, strict=True):
        if isinstance(answer, CertflowError):
            log().warning("the compromised key of order %s cannot be read, so nobody looks for its other uses: %s", missing[one].ssl_id, answer)
        else:
            keys[one] = answer
    return keys


def _key_at_scm(scm: ScmClient, order: CertificateOrder) -> str:
    assert order.ssl_id is not None  # noqa: S101 - SCM says that it is issued
    answer = scm.collect(order.ssl_id)
    try:
        return pki.assemble(answer, None).public_key_sha256
    except BadCertificateError:    # only its chain is of no use
        return pki.leaf_alone(answer, None).public_key_sha256


def _served(svc: Services, rows: Iterable[CertificateOrder]) -> dict[str, Served]:
    """What is served, by live name; a revoked certificate is not served."""
    names = sorted({row.live_name for row in rows if row.live_name})
    entries = together(lambda name: svc.vault.read(f"live/{name}"), names, at_once=svc.settings.scm_concurrency)
    served: dict[str, Served] = {}
    for name, entry in zip(names, entries, strict=True):
        if isinstance(entry, CertflowError):
            raise entry
        if entry is not None and entry.data.get("status") != REVOKED:
            served[name] = Served(str(entry.data.get("sha256")), str(entry.data.get("order")))
    return served


def _target(
    wish: RevokeParameters, one: Meant, order: CertificateOrder, certificate: Certificate | None, key: str | None, *,
    kin: Iterable[tuple[CertificateOrder, Certificate]], served: Mapping[str, Served], replaced: bool,
) -> Target:
    live = served.get(order.live_name or "")
    here = live is not None and (
        (certificate is not None and live.sha256 == certificate.sha256) or (one.serial_number is None and live.order == str(order.id)))
    served_as = order.live_name if here and order.live_name else ""
    return Target(
        order_id=order.id, ssl_id=order.ssl_id, name=order.common_name, serial_number=one.serial_number, public_key_sha256=key,
        known_serial=_serial_of(one, order) or (certificate.serial_number if certificate else None), served_as=served_as,
        key_serves=tuple(_others(order, certificate, key, kin, served)),
        against=_no_certificate(one, order, certificate) or _unconfirmed(wish, served_as, replaced=replaced),
    )


def _others(
    order: CertificateOrder, certificate: Certificate | None, key: str | None, kin: Iterable[tuple[CertificateOrder, Certificate]],
    served: Mapping[str, Served],
) -> Iterable[str]:
    """What else a key serves, in words."""
    for other, its in kin:
        if its.public_key_sha256 != key or (certificate is not None and its.id == certificate.id):
            continue
        live = served.get(other.live_name or "")
        where = f", served as live/{other.live_name}" if live is not None and live.sha256 == its.sha256 else ""
        account = f" of account {other.account}" if other.account != order.account else ""
        yield f"{other.common_name} ({other.ssl_id}, serial number {its.serial_number}, ends {its.not_after:%Y-%m-%d}{where}){account}"


def _no_certificate(one: Meant, order: CertificateOrder, certificate: Certificate | None) -> str:
    """Why there is nothing to revoke; of a serial number, and while a reissue is under way, SCM decides."""
    if one.serial_number is not None or order.status in {OrderStatus.ISSUED, OrderStatus.REVOKED}:
        return ""
    if order.status == OrderStatus.PLANNED:
        return "it is planned and nothing was sent yet: cancel-orders withdraws it"
    if order.status == OrderStatus.SUBMITTING:
        return "it is in doubt: poll-orders finds out whether SCM took it, then cancel or revoke it"
    if order.status in OPEN_AT_SCM:
        instead = "cancel-orders declines it" if order.status in DECLINABLE else "wait until it is issued, then revoke it"
        return "" if certificate is not None else f"it is {order.status} and has no certificate yet: {instead}"
    return f"it is {order.status}: there is no living certificate to revoke"


def _unconfirmed(wish: RevokeParameters, served_as: str, *, replaced: bool) -> str:
    """RULES V2"""
    if not served_as or replaced or served_as in {name.removeprefix("live/") for name in wish.confirm}:
        return ""
    because = ", because_of_key_compromise" if wish.code == KEY_COMPROMISE else ""
    return (
        f"live/{served_as} serves it and no successor is delivered: renew it first (renew-or-reissue{because}), or give {served_as} in confirm "
        "to revoke it all the same"
    )
