"""A user's mistake is one line on standard error and exit code 2: no traceback, nothing created or changed."""

import io
import os
import shutil
import socket
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import KilledRun, Result


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything below `folder`: path → content, None for what is no file."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)


@pytest.fixture
def refused(call: Callable[..., Result], tmp_path: Path) -> Callable[..., str]:
    """Run `harness` and demand a refusal that leaves everything as it was; gives what was said."""

    def run(*arguments: object) -> str:
        before = listing(tmp_path)
        result = call(*arguments)
        assert result.exit_code == 2, result
        assert_short(result.stderr)
        assert listing(tmp_path) == before
        return result.stderr

    return run


def assert_short(said: str) -> None:
    lines = said.splitlines()
    assert lines
    assert len(lines) == 1, said
    assert lines[0].startswith("error: "), said
    assert "Traceback" not in said


class TestConfigFile:
    @pytest.mark.parametrize("command", ["train", "config", "bench"])
    def test_missing(self, refused: Callable[..., str], command: str) -> None:
        said = refused(command, "nowhere.yaml")
        assert "nowhere.yaml" in said
        assert "mnist" in said, "names the shipped ones"

    def test_folder(self, refused: Callable[..., str], tmp_path: Path) -> None:
        assert "is a folder" in refused("train", tmp_path)

    @pytest.mark.parametrize(
        ("name", "content", "fix"),
        [
            ("my images", None, "imagefolder --set 'data.source=folder:my images'"),
            ("table.csv", "path,label", "imagefolder --set data.source=csv:table.csv"),
            ("digits.npz", "PK", "mnist --set data.source=digits.npz"),
        ],
    )
    @pytest.mark.parametrize("command", ["data", "train"])
    def test_data_in_place_of_a_config(
        self, refused: Callable[..., str], tmp_path: Path, command: str, name: str, content: str | None, fix: str
    ) -> None:
        if content is None:
            (tmp_path / name / "cat").mkdir(parents=True)
        else:
            (tmp_path / name).write_text(content)
        assert refused(command, name).rstrip().endswith(fix)

    def test_no_name(self, refused: Callable[..., str]) -> None:
        assert "empty" in refused("train", "")

    def test_unreadable_by_anyone(self, refused: Callable[..., str]) -> None:
        assert "/proc/self/mem" in refused("config", "/proc/self/mem")

    def test_name_longer_than_the_system_takes(self, refused: Callable[..., str]) -> None:
        assert f"{'x' * 300}: no such config file" in refused("config", "x" * 300)

    def test_link_to_itself(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        assert "loop" in refused("config", "loop")

    @pytest.mark.parametrize("data", [b"\xff\xfe\x00\x01\x80", b"\x89PNG\r\n\x1a\n\x00", bytes(range(256))])
    def test_binary(self, refused: Callable[..., str], tmp_path: Path, data: bytes) -> None:
        (tmp_path / "a.yaml").write_bytes(data)
        assert "a.yaml" in refused("config", "a.yaml")

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("name: a\ntrain: {length: 5 epochs\n", 3),
            ("name: a\nseed: 1: 2\n", 2),
            ("name: a\n\tseed: 1\n", 2),
            ("name: a\nseed: *nothing\n", 2),
            ("name: a\nseed: !!python/name:os.system x\n", 2),
            ("name: a\nseed: 1\nname: b\n", 3),
            ("name: a\n---\nname: b\n", 2),
        ],
    )
    def test_no_yaml(self, refused: Callable[..., str], tmp_path: Path, text: str, line: int) -> None:
        (tmp_path / "a.yaml").write_text(text)
        assert f"a.yaml:{line}: " in refused("config", "a.yaml")

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "hello", "42", "null"])
    def test_no_mapping(self, refused: Callable[..., str], tmp_path: Path, text: str) -> None:
        (tmp_path / "a.yaml").write_text(text)
        assert "expected 'key: value' lines" in refused("config", "a.yaml")

    def test_nested_without_end(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("name: " + "[" * 2000)
        assert "a.yaml" in refused("config", "a.yaml")
        refused("config", "mnist", "--set", "name=" + "[" * 2000)


# What stands in the config, then what the message must name: the key, the value, the limit or the valid names.
WRONG = [
    ("nmae: x", "nmae: unknown key", "'name'"),
    ("trian: {}", "trian: unknown key", "'train'"),
    ("train: {lenght: 5 epochs}", "train.lenght: unknown key", "'length'"),
    ("optimizer: {name: adam, learning_rat: 1}", "optimizer.learning_rat: unknown key", "'learning_rate'"),
    ("optimizer: {name: adam, momentum: 0.9}", "optimizer.momentum: unknown key", "adam", "optimizer.name=sgd"),
    ("optimizer: {name: sgd, weight_decay: 0.9}", "optimizer.weight_decay: unknown key", "optimizer.name=adamw"),
    ("optimizer: {name: sgd, momentun: 0.9}", "optimizer.momentun: unknown key", "did you mean 'momentum'"),
    ("train_length: 3 steps", "train_length: unknown key", "did you mean 'train.length'"),
    ("lenght: 3 steps", "lenght: unknown key", "did you mean 'train.length'"),
    ("data: {source: 'FOLDER:a/b'}", "data.source", "no kind of source FOLDER:", "did you mean 'folder'"),
    ("data: {source: 'npz:a/b.npz'}", "data.source", "leave npz: out"),
    ("data: {source: 's3://a/b.npz'}", "data.source", "is an address"),
    ("data: {source: 'mnist:/a'}", "data.source", "mnist takes no path"),
    ("optimizer: {name: adma}", "optimizer", "'adma'", "adam, adamw, sgd", "did you mean 'adam'"),
    ("optimizer: {name: 3}", "optimizer", "3", "adam, adamw, sgd"),
    ("optimizer: {name: [a]}", "optimizer", "adam, adamw, sgd"),
    ("optimizer: {name: null}", "optimizer", "adam, adamw, sgd"),
    ("optimizer: adam", "optimizer", "section", "'adam'"),
    ("model: {name: resnet}", "model.name", "'resnet'", "cnn, cnn_two_pools"),
    ("model: cnn", "model", "section", "'cnn'"),
    ("schedule: {name: step}", "schedule.name", "'step'", "constant, linear, cosine"),
    ("schedule: {name: Linear}", "schedule.name", "'Linear'", "did you mean 'linear'"),
    (
        "cluster: {strategy: mirored}",
        "cluster.strategy",
        "auto, single, mirrored, multi_worker",
        "did you mean",
    ),
    ("insight: {methods: [grad]}", "insight.methods", "gradient, gradient_times_input, smoothgrad"),
    ("insight: {methods: gradient}", "insight.methods", "'gradient'"),
    ("insight: {methods: [lrp, grad]}", "insight.methods[1]", "gradient"),
    ("insight: {images: 0}", "insight.images", "1", "0"),
    ("seed: true", "seed", "integer", "True"),
    ("seed: 1.5", "seed", "integer", "1.5"),
    ("seed: '1'", "seed", "integer", "'1'"),
    ("seed: -1", "seed", "0", "-1"),
    ("seed: 2147483648", "seed", "less than 2147483648"),
    ("seed: null", "seed", "integer"),
    ("train: {global_batch: true}", "train.global_batch", "integer", "True"),
    ("train: {global_batch: 0}", "train.global_batch", "1", "got 0"),
    ("train: {global_batch: 128.0}", "train.global_batch", "integer", "128.0"),
    ("train: {global_batch: many}", "train.global_batch", "integer", "'many'"),
    ("train: {global_batch: 99999999999999999999}", "train.global_batch", "99999999999999999999"),
    ("data: {source: 'idx:'}", "data.source", "idx:PATH"),
    ("data: {scale: [1, 0]}", "data.scale", "[1, 0]", "such as [0, 1]"),
    ("data: {scale: 255}", "data.scale", "255", "such as [0, 1]"),
    ("data: {fold: two}", "data.fold", "2/5", "'two'"),
    ("data: {fold: 6/5}", "data.fold", "from 1/5 to 5/5", "'6/5'"),
    ("data: {fold: 0/5}", "data.fold", "from 1/5 to 5/5", "'0/5'"),
    ("data: {fold: 1/1}", "data.fold", "2 to 9,999 folds", "'1/1'"),
    ("data: {test: -5.5 %}", "data.test", "0 % or more", "'-5.5 %'"),
    ("data: {fold: 2}", "data.fold", "such as 2/5, got 2"),
    ("data: {fold: -1/5}", "data.fold", "from 1/5 to 5/5", "'-1/5'"),
    ("data: {subset: -1}", "data.subset", "0 or more", "-1"),
    ("data: {subset: half}", "data.subset", "10 %", "'half'"),
    ("data: {validation: 100 %}", "data.validation", "less than 100 %", "'100 %'"),
    ("data: {validation: 0.1}", "data.validation", "10 %", "0.1"),
    ("train: {micro_batch: 0}", "train.micro_batch", "got 0"),
    ("train: {clip_norm: .nan}", "train.clip_norm", "finite", "nan"),
    ("train: {clip_norm: .inf}", "train.clip_norm", "finite", "inf"),
    ("train: {clip_norm: 0}", "train.clip_norm", "more than 0"),
    ("train: {label_smoothing: 1}", "loss.label_smoothing", "less than 1"),  # where version 0.1.0 had it
    ("{train: {label_smoothing: 0.1}, loss: {label_smoothing: 0.2}}", "old name", "0.1", "0.2", "loss.label_smoothing"),
    ("{train: {label_smoothing: 0.1}, loss: {name: focal}}", "loss.label_smoothing", "unknown key"),
    ("train: {early_stop: {patience: 0}}", "train.early_stop.patience", "1 or more"),
    ("train: {early_stop: {metric: validation.los}}", "train.early_stop.metric", "did you mean 'validation.loss'"),
    ("train: {target: {metric: validation.own, at_least: 1}}", "train.target.metric", "'validation.own' is not one of"),
    ("checkpoint: {best: {metric: validation.loss, mode: max}}", "checkpoint.best", "mode max", "leave it out"),
    ("{metrics: {top: {name: top_k}}, checkpoint: {best: {metric: validation.top}}}", "checkpoint.best", "needs mode"),
    ("loss: {name: focel}", "loss", "'focel' is not one of", "package.module:name", "did you mean 'focal'"),
    ("loss: {name: 5}", "loss", "'5' is not one of", "package.module:name"),
    ("loss: {label_smothing: 0.1}", "loss.label_smothing", "did you mean 'label_smoothing'"),
    ("loss: {name: focal, label_smoothing: 0.1}", "loss.label_smoothing", "unknown key", "gamma"),
    ("loss: {name: focal, gamma: -1}", "loss.gamma", "0 or more"),
    ("loss: {class_weights: [1, -1]}", "loss.class_weights[1]", "0 or more", "-1"),
    ("loss: focal", "loss", "expected a section", "'focal'"),
    ("metrics: {top: top_k}", "metrics.top", "expected a section", "'top_k'"),
    ("metrics: {top: {k: 3}}", "metrics.top", "'name' is missing", "top_k", "package.module:name"),
    ("metrics: {top: {name: topk}}", "metrics.top", "did you mean 'top_k'"),
    ("metrics: {top: {name: top_k, k: 0}}", "metrics.top.k", "1 or more"),
    ("metrics: {top: {name: top_k, n: 3}}", "metrics.top.n", "unknown key", "k"),
    ("metrics: {accuracy: {name: brier}}", "metrics.accuracy", "choose another", "'accuracy'"),
    ("metrics: {top-5: {name: top_k}}", "metrics.top-5", "letters, digits"),
    ("train: {ema: 1}", "train.ema", "less than 1"),
    ("train: {noise_scale: 10 minutes}", "train.noise_scale", "epochs, steps or examples", "'10 minutes'"),
    ("train: {noise_scale: 10}", "train.noise_scale", "'5 epochs'", "got 10"),
    ("train: {noise_scale: 0 steps}", "train.noise_scale", "more than zero"),
    ("train: {noise_scale: 10 steps, global_batch: 1}", "noise_scale", "train.global_batch", "2 or more"),
    ("train: [1]", "train", "section", "[1]"),
    ("train:", "train", "section", "nothing"),
    ("optimizer: {name: adam, learning_rate: .nan}", "optimizer.learning_rate", "finite", "nan"),
    ("optimizer: {name: adam, learning_rate: -.inf}", "optimizer.learning_rate", "finite", "-inf"),
    ("optimizer: {name: adam, learning_rate: 1e400}", "optimizer.learning_rate", "finite", "inf"),
    ("optimizer: {name: adam, learning_rate: 0}", "optimizer.learning_rate", "must be more than 0,"),
    ("optimizer: {name: adam, learning_rate: true}", "optimizer.learning_rate", "number", "True"),
    ("optimizer: {name: sgd, momentum: 1}", "optimizer.momentum", "less than 1"),
    ("train: {length: 5}", "train.length", "'5 epochs'", "epochs, steps, examples", "got 5"),
    ("train: {length: epochs}", "train.length", "'5 epochs'", "'epochs'"),
    ("train: {length: 5 parsecs}", "train.length", "'parsecs'", "epochs, steps, examples"),
    ("train: {length: -5 epochs}", "train.length", "'-5 epochs'"),
    ("train: {length: 0 epochs}", "train.length", "more than zero", "'0 epochs'"),
    ("train: {length: 5 minutes}", "train.length", "epochs, steps or examples", "'5 minutes'"),
    ("train: {length: '5,000 steps'}", "train.length", "'5,000 steps'"),
    ("train: {length: .nan}", "train.length", "nan"),
    ("schedule: {warmup: -1 steps}", "schedule.warmup", "'-1 steps'"),
    ("evaluate: {every: 10 minutes}", "evaluate.every", "'10 minutes'"),
    ("evaluate: {batch: 0}", "evaluate.batch", "got 0"),
    ("checkpoint: {every: 0 minutes}", "checkpoint.every", "more than zero"),
    ("checkpoint: {keep: 0}", "checkpoint.keep", "1", "got 0"),
    ("tensorboard: {histograms: 0 steps}", "tensorboard.histograms", "more than zero"),
    ("tensorboard: {images: -1}", "tensorboard.images", "got -1"),
    ("data: {validation: -1}", "data.validation", "got -1"),
    ("data: {shift: 1.5}", "data.shift", "integer", "1.5"),
    ("data: {augment: flip}", "data.augment", "list", "'flip'"),
    ("data: {augment: [flip]}", "data.augment[0]", "section", "'flip'"),
    ("data: {augment: [{name: flipp}]}", "data.augment[0]", "'flipp'", "did you mean 'flip'"),
    ("data: {augment: [{padding: 2}]}", "data.augment[0]", "'name' is missing", "random_resized_crop"),
    ("data: {augment: [{name: flip}, {name: crop, pading: 2}]}", "data.augment[1].pading", "did you mean 'padding'"),
    ("data: {augment: [{name: flip, size: 2}]}", "data.augment[0].size", "known: name, direction", "cutout"),
    ("data: {augment: [{name: shift}]}", "data.augment[0].pixels", "missing"),
    ("data: {augment: [{name: scale, factor: [2, 1]}]}", "data.augment[0].factor", "[least, most]", "[2"),
    ("data: {augment: [{name: random_resized_crop, area: [0.5, 2]}]}", "data.augment[0].area[1]", "1 or less", "2"),
    ("data: {augment: [{name: mixup, alpha: 0}]}", "data.augment[0].alpha", "more than 0", "0"),
    ("data: {source: 3}", "data.source", "text"),
    ("cluster: {gpus: []}", "cluster.gpus", "1 or more"),
    ("cluster: {gpus: 2}", "cluster.gpus", "list", "got 2"),
    ("cluster: {gpus: [0, 0]}", "cluster", "twice", "[0, 0]"),
    ("cluster: {gpus: [0], logical_cpus: 2}", "cluster", "gpus or logical_cpus, not both"),
    ("cluster: {logical_cpus: 65}", "cluster.logical_cpus", "64", "65"),
    ("cluster: {logical_gpus: 0}", "cluster.logical_gpus", "got 0"),
    ("cluster: {logical_gpus: 65}", "cluster.logical_gpus", "64", "65"),
    ("cluster: {logical_gpus: 2, logical_cpus: 2}", "cluster", "logical_gpus or logical_cpus, not both"),
    ("cluster: {logical_gpus: 2, gpus: [0, 1]}", "cluster", "splits one GPU", "names 2"),
    ("cluster: {logical_gpus: 2, strategy: multi_worker}", "cluster", "logical_gpus is for one process"),
    ("cluster: {logical_gpus: 2, all_reduce: nccl}", "cluster", "nccl", "logical_gpus is 2", "use auto"),
    ("cluster: {logical_gpus: 3, all_reduce: hierarchical}", "cluster", "even number", "not 3", "use auto"),
    ("train: {length: 5 minutes}", "train.length", "'minutes'", "use epochs, steps or examples"),
    ("train: {length: 20 %}", "train.length", "'%'", "use epochs, steps or examples"),
    ("train: {length: 5}", "train.length", "'5 epochs' (epochs, steps, examples), got 5"),
    ("schedule: {warmup: 100 %}", "schedule.warmup", "less than 100 %"),
    ("schedule: {warmup: 5 minutes}", "schedule.warmup", "epochs, steps, examples or %"),
    ("insight: {budget: 3 steps}", "insight.budget", "use minutes"),
    ("train: {deterministic: 1}", "train.deterministic: must be auto or true or false, got 1\n"),
    ("train: {tf32: 1}", "train.tf32", "true or false", "got 1"),
    ("name: ../x", "name", "'../x'", "letters"),
    ("name: ''", "name", "''"),
    ("name: 5", "name", "text", "got 5"),
    ("1: 2", "1", "text"),
    ("train: {1: 2}", "train.1", "text"),
    ("seed: -1\nnmae: x", "seed", "(and 1 more)"),
]


@pytest.mark.parametrize(("text", "named"), [(wrong[0], wrong[1:]) for wrong in WRONG], ids=[w[0] for w in WRONG])
def test_wrong_key_or_value(refused: Callable[..., str], tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    (tmp_path / "a.yaml").write_text(text + "\n")
    said = refused("train", "a.yaml", "--dry-run")
    assert said.startswith("error: a.yaml: ")
    for part in named:
        assert part in said


@pytest.mark.parametrize(
    ("text", "reading", "meant"),
    [
        ("010", "8", "8 or 10"),
        ("-017", "-15", "-15 or -17"),
        ("12:30:45", "45045", "45045"),
        ("1:30.5", "90.5", "90.5"),
    ],
)
def test_a_number_that_yaml_reads_otherwise_is_refused_with_that_reading(
    refused: Callable[..., str], tmp_path: Path, text: str, reading: str, meant: str
) -> None:
    said = f"YAML reads {text} as the number {reading}: write {meant}, or '{text}' in quotes for text"
    assert f"--set seed={text}: {said}" in refused("config", "mnist", "--set", f"seed={text}")
    (tmp_path / "a.yaml").write_text(f"name: a\ncluster: {{gpus: [{text}]}}\n")
    assert f"a.yaml:2: {said}" in refused("config", "a.yaml")


def test_no_other_number_of_bits_is_proposed(refused: Callable[..., str]) -> None:
    said = refused("config", "mnist", "--set", "train.precision=float64")
    assert "float16" in said
    assert "did you mean" not in said


def test_a_path_from_the_root_is_looked_up_in_no_folder(refused: Callable[..., str], tmp_path: Path) -> None:
    assert str(tmp_path) not in refused("config", "/nope/a.yaml")
    assert str(tmp_path) in refused("config", "nope/a.yaml")


def test_a_key_of_another_optimizer_is_not_proposed_for_itself(refused: Callable[..., str]) -> None:
    said = refused("config", "mnist", "--set", "optimizer={name: adam, momentum: 0.9}")
    assert "did you mean 'momentum'" not in said


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("train.global_batch", "key=value"),
        ("=5", "key=value"),
        ("train..length=5 epochs", "key=value"),
        ("train={length: 5 epochs", "YAML"),
        ("train={length: 1 epochs, length: 2 epochs}", "YAML"),
        ("name.x=3", "name holds no keys"),
        ("trian.length=5 epochs", "'train'"),
        ("train.global_batch=", "integer"),
        ("train.length=2", "'5 epochs'"),
        ("train.length =2 epochs", "'length'"),
        ("optimiser.name=sgd", "'optimizer'"),
        ("foo.bar.file=x.keras", "foo: unknown key"),
        ("data.augment[0].name=flip", "data.augment=["),
        ("model.name=cnnn", "got 'cnnn'; did you mean 'cnn'?"),
    ],
)
def test_wrong_assignment(refused: Callable[..., str], assignment: str, named: str) -> None:
    assert named in refused("train", "mnist", "--set", assignment)


