"""The 20 largest singular values of zero-padded 3 x 3 layers, to a relative 1e-6."""

from __future__ import annotations

from torch import Tensor

from benchmarks.kernels import kernel
from benchmarks.krylov_solvers import LargestValues
from benchmarks.problem import Problem
from benchmarks.zero_padded_norm import solver_methods, solver_problem
from convspec import ConvOperator

__all__ = ["CASES", "largest_problem", "problem"]

COUNT = 20
# loosest first; in wider steps than for one value, as each takes tens of seconds
TOLERANCES = tuple(digit * 10.0**-power for power in range(1, 7) for digit in (1, 0.3))

# kernel, channels, size, how many times faster than the best of SciPy's solvers
CASES: dict[str, tuple[str, int, int, float]] = {
    "largest_20": ("trained", 64, 56, 5.0),
}


def problem(name: str) -> Problem:
    """One of the cases at its full size.

    Raises:
        Unavailable: If trained weights cannot be fetched.
    """
    kind, channels, size, faster = CASES[name]
    return largest_problem(name, kind, kernel(kind, channels), size, COUNT, faster)


def largest_problem(
    name: str,
    kind: str,
    weight: Tensor,
    size: int,
    count: int,
    faster: float | None = None,
) -> Problem:
    """The largest values of a layer with padding 1, each method at a tolerance that does.

    Args:
        name: Of the problem.
        kind: Of kernel, for the title.
        weight: (c_out, c_in, 3, 3) in float64.
        size: Input pixels per axis.
        count: How many values.
        faster: The target.
    """
    sought = LargestValues(ConvOperator(weight, size, padding=1), count)
    methods = solver_methods(sought, TOLERANCES)
    return solver_problem(name, f"the {count} largest", kind, sought, methods, faster)
