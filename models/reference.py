"""Reference data: what an account may order, for whom and under which names. Filled by sync_reference_data.

SCM's own ids serve as keys, together with the account. What vanished in SCM keeps its row, with `vanished_at`.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from models.columns import UtcDateTime, json_column

Moment: Any = UtcDateTime()


class Organization(SQLModel, table=True):
    """An organization or department (contract 5.1)."""

    account: str = Field(primary_key=True)
    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str
    parent_id: int | None = Field(default=None, sa_type=BigInteger)
    parent_name: str | None = None
    api_allowed: bool | None = None
    certificate_types: list[str] | None = Field(default=None, sa_type=json_column())
    changed_at: datetime = Field(sa_type=Moment)
    vanished_at: datetime | None = Field(default=None, sa_type=Moment)


class Domain(SQLModel, table=True):
    """A registered domain and its validation (contract 5.2, 5.3). `checked_at` is when SCM last told its state."""

    account: str = Field(primary_key=True)
    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str = Field(index=True)
    delegation_active: bool | None = None
    suspended: bool | None = None
    validation_status: str | None = None
    validation_method: str | None = None
    validated_on: date | None = None
    validation_expires_on: date | None = None
    delegations: list[dict[str, Any]] | None = Field(default=None, sa_type=json_column())
    checked_at: datetime = Field(sa_type=Moment)
    changed_at: datetime = Field(sa_type=Moment)
    vanished_at: datetime | None = Field(default=None, sa_type=Moment)


class CertificateProfile(SQLModel, table=True):
    """A certificate profile and the organizations that may use it (contract 5.4)."""

    __tablename__ = "certificate_profile"

    account: str = Field(primary_key=True)
    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str
    description: str = ""
    terms: list[int] = Field(sa_type=json_column())
    key_types: dict[str, list[str]] = Field(sa_type=json_column())
    organization_ids: list[int] = Field(sa_type=json_column())
    changed_at: datetime = Field(sa_type=Moment)
    vanished_at: datetime | None = Field(default=None, sa_type=Moment)


class CustomField(SQLModel, table=True):
    """A custom field of SSL orders (contract 5.5); `mandatory` for orders by API."""

    __tablename__ = "custom_field"

    account: str = Field(primary_key=True)
    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str
    mandatory: bool
    active: bool = True
    input_type: str
    options: list[str] = Field(sa_type=json_column())
    changed_at: datetime = Field(sa_type=Moment)
    vanished_at: datetime | None = Field(default=None, sa_type=Moment)
