"""The sparse matrix of a composed map, and how far it is from what the map stands for.

Sums of k products in any order are off by ``gamma_k`` times the sum of moduli (Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.5); zeros add nothing,
so that k is the number of entries in a row of the left factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from convspec.operators.composed.normal import plain_number
from convspec.operators.composed.product import Product, sparse_product
from convspec.operators.composed.rounding import Norm, length_above, sized
from convspec.operators.composed.stacked import Beside, Stacked
from convspec.operators.composed.sum import Sum
from convspec.operators.linear_map import LinearMap
from convspec.operators.product_error import COMPLEX, REAL
from convspec.rounding.directed import gamma, up
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["Formed", "formed", "schur_above"]


@dataclass(frozen=True, eq=False)
class Formed:
    """A matrix B near a map A.

    Attributes:
        matrix: B.
        error: At least ``||A - B||``.
        norm: At least ``||A||``.
    """

    matrix: sparse.csr_array
    error: float
    norm: float


def formed(op: LinearMap, max_bytes: int, norm: Norm | None = None) -> Formed:
    """The matrix, part by part.

    Args:
        op: In normal form, see :func:`convspec.operators.composed.normal.normal_form`.
        max_bytes: Byte limit of each matrix.
        norm: At least the norm of a part, as in
            :func:`convspec.operators.composed.rounding.sized`.

    Raises:
        TooLargeError: If a matrix may need more than ``max_bytes``.
    """
    if isinstance(op, Product):
        found = formed(op.parts[-1], max_bytes, norm)
        for part in op.parts[-2::-1]:
            found = _behind(formed(part, max_bytes, norm), found, max_bytes)
        return found
    if isinstance(op, Sum):
        return _of_sum(op, max_bytes, norm)
    if isinstance(op, Stacked | Beside):
        parts = [formed(part, max_bytes, norm) for part in op.parts]
        join = sparse.vstack if isinstance(op, Stacked) else sparse.hstack
        matrix = sparse.csr_array(join([part.matrix for part in parts]))
        error = length_above([part.error for part in parts])
        return Formed(matrix, error, length_above([part.norm for part in parts]))
    size = sized(op, norm)
    return Formed(op.to_sparse(max_bytes=max_bytes), size.error, size.norm)


def schur_above(matrix: sparse.csr_array) -> float:
    """At least ``|| |X| ||``, by ``sqrt(||X||_1 ||X||_inf)`` (Schur).

    >>> 2.999 < schur_above(sparse.csr_array([[1.0, -2.0], [2.0, 1.0]])) < 3.001
    True
    """
    if not matrix.nnz:
        return 0.0
    size = abs(matrix)
    row = float(size.sum(axis=1).max()) * (1 + gamma(max(matrix.shape) + 8))
    column = float(size.sum(axis=0).max()) * (1 + gamma(max(matrix.shape) + 8))
    return up(math.sqrt(up(row, 2)) * math.sqrt(up(column, 2)), 6)


def terms_of(matrix: sparse.csr_array) -> int:
    """Entries in a row, at most, times what a product of two numbers counts."""
    factor = COMPLEX if np.iscomplexobj(matrix) else REAL
    return factor * int(np.diff(matrix.indptr).max(initial=0)) + 8


def _behind(first: Formed, before: Formed, max_bytes: int) -> Formed:
    matrix = sparse_product(first.matrix, before.matrix, max_bytes)
    left, right = schur_above(first.matrix), schur_above(before.matrix)
    near = min(right, up(before.norm + before.error))
    factor = COMPLEX if np.iscomplexobj(matrix) else REAL
    own = up(up(gamma(factor * terms_of(first.matrix)) * left) * right)
    error = up(up(first.error * near) + up(first.norm * before.error) + own, 2)
    error = up(error + UNDERFLOW) if left and right else error
    norm = up(first.norm * before.norm) if first.norm and before.norm else 0.0
    return Formed(matrix, error, norm)


def _of_sum(op: Sum, max_bytes: int, norm: Norm | None) -> Formed:
    matrix, error, size, moduli = sparse.csr_array(op.shape), 0.0, 0.0, 0.0
    for c, part in op.terms:
        found, factor = formed(part, max_bytes, norm), plain_number(c)
        matrix = matrix + found.matrix * factor
        weight = up(abs(factor), 2) if factor else 0.0
        error = up(error + up(weight * found.error))
        size = up(size + up(weight * found.norm))
        moduli = up(moduli + up(weight * schur_above(found.matrix)))
    terms = COMPLEX if op.dtype.is_complex else REAL
    own = up(gamma(terms * (len(op.terms) + 2)) * moduli)
    return Formed(sparse.csr_array(matrix), up(error + own + UNDERFLOW, 2), size)
