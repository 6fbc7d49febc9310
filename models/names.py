"""DNS names: one spelling, what a public certificate may hold, and which name belongs where (RULES N1 to N4, D2). Pure."""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import idna
from publicsuffixlist import PublicSuffixList

from models.errors import InputError

NAME_LENGTH = 253
LABEL_LENGTH = 63
COMMON_NAME_LENGTH = 64
"""RFC 1035 2.3.4 for names and labels; RFC 5280 ub-common-name for the common name."""

WILDCARD = "*."

_LIVE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")
_NOT_LETTERS_OF_NAMES = re.compile(r"[\x00-\x20\x7f/:@,;?#%&=()\[\]{}<>\"'\\|!$^~`+]")
_SHOWN = 80


def normalise(name: str) -> str:
    """The one spelling of a name: lower-case, A-labels, no final dot; an IP address in its shortest form (RULES N1).

    Internationalized names follow IDNA 2008 after the mapping of UTS 46 without transitional processing, so `faß.de` is
    `xn--fa-hia.de`. A wildcard keeps its `*.`. Normalising twice changes nothing.

    Raises: InputError, a sentence that holds the name and what is wrong with it.
    """
    text = name.strip()
    if len(text) > 4 * NAME_LENGTH:    # before any work that grows with the length
        raise _bad(name, f"it is longer than {NAME_LENGTH} characters")
    if address := _address(text):
        return address
    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
    except UnicodeError:
        raise _bad(name, "it holds a character that no domain name may hold") from None
    mapped = mapped.removesuffix(".")
    if address := _address(mapped):
        return address
    wildcard, rest = (WILDCARD, mapped[2:]) if mapped.startswith(WILDCARD) else ("", mapped)
    normal = wildcard + _encoded(rest, name)
    if len(normal) > NAME_LENGTH:
        raise _bad(name, f"it has {len(normal)} characters and may have {NAME_LENGTH}")
    return normal


def _encoded(mapped: str, name: str) -> str:
    if not mapped:
        raise _bad(name, "it is empty")
    if "*" in mapped:
        raise _bad(name, "an asterisk may only stand alone as the left-most label, as in *.example.com")
    if "_" in mapped:
        raise _bad(name, "certificates may not hold names with an underscore")
    if found := _NOT_LETTERS_OF_NAMES.search(mapped):
        raise _bad(name, f"{found.group()!r} is not allowed; give the bare name without scheme, port or path, one name for each entry")
    for label in mapped.split("."):
        if not label:
            raise _bad(name, "it has an empty label: two dots in a row, or a dot in front")
        if label.startswith("-") or label.endswith("-"):
            raise _bad(name, f"the label {_shown(label)} begins or ends with a hyphen")
        if label.isascii() and len(label) > LABEL_LENGTH:
            raise _bad(name, f"the label {_shown(label)} has {len(label)} characters and may have {LABEL_LENGTH}")
    try:
        encoded = idna.encode(mapped, uts46=False, std3_rules=True).decode("ascii").lower()
    except UnicodeError as error:
        if "too long" in str(error):
            raise _bad(name, f"a label or the name is too long in its encoded form ({LABEL_LENGTH} and {NAME_LENGTH})") from None
        raise _bad(name, "it is not a valid name under IDNA 2008") from None
    if encoded.rpartition(".")[2].isdigit():
        raise _bad(name, "its last label is a number, so it is neither a domain name nor a valid IP address")
    return encoded


def _address(text: str) -> str | None:
    """The IP address in its shortest form; None if the text is none. An address with a zone (`fe80::1%eth0`) is none."""
    if "%" in text:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def is_address(name: str) -> bool:
    """Whether a normalised name is an IP address."""
    return _address(name) is not None


def problem_with_public_name(name: str) -> str | None:
    """Why a publicly trusted certificate cannot hold this normalised name, as a sentence; None if it can (RULES N1).

    IP addresses are refused although [BR 3.2.2.5] knows them: SCM validates domains only. A top-level name counts as known
    when the ICANN part of the public suffix list has it; `.example` counts too. "Directly above a public suffix" means the
    ICANN part as well [BR 3.2.2.6], so `*.github.io` may be asked for and `*.co.uk` may not.
    """
    if is_address(name):
        return f"{_shown(name)} is an IP address; public certificates are ordered for domain names."
    wildcard, base = name.startswith(WILDCARD), name.removeprefix(WILDCARD)
    if "." not in base:
        reason = "a wildcard for a whole top-level name" if wildcard else "a single label, so an internal name"
        return f"{_shown(name)} is {reason}; no public certificate is issued for it."
    top = base.rpartition(".")[2]
    suffix = None if top == ONION else _public_suffixes()(base)
    if suffix is None and top != RESERVED_FOR_EXAMPLES:
        return f"{_shown(name)} is an internal name: the root zone has no top-level name {_shown('.' + top)}."
    if wildcard and suffix == base:
        return f"{_shown(name)} is a wildcard directly above the public suffix {_shown(base)}; no public certificate is issued for it."
    return None


