"""Callbacks of the user's own: when they are called, what of them is kept, and how they fail."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import harness
from harness.config.callbacks import CallbackSection
from harness.errors import CallbackFailed, ConfigError
from harness.imports import handed
from harness.training.own_callback import OwnCallback, check

SETTINGS: dict[str, Any] = {"train.length": "12 steps", "evaluate.every": "6 steps", "train.global_batch": 16}


@pytest.fixture
def trained(small_config: Path, tmp_path: Path) -> Callable[..., Any]:
    def train(*callbacks: Any, **settings: Any) -> Any:
        path = tmp_path / "run"
        options: dict[str, Any] = {"quiet": True, "only_training": True, "callbacks": callbacks}
        where: dict[str, Any] = {"resume": path} if path.exists() else {"run_dir": path}
        return harness.train(small_config, **where, **options, **(SETTINGS | settings))

    return train


class Watch(harness.Callback):
    every = "5 steps"

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, float]] = []

    def __call__(self, step: int, state: Any, rows: Any) -> dict[str, Any]:
        norm = float(np.linalg.norm(state.model.get_layer("conv_1").kernel))
        self.seen.append((step, len(rows), norm))
        picture = np.full((4, 6), step, np.uint8)
        return {"norm": norm, "steps": np.int64(step), "note": f"after {step}", "picture": picture}


def test_is_called_when_due_with_the_model_and_the_rows_so_far_and_shown_in_tensorboard(
    trained: Callable[..., Any],
) -> None:
    watch = Watch()
    run = trained(watch)
    rows = run.read_metrics()
    of_callback = [row for row in rows if row["split"] == "callback"]
    assert [step for step, _, _ in watch.seen] == [5, 10]
    assert watch.seen[0][1] == len([row for row in rows if row["step"] <= 5 and row["split"] == "train"])
    assert len({norm for _, _, norm in watch.seen}) == 2
    assert of_callback == [
        {"step": step, "split": "callback", "name": "Watch", "norm": norm, "steps": step, "note": f"after {step}"}
        for step, _, norm in watch.seen
    ]
    events = EventAccumulator(str(run.tensorboard_dir / "train"))
    events.Reload()
    tags = events.Tags()["tensors"]
    assert {"Watch/norm", "Watch/note", "Watch/picture"} <= set(tags)
    assert [event.step for event in events.Tensors("Watch/norm")] == [5, 10]
    values = [tf.make_ndarray(event.tensor_proto).item() for event in events.Tensors("Watch/norm")]
    np.testing.assert_allclose(values, [norm for _, _, norm in watch.seen], rtol=1e-6)


class Ends(harness.Callback):
    every = None

    def __init__(self, *fails: str) -> None:
        self.fails = fails
        self.called: list[str] = []

    def __call__(self, step: int, state: Any, rows: Any) -> dict[str, float]:
        self.called.append(f"call {step}")
        rows.clear()  # its own copy
        return {"self": 1.0}

    def end(self, step: int, state: Any, rows: Any) -> None:
        self.called.append(f"end {step}")

    def close(self) -> None:
        self.called.append("close")
        if "close" in self.fails:
            raise ValueError("no luck")


def test_one_without_an_interval_is_called_between_all_chunks_ended_and_closed_once(
    trained: Callable[..., Any],
) -> None:
    ends = Ends()
    run = trained(ends)
    rows = run.read_metrics()
    assert ends.called == ["call 6", "call 12", "end 12", "close"]
    assert [row["step"] for row in rows if row["split"] == "callback"] == [6, 12]
    assert [row["self"] for row in rows if row["split"] == "callback"] == [1, 1]
    assert [row["step"] for row in rows if row["split"] == "validation"] == [6, 12]


def test_one_that_cannot_be_closed_is_named(trained: Callable[..., Any]) -> None:
    with pytest.raises(CallbackFailed, match=r"callback Ends can't be closed: ValueError: no luck"):
        trained(Ends("close"))


@pytest.mark.slow
def test_a_function_is_a_callback_and_the_config_says_how_often(
    small_config: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "own_callbacks_of_test.py").write_text(
        "def count(step, state, rows, start=0):\n    return {'count': start + step}\n"
    )
    monkeypatch.chdir(tmp_path)
    entry = {"name": "own_callbacks_of_test:count", "every": "4 steps", "start": 100}
    run = harness.train(small_config, tmp_path / "run", quiet=True, only_training=True, callbacks=[entry], **SETTINGS)
    assert run is not None
    assert [row["count"] for row in run.read_metrics() if row["split"] == "callback"] == [104, 108, 112]


@pytest.mark.slow
def test_a_resume_goes_on_with_the_rows_that_came_before(trained: Callable[..., Any]) -> None:
    trained(Watch(), **{"checkpoint.every": "6 steps", "schedule.name": "constant", "schedule.warmup": "0 steps"})
    again = Watch()
    longer = {"train.length": "17 steps", "schedule.name": "constant", "schedule.warmup": "0 steps"}
    run = trained(again, **longer)
    assert [step for step, _, _ in again.seen] == [15]
    assert again.seen[0][1] > 4
    assert [row["step"] for row in run.read_metrics() if row["split"] == "callback"] == [5, 10, 15]


def test_what_is_not_finite_is_null_and_two_of_one_name_are_told_apart(trained: Callable[..., Any]) -> None:
    given = (lambda *_: {"a": float("nan")}), (lambda *_: {"b": 1})
    run = trained(*({"name": function, "every": "12 steps"} for function in given))
    rows = [row for row in run.read_metrics() if row["split"] == "callback"]
    assert rows[-2]["a"] is None
    assert len({row["name"] for row in rows}) == 2
    assert "NaN" not in run.metrics_file.read_text()


def test_one_that_is_never_due_is_told(small_config: Path, call: Callable[..., Any]) -> None:
    settings = ["--set", "train={length: 12 steps, noise_scale: 12 steps}"]
    settings += ["--set", "callbacks=[{name: 'builtins:print', every: 13 steps}]"]
    told = call("train", small_config, *settings, "--dry-run")
    assert told.exit_code == 0
    assert "never" in told.stderr
    assert "train.noise_scale: 12 steps" in told.stderr
    assert "builtins:print" in told.stderr


def failing(step: int, state: Any, rows: Any) -> None:
    raise ValueError("no luck\ntoday")


def leaving(step: int, state: Any, rows: Any) -> None:
    sys.exit(0)


def test_one_that_exits_fails_as_any_other(trained: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(CallbackFailed, match="leaving failed at step 4: SystemExit"):
        trained({"name": leaving, "every": "4 steps"}, **{"train.length": "4 steps"})


def test_what_fails_ends_the_run_and_names_it(trained: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(CallbackFailed, match=r"failing .*step 4: ValueError: no luck \(test_callback\.py:") as told:
        trained({"name": failing, "every": "4 steps"}, **{"train.length": "4 steps"})
    assert "\n" not in str(told.value)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "CallbackFailed" in summary["failure"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda step, state, rows: 3, "returned int"),
        (lambda step, state, rows: {"a": np.zeros((2, 2))}, "a is float64 of shape"),
        (lambda step, state, rows: {"a": None}, "a is object"),
        (lambda step, state, rows: {"step": 3}, "the key step is the row's own"),
        (lambda step, state, rows: {"a": np.zeros((4, 4, 5), np.uint8)}, "a is uint8 of shape"),
        (lambda step, state, rows: {"a": np.zeros((0, 4), np.uint8)}, "a is uint8 of shape"),
    ],
)
def test_what_cannot_be_a_row_is_refused(given: Any, told: str) -> None:
    state: Any = None  # of no use to these
    with pytest.raises(CallbackFailed, match=told) as failure:
        OwnCallback("given", given)(12, state, [])
    assert "callback given" in str(failure.value)
    assert "\n" not in str(failure.value)


class Odd(harness.Callback):
    every = "often"

    def __call__(self, step: int, state: Any, rows: Any) -> None:
        pass


def with_a_log(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def called(step: int, state: Any, rows: Any) -> Any:
        return call(step, state, rows, log=print)

    return called


@with_a_log
def decorated(step: int, state: Any, rows: Any, log: Any) -> dict[str, float]:
    return {"step_seen": float(step)}


@pytest.mark.parametrize("entry", [decorated, functools.partial(decorated), functools.lru_cache(decorated)])
def test_what_can_be_called_is_a_callback(entry: Any) -> None:
    with handed({"own:callback": entry}):
        check(CallbackSection(name="own:callback", every=None))


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": "nowhere_of_test:x"}, "no module nowhere_of_test"),
        ({"name": "norms"}, "one of mlflow, wandb, package.module:name"),
        (Odd(), "says every = 'often'"),
        ({"name": "datetime:date", "every": "1 epoch", "width": 3}, "has no __call__"),
        ({"name": "sys:path", "every": "1 epoch"}, "is list"),
        (3, "is int"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_is_written(
    trained: Callable[..., Any], tmp_path: Path, entry: Any, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        trained(entry)
    assert not (tmp_path / "run").exists()
