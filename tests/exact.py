"""Truth in 50 digits: exact numbers of float64 arrays, norms and singular values."""

from __future__ import annotations

import mpmath
import numpy as np
import torch
from torch import Tensor

DIGITS = 50


def number(value: float | complex) -> mpmath.mpf | mpmath.mpc:
    """A float64 or complex128 as it is."""
    value = complex(value)
    return mpmath.mpc(value.real, value.imag) if value.imag else mpmath.mpf(value.real)


def matrix(entries: Tensor) -> mpmath.matrix:
    """A float64 or complex128 matrix as it is."""
    return mpmath.matrix([[number(x) for x in row] for row in entries.tolist()])


def singular_values(entries: Tensor | mpmath.matrix) -> list[mpmath.mpf]:
    """All singular values, descending, to 50 digits of the largest."""
    with mpmath.workdps(DIGITS):
        A = matrix(entries) if isinstance(entries, Tensor) else entries
        A = A.H if A.rows < A.cols else A
        values = mpmath.svd_c(A, compute_uv=False)
        return sorted((values[i] for i in range(len(values))), reverse=True)


def frobenius(entries: Tensor) -> mpmath.mpf:
    """The Frobenius norm."""
    with mpmath.workdps(DIGITS):
        flat = torch.view_as_real(entries) if entries.is_complex() else entries
        return mpmath.sqrt(
            mpmath.fsum(mpmath.mpf(x) ** 2 for x in flat.flatten().tolist())
        )


def symbol(coefficients: Tensor, lags: np.ndarray, turns: list[float]) -> mpmath.matrix:
    """``sum_q C_q exp(2 pi i <q, x>)`` for exact x."""
    with mpmath.workdps(DIGITS):
        rows, columns, _ = coefficients.shape
        total = mpmath.zeros(rows, columns)
        for place, q in enumerate(lags.tolist()):
            phase = mpmath.fsum(a * mpmath.mpf(x) for a, x in zip(q, turns, strict=True))
            wave = mpmath.expjpi(2 * phase)
            total += matrix(coefficients[..., place]) * wave
        return total
