"""Every notebook runs from top to bottom, and is stored without outputs."""

import os
import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted(
    (pathlib.Path(__file__).resolve().parent.parent / "colab").glob("*.ipynb")
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_has_no_outputs(path, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert 3 <= len(code) <= 12
    assert not any(cell.outputs or cell.execution_count for cell in code)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    client = NotebookClient(
        notebook,
        timeout=None,  # a busy machine takes what it takes
        kernel_name="python3",
        resources={"metadata": {"path": os.fspath(path.parent)}},
    )
    client.execute()
    pictures = [
        output
        for cell in code
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert pictures, "a notebook shows at least one figure"
