"""Linear maps behind each other, made one where that is exact.

Batch norm and other factors of channels go into the convolution that they follow; a
1 x 1 convolution and a neighbour are one convolution, since what is cut off by padding is
cut off pixel by pixel; parallel convolutions of one tensor that are added are one kernel,
and so is a tensor added to its convolution. Kernels are joined in double precision, and
what that rounds is kept beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from convspec.network.graph import Graph, Node, needed
from convspec.network.kinds import Axes, Filter, Move, Rows, Scale, Sum
from convspec.operators.operator import ConvOperator
from convspec.rounding.directed import gamma, up
from convspec.rounding.norms import norm_above

__all__ = ["folded", "fused"]

Rule = Callable[[Graph, int, list[list[int]]], Node | None]


def folded(graph: Graph) -> Graph:
    """The same maps, factors of channels and copies of entries in their neighbours."""
    return _by(graph, (_moved, _rows, _scaled))


def fused(graph: Graph) -> Graph:
    """The same maps in fewer nodes: all rules."""
    return _by(graph, (_moved, _rows, _scaled, _pointwise, _parallel))


def _by(graph: Graph, rules: tuple[Rule, ...]) -> Graph:
    """The graph after rules were used until none applies."""
    changed = True
    while changed:
        changed = False
        for rule in rules:
            found = _once(graph, rule)
            while found is not None:
                graph, changed = found, True
                found = _once(graph, rule)
    return graph


def _once(graph: Graph, rule: Rule) -> Graph | None:
    """The graph after a rule was used wherever it could be, or None if nowhere."""
    readers = graph.readers()
    nodes, changed = list(graph.nodes), False
    for place in range(len(nodes)):
        found = rule(replace(graph, nodes=tuple(nodes)), place, readers)
        if found is not None:
            nodes[place], changed = found, True
    return needed(replace(graph, nodes=tuple(nodes))) if changed else None


def _alone(graph: Graph, place: int, readers: list[list[int]]) -> bool:
    """Whether one node alone reads this one."""
    return len(readers[place]) == 1 and place not in graph.outputs


def _moved(graph: Graph, place: int, readers: list[list[int]]) -> Node | None:
    """Copies of copies."""
    node = graph.nodes[place]
    if not isinstance(node.kind, Move) or len(node.inputs) != 1:
        return None
    before = graph.nodes[node.inputs[0]]
    if not isinstance(before.kind, Move) or not _alone(graph, node.inputs[0], readers):
        return None
    first, second = before.kind.places, node.kind.places
    if first is None or second is None:
        places = first if second is None else second
        places = None if places is None else places.reshape(node.shape)
    else:
        behind = first.reshape(-1)[second.clamp(min=0)]
        places = torch.where(second < 0, second, behind)
    return replace(
        node, kind=Move(_in_order(places, before, graph), "moves"), inputs=before.inputs
    )


def _in_order(places: Tensor | None, before: Node, graph: Graph) -> Tensor | None:
    """None where places are all entries of one input in order."""
    if places is None or len(before.inputs) != 1:
        return places
    size = math.prod(graph.nodes[before.inputs[0]].shape)
    line = torch.arange(places.numel(), dtype=torch.int64, device="cpu")
    same = places.numel() == size and torch.equal(places.reshape(-1), line)
    return None if same else places


def _rows(graph: Graph, place: int, readers: list[list[int]]) -> Node | None:
    """Rows over copies of a tensor's entries, as rows over the tensor."""
    node = graph.nodes[place]
    before = graph.nodes[node.inputs[0]] if node.inputs else node
    if not isinstance(before.kind, Move) or len(before.inputs) != 1:
        return None
    if isinstance(node.kind, Rows):
        matrix = node.kind.matrix
    elif isinstance(node.kind, Axes) and set(node.kind.matrices) == {1}:
        matrix = node.kind.matrices[1]
        if len(node.shape) != 2:
            return None
    else:
        return None
    if before.kind.places is not None:
        size = math.prod(graph.nodes[before.inputs[0]].shape)
        places = before.kind.places.reshape(-1)
        kept = places >= 0
        if len(set(places[kept].tolist())) < int(kept.sum()):
            return None
        rows = matrix.new_zeros(len(matrix), size)
        rows[:, places[kept]] = matrix[:, kept]
        matrix = rows
    kind = Rows(matrix, node.kind.relative)
    return replace(node, kind=kind, inputs=before.inputs)


