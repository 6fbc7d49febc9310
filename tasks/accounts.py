"""One account: does its login work, what may it do, what stands against ordering (RULES S2)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from models.choosing import SSL
from models.errors import LoginError, RejectedError, RightsError, TransientError
from models.records import AdminRecord, OrganizationRecord, ProfileRecord, ReportWindow
from models.summaries import Finding, Severity
from tasks.adapters.scm import ScmClient, credentials_from
from tasks.adapters.store.reference import account_state
from tasks.retry import step
from tasks.runs import counted
from tasks.services import Services, open_services

ADMINISTRATOR = "SCM administrator"
OPERATOR = "Certflow operator"
PASSWORD_SOON = timedelta(days=30)
PROOF_SECONDS = 30.0
"""A person waits for the proof of an address that may be mistyped."""

MOST_ORGANIZATIONS = 50
"""Organizations whose details and profiles a check reads; the weekly sync reads them all."""


def prove(secret: Mapping[str, Any]) -> str:
    """Whether an account's data let us in: one read call; a sentence that says what was seen.

    Raises: as the SCM client; SetupError for missing fields, which are named, not their values.
    """
    with ScmClient(credentials_from(secret), concurrency=1, deadline=PROOF_SECONDS) as scm:
        count = len(scm.organizations())
    return f"SCM accepts this login; it sees {count} organizations and departments"


def calls(account: str) -> int:
    """Calls to SCM that this process made for the account so far."""
    with open_services() as svc:
        return svc.calls(account)


@step
def check(account: str, *, by_hand: bool) -> tuple[Finding, ...]:
    """Everything that can be said of an account, gravest first. A refused login is the only finding then, and no other call is made.

    By hand, an account that was stopped is tried again (RULES S1). Raises: SetupError without Vault or without the account.
    """
    with open_services() as svc:
        try:
            with svc.scm(account, despite_stop=by_hand) as scm:
                found = list(_findings(svc, scm))
        except LoginError as error:
            return (_finding("error", "login-refused", str(error), f"{OPERATOR}: connect the account again, then check-account by hand"),)
        with svc.store.transaction() as session:
            account_state(session, account).checked_at = svc.clock()
        return gravest_first(found)


def gravest_first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then what is not known; within these as they come."""
    order: dict[Severity, int] = {"error": 0, "warning": 1, "unknown": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def _findings(svc: Services, scm: ScmClient) -> Iterator[Finding]:
    now = svc.clock()
    organizations = scm.organizations()    # the login is proved by the first call: a refused one raises here
    yield from _asked(lambda: _own_account(scm), "own-account-unknown", "the login's roles and privileges cannot be read")
    yield from _asked(lambda: _password(scm, now.date()), "password-age-unknown", "the age of the password cannot be read")
    yield from _asked(lambda: _report(scm, now), "report-refused", "the report of certificates cannot be read", severity="error")
    yield from _asked(lambda: _organizations(scm, organizations), "organizations-unknown", "the organizations cannot be read")
    yield from _asked(lambda: _domains(scm, now.date()), "domains-unknown", "the domains cannot be read")


def _asked(
    question: Callable[[], Iterator[Finding]], code: str, what: str, *, severity: Severity = "unknown"
) -> Iterator[Finding]:
    """The answer to one question; that it cannot be answered is a finding too. A refused login ends everything."""
    try:
        yield from list(question())
    except LoginError:
        raise
    except RightsError as error:
        yield _finding(severity, code, f"{what}: the login has no right to ({error})", ADMINISTRATOR)
    except (RejectedError, TransientError) as error:
        yield _finding(severity, code, f"{what}: {error}", OPERATOR)


def _own_account(scm: ScmClient) -> Iterator[Finding]:
    admin = scm.own_admin()
    if admin is None:
        yield _finding("unknown", "roles-unknown", "with OAuth2 the client's roles cannot be read: orders will show what it may do", ADMINISTRATOR)
        return
    yield from _roles(admin)
    wanted = {"sslRequest": "order", "sslRenew": "renew", "sslReplace": "reissue", "sslRevoke": "revoke"}
    lacking = [doing for privilege, doing in wanted.items() if privilege not in admin.privileges]
    if admin.privileges and lacking:
        severity: Severity = "error" if "order" in lacking else "warning"
        yield _finding(severity, "privileges-missing", f"the login may not {', '.join(lacking)}", ADMINISTRATOR)
    if admin.privileges and not {"sslApprove", "autoApproveCertificates"} & set(admin.privileges):
        yield _finding("warning", "cannot-approve", "orders of profiles with approval wait for another administrator", ADMINISTRATOR)
    if admin.active is False:
        yield _finding("error", "login-suspended", f"the login {admin.login} is suspended in SCM", ADMINISTRATOR)
    if admin.failed_attempts:
        text = f"SCM counts {admin.failed_attempts} failed logins of {admin.login}: something uses an old password"
        yield _finding("warning", "failed-logins", text, OPERATOR)


def _roles(admin: AdminRecord) -> Iterator[Finding]:
    roles = sorted({role for role, _ in admin.roles})
    if "MRAO" not in roles:
        has = ", ".join(roles) or "no role"
        text = f"the login is not MRAO ({has}): it sees only what its role covers, which may be enough"
        yield _finding("warning", "not-mrao", text, ADMINISTRATOR)


def _password(scm: ScmClient, today: date) -> Iterator[Finding]:
    state = scm.password_state()
    if state is None:
        return
    if state.state.upper() == "EXPIRED":
        text = "the password of the login has expired: change it in SCM, then connect the account again"
        yield _finding("error", "password-expired", text, OPERATOR)
    elif state.expires_on is not None and state.expires_on - today <= PASSWORD_SOON:
        text = f"the password of the login ends on {state.expires_on}: change it in SCM and connect again"
        yield _finding("warning", "password-ends-soon", text, OPERATOR)


def _report(scm: ScmClient, now: datetime) -> Iterator[Finding]:
    for _ in scm.report(ReportWindow(by="request", first=now.date(), last=now.date()), unreadable=lambda _text: None):
        break
    return
    yield


def _organizations(scm: ScmClient, listed: list[OrganizationRecord]) -> Iterator[Finding]:
    if not listed:
        yield _finding("error", "no-organization", "the login sees no organization", ADMINISTRATOR)
        return
    details = [scm.organization(one.id) for one in listed[:MOST_ORGANIZATIONS]]
    for one in details:
        if one.api_allowed is False and (one.certificate_types is None or SSL in one.certificate_types):
            yield _finding("warning", "api-not-allowed", f"{_named(one, listed)} does not allow orders by API", ADMINISTRATOR)
    able = [one for one in details if one.api_allowed is not False and (one.certificate_types is None or SSL in one.certificate_types)]
    if not able and len(listed) <= MOST_ORGANIZATIONS:
        yield _finding("error", "nobody-may-order", "no organization or department allows SSL orders by API", ADMINISTRATOR)
        return
    profiles: dict[int, ProfileRecord] = {}
    for one in able:
        profiles |= {profile.id: profile for profile in scm.profiles(one.id)}
    if able and not profiles:
        yield _finding("error", "no-profile", "no organization offers a certificate profile for orders by API", ADMINISTRATOR)


def _domains(scm: ScmClient, today: date) -> Iterator[Finding]:
    validations = scm.validations()
    if not validations:
        yield _finding("warning", "no-domain", "SCM shows no domain validation: it is off for the customer, or there is no domain", ADMINISTRATOR)
        return
    missing = sorted(one.domain for one in validations if one.status not in {"validated", None})
    if len(missing) == len(validations):
        yield _finding("error", "no-validated-domain", "no domain is validated: public certificates cannot be issued", "domain owner")
    elif missing:
        text = f"{len(missing)} of {len(validations)} domains are not validated: {_some(missing)}"
        yield _finding("warning", "domains-not-validated", text, "domain owner")
    ending = sorted(one.domain for one in validations if one.status == "validated" and one.expires_on and (one.expires_on - today).days <= 30)
    if ending:
        text = f"the validation of {counted(len(ending), 'domain')} ends within 30 days: {_some(ending)}"
        yield _finding("warning", "validation-ends-soon", text, "domain owner")


def _named(one: OrganizationRecord, listed: list[OrganizationRecord]) -> str:
    parent = next((each.parent_name for each in listed if each.id == one.id and each.parent_name), None)
    return f"{parent} / {one.name} ({one.id})" if parent else f"{one.name} ({one.id})"


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _finding(severity: Severity, code: str, message: str, mended_by: str) -> Finding:
    return Finding(severity=severity, code=code, message=message, mended_by=mended_by)
