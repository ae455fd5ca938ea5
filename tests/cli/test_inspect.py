"""The commands that look: config, runs, help, completion."""

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from click.shell_completion import shell_complete

from harness.cli import cli
from harness.config import Config, load, resolve
from harness.runs.run_dir import RunDir
from tests.conftest import KilledRun, Result

Call = Callable[..., Result]
MakeRun = Callable[..., RunDir]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run with the given summary below `tmp_path`/runs."""

    def make(name: str, **summary: object) -> RunDir:
        run = RunDir(tmp_path / "runs" / name)
        run.lock()
        run.begin(Config(name=name))
        run.write_summary(summary)
        run.unlock()
        return run

    return make


def test_config_prints_yaml_that_loads_back(call: Call, tmp_path: Path) -> None:
    printed = call("config", "mnist", "--set", "train.length=2 epochs", "--set", "seed=7")
    assert printed.exit_code == 0
    (tmp_path / "again.yaml").write_text(printed.stdout)
    assert load(tmp_path / "again.yaml") == load("mnist", ["train.length=2 epochs", "seed=7"])
    assert printed.stderr == ""


def test_schema_is_json_of_the_config(call: Call) -> None:
    printed = call("config", "--schema")
    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["properties"].keys() == Config.model_fields.keys()


def test_version_and_help(script: Path, call: Call) -> None:
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown == f"harness, version {metadata.version('mirrored-harness')}\n"
    shown = call("--help").stdout
    for command in (
        "train",
        "evaluate",
        "predict",
        "visualize",
        "runs",
        "config",
        "data",
        "bench",
        "doctor",
        "tensorboard",
    ):
        assert f"  {command} " in shown


def test_help_shows_what_each_command_does_whole(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "..." not in call("--help").stdout.partition("Commands:")[2]


@pytest.mark.parametrize("command", ["compare", "visualize"])
def test_help_names_a_key_that_the_command_takes(call: Call, command: str) -> None:
    shown = call(command, "--help").stdout
    assert "insight.images=" in shown
    assert "train.length" not in shown


def test_the_module_is_the_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "harness", "--version"], capture_output=True, text=True)
    assert shown.stdout.endswith(f"version {metadata.version('mirrored-harness')}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_script(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert shell_complete(cli, {}, "harness", "_HARNESS_COMPLETE", f"{shell}_source") == 0
    assert "_HARNESS_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("harness tr", "train"),
        ("harness train mnist --res", "--resume"),
        ("harness train mnist_tw", "mnist_two_pools"),
        ("harness train m", "my.yaml"),
        ("harness config configs/", "configs/other.yaml"),
        ("harness train mnist --set train.gl", "train.global_batch="),
        ("harness visualize latest --set ins", "insight.images="),
        ("harness evaluate la", "latest"),
        ("harness predict la", "latest"),
        ("harness data mnist_tw", "mnist_two_pools"),
        ("harness resume mn", "mnist-1"),
        ("harness train my.yaml --resume mn", "mnist-1"),
        ("harness train my.yaml --resume a", "auto"),
    ],
)
def test_shell_completion_proposes(
    words: str, proposed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    for file in ("my.yaml", "configs/other.yaml"):
        (tmp_path / file).touch()
    (tmp_path / "runs").mkdir()
    RunDir(tmp_path / "runs" / "mnist-1").lock()
    RunDir(tmp_path / "runs" / "mnist-1").begin(Config())
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert shell_complete(cli, {}, "harness", "_HARNESS_COMPLETE", "bash_complete") == 0
    assert f"plain,{proposed}" in capsys.readouterr().out


def test_the_console_script_completes(script: Path) -> None:
    shell = {"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": "harness tr", "COMP_CWORD": "1"}
    ended = subprocess.run([script], capture_output=True, text=True, env=os.environ | shell)
    assert "plain,train" in ended.stdout


class TestRuns:
    def test_lists_what_is_there_newest_last(self, call: Call, make_run: MakeRun, tmp_path: Path) -> None:
        make_run("done", status="completed", test={"accuracy": 0.9912}, images_per_second=7123.4)
        make_run("diverged", status="failed")
        os.utime(tmp_path / "runs" / "done" / "config.yaml", (1_000_000_000, 1_000_000_000))
        (tmp_path / "runs" / "no run").mkdir()
        (tmp_path / "runs" / "notes.txt").write_text("not a run")

        rows = json.loads(call("runs", tmp_path / "runs", "--json").stdout)
        assert [(row["name"], row["status"], row["accuracy"]) for row in rows] == [
            ("done", "completed", 0.9912),
            ("diverged", "failed", None),
        ]
        assert rows[0]["images_per_second"] == 7123.4
        assert rows[0]["path"] == str(tmp_path / "runs" / "done")
        assert 0 <= rows[1]["age_seconds"] < 60

        heading, first, second = [line.split("\t") for line in call("runs", tmp_path / "runs").stdout.splitlines()]
        columns = ["run", "status", "accuracy", "images/s", "age", "config", "seed", "data", "changed"]
        assert heading == columns
        assert first[:4] == [str(tmp_path / "runs" / "done"), "completed", "0.9912", "7,123"]
        assert second[:4] == [str(tmp_path / "runs" / "diverged"), "failed", "-", "-"]

    def test_one_begun_before_the_clock_was_set_back_is_not_of_the_future(
        self, call: Call, make_run: MakeRun, tmp_path: Path
    ) -> None:
        run = make_run("a", status="completed")
        ahead = time.time() + 7200
        os.utime(run.config_file, (ahead, ahead))
        (row,) = json.loads(call("runs", tmp_path / "runs", "--json").stdout)
        assert row["age_seconds"] == 0

    def test_in_a_pipe_names_are_whole_and_a_long_one_widens_no_other_line(
        self, call: Call, make_run: MakeRun, tmp_path: Path
    ) -> None:
        names = ["a", "a-name-as-long-as-they-get-when-a-sweep-makes-them-" + "x" * 49]
        for name in names:
            make_run(name, status="completed")
        _, *lines = call("runs", tmp_path / "runs").stdout.splitlines()
        assert sorted(line.split("\t")[0] for line in lines) == [str(tmp_path / "runs" / name) for name in names]
        assert not any("  " in line for line in lines)

    def test_in_a_pipe_there_is_a_line_a_run_whatever_its_folder_is_called(
        self, call: Call, make_run: MakeRun, tmp_path: Path
    ) -> None:
        make_run("a", status="completed").path.rename(tmp_path / "runs" / "a\tb\nc")
        heading, line = call("runs", tmp_path / "runs").stdout.splitlines()
        assert line.count("\t") == heading.count("\t")

    def test_says_what_each_was_trained_with(self, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name, config in {
            "as-shipped": load("mnist", ["seed=7"]),
            "changed": load("mnist", ["train.length=2 epochs", "evaluate.batch=7"]),
            "own": resolve({"name": "own", "train": {"global_batch": 99}}),
            "augmented": load("mnist", ["data.augment=[{name: flip}, {name: crop, padding: 2}]"]),
        }.items():
            RunDir(tmp_path / "runs" / name).lock()
            RunDir(tmp_path / "runs" / name).begin(config)
        (tmp_path / "runs" / "of-another-version").mkdir()
        (tmp_path / "runs" / "of-another-version" / "config.yaml").write_text("gone: 1")
        (tmp_path / "runs" / "of-another-version" / "summary.json").write_text("{}")
        rows = {row["name"]: row for row in json.loads(call("runs", "--json").stdout)}
        assert {name: row["changed"] for name, row in rows.items()} == {
            "as-shipped": {},
            "changed": {"train.length": "2 epochs", "evaluate.batch": 7},
            "own": {"train.global_batch": 99},
            "augmented": {"data.augment": [{"name": "flip"}, {"name": "crop", "padding": 2}]},
            "of-another-version": None,
        }
        assert [rows["as-shipped"][key] for key in ("config", "seed", "data")] == ["mnist", 7, "mnist"]
        lines = call("runs").stdout.splitlines()
        (augmented,) = [line for line in lines if line.startswith("augmented\t")]
        assert augmented.endswith("\tdata.augment=[{name: flip}, {name: crop, padding: 2}]")
        (shown,) = [line for line in lines if line.startswith("changed\t")]
        assert shown.endswith("\tmnist\t0\tmnist\ttrain.length=2 epochs evaluate.batch=7")

    def test_at_80_columns_what_was_changed_stands_below(self, script: Path, tmp_path: Path) -> None:
        run = RunDir(tmp_path / "runs" / "mnist-20261129-145501")
        run.lock()
        changes = ["optimizer.learning_rate=0.01", "train.length=300 steps", "insight.filters=false"]
        run.begin(load("mnist", [*changes, "seed=7"]))
        run.unlock()
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "80"}
        subprocess.run([script, "runs"], stdout=theirs, env=environment, cwd=tmp_path, check=True)
        os.close(theirs)
        lines = os.read(ours, 10_000).decode().splitlines()
        os.close(ours)
        assert max(map(len, lines)) <= 80
        assert lines[1].split()[:2] == [run.path.name, "interrupted"]
        assert lines[1].split()[-3:] == ["mnist", "7", "mnist"]
        assert len(lines) <= 4
        assert all(line.startswith("  ") for line in lines[2:])
        assert all(any(change in line for line in lines[2:]) for change in changes)

    def test_a_run_by_another_name_is_still_of_its_config(self, call: Call, tmp_path: Path) -> None:
        for name, changed in {"first": ["train.length=300 steps"], "second": []}.items():
            RunDir(tmp_path / name).lock()
            RunDir(tmp_path / name).begin(load("mnist", [f"name={name}", *changed]))
        rows = {row["name"]: row for row in json.loads(call("runs", tmp_path, "--json").stdout)}
        assert [row["config"] for row in rows.values()] == ["mnist", "mnist"]
        assert [rows[name]["changed"] for name in ("first", "second")] == [{"train.length": "300 steps"}, {}]

    def test_is_sorted_by_what_is_asked_for_the_best_last(self, call: Call, make_run: MakeRun, tmp_path: Path) -> None:
        for name, accuracy in {"b": 0.5, "c": None, "a": 0.25}.items():
            make_run(name, status="completed", test={"accuracy": accuracy} if accuracy else None)
        for by, order in {"name": ["a", "b", "c"], "accuracy": ["c", "a", "b"]}.items():
            rows = json.loads(call("runs", tmp_path / "runs", "--sort", by, "--json").stdout)
            assert [row["name"] for row in rows] == order

    def test_none(self, call: Call, tmp_path: Path) -> None:
        (tmp_path / "runs").mkdir()
        assert call("runs", tmp_path / "runs").stdout == f"no runs in {tmp_path / 'runs'}\n"
        assert call("runs", tmp_path / "runs", "--json").stdout == "[]\n"

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"status": "completed", "test": {}}', '{"test": 3}'])
    def test_a_damaged_one_does_not_hide_the_others(
        self, call: Call, make_run: MakeRun, tmp_path: Path, content: str
    ) -> None:
        make_run("good", status="completed")
        make_run("bad", status="completed").summary_file.write_text(content)
        listed = call("runs", tmp_path / "runs", "--json")
        assert listed.exit_code == 0
        assert {row["name"] for row in json.loads(listed.stdout)} == {"good", "bad"}

    def test_running_while_a_live_process_holds_it_and_interrupted_afterwards(
        self, call: Call, make_run: MakeRun, tmp_path: Path
    ) -> None:
        run = make_run("one", status="running")
        program = (
            "import sys; from pathlib import Path; from harness.runs.run_dir import RunDir\n"
            "run = RunDir(Path(sys.argv[1])); run.lock(); print('locked', flush=True); sys.stdin.read()"
        )
        command: list[str | Path] = [sys.executable, "-c", program, run.path]

        def status() -> str:
            (row,) = json.loads(call("runs", tmp_path / "runs", "--json").stdout)
            return str(row["status"])

        assert status() == "interrupted"
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "locked\n"
                assert status() == "running"
            finally:
                holder.kill()
        assert status() == "interrupted"

    def test_looking_changes_nothing(self, call: Call, make_run: MakeRun, tmp_path: Path) -> None:
        run = make_run("one", status="running")
        before = sorted(path.name for path in run.path.iterdir())
        call("runs", tmp_path / "runs")
        assert sorted(path.name for path in run.path.iterdir()) == before

    @pytest.mark.slow
    def test_a_real_run_killed_by_sigkill(self, call: Call, killed_run: KilledRun, tmp_path: Path) -> None:
        assert killed_run.status_while_alive == "running"
        shutil.copytree(killed_run.path, tmp_path / "runs" / "small")
        (row,) = json.loads(call("runs", tmp_path / "runs", "--json").stdout)
        assert row["status"] == "interrupted"
        assert json.loads((Path(killed_run.path) / "summary.json").read_text())["status"] == "running"
