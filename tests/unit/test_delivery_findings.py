"""What came back, compared with what was asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from models.delivery import Asked, Finding, IssuedFacts, findings

START = datetime(2026, 4, 1, tzinfo=UTC)
NOW = START + timedelta(hours=1)
CERTIFICATE = IssuedFacts(
    names=("www.example.com", "api.example.com"),
    not_before=START,
    not_after=START + timedelta(days=199) - timedelta(seconds=1),
    public_key_sha256="aa" * 32,
    issuer="CN=Example Issuing CA 1,O=Example Trust",
    extended_key_usages=("serverAuth",),
)
ASKED = Asked(names=("www.example.com", "api.example.com"), public_key_sha256="aa" * 32, term_days=199)


def found(certificate: IssuedFacts = CERTIFICATE, asked: Asked = ASKED, now: datetime = NOW) -> tuple[Finding, ...]:
    return findings(certificate=certificate, asked=asked, now=now)


def test_what_is_as_asked_has_no_findings() -> None:
    """RULES D3"""
    assert found() == ()


def test_case_and_order_of_names_make_no_finding() -> None:
    """RULES D3"""
    assert found(replace(CERTIFICATE, names=("API.example.com", "WWW.example.com"))) == ()


def test_another_public_key_is_never_delivered() -> None:
    """RULES D3"""
    [finding] = found(replace(CERTIFICATE, public_key_sha256="bb" * 32))
    assert finding.kind == "never"
    assert "public key" in finding.text


def test_without_a_key_of_ours_the_key_is_not_compared() -> None:
    """RULES D3"""
    assert found(asked=replace(ASKED, public_key_sha256=None)) == ()


@pytest.mark.parametrize(("now", "kinds"), [(START - timedelta(seconds=1), ["never"]), (START, [])])
def test_a_certificate_is_not_delivered_before_it_is_valid(now: datetime, kinds: list[str]) -> None:
    """RULES D3"""
    result = found(now=now)
    assert [finding.kind for finding in result] == kinds
    assert all("2026-04-01 00:00 UTC" in finding.text for finding in result)


def test_a_missing_name_holds_even_when_a_wildcard_would_serve_it() -> None:
    """RULES D3"""
    [hold, flag] = found(replace(CERTIFICATE, names=("www.example.com", "*.example.com")))
    assert (hold.kind, flag.kind) == ("hold", "flag")
    assert "lacks api.example.com" in hold.text
    assert "*.example.com" in flag.text


def test_a_certificate_that_has_ended_does_not_displace_a_living_one() -> None:
    """RULES D3"""
    [finding] = found(now=CERTIFICATE.not_after)
    assert finding.kind == "hold"
    assert "2026-10-16 23:59 UTC" in finding.text


def test_extra_names_are_delivered_and_said() -> None:
    """RULES D3"""
    [finding] = found(replace(CERTIFICATE, names=(*CERTIFICATE.names, "www.www.example.com")))
    assert finding.kind == "flag"
    assert "www.www.example.com" in finding.text


def test_many_names_are_cut_and_counted() -> None:
    """RULES D3"""
    [finding] = found(asked=replace(ASKED, names=(*ASKED.names, *(f"n{number:02}.example.com" for number in range(15)))))
    assert "n09.example.com" in finding.text
    assert "n10.example.com" not in finding.text
    assert "5 more" in finding.text


@pytest.mark.parametrize(("days", "flagged"), [(196.9, True), (197, False), (199, False), (201, False), (201.1, True), (90, True)])
def test_a_term_may_be_off_by_two_days(days: float, flagged: bool) -> None:
    """RULES D3"""
    result = found(replace(CERTIFICATE, not_after=START + timedelta(days=days)))
    assert [finding.kind for finding in result] == ["flag"] * flagged
    assert all("ordered were 199" in finding.text for finding in result)


@pytest.mark.parametrize(("days_off", "flagged"), [(-2.1, True), (-2, False), (0, False), (2, False), (3, True)])
def test_a_reissue_is_measured_from_the_old_end_not_by_the_term(days_off: float, flagged: bool) -> None:
    """RULES D3"""
    old_end = START + timedelta(days=60)
    result = found(replace(CERTIFICATE, not_after=old_end + timedelta(days=days_off)), replace(ASKED, ends_with=old_end))
    assert [finding.kind for finding in result] == ["flag"] * flagged
    assert all("2026-05-31 00:00 UTC" in finding.text for finding in result)


def test_a_renewal_is_measured_by_its_own_term_not_by_its_predecessors() -> None:
    """RULES D3"""
    predecessor = replace(CERTIFICATE, not_before=START - timedelta(days=398), not_after=START)
    assert found(asked=replace(ASKED, predecessor=predecessor)) == ()


def test_without_any_term_nothing_is_measured() -> None:
    """RULES D3"""
    assert found(replace(CERTIFICATE, not_after=START + timedelta(days=700)), replace(ASKED, term_days=None)) == ()


def test_a_lost_usage_and_a_new_issuer_are_said() -> None:
    """RULES D3"""
    predecessor = replace(CERTIFICATE, extended_key_usages=("serverAuth", "clientAuth"), issuer="CN=Example Issuing CA 0")
    usage, issuer = found(asked=replace(ASKED, predecessor=predecessor))
    assert (usage.kind, issuer.kind) == ("flag", "flag")
    assert "no longer allows client authentication (clientAuth)" in usage.text
    assert "CN=Example Issuing CA 0" in issuer.text
    assert "CN=Example Issuing CA 1" in issuer.text


def test_a_gained_usage_is_said() -> None:
    """RULES D3"""
    [finding] = found(replace(CERTIFICATE, extended_key_usages=("clientAuth", "serverAuth")), replace(ASKED, predecessor=CERTIFICATE))
    assert "now allows client authentication" in finding.text


def test_the_gravest_finding_comes_first() -> None:
    """RULES D3"""
    result = found(replace(CERTIFICATE, names=("x.example.com",), public_key_sha256="bb" * 32))
    assert [finding.kind for finding in result] == ["never", "hold", "flag"]
