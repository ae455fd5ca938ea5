"""YAML text and `--set` assignments → a checked Config, and back."""

import os
from copy import deepcopy
from pathlib import Path

import pytest

from harness.config import Config, dump, load, resolve
from harness.config.loss import Focal
from harness.config.optimizer import SGD, Adam
from harness.config.yaml_text import parse
from harness.errors import ConfigError

FULL = """\
name: full-1.2_x
seed: 7
data: {source: somewhere.npz, validation: 12, shift: 2, augment: [{name: flip}, {name: "mine:noise", strength: 2}]}
model: {name: cnn_two_pools, input: {color: grey, size: [30, 32], normalize: {mean: [0.5], std: [0.25]}}}
cluster: {strategy: mirrored, gpus: [0, 3]}
train: {length: 0.1 epochs, global_batch: 96, micro_batch: 7, clip_norm: 1.0, ema: 0.999}
loss: {name: focal, gamma: 1.5, class_weights: [1, 2.5]}
metrics: {top_3: {name: top_k, k: 3}, own: {name: "mine:right", alpha: 0.3}}
optimizer: {name: sgd, learning_rate: 1e-3, momentum: 0.8}
schedule: {name: cosine, warmup: 0 steps}
evaluate: {every: 300 steps, batch: 17}
checkpoint: {every: 2.5 minutes, keep: 1}
tensorboard: {histograms: 20000 examples, images: 0}
insight: {images: 3, methods: [gradcam]}
"""


def from_text(text: str, *assignments: str) -> Config:
    return resolve(parse(text.encode(), "a.yaml"), assignments, "a.yaml")


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert Config().model_dump(mode="json") == {
        "name": "run",
        "based_on": None,
        "seed": 0,
        "data": {
            "source": "mnist",
            "scale": None,
            "validation": 5000,
            "stratify": False,
            "fold": None,
            "subset": None,
            "shift": 0,
            "augment": [],
            "placement": "auto",
            "size": None,
            "resize": "crop",
            "channels": None,
            "test": "20 %",
            "split_seed": 0,
            "image_feature": "image/encoded",
            "label_feature": "image/class/label",
        },
        "model": {
            "name": "cnn",
            "file": None,
            "freeze": [],
            "input": {"color": None, "size": None, "normalize": None},
        },
        "loss": {"name": "cross_entropy", "label_smoothing": 0.0, "class_weights": None},
        "metrics": {},
        "cluster": {
            "strategy": "auto",
            "gpus": None,
            "logical_cpus": None,
            "logical_gpus": None,
            "all_reduce": "auto",
            "start_timeout": 300.0,
        },
        "train": {
            "length": "5 epochs",
            "target": None,
            "early_stop": None,
            "max_seconds": None,
            "global_batch": 128,
            "micro_batch": None,
            "clip_norm": None,
            "ema": None,
            "precision": "float32",
            "tf32": False,
            "jit": "auto",
            "deterministic": "auto",
            "on_nonfinite": "stop",
            "noise_scale": None,
        },
        "optimizer": {"name": "adam", "learning_rate": 0.003},
        "schedule": {"name": "linear", "warmup": "20 %"},
        "evaluate": {"every": "1 epoch", "batch": 250},
        "checkpoint": {"every": "1 epoch", "keep": 3, "best": {"metric": "validation.accuracy", "mode": None}},
        "tensorboard": {"histograms": None, "images": 16},
        "insight": {
            "images": 20,
            "methods": ["lrp", "occlusion", "gradient"],
            "layer": None,
            "every": None,
            "metrics": False,
            "filters": True,
            "budget": "2 minutes",
        },
        "callbacks": [],
    }


@pytest.mark.parametrize("text", ["name: x", FULL, "train: {length: 0.00001 epochs}", "optimizer: {name: adamw}"])
def test_what_is_dumped_reads_back_equal(text: str, tmp_path: Path) -> None:
    config = from_text(text)
    (tmp_path / "again.yaml").write_text(dump(config))
    assert load(tmp_path / "again.yaml") == config


