"""Take the key of a revoked certificate out of its live entry (RULES D5)."""

from collections.abc import Mapping
from typing import Any

from models.errors import ConflictError, SetupError, TransientError
from models.orders import Certificate, CertificateOrder
from tasks.adapters import pki
from tasks.adapters.vault import VersionState
from tasks.delivery import WRITES
from tasks.services import Services

REVOKED = "revoked"
"""`status` of a live entry whose certificate was revoked."""


def take_out(svc: Services, order: CertificateOrder, gone: Certificate) -> str:
    """Close the live entry if it serves the certificate, then destroy the versions that hold its key, and no others; what was done, in words.

    May run twice and die anywhere. A current version that serves another certificate stays as it is. Raises: as Vault; ConflictError
    when others keep writing the same entry.
    """
    if order.live_name is None:
        return "it had no live name"
    path = f"live/{order.live_name}"
    current = _close(svc, path, gone)
    holding = [
        number for number, state in svc.vault.versions(path).items() if number != current and _holds(svc, path, number, state, gone)
    ]
    svc.vault.destroy_versions(path, holding)
    if not holding:
        return f"no version of {path} holds its key"
    return f"version{'s' * (len(holding) != 1)} {', '.join(str(number) for number in holding)} of {path} destroyed"


def still_served(svc: Services, order: CertificateOrder, gone: Certificate | None) -> str:
    """Which live entry serves a revoked certificate, in words; nothing when none does, or when Vault cannot tell now."""
    if order.live_name is None or gone is None:
        return ""
    try:
        entry = svc.vault.read(f"live/{order.live_name}")
    except TransientError:
        return ""
    served = entry is not None and entry.data.get("sha256") == gone.sha256 and entry.data.get("status") != REVOKED
    return f"; live/{order.live_name} still serves it" if served else ""


def _close(svc: Services, path: str, gone: Certificate) -> int | None:
    """Write a last version without key and keystore if the certificate is served; the number of the current version.

    The keystore's password stays: later versions keep it (RULES K3).
    """
    for _ in range(WRITES):
        entry = svc.vault.read(path)
        if entry is None:
            return None
        if entry.data.get("sha256") != gone.sha256 or (entry.data.get("status") == REVOKED and not entry.data.get("private_key")):
            return entry.version
        try:
            return svc.vault.write(path, _without_key(entry.data), cas=entry.version)
        except ConflictError:
            continue
    raise ConflictError(f"{path} is written by others again and again: the next poll-orders tries once more")


def _without_key(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "private_key": "", "keystore": "", "keystore_type": "", "status": REVOKED}


def _holds(svc: Services, path: str, number: int, state: VersionState, gone: Certificate) -> bool:
    """Whether a version holds the certificate's key. A deleted one, which an operator may bring back, cannot be read: our books say
    which version the certificate was delivered as."""
    if state == VersionState.DELETED:
        return number == gone.live_version
    entry = svc.vault.read_version(path, number) if state == VersionState.KEPT else None
    if entry is None or not entry.data.get("private_key"):
        return False
    try:
        return pki.public_key_sha256(pki.key_from_pem(str(entry.data["private_key"]))) == gone.public_key_sha256
    except SetupError:    # no key that we wrote
        return entry.data.get("sha256") == gone.sha256
