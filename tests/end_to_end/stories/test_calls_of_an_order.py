"""How many calls to SCM an order costs."""

from datetime import timedelta

import pytest

from models.reference import Domain

LOOK = {"GET details": 1}
"""What SCM says of the order once it has it."""


def test_an_order_costs_one_call_while_the_reference_data_are_fresh(synced, order) -> None:
    """RULES C2: what was read within a day decides without being read again"""
    synced.sandbox.forget_calls()
    assert order("www.example.com", subject_alternative_names=["api.example.com"]).ssl_id
    assert synced.sandbox.calls() == {"POST enroll": 1} | LOOK


@pytest.mark.parametrize(("names", "domains"), [(["www.example.com", "api.example.com"], 1), (["www.example.com", "www.example.org"], 2)])
def test_each_domain_that_was_read_long_ago_costs_one_call_more(synced, order, names, domains) -> None:
    """RULES C2: a state that is older than a day is read anew, and nothing else"""
    for one in synced.rows(Domain):
        with synced.changed(Domain, (one.account, one.id)) as row:
            row.checked_at -= timedelta(days=2)
    synced.sandbox.forget_calls()
    assert order(names[0], subject_alternative_names=names, certificate_profile="OV Multi-Domain").ssl_id
    assert synced.sandbox.calls() == {"POST enroll": 1, "GET domain": domains} | LOOK
