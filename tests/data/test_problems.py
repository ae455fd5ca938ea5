import pytest

from harness.data.problems import places, refuse
from harness.errors import DataError


def test_nothing_wrong_is_not_refused() -> None:
    refuse("mine", [])


def test_one_problem_is_one_line_and_several_are_a_list() -> None:
    with pytest.raises(DataError, match=r"^data\.source: mine: too small$"):
        refuse("mine", ["too small"])
    with pytest.raises(DataError) as error:
        refuse("mine", ["too small", "too large"])
    heading, *problems = str(error.value).splitlines()
    assert "mine has 2 problems" in heading
    assert [problem.strip() for problem in problems] == ["too small", "too large"]


def test_the_first_places_are_named_and_the_others_counted() -> None:
    assert places([3, 17_000]) == "3, 17,000"
    assert places(["a.png", "b.png", "c.png"], most=2) == "a.png, b.png and 1 more"
    assert places(range(5)) == "0, 1, 2, 3, 4"
    assert places(range(2000)) == "0, 1, 2, 3, 4 and 1,995 more"
