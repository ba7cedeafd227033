"""The result of an envelope: bounds on every singular value, and what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from convspec.arguments import part
from convspec.arrays import FloatArray, IntArray
from convspec.isolation import isolated_class
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import EPS, log_sum, power_norm, total
from convspec.rounding import down_nonnegative, up
from convspec.spectrum.envelope.energy import energy_rank
from convspec.spectrum.envelope.entropy import effective_rank_above, effective_rank_below
from convspec.spectrum.envelope.extremes import concentrated, even
from convspec.spectrum.envelope.tighten import Sources, tighter

__all__ = ["Envelope"]


@isolated_class
@dataclass(frozen=True, eq=False)
class Envelope:
    """``lower[i] <= sigma_i <= upper[i]`` for every singular value, rounding included.

    Quantities are enclosures, which unpack as (lower, upper), rounded outward, of what
    the exact spectrum gives: the least and the largest that the bounds and the Frobenius
    norm allow together.

    Attributes:
        lower: Descending, float64, one for each of the min(m, n) values.
        upper: Descending, float64.
        shape: (m, n) of the operator.
        sources: Names of what bounds come from.
        lower_source: For each lower bound, the place of its source.
        upper_source: For each upper bound, the place of its source.
        frobenius_norm: Enclosure of ``sqrt(sum sigma_i^2)``, from the weight.
        tori: How many tori were decomposed, and how many there were to decompose.

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
    tori: tuple[int, int] = (0, 0)

    @property
    def norm(self) -> Enclosure:
        """``sigma_1``."""
        return Enclosure(float(self.lower[0]), float(self.upper[0]))

    @property
    def smallest(self) -> Enclosure:
        """``sigma_min(m, n)``."""
        return Enclosure(float(self.lower[-1]), float(self.upper[-1]))

    @cached_property
    def nuclear_norm(self) -> Enclosure:
        """``sum sigma_i``."""
        least, most = total(self._concentrated_below), total(self._even_above)
        return Enclosure(down_nonnegative(least), up(most))

    def schatten(self, p: float) -> Enclosure:
        """The Schatten norm ``(sum sigma_i^p)^(1/p)``, p > 0; the norm for p = inf.

        Raises:
            ValueError: If p is not positive.
        """
        if not p > 0:
            raise ValueError(f"p must be positive (math.inf included); got {p}")
        if math.isinf(p):
            return self.norm
        if p == 2:
            return self.frobenius_norm
        return self._schatten_4 if p == 4 else self._schatten(p)

    def _schatten(self, p: float) -> Enclosure:
        if p < 2:
            least, most = self._concentrated_below, self._even_above
        else:
            least = even(self.lower, self.upper, self.frobenius_norm[0], -1)
            most = concentrated(self.lower, self.upper, self.frobenius_norm[1], 1)
        return Enclosure(power_norm(least, p, -1), power_norm(most, p, 1))

    @cached_property
    def _schatten_4(self) -> Enclosure:
        return self._schatten(4.0)

    @property
    def stable_rank(self) -> Enclosure:
        """``||A||_F^2 / sigma_1^2``; 0 for the zero operator."""
        if self.norm.upper == 0:
            return Enclosure(0.0, 0.0)
        # sigma_1 <= ||A||_F <= sqrt(min(m, n)) sigma_1, unless A is zero
        return (self.frobenius_norm / self.norm).squared & self._ranks

    @property
    def effective_rank(self) -> Enclosure:
        """``exp(-sum p_i ln p_i)``, ``p_i = sigma_i / sum sigma``; 0 for zero.

        Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007.
        """
        if self.norm.upper == 0:
            return Enclosure(0.0, 0.0)
        if math.isinf(self.norm.upper):
            return self._ranks
        above = effective_rank_above(self.lower, self.upper)
        if not self._ranks.lower:
            return Enclosure(0.0, above)
        nuclear = self.nuclear_norm
        # Renyi's entropy of order 2 is the smaller one
        below = (nuclear / self.frobenius_norm).squared.lower
        below = max(below, effective_rank_below(self.lower, self.upper, nuclear))
        return Enclosure(below, above)

    @property
    def participation_ratio(self) -> Enclosure:
        """``(sum sigma_i^2)^2 / sum sigma_i^4``; 0 for the zero operator."""
        if self.norm.upper == 0:
            return Enclosure(0.0, 0.0)
        return (self.frobenius_norm / self._schatten_4).squared.squared & self._ranks

    @property
    def log_volume(self) -> Enclosure:
        """``sum ln sigma_i``; -inf where the last value is, or may be, 0."""
        least, most = self._concentrated_below, self._even_above
        return Enclosure(log_sum(least, -1), log_sum(most, 1))

    @property
    def condition_number(self) -> Enclosure:
        """``sigma_1 / sigma_min(m, n)``; inf where the last value may be 0."""
        if self.smallest.upper == 0:
            return Enclosure(math.inf, math.inf)
        return (self.norm / self.smallest) & Enclosure(1.0, math.inf)

    def counting(self, t: npt.ArrayLike) -> tuple[IntArray, IntArray]:
        """How many singular values are at least t; for arrays of t, arrays.

        Returns:
            Lower and upper bounds on ``#{i: sigma_i >= t}``, in the shape of t.
        """
        thresholds = np.asarray(t, dtype=np.float64)
        return _at_least(self.lower, thresholds), _at_least(self.upper, thresholds)

    def rank(self, rtol: float | None = None, *, atol: float | None = None) -> Enclosure:
        """Bounds on the number of values above ``max(atol, rtol * sigma_1)``.

        Certified for the exact spectrum: the lower bound counts ``lower`` above the
        threshold with the largest possible sigma_1, the upper bound ``upper`` above it
        with the smallest; fewer values than ``||A||_F`` takes are none either.
        ``rank(0)`` bounds the rank of linear algebra.

        Args:
            rtol: By default ``max(m, n) eps``, as in ``numpy.linalg.matrix_rank``, or 0
                if atol is given.
            atol: Absolute threshold, by default 0.

        Raises:
            ValueError: If a tolerance is negative or NaN.
        """
        if rtol is None and atol is None:
            return self._rank
        return self._rank_above(0.0 if rtol is None else rtol, atol)

    @cached_property
    def _rank(self) -> Enclosure:
        return self._rank_above(max(self.shape) * EPS, None)

    def _rank_above(self, rtol: float, atol: float | None) -> Enclosure:
        atol = 0.0 if atol is None else atol
        for name, value in (("rtol", rtol), ("atol", atol)):
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0; got {value}")
        low, high = self.norm
        most = max(atol, up(rtol * high) if rtol else 0.0)
        least = max(atol, down_nonnegative(rtol * low) if rtol else 0.0)
        beyond = np.minimum(self.upper, most)  # what the rest could be at most
        needed = concentrated(beyond, self.upper, self.frobenius_norm[0], -1) > most
        fewest = max(int((self.lower > most).sum()), int(needed.sum()))
        return Enclosure(fewest, int((self.upper > least).sum()))

    def energy_rank(self, share: float) -> Enclosure:
        """Bounds on the least r with ``sum_{i <= r} sigma_i^2 >= share ||A||_F^2``.

        Raises:
            ValueError: If share is not from 0 to 1.
        """
        return energy_rank(self.lower, self.upper, self.frobenius_norm, part(share))

    def nullity(
        self, rtol: float | None = None, *, atol: float | None = None
    ) -> Enclosure:
        """Bounds on the dimension of the operator's kernel, ``n - rank``."""
        least, most = self.rank(rtol, atol=atol)
        return Enclosure(self.shape[1] - most, self.shape[1] - least)

    def tightened(
        self, *, lower: npt.ArrayLike = (), upper: npt.ArrayLike = ()
    ) -> Envelope:
        """This envelope with what else is known of the largest singular values.

        For instance ``band.tightened(upper=[bound.upper])`` for a certified bound on
        the norm. What is given must be true of the operator; it is worked into all
        bounds by ``sum sigma_i^2 = ||A||_F^2``.

        Args:
            lower: Lower bounds on sigma_1, sigma_2, ..., as many as are known.
            upper: Upper bounds on them.

        Raises:
            ValueError: If there are more bounds than values, one is negative or NaN, or
                they contradict this envelope.
        """
        given = tuple(np.array(x, dtype=np.float64).reshape(-1) for x in (lower, upper))
        for name, bounds in zip(("lower", "upper"), given, strict=True):
            if len(bounds) > len(self) or not (bounds >= 0).all():
                raise ValueError(
                    f"{name} must be at most {len(self)} bounds, none negative or NaN; "
                    f"got {bounds}"
                )
        (low, low_source), (high, high_source) = tighter(
            (self.lower, self.lower_source),
            (self.upper, self.upper_source),
            (given[0], given[1]),
            self.sources.index("given"),
            self.frobenius_norm,
            self.sources.index("frobenius"),
        )
        if (low > high).any():
            place = int(np.argmax(low > high))
            raise ValueError(
                f"bounds must be true of the operator; sigma_{place + 1} would be at "
                f"least {low[place]} and at most {high[place]}"
            )
        return replace(
            self,
            lower=low,
            upper=high,
            lower_source=low_source,
            upper_source=high_source,
        )

    @cached_property
    def _concentrated_below(self) -> FloatArray:
        """Where nuclear and Schatten norms up to p = 2 are least."""
        return concentrated(self.lower, self.upper, self.frobenius_norm[0], -1)

    @cached_property
    def _even_above(self) -> FloatArray:
        """The most even values that the bounds and the Frobenius norm allow."""
        return even(self.lower, self.upper, self.frobenius_norm[1], 1)

    @property
    def _ranks(self) -> Enclosure:
        """What a rank can be: from 1, or 0 if the operator may be zero, to all values."""
        zero = self.norm.lower == 0 and self.frobenius_norm.lower == 0
        return Enclosure(0.0 if zero else 1.0, float(len(self)))

    def __len__(self) -> int:
        return len(self.upper)

    def __repr__(self) -> str:
        used = np.union1d(self.lower_source, self.upper_source)
        names = ", ".join(self.sources[i] for i in used)
        done, planned = self.tori
        tori = f" ({done} of {planned} tori)" if done < planned else ""
        return (
            f"<Envelope of {self.shape[0]} x {self.shape[1]}: {len(self)} singular "
            f"values, norm in {self.norm}, last in {self.smallest}, by {names}{tori}>"
        )


def _at_least(values: FloatArray, thresholds: FloatArray) -> IntArray:
    below = np.searchsorted(values[::-1], thresholds, side="left")
    return np.asarray(len(values) - below, dtype=np.int64)
