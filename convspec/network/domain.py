"""A network on a domain of inputs: what has a constant there, and no other.

A product of data is ``a b - a' b' = a (b - b') + b' (a - a')``: for a and b' between ends
that is a sum of two maps of single entries, whose slopes lie between these ends. A
function whose slope grows has bounded ones on a bounded interval, and an activation may
have but one slope there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convspec.arguments import shown
from convspec.errors import UnsupportedLayer
from convspec.network.curves import CURVES
from convspec.network.graph import Graph, Node
from convspec.network.kinds import Curved, Entrywise, Kind, Product, Scale, Sum
from convspec.network.ranges import SLACK, Range
from convspec.network.rebuilt import Rebuilt

__all__ = ["Domain", "domain_of", "on_domain"]

TINY = 1e-300
# activations of one slope on each side of 0, which is 1 above
BENT = ("abs", "leaky_relu", "prelu", "_prelu_kernel", "relu")


@dataclass(frozen=True, eq=False)
class Domain:
    """Inputs between two ends.

    Attributes:
        low: One number for each channel, or for each entry; float64.
        high: Likewise.
    """

    low: Tensor
    high: Tensor

    def range(self, shape: tuple[int, ...]) -> Range:
        """For each entry of an input, with the batch axis.

        Args:
            shape: Without it.
        """
        return Range(_spread(self.low, shape)[None], _spread(self.high, shape)[None])

    def __str__(self) -> str:
        ends = [float(self.low.min()), float(self.high.max())]
        each = "" if self.low.numel() == 1 else ", each entry in its own range"
        return f"inputs between {ends[0]:g} and {ends[1]:g}{each}"


def domain_of(given: object, shape: tuple[int, ...]) -> Domain | None:
    """A pair of ends, checked.

    Args:
        given: (low, high), each a number, one for each channel, or a tensor of the
            input's shape; None for all inputs.
        shape: Of the input, without the batch axis.

    Raises:
        ValueError: If they are none, or cross.
    """
    if given is None:
        return None
    pair = (
        list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    )
    if len(pair) != 2:
        raise ValueError(
            f"domain must be a pair (low, high); got {shown(given)}; pass (0, 1) for "
            "images between 0 and 1"
        )
    low, high = (
        _end(each, shape, name) for each, name in zip(pair, ("low", "high"), strict=True)
    )
    if low.shape != high.shape:
        low, high = _spread(low, shape), _spread(high, shape)
    if not bool((low <= high).all()):
        raise ValueError(
            f"domain must have low <= high in each entry; got {shown(given)}"
        )
    return Domain(low, high)


def _end(given: object, shape: tuple[int, ...], name: str) -> Tensor:
    try:
        found = torch.as_tensor(given, dtype=torch.float64, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError):
        found = torch.full((), math.nan, dtype=torch.float64, device="cpu")
    fits = found.numel() == 1 or tuple(found.shape) in ((shape[0],), shape)
    if not fits or not bool(found.isfinite().all()):
        raise ValueError(
            f"domain's {name} must be a finite number, one for each of {shape[0]} "
            f"channels, or a tensor of shape {shape}; got {shown(given)}"
        )
    return found.reshape(1) if found.numel() == 1 else found.clone()


def _spread(end: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(end.shape) != shape:
        end = end.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
    return end.contiguous()


def on_domain(graph: Graph, known: Sequence[Range]) -> Graph:
    """The graph with maps that have a constant in place of those that have none.

    Args:
        graph: The network.
        known: The range of each node, for inputs of the domain.

    Raises:
        UnsupportedLayer: If a range reaches to where a function has no slope.
    """
    made = _Lowered(graph, known)
    for place in range(len(graph.nodes)):
        made.take(place)
    return made.whole


class _Lowered(Rebuilt):
    """The nodes of a graph with constants on a domain."""

    def __init__(self, graph: Graph, known: Sequence[Range]) -> None:
        super().__init__(graph)
        self.known = known

    def take(self, place: int) -> None:
        """A new node for one, or several."""
        node = self.read(place)
        kind = node.kind
        given = [self.known[each] for each in self.graph.nodes[place].inputs]
        if isinstance(kind, Product):
            self.new[place] = self._product(node, kind, given)
        elif isinstance(kind, Curved):
            slopes = _bounded(CURVES[kind.name].slopes(given[0], kind.order), kind.words)
            self.new[place] = self._as(node, _entries(slopes, kind.name))
        elif isinstance(kind, Entrywise) and given[0].is_finite:
            self.new[place] = self._as(node, _straight(_narrowed(kind, given[0])))
        else:
            self.new[place] = self.add(node)

    def _as(self, node: Node, kind: Kind) -> int:
        return self.add(replace(node, kind=kind))

    def _product(self, node: Node, kind: Product, given: Sequence[Range]) -> int:
        first, second = given[0], given[-1]
        a, b = node.inputs[0], node.inputs[-1]
        if kind.quotient:
            curve = CURVES["reciprocal"]
            slopes = _bounded(curve.slopes(second, 0), kind.words)
            inner, shape = replace(node, value=None), self.nodes[b].shape
            b = self.behind(inner, _entries(slopes, "reciprocal"), (b,), shape)
            second = curve.range(second, 0)
        for each in (first, second):
            _bounded(each, kind.words)
        if a == b:
            slopes = Range(2 * first.low, 2 * first.high)
            return self.behind(node, _entries(slopes, "square"), (a,), node.shape)
        parts = [
            self._times(node, place, factor)
            for place, factor in ((b, first), (a, second))
        ]
        return self.behind(node, Sum((1.0, 1.0)), parts, node.shape)

    def _times(self, node: Node, place: int, factor: Range) -> int:
        """A tensor with slopes between the ends of the other factor."""
        node = replace(node, value=None)  # a part of what the model computes
        copied = self.broadcast(node, place)
        ends = Range(factor.low.expand(node.shape), factor.high.expand(node.shape))
        return self.behind(node, _entries(ends, "factor"), (copied,), node.shape)


def _bounded(given: Range, words: str) -> Range:
    if not given.is_finite:
        raise UnsupportedLayer(
            f"{words}; on this domain its values have no bound, or reach to where its "
            "slope has none; pass a smaller one"
        )
    return given


def _entries(slopes: Range, words: str) -> Entrywise:
    """With slopes between two ends; one number for each where they are all the same."""
    ends = []
    for end in (slopes.low, slopes.high):
        first = end.reshape(-1)[0]
        ends.append(first if bool((end == first).all()) else end.contiguous())
    return Entrywise(ends[0], ends[1], words)


def _straight(kind: Entrywise) -> Kind:
    """What has but one slope in each entry is linear."""
    return Scale(kind.lower) if torch.equal(kind.lower, kind.upper) else kind


def _narrowed(kind: Entrywise, given: Range) -> Entrywise:
    """An activation with the slopes that it has on a range."""
    if kind.words in BENT:
        # the end that is not 1, as it is
        below = torch.where(kind.upper > 1.0, kind.upper, kind.lower)
        low = torch.where(given.low >= 0, 1.0, kind.lower)
        high = torch.where(given.high <= 0, below, kind.upper)
        low = torch.where(given.high <= 0, below, low)
        high = torch.where(given.low >= 0, 1.0, high)
        return _entries(Range(low, high), kind.words)
    if kind.words in ("tanh", "sigmoid"):
        near = torch.where(
            (given.low <= 0) & (given.high >= 0),
            0.0,
            torch.minimum(given.low.abs(), given.high.abs()),
        )
        far = given.sizes
        ends = [_bell(kind.words, x) for x in (far, near)]
        return _entries(
            Range(
                (ends[0] * (1 - SLACK)).clamp(min=0),
                # cosh may overflow where the slope is not 0
                torch.minimum(ends[1] * (1 + SLACK) + TINY, kind.upper),
            ),
            kind.words,
        )
    return kind


def _bell(words: str, x: Tensor) -> Tensor:
    """The derivative of tanh or of the sigmoid, which falls with ``|x|``."""
    if words == "tanh":
        found: Tensor = 1 / x.cosh() ** 2
        return found
    half: Tensor = 0.25 / (x / 2).cosh() ** 2
    return half
