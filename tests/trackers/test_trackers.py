"""Mirrors in MLflow and Weights & Biases, by the libraries themselves: a database of MLflow's, and W&B offline."""

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.config import Config, load, resolve
from harness.console.terminal import Terminal
from harness.errors import CallbackFailed, Stopped, UserError
from harness.runs.run_dir import RunDir
from harness.trackers.mirror import catch_up, tracker_mirrors
from harness.trackers.wandb_tracker import rows_logged_before
from harness.training.rows import MetricsFile

# MLflow 3.17 with SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

MLFLOW, WANDB = {"name": "mlflow"}, {"name": "wandb", "mode": "offline"}
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def nothing_leaves_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    for kind in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{kind}_DIR", str(tmp_path_factory.getbasetemp() / "wandb"))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where MLflow keeps all runs of these tests: to make its tables takes two seconds."""
    yield f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    import wandb

    wandb.teardown()


@pytest.fixture(autouse=True)
def tracked_there(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)


def config_with(*callbacks: Row) -> Config:
    return resolve({"callbacks": list(callbacks)})


def of_train(step: int, loss: float = 0.5) -> Row:
    return {"step": step, "split": "train", "loss": loss, "accuracy": 0.5, "learning_rate": 0.1}


@pytest.fixture
def mirrored(tmp_path: Path) -> Callable[..., Any]:
    """Feed rows and checkpoints (their steps) to the run's mirrors, as a training that goes on from `step` would, and
    call what is a function."""
    run = RunDir(tmp_path / "run")

    def feed(
        *given: Row | int | Callable[[], None], config: Config, step: int = 0, error: BaseException | None = None
    ) -> RunDir:
        run.path.mkdir(exist_ok=True)
        run.begin(config)
        run.rewind_metrics(step)
        rows = run.read_metrics()
        with ExitStack() as stack:
            file = MetricsFile(run.metrics_file)
            stack.callback(file.close)
            stack.enter_context(suppress(*([type(error)] if error else [])))
            tracked = [
                stack.enter_context(each) for each in tracker_mirrors(config, run, rows, step, Terminal(quiet=True))
            ]
            for each in given:
                if callable(each):
                    each()
                elif isinstance(each, int):
                    for mirror in tracked:
                        mirror.saved(each)
                else:
                    rows.append(each)
                    file.write(each)
            if error:
                raise error
        return run

    return feed


def in_mlflow(run: RunDir) -> Any:
    from mlflow import MlflowClient

    return MlflowClient().get_run(json.loads(run.trackers_file.read_text())["mlflow"]["run_id"])


def points(run: RunDir) -> list[tuple[str, int, float]]:
    """All that MLflow has of a run: name, step, value."""
    from mlflow import MlflowClient

    found, client = in_mlflow(run), MlflowClient()
    histories = [client.get_metric_history(found.info.run_id, key) for key in found.data.metrics]
    return sorted((point.key, point.step, point.value) for history in histories for point in history)


def points_of(rows: list[Row]) -> list[tuple[str, int, float]]:
    """The same of rows of metrics.jsonl, but for those of callbacks."""
    values = [(row, key, value) for row in rows for key, value in row.items() if key not in ("step", "split")]
    return sorted((f"{row['split']}/{key}", row["step"], float(value)) for row, key, value in values)


