"""Paths in Vault, checked so that no name of an account or a certificate can lead elsewhere."""

from urllib.parse import quote

from models.errors import InputError

FOLDERS = frozenset({"accounts", "keys", "passwords", "live"})
"""The only folders below the prefix (DESIGN 4)."""

LONGEST_PATH = 1024
_FORBIDDEN = frozenset("#?%\\")


def segments(path: str) -> tuple[str, ...]:
    """The segments of a path.

    Raises: InputError for an empty or dot segment, for `# ? % \\`, for blanks at an end and for what is not printable.
    """
    if len(path) > LONGEST_PATH:
        raise InputError(f"a path in Vault may have {LONGEST_PATH} characters, this one has {len(path)}")
    found = tuple(path.split("/"))
    for segment in found:
        if segment in {"", ".", ".."}:
            raise InputError(f"the path {path!r} has an empty segment or a segment of dots")
        if segment != segment.strip() or not segment.isprintable() or _FORBIDDEN & set(segment):
            raise InputError(f"the path {path!r} holds a character that is not allowed there: none of # ? % \\, no control character")
    return found


def entry_segments(path: str) -> tuple[str, ...]:
    """The segments of an entry's path, such as `live/www.example.com`. Raises: InputError, also outside our folders."""
    found = segments(path)
    if found[0] not in FOLDERS or len(found) < 2:
        raise InputError(f"{path!r} is not a path of Certflow: these begin with accounts/, keys/, passwords/ or live/")
    return found


def folder_segments(path: str) -> tuple[str, ...]:
    """The segments of a folder's path, such as `live`. Raises: InputError, also outside our folders."""
    found = segments(path)
    if found[0] not in FOLDERS:
        raise InputError(f"{path!r} is not a folder of Certflow: these are accounts, keys, passwords and live")
    return found


def quoted(*parts: str) -> str:
    """Segments as a part of a URL."""
    return "/".join(quote(part, safe="") for part in parts)
