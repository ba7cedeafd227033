"""What a report says of a layer's spectrum: each quantity, exact or enclosed.

Singular values are known up to an error. Where that is not small beside the smallest one,
that one, the condition number and the log volume are enclosed: all values between s - e
and s + e are possible. Where it is, the number is given, to the digits that are certain.

To report another one, add it here: dictionaries, JSON, CSV, data frames, LaTeX and the
pages of the HTML report follow; :mod:`convspec.report.columns` says which of them the
table shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convspec.arrays import FloatArray
from convspec.quantity.enclosure import Enclosure
from convspec.report.readings import Reading
from convspec.rounding import down_nonnegative, up
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
        within: Of what depends on single values: lower and upper bound, from all
            singular values and a bound on their errors.
        any: What can be said of every operator with m rows and n columns.
        nearer_above: Whether the upper end of an enclosure is the one that is attained,
            or nearer to it, as of the smallest value.
        counts: Whether it is how many of the min(m, n) singular values are such.
    """

    name: str
    title: str
    meaning: str
    exact: Callable[[Spectrum], float]
    enclosed: Callable[[Envelope], Enclosure]
    within: Callable[[Spectrum, float], Enclosure] | None = None
    any: Callable[[int, int], Enclosure] = lambda m, n: Enclosure(0.0, math.inf)
    nearer_above: bool = False
    counts: bool = False

    def of_spectrum(self, spec: Spectrum) -> Reading:
        """The number, or bounds where the values are not known well enough for it."""
        number = self.exact(spec)
        if math.isnan(number):  # beyond float64
            return self.unknown(spec.shape)
        if self.within is None:
            return Reading.exact(number)
        ends = self.within(spec, float(np.max(spec.error)))
        if ends.width == 0:
            return Reading.exact(ends.lower)
        if math.isfinite(number) and ends.width <= SHARP * abs(number):
            return Reading.exact(number, ends)
        return Reading.enclosed(ends, upper=self.nearer_above)

    def of_envelope(self, band: Envelope) -> Reading:
        """Enclosures of the quantities, from bounds on all singular values."""
        return Reading.enclosed(self.enclosed(band), upper=self.nearer_above)

    def unknown(self, shape: tuple[int, int]) -> Reading:
        """What can be said of any operator of this shape."""
        return Reading.enclosed(self.any(*shape), upper=self.nearer_above)

    def digits(self, spec: Spectrum, most: int) -> int:
        """How many digits of the number lie above its error; at least 1, so many at most.

        Of quantities that are sums over all values it is not computed.
        """
        if self.within is None:
            return most
        number = self.exact(spec)
        error = self.within(spec, float(np.max(spec.error))).width / 2
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


def _norm(spec: Spectrum, error: float) -> Enclosure:
    return _around(spec.norm, error)


def _smallest(spec: Spectrum, error: float) -> Enclosure:
    if spec.zeros:
        return Enclosure(0.0, 0.0)
    return _around(float(spec.values[-1]), error)


def _around(value: float, error: float) -> Enclosure:
    """What singular values within an error of a computed one are between."""
    if error == 0 or math.isinf(value):
        return Enclosure(value, value)
    return Enclosure(down_nonnegative(value - error), up(value + error))


def _condition_number(spec: Spectrum, error: float) -> Enclosure:
    least = _smallest(spec, error)
    if least.upper == 0:
        return Enclosure(math.inf, math.inf)
    return _norm(spec, error) / least & Enclosure(1.0, math.inf)


def _log_volume(spec: Spectrum, error: float) -> Enclosure:
    if _smallest(spec, error)[1] == 0:
        return Enclosure(-math.inf, -math.inf)
    most = np.log(spec.values + error)
    upper = float(most.sum()) + _log_rounding(most)
    if _smallest(spec, error)[0] == 0:
        return Enclosure(-math.inf, upper)
    least = np.log(spec.values - error)
    return Enclosure(float(least.sum()) - _log_rounding(least), upper)


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
        _norm,
    ),
    Quantity(
        "smallest",
        "sigma_min",
        "smallest of the min(m, n) singular values",
        lambda s: float(s.values[-1]),
        lambda e: e.smallest,
        _smallest,
        nearer_above=True,
    ),
    Quantity(
        "rank",
        "numerical rank",
        "singular values above max(m, n) eps sigma_1; those below need not be 0",
        lambda s: s.rank(),
        lambda e: e.rank(),
        any=lambda m, n: Enclosure(0, min(m, n)),
        counts=True,
    ),
    Quantity(
        "nullity",
        "numerical nullity",
        "n - numerical rank: the dimension of what the layer maps to nearly nothing",
        lambda s: s.nullity(),
        lambda e: e.nullity(),
        any=lambda m, n: Enclosure(max(0, n - m), n),
        nearer_above=True,
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
        any=lambda m, n: Enclosure(-math.inf, math.inf),
    ),
)