@pytest.mark.parametrize(("written", "meant"), [("on", "on"), ("off", "off"), ("'on'", "on"), ("auto", "auto")])
def test_words_that_yaml_takes_for_true_and_false_are_words(written: str, meant: str) -> None:
    config = from_text(f"train: {{jit: {written}}}")
    assert config.train.jit == from_text("name: x", f"train.jit={written}").train.jit == meant
    assert from_text(dump(config)) == config


def test_a_config_can_not_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 1


def test_whole_numbers_will_do_where_a_fraction_is_meant() -> None:
    assert from_text("train: {clip_norm: 1}").train.clip_norm == 1.0


def test_a_section_without_a_name_is_of_the_default_one() -> None:
    """So that a rate can be set where a file says nothing of its optimizer."""
    assert resolve({}, ["optimizer.learning_rate=0.1"]).optimizer == Adam(learning_rate=0.1)
    adam = {"optimizer": {"learning_rate": 0.7}, "loss": {"label_smoothing": 0.1}}
    assert resolve(deepcopy(adam)).optimizer == Adam(learning_rate=0.7)
    assert resolve(deepcopy(adam), ["optimizer.name=adam"]).optimizer == Adam(learning_rate=0.7)
    other = resolve(deepcopy(adam), ["optimizer.name=sgd", "loss.name=focal"])
    assert (other.optimizer, other.loss) == (SGD(), Focal(name="focal"))
    with pytest.raises(ConfigError, match=r"optimizer\.momentum: unknown key for adam; .*optimizer\.name=sgd"):
        resolve({}, ["optimizer.momentum=0.9"])


class TestSet:
    def test_reads_the_value_as_yaml(self) -> None:
        assert from_text("name: x", "train.global_batch=256").train.global_batch == 256
        assert from_text("name: x", "train.clip_norm=1e-1").train.clip_norm == 0.1
        assert from_text(FULL, "cluster.gpus=null").cluster.gpus is None
        assert from_text(FULL, "cluster.gpus=[1]").cluster.gpus == [1]
        assert str(from_text(FULL, "train.length='2 epochs'").train.length) == "2 epochs"
        assert str(from_text(FULL, "train.length=2 epochs").train.length) == "2 epochs"

    def test_the_value_may_hold_equals_signs(self) -> None:
        assert from_text("name: x", "data.source=a=b.npz").data.source == os.path.abspath("a=b.npz")

    def test_the_last_one_counts(self) -> None:
        assert from_text("seed: 1", "seed=2", "seed=3").seed == 3

    def test_makes_a_section_that_the_file_lacks(self) -> None:
        assert from_text("name: x", "schedule.name=cosine").schedule.name == "cosine"

    def test_leaves_the_other_keys_of_a_section_alone(self) -> None:
        config = from_text(FULL, "train.global_batch=8")
        assert (config.train.global_batch, config.train.micro_batch) == (8, 7)

    def test_a_whole_section_replaces_what_stood_there(self) -> None:
        config = from_text(FULL, "optimizer={name: adam, learning_rate: 0.5}", "train={global_batch: 8}")
        assert config.optimizer.model_dump() == {"name": "adam", "learning_rate": 0.5}
        assert (config.train.global_batch, config.train.micro_batch) == (8, None)

    def test_another_name_brings_its_own_defaults_where_it_decides_the_keys(self) -> None:
        adam = {"optimizer": {"name": "adam", "learning_rate": 0.5}}
        assert resolve(deepcopy(adam), ["optimizer.name=sgd"]).optimizer.model_dump() == {
            "name": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "nesterov": False,
        }
        assert resolve(deepcopy(adam), ["optimizer.name=adam"]).optimizer.learning_rate == 0.5
        assert from_text(FULL, "schedule.name=linear").schedule == from_text(FULL).schedule.model_copy(
            update={"name": "linear"}
        ), "all schedules have the same keys"

    @pytest.mark.parametrize("turn", [1, -1])
    def test_what_is_set_beside_another_name_counts_whichever_comes_first(self, turn: int) -> None:
        both = ["optimizer.learning_rate=0.7", "optimizer.name=adamw"][::turn]
        assert from_text(FULL, *both).optimizer.model_dump() == {
            "name": "adamw",
            "learning_rate": 0.7,
            "weight_decay": 0.004,
            "decay_biases": True,
        }

    def test_another_name_leaves_a_config_known_by_its_own(self) -> None:
        named = from_text(FULL, "name=first")
        again = resolve(named.model_dump(mode="json"), ["name=second"])
        assert [config.name for config in (from_text(FULL), named, again)] == ["full-1.2_x", "first", "second"]
        assert {config.origin for config in (from_text(FULL), named, again)} == {"full-1.2_x"}

    def test_a_list_is_replaced_not_added_to(self) -> None:
        assert from_text(FULL, "insight.methods=[gradient]").insight.methods == ["gradient"]

    def test_an_empty_value_is_null(self) -> None:
        assert from_text(FULL, "train.ema=").train.ema is None


