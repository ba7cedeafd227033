"""Every notebook runs from top to bottom, its assertions included."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_is_committed_with_clean_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
    assert path.stat().st_size < 300_000
    resources = {"metadata": {"path": str(path.parent)}}
    ran = NotebookClient(notebook, timeout=300, resources=resources).execute()
    assert all(c.execution_count for c in ran.cells if c.cell_type == "code")
