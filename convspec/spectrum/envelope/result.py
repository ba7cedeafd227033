"""The result of an envelope: bounds on every singular value, and what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convspec.geometry import IntArray
from convspec.spectrum.result import FloatArray

__all__ = ["Enclosure", "Envelope"]

Enclosure = tuple[float, float]
Sources = npt.NDArray[np.int8]

EPS = float(np.finfo(np.float64).eps)
LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class Envelope:
    """``lower[i] <= sigma_i <= upper[i]`` for every singular value, rounding included.

    Quantities are enclosures (lower, upper), rounded outward.

    Attributes:
        lower: Descending, float64, one for each of the min(m, n) values.
        upper: Descending, float64.
        shape: (m, n) of the operator.
        sources: Names of what bounds come from.
        lower_source: For each lower bound, the place of its source.
        upper_source: For each upper bound, the place of its source.
        frobenius_norm: Enclosure of ``sqrt(sum sigma_i^2)``, from the weight.

    Example:
        >>> import torch, convspec as cs
        >>> laplacian = torch.tensor([[[1.0, -2.0, 1.0]]])
        >>> band = cs.spectral_envelope(cs.ConvOperator(laplacian, 3, padding=1))
        >>> band.upper.round(4)  # 2 + sqrt 2, 2, 2 - sqrt 2 are the values
        array([3.4142, 2.    , 0.5858])
    """

    lower: FloatArray
    upper: FloatArray
    shape: tuple[int, int]
    sources: tuple[str, ...]
    lower_source: Sources
    upper_source: Sources
    frobenius_norm: Enclosure

    @property
    def norm(self) -> Enclosure:
        """``sigma_1``."""
        return float(self.lower[0]), float(self.upper[0])

    @property
    def nuclear_norm(self) -> Enclosure:
        """``sum sigma_i``."""
        return down(_sum(self.lower)), up(_sum(self.upper))

    def schatten(self, p: float) -> Enclosure:
        """The Schatten norm ``(sum sigma_i^p)^(1/p)``, p > 0; the norm for p = inf.

        Raises:
            ValueError: If p is not positive.
        """
        if not p > 0:
            raise ValueError(f"p must be positive (math.inf included); got {p}")
        if math.isinf(p):
            return self.norm
        return _schatten(self.lower, p, -1), _schatten(self.upper, p, 1)

    @property
    def stable_rank(self) -> Enclosure:
        """``||A||_F^2 / sigma_1^2``; 0 for the zero operator."""
        low, high = self.norm
        least, most = self.frobenius_norm
        if high == 0:
            return 0.0, 0.0
        lower = down(down(least / high) ** 2) if math.isfinite(high) else 0.0
        upper = up(up(most / low) ** 2) if low > 0 else math.inf
        # sigma_1 <= ||A||_F <= sqrt(min(m, n)) sigma_1, unless A is zero
        floor = 1.0 if low > 0 or least > 0 else 0.0
        return max(lower, floor), min(upper, float(len(self.upper)))

    @property
    def condition_number(self) -> Enclosure:
        """``sigma_1 / sigma_min(m, n)``; inf where the last value may be 0."""
        low, high = self.norm
        least, most = float(self.lower[-1]), float(self.upper[-1])
        if most == 0:
            return math.inf, math.inf
        lower = down(low / most) if math.isfinite(most) else 1.0
        return max(1.0, lower), up(high / least) if least > 0 else math.inf

    def counting(self, t: npt.ArrayLike) -> tuple[IntArray, IntArray]:
        """How many singular values are at least t; for arrays of t, arrays.

        Returns:
            Lower and upper bounds on ``#{i: sigma_i >= t}``, in the shape of t.
        """
        thresholds = np.asarray(t, dtype=np.float64)
        return _at_least(self.lower, thresholds), _at_least(self.upper, thresholds)

    def rank(
        self, rtol: float | None = None, *, atol: float | None = None
    ) -> tuple[int, int]:
        """Bounds on the number of values above ``max(atol, rtol * sigma_1)``.

        Certified for the exact spectrum: the lower bound counts ``lower`` above the
        threshold with the largest possible sigma_1, the upper bound ``upper`` above it
        with the smallest. ``rank(0)`` bounds the rank of linear algebra.

        Args:
            rtol: By default ``max(m, n) eps``, as in ``numpy.linalg.matrix_rank``, or 0
                if atol is given.
            atol: Absolute threshold, by default 0.

        Raises:
            ValueError: If a tolerance is negative or NaN.
        """
        if rtol is None:
            rtol = max(self.shape) * EPS if atol is None else 0.0
        atol = 0.0 if atol is None else atol
        for name, value in (("rtol", rtol), ("atol", atol)):
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0; got {value}")
        low, high = self.norm
        most = max(atol, up(rtol * high) if rtol else 0.0)
        least = max(atol, down(rtol * low) if rtol else 0.0)
        return int((self.lower > most).sum()), int((self.upper > least).sum())

    def nullity(
        self, rtol: float | None = None, *, atol: float | None = None
    ) -> tuple[int, int]:
        """Bounds on the dimension of the operator's kernel, ``n - rank``."""
        least, most = self.rank(rtol, atol=atol)
        return self.shape[1] - most, self.shape[1] - least

    def __len__(self) -> int:
        return len(self.upper)

    def __repr__(self) -> str:
        used = np.union1d(self.lower_source, self.upper_source)
        names = ", ".join(self.sources[i] for i in used)
        return (
            f"<Envelope of {self.shape[0]} x {self.shape[1]}: {len(self)} singular "
            f"values, norm in [{self.lower[0]:.6g}, {self.upper[0]:.6g}], last in "
            f"[{self.lower[-1]:.6g}, {self.upper[-1]:.6g}], by {names}>"
        )


def up(x: float) -> float:
    """The next float above; 0 is kept, which only an exact 0 can be."""
    return math.nextafter(x, math.inf)


def down(x: float) -> float:
    """The next float below, not below 0 and finite."""
    return min(max(0.0, math.nextafter(x, -math.inf)), LARGEST)


def _sum(values: FloatArray) -> float:
    """Correctly rounded; inf where it overflows."""
    try:
        return math.fsum(values.tolist())
    except OverflowError:
        return math.inf


def _at_least(values: FloatArray, thresholds: FloatArray) -> IntArray:
    below = np.searchsorted(values[::-1], thresholds, side="left")
    return np.asarray(len(values) - below, dtype=np.int64)


def _schatten(values: FloatArray, p: float, side: int) -> float:
    """``(sum values^p)^(1/p)``, rounded up (side 1) or down (side -1).

    Division, sum and 1 / p are correctly rounded and moved by one place; powers are
    taken to be within 4 units in the last place.
    """
    top = float(values[0])
    if top == 0 or math.isinf(top):
        return top
    slack = 1 + side * 8 * EPS
    step = np.nextafter(values / top, side * math.inf).clip(min=0.0)
    step[values == 0] = 0.0
    with np.errstate(over="ignore", under="ignore"):
        total = _sum(step**p) * slack
        exponents = [math.nextafter(1 / p, end) for end in (0.0, math.inf)]
        roots = [float(np.float64(total) ** e) for e in exponents]
        root = max(roots) if side > 0 else min(roots)
        found = float(np.float64(root) * slack * top)
    return up(found) if side > 0 else down(found)