class TestLoad:
    def test_a_file_stands_before_a_shipped_config_of_the_same_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mnist").write_text("name: mine")
        assert load("mnist").name == "mine"

    def test_a_bare_name_finds_the_shipped_config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert load("mnist").name == "mnist"

    def test_bytes_with_a_byte_order_mark_are_text(self, tmp_path: Path) -> None:
        (tmp_path / "bom.yaml").write_bytes("name: x".encode("utf-8-sig"))
        (tmp_path / "utf16.yaml").write_bytes("name: x".encode("utf-16"))
        assert load(tmp_path / "bom.yaml").name == "x"
        assert load(tmp_path / "utf16.yaml").name == "x"

    def test_windows_line_ends_are_no_matter(self, tmp_path: Path) -> None:
        (tmp_path / "crlf.yaml").write_bytes(FULL.replace("\n", "\r\n").encode())
        assert load(tmp_path / "crlf.yaml") == from_text(FULL)


@pytest.mark.parametrize(
    ("text", "assignments", "place"),
    [
        ("seed: -1", ["train.global_batch=8"], "a.yaml: seed:"),
        ("seed: -1", ["seed=-2"], "a.yaml with --set: seed:"),
        ("seed: 1", ["seed=-1"], "a.yaml with --set: seed:"),
        ("train: {global_batch: 8}", ["train={global_batch: 0}"], "a.yaml with --set: train.global_batch:"),
        ("name: x", ["data.augment=[{name: flip}, {name: spin}]"], "a.yaml with --set: data.augment[1]:"),
        (
            "train: {target: {metric: validation.top5, at_least: 1}}\nmetrics: {top5: {name: top_k}}",
            ["metrics={}"],
            "a.yaml with --set: train.target.metric:",
        ),
        ("optimizer: {name: adma}", ["optimizer.learning_rate=0.1"], "a.yaml: optimizer:"),
        (
            "optimizer: {name: sgd, momentum: 0, nesterov: true}",
            ["optimizer.learning_rate=0.5", "evaluate.batch=x"],
            "a.yaml: optimizer:",
        ),
        ("optimizer: {name: adam}", ["optimizer.name=adma", "seed=3"], "a.yaml with --set: optimizer:"),
        ("name: x", ["train.noise_scale=9 steps", "train.global_batch=1"], "a.yaml with --set: train:"),
    ],
)
def test_a_mistake_is_placed_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, assignments: list[str], place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load("a.yaml", assignments)
    assert str(refused.value).startswith(f"{place} ")


def test_a_config_knows_the_import_paths_in_it() -> None:
    tree = {
        "data": {"source": "own.data:arrays", "augment": [{"name": "flip"}, {"name": "own:augment", "name_of": "a:b"}]},
        "model": {"name": "own.models:net", "inner": {"name": "not:ours"}},
        "metrics": {"mine": {"name": "own:metric"}},
        "callbacks": [{"name": "own:callback", "every": "1 epoch"}],
    }
    assert resolve(tree).import_paths() == {
        "data.source": "own.data:arrays",
        "data.augment[1].name": "own:augment",
        "model.name": "own.models:net",
        "metrics.mine.name": "own:metric",
        "callbacks[0].name": "own:callback",
    }
    assert resolve({"data": {"source": "folder:photos"}}).import_paths() == {}
