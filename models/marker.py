"""The marker `certflow:<submission uuid>` at the end of the comments we send, by which a lost order is found again (RULES E3)."""

import re
from uuid import UUID

MARKER = "certflow:"
_MARKED = re.compile(re.escape(MARKER) + r"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\s*$")


def with_marker(comments: str, submission_id: UUID) -> str:
    """The comments as they are sent: at most 1024 characters when `comments` holds at most 978 (RULES C4)."""
    return f"{comments} {MARKER}{submission_id}" if comments else f"{MARKER}{submission_id}"


def without_marker(comments: str | None) -> str | None:
    """What somebody wrote, without the marker that we or another renewal put behind it."""
    return _MARKED.sub("", comments).rstrip() if comments else comments


def marked_by(comments: str | None) -> UUID | None:
    """The submission whose marker ends these comments."""
    found = _MARKED.search(comments or "")
    return UUID(found[1]) if found else None