def records_of(folder: Path) -> Iterator[Any]:
    """What W&B wrote into a folder: a log in LevelDB's format, blocks of 32 KiB of records with a head of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    data, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 0x8000 - place % 0x8000 < 7:  # no room for a head
            place += 0x8000 - place % 0x8000
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def in_wandb(run: RunDir) -> tuple[list[Row], Row, int | None]:
    """The history, the summary and the exit code that W&B has in the run's one folder."""
    (folder,) = (run.path / "wandb").glob("offline-run-*")
    history: list[Row] = []
    summary: Row = {}
    exit_code = None
    for record in records_of(folder):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            history.append(
                {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            )
        if kind == "summary":
            summary |= {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.summary.update
            }
        if kind == "exit":
            exit_code = record.exit.exit_code
    own = [{key: value for key, value in row.items() if not key.startswith("_")} for row in history]
    return own, summary, exit_code


def history_of(rows: list[Row]) -> list[Row]:
    """The same of rows of metrics.jsonl, but for those of callbacks."""
    return [
        {"step": row["step"]}
        | {f"{row['split']}/{key}": value for key, value in row.items() if key not in ("step", "split")}
        for row in rows
        if row["split"] != "test"
    ]


def failing_once(step: int, state: Any, rows: Any) -> None:
    if not failing_once.failed and step == 11:  # type: ignore[attr-defined]
        failing_once.failed = True  # type: ignore[attr-defined]
        raise RuntimeError("as asked for")


failing_once.failed = False  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_run_that_failed_and_was_resumed_has_exactly_its_rows_in_both(
    small_config: Path, tiny_model: str, tmp_path: Path
) -> None:
    config = load(small_config, [tiny_model])
    settings: dict[str, Any] = {"train.length": "12 steps", "train.global_batch": 16, "evaluate.every": "6 steps"}
    settings |= {"checkpoint.every": "4 steps", "metrics": {"top_2": {"name": "top_k", "k": 2}}}
    callbacks = [MLFLOW, WANDB, {"name": failing_once, "every": "1 step"}]
    with pytest.raises(CallbackFailed, match="as asked for"):
        harness.train(config, tmp_path / "run", quiet=True, callbacks=callbacks, with_report=False, **settings)
    run = harness.RunDir.open(tmp_path / "run")
    first = in_mlflow(run)
    assert first.info.status == "FAILED"
    assert max(row["step"] for row in run.read_metrics()) == 11
    assert max(step for _, step, _ in points(run)) == 8  # those after the checkpoint the resume will cut off
    assert [row["step"] for row in in_wandb(run)[0]][-1] == 8
    harness.train(config, resume=run.path, quiet=True, callbacks=callbacks, with_report=False, **settings)

    rows, found = run.read_metrics(), in_mlflow(run)
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert points(run) == points_of(rows)
    assert (found.info.run_id, found.info.status) == (first.info.run_id, "FINISHED")
    assert found.data.params["train.length"] == "12 steps"
    assert found.data.params["metrics.top_2.k"] == "2"
    assert found.data.tags["run"] == str(run.path)
    assert found.data.tags["version.tensorflow"] == run.read_summary()["versions"]["tensorflow"]
    history, summary, exit_code = in_wandb(run)
    assert history == history_of(rows)
    assert summary["test/accuracy"] == run.read_summary()["test"]["accuracy"]
    assert exit_code == 0

    run.trackers_file.unlink()
    harness.train(config, resume=run.path, quiet=True, callbacks=[MLFLOW], with_report=False, **settings)
    assert run.read_metrics() == rows  # it was complete
    assert in_mlflow(run).info.run_id != found.info.run_id
    assert points(run) == points_of(rows)


@pytest.mark.parametrize("error", [Stopped("stopped", 15), KeyboardInterrupt(), RuntimeError("broken")], ids=repr)
def test_how_a_run_ended_is_told(mirrored: Callable[..., RunDir], error: BaseException) -> None:
    run = mirrored(of_train(4), 4, config=config_with(MLFLOW), error=error)
    assert in_mlflow(run).info.status == ("FAILED" if isinstance(error, RuntimeError) else "KILLED")


def test_what_arrived_before_a_crash_is_not_sent_again(mirrored: Callable[..., RunDir]) -> None:
    config = config_with(MLFLOW, WANDB)
    run = mirrored(of_train(4), 4, of_train(6), config=config, error=RuntimeError())
    mirrored(of_train(8), 8, config=config, step=4)
    assert points(run) == points_of([of_train(4), of_train(8)])
    assert in_wandb(run)[0] == history_of([of_train(4), of_train(8)])
    assert "abandoned" not in in_mlflow(run).data.tags


def test_rows_that_only_the_run_has_are_sent_when_it_is_resumed(mirrored: Callable[..., RunDir]) -> None:
    """The process died between its checkpoint and the tracker."""
    config = config_with(MLFLOW)
    run = mirrored(of_train(4), 4, of_train(8), config=config, error=RuntimeError())
    mirrored(config=config, step=8)
    assert points(run) == points_of([of_train(4), of_train(8)])


def test_points_behind_a_damaged_checkpoint_are_marked(mirrored: Callable[..., RunDir]) -> None:
    config = config_with(MLFLOW, WANDB)
    run = mirrored(of_train(4), 4, of_train(6), of_train(8), 8, config=config)
    mirrored(of_train(8, loss=0.25), 8, config=config, step=4)
    assert {("train/loss", 8, 0.5), ("train/loss", 8, 0.25)} <= set(points(run))
    assert "2 steps from 6 to 8" in in_mlflow(run).data.tags["abandoned"]
    assert in_wandb(run)[0] == history_of([of_train(4), of_train(8, loss=0.25)])


def test_a_tracker_that_is_away_is_told_once_and_gets_everything_later(
    mirrored: Callable[..., RunDir],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def is_back() -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", database)

    rows = [of_train(step) for step in (4, 8, 12)]
    run = mirrored(rows[0], 4, rows[1], 8, is_back, rows[2], 12, config=config_with(MLFLOW))
    told = [line for line in capfd.readouterr().err.splitlines() if "mlflow can't be written to" in line]
    assert len(told) == 1
    assert "resume" in told[0]
    assert points(run) == points_of(rows)


def test_what_a_resume_changes_of_the_config_is_a_tag(mirrored: Callable[..., RunDir]) -> None:
    run = mirrored(of_train(4), 4, config=config_with(MLFLOW))
    longer = config_with(MLFLOW).with_length(resolve({"train": {"length": "9 epochs"}}).train.length)
    mirrored(of_train(8), 8, config=longer, step=4)
    found = in_mlflow(run)
    assert found.data.params["train.length"] == "5 epochs"
    assert {key: value for key, value in found.data.tags.items() if key.startswith("now.")} == {
        "now.train.length": "9 epochs"
    }


def test_what_callbacks_write_arrives_whatever_it_is_called(mirrored: Callable[..., RunDir]) -> None:
    row = {"step": 4, "split": "callback", "name": "Mine", "acc@5//x": 0.5, "bad": None, "note": "all well"}
    run = mirrored(row, 4, config=config_with(MLFLOW, WANDB))
    assert points(run) == [("callback/Mine/acc_5/x", 4, 0.5)]
    assert in_mlflow(run).data.tags["callback/Mine/note"] == "all well"
    expected = {"step": 4, "callback/Mine/acc@5//x": 0.5, "callback/Mine/note": "all well"}
    assert in_wandb(run)[0] == [expected]


def test_a_finished_run_is_mirrored_afterwards(mirrored: Callable[..., RunDir]) -> None:
    test = {"step": 8, "split": "test", "loss": 0.5, "accuracy": 0.75, "examples": 10}
    run = mirrored(of_train(8), 8, test, config=config_with())
    assert not run.trackers_file.exists()
    catch_up(config_with(MLFLOW), run, Terminal(quiet=True))
    assert points(run) == points_of([of_train(8), test])
    assert in_mlflow(run).info.status == "FINISHED"


def test_a_library_that_is_missing_is_told_with_the_command_that_brings_it(
    small_config: Path, tmp_path: Path, without_package: Callable[[str], None]
) -> None:
    without_package("wandb")
    with pytest.raises(UserError, match=r"wandb needs wandb.*: .* -m pip install 'wandb>=") as failure:
        harness.train(small_config, tmp_path / "run", callbacks=[WANDB])
    assert "\n" not in str(failure.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("logged", "own", "abandoned", "expected"),
    [
        (0, 0, 0, (0, 0)),
        (3, 3, 0, (3, 0)),
        (3, 5, 0, (3, 0)),  # two are to be sent
        (3, 1, 0, (1, 2)),  # two of a branch that was left
        (5, 3, 2, (3, 2)),  # as after that, with two sent in their place
        (6, 2, 2, (2, 4)),
    ],
)
def test_rows_that_take_the_place_of_abandoned_ones_are_sent(
    logged: int, own: int, abandoned: int, expected: tuple[int, int]
) -> None:
    assert rows_logged_before(logged, own, abandoned) == expected
