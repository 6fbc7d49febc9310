"""The peer: `cert_manager` as its users use it. The list, then one details and for issued orders one collect call each, one after the other.

`peer.py` prints one line of JSON. The environment names the sandbox (see accounts.py).
"""

import json
import os
import time

from cert_manager import SSL, Client
from memory import peak_mb


def main() -> None:
    account = json.loads(os.environ["BENCHMARK_ACCOUNT"])
    client = Client(
        base_url=os.environ["BENCHMARK_SCM"], login_uri=account["customer_uri"], username=account["login"], password=account["password"],
    )
    ssl, idle, began = SSL(client=client), peak_mb(), time.perf_counter()
    orders = [ssl.get(one["sslId"]) for one in ssl.list()]
    known = time.perf_counter()
    issued = [one["sslId"] for one in orders if one["status"] == "Issued"]
    collected = [ssl.collect(ssl_id, "x509") for ssl_id in issued]
    assert all("BEGIN CERTIFICATE" in one for one in collected)
    pages = len(orders) // 200 + 1    # the list ends with a page that is not full
    print(json.dumps({
        "orders": len(orders), "certificates": len(collected), "orders_seconds": known - began, "seconds": time.perf_counter() - began,
        "calls": pages + len(orders) + len(collected), "megabytes": peak_mb() - idle,
    }))


if __name__ == "__main__":
    main()
