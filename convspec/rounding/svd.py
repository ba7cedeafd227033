"""Enclosures of singular values, from a computed decomposition and its residuals.

With ``A ~ U S V^H``, V square, put ``R = A V - U S``. By Weyl the values of ``A V`` are
within ``||R||`` of those of ``U S``; by Ostrowski the values of ``U S`` are those of S
times a number in ``sqrt(1 +- u)``, ``u = ||U^H U - I||``, and those of ``A V`` the values
of A times a number in ``sqrt(1 +- v)``, ``v = ||V^H V - I||``. So

    (sqrt(1 - u) s_i - ||R||) / sqrt(1 + v) <= sigma_i(A)
                                <= (sqrt(1 + u) s_i + ||R||) / sqrt(1 - v),

where all three norms include the rounding of the products they were computed from.
Nothing is assumed of the computed decomposition. Source: an elementary form of Rump,
"Verified bounds for singular values", BIT 51, 2011.
"""

from __future__ import annotations

import numpy as np
import scipy
import torch
from torch import Tensor

from convspec.errors import NotFiniteError
from convspec.rounding.definite import at_most
from convspec.rounding.directed import UNIT, gamma
from convspec.rounding.norms import (
    above,
    below,
    frobenius_above,
    frobenius_below,
    norm_above,
    sum_above,
)
from convspec.rounding.products import gram_matrix, product_error, small_side_first
from convspec.rounding.prove import least_proven
from convspec.rounding.scaling import UNDERFLOW, ldexp_above, ldexp_below, scaled

__all__ = ["length_above", "length_below", "norm_enclosure", "verified_singular_values"]


