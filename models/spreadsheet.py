"""The inventory as lines of CSV (RFC 4180) that a spreadsheet shows and never runs. Pure.

Every cell is quoted, also against separators of other countries, and holds one line. The csv module writes the same and takes several times
as long, which a million lines make felt.
"""

import json
import re

HEAD = (
    "order_id", "ssl_id", "account", "status", "living", "common_name", "names", "organization", "organization_id", "certificate_profile",
    "term_days", "serial_number", "issuer", "not_before", "not_after", "key_algorithm", "key_size", "origin", "requested_via", "requester",
    "requested_at", "live_name", "waiting_because",
)

CELL, LINE = "\x1f", "\x1e"
"""What separates cells and lines in a table of texts: ASCII's separators of units and records."""

_RUNS = "=+-@\uff1d\uff0b\uff0d\uff20"
"""What a spreadsheet takes for the beginning of a formula, also after blanks."""

_LOOK_CLOSER = re.compile(f"{CELL}[{re.escape(_RUNS)} ]")


def safe(text: str) -> str:
    """A text of others as the inside of a quoted cell: one line, quotes doubled, an apostrophe in front of what would be a formula."""
    line = "".join(letter if letter.isprintable() else " " for letter in text).strip().replace('"', '""')
    return f"'{line}" if line and line[0] in _RUNS else line


def names(text: str) -> str:
    """Names with blanks in between; a database leaves them as JSON when they hold what has to be escaped."""
    return " ".join(map(str, json.loads(text))) if text.startswith("[") else text


def csv(table: str) -> str:
    """A table of texts of others, with the columns of `HEAD`, as lines of CSV. The first cell of a line is ours.

    Cells are looked at one by one only where there is a reason.
    """
    plain = table.replace(CELL, "").replace(LINE, "")
    if '"' in plain or "\\" in plain or not plain.isprintable() or _LOOK_CLOSER.search(table):
        table = LINE.join(CELL.join(map(safe, _named(line.split(CELL)))) for line in table.split(LINE))
    return '"' + table.replace(CELL, '","').replace(LINE, '"\r\n"') + '"\r\n'


def _named(cells: list[str]) -> list[str]:
    where = HEAD.index("names")
    return [*cells[:where], *map(names, cells[where:where + 1]), *cells[where + 1:]]
