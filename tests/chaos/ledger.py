"""What was asked for, kept by us: the audit compares SCM's truth with this, not with Certflow's books."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from gaps import ORDER, REISSUE, RENEWAL, REVOCATION


@dataclass
class Request:
    """Something that a user asks for, again and again under one request id until it is answered."""

    kind: str
    id: str
    parameters: dict[str, Any]
    order_id: UUID | None = None
    """What it is about; None for a new order."""
    answered: bool = False
    running: int = 0
    asked: int = 0
    said: str = ""

    @property
    def open(self) -> bool:
        return not self.answered and not self.running


@dataclass
class Line:
    """All that was asked for one name: an order, and what follows it. One request after the other."""

    name: str
    requests: list[Request] = field(default_factory=list)
    retired: bool = False
    """Its newest certificate was revoked: nothing follows."""

    @property
    def under_way(self) -> Request | None:
        return next((one for one in self.requests if not one.answered), None)

    def count(self, kind: str) -> int:
        return sum(one.kind == kind for one in self.requests)

    @property
    def orders_at_scm(self) -> int:
        """So many orders of the name SCM must hold in the end (RULES E1, E5)."""
        return self.count(ORDER) + self.count(RENEWAL)

    @property
    def replacements(self) -> int:
        """So many reissues SCM must have taken in the end."""
        return self.count(REISSUE)

    @property
    def revoked(self) -> set[UUID]:
        return {one.order_id for one in self.requests if one.kind == REVOCATION and one.order_id}
