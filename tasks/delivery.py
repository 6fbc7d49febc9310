"""Put a certificate into its live entry in Vault, as one consistent version (RULES D1 to D3, K3)."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.delivery import differences
from models.errors import ConflictError, InputError, NotFoundError, SetupError
from models.orders import Certificate, CertificateOrder
from models.policy import why_not_live
from tasks import events
from tasks.adapters import pki
from tasks.adapters.store import certificates, orders, renewals, revocations, submissions
from tasks.batches import each
from tasks.retry import step
from tasks.runs import log, this_run
from tasks.services import Services, open_services

WRITES = 5
"""Check-and-set tries: another writer of the same entry makes us look again."""


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What reached Vault, what waits, and a sentence for each that failed."""

    delivered: int = 0
    waiting: int = 0
    failed: tuple[str, ...] = ()


@step
def deliver_all(account: str, order_ids: Sequence[UUID] | None = None) -> Delivered:
    """Deliver every fetched certificate whose live name waits for it. One that fails stops no other."""
    with open_services() as svc:
        with svc.store.reading() as session:
            waiting = certificates.not_delivered(session, account, order_ids)
        by_id = {one.id: one for one in waiting}
        done, failed = each(lambda id_: deliver(svc, id_), by_id, at_once=svc.settings.scm_concurrency)
        return Delivered(
            delivered=sum(done.values()), waiting=len(done) - sum(done.values()), failed=tuple(
                f"certificate {by_id[id_].serial_number} of order {by_id[id_].order_id} is not delivered: {error}" for id_, error in failed.items()
            ),
        )


def deliver(svc: Services, certificate_id: UUID) -> bool:
    """Write one certificate to its live entry; False when it must not be there now, which the order then says.

    May run twice, even at once: an entry that holds this certificate already is left as it is. Raises: as Vault; ConflictError when
    others keep writing the same entry.
    """
    with svc.store.reading() as session:
        new = certificates.certificate(session, certificate_id)
        if new is None:
            raise NotFoundError(f"there is no certificate {certificate_id}")
        order = orders.order(session, new.order_id)
    path = f"live/{order.live_name}"
    for _ in range(WRITES):
        entry = svc.vault.read(path)
        served: Mapping[str, Any] = entry.data if entry else {}
        if served.get("sha256") == new.sha256 and served.get("status") != "revoked":
            assert entry is not None  # noqa: S101 - it holds our certificate
            _remember(svc, order, new, entry.version)
            return True
        why = _why_not(svc, order, new, served)
        if why:
            with svc.store.transaction() as session:
                orders.mark_waiting(session, order.id, why)
            log().info("order %s (%s): %s", order.ssl_id, order.common_name, why)
            return False
        seen = entry.version if entry else svc.vault.version(path) or 0
        if entry is None and seen and svc.vault.read(path) is not None:
            continue    # written since we looked; a deleted one stays unreadable
        try:
            version = svc.vault.write(path, _entry(svc, order, new, served), cas=seen)
        except ConflictError:
            continue
        _remember(svc, order, new, version)
        log().info("order %s (%s) is delivered to %s, version %s", order.ssl_id, order.common_name, path, version)
        return True
    raise ConflictError(f"{path} is written by others again and again: the next poll-orders tries once more")


def accept(svc: Services, order: CertificateOrder) -> str:
    """Deliver a held certificate, since a person accepts what sets it apart (RULES D3, E7). Raises: InputError when nothing is held."""
    with svc.store.transaction() as session:
        held = certificates.held_of(session, order.id)
        if held is None:
            raise InputError(f"order {order.id} ({order.common_name}) has no held certificate")
        if held.never_deliver:
            raise InputError(f"the certificate of order {order.id} can never be delivered: {held.held_because}")
        orders.record_event(session, order.id, "accepted", held.held_because or "", now=svc.clock(), run=this_run(), by="settle")
        certificates.accept(session, held.id)
        orders.mark_waiting(session, order.id, None)
    if order.live_name is None:
        return f"the certificate of order {order.id} ({order.common_name}) is accepted; it holds no live name"
    if deliver(svc, held.id):
        return f"the certificate of order {order.id} ({order.common_name}) is accepted and delivered to live/{order.live_name}"
    return f"the certificate of order {order.id} ({order.common_name}) is accepted, but not delivered yet: see its order page"


