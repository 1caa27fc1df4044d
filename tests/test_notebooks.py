"""Every notebook runs and shows a figure; the digits of the quickstart match."""

import ast
import json
import os
import pathlib
import subprocess

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted(
    (pathlib.Path(__file__).resolve().parent.parent / "colab").glob("*.ipynb")
)
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# Made short: `test_the_digits_of_the_quickstart_match` runs all of it.
SHORT = {
    "quickstart": {"1_600": "20", "classifier_steps=250": "classifier_steps=5"},
}
CLAIMS = {  # what a notebook says of its pictures, as code after its last cell
    "which_labels_are_wrong": """
for flags in suspects.values():
    assert wrong[flags].mean() > 0.6 and flags[wrong].mean() > 0.6
    assert max(flags.mean(), wrong.mean()) < 0.1
assert auroc > 0.95
assert wrong[order[:300]].sum() > 0.8 * wrong.sum()
assert wrong[order[:20]].mean() > 0.9 and 0 < wrong[order[160:180]].mean() < 1
assert accuracy["without flagged rows"] > accuracy["labels as given"]
""",
}
FAKE_PIP = """import json, os, sys
with open(os.environ["SEEN"], "w") as file:
    json.dump({"arguments": sys.argv[1:], "folder": os.getcwd()}, file)
"""


def read(path):
    """The notebook and its cells of code."""
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook, folder):
    NotebookClient(
        notebook,
        timeout=None,  # a busy machine takes what it takes
        kernel_name="python3",
        resources={"metadata": {"path": os.fspath(folder)}},
    ).execute()


def printed(cell):
    return "".join(o.text for o in cell.outputs if o.output_type == "stream")


@EACH
def test_a_notebook_is_short_and_stored_without_outputs(path):
    notebook, code = read(path)
    assert len(notebook.cells) <= 16 and len(code) <= 12
    assert not any(cell.outputs or cell.execution_count for cell in code)
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    assert first.count("*One question: ") == 1 and "processor seconds" in first
    assert last.startswith("## What to try next")
    for cell in code[1:]:  # the first has commands of the notebook
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno < 5, node.name


@pytest.fixture
def as_users_compile(monkeypatch):
    """Kernels without what conftest.py sets, which makes long training slower."""
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_compile")
@EACH
def test_a_notebook_runs_and_shows_a_figure(path):
    notebook, code = read(path)
    for text, short in SHORT.get(path.stem, {}).items():
        assert any(text in cell.source for cell in code), text
        for cell in code:
            cell.source = cell.source.replace(text, short)
    if path.stem in CLAIMS:
        notebook.cells.append(nbformat.v4.new_code_cell(CLAIMS[path.stem]))
    execute(notebook, path.parent)
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    lines = [line for cell in code for line in printed(cell).splitlines()]
    assert len(lines) <= 40 and not any("xla" in line.lower() for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_compile")
def test_the_digits_of_the_quickstart_match():
    (path,) = (path for path in NOTEBOOKS if path.stem == "quickstart")
    notebook, _ = read(path)
    ask = "print({k: (found.numbers[k], found.chance[k]) for k in found.chance})"
    notebook.cells.append(nbformat.v4.new_code_cell(ask))
    execute(notebook, path.parent)
    numbers = ast.literal_eval(printed(notebook.cells[-1]))
    for name in ("m0->m1", "m1->m0"):
        coherence, chance = numbers[name]
        assert coherence > 3 * chance, name


@EACH
def test_the_first_cell_sets_a_fresh_machine_up(path, tmp_path, monkeypatch):
    """Where there is no checkout: it clones, changes into it, and installs it."""
    repository, machine = tmp_path / "repository", tmp_path / "machine"
    (repository / "configs").mkdir(parents=True)
    machine.mkdir()
    (repository / "configs" / "base.py").write_text("")
    person = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*person, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    (tmp_path / "fake" / "pip").mkdir(parents=True)
    (tmp_path / "fake" / "pip" / "__init__.py").write_text("")
    (tmp_path / "fake" / "pip" / "__main__.py").write_text(FAKE_PIP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    notebook, code = read(path)
    set_up = code[0].source.replace('REPOSITORY = ""', f'REPOSITORY = "{repository}"')
    assert set_up != code[0].source
    cell = nbformat.v4.new_code_cell(set_up)
    notebook.cells = [cell, cell.copy(), nbformat.v4.new_code_cell("%pwd")]
    execute(notebook, machine)
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["folder"] == str(machine / "checkout")
    assert seen["arguments"] in (
        ["install", "-q", "."],
        ["install", "-q", "-e", ".[train]"],
    )
    assert str(machine / "checkout") in notebook.cells[-1].outputs[0].data["text/plain"]


def test_the_first_cell_changes_only_the_folder_of_a_checkout(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "base.py").write_text("")
    (tmp_path / "colab").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for path in NOTEBOOKS:
        notebook, code = read(path)
        notebook.cells = [code[0], nbformat.v4.new_code_cell("%pwd")]
        execute(notebook, tmp_path / "colab")
        assert str(tmp_path) + "'" in notebook.cells[-1].outputs[0].data["text/plain"]
        assert not printed(code[0])
    assert sorted(tmp_path.rglob("*")) == before
