"""The inventory as lines of CSV (RFC 4180) that a spreadsheet shows and never runs. Pure.

Every cell is quoted, also against separators of other countries, and holds one line. The csv module writes the same and takes twice as long,
which a million lines make felt.
"""

import json

HEAD = (
    "order_id", "ssl_id", "account", "status", "living", "common_name", "names", "organization", "organization_id", "certificate_profile",
    "term_days", "serial_number", "issuer", "not_before", "not_after", "key_algorithm", "key_size", "origin", "requested_via", "requester",
    "requested_at", "live_name", "waiting_because",
)

_RUNS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for the beginning of a formula, also after blanks."""

_LOOK_CLOSER = _RUNS | {" "}
_MOST_KNOWN = 10_000


def safe(text: str | None) -> str:
    """A text of others as the inside of a quoted cell: one line, quotes doubled, an apostrophe in front of what would be a formula."""
    if not text:
        return ""
    if text[0] not in _LOOK_CLOSER and '"' not in text and text.isprintable():
        return text
    line = "".join(letter if letter.isprintable() else " " for letter in text).strip().replace('"', '""')
    return f"'{line}" if line[:1] in _RUNS else line


class Safe(dict[str | None, str]):
    """The same for texts that return in many lines, such as the name of an organization."""

    def __missing__(self, text: str | None) -> str:
        found = safe(text)
        if len(self) < _MOST_KNOWN:
            self[text] = found
        return found


def listed(names: str) -> str:
    """A JSON list of texts, with blanks in between."""
    if "\\" not in names and names.startswith('["'):
        return names[2:-2].replace('", "', " ")
    return " ".join(str(name) for name in json.loads(names))


def moment(text: str | None) -> str:
    """A moment to the second."""
    return text[:19] if text else ""


def dashed(digits: str) -> str:
    """A UUID with its dashes."""
    return digits if len(digits) == 36 else f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def line(cells: tuple[str, ...]) -> str:
    """Cells that are safe already, as a line."""
    return '"' + '","'.join(cells) + '"\r\n'
