"""From SCM's JSON values to ours: tolerant where the contract names variants (2, 3), an `Unreadable` where nothing fits.

An absent value is a missing field, null or a blank text. NUL and lone surrogates are dropped: no database stores them.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any

LONGEST_TEXT = 4096
LONGEST_NAME = 1024
LARGEST_NUMBER = 2**63 - 1
"""What a database column holds."""

Row = Mapping[str, Any]

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_SERIAL_SIGNS = re.compile(r"[\s:-]")
_HEX = re.compile(r"[0-9a-f]+")
_SEPARATORS = re.compile(r"[;,\s]+")
_KIND_OF_NAME = re.compile(r"^\s*[A-Za-z]+\s*=\s*")
_US = re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})")
_JP = re.compile(r"(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})")
_EU = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})")
_ISO_DAY = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})")
_DAYS = (_ISO_DAY, _US, _JP, _EU)    # a slash after the day means US: UK dates cannot be told apart, and SCM's default is US
_TIME = re.compile(
    r"(?:T|\s+)(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?", re.IGNORECASE
)


class Unreadable(ValueError):  # noqa: N818 - it says what a value is, and never leaves this package
    """A value that cannot be read; the text names the field, not what it held."""


def cleaned(row: Row, *, texts: Collection[str]) -> tuple[dict[str, Any], bool]:
    """The row with its texts as `text` gives them and without absent values: what follows then costs a fraction for each field.

    And whether the fields `texts` are texts, none longer than a name can be: then each is as `clean_name` and `clean_text` give it.
    """
    kept: dict[str, Any] = {}
    plain = True
    for field, value in row.items():
        if value.__class__ is str:
            storable = value if value.isascii() and "\x00" not in value else _NOT_STORABLE.sub("", value)
            if (stripped := storable.strip()):
                kept[field] = stripped
                if len(stripped) > LONGEST_NAME:
                    plain = False
        elif value is not None:
            kept[field] = value
            if field in texts:
                plain = False
    return kept, plain


def text(row: Row, *names: str, most: int = LONGEST_TEXT) -> str | None:
    """The first of the fields that has a value, as a text without outer blanks, cut to `most` characters."""
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                continue
            value = str(value)
        if (kept := (value if value.isascii() and "\x00" not in value else _NOT_STORABLE.sub("", value)).strip()):
            return kept if len(kept) <= most else kept[:most]
    return None


def name(row: Row, *names: str) -> str | None:
    """As `text`, for values that mean nothing when they are cut. Raises: Unreadable beyond 1,024 characters."""
    value = text(row, *names, most=LONGEST_NAME + 1)
    if value is not None and len(value) > LONGEST_NAME:
        raise Unreadable(f"{names[0]} is longer than {LONGEST_NAME} characters")
    return value


def clean_name(kept: Mapping[str, Any], field: str) -> str | None:
    """As `name`, of a row that is `cleaned`."""
    value = kept.get(field)
    if value is None or (value.__class__ is str and len(value) <= LONGEST_NAME):
        return value
    return name(kept, field)


def clean_text(kept: Mapping[str, Any], field: str) -> str | None:
    """As `text`, of a row that is `cleaned`."""
    value = kept.get(field)
    if value is None or (value.__class__ is str and len(value) <= LONGEST_TEXT):
        return value
    return text(kept, field)


def required_name(row: Row, *names: str) -> str:
    """As `name`. Raises: Unreadable when it is absent."""
    value = name(row, *names)
    if value is None:
        raise Unreadable(f"{names[0]} is missing")
    return value


def integer(value: object) -> int | None:
    """A whole number given as number or text; None for whatever is none, or does not fit into 64 bits."""
    if value.__class__ is int and -LARGEST_NUMBER <= value <= LARGEST_NUMBER:    # nearly always
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return integer(int(value)) if re.fullmatch(r"\s*-?[0-9]{1,19}\s*", value) else None
    if isinstance(value, float):
        return integer(int(value)) if -LARGEST_NUMBER <= value <= LARGEST_NUMBER and value == int(value) else None
    if isinstance(value, int) and abs(value) <= LARGEST_NUMBER:
        return value
    return None


def number(row: Row, *names: str) -> int | None:
    """The first of the fields that holds a whole number."""
    for one in names:
        if (found := integer(row.get(one))) is not None:
            return found
    return None


def identity(row: Row, *names: str) -> int:
    """An id of SCM. Raises: Unreadable when there is none above 0."""
    found = row.get(names[0])
    if found.__class__ is int and 0 < found <= LARGEST_NUMBER:    # nearly always
        return found
    found = number(row, *names)
    if found is None or found < 1:
        raise Unreadable(f"{names[0]} is missing or no id")
    return found


def boolean(value: object) -> bool | None:
    """A truth given as such or as a word."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def moment(row: Row, *names: str) -> datetime | None:
    """An aware UTC moment; a date without a time counts from 00:00 UTC (contract 3). Raises: Unreadable."""
    for one in names:
        given = row.get(one)
        if given.__class__ is str and len(given) == 24 and given[10] == "T" and given[4] == "-" and given[-1] == "Z" \
                and (usual := _usual(given)) is not None:
            return usual
        given = text(row, one, most=64)
        if given is None:
            continue
        found = next((match for form in _DAYS if (match := form.match(given))), None)
        rest = given[found.end():] if found else ""
        clock = _TIME.fullmatch(rest) if rest.strip() else None
        if found is None or (rest.strip() and clock is None):
            raise Unreadable(f"{one} is no date in a form that SCM documents")
        try:
            return _joined(found, clock)
        except (ValueError, OverflowError):
            raise Unreadable(f"{one} is no possible date") from None
    return None


