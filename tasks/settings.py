"""The only reader of the environment. Every setting is described in the README."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.errors import SetupError


class Settings(BaseSettings):
    """Certflow's settings, and Vault's own under Vault's own names."""

    model_config = SettingsConfigDict(env_prefix="CERTFLOW_", frozen=True, extra="ignore", hide_input_in_errors=True)

    home: Path = Path("~/.certflow")
    database_url: SecretStr = SecretStr("")
    certificate_limit: Annotated[int, Field(ge=0)] | None = None
    grace_seconds: Annotated[float, Field(ge=0)] = 900
    scm_concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    scm_rate: Annotated[float, Field(gt=0)] | None = None
    accounts: Annotated[tuple[str, ...], NoDecode] = ("default",)
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
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

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

    @field_validator("home")
    @classmethod
    def _expanded(cls, value: Path) -> Path:
        return value.expanduser()

    @model_validator(mode="after")
    def _some_account(self) -> Self:
        if not self.accounts:
            raise ValueError("CERTFLOW_ACCOUNTS names no account")
        return self

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
        found = "; ".join(f"{_variable(str(detail['loc'][0]) if detail['loc'] else '')}: {detail['msg']}" for detail in error.errors())
        raise SetupError(f"the settings cannot be used: {found}") from None


def _variable(name: str) -> str:
    return name if name.isupper() else f"CERTFLOW_{name.upper()}"
