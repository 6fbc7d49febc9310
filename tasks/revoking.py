"""Revoke certificates: write each revocation down, have it carried out, write down what became of it (RULES V1, V3, K5, R5).

A revocation that is written down is done by whoever comes: this run, or the next poll_orders.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from models.errors import CertflowError, ConflictError, LoginError, SetupError
from models.orders import Certificate, CertificateOrder, CompromisedKey, Revocation
from models.parameters import KEY_COMPROMISE, RevokeParameters, reason_word
from models.summaries import OrderResult
from tasks import asking, events
from tasks.adapters.store import Session, certificates, orders, revocations
from tasks.batches import TOGETHER, stop_in, together
from tasks.before_revoking import Target
from tasks.carrying_out import Job, Verdict, carry_out_one
from tasks.retry import step
from tasks.runs import Progress, log, this_run
from tasks.services import Services, open_services

LATEST = timedelta(hours=20)
"""A CA must act within 24 hours of the report [BR 4.9.1.1]; the rest is for trouble (RULES V3)."""

REVOKE_ANEW = "mend the cause, then revoke it anew."


@dataclass(kw_only=True)
class Revoked:
    """What became of revocations. `stopped` is what ended them before all were tried: the others stay planned."""

    done: list[OrderResult] = field(default_factory=list)
    failed: list[OrderResult] = field(default_factory=list)
    stopped: LoginError | SetupError | None = None

    def add(self, other: "Revoked") -> None:
        self.done += other.done
        self.failed += other.failed
        self.stopped = self.stopped or other.stopped


@dataclass(frozen=True, kw_only=True)
class Written:
    """Revocations that are written down: those that are due now, and later ones of other certificates with a compromised key."""

    due: tuple[UUID, ...] = ()
    later: tuple[OrderResult, ...] = ()


@step
def write_down(wish: RevokeParameters, targets: Sequence[Target]) -> Written:
    """Plan every revocation before anything is sent, in one transaction; compromised keys are remembered first (RULES K5, V3).

    A second run finds what the first one planned.
    """
    with open_services() as svc, svc.store.transaction() as session:
        now = svc.clock()
        wanted = [one for one in targets if not one.against]
        keys = {one.public_key_sha256 for one in wanted if one.public_key_sha256} if wish.code == KEY_COMPROMISE else set()
        for key in sorted(keys):
            revocations.report_compromised(session, key, now=now, by=wish.requested_by, reason=wish.reason)
        due = [
            revocations.plan(session, Revocation(
                account=wish.account, order_id=one.order_id, serial_number=one.serial_number, reason_code=wish.code, reason=wish.reason,
                remove=wish.delete_from_repository, due_at=now, requested_by=wish.requested_by, created_at=now,
            )).id for one in wanted
        ]
        others = plan_others(
            session, keys, but={(one.order_id, one.known_serial) for one in wanted}, reason=wish.reason, remove=wish.delete_from_repository,
            by=wish.requested_by, now=now,
        )
        for one in revocations.by_ids(session, due):
            orders.record_event(session, one.order_id, "revocation planned", f"{_serial(one)}{reason_word(wish.code)}: {wish.reason}", now=now,
                                run=this_run(), by=wish.requested_by)
        for order, planned in others:
            _told(session, order, planned.due_at, now=now, by=wish.requested_by)
        later = tuple(
            OrderResult(order_id=order.id, ssl_id=order.ssl_id, reason=f"serial number {planned.serial_number}: revoked with the same key "
                        f"until {planned.due_at:%Y-%m-%d %H:%M} UTC at the latest") for order, planned in others)
        return Written(due=tuple(dict.fromkeys(due)), later=later)


def plan_others(
    session: Session, keys: Collection[str], *, but: Collection[tuple[UUID, str | None]], reason: str, remove: bool, by: str, now: datetime,
) -> list[tuple[CertificateOrder, Revocation]]:
    """Plan to revoke every other living certificate with a compromised key, of all accounts, at the latest 20 hours from now (RULES V3);
    the plans, with their orders. `but` are (order, serial number) of those that are revoked at once.

    They go by serial number: after a reissue the sslId would mean the new certificate. Whoever orders successors with new keys plans the
    same certificate again with `successor_id` and `after_days=0`: that merges with these plans, and the earlier moment counts.
    """
    found = []
    for order, certificate in certificates.living_with_keys(session, keys, now=now):
        if (order.id, certificate.serial_number) not in but:
            found.append((order, revocations.plan(session, Revocation(
                account=order.account, order_id=order.id, serial_number=certificate.serial_number, reason_code=KEY_COMPROMISE, reason=reason,
                remove=remove, due_at=now + LATEST, requested_by=by, created_at=now,
            ))))
    return found


def carry_out(account: str, ids: Sequence[UUID]) -> Revoked:
    """Carry out planned revocations, batch by batch. After a refused login no more calls are made, and the rest stays planned (RULES S1)."""
    total = Revoked()
    with Progress(f"revocations of {account}", len(ids)) as progress:
        for first in range(0, len(ids), TOGETHER):
            total.add(carry_out_batch(account, ids[first:first + TOGETHER]))
            progress.at(first + TOGETHER, f"{len(total.done):,} done, {len(total.failed)} failed so far")
    return total


@step
def carry_out_batch(account: str, ids: Sequence[UUID]) -> Revoked:
    """Carry out some of the planned revocations; those that another run has done meanwhile count as done."""
    result = Revoked()
    with open_services() as svc:
        jobs = _jobs(svc, ids, result)
        if not jobs:
            return result
        verdicts: list[Verdict | CertflowError] = []
        try:
            with svc.scm(account) as scm:
                verdicts = together(lambda job: carry_out_one(svc, scm, job), jobs, at_once=svc.settings.scm_concurrency)
                if stop := stop_in(verdicts):
                    raise stop
        except (LoginError, SetupError) as error:
            result.stopped = error
            verdicts = verdicts or [error] * len(jobs)
        for job, verdict in zip(jobs, verdicts, strict=True):
            _remember(svc, job, verdict, result)
    return result


def revoke_due(account: str, order_ids: Sequence[UUID] | None = None) -> Revoked:
    """What poll_orders revokes: what is due, or could not be done before (RULES R5, V3). Raises: LoginError, SetupError, after the rest."""
    result = carry_out(account, _due(account, order_ids))
    if result.stopped:
        raise result.stopped
    return result


@step
def _due(account: str, order_ids: Sequence[UUID] | None) -> tuple[UUID, ...]:
    with open_services() as svc:
        now = svc.clock()
        with svc.store.reading() as session:
            late = revocations.compromised_unplanned(session, account, now=now)
        if late:
            with svc.store.transaction() as session:
                _plan_late(session, late, now=now)
        with svc.store.reading() as session:
            due = revocations.due(session, account, now=now)
    return tuple(one.id for one in due if order_ids is None or one.order_id in order_ids)


def _plan_late(session: Session, late: Sequence[tuple[CertificateOrder, Certificate, CompromisedKey]], *, now: datetime) -> None:
    """Certificates with a compromised key that came to us after the report: as those that were here (RULES V3)."""
    for order, certificate, key in late:
        revocations.plan(session, Revocation(
            account=order.account, order_id=order.id, serial_number=certificate.serial_number, reason_code=KEY_COMPROMISE, reason=key.reason,
            due_at=now + LATEST, requested_by=key.reported_by, created_at=now,
        ))
        _told(session, order, now + LATEST, now=now, by=key.reported_by)


def _told(session: Session, order: CertificateOrder, due_at: datetime | None, *, now: datetime, by: str) -> None:
    detail = f"its key was reported as compromised; due {due_at:%Y-%m-%d %H:%M} UTC"
    orders.record_event(session, order.id, "revocation planned", detail, now=now, run=this_run(), by=by)


def _jobs(svc: Services, ids: Sequence[UUID], result: Revoked) -> list[Job]:
    with svc.store.reading() as session:
        found = {row.id: row for row in revocations.by_ids(session, ids)}
        rows = [found[id_] for id_ in ids if id_ in found]
        of = orders.by_ids(session, [row.order_id for row in rows])
        jobs = [
            Job(row, order, certificates.with_serial_number(session, row.order_id, row.serial_number or order.serial_number))
            for row, order in ((row, of[row.order_id]) for row in rows)
        ]
    for job in jobs:
        if job.row.status == revocations.DONE:
            result.done.append(_result(job, "revoked by another run meanwhile"))
        elif job.row.status == revocations.REFUSED:
            result.failed.append(_result(job, job.row.error or "refused by SCM"))
    return [job for job in jobs if job.row.status == revocations.PLANNED]


def _remember(svc: Services, job: Job, verdict: Verdict | CertflowError, result: Revoked) -> None:
    """Write down what became of one revocation, and what SCM says of its order, in one transaction."""
    if isinstance(verdict, CertflowError):
        verdict = Verdict(status="planned", said=str(verdict))
    row, order, now, run = job.row, job.order, svc.clock(), this_run()
    first = False
    try:
        with svc.store.transaction() as session:
            if verdict.record is not None:
                asking.keep(session, svc, row.account, verdict.record)
            if verdict.status == "planned":
                revocations.still_planned(session, row.id, why=verdict.said)
                if verdict.said != row.error:    # said once, however often it is tried
                    orders.record_event(session, order.id, "not revoked yet", verdict.said, now=now, run=run, by=row.requested_by)
            elif verdict.status == "refused":
                revocations.refused(session, row.id, why=verdict.said)
                orders.record_event(session, order.id, "revocation refused", verdict.said, now=now, run=run, by=row.requested_by)
            else:
                first = not any(one.status == revocations.DONE and one.serial_number == row.serial_number
                                for one in revocations.of_order(session, order.id))
                revocations.done(session, row.id, now=now)
                detail = f"{_serial(row)}{verdict.said}: {row.reason}"
                orders.record_event(session, order.id, "revoked", detail, now=now, run=run, by=row.requested_by)
                if verdict.removed and job.certificate is not None:
                    certificates.remove(session, job.certificate.id, now=now)
            order = orders.order(session, order.id)
    except ConflictError:
        result.done.append(_result(job, "another run was faster and revoked it meanwhile"))
        return
    if verdict.status == "done":
        log().info("order %s (%s): %s%s", order.ssl_id, order.common_name, _serial(row), verdict.said)
        result.done.append(_result(job, verdict.said))
        if first:
            known = job.certificate.serial_number if job.certificate else row.serial_number
            events.emit(events.REVOKED, order, serial_number=known, reason_code=row.reason_code, removed=verdict.removed)
        return
    said = f"{verdict.said}; poll-orders tries again" if verdict.status == "planned" else verdict.said
    result.failed.append(_result(job, said))
    if verdict.status == "refused":
        events.emit(events.NEEDS_ATTENTION, order, reason=f"its revocation was refused: {verdict.said}", to_do=REVOKE_ANEW)


def _serial(row: Revocation) -> str:
    return f"serial number {row.serial_number}: " if row.serial_number else ""


def _result(job: Job, reason: str) -> OrderResult:
    return OrderResult(order_id=job.order.id, ssl_id=job.order.ssl_id, reason=f"{_serial(job.row)}{reason}")


