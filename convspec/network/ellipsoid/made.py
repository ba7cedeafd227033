"""The nodes of a graph as rules make them, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convspec.network.graph import Graph, Node
from convspec.network.kinds import Move
from convspec.network.rebuilt import Rebuilt

__all__ = ["Made", "Rule", "is_image", "without_ones"]


class Made(Rebuilt):
    """The nodes of a graph as rules make them."""

    def __init__(self, graph: Graph, rules: Sequence[Rule], unrolls: bool) -> None:
        super().__init__(graph)
        self.rules, self.unrolls = rules, unrolls
        self.readers = graph.readers()
        self.place = 0

    def take(self, place: int) -> None:
        """New nodes for one."""
        self.place = place
        node = self.read(place)
        for rule in self.rules:
            found = rule(self, node)
            if found is not None:
                self.new[place] = found
                return
        self.new[place] = self.add(node)

    def before(self, node: Node) -> Node:
        """What a node of one input reads."""
        return self.nodes[node.inputs[0]]


Rule = Callable[[Made, Node], "int | None"]


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether a tensor has pixels, and one image in its batch."""
    return len(shape) > 2 and shape[0] == 1


def without_ones(made: Made, node: Node) -> tuple[Node, list[int]] | None:
    """The view that puts axes of length 1 before a node which leaves them at that.

    Returns:
        The view, of an image, and the axes of the image among the node's; None if what
        the node reads is no such view.
    """
    row = made.before(node)
    if not isinstance(row.kind, Move) or row.kind.places is not None:
        return None
    image = made.nodes[row.inputs[0]].shape
    kept = _kept_axes(row.shape, node.shape)
    if not is_image(image) or tuple(row.shape[axis] for axis in kept) != image:
        return None
    return row, kept


def _kept_axes(before: tuple[int, ...], after: tuple[int, ...]) -> list[int]:
    """The axes but those of pixels that are of length 1 in both."""
    if len(before) != len(after):
        return []
    pairs = enumerate(zip(before, after, strict=True))
    return [axis for axis, sizes in pairs if sizes != (1, 1) or axis < 2]
