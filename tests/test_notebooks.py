"""Every notebook runs from top to bottom, its assertions included, and is fit to read."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import convspec as cs

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_CELLS = 22
MOST_BYTES = 300_000
# what a reader may import of the package: itself, its figures, the demo's network
PUBLIC = {
    "convspec": set(cs.__all__) | {"__version__"},
    "convspec.plot": set(cs.plot.__all__),
    "convspec.bounds": set(cs.bounds.__all__),
    "convspec.demo.run": {"choose_network"},
}
# they fetch MobileNetV2; without it they show the network that ships with the package
FETCHING = ("03_a_pretrained_network", "06_what_a_layer_amplifies")
WITHOUT_NETWORK = {
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "",
    "PIP_CONFIG_FILE": os.devnull,
}
# half a minute each, on a network that the demo and its tests run as well
LONG = ("03_a_pretrained_network", "07_a_certified_constant")
RUN = [
    pytest.param(path, marks=pytest.mark.slow) if path.stem in LONG else path
    for path in NOTEBOOKS
]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(path: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Any:
    """A fresh run of all cells, on the package that is tested."""
    notebook = read(path)
    for cell in code_of(notebook):
        cell.outputs, cell.execution_count = [], None
    before = os.environ.get("PYTHONPATH")
    places = [str(ROOT), *([before] if before else [])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=resources
    )
    return client.execute()


def printed(notebook: Any) -> list[str]:
    """What each cell wrote to standard output."""
    return [
        "".join(o.text for o in cell.outputs if o.get("name") == "stdout")
        for cell in code_of(notebook)
    ]


def words(text: str) -> list[str]:
    """The words of a text without its numbers, whose last digits differ by machine."""
    return re.findall(r"[A-Za-z_]{2,}", re.sub(r"\d[\d.,e+-]*", " ", text))


def test_numbered_from_one_without_a_gap() -> None:
    numbers = [int(path.stem.split("_")[0]) for path in NOTEBOOKS]
    assert numbers == list(range(1, len(NOTEBOOKS) + 1))
    assert len(NOTEBOOKS) == 10


# As committed --------------------------------------------------------------------------


@each_notebook
def test_committed_with_clean_outputs(path: Path) -> None:
    notebook = read(path)
    counts = [cell.execution_count for cell in code_of(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code_of(notebook) for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)


@each_notebook
def test_short_and_small(path: Path) -> None:
    notebook = read(path)
    assert len(notebook.cells) <= MOST_CELLS
    assert path.stat().st_size < MOST_BYTES
    assert notebook.metadata.kernelspec.name == "python3"


@each_notebook
def test_one_question_with_an_answer_checked_and_a_close(path: Path) -> None:
    first, *_, last = read(path).cells
    assert first.cell_type == last.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "**The question:**" in first.source
    assert "?" in first.source
    assert last.source.startswith("## What to remember")
    source = "\n".join(cell.source for cell in code_of(read(path)))
    asserted = [node for node in ast.walk(ast.parse(source)) if is_assertion(node)]
    assert len(asserted) >= 10


def is_assertion(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert)


@each_notebook
def test_public_names_only(path: Path) -> None:
    tree = ast.parse("\n".join(cell.source for cell in code_of(read(path))))
    assert "import convspec as cs" in ast.unparse(tree)
    wrong = [*private_names(tree), *foreign_imports(tree), *unknown_names(tree)]
    assert wrong == []


def private_names(tree: ast.AST) -> Iterator[str]:
    """Attributes and imports that start with an underscore, dunders left out."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [part for alias in node.names for part in alias.name.split(".")]
        yield from (name for name in names if re.match(r"_(?!_)", name))


def foreign_imports(tree: ast.AST) -> Iterator[str]:
    """Imports of the package's insides."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "convspec" and alias.name not in PUBLIC:
                    yield alias.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.split(".")[0] != "convspec":
                continue
            known = PUBLIC.get(module, set())
            yield from (f"{module}.{a.name}" for a in node.names if a.name not in known)


def unknown_names(tree: ast.AST) -> Iterator[str]:
    """What is taken of ``cs``, ``cs.plot`` and ``cs.bounds`` and not in their list."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        whole = ast.unparse(node)
        owner = ast.unparse(node.value).replace("cs", "convspec", 1)
        if whole.startswith("cs.") and owner in PUBLIC and node.attr not in PUBLIC[owner]:
            yield whole


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import convspec as cs; cs.operator._finite(1)", ["_finite", "cs.operator"]),
        ("from convspec.bounds.table import BOUNDS", ["convspec.bounds.table.BOUNDS"]),
        ("import convspec.operators.geometry", ["convspec.operators.geometry"]),
        ("cs.plot.canvas", ["cs.plot.canvas"]),
        ("from convspec.demo.run import run_demo", ["convspec.demo.run.run_demo"]),
        ("cs.spectrum(op).values; cs.bounds.table(op); cs.__version__", []),
    ],
)
def test_insides_are_found_out(source: str, found: list[str]) -> None:
    """The check above sees what it is for."""
    tree = ast.parse(source)
    assert [*private_names(tree), *foreign_imports(tree), *unknown_names(tree)] == found


# Run anew ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_runs_and_says_what_was_committed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers left out, which are for the notebook's assertions to check."""
    quick = {"PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "15"}  # where nobody answers
    ran = execute(path, monkeypatch, **quick)
    assert all(cell.execution_count for cell in code_of(ran))
    if path.stem not in FETCHING:
        assert list(map(words, printed(ran))) == list(map(words, printed(read(path))))


@pytest.mark.slow
@pytest.mark.parametrize("name", FETCHING)
def test_runs_without_a_network(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables = {"XDG_CACHE_HOME": str(tmp_path), **WITHOUT_NETWORK}
    ran = execute(ROOT / "notebooks" / f"{name}.ipynb", monkeypatch, **variables)
    assert "digits" in printed(ran)[0]
    assert not list(tmp_path.rglob("*.pth"))
