"""The commands that look: config, runs, help, completion."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from harness.config import Config, load
from harness.run_dir import RunDir


@pytest.fixture
def make_run(tmp_path):
    """Make a run with the given summary below `tmp_path`/runs."""

    def make(name: str, **summary: object) -> RunDir:
        run = RunDir(tmp_path / "runs" / name)
        run.lock()
        run.begin(Config(name=name))
        run.write_summary(summary)
        run.unlock()
        return run

    return make


def test_config_prints_yaml_that_loads_back(call, tmp_path):
    printed = call("config", "mnist", "--set", "train.length=2 epochs", "--set", "seed=7")
    assert printed.exit_code == 0
    (tmp_path / "again.yaml").write_text(printed.stdout)
    assert load(tmp_path / "again.yaml") == load("mnist", ["train.length=2 epochs", "seed=7"])
    assert printed.stderr == ""


def test_schema_is_json_of_the_config(call):
    printed = call("config", "--schema")
    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["properties"].keys() == Config.model_fields.keys()


def test_version_and_help(script, call):
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown == f"harness, version {metadata.version('harness')}\n"
    shown = call("--help").stdout
    for command in ("train", "evaluate", "visualize", "runs", "config", "bench", "doctor", "tensorboard"):
        assert f"  {command} " in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_script(script, shell):
    environment = {**os.environ, "_HARNESS_COMPLETE": f"{shell}_source"}
    ended = subprocess.run([script], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "_HARNESS_COMPLETE" in ended.stdout


@pytest.mark.parametrize(("words", "proposed"), [("harness tr", "train"), ("harness train mnist --res", "--resume")])
def test_shell_completion_proposes(script, words, proposed):
    environment = {
        **os.environ,
        "_HARNESS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    ended = subprocess.run([script], capture_output=True, text=True, env=environment)
    assert f"plain,{proposed}" in ended.stdout


class TestRuns:
    def test_lists_what_is_there_newest_last(self, call, make_run, tmp_path):
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

        heading, first, second = call("runs", tmp_path / "runs").stdout.splitlines()
        assert heading.split() == ["name", "status", "accuracy", "images/s", "age"]
        assert first.split()[:4] == ["done", "completed", "0.9912", "7,123"]
        assert second.split()[:4] == ["diverged", "failed", "-", "-"]

    def test_a_long_name_is_shown_whole_in_a_pipe(self, call, make_run, tmp_path):
        name = "a-name-as-long-as-they-get-when-a-sweep-makes-them-" + "x" * 49
        make_run(name, status="completed")
        assert name in call("runs", tmp_path / "runs").stdout

    def test_none(self, call, tmp_path):
        (tmp_path / "runs").mkdir()
        assert call("runs", tmp_path / "runs").stdout == f"no runs in {tmp_path / 'runs'}\n"
        assert call("runs", tmp_path / "runs", "--json").stdout == "[]\n"

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"status": "completed", "test": {}}', '{"test": 3}'])
    def test_a_damaged_one_does_not_hide_the_others(self, call, make_run, tmp_path, content):
        make_run("good", status="completed")
        make_run("bad", status="completed").summary_file.write_text(content)
        listed = call("runs", tmp_path / "runs", "--json")
        assert listed.exit_code == 0
        assert {row["name"] for row in json.loads(listed.stdout)} == {"good", "bad"}

    def test_running_while_a_live_process_holds_it_and_interrupted_afterwards(self, call, make_run, tmp_path):
        run = make_run("one", status="running")
        program = (
            "import sys; from pathlib import Path; from harness.run_dir import RunDir\n"
            "run = RunDir(Path(sys.argv[1])); run.lock(); print('locked', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", program, run.path]

        def status() -> str:
            (row,) = json.loads(call("runs", tmp_path / "runs", "--json").stdout)
            return row["status"]

        assert status() == "interrupted"
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "locked\n"
                assert status() == "running"
            finally:
                holder.kill()
        assert status() == "interrupted"

    def test_looking_changes_nothing(self, call, make_run, tmp_path):
        run = make_run("one", status="running")
        before = sorted(path.name for path in run.path.iterdir())
        call("runs", tmp_path / "runs")
        assert sorted(path.name for path in run.path.iterdir()) == before

    @pytest.mark.slow
    def test_a_real_run_killed_by_sigkill(self, call, killed_run, tmp_path):
        assert killed_run.status_while_alive == "running"
        shutil.copytree(killed_run.path, tmp_path / "runs" / "small")
        (row,) = json.loads(call("runs", tmp_path / "runs", "--json").stdout)
        assert row["status"] == "interrupted"
        assert json.loads((Path(killed_run.path) / "summary.json").read_text())["status"] == "running"
