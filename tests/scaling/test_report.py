import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, RunError
from harness.scaling.report import output
from harness.scaling.report.output import NAMES

BATCHES = [16, 256, 4096]
HEADER = "global_batch,learning_rate,seed,steps_low,steps_high,status\n"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def figures(*names: str) -> set[str]:
    return {f"figures/{name}.{kind}" for name in names for kind in ("png", "svg")}


@pytest.fixture
def trials_file(make_experiment: Callable[..., Path], tmp_path: Path) -> Path:
    """The trials of an experiment, alone."""
    path = make_experiment(tmp_path / "experiment", BATCHES)
    path.with_name("throughput.csv").unlink()
    path.with_name("noise_scale.csv").unlink()
    return path


@pytest.fixture(scope="module")
def written(
    make_experiment: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The folder of an experiment with all that is made of it, and what was found; tests only read it."""
    trials_file = make_experiment(tmp_path_factory.mktemp("written") / "my-experiment", BATCHES)
    found = output.write(trials_file, trials_file.parent, target="accuracy 0.985", config_text="name: x")
    return trials_file.parent, found


@pytest.mark.slow
def test_an_experiment_becomes_numbers_plots_and_a_page_the_same_each_time(
    written: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, found = written
    tables = {"trials.csv", "throughput.csv", "noise_scale.csv"}
    first = files(folder)
    assert set(first) == tables | {"scaling.json", "report.html"} | figures(*NAMES)
    assert json.loads(first["scaling.json"]) == found
    assert found["target"] == "accuracy 0.985"
    assert b"<h1>my-experiment: " in first["report.html"]
    again = shutil.copytree(folder, tmp_path / folder.name)
    output.write(again / "trials.csv", again, target="accuracy 0.985", config_text="name: x")
    assert files(again) == first


@pytest.mark.slow
def test_figures_of_tables_that_are_gone_go_and_other_files_stay(
    written: tuple[Path, dict[str, Any]], trials_file: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(written[0], tmp_path / "out", ignore=shutil.ignore_patterns("*.csv"))
    (out / "figures" / "mine.png").write_bytes(b"mine")
    output.write(trials_file, out)
    expected = {"figures/mine.png", "scaling.json", "report.html"}
    assert set(files(out)) == expected | figures("steps", "examples", "tradeoff", "best-rate", "trials")


def test_what_an_earlier_call_wrote_goes_where_nothing_can_be_fitted_any_more(
    written: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = shutil.copytree(written[0], tmp_path / "fitted", ignore=shutil.ignore_patterns("*.csv"))
    trials_file = folder / "trials.csv"
    trials_file.write_text(HEADER + "16,0.1,0,10,,missed\n32,0.1,0,10,,missed\n")
    with pytest.raises(DataError):
        output.write(trials_file, trials_file.parent)
    assert set(files(trials_file.parent)) == {"trials.csv"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "is empty"),
        ("global_batch,seed\n16,0\n", "learning_rate"),
        (HEADER + "16,0.1,0,10,20,reached\n", "two batch sizes"),
        (HEADER + "16,0.1,0,10,,missed\n32,0.1,0,10,,missed\n", "reached the target"),
        (HEADER + "16,0.1,0,-1,20,reached\n32,0.1,0,10,20,reached\n", "-1"),
    ],
)
def test_a_table_that_can_not_be_fitted_is_refused_in_one_line_and_nothing_is_written(
    table: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "trials.csv").write_text(table)
    with pytest.raises(DataError, match=message) as refusal:
        output.write(tmp_path / "trials.csv", tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


def test_a_broken_table_beside_the_trials_is_refused_too(trials_file: Path, tmp_path: Path) -> None:
    trials_file.with_name("throughput.csv").write_text("global_batch\n16\n")
    with pytest.raises(DataError, match=r"throughput\.csv"):
        output.write(trials_file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder_for_the_report(trials_file: Path) -> None:
    with pytest.raises(RunError, match="is not a directory"):
        output.write(trials_file, trials_file)


@pytest.mark.slow
def test_fit_prints_the_table_the_numbers_the_sentence_and_where_the_report_is(
    call: Callable[..., Any], trials_file: Path
) -> None:
    ended = call("scale", "fit", trials_file)
    assert (ended.exit_code, ended.stderr) == (0, "")
    folder = trials_file.with_name("trials-fit")
    found = json.loads((folder / "scaling.json").read_text())
    assert found["batches"][1]["reported_trials"] == 3, "one of four seeds selects the rate"
    lines = ended.stdout.splitlines()
    assert lines[0].split()[:3] == ["batch", "best", "rate"]
    assert [line.split()[0] for line in lines[1:4]] == ["16", "256", "4,096"]
    assert "(lowest tried)" in lines[1]
    critical, drawn = found["b_crit"], found["bootstrap"]["b_crit"]
    profile = f"{critical['value']:.0f} ({critical['low']:.0f} to {critical['high']:.0f})"
    bootstrap = f"bootstrap {drawn['low']:.0f} to {drawn['high']:.0f}"
    assert f"B_crit    {profile}, {bootstrap}, nearly linear up to" in ended.stdout
    assert found["sentence"] in " ".join(lines)
    assert any(line.startswith("warning   batch 16: unbracketed") for line in lines)
    assert lines[-1] == f"report    {folder}/report.html"
    assert "Failed trials" not in (folder / "report.html").read_text()


@pytest.mark.slow
def test_fit_tells_a_bound_and_the_next_batch_where_b_crit_is_not_identified(
    call: Callable[..., Any], make_experiment: Callable[..., Path], tmp_path: Path
) -> None:
    ended = call("scale", "fit", make_experiment(tmp_path, [*BATCHES[:1], 32, 64]))
    found = json.loads((tmp_path / "trials-fit" / "scaling.json").read_text())
    text = " ".join(ended.stdout.split())
    assert f"B_crit not identified: {found['bound']}; next batch to run: {found['next_batch']}" in text


@pytest.mark.slow
def test_fit_as_json_in_another_folder_with_more_seeds_that_select(
    call: Callable[..., Any], trials_file: Path, tmp_path: Path
) -> None:
    ended = call("scale", "fit", trials_file, "--out", tmp_path / "a" / "b", "--select-seeds", 2, "--json")
    assert json.loads(ended.stdout) == json.loads((tmp_path / "a" / "b" / "scaling.json").read_text())
    assert json.loads(ended.stdout)["batches"][1]["reported_trials"] == 2
    assert not trials_file.with_name("trials-fit").exists()


def test_fit_of_what_is_no_table_is_one_line_and_exit_2(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    for path in (tmp_path / "none.csv", tmp_path / "binary.csv", tmp_path):
        ended = call("scale", "fit", path)
        assert (ended.exit_code, ended.stdout) == (2, ""), path
        assert ended.stderr.startswith("error: ")
        assert ended.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["binary.csv"]


def test_fitting_and_drawing_need_no_tensorflow() -> None:
    program = "import sys; import harness.scaling.report.output; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
