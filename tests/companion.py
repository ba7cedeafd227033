"""The supremum on one axis by eigenvalues of a pencil: an independent check.

A number g is a singular value of some F(w) exactly if ``det(g^2 I - F(w) F(w)^H) = 0``,
that is if ``z^L (g^2 I - sum_q G_q z^q)``, a matrix polynomial of degree 2 L, has the
eigenvalue ``z = exp(i w)``. Between neighbouring crossings of a level sigma_1 is above or
below it; the largest value at their midpoints is the next level, and this converges
quadratically.

Source: Boyd and Balakrishnan, Systems & Control Letters 15, 1990; Bruinsma and
Steinbuch, Systems & Control Letters 14, 1990.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import linalg

from convspec.errors import NotApplicable
from convspec.frequency.reduced import ReducedSymbol
from convspec.limits import DEFAULT_MAX_BYTES, require_bytes
from convspec.operators.symbol import Symbol

__all__ = ["companion_supremum"]

ComplexArray = npt.NDArray[np.complex128]

MAX_LEVELS = 50
# eigenvalues this close to the unit circle may be crossings; more only cost time
NEAR_CIRCLE = 1e-3


def companion_supremum(symbol: Symbol) -> float:
    """``sup_w sigma_1(F(w))`` of a symbol in one frequency, to about 1e-12.

    An estimate, not a bound: whether an eigenvalue lies on the circle is decided in
    floating point. It shares neither grid nor pruning with
    :func:`convspec.worst_case_norm`.

    Raises:
        NotApplicable: If the symbol varies along more than one axis.
        TooLargeError: If the pencil does not fit the byte limit.
    """
    reduced = ReducedSymbol.of(symbol)
    if reduced.dim > 1:
        raise NotApplicable(
            "the companion test needs a symbol in one frequency; this one varies along "
            f"{reduced.dim}; use worst_case_norm",
            "companion_supremum",
        )
    lags = reduced.lags.reshape(len(reduced.lags), -1).sum(axis=1)  # zeros if constant
    blocks = reduced.coefficients.numpy()
    best = 0.0
    for block in blocks:
        taps = np.zeros((lags.max() + 1, *block.shape[:2]), dtype=np.complex128)
        taps[lags] = np.moveaxis(block, -1, 0)
        best = max(best, _supremum(taps))
    return float(np.ldexp(best, reduced.exponent))


def _supremum(taps: ComplexArray) -> float:
    """Of one block, (lags, n, m)."""
    degree, side = len(taps) - 1, taps.shape[1]
    size = max(1, 2 * degree * side)
    require_bytes("the companion pencil", 5 * 16 * size**2, DEFAULT_MAX_BYTES, "sample F")
    level = _largest(taps, 2 * math.pi * np.arange(2 * degree + 1) / (2 * degree + 1))
    for _ in range(MAX_LEVELS):
        angles = _crossings(taps, level)
        following = np.roll(angles, -1)
        following[-1:] += 2 * math.pi
        better = _largest(taps, np.concatenate([angles, (angles + following) / 2]))
        if better <= level * (1 + 4e-16):
            break
        level = better
    return level


def _largest(taps: ComplexArray, angles: npt.NDArray[np.float64]) -> float:
    """The largest sigma_1 at some frequencies."""
    if not len(angles):
        return 0.0
    waves = np.exp(1j * np.multiply.outer(angles, np.arange(len(taps))))
    return float(np.linalg.svd(np.tensordot(waves, taps, 1), compute_uv=False).max())


def _crossings(taps: ComplexArray, level: float) -> npt.NDArray[np.float64]:
    """Ascending angles at which the level may be a singular value."""
    degree, side = len(taps) - 1, taps.shape[1]
    if degree == 0 or level == 0:
        return np.zeros(0)
    powers = np.zeros((2 * degree + 1, side, side), dtype=np.complex128)
    for plus, left in enumerate(taps):
        for minus, right in enumerate(taps):
            powers[degree + plus - minus] -= left @ right.conj().T / level**2
    powers[degree] += np.eye(side)
    size = 2 * degree * side
    shift = np.eye(size, k=side, dtype=np.complex128)
    shift[-side:] = -np.concatenate(list(powers[:-1]), axis=1)
    scale = np.eye(size, dtype=np.complex128)
    scale[-side:, -side:] = powers[-1]
    numerator, denominator = linalg.eig(
        shift, scale, right=False, homogeneous_eigvals=True
    )
    sizes = np.abs(numerator), np.abs(denominator)
    near = np.abs(sizes[0] - sizes[1]) <= NEAR_CIRCLE * sizes[1]
    return np.sort(np.angle(numerator[near] * denominator[near].conj()))
