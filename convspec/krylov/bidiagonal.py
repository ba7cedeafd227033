"""Golub-Kahan bidiagonalisation of several vectors at once, and the Gauss rules of it.

Bidiagonalisation from a unit vector v builds ``A V = U B`` with B upper bidiagonal,
(k, k). Its singular values theta_j and the squared first entries w_j of its right
singular vectors are the k-point Gauss rule of the measure that v sees,

    v^H f(A^H A) v = sum_j w_j f(theta_j^2),   exact for polynomials of degree 2 k - 1.

V is kept orthonormal by full reorthogonalisation; U is not stored. ``B^T B`` then carries
a backward error of a few eps ||A||^2, which moves values far from zero by eps ||A|| and
those near zero by sqrt(eps) ||A|| at most.

Sources: Golub and Meurant, "Matrices, Moments and Quadrature with Applications", 2010;
Simon and Zha, "Low-rank matrix approximation using the Lanczos bidiagonalization
process", SIAM J. Sci. Comput. 21, 2000, for reorthogonalisation on one side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.krylov.orthogonal import exhausted, orthogonalised

__all__ = ["Map", "Rules", "bidiagonalise", "gauss_rules"]

Map = Callable[[Tensor], Tensor]

# a vector that keeps this part of its length is orthogonalised once
MOST = 0.7


class Rules(NamedTuple):
    """Nodes, descending, and weights of one rule per probe; both (probes, steps)."""

    nodes: FloatArray
    weights: FloatArray


def bidiagonalise(
    forward: Map, adjoint: Map, start: Tensor, *, steps: int
) -> tuple[FloatArray, FloatArray]:
    """The bidiagonal matrices B of several starting vectors at once.

    Args:
        forward: A, on batches of images.
        adjoint: A^H, on batches of images.
        start: Unit vectors as images, (j, *shape).
        steps: Number of steps k.

    Returns:
        Diagonals (j, k) and superdiagonals (j, k - 1); zeros after a breakdown, where a
        new vector is within 32 eps of the largest entry so far.
    """
    count = len(start)
    basis = start.new_empty((count, steps, start[0].numel()))
    basis[:, 0] = start.flatten(1)
    v, u = start, None
    alpha, beta, scale = start.new_zeros((3, count)).abs()  # real for complex vectors
    diagonal, upper = [], []
    for step in range(steps):
        image = forward(v)
        u = image if u is None else image - _along(beta, u) * u
        alpha, scale, u = _normalised(u, scale)
        diagonal.append(alpha)
        if step + 1 == steps:
            break
        rest = (adjoint(u) - _along(alpha, v) * v).flatten(1)
        for probe in range(count):  # each stops by itself
            known = basis[probe, : step + 1]
            rest[probe], _ = orthogonalised(rest[probe, None], known, enough=MOST)
        beta, scale, v = _normalised(rest.reshape(start.shape), scale)
        upper.append(beta)
        basis[:, step + 1] = v.flatten(1)
    columns = torch.stack(diagonal + upper, dim=1).double().cpu().numpy()
    return columns[:, :steps], columns[:, steps:]


def gauss_rules(diagonal: FloatArray, upper: FloatArray) -> Rules:
    """The rules of upper bidiagonal matrices, from (j, k) and (j, k - 1)."""
    count, steps = diagonal.shape
    matrices = np.zeros((count, steps, steps))
    step = np.arange(steps)
    matrices[:, step, step] = diagonal
    matrices[:, step[:-1], step[1:]] = upper
    _, nodes, right = np.linalg.svd(matrices)
    return Rules(nodes, right[:, :, 0] ** 2)


def _along(numbers: Tensor, images: Tensor) -> Tensor:
    return numbers.reshape(-1, *[1] * (images.ndim - 1))


def _normalised(images: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Norms, the largest norm so far, and unit images; zeros for what is rounding."""
    norm = torch.linalg.vector_norm(images.flatten(1), dim=1)
    norm = torch.where(exhausted(norm, scale, norm.dtype), 0.0, norm)
    divisor = torch.where(norm > 0, norm, math.inf)
    return norm, torch.maximum(scale, norm), images / _along(divisor, images)
