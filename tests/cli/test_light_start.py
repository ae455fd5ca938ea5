"""What starts at once: importing the package and asking for help load nothing heavy."""

import subprocess
import sys

import pytest

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
        command("doctor", "--help"),
        command("tensorboard", "--help"),
    ],
    ids=["import", "--help", "-h", "--version", "train", "bench", "compare", "doctor", "tensorboard"],
)
def test_loads_nothing_heavy(program):
    assert loaded_by(program).isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [("config", "mnist"), ("config", "--schema"), ("runs", "--help")])
def test_a_look_at_a_config_does_without_tensorflow(arguments):
    loaded = loaded_by(command(*arguments))
    assert loaded.isdisjoint({"tensorflow", "keras", "matplotlib"})


def test_what_is_loaded_would_be_seen():
    assert {"yaml", "rich"} <= loaded_by("import yaml, rich.console")
