"""One refusal for many problems is a text that a person reads."""

import pytest

from models.errors import InputError
from models.parameters import PollParameters, checked


def test_the_same_problem_is_told_once_and_of_many_the_first_twenty() -> None:
    """DESIGN 8.2; Prefect keeps the sentence in six columns: of 10,000 unknown orders it was a megabyte"""
    problems = [f"there is no order {number}" for number in range(10_000)] * 2
    refused = InputError.of(problems)
    assert len(refused.problems) == 10_000
    assert str(refused).startswith("refused, nothing was sent: there is no order 0; there is no order 1; ")
    assert str(refused).endswith("there is no order 19; and 9,980 more")


def test_parameters_with_ten_thousand_problems_are_refused_in_a_few_words() -> None:
    """DESIGN 6"""
    with pytest.raises(InputError, match=r"and 9,9\d\d more") as caught:
        checked(PollParameters, {"orders": [f"a\n{number}" for number in range(10_000)]})
    assert len(str(caught.value)) < 2000
