"""`csv:FILE`: what is read from it, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import DataError
from tests.data.files.conftest import Load, Refusal, picture, save


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table beside its images, with numbers as labels."""
    lines = ["path,label,camera"]
    for number in range(12):
        save(tmp_path / "files" / f"{number}.png", picture(number))
        lines.append(f"files/{number}.png,{number % 3 * 5 + 5},x")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path / "table.csv"


def test_labels_are_numbers_by_size_or_names_by_the_alphabet(table: Path, load_files: Load) -> None:
    found = load_files(f"csv:{table}")
    assert found.class_names == ("5", "10", "15")
    assert found.labels.tolist() == [0, 1, 2] * 4
    assert (found.images[7] == picture(7)).all()
    table.write_text(table.read_text().replace(",5,", ",red,").replace(",10,", ",a b,"))
    found = load_files(f"csv:{table}")
    assert found.class_names == ("15", "a b", "red")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("007", "7", "10"), ("007", "10", "7")),
        (("-1", "9", "10"), ("-1", "9", "10")),
        (("+1", "1", "2"), ("+1", "1", "2")),
    ],
)
def test_labels_are_numbers_only_where_they_are_written_as_such(
    table: Path, load_files: Load, labels: tuple[str, ...], names: tuple[str, ...]
) -> None:
    lines = [f"files/{number}.png,{labels[number % 3]}" for number in range(12)]
    table.write_text("\n".join(["path,label", *lines]))
    found = load_files(f"csv:{table}")
    assert found.class_names == names
    assert [names[label] for label in found.labels] == [*labels] * 4


def test_a_column_says_which_image_is_for_what(table: Path, load_files: Load) -> None:
    head, *lines = table.read_text().splitlines()
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4
    table.write_text(
        "\n".join([f"{head},split", *(f"{line},{split}" for line, split in zip(lines, splits, strict=True))])
    )
    found = load_files(f"csv:{table}")
    assert [sorted(rows.tolist()) for rows in found.rows] == [[*range(6)], [6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("label", "class"), ["path and label", "class"]),
        (lambda text: text.splitlines()[0], ["names no images"]),
        (lambda text: "", ["nothing"]),
        (
            lambda text: text.replace("1.png,10", "1.png,").replace("4.png,10", "4.png, "),
            ["no label in lines 3; 6"],
        ),
        (
            lambda text: text.replace("files/7", "no/7").replace("files/9", "no/9"),
            ["2 of 12 paths", "no/7.png", "no/9.png"],
        ),
        (
            lambda text: text.replace("camera", "split"),
            ["split", "train, validation, test", "'x' (12)", "lines 2; 3"],
        ),
    ],
    ids=["no label column", "no rows", "empty", "labels missing", "paths missing", "unknown split"],
)
def test_a_table_that_will_not_do_is_refused(
    table: Path, refusal: Refusal, change: Callable[[str], str], told: list[str]
) -> None:
    table.write_text(change(table.read_text()))
    message = refusal(f"csv:{table}")
    for part in (str(table), *told):
        assert part in message


def test_all_rows_that_will_not_do_are_told_in_one_list(table: Path, load_files: Load) -> None:
    lines = table.read_text().replace("camera", "split").replace(",x", ",train").splitlines()
    lines[3:3] = ["", '"files/0.png",", two\nlines",tests']  # lines 5 and 6 are one row
    lines += ["files/1.png,,test", "no/7.png,5,test", ",5,test", "no/8.png,,"]
    table.write_text("\n".join(lines))
    with pytest.raises(DataError) as refused:
        load_files(f"csv:{table}")
    heading, labels, splits, paths = str(refused.value).splitlines()
    assert f"csv:{table} has 3 problems" in heading
    for fact in ("no label in lines 17; 20", "fill it in"):
        assert fact in labels
    for fact in ("train, validation, test", "not 'tests' (1); '' (1)", "lines 6; 20"):
        assert fact in splits
    for fact in ("3 of 17 paths", "no/7.png (line 18); none (line 19); no/8.png (line 20)"):
        assert fact in paths


def test_what_is_no_table_is_refused(table: Path, refusal: Refusal) -> None:
    assert "no.csv can't be read: No such file" in refusal(f"csv:{table.with_name('no.csv')}")
    assert "is not a CSV file" in refusal(f"csv:{table.parent / 'files' / '1.png'}")


def test_a_table_whose_columns_do_not_fit_is_refused(table: Path, refusal: Refusal, load_files: Load) -> None:
    whole = table.read_text()
    table.write_text(whole.replace("camera", "label"))
    assert "the column label twice" in refusal(f"csv:{table}")
    table.write_text(whole.replace(",5,x", ",red, or so,x", 1))
    assert "line 2 has more fields" in refusal(f"csv:{table}")
    table.write_text(whole.replace(",x", ",x,"))  # a comma at the end of each line
    assert len(load_files(f"csv:{table}").labels) == 12
    head, *lines = whole.splitlines()
    table.write_text("\n".join([f",{head}", *(f"{number},{line}" for number, line in enumerate(lines))]))
    assert len(load_files(f"csv:{table}").labels) == 12  # as pandas writes it with its index
    table.write_text(whole.replace("files/3.png", '"files/3.png'))
    with pytest.raises(DataError, match="line 13") as refused:
        load_files(f"csv:{table}")
    assert len(str(refused.value)) < 1500
