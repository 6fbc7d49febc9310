"""All documented calls with their short names, which faults and counts go by."""

from deployments.sandbox import admin_calls, collecting, importing, listing, ordering, reference_calls, reports, updating
from deployments.sandbox.calls import Host, Route

ROUTES = (
    Route("GET", "/organization/v1", "organizations", reference_calls.organizations),
    Route("GET", "/organization/v1/managedBy/{role}", "managed_by", reference_calls.managed_by, on_admin=False),
    Route("GET", "/organization/v1/managed-by/{role}", "managed_by", reference_calls.managed_by, on_old=False),
    Route("GET", "/organization/v1/{org_id}", "organization", reference_calls.organization),
    Route("GET", "/domain/v1", "domains", reference_calls.domains),
    Route("GET", "/domain/v1/count", "domains", reference_calls.domain_count, on_admin=False),
    Route("GET", "/domain/v1/{domain_id}", "domain", reference_calls.domain),
    Route("GET", "/dcv/v1/validation", "dcv_list", reference_calls.validations, on_admin=False),
    Route("GET", "/dcv/v2/validation", "dcv_list", reference_calls.validations, on_old=False),
    Route("POST", "/dcv/v2/validation/status", "dcv_status", reference_calls.validation),
    Route("GET", "/customField/v2", "custom_fields", reference_calls.custom_fields),
    Route("GET", "/customField/v2/", "custom_fields", reference_calls.custom_fields),
    Route("POST", "/report/v1/ssl-certificates", "report", reports.certificates_report),
    Route("POST", "/report/v1/domains", "domain_report", reports.domains_report),
    Route("GET", "/admin/v1", "admins", admin_calls.admins),
    Route("GET", "/admin/v1/password", "admin_password", admin_calls.admin_password),
    Route("GET", "/admin/v1/roles", "admin_roles", admin_calls.admin_roles),
    Route("POST", "/admin/v1/changepassword", "change_password", admin_calls.change_password),
    Route("GET", "/admin/v1/{admin_id}", "admin", admin_calls.admin),
    Route("GET", "/ca-backend/v1", "ca_backend", admin_calls.ca_backend),
    Route("GET", "/ssl/{v}/types", "types", reference_calls.types),
    Route("GET", "/ssl/{v}/customFields", "ssl_custom_fields", reference_calls.ssl_custom_fields),
    Route("GET", "/ssl/{v}", "list", listing.rows),
    Route("HEAD", "/ssl/v1", "count", listing.count, on_admin=False),
    Route("PUT", "/ssl/{v}", "update", updating.update),
    Route("POST", "/ssl/{v}/enroll", "enroll", ordering.enroll),
    Route("GET", "/ssl/{v}/collect/{ssl_id}", "collect", collecting.collect),
    Route("GET", "/ssl/{v}/collect/{ssl_id}/{format}", "collect", collecting.collect),
    Route("POST", "/ssl/{v}/approve/{ssl_id}", "approve", ordering.approve),
    Route("POST", "/ssl/{v}/decline/{ssl_id}", "decline", updating.decline),
    Route("POST", "/ssl/{v}/revoke/manual", "revoke_manual", updating.revoke_manual),
    Route("POST", "/ssl/{v}/revoke/serial/{serial}", "revoke_serial", updating.revoke_serial),
    Route("POST", "/ssl/{v}/revoke/{ssl_id}", "revoke", updating.revoke),
    Route("POST", "/ssl/{v}/renewById/{ssl_id}", "renew_by_id", ordering.renew_by_id),
    Route("POST", "/ssl/{v}/renew/manual/{ssl_id}", "renew_manual", updating.renew_manual),
    Route("POST", "/ssl/{v}/renew/{renew_id}", "renew", ordering.renew),
    Route("POST", "/ssl/{v}/replace/{ssl_id}", "replace", ordering.replace),
    Route("POST", "/ssl/v1/import", "import", importing.by_file),
    Route("POST", "/ssl/v2/import", "import", importing.by_json),
    Route("GET", "/ssl/{v}/{ssl_id}/dcv", "ssl_dcv", reference_calls.order_validation),
    Route("POST", "/ssl/{v}/{ssl_id}/dcv/recheck", "dcv_recheck", reference_calls.recheck),
    Route("GET", "/ssl/{v}/{ssl_id}", "details", listing.details),
    Route("DELETE", "/ssl/{v}/{ssl_id}", "delete", updating.delete),
)
"""In the order in which a path is compared with them: a fixed path stands before one with a number in its place."""

NAMES = frozenset(one.name for one in ROUTES) | {"token"}


def of(host: Host) -> list[Route]:
    """The calls that a host offers, one for each version of a path."""
    return [
        Route(one.method, one.path.replace("{v}", version), one.name, one.handler)
        for one in ROUTES if (one.on_admin if host.admin else one.on_old)
        for version in (host.versions if "{v}" in one.path else ("v1",))
    ]
