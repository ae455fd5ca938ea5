"""What `pip install .` installs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness.config.load import shipped

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, checkout]
    subprocess.run(command, check=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.slow
def test_it_holds_data_configs_templates_and_the_type_marker(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    configs = {f"harness/configs/{name}.yaml" for name in shipped()}
    others = {"harness/data/mnist.npz", "harness/data/README.md", "harness/report/page.html.jinja", "harness/py.typed"}
    assert configs | others <= names


@pytest.mark.slow
def test_it_holds_every_module(wheel: zipfile.ZipFile) -> None:
    listed = subprocess.run(["git", "ls-files", "harness"], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = {name for name in listed.stdout.splitlines() if name.endswith(".py")}
    assert modules
    assert modules <= set(wheel.namelist())


@pytest.mark.slow
def test_installed_outside_the_checkout_a_bare_config_name_is_found(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    site = tmp_path / "site"
    wheel.extractall(site)
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import harness, harness.config as config; "
        f"assert harness.__file__.startswith({str(site)!r}); print(config.load('mnist').model.name)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout == "cnn\n", ended.stderr
