"""What starts at once: importing the package and asking for help load nothing heavy."""

import pydoc
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import harness

HEAVY = [
    "tensorflow",
    "keras",
    "numpy",
    "pydantic",
    "yaml",
    "rich",
    "matplotlib",
    "jinja2",
    "tensorboard",
    "safetensors",
]


def loaded_by(program: str) -> set[str]:
    lines = f"import sys\n{program}\nprint('loaded:', *sorted({{name.partition('.')[0] for name in sys.modules}}))"
    ended = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    return set(ended.stdout.rpartition("loaded:")[2].split())


def command(*arguments: str) -> str:
    return (
        f"sys.argv = ['harness', *{arguments!r}]\n"
        "from harness.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
    )


@pytest.mark.parametrize(
    "program",
    [
        "import harness",
        command("--help"),
        command("-h"),
        command("--version"),
        command("train", "--help"),
        command("bench", "--help"),
        command("compare", "--help"),
        command("cache", "--help"),
        command("doctor", "--help"),
        command("export", "--help"),
        command("tensorboard", "--help"),
    ],
    ids=[
        "import",
        "--help",
        "-h",
        "--version",
        "train",
        "bench",
        "compare",
        "cache",
        "doctor",
        "export",
        "tensorboard",
    ],
)
def test_loads_nothing_heavy(program: str) -> None:
    assert loaded_by(program).isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [("config", "mnist"), ("config", "--schema"), ("runs", "--help")])
def test_a_look_at_a_config_does_without_tensorflow(arguments: tuple[str, ...]) -> None:
    loaded = loaded_by(command(*arguments))
    assert loaded.isdisjoint({"tensorflow", "keras", "matplotlib"})


def test_a_process_that_decodes_images_loads_no_more_than_that_takes() -> None:
    loaded = loaded_by("import harness.data.files.worker")
    assert {"numpy", "PIL"} <= loaded
    assert (loaded & {*HEAVY}) == {"numpy"}


@pytest.mark.parametrize(
    ("model", "data", "picture", "told"),
    [
        ("words.txt", "data.npz", "grey.png", "words.txt is not a .keras file"),
        ("my.keras", "words.txt", "grey.png", "words.txt can't be read as an .npz file"),
        ("my.keras", "other.npz", "grey.png", "other.npz must hold the arrays images and labels"),
        ("my.keras", "data.npz", "words.txt", "words.txt is not a picture that can be read"),
    ],
)
def test_a_wrong_file_is_refused_before_tensorflow_is_loaded(
    tmp_path: Path, model: str, data: str, picture: str, told: str
) -> None:
    (tmp_path / "words.txt").write_text("words")
    zipfile.ZipFile(tmp_path / "my.keras", "w").close()
    np.savez(tmp_path / "data.npz", images=np.zeros((2, 8, 8), np.uint8), labels=[0, 1])
    np.savez(tmp_path / "other.npz", pictures=[0])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "grey.png")
    files = [f"--{option}={tmp_path / name}" for option, name in (("model", model), ("data", data), ("input", picture))]
    program = command("visualize", *files).replace("assert not ended.code, ended.code", "assert ended.code == 2")
    lines = f"import sys\n{program}\nassert not {{'tensorflow', 'keras'}} & {{*sys.modules}}"
    ended = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("error: ")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_help_lists_what_there_is() -> None:
    shown = pydoc.plain(pydoc.render_doc(harness))
    for line in ("class RunDir", "evaluate(", "train(", "visualize("):
        assert f"    {line}" in shown


def test_what_is_loaded_would_be_seen() -> None:
    assert {"yaml", "rich"} <= loaded_by("import yaml, rich.console")
