"""`harness compare` from its arguments to its page, on runs that were really trained."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.conftest import Result
from tests.pages import Images, check_fits, silent
from tests.processes import completed

Compared = tuple[subprocess.CompletedProcess[str], Path]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compared(
    completed_run: tuple[Path, Result], averaged_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Compared:
    """The command's output, and the folder that it made; tests only read it."""
    here = tmp_path_factory.mktemp("compared")
    done = completed("compare", completed_run[0], averaged_run, "--images", "17,42", cwd=here)
    assert done.returncode == 0, done.stderr
    return done, here / "compare-small-averaged"


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "compare.json").read_text())
    return found


def test_two_runs(compared: Compared, completed_run: tuple[Path, Result], averaged_run: Path) -> None:
    done, folder = compared
    assert {path.name for path in folder.iterdir()} == {"compare.html", "compare.json"}
    found = read(folder)
    counts = found["outcomes"]
    assert sum(counts[key] for key in ("both", "only_a", "only_b", "neither")) == 500
    for side, run in (("a", completed_run[0]), ("b", averaged_run)):
        summary = json.loads((run / "summary.json").read_text())
        assert found[side] == {"name": run.name, "steps": 30, "accuracy": summary["test"]["accuracy"]}
        assert found["speed"]["images_per_second"][side] == summary["images_per_second"]
    assert [each["key"] for each in found["config"]] == ["seed", "train.ema"]
    assert found["environment"] == []
    assert found["curves"]["validation"]["first"]["step"] == 15
    assert found["images"][0]["row"] == 17
    for kind in ("likeness", "likeness_across", "likeness_own"):
        assert set(found["images"][0][kind]) == {"gradient"}
    assert "seed: 0 in A, 1 in B" in done.stdout
    assert "train.ema: – in A, 0.9 in B" in done.stdout
    assert re.search("validation .*first differ at step 15", done.stdout)
    assert all(len(line) <= 100 for line in done.stdout.splitlines()[:-1]), "the last is the page's path"
    assert done.stdout.rstrip().endswith("compare-small-averaged/compare.html")


def test_the_page_stands_on_its_own_and_every_image_is_described(compared: Compared) -> None:
    _, folder = compared
    html = (folder / "compare.html").read_text()
    page = Images(html)
    assert page.images
    assert all(image["alt"] for image in page.images)
    assert all((address or "").startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert "url(" not in html
    shown = len(read(folder)["images"])
    assert len(page.images) == shown * 3 + 1, "the image and two maps each, and the curves"
    assert html.count("<use href=") == 2 * html.count('<path id="outline-') == 2 * shown, "each map has the outline"
    assert "several seeds" in html


def test_again_it_is_the_same_to_the_byte_and_replaces_the_first_and_the_runs_are_only_read(
    call: Callable[..., Result],
    compared: Compared,
    completed_run: tuple[Path, Result],
    averaged_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def contents() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for run in (completed_run[0], averaged_run) for path in run.rglob("*")}

    _, folder = compared
    monkeypatch.chdir(folder.parent)
    first, runs = {path.name: path.read_bytes() for path in folder.iterdir()}, contents()
    assert call("compare", completed_run[0], averaged_run, "--images", "17,42").exit_code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert contents() == runs


# A colour scheme changes colours and the width the layout: each once.
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_the_page_fits_shows_its_images_and_is_silent(
    compared: Compared, browser: Browser, width: int, scheme: str
) -> None:
    with silent(compared[1] / "compare.html", browser, width, scheme) as page:
        for group in page.locator("summary").all():
            if not group.evaluate("summary => summary.parentElement.open"):
                group.focus()
                page.keyboard.press("Enter")
        assert page.evaluate("[...document.querySelectorAll('details')].every(group => group.open)")
        check_fits(page, width, scheme)


def test_two_checkpoints_of_one_run(
    call: Callable[..., Result], completed_run: tuple[Path, Result], tmp_path: Path
) -> None:
    checkpoints = completed_run[0] / "checkpoints"
    out = tmp_path / "out"
    done = call("compare", checkpoints / "step-15.safetensors", checkpoints / "step-30.safetensors", "--out", out)
    assert done.exit_code == 0, done.stderr
    found = read(out)
    assert (found["a"]["steps"], found["b"]["steps"]) == (15, 30)
    assert found["config"] == []
    assert found["curves"]["validation"] == {"first": None, "both": 1, "only_a": 0, "only_b": 1}
    assert "identical at the one common step" in done.stdout
    assert "steps trained" in (out / "compare.html").read_text()


def test_mistakes_are_one_line_and_leave_nothing(
    call: Callable[..., Result], completed_run: tuple[Path, Result], averaged_run: Path, tmp_path: Path
) -> None:
    a = completed_run[0]
    damaged = Path(shutil.copytree(averaged_run, tmp_path / "damaged"))
    torn = damaged / "checkpoints" / "step-30.safetensors"
    torn.write_bytes(torn.read_bytes()[:1000])
    (damaged / "model.keras").write_bytes(b"no model")
    out = tmp_path / "out"
    for words, arguments in {
        "are the same": (a, a),
        "is not a run directory": (a, tmp_path),
        "is damaged: its SHA-256": (a, torn),
        "is damaged, or not a .keras file": (a, damaged),
        "'grad' is not one of gradient": (a, averaged_run, "--set", "insight.methods=[grad]"),
        "seed=3: only the keys": (a, averaged_run, "--set", "seed=3"),
        "no layer 'conv_9'": (
            *(a, averaged_run),
            *("--set", "insight.layer=conv_9", "--set", "insight.methods=[gradcam]"),
        ),
        "--images 500: there are 500 test images": (a, averaged_run, "--images", "500"),
        "is not a list of image numbers": (a, averaged_run, "--images", "some"),
    }.items():
        done = call("compare", *arguments, "--out", out)
        assert done.exit_code == 2, done
        assert words in done.stderr
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
        assert not out.exists()
    assert "damaged is a run directory" in call("compare", a, averaged_run, "--out", damaged).stderr
