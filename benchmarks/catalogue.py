"""The problems by name, and groups of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from benchmarks import (
    bounds,
    certified_norm,
    circular_spectrum,
    dense_matrix,
    envelopes,
    largest_values,
    resnet18,
    singular_vectors,
    sparse_matrix,
    zero_padded_norm,
)
from benchmarks.problem import Problem

__all__ = ["COMPARISONS", "GROUPS", "PROBLEMS", "expanded", "find_problem"]

_CIRCULAR = {
    name: partial(circular_spectrum.problem, name) for name in circular_spectrum.CASES
}
_NORM = {name: partial(zero_padded_norm.problem, name) for name in zero_padded_norm.CASES}
_CERTIFIED = {
    name: partial(certified_norm.problem, name) for name in certified_norm.CASES
}
_LARGEST = {name: partial(largest_values.problem, name) for name in largest_values.CASES}

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "dense_matrix": dense_matrix.problem,
    "sparse_matrix": sparse_matrix.problem,
    **_CIRCULAR,
    "resnet18": resnet18.problem,
    "singular_vectors": singular_vectors.problem,
    **_NORM,
    **_LARGEST,
    **_CERTIFIED,
    "envelopes": envelopes.problem,
}

GROUPS: dict[str, tuple[str, ...]] = {
    "matrices": ("dense_matrix", "sparse_matrix"),
    "circular": tuple(_CIRCULAR),
    "norm": tuple(_NORM),
    "largest": tuple(_LARGEST),
    "certified": tuple(_CERTIFIED),
    "spectra": (
        *_CIRCULAR,
        "resnet18",
        "singular_vectors",
        *_NORM,
        *_LARGEST,
        "envelopes",
    ),
}


# what has a value to show beside its time
COMPARISONS: dict[str, Callable[[int], bounds.Comparison]] = {
    "bounds": lambda repeats: bounds.compare(bounds.trained(), bounds.methods(), repeats),
}


def find_problem(name: str) -> Problem:
    """The problem of a name, at its full size.

    Raises:
        ValueError: If there is none.
        Unavailable: If it cannot be set up here.
    """
    if name not in PROBLEMS:
        raise ValueError(f"the problems are {', '.join(PROBLEMS)}; got {name!r}")
    return PROBLEMS[name]()


def expanded(names: Iterable[str]) -> list[str]:
    """Names of problems and comparisons, each once, instead of groups of them.

    Raises:
        ValueError: If a name is neither of them nor a group.
    """
    found: dict[str, None] = {}
    for name in names:
        if name not in PROBLEMS | COMPARISONS | GROUPS:
            raise ValueError(
                f"the problems are {', '.join(PROBLEMS | COMPARISONS)}, and groups of "
                f"them {', '.join(GROUPS)}; got {name!r}"
            )
        found.update(dict.fromkeys(GROUPS.get(name, (name,))))
    return list(found)
