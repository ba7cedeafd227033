"""Pooling by averages: a convolution where it leaves an image, else a map to a vector."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from convspec.network.ellipsoid.as_filter import filter_of_axes
from convspec.network.ellipsoid.made import Made, is_image, without_ones
from convspec.network.graph import Node
from convspec.network.kinds import Axes, Filter, Move, Scale
from convspec.rounding.directed import up

__all__ = ["HEAD_ENTRIES", "averaged"]

# entries that pooling may leave for its output to be a vector
HEAD_ENTRIES = 4096


def averaged(made: Made, node: Node) -> int | None:
    """Pooling that leaves an image, as a convolution."""
    if not isinstance(node.kind, Axes):
        return None
    before = made.before(node).shape
    if node.shape == before and _is_identity(node.kind):
        one = torch.ones((), dtype=torch.float64, device="cpu")
        return made.add(replace(node, kind=Scale(one, _off(node.kind))))
    found = _of_image(made, node, node.kind)
    if found is not None:
        return found
    if not (is_image(before) and len(node.shape) == len(before)):
        return None
    kind = _pooling(made, node.kind, before, node.shape)
    return None if kind is None else made.add(replace(node, kind=kind))


def _pooling(
    made: Made, kind: Axes, before: tuple[int, ...], after: tuple[int, ...]
) -> Filter | None:
    """The convolution; None where there is none, or the output is to be a vector."""
    every = set(kind.matrices) == set(range(2, len(before)))
    short = every and math.prod(after) <= HEAD_ENTRIES
    if short and (math.prod(after[2:]) == 1 or not _is_convolved(made, made.place)):
        return None
    return filter_of_axes(kind, before, after)


def _of_image(made: Made, node: Node, kind: Axes) -> int | None:
    """Pooling of an axis of length 1, which torch puts there, on the others."""
    view = without_ones(made, node)
    if view is None:
        return None
    row, kept = view
    image = made.before(row).shape
    rest = {axis: m for axis, m in kind.matrices.items() if axis not in kept}
    if not _is_identity(Axes(rest)):
        return None
    moved = {kept.index(axis): m for axis, m in kind.matrices.items() if axis in kept}
    shape = tuple(node.shape[axis] for axis in kept)
    axes = Axes(moved, _off(kind))
    pooling = _pooling(made, axes, image, shape) or axes
    inner = made.behind(node, pooling, row.inputs, shape)
    return made.behind(row, Move(None, "view"), (inner,), node.shape)


def _is_identity(kind: Axes) -> bool:
    """Whether it averages axes of one pixel, up to rounding."""
    one = torch.ones(1, 1, dtype=torch.float64, device="cpu")
    return all(torch.equal(each, one) for each in kind.matrices.values())


def _off(kind: Axes) -> float:
    """At least what the product of all axes is off by, relative to itself."""
    return up(kind.relative * (len(kind.matrices) + 1), 2)


def _is_convolved(made: Made, place: int) -> bool:
    """Whether a convolution reads an image of the graph, or one made of it.

    Its channels may be many more: as vectors of entries they would be too long.
    """
    known, ahead = {place}, [place]
    while ahead:
        for reader in made.readers[ahead.pop()]:
            kind = made.graph.nodes[reader].kind
            if isinstance(kind, Filter):
                return True
            if len(made.graph.nodes[reader].shape) > 2 and reader not in known:
                known.add(reader)
                ahead.append(reader)
    return False
