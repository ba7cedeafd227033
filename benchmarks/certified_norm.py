"""Certified enclosures of the norm of zero-padded 3 x 3 layers, to a gap of 1e-4.

Ours is accurate only if it is 100 times nearer to the truth than Gram iteration, too.
"""

from __future__ import annotations

from functools import cache

from torch import Tensor

from benchmarks import published
from benchmarks.kernels import kernel
from benchmarks.krylov_solvers import LargestValues
from benchmarks.problem import Method, Problem, Target
from convspec import Bound, ConvOperator, spectral_norm

__all__ = ["CASES", "certified_problem", "problem"]

GAP = 1e-4
TIGHTER = 100
STEPS = 5
GRAM = f"Gram iteration, {STEPS} steps"

# kernel, channels, size
CASES: dict[str, tuple[str, int, int]] = {
    "certified_64": ("trained", 64, 56),
    "certified_128": ("trained", 128, 56),
    "certified_256": ("peaked", 256, 28),
    "certified_512": ("peaked", 512, 14),
}


def problem(name: str) -> Problem:
    """One of the cases at its full size.

    Raises:
        Unavailable: If trained weights cannot be fetched.
    """
    kind, channels, size = CASES[name]
    return certified_problem(name, kind, kernel(kind, channels), size)


def certified_problem(name: str, kind: str, weight: Tensor, size: int) -> Problem:
    """A layer with padding 1: our enclosure against Gram iteration as published.

    Args:
        name: Of the problem.
        kind: Of kernel, for the title.
        weight: (c_out, c_in, 3, 3) in float64.
        size: Input pixels per axis.
    """
    op = ConvOperator(weight, size, padding=1)
    sought = LargestValues(op, 1)

    def error(found: Bound) -> float:
        """The upper end's excess over what is allowed; NaN below the truth."""
        truth = float(sought.true[0])
        excess = found.upper / truth - 1
        return excess / allowed(truth) if excess > -1e-12 else float("nan")

    @cache
    def allowed(truth: float) -> float:
        """A share of what Gram iteration exceeds the truth by, where it does."""
        other = published.gram_circular(weight, size, STEPS) / truth - 1
        return min(GAP, other / TIGHTER) if other > 0 else GAP

    methods = (
        Method(
            "convspec",
            "spectral_norm(op, 1e-4): certified, rounding included",
            lambda: spectral_norm(op, GAP),
        ),
        Method(
            GRAM,
            "of the circular operator of the same size, in float32, as published",
            lambda: published.gram_circular(weight, size, STEPS),
            other="the norm of the circular operator from above, but for rounding",
        ),
    )
    c_out, c_in = weight.shape[:2]
    label = f"{kind}, {c_in} -> {c_out}, {size} x {size}"
    return Problem(
        name=name,
        title=f"an upper bound on sigma_1 within {GAP:g} of it, and {TIGHTER} times "
        f"nearer than Gram iteration, for a zero-padded 3 x 3 layer, {label}, float64",
        methods=methods,
        error=error,
        target=Target(faster=1.0, than=(GRAM,)),
        family="an upper bound on sigma_1 within 1e-4, zero padding, 3 x 3, float64",
        label=label,
    )
