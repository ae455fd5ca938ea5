"""What a person sees in TensorBoard, in a real browser."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(script: Path, completed_run: tuple[Path, Any]) -> Iterator[str]:
    """`harness tensorboard RUN`, ready to answer."""
    process = subprocess.Popen(
        [script, "tensorboard", completed_run[0]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Press CTRL+C" in line:  # TensorBoard's own line, printed once it listens
                break
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found, said
        yield found[0]
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address)
    yield page
    page.close()


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab").filter(has_text=re.compile(name, re.IGNORECASE)).first.click()


def see(page: Any, text: str) -> None:
    """Wait until that very text is visible; TensorBoard keeps the other tabs' copies hidden."""
    page.get_by_text(text, exact=True).locator("visible=true").first.wait_for()


def test_scalars_show_every_curve_with_train_and_validation_overlaid(page: Any) -> None:
    open_tab(page, "scalars")
    for tag in ("accuracy", "loss", "learning_rate", "images_per_second", "step_seconds", "gradient_norm"):
        see(page, tag)
    for run in ("train", "validation"):
        see(page, run)


def test_images_show_inputs_figures_and_they_load(page: Any) -> None:
    open_tab(page, "images")
    for group in ("confusion", "features", "filters", "inputs", "saliency"):
        see(page, group)
    picture = page.locator("tf-image-loader img").locator("visible=true").first
    picture.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())


def test_graph_shows_the_model(page: Any) -> None:
    open_tab(page, "graphs")
    page.locator("g.node text").filter(has_text="cnn").first.wait_for(state="attached")


def test_hyperparameters_have_a_row_of_the_runs_name_with_its_result(page: Any) -> None:
    open_tab(page, "hparams")
    for text in ("small", "train.global_batch", "optimizer.learning_rate", "test/accuracy"):
        see(page, text)
