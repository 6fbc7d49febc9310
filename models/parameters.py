"""What a flow may be asked to do. Frozen, checked, and without a secret: Prefect keeps parameters in the clear.

`checked` turns whatever a form or a program sent into one of these, or into one `InputError` that names every problem.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import InputError
from models.status import OrderStatus, order_status

MARKER_LENGTH = len("certflow:") + 36
COMMENTS_SCM = 1024
COMMENTS_MAX = COMMENTS_SCM - MARKER_LENGTH - 1
"""978: SCM's limit less our marker and a separator (RULES C4)."""

EXTERNAL_REQUESTER_MAX = 512
CUSTOM_FIELD_MAX = 256
NAMES_MAX = 1000

Kind = Literal["organizations", "domains", "certificate_profiles", "custom_fields"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KeyAlgorithm = Literal["RSA", "EC"]
KeySize = Literal["2048", "3072", "4096", "P-256", "P-384"]
KeystoreType = Literal["PKCS12", "PKCS12_LEGACY", "JKS", "PEM"]
ImportStatus = Literal[
    "init", "requested", "sa_approved", "approved", "applied", "issued", "declined", "invalid", "rejected", "revoked", "expired", "replaced",
]
KEY_SIZES: Mapping[str, tuple[str, ...]] = {"RSA": ("2048", "3072", "4096"), "EC": ("P-256", "P-384")}

_EMAIL = re.compile(r"^[^@\s,;<>\"]{1,64}@[^@\s,;<>\"]+\.[^@\s,;<>\"]+$")


def _printable(text: str) -> str:
    if any(unicodedata.category(letter) in {"Cc", "Cs", "Co", "Cn"} and letter not in "\n\r\t" for letter in text):
        raise ValueError("holds a control character or another character that cannot be shown")
    return text


def _line(text: str) -> str:
    text = _printable(text).strip()
    if len(text.splitlines()) > 1 or "\t" in text:
        raise ValueError("must be one line")
    return text


def _email(text: str) -> str:
    if not _EMAIL.match(text):
        raise ValueError("is not an e-mail address")
    return text


Line = Annotated[str, AfterValidator(_line)]
Account = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", max_length=63)]
CommonName = Annotated[Line, Field(min_length=1, max_length=255)]
Reference = Annotated[Line, Field(min_length=1, max_length=256)]
Email = Annotated[Line, AfterValidator(_email), Field(max_length=254)]
Comments = Annotated[str, AfterValidator(_printable), Field(max_length=COMMENTS_MAX)]
RequestedBy = Annotated[Line, Field(max_length=256)]
VaultField = Annotated[Line, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*#[A-Za-z0-9_.-]+$", max_length=256)]
"""`<name>#<field>` below `passwords/` in Vault."""

RequestId = Annotated[Line, Field(min_length=1, max_length=128)]
Message = Annotated[Line, Field(min_length=1, max_length=512)]


class Parameters(BaseModel):
    """What all flows share."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, hide_input_in_errors=True)

    account: Account = "default"


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
    custom_fields: Annotated[dict[Reference, Annotated[Line, Field(max_length=CUSTOM_FIELD_MAX)]], Field(max_length=100)] = {}
    requested_by: RequestedBy = ""
    wait_minutes: Annotated[int, Field(ge=0, le=1440)] = 0
    check_only: bool = False
    send_anyway: bool = False
    csr: Annotated[str, AfterValidator(_printable), Field(max_length=32767)] | None = None
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


class PollParameters(Parameters):
    """poll_orders."""

    orders: Annotated[tuple[Reference, ...], Field(max_length=10_000)] = ()


P = TypeVar("P", bound=Parameters)


def checked(model: type[P], given: Mapping[str, Any]) -> P:
    """The parameters as `model` knows them.

    Raises: InputError with one sentence per problem; a value is never repeated in it, since somebody may have pasted a secret.
    """
    try:
        return model(**given)
    except ValidationError as error:
        problems = tuple(_sentence(detail) for detail in error.errors(include_url=False, include_context=True, include_input=False))
        raise InputError("refused, nothing was sent: " + "; ".join(problems), problems=problems) from None


_FORMS = {
    "account": "must be 1 to 63 lower-case letters, digits, - and _, with a letter or digit in front",
    "keystore_password_path": "must be <name>#<field>, a path below passwords/ in Vault, never the password itself",
}


def _sentence(detail: Any) -> str:
    location = [str(part) for part in detail["loc"]]
    if location[-1:] == ["[key]"]:
        location = [*location[:-2], "a name"]    # the key itself is a value that somebody gave
    place, kind, limits = ".".join(location)[:80], detail["type"], detail.get("ctx") or {}
    if kind == "extra_forbidden":
        return f"there is no parameter {place!r}"
    if kind == "missing":
        return f"{place} is missing"
    if kind in {"too_long", "string_too_long"}:
        unit = "entries" if limits.get("field_type") in {"Tuple", "Dictionary"} else "characters"
        return f"{place}: at most {limits['max_length']} {unit} are allowed"
    if kind in {"too_short", "string_too_short"}:
        return f"{place} must not be empty"
    if kind == "string_pattern_mismatch" and place in _FORMS:
        return f"{place} {_FORMS[place]}"
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place}: {text[0].lower()}{text[1:]}" if place else text
