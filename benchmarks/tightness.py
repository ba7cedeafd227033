"""How tight envelopes are along the spectrum, against dense singular values."""

from __future__ import annotations

import numpy as np

from benchmarks.table import aligned
from benchmarks.torus_layer import FloatArray
from convspec import ConvOperator, spectral_envelope

__all__ = ["FRACTIONS", "ratios", "tightness"]

# of the index: 0 is the largest singular value
FRACTIONS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
NAMES = ("top", *(f"{fraction:.0%}" for fraction in FRACTIONS[1:]))


def ratios(op: ConvOperator) -> tuple[FloatArray, FloatArray]:
    """(upper over true, true over lower) at :data:`FRACTIONS` of the index."""
    values = np.linalg.svd(op.to_dense().numpy(), compute_uv=False)
    band = spectral_envelope(op)
    at = [int(fraction * len(values)) for fraction in FRACTIONS]
    return _over(band.upper[at], values[at]), _over(values[at], band.lower[at])


def tightness(operators: dict[str, list[ConvOperator]]) -> str:
    """A table of the medians of :func:`ratios` over each list of operators."""
    header = [f"{end} {name}" for end in "UL" for name in NAMES]
    rows: list[tuple[str, ...]] = [("median ratios", *header, "")]
    for label, each in operators.items():
        pairs = np.array([ratios(op) for op in each])
        medians = np.median(pairs, axis=0).ravel()
        rows.append((label, *(f"{ratio:.3f}" for ratio in medians), ""))
    title = (
        "U: upper end over true value; L: true value over lower end, inf where that is 0"
    )
    return "\n".join([title, *aligned(rows)])


def _over(above: FloatArray, below: FloatArray) -> FloatArray:
    """The ratio of nonnegative numbers; 1 of zeros."""
    found = np.where(above > 0, np.inf, 1.0)
    return np.divide(above, below, out=found, where=below > 0)
