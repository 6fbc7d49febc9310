"""Vault: credentials, keys and live certificates, in one KV version 2 mount below one prefix (DESIGN 4)."""

from tasks.adapters.vault.kv import Vault
from tasks.adapters.vault.parts import Entry, VersionState
from tasks.adapters.vault.settings import VaultSettings

__all__ = ["Entry", "Vault", "VaultSettings", "VersionState"]
