"""Eigenvalues of batches of Hermitian 2 x 2 and 3 x 3 matrices, in closed form.

Layers that read an image have three channels, so three rows are all that one side of
their symbol has. LAPACK spends most of its time on such matrices on the calls.

For three rows, with ``q = tr(A) / 3``, ``6 p^2 = ||A - q I||_F^2`` and
``r = det((A - q I) / p) / 2``, the eigenvalues are
``q + 2 p cos((arccos r + 2 pi k) / 3)`` (Smith, "Eigenvalues of a symmetric 3 x 3
matrix", Communications of the ACM 4, 1961). What rounding does to r moves ``arccos r`` by
``1 / sqrt(1 - r^2)`` times as much, which is large where two eigenvalues are close: the
bound returned says so.

With ``u = eps / 2`` and ``g = u ||A||_F / p``: entries of ``M = A - q I`` are off by
``4 u ||A||_F``, M by ``8 u ||A||_F`` in norm. As ``||adj(M / p)||_F <= 6 / sqrt(3)``
that moves r by ``14 g``, the error that this makes in p by as much, and evaluating the
determinant by ``30 u``, less than ``13 g``: ``48 g`` with the second order. The
eigenvalues move by ``2 p / 3`` times what the angle does, and by ``24 u ||A||_F`` from q,
p and the cosine.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["CLOSED", "closed_eigenvalues"]

# sides that have a closed form
CLOSED = (2, 3)
TURN = 2 * math.pi / 3


def closed_eigenvalues(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of Hermitian (..., s, s) with s 2 or 3, and a bound on their errors.

    Returns:
        values (..., s), descending, and (...), in the matrices' real dtype. The bound is
        inf where the formula says nothing.
    """
    if matrices.shape[-1] == 2:
        return _two(matrices)
    return _three(matrices)


def _two(matrices: Tensor) -> tuple[Tensor, Tensor]:
    first, second = (matrices[..., j, j].real for j in range(2))
    middle, half = (first + second) / 2, (first - second) / 2
    root = torch.hypot(half, matrices[..., 0, 1].abs())
    values = torch.stack((middle + root, middle - root), dim=-1)
    unit = torch.finfo(values.dtype).eps / 2
    return values, 8 * unit * (first.abs() + second.abs() + root)


def _three(matrices: Tensor) -> tuple[Tensor, Tensor]:
    diagonal = [matrices[..., j, j].real for j in range(3)]
    mean = (diagonal[0] + diagonal[1] + diagonal[2]) / 3
    a, b, c = (entry - mean for entry in diagonal)
    d, e, f = matrices[..., 0, 1], matrices[..., 0, 2], matrices[..., 1, 2]
    dd, ee, ff = (entry.real.square() + entry.imag.square() for entry in (d, e, f))
    outer = dd + ee + ff
    spread = (a * a + b * b + c * c + 2 * outer) / 6
    p = spread.sqrt()
    size = (6 * spread + 3 * mean * mean).sqrt()  # the Frobenius norm
    cubed = spread * p
    determinant = a * (b * c - ff) - b * ee - c * dd + 2 * (d * f * e.conj()).real
    r = (determinant / (2 * cubed)).clamp(-1, 1)
    angle = r.acos() / 3
    turned = torch.stack((angle, angle - TURN, angle + TURN), dim=-1)
    values = mean[..., None] + 2 * p[..., None] * turned.cos()
    unit = torch.finfo(values.dtype).eps / 2
    moved = 50 * unit * size / p  # of r
    # the least that 1 - r^2 can be between here and the true r
    least = ((1 - r) * (1 + r) - 3 * moved).clamp(min=0).sqrt()
    error = 2 * p * moved / (3 * least) + 24 * unit * size
    safe = (cubed > 1e-200) & (least > 0)
    return values, torch.where(safe, error, math.inf)
