"""Between which numbers each entry of each tensor lies, for all inputs of a domain.

Ranges are carried from the input through the network by interval arithmetic. Offsets are
no part of a network's graph; they come from one run at the middle of the domain, whose
values c hold everything: ``A x + b = (A c + b) + A (x - c)``.

What the run and the arithmetic here round is at most some units of the sizes of what is
added, for as many terms as a layer has; each range is enlarged by 2^17 units of them, or
by 8 for each term where that is more. What a model computes in other dtypes is not known.

Source: Moore, Interval Analysis, Prentice-Hall, 1966.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.model.event import Event
from convspec.model.movement import called_on
from convspec.model.record import Recorder
from convspec.network.applied import applied
from convspec.network.curves import CURVES
from convspec.network.graph import Graph, Node
from convspec.network.kinds import (
    Axes,
    Bounded,
    Curved,
    Entrywise,
    Filter,
    Kind,
    Move,
    Product,
    Rows,
    Scale,
)
from convspec.network.nodes.given import Given

__all__ = ["Range", "ranges"]

# relative, for rounding: 2^17 units; and how many terms that serves
SLACK = 2.0**-36
TERMS = 2**14
# what torch's softplus leaves out where it becomes linear, in parts of SLACK / beta
LEFT_OUT = 2.0**8
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
ABOVE = {"silu": -0.2785, "gelu": -0.1701, "mish": -0.309, "hardswish": -0.375}


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

    def enlarged(self, sizes: Tensor | float = 0.0, terms: int = 1) -> Range:
        """A little larger, for the rounding of sums of numbers of these sizes."""
        more = SLACK * max(1.0, terms / TERMS) * (self.sizes + sizes) + 1e-300
        return Range(self.low - more, self.high + more)


@dataclass(frozen=True)
class _Seen:
    """A range, and the value at the middle of the domain."""

    range: Range
    middle: Tensor


def ranges(graph: Graph, domain: Range, run: Recorder) -> list[Range]:
    """The range of each node.

    Args:
        graph: The network.
        domain: Of the input, with its batch axis.
        run: The record that the graph was made of, of a run in float64 at the middle of
            the domain, with all values kept.
    """
    seen: list[_Seen] = []
    for node in graph.nodes:
        given = [seen[each] for each in node.inputs]
        middle = None if node.value is None else run.held(node.value, node.at)
        exact = middle is not None and middle.dtype == torch.float64
        if not exact or not all(each.range.is_finite for each in given):
            seen.append(_unknown(node))
            continue
        assert middle is not None
        middle = middle.cpu().reshape(node.shape)
        found = (
            domain if node.kind is None else _of(node, given, middle, _made(node, run))
        )
        seen.append(_Seen(found, middle) if found.is_finite else _unknown(node))
    return [each.range for each in seen]


def _made(node: Node, run: Recorder) -> Event | None:
    """The operation that made a node's value by itself."""
    event = run.events[node.at] if node.at < len(run.events) else None
    return event if event is not None and node.value in event.outputs else None


def _unknown(node: Node) -> _Seen:
    """Of what nothing is known."""
    every = torch.full(node.shape, math.inf, dtype=torch.float64, device="cpu")
    return _Seen(Range(-every, every), torch.zeros_like(every))


def _of(node: Node, given: Sequence[_Seen], middle: Tensor, event: Event | None) -> Range:
    kind = node.kind
    if isinstance(kind, Entrywise):
        return _of_entries(node, kind, given[0], middle, event)
    if isinstance(kind, Bounded):
        return _of_bounded(node, kind, given, middle, event)
    if isinstance(kind, Product):
        return _of_product(node, kind, [each.range for each in given])
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
    total = total + factor * node.constants
    return Range(centre - half, centre + half).enlarged(total, _terms(node.kind))


def _terms(kind: Kind | None) -> int:
    """How many terms the sums of a linear map have, at most."""
    if isinstance(kind, Filter):
        return kind.op.weight.numel()
    if isinstance(kind, Rows):
        return kind.matrix.shape[1]
    if isinstance(kind, Axes):
        return sum(matrix.shape[1] for matrix in kind.matrices.values())
    return 1


