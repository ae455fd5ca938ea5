"""What `pip install .` installs."""

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from harness.config.load import shipped


@pytest.fixture(scope="module")
def wheel(source_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", folder, source_tree], check=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.slow
def test_it_holds_data_configs_templates_licence_and_the_type_marker(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    configs = {f"harness/configs/{name}.yaml" for name in shipped()}
    of_every_page = {
        f"harness/page/{name}" for name in ("page.html.jinja", "config.html.jinja", "macros.html.jinja", "page.css")
    }
    of_report = ("report.html.jinja", "facts.html.jinja", "gallery.html.jinja", "confusion.html.jinja", "gallery.js")
    of_comparison = ("comparison.html.jinja", "cards.html.jinja", "comparison.css")
    templates = {
        *of_every_page,
        *(f"harness/report/page/{name}" for name in of_report),
        *(f"harness/comparison/{name}" for name in of_comparison),
    }
    others = {"harness/data/mnist.npz", "harness/data/README.md", "harness/py.typed"}
    assert configs | templates | others <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_it_holds_every_module_and_nothing_else_of_the_tree(wheel: zipfile.ZipFile, source_files: list[Path]) -> None:
    modules = {str(file) for file in source_files if file.parts[0] == "harness" and file.suffix == ".py"}
    names = set(wheel.namelist())
    assert modules <= names
    assert {name.split("/")[0] for name in names} == {
        "harness",
        f"mirrored_harness-{metadata.version('mirrored-harness')}.dist-info",
    }


@pytest.mark.slow
def test_installed_outside_the_checkout_a_bare_config_name_is_found(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    site = tmp_path / "site"
    wheel.extractall(site)
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import harness, harness.config as config; "
        f"assert harness.__file__.startswith({str(site)!r}); print(config.load('mnist').model.name)"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout == "cnn\n", ended.stderr
