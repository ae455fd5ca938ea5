import pytest

from harness.data.problems import Problems, places
from harness.errors import DataError, UserError


def fail(message: str) -> None:
    raise DataError(message)


def test_nothing_wrong_is_not_refused() -> None:
    problems = Problems("mine")
    with problems.noted():
        pass
    problems.refuse()


@pytest.mark.parametrize("message", ["data.source: mine: too small", "data.test: 1 % leaves none"])
def test_one_problem_is_refused_as_it_was(message: str) -> None:
    problems = Problems("mine")
    with problems.noted():
        fail(message)
    with pytest.raises(DataError) as error:
        problems.refuse()
    assert str(error.value) == message


def test_a_list_inside_a_list_is_indented() -> None:
    problems = Problems("mine")
    problems.add("too small")
    problems.add("images can't be read:\n  a.png\n  b.png")
    with pytest.raises(DataError, match=r"\n  too small\n  images can't be read:\n    a\.png\n    b\.png$"):
        problems.refuse()


def test_several_problems_are_one_list_those_of_a_list_among_them() -> None:
    inner, problems = Problems("mine"), Problems("mine")
    for collected, words in ((inner, "too small"), (inner, "too large"), (problems, "too far")):
        with collected.noted():
            raise DataError(f"data.source: mine: {words}")
    with problems.noted():
        inner.refuse()
    with pytest.raises(DataError) as error:
        problems.refuse()
    heading, *told = str(error.value).splitlines()
    assert "mine has 3 problems" in heading
    assert [line.strip() for line in told] == ["too far", "too small", "too large"]


def test_other_errors_are_none_of_the_data() -> None:
    with pytest.raises(UserError, match="of the disk"), Problems("mine").noted():
        raise UserError("of the disk")


def test_the_first_places_are_named_and_the_others_counted() -> None:
    assert places([3, 17_000]) == "3, 17,000"
    assert places(["a.png", "b.png", "c.png"], most=2) == "a.png, b.png and 1 more"
    assert places(range(5)) == "0, 1, 2, 3, 4"
    assert places(range(2000)) == "0, 1, 2, 3, 4 and 1,995 more"
