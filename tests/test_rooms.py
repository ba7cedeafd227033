"""The rooms of the package, and that each imports only those that stand before it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import convspec

PACKAGE = Path(convspec.__file__).parent

# A room is a file or a folder, with what its folders hold. Numbers at the bottom, what
# people call at the top; see docs/architecture.md for what stands where.
ROOMS = (
    "version",
    "arrays",
    "errors",
    "extras",
    "isolation",
    "arguments",
    "limits",
    "written",
    "run",
    "rounding",
    "quantity",
    "progress",
    "operators",
    "forecast",
    "cache",
    "krylov",
    "tori",
    "model",
    "files",
    "frequency",
    "spectrum",
    "inverse",
    "bounds",
    "parametrize",
    "penalties",
    "frames",
    "compression",
    "clipping",
    "network",
    "report",
    "plot",
    "pages",
    "sweeps",
    "__init__",
    "demo",
    "cli",
)
# methods that are at home above their class, imported when they are called
DOORS = {
    ("operators/invertible.py", "inverse"),
    ("report/model.py", "plot"),
    ("report/model.py", "pages"),
    ("network/result.py", "pages"),
}


MODULES = {
    ".".join(("convspec", *path.relative_to(PACKAGE).with_suffix("").parts)): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules of the package that a file imports, and whether inside of a function."""
    tree = ast.parse(path.read_text())
    outside = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom | ast.Import):
            continue
        base = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        names = [".".join(filter(None, (base, alias.name))) for alias in node.names]
        for name in names:
            if name.split(".")[0] == "convspec":
                found = name if name in MODULES or f"{name}.__init__" in MODULES else base
                yield found, id(node) not in outside


@cache
def arrows() -> list[tuple[str, str, str, bool]]:
    """(file, its room, room that it imports, late)."""
    return [
        (str(path.relative_to(PACKAGE)), room(name), room(other), late)
        for name, path in MODULES.items()
        for other, late in imported(path)
    ]


def test_every_file_stands_in_a_room() -> None:
    assert {room(name) for name in MODULES} == set(ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_imports_go_down(name: str) -> None:
    before = ROOMS[: ROOMS.index(name) + 1]
    upward = {
        (file, other)
        for file, own, other, late in arrows()
        if own == name and other not in before and not (late and (file, other) in DOORS)
    }
    assert not upward


def test_doors_are_used() -> None:
    assert {(file, other) for file, _, other, late in arrows() if late} >= DOORS


def test_no_circle_of_files() -> None:
    graph = {
        name: {
            other if other in MODULES else f"{other}.__init__"
            for other, late in imported(path)
            if not late
        }
        for name, path in MODULES.items()
    }
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if needs - {name} <= done} - done
        assert free, f"in a circle: {sorted(set(graph) - done)}"
        done |= free


def test_importing_the_package_loads_no_more_than_it_must() -> None:
    """Neither a plotting library nor anything optional, nor what few calls need."""
    code = "import sys, convspec; print(*sorted(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(ran.stdout.split())
    assert "torch" in loaded
    unwanted = {
        "matplotlib",
        "pandas",
        "pyarrow",
        "rich",
        "jinja2",
        "safetensors",
        "sklearn",
    }
    assert not loaded & (unwanted | {"scipy.linalg", "scipy.fft", "scipy.sparse.linalg"})


def test_plot_is_loaded_on_first_use() -> None:
    assert "plot" in dir(convspec)
    assert convspec.plot.spectrum.__module__ == "convspec.plot.spectrum"
    with pytest.raises(AttributeError, match="no attribute 'plots'"):
        convspec.plots  # noqa: B018
