"""What the flows that only read may be asked to do."""

from datetime import date
from typing import Annotated, Any

from pydantic import Field, model_validator

from models.parameters.words import KINDS, AnyStatus, ImportStatus, Kind, Line, OrderTexts, Parameters, Reference
from models.status import OrderStatus, order_status


class CheckParameters(Parameters):
    """check_account."""


class SyncParameters(Parameters):
    """sync_reference_data."""

    kinds: tuple[Kind, ...] = ()

    @property
    def wanted(self) -> tuple[Kind, ...]:
        return tuple(kind for kind in KINDS if not self.kinds or kind in self.kinds)


class ImportParameters(Parameters):
    """import_orders."""

    statuses: tuple[ImportStatus, ...] = ()
    organizations: tuple[Reference, ...] = ()
    requested_since: date | None = None
    fetch_certificates: bool = True
    include_deleted: bool = False

    @model_validator(mode="before")
    @classmethod
    def _statuses_as_scm_writes_them(cls, data: Any) -> Any:
        """`SA Approved` and `SAApproved` are fine too."""
        if isinstance(data, dict) and isinstance(data.get("statuses"), list | tuple):
            words = [order_status(word) if isinstance(word, str) else None for word in data["statuses"]]
            data = {**data, "statuses": [word or given for word, given in zip(words, data["statuses"], strict=True)]}
        return data

    @property
    def everything(self) -> bool:
        return not (self.statuses or self.organizations or self.requested_since)

    def wants(self, status: OrderStatus | None) -> bool:
        return not self.statuses or status in self.statuses


class PollParameters(Parameters):
    """poll_orders."""

    orders: OrderTexts = ()


class InventoryParameters(Parameters):
    """report_inventory."""

    name: Annotated[Line, Field(max_length=255)] = ""
    statuses: tuple[AnyStatus, ...] = ()
    organization: Annotated[Line, Field(max_length=256)] = ""
    expiring_within_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    issuer: Annotated[Line, Field(max_length=256)] = ""
