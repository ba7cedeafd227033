"""A linear module as one linear map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import nn

from convspec.errors import UnsupportedLayer
from convspec.isolation import isolated
from convspec.model.inputs import example_inputs
from convspec.model.source import OpenedModel
from convspec.network.asked import opened
from convspec.network.graph import Graph, Node, graph_of
from convspec.network.kinds import Axes, Entrywise, Filter, Move, Rows, Scale, Sum
from convspec.operators.composed import rows
from convspec.operators.composed.copies import Copies, view
from convspec.operators.composed.factors import Factors
from convspec.operators.composed.identity import Identity
from convspec.operators.composed.on_axes import OnAxes
from convspec.operators.linear_map import LinearMap

__all__ = ["to_operator"]

KIND, HOME = torch.float64, torch.device("cpu")


@isolated
def to_operator(
    module: nn.Module | OpenedModel, input_shape: Sequence[int] | None = None
) -> LinearMap:
    """The linear map A of a linear module: ``module(x) - module(0) = A x``.

    The module is run once, in evaluation mode. Convolutions, linear layers, batch norms,
    average pooling, interpolation, padding, shuffles, slices and views are read, and sums
    and joins of what they make: whole residual blocks, of any module. Offsets are set
    aside. Numbers are copies in float64 on the CPU, and what computing a batch norm's
    factor or a mean rounds is part of what is certified of the map.

    Args:
        module: The module, or what :func:`convspec.open_model` gives.
        input_shape: Of one input, without the batch, (3, 32, 32).

    Returns:
        A :class:`convspec.ConvOperator` where the module is one convolution, else a
        product or sum of maps.

    Raises:
        UnsupportedLayer: If something in it is not linear, named with its module, or it
            has several outputs.
        UnreadableModel: If it does not run on the shape.
        TypeError: If it is no module.

    >>> import torch, convspec as cs
    >>> block = nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.AvgPool1d(2))
    >>> _ = block[0].weight.data.copy_(torch.tensor([[[1.0, 2.0, 1.0]]]))
    >>> to_operator(block, (1, 4)).to_dense()
    tensor([[1.5000, 1.5000, 0.5000, 0.0000],
            [0.0000, 0.5000, 1.5000, 1.5000]], dtype=torch.float64)
    """
    found, shape = opened(module, input_shape, "to_operator")
    graph = graph_of(found, example_inputs(found, shape)[0])
    if len(graph.outputs) > 1:
        raise UnsupportedLayer(
            f"to_operator takes modules of one output; got {len(graph.outputs)} of them; "
            "torch.cat them inside of a module"
        )
    last = graph.outputs[0]
    maps = _Maps(graph)
    out = _plain(graph.nodes[last].shape)
    return view(maps.between(last, 0), shape, out)


class _Maps:
    """Maps from one node of a graph to another.

    Every way from the input to a node leads through its dominators; its map from the
    nearest of them is made once, so that a chain of residual blocks stays a product.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._above = _dominators(graph)
        self._local: dict[int, LinearMap] = {}

    def between(self, node: int, first: int) -> LinearMap:
        """From a dominator of a node to the node."""
        found: LinearMap | None = None
        while node != first:
            part = self._from_above(node)
            found = part if found is None else _behind(found, part)
            node = self._above[node]
        return found if found is not None else _identity(self._graph.nodes[first])

    def _from_above(self, place: int) -> LinearMap:
        if place not in self._local:
            node = self._graph.nodes[place]
            above = self._above[place]
            inputs = dict.fromkeys(node.inputs)
            found: LinearMap | None = None
            for each in inputs:
                part = self._step(node, each)
                if each != above:
                    part = _behind(part, self.between(each, above))
                found = part if found is None else found + part
            assert found is not None
            self._local[place] = found
        return self._local[place]

    def _step(self, node: Node, source: int) -> LinearMap:
        """What a node adds for one of the tensors that it reads."""
        nodes = self._graph.nodes
        shapes = [nodes[each].shape for each in node.inputs]
        turns = [turn for turn, each in enumerate(node.inputs) if each == source]
        kind, into = node.kind, nodes[source].shape
        found: LinearMap
        if isinstance(kind, Filter):
            if torch.Size(into).numel() != kind.op.shape[1]:
                raise UnsupportedLayer(
                    f"to_operator takes one image; {node} convolves {into[0]} "
                    "images that were made of it; write it with groups"
                )
            found = kind.op
        elif isinstance(kind, Scale):
            found = _scaled(kind, into, node.shape)
        elif isinstance(kind, Axes):
            found = _on_axes(kind, into)
        elif isinstance(kind, Rows):
            found = rows.Rows(
                kind.matrix, _plain(into), _plain(node.shape), kind.relative
            )
        elif isinstance(kind, Sum):
            found = _added([kind.factors[turn] for turn in turns], into, node.shape)
        elif isinstance(kind, Move):
            found = _moved(kind, shapes, turns, node.shape)
        elif isinstance(kind, Entrywise) and torch.equal(kind.lower, kind.upper):
            found = _scaled(Scale(kind.lower), into, node.shape)
        else:
            raise UnsupportedLayer(
                f"to_operator takes linear modules; {_words(node)} is not linear; "
                "for the Lipschitz constant of the whole call cs.lipschitz"
            )
        return view(found, _plain(into), _plain(node.shape))


