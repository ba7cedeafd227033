"""On which torus each tensor of a network lives, and what is cut off where.

A convolution in zero padding is one on a torus that is larger than the image by the
padding, followed by cutting off what is outside of the image. Where it follows an
activation, the cut is a part of that: slopes of 0 outside. So a torus of finitely many
frequencies holds the network exactly, or one with more freedom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from convspec.errors import NotApplicable
from convspec.network.ellipsoid.averages import HEAD_ENTRIES
from convspec.network.ellipsoid.lattice import VECTOR, Lattice
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

__all__ = ["Layout", "channel_takes", "keeps_channels"]

NAME = "ellipsoid"
# pixels of the input per pixel of a tensor, along each axis
Stride = tuple[Fraction, ...]


@dataclass(frozen=True)
class Layout:
    """The lattice of each node, by place.

    Attributes:
        lattices: One for each node.
        flat: Nodes that are the entries of an image in a row, and which image.
    """

    lattices: tuple[Lattice, ...]
    flat: dict[int, int]

    @classmethod
    def dense(cls, graph: Graph) -> Layout:
        """Every tensor as a vector of entries."""
        return cls((VECTOR,) * len(graph.nodes), {})

    @classmethod
    def torus(
        cls,
        graph: Graph,
        base: Sequence[int] | None = None,
        halves: tuple[int, ...] = (),
    ) -> Layout:
        """Every image on a torus.

        Args:
            graph: As it is prepared for a torus.
            base: Sizes of the input's torus, by default the least that hold the network.
            halves: Axes along which frequencies lie between those of the torus.

        Raises:
            NotApplicable: If a node mixes pixels in another way.
        """
        strides, flat = _strides(graph)
        sizes = tuple(base) if base is not None else _least(graph, strides)
        lattices = []
        for stride in strides:
            if stride is None:
                lattices.append(VECTOR)
                continue
            pairs = zip(sizes, stride, strict=True)
            own = tuple(int(size / step) for size, step in pairs)
            lattices.append(Lattice(own, halves))
        return cls(tuple(lattices), flat)

    @classmethod
    def steps(cls, graph: Graph) -> tuple[int, ...]:
        """What the sizes of the input's torus must be multiples of."""
        strides, _ = _strides(graph)
        dim = len(graph.nodes[0].shape) - 2
        known = [stride for stride in strides if stride is not None]
        return tuple(
            math.lcm(*[stride[j].numerator for stride in known]) for j in range(dim)
        )


def _strides(graph: Graph) -> tuple[list[Stride | None], dict[int, int]]:
    """Pixels of the input per pixel of each node, None for vectors."""
    dim = len(graph.nodes[0].shape) - 2
    if dim < 1:
        raise NotApplicable("images have channels and at least one axis", NAME)
    found: list[Stride | None] = [(Fraction(1),) * dim]
    flat: dict[int, int] = {}
    for place, node in enumerate(graph.nodes[1:], 1):
        given = [found[each] for each in node.inputs]
        batches = {graph.nodes[each].shape[:1] for each in (place, *node.inputs)}
        if any(stride is not None for stride in given) and batches != {(1,)}:
            raise _refused(node, "folds an image into its batch axis")
        if any(each in flat for each in node.inputs):
            raise _refused(node, "reads the pixels of an image in a row")
        if _is_broadcast(node, graph):
            found.append(_latest(node, graph, found))
        elif all(each is None for each in given) or _is_head(node, dim):
            found.append(None)
        elif any(stride != given[0] for stride in given) or given[0] is None:
            raise _refused(node, "joins images of different resolution")
        elif _flattens(node, graph):
            flat[place] = node.inputs[0]
            found.append(given[0])
        else:
            found.append(_behind(node, graph, given[0]))
    return found, flat


def _is_broadcast(node: Node, graph: Graph) -> bool:
    """Whether it copies a vector, of one pixel per channel, to an image."""
    if not (isinstance(node.kind, Bounded) and len(node.inputs) == 1):
        return False
    before = graph.nodes[node.inputs[0]].shape
    one = len(before) == len(node.shape) > 2 and math.prod(before[2:]) == 1
    return one and before[:2] == node.shape[:2] and math.prod(node.shape[2:]) > 1


def _latest(node: Node, graph: Graph, found: Sequence[Stride | None]) -> Stride:
    """The stride of the latest image of the same size."""
    for other in range(len(found) - 1, -1, -1):
        stride = found[other]
        if stride is not None and graph.nodes[other].shape[2:] == node.shape[2:]:
            return stride
    raise _refused(node, "copies a vector to an image of another resolution")


def keeps_channels(node: Node, before: tuple[int, ...], vector: bool) -> bool:
    """Whether a map of which a constant is known acts on each channel by itself.

    Args:
        node: The map.
        before: Shape of its input.
        vector: Whether that lives as a vector of entries.
    """
    if isinstance(node.kind, Axes):
        return not vector
    assert isinstance(node.kind, Bounded)
    axes = node.kind.axes
    apart = axes is not None and min(axes, default=0) >= 2
    return apart and (not vector or math.prod(before[2:]) == 1)


def _is_head(node: Node, dim: int) -> bool:
    """Whether it makes a vector of an image: by a matrix of all entries, or by means.

    Means over some of the axes alone, ``x.mean(2)`` of an image of two, leave pixels; and
    so does pooling that leaves many, of which an ellipsoid of entries would be too large.
    """
    kind = node.kind
    if isinstance(kind, Rows):
        return True
    if not isinstance(kind, Axes) or set(kind.matrices) != set(range(2, dim + 2)):
        return False
    return math.prod(node.shape) <= HEAD_ENTRIES


