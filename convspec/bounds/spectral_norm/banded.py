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
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
from torch import Tensor

from convspec.bounds.spectral_norm.fill import negative_band
from convspec.bounds.spectral_norm.layout import BandLayout
from convspec.rounding import down, gamma, up
from convspec.rounding.definite import cholesky_error
from convspec.rounding.directed import UNIT
from convspec.rounding.products import product_error
from convspec.rounding.prove import least_proven_of
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["BandedGram", "NegativeBand"]

# a distance above the computed eigenvalue at which the test is tried first, relative:
# a factorisation costs much, and eigsh is right to the square of its tolerance
STEP = 2.0**-36


class NegativeBand:
    """The lower half ``-G`` of a Gram matrix in a band, G known up to an error.

    Args:
        band: (side, width + 1); its column k holds the k-th diagonal below the main one.
        error: At least the 2-norm of what G is off by.
    """

    def __init__(self, band: npt.NDArray[Any], error: float) -> None:
        self._band, self._error = band, error
        self._is_complex = np.iscomplexobj(band)

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
        return least_proven_of(self._upper, self._largest(), STEP)

    def _upper(self, level: float) -> float:
        """At least the norm if ``level I - G`` has a Cholesky factor, else inf."""
        if not level > 0:
            return math.inf
        work = self._band.copy()
        work[:, 0] += level
        if not (work[:, 0].real > 0).all():
            return math.inf
        lapack = scipy.linalg.lapack
        factorise = lapack.zpbtrf if self._is_complex else lapack.dpbtrf
        factor, info = factorise(work.T, lower=1, overwrite_ab=1)
        if info != 0 or not np.isfinite(factor[0]).all():
            return math.inf
        square = up(level + self._slack(level), 2)
        return up(math.sqrt(square))

    def _slack(self, level: float) -> float:
        """What ``lambda_max(G)`` may exceed a proven level by."""
        width = self._band.shape[1] - 1
        diagonal = self._band[:, 0].real  # of -G, whose entries are at most 0 but for
        entries = np.maximum(level + diagonal, 0.0)  # rounding
        trace = float(entries.sum()) * (1 + gamma(len(entries) + 8))
        most = up(float(entries.max()) * (1 + 8 * UNIT)) * (2 * width + 1)
        share = cholesky_error(width + 1, self._is_complex)
        rounded = 4 * UNIT * (level + float(np.abs(diagonal).max()))
        return up(up(share * up(min(trace, most)), 2) + up(rounded) + self._error, 3)

    def _largest(self) -> float:
        """The largest eigenvalue of G, computed: an estimate."""
        side, width = len(self._band), self._band.shape[1] - 1
        if side <= 32:
            return float(np.linalg.eigvalsh(self._dense())[-1])
        blas, iterative = scipy.linalg.blas, scipy.sparse.linalg
        multiply = blas.zhbmv if self._is_complex else blas.dsbmv
        band = self._band.T

        def product(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
            found: npt.NDArray[Any] = multiply(width, -1.0, band, x.ravel(), lower=1)
            return found

        gram = iterative.LinearOperator(
            (side, side), matvec=product, dtype=self._band.dtype
        )
        start = np.random.default_rng(0).standard_normal(side).astype(self._band.dtype)
        try:
            return float(
                iterative.eigsh(
                    gram, 1, which="LA", v0=start, tol=1e-8, return_eigenvectors=False
                )[0].real
            )
        except iterative.ArpackError as error:
            found = getattr(error, "eigenvalues", np.zeros(0))
            return float(found[0].real) if len(found) else math.inf

    def _dense(self) -> npt.NDArray[Any]:
        """The Gram matrix as a dense matrix, for small ones."""
        side = len(self._band)
        dense = np.zeros((side, side), dtype=self._band.dtype)
        for step in range(self._band.shape[1]):
            places = np.arange(side - step)
            dense[places + step, places] = -self._band[: side - step, step]
        return dense


class BandedGram(NegativeBand):
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
        # a product of two taps, how often it counts along each axis, and their sums
        terms = layout.inner + 2 * len(layout.axes) + layout.sums + 4
        # | |A|^H |A| | is at most size^2, with the sums of taps that coincide
        rounding = up(product_error(2 * terms, taps.is_complex()) * up(size * size), 2)
        # ||B + D||^2 <= ||B||^2 + 2 ||B|| ||D|| + ||D||^2, and ||B|| <= size
        spread = up(radius * up(2 * size + radius), 3)
        error = up(up(rounding + spread) + UNDERFLOW)
        super().__init__(negative_band(layout, taps), error)
