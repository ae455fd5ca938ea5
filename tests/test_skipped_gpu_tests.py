"""Where there is a card, a test for cards can't pass over in silence: the tests' own conftest under pytest-xdist."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

TREE = """
import os
import pytest

def test_runs_in_a_worker():
    assert os.environ["PYTEST_XDIST_WORKER"]

def test_hides_the_cards():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""

def test_gives_them_back(with_gpus):
    assert with_gpus.get("CUDA_VISIBLE_DEVICES") == os.environ["EXPECTED"]

@pytest.mark.gpu
def test_for_one_card():
    pytest.skip("as if TensorFlow saw none")

@pytest.mark.gpu(cards=2)
def test_for_two_cards():
    pytest.skip("there is one")

def test_for_a_browser():
    pytest.skip("not installed")
"""


def outcomes(tmp_path: Path, cards: int) -> dict[str, str]:
    """What became of each test of the tree, on a machine with so many cards."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "echo 'GPU 0: Some GPU (UUID: a)'\n" * cards)
    program.chmod(0o755)
    tree = tmp_path / "tree"
    (tree / "tests").mkdir(parents=True)
    for name in ("conftest.py", "processes.py"):
        shutil.copy(Path(__file__).with_name(name), tree / "tests")
    (tree / "tests" / "test_tree.py").write_text(TREE)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_") and key != "CI"}
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "5", "EXPECTED": "5"}
    configuration = Path(__file__).parents[1] / "pyproject.toml"
    options = ["-n", "1", "-c", str(configuration), "--rootdir", str(tree), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, f"--junit-xml={tmp_path / 'result.xml'}", str(tree)]
    ended = subprocess.run(command, env=inherited | environment, cwd=tree, capture_output=True, text=True)
    cases = list(ET.parse(tmp_path / "result.xml").iter("testcase"))
    assert len(cases) == 6, ended.stdout + ended.stderr
    return {case.attrib["name"].removeprefix("test_"): case[0].tag if len(case) else "passed" for case in cases}


@pytest.mark.slow
def test_a_skipped_one_has_failed_where_there_are_cards_enough(tmp_path: Path) -> None:
    assert outcomes(tmp_path, cards=1) == {
        "runs_in_a_worker": "passed",
        "hides_the_cards": "passed",
        "gives_them_back": "passed",
        "for_one_card": "failure",
        "for_two_cards": "skipped",
        "for_a_browser": "skipped",
    }