def _why_not(svc: Services, order: CertificateOrder, new: Certificate, served: Mapping[str, Any]) -> str | None:
    if served.get("sha256") == new.sha256:    # it is there already, closed
        return f"live/{order.live_name} says that it is revoked"
    holder: CertificateOrder | None = None
    predecessors: list[UUID] = []
    with svc.store.reading() as session:
        if revocations.compromised(session, [new.public_key_sha256]):
            return "its key was reported as compromised and is never used (RULES K5)"
        if served.get("status") != "revoked" and (serving := _uuid(served.get("order"))):
            try:
                holder = orders.order(session, serving)
            except NotFoundError:
                holder = None    # of a database that is gone: nobody else will ever write it
            if holder is not None and holder.deleted_at is not None:
                holder = None    # its renewal has ended, and its live name is free (RULES D2)
        before = order.predecessor_id
        while before is not None and before not in predecessors:
            predecessors.append(before)
            before = orders.order(session, before).predecessor_id
    return why_not_live(order, new, holder=holder, predecessors=predecessors, now=svc.clock())


def _entry(svc: Services, order: CertificateOrder, new: Certificate, served: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of RULES D1. Without our key there is no key and no keystore (RULES K2)."""
    entry: dict[str, Any] = {
        "certificate": new.pem, "chain": new.chain_pem, "fullchain": new.pem + new.chain_pem, "private_key": "", "keystore": "",
        "keystore_type": "", "keystore_password": "", "serial_number": new.serial_number, "sha256": new.sha256, "names": list(new.names),
        "not_after": new.not_after.isoformat(), "order": str(order.id), "account": order.account, "status": "issued",
    }
    with svc.store.reading() as session:
        sent = submissions.submission(session, new.submission_id) if new.submission_id else None
    if sent is None or sent.own_csr:
        return entry
    kept = svc.vault.read(f"keys/{sent.id}")
    if kept is None and sent.reuse_of is not None:    # after a database was rebuilt: SCM used the old CSR again
        kept = svc.vault.read(f"keys/{sent.reuse_of}")
    if kept is None:
        raise SetupError(f"the key of the certificate is not at keys/{sent.id} in Vault: restore it there, then poll again")
    kind = order.keystore_type or "PKCS12"
    password = _password(svc, order, served)
    keystore = pki.make_keystore(
        kind, key=pki.key_from_pem(kept.data["private_key"]), certificate=new.pem, chain=new.chain_pem, alias=(order.live_name or "").lower(),
        password=password, random_password=order.keystore_password_path is None and pki.looks_random(password),
    )
    return entry | {
        "private_key": kept.data["private_key"], "keystore": base64.b64encode(keystore).decode(), "keystore_type": kind,
        "keystore_password": password,
    }


def _password(svc: Services, order: CertificateOrder, served: Mapping[str, Any]) -> str:
    """The user's own, else the one that the live name always had, else a new one (RULES K3)."""
    if order.keystore_password_path:
        return users_password(svc, order.keystore_password_path)
    return str(served.get("keystore_password") or "") or pki.new_keystore_password()


def users_password(svc: Services, path: str) -> str:
    """The keystore password that a user put into Vault. Raises: SetupError when there is none, InputError when it cannot serve (RULES K3)."""
    name, _, field = path.partition("#")
    entry = svc.vault.read(f"passwords/{name}")
    password = str((entry.data if entry else {}).get(field) or "")
    if not password:
        raise SetupError(f"Vault holds no keystore password at passwords/{name}#{field}: write it there, then try again")
    pki.check_keystore_password(password)
    return password


def _remember(svc: Services, order: CertificateOrder, new: Certificate, version: int) -> None:
    with svc.store.transaction() as session:
        first = certificates.delivered(session, new.id, version=version, now=svc.clock())
        if first:
            old = renewals.followed_by(session, new)
            compared = [f"{what}: {how}" for what, how in differences(new, old)] if old else []
            said = "; ".join((f"live/{order.live_name}, version {version}", *new.flags, *compared))
            orders.record_event(session, order.id, "delivered", said, now=svc.clock(), run=this_run())
        orders.mark_waiting(session, order.id, None)
        if new.submission_id:
            submissions.finish(session, new.submission_id)
    if first:
        facts = dict(serial_number=new.serial_number, not_after=new.not_after.isoformat(), live_version=version)
        events.emit(events.DELIVERED, order, **facts)
        if order.predecessor_id is not None:
            events.emit(events.RENEWED, order, predecessor_id=str(order.predecessor_id), **facts)


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
