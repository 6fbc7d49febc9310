"""Pull the plug between any two steps, each gap once. Of an order: one order at SCM in every case, delivered after the next polls.
Of a revocation with removal: done, and its key gone, after the same run again or the next poll."""

import multiprocessing
import os
import signal
from itertools import count

import pytest

from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.revoke import revoke
from models.orders import CompromisedKey, Revocation
from tasks import services
from tasks.adapters.store.submissions import UNSETTLED

FORK = multiprocessing.get_context("fork")


def watched(owner, name, gap):
    """Let every call of `owner.name` pass a gap before and one after it."""
    real = getattr(owner, name)

    def act(*args, **kwargs):
        gap(f"before {name}")
        answer = real(*args, **kwargs)
        gap(f"after {name}")
        return answer
    setattr(owner, name, act)


def act_and_die(kill_at, gaps, act):
    """In a process of its own: act, and die at the gap with the given number. Gaps are named in `gaps`."""
    from tasks.adapters.scm import ScmClient
    from tasks.adapters.store.engine import Store
    from tasks.adapters.vault import Vault

    services.forget_services()
    passed = count(1)

    def gap(name):
        number = next(passed)
        gaps.put((number, name))
        if number == kill_at:
            gaps.close()
            gaps.join_thread()
            os.kill(os.getpid(), signal.SIGKILL)

    real = Store.transaction

    def transaction(self):
        from contextlib import contextmanager

        @contextmanager
        def around():
            gap("before a transaction")
            with real(self) as session:
                yield session
                session.flush()
                gap("before a commit")
            gap("after a commit")
        return around()

    Store.transaction = transaction
    for owner, name in (
        (Vault, "read"), (Vault, "create"), (Vault, "write"), (Vault, "destroy_versions"), (ScmClient, "enroll"), (ScmClient, "details"),
        (ScmClient, "revoke"),
    ):
        watched(owner, name, gap)
    act()


def killed(kill_at, act):
    """Run and kill; the gaps that were passed, and whether the process died of it."""
    gaps = FORK.Queue()
    process = FORK.Process(target=act_and_die, args=(kill_at, gaps, act))
    process.start()
    process.join(300)
    assert process.exitcode is not None, "it neither ended nor died"
    passed = []
    while not gaps.empty():
        passed.append(gaps.get())
    return passed, process.exitcode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["good", "lost"])
def test_a_kill_between_any_two_steps_leaves_exactly_one_order(synced, answer) -> None:
    """RULES E1, E3, E4: also when SCM's answer was lost before, so that the poll that settles it is killed"""
    def delivered(names):
        return all((found := synced.certificate_or_none(name)) and found.delivered_at for name in names)

    names = []
    for kill_at in range(1 if answer == "good" else 9, 100):    # before SCM is asked both are alike
        name = f"kill{kill_at}.example.com"
        if answer == "lost":
            synced.sandbox.clear()
            synced.sandbox.lose_next_answer("enroll")
        parameters = {
            "common_name": name, "organization": "Example University", "certificate_profile": "OV Multi-Domain", "key_algorithm": "EC",
            "request_id": name,
        }
        services.forget_services()
        _, died = killed(kill_at, lambda: (order_certificate.fn(**parameters), poll_orders.fn()))    # noqa: B023 - it runs now
        services.forget_services()
        order_certificate.fn(**parameters)    # the user, or Prefect, starts the same request again
        synced.poll_until(lambda: synced.submission(name).status not in UNSETTLED, seconds=300)    # noqa: B023 - or the next kill hits it again
        names.append(name)
        if not died:
            break
    assert len(names) > 12, "the order has more gaps than that"
    synced.poll_until(lambda: delivered(names), seconds=300)
    assert {name: len(synced.sandbox.orders(name)) for name in names} == dict.fromkeys(names, 1)
    for name in names:
        entry = synced.entry(f"live/{name}")
        assert entry["sha256"] == synced.certificate(name).sha256
        assert entry["private_key"] == synced.entry(f"keys/{synced.submission(name).id}")["private_key"]


@pytest.mark.slow
@pytest.mark.parametrize("again", ["the same run", "a poll"])
def test_a_kill_between_any_two_steps_of_a_revocation_finishes_the_job_later(synced, order, again) -> None:
    """RULES V1, D5, K5: revoked at SCM, its versions destroyed, out of the repository, told once"""
    gaps = 30
    names = [f"gone{kill_at}.example.com" for kill_at in range(1, gaps + 1)]
    for name in names:
        order(name)
    synced.deliver(*names)
    passed = 0
    for kill_at, name in enumerate(names, 1):
        parameters = {
            "orders": [name], "reason_code": "keyCompromise", "reason": "found on a disk", "delete_from_repository": True, "confirm": [name],
        }
        services.forget_services()
        _, died = killed(kill_at, lambda: revoke.fn(**parameters))    # noqa: B023 - it runs now
        services.forget_services()
        planned = [row for row in synced.rows(Revocation) if row.order_id == synced.order(name).id]
        if again == "the same run" or not planned:    # before it is written down nothing has happened
            assert planned or synced.sandbox.orders(name)[0]["status"] == "Issued"
            revoke.fn(**parameters)
        else:
            poll_orders.fn()
        passed += died
        assert synced.sandbox.orders(name)[0]["status"] == "Revoked"
        assert synced.order(name).status == "revoked"
        assert synced.certificate(name).removed_at
        assert synced.entry(f"live/{name}")["status"] == "revoked"
        found = synced.vault.secrets.kv.v2.read_secret_metadata(f"certflow/live/{name}")["data"]["versions"]
        assert {number: facts["destroyed"] for number, facts in found.items()} == {"1": True, "2": False}
        assert {row.status for row in synced.rows(Revocation) if row.order_id == synced.order(name).id} == {"done"}
        assert synced.certificate(name).public_key_sha256 in {row.public_key_sha256 for row in synced.rows(CompromisedKey)}
        if not died:
            break
    assert 15 < passed < gaps, "every gap was tried"
