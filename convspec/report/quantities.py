"""What a report says of a layer's spectrum: each quantity, exact or enclosed.

A singular value below its error may be 0 or not: it is enclosed, and with it whatever
depends on whether it is.

To report another one, add it here: dictionaries, JSON, CSV, data frames and the pages of
the HTML report follow. The columns of the table are in :mod:`convspec.report.columns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convspec.rounding import down, up
from convspec.spectrum import Envelope, Spectrum

__all__ = ["NORM", "QUANTITIES", "Quantity"]

NORM = "norm"


@dataclass(frozen=True)
class Quantity:
    """A number that a spectrum has, and bounds on it that an envelope has.

    Attributes:
        name: Its key.
        title: What it is called where there is room.
        meaning: What it is, by formula.
        exact: The number, from all singular values.
        enclosed: Lower and upper bound, from bounds on all of them.
        unresolved: Bounds from all singular values and a bound on their errors, where
            the smallest is below it and the number depends on whether it is 0.
    """

    name: str
    title: str
    meaning: str
    exact: Callable[[Spectrum], float]
    enclosed: Callable[[Envelope], tuple[float, float]]
    unresolved: Callable[[Spectrum, float], tuple[float, float]] | None = None

    def of(self, spec: Spectrum) -> float | tuple[float, float]:
        """The number, or bounds where the values are not known well enough for it."""
        error = float(np.max(spec.error))
        if self.unresolved is None or not 0 < error >= float(spec.values[-1]):
            return self.exact(spec)
        return self.unresolved(spec, error)


def _smallest(spec: Spectrum, error: float) -> tuple[float, float]:
    return 0.0, up(float(spec.values[-1]) + error)


def _condition_number(spec: Spectrum, error: float) -> tuple[float, float]:
    return max(1.0, down(down(spec.norm - error) / _smallest(spec, error)[1])), math.inf


def _log_volume(spec: Spectrum, error: float) -> tuple[float, float]:
    most = np.log(spec.values + error)
    rounding = 4 * len(most) * np.finfo(np.float64).eps * np.abs(most).max()
    return -math.inf, float(most.sum() + rounding)


QUANTITIES = (
    Quantity(
        NORM,
        "norm sigma_1",
        "largest singular value: how much the layer amplifies at most, in l2",
        lambda s: s.norm,
        lambda e: e.norm,
    ),
    Quantity(
        "smallest",
        "sigma_min",
        "smallest of the min(m, n) singular values",
        lambda s: float(s.values[-1]),
        lambda e: e.smallest,
        _smallest,
    ),
    Quantity(
        "rank",
        "numerical rank",
        "singular values above max(m, n) eps sigma_1; those below need not be 0",
        lambda s: s.rank(),
        lambda e: e.rank(),
    ),
    Quantity(
        "nullity",
        "numerical nullity",
        "n - numerical rank: the dimension of what the layer maps to nearly nothing",
        lambda s: s.nullity(),
        lambda e: e.nullity(),
    ),
    Quantity(
        "condition_number",
        "condition number",
        "sigma_1 / sigma_min",
        lambda s: s.condition_number,
        lambda e: e.condition_number,
        _condition_number,
    ),
    Quantity(
        "stable_rank",
        "stable rank",
        "||A||_F^2 / sigma_1^2",
        lambda s: s.stable_rank,
        lambda e: e.stable_rank,
    ),
    Quantity(
        "effective_rank",
        "effective rank",
        "exp of the entropy of sigma_i / sum sigma (Roy and Vetterli, 2007)",
        lambda s: s.effective_rank,
        lambda e: e.effective_rank,
    ),
    Quantity(
        "participation_ratio",
        "participation ratio",
        "(sum sigma_i^2)^2 / sum sigma_i^4",
        lambda s: s.participation_ratio,
        lambda e: e.participation_ratio,
    ),
    Quantity(
        "nuclear_norm",
        "nuclear norm",
        "sum sigma_i",
        lambda s: s.nuclear_norm,
        lambda e: e.nuclear_norm,
    ),
    Quantity(
        "schatten_4",
        "Schatten 4-norm",
        "(sum sigma_i^4)^(1/4)",
        lambda s: s.schatten(4),
        lambda e: e.schatten(4),
    ),
    Quantity(
        "log_volume",
        "log volume",
        "sum ln sigma_i",
        lambda s: s.log_volume,
        lambda e: e.log_volume,
        _log_volume,
    ),
)