def _usual(given: str) -> datetime | None:
    """What a report of 100,000 rows holds, "2026-03-20T09:30:00.000Z"; None for what only looks like it."""
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        return None


def _joined(day: re.Match[str], clock: re.Match[str] | None) -> datetime:
    start = datetime(int(day["year"]), int(day["month"]), int(day["day"]), tzinfo=UTC)
    if clock is None:
        return start
    zone = (clock["zone"] or "Z").upper()
    offset = "+0000" if zone == "Z" else zone.replace(":", "")
    microsecond = int((clock["fraction"] or "0").ljust(6, "0")[:6])
    given = start.replace(
        hour=int(clock["hour"]), minute=int(clock["minute"]), second=int(clock["second"] or 0), microsecond=microsecond,
        tzinfo=datetime.strptime(offset, "%z").tzinfo,
    )
    return given.astimezone(UTC)


def day(row: Row, *names: str) -> date | None:
    """A date; of a moment, its UTC day. Raises: Unreadable."""
    found = moment(row, *names)
    return None if found is None else found.date()


def serial(row: Row, *names: str) -> str | None:
    """A serial number as lower-case hex digits without leading zeros (contract 3). Raises: Unreadable when it is no hex number."""
    given = name(row, *names)
    if given is None:
        return None
    digits = given.lower()
    if not digits.isalnum() or digits.startswith("0x"):
        digits = _SERIAL_SIGNS.sub("", digits).removeprefix("0x")
    if not _HEX.fullmatch(digits):
        raise Unreadable(f"{names[0]} is no hexadecimal number")
    return digits.lstrip("0") or None


def texts(value: object) -> tuple[str, ...] | None:
    """A list of texts; None when there is none. Raises: Unreadable for one that is longer than a name can be."""
    if not isinstance(value, list):
        return None
    found = (name({"a listed name": one}, "a listed name") for one in value)
    return tuple(one for one in found if one)


def dns_names(row: Row, *names: str) -> tuple[str, ...] | None:
    """Names in an array (details) or in one text, "a; b" (report) or "dNSName=a, dNSName=b" (certificate details)."""
    for one in names:
        value = row.get(one)
        if not value:
            continue
        if value.__class__ is str and len(value) <= LONGEST_NAME and "=" not in value and value.isascii() and value.isprintable():
            if (plain := tuple(filter(None, _SEPARATORS.split(value)))):    # as a report has it
                return plain
            continue
        parts: list[Any] = _SEPARATORS.split(value) if isinstance(value, str) else value if isinstance(value, list) else []
        found = texts([_KIND_OF_NAME.sub("", part) if isinstance(part, str) and "=" in part else part for part in parts])
        if found:
            return found
    return None


def word(row: Row, *names: str) -> str | None:
    """A status word in one spelling: "Not validated", `NOT_VALIDATED` and `NotValidated` are `not_validated` (contract 2)."""
    given = name(row, *names)
    if given is None:
        return None
    return re.sub(r"[\s_-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", given)).strip("_").lower()


def objects(value: object) -> list[Row]:
    """A field that holds a list of JSON objects; absent counts as none. Raises: Unreadable."""
    return [] if value is None or value == "" else listing(value)


def listing(value: object) -> list[Row]:
    """A list of JSON objects. Raises: Unreadable."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Unreadable("a list of objects was expected")
    return value


def inner(row: Row, field: str) -> Row:
    """An object within an object; empty when it is absent."""
    value = row.get(field)
    return value if isinstance(value, dict) else {}
