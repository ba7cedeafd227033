"""Grids of frequencies, and how far a symbol's norm can rise between their points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from torch import Tensor

from convspec.arguments import per_axis, shown
from convspec.arrays import IntArray
from convspec.errors import GeometryError
from convspec.frequency.conjugate import one_of_each_pair
from convspec.limits import DEFAULT_MAX_BYTES, require_bytes
from convspec.operators.symbol import Symbol
from convspec.rounding import down, up
from convspec.tori.places import Setting

__all__ = ["GRID_BYTES", "MADE_OF_BLOCKS", "Grid", "Samples", "sampling_factor"]

Samples = int | Sequence[int] | None

# samples per interval between lags, by number of axes: within 0.5, 4 and 27 percent
SAMPLES_PER_LAG = {1: 16, 2: 8, 3: 4}
CHUNK_BYTES = 2**26
# a frequency of a grid while one of each mirrored pair is chosen
GRID_BYTES = 160
# matrices of the size of a block that Gram steps hold of it
MADE_OF_BLOCKS = 8


def sampling_factor(lags: int, samples: int) -> float:
    """``sup ||F|| / max ||F||`` on ``samples`` equidistant points is at most this.

    ``min(1 / cos(pi x / 2), (1 - x)^(-1/2))`` with ``x = (lags - 1) / samples < 1``, for
    a trigonometric polynomial of ``lags`` terms with values in any normed space, rounded
    up.

    The cosine: let M be the supremum, attained at w*, and l a functional of norm 1 with
    ``l(F(w*)) = M``. With tau = (lags - 1) / 2 the real function
    ``Re l(F(w)) e^(-i tau (w - w*))``, of terms ``e^(i s w)`` with ``|s| <= tau``, is at
    most M in modulus and M at w*, so at least ``M cos(tau |w - w*|)`` nearby; the next
    point is within pi / samples. Axes are taken one at a time. The root:
    ``F(w) = sum_g F(w_g) V(w - w_g) / N`` with V the product of the Dirichlet kernels of
    lengths N and N - lags + 1, over the latter, and Cauchy-Schwarz.

    Source: Ehlich and Zeller, "Schwankung von Polynomen zwischen Gitterpunkten", Math. Z.
    86, 1964, from the Bernstein-Szego inequality; Pfister and Bresler, "Bounding
    multivariate trigonometric polynomials", IEEE Trans. Signal Process. 67, 2019.

    >>> round(sampling_factor(3, 16), 4), sampling_factor(1, 1)
    (1.0196, 1.0)
    """
    if lags == 1:
        return 1.0
    x = (lags - 1) / samples
    # a cosine and its argument are good to a few units in the last place of 1
    cosine = down(math.cos(up(math.pi * x / 2, 4)), 4) - 2.0**-50
    roots = up(math.sqrt(up(1 / down(1 - up(x), 1), 2)), 2)
    return min(up(1 / cosine), roots) if cosine > 0 else roots


@dataclass(frozen=True)
class Grid:
    """Frequencies ``2 pi index / sizes`` and what their maximum has to be multiplied by.

    Attributes:
        index: Integer frequencies; (j, d).
        sizes: Points of a full turn per axis.
        weights: How many frequencies of the full grid each stands for; (j,).
        factor: Bound on supremum over maximum, rounded up.
    """

    index: IntArray
    sizes: tuple[int, ...]
    weights: IntArray
    factor: float

    @classmethod
    def sampled(
        cls,
        lags: Sequence[int],
        samples: Samples,
        real: bool,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Grid:
        """Equidistant samples of all frequencies.

        Raises:
            TooLargeError: If their list needs more than ``max_bytes``.
        """
        sizes = _sizes(lags, samples)
        _guard(sizes, max_bytes)
        return cls._of([np.arange(size) for size in sizes], sizes, lags, sizes, real)

    @classmethod
    def of_setting(
        cls,
        setting: Setting,
        samples: Samples,
        real: bool,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Grid:
        """The frequencies of circles, samples of lines; ``samples`` replaces both.

        Raises:
            TooLargeError: If their list needs more than ``max_bytes``.
        """
        if samples is not None:
            return cls.sampled(setting.lags, samples, real, max_bytes)
        lines = _sizes(setting.lags, None)
        sizes = tuple(
            size if place.circle is None else place.circle
            for size, place in zip(lines, setting.places, strict=True)
        )
        axes = [
            np.unique(place.step * np.arange(size) % size)
            for size, place in zip(sizes, setting.places, strict=True)
        ]
        _guard([len(axis) for axis in axes], max_bytes)
        lags = [1 if place.circle else place.lags for place in setting.places]
        return cls._of(axes, sizes, lags, sizes, real)

    @classmethod
    def full(cls, sizes: Sequence[int], steps: Sequence[int], real: bool) -> Grid:
        """All ``step j`` for j below each size, repeated ones too, without a factor."""
        axes = [
            step * np.arange(size) % size for step, size in zip(steps, sizes, strict=True)
        ]
        ones = [1] * len(axes)
        return cls._of(axes, tuple(sizes), ones, ones, real)

    @classmethod
    def _of(
        cls,
        axes: Sequence[IntArray],
        sizes: Sequence[int],
        lags: Sequence[int],
        samples: Sequence[int],
        real: bool,
    ) -> Grid:
        grid = np.meshgrid(*axes, indexing="ij")
        index = np.stack([part.reshape(-1) for part in grid], axis=-1).astype(np.int64)
        weights = np.ones(len(index), dtype=np.int64)
        if real:  # F(-w) is the conjugate of F(w): one of the two is enough
            index, weights = one_of_each_pair(index, index, -index % sizes, sizes)
        factors = map(sampling_factor, lags, samples)
        factor = reduce(lambda a, b: up(a * b) if b > 1 else a, factors, 1.0)
        return cls(index, tuple(sizes), weights, factor)

    def blocks(
        self, symbol: Symbol, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> Iterator[Tensor]:
        """F at all frequencies, some at a time: (j, groups, rows, columns).

        They and what is made of them, a few matrices as large, are to fit ``max_bytes``.
        """
        rows, columns = symbol.block_shape
        chunk = min(CHUNK_BYTES, max_bytes // MADE_OF_BLOCKS)
        at_once = max(1, chunk // (16 * symbol.groups * rows * columns))
        for first in range(0, len(self.index), at_once):
            yield symbol.at_grid(self.index[first : first + at_once], self.sizes)

    def block(self, symbol: Symbol, place: int) -> Tensor:
        """One block, by its place among all frequencies and groups; (rows, columns)."""
        frequency, group = divmod(place, symbol.groups)
        return symbol.at_grid(self.index[frequency : frequency + 1], self.sizes)[0, group]


def _guard(sizes: Sequence[int], max_bytes: int) -> None:
    count = math.prod(sizes)
    what = f"the list of {count:,} frequencies"
    require_bytes(what, GRID_BYTES * count, max_bytes, "take fewer samples")


def _sizes(lags: Sequence[int], samples: Samples) -> tuple[int, ...]:
    """Points of the grid per axis: those asked for, at least as many as lags."""
    if samples is None:
        rate = SAMPLES_PER_LAG[len(lags)]
        return tuple(max(1, rate * (count - 1)) for count in lags)
    sizes = per_axis("samples", samples, len(lags), least=1)
    if any(size < count for size, count in zip(sizes, lags, strict=True)):
        raise GeometryError(
            f"samples must be at least the lags of the symbol, {tuple(lags)}, for a "
            f"bound; got {shown(samples)}; ask for more samples"
        )
    return sizes