def registrable(name: str) -> str:
    """The part of a name that somebody registered, such as `example.co.uk` for `a.b.example.co.uk`; of an internal name the last two labels."""
    base = name.removeprefix(WILDCARD)
    if is_address(base):
        return base
    suffix = _public_suffixes()(base) or base.rpartition(".")[2]
    above = base.removesuffix(f".{suffix}")
    return f"{above.rpartition('.')[2]}.{suffix}" if above != base else base


RESERVED_FOR_EXAMPLES = "example"
ONION = "onion"
"""The public suffix list has it, the root zone has not."""


@cache
def _public_suffixes() -> Callable[[str], str | None]:
    """Loaded on first use: reading the list takes longer than everything else here."""
    lookup: Callable[[str], str | None] = PublicSuffixList(only_icann=True, accept_unknown=False).publicsuffix
    return lookup


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedNames:
    """The names of a certificate to be. `names` holds all of them once, the common name first; `notes` say what was changed."""

    common_name: str
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def requested_names(common_name: str, subject_alternative_names: Iterable[str] = ()) -> RequestedNames:
    """All names once, and the one that serves as common name: at most 64 characters (RULES N1, N2).

    Raises: InputError with one problem for each name that cannot be used, and if no name is short enough.
    """
    names: dict[str, None] = {}
    problems: dict[str, None] = {}
    for given in (common_name, *subject_alternative_names):
        try:
            names[normalise(given)] = None
        except InputError as error:
            problems[str(error)] = None
    if problems:
        raise InputError(" ".join(problems), problems=tuple(problems))
    asked = next(iter(names))
    if len(asked) <= COMMON_NAME_LENGTH:
        return RequestedNames(common_name=asked, names=tuple(names))
    chosen = next((name for name in names if len(name) <= COMMON_NAME_LENGTH), None)
    if chosen is None:
        raise InputError(
            f"The common name {_shown(asked)} has {len(asked)} characters and may have {COMMON_NAME_LENGTH}. "
            "Add a shorter name of the same certificate to the subject alternative names; it will serve as common name."
        )
    note = (
        f"The common name {_shown(asked)} has {len(asked)} characters and may have {COMMON_NAME_LENGTH}: "
        f"it becomes a subject alternative name, and {_shown(chosen)} serves as common name."
    )
    return RequestedNames(common_name=chosen, names=(chosen, *(name for name in names if name != chosen)), notes=(note,))


def names_to_send(common_name: str, names: Iterable[str], *, single_name_profile: bool = False) -> tuple[str, ...]:
    """The list of names that goes to SCM beside the CSR (RULES N3).

    Empty when it would only repeat the common name. Otherwise all names, the common name first; for a single-name profile
    without the common name, since those refuse a list that repeats it (contract 9, quirk 12).
    """
    others = tuple(dict.fromkeys(name for name in names if name != common_name))
    if not others or single_name_profile:
        return others
    return (common_name, *others)


def covers(pattern: str, name: str) -> bool:
    """Whether a certificate for `pattern` serves `name` (RULES N1): `*.x` covers neither `x` nor `a.b.x`. Both normalised."""
    if pattern == name:
        return True
    if not pattern.startswith(WILDCARD) or name.startswith(WILDCARD) or is_address(name):
        return False
    label, _, parent = name.partition(".")
    return bool(label) and parent == pattern.removeprefix(WILDCARD)


def domain_of(name: str, registered: Collection[str]) -> str | None:
    """The registered domain that a name belongs to: its longest registered ancestor (RULES N4); None if there is none.

    The first of these that is registered: the name itself; for `*.x` then `x`; then for each parent `p`, nearest first,
    `*.p` before `p`. So `*.example.org` answers for everything below `example.org`, at any depth, and never for
    `example.org` itself. Both sides are normalised; give a set when there are many.
    """
    return next((candidate for candidate in _ancestry(name) if candidate in registered), None)


def _ancestry(name: str) -> Iterator[str]:
    yield name
    if is_address(name):
        return
    base = name.removeprefix(WILDCARD)
    if base != name:
        yield base
    while "." in base:
        base = base.partition(".")[2]
        yield WILDCARD + base
        yield base


def live_name(common_name: str) -> str:
    """Where a certificate lies below `live/` unless a name was given: its common name, `*.` as `_wildcard.` (RULES D2)."""
    if common_name.startswith(WILDCARD):
        return check_live_name("_wildcard." + common_name.removeprefix(WILDCARD))
    return check_live_name(common_name.replace(":", "-"))    # IPv6: no colon in a path


def check_live_name(text: str) -> str:
    """A live name that may stand in a Vault path and in a file name, as given.

    Raises: InputError for anything but 1 to 253 letters, digits, `.`, `_` and `-`, for a dot in front, and for `..`.
    """
    if not _LIVE_NAME.fullmatch(text) or ".." in text:
        raise InputError(
            f"The live name {_shown(text)} cannot be used. It may have 1 to 253 letters (a to z), digits, dots, hyphens and "
            "underscores, no dot in front and no two dots in a row."
        )
    return text


def _bad(name: str, what: str) -> InputError:
    return InputError(f"The name {_shown(name)} cannot be used: {what}.")


def _shown(text: str) -> str:
    """A text as a message may hold it: quoted, cut, and with every unprintable character spelled out."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return '"' + "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in cut) + '"'
