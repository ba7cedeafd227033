"""The linear nodes of a network on tensors, as they are or by their moduli."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convspec.network.graph import Node
from convspec.network.kinds import Axes, Filter, Move, Rows, Scale, Sum

__all__ = ["applied"]


def applied(node: Node, given: Sequence[Tensor], *, moduli: bool = False) -> Tensor:
    """``A x``, or ``|A| x`` for the matrix of moduli.

    Args:
        node: Linear.
        given: x for each of its inputs, float64.
        moduli: Whether entries of A count by their moduli.
    """
    kind = node.kind

    def own(x: Tensor) -> Tensor:
        return x.abs() if moduli else x

    if isinstance(kind, Filter):
        op = kind.op.with_weight(own(kind.op.weight))
        return op.apply(given[0]).reshape(node.shape)
    if isinstance(kind, Scale):
        return (own(kind.factor) * given[0]).expand(node.shape)
    if isinstance(kind, Rows):
        return (own(kind.matrix) @ given[0].reshape(-1)).reshape(node.shape)
    if isinstance(kind, Axes):
        x = given[0]
        for axis, matrix in kind.matrices.items():
            x = torch.tensordot(own(matrix), x, ([1], [axis])).movedim(0, axis)
        return x.reshape(node.shape)
    if isinstance(kind, Sum):
        total = torch.zeros(node.shape, dtype=torch.float64, device="cpu")
        for factor, x in zip(kind.factors, given, strict=True):
            total = total + (abs(factor) if moduli else factor) * x
        return total
    assert isinstance(kind, Move)
    flat = torch.cat([x.reshape(-1) for x in given])
    if kind.places is None:
        return flat.reshape(node.shape)
    taken = flat[kind.places.clamp(min=0)]
    taken = torch.where(kind.places >= 0, taken, torch.zeros_like(taken))
    assert math.prod(node.shape) == taken.numel()
    return taken.reshape(node.shape)
