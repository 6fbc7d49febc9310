"""What a flow may be asked to do. Frozen, checked, and without a secret: Prefect keeps parameters in the clear.

`checked` turns whatever a form or a program sent into one of these, or into one `InputError` that names every problem.
"""

from models.parameters.ending import (
    KEY_COMPROMISE,
    REASON_CODES,
    CancelParameters,
    DeleteParameters,
    ReasonCode,
    RevokeParameters,
    reason_word,
)
from models.parameters.ordering import REISSUE, RENEW, OrderParameters, RenewAction, RenewParameters
from models.parameters.reading import CheckParameters, ImportParameters, InventoryParameters, PollParameters, SyncParameters
from models.parameters.words import (
    COMMENTS_MAX,
    COMMENTS_SCM,
    CUSTOM_FIELD_MAX,
    EXTERNAL_REQUESTER_MAX,
    KEY_SIZES,
    KINDS,
    MARKER_LENGTH,
    NAMES_MAX,
    Account,
    AnyStatus,
    ImportStatus,
    KeyAlgorithm,
    KeySize,
    KeystoreType,
    Kind,
    Parameters,
    checked,
)

__all__ = [
    "COMMENTS_MAX", "COMMENTS_SCM", "CUSTOM_FIELD_MAX", "EXTERNAL_REQUESTER_MAX", "KEY_COMPROMISE", "KEY_SIZES", "KINDS", "MARKER_LENGTH",
    "NAMES_MAX",
    "REASON_CODES", "REISSUE", "RENEW", "Account", "AnyStatus", "CancelParameters", "CheckParameters", "DeleteParameters", "ImportParameters",
    "ImportStatus", "InventoryParameters", "KeyAlgorithm", "KeySize", "KeystoreType", "Kind", "OrderParameters", "Parameters", "PollParameters",
    "ReasonCode", "RenewAction", "RenewParameters", "RevokeParameters", "SyncParameters", "checked", "reason_word",
]
