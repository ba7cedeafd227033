"""Upper bounds on the norm of a convolution by one banded Cholesky factorisation.

Pixel by pixel, all channels of one together, the Gram matrix G on either side of a
convolution is banded: ``G = sum_{t,u} (S_t^T S_u) (x) (K_t^H K_u)``, or the same with
outputs in the place of pixels. If the Cholesky factorisation of ``H = level I - G`` runs
to its end, its factor satisfies ``R^H R = H + E`` with ``|E| <= g |R|^H |R|`` (Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., theorem 10.3). In a band of half
width b, an entry of ``R^H R`` is a sum of at most b + 1 products, so that g is that of a
matrix of side b + 1, whatever the order and the blocks in which they are added: zeros
outside the band add nothing. By the Cauchy-Schwarz inequality

    |E_ij| <= g ||r_i|| ||r_j|| <= g / (1 - g) sqrt(H_ii H_jj),   0 for |i - j| > b,

as ``||r_i||^2 = H_ii + E_ii``. Hence ``||E|| <= g / (1 - g) min((2 b + 1) max_i H_ii,
trace(H))``, and ``lambda_max(G) <= level + ||E||``. The band gives a bound that does not
grow with the size (the trace alone: Rump, "Verification of positive definiteness", BIT
46, 2006).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import blas, lapack
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.matrix import Pattern
from convspec.rounding import down, gamma, up
from convspec.rounding.definite import cholesky_error
from convspec.rounding.directed import UNIT
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["BandLayout", "BandedGram"]

# a distance above the computed eigenvalue at which the test is tried next, relative
MARGINS = (2.0**-36, 2.0**-26, 2.0**-16, 2.0**-9)


Pairs = tuple[tuple[int, int, IntArray, IntArray, IntArray], ...]


@dataclass(frozen=True)
class BandLayout:
    """Where the products of taps go in the band of the Gram matrix on the smaller side.

    Attributes:
        order: The axes, the longest first; taps are flattened in that order.
        pixels: Whether the side is that of the pixels, else of the outputs.
        places: Pixels or outputs.
        channels: Channels of each.
        inner: Channels that a product of two taps sums over.
        pairs: ``(t, u, p, q, counts)``: places p >= q for which ``K_t^H K_u`` (pixels)
            or ``K_t K_u^H`` (outputs) is added to the block (p, q) so many times.
        width: Half width b of the band.
        reads: For each tap the most outputs of which it reads one pixel.
    """

    order: tuple[int, ...]
    pixels: bool
    places: int
    channels: int
    inner: int
    pairs: Pairs
    width: int
    reads: tuple[int, ...]

    @classmethod
    def of(
        cls, sources: Sequence[IntArray], sizes: Sequence[int], rows: int, columns: int
    ) -> BandLayout:
        """The layout of axes ``source[t, o]``, with (rows, columns) channels."""
        order = tuple(sorted(range(len(sizes)), key=lambda j: -sizes[j]))
        pattern = Pattern.of([sources[j] for j in order], [sizes[j] for j in order])
        outputs, inputs = pattern.shape
        pixels = columns * inputs <= rows * outputs
        taps = math.prod(len(source) for source in sources)
        pairs, apart = _shared(pattern, taps, pixels)
        channels = columns if pixels else rows
        reads = _most_reads(pattern, taps)
        places = inputs if pixels else outputs
        return cls(
            order,
            pixels,
            places,
            channels,
            rows if pixels else columns,
            tuple(pairs),
            min(channels * (apart + 1), channels * places) - 1,
            reads,
        )

    @property
    def side(self) -> int:
        """Rows of the Gram matrix."""
        return self.places * self.channels

    def flops(self, is_complex: bool) -> float:
        """Estimated operations of one factorisation."""
        products = 2.0 * len(self.pairs) * self.channels**2 * self.inner
        factor = self.side * (self.width + 1.0) ** 2
        return (4 if is_complex else 1) * (factor + products)

    def bytes(self, is_complex: bool) -> int:
        """Bytes of the band and its factor, and of the places of one pair."""
        entry = 16 if is_complex else 8
        most = max((len(pair[2]) for pair in self.pairs), default=0)
        return 2 * entry * self.side * (self.width + 1) + 32 * most * self.channels**2

    def ordered(self, taps: Tensor, kernel: Sequence[int]) -> Tensor:
        """Taps (k_1 ... k_d, rows, columns), flat, in the order of the layout."""
        shaped = taps.reshape(*kernel, *taps.shape[-2:])
        axes = [len(kernel), len(kernel) + 1]
        return shaped.permute(*self.order, *axes).flatten(0, len(kernel) - 1)


class BandedGram:
    """The Gram matrix of one convolution in a band, and a bound on its error.

    Args:
        layout: Where it goes.
        taps: (taps, rows, columns), entries of size near 1, float64 or complex128.
        radius: What the convolution of these taps is off by, in the 2-norm.
        size: At least ``sum_t sqrt(reads_t) ||K_t||_F``.
    """

    def __init__(
        self, layout: BandLayout, taps: Tensor, radius: float, size: float
    ) -> None:
        self._layout = layout
        self._is_complex = taps.is_complex()
        self._band = _negative_band(layout, taps)
        terms = layout.inner + len(layout.pairs) + 4
        # | |A|^H |A| | is at most size^2, with the sums of taps that coincide
        rounding = up(product_error(2 * terms, self._is_complex) * up(size * size), 2)
        # ||B + D||^2 <= ||B||^2 + 2 ||B|| ||D|| + ||D||^2, and ||B|| <= size
        spread = up(radius * up(2 * size + radius), 3)
        self._error = up(up(rounding + spread) + UNDERFLOW)

    def above(self, target: float) -> float:
        """At least the norm: ``target`` if that can be proven, else as little as can be.

        inf where nothing was proven.
        """
        if not self._band.any():
            return up(math.sqrt(self._error))
        square = down(target * target)
        level = square - 1.01 * self._slack(square)
        if level > 0 and (found := self._upper(level)) <= target:
            return found
        top = self._largest()
        for margin in MARGINS:
            found = self._upper(top * (1 + margin))
            if found < math.inf:
                return found
        return math.inf

    def _upper(self, level: float) -> float:
        """At least the norm if ``level I - G`` has a Cholesky factor, else inf."""
        if not level > 0:
            return math.inf
        work = self._band.copy()
        work[:, 0] += level
        if not (work[:, 0].real > 0).all():
            return math.inf
        factorise = lapack.zpbtrf if self._is_complex else lapack.dpbtrf
        factor, info = factorise(work.T, lower=1, overwrite_ab=1)
        if info != 0 or not np.isfinite(factor[0]).all():
            return math.inf
        square = up(level + self._slack(level), 2)
        return up(math.sqrt(square))

    def _slack(self, level: float) -> float:
        """What ``lambda_max(G)`` may exceed a proven level by."""
        width = self._layout.width
        diagonal = self._band[:, 0].real  # of -G, whose entries are at most 0 but for
        entries = np.maximum(level + diagonal, 0.0)  # rounding
        trace = float(entries.sum()) * (1 + gamma(len(entries) + 8))
        most = up(float(entries.max()) * (1 + 8 * UNIT)) * (2 * width + 1)
        share = cholesky_error(width + 1, self._is_complex)
        rounded = 4 * UNIT * (level + float(np.abs(diagonal).max()))
        return up(up(share * up(min(trace, most)), 2) + up(rounded) + self._error, 3)

    def _largest(self) -> float:
        """The largest eigenvalue of G, computed: an estimate."""
        side, width = self._layout.side, self._layout.width
        if side <= 32:
            return float(np.linalg.eigvalsh(self._dense())[-1])
        multiply = blas.zhbmv if self._is_complex else blas.dsbmv
        band = self._band.T

        def product(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
            found: npt.NDArray[Any] = multiply(width, -1.0, band, x.ravel(), lower=1)
            return found

        gram = LinearOperator((side, side), matvec=product, dtype=self._band.dtype)
        start = np.random.default_rng(0).standard_normal(side).astype(self._band.dtype)
        try:
            return float(
                eigsh(gram, 1, which="LA", v0=start, tol=1e-8, return_eigenvectors=False)[
                    0
                ].real
            )
        except ArpackError as error:
            found = getattr(error, "eigenvalues", np.zeros(0))
            return float(found[0].real) if len(found) else math.inf

    def _dense(self) -> npt.NDArray[Any]:
        """G itself; for small ones."""
        side = self._layout.side
        dense = np.zeros((side, side), dtype=self._band.dtype)
        for step in range(self._layout.width + 1):
            places = np.arange(side - step)
            dense[places + step, places] = -self._band[: side - step, step]
        return dense


def _shared(pattern: Pattern, taps: int, pixels: bool) -> tuple[Pairs, int]:
    """The pairs of a layout, and how far apart their places are at most.

    One product of a 0/1 matrix with its transpose: its columns are (tap, place), its
    rows what the two sides share.
    """
    rows, columns = pattern.row[pattern.entry], pattern.column[pattern.entry]
    outputs, inputs = pattern.shape
    common, place = (rows, columns) if pixels else (columns, rows)
    count, length = (inputs, outputs) if pixels else (outputs, inputs)
    ones = np.ones(len(common), dtype=np.int64)
    reads = sparse.csr_array(
        (ones, (common, pattern.tap * count + place)), shape=(length, taps * count)
    )
    shared = (reads.T @ reads).tocoo()
    first, second = (np.asarray(x, dtype=np.int64) for x in shared.coords)
    t, p, u, q = first // count, first % count, second // count, second % count
    keep = p >= q
    key = (t * taps + u)[keep]
    order = np.argsort(key, kind="stable")
    p, q, counts = p[keep][order], q[keep][order], np.asarray(shared.data)[keep][order]
    keys, starts = np.unique(key[order], return_index=True)
    ends = [*starts[1:].tolist(), len(order)]
    pairs = tuple(
        (int(k) // taps, int(k) % taps, p[a:b], q[a:b], counts[a:b])
        for k, a, b in zip(keys, starts.tolist(), ends, strict=True)
    )
    return pairs, int((p - q).max(initial=0))


def _most_reads(pattern: Pattern, taps: int) -> tuple[int, ...]:
    """For each tap the most outputs of which it reads one pixel."""
    columns = pattern.column[pattern.entry]
    places, counts = np.unique(
        pattern.tap * pattern.shape[1] + columns, return_counts=True
    )
    most = np.zeros(taps, dtype=np.int64)
    np.maximum.at(most, places // pattern.shape[1], counts)
    return tuple(most.tolist())


def _negative_band(layout: BandLayout, taps: Tensor) -> npt.NDArray[Any]:
    """-G as ``band[j, i - j]``, its lower half."""
    width, channels = layout.width + 1, layout.channels
    kind = np.complex128 if taps.is_complex() else np.float64
    band = np.zeros((layout.side, width), dtype=kind)
    flat = band.reshape(-1)
    row, column = np.indices((channels, channels)).reshape(2, -1)
    for t, u, p, q, counts in layout.pairs:
        product = taps[t].mH @ taps[u] if layout.pixels else taps[t] @ taps[u].mH
        values = np.multiply.outer(-counts.astype(np.float64), product.numpy().ravel())
        i = np.add.outer(p * channels, row)
        j = np.add.outer(q * channels, column)
        lower = i >= j
        flat[(j * width + (i - j))[lower]] += values[lower]
    return band