def _of_entries(
    node: Node, kind: Entrywise, given: _Seen, middle: Tensor, event: Event | None
) -> Range:
    """Ends of what rises at ends of its argument; else by slopes from the middle."""
    steep = torch.maximum(kind.lower.abs(), kind.upper.abs())
    far = torch.maximum(given.range.high - given.middle, given.middle - given.range.low)
    reach = steep * far
    # a part of its argument may cancel, as in x - tanh(x)
    sizes = middle.abs() + (steep + 1) * (given.range.sizes + given.middle.abs() + 1)
    found = Range(middle - reach, middle + reach).enlarged(sizes)
    rises = kind.words in RISING and bool((kind.lower >= 0).all())
    if event is not None and rises:
        off = _inside(kind, event)
        found = _at_ends(event, [given.range], node, off) or found
    if kind.words in ABOVE:
        found = found.within(ABOVE[kind.words], given.range.high.clamp(min=0))
    if kind.words in ("sin", "cos"):
        found = found.within(-1.0, 1.0)
    if kind.words == "abs":
        found = found.within(0.0, given.range.sizes)
    return found


def _inside(kind: Entrywise, event: Event) -> float:
    """The size of numbers that cancel inside of a function."""
    named = Given(event, frozenset()).named
    if kind.words in ("elu", "celu"):  # alpha (exp(x) - 1)
        return abs(float(named["alpha"])) * max(1.0, abs(float(named.get("scale", 1))))
    return LEFT_OUT / float(named["beta"]) if kind.words == "softplus" else 0.0


def _at_ends(
    event: Event, given: Sequence[Range], node: Node, sizes: float = 0.0
) -> Range | None:
    """An operation that does not decrease, at both ends of what it is given."""
    if len(event.inputs) != len(given) or node.value not in event.outputs:
        return None
    turn = event.outputs.index(node.value)
    ends = []
    for values in ([each.low for each in given], [each.high for each in given]):
        # copies, as an operation may write into what it reads
        pairs = zip(event.inputs, values, strict=True)
        known = {each.number: x.clone() for each, x in pairs}
        shapes = [each.shape == tuple(known[each.number].shape) for each in event.inputs]
        if not all(shapes):
            return None
        ends.append(called_on(event, known)[turn])
    return Range(ends[0], ends[1]).enlarged(sizes)


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
    reach = kind.constant * _length(far)
    count = math.prod(node.shape)
    sizes = kind.constant * _length(
        [each.range.sizes + each.middle.abs() for each in given]
    )
    sizes += node.constants * math.sqrt(count)
    found = Range(middle - reach, middle + reach).enlarged(middle.abs() + sizes, count)
    rises = kind.words in RISING_TOGETHER or "max_pool" in kind.words
    if rises and event is not None:
        own = [each.range for each in given]
        off = max(float(each.sizes.max()) for each in own)
        found = _at_ends(event, own, node, off * (kind.words == "logsumexp")) or found
    if kind.words == "softmax":
        found = found.within(0.0, 1.0 + SLACK)
    return found


def _length(parts: Sequence[Tensor]) -> float:
    """Of all entries together."""
    return math.hypot(*[float(torch.linalg.vector_norm(x)) for x in parts])


def _of_product(node: Node, kind: Product, given: Sequence[Range]) -> Range:
    """All products of ends; of one tensor with itself its square."""
    first, second = given[0], given[-1]
    if not kind.quotient and node.inputs[0] == node.inputs[-1]:
        return CURVES["square"].range(first, 0)
    if kind.quotient:
        second = CURVES["reciprocal"].range(second, 0)
    ends = [a * b for a in (first.low, first.high) for b in (second.low, second.high)]
    stacked = torch.stack([end.expand(node.shape) for end in ends])
    return Range(stacked.amin(0), stacked.amax(0)).enlarged()
