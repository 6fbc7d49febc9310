"""How many calls to SCM an order costs."""

from datetime import timedelta

import pytest

from models.reference import Domain


def test_an_order_costs_one_call_while_the_reference_data_are_fresh(synced, order) -> None:
    """DESIGN 5, RULES C2: what was read within a day decides without being read again"""
    synced.sandbox.forget_calls()
    assert order("www.example.com", subject_alternative_names=["api.example.com", "*.example.org"]).ssl_id
    assert synced.sandbox.calls() == {"POST enroll": 1}


@pytest.mark.parametrize(("names", "read"), [(["www.example.com"], 1), (["www.example.com", "api.example.com"], 1)])
def test_a_domain_that_was_read_long_ago_costs_one_call_more(synced, order, names, read) -> None:
    """RULES C2"""
    for one in synced.rows(Domain):
        with synced.changed(Domain, (one.account, one.id)) as row:
            row.checked_at -= timedelta(days=2)
    synced.sandbox.forget_calls()
    assert order(names[0], subject_alternative_names=names).ssl_id
    assert synced.sandbox.calls() == {}
