"""Names: one spelling, what public certificates hold, where a name belongs."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from models.names import (
    check_live_name,
    covers,
    domain_of,
    live_name,
    names_to_send,
    normalise,
    problem_with_public_name,
    requested_names,
)

LONG = f"{'a' * 60}.{'b' * 10}.example.com"

labels = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)
plain_names = st.builds(lambda parts: ".".join([*parts, "example", "com"]), st.lists(labels, min_size=1, max_size=4))


@pytest.mark.parametrize(("given_name", "normal"), [
    ("www.example.com", "www.example.com"),
    (" WWW.Example.COM. ", "www.example.com"),
    ("*.Example.com", "*.example.com"),
    ("faß.example", "xn--fa-hia.example"),
    ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
    ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
    ("www。example。com", "www.example.com"),
    ("192.0.2.10", "192.0.2.10"),
    ("2001:DB8:0:0::1", "2001:db8::1"),
    ("localhost", "localhost"),
])
def test_a_name_has_one_spelling(given_name: str, normal: str) -> None:
    """RULES N1"""
    assert normalise(given_name) == normal


@pytest.mark.parametrize(("name", "says"), [
    ("", "empty"),
    (" . ", "empty"),
    ("*.", "asterisk"),
    ("*", "asterisk"),
    ("w*.example.com", "asterisk"),
    ("www.*.example.com", "asterisk"),
    ("*.*.example.com", "asterisk"),
    ("my_host.example.com", "underscore"),
    ("a..example.com", "empty label"),
    (".example.com", "empty label"),
    ("example.com..", "empty label"),
    ("-a.example.com", "hyphen"),
    ("a-.example.com", "hyphen"),
    ("ab--c.example.com", "IDNA 2008"),
    ("xn--zz--a.example.com", "IDNA 2008"),
    ("😀.example.com", "IDNA 2008"),
    (f"{'a' * 64}.example.com", "64 characters and may have 63"),
    (f"{'ü' * 63}.example.com", "too long"),
    (".".join(["a" * 49] * 5) + ".example.com", "253"),
    ("*." + ".".join(["a" * 49] * 5) + ".ab", "has 254 characters and may have 253"),
    ("a." * 5000 + "com", "longer than 253"),
    ("https://www.example.com/", "without scheme"),
    ("www.example.com:443", "without scheme"),
    ("a.example.com,b.example.com", "one name for each entry"),
    ("admin@example.com", "'@'"),
    ("www example.com", "' '"),
    ("a\nb.example.com", r"\n"),
    ("300.1.1.1", "valid IP address"),
    ("010.0.0.1", "valid IP address"),
    ("fe80::1%eth0", "is not allowed"),
    ("\u202egpj.example.com", "cannot be used"),
])
def test_a_bad_name_is_named_with_what_is_wrong(name: str, says: str) -> None:
    """RULES N1"""
    with pytest.raises(InputError) as caught:
        normalise(name)
    message = str(caught.value)
    assert says in message
    assert message.startswith('The name "')
    assert message.isprintable()
    assert len(message) < 400


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_whatever_comes(text: str) -> None:
    """RULES N1"""
    try:
        once = normalise(text)
    except InputError:
        return
    assert once.isascii()
    assert normalise(once) == once


@given(plain_names)
def test_case_and_final_dot_do_not_make_another_name(name: str) -> None:
    """RULES N1"""
    assert normalise(name.upper() + ".") == normalise(name.lower())


@pytest.mark.parametrize("name", [
    "example.com", "www.example.net", "a.b.example.org", "*.example.com", "shop.example", "xn--bcher-kva.example",
    "*.github.io", "www.gov.uk", "a.xn--p1ai", "*.www.ck",
])
def test_a_public_name_is_fine(name: str) -> None:
    """RULES N1"""
    assert problem_with_public_name(name) is None


@pytest.mark.parametrize(("name", "says"), [
    ("192.0.2.10", "IP address"),
    ("2001:db8::1", "IP address"),
    ("localhost", "single label"),
    ("*.com", "whole top-level name"),
    ("*.local", "whole top-level name"),
    ("*.example", "whole top-level name"),
    ("printer.local", '".local"'),
    ("db.internal", '".internal"'),
    ("www.shop.test", '".test"'),
    ("hidden.onion", '".onion"'),
    ("*.corp.lan", '".lan"'),
    ("*.co.uk", "directly above the public suffix"),
    ("*.foo.ck", "directly above the public suffix"),
])
def test_internal_names_and_wildcards_above_a_suffix_are_refused_for_public_profiles(name: str, says: str) -> None:
    """RULES N1"""
    problem = problem_with_public_name(name)
    assert problem is not None
    assert says in problem
    assert name in problem


def test_duplicates_are_dropped_silently_and_the_common_name_comes_first() -> None:
    """RULES N1, N2"""
    wish = requested_names("WWW.example.com", ["api.example.com", "www.example.com.", "API.example.com", "example.com"])
    assert wish.common_name == "www.example.com"
    assert wish.names == ("www.example.com", "api.example.com", "example.com")
    assert wish.notes == ()


def test_a_common_name_over_64_characters_gives_way_to_a_shorter_name_and_that_is_said() -> None:
    """RULES N2"""
    wish = requested_names(LONG, [LONG.upper(), "www.example.com"])
    assert wish.common_name == "www.example.com"
    assert wish.names == ("www.example.com", LONG)
    assert len(wish.notes) == 1
    assert "www.example.com" in wish.notes[0]
    assert str(len(LONG)) in wish.notes[0]


@pytest.mark.parametrize(("length", "serves"), [(64, True), (65, False)])
def test_the_limit_of_a_common_name_is_64_characters(length: int, serves: bool) -> None:
    """RULES N2"""
    name = "a" * (length - len(".b.example.com")) + ".b.example.com"
    assert (requested_names(name, ["x.example.com"]).common_name == name) is serves


def test_without_a_name_short_enough_the_way_out_is_said() -> None:
    """RULES N2"""
    with pytest.raises(InputError, match="Add a shorter name"):
        requested_names(LONG, ["x." + LONG])


def test_all_bad_names_are_told_at_once_and_each_once() -> None:
    """RULES C1, N1"""
    with pytest.raises(InputError) as caught:
        requested_names("a_b.example.com", ["ok.example.com", "x..example.com", "a_b.example.com"])
    assert len(caught.value.problems) == 2
    assert "a_b.example.com" in caught.value.problems[0]
    assert "x..example.com" in caught.value.problems[1]


@pytest.mark.parametrize(("names", "single", "sent"), [
    (("a.example", "b.example"), False, ("a.example", "b.example")),
    (("b.example", "a.example"), False, ("a.example", "b.example")),
    (("a.example",), False, ()),
    (("a.example",), True, ()),
    (("a.example", "www.a.example"), True, ("www.a.example",)),
    ((), False, ()),
])
def test_the_common_name_is_sent_only_where_it_adds_something(names: tuple[str, ...], single: bool, sent: tuple[str, ...]) -> None:
    """RULES N3"""
    assert names_to_send("a.example", names, single_name_profile=single) == sent


@pytest.mark.parametrize(("pattern", "name", "does"), [
    ("*.example.com", "www.example.com", True),
    ("*.example.com", "example.com", False),
    ("*.example.com", "a.b.example.com", False),
    ("*.example.com", "*.example.com", True),
    ("*.example.com", "*.a.example.com", False),
    ("*.b.example.com", "*.example.com", False),
    ("www.example.com", "www.example.com", True),
    ("www.example.com", "*.example.com", False),
    ("*.example.com", ".example.com", False),
    ("*.0.2.10", "192.0.2.10", False),
])
def test_a_wildcard_covers_one_label_and_no_more(pattern: str, name: str, does: bool) -> None:
    """RULES N1"""
    assert covers(pattern, name) is does


@pytest.mark.parametrize(("name", "domain"), [
    ("example.org", "example.org"),
    ("*.example.org", "*.example.org"),
    ("www.example.org", "*.example.org"),
    ("dev.example.org", "dev.example.org"),
    ("a.dev.example.org", "dev.example.org"),
    ("*.dev.example.org", "dev.example.org"),
    ("a.b.example.org", "*.example.org"),
    ("www.example.net", "example.net"),
    ("*.example.net", "example.net"),
    ("badexample.net", None),
    ("example.com", None),
    ("192.0.2.1", None),
])
def test_a_name_belongs_to_its_longest_registered_ancestor(name: str, domain: str | None) -> None:
    """RULES N4"""
    registered = {"example.org", "*.example.org", "dev.example.org", "example.net", "2.1"}
    assert domain_of(name, registered) == domain


def test_a_wildcard_domain_does_not_answer_for_the_name_above() -> None:
    """RULES N4"""
    assert domain_of("example.org", ["*.example.org"]) is None


@pytest.mark.parametrize(("common_name", "live"), [
    ("www.example.com", "www.example.com"),
    ("*.example.com", "_wildcard.example.com"),
    ("2001:db8::1", "2001-db8--1"),
])
def test_the_live_name_is_the_common_name_without_asterisk(common_name: str, live: str) -> None:
    """RULES D2"""
    assert live_name(common_name) == live


@pytest.mark.parametrize("text", ["www.example.com", "_wildcard.example.com", "Shop-2", "a", "a" * 253])
def test_a_live_name_stays_as_given(text: str) -> None:
    """RULES D2"""
    assert check_live_name(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", ".hidden", "a..b", "a/b", "../accounts/default", "a b", "*.x", "ä", "a\n", "a" * 254])
def test_a_live_name_cannot_leave_its_folder(text: str) -> None:
    """RULES D2"""
    with pytest.raises(InputError, match="live name"):
        check_live_name(text)
