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
from tests.processes import completed

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


def command(*arguments: str, code: int = 0) -> str:
    return (
        f"sys.argv = ['harness', *{arguments!r}]\n"
        "from harness.cli import main\n"
        "try: main()\n"
        f"except SystemExit as ended: assert (ended.code or 0) == {code}, (sys.argv, ended.code)\n"
    )


OF_HELP = ["train", "bench", "compare", "cache", "doctor", "export", "tensorboard"]


def test_import_and_help_load_nothing_heavy() -> None:
    """In one process: what one of them loads stays loaded."""
    asked = [("--help",), ("-h",), ("--version",), *((name, "--help") for name in OF_HELP)]
    assert loaded_by("import harness\n" + "".join(command(*arguments) for arguments in asked)).isdisjoint(HEAVY)


def test_a_look_at_a_config_does_without_tensorflow() -> None:
    asked = [("config", "mnist"), ("config", "--schema"), ("runs", "--help")]
    loaded = loaded_by("".join(command(*arguments) for arguments in asked))
    assert "yaml" in loaded
    assert loaded.isdisjoint({"tensorflow", "keras", "matplotlib"})


@pytest.mark.slow
def test_garbage_collections_leave_out_what_is_imported_with_tensorflow_but_in_no_process_that_had_it() -> None:
    program = (
        "import gc; from harness.cli.startup import import_tensorflow; import_tensorflow()\n"
        "print(gc.isenabled(), gc.get_freeze_count() > len(gc.get_objects()))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["True", "True"]
    assert completed(program=program).stdout.split() == ["True", "False"]


def test_a_process_that_decodes_images_loads_no_more_than_that_takes() -> None:
    loaded = loaded_by("import harness.data.files.worker")
    assert {"numpy", "PIL"} <= loaded
    assert (loaded & {*HEAVY}) == {"numpy"}


WRONG = [
    ("words.txt", "data.npz", "grey.png", "words.txt is not a .keras file"),
    ("my.keras", "words.txt", "grey.png", "words.txt can't be read as an .npz file"),
    ("my.keras", "other.npz", "grey.png", "other.npz must hold the arrays images and labels"),
    ("my.keras", "data.npz", "words.txt", "words.txt is not a picture that can be read"),
]
"""A model, data and a picture, and what is said of one of them."""


def test_a_wrong_file_is_refused_before_tensorflow_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("words")
    zipfile.ZipFile(tmp_path / "my.keras", "w").close()
    np.savez(tmp_path / "data.npz", images=np.zeros((2, 8, 8), np.uint8), labels=[0, 1])
    np.savez(tmp_path / "other.npz", pictures=[0])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "grey.png")
    program = "".join(
        command(
            "visualize",
            *(f"--{option}={tmp_path / name}" for option, name in zip(("model", "data", "input"), files, strict=True)),
            code=2,
        )
        for *files, _ in WRONG
    )
    lines = f"import sys\n{program}\nassert not {{'tensorflow', 'keras'}} & {{*sys.modules}}"
    ended = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    for (*_, told), line in zip(WRONG, ended.stderr.splitlines(), strict=True):
        assert line.startswith("error: ")
        assert told in line


def test_help_lists_what_there_is() -> None:
    shown = pydoc.plain(pydoc.render_doc(harness))
    for line in ("class RunDir", "evaluate(", "train(", "visualize("):
        assert f"    {line}" in shown


def test_what_is_loaded_would_be_seen() -> None:
    assert {"yaml", "rich"} <= loaded_by("import yaml, rich.console")
