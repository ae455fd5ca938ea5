"""The versions of CUDA's libraries against those that TensorFlow was built for."""

from pathlib import Path

import pytest
import tensorflow as tf

from harness.machine import cuda


@pytest.mark.parametrize(
    ("installed", "built", "words"),
    [
        ((12, 5), (12, 5), None),
        ((12, 9), (12, 5), None),
        ((12, 3), (12, 5), "too old"),
        ((13, 0), (12, 5), "major"),
        ((11, 8), (12, 5), "major"),
        ((9, 1), (9,), None),
        ((8, 9), (9,), "major"),
    ],
)
def test_a_later_minor_version_will_do_and_no_other(
    installed: tuple[int, int], built: tuple[int, ...], words: str | None
) -> None:
    found = cuda.mismatch(installed, built)
    assert found is None if words is None else words in (found or "")


def test_tensorflow_says_what_it_was_built_for() -> None:
    built = cuda.built_for(tf.sysconfig.get_build_info())
    assert built["CUDA runtime"] >= (12,)
    assert len(built["cuDNN"]) == 2  # the build info alone has the major version


@pytest.mark.parametrize(("number", "version"), [(90300, (9, 3)), (91900, (9, 19)), (100102, (10, 1)), (8907, (8, 9))])
def test_cudnn_counts_in_another_way_since_version_9(number: int, version: tuple[int, int]) -> None:
    assert cuda.cudnn_version(number) == version


def test_a_file_that_is_no_library_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "library.so").write_text("damaged")
    with pytest.raises(OSError, match=r"library\.so"):
        cuda.version("cuDNN", str(tmp_path / "library.so"))
