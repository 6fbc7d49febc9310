"""Fetch issued certificates into the repository, compare each with its order, mind the licence limit (RULES D3, D4)."""

from tasks.certificates.fetching import Fetched, fetch, fetch_all

__all__ = ["Fetched", "fetch", "fetch_all"]
