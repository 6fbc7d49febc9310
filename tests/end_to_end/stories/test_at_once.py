"""Two of everything at the same moment, in two processes, on SQLite and on PostgreSQL."""

import pytest

from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from models.errors import CertflowError, InputError
from models.orders import Certificate, CertificateOrder

COMMON = {"organization": "Example University", "certificate_profile": "OV Multi-Domain", "key_algorithm": "EC"}


def ordering(name, **more):
    return lambda: order_certificate.fn(common_name=name, **COMMON, **more)


def test_the_same_request_twice_at_once_orders_once(on_either, at_once) -> None:
    """RULES E6: neither of the two is refused"""
    for number in range(3):
        name = f"same{number}.example.com"
        answers = at_once(*[ordering(name, request_id=f"change-{number}") for _ in range(3)])
        assert [one for one in answers if isinstance(one, Exception)] == []
        assert len({one.order_id for one in answers}) == 1
        assert len(on_either.sandbox.orders(name)) == 1
    on_either.deliver("same0.example.com", "same1.example.com", "same2.example.com")


def test_one_request_id_with_two_wishes_at_once_orders_one_of_them(on_either, at_once) -> None:
    """RULES E6"""
    answers = at_once(ordering("red.example.com", request_id="r"), ordering("blue.example.com", request_id="r"))
    [refused] = [one for one in answers if isinstance(one, Exception)]
    assert "used before with other parameters" in str(refused)
    assert len(on_either.sandbox.orders("red.example.com") + on_either.sandbox.orders("blue.example.com")) == 1


def test_of_two_orders_for_one_live_name_at_once_one_is_refused(on_either, at_once) -> None:
    """RULES D2"""
    answers = at_once(ordering("a.example.com", live_name="shared"), ordering("b.example.com", live_name="shared"))
    [refused] = [one for one in answers if isinstance(one, Exception)]
    assert isinstance(refused, InputError)
    assert "live name shared is held" in str(refused)
    assert len(on_either.sandbox.orders("a.example.com") + on_either.sandbox.orders("b.example.com")) == 1


def test_polls_at_once_send_and_deliver_once(on_either, at_once) -> None:
    """RULES E1, E4, D1: planned again, in doubt, and open orders"""
    names = [f"poll{number}.example.com" for number in range(6)]
    for name, trouble in zip(names, (
        {"kind": "lost"}, {"kind": "drop"}, {"kind": "status", "status": 403, "body": {"code": -3, "description": "no"}},
        {"kind": "status", "status": 429}, {"kind": "lost"}, None,
    ), strict=True):
        if trouble:
            on_either.sandbox.fault(**trouble, route="enroll", count=1)
        try:
            ordering(name)()
        except CertflowError:
            assert on_either.order(name).status == "planned"
    for _ in range(4):
        answers = at_once(poll_orders.fn, poll_orders.fn, poll_orders.fn)
        assert [str(one) for one in answers if isinstance(one, Exception)] == []
    on_either.deliver(*names)
    assert {name: len(on_either.sandbox.orders(name)) for name in names} == dict.fromkeys(names, 1)
    versions = {name: on_either.vault.secrets.kv.v2.read_secret_metadata(f"certflow/live/{name}")["data"]["current_version"] for name in names}
    assert versions == dict.fromkeys(names, 1)
    assert all(on_either.events(name).count("delivered") == 1 for name in names)


def test_the_licence_limit_holds_for_polls_at_once(on_either, at_once, monkeypatch) -> None:
    """RULES D4"""
    import_orders.fn(fetch_certificates=False)
    monkeypatch.setenv("CERTFLOW_CERTIFICATE_LIMIT", "7")
    on_either.restart()
    answers = at_once(poll_orders.fn, poll_orders.fn, import_orders.fn)
    assert [one for one in answers if isinstance(one, Exception)] == []
    assert sum(one.certificates_fetched for one in answers) == len(on_either.rows(Certificate)) == 7


def test_imports_and_an_order_at_once_know_every_order_once(on_either, at_once) -> None:
    """RULES E3: no second row"""
    answers = at_once(import_orders.fn, ordering("amid.example.com"), import_orders.fn, ordering("midst.example.com"))
    assert [one for one in answers if isinstance(one, Exception)] == []
    rows = [row.ssl_id for row in on_either.rows(CertificateOrder)]
    assert sorted(rows) == sorted(set(rows))
    on_either.deliver("amid.example.com", "midst.example.com")


@pytest.mark.parametrize("trouble", ["lost", "lose_comments"])
def test_imports_while_a_lost_order_is_settled_make_no_second_row(on_either, at_once, trouble) -> None:
    """RULES E3, E4"""
    on_either.sandbox.lose_next_answer("enroll")
    if trouble == "lose_comments":
        on_either.sandbox.fault("lose_comments", route="enroll", count=1)
    ordering("torn.example.com")()
    at_once(import_orders.fn, poll_orders.fn, import_orders.fn)
    assert len(on_either.sandbox.orders("torn.example.com")) == 1
    expected = ["ordered"] if trouble == "lost" else ["imported", "ordered"]
    assert sorted(row.origin for row in on_either.rows(CertificateOrder) if row.common_name == "torn.example.com") == expected