def _dominators(graph: Graph) -> list[int]:
    """The nearest node that all ways from the input to each lead through."""
    above, depth = [0], [0]
    for node in graph.nodes[1:]:
        found = node.inputs[0]
        for other in node.inputs[1:]:
            while found != other:
                if depth[found] >= depth[other]:
                    found = above[found]
                else:
                    other = above[other]
        above.append(found)
        depth.append(depth[found] + 1)
    return above


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without the batch axis, if there is one."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def _identity(node: Node) -> Identity:
    return Identity(_plain(node.shape), KIND, HOME)


def _broadcast(into: tuple[int, ...], out: tuple[int, ...]) -> LinearMap:
    """A tensor in a larger shape."""
    count = torch.Size(into).numel()
    if count == torch.Size(out).numel():
        return view(Identity(_plain(into), KIND, HOME), _plain(into), _plain(out))
    places = torch.arange(count, dtype=torch.int64, device="cpu").reshape(into)
    copied = places.expand(out).flatten()
    return Copies(copied, _plain(into), _plain(out), KIND, HOME)


def _added(
    factors: list[float], into: tuple[int, ...], out: tuple[int, ...]
) -> LinearMap:
    """A tensor times each of some factors, added up."""
    copied = _broadcast(into, out)
    parts = [copied if factor == 1 else factor * copied for factor in factors]
    return reduce(add, parts)


def _scaled(kind: Scale, into: tuple[int, ...], out: tuple[int, ...]) -> LinearMap:
    """Factors of a tensor's entries, copied first if there are more of them."""
    factor, plain = kind.factor, _plain(out)
    if factor.ndim == len(out) > len(plain):
        factor = factor[0]
    return _behind(Factors(factor, plain, kind.relative), _broadcast(into, out))


def _behind(a: LinearMap, b: LinearMap) -> LinearMap:
    """``A B``, without an identity."""
    if isinstance(b, Identity):
        return a
    return b if isinstance(a, Identity) else a @ b


def _on_axes(kind: Axes, into: tuple[int, ...]) -> LinearMap:
    """Matrices on axes, those of the batch left out where it has one entry."""
    if len(into) > 1 and into[0] == 1 and 0 not in kind.matrices:
        shifted = {axis - 1: matrix for axis, matrix in kind.matrices.items()}
        return OnAxes(shifted, into[1:], kind.relative)
    if not kind.matrices:
        return Identity(into, KIND, HOME)
    return OnAxes(kind.matrices, into, kind.relative)


def _moved(
    kind: Move, shapes: list[tuple[int, ...]], turns: list[int], out: tuple[int, ...]
) -> LinearMap:
    """Copies of the entries of one of several tensors, which may be given twice."""
    into = shapes[turns[0]]
    if kind.places is None:
        return view(Identity(_plain(into), KIND, HOME), _plain(into), _plain(out))
    sizes = [torch.Size(shape).numel() for shape in shapes]
    places = kind.places.reshape(-1)
    own = torch.full_like(places, -1)
    for turn in turns:
        first = sum(sizes[:turn])
        inside = (places >= first) & (places < first + sizes[turn])
        own = torch.where(inside, places - first, own)
    return Copies(own, _plain(into), _plain(out), KIND, HOME)


def _words(node: Node) -> str:
    """What a node does, and where: ``relu of 'act' (model.py:12)``."""
    words = getattr(node.kind, "words", type(node.kind).__name__)
    inside = f" of {node.module!r}" if node.module else ""
    return f"{words}{inside} ({node.line})" if node.line else f"{words}{inside}"
