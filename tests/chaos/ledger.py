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
    colleague: bool = False
    """Two people ask for the same renewal, each under an id of their own: one of them gets it, the other the same (RULES E6)."""
    answered: bool = False
    running: int = 0
    asked: int = 0
    said: str = ""

    def asking(self) -> dict[str, Any]:
        """The parameters for the next time that it is asked."""
        self.asked += 1
        return {**self.parameters, "request_id": f"{self.id}/colleague"} if self.colleague and self.asked % 2 == 0 else self.parameters

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
        """Orders that must be revoked in the end: by a request of their own, or since their successor is delivered (RULES R5)."""
        return {
            one.order_id for one in self.requests
            if one.order_id and (one.kind == REVOCATION or one.parameters.get("revoke_predecessor_after_days") == 0)
        }
