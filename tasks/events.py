"""Events for other programs: what happened to an order, emitted to Prefect, where an automation may act on it.

The resource is `certflow.order.<order id>`. Outside of a flow run nothing is emitted: there may be no Prefect server.
"""

from typing import Any

from prefect.context import FlowRunContext
from prefect.events import emit_event

from models.orders import CertificateOrder

DELIVERED = "certflow.certificate.delivered"
RENEWED = "certflow.certificate.renewed"
REVOKED = "certflow.certificate.revoked"
NEEDS_ATTENTION = "certflow.order.needs-attention"


def emit(event: str, order: CertificateOrder, **facts: Any) -> None:
    """Tell other programs; `facts` are plain values without secrets."""
    if FlowRunContext.get() is None:
        return
    emit_event(
        event=event,
        resource={"prefect.resource.id": f"certflow.order.{order.id}", "prefect.resource.name": order.common_name},
        payload={
            "order_id": str(order.id), "ssl_id": order.ssl_id, "account": order.account, "common_name": order.common_name,
            "live_name": order.live_name, "status": order.status, **facts,
        },
    )
