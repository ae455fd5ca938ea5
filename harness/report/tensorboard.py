"""The report's pictures under TensorBoard's Images."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf

from harness.page.picture import Picture
from harness.runs.event_files import file_errors, write_png


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