class TestRunDirectory:
    def test_taken(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / "thesis.tex").write_text("\\section{}")
        said = refused("train", "mnist", "--run-dir", "taken")
        assert "taken isn't empty" in said
        assert "--resume auto" in said

    def test_taken_by_no_run_and_to_be_resumed(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / "thesis.tex").write_text("\\section{}")
        assert "taken" in refused("train", "mnist", "--run-dir", "taken", "--resume", "auto")

    @pytest.mark.parametrize(
        "place", ["file", "file/below", "file/far/below", "loop", "loop/below", "x" * 300, "/dev/null"]
    )
    def test_not_a_folder(self, refused: Callable[..., str], tmp_path: Path, place: str) -> None:
        (tmp_path / "file").write_text("")
        (tmp_path / "loop").symlink_to("loop")
        assert place in refused("train", "mnist", "--run-dir", place)

    @pytest.mark.parametrize("place", ["/proc/run", "/proc/1/run"])
    def test_not_writable(self, refused: Callable[..., str], place: str) -> None:
        assert f"can't write the run directory {place}" in refused("train", "mnist", "--run-dir", place)

    def test_default_place_taken_by_a_file(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "runs").write_text("")
        assert "runs" in refused("train", "mnist")

    @pytest.mark.parametrize("name", ["a/b", "", "..", "../x", "a b", "é", "x" * 101])
    def test_run_name_that_is_no_name(self, refused: Callable[..., str], name: str) -> None:
        assert "--run-name: name:" in refused("train", "mnist", "--run-name", name, "--dry-run")

    def test_folder_that_was_deleted_below_us(
        self, call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        result = call("train", "mnist")
        assert result.exit_code == 2
        assert_short(result.stderr)

    def test_a_name_beside_a_whole_path(self, refused: Callable[..., str]) -> None:
        said = refused("train", "mnist", "--run-dir", "a", "--run-name", "b")
        assert "--run-name b" in said
        assert "--run-dir a" in said
        assert "give one of them" in refused(
            "launch", "--workers", 2, "--", "train", "mnist", "--run-dir", "a", "--run-name", "b"
        )
        assert "--resume a" in refused("train", "mnist", "--resume", "a", "--run-name", "b")

    def test_data_that_have_changed_for_a_new_run(self, refused: Callable[..., str]) -> None:
        assert "--data-changed goes with --resume" in refused("train", "mnist", "--data-changed")


class TestResume:
    @pytest.mark.parametrize("command", [("train", "mnist", "--resume"), ("evaluate",), ("visualize",)])
    @pytest.mark.parametrize("place", ["nowhere", "empty", "file", "", "x" * 300])
    def test_no_run(self, refused: Callable[..., str], tmp_path: Path, command: tuple[str, ...], place: str) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("")
        words = "is not a run directory" if place in ("empty", "file", "") else "there is no run"
        assert words in refused(*command, place)

    def test_auto_without_a_directory(self, refused: Callable[..., str]) -> None:
        assert "--resume auto needs --run-dir" in refused("train", "mnist", "--resume", "auto")

    def test_two_directories(self, refused: Callable[..., str]) -> None:
        said = refused("train", "mnist", "--run-dir", "a", "--resume", "b")
        assert "--resume b" in said
        assert "--run-dir a" in said


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["trian", "mnist"], "'train'"),
            (["train"], "CONFIG"),
            (["train", "mnist", "--bogus"], "--bogus"),
            (["train", "mnist", "--resmue", "auto"], "--resume"),
            (["train", "mnist", "more"], "more"),
            (["train", "mnist", "--set"], "--set"),
            (["--bogus"], "--bogus"),
            (["config"], "CONFIG"),
            (["evaluate"], "RUN"),
            (["evaluate", "run", "--split", "eval"], "'validation'"),
            (["tensorboard", ".", "--port", "0"], "65535"),
            (["tensorboard", ".", "--port", "http"], "http"),
            (["runs", "nowhere"], "nowhere"),
            (["runs", "x" * 300], "there is no folder"),
            (["tensorboard"], "there is no ./runs"),
            (["tensorboard", "nowhere"], "nowhere"),
            (["tensorboard", "x" * 300], "there is no run xxx"),
        ],
    )
    def test_misused(self, refused: Callable[..., str], arguments: list[str], named: str) -> None:
        assert named in refused(*arguments)

    def test_tensorboard_of_an_empty_folder(self, script: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        ended = subprocess.run([script, "tensorboard", "empty"], capture_output=True, text=True)
        assert ended.returncode == 2
        assert_short(ended.stderr)
        assert "empty holds no TensorBoard event files" in ended.stderr

    def test_tensorboard_on_a_taken_port(self, script: Path, tmp_path: Path) -> None:
        (tmp_path / "events.out.tfevents.1.host").write_bytes(b"")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            ended = subprocess.run([script, "tensorboard", ".", "--port", port], capture_output=True, text=True)
        assert ended.returncode == 2
        assert_short(ended.stderr)
        assert f"--port {port}: in use" in ended.stderr


@pytest.fixture(scope="module")
def arrays(small_data: Path) -> dict[str, Any]:
    with np.load(small_data) as file:
        return {name: file[name] for name in file.files}


class TestData:
    """These need TensorFlow, which this process imports once."""

    @pytest.fixture
    def refused_with(self, refused: Callable[..., str], tmp_path: Path, arrays: dict[str, Any]) -> Callable[..., str]:
        def run(**changed: np.ndarray) -> str:
            np.savez(tmp_path / "data.npz", **{**arrays, **changed})
            return refused("train", "mnist", "--set", "data={source: data.npz, validation: 100}")

        return run

    def test_unknown_name(self, refused: Callable[..., str]) -> None:
        said = refused("train", "mnist", "--set", "data.source=minst")
        assert "data.source: 'minst'" in said
        assert "mnist" in said.replace("minst", "")

    @pytest.mark.parametrize("name", ["mnsit.npz", ".", "''"])
    def test_no_file(self, refused: Callable[..., str], name: str) -> None:
        assert "data.source" in refused("train", "mnist", "--set", f"data.source={name}")

    def test_name_longer_than_the_system_takes(self, refused: Callable[..., str]) -> None:
        assert "data.source" in refused("train", "mnist", "--set", f"data.source={'x' * 300}")

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and no more"])
    def test_not_an_npz_file(self, refused: Callable[..., str], tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.npz").write_bytes(content)
        assert "a.npz can't be read as an .npz file" in refused("train", "mnist", "--set", "data.source=a.npz")

    def test_the_reason_why_a_file_can_not_be_read(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "folder.npz").mkdir()
        assert "folder.npz is a folder" in refused("train", "mnist", "--set", "data.source=folder.npz")
        said = refused("train", "mnist", "--set", "data.source=no/where.npz")
        assert "no/where.npz can't be read: No such file" in said
        said = refused("train", "mnist", "--set", "data.source=/proc/self/mem")
        assert "/proc/self/mem can't be read: Input/output error" in said

    def test_a_file_that_says_it_is_larger_than_any_memory(
        self, refused: Callable[..., str], tmp_path: Path, arrays: dict[str, Any]
    ) -> None:
        np.savez(tmp_path / "a.npz", **arrays)
        header = io.BytesIO()
        np.lib.format.write_array_header_2_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**55,)})
        with zipfile.ZipFile(tmp_path / "a.npz") as file:
            kept = {name: file.read(name) for name in file.namelist()}
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
            for name, content in kept.items():
                file.writestr(name, header.getvalue() if name == "x_train.npy" else content)
        said = refused("train", "mnist", "--set", "data.source=a.npz")
        assert "a.npz doesn't fit in the memory" in said
        assert "32.0 PiB" in said

    @pytest.mark.parametrize("name", ["A.NPZ", "a.Npz", "plain"])
    def test_a_path_is_one_whatever_its_ending(self, tmp_path: Path, name: str, arrays: dict[str, Any]) -> None:
        from harness.config import resolve

        (tmp_path / name).write_bytes(b"")
        assert resolve({"data": {"source": name}}).data.source == str(tmp_path / name)

    def test_labels_that_are_numbers_of_a_catalogue(
        self, refused_with: Callable[..., str], arrays: dict[str, Any]
    ) -> None:
        labels = {name: arrays[name].astype(np.int32) * 777 for name in ("y_train", "y_test")}
        said = refused_with(**labels)
        for fact in ("labels go up to 6,993", "6,994 classes", "only 10 of these occur"):
            assert fact in said

    def test_one_array_instead_of_four(
        self, refused: Callable[..., str], tmp_path: Path, arrays: dict[str, Any]
    ) -> None:
        np.save(tmp_path / "a.npy", arrays["x_train"])
        np.savez(tmp_path / "b.npz", x_train=arrays["x_train"])
        assert "a.npy" in refused("train", "mnist", "--set", "data.source=a.npy")
        assert "x_train, y_train, x_test, y_test" in refused("train", "mnist", "--set", "data.source=b.npz")

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("damage", ["truncated", "flipped"])
    def test_damaged(
        self, refused: Callable[..., str], tmp_path: Path, arrays: dict[str, Any], compressed: bool, damage: str
    ) -> None:
        path = tmp_path / "a.npz"
        (np.savez_compressed if compressed else np.savez)(path, **arrays)
        data = bytearray(path.read_bytes())
        if damage == "truncated":
            del data[len(data) // 2 :]
        else:
            for place in range(2000, 10_000, 100):
                data[place] ^= 0xFF
        path.write_bytes(data)
        assert "a.npz can't be read as an .npz file" in refused("train", "mnist", "--set", "data.source=a.npz")

    def test_pixels_that_are_no_bytes(self, refused_with: Callable[..., str], arrays: dict[str, Any]) -> None:
        assert "uint8" in refused_with(x_train=arrays["x_train"] / 255)

    def test_no_images(self, refused_with: Callable[..., str], arrays: dict[str, Any]) -> None:
        assert "data.source" in refused_with(x_test=arrays["x_test"][:0], y_test=arrays["y_test"][:0])

    def test_train_and_test_images_of_two_sizes(self, refused_with: Callable[..., str], arrays: dict[str, Any]) -> None:
        said = refused_with(x_test=arrays["x_test"][:, :20, :20])
        assert "28, 28" in said
        assert "20, 20" in said

    def test_images_too_small_for_the_model(self, refused_with: Callable[..., str], arrays: dict[str, Any]) -> None:
        said = refused_with(x_train=arrays["x_train"][:, :8, :8], x_test=arrays["x_test"][:, :8, :8])
        assert "8" in said
        assert "cnn" in said

    @pytest.mark.parametrize(
        ("labels", "named"),
        [
            (lambda y: y[:10], "10 train labels for "),
            (lambda y: y.astype(np.int32) - 1, "-1"),
            (lambda y: y.astype(np.float32), "float32"),
            (lambda y: np.eye(10, dtype=np.int32)[y], "(2000, 10)"),
            (lambda y: y > 4, "bool"),
            (lambda y: np.array([str(label) for label in y]), "data.source"),
            (lambda y: np.array([{}] * len(y), dtype=object), "data.source"),
            (lambda y: y.astype(np.int64) * 10**9, "9000000000"),
            (lambda y: y.astype(np.uint64) + 2**40, str(2**40 + 9)),
        ],
        ids=[
            "too few",
            "negative",
            "fractions",
            "one-hot",
            "booleans",
            "text",
            "objects",
            "huge",
            "beyond int32",
        ],
    )
    def test_labels_wrong(
        self,
        refused_with: Callable[..., str],
        arrays: dict[str, Any],
        labels: Callable[[np.ndarray], np.ndarray],
        named: str,
    ) -> None:
        said = refused_with(y_train=labels(arrays["y_train"]))
        assert "labels" in said or "read" in said
        assert named in said

    @pytest.mark.parametrize("count", [2000, 5000, 10**30])
    def test_validation_as_large_as_the_training_set(
        self, refused: Callable[..., str], small_config: Path, count: int
    ) -> None:
        said = refused("train", small_config, "--set", f"data.validation={count}")
        assert f"data.validation: {count}" in said
        assert "2000" in said

    @pytest.mark.parametrize("pixels", [28, 1000, 10**20])
    def test_shift_that_leaves_no_image(self, refused: Callable[..., str], small_config: Path, pixels: int) -> None:
        assert "data.shift" in refused("train", small_config, "--set", f"data.shift={pixels}")

    @pytest.mark.parametrize("warmup", ["30 steps", "1 epoch", "960 examples"])
    def test_warmup_as_long_as_training(self, refused: Callable[..., str], small_config: Path, warmup: str) -> None:
        said = refused("train", small_config, "--set", f"schedule.warmup={warmup}")
        assert f"schedule.warmup: {warmup}" in said
        assert "train.length, 30 steps" in said

    @pytest.mark.parametrize(
        "command",
        [
            ("train", "mnist"),
            ("chaos", "mnist"),
            ("scale", "run", "mnist_scaling_quick"),
            ("launch", "--workers", "2", "--", "train", "mnist"),
        ],
    )
    def test_an_augmentation_that_is_nowhere_by_every_command(
        self, refused: Callable[..., str], command: tuple[str, ...]
    ) -> None:
        said = refused(*command, "--set", "data.augment=[{name: flip}, {name: 'nowhere_of_test:spin'}]")
        assert "data.augment[1].name: there is no module nowhere_of_test" in said

    @pytest.mark.parametrize(
        ("setting", "named"),
        [
            ("insight.layer=nope", "insight.layer"),
            ("callbacks=[{name: 'queue:Queue', every: 1 epoch}]", "queue:Queue has no __call__"),
            ("callbacks=[{name: 'harness.training.callback:Beat'}]", "'heartbeat'"),
            ("callbacks=[{name: 'harness.training.callback:Callback'}]", "has no __call__"),
            ("callbacks=[{name: 'math:hypot2'}]", "has no hypot2"),
            ("callbacks=[{name: 'parts_of_test:look', width: 3}]", "'width'"),
            ("callbacks=[{name: 'parts_of_test:Short'}]", "Short.__call__ with (step, state, rows): too many"),
            ("data.augment=[{name: 'parts_of_test:unit'}]", "values from 0"),
        ],
    )
    @pytest.mark.parametrize("options", [(), ("--dry-run",)])
    def test_a_dry_run_refuses_what_training_does(
        self,
        refused: Callable[..., str],
        small_config: Path,
        tmp_path: Path,
        setting: str,
        named: str,
        options: tuple[str, ...],
    ) -> None:
        (tmp_path / "parts_of_test.py").write_text(
            "def look(step, state, rows):\n    pass\n\ndef unit(images, random):\n    return images / 255\n\n"
            "class Short:\n    def __call__(self, step):\n        pass\n"
        )
        assert named in refused("train", small_config, "--set", setting, *options)

    def test_a_file_with_a_colon_in_its_path_is_no_kind_of_source(
        self, refused: Callable[..., str], small_config: Path
    ) -> None:
        said = refused("train", small_config, "--set", "data.source='a:b/c.npz'")
        assert "a:b/c.npz can't be read: No such file" in said

    @pytest.mark.slow
    def test_what_the_first_run_of_chaos_refuses(
        self, call: Callable[..., Result], small_config: Path, tmp_path: Path
    ) -> None:
        said = call("chaos", small_config, "--set", "data.source=missing.npz")
        assert said.exit_code == 2
        assert_short(said.stderr)
        assert "missing.npz" in said.stderr
        assert not list(tmp_path.glob("runs/*"))

    @pytest.mark.parametrize("command", [("chaos", "mnist"), ("scale", "run", "mnist_scaling_quick")])
    def test_a_name_that_its_module_lacks_by_commands_that_train_in_other_processes(
        self, refused: Callable[..., str], tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        (tmp_path / "parts_of_test.py").write_text("print('hello')\n")
        said = refused(*command, "--set", "model.name=parts_of_test:nett")
        assert "model.name: the module parts_of_test has no nett" in said


class TestDevices:
    def test_more_gpus_than_exist(self, refused: Callable[..., str], small_config: Path) -> None:
        said = refused("train", small_config, "--set", "cluster.gpus=[63]")
        assert "no GPU 63" in said
        assert "CPU:0" in said

    def test_workers_without_a_cluster(self, refused: Callable[..., str], small_config: Path) -> None:
        assert "TF_CONFIG" in refused("train", small_config, "--set", "cluster.strategy=multi_worker")

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[1]",
            '{"cluster": {}}',
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        ],
    )
    def test_cluster_that_is_not_understood(
        self, refused: Callable[..., str], small_config: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        monkeypatch.setenv("TF_CONFIG", text)
        assert "TF_CONFIG" in refused("train", small_config)

    @pytest.mark.parametrize("key", ["train.global_batch", "evaluate.batch"])
    def test_batch_larger_than_the_memory(self, refused: Callable[..., str], small_config: Path, key: str) -> None:
        assert key in refused("train", small_config, "--set", f"{key}={10**12}")


@pytest.mark.slow
class TestRealRuns:
    """Mistakes with a run that was killed in the middle, or with one that is complete."""

    @pytest.fixture
    def killed(self, killed_run: KilledRun, tmp_path: Path) -> Path:
        return Path(shutil.copytree(killed_run.path, tmp_path / "killed"))

    @pytest.fixture
    def locked(self, killed: Path) -> Iterator[Path]:
        program = (
            "import sys; from pathlib import Path; from harness.runs.run_dir import RunDir\n"
            "run = RunDir(Path(sys.argv[1])); run.lock(); print('locked', flush=True); sys.stdin.read()"
        )
        command: list[str | Path] = [sys.executable, "-c", program, killed]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            yield killed
            holder.kill()

    def test_in_use(self, refused: Callable[..., str], locked: Path) -> None:
        assert "killed is in use" in refused("train", locked / "config.yaml", "--resume", "killed")

    def test_in_use_by_training(self, killed_run: KilledRun) -> None:
        refusal = killed_run.refusal_while_alive
        assert refusal.exit_code == 2
        assert_short(refusal.stderr)
        assert "in use" in refusal.stderr

    def test_another_config(self, refused: Callable[..., str], killed: Path) -> None:
        changes = ["--set", "train.global_batch=64", "--set", "seed=3", "--set", "model.name=cnn_two_pools"]
        said = refused("train", killed / "config.yaml", "--resume", killed, *changes)
        assert "train.global_batch (32 → 64)" in said
        assert "seed (0 → 3)" in said
        assert "model.name (cnn → cnn_two_pools)" in said
        assert "insight" not in said

    def test_another_config_in_a_dry_run(self, refused: Callable[..., str], killed: Path) -> None:
        said = refused("train", killed / "config.yaml", "--resume", killed, "--set", "seed=3", "--dry-run")
        assert "seed (0 → 3)" in said

    def test_another_optimizer(self, refused: Callable[..., str], killed: Path) -> None:
        said = refused("train", killed / "config.yaml", "--resume", killed, "--set", "optimizer={name: sgd}")
        assert "optimizer.name (adam → sgd)" in said

    @pytest.mark.parametrize("damage", ["truncated", "flipped", "no digest"])
    def test_no_usable_checkpoint(self, refused: Callable[..., str], killed: Path, damage: str) -> None:
        paths = sorted((killed / "checkpoints").glob("*.safetensors"))
        assert len(paths) > 1
        for path in paths:
            data = path.read_bytes()
            if damage == "truncated":
                path.write_bytes(data[: len(data) // 2])
            elif damage == "flipped":
                path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            else:
                path.with_suffix(".sha256").unlink()
        said = refused("train", killed / "config.yaml", "--resume", killed)
        assert all(path.name in said for path in paths)
        assert "using the one before it" not in said

    @pytest.mark.parametrize("command", ["evaluate", "visualize"])
    def test_no_model_yet(self, refused: Callable[..., str], killed: Path, command: str) -> None:
        said = refused(command, killed)
        assert "no trained model" in said
        assert f"harness resume {killed}" in said

    def test_no_validation_rows(
        self, refused: Callable[..., str], completed_run: tuple[Path, Result], tmp_path: Path
    ) -> None:
        path = shutil.copytree(completed_run[0], tmp_path / "complete")
        text = (path / "config.yaml").read_text()
        (path / "config.yaml").write_text(text.replace("validation: 200", "validation: 0"))
        assert "validation" in refused("evaluate", path, "--split", "validation")

    @pytest.mark.parametrize("command", ["evaluate", "visualize"])
    @pytest.mark.parametrize("content", [b"", b"hello", None])
    def test_damaged_model(
        self,
        refused: Callable[..., str],
        completed_run: tuple[Path, Result],
        tmp_path: Path,
        command: str,
        content: bytes | None,
    ) -> None:
        path = shutil.copytree(completed_run[0], tmp_path / "complete")
        model = path / "model.keras"
        model.write_bytes(model.read_bytes()[:5000] if content is None else content)
        assert "model.keras" in refused(command, path)

    @pytest.mark.parametrize("command", ["evaluate", "visualize"])
    def test_data_moved_away(
        self,
        refused: Callable[..., str],
        completed_run: tuple[Path, Result],
        tmp_path: Path,
        small_data: Path,
        command: str,
    ) -> None:
        path = shutil.copytree(completed_run[0], tmp_path / "complete")
        text = (path / "config.yaml").read_text()
        (path / "config.yaml").write_text(text.replace(str(small_data), "moved.npz"))
        assert "moved.npz" in refused(command, path)

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", '"completed"'])
    @pytest.mark.parametrize("command", ["visualize", "train"])
    def test_damaged_summary(
        self,
        refused: Callable[..., str],
        completed_run: tuple[Path, Result],
        tmp_path: Path,
        command: str,
        content: str,
    ) -> None:
        path = shutil.copytree(completed_run[0], tmp_path / "complete")
        (path / "summary.json").write_text(content)
        arguments = [path] if command == "visualize" else [path / "config.yaml", "--resume", path]
        assert "summary.json" in refused(command, *arguments)

    @pytest.mark.parametrize(
        ("line", "words"),
        [("no json", "is not a JSON object"), ("42", "is not a JSON object"), ('{"step": 1}', "no split")],
    )
    def test_damaged_metrics(
        self, refused: Callable[..., str], completed_run: tuple[Path, Result], tmp_path: Path, line: str, words: str
    ) -> None:
        path = shutil.copytree(completed_run[0], tmp_path / "complete")
        (path / "metrics.jsonl").write_text(line + "\n" + (path / "metrics.jsonl").read_text())
        for arguments in (("visualize", path), ("compare", completed_run[0], path)):
            said = refused(*arguments)
            assert "metrics.jsonl:1: " in said
            assert words in said

    @pytest.mark.parametrize("command", ["evaluate", "visualize"])
    def test_path_that_is_no_utf8(
        self, refused: Callable[..., str], completed_run: tuple[Path, Result], tmp_path: Path, command: str
    ) -> None:
        path = shutil.copytree(completed_run[0], tmp_path / os.fsdecode(b"r\xffn"))
        assert "r\ufffdn: TensorFlow takes only paths in UTF-8" in refused(command, path)

    def test_summary_without_steps(
        self, refused: Callable[..., str], completed_run: tuple[Path, Result], tmp_path: Path
    ) -> None:
        path = shutil.copytree(completed_run[0], tmp_path / "complete")
        (path / "summary.json").write_text('{"status": "completed"}')
        assert "summary.json does not say how many steps" in refused("visualize", path)


@pytest.mark.slow
class TestVisualize:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], "name a RUN, or give --model and --data"),
            (["RUN", "--model", "MODEL", "--data", "DATA"], "name a RUN, or give --model and --data"),
            (["--model", "MODEL"], "--model and --data go together"),
            (["RUN", "--data", "DATA"], "--model and --data go together"),
            (["RUN", "--out", "x"], "--out goes with --model"),
            (["RUN", "--class", "3"], "--class needs --images or --input"),
            (["RUN", "--invert"], "--invert is for pictures given with --input"),
            (["RUN", "--images", "a"], "'a' is not a list of image numbers"),
            (["RUN", "--images", ""], "'' is not a list of image numbers"),
            (["RUN", "--images", "500"], "there are 500 test images, 0 to 499"),
            (["RUN", "--images", "-1"], "there are 500 test images, 0 to 499"),
            (["RUN", "--images", "1", "--class", "10"], "the model has 10 classes, 0 to 9"),
            (["RUN", "--input", "nowhere.png"], "'nowhere.png' does not exist"),
            (["RUN", "--input", "DATA"], "is not a picture that can be read"),
            (["RUN", "--set", "seed=3"], "only the keys under insight. can be replaced"),
            (["RUN", "--set", "insight.methods=[magic]"], "insight.methods"),
            (["RUN", "--set", "insight.images=0"], "insight.images"),
            (
                ["RUN", "--set", "insight.methods=[gradcam]", "--set", "insight.layer=conv_9"],
                "it has conv_1, pool_1, conv_2",
            ),
            (["RUN", "--set", "insight.layer=conv_9"], "has conv_1, pool_1"),
            (["--model", "nowhere.keras", "--data", "DATA"], "'nowhere.keras' does not exist"),
            (["--model", "MODEL", "--data", "nowhere.npz"], "'nowhere.npz' does not exist"),
            (["--model", "MODEL", "--data", "MODEL"], "must hold the arrays images and labels"),
            (["--model", "DATA", "--data", "DATA"], "is not a .keras file"),
            (["--model", "MODEL", "--data", "DATA", "--out", "occupied"], "occupied holds other files"),
            (["--model", "MODEL", "--data", "DATA", "--out", "file"], "file is not a folder: name another with --out"),
            (["--model", "MODEL", "--data", "DATA", "--out", "/proc/xx"], "can't write /proc/xx: No such file"),
        ],
    )
    def test_arguments(
        self,
        refused: Callable[..., str],
        completed_run: tuple[Path, Result],
        small_data: Path,
        tmp_path: Path,
        arguments: list[str],
        words: str,
    ) -> None:
        stand_ins = {"RUN": completed_run[0], "MODEL": completed_run[0] / "model.keras", "DATA": small_data}
        (tmp_path / "occupied").mkdir()
        (tmp_path / "occupied" / "thesis.tex").write_text("")
        (tmp_path / "file").write_text("")
        assert words in refused("visualize", *(stand_ins.get(argument, argument) for argument in arguments))

    @pytest.mark.parametrize(
        ("shape", "words"),
        [
            ((5,), "which are not images"),
            ((28, 28, 2), "takes images of shape"),
            ((14, 28, 1), "takes images of shape"),
        ],
    )
    def test_a_model_that_takes_no_such_images(
        self, refused: Callable[..., str], small_data: Path, tmp_path: Path, shape: tuple[int, ...], words: str
    ) -> None:
        import keras

        inputs = keras.Input(shape)
        keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs))).save(tmp_path / "other.keras")
        assert words in refused("visualize", "--model", "other.keras", "--data", small_data)

    def test_a_model_that_was_never_built(self, refused: Callable[..., str], small_data: Path, tmp_path: Path) -> None:
        import keras

        with warnings.catch_warnings(action="ignore"):  # Keras's, of what is saved here
            keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)]).save(tmp_path / "new.keras")
        said = refused("visualize", "--model", "new.keras", "--data", small_data)
        assert "new.keras holds a model that was never built" in said

    def test_weights_that_are_not_finite(
        self, refused: Callable[..., str], completed_run: tuple[Path, Result], small_data: Path, tmp_path: Path
    ) -> None:
        import keras

        model = keras.saving.load_model(completed_run[0] / "model.keras")
        model.get_layer("dense").kernel.assign(np.full(model.get_layer("dense").kernel.shape, np.nan))
        model.save(tmp_path / "broken.keras")
        said = refused("visualize", "--model", "broken.keras", "--data", small_data)
        assert "weights that are not finite" in said
        assert "dense/kernel" in said

    def test_an_insight_layer_that_is_not_there_before_training(
        self, refused: Callable[..., str], small_config: Path
    ) -> None:
        said = refused("train", small_config, "--run-dir", "run", "--set", "insight.layer=conv_9")
        assert "it has conv_1, pool_1, conv_2, pool_2, conv_3, pool_3" in said


