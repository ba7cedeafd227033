"""How far apart two inputs come along a network: what is certified, and what is seen.

The product of norms bounds every tensor on the way, and the pair of inputs that was found
attains something there: where the two part is where the bound is lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convspec.model.event import Value
from convspec.network.evaluated import alone, copied, length
from convspec.network.graph import Graph, recorded_graph
from convspec.network.kinds import Move

__all__ = ["Depth", "attained_along", "depths"]


@dataclass(frozen=True)
class Depth:
    """A tensor on the way through a network.

    Attributes:
        name: Of the layer that makes it, and its line.
        factor: By how much the layer moves it further than what it reads, at most: its
            share of the product of norms.
        upper: At least the Lipschitz constant of the tensor in the input.
        attained: ``|t(x) - t(y)| / |x - y|`` of the pair that was found, as float64 gives
            it; None without a pair.
    """

    name: str
    factor: float
    upper: float
    attained: float | None = None


def depths(
    graph: Graph, constants: Sequence[float], seen: Mapping[Value, float]
) -> tuple[Depth, ...]:
    """All tensors but copies of others, in the order in which they are computed.

    Args:
        graph: The network.
        constants: Of each node.
        seen: What a pair attains, by the tensor in the record.
    """
    found = []
    for node, constant in zip(graph.nodes, constants, strict=True):
        if node.kind is None or isinstance(node.kind, Move):
            continue
        given = math.hypot(*(constants[each] for each in dict.fromkeys(node.inputs)))
        factor = constant / given if given else 0.0
        name = str(node)
        attained = None if node.value is None else seen.get(node.value)
        found.append(Depth(name, factor, constant, attained))
    return tuple(found)


def attained_along(
    module: nn.Module, graph: Graph, x: Tensor, y: Tensor
) -> dict[Value, float]:
    """``|t(x) - t(y)| / |x - y|`` of all tensors on the way.

    Nothing of a model that takes another way for one of the inputs.

    Args:
        module: The model.
        graph: Of it.
        x: Without the batch axis, float64.
        y: Likewise.
    """
    with alone(module):
        wide = copied(module, torch.float64, torch.device("cpu"))
        records = [recorded_graph(wide, each[None], keeps=True)[1] for each in (x, y)]
    apart = length(x - y)
    found: dict[Value, float] = {}
    for node in graph.nodes:
        if node.value is None or not apart:
            continue
        one, two = (held.held(node.value, node.at) for held in records)
        if one is None or two is None:
            continue
        if not tuple(one.shape) == tuple(two.shape) == node.shape:
            return {}
        found[node.value] = length(one.double() - two.double()) / apart
    return found
