"""Which order or certificate a text means where nothing can be taken back: in revoke, cancel and delete (RULES N6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from models.choosing import as_serial_number
from models.errors import InputError
from models.orders import CertificateOrder
from models.status import LIVING
from tasks.adapters.store import Session, orders
from tasks.retry import step
from tasks.services import open_services

SHOWN = 20
"""Candidates, and texts that mean nothing, that a refusal names."""


@dataclass(frozen=True)
class Meant:
    """An order, or only its certificate with this serial number."""

    order_id: UUID
    serial_number: str | None = None


@step
def exactly(account: str, texts: Sequence[str], *, serial_numbers: bool = False, deleted: bool = False) -> tuple[Meant, ...]:
    """What each text means, once: an sslId, a UUID, a name that one living order bears, with `serial_numbers` also a serial number.

    When none lives, the newest counts. To delete orders, `deleted`, a name must mean a single one, living or not, since a second call must
    not go on with the next; one that is deleted already is found then. Raises: InputError that names every text that means nothing or
    several orders; then nothing at all shall be done.
    """
    found: dict[Meant, None] = {}
    wrong: list[str] = []
    with open_services() as svc, svc.store.reading() as session:
        for text in texts:
            serial = as_serial_number(text) if serial_numbers else None
            try:
                found[_by_serial(session, account, text, serial) if serial else _by_name(session, account, text, deleted=deleted)] = None
            except InputError as error:
                wrong.append(str(error))
    if wrong:
        raise InputError.of(wrong, nothing="done")
    return tuple(found)


def _by_serial(session: Session, account: str, text: str, serial: str) -> Meant:
    rows = orders.with_serial_number(session, account, serial)
    if not rows:
        raise InputError(f"no certificate of account {account} has the serial number {text!r}: import-orders finds what SCM holds; "
                         "after a reissue SCM shows only the new one")
    return Meant(_only(text, rows).id, serial)


def _by_name(session: Session, account: str, text: str, *, deleted: bool) -> Meant:
    rows = orders.named(session, account, text)
    if not rows and deleted:
        rows = orders.named(session, account, text, deleted=True)[:1]
    if not rows:
        raise InputError(f"there is no order {text!r} in account {account}: import-orders finds orders that SCM holds")
    living = [row for row in rows if row.status in LIVING] or rows[:1]
    return Meant(_only(text, rows if deleted else living).id)


def _only(text: str, rows: Sequence[CertificateOrder]) -> CertificateOrder:
    if len(rows) > 1:
        candidates = ", ".join(f"{row.ssl_id or row.id} ({row.common_name}, {row.status})" for row in rows[:SHOWN])
        raise InputError(f"{text!r} means several orders, name one: {candidates}")
    return rows[0]
