"""Decisions of (facts, now), without I/O. Each answers why or why not, in words that can be shown."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from models.orders import Certificate, CertificateOrder
from models.status import LIVING


def newest_living(rows: Sequence[CertificateOrder]) -> list[CertificateOrder]:
    """What a name means among orders that bear it: the newest living order of its line (RULES N6).

    Orders of one line follow each other as predecessor and successor. Orders of several lines that live at once stay several;
    when none lives, the newest counts.
    """
    by_id = {row.id: row for row in rows}
    replaced = {row.predecessor_id for row in rows if row.predecessor_id and row.status in LIVING}
    living = [row for row in rows if row.status in LIVING and row.id not in replaced]
    lines = {_root(row, by_id): row for row in reversed(living)}
    if living:
        return list(lines.values())
    return list(rows[:1])


def _root(row: CertificateOrder, by_id: dict[UUID, CertificateOrder]) -> UUID:
    seen = {row.id}
    while row.predecessor_id in by_id and row.predecessor_id not in seen:    # a ring, mended by hand in the database, must not hang us
        row = by_id[row.predecessor_id]
        seen.add(row.id)
    return row.id


def why_not_live(
    order: CertificateOrder, certificate: Certificate, *, holder: CertificateOrder | None, predecessors: Sequence[UUID], now: datetime
) -> str | None:
    """Why a fetched certificate must not take its live name now, or None (RULES D2, D3). `holder` is the order that `live/` serves."""
    if certificate.held_because:
        return certificate.held_because
    if certificate.not_before > now:
        return f"not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC"
    if certificate.not_after <= now:
        return f"ended on {certificate.not_after:%Y-%m-%d}"
    if holder is None or holder.id == order.id or holder.id in predecessors or holder.status not in LIVING:
        return None
    return f"live name {order.live_name} is served for order {holder.ssl_id or holder.id} of account {holder.account}, which is no predecessor"
