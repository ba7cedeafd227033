"""Certified lower bounds on the largest singular values, from approximate vectors."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import convolution_error
from convspec.quantity.outward import EPS
from convspec.rounding import down, down_nonnegative, gamma, svd_error, up

__all__ = ["ritz_bounds"]


def ritz_bounds(op: ConvOperator, vectors: Tensor) -> FloatArray:
    """``sigma_i(A) >= sigma_i(A V) / ||V||`` for the k columns of any V.

    Nothing is assumed of V: how far its columns are from orthonormal, and the rounding
    of A V and of its singular values, are all bounded here. Only the tightness depends
    on V, which Krylov makes nearly singular vectors.

    Args:
        op: In float64 or complex128, with weights near 1.
        vectors: V, its columns as images; (k, *input_shape).

    Returns:
        Descending, (k,).

    Source: ``sigma_i(A B) <= sigma_i(A) sigma_1(B)``, Horn and Johnson, Topics in Matrix
    Analysis, theorem 3.3.16.
    """
    count = len(vectors)
    columns = vectors.detach().to("cpu", op.dtype)
    op = op.to(device="cpu")
    rows = columns.reshape(count, -1)
    images = op.apply(columns).reshape(count, -1).numpy()
    values = np.linalg.svd(images, compute_uv=False)
    gram = (rows @ rows.mH).numpy()
    # a complex product is two sums of two real ones
    size, length = rows.shape[1], _up(np.linalg.norm(rows.numpy()))
    inner = gamma(4 * size + 8) * length**2
    mean = float(np.trace(gram).real) / count  # 1 for unit vectors
    square = mean + _up(np.linalg.norm(gram - mean * np.eye(count))) + inner
    off = svd_error(count, images.shape[1], float(values[0]), EPS)
    off += convolution_error(op) * length
    norm = up(math.sqrt(square * (1 + 8 * EPS)), 2)
    found = [down_nonnegative(down(float(s) - up(off, 4)) / norm, 2) for s in values]
    return np.array(found)


def _up(norm: np.floating) -> float:
    """Above a Frobenius norm computed as a sum of up to 2^30 squares."""
    return float(norm) * (1 + 2**31 * EPS)
