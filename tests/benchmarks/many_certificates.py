"""A database with as many certificates as wanted, to measure the inventory on: `many_certificates.py [NUMBER] --url ADDRESS`.

Half of the certificates are ours with their submissions, the others were found at SCM; a tenth was renewed. Ours are renewed day by day, so
that what is due became so within the last day. PEM texts are as long as real ones.
"""

import argparse
import base64
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlmodel import Session

sys.path.insert(0, str(Path(__file__).parents[2]))    # started as a script

from models.ids import new_id
from models.orders import ENROLL, IMPORTED, ORDERED, Certificate, CertificateOrder, Submission
from models.policy import renewal_from
from models.reference import CertificateProfile, Domain, Organization
from models.status import OrderStatus, SubmissionStatus
from tasks.adapters.store import Store, bulk, migrate, open_store

BATCH = 5000
ORGANIZATIONS = 50
PROFILES = {1: 47, 2: 90, 3: 199, 4: 199, 5: 398}
DOMAINS = 2000
OTHERS = ("Web form", "ACME", "REST API", "Discovery", "SCEP")
STATUSES = {
    OrderStatus.ISSUED: 900, OrderStatus.REVOKED: 45, OrderStatus.EXPIRED: 40, OrderStatus.DECLINED: 5, OrderStatus.APPLIED: 5,
    OrderStatus.REQUESTED: 5,
}
HAS_CERTIFICATE = {OrderStatus.ISSUED, OrderStatus.REVOKED, OrderStatus.EXPIRED}

DAY = timedelta(days=1)

Row = dict[str, Any]


def reference_data(session: Session, now: datetime) -> None:
    """Organizations, profiles and domains; the validation of some domains ends soon."""
    session.add_all(Organization(
        account="default", id=one, name=f"Example {one}", api_allowed=one % 17 != 0, certificate_types=["SSL"], changed_at=now
    ) for one in range(1, ORGANIZATIONS + 1))
    session.add_all(CertificateProfile(
        account="default", id=id_, name=f"OV {days}", terms=[days], key_types={"RSA": ["2048"]},
        organization_ids=list(range(1, ORGANIZATIONS + 1)), changed_at=now,
    ) for id_, days in PROFILES.items())
    session.add_all(Domain(
        account="default", id=one, name=f"d{one}.example.com", validation_status="validated",
        validation_expires_on=date(now.year, now.month, now.day) + timedelta(days=one % 400), checked_at=now, changed_at=now,
    ) for one in range(DOMAINS))


def rows(count: int, now: datetime) -> Iterator[tuple[Row, Row | None, Row | None]]:
    """Order, submission and certificate, one after the other."""
    chance = random.Random(1)    # the same rows each time
    statuses = chance.choices(list(STATUSES), list(STATUSES.values()), k=1000)
    before = UUID(int=0)
    for number in range(count):
        id_, status, ours, profile = new_id(), statuses[number % 1000], number % 2 == 0, 1 + number % len(PROFILES)
        domain, term = number % DOMAINS, PROFILES[profile]
        name = f"host{number}.d{domain}.example.com"
        names = [name, f"www.{name}", f"api.{name}"][:1 + number % 3]
        if number % 5000 == 0:
            names.append("shared.d1.example.com")
        until_due = renewal_from(id_, now, now + timedelta(days=term)) - now + DAY if ours else timedelta(days=term)
        age = until_due * chance.random() if status != OrderStatus.EXPIRED else timedelta(days=term + number % 300)
        start = now - age
        ends = start + timedelta(days=term)
        placed = id_ if ours else None
        order = {
            "id": id_, "account": "default", "ssl_id": 40_000 + number, "status": status.value, "common_name": name,
            "subject_alternative_names": names, "organization_id": 1 + number % ORGANIZATIONS,
            "organization_name": f"Example {1 + number % ORGANIZATIONS}", "certificate_profile_id": profile,
            "certificate_profile_name": f"OV {term}", "term_days": term, "key_algorithm": "RSA", "key_size": "2048",
            "custom_fields": {}, "external_requester_emails": [], "requested_via": "REST API" if ours else OTHERS[number // 2 % len(OTHERS)],
            "requested_at": start, "issued_at": start, "expires_at": ends, "origin": ORDERED if ours else IMPORTED,
            "live_name": name if ours else None, "created_at": start, "changed_at": start, "serial_number": f"{number + 1:x}",
            "predecessor_id": before if number % 10 == 0 and number else None, "requester": "invented", "comments": "",
        }
        before = id_
        sent = None if not ours else {
            "id": placed, "account": "default", "order_id": id_, "kind": ENROLL, "status": SubmissionStatus.DONE.value, "own_csr": number % 100 == 0,
            "request_id": f"request-{number}", "request_scope": "", "wish": {}, "names": [], "known_ssl_ids": [], "absent_at": [], "attempts": 1,
            "created_at": start,
        }
        certificate = None if status not in HAS_CERTIFICATE else {
            "id": new_id(), "order_id": id_, "submission_id": placed, "serial_number": f"{number + 1:x}",
            "sha256": f"{number:064x}", "public_key_sha256": f"{number:064x}", "names": names, "issuer": f"CN=Example Issuing CA {number % 3}",
            "key_algorithm": "RSA", "key_size": "1024" if number % 9999 == 0 else "2048", "extended_key_usage": ["serverAuth"], "not_before": start,
            "not_after": ends, "pem": base64.b64encode(chance.randbytes(1500)).decode(), "chain_pem": CHAIN,
            "fetched_at": start, "delivered_at": start if ours else None, "live_version": 1 if ours else None, "never_deliver": False, "flags": [],
            "held_because": "a name is missing" if number % 20_001 == 0 else None,
        }
        if ours and certificate:
            order |= {"served_until": ends, "renewal_from": renewal_from(id_, start, ends)}
        yield order, sent, certificate


CHAIN = base64.b64encode(random.Random(2).randbytes(1500)).decode()


def fill(store: Store, count: int, now: datetime) -> None:
    """Write them, some thousands in each transaction."""
    with store.transaction() as session:
        reference_data(session, now)
    written: tuple[Any, ...] = (CertificateOrder, Submission, Certificate)
    tables: dict[Any, list[str]] = {table: [column.name for column in table.__table__.columns] for table in written}
    held: tuple[list[Row], list[Row], list[Row]] = ([], [], [])

    def write() -> None:
        with store.transaction() as session:
            for (table, columns), some in zip(tables.items(), held, strict=True):
                bulk.insert(session, str(table.__tablename__), columns, [[row.get(one) for one in columns] for row in some])
                some.clear()

    for made in rows(count, now):
        for some, row in zip(held, made, strict=True):
            if row is not None:
                some.append(row)
        if len(held[0]) == BATCH:
            write()
    write()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--url", required=True)
    given = parser.parse_args()
    migrate(given.url)
    fill(open_store(given.url), given.number, datetime.now(UTC))
    print(json.dumps({"certificates": given.number}))


if __name__ == "__main__":
    main()
