"""What a report says of a layer's spectrum: each quantity, exact or enclosed.

Singular values are known up to an error. Where that is not small beside the smallest one,
that one, the condition number and the log volume are enclosed: all values between s - e
and s + e are possible. Where it is, the number is given, to the digits that are certain.

To report another one, add it here: dictionaries, JSON, CSV, data frames and the pages of
the HTML report follow. The columns of the table are in :mod:`convspec.report.columns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convspec.arrays import FloatArray
from convspec.rounding import down, up
from convspec.spectrum import Envelope, Spectrum

__all__ = ["NORM", "QUANTITIES", "Quantity"]

NORM = "norm"
# the widest enclosure, relative, that is given as one number: half a unit of four digits
# to either side, at least
SHARP = 1e-4
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Quantity:
    """A number that a spectrum has, and bounds on it that an envelope has.

    Attributes:
        name: Its key.
        title: What it is called where there is room.
        meaning: What it is, by formula.
        exact: The number, from all singular values.
        enclosed: Lower and upper bound, from bounds on all of them.
        within: Of what depends on the smallest: lower and upper bound, from all
            singular values and a bound on their errors.
    """

    name: str
    title: str
    meaning: str
    exact: Callable[[Spectrum], float]
    enclosed: Callable[[Envelope], tuple[float, float]]
    within: Callable[[Spectrum, float], tuple[float, float]] | None = None

    def of(self, spec: Spectrum) -> float | tuple[float, float]:
        """The number, or bounds where the values are not known well enough for it."""
        number = self.exact(spec)
        if self.within is None:
            return number
        lower, upper = self.within(spec, float(np.max(spec.error)))
        if lower == upper:
            return lower
        certain = upper - lower <= SHARP * abs(number)
        return number if math.isfinite(number) and certain else (lower, upper)

    def digits(self, spec: Spectrum, most: int) -> int:
        """How many digits of the number lie above its error; at least 1, so many at most.

        Of quantities that are sums over all values it is not computed.
        """
        error = float(np.max(spec.error))
        number = self.exact(spec)
        if self.within is not None:
            lower, upper = self.within(spec, error)
            error = (upper - lower) / 2
        elif self.name != NORM:
            return most
        if not (0 < error < math.inf and 0 < abs(number) < math.inf):
            return most
        return min(most, max(1, math.floor(math.log10(abs(number) / error))))


def _ratio(spec: Spectrum) -> float:
    """Whatever the numerical rank: that the smallest is 0 takes an error of none."""
    least = float(spec.values[-1])
    with np.errstate(over="ignore"):
        return float(spec.values[0] / least) if least > 0 else math.inf


def _product(spec: Spectrum) -> float:
    positive = spec.values[-1] > 0
    return float(np.log(spec.values).sum()) if positive else -math.inf


def _smallest(spec: Spectrum, error: float) -> tuple[float, float]:
    value = float(spec.values[-1])
    if error == 0:
        return value, value
    return max(0.0, down(value - error)), up(value + error)


def _condition_number(spec: Spectrum, error: float) -> tuple[float, float]:
    least, most = _smallest(spec, error)
    if most == 0:
        return math.inf, math.inf
    lower = max(1.0, down(down(spec.norm - error) / most))
    return lower, up(up(spec.norm + error) / least) if least > 0 else math.inf


def _log_volume(spec: Spectrum, error: float) -> tuple[float, float]:
    if _smallest(spec, error)[1] == 0:
        return -math.inf, -math.inf
    most = np.log(spec.values + error)
    upper = float(most.sum()) + _log_rounding(most)
    if _smallest(spec, error)[0] == 0:
        return -math.inf, upper
    least = np.log(spec.values - error)
    return float(least.sum()) - _log_rounding(least), upper


def _log_rounding(logs: FloatArray) -> float:
    """Of a sum of logarithms of what is rounded once."""
    return 4 * len(logs) * EPS * max(1.0, float(np.abs(logs).max()))


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
        _ratio,
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
        _product,
        lambda e: e.log_volume,
        _log_volume,
    ),
)
