"""What an account holds besides orders: organizations, domains, profiles, custom fields, its own login (contract 5.1 to 5.5, 5.18)."""

from collections.abc import Callable
from typing import TypeVar

from models.errors import LoginError, NotFoundError, RejectedError
from models.records import (
    AdminRecord,
    CustomFieldRecord,
    DomainRecord,
    DomainValidation,
    OrganizationRecord,
    PasswordState,
    ProfileRecord,
)
from tasks.adapters.scm import parsing, values
from tasks.adapters.scm.calls import Call, Calls
from tasks.adapters.scm.credentials import OAuth2Client
from tasks.adapters.scm.paging import walk
from tasks.adapters.scm.values import Row, Unreadable
from tasks.adapters.scm.wire import Answer

T = TypeVar("T")

_REPORT_DONE = 0


class AccountCalls:
    """The part of the client that reads reference data. Everything here is safe to repeat."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._admin_host = isinstance(calls.credentials, OAuth2Client)
        self._dcv_version = "v2" if self._admin_host else "v1"    # contract 2, row "DCV list, start, submit"

    def organizations(self) -> list[OrganizationRecord]:
        """All organizations, each followed by its departments (contract 5.1)."""
        return self._read(Call(method="GET", path="/organization/v1", what="the organizations"), _rows(parsing.organizations))

    def organization(self, organization_id: int) -> OrganizationRecord:
        """The details of an organization or department (contract 5.1). Raises: NotFoundError."""
        call = Call(method="GET", path=f"/organization/v1/{organization_id}", what=f"organization {organization_id}")
        return self._read(call, _row(parsing.organization))

    def domains(self) -> list[tuple[int, str]]:
        """Id and name of all domains (contract 5.2)."""
        return self._listed_domains({})

    def domain(self, domain_id: int) -> DomainRecord:
        """The details of a domain (contract 5.2). Raises: NotFoundError."""
        call = Call(method="GET", path=f"/domain/v1/{domain_id}", what=f"domain {domain_id}")
        return self._read(call, _row(parsing.domain))

    def find_domain(self, name: str) -> DomainRecord | None:
        """The details of the domain of exactly this name; whether SCM's filter matches parts is not documented (contract 5.2)."""
        found = next((id_ for id_, listed in self._listed_domains({"name": name}) if listed.lower() == name.lower()), None)
        return None if found is None else self.domain(found)

    def validations(self) -> list[DomainValidation]:
        """The validation of all domains (contract 5.3)."""
        try:
            return self._validations()
        except NotFoundError:
            self._dcv_version = "v1" if self._dcv_version == "v2" else "v2"    # the other host's path; remembered
            return self._validations()

    def validation(self, name: str) -> DomainValidation:
        """The validation of one domain as it is now (contract 5.3). Raises: NotFoundError for a domain that SCM does not know."""
        call = Call(method="POST", path="/dcv/v2/validation/status", what=f"the validation of {name}", body={"domain": name})
        return self._read(call, _row(lambda row: parsing.validation(row, domain=name)))

    def domain_report(self) -> list[DomainRecord]:
        """All domains with state and validation in one call (contract 5.17); the other fields are None."""
        call = Call(method="POST", path="/report/v1/domains", what="the domain report")

        def parse(row: Row) -> list[DomainRecord]:
            if "statusCode" not in row:
                raise Unreadable("it has no statusCode")
            if values.number(row, "statusCode") != _REPORT_DONE:
                raise self._calls.refused(call, 200, {"code": row.get("statusCode"), "description": row.get("message")})
            return [parsing.reported_domain(one) for one in values.objects(row.get("reports"))]

        return self._read(call, _row(parse))

    def profiles(self, organization_id: int | None = None) -> list[ProfileRecord]:
        """The certificate profiles, of one organization or department or all (contract 5.4)."""
        of = "" if organization_id is None else f" of organization {organization_id}"
        query = None if organization_id is None else {"organizationId": organization_id}
        call = Call(method="GET", path="/ssl/v1/types", what=f"the certificate profiles{of}", query=query)
        return self._read(call, _rows(lambda rows: [parsing.profile(row) for row in rows]))

    def custom_fields(self) -> list[CustomFieldRecord]:
        """The custom fields of SSL orders; without input types where SCM shows this login only the short list (contract 5.5)."""
        call = Call(method="GET", path="/customField/v2", what="the custom fields", query={"certType": "SSL"})
        try:
            return self._read(call, _rows(_ssl_fields))
        except LoginError:
            raise
        except RejectedError:
            short = Call(method="GET", path="/ssl/v1/customFields", what="the custom fields")
            return self._read(short, _rows(lambda rows: [parsing.short_custom_field(row) for row in rows]))

    def own_admin(self) -> AdminRecord | None:
        """The login's own administrator; None with OAuth2, or when the login does not see itself (contract 5.18)."""
        login = self._calls.credentials.login
        if login is None:
            return None
        call = Call(method="GET", path="/admin/v1", what="the login's own record", query={"login": login})
        found = walk(
            self._calls, call, lambda row: (values.identity(row, "id"), values.required_name(row, "login")), lambda one: one[0],
        )
        own = next((id_ for id_, name in found if name == login), None)
        if own is None:
            return None
        return self._read(Call(method="GET", path=f"/admin/v1/{own}", what="the login's own record"), _row(parsing.admin))

    def password_state(self) -> PasswordState | None:
        """The state of the login's password; None with OAuth2 or where SCM does not offer it (contract 5.18)."""
        if self._admin_host:
            return None
        try:
            return self._read(Call(method="GET", path="/admin/v1/password", what="the state of the password"), _row(parsing.password_state))
        except NotFoundError:
            return None

    def _listed_domains(self, query: dict[str, str | int]) -> list[tuple[int, str]]:
        call = Call(method="GET", path="/domain/v1", what="the domains", query=query)
        return list(walk(
            self._calls, call, lambda row: (values.identity(row, "id"), values.required_name(row, "name")), lambda one: one[0],
        ))

    def _validations(self) -> list[DomainValidation]:
        call = Call(method="GET", path=f"/dcv/{self._dcv_version}/validation", what="the domain validations")
        return list(walk(self._calls, call, parsing.validation, lambda one: one.domain))

    def _read(self, call: Call, parse: Callable[[Answer], T]) -> T:
        """The parsed answer. Raises: TransientError when it cannot be read."""
        answer = self._calls.send(call)
        try:
            return parse(answer)
        except Unreadable as reason:
            raise self._calls.unreadable(call, reason) from None


def _row(parse: Callable[[Row], T]) -> Callable[[Answer], T]:
    return lambda answer: parse(answer.object())


def _rows(parse: Callable[[list[Row]], T]) -> Callable[[Answer], T]:
    return lambda answer: parse(values.listing(answer.json()))


def _ssl_fields(rows: list[Row]) -> list[CustomFieldRecord]:
    return [parsing.custom_field(row) for row in rows if values.word(row, "certType") in {None, "ssl"}]
