"""Gauss rules of an operator's singular values, one per random probe, by Golub-Kahan.

Bidiagonalisation from a unit vector v builds ``A V = U B`` with B upper bidiagonal,
(k, k). Its singular values theta_j and the squared first entries w_j of its right
singular vectors are the k-point Gauss rule of the measure that v sees,

    v^H f(A^H A) v = sum_j w_j f(theta_j^2),   exact for polynomials of degree 2 k - 1.

With the last diagonal entry set to 0 it is the Gauss-Radau rule with a node at 0. The
two enclose ``v^H (A^H A)^(p/2) v`` for every p > 0.

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
from convspec.limits import require_bytes
from convspec.operators.convolve import product_bytes
from convspec.operators.operator import ConvOperator

__all__ = ["Rules", "bidiagonalise", "gauss_rules", "lanczos_rules", "signs"]

Map = Callable[[Tensor], Tensor]

# a vector that keeps this part of its length is orthogonalised once
MOST = 0.7
# probes run together while their Krylov bases fit this, whatever the byte limit
CHUNK_BYTES = 2**29


class Rules(NamedTuple):
    """Nodes, descending, and weights of one rule per probe; both (probes, steps)."""

    nodes: FloatArray
    weights: FloatArray


def lanczos_rules(
    op: ConvOperator, probes: int, steps: int, seed: int, max_bytes: int
) -> tuple[Rules, Rules]:
    """Gauss and Gauss-Radau rules of random sign vectors, on the smaller side.

    Args:
        op: An operator in the arithmetic to use.
        probes: Number of vectors.
        steps: Points of each rule, at most min(m, n).
        seed: Of the signs; the result does not depend on how probes are chunked but
            for rounding.
        max_bytes: Byte limit of what is held at a time.

    Returns:
        Gauss rules, and the Radau rules with a node at 0. A rule that ends early, its
        Krylov space exhausted, is exact; it is filled up with nodes of no weight, and its
        Radau rule is itself.

    Raises:
        TooLargeError: If a single probe needs more than ``max_bytes``.
    """
    small, large = sorted(op.shape)
    each = op.weight.element_size() * ((steps + 6) * small + 6 * large)
    each += 16 * small  # signs, as integers too
    product = product_bytes(op.geometry, op.weight, probes)
    require_bytes(
        f"the Krylov basis of one probe, {steps} vectors of {small:,} numbers,",
        each + product_bytes(op.geometry, op.weight),
        max_bytes,
        "take fewer steps or dtype=torch.float32",
    )
    at_once = max(1, (min(max_bytes, CHUNK_BYTES) - product) // each)
    forward, adjoint, shape = _towards_larger(op)
    generator = torch.Generator().manual_seed(seed)
    diagonals, uppers = np.empty((probes, steps)), np.empty((probes, steps - 1))
    for first in range(0, probes, at_once):
        count = min(at_once, probes - first)
        start = signs(count, small, generator).to(op.weight) / math.sqrt(small)
        with torch.no_grad():
            found = bidiagonalise(
                forward, adjoint, start.reshape(count, *shape), steps=steps
            )
        chunk = slice(first, first + count)
        diagonals[chunk], uppers[chunk] = found
    gauss = gauss_rules(diagonals, uppers)
    if steps == small:  # the whole space: every rule is exact
        return gauss, gauss
    diagonals[:, -1] = 0.0
    radau = gauss_rules(diagonals, uppers)
    ended = (uppers == 0).any(axis=1)[:, None]
    return gauss, Rules(
        *(np.where(ended, g, r) for g, r in zip(gauss, radau, strict=True))
    )


def signs(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Independent fair signs, (count, length), float64, drawn row by row."""
    rows = [torch.randint(0, 2, (length,), generator=generator) for _ in range(count)]
    return 2.0 * torch.stack(rows).double() - 1.0


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


def _towards_larger(op: ConvOperator) -> tuple[Map, Map, tuple[int, ...]]:
    """A or A^H, whichever starts on the smaller side, its adjoint, and that side."""
    if op.shape[1] <= op.shape[0]:
        return op.apply, op.adjoint, op.input_shape
    return op.adjoint, op.apply, op.output_shape


def _along(numbers: Tensor, images: Tensor) -> Tensor:
    return numbers.reshape(-1, *[1] * (images.ndim - 1))


def _normalised(images: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Norms, the largest norm so far, and unit images; zeros for what is rounding."""
    norm = torch.linalg.vector_norm(images.flatten(1), dim=1)
    norm = torch.where(exhausted(norm, scale, norm.dtype), 0.0, norm)
    divisor = torch.where(norm > 0, norm, math.inf)
    return norm, torch.maximum(scale, norm), images / _along(divisor, images)
