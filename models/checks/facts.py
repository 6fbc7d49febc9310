"""What checks know and what they answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from models.reference import CertificateProfile, CustomField, Domain, Organization

Level = Literal["never", "refuse", "warn"]
FRESH_FOR = timedelta(days=1)
"""A domain state older than this is read again before it decides (RULES C2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceFacts:
    """The synced reference data of one account."""

    organizations: Sequence[Organization]
    domains: Sequence[Domain]
    profiles: Sequence[CertificateProfile]
    custom_fields: Sequence[CustomField]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What stands against an order. `never` cannot be sent, `refuse` yields to send_anyway, `warn` only says it."""

    level: Level
    text: str


def is_private(profile: CertificateProfile | None, private_profiles: Sequence[str]) -> bool:
    """Whether a profile belongs to a private CA, as CERTFLOW_PRIVATE_PROFILES says by name or id (RULES C3)."""
    return profile is not None and bool({profile.name.casefold(), str(profile.id)} & {name.casefold() for name in private_profiles})
