"""The nodes of a network as those that a torus can carry.

Averages and copies of pixels become convolutions where they are that; padding that
repeats pixels is a map of its own, of which the norm is known, before a convolution
without padding; what is broadcast is copied first; activations come before the image is
put in a row; a maximum of two tensors is ``b + relu(a - b)``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from convspec.network.ellipsoid.as_filter import filter_of_move
from convspec.network.ellipsoid.averages import averaged
from convspec.network.ellipsoid.made import Made, Rule, is_image, without_ones
from convspec.network.graph import Graph, Node, needed
from convspec.network.kinds import (
    Bounded,
    Entrywise,
    Filter,
    Kind,
    Move,
    Scale,
    Sum,
)
from convspec.operators.operator import ConvOperator
from convspec.rounding.directed import square_root

__all__ = ["recast"]

LARGEST, LEAST = ("max", "maximum"), ("min", "minimum")


def recast(graph: Graph, torus: bool = True, unrolls: bool = False) -> Graph:
    """The same maps, or some that move differences at least as far, in such nodes.

    Args:
        graph: Of a network.
        torus: Whether images are to live on a torus; plain vectors need less.
        unrolls: Whether circular padding is one that repeats pixels, too, since the torus
            has another size.
    """
    made = Made(graph, RULES if torus else OF_VECTORS, unrolls)
    for place in range(len(graph.nodes)):
        made.take(place)
    return needed(made.whole)


def _copied(made: Made, node: Node) -> int | None:
    """Moves of pixels: a convolution, or a map of which the norm is known."""
    kind = node.kind
    if not isinstance(kind, Move) or kind.places is None or len(node.inputs) != 1:
        return None
    before = made.before(node).shape
    if not (is_image(before) and is_image(node.shape)):
        return None
    if len(before) != len(node.shape) or _keeps_pixels(kind.places, before, node.shape):
        return None
    found = None
    if math.prod(before[2:]) > 1:  # a vector at all pixels is no image that is refined
        found = filter_of_move(kind, before, node.shape)
    return made.add(replace(node, kind=found or _bounded(kind.places, before)))


def _keeps_pixels(
    places: Tensor, before: tuple[int, ...], after: tuple[int, ...]
) -> bool:
    """Whether channels are copied as they are."""
    if before[2:] != after[2:]:
        return False
    pixels = math.prod(before[2:])
    line = torch.arange(pixels, dtype=torch.int64, device="cpu")
    flat = places.reshape(-1, pixels)
    return bool(((flat % pixels == line) | (flat < 0)).all())


def _bounded(places: Tensor, before: tuple[int, ...]) -> Bounded:
    """The norm of copying is the root of how often an entry is, at most."""
    pixels = math.prod(before[2:])
    flat = places.reshape(places.shape[1], -1)
    line = torch.arange(len(flat), dtype=torch.int64, device="cpu")[:, None]
    apart = len(flat) == before[1] and bool(((flat // pixels == line) | (flat < 0)).all())
    live = flat[flat >= 0]
    most = int(torch.bincount(live).max()) if len(live) else 0
    axes = tuple(range(2, len(before))) if apart else None
    return Bounded(square_root(most), "copies of pixels", axes)


def _padded(made: Made, node: Node) -> int | None:
    """Padding that repeats pixels, and the convolution without it."""
    if not isinstance(node.kind, Filter):
        return None
    op = node.kind.op
    axes = op.geometry.axes
    modes = ("reflect", "replicate", "symmetric", *["circular"] * made.unrolls)
    repeats = [axis.mode in modes and axis.span > axis.size for axis in axes]
    if op.transposed or not any(repeats):
        return None
    if not any(axis.reads_padding for axis in axes):
        plain = tuple(replace(axis, mode="zeros") for axis in axes)
        inner = op.with_geometry(op.weight, replace(op.geometry, axes=plain))
        return made.add(replace(node, kind=Filter(inner, node.kind.error)))
    # an axis that repeats pixels shows each so often; the others are left alone
    counts = [
        max(torch.bincount(torch.from_numpy(axis.padded)).tolist()) if repeated else 1
        for axis, repeated in zip(axes, repeats, strict=True)
    ]
    before = made.before(node).shape
    wide = [
        axis.span if repeated else axis.size
        for axis, repeated in zip(axes, repeats, strict=True)
    ]
    words = f"{next(axis.mode for axis in axes if axis.mode in modes)} padding"
    kind = Bounded(square_root(math.prod(counts)), words, tuple(range(2, len(before))))
    padded = made.behind(node, kind, node.inputs, (*before[:2], *wide))
    inner = ConvOperator(
        op.weight,
        tuple(wide),
        stride=[axis.stride for axis in axes],
        padding=[
            (0, 0) if repeated else (axis.before, axis.after)
            for axis, repeated in zip(axes, repeats, strict=True)
        ],
        dilation=[axis.dilation for axis in axes],
        groups=op.groups,
    )
    found = Filter(inner, node.kind.error)
    return made.behind(node, found, (padded,), node.shape)


def _broadcast(made: Made, node: Node) -> int | None:
    """Tensors that are broadcast in a sum or by a factor, copied before."""
    if not isinstance(node.kind, Sum | Scale):
        return None
    shapes = [made.nodes[each].shape for each in node.inputs]
    if all(shape == node.shape for shape in shapes):
        return None
    inputs = tuple(made.broadcast(node, each) for each in node.inputs)
    return made.add(replace(node, inputs=inputs))


def _by_pixels(made: Made, node: Node) -> int | None:
    """A factor for each pixel, as a map of entries with one slope."""
    kind = node.kind
    if not isinstance(kind, Scale) or made.before(node).shape != node.shape:
        return None
    ends = [axis for axis in kind.factor.shape[2 - len(node.shape) :] if axis > 1]
    if not (is_image(node.shape) and ends):
        return None
    off = kind.factor.abs() * (2 * kind.relative)
    slopes = Entrywise(kind.factor - off, kind.factor + off, "factor")
    return made.add(replace(node, kind=slopes))


def _unrolled(made: Made, node: Node) -> int | None:
    """An activation of an image in a row, before it is put there."""
    if not isinstance(node.kind, Entrywise | Bounded) or len(node.inputs) != 1:
        return None
    row = made.before(node)
    if not isinstance(row.kind, Move) or row.kind.places is not None:
        return None
    image = made.nodes[row.inputs[0]].shape
    if isinstance(node.kind, Entrywise):
        if not (is_image(image) and row.shape == (1, math.prod(image))):
            return None
        lower, upper = node.kind.lower, node.kind.upper
        if lower.numel() > 1 or upper.numel() > 1:
            lower = lower.expand(row.shape).reshape(image)
            upper = upper.expand(row.shape).reshape(image)
        kind: Kind = replace(node.kind, lower=lower, upper=upper)
        inner = made.behind(node, kind, row.inputs, image)
        return made.behind(row, Move(None, "view"), (inner,), node.shape)
    return _pooled_row(made, node, node.kind)


def _pooled_row(made: Made, node: Node, kind: Bounded) -> int | None:
    """Pooling of an axis of length 1, which torch puts there, on the others."""
    view = without_ones(made, node)
    if view is None or kind.axes is None:
        return None
    row, kept = view
    moved = tuple(kept.index(axis) for axis in kind.axes if axis in kept)
    shape = tuple(node.shape[axis] for axis in kept)
    inner = made.behind(node, replace(kind, axes=moved), row.inputs, shape)
    return made.behind(row, Move(None, "view"), (inner,), node.shape)


def _back_again(made: Made, node: Node) -> int | None:
    """A view of a view that is the tensor before both."""
    if not isinstance(node.kind, Move) or node.kind.places is not None:
        return None
    row = made.before(node)
    if not isinstance(row.kind, Move) or row.kind.places is not None:
        return None
    source = row.inputs[0]
    return source if made.nodes[source].shape == node.shape else None


def _larger_of_two(made: Made, node: Node) -> int | None:
    """``max(a, b) = b + relu(a - b)``, and ``min(a, b) = b - relu(b - a)``."""
    kind = node.kind
    if not isinstance(kind, Bounded) or kind.words not in LARGEST + LEAST:
        return None
    if len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return None
    if any(made.nodes[each].shape != node.shape for each in node.inputs):
        return None
    a, b = node.inputs
    sign = 1.0 if kind.words in LARGEST else -1.0
    difference = made.behind(node, Sum((sign, -sign)), (a, b), node.shape)
    zero, one = torch.tensor([0.0, 1.0], dtype=torch.float64, device="cpu")
    relu = Entrywise(zero, one, kind.words)
    above = made.behind(node, relu, (difference,), node.shape)
    return made.behind(node, Sum((1.0, sign)), (b, above), node.shape)


RULES: tuple[Rule, ...] = (
    averaged,
    _copied,
    _padded,
    _by_pixels,
    _broadcast,
    _unrolled,
    _back_again,
    _larger_of_two,
)
OF_VECTORS: tuple[Rule, ...] = (_broadcast, _back_again, _larger_of_two)
