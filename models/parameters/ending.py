"""What revoke, cancel_orders and delete_orders may be asked to do. An empty list of orders is refused: here it would mean everything."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from models.parameters.words import LiveNames, Message, OrderTexts, Parameters, RequestedBy

ReasonCode = Literal["unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "0", "1", "3", "4", "5"]
KEY_COMPROMISE = 1
REASON_CODES = {"unspecified": 0, "keyCompromise": 1, "affiliationChanged": 3, "superseded": 4, "cessationOfOperation": 5}
"""SCM takes no others (contract 5.12)."""


def reason_word(code: int) -> str:
    """A reason code as people read it, for example `superseded (4)`."""
    return next((f"{word} ({code})" for word, number in REASON_CODES.items() if number == code), str(code))


SomeOrders = Annotated[OrderTexts, Field(min_length=1)]


class RevokeParameters(Parameters):
    """revoke."""

    orders: SomeOrders
    reason_code: Annotated[ReasonCode, BeforeValidator(lambda given: str(given) if type(given) is int else given)]
    reason: Message
    delete_from_repository: bool = False
    confirm: LiveNames = ()
    dry_run: bool = False
    requested_by: RequestedBy = ""

    @property
    def code(self) -> int:
        """The number that SCM takes."""
        return REASON_CODES[self.reason_code] if self.reason_code in REASON_CODES else int(self.reason_code)


class CancelParameters(Parameters):
    """cancel_orders."""

    orders: SomeOrders
    message: Message


class DeleteParameters(Parameters):
    """delete_orders."""

    orders: SomeOrders
    destroy_key: bool = False
    confirm: LiveNames = ()
