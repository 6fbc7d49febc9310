"""Many small deeds of one task."""

import pytest

from models.errors import LoginError, RejectedError
from tasks.batches import each, together


def test_after_a_refused_login_nothing_more_is_begun() -> None:
    """RULES S1"""
    begun: list[int] = []

    def act(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise LoginError("refused")
        return number

    answers = together(act, range(100), at_once=1)
    assert begun == [0, 1, 2]
    assert answers[:2] == [0, 1]
    assert all(isinstance(one, LoginError) for one in answers[2:])
    with pytest.raises(LoginError, match="refused"):
        each(act, range(100), at_once=4)


def test_one_that_fails_stops_no_other() -> None:
    def act(number: int) -> int:
        if number % 2:
            raise RejectedError("odd")
        return number

    answers, failed = each(act, range(10), at_once=3)
    assert answers == {number: number for number in range(0, 10, 2)}
    assert {number: str(error) for number, error in failed.items()} == {number: "odd" for number in range(1, 10, 2)}
