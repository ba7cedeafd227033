"""Scalar bounds of linear graphs: never below the norm, equal to it by exact rules."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convspec as cs
from convspec.network.fuse import fused
from convspec.network.graph import Graph
from convspec.network.norms import Norms
from convspec.network.scalar import constants, joined
from tests.gaussian import gaussian
from tests.node_maps import graph_at, graph_matrix, matrix_of

SHAPE = (2, 4, 3)
KERNELS = gaussian(1, 4, 2, 2, 3, 3)
MATRIX = gaussian(2, 5, 24)
JOINT = gaussian(5, 2, 4, 1, 1)


def norm(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, 2))


def bound(graph: Graph) -> float:
    found = constants(graph, Norms())
    return joined([found[place] for place in graph.outputs])


def conv(x: Tensor, number: int = 0, **given: Any) -> Tensor:
    return F.conv2d(x, KERNELS[number], padding=1, **given)


# each attains its rule: no entry of slack but that of certified norms
EXACT: dict[str, Callable[[Tensor], Any]] = {
    "nothing": lambda x: x,
    "offset": lambda x: x + 1,
    "convolution": conv,
    "padding": lambda x: F.pad(x, (1, 1)),
    "copies": lambda x: x.repeat(1, 2, 2, 1),
    "copies of some": lambda x: torch.cat([x, x[:, :1]], 1),
    "slice": lambda x: x[:, :1, 1:3],
    "joined to itself": lambda x: torch.cat([x, x], 1),
    "added to itself": lambda x: x + x,
    "taken from itself": lambda x: torch.sub(x, x, alpha=0.25),
    "broadcast": lambda x: x[:, :, :1] + gaussian_offset,
    "factor": lambda x: -3 * x,
    "mean": lambda x: x.mean((2, 3)),
    "sum": lambda x: x.sum(),
    "linear": lambda x: F.linear(x.flatten(1), MATRIX),
    "rows": lambda x: x[0, :, :, 0] @ gaussian_square,
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "average": lambda x: F.avg_pool2d(x, 2),
    "two outputs": lambda x: (x, 2 * x),
    "the same output twice": lambda x: (x, x),
    "convolutions of separate parts": lambda x: (
        conv(x),
        math.sqrt(2) * conv(x),
    ),
}
gaussian_offset, gaussian_square = gaussian(3, 4, 3), gaussian(4, 4, 4)


@pytest.mark.parametrize("name", EXACT)
def test_exact_rules(name: str) -> None:
    function = EXACT[name]
    graph = graph_at(function, SHAPE)
    exact = norm(matrix_of(function, SHAPE))
    found = bound(graph)
    assert exact * (1 - 1e-14) <= found
    assert found <= exact * (1 + 2e-3)


def test_a_sum_that_vanishes() -> None:
    assert bound(graph_at(lambda x: x - x, SHAPE)) == pytest.approx(0, abs=1e-300)


def random_graph(seed: int) -> Callable[[Tensor], Any]:
    """Linear: sums, joins, slices, views, factors, and tensors that are read again."""
    draw = random.Random(seed)
    plan = [(draw.randrange(9), draw.random(), draw.random()) for _ in range(7)]
    several = draw.random() < 0.3

    def function(x: Tensor) -> Any:
        found = [x]
        for kind, first, second in plan:
            x = found[int(first * len(found))]
            y = found[int(second * len(found))]
            found.append(step(kind, x, y))
        return tuple(found[-2:]) if several else found[-1]

    return function


def step(kind: int, x: Tensor, y: Tensor) -> Tensor:
    """One more image of two channels, of the same size."""
    if kind < 3:
        return conv(x, kind)
    return (
        lambda: x - y,
        lambda: torch.add(x, y, alpha=-0.5),
        lambda: torch.cat([x[:, 1:], y[:, :1]], 1),
        lambda: x.flip(2) * KERNELS[3, 0, 0, 0, :],
        lambda: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), "replicate"), 3, 1),
        lambda: F.conv2d(torch.cat([x, y], 1), JOINT),
    )[kind - 3]()


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed: int) -> None:
    function = random_graph(seed)
    graph, matrix = graph_at(function, SHAPE), matrix_of(function, SHAPE)
    assert torch.allclose(graph_matrix(graph), matrix, atol=1e-12)
    exact = norm(matrix)
    assert bound(graph) >= exact * (1 - 1e-13)
    joined_ = fused(graph)
    assert torch.allclose(graph_matrix(joined_), matrix, atol=1e-12)
    assert bound(joined_) >= exact * (1 - 1e-13)


def test_steepest_slope_counts() -> None:
    graph = graph_at(lambda x: F.leaky_relu(conv(F.gelu(x)), -2.0), SHAPE)
    exact = norm(matrix_of(conv, SHAPE))
    assert 2 * 1.1289041451851547 * exact <= bound(graph) <= 2 * 1.131 * exact


def test_constants_of_what_mixes() -> None:
    graph = graph_at(lambda x: F.max_pool2d(2 * x, 3, 1, 1).softmax(1), SHAPE)
    assert bound(graph) == pytest.approx(2 * 3 / 2, rel=1e-14)
    assert bound(graph) >= 3


def test_norms_are_found_once() -> None:
    norms = Norms()
    layer = nn.Conv2d(2, 2, 3, padding=1).double()
    graph = graph_at(nn.Sequential(layer, nn.ReLU(), layer), SHAPE)
    constants(graph, norms)
    assert len(norms._filters) == 1


def test_norms_hold_when_no_time_is_left() -> None:
    weight = gaussian(6, 24, 24, 3, 3)
    op = cs.ConvOperator(weight, (48, 48), padding=1)
    truth = cs.worst_case_norm(op, rtol=1e-6)
    hasty, slow = Norms(until=-math.inf).of_filter(op), Norms().of_filter(op)
    assert truth.lower <= slow <= truth.lower * (1 + 1e-3)
    assert truth.lower <= hasty <= float(torch.linalg.matrix_norm(weight.flatten(1))) * 3
