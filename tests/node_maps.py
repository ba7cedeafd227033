"""What the nodes of a network do, entry by entry: matrices that anybody can read off."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from convspec.network.graph import Graph, graph_of
from convspec.network.kinds import Axes, Entrywise, Filter, Kind, Move, Rows, Scale, Sum


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Double(Of):
    """A function in double precision, as its one parameter says; it reads none."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__(function)
        self.unread = nn.Parameter(torch.zeros(1, dtype=torch.float64))


def module_of(model: nn.Module | Callable[[Tensor], Any]) -> nn.Module:
    return model if isinstance(model, nn.Module) else Of(model)


def graph_at(model: nn.Module | Callable[[Tensor], Any], shape: Sequence[int]) -> Graph:
    """The graph of a model in float64."""
    return graph_of(module_of(model), torch.zeros(1, *shape, dtype=torch.float64))


def matrix_of(model: nn.Module | Callable[[Tensor], Any], shape: Sequence[int]) -> Tensor:
    """The matrix of a model that is affine, by ``f(e_i) - f(0)``, image by image."""
    module = module_of(model).double().eval()
    units = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, 1, *shape)
    with torch.no_grad():
        zero = joined(module(torch.zeros(1, *shape, dtype=torch.float64)))
        return torch.stack([joined(module(unit)) - zero for unit in units], 1)


def joined(output: Any) -> Tensor:
    """All outputs in a row."""
    if isinstance(output, Tensor):
        return output.flatten()
    values = output.values() if isinstance(output, Mapping) else output
    return torch.cat([joined(each) for each in values])


def graph_matrix(graph: Graph, slopes: Mapping[int, Tensor] | None = None) -> Tensor:
    """The matrix of a graph: linear, or with one slope for each entry of activations.

    Args:
        graph: Without maps of which only a constant is known.
        slopes: By the place of the activation, of its shape.
    """
    found: list[Tensor] = []
    for place, node in enumerate(graph.nodes):
        if node.kind is None:
            size = math.prod(node.shape)
            found.append(torch.eye(size, dtype=torch.float64))
            continue
        shapes = [graph.nodes[each].shape for each in node.inputs]
        given = [found[each] for each in node.inputs]
        if isinstance(node.kind, Entrywise):
            assert slopes is not None
            found.append(slopes[place].reshape(-1, 1) * given[0])
        else:
            found.append(applied(node.kind, given, shapes, node.shape))
    return torch.cat([found[place] for place in graph.outputs])


def applied(
    kind: Kind,
    given: Sequence[Tensor],
    shapes: Sequence[tuple[int, ...]],
    shape: tuple[int, ...],
) -> Tensor:
    """A linear map of the columns of matrices."""
    count = given[0].shape[1]
    images = [
        x.T.reshape(count, *own) for x, own in zip(given, shapes, strict=True)
    ]  # (columns, *shape)
    if isinstance(kind, Filter):
        made = _convolved(kind, images[0])
    elif isinstance(kind, Scale):
        made = images[0] * kind.factor
    elif isinstance(kind, Axes):
        made = images[0]
        for axis, matrix in kind.matrices.items():
            made = torch.tensordot(made, matrix, ([axis + 1], [1])).movedim(-1, axis + 1)
    elif isinstance(kind, Rows):
        made = given[0].T @ kind.matrix.T
    elif isinstance(kind, Sum):
        made = torch.zeros(count, *shape, dtype=torch.float64)
        for factor, image in zip(kind.factors, images, strict=True):
            made = made + factor * image
    else:
        assert isinstance(kind, Move)
        made = _moved(kind, given, math.prod(shape))
    return made.reshape(count, math.prod(shape)).T


def _moved(kind: Move, given: Sequence[Tensor], size: int) -> Tensor:
    entries = torch.cat(list(given))
    if kind.places is None:
        assert len(given) == 1
        assert len(entries) == size
        return entries.T
    places = kind.places.flatten()
    return torch.where(places[:, None] < 0, 0.0, entries[places.clamp(min=0)]).T


def _convolved(kind: Filter, images: Tensor) -> Tensor:
    """By the operator's matrix, which the operators' own tests compare with torch's."""
    matrix = kind.op.to_dense().to(torch.float64)
    return images.flatten(1) @ matrix.T


def padded(mode: str, *amounts: int) -> Callable[[Tensor], Tensor]:
    return lambda x: functional.pad(x, amounts, mode)
