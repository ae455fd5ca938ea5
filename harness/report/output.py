"""The report's files: its page, insight.json, and the pictures as PNG and under TensorBoard's Images."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf

from harness.page import Page, Picture, render
from harness.runs.paths import write_atomically
from harness.training.event_files import file_errors, write_png


def page_html(page: Page) -> str:
    """The HTML of a model's page."""
    return render(page, "harness.report.page", "report.html.jinja")


def write_files(folder: Path, html: str, insight_json: bytes, pictures: Iterable[Picture]) -> None:
    """Write report.html, insight.json and the pictures into `figures`, in place of earlier ones."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for earlier in figures.glob("*.png"):
        earlier.unlink()
    for picture in pictures:
        write_atomically(figures / f"{picture.name}.png", picture.png)
    write_atomically(folder / "insight.json", insight_json)
    write_atomically(folder / "report.html", html.encode())


@file_errors
def write_images(folder: Path, pictures: Iterable[Picture], step: int) -> None:
    """Write the pictures into the sub-run of the test's result, in place of earlier ones: one of their own would be one
    more run to tick in TensorBoard, which unticks all where there are many. A resume at `step` or before deletes them.

    Args:
        folder: that of all sub-runs.
    """
    shutil.rmtree(folder / "figures", ignore_errors=True)  # where 0.1.0 wrote them
    for earlier in folder.rglob("*.pictures.from-step-*"):
        earlier.unlink()
    writer = tf.summary.create_file_writer(str(folder / "validation"), filename_suffix=f".pictures.from-step-{step}.v2")
    with writer.as_default(step=step):
        for picture in pictures:
            write_png(picture.name.replace("-", "/", 1), picture.png, step)
    writer.close()
