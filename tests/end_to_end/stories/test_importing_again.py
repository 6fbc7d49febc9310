"""import_orders again: what did not change is not written, what was cut off goes on, and what no report holds is found all the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import col, select, update

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from models import windows
from models.errors import BatchError, TransientError
from models.orders import AccountState, CertificateOrder, OrderEvent
from models.status import OPEN_AT_SCM, order_status
from tasks import importing, services
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Store

WRITES = ("INSERT", "UPDATE", "DELETE", "COPY")


@contextmanager
def written() -> Iterator[list[str]]:
    """Statements meanwhile that write orders or what happened to them."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(WRITES) and ("certificate_order" in statement or "order_event" in statement):
            found.append(statement)

    with services.open_services() as svc:
        event.listen(svc.store.engine, "before_cursor_execute", note)
        yield found
        event.remove(svc.store.engine, "before_cursor_execute", note)


def a_week_later(world: Any) -> None:
    with world.changed(AccountState, "default") as state:
        state.full_import_at = datetime.now(UTC) - timedelta(days=8)


def at_scm(world: Any) -> dict[int, dict[str, Any]]:
    return {order["ssl_id"]: order for order in world.sandbox.orders()}


def agree(world: Any) -> bool:
    """Whether we know each order once, as SCM says it."""
    ours = {row.ssl_id: row.status for row in world.rows(CertificateOrder)}
    return len(world.rows(CertificateOrder)) == len(ours) and ours == {
        ssl_id: order_status(order["status"]) for ssl_id, order in at_scm(world).items()
    }


def test_an_unchanged_account_costs_few_calls_and_no_row_is_written(on_either: Any) -> None:
    """RULES S3: neither by the import of changes nor by the whole one of each week; certificates made meanwhile are no change"""
    first = import_orders.fn()
    assert first.calls <= first.certificates_fetched + 5
    for later in (lambda _: None, a_week_later):
        later(on_either)
        on_either.sandbox.forget_calls()
        with written() as statements:
            again = import_orders.fn()
        assert statements == []
        assert (again.orders_new, again.orders_changed, again.certificates_fetched) == (0, 0, 0)
        assert again.calls == sum(on_either.sandbox.calls().values()) <= 5
    assert again.orders_seen == first.orders_seen == len(at_scm(on_either))


@pytest.mark.parametrize(("overwrite", "comes_back"), [
    (lambda row: setattr(row, "serial_number", "abc"), True), (lambda row: setattr(row, "expires_at", datetime(2030, 1, 1, tzinfo=UTC)), True),
    (lambda row: setattr(row, "status", "applied"), True), (lambda row: setattr(row, "waiting_because", "no room"), False),
    (lambda row: setattr(row, "replaced_at", datetime(2026, 1, 1, tzinfo=UTC)), False),    # fills a gap: SCM says nothing of it
])
def test_what_overwrites_a_fact_of_the_report_makes_the_next_one_count_again(
    world: Any, overwrite: Callable[[CertificateOrder], None], comes_back: bool,
) -> None:
    """RULES S3, S4: SCM's word is kept, whoever wrote another one"""
    import_orders.fn(fetch_certificates=False)
    before = next(row for row in world.rows(CertificateOrder) if row.status == "issued" and row.replaced_at is None)
    with world.changed(CertificateOrder, before.id) as row:
        overwrite(row)
    a_week_later(world)
    answer = import_orders.fn(fetch_certificates=False)
    after = next(row for row in world.rows(CertificateOrder) if row.id == before.id)
    assert answer.orders_changed == comes_back
    assert (after.serial_number, after.expires_at, after.status) == (before.serial_number, before.expires_at, before.status)
    assert after.report_digest == before.report_digest


def test_details_that_say_otherwise_do_not_hide_what_the_report_says_later(world: Any) -> None:
    """RULES S3"""
    import_orders.fn(fetch_certificates=False)
    order = next(row for row in world.rows(CertificateOrder) if row.status == "applied")
    world.sandbox.fault("unknown_status", route="details", ssl_id=order.ssl_id, word="Rejected")
    assert poll_orders.fn(orders=[str(order.ssl_id)]).orders_changed == 1
    a_week_later(world)
    assert import_orders.fn(fetch_certificates=False).orders_changed == 1
    assert agree(world)


class Killed(BaseException):
    """As the operating system does it."""


