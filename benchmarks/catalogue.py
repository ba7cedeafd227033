"""The problems by name."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import dense_matrix, sparse_matrix
from benchmarks.problem import Problem

__all__ = ["PROBLEMS", "find_problem"]

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "dense_matrix": dense_matrix.problem,
    "sparse_matrix": sparse_matrix.problem,
}


def find_problem(name: str) -> Problem:
    """The problem of a name, at its full size.

    Raises:
        ValueError: If there is none.
    """
    if name not in PROBLEMS:
        raise ValueError(f"the problems are {', '.join(PROBLEMS)}; got {name!r}")
    return PROBLEMS[name]()
