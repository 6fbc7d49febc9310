"""The words of all parameters: types with their limits, and what every flow shares."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from models.errors import InputError

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
AnyStatus = Literal[
    "planned", "submitting", "submitted", "refused", "withdrawn", "init", "requested", "sa_approved", "approved", "applied", "issued",
    "declined", "invalid", "rejected", "revoked", "expired", "replaced",
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
OrderTexts = Annotated[tuple[Reference, ...], Field(max_length=10_000)]
"""Orders as people name them: sslId, UUID, common name, for revoke also a serial number."""

LiveNames = Annotated[tuple[CommonName, ...], Field(max_length=10_000)]
OwnCsr = Annotated[str, AfterValidator(_printable), Field(max_length=32767)]


class Parameters(BaseModel):
    """What all flows share."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, hide_input_in_errors=True)

    account: Account = "default"


P = TypeVar("P", bound=Parameters)


def checked(model: type[P], given: Mapping[str, Any]) -> P:
    """The parameters as `model` knows them.

    Raises: InputError with one sentence per problem; a value is never repeated in it, since somebody may have pasted a secret.
    """
    try:
        return model(**given)
    except ValidationError as error:
        problems = tuple(_sentence(detail) for detail in error.errors(include_url=False, include_context=True, include_input=False))
        raise InputError.of(problems) from None


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