class TestScaleRun:
    @pytest.mark.parametrize(
        ("assignment", "words"),
        [
            ("scale.global_batches=[16, 60000]", "60,000 is more than the 59,000 training rows"),
            ("scale.global_batches=[]", "must hold 1 or more"),
            ("scale.global_batches={from: 64, to: 16}", "nothing lies between 64 and 16"),
            ("scale.global_batches={from: 16}", "{from: 16, to: 4096, factor: 2}"),
            ("scale.global_batches={from: 1, to: 1000, factor: 1.0001}", "too many"),
            ("scale.global_batches=[0]", "must be 1 or more"),
            ("scale.global_batches=[16, 32, 16]", "16 is listed twice"),
            ("scale.learning_rate.multipliers=[1, 1.0]", "1 is listed twice"),
            ("scale.replicas=[1, 1]", "1 is listed twice"),
            ("scale.global_batches=[1, 16]", "leave 1 out"),
            ("scale.learning_rate.multipliers=[]", "must hold 1 or more"),
            ("scale.learning_rate.rule=cubic", "linear, sqrt, none"),
            ("scale.target.at_least=1.01", "must be 1 or less"),
            ("scale.target.metric=validation.acuracy", "did you mean 'validation.accuracy'"),
            ("scale.target=null", "expected a section"),
            ("scale.evaluate_every=1 epochs", "write examples"),
            ("scale.max_examples=63", "before the first evaluation"),
            ("scale.max_examples=null", "needs a budget"),
            ("scale.seeds.report=0", "must be 1 or more"),
            ("scale.replicas=[]", "must hold 1 or more"),
            ("scale.max_exmaples=100", "did you mean 'max_examples'"),
            ("schedule.name=linear", "needs constant"),
            ("train.ema=null", "averaged weights"),
            ("data.validation=0", "data.validation must be above 0"),
            ("data.source=nowhere.npz", "nowhere.npz"),
        ],
    )
    def test_wrong_value(self, refused: Callable[..., str], assignment: str, words: str) -> None:
        assert words in refused("scale", "run", "mnist_scaling_quick", "--set", assignment)

    def test_config_of_a_run(self, refused: Callable[..., str]) -> None:
        assert "scale: the key is missing" in refused("scale", "run", "mnist")

    def test_config_of_an_experiment_for_a_run(self, refused: Callable[..., str]) -> None:
        assert "harness scale run" in refused("train", "mnist_scaling_quick")

    def test_directory_of_something_else(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        assert "is not empty" in refused("scale", "run", "mnist_scaling_quick", "--dir", tmp_path)
        assert "is not a directory" in refused("scale", "run", "mnist_scaling_quick", "--dir", tmp_path / "notes.txt")

    def test_directory_of_another_experiment(self, refused: Callable[..., str], tmp_path: Path) -> None:
        from harness.config import dump
        from harness.config.load import load_as
        from harness.config.scale import Experiment

        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "experiment.yaml").write_text(dump(load_as(Experiment, "mnist_scaling_quick")))
        said = refused("scale", "run", "mnist_scaling_quick", "--dir", "x", "--set", "model.name=cnn_two_pools")
        assert "model.name (cnn → cnn_two_pools)" in said

    @pytest.mark.parametrize("value", ["0", "-1", "many"])
    def test_max_parallel(self, refused: Callable[..., str], value: str) -> None:
        said = refused("scale", "run", "mnist_scaling_quick", "--max-parallel", value)
        assert "--max-parallel" in said
        assert value in said

    def test_executor(self, refused: Callable[..., str]) -> None:
        assert "'cloud'" in refused("scale", "run", "mnist_scaling_quick", "--executor", "cloud")