def _flattens(node: Node, graph: Graph) -> bool:
    kind, before = node.kind, graph.nodes[node.inputs[0]]
    flat = (1, math.prod(before.shape))
    return isinstance(kind, Move) and kind.places is None and node.shape == flat


def _behind(node: Node, graph: Graph, stride: Stride) -> Stride:
    """The stride of an image that a node makes of images."""
    kind = node.kind
    shapes = [graph.nodes[each].shape for each in node.inputs]
    if isinstance(kind, Filter):
        if any(axis.mode not in ("zeros", "circular") for axis in kind.op.geometry.axes):
            raise _refused(node, "pads by repeating pixels")
        steps = [Fraction(axis.stride) for axis in kind.op.geometry.axes]
        if kind.op.transposed:
            steps = [1 / step for step in steps]
        return tuple(one * two for one, two in zip(stride, steps, strict=True))
    if isinstance(kind, Bounded) and len(node.inputs) == 1:
        return _pooled(node, shapes[0], stride)
    if isinstance(kind, Axes):
        if any(axis < 2 for axis in kind.matrices):
            raise _refused(node, "multiplies along channels of an image")
        return _pooled(node, shapes[0], stride)
    same = all(shape[2:] == node.shape[2:] for shape in shapes)
    if isinstance(kind, Move):
        fits = same and channel_takes(kind, node, shapes) is not None
    else:  # what is broadcast to more channels is not one entry of each any more
        fits = all(shape == node.shape for shape in shapes) and (
            isinstance(kind, Entrywise | Sum)
            or (isinstance(kind, Scale) and _is_of_channels(kind.factor, node.shape))
        )
    if not fits:
        raise _refused(node, "moves or mixes pixels")
    return stride


def _is_of_channels(factor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a factor is one number for each channel, or one for all.

    A factor of fewer axes is broadcast along the last ones, not along channels.
    """
    if factor.numel() == 1:
        return True
    axes = (1,) * (len(shape) - factor.ndim) + tuple(factor.shape)
    return factor.numel() == axes[1]


def _pooled(node: Node, before: tuple[int, ...], stride: Stride) -> Stride:
    """About how much coarser the output is, on which nothing of what is carried rests."""
    if len(before) != len(node.shape):
        raise _refused(node, "changes the number of axes")
    ratios = [
        Fraction(round(one / two)) if one >= two else Fraction(1, round(two / one))
        for one, two in zip(before[2:], node.shape[2:], strict=True)
    ]
    return tuple(one * two for one, two in zip(stride, ratios, strict=True))


def channel_takes(
    kind: Move, node: Node, shapes: Sequence[tuple[int, ...]]
) -> Tensor | None:
    """Which channel of all inputs each channel of the output is, -1 for zeros.

    None if pixels move.
    """
    if kind.places is None:
        return torch.arange(node.shape[1]) if shapes[0] == node.shape else None
    pixels = math.prod(node.shape[2:])
    places = kind.places.reshape(-1, pixels)
    first = places[:, :1]
    steps = torch.arange(pixels, dtype=torch.int64, device="cpu")
    wanted = torch.where(first < 0, first, first + steps)
    if not torch.equal(places, wanted) or bool((first.clamp(min=0) % pixels).any()):
        return None
    return torch.where(first < 0, first, first // pixels)[:, 0]


def _least(graph: Graph, strides: Sequence[Stride | None]) -> tuple[int, ...]:
    """The least sizes of the input's torus that hold all images and their padding."""
    dim = len(graph.nodes[0].shape) - 2
    steps = Layout.steps(graph)
    least = [Fraction(0)] * dim
    fixed: list[Fraction | None] = [None] * dim
    for node, stride in zip(graph.nodes, strides, strict=True):
        if stride is None or len(node.shape) != dim + 2:
            continue
        for j in range(dim):
            least[j] = max(least[j], node.shape[2 + j] * stride[j])
        if isinstance(node.kind, Filter):
            # of a transposed convolution the image that it makes is the finer one
            before = stride if node.kind.op.transposed else strides[node.inputs[0]]
            assert before is not None
            for j, axis in enumerate(node.kind.op.geometry.axes):
                if axis.mode == "circular" and axis.reads_padding:
                    whole = axis.size * before[j]
                    if fixed[j] not in (None, whole) or axis.size % axis.stride:
                        raise _refused(node, "wraps around at another size")
                    fixed[j] = whole
                else:
                    last = (axis.output - 1) * axis.stride + axis.extent - axis.before
                    need = max(axis.size + axis.before, last)
                    least[j] = max(least[j], need * before[j])
    sizes = list[int]()
    for j in range(dim):
        size = math.ceil(least[j] / steps[j]) * steps[j]
        around = fixed[j]
        if around is not None:
            if around < least[j] or around % steps[j]:
                raise NotApplicable(
                    "an axis must be padded in one way; zeros and circular padding "
                    "meet on one",
                    NAME,
                )
            size = int(around)
        sizes.append(size)
    return tuple(sizes)


def _refused(node: Node, why: str) -> NotApplicable:
    return NotApplicable(f"{node} {why}; the scalar bounds hold for it", NAME)
