"""order_certificate: order one certificate at SCM, exactly once."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import COMMENTS_MAX, NAMES_MAX, KeyAlgorithm, KeySize, KeystoreType, OrderParameters, checked
from models.summaries import OrderSummary
from tasks import keys, ordering, pages, polling, submissions
from tasks.runs import reported, story


@flow(name="order-certificate", flow_run_name="order {common_name}", persist_result=False, validate_parameters=False)
@story
def order_certificate(
    common_name: Annotated[str, Field(min_length=1, max_length=255)],
    organization: Annotated[str, Field(min_length=1, max_length=256)],
    certificate_profile: Annotated[str, Field(min_length=1, max_length=256)],
    subject_alternative_names: Annotated[list[str], Field(max_length=NAMES_MAX)] = [],  # noqa: B006 - never changed; Prefect shows it
    term_days: Annotated[int, Field(ge=1, le=3650)] | None = None,
    key_algorithm: KeyAlgorithm = "RSA",
    key_size: KeySize | None = None,
    keystore_type: KeystoreType = "PKCS12",
    comments: Annotated[str, Field(max_length=COMMENTS_MAX)] = "",
    external_requester_emails: Annotated[list[str], Field(max_length=50)] = [],  # noqa: B006 - as above
    custom_fields: dict[str, str] = {},  # noqa: B006 - as above
    requested_by: Annotated[str, Field(max_length=256)] = "",
    wait_minutes: Annotated[int, Field(ge=0, le=1440)] = 0,
    check_only: bool = False,
    send_anyway: bool = False,
    csr: Annotated[str, Field(max_length=32767)] | None = None,
    live_name: Annotated[str, Field(max_length=255)] | None = None,
    keystore_password_path: Annotated[str, Field(max_length=256)] | None = None,
    request_id: Annotated[str, Field(max_length=128)] | None = None,
    account: Annotated[str, Field(max_length=63)] = "default",
) -> OrderSummary:
    """Order one certificate: checked against the reference data before anything is sent, key made here and written only to Vault.

    Args:
        common_name: The first name of the certificate, for example www.example.com or *.example.com.
        organization: Name, id, or `Parent / Department`.
        certificate_profile: Name or id of the certificate profile.
        subject_alternative_names: Further names, one per item; the common name need not be repeated.
        term_days: Lifetime in days, one of the profile's terms. Left out: the longest that the profile offers.
        key_algorithm: RSA or EC.
        key_size: 2048, 3072 or 4096 for RSA (2048 if left out), P-256 or P-384 for EC (P-256 if left out).
        keystore_type: PKCS12 for current systems, PKCS12_LEGACY for Java before 8u301 and Windows before 2019, JKS, or PEM.
        comments: A text that SCM keeps with the order, at most 978 characters.
        external_requester_emails: Who else is notified by SCM; left out, the account's default.
        custom_fields: Custom fields of the account, by name or id; left out, the account's defaults.
        requested_by: For whom this is ordered; kept in the order's history.
        wait_minutes: Wait so long for the certificate; 0 leaves it to poll-orders.
        check_only: Only answer whether this would be issued; nothing is sent or written.
        send_anyway: Send although a check refuses; what cannot be sent at all stays refused.
        csr: A CSR of your own (PEM), when the key shall stay on your device; no key and no keystore is made then.
        live_name: The name below live/ in Vault; left out, the common name.
        keystore_password_path: `<name>#<field>` below passwords/ in Vault; left out, one is made and kept. Never the password.
        request_id: Makes the order repeatable: the same id never orders twice. Left out, the id of this run serves.
        account: The account to order with.
    """
    wish = checked(OrderParameters, locals())
    planned = ordering.plan(wish)
    if planned.order_id is None or planned.submission_id is None:
        return reported(ordering.summary(planned), ordering.sentence(planned))
    with ordering.remembered(planned):
        keys.create(planned.submission_id)
        submissions.send(planned.submission_id)
        polling.wait_for(planned.order_id, minutes=wish.wait_minutes)
    page = {f"order-{planned.order_id}": pages.order_page(planned.order_id)}
    return reported(ordering.summary(planned), ordering.sentence(planned), pages=page)
