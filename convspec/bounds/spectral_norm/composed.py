"""The spectral norm of a composed map between two certified numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from scipy import sparse

from convspec.bounds.iteration import rayleigh
from convspec.bounds.spectral_norm.banded import NegativeBand
from convspec.bounds.spectral_norm.composition import PartNorms
from convspec.errors import TooLargeError
from convspec.operators.composed.formed import Formed, formed, schur_above, terms_of
from convspec.operators.composed.normal import normal_form
from convspec.operators.composed.product import sparse_product
from convspec.operators.composed.rounding import sized
from convspec.operators.kernel import scaled_down, scaled_up
from convspec.operators.linear_map import LinearMap
from convspec.quantity.bound import Bound
from convspec.rounding import down_nonnegative, gamma, norm_enclosure, up
from convspec.rounding.scaling import UNDERFLOW
from convspec.run.budget import Budget
from convspec.spectrum.krylov.largest import largest_of_map, map_basis_within

__all__ = ["composed_norm"]

REFERENCE = (
    "lower end by Lanczos; upper end by Cholesky tests (Rump 2006) of the matrix, or "
    "from the norms of the parts"
)
# sides up to which the matrix is decomposed whole
DENSE_SIDE = 2048
MAX_PRODUCTS, LEAST_PRODUCTS = 4000, 4


@dataclass
class _Ends:
    """What is known of the norm of the map in normal form."""

    lower: float
    upper: float
    words: str

    def include(self, upper: float, words: str) -> None:
        if upper < self.upper:
            self.upper, self.words = upper, words

    def done(self, rtol: float) -> bool:
        return self.upper <= (1 + rtol) * self.lower


def composed_norm(op: LinearMap, rtol: float, budget: Budget, norms: PartNorms) -> Bound:
    """``lower <= ||A|| <= upper`` for a product, a sum, a stack or a part of them.

    Args:
        op: The map.
        rtol: Relative gap to stop at.
        budget: What the steps may take, and have taken.
        norms: Of parts, from above.

    Raises:
        TooLargeError: If not even the fewest Krylov vectors fit.
    """
    work, exponent = normal_form(op)
    work = work.to(device="cpu")
    size = sized(work, norms.of_part)
    if not size.norm:
        return _bound(_Ends(0.0, 0.0, "zero"), 0)
    ends = _Ends(0.0, up(norms.above(work)), _words(norms))
    near = _formed(work, budget, norms)
    if near is not None and _whole(near, ends, budget):
        return _bound(ends, exponent)
    ends.lower = _lanczos(work, size.error, rtol, budget)
    if near is not None and not ends.done(rtol):
        _band(near, ends, rtol, budget)
    return _bound(ends, exponent)


def _formed(work: LinearMap, budget: Budget, norms: PartNorms) -> Formed | None:
    """The matrix, where it fits."""
    try:
        return formed(work, int(min(budget.bytes / 4, 2**62)), norms.of_part)
    except TooLargeError:
        return None


def _whole(near: Formed, ends: _Ends, budget: Budget) -> bool:
    """Both ends from the dense matrix, if that is affordable."""
    small, large = sorted(near.matrix.shape)
    flops = 2.0 * small**2 * large + 12.0 * small**3
    number = near.matrix.dtype.itemsize
    needed = number * (2 * small * large + 6 * small**2)
    if small > DENSE_SIDE or flops > budget.left or needed > budget.bytes:
        return False
    budget.spend(flops)
    matrix = torch.from_numpy(near.matrix.toarray())
    lower, upper = norm_enclosure(matrix[None])
    ends.lower = down_nonnegative(float(lower[0]) - near.error)
    words = "a Cholesky test of the dense matrix"
    ends.include(up(float(upper[0]) + near.error), words)
    return True


def _lanczos(work: LinearMap, error: float, rtol: float, budget: Budget) -> float:
    """``||A v|| / ||v||``, rounded down."""
    residual = max(1e-3 * math.sqrt(rtol), 1e-9)
    products = min(MAX_PRODUCTS, max(LEAST_PRODUCTS, budget.left / (2.0 * work._held)))
    most = map_basis_within(work, 1, int(min(budget.bytes, 2**62)))
    found = largest_of_map(work, error, 1, residual, int(products), most=most)
    wide = work.shape[1] > work.shape[0]
    side = work.H if wide else work
    row = (found.left if wide else found.right).flatten(1)[0]
    return rayleigh(side, row, error)


def _band(near: Formed, ends: _Ends, rtol: float, budget: Budget) -> None:
    """The upper end by a banded Cholesky test, rows in the order of Cuthill and McKee."""
    matrix = near.matrix
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T.tocsr()
    number, side = matrix.dtype.itemsize, matrix.shape[0]
    try:
        gram = sparse_product(matrix, matrix.conj().T, budget.bytes // 4)
    except TooLargeError:
        return
    order = scipy.sparse.csgraph.reverse_cuthill_mckee(
        sparse.csr_matrix(abs(gram)), symmetric_mode=True
    )
    gram = sparse.csr_array(gram[order][:, order])
    low = sparse.tril(gram).tocoo()
    width = int((low.row - low.col).max(initial=0))
    flops = 2.0 * side * (width + 1.0) ** 2
    if flops > budget.left or 3.0 * number * side * (width + 1) > budget.bytes:
        return
    budget.spend(flops)
    band = np.zeros((side, width + 1), dtype=gram.dtype)
    band[low.col, low.row - low.col] = -low.data
    size = schur_above(matrix)
    off = up(up(gamma(4 * terms_of(matrix)) * size) * size) + UNDERFLOW
    target = down_nonnegative(ends.lower * (1 + rtol) - near.error, 2)
    upper = NegativeBand(band, up(off)).above(target)
    words = "a banded Cholesky test of the sparse matrix"
    ends.include(up(upper + near.error), words)


def _words(norms: PartNorms) -> str:
    words = "the norms of the parts"
    if norms.joined:
        words += ", convolutions of one torus joined by their symbols"
    return words


def _bound(ends: _Ends, exponent: int) -> Bound:
    return Bound(
        scaled_down(ends.lower, exponent),
        scaled_up(max(ends.lower, ends.upper), exponent),
        "spectral_norm",
        f"upper end: {ends.words}" if ends.upper else "zero",
        REFERENCE,
    )
