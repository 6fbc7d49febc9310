"""What the adapter answers with, and how Vault's answers are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NoReturn

from models.errors import SetupError


@dataclass(frozen=True)
class Entry:
    """One version of a secret. Values are texts, save an account's `defaults`. Neither shown nor pickled."""

    data: dict[str, Any] = field(repr=False)
    version: int

    def __reduce__(self) -> NoReturn:
        raise TypeError("an entry of Vault holds secrets and is not pickled")


class VersionState(StrEnum):
    """What has become of a version. A deleted one can be brought back by an operator, key and all; a destroyed one cannot."""

    KEPT = "kept"
    DELETED = "deleted"
    DESTROYED = "destroyed"


@dataclass(frozen=True)
class Answer:
    """Status and JSON object of an answer of Vault; the object is empty when there was no body."""

    status: int
    body: Mapping[str, Any] = field(repr=False)

    @property
    def errors(self) -> tuple[str, ...]:
        """Vault's own words."""
        words = self.body.get("errors")
        return tuple(str(word) for word in words) if isinstance(words, list) else ()

    def says(self, words: str) -> bool:
        """One of Vault's errors holds these words, whatever the case."""
        return any(words.lower() in error.lower() for error in self.errors)

    def part(self, *keys: str) -> Any:
        """What lies below these keys, None where there is nothing."""
        found: Any = self.body
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


def entry_in(answer: Answer, *, mount: str) -> Entry | None:
    """The entry that a read brought; None when the version was deleted or destroyed.

    Raises: SetupError for an answer that is not of KV version 2.
    """
    data, version = answer.part("data", "data"), answer.part("data", "metadata", "version")
    if not is_number(version) or not (data is None or isinstance(data, dict)):
        raise SetupError(not_version_2(mount))
    return None if data is None else Entry(data=data, version=version)


def version_states(versions: Any, now: datetime) -> dict[int, VersionState]:
    """The states of the versions in an answer about metadata, by number. Raises: SetupError for what cannot be read."""
    try:
        return {int(number): _state(facts, now) for number, facts in sorted(versions.items(), key=lambda pair: int(pair[0]))}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise SetupError("Vault answered with version facts that cannot be read: is VAULT_ADDR the address of a Vault?") from None


def not_version_2(mount: str) -> str:
    """The sentence for a mount that keeps no versions."""
    return (
        f"the mount {mount}/ of Vault is not a KV secrets engine of version 2: Certflow needs its versions and check-and-set; "
        f"set CERTFLOW_VAULT_MOUNT, or run `vault kv enable-versioning {mount}/`"
    )


def is_number(value: Any) -> bool:
    """A whole number and not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def _state(facts: Mapping[str, Any], now: datetime) -> VersionState:
    if facts["destroyed"]:
        return VersionState.DESTROYED
    # With `delete_version_after` the time lies ahead: the version can still be read.
    if facts["deletion_time"] and _moment(facts["deletion_time"]) <= now:
        return VersionState.DELETED
    return VersionState.KEPT


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