def verified_singular_values(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """``lower_i <= sigma_i <= upper_i``, whatever rounding did, for every value.

    The relative width of the first is about ``n k 2^-52`` for n the smaller and k the
    larger side at worst; small values have the same absolute width. Costs a singular
    value decomposition with vectors and three products.

    Args:
        matrices: (..., r, c), float64 or complex128.

    Returns:
        lower and upper, (..., min(r, c)) float64, each descending.

    Raises:
        NotFiniteError: If an entry is NaN or infinite.

    >>> X = torch.diag(torch.tensor([3.0, 0.0], dtype=torch.float64))
    >>> lower, upper = verified_singular_values(X)
    >>> bool(lower[0] <= 3 <= upper[0]), bool(upper[1] < 1e-14)
    (True, True)
    """
    work, exponent = _prepared(matrices)
    A = work.mH if work.shape[-2] < work.shape[-1] else work
    U, s, V = _decomposed(A)
    is_complex = A.is_complex()
    tall, side = A.shape[-2:]
    eye = torch.eye(side, dtype=A.dtype)
    columns = U * s[..., None, :]
    residual = norm_above(A @ V - columns)
    residual = residual + _product_rounding(A, V, product_error(side, is_complex))
    residual = above(residual + 4 * UNIT * frobenius_above(columns), 8 * UNIT)
    u = norm_above(U.mH @ U - eye)
    u = u + _product_rounding(U.mH, U, product_error(tall + 2, is_complex))
    v = norm_above(V.mH @ V - eye)
    v = v + _product_rounding(V.mH, V, product_error(side + 2, is_complex))
    u, v = above(u, 4 * UNIT)[..., None], above(v, 4 * UNIT)[..., None]
    residual = (residual + torch.where(s[..., 0] > 0, UNDERFLOW, s[..., 0]))[..., None]
    lower = below((1 - u).clamp(min=0).sqrt() * s, 8 * UNIT)  # before it may cancel
    lower = below((lower - residual).clamp(min=0))
    lower = below(lower / (1 + v).sqrt(), 8 * UNIT)
    upper = above(above((1 + u).sqrt() * s + residual, 8 * UNIT), UNIT)
    upper = above(upper / (1 - v).clamp(min=0).sqrt(), 8 * UNIT)
    upper = torch.minimum(upper.nan_to_num(torch.inf), frobenius_above(A)[..., None])
    lower = lower.nan_to_num(0.0)
    return ldexp_below(lower, exponent[..., None]), ldexp_above(
        upper, exponent[..., None]
    )


def norm_enclosure(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """``lower <= sigma_1 <= upper``, cheaper than all values: by the Gram matrix.

    Below, ``||X v|| / ||v||`` for a computed eigenvector v; above, a Cholesky test just
    above it (:func:`convspec.rounding.certified_below`). The relative width is about
    ``n k 2^-49`` for n the smaller and k the larger side.

    Args:
        matrices: (..., r, c), float64 or complex128.

    Returns:
        lower and upper, (...), float64.

    Raises:
        NotFiniteError: If an entry is NaN or infinite.

    >>> lower, upper = norm_enclosure(torch.eye(3, dtype=torch.float64))
    >>> bool(lower <= 1 <= upper), bool(upper - lower < 1e-13)
    (True, True)
    """
    work, exponent = _prepared(matrices)
    wide = small_side_first(work).reshape(-1, *sorted(work.shape[-2:]))
    gram, error = gram_matrix(wide)
    vectors = torch.linalg.eigh(gram).eigenvectors[..., -1]  # (b, n)
    lower = length_below(wide.mH, vectors)

    def test(levels: Tensor, left: Tensor) -> Tensor:
        levels = above(levels, UNIT)
        proven = at_most(gram[left], below(levels**2), error[left])
        return torch.where(proven, levels, torch.inf)

    step = 8 * UNIT * wide.shape[-1] * wide.shape[-2]
    upper = least_proven(test, lower, step, frobenius_above(wide))
    shape = exponent.shape
    return (
        ldexp_below(lower.reshape(shape), exponent),
        ldexp_above(upper.reshape(shape), exponent),
    )


def length_below(
    matrices: Tensor, vectors: Tensor, error: float | Tensor = 0.0
) -> Tensor:
    """At most ``||X v|| / ||v||``, and so at most ``sigma_1(X)``.

    Args:
        matrices: (b, r, c), known up to ``error`` in the 2-norm; entries below 2^60.
        vectors: (b, c), not 0.
        error: Scalar or (b,).
    """
    image, off = _image(matrices, vectors, error)
    unit = frobenius_above(vectors[:, None, :])
    lower = below((frobenius_below(image) - above(off * unit)).clamp(min=0), 4 * UNIT)
    return below(lower / unit, 4 * UNIT)


def length_above(
    matrices: Tensor, vectors: Tensor, error: float | Tensor = 0.0
) -> Tensor:
    """At least ``||X v|| / ||v||``, and so at least the least singular value of X.

    That is one of c values: where X has fewer rows than columns, it is 0. Arguments are
    those of :func:`length_below`.
    """
    image, off = _image(matrices, vectors, error)
    unit = frobenius_below(vectors[:, None, :])
    return above(above(frobenius_above(image) / unit, 4 * UNIT) + off, 4 * UNIT)


def _image(
    matrices: Tensor, vectors: Tensor, error: float | Tensor
) -> tuple[Tensor, Tensor]:
    """``X v`` as (b, 1, r), and what it can be off by per ``||v||``."""
    image = (matrices @ vectors[..., None]).mT
    factor = product_error(matrices.shape[-1], matrices.is_complex())
    off = above(factor * frobenius_above(matrices) + error, 4 * UNIT)
    return image, above(off + UNDERFLOW)


def _prepared(matrices: Tensor) -> tuple[Tensor, Tensor]:
    if not bool(torch.isfinite(matrices).all()):
        raise NotFiniteError(
            "the matrix must be finite; it has NaN or infinite entries; repair it first"
        )
    return scaled(matrices)


def _decomposed(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Thin U, s and V of matrices (..., m, n), m >= n."""
    try:
        U, s, Vh = torch.linalg.svd(matrices, full_matrices=False)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        # divide and conquer can fail where the QR iteration does not
        flat = [_qr_svd(matrix) for matrix in matrices.flatten(0, -3)]
        shape = matrices.shape[:-2]
        U, s, Vh = (
            torch.stack(parts).reshape(*shape, *parts[0].shape)
            for parts in zip(*flat, strict=True)
        )
    return U, s, Vh.mH


def _qr_svd(matrix: Tensor) -> tuple[Tensor, ...]:
    parts = scipy.linalg.svd(
        np.asarray(matrix), full_matrices=False, lapack_driver="gesvd"
    )
    return tuple(torch.from_numpy(part) for part in parts)


def _product_rounding(first: Tensor, second: Tensor, factor: float) -> Tensor:
    """At least the 2-norm of ``factor |X| |Y|``, by its row and column sums."""
    left, right = first.abs(), second.abs()
    inner = first.shape[-1]
    ones = sum_above(right, -1, 4)[..., None]  # |Y| 1
    rows = sum_above(left * ones.mT, -1, 8).amax(-1)
    ones = sum_above(left, -2, 4)[..., None]  # |X|^T 1
    columns = sum_above(right * ones, -2, 8).amax(-1)
    return above(factor * (rows * columns).sqrt(), gamma(inner + 8))
