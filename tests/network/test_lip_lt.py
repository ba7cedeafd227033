"""The loop transformation: its published formula, and no constant above it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from benchmarks.published_constants import lip_lt as published
from convspec.network.graph import Graph, graph_of
from convspec.network.lip_lt import lip_lt
from convspec.network.norms import Norms
from convspec.network.scalar import constants
from tests.gaussian import gaussian
from tests.network.networks import IMAGE, convolutional, filled, perceptron
from tests.random_nets import random_net


def chain(sizes: tuple[int, ...], seed: int) -> nn.Sequential:
    """Linear layers with ReLUs between them."""
    pairs = list(itertools.pairwise(sizes))
    layers: list[nn.Module] = []
    for a, b in pairs:
        layers += [nn.Linear(a, b), nn.ReLU()]
    return filled(nn.Sequential(*layers[:-1]), seed)


def unknown(graph: Graph) -> list[float]:
    return [float("inf")] * len(graph.nodes)


@pytest.mark.parametrize("sizes", [(3, 4), (4, 6, 3), (5, 8, 8, 2), (3, 9, 7, 6, 4)])
def test_chains_have_the_published_bound(sizes: tuple[int, ...]) -> None:
    net = chain(sizes, len(sizes))
    graph = graph_of(net, torch.zeros(1, sizes[0]))
    weights = [
        x.weight.detach().double().numpy() for x in net if isinstance(x, nn.Linear)
    ]
    found = lip_lt(graph, unknown(graph))
    assert found == pytest.approx(published(weights), rel=1e-6)
    # power iterations come from below
    assert found >= published(weights) * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_no_jacobian_is_above(seed: int) -> None:
    net, shape = random_net(seed)
    graph = graph_of(net, torch.zeros(1, *shape, dtype=torch.float64))
    found = lip_lt(graph, unknown(graph))
    known = constants(graph, Norms())
    assert lip_lt(graph, known) <= found * (1 + 1e-9)
    for turn in range(4):
        x = gaussian(100 * seed + turn, *shape)
        jacobian = torch.autograd.functional.jacobian(lambda v: whole(net(v[None])), x)
        matrix = jacobian.reshape(-1, x.numel())
        assert float(torch.linalg.matrix_norm(matrix, 2)) <= found


def whole(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    parts = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    return torch.cat([each.flatten() for each in parts])


def test_skips_are_added_as_matrices() -> None:
    """``x - relu(x)`` is ``-relu(-x)``, of constant 1; halves add up to 1, norms to 2."""

    class Skip(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - torch.relu(x)

    graph = graph_of(Skip(), torch.zeros(1, 3))
    assert lip_lt(graph, unknown(graph)) == pytest.approx(1.0, rel=1e-12)
    assert constants(graph, Norms())[-1] == pytest.approx(2.0, rel=1e-12)


def test_units_of_channels_divide_the_input() -> None:
    net = perceptron().double()
    scaled = nn.Sequential(nn.Linear(3, 3, bias=False), *net).double()
    scaled[0].weight.data = torch.diag(1 / torch.tensor([0.5, 2.0, 3.0]).double())
    graph = graph_of(net, torch.zeros(1, 3).double())
    other = graph_of(scaled, torch.zeros(1, 3).double())
    ours = lip_lt(graph, unknown(graph), (0.5, 2.0, 3.0))
    assert ours == pytest.approx(lip_lt(other, unknown(other)), rel=1e-9)


def test_it_is_a_step_of_small_networks() -> None:
    bound = cs.lipschitz(convolutional(), IMAGE, method="scalar", lower=False)
    product, fused, looped = bound.steps
    assert (product.name, fused.name, looped.name) == ("product", "fused", "LipLT")
    assert looped.upper < 0.9 * fused.upper
    assert bound.upper == looped.upper
    large = cs.lipschitz(nn.Conv2d(3, 8, 3), (3, 32, 32), method="scalar", lower=False)
    assert [step.name for step in large.steps] == ["product", "fused"]


def test_rounding_is_in_it() -> None:
    """Large terms that cancel: what is left is no more than what rounding may leave."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)).double()
    net[0].weight.data = torch.tensor([[1e8, 1.0], [1e8, 0.0]]).double()
    net[1].weight.data = torch.tensor([[1.0, -1.0]]).double() / 3
    graph = graph_of(net, torch.zeros(1, 2).double())
    found = lip_lt(graph, unknown(graph))
    third = float(np.float64(1) / 3)
    assert third <= found < third + 1e-7


def test_underflow_is_in_it() -> None:
    """Products that leave float64 are no reason for a bound of 0."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    for layer in net:
        layer.weight.data = torch.tensor([[1.5e-162]]).double()
    graph = graph_of(net, torch.zeros(1, 1).double())
    assert 2.25e-324 < lip_lt(graph, unknown(graph)) < 1e-200
