"""The report's pictures under TensorBoard's Images."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf

from harness.event_files import file_errors, write_png
from harness.report.picture import Picture


@file_errors
def write_images(directory: Path, pictures: Iterable[Picture], step: int) -> None:
    """Write the pictures into a sub-run of their own at `directory`, in place of what stood there."""
    shutil.rmtree(directory, ignore_errors=True)
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        for picture in pictures:
            write_png(picture.name.replace("-", "/", 1), picture.png, step)
    writer.close()