HEADER = "global_batch,learning_rate,seed,steps_low,steps_high,status\n"


class TestScaleFit:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "empty"),
            ("batch,steps\n1,2\n", "no column global_batch"),
            (HEADER, "no rows"),
            (HEADER + "16,0.1,0,-5,20,reached\n", ":2"),
            (HEADER + "16,0.1,0,30,20,reached\n", ":2"),
            (HEADER + "16,0.1,0,10,20,won\n", "won"),
            (HEADER + "16,0.1,0,10,,reached\n", "steps_high"),
            (HEADER + "16,0.1,0,10,20,reached\n16,0.1,0,12,20,reached\n", ":3"),
            (HEADER + "16,0.1,0,10,20,reached\n16,0.1,1,10,20,reached\n", "two batch sizes"),
            (HEADER + "16,0.1,0,10,,missed\n32,0.1,0,10,,missed\n", "none of the 2 trials reached"),
        ],
    )
    def test_table(self, refused: Callable[..., str], tmp_path: Path, text: str, words: str) -> None:
        (tmp_path / "trials.csv").write_text(text)
        assert words in refused("scale", "fit", "trials.csv")

    def test_no_such_file(self, refused: Callable[..., str]) -> None:
        assert "nowhere.csv" in refused("scale", "fit", "nowhere.csv")

    @pytest.mark.parametrize("path", [".", "", ".."])
    def test_a_directory(self, refused: Callable[..., str], path: str) -> None:
        assert "directory" in refused("scale", "fit", path)

    def test_no_text(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "trials.csv").write_bytes(b"\x89PNG\r\n\x00\xff")
        assert "not a text file" in refused("scale", "fit", "trials.csv")
