"""Gauss and Gauss-Radau rules of an operator's singular values, one per random probe.

The singular values of a probe's bidiagonal matrix are the nodes of a Gauss rule, see
:mod:`convspec.krylov.bidiagonal`. With the last diagonal entry set to 0 it is the
Gauss-Radau rule with a node at 0. The two enclose ``v^H (A^H A)^(p/2) v``, p > 0.

Source: Golub and Meurant, "Matrices, Moments and Quadrature with Applications", 2010.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convspec.krylov.bidiagonal import Map, Rules, bidiagonalise, gauss_rules
from convspec.limits import require_bytes
from convspec.operators.convolve import product_bytes
from convspec.operators.operator import ConvOperator

__all__ = ["lanczos_rules", "signs"]

# probes run together while their Krylov bases fit this, whatever the byte limit
CHUNK_BYTES = 2**29


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


def _towards_larger(op: ConvOperator) -> tuple[Map, Map, tuple[int, ...]]:
    """A or A^H, whichever starts on the smaller side, its adjoint, and that side."""
    if op.shape[1] <= op.shape[0]:
        return op.apply, op.adjoint, op.input_shape
    return op.adjoint, op.apply, op.output_shape
