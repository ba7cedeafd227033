"""Products with ``(A^H A)^-1`` by a sparse factorisation."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import scipy
import torch
from scipy import sparse
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.geometry import Axis
from convspec.operators.operator import ConvOperator

__all__ = ["InverseGram", "factor_bytes", "pixel_major"]

# Relative to the largest entry, or to the norm of a Gram matrix: more than rounding, so
# that eigenvalues of the inverse keep a range that double precision can hold.
SHIFT = 2.0**-36
GRAM_SHIFT = 2.0**-46
# squares of larger inverses come near overflow
LARGEST = 2.0**500


class InverseGram:
    """``x -> (A^H A)^-1 x`` for m >= n, by a sparse LU of A where A is square.

    Then no condition number is squared. Otherwise the Gram matrix is factored. Either is
    shifted a little: singular ones have an inverse then, good enough to find subspaces
    with. Unknowns go pixel by pixel, all channels of one together, which keeps the fill
    in bands.

    Args:
        op: The operator.
        squared: Whether to factor the Gram matrix even if A is square: its shift bounds
            the inverse, where a shift of A need not (triangular kernels).

    Attributes:
        squared: Whether the Gram matrix was factored.
    """

    def __init__(self, op: ConvOperator, squared: bool = False) -> None:
        self._op = op
        self._rows, self._columns = map(pixel_major, (op.output_shape, op.input_shape))
        matrix = op.to_sparse()[self._rows][:, self._columns].tocsc()
        self.squared = squared or matrix.shape[0] != matrix.shape[1]
        if not self.squared:
            self._factor = _shifted(matrix)
            self.squared = _norm_of_square(self._factor) > LARGEST
        if self.squared:
            self._factor = _shifted_gram(matrix)

    def __call__(self, x: Tensor) -> Tensor:
        """Rows (b, n) -> rows of (A^H A)^-1 x; (b, n)."""
        b = _columns(x, self._columns)
        solved = self._factor.solve(b if self.squared else self._factor.solve(b, "H"))
        return _rows(solved, self._columns, x)

    def left(self, x: Tensor) -> Tensor:
        """Rows (b, n) -> rows of A (A^H A)^-1 x, for square A that is A^-H x; (b, m)."""
        if self.squared:
            images = self(x).reshape(len(x), *self._op.input_shape)
            return self._op.apply(images).flatten(1)
        solved = self._factor.solve(_columns(x, self._columns), "H")
        return _rows(solved, self._rows, x)


def pixel_major(shape: tuple[int, ...]) -> IntArray:
    """Flat places in an image (channels, *sizes), pixel by pixel."""
    places: IntArray = np.arange(math.prod(shape)).reshape(shape[0], -1).T.reshape(-1)
    return places


def _columns(x: Tensor, order: IntArray) -> Any:
    return np.asfortranarray(x.cpu().numpy()[:, order].T)


def _rows(solved: Any, order: IntArray, like: Tensor) -> Tensor:
    rows = np.empty_like(solved.T, order="C")
    rows[:, order] = solved.T
    return torch.from_numpy(rows).to(like)


def _shifted(matrix: sparse.csc_array) -> Any:
    """The factors of ``A + diag(shifts)``: SuperLU fails on exact zero pivots."""
    size = matrix.shape[0]
    shifts = np.random.default_rng(0).uniform(1, 2, size)
    shifts *= SHIFT * (float(abs(matrix).max()) or 1.0)
    return scipy.sparse.linalg.splu(
        (matrix + sparse.diags_array(shifts)).tocsc(), permc_spec="COLAMD"
    )


def _norm_of_square(factor: Any) -> float:
    """About the squared norm of the factored matrix's inverse; inf on overflow."""
    x = np.random.default_rng(1).standard_normal(factor.shape[0])
    with np.errstate(over="ignore", invalid="ignore"):
        once = np.linalg.norm(factor.solve(x / np.linalg.norm(x)))
    return float(once**2) if np.isfinite(once) else math.inf


def _shifted_gram(matrix: sparse.csc_array) -> Any:
    """The factors of ``A^H A + shift I``, definite: no rows change places."""
    gram = (matrix.conj().T @ matrix).tocsc()
    norm = float(abs(gram).sum(axis=0).max())
    gram = gram + GRAM_SHIFT * (norm or 1.0) * sparse.eye_array(gram.shape[0])
    return scipy.sparse.linalg.splu(
        gram.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )


def factor_bytes(op: ConvOperator) -> int:
    """Estimated bytes of the factors, with the matrix and what factoring it holds.

    The factors fill a band, pixel by pixel, as wide as the pixels that one output reads
    are apart; three times that with exchanges of rows. Of the orders of the axes the
    best is taken, which is about what SuperLU finds.
    """
    axes, sizes = op.geometry.axes, op.geometry.sizes
    reach = [_reach(axis) for axis in axes]
    band = min(
        sum(
            reach[j] * math.prod(sizes[i] for i in order[place + 1 :])
            for place, j in enumerate(order)
        )
        for order in permutations(range(len(axes)))
    )
    channels = min(op.geometry.c_in, op.geometry.c_out) / op.groups
    unknowns = min(op.shape)
    filled = unknowns * min(unknowns / op.groups, 1.5 * channels * (band + 1))
    return int((8 + op.weight.element_size()) * (filled + 4 * op.geometry.reads))


def _reach(axis: Axis) -> int:
    """How far apart the pixels are that one output reads."""
    live = axis.source >= 0
    last = np.where(live, axis.source, -1).max(axis=0)
    first = np.where(live, axis.source, axis.size).min(axis=0)
    return max(0, int((last - first).max()))
