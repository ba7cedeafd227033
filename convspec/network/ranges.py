"""Between which numbers each entry of each tensor lies, for all inputs of a domain.

Ranges are carried from the input through the network by interval arithmetic. Offsets are
no part of a network's graph; they come from one run at the middle of the domain, whose
values c hold everything: ``A x + b = (A c + b) + A (x - c)``.

What the run and the arithmetic here round is at most some units of the sizes of what is
added, for as many terms as a layer has; each range is enlarged by 2^17 units of them,
which is more than that for up to ten thousand of terms.

Source: Moore, Interval Analysis, Prentice-Hall, 1966.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.model.movement import called_on
from convspec.model.record import Event
from convspec.network.applied import applied
from convspec.network.curves import CURVES
from convspec.network.graph import Graph, Node
from convspec.network.kinds import Bounded, Curved, Entrywise, Move, Product, Scale

__all__ = ["Range", "ranges"]

# relative, for rounding: 2^17 units
SLACK = 2.0**-36
# activations that do not decrease, and maps of several entries that do not
RISING = (
    "celu",
    "clamp",
    "clamp_max",
    "clamp_min",
    "elu",
    "erf",
    "atan",
    "hardsigmoid",
    "hardtanh",
    "log_sigmoid_forward",
    "relu",
    "relu6",
    "sigmoid",
    "softplus",
    "softshrink",
    "tanh",
)
RISING_TOGETHER = (
    "amax",
    "amin",
    "logsumexp",
    "max",
    "maximum",
    "min",
    "minimum",
    "sort",
)
# activations that lie between this and max(x, 0)
ABOVE = {"silu": -0.2785, "gelu": -0.17, "mish": -0.309, "hardswish": -0.375}


@dataclass(frozen=True)
class Range:
    """``low <= x <= high``, entry by entry.

    Attributes:
        low: Float64, of the tensor's shape.
        high: Likewise.
    """

    low: Tensor
    high: Tensor

    @property
    def is_finite(self) -> bool:
        """Whether all ends are finite."""
        return bool(self.low.isfinite().all() & self.high.isfinite().all())

    @property
    def sizes(self) -> Tensor:
        """The largest modulus."""
        return torch.maximum(self.low.abs(), self.high.abs())

    def within(self, low: Tensor | float, high: Tensor | float) -> Range:
        """The part between two numbers, which hold."""
        return Range(
            torch.maximum(self.low, torch.as_tensor(low, dtype=torch.float64)),
            torch.minimum(self.high, torch.as_tensor(high, dtype=torch.float64)),
        )

    def enlarged(self, sizes: Tensor | float = 0.0) -> Range:
        """A little larger, for the rounding of numbers of these sizes."""
        more = SLACK * (self.sizes + sizes) + 1e-300
        return Range(self.low - more, self.high + more)


@dataclass(frozen=True)
class _Seen:
    """A range, and the value at the middle of the domain."""

    range: Range
    middle: Tensor


def ranges(
    graph: Graph,
    domain: Range,
    values: Mapping[int, Tensor],
    events: Mapping[int, Event],
) -> list[Range]:
    """The range of each node.

    Args:
        graph: The network.
        domain: Of the input, with its batch axis.
        values: In float64 at the middle of the domain, by the number of the tensor.
        events: What made each, likewise.
    """
    nodes = graph.nodes
    seen = [_Seen(domain, values[nodes[0].number].to(torch.float64))]
    for node in nodes[1:]:
        given = [seen[each] for each in node.inputs]
        middle = values.get(node.number)
        if middle is None or not all(each.range.is_finite for each in given):
            seen.append(_unknown(node))
            continue
        middle = middle.to(device="cpu", dtype=torch.float64).reshape(node.shape)
        found = _of(node, given, middle, events.get(node.number))
        seen.append(_Seen(found, middle) if found.is_finite else _unknown(node))
    return [each.range for each in seen]


def _unknown(node: Node) -> _Seen:
    """Of what nothing is known."""
    every = torch.full(node.shape, math.inf, dtype=torch.float64, device="cpu")
    return _Seen(Range(-every, every), torch.zeros_like(every))


def _of(node: Node, given: Sequence[_Seen], middle: Tensor, event: Event | None) -> Range:
    kind = node.kind
    if isinstance(kind, Entrywise):
        return _of_entries(kind, given[0], middle, event)
    if isinstance(kind, Bounded):
        return _of_bounded(node, kind, given, middle, event)
    if isinstance(kind, Product):
        return _of_product(kind, [each.range for each in given], node.shape)
    if isinstance(kind, Curved):
        return CURVES[kind.name].range(given[0].range, kind.order)
    return _of_linear(node, given, middle)


def _of_linear(node: Node, given: Sequence[_Seen], middle: Tensor) -> Range:
    """``c + A (m - c) +- |A| r`` for a range ``m +- r``."""
    centres = [(each.range.low + each.range.high) / 2 for each in given]
    halves = [(each.range.high - each.range.low) / 2 for each in given]
    moved = [a - each.middle for a, each in zip(centres, given, strict=True)]
    centre = middle + applied(node, moved)
    half = applied(node, halves, moduli=True)
    sizes = [each.range.sizes + each.middle.abs() for each in given]
    total = applied(node, sizes, moduli=True) + middle.abs()
    if isinstance(node.kind, Move):  # copies are not rounded
        return Range(centre - half, centre + half).enlarged(total)
    factor = 1.0
    if isinstance(node.kind, Scale) and node.kind.factor.numel():
        factor += float(node.kind.factor.abs().max())
    return Range(centre - half, centre + half).enlarged(total + factor * node.constants)


def _of_entries(
    kind: Entrywise, given: _Seen, middle: Tensor, event: Event | None
) -> Range:
    """Ends of what rises at ends of its argument; else by slopes from the middle."""
    steep = torch.maximum(kind.lower.abs(), kind.upper.abs())
    far = torch.maximum(given.range.high - given.middle, given.middle - given.range.low)
    reach = steep * far
    found = Range(middle - reach, middle + reach).enlarged(middle.abs())
    rises = kind.words in RISING and bool((kind.lower >= 0).all())
    if event is not None and rises:
        found = _at_ends(event, [given.range], event.outputs[0].number) or found
    if kind.words in ABOVE:
        found = found.within(ABOVE[kind.words], given.range.high.clamp(min=0))
    if kind.words in ("sin", "cos"):
        found = found.within(-1.0, 1.0)
    if kind.words == "abs":
        found = found.within(0.0, given.range.sizes)
    return found


def _at_ends(event: Event, given: Sequence[Range], number: int) -> Range | None:
    """An operation that does not decrease, at both ends of what it is given."""
    places = [each.number for each in event.outputs]
    if len(event.inputs) != len(given) or number not in places:
        return None
    ends = []
    for values in ([each.low for each in given], [each.high for each in given]):
        # copies, as an operation may write into what it reads
        pairs = zip(event.inputs, values, strict=True)
        known = {each.number: x.clone() for each, x in pairs}
        shapes = [each.shape == tuple(known[each.number].shape) for each in event.inputs]
        if not all(shapes):
            return None
        ends.append(called_on(event, known)[places.index(number)])
    return Range(ends[0], ends[1]).enlarged()


def _of_bounded(
    node: Node,
    kind: Bounded,
    given: Sequence[_Seen],
    middle: Tensor,
    event: Event | None,
) -> Range:
    """By the constant, or better where the map is known."""
    far = [
        torch.maximum(each.range.high - each.middle, each.middle - each.range.low)
        for each in given
    ]
    squares = sum(float(torch.linalg.vector_norm(x)) ** 2 for x in far)
    reach = kind.constant * math.sqrt(squares)
    found = Range(middle - reach, middle + reach).enlarged(middle.abs())
    rises = kind.words in RISING_TOGETHER or "max_pool" in kind.words
    if rises and event is not None:
        found = _at_ends(event, [each.range for each in given], node.number) or found
    if kind.words == "softmax":
        found = found.within(0.0, 1.0 + SLACK)
    return found


def _of_product(kind: Product, given: Sequence[Range], shape: tuple[int, ...]) -> Range:
    """All products of ends; of one tensor with itself its square."""
    first, second = given[0], given[-1]
    if kind.quotient:
        second = CURVES["reciprocal"].range(second, 0)
    ends = [a * b for a in (first.low, first.high) for b in (second.low, second.high)]
    stacked = torch.stack([end.expand(shape) for end in ends])
    return Range(stacked.amin(0), stacked.amax(0)).enlarged()
