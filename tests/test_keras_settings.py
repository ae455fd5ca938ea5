"""What the user has set in Keras for other projects leaves a run as it is, and is left as it was."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import pytest
import safetensors.numpy

import harness
from harness.errors import UserError
from harness.keras_settings import import_keras, pinned
from harness.machine.doctor import examine

OTHERS = {"backend": "jax", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}


def process(arguments: list[str], home: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"KERAS_HOME": str(home)} | variables
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_neither_the_settings_file_nor_the_environment_is_followed(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps(OTHERS))
    look = (
        "from harness import keras_settings; keras_settings.pin(); import keras, tensorflow as tf; c = keras.config; "
        "print(c.backend(), c.floatx(), c.image_data_format(), c.epsilon(), c.dtype_policy().name, c.max_epochs(), "
        "tf.keras.__version__ == keras.__version__)"
    )
    seen = process(["-c", look], tmp_path, KERAS_BACKEND="torch", KERAS_MAX_EPOCHS="1", TF_USE_LEGACY_KERAS="1")
    assert seen.stdout.split() == ["tensorflow", "float32", "channels_last", "1e-07", "float32", "None", "True"]


@pytest.mark.parametrize("text", ['{"floatx": "float128"}', "[1]", '{"floatx": []}'])
def test_a_settings_file_that_keras_can_not_read_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "keras.json").write_text(text)
    command = ["-c", "from harness.cli import main; main()", "train", "mnist", "--dry-run"]
    refused = process(command, tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {tmp_path / 'keras.json'} keeps Keras from being imported: ")
    assert refused.stderr.count("\n") == 1


def test_a_run_in_a_program_with_settings_of_its_own_is_in_float32_and_leaves_them(
    small_config: Path, tmp_path: Path
) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float16")
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    try:
        run = harness.train(small_config, tmp_path / "run", quiet=True, only_training=True)
        assert keras.config.floatx() == "float16"
        assert keras.config.dtype_policy().name == "mixed_float16"
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format("channels_last")
    assert run is not None
    saved = safetensors.numpy.load_file(run.checkpoints_dir / "step-30.safetensors")
    weights = [array for path, array in saved.items() if path.startswith("model/") and "kernel" in path]
    assert weights
    assert {str(array.dtype) for array in weights} == {"float32"}


def test_two_threads_that_train_both_have_what_they_need_and_the_program_gets_its_own_back() -> None:
    def hold() -> None:
        with pinned():
            entered.set()
            leave.wait(10)
            seen.append(keras.config.floatx())

    entered, leave, seen = threading.Event(), threading.Event(), list[str]()
    other = threading.Thread(target=hold)
    keras.config.set_floatx("float16")
    try:
        with pinned():
            other.start()
            assert entered.wait(10)
        leave.set()
        other.join()
        assert seen == ["float32"]
        assert keras.config.floatx() == "float16"
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.slow
def test_tensorflow_imported_first_with_another_backend_is_refused_in_one_line(tmp_path: Path) -> None:
    program = (
        "import tensorflow, harness\nfrom harness.errors import UserError\n"
        "try: harness.train\nexcept UserError as error: print(error)"
    )
    seen = process(["-c", program], tmp_path, KERAS_BACKEND="jax")
    assert "backend jax" in seen.stdout, seen.stderr
    assert seen.stdout.count("\n") == 1


def test_keras_imported_with_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.config.backend", lambda: "jax")
    with pytest.raises(UserError, match="backend jax"):
        import_keras()


def test_doctor_names_the_settings_that_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keras.json").write_text(json.dumps(OTHERS))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (finding,) = (finding for finding in examine() if finding.name == "Keras settings")
    assert finding.problem is None
    for name, value in OTHERS.items():
        assert f"{name} {value} in {tmp_path / 'keras.json'}" in finding.found
