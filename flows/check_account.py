"""check_account: can this account log in, order and read the report?"""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import CheckParameters, checked
from models.summaries import AccountSummary
from tasks import accounts, pages
from tasks.renewal_switch import renewal_findings
from tasks.runs import by_schedule, counted, reported, story


@flow(name="check-account", flow_run_name="check account {account}", persist_result=False, validate_parameters=False)
@story
def check_account(account: Annotated[str, Field(max_length=63)] = "default") -> AccountSummary:
    """Prove login, role, password age, organizations, domains, profiles and the report of one account; is renewal switched on?

    Started by hand it also tries an account that was stopped after a refused login; on its schedule it makes no call then.

    Args:
        account: The account to check, as it was named with `python -m deployments connect`.
    """
    wish = checked(CheckParameters, {"account": account})
    findings = accounts.gravest_first([*renewal_findings(wish.account), *accounts.check(wish.account, by_hand=not by_schedule())])
    against = [finding.message for finding in findings if finding.severity == "error"]
    summary = AccountSummary(healthy=not against, findings=findings)
    page = pages.account_page(wish.account, findings, healthy=summary.healthy)
    verdict = f"account {wish.account} is " + ("healthy" if summary.healthy else "not healthy")
    warnings = sum(finding.severity == "warning" for finding in findings)
    return reported(
        summary, f"{verdict}, {counted(len(against), 'error')}, {counted(warnings, 'warning')}",
        pages={f"account-{wish.account}": page}, failed="; ".join(against),
    )
