"""docs/examples/notebook.ipynb runs as it stands, in a kernel of its own."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import harness

NOTEBOOK = Path(__file__).parent.parent / "docs" / "examples" / "notebook.ipynb"


@pytest.fixture(autouse=True)
def jupyters_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))


def results(notebook: Any) -> list[Any]:
    """What the last line of each code cell gave, in the forms that a notebook shows."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [output.data for cell in cells for output in cell.outputs if output.output_type == "execute_result"]


@pytest.mark.slow
def test_it_trains_shows_and_evaluates_twice_in_one_process(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    assert results(notebook) == []  # it is kept without what it shows
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=folder).execute()
    shown = results(notebook)
    two, one = (harness.RunDir.open(tmp_path / "runs" / name) for name in ("two-replicas", "one-replica"))
    assert shown[0]["text/plain"] == str(two.read_summary()["test"])
    assert [step for step, _ in eval(shown[1]["text/plain"])] == [10, 20, 30]
    assert eval(shown[2]["text/plain"])["accuracy"] == two.read_summary()["validation"]["accuracy"]
    assert shown[3]["image/png"]
    (replicas, loss), (on_one, loss_of_one) = eval(shown[4]["text/plain"])
    assert (replicas, on_one) == (2, 1)
    assert loss == pytest.approx(loss_of_one, rel=1e-3)
    assert one.read_summary()["status"] == "completed"
    assert two.report_file.exists()
