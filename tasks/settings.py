"""The only reader of the environment. Every setting is described in the README."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.errors import SetupError
from models.parameters import Account


class Settings(BaseSettings):
    """Certflow's settings, and Vault's own under Vault's own names."""

    model_config = SettingsConfigDict(env_prefix="CERTFLOW_", frozen=True, extra="ignore", hide_input_in_errors=True)

    home: Path = Path("~/.certflow")
    database_url: SecretStr = SecretStr("")
    certificate_limit: Annotated[int, Field(ge=0)] | None = None
    grace_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 900
    scm_concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    scm_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    runs: Annotated[int, Field(ge=1, le=64)] = 1
    accounts: Annotated[tuple[Account, ...], NoDecode] = ("default",)
    timezone: str = "UTC"
    ui_port: Annotated[int, Field(ge=1, le=65535)] = 4200
    private_profiles: Annotated[tuple[str, ...], NoDecode] = ()
    require_requested_by: bool = False
    vault_mount: str = "secret"
    vault_prefix: str = "certflow"

    vault_addr: str = Field(default="", validation_alias="VAULT_ADDR")
    vault_token: SecretStr = Field(default=SecretStr(""), validation_alias="VAULT_TOKEN")
    vault_role_id: str = Field(default="", validation_alias="VAULT_ROLE_ID")
    vault_secret_id: SecretStr = Field(default=SecretStr(""), validation_alias="VAULT_SECRET_ID")
    vault_namespace: str = Field(default="", validation_alias="VAULT_NAMESPACE")
    vault_cacert: str = Field(default="", validation_alias="VAULT_CACERT")

    @field_validator("accounts", "private_profiles", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip())) if isinstance(value, str) else value

    @field_validator("certificate_limit", "scm_rate", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no time zone name such as Europe/Berlin") from None
        return value

    @field_validator("home", mode="before")
    @classmethod
    def _expanded(cls, value: Any) -> Any:
        if not str(value).strip():    # Path("") would be whatever folder we were started in
            raise ValueError("is empty")
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise ValueError("names a user whose home is not known") from None

    @field_validator("accounts")
    @classmethod
    def _some_account(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("names no account")
        return value

    @property
    def database(self) -> str:
        """The address of our database: SQLite in the home unless another one is given."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.home / 'certflow.db'}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once.

    Raises: SetupError that names each wrong variable, never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SetupError("the settings cannot be used: " + "; ".join(_sentence(detail) for detail in error.errors(include_input=False))) from None


def _sentence(detail: Any) -> str:
    name = str(detail["loc"][0])
    variable = name if name.isupper() else f"CERTFLOW_{name.upper()}"
    if name == "accounts" and detail["type"] == "string_pattern_mismatch":
        return f"{variable} must be account names of lower-case letters, digits, - and _, with commas in between"
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{variable} {text[0].lower()}{text[1:]}"
