"""A folder of images under every command: none of them knows that the images are files.

With HARNESS_CIFAR10_IMAGES, the path of an archive train/CLASS/*.jpg, test/CLASS/*.jpg, they are 200 images of
CIFAR-10; else JPEG files of mixed sizes are generated.
"""

import json
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from harness.data.files.cache import IMAGES
from harness.runs.run_dir import RunDir
from tests.data.files.conftest import picture, save
from tests.processes import MAIN, workers

pytestmark = pytest.mark.slow

COUNT, CLASSES = 200, ("airplane", "automobile", "bird")


@pytest.fixture(autouse=True)
def cache_root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all tests here, as a user has one."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "decoded"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 JPEG files of three classes, a folder each."""
    folder = tmp_path_factory.mktemp("folder") / "images"
    if archive := os.environ.get("HARNESS_CIFAR10_IMAGES"):
        _unpack(Path(archive), folder)
    else:
        random = np.random.default_rng(0)
        for number in range(COUNT):
            height, width = random.integers(24, 60, 2).tolist()
            pixels = picture(number, height, width) // 2 + number % 3 * 60
            save(folder / CLASSES[number % 3] / f"{number}.jpg", pixels)
    assert len(list(folder.glob("*/*.jpg"))) == COUNT
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    wanted = {name: COUNT // 3 + (index < COUNT % 3) for index, name in enumerate(CLASSES)}
    with tarfile.open(archive) as members:
        for member in members:
            path = Path(member.name)
            if path.suffix == ".jpg" and wanted.get(path.parent.name):
                (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
                content = members.extractfile(member)
                assert content is not None
                (folder / path.parent.name / f"{wanted[path.parent.name]:03}.jpg").write_bytes(content.read())
                wanted[path.parent.name] -= 1
            if not any(wanted.values()):
                return


@pytest.fixture(scope="module")
def config(images: Path) -> Path:
    path = images.parent / "folder.yaml"
    path.write_text(f"""\
name: folder
data:
  source: "folder:{images}"
  size: 32
  channels: 3
  validation: 20 %
  augment: [{{name: flip}}, {{name: crop, padding: 2}}, {{name: cutout, size: 4}}, {{name: mixup}}]
train: {{length: 8 steps, global_batch: 16}}
schedule: {{name: constant, warmup: 0 steps}}
evaluate: {{every: 4 steps}}
checkpoint: {{every: 4 steps}}
insight: {{images: 1, methods: [gradient], filters: false}}
""")
    return path


def weights(run: Path) -> list[Any]:
    model = keras.saving.load_model(RunDir.open(run).model_file)
    return [weight.tobytes() for weight in model.get_weights()]


def test_train_resume_evaluate_visualize_compare_and_predict(
    call: Callable[..., Any], config: Path, images: Path, tmp_path: Path
) -> None:
    def told(*arguments: Any) -> str:
        ended = call(*arguments)
        assert ended.exit_code == 0, ended.stderr
        return str(ended.stdout)

    whole, stopped, page = tmp_path / "whole", tmp_path / "stopped", tmp_path / "page"
    told("train", config, "--run-dir", whole, "--no-report")
    told("train", config, "--run-dir", stopped, "--only-training", "--set", "train.length=4 steps")
    told("resume", stopped, "--length", "8 steps", "--no-report")
    assert weights(stopped) == weights(whole)

    measured = json.loads(told("evaluate", stopped, "--json"))
    assert measured["examples"] == 40
    assert measured["accuracy"] == RunDir.open(whole).read_summary()["test"]["accuracy"]

    told("visualize", stopped)
    insight = json.loads(RunDir.open(stopped).insight_file.read_text())
    assert insight["class_names"] == list(CLASSES)
    assert {image["true"] for image in insight["images"]} <= set(range(len(CLASSES)))
    page_of_run = RunDir.open(stopped).report_file.read_text()
    for number, name in enumerate(CLASSES):
        for words in (
            f'<th scope="col">{number} {name}<',
            f'<th scope="row">{number} {name}<',
            f"class {number} {name}<",
        ):
            assert words in page_of_run
    assert re.search(r"true class \d (airplane|automobile|bird), predicted \d [ab]", page_of_run)
    told("compare", whole, stopped, "--out", page)
    assert json.loads((page / "compare.json").read_text())["class_names"] == list(CLASSES)
    compared = (page / "compare.html").read_text()
    assert re.search(r"true class \d (airplane|automobile|bird)<", compared)
    assert re.search(r"A predicts \d (airplane|automobile|bird) \(", compared)

    some = [next((images / name).iterdir()) for name in CLASSES]
    answers = json.loads(told("predict", whole, *some, "--json"))
    assert [Path(answer["path"]) for answer in answers] == some
    for answer in answers:
        assert {rank["name"] for rank in answer["predictions"]} == set(CLASSES)


def test_two_workers_without_a_shared_cache(config: Path, tmp_path: Path) -> None:
    arguments = ["train", config, "--run-dir", tmp_path / "run", "--only-training"]
    its_own = f"import os; os.environ['HARNESS_CACHE'] = '{tmp_path / 'its own'}'; {MAIN}"
    with workers([arguments] * 2, [tmp_path] * 2, [MAIN, its_own]) as processes:
        for process in processes:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
    summary = RunDir.open(tmp_path / "run").read_summary()
    assert (summary["steps"], summary["workers"]) == (8, 2)
    assert list((tmp_path / "its own").glob(f"*/{IMAGES}"))


def test_scale(call: Callable[..., Any], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")  # the throughput is measured for seconds, on any processor
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(
        config.read_text().replace("global_batch: 16", "ema: 0.5")
        + "scale:\n"
        + "  global_batches: [16, 32]\n"
        + "  learning_rate: {base: 0.002, base_batch: 16, multipliers: [1]}\n"
        + "  seeds: {select: 1, report: 1}\n"
        + "  target: {metric: validation.loss, at_most: 0.95}\n"
        + "  evaluate_every: 128 examples\n"
        + "  max_examples: 4000\n"
        + "  max_extend: 0\n"
    )
    ended = call("scale", "run", experiment, "--dir", tmp_path / "experiment")
    assert ended.exit_code == 0, ended.stderr
    result = json.loads((tmp_path / "experiment" / "scaling.json").read_text())
    assert [batch["reported_trials"] for batch in result["batches"]] == [2, 2]
    assert (tmp_path / "experiment" / "throughput.csv").exists()
