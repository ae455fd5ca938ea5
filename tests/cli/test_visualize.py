"""`harness visualize`, of a run and of any Keras model."""

import json
import os
import pty
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from tests.conftest import Result
from tests.processes import MAIN, forked

pytestmark = pytest.mark.slow


@pytest.fixture
def run(completed_run: tuple[Path, Result], tmp_path: Path) -> Path:
    return Path(shutil.copytree(completed_run[0], tmp_path / "small"))


def insight(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "insight.json").read_text())
    return found


def test_images_a_class_and_a_picture_of_ones_own_are_shown_too(
    call: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert list(insight(run)["methods"]) == ["gradient"]
    Image.fromarray(np.full((50, 50, 3), 200, np.uint8)).save(tmp_path / "my.png")
    asked = ["--images", "17,42", "--class", "3", "--input", tmp_path / "my.png", "--invert"]
    result = call("visualize", run, *asked, "--set", "insight.images=1", "--set", "insight.methods=[gradcam]")
    assert result.exit_code == 0, result.stderr
    own = run / "inputs" / "my"
    assert result.stdout.splitlines()[-1] == str(own / "report.html")
    assert result.stdout.startswith("my.png (resized from 50×50 to 28×28): class ")
    assert {path: path.read_bytes() for path in before} == before
    assert "maps by Grad-CAM" in result.stdout.splitlines()
    assert "sanity check" not in result.stdout
    told = insight(own)
    assert [image["name"] for image in told["images"]] == ["my.png", "test image 17", "test image 42"]
    assert told["images"][0]["true"] is None
    assert list(told["empty_maps"]) == ["gradcam"]
    assert told["methods"] == {}, "the run's own page is about the gradient alone"
    page = (own / "report.html").read_text()
    assert "for 3" in page
    assert "no answers about Grad-CAM" in page


def test_pictures_of_one_name_in_two_folders_have_a_page_each(
    call: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    fast = ("--set", "insight.methods=[]", "--no-filters")
    for number, folder in enumerate(("a", "b", "b")):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.full((28, 28), 50 * number, np.uint8)).save(tmp_path / folder / "my.png")
        result = call("visualize", run, "--input", tmp_path / folder / "my.png", *fast)
        assert result.exit_code == 0, result.stderr
    pages = {path.name: insight(path)["input_file"] for path in (run / "inputs").iterdir()}
    assert pages == {"my": str(tmp_path / "a" / "my.png"), "my-2": str(tmp_path / "b" / "my.png")}


def test_the_same_again_gives_the_same_bytes_and_a_terminal_a_bar(run: Path) -> None:
    kept = {name: (run / name).read_bytes() for name in ("report.html", "insight.json")}
    ours, theirs = pty.openpty()
    on_terminal = f"both = os.open({os.ttyname(theirs)!r}, os.O_RDWR | os.O_NOCTTY)\nos.dup2(both, 1)\nos.dup2(both, 2)"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with forked("visualize", run, program=f"{on_terminal}\nos.close(both)\n{MAIN}", env=environment) as process:
        shown = os.read(ours, 4096)  # so that the process has opened it
        os.close(theirs)
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # how Linux says that the other end is closed
                break
        os.close(ours)
        assert process.wait() == 0
    text = shown.decode()
    assert "%" in text
    assert "sanity check" in text
    assert text.rstrip().splitlines()[-1].endswith("report.html")
    assert {name: (run / name).read_bytes() for name in kept} == kept


def test_insight_json_holds_the_numbers_of_the_page(run: Path) -> None:
    told = insight(run)
    method = told["methods"]["gradient"]
    assert method["sanity"]["layers"] == ["logits", "dense", "conv_3", "conv_2", "conv_1"]
    assert {"signed", "absolute", "foreground", "ssim", "verdict", "similarity", "layers"} <= set(method["sanity"])
    assert {found["answer"] for found in method["answers"].values()} <= {"yes", "no", "can't tell"}
    assert told["definitions"]
    for kind in ("deletion", "insertion"):
        for baseline in ("black", "mean", "blur"):
            area = method[kind][baseline]["area"]
            assert 0 <= area["low"] <= area["mean"] <= area["high"] <= 1
            assert len(method[kind][baseline]["curve"]) == 29
            for control in ("random", "edges"):
                assert set(method["against"][control][kind][baseline]) == {"mean", "low", "high"}
    assert method["milliseconds"] > 0
    assert told["class_names"] == []
    assert set(told["controls"]) == {"random", "edges", "brightness", "centre"}


def test_a_model_of_ones_own_needs_no_run(
    call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(2)
    layers = [
        keras.layers.Conv2D(3, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(4, activation="softmax"),
    ]
    keras.Sequential([keras.Input((20, 16, 3)), *layers]).save("my.keras")
    images = np.random.default_rng(0).random((30, 20, 16, 3), np.float32)
    np.savez("images.npz", images=images, labels=np.arange(30) % 4)
    asked = ["--model", "my.keras", "--data", "images.npz"]
    result = call("visualize", *asked, "--set", "insight.images=2")
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "my-insight"
    assert result.stdout.splitlines()[-1] == "my-insight/report.html"
    assert {path.name for path in out.iterdir()} == {"report.html", "insight.json", "figures"}
    right = int((keras.saving.load_model("my.keras").predict(images, verbose=0).argmax(1) == np.arange(30) % 4).sum())
    assert f"{right} of 30 test images are classified correctly" in (out / "report.html").read_text()
    assert list(insight(out)["filters_shown"]["layers"].values()) == [{"filters": 3, "of_filters": 3}]
    again = call("visualize", *asked, "--out", out, "--no-filters", "--set", "insight.methods=[]")
    assert again.exit_code == 0
    assert insight(out)["filters_shown"] is None
