"""A run's files: atomic writes, a lock that dies with its process, metrics rows and the summary."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.config import Config
from harness.errors import RunError, UserError
from harness.runs.paths import check_out, write_atomically
from harness.runs.run_dir import LAUNCHED, RunDir, locate


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDir]:
    """A new, locked run."""
    made = RunDir(tmp_path / "run")
    made.lock()
    made.begin(Config(seed=5))
    yield made
    made.unlock()


def in_a_new_process(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that runs `program`, its streams connected to us."""
    lines = (
        "import sys; from pathlib import Path\nfrom harness.runs.paths import write_atomically\n"
        "from harness.runs.run_dir import RunDir\n" + program
    )
    return subprocess.Popen(
        [sys.executable, "-c", lines, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hold_lock(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock of the run at `path` until it is killed."""
    holder = in_a_new_process(
        "run = RunDir(Path(sys.argv[1])); run.lock(); print('locked', flush=True); sys.stdin.read()", path
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    return holder


class TestAtomicWrite:
    def test_replaces_and_leaves_nothing_beside(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / "a", b"old")
        write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "a").read_bytes() == b"new"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_who_reads_meanwhile_sees_the_old_file_whole(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"old")
        with (tmp_path / "a").open("rb", buffering=0) as reader:
            write_atomically(tmp_path / "a", b"new")
            assert reader.read() == b"old"

    def test_is_readable_by_others_as_other_files_are(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / "a", b"")
        (tmp_path / "b").write_bytes(b"")
        assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode

    def test_a_umask_keeps_it_private(self, tmp_path: Path) -> None:
        with in_a_new_process(
            "import os; os.umask(0o077); write_atomically(Path(sys.argv[1]), b'')", tmp_path / "a"
        ) as writer:
            writer.communicate()
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600

    def test_a_link_stays_one_and_leads_to_the_new_file(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "a").symlink_to("disk/a")
        write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "a").is_symlink()
        assert (tmp_path / "disk" / "a").read_bytes() == b"new"

    def test_a_full_disk_leaves_the_old_file_and_nothing_beside(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"old")
        program = (
            f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
            "write_atomically(Path(sys.argv[1]), bytes(100_000))"
        )
        with in_a_new_process(program, tmp_path / "a") as writer:
            _, said = writer.communicate()
        assert writer.returncode == 1
        assert "File too large" in said
        assert (tmp_path / "a").read_bytes() == b"old"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_killed_while_it_writes_leaves_the_old_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"old")
        program = (
            "import os, signal\n"
            "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"  # dies with all written, not renamed
            "write_atomically(Path(sys.argv[1]), b'new')"
        )
        with in_a_new_process(program, tmp_path / "a") as writer:
            writer.communicate()
        assert writer.returncode == -9
        assert (tmp_path / "a").read_bytes() == b"old"


class TestLock:
    def test_a_second_process_is_refused(self, tmp_path: Path) -> None:
        with hold_lock(tmp_path / "run") as holder:
            try:
                with pytest.raises(RunError, match="is in use by another running process"):
                    RunDir(tmp_path / "run").lock()
            finally:
                holder.kill()

    def test_a_killed_process_leaves_none_behind(self, tmp_path: Path) -> None:
        with hold_lock(tmp_path / "run") as holder:
            holder.kill()
        run = RunDir(tmp_path / "run")
        run.lock()
        run.unlock()

    def test_is_free_after_unlock(self, run: RunDir) -> None:
        run.unlock()
        with hold_lock(run.path) as holder:
            holder.kill()

    def test_is_running_tells_a_live_process_from_a_dead_one(self, run: RunDir) -> None:
        run.unlock()
        assert not run.is_running()
        with hold_lock(run.path) as holder:
            try:
                assert run.is_running()
            finally:
                holder.kill()
        assert not run.is_running()

    def test_asking_whether_a_run_is_running_leaves_it_alone(self, tmp_path: Path) -> None:
        run = RunDir(tmp_path / "run")
        run.path.mkdir()
        assert not run.is_running()
        assert not list(run.path.iterdir())

    def test_a_new_run_may_be_made_where_only_a_lock_was_left(self, tmp_path: Path) -> None:
        with hold_lock(tmp_path / "run") as holder:
            holder.kill()
        assert locate("name", tmp_path / "run", None).path == tmp_path / "run"


class TestFiles:
    def test_begin_makes_a_run(self, run: RunDir) -> None:
        assert run.exists()
        assert RunDir.open(run.path).read_config() == Config(seed=5)
        assert run.read_summary() == {"status": "running"}

    def test_a_disk_full_at_the_start_is_told_in_a_line(self, tmp_path: Path) -> None:
        program = (
            f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, {resource.RLIM_INFINITY}))\n"
            "from harness.config import Config; from harness.errors import RunError\n"
            "run = RunDir(Path(sys.argv[1])); run.lock()\n"
            "try: run.begin(Config())\n"
            "except RunError as error: print(error)"
        )
        with in_a_new_process(program, tmp_path / "run") as process:
            said, _ = process.communicate()
        assert said == f"can't write the run directory {tmp_path}/run: File too large\n"

    def test_update_summary_replaces_some_keys_and_keeps_the_rest(self, run: RunDir) -> None:
        run.write_summary({"status": "running", "steps": 3})
        run.update_summary(status="stopped", epochs=0.5)
        assert run.read_summary() == {"status": "stopped", "steps": 3, "epochs": 0.5}

    @pytest.mark.parametrize("content", ["", "{", "[]", "null"])
    def test_a_damaged_summary_is_told_with_its_name(self, run: RunDir, content: str) -> None:
        run.summary_file.write_text(content)
        with pytest.raises(RunError, match=r"summary\.json"):
            run.read_summary()

    def test_the_resume_command_survives_a_shell(self, tmp_path: Path) -> None:
        run = RunDir(tmp_path / "it's a run")
        words = subprocess.run(
            ["sh", "-c", f'printf "%s\\n" {run.resume_command()}'], capture_output=True, text=True, check=True
        )
        assert words.stdout.splitlines() == [
            "harness",
            "resume",
            str(run.path),
        ]


class TestMetrics:
    ROWS = (
        {"step": 10, "split": "train", "loss": 2.0, "accuracy": 0.1, "learning_rate": 0.01},
        {"step": 10, "split": "validation", "loss": 1.9, "accuracy": 0.2},
        {"step": 20, "split": "train", "loss": 1.5, "accuracy": 0.3, "learning_rate": 0.01},
        {"step": 20, "split": "validation", "loss": 1.4, "accuracy": 0.4},
        {"step": 20, "split": "test", "loss": 1.3, "accuracy": 0.5},
    )

    @pytest.fixture
    def written(self, run: RunDir) -> RunDir:
        run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in self.ROWS))
        return run

    def test_there_may_be_none(self, run: RunDir) -> None:
        assert run.read_metrics() == []
        run.rewind_metrics(0)
        assert run.read_metrics() == []

    def test_are_read_as_they_were_written(self, written: RunDir) -> None:
        assert written.read_metrics() == list(self.ROWS)

    @pytest.mark.parametrize("torn", ['{"step": 30, "sp', '{"step": 30, "split": "train"}', "\0\0\0\0"])
    def test_a_torn_last_line_is_left_out(self, written: RunDir, torn: str) -> None:
        with written.metrics_file.open("a") as file:
            file.write(torn)
        assert written.read_metrics() == list(self.ROWS)
        written.rewind_metrics(20)
        assert written.read_metrics() == list(self.ROWS[:4])
        assert written.metrics_file.read_text().endswith("}\n")

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("42", "is not a JSON object"),
            ("[1]", "is not a JSON object"),
            ("nothing", "is not a JSON object"),
            ("[" * 100_000, "is not a JSON object"),
            ('{"step": 1}', "has no split"),
            ('{"split": "noise_scale"}', "has no number step"),
            ('{"step": "1", "split": "test"}', "has no number step"),
            ('{"step": 1, "split": "train", "loss": null}', "has no number loss"),
            ('{"step": 1, "split": "test", "accuracy": 1}', "has no number loss"),
            ('{"step": 1, "split": "train", "loss": 1, "accuracy": 1}', "has no number learning_rate"),
        ],
    )
    def test_a_line_that_is_no_row_is_named_by_its_number(self, written: RunDir, line: str, words: str) -> None:
        first, *others = written.metrics_file.read_text().splitlines()
        written.metrics_file.write_text("\n".join([first, line, *others]) + "\n")
        with pytest.raises(RunError, match=rf"metrics\.jsonl:2: the line {words}$"):
            written.read_metrics()

    @pytest.mark.parametrize(("step", "kept"), [(0, 0), (9, 0), (10, 2), (19, 2), (20, 4), (99, 4)])
    def test_rewinding_drops_what_came_later_and_the_test_row(self, written: RunDir, step: int, kept: int) -> None:
        written.rewind_metrics(step)
        assert written.read_metrics() == list(self.ROWS[:kept])


class TestCheckSame:
    def test_names_each_key_with_both_values(self, run: RunDir) -> None:
        with pytest.raises(RunError, match=r"seed \(5 → 6\), train\.global_batch \(128 → 64\)"):
            run.check_same(Config.model_validate({"seed": 6, "train": {"global_batch": 64}}))

    def test_a_shorter_length_alone_is_told_with_what_has_been_trained(self, run: RunDir) -> None:
        run.update_summary(steps=1234)
        with pytest.raises(RunError, match=r"longer.*1,234 steps.*5 epochs → 3 epochs") as refused:
            run.check_same(Config.model_validate({"seed": 5, "train": {"length": "3 epochs"}}))
        assert "another config" not in str(refused.value)

    def test_lets_what_does_not_decide_the_weights_change(self, run: RunDir) -> None:
        run.check_same(
            Config.model_validate({"seed": 5, "cluster": {"logical_cpus": 2}, "train": {"micro_batch": 3}, "name": "x"})
        )


class TestLocate:
    def test_a_new_run_gets_a_name_and_a_time_below_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        path = locate("digits", None, None).path
        assert path.parent == Path("runs")
        assert path.name.startswith("digits-2")
        assert not list(tmp_path.iterdir())

    def test_two_runs_of_one_second_get_two_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        seconds = set()
        for _ in range(3):
            path = locate("digits", None, None).path
            path.mkdir(parents=True)
            seconds.add(path.name)
        assert len(seconds) == 3

    def test_runs_that_are_begun_in_the_same_second_get_a_directory_each(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        runs = [locate("digits", None, None) for _ in range(3)]  # before any of them has made its own
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(RunDir.lock, runs))
        assert len({run.path for run in runs}) == len(list((tmp_path / "runs").iterdir())) == 3
        for run in runs:
            run.unlock()

    def test_what_was_launched_goes_on_launched(self, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(LAUNCHED, "--workers 2 --max-restarts 1")
        where = run.path.resolve()
        told = f"harness launch --workers 2 --max-restarts 1 -- train {where}/config.yaml --resume {where}"
        assert run.resume_command() == told

    def test_runs_that_lead_nowhere_are_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "runs").symlink_to(tmp_path / "unmounted")
        with pytest.raises(RunError, match="can't write the run directory"):
            RunDir(Path("runs/digits"), new_name="digits").lock()

    def test_auto_starts_where_nothing_is(self, tmp_path: Path) -> None:
        assert not locate("x", tmp_path / "new", "auto").exists()

    def test_auto_and_a_path_go_on_with_the_run_that_is_there(self, run: RunDir) -> None:
        assert locate("x", run.path, "auto").path == run.path
        assert locate("x", None, run.path).path == run.path
        assert locate("x", run.path, str(run.path) + "/.").exists()

    def test_a_run_that_is_there_is_not_begun_again(self, run: RunDir) -> None:
        with pytest.raises(RunError, match=r"isn't empty: .*--resume auto"):
            locate("x", run.path, None)


class TestOut:
    def test_a_folder_of_other_files_is_left_alone(self, tmp_path: Path) -> None:
        check_out(tmp_path / "new" / "below", "page.json")
        check_out(tmp_path, "page.json")
        assert not list(tmp_path.iterdir())
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(UserError, match="holds other files"):
            check_out(tmp_path, "page.json")
        with pytest.raises(UserError, match="is not a folder"):
            check_out(tmp_path / "thesis.tex", "page.json")
        (tmp_path / "page.json").touch()
        check_out(tmp_path, "page.json")

    def test_a_run_is_left_alone_though_it_holds_what_such_a_command_writes(self, run: RunDir) -> None:
        (run.path / "page.json").touch()
        with pytest.raises(UserError, match="is a run directory"):
            check_out(run.path, "page.json")

    @pytest.mark.parametrize("place", ["/proc/x", "/proc/1/x/y", "/dev/null/x"])
    def test_a_place_where_none_can_be_made(self, place: str) -> None:
        with pytest.raises(UserError, match=f"can't write {place}: .*--out"):
            check_out(Path(place), "page.json")


def test_a_path_that_is_no_utf8_is_refused_in_one_readable_line(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"r\xffn")
    path.mkdir()
    for refuse in (
        lambda: RunDir.open(path),
        lambda: locate("x", path, None),
        lambda: locate("x", path / "below", None),
        lambda: check_out(path, "page.json"),
    ):
        with pytest.raises(UserError, match="only paths in UTF-8") as error:
            refuse()
        assert "r\ufffdn" in str(error.value)