def _scaled(graph: Graph, place: int, readers: list[list[int]]) -> Node | None:
    """A factor for each channel behind a convolution."""
    node = graph.nodes[place]
    if not isinstance(node.kind, Scale):
        return None
    before = graph.nodes[node.inputs[0]]
    if not isinstance(before.kind, Filter) or before.kind.op.transposed:
        return None
    if not _alone(graph, node.inputs[0], readers):
        return None
    factor = _of_channels(node.kind.factor, node.shape)
    if factor is None or before.shape != node.shape:
        return None
    op = before.kind.op
    weight = op.weight * factor.reshape(-1, *[1] * (op.weight.ndim - 1))
    largest = up(float(factor.abs().max()))
    moved = up(up(gamma(2) + node.kind.relative) * _tap_norm(op, weight))
    error = up(up(before.kind.error * largest) + moved)
    kind = Filter(_with_weight(op, weight), error)
    return replace(before, kind=kind, shape=node.shape)


def _of_channels(factor: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """A factor as one number for each channel, if it is that."""
    if factor.numel() == 1:
        return factor.reshape(1).expand(shape[1])
    if factor.ndim != len(shape) or factor.numel() != factor.shape[1]:
        return None
    return factor.reshape(-1)


def _pointwise(graph: Graph, place: int, readers: list[list[int]]) -> Node | None:
    """Two convolutions behind each other, of which one has a single tap at its pixel."""
    node = graph.nodes[place]
    if not isinstance(node.kind, Filter):
        return None
    before = graph.nodes[node.inputs[0]]
    if not isinstance(before.kind, Filter) or not _alone(graph, node.inputs[0], readers):
        return None
    first, second = before.kind.op, node.kind.op
    if first.transposed or second.transposed or first.groups > 1 or second.groups > 1:
        return None
    if _is_pointwise(second):
        weight = torch.einsum("oi,i...->o...", _matrix(second), first.weight)
        op = _with_weight(first, weight)
    elif _is_pointwise(first):
        weight = torch.einsum("oi...,ij->oj...", second.weight, _matrix(first))
        op = _with_weight(second, weight)
    else:
        return None
    terms = first.weight.shape[0]
    one, two = _tap_norm(first, first.weight), _tap_norm(second, second.weight)
    error = up(
        up(gamma(terms) * one * two, 4)
        + up(before.kind.error * up(two + node.kind.error), 2)
        + up(node.kind.error * one, 2),
        2,
    )
    return replace(node, kind=Filter(op, error), inputs=before.inputs)


def _is_pointwise(op: ConvOperator) -> bool:
    """Whether each output reads its own pixel alone."""
    return all(
        axis.kernel == 1 and axis.stride == 1 and not axis.before and not axis.after
        for axis in op.geometry.axes
    )


def _matrix(op: ConvOperator) -> Tensor:
    return op.weight.reshape(op.weight.shape[:2])


def _parallel(graph: Graph, place: int, readers: list[list[int]]) -> Node | None:
    """Convolutions of one tensor that are added, the tensor itself among them."""
    node = graph.nodes[place]
    if not isinstance(node.kind, Sum) or len(set(node.inputs)) != len(node.inputs):
        return None
    parts = [graph.nodes[each] for each in node.inputs]
    filters = [part for part in parts if isinstance(part.kind, Filter)]
    if not filters or len(parts) < 2:
        return None
    (source,) = filters[0].inputs
    for each, part in zip(node.inputs, parts, strict=True):
        if each == source:
            continue
        alone = isinstance(part.kind, Filter) and _alone(graph, each, readers)
        if not alone or part.inputs != (source,):
            return None
    ops = [
        part.kind.op if isinstance(part.kind, Filter) and each != source else None
        for each, part in zip(node.inputs, parts, strict=True)
    ]
    joined = _summed(ops, node.kind.factors)
    if joined is None:
        return None
    op, rounding = joined
    error = rounding
    for part, factor in zip(parts, node.kind.factors, strict=True):
        if isinstance(part.kind, Filter):
            error = up(error + up(abs(factor) * part.kind.error))
    return replace(node, kind=Filter(op, error), inputs=(source,))


def _summed(
    ops: list[ConvOperator | None], factors: tuple[float, ...]
) -> tuple[ConvOperator, float] | None:
    """One convolution for a sum, None standing for the tensor itself; and its rounding.

    Every kernel must have the same strides and fit into the largest one, pixel by pixel,
    in zero padding or none.
    """
    present = [op for op in ops if op is not None]
    largest = max(present, key=lambda op: op.weight[0, 0].numel())
    weight = torch.zeros_like(largest.weight)
    size = 0.0
    for op, factor in zip(ops, factors, strict=True):
        part = _placed(op, largest)
        if part is None:
            return None
        weight = weight + factor * part
        size = up(size + up(abs(factor) * _tap_norm(largest, part)))
    return _with_weight(largest, weight), up(gamma(len(ops) + 1) * size, 2)


def _placed(op: ConvOperator | None, into: ConvOperator) -> Tensor | None:
    """The kernel of a convolution within that of a larger one, or None if not there."""
    axes = into.geometry.axes
    if not all(map(_plain, filter(None, (op, into)))):
        return None
    if op is None:  # each pixel itself
        if any(axis.stride != 1 or axis.output != axis.size for axis in axes):
            return None
        kernel = torch.eye(into.weight.shape[1], dtype=torch.float64, device="cpu")
        kernel = kernel.reshape(*kernel.shape, *[1] * len(axes))
        lags = [[0]] * len(axes)
    else:
        pairs = list(zip(op.geometry.axes, axes, strict=True))
        if any(
            one.stride != two.stride or one.output != two.output for one, two in pairs
        ):
            return None
        kernel, lags = op.weight, [axis.lags.tolist() for axis in op.geometry.axes]
    known = [axis.lags.tolist() for axis in axes]
    if kernel.shape[:2] != into.weight.shape[:2] or not all(
        set(some) <= set(all_) for some, all_ in zip(lags, known, strict=True)
    ):
        return None
    places = [
        [all_.index(lag) for lag in some] for some, all_ in zip(lags, known, strict=True)
    ]
    found = torch.zeros_like(into.weight)
    flat = found.flatten(2)  # a view
    shape = tuple(into.weight.shape[2:])
    for tap, taps in enumerate(product(*places)):
        flat[:, :, int(np.ravel_multi_index(taps, shape))] = kernel.flatten(2)[:, :, tap]
    return found


def _plain(op: ConvOperator) -> bool:
    """Whether it is one group, not transposed, in zero padding."""
    zeros = all(axis.mode == "zeros" for axis in op.geometry.axes)
    return zeros and not op.transposed and op.groups == 1


def _with_weight(op: ConvOperator, weight: Tensor) -> ConvOperator:
    """A convolution of the same geometry with other weights and other channels."""
    geometry = replace(
        op.geometry, c_out=weight.shape[0], c_in=op.groups * weight.shape[1]
    )
    return op.with_geometry(weight, geometry)


def _tap_norm(op: ConvOperator, weight: Tensor) -> float:
    """At least the norm of a convolution of these weights, and of their moduli.

    The sum of the norms of its taps, each times that of the pixels it reads, of which
    padding shows some several times.
    """
    taps = weight.abs().flatten(2).movedim(-1, 0)  # (taps, c_out, c)
    repeats = up(math.sqrt(math.prod(axis.most_reads for axis in op.geometry.axes)))
    return up(float(norm_above(taps).sum()) * (1 + gamma(len(taps) + 4)) * repeats, 4)
