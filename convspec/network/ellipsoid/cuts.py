"""What a network on a torus cuts off: pixels outside of the image, before padding.

Cutting is an activation with slopes of 0 outside and 1 inside; where one stands before
the padding anyway, it does that as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

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
from convspec.network.rebuilt import Rebuilt

__all__ = ["with_cuts"]


def with_cuts(graph: Graph) -> Graph:
    """The graph with what cuts off pixels outside of the image as maps of its own.

    An activation whose output is padded later has slopes of 0 outside, so its slopes
    include 0. Where no activation stands between, one that only cuts is put there.
    """
    needed = _needed_cuts(graph)
    made = Rebuilt(graph)
    cuts: dict[int, int] = {}
    clean: list[bool] = []
    for place in range(len(graph.nodes)):
        node = made.read(place)
        if _pads(node) and not clean[node.inputs[0]]:
            (source,) = node.inputs
            if source not in cuts:
                cuts[source] = made.add(_cut(made.nodes[source], source))
                clean.append(True)
            node = replace(node, inputs=(cuts[source],))
        if isinstance(node.kind, Entrywise) and place in needed:
            node = replace(node, kind=_with_0(node.kind))
        clean.append(_is_clean(node, place in needed, [clean[x] for x in node.inputs]))
        made.new[place] = made.add(node)
    return made.whole


def _with_0(kind: Entrywise) -> Entrywise:
    """With 0 among the slopes."""
    return replace(kind, lower=kind.lower.clamp(max=0), upper=kind.upper.clamp(min=0))


def _cut(node: Node, place: int) -> Node:
    ends = (
        torch.zeros((), dtype=torch.float64, device="cpu"),
        torch.ones((), dtype=torch.float64, device="cpu"),
    )
    return replace(node, kind=Entrywise(*ends, "cut"), inputs=(place,))


def _pads(node: Node) -> bool:
    """Whether it reads zeros that stand around an image."""
    if not isinstance(node.kind, Filter):
        return False
    if node.kind.op.transposed:  # what is outside reaches into the image
        return not _has_own_windows(node.kind)
    return any(
        axis.mode == "zeros" and axis.reads_padding for axis in node.kind.op.geometry.axes
    )


def _has_own_windows(kind: Filter) -> bool:
    """Whether each coarse pixel has fine ones of its own, all of them inside."""
    axes = kind.op.geometry.axes
    return all(
        not axis.before
        and axis.extent <= axis.stride
        and (axis.size <= axis.stride * axis.output)
        for axis in axes
    )


def _stays(node: Node) -> bool:
    """Whether outside of its output it is made of what is outside of each input."""
    if isinstance(node.kind, Filter):
        axes = node.kind.op.geometry.axes
        if not _has_own_windows(node.kind):
            return False
        whole = all(axis.size == axis.stride * axis.output for axis in axes)
        return whole or not node.kind.op.transposed
    return isinstance(node.kind, Scale | Sum | Move)


def _needed_cuts(graph: Graph) -> set[int]:
    """Nodes whose output must be 0 outside of the image."""
    needed: set[int] = set()
    for place in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[place]
        if _pads(node) or (place in needed and _stays(node)):
            needed.update(node.inputs)
    return needed


def _is_clean(node: Node, wanted: bool, inputs: Sequence[bool]) -> bool:
    if node.kind is None or isinstance(node.kind, Bounded):
        return True
    if isinstance(node.kind, Entrywise):
        return wanted
    if isinstance(node.kind, Axes | Rows):
        return True
    return _stays(node) and all(inputs)
