"""A graph made anew, node by node: each stays, becomes another, or becomes several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from convspec.network.graph import Graph, Node
from convspec.network.kinds import Kind, Move

__all__ = ["Rebuilt"]


class Rebuilt:
    """New nodes, and which of them stands for which old one.

    Attributes:
        graph: The old ones.
        nodes: The new ones so far.
        new: The place of the new one by that of the old one.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.new: dict[int, int] = {}

    def read(self, place: int) -> Node:
        """An old node that reads new ones."""
        node = self.graph.nodes[place]
        return replace(node, inputs=tuple(self.new[each] for each in node.inputs))

    def add(self, node: Node) -> int:
        """A node at the end, and its place."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def behind(
        self, node: Node, kind: Kind | None, inputs: Sequence[int], shape: tuple[int, ...]
    ) -> int:
        """A node with the names of another."""
        return self.add(replace(node, kind=kind, inputs=tuple(inputs), shape=shape))

    def broadcast(self, node: Node, place: int) -> int:
        """A tensor copied to the shape of the node that reads it."""
        shape = self.nodes[place].shape
        if shape == node.shape:
            return place
        count = math.prod(shape)
        places = torch.arange(count, dtype=torch.int64, device="cpu").reshape(shape)
        kind = Move(places.expand(node.shape).contiguous(), "broadcast")
        return self.behind(node, kind, (place,), node.shape)

    @property
    def whole(self) -> Graph:
        """The new graph, once all old nodes have one."""
        return Graph(
            tuple(self.nodes), tuple(self.new[each] for each in self.graph.outputs)
        )
