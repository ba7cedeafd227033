"""About how large a map and its inverse are, by some steps of the power method.

Estimates from below, right to a factor of two or so: they tell whether a residual is
rounding, and whether a map is of full rank, where nothing is certified.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convspec.inverse.factored import Inverse
from convspec.operators.linear_map import LinearMap

__all__ = ["inverse_norm", "norm"]

STEPS = 6


def norm(op: LinearMap) -> float:
    """At most ``||A||``, of a map in double precision."""
    return _length(op.apply, op.adjoint, op)


def inverse_norm(inverse: Inverse, op: LinearMap) -> float:
    """At most ``||A^-1||``; inf where products overflow."""
    return _length(inverse.solve, inverse.adjoint, op.H)


def _length(
    forward: Callable[[Tensor], Tensor],
    backward: Callable[[Tensor], Tensor],
    op: LinearMap,
) -> float:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, *op.input_shape, generator=generator, dtype=torch.float64)
    x = x.to(op.dtype).to(op.device)
    length = 0.0
    with torch.no_grad():
        for _ in range(STEPS):
            y = forward(x / torch.linalg.vector_norm(x).clamp(min=1e-300))
            length = float(torch.linalg.vector_norm(y))
            if not 0 < length < torch.inf:
                return torch.inf if length else 0.0
            x = backward(y / length)
    return length
