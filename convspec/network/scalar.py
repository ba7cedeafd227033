"""One number for each tensor: its Lipschitz constant in the input, node by node.

Through a linear map it grows by the map's norm, through a function of entries by its
steepest slope; a sum adds, a join of tensors adds squares. Every number is an upper end:
norms are certified ones, and products and sums are rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convspec.network.graph import Graph, Node
from convspec.network.kinds import (
    Axes,
    Bounded,
    Entrywise,
    Filter,
    Move,
    Rows,
    Scale,
    Sum,
)
from convspec.network.norms import Norms
from convspec.rounding.directed import square_root, up

__all__ = ["constants", "joined"]


def constants(graph: Graph, norms: Norms) -> list[float]:
    """At least the Lipschitz constant of each node's output in the model's input."""
    found: list[float] = []
    for node in graph.nodes:
        if node.kind is None:
            found.append(1.0)
            continue
        shapes = [graph.nodes[each].shape for each in node.inputs]
        found.append(
            _constant(node, shapes, [found[each] for each in node.inputs], norms)
        )
    return found


def joined(constants_: Sequence[float]) -> float:
    """``sqrt(sum a_j^2)``, rounded up: of tensors beside each other."""
    if len(constants_) == 1:
        return constants_[0]
    return up(math.hypot(*constants_), 4)


def _constant(
    node: Node,
    shapes: Sequence[tuple[int, ...]],
    given: Sequence[float],
    norms: Norms,
) -> float:
    kind = node.kind
    if isinstance(kind, Sum):
        return _of_sum(kind, node, shapes, given)
    if isinstance(kind, Move):
        return _of_move(kind, node, shapes, given)
    if isinstance(kind, Bounded):
        distinct = dict(zip(node.inputs, given, strict=True))
        return up(kind.constant * joined(list(distinct.values())))
    if isinstance(kind, Filter):
        factor = up(norms.of_filter(kind.op) + kind.error)
    elif isinstance(kind, Axes):
        factor = norms.of_axes(kind)
    elif isinstance(kind, Rows):
        factor = norms.of_rows(kind)
    elif isinstance(kind, Scale):
        repeats = _repeats(shapes[0], node.shape)
        factor = up(up(float(kind.factor.abs().max()) * repeats) * (1 + kind.relative))
        factor = up(factor)
    else:
        assert isinstance(kind, Entrywise)
        factor = max(float(kind.lower.abs().max()), float(kind.upper.abs().max()))
    return up(factor * given[0])


def _of_sum(
    kind: Sum, node: Node, shapes: Sequence[tuple[int, ...]], given: Sequence[float]
) -> float:
    """``sum |f_j| a_j``, the factors of a tensor that is added twice added first."""
    factors: dict[int, float] = {}
    for place, factor in zip(node.inputs, kind.factors, strict=True):
        factors[place] = factors.get(place, 0.0) + factor
    total = 0.0
    for place, constant, shape in zip(node.inputs, given, shapes, strict=True):
        if place not in factors:
            continue
        factor = abs(factors.pop(place))
        each = up(up(factor, 2) * up(constant * _repeats(shape, node.shape)))
        total = up(total + each) if total else each
    return total


def _of_move(
    kind: Move, node: Node, shapes: Sequence[tuple[int, ...]], given: Sequence[float]
) -> float:
    """Entries of each tensor are copied so often at most; parts stand side by side."""
    if kind.places is None:
        return given[0]
    places, first, parts = kind.places.reshape(-1), 0, list[float]()
    for constant, shape in zip(given, shapes, strict=True):
        size = math.prod(shape)
        inside = places[(places >= first) & (places < first + size)]
        if len(inside):
            factor = square_root(_most(inside - first, size))
            parts.append(constant if factor == 1 else up(constant * factor))
        first += size
    return joined(parts) if parts else 0.0


def _most(places: Tensor, size: int) -> int:
    return int(torch.bincount(places, minlength=size).max())


def _repeats(small: tuple[int, ...], large: tuple[int, ...]) -> float:
    """The norm of copying a tensor to a larger shape."""
    return square_root(math.prod(large) // math.prod(small))
