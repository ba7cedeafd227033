"""How far a product with a composed map is off, from the norms of its parts.

Of each part there is a number at least its norm, n, and one at least what a product with
it errs by, for every vector of length 1, e; that is rounding, and what its numbers are
off by from what they stand for. Entrywise ``|fl(A x) - A x| <= gamma_k |A| |x|`` for sums
of k terms (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.5),
so that ``e = gamma_k || |A| ||``. Then for a product of two

    ||fl(A fl(B x)) - A B x|| <= e_A (n_B + e_B) + n_A e_B,

and for a sum ``sum_j |c_j| e_j`` and its own rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from convspec.errors import NotApplicable
from convspec.operators.composed.copies import Copies
from convspec.operators.composed.factors import Factors
from convspec.operators.composed.identity import Identity
from convspec.operators.composed.normal import plain_number
from convspec.operators.composed.on_axes import OnAxes
from convspec.operators.composed.product import Product
from convspec.operators.composed.rows import Rows
from convspec.operators.composed.stacked import Beside, Stacked
from convspec.operators.composed.sum import Sum
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import (
    COMPLEX,
    REAL,
    convolution_error,
    modulus_norm,
)
from convspec.rounding.directed import gamma, square_root, up
from convspec.rounding.norms import norm_above
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["Sized", "length_above", "modulus_above", "sized"]

Norm = Callable[[LinearMap], float]


@dataclass(frozen=True)
class Sized:
    """What is known of a map, and of products with it and its adjoint.

    Attributes:
        norm: At least the norm of what it stands for.
        error: At least what a product with a vector of length 1 is off by.
    """

    norm: float
    error: float


def sized(op: LinearMap, norm: Norm | None = None) -> Sized:
    """At least the norm and the error of products.

    Args:
        op: In normal form, see :func:`convspec.operators.composed.normal.normal_form`.
        norm: At least the norm of a part that is no product, sum or stack; Schur's test
            of the moduli unless told.
    """
    if isinstance(op, Product):
        found = sized(op.parts[-1], norm)
        for part in op.parts[-2::-1]:
            found = _behind(sized(part, norm), found)
        return found
    if isinstance(op, Sum):
        return _of_sum(op, norm)
    if isinstance(op, Stacked | Beside):
        parts = [sized(part, norm) for part in op.parts]
        total = length_above([part.norm for part in parts])
        error = length_above([part.error for part in parts])
        error = up(error + up(gamma(len(parts) + 2) * up(total + error)), 2)
        return Sized(total, error)
    modulus, share = _leaf(op)
    least = modulus if norm is None else min(modulus, norm(op))
    return Sized(least, up(up(share * modulus) + (UNDERFLOW if modulus else 0.0)))


def modulus_above(op: LinearMap) -> float:
    """At least ``|| |A| ||`` of a part that is no product, sum or stack."""
    return _leaf(op)[0]


def length_above(values: list[float]) -> float:
    """``sqrt(sum v_j^2)``, rounded up."""
    return values[0] if len(values) == 1 else up(math.hypot(*values), 4)


def _behind(first: Sized, before: Sized) -> Sized:
    """Of ``A B``."""
    error = up(
        up(first.error * up(before.norm + before.error)) + up(first.norm * before.error)
    )
    error = up(error + UNDERFLOW) if error else 0.0
    return Sized(up(first.norm * before.norm) if first.norm else 0.0, error)


def _of_sum(op: Sum, norm: Norm | None) -> Sized:
    total = error = 0.0
    for c, part in op.terms:
        found, size = sized(part, norm), abs(plain_number(c))
        if not (size and found.norm):
            continue
        size = up(size, 2)  # of a complex number it is rounded
        total = up(total + up(size * found.norm))
        error = up(error + up(size * found.error)) if found.error else error
    terms = COMPLEX if op.dtype.is_complex else REAL
    own = up(gamma(terms * (len(op.terms) + 1)) * up(total + error))
    return Sized(total, up(error + own + UNDERFLOW, 2) if total else 0.0)


def _leaf(op: LinearMap) -> tuple[float, float]:
    """At least ``|| |A| ||``, and what products are off by as a share of it."""
    factor = COMPLEX if op.dtype.is_complex else REAL
    if isinstance(op, ConvOperator):
        modulus = modulus_norm(op)
        return modulus, up(convolution_error(op) / modulus, 2) if modulus else 0.0
    if isinstance(op, Factors):
        modulus = up(float(op.factor.detach().abs().max()), 4) * bool(op.factor.any())
        return _off(modulus, op.relative, 1, 2 * factor)
    if isinstance(op, Rows):
        modulus = _modulus(op.matrix)
        return _off(modulus, op.relative, 1, factor * max(op.shape))
    if isinstance(op, OnAxes):
        modulus, terms = 1.0, 0
        for matrix in op.matrices.values():
            each = _modulus(matrix)
            modulus = up(modulus * each) if each else 0.0
            terms += factor * max(matrix.shape)
        return _off(modulus, op.relative, len(op.matrices), terms)
    if isinstance(op, Copies):
        return square_root(op.most), gamma(op.most) if op.most > 1 else 0.0
    if isinstance(op, Identity):
        return 1.0, 0.0
    raise NotApplicable(
        f"proofs need maps whose products have a bound on their rounding; {op} has none; "
        "of a pseudo-inverse the singular values are 1 / sigma of those of the map: take "
        "its own spectrum, or op.to_dense()",
        "rounding",
    )


def _off(modulus: float, relative: float, times: int, terms: int) -> tuple[float, float]:
    """The modulus of what entries stand for, and the share of all errors."""
    if not modulus:
        return 0.0, 0.0
    growth = 1.0
    for _ in range(times if relative else 0):
        growth = up(growth * up(1 + relative))
    share = up(gamma(terms + 4) * growth + up(growth - 1), 2)
    return (up(modulus * growth) if relative else modulus), share


def _modulus(matrix: Tensor) -> float:
    return float(norm_above(matrix.detach().cpu().abs()[None])[0])