@pytest.mark.parametrize("at", [1, 3, 9])
def test_an_import_that_is_killed_anywhere_goes_on_where_it_was(world: Any, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """RULES S3: no window is asked for twice but the one it died in, and what changed meanwhile shows in the next one"""
    monkeypatch.setattr(windows, "ROWS", 20)
    monkeypatch.setattr(importing, "BATCH", 7)
    asked: list[Any] = []
    real = ScmClient.reported

    def reported(self: ScmClient, window: Any, **more: Any) -> Any:
        asked.append(window)
        for number, row in enumerate(real(self, window, **more)):
            if len(asked) == at and number == 8:
                raise Killed
            yield row

    monkeypatch.setattr(ScmClient, "reported", reported)
    began = datetime.now(UTC)
    try:
        import_orders.fn(fetch_certificates=False)
    except Killed:
        first = list(asked)
        changed = next(order["ssl_id"] for order in world.sandbox.orders() if order["status"] == "Issued")
        world.sandbox.change_order(changed, status="Revoked")
        import_orders.fn(fetch_certificates=False)
        ranges = [(one.by, one.source, day) for one in asked if one.by == "request" for day in (one.first, one.last)]
        assert asked[at].first == first[-1].first or asked[at] == first[-1]
        assert len(ranges) - len(set(ranges)) <= 4
    assert world.rows(AccountState)[0].imported_until <= began + timedelta(seconds=5)
    import_orders.fn(fetch_certificates=False)
    assert agree(world)
    assert world.rows(AccountState)[0].import_resume is None


def no_right(world: Any) -> None:
    world.sandbox.fault("status", route="report", status=400, body={"code": -3, "description": "You are not authorized"})


def unknown(world: Any) -> None:
    world.sandbox.fault("status", route="report", status=404, body="Not Found", content_type="text/html")


def refused(world: Any) -> None:
    world.sandbox.fault("status", route="report", status=400, body={"code": -7777, "description": "No reports here"})


@pytest.mark.parametrize("trouble", [no_right, unknown, refused])
def test_without_a_report_orders_are_read_by_list_and_details(world: Any, trouble: Callable[[Any], None]) -> None:
    """RULES S3, contract 5.6: it is said, and the next import reads what is new and what is open"""
    trouble(world)
    answer = import_orders.fn(fetch_certificates=False)
    assert agree(world)
    assert answer.orders_new == answer.orders_seen == len(at_scm(world))
    assert "list and details" in " ".join(answer.problems)
    world.sandbox.forget_calls()
    assert import_orders.fn(fetch_certificates=False).orders_new == 0
    still_open = [row for row in world.rows(CertificateOrder) if row.status in OPEN_AT_SCM]
    assert sum(count for route, count in world.sandbox.calls().items() if "details" in route or "{ssl_id}" in route) <= len(still_open)


def test_details_that_cannot_be_read_are_named_and_stop_no_other(world: Any) -> None:
    """DESIGN 4: a batch does all it can"""
    no_right(world)
    some = sorted(at_scm(world))[5]
    world.sandbox.fault("field", route="details", ssl_id=some, field="status", value="")
    with pytest.raises(BatchError, match=f"order {some}") as caught:
        import_orders.fn(fetch_certificates=False)
    assert caught.value.summary.orders_new == len(at_scm(world)) - 1


def test_an_import_by_list_goes_on_where_it_was(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES S3"""
    monkeypatch.setattr("tasks.lists.BATCH", 50)
    no_right(world)
    fine = ScmClient.details
    ids = sorted(at_scm(world))

    def details(self: ScmClient, ssl_id: int, **more: Any) -> Any:
        if ssl_id == ids[120]:
            raise Killed
        return fine(self, ssl_id, **more)

    monkeypatch.setattr(ScmClient, "details", details)
    with pytest.raises(Killed):
        import_orders.fn(fetch_certificates=False)
    monkeypatch.setattr(ScmClient, "details", fine)
    assert import_orders.fn(fetch_certificates=False).orders_seen == len(ids) - 100
    assert agree(world)


def test_what_a_report_leaves_out_is_found_by_the_count(world: Any) -> None:
    """RULES S3: and what not even details show is not looked for at each import"""
    hidden = sorted(at_scm(world))[:3]
    for ssl_id in hidden:
        world.sandbox.fault("hide", route="report", ssl_id=ssl_id)
    world.sandbox.fault("unknown_status", ssl_id=hidden[0], word="Frobnicated")
    answer = import_orders.fn(fetch_certificates=False)
    assert {*at_scm(world)} - {row.ssl_id for row in world.rows(CertificateOrder)} == {hidden[0]}
    assert answer.orders_new == len(at_scm(world)) - 1
    assert import_orders.fn(fetch_certificates=False).calls <= 5 + importing.MOST_MISSING_DETAILS


def test_an_order_of_midnight_is_seen_once(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract 5.17: whether an end belongs to a window nobody says"""
    monkeypatch.setattr(windows, "ROWS", 20)
    for number, order in enumerate(one for one in world.sandbox.orders() if one["requested"]):
        midnight = (datetime.now(UTC) - timedelta(days=number)).replace(hour=0, minute=0, second=0, microsecond=0)
        world.sandbox.change_order(order["ssl_id"], requested=midnight.isoformat())
    assert import_orders.fn(fetch_certificates=False).orders_seen == len(at_scm(world))
    assert import_orders.fn(fetch_certificates=False).orders_seen <= len(at_scm(world))


def test_a_report_that_is_cut_is_read_in_parts(world: Any) -> None:
    """RULES S3: what arrived is kept, what did not is asked for again"""
    world.sandbox.fault("truncate", route="report", count=3)
    answer = import_orders.fn(fetch_certificates=False)
    assert agree(world)
    assert answer.orders_seen == len(at_scm(world))


def test_a_report_that_never_comes_ends_the_import(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES S3: SCM is broken, and a list would break it more"""
    monkeypatch.setattr("tasks.adapters.scm.orders.IMPATIENT", 0.0)
    world.sandbox.fault("status", route="report", status=501, body="never")
    with pytest.raises(TransientError):
        import_orders.fn(fetch_certificates=False)


def opened(store: Store, shown: dict[int, dict[str, Any]]) -> tuple[list[int], list[int]]:
    """Make our rows open: all that SCM has not issued, and a hundred that it has; those, and those that it rejected."""
    issued = [ssl_id for ssl_id, order in shown.items() if order["status"] == "Issued" and order["requested"]][:100]
    others = [ssl_id for ssl_id, order in shown.items() if order["status"] not in {"Issued", "Expired", "Revoked"}]
    with store.transaction() as session:
        for first in range(0, len(issued + others), 1000):
            session.execute(update(CertificateOrder).where(
                col(CertificateOrder.ssl_id).in_((issued + others)[first:first + 1000]),
            ).values(status="applied", report_digest=None))
        session.execute(update(CertificateOrder).where(col(CertificateOrder.ssl_id).not_in(issued + others)).values(deleted_at=datetime.now(UTC)))
    return issued, [ssl_id for ssl_id in others if shown[ssl_id]["status"] == "Rejected"]


def test_many_open_orders_are_polled_by_three_reports_and_one_by_its_details(world: Any) -> None:
    """RULES S3: a hundred certificates cost a hundred calls, all that is open three; a rejected one is seen too"""
    import_orders.fn(fetch_certificates=False)
    shown = at_scm(world)
    with services.open_services() as svc:
        issued, rejected = opened(svc.store, shown)
    polled = poll_orders.fn()
    assert polled.certificates_fetched == len(issued)
    assert polled.calls <= len(issued) + 3
    ours = {row.ssl_id: row.status for row in world.rows(CertificateOrder)}
    assert rejected
    assert {ours[ssl_id] for ssl_id in rejected} == {"rejected"}
    still_open = next(str(ssl_id) for ssl_id, status in ours.items() if status in OPEN_AT_SCM)
    assert poll_orders.fn(orders=[still_open]).calls == 1
    with services.open_services() as svc, svc.store.transaction() as session:
        session.execute(update(CertificateOrder).values(deleted_at=svc.clock()))
    world.sandbox.forget_calls()
    assert poll_orders.fn().calls == sum(world.sandbox.calls().values()) == 0
    with services.open_services() as svc, svc.store.reading() as session:
        assert session.exec(select(OrderEvent.id).where(OrderEvent.kind == "status")).first() is not None


def test_an_open_order_that_is_gone_at_scm_stops_no_import(world: Any) -> None:
    """RULES S3"""
    import_orders.fn(fetch_certificates=False)
    gone = next(row.ssl_id for row in world.rows(CertificateOrder) if row.status in OPEN_AT_SCM)
    world.sandbox.fault("hide", route="report", ssl_id=gone)
    world.sandbox.fault("status", path=rf"/ssl/v1/{gone}$", status=404, body={"code": -124, "description": "Wrong SSL certificate id"})
    answer = import_orders.fn(fetch_certificates=False)
    assert answer.problems == ()
    assert answer.calls <= 6
