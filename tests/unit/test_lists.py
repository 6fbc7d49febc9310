"""Orders read one by one."""

from typing import Any

from models.errors import TransientError
from models.records import OrderRecord
from tasks import lists


class Scm:
    """Shows odd orders, and fails for even ones."""

    def __init__(self) -> None:
        self.patience: list[bool] = []

    def details(self, ssl_id: int, *, patient: bool, **_more: Any) -> OrderRecord:
        self.patience.append(patient)
        if ssl_id % 2 == 0:
            raise TransientError("SCM has trouble", status=500)
        return OrderRecord(ssl_id, "www.example.com", "Issued")


def test_one_order_that_scm_cannot_show_holds_up_no_other() -> None:
    """RULES S3: each is a sentence, and is asked for without patience"""
    scm: Any = Scm()
    stored: list[int] = []
    problems = lists.details(scm, [1, 2, 3, 4], lambda some: stored.extend(one.ssl_id for one in some), at_once=2, unreadable=print)
    assert stored == [1, 3]
    assert problems == ["order 2: SCM has trouble", "order 4: SCM has trouble"]
    assert scm.patience == [False] * 4
