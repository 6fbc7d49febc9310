"""What order_certificate and renew_or_reissue may be asked to do."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from models.parameters.words import (
    CUSTOM_FIELD_MAX,
    EXTERNAL_REQUESTER_MAX,
    KEY_SIZES,
    NAMES_MAX,
    Comments,
    CommonName,
    Email,
    KeyAlgorithm,
    KeySize,
    KeystoreType,
    Line,
    OrderTexts,
    OwnCsr,
    Parameters,
    Reference,
    RequestedBy,
    RequestId,
    VaultField,
)

RenewAction = Literal["renew", "reissue"]
RENEW: RenewAction = "renew"
REISSUE: RenewAction = "reissue"


class OrderParameters(Parameters):
    """order_certificate."""

    common_name: CommonName
    organization: Reference
    certificate_profile: Reference
    subject_alternative_names: Annotated[tuple[CommonName, ...], Field(max_length=NAMES_MAX)] = ()
    term_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    key_algorithm: KeyAlgorithm = "RSA"
    key_size: KeySize | None = None
    keystore_type: KeystoreType = "PKCS12"
    comments: Comments = ""
    external_requester_emails: Annotated[tuple[Email, ...], Field(max_length=50)] = ()
    custom_fields: Annotated[dict[Reference, Annotated[Line, Field(max_length=CUSTOM_FIELD_MAX)]], Field(max_length=100)] = {}  # noqa: RUF012 - pydantic copies it
    requested_by: RequestedBy = ""
    wait_minutes: Annotated[int, Field(ge=0, le=1440)] = 0
    check_only: bool = False
    send_anyway: bool = False
    csr: OwnCsr | None = None
    live_name: Annotated[Line, Field(min_length=1, max_length=255)] | None = None
    keystore_password_path: VaultField | None = None
    request_id: RequestId | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_means_left_out(cls, data: Any) -> Any:
        """A form sends "" for an optional text that was touched and emptied."""
        if isinstance(data, dict):
            optional = ("csr", "live_name", "keystore_password_path", "request_id", "key_size")
            data = {name: None if name in optional and value == "" else value for name, value in data.items()}
        return data

    @model_validator(mode="after")
    def _together(self) -> "OrderParameters":
        if self.key_size is not None and self.key_size not in KEY_SIZES[self.key_algorithm]:
            raise ValueError(f"key_size {self.key_size} does not belong to {self.key_algorithm}: use {', '.join(KEY_SIZES[self.key_algorithm])}")
        if self.csr is not None and self.keystore_password_path is not None:
            raise ValueError("keystore_password_path goes with a key that is made here, not with a CSR of your own")
        if len(", ".join(self.external_requester_emails)) > EXTERNAL_REQUESTER_MAX:
            raise ValueError(f"external_requester_emails: the list is longer than {EXTERNAL_REQUESTER_MAX} characters when joined")
        return self

    @property
    def size(self) -> str:
        """The key size as text: 2048 for RSA, P-256 for EC, unless one was asked for."""
        return self.key_size or KEY_SIZES[self.key_algorithm][0]

    def wish(self) -> dict[str, Any]:
        """What must be equal in a second request under the same id (RULES E6)."""
        return self.model_dump(mode="json", exclude={"requested_by", "wait_minutes", "check_only", "request_id"})


class RenewParameters(Parameters):
    """renew_or_reissue."""

    action: RenewAction
    orders: OrderTexts = ()
    expiring_within_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    add_names: Annotated[tuple[CommonName, ...], Field(max_length=NAMES_MAX)] = ()
    remove_names: Annotated[tuple[CommonName, ...], Field(max_length=NAMES_MAX)] = ()
    reason: Annotated[Line, Field(max_length=512)] = ""
    reuse_key: bool = False
    csr: OwnCsr | None = None
    because_of_key_compromise: bool = False
    revoke_predecessor_after_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    dry_run: bool = False
    max_orders: Annotated[int, Field(ge=1, le=100_000)] = 50
    requested_by: RequestedBy = ""
    request_id: RequestId | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_means_left_out(cls, data: Any) -> Any:
        """A form sends "" for an optional text that was touched and emptied."""
        if isinstance(data, dict):
            data = {name: None if name in {"csr", "request_id"} and value == "" else value for name, value in data.items()}
        return data

    @model_validator(mode="after")
    def _together(self) -> "RenewParameters":
        if problems := [text for wrong, text in self._contradictions() if wrong]:
            raise ValueError("; ".join(problems))
        return self

    def _contradictions(self) -> tuple[tuple[bool, str], ...]:
        named, names = bool(self.orders), bool(self.add_names or self.remove_names)
        return (
            (self.action == REISSUE and not named, "a reissue needs the orders that it is for"),
            (self.action == RENEW and names, "a renewal keeps its names: use action reissue to add or remove names"),
            (self.because_of_key_compromise and not named, "because_of_key_compromise needs the orders whose key is compromised"),
            (self.because_of_key_compromise and names,
             "after a key compromise certificates are renewed with new keys (RULES V3), which keeps their names"),
            (self.because_of_key_compromise and self.reuse_key, "a compromised key is never used again"),
            (self.because_of_key_compromise and self.csr is not None,
             "because_of_key_compromise makes a new key for each order: to bring a CSR of your own, renew with csr, then revoke the old one"),
            (self.reuse_key and self.csr is not None, "reuse_key and csr exclude each other"),
            (self.reuse_key and self.action == REISSUE, "a reissue makes a new key: reuse_key goes with renew"),
            (self.csr is not None and len(self.orders) != 1, "a CSR of your own goes with exactly one order"),
            (self.revoke_predecessor_after_days is not None and self.action == REISSUE,
             "revoke_predecessor_after_days goes with renew: a reissue has no predecessor"),
            (self.expiring_within_days is not None and named, "give orders or expiring_within_days, not both"),
        )

    @property
    def by_itself(self) -> bool:
        """Nobody named the orders: Certflow chooses what is due (RULES R1, R6)."""
        return not self.orders

    @property
    def does(self) -> RenewAction:
        """What is sent: after a key compromise nothing is reissued (RULES V3)."""
        return RENEW if self.because_of_key_compromise else self.action

    def wish(self) -> dict[str, Any]:
        """What must be equal in a second request for the same order under the same id (RULES E6)."""
        return self.model_dump(mode="json", include={
            "account", "action", "add_names", "remove_names", "reason", "reuse_key", "csr", "because_of_key_compromise",
            "revoke_predecessor_after_days",
        })
